package proxy

import (
	"fmt"
	"log/slog"
	"testing"
	"unsafe"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/redistest"
)

// serve starts a server in this process on a loopback port, in front of the given addresses, and returns it. The nodes are
// named n0, n1 and so on. Cleanup shuts it down.
func serve(t testing.TB, change func(*config.Config), addresses ...string) *Server {
	t.Helper()
	cfg := config.Default()
	cfg.Threads = 1
	p := config.DefaultPool()
	p.Name, p.Listen = "test", "127.0.0.1:0"
	p.Health = config.Health{} // scripted nodes play to one connection, and nobody else is to find a death out
	for i, a := range addresses {
		p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprintf("n%d", i), Address: a, Weight: 1})
	}
	cfg.Pools = []config.Pool{p}
	if change != nil {
		change(&cfg)
	}
	srv, err := New(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(0) })
	return srv
}

// onPool is a change of serve's only pool.
func onPool(f func(*config.Pool)) func(*config.Config) {
	return func(c *config.Config) { f(&c.Pools[0]) }
}

// client connects to a server's first pool.
func client(t testing.TB, srv *Server) *redistest.Conn {
	t.Helper()
	return redistest.Dial(t, srv.Addr(0))
}

// want fails the test unless the reply is this one.
func want(t testing.TB, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %q, want %q", what, got, wanted)
	}
}

// onLoop runs f on the first loop and waits.
func onLoop(t testing.TB, srv *Server, f func(w *worker)) {
	t.Helper()
	redistest.Run(t, srv.workers[0].loop.Post, func() { f(srv.workers[0]) })
}

// keyOf returns a key that belongs to node i.
func keyOf(t testing.TB, srv *Server, i int, prefix string) string {
	t.Helper()
	var key string
	onLoop(t, srv, func(w *worker) {
		for n := 0; n < 10000 && key == ""; n++ {
			if k := fmt.Sprintf("%s%d", prefix, n); w.pools[0].find([]byte(k)) == i {
				key = k
			}
		}
	})
	if key != "" {
		return key
	}
	t.Fatalf("node %d owns no key", i)
	return ""
}

// nodes starts n real servers and returns their addresses.
func nodes(t testing.TB, n int) (addresses []string) {
	t.Helper()
	for range n {
		addresses = append(addresses, redistest.Server(t).Addr())
	}
	return addresses
}

// balanced fails the test unless the books of every session close: nothing in flight, nothing held, nothing to be sent, no
// reason to stand still. It waits for that, and then looks for buffers that have two owners.
func balanced(t testing.TB, srv *Server) {
	t.Helper()
	for _, w := range srv.workers {
		left := ""
		redistest.WaitFor(t, "the sessions to come to rest", func() bool {
			redistest.Run(t, w.loop.Post, func() {
				left = ""
				for s := w.sessions; s != nil; s = s.next {
					if s.inFlight != 0 || s.held != 0 || s.head != s.tail || s.stalls != 0 || s.conn.Unsent() != 0 || s.resumes {
						left = fmt.Sprintf("in flight %d, held %d, slots %d, stalls %b, unsent %d, resumes %v",
							s.inFlight, s.held, s.tail-s.head, s.stalls, s.conn.Unsent(), s.resumes)
					}
				}
			})
			return left == ""
		})
		redistest.Run(t, w.loop.Post, func() { lentOnce(t, w.loop) })
	}
}

// lentOnce borrows all the free buffers of a loop and some more: none may be among them twice.
func lentOnce(t testing.TB, l *loop.Loop) {
	for size := 512; size <= 128<<10; size *= 4 {
		seen := map[*byte]bool{}
		var all [][]byte
		for range 4<<20/size + 1 {
			b := l.Buffer(size)
			p := unsafe.SliceData(b)
			if seen[p] {
				t.Errorf("a buffer of %d bytes has two owners", size)
			}
			seen[p] = true
			all = append(all, b)
		}
		for _, b := range all {
			l.Release(b)
		}
	}
}

// ringOf returns the ring of the first pool as its configuration makes it.
func ringOf(t testing.TB, srv *Server) *hashring.Ring {
	t.Helper()
	ring, err := srv.cfg.Pools[0].Ring()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
