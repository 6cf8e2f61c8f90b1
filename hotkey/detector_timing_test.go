package hotkey

import (
	"encoding/binary"
	"fmt"
	"testing"
)

func BenchmarkSample(b *testing.B) {
	for _, s := range []float64{0.9, 1.2} {
		b.Run(fmt.Sprintf("zipf=%g", s), func(b *testing.B) {
			tr := newTraffic(1, 8, Samples, zipfOf(s).draw)
			tr.run(5)
			keys := make([]uint64, 1<<16)
			names := make([][8]byte, 1<<16)
			for i := range keys {
				keys[i] = mix(tr.draw())
				binary.LittleEndian.PutUint64(names[i][:], keys[i])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := i & (1<<16 - 1)
				tr.now += 125_000
				tr.d.Sample(tr.now, keys[at], names[at][:], false)
			}
		})
	}
}

func BenchmarkReport(b *testing.B) {
	tr := newTraffic(1, 8, Samples, zipfOf(0.99).draw)
	tr.run(5)
	b.ReportAllocs()
	for b.Loop() {
		tr.report()
	}
}

func BenchmarkFind(b *testing.B) {
	tr := newTraffic(1, 8, Samples, zipfOf(1.1).draw)
	tr.run(5)
	set := tr.t.Set()
	b.Run(fmt.Sprintf("hot/keys=%d", len(set.Keys)), func(b *testing.B) {
		k := set.Keys[len(set.Keys)/2]
		for b.Loop() {
			set.Find(k.Hash, k.Name)
		}
	})
	b.Run(fmt.Sprintf("cold/keys=%d", len(set.Keys)), func(b *testing.B) {
		for i := uint64(0); b.Loop(); i++ {
			set.Find(mix(i), []byte("key"))
		}
	})
}
