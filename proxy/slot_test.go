package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// A session's slots keep their places while the ring grows under them, shrinks when it is empty, and the count wraps around.
func TestSlotsKeepTheirPlaces(t *testing.T) {
	w := &worker{loop: &loop.Loop{}}
	for round := range 100 {
		r := rand.New(rand.NewPCG(5, uint64(round)))
		s := &Session{worker: w, head: ^uint32(0) - uint32(r.IntN(50))}
		s.tail = s.head
		s.slots = s.few[:]
		var want []int64
		next := int64(1)
		for range 200 {
			for n := r.IntN(1 << r.IntN(8)); n > 0; n-- {
				sl := s.open(nil)
				if sl.state != awaited || sl.buf != nil || sl.split != nil || sl.begun || sl.mute {
					t.Fatalf("round %d: a new slot is not empty: %+v", round, *sl)
				}
				sl.start, sl.begun = next, true
				want = append(want, next)
				next++
			}
			for n := r.IntN(1 << r.IntN(8)); n > 0 && len(want) > 0; n-- {
				if got := s.slot(s.head).start; got != want[0] {
					t.Fatalf("round %d: the head is %d, want %d", round, got, want[0])
				}
				*s.slot(s.head) = slot{}
				s.head++
				want = want[1:]
			}
			for i, start := range want {
				if got := s.slot(s.head + uint32(i)).start; got != start {
					t.Fatalf("round %d: slot %d is %d, want %d", round, i, got, start)
				}
			}
			s.fewerSlots()
			if len(want) == 0 && len(s.slots) != fewSlots {
				t.Fatalf("round %d: %d slots are kept by an idle session", round, len(s.slots))
			}
		}
		for s.head != s.tail {
			*s.slot(s.head) = slot{}
			s.head++
		}
		s.fewerSlots()
	}
	for _, ring := range slices.Concat(w.freeSlots[:]...) {
		for _, sl := range ring {
			if sl.state != vacant || sl.start != 0 {
				t.Fatal("a free ring is not vacant")
			}
		}
	}
}

func TestWindow(t *testing.T) {
	cfg := config.DefaultPool()
	cfg.Window, cfg.ClientOutputLimit = 256, 100_000
	sp := &sharedPool{cfg: &cfg}
	ps := &poolState{shared: sp, stats: metrics.NewPool(0)}
	fresh := func() *Session { return &Session{pool: ps, worker: &worker{loop: &loop.Loop{}}} }
	replies := func(s *Session, n, size int) {
		for range n {
			s.inFlight++
			s.count(&slot{}, '$', size, 1)
		}
	}
	t.Run("opens as replies come", func(t *testing.T) {
		s := fresh()
		last := s.window()
		if last != firstWindow {
			t.Errorf("it begins at %d", last)
		}
		for range 300 {
			replies(s, 1, 10)
			if w := s.window(); w < last || w > 256 {
				t.Fatalf("after %d it is %d", last, w)
			} else {
				last = w
			}
		}
		if last != 256 {
			t.Errorf("it ends at %d", last)
		}
	})
	t.Run("is never more than configured", func(t *testing.T) {
		cfg.Window = 10
		defer func() { cfg.Window = 256 }()
		if w := fresh().window(); w != 10 {
			t.Errorf("it is %d", w)
		}
	})
	t.Run("closes with big replies and opens again after them", func(t *testing.T) {
		s := fresh()
		replies(s, 300, 10)
		replies(s, 50, 20_000)
		if w := s.window(); w < 9 || w > 11 { // 2 * 100,000 bytes at most
			t.Errorf("with replies of 20,000 bytes it is %d", w)
		}
		replies(s, 100, 10_000_000)
		if w := s.window(); w != 1 {
			t.Errorf("with replies of 10 MB it is %d", w)
		}
		replies(s, 300, 10)
		if w := s.window(); w != 256 {
			t.Errorf("after that it is %d", w)
		}
	})
	t.Run("counts each key of a split request", func(t *testing.T) {
		s := fresh()
		s.inFlight = 100
		s.count(&slot{}, '*', 100_000, 100)
		if s.inFlight != 0 || s.meanReply > 1000 {
			t.Errorf("in flight %d, mean reply %d", s.inFlight, s.meanReply)
		}
	})
}
