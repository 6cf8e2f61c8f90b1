package loop

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Random setting, moving, stopping and firing agrees with a sorted list.
func TestTimersFireInTheOrderOfTheirTimes(t *testing.T) {
	for round := range 200 {
		r := rand.New(rand.NewPCG(1, uint64(round)))
		l := &Loop{}
		var fired []int64
		type entry struct {
			timer *Timer
			at    int64
		}
		all := make([]*entry, 1+r.IntN(60))
		for i := range all {
			e := &entry{}
			e.timer = NewTimer(func() { fired = append(fired, e.at) })
			all[i] = e
		}
		for range 300 {
			e := all[r.IntN(len(all))]
			switch r.IntN(5) {
			case 0, 1, 2:
				d := 1 + r.Int64N(50)
				e.at = l.now + d
				l.SetTimer(e.timer, time.Duration(d))
			case 3:
				l.StopTimer(e.timer)
				e.at = 0
			default:
				l.now += r.Int64N(30)
				var due []int64
				for _, e := range all {
					if e.at > 0 && e.at <= l.now {
						due = append(due, e.at)
					}
				}
				slices.Sort(due)
				fired = fired[:0]
				l.timers.fire(l.now)
				if !slices.Equal(fired, due) {
					t.Fatalf("round %d, at %d: fired %v, want %v", round, l.now, fired, due)
				}
				for _, e := range all {
					if e.at <= l.now {
						e.at = 0
					}
				}
			}
			earliest := int64(0)
			for _, e := range all {
				if e.timer.Set() != (e.at > 0) {
					t.Fatalf("round %d: Set says %v for a timer at %d", round, e.timer.Set(), e.at)
				}
				if e.at > 0 && (earliest == 0 || e.at < earliest) {
					earliest = e.at
				}
			}
			if got := l.timers.next(); got != earliest {
				t.Fatalf("round %d: next is %d, want %d", round, got, earliest)
			}
		}
	}
}

func TestTimer(t *testing.T) {
	t.Run("fires on the loop, not before its time", func(t *testing.T) {
		l := run(t)
		fired := make(chan struct{})
		var took int64
		do(t, l, func() {
			set := Clock()
			l.SetTimer(NewTimer(func() { took = Clock() - set; close(fired) }), 5*time.Millisecond)
		})
		wait(t, "the timer", fired)
		if took < int64(5*time.Millisecond)-int64(time.Millisecond) {
			t.Errorf("it fired after %v", time.Duration(took))
		}
	})
	t.Run("that is stopped does not fire", func(t *testing.T) {
		l := run(t)
		done := make(chan struct{})
		do(t, l, func() {
			a := NewTimer(func() { t.Error("it fired") })
			l.SetTimer(a, time.Millisecond)
			l.SetTimer(NewTimer(func() { l.StopTimer(a) }), 500*time.Microsecond)
			l.StopTimer(a)
			l.SetTimer(NewTimer(func() { close(done) }), 5*time.Millisecond)
		})
		wait(t, "the last timer", done)
	})
	t.Run("may be moved to an earlier time", func(t *testing.T) {
		l := run(t)
		fired := make(chan struct{})
		do(t, l, func() { l.SetTimer(NewTimer(func() {}), time.Hour) })
		a := NewTimer(func() { close(fired) })
		do(t, l, func() { l.SetTimer(a, time.Hour) })
		do(t, l, func() { l.SetTimer(a, time.Millisecond) })
		wait(t, "the timer", fired)
	})
	t.Run("that sets itself again waits for the next turn", func(t *testing.T) {
		l := run(t)
		turns := map[uint64]bool{}
		done := make(chan struct{})
		var tick *Timer
		tick = NewTimer(func() {
			turns[l.Turns] = true
			switch {
			case len(turns) == 3:
				close(done)
			default:
				l.SetTimer(tick, 0)
			}
		})
		do(t, l, func() { l.SetTimer(tick, 0) })
		wait(t, "three turns", done)
	})
}
