package metrics

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkObserve(b *testing.B) {
	for _, bench := range []struct {
		name   string
		spread int64 // nanoseconds above 50 us
	}{{"took=same", 1}, {"took=mixed", 1 << 22}} {
		b.Run(bench.name, func(b *testing.B) {
			var took [1024]int64
			r := rand.New(rand.NewPCG(1, 2))
			for i := range took {
				took[i] = 50_000 + r.Int64N(bench.spread)
			}
			var h Histogram
			i := 0
			for b.Loop() {
				h.Observe(took[i&1023])
				i++
			}
		})
	}
}

func BenchmarkScrape(b *testing.B) {
	c := newCollector(newFake(), "1.2.3", epoch)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gather(c); err != nil {
			b.Fatal(err)
		}
	}
}
