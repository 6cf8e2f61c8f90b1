package proxy

import (
	"testing"

	"ringway/internal/command"
	"ringway/resp"
)

func BenchmarkMergeArray(b *testing.B) {
	sp := &split{merge: command.MergeArray, parts: make([]part, 3)}
	for i := range sp.parts {
		sp.parts[i].count = 34
		sp.parts[i].reply = resp.AppendArray(nil, 34)
		for range 34 {
			sp.parts[i].reply = resp.AppendBulkString(sp.parts[i].reply, "abc")
		}
	}
	for i := range 102 {
		sp.owners = append(sp.owners, uint16(i%3))
	}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = sp.appendMerged(dst[:0])
	}
}
