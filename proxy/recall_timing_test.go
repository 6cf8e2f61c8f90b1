package proxy

import (
	"bytes"
	"fmt"
	"testing"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/redistest"
	"ringway/resp"
)

// What it costs a read of so many requests that they are remembered for the slow log, until they are answered.
func BenchmarkRemember(b *testing.B) {
	l, err := loop.New(0)
	if err != nil {
		b.Fatal(err)
	}
	get := command.Lookup([]byte("get"))
	for _, slow := range []bool{false, true} {
		for _, size := range []int{0, 1000} {
			for _, n := range []int{1, 16, 128} {
				b.Run(fmt.Sprintf("slowlog=%v/more=%d/requests=%d", slow, size, n), func(b *testing.B) {
					cfg := config.DefaultPool()
					ps := &poolState{shared: &sharedPool{cfg: &cfg, limits: resp.DefaultLimits()}}
					if slow {
						ps.remembers = true
					}
					s := &Session{worker: &worker{loop: l}, pool: ps, slots: make([]slot, 128), authed: true}
					request := redistest.AppendCommand(nil, "GET", "key:000000012345", string(make([]byte, size)))
					requests := bytes.Repeat(request, n)
					b.ReportAllocs()
					for i := 0; i < b.N; i += n {
						first, place := s.tail, s.recallPlace()
						for k := range n {
							s.at = place + uint32(k*len(request))
							s.open(get)
						}
						s.remember(requests, first, place)
						s.head = s.tail
						s.forgetRequests()
					}
				})
			}
		}
	}
}
