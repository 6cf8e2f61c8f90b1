package proxy

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// changed is a copy of what is served with something changed.
func changed(t testing.TB, srv *Server, change func(*config.Config)) *config.Config {
	t.Helper()
	cfg := *srv.Config()
	cfg.Pools = slices.Clone(cfg.Pools)
	for i := range cfg.Pools {
		cfg.Pools[i].Backends = slices.Clone(cfg.Pools[i].Backends)
	}
	change(&cfg)
	return &cfg
}

// reloadWith changes what is served.
func reloadWith(t testing.TB, srv *Server, change func(*config.Config)) {
	t.Helper()
	if err := srv.Reload(changed(t, srv, change)); err != nil {
		t.Fatal(err)
	}
}

func TestReloadMovesANodeToAnotherAddress(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	c := client(t, srv)
	c.Do("SET", "k", "at a")
	sub := client(t, srv)
	want(t, "SUBSCRIBE", sub.Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0].Address = b.Addr() }))
	redistest.WaitFor(t, "the new address", func() bool { return c.Do("GET", "k") == "$-1\r\n" })
	c.Do("SET", "k", "at b")
	want(t, "GET at the new address", redistest.Dial(t, b.Addr()).Do("GET", "k"), redistest.Bulk("at b"))
	redistest.WaitFor(t, "the subscription at the new address", func() bool { return redistest.Dial(t, b.Addr()).Do("PUBLISH", "news", "x") == ":1\r\n" })
	want(t, "the message", sub.Recv(), message("news", "x"))
	balanced(t, srv)
}

// With distribution list the order of the backends is all that places keys, so another order of the same ones is another ring.
func TestReloadTurnsAListRound(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Distribution, p.Hash = "list", "atol" }), a.Addr(), b.Addr())
	c := client(t, srv)
	c.Do("SET", "0:k", "first")
	c.Do("SET", "1:k", "second")
	want(t, "0:k at the first", a.Do("GET", "0:k"), redistest.Bulk("first"))
	want(t, "1:k at the second", b.Do("GET", "1:k"), redistest.Bulk("second"))
	reloadWith(t, srv, onPool(func(p *config.Pool) { slices.Reverse(p.Backends) }))
	redistest.WaitFor(t, "the other order", func() bool { return c.Do("GET", "0:k") == "$-1\r\n" })
	c.Do("SET", "0:k", "second")
	want(t, "0:k at what is the first now", b.Do("GET", "0:k"), redistest.Bulk("second"))
}

// What is in flight when a node leaves finishes there, and what its client sent behind it goes to the new owner.
func TestReloadLetsRequestsFinishWhereTheyWereSent(t *testing.T) {
	release := make(chan struct{})
	slow := redistest.Answering(t, func(args []string) string {
		<-release
		return redistest.Bulk("slow")
	})
	b := redistest.Server(t)
	redistest.Dial(t, b.Addr()).Do("SET", "k", "new")
	srv := serve(t, nil, slow)
	c := client(t, srv)
	c.Send("GET", "k")
	c.Flush()
	redistest.WaitFor(t, "the request", func() bool { return srv.Stats(0)[0].Nodes[0].Depth == 1 })
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "b", Address: b.Addr(), Weight: 1} }))
	c.Send("GET", "k")
	c.Flush()
	d := client(t, srv)
	want(t, "GET of another client", d.Do("GET", "k"), redistest.Bulk("new"))
	close(release)
	want(t, "what was in flight", c.Recv(), redistest.Bulk("slow"))
	want(t, "what was sent behind it", c.Recv(), redistest.Bulk("new"))
	if got := srv.Pools()[0].Nodes; !slices.Equal(got, []string{"", "b"}) {
		t.Errorf("the nodes are %q", got)
	}
	balanced(t, srv)
}

