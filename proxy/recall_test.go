package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/redistest"
	"ringway/resp"
)

// What is remembered is forgotten in front as replies come, and grows behind, in many small steps: no slot ever finds the request of another.
func TestNoSlotRecallsTheRequestOfAnother(t *testing.T) {
	l, err := loop.New(0)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.DefaultPool()
	ps := &poolState{shared: &sharedPool{cfg: &cfg, limits: resp.DefaultLimits()}, remembers: true}
	s := &Session{worker: &worker{loop: l}, pool: ps, slots: make([]slot, 1024), authed: true}
	get := command.Lookup([]byte("get"))
	name := func(seq uint32) string { return fmt.Sprint("key:", seq) }
	unknown, known := 0, 0
	for step := range 1500 {
		first, place := s.tail, s.recallPlace()
		var b []byte
		size := step * 37 % 700 // some are cut
		for range 1 + step%37 {
			if s.tail-s.head < 900 {
				s.at = place + uint32(len(b))
				b = redistest.AppendCommand(b, "GET", name(s.tail), strings.Repeat("x", size))
				s.open(get)
			}
		}
		s.remember(b, first, place)
		for seq := s.head; seq != s.tail; seq++ {
			args, n := s.recalled(nil, s.slot(seq))
			if n == 0 {
				unknown++
				continue
			}
			known++
			if got := texts(append(resp.AppendArray(nil, n), args...)); got[1] != name(seq) {
				t.Fatalf("step %d: request %d is told as %s", step, seq, got[1])
			}
		}
		for n := step * 31 % 29; n > 0 && s.head != s.tail; n-- { // the first are answered
			*s.slot(s.head) = slot{}
			s.head++
		}
		if step%500 == 499 {
			for ; s.head != s.tail; s.head++ {
				*s.slot(s.head) = slot{}
			}
		}
	}
	if unknown == 0 || known == 0 {
		t.Errorf("%d were known, %d not", known, unknown)
	}
}
