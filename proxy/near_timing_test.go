package proxy

import (
	"slices"
	"testing"

	"ringway/hotkey"
	"ringway/internal/loop"
)

// What it costs once a turn, and for each node with hot keys, to ask whether there is news of them that its loop has not taken.
func BenchmarkHears(b *testing.B) {
	node := nodes(b, 1)[0]
	srv := serve(b, keeping(b, "near", nil), node)
	c := client(b, srv)
	c.Do("SET", "hot", "v")
	untilKept(b, "near", c, "hot")
	l := func() *hotkey.Lease { return entryOf(b, srv, "hot").Watched(0).Lease }()
	took := make([]int64, b.N)
	b.ResetTimer()
	for i := range b.N {
		began := loop.Clock()
		l.Heard()
		took[i] = loop.Clock() - began
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[b.N/2]), "median-ns")
}
