package proxy

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// checked has nodes checked often. The time for an answer is ample: a busy machine is no failure.
func checked(p *config.Pool) {
	p.Health = config.Health{Interval: 30 * time.Millisecond, Timeout: 300 * time.Millisecond, Failures: 2, Successes: 2}
}

// upNow returns what all loops say of a node.
func upNow(srv *Server, node int) bool { return counted(srv).Nodes[node].Up }

// Clients with all the time of the world, and idle ones, learn from the checks that a node has died without a word.
func TestChecksFindASilentNode(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, func(c *config.Config) {
		p := &c.Pools[0]
		checked(p)
		p.Timeout, p.ConnectTimeout = 0, time.Minute
		c.Threads = 2
	}, a.Addr(), b.Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	clients := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
	blocked, watches, listens := client(t, srv), client(t, srv), client(t, srv)
	for _, c := range clients {
		c.Do("SET", mine, "1")
	}
	watches.Do("WATCH", mine)
	watches.Do("MULTI")
	channel := mine // it hashes to the same node
	listens.Do("SUBSCRIBE", channel)
	blocked.Send("BLPOP", mine+"list{"+mine+"}", "0")
	blocked.Flush()
	redistest.WaitFor(t, "the client to block", func() bool {
		return strings.Contains(a.Do("INFO", "clients"), "blocked_clients:1")
	})
	a.Stop()
	clients[0].Send("GET", mine)
	clients[0].Send("GET", other)
	clients[0].Flush()
	reason := "-ERR node 'n0' (" + a.Addr() + ") is down: no answer to a health check within 300ms\r\n"
	want(t, "a request in flight", clients[0].Recv(), reason)
	want(t, "the other node's key behind it", clients[0].Recv(), "$-1\r\n")
	want(t, "a client that was blocked", blocked.Recv(), reason)
	begun := time.Now()
	for _, c := range clients {
		want(t, "a request on each loop", c.Do("GET", mine), reason)
	}
	want(t, "a client that was never here", client(t, srv).Do("BLPOP", mine, "0"), reason)
	want(t, "EXEC of what was watched", watches.Do("EXEC"), "*-1\r\n")
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("failing at once took %v", took)
	}
	if upNow(srv, 0) || !upNow(srv, 1) {
		t.Errorf("up: %v and %v", upNow(srv, 0), upNow(srv, 1))
	}
	a.Cont()
	begun = time.Now()
	redistest.WaitFor(t, "the node's return", func() bool {
		return clients[0].Do("GET", mine) == "$1\r\n1\r\n" && clients[1].Do("GET", mine) == "$1\r\n1\r\n"
	})
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the node was used again %v after its return", took)
	}
	redistest.WaitFor(t, "the subscription", func() bool { return clients[1].Do("PUBLISH", channel, "x") == ":1\r\n" })
	redistest.WaitFor(t, "the books", func() bool { return upNow(srv, 0) })
	balanced(t, srv)
}

// A node that nobody uses is known to be down, and back, all the same.
func TestChecksOfAnIdleNode(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, onPool(checked), a.Addr())
	a.Kill()
	redistest.WaitFor(t, "the verdict", func() bool { return !upNow(srv, 0) })
	c := client(t, srv)
	want(t, "GET", c.Do("GET", "k"), "-ERR node 'n0' ("+a.Addr()+") is down: connection refused\r\n")
	a.Restart()
	redistest.WaitFor(t, "the node's return", func() bool { return upNow(srv, 0) && c.Do("GET", "k") == "$-1\r\n" })
	if counted(srv).Nodes[0].FailedChecks == 0 {
		t.Error("no check has failed")
	}
}

