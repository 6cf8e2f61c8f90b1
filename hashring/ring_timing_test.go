package hashring

import (
	"fmt"
	"testing"
)

var found int // keeps the compiler from dropping a search

func BenchmarkFind(b *testing.B) {
	for _, distribution := range Distributions() {
		for _, n := range []int{3, 32, 200} {
			b.Run(fmt.Sprintf("distribution=%s/nodes=%d", distribution, n), func(b *testing.B) {
				benchmarkFind(b, mustNew(b, equalNodes(n), Options{Distribution: distribution}))
			})
		}
	}
}

func BenchmarkFindTagged(b *testing.B) {
	benchmarkFind(b, mustNew(b, equalNodes(32), Options{HashTag: "{}"}))
}

func BenchmarkFindByHash(b *testing.B) {
	for _, name := range Hashes() {
		b.Run("hash="+name, func(b *testing.B) {
			benchmarkFind(b, mustNew(b, equalNodes(32), Options{Distribution: "ketama", Hash: name}))
		})
	}
}

// benchmarkFind places keys of 16 bytes, different ones, as a router does.
func benchmarkFind(b *testing.B, r *Ring) {
	keys := make([][]byte, 1024)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user:%08d:{p}", i)[:16]
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		found += r.Find(keys[i%1024])
		i++
	}
}

func BenchmarkNew(b *testing.B) {
	for _, weights := range []string{"equal", "of3", "different"} {
		for _, n := range []int{3, 8, 32, 100} {
			b.Run(fmt.Sprintf("distribution=consistent/weights=%s/nodes=%d", weights, n), func(b *testing.B) {
				nodes := equalNodes(n)
				for i := range nodes {
					switch weights {
					case "of3":
						nodes[i].Weight = 1 + i%3
					case "different":
						nodes[i].Weight = n + i
					}
				}
				for b.Loop() {
					mustNew(b, nodes, Options{})
				}
			})
		}
	}
	for _, n := range []int{8, 100} {
		b.Run(fmt.Sprintf("distribution=ketama/weights=equal/nodes=%d", n), func(b *testing.B) {
			for b.Loop() {
				mustNew(b, equalNodes(n), Options{Distribution: "ketama"})
			}
		})
	}
}
