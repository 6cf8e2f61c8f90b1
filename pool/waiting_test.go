package pool

import (
	"math/rand/v2"
	"testing"
)

// Random pushes and pops agree with a slice, over the ring's growth, its wrapping and its giving memory back. In odd rounds sizes are noted, from
// somewhere in the middle on.
func TestQueueIsFirstInFirstOut(t *testing.T) {
	for round := range 30 {
		r := rand.New(rand.NewPCG(3, uint64(round)))
		q := queue{head: r.Uint32(), tail: 0}
		q.tail = q.head
		if round == 0 {
			q.head, q.tail = ^uint32(0)-20, ^uint32(0)-20 // the counts wrap around
		}
		var want []uint64
		next, bytes := uint64(0), 0
		weigh := false
		for turn := range 500 {
			weigh = weigh || round%2 == 1 && turn > 20
			for n := r.IntN(1 << r.IntN(10)); n > 0; n-- {
				q.push(waiting{tag: next})
				want = append(want, next)
				next++
				if weigh {
					q.weigh(int(next))
					bytes += int(next)
				}
			}
			for n := r.IntN(1 << r.IntN(11)); n > 0 && len(want) > 0; n-- {
				if got := q.first().tag; got != want[0] {
					t.Fatalf("round %d: %d is first, want %d", round, got, want[0])
				}
				if q.sizes != nil {
					before := q.bytes
					q.unweigh()
					if size := before - q.bytes; size != 0 && size != int(want[0])+1 {
						t.Fatalf("round %d: request %d has the size %d", round, want[0], size)
					}
					bytes -= before - q.bytes
				}
				q.pop()
				want = want[1:]
			}
			if q.bytes != bytes || q.len() == 0 && bytes != 0 {
				t.Fatalf("round %d: %d bytes, want %d, of %d requests", round, q.bytes, bytes, q.len())
			}
			if q.len() != len(want) {
				t.Fatalf("round %d: length %d, want %d", round, q.len(), len(want))
			}
		}
	}
}

func TestQueueGivesAMassOfMemoryBack(t *testing.T) {
	var q queue
	for i := range 10000 {
		q.push(waiting{tag: uint64(i)})
	}
	for q.len() > 0 {
		q.pop()
	}
	if q.ring != nil {
		t.Errorf("%d places are kept", len(q.ring))
	}
	if q.push(waiting{tag: 1}); q.first().tag != 1 || q.len() != 1 {
		t.Error("it is not usable after that")
	}
}
