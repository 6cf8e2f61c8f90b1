package proxy

import (
	"fmt"
	"testing"

	"ringway/internal/loop"
)

// What it costs a session that the time until a reply is written is told: of so many replies that one write takes.
func BenchmarkWritePhase(b *testing.B) {
	l, err := loop.New(0)
	if err != nil {
		b.Fatal(err)
	}
	for _, replies := range []int{1, 16} {
		b.Run(fmt.Sprintf("pipeline=%d", replies), func(b *testing.B) {
			w := &worker{loop: l}
			s := &Session{worker: w, pool: &poolState{worker: w}}
			s.pool.clock.Follow(4)
			b.ReportAllocs()
			for n := 0; n < b.N; n += replies {
				for i := range replies {
					s.note(&slot{answeredBy: uint16(i&3 + 1 + manyNodes), weight: 1})
				}
				s.written(0)
			}
		})
	}
}
