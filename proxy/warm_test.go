package proxy

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// hurried is a Ringway whose pool has warm scaling, with times that are a fraction of the real ones.
func hurried(t testing.TB) {
	t.Helper()
	before := warmTimings
	warmTimings = timings{
		heartbeat: 100 * time.Millisecond, hasty: 15 * time.Millisecond, ask: 250 * time.Millisecond,
		lease: 900 * time.Millisecond, marker: 600 * time.Millisecond, attempt: 300 * time.Millisecond, grace: 1800 * time.Millisecond,
		settle: 500 * time.Millisecond, hold: 500 * time.Millisecond, again: time.Second, remind: time.Minute, await: 100 * time.Millisecond,
	}
	t.Cleanup(func() { warmTimings = before })
}

// warmed is a change of serve's only pool.
func warmed(p *config.Pool) {
	p.Migration = config.Migration{Mode: "warm", Window: time.Hour}
}

// inMode waits for servers to be in a mode.
func inMode(t testing.TB, k warmKind, servers ...*Server) {
	t.Helper()
	for i, srv := range servers {
		redistest.WaitFor(t, fmt.Sprintf("server %d to be in mode %s", i, k), func() bool {
			d := srv.open()[0].director
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.warm.mode.kind == k
		})
	}
}

// onRing waits for servers to serve the plain ring of so many nodes.
func onRing(t testing.TB, nodes int, servers ...*Server) {
	t.Helper()
	for i, srv := range servers {
		redistest.WaitFor(t, fmt.Sprintf("server %d to serve %d nodes", i, nodes), func() bool {
			d := srv.open()[0].director
			d.mu.Lock()
			defer d.mu.Unlock()
			return d.warm.mode.kind == warmPlain && len(d.warm.y.Nodes) == nodes
		})
	}
}

func scale(t testing.TB, addresses []string, servers ...*Server) {
	t.Helper()
	for _, srv := range servers {
		reloadWith(t, srv, onPool(func(p *config.Pool) {
			p.Backends = nil
			for i, a := range addresses {
				p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprint("n", i), Address: a, Weight: 1})
			}
		}))
	}
}

func warmLog() *slog.Logger {
	if os.Getenv("RINGWAY_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func TestWarmScaling(t *testing.T) {
	hurried(t)
	addresses := nodes(t, 4)
	a := serve(t, onPool(warmed), addresses[:3]...)
	a.log = warmLog()
	b := serve(t, onPool(warmed), addresses[:3]...)
	inMode(t, warmPlain, a, b)
	ca, cb := client(t, a), client(t, b)
	for i := range 200 {
		want(t, "SET", ca.Do("SET", fmt.Sprint("key", i), fmt.Sprint("value", i)), "+OK\r\n")
	}
	scale(t, addresses, a, b)
	inMode(t, warmWarm, a, b)
	for i := range 200 {
		c := ca
		if i%2 == 0 {
			c = cb
		}
		want(t, "GET", c.Do("GET", fmt.Sprint("key", i)), redistest.Bulk(fmt.Sprint("value", i)))
	}
	for _, srv := range []*Server{a, b} {
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.Migration.Window = time.Millisecond }))
	}
	onRing(t, 4, a, b)
	for i := range 200 {
		want(t, "GET", ca.Do("GET", fmt.Sprint("key", i)), redistest.Bulk(fmt.Sprint("value", i)))
	}
	balanced(t, a)
	balanced(t, b)
}