func TestReloadOfPools(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	stays := client(t, srv)
	stays.Do("SET", "k", "v")
	port := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	reloadWith(t, srv, func(c *config.Config) {
		p := config.DefaultPool()
		p.Name, p.Listen = "second", port
		p.Backends = []config.Backend{{Name: "n0", Address: a.Addr(), Weight: 1}}
		c.Pools = append(c.Pools, p)
	})
	second := redistest.Dial(t, port)
	want(t, "GET in the new pool", second.Do("GET", "k"), redistest.Bulk("v"))

	t.Run("an address that is taken changes nothing", func(t *testing.T) {
		cfg := changed(t, srv, func(c *config.Config) {
			c.Pools[0].Backends[0].Address = "127.0.0.1:1"
			p := config.DefaultPool()
			p.Name, p.Listen, p.Backends = "third", a.Addr(), c.Pools[1].Backends
			c.Pools = append(c.Pools, p)
		})
		if err := srv.Reload(cfg); err == nil || !strings.Contains(err.Error(), `pool "third": cannot listen on `+a.Addr()) {
			t.Errorf("the error is %v", err)
		}
		want(t, "GET", stays.Do("GET", "k"), redistest.Bulk("v"))
		if got := len(srv.Pools()); got != 2 {
			t.Errorf("%d pools", got)
		}
	})
	t.Run("a pool of another name takes over the address", func(t *testing.T) {
		reloadWith(t, srv, func(c *config.Config) { c.Pools[1].Name = "renamed" })
		if _, err := second.TryDo("PING"); err == nil {
			redistest.WaitFor(t, "the clients of the old name to be closed", func() bool { _, err := second.TryDo("PING"); return err != nil })
		}
		want(t, "GET of a new client", redistest.Dial(t, port).Do("GET", "k"), redistest.Bulk("v"))
	})
	t.Run("a pool that is removed is closed", func(t *testing.T) {
		last := redistest.Dial(t, port)
		last.Do("PING")
		reloadWith(t, srv, func(c *config.Config) { c.Pools = c.Pools[:1] })
		redistest.WaitFor(t, "its clients to be closed", func() bool { _, err := last.TryDo("PING"); return err != nil })
		redistest.WaitFor(t, "its address to be free", func() bool {
			c, err := redistest.Connect(port)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		want(t, "GET in the other pool", stays.Do("GET", "k"), redistest.Bulk("v"))
	})
	balanced(t, srv)
}

func TestReloadUnblocksWhoWaitsForAKeyThatHasMoved(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	c, watches := client(t, srv), client(t, srv)
	c.Send("BLPOP", "list", "0")
	c.Flush()
	redistest.WaitFor(t, "the client to block", func() bool {
		return strings.Contains(redistest.Dial(t, a.Addr()).Do("INFO", "clients"), "blocked_clients:1")
	})
	watches.Do("WATCH", "k")
	watches.Do("MULTI")
	watches.Do("SET", "k", "v")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "b", Address: b.Addr(), Weight: 1} }))
	if got := c.Recv(); !strings.HasPrefix(got, "-UNBLOCKED") {
		t.Errorf("BLPOP: %q", got)
	}
	want(t, "EXEC of what was watched elsewhere", watches.Do("EXEC"), "*-1\r\n")
	c.Do("RPUSH", "list", "x")
	want(t, "BLPOP at the new node", c.Do("BLPOP", "list", "0"), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
	balanced(t, srv)
}

// The lane by which a node that has left is asked to let a client go is closed behind it.
func TestNothingIsLeftOfANodeThatHasUnblocked(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	c := client(t, srv)
	c.Send("BLPOP", "list", "0")
	c.Flush()
	redistest.WaitFor(t, "the client to block", func() bool { return strings.Contains(a.Do("INFO", "clients"), "blocked_clients:1") })
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "b", Address: b.Addr(), Weight: 1} }))
	if got := c.Recv(); !strings.HasPrefix(got, "-UNBLOCKED") {
		t.Errorf("BLPOP: %q", got)
	}
	redistest.WaitFor(t, "the last connection to go", func() bool { return strings.Contains(a.Do("INFO", "clients"), "connected_clients:1\r\n") })
	balanced(t, srv)
}

// Nobody will push anything to the old address of a node, so nobody may wait there.
func TestNobodyStaysBlockedAtAnOldAddress(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	pops, waits := client(t, srv), client(t, srv)
	pops.Send("BLPOP", "list", "0")
	pops.Flush()
	waits.Send("WAIT", "1", "0")
	waits.Flush()
	redistest.WaitFor(t, "both to block", func() bool { return strings.Contains(a.Do("INFO", "clients"), "blocked_clients:2") })
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0].Address = b.Addr() }))
	for _, c := range []*redistest.Conn{pops, waits} {
		want(t, "what was awaited", c.Recv(), "-ERR node 'n0' ("+a.Addr()+") was taken out of the pool\r\n")
		c.Do("RPUSH", "list", "x")
		want(t, "BLPOP at the new address", c.Do("BLPOP", "list", "0"), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
	}
	onLoop(t, srv, func(w *worker) {
		if n := w.pools[0].privates; n != 1 {
			t.Errorf("%d private lanes", n)
		}
	})
	balanced(t, srv)
}

