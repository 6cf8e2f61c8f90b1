package loop

import "time"

// Timer calls a function once, on the loop, at the end of the first turn after its time. Timers are few (one per lane or
// stalled client, never one per request), so a plain binary heap serves.
type Timer struct {
	at    int64
	index int // in the heap; -1 when not set
	f     func()
}

type timers struct{ heap []*Timer }

// NewTimer returns a timer that is not set.
func NewTimer(f func()) *Timer { return &Timer{index: -1, f: f} }

// SetTimer sets or moves t to fire d from now.
func (l *Loop) SetTimer(t *Timer, d time.Duration) {
	h := &l.timers
	if t.index >= 0 {
		h.remove(t.index)
	}
	t.at = l.now + max(int64(d), 1)
	t.index = len(h.heap)
	h.heap = append(h.heap, t)
	h.up(t.index)
}

// StopTimer makes sure that t does not fire.
func (l *Loop) StopTimer(t *Timer) {
	if t.index >= 0 {
		l.timers.remove(t.index)
	}
}

// Set reports whether the timer is waiting to fire.
func (t *Timer) Set() bool { return t.index >= 0 }

// next returns when the earliest timer fires, 0 if there is none.
func (h *timers) next() int64 {
	if len(h.heap) == 0 {
		return 0
	}
	return h.heap[0].at
}

// fire runs the timers that are due. One that sets itself again waits for the next turn.
func (h *timers) fire(now int64) {
	for len(h.heap) > 0 && h.heap[0].at <= now {
		t := h.heap[0]
		h.remove(0)
		t.f()
	}
}

func (h *timers) remove(i int) {
	last := len(h.heap) - 1
	h.heap[i].index = -1
	if i != last {
		h.heap[i] = h.heap[last]
		h.heap[i].index = i
	}
	h.heap[last] = nil
	h.heap = h.heap[:last]
	if i < last {
		h.down(i)
		h.up(i)
	}
}

func (h *timers) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h.heap[p].at <= h.heap[i].at {
			return
		}
		h.swap(i, p)
		i = p
	}
}

func (h *timers) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h.heap) {
			return
		}
		if c+1 < len(h.heap) && h.heap[c+1].at < h.heap[c].at {
			c++
		}
		if h.heap[i].at <= h.heap[c].at {
			return
		}
		h.swap(i, c)
		i = c
	}
}

func (h *timers) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].index, h.heap[j].index = i, j
}