// While a script runs, a server first says nothing, then that it is busy. Neither is death, as long as the script may run.
func TestSlowScriptIsNotTakenForDeath(t *testing.T) {
	a := redistest.Server(t, "--busy-reply-threshold", "1000")
	srv := serve(t, onPool(func(p *config.Pool) {
		p.Health = config.Health{Interval: 20 * time.Millisecond, Timeout: 50 * time.Millisecond, Failures: 2, Successes: 2}
		p.Timeout, p.ScriptTimeout = 500*time.Millisecond, 30*time.Second
	}), a.Addr())
	c, d := client(t, srv), client(t, srv)
	d.Do("SET", "k", "v")
	spin := "local t = redis.call('TIME'); local till = t[1]*1000000+t[2]+2000000; repeat t = redis.call('TIME') until t[1]*1000000+t[2] >= till; return 'done'"
	c.Send("EVAL", spin, "1", "k")
	c.Flush()
	want(t, "the script", c.Recv(), "$4\r\ndone\r\n")
	if n := counted(srv).Nodes[0]; n.FailedChecks < 3 || n.Losses != 0 || !n.Up {
		t.Errorf("%d checks failed, %d connections were lost, up: %v", n.FailedChecks, n.Losses, n.Up)
	}
}

// A server that loads its data answers, and has nothing to say.
func TestLoadingNodeIsNotReady(t *testing.T) {
	a := redistest.Server(t, "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024", "--key-load-delay", "300")
	srv := serve(t, onPool(func(p *config.Pool) { checked(p); p.Timeout = 0 }), a.Addr())
	c := client(t, srv)
	c.Do("SET", "k", "v")
	a.Do("DEBUG", "POPULATE", "5000")
	loads := redistest.Dial(t, a.Addr())
	loads.Send("DEBUG", "RELOAD")
	loads.Flush()
	down := "-ERR node 'n0' (" + a.Addr() + ") is down: "
	redistest.WaitFor(t, "the verdict", func() bool { return strings.HasPrefix(c.Do("GET", "k"), down) })
	if got := c.Do("GET", "k"); !strings.Contains(got, "LOADING Redis is loading the dataset in memory") || upNow(srv, 0) {
		t.Errorf("GET: %q; up: %v", got, upNow(srv, 0))
	}
	want(t, "DEBUG RELOAD", loads.Recv(), "+OK\r\n")
	begun := time.Now()
	redistest.WaitFor(t, "the node's return", func() bool { return c.Do("GET", "k") == "$1\r\nv\r\n" })
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("the node was used again %v after it had loaded", took)
	}
}

func TestChecksFollowTheConfiguration(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(checked), a.Addr())
	d := srv.pool(0).director
	checks := func() (n int) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.checks)
	}
	if n := checks(); n != 1 {
		t.Errorf("%d checks", n)
	}
	a.Kill()
	redistest.WaitFor(t, "the verdict", func() bool { return !upNow(srv, 0) })
	reloadWith(t, srv, onPool(func(p *config.Pool) {
		p.Backends[0].Address = b.Addr()
		p.Backends = append(p.Backends, config.Backend{Name: "n1", Address: a.Addr(), Weight: 1})
	}))
	redistest.WaitFor(t, "the verdicts", func() bool { return upNow(srv, 0) && !upNow(srv, 1) })
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends = p.Backends[:1] }))
	if n := checks(); n != 1 {
		t.Errorf("%d checks after a node has left", n)
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Health = config.Health{} }))
	if n := checks(); n != 0 {
		t.Errorf("%d checks after they were turned off", n)
	}
}

// A node is checked from the moment on in which it is known. Until its ring is built the loops have not heard of it.
func TestChecksOfANodeThatTheLoopsDoNotKnowYet(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, nodes(t, 1)...)
	client(t, srv).Do("SET", "k", "v")
	d := srv.pool(0).director
	d.mu.Lock()
	i := d.node("young", "127.0.0.1:1", d.pool.opt)
	d.mu.Unlock()
	if d.served(i, 0, true) {
		t.Error("it has served")
	}
	d.foundDown(i, d.nodes[i], "connection refused", false)
	d.reportOf(i).Answered()
	balanced(t, srv)
	for _, l := range srv.LoopStats() {
		if l.Panics > 0 {
			t.Errorf("%d panics", l.Panics)
		}
	}
}
