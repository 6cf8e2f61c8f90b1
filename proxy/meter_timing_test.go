package proxy

import (
	"math"
	"testing"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/resp"
)

// What max_memory costs, each time that it is looked at what the process holds.
func BenchmarkLookAtMemory(b *testing.B) {
	g := newGauge()
	for b.Loop() {
		if g.read() == 0 {
			b.Fatal("nothing is held")
		}
	}
}

// What a plain request pays for limits: the question of handle that comes before anything is made of it.
func BenchmarkLimitsOfARequest(b *testing.B) {
	l, err := loop.New(0)
	if err != nil {
		b.Fatal(err)
	}
	users, err := acl.NewUsers(acl.NewDefault(""))
	if err != nil {
		b.Fatal(err)
	}
	scan := &resp.RequestScanner{Limits: resp.DefaultLimits()}
	if n, err := scan.Scan([]byte("*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n")); n == 0 || err != nil {
		b.Fatal(err)
	}
	a, c := &scan.Args, command.Lookup([]byte("get"))
	for _, x := range []struct {
		name       string
		pool, user int
		key        int
	}{
		{"off", 0, 0, math.MaxInt}, {"max_key_length", 0, 0, 1000}, {"pool=1000000", 1_000_000, 0, math.MaxInt}, {"pool=1000", 1000, 0, math.MaxInt},
		{"user=1000000", 0, 1_000_000, math.MaxInt}, {"pool_and_user=1000000", 1_000_000, 1_000_000, math.MaxInt},
	} {
		b.Run("limit="+x.name, func(b *testing.B) {
			sp := &sharedPool{guard: &guard{}, longestKey: x.key}
			sp.quotas.pool = newBucket("", x.pool, math.MaxInt32, nil)
			if x.user > 0 {
				sp.quotas.users = map[string]*bucket{acl.DefaultName: newBucket("", x.user, math.MaxInt32, nil)}
			}
			s := &Session{worker: &worker{loop: l}, pool: &poolState{shared: sp}, user: users.Default()}
			s.pool.worker = s.worker
			s.authed = true
			s.update()
			b.ReportAllocs()
			for b.Loop() {
				if s.judged && !s.mayPlainly(c, a) {
					b.Fatal("refused")
				}
				s.total++
			}
		})
	}
}
