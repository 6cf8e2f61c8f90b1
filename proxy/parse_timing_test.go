package proxy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// What a read costs whose requests are answered here, with no limit that is off by default: the connection is closed, so that nothing is written.
func BenchmarkParse(b *testing.B) {
	l, err := loop.New(0)
	if err != nil {
		b.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(pair[1])
	cfg := config.DefaultPool()
	sp := &sharedPool{cfg: &cfg, guard: &guard{}, limits: resp.DefaultLimits(), longestKey: math.MaxInt}
	users, err := acl.NewUsers(acl.NewDefault(""))
	if err != nil {
		b.Fatal(err)
	}
	w := &worker{server: &Server{}, loop: l}
	s := &Session{worker: w, user: users.Default(), authed: true}
	s.pool = &poolState{shared: sp, worker: w, stats: metrics.Pool{Requests: make([]uint64, command.Count())}, topo: &topology{}}
	s.slots = s.few[:]
	if err := s.conn.Init(l, pair[0], s); err != nil {
		b.Fatal(err)
	}
	s.conn.Close()
	s.update()
	if s.judged {
		b.Fatal("it is judged")
	}
	for _, n := range []int{1, 16} {
		requests := []byte(strings.Repeat("*1\r\n$4\r\nPING\r\n", n))
		b.Run(fmt.Sprintf("requests=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if s.parse(requests) != len(requests) {
					b.Fatal("not all was taken")
				}
			}
		})
	}
}
