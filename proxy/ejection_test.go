package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/pool"
)

// ejecting has nodes ejected over their first failure, and taken back soon.
func ejecting(p *config.Pool) {
	p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 1, 100*time.Millisecond
}

// outNow returns which nodes are ejected.
func outNow(srv *Server) (out []int) {
	d := srv.pool(0).director
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.out {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// settled waits until the loops have what the director has.
func settled(t testing.TB, srv *Server) {
	t.Helper()
	d := srv.pool(0).director
	redistest.WaitFor(t, "the loops to have the topology", func() bool {
		d.mu.Lock()
		present, same := d.present, len(d.present.used)-len(d.present.order) == len(d.out)
		d.mu.Unlock()
		for _, w := range srv.workers {
			w.wait(func() { same = same && w.pools[0].topo == present })
		}
		return same
	})
}

func TestNoMoreThanSoManyNodesAreEjected(t *testing.T) {
	for share, most := range map[int]int{0: 0, 1: 1, 50: 2, 74: 2, 75: 3, 100: 3} {
		t.Run(fmt.Sprintf("max_ejected=%d%%", share), func(t *testing.T) {
			var servers []*redistest.Redis
			var addresses []string
			for range 4 {
				servers = append(servers, redistest.Server(t))
				addresses = append(addresses, servers[len(servers)-1].Addr())
			}
			srv := serve(t, onPool(func(p *config.Pool) {
				ejecting(p)
				checked(p)
				p.MaxEjected, p.RetryTimeout = share, time.Hour
			}), addresses...)
			c := client(t, srv)
			for _, s := range servers[1:] {
				s.Kill()
			}
			redistest.WaitFor(t, "the checks and the ejections", func() bool {
				return !upNow(srv, 1) && !upNow(srv, 2) && !upNow(srv, 3) && len(outNow(srv)) == most
			})
			settled(t, srv)
			failed := map[int]bool{}
			for i := range 200 {
				k := fmt.Sprint("key:", i)
				var node int
				onLoop(t, srv, func(w *worker) { node = w.pools[0].find([]byte(k)) })
				if got := c.Do("SET", k, "v"); node == 0 && got != "+OK\r\n" || node > 0 && !strings.HasPrefix(got, fmt.Sprintf("-ERR node 'n%d' ", node)) {
					t.Fatalf("SET on node %d: %q", node, got)
				}
				failed[node] = node > 0
			}
			if len(failed) != 4-most || len(outNow(srv)) != most {
				t.Errorf("%d nodes have keys, %v are ejected", len(failed), outNow(srv))
			}
			reasons := [pool.EjectionReasons]uint64{}
			sum := counted(srv)
			for i := range sum.Nodes {
				for r, n := range sum.Nodes[i].Ejections {
					reasons[r] += n
				}
				if sum.Nodes[i].Ejected != slices.Contains(outNow(srv), i) {
					t.Errorf("node %d: ejected is %v", i, sum.Nodes[i].Ejected)
				}
			}
			if int(reasons[0]+reasons[1]) != most {
				t.Errorf("ejections: %v", reasons)
			}
		})
	}
}

// Of a pool that nobody uses the node that dies is off the ring before a client has to find out, and one that could not be ejected goes when there is room.
func TestChecksEject(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, onPool(func(p *config.Pool) { ejecting(p); checked(p); p.MaxEjected = 34 }), servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
	before := uint64(time.Now().UnixMicro())
	servers[1].Kill()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{1}) })
	settled(t, srv)
	c := client(t, srv)
	for i := range 100 {
		want(t, "SET", c.Do("SET", fmt.Sprint("key:", i), "v"), "+OK\r\n")
	}
	if n := counted(srv).Nodes[1].Ejections; n != [2]uint64{0, 1} {
		t.Errorf("ejections: %v", n)
	}
	if at := counted(srv).Nodes[1].EjectedAt; at < before || at > uint64(time.Now().UnixMicro()) || counted(srv).Nodes[0].EjectedAt != 0 {
		t.Errorf("ejected at %d, and not after %d; one that never was at %d", at, before, counted(srv).Nodes[0].EjectedAt)
	}
	servers[2].Kill()
	redistest.WaitFor(t, "the verdict", func() bool { return !upNow(srv, 2) })
	if out := outNow(srv); !slices.Equal(out, []int{1}) {
		t.Errorf("ejected: %v", out)
	}
	servers[1].Restart()
	redistest.WaitFor(t, "the other's ejection", func() bool { return slices.Equal(outNow(srv), []int{2}) })
	servers[2].Restart()
	redistest.WaitFor(t, "all to return", func() bool { return outNow(srv) == nil })
}