// Of a pool that is removed no connection stays, though its last clients were still using some.
func TestNothingIsLeftOfAPoolThatIsRemoved(t *testing.T) {
	release := make(chan struct{})
	var open atomic.Int32
	node := redistest.Accept(t, func(c net.Conn) {
		open.Add(1)
		defer open.Add(-1)
		for r := bufio.NewReader(c); ; {
			args, err := redistest.ReadCommand(r)
			if err != nil {
				return
			}
			reply := "+OK\r\n"
			switch args[0] {
			case "SET":
				reply = "+QUEUED\r\n"
			case "EXEC":
				<-release
				reply = "*1\r\n+OK\r\n"
			}
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
		}
	})
	listen := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	srv := serve(t, func(c *config.Config) {
		p := poolOf("second", node)
		p.Listen, p.Timeout, p.Health = listen, 0, config.Health{}
		c.Pools = append(c.Pools, p)
	}, nodes(t, 1)...)
	c := redistest.Dial(t, listen)
	c.Do("WATCH", "k")
	c.Do("MULTI")
	c.Do("SET", "k", "v")
	c.Send("EXEC")
	c.Flush()
	redistest.WaitFor(t, "EXEC", func() (sent bool) {
		onLoop(t, srv, func(w *worker) { sent = w.sessions != nil && w.sessions.inFlight == 1 })
		return sent
	})
	reloadWith(t, srv, func(c *config.Config) { c.Pools = c.Pools[:1] })
	close(release)
	want(t, "EXEC", c.Recv(), "*1\r\n+OK\r\n")
	c.RecvEOF()
	redistest.WaitFor(t, "the last connection to go", func() bool { return open.Load() == 0 })
}

// readAndWrite has clients with full pipelines write and read keys, key(id, 0) to key(id, 49) each its own, until stop is called. No reply may be missing, be an
// error or another key's. A key may be found empty: its node may have changed. replies tells how many were looked at.
func readAndWrite(t *testing.T, srv *Server, clients int, key func(id, i int) string) (replies func() int64, stop func()) {
	t.Helper()
	var over atomic.Bool
	var load sync.WaitGroup
	var seen atomic.Int64
	for id := range clients {
		c := client(t, srv)
		load.Go(func() {
			for round := 0; !over.Load(); round++ {
				for i := range 50 {
					k := key(id, i)
					c.Send("SET", k, fmt.Sprint(k, "=", round))
					c.Send("GET", k)
					c.Send("MGET", k, key(id, (i+1)%50))
				}
				c.Flush()
				for i := range 50 {
					k := key(id, i)
					if got := c.Recv(); got != "+OK\r\n" {
						t.Errorf("SET: %q", got)
						return
					}
					if got := c.Recv(); got != "$-1\r\n" && !strings.Contains(got, "\r\n"+k+"=") {
						t.Errorf("GET %s: %q", k, got)
						return
					}
					if got := c.Recv(); !strings.HasPrefix(got, "*2\r\n") {
						t.Errorf("MGET %s: %q", k, got)
						return
					}
					seen.Add(3)
				}
			}
		})
	}
	return seen.Load, func() {
		over.Store(true)
		load.Wait()
	}
}

// Clients with full pipelines, and nodes, weights and pools that come and go: no connection is dropped, no reply is missing, is an
// error or is another key's.
func TestReloadsUnderLoad(t *testing.T) {
	const clients = 32
	reloads := sized(50, 20)
	servers := nodes(t, 4)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, servers[:3]...)
	replies, stop := readAndWrite(t, srv, clients, func(id, i int) string { return fmt.Sprintf("c%d:%d", id, i) })
	extra := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	for n := range reloads {
		seen := replies()
		reloadWith(t, srv, func(c *config.Config) {
			p := &c.Pools[0]
			p.Backends = nil
			for i := range servers {
				if i == 0 || rand.IntN(4) > 0 {
					p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprint("n", i), Address: servers[i], Weight: 1 + rand.IntN(3)})
				}
			}
			c.Pools = c.Pools[:1]
			if n%2 == 0 {
				second := config.DefaultPool()
				second.Name, second.Listen, second.Backends = fmt.Sprint("extra", n), extra, p.Backends
				c.Pools = append(c.Pools, second)
			}
		})
		redistest.WaitFor(t, "replies after the reload", func() bool { return replies() > seen+clients*150 || t.Failed() })
	}
	stop()
	t.Logf("%d replies checked over %d reloads", replies(), reloads)
	balanced(t, srv)
}
