package proxy

import (
	"fmt"
	"testing"
)

func BenchmarkRouteOfAKey(b *testing.B) {
	for _, n := range []int{1, 5, 500} {
		routes := []route{{prefix: ""}}
		for i := range n {
			routes = append(routes, route{prefix: fmt.Sprintf("tenant:%d:", i*7)})
		}
		r := newRouting(routes)
		keys := [][]byte{[]byte("tenant:0:user"), []byte("tenant:7:user"), []byte("page:1"), []byte("tenant:3493:x")}
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				if r.of(keys[i%len(keys)]) == nil {
					b.Fatal("no route")
				}
			}
		})
	}
}