// A node that was away holds old values. With flush_on_return nobody ever reads one.
func TestFlushOnReturn(t *testing.T) {
	a, b := redistest.Server(t, "--requirepass", "secret"), redistest.Server(t, "--requirepass", "secret")
	srv := serve(t, func(c *config.Config) {
		p := &c.Pools[0]
		ejecting(p)
		checked(p)
		p.Password, p.FlushOnReturn = "secret", true
		c.Threads = 2
	}, a.Addr(), b.Addr())
	clients := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
	var keys []string
	for i := range 200 {
		keys = append(keys, fmt.Sprint("key:", i))
		want(t, "SET", clients[0].Do("SET", keys[i], "old"), "+OK\r\n")
	}
	owned := func() (n int) {
		onLoop(t, srv, func(w *worker) {
			for _, k := range keys {
				if w.pools[0].find([]byte(k)) == 0 {
					n++
				}
			}
		})
		return n
	}
	before := owned()
	a.Stop()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{0}) })
	settled(t, srv)
	for _, k := range keys {
		want(t, "SET elsewhere", clients[0].Do("SET", k, "new"), "+OK\r\n")
	}
	a.Cont()
	redistest.WaitFor(t, "its return", func() bool {
		for i, k := range keys {
			if got := clients[i%2].Do("GET", k); got != "$3\r\nnew\r\n" && got != "$-1\r\n" {
				t.Fatalf("GET: %q", got)
			}
		}
		return owned() == before
	})
	direct := redistest.Dial(t, a.Addr())
	direct.Do("AUTH", "secret")
	want(t, "DBSIZE of the one that was away", direct.Do("DBSIZE"), ":0\r\n")
}

func TestNodeThatCannotBeEmptiedStaysOut(t *testing.T) {
	a, b := redistest.Server(t, "--rename-command", "FLUSHALL", "NEVER"), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		ejecting(p)
		checked(p)
		p.RetryTimeout = 10 * time.Millisecond
		p.FlushOnReturn = true
	}), a.Addr(), b.Addr())
	a.Stop()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{0}) })
	a.Cont()
	attempts := func() string { return a.Do("INFO", "errorstats") }
	redistest.WaitFor(t, "some attempts", func() bool {
		got := attempts()
		i := strings.Index(got, "errorstat_ERR:count=")
		return i >= 0 && got[i+len("errorstat_ERR:count=")] >= '3'
	})
	if out := outNow(srv); !slices.Equal(out, []int{0}) {
		t.Errorf("ejected: %v", out)
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.FlushOnReturn = false }))
	redistest.WaitFor(t, "its return without", func() bool { return outNow(srv) == nil })
}

func TestEjectedNodeStaysAwayForRetryTimeout(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { ejecting(p); checked(p); p.RetryTimeout = time.Second }), a.Addr(), b.Addr())
	begun := time.Now()
	a.Kill()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{0}) })
	a.Restart()
	redistest.WaitFor(t, "its recovery", func() bool { return upNow(srv, 0) })
	redistest.WaitFor(t, "its return", func() bool { return outNow(srv) == nil })
	if took := time.Since(begun); took < time.Second {
		t.Errorf("it was back after %v", took)
	}
}

// A reload does not bring an ejected node back, not even for a moment.
func TestReloadLeavesEjectedNodesOut(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { ejecting(p); checked(p); p.RetryTimeout = time.Hour }), a.Addr(), b.Addr())
	a.Kill()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{0}) })
	settled(t, srv)
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Window = 100 }))
	onLoop(t, srv, func(w *worker) {
		if order := w.pools[0].topo.order; !slices.Equal(order, []uint16{1}) {
			t.Errorf("the owners after a reload: %v", order)
		}
	})
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends = p.Backends[:1] })) // the one that works has left
	onLoop(t, srv, func(w *worker) {
		if order := w.pools[0].topo.order; !slices.Equal(order, []uint16{0}) {
			t.Errorf("the owners when only the ejected one is left: %v", order)
		}
	})
	reloadWith(t, srv, onPool(func(p *config.Pool) {
		p.OnFailure = "fail"
		p.Backends = append(p.Backends, config.Backend{Name: "n1", Address: b.Addr(), Weight: 1})
	}))
	if out := outNow(srv); out != nil {
		t.Errorf("ejected without on_failure: eject: %v", out)
	}
}
