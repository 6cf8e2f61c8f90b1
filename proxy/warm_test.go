package proxy

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// The times of warm scaling are a fraction of the real ones in all tests.
func init() {
	warmTimings = timings{
		heartbeat: 100 * time.Millisecond, hasty: 15 * time.Millisecond, ask: 250 * time.Millisecond,
		lease: 900 * time.Millisecond, marker: 600 * time.Millisecond, attempt: 300 * time.Millisecond, grace: 1800 * time.Millisecond,
		settle: 500 * time.Millisecond, hold: 500 * time.Millisecond, again: time.Second, remind: time.Minute, await: 100 * time.Millisecond,
	}
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
	t.Parallel()
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

// Warm scaling is switched on and off by a reload without a moment in which nothing is served.
func TestWarmScalingIsSwitchedOnAndOff(t *testing.T) {
	addresses := nodes(t, 3)
	srv := serve(t, nil, addresses[:2]...)
	c := client(t, srv)
	answers := func(when string) {
		t.Helper()
		for i := range 50 {
			want(t, "SET "+when, c.Do("SET", fmt.Sprint("key", i), when), "+OK\r\n")
			want(t, "GET "+when, c.Do("GET", fmt.Sprint("key", i)), redistest.Bulk(when))
		}
	}
	answers("before")
	reloadWith(t, srv, onPool(warmed))
	answers("at once")
	redistest.WaitFor(t, "the lease", func() bool { return !srv.open()[0].director.lease.free.Load() })
	answers("under a lease")
	scale(t, addresses, srv)
	inMode(t, warmWarm, srv)
	answers("in the window")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Migration.Mode = "off" }))
	answers("afterwards")
	redistest.WaitFor(t, "its record to be gone", func() bool {
		return !strings.Contains(redistest.Dial(t, addresses[0]).Do("HKEYS", registryKey("test")), "m:")
	})
	balanced(t, srv)
}

// In a pool that waits for its other Ringways requests wait too, and fail in the end with the reason.
func TestRequestsWaitForTheOtherRingways(t *testing.T) {
	before := warmTimings.grace
	t.Cleanup(func() { warmTimings.grace = before })
	warmTimings.grace = time.Hour
	srv := serve(t, onPool(func(p *config.Pool) { warmed(p); p.Timeout = 100 * time.Millisecond }), redistest.Server(t).Addr())
	c := client(t, srv)
	redistest.WaitFor(t, "the reason", func() bool {
		err := srv.Ready()
		return err != nil && strings.Contains(err.Error(), "waits for its other Ringways: none is known yet")
	})
	want(t, "PING", c.Do("PING"), "+PONG\r\n")
	c.Send("GET", "k")
	c.Send("MGET", "k", "l")
	c.Flush()
	for range 2 {
		if got := c.Recv(); !strings.HasPrefix(got, "-ERR pool test waits for its other Ringways: none is known yet") {
			t.Errorf("%q", got)
		}
	}
	balanced(t, srv)
}

func TestMigrationReport(t *testing.T) {
	t.Parallel()
	addresses := nodes(t, 4)
	srv := serve(t, onPool(func(p *config.Pool) { warmed(p); p.Migration.MoverRate = 50 }), addresses[:3]...)
	report := func() string {
		t.Helper()
		var b strings.Builder
		if err := WriteMigration(&b, srv.Config(), &srv.Config().Pools[0]); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	inMode(t, warmPlain, srv)
	if got := report(); !strings.Contains(got, "in force   ring ") || !strings.Contains(got, "(3 nodes: n0, n1, n2)") || !strings.Contains(got, " alive\n") {
		t.Errorf("plain:\n%s", got)
	}
	c := client(t, srv)
	for i := range 600 {
		c.Do("SET", fmt.Sprint("key", i), "v")
	}
	scale(t, addresses, srv)
	inMode(t, warmWarm, srv)
	redistest.WaitFor(t, "the walk to be told of", func() bool { return strings.Contains(report(), "% of ") })
	if got := report(); !strings.Contains(got, "in force   a change, since ") || !strings.Contains(got, " warm ") {
		t.Errorf("warm:\n%s", got)
	}
	onRing(t, 4, srv) // all has been moved
	want(t, "the keys", c.Do("DBSIZE"), ":600\r\n")
	for i := range 600 {
		want(t, "GET", c.Do("GET", fmt.Sprint("key", i)), redistest.Bulk("v"))
	}
	balanced(t, srv)
}
