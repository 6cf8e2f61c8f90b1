package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/pool"
)

// privates returns how many private lanes the first pool counts, and how many of them are free.
func privates(t testing.TB, srv *Server) (all, free int) {
	t.Helper()
	onLoop(t, srv, func(w *worker) {
		all = w.pools[0].privates
		for _, set := range w.pools[0].sets {
			for _, lanes := range set.Private {
				free += len(lanes)
			}
		}
	})
	return all, free
}

// returned waits until every private lane that is left is a free one.
func returned(t testing.TB, srv *Server) {
	t.Helper()
	var all, free int
	redistest.WaitFor(t, "all private lanes to be given back", func() bool {
		all, free = privates(t, srv)
		return all == free
	})
}

// blockedAt waits until n clients are blocked at a server.
func blockedAt(t testing.TB, r *redistest.Redis, n int) {
	t.Helper()
	direct := redistest.Dial(t, r.Addr())
	redistest.WaitFor(t, fmt.Sprint(n, " clients to be blocked"), func() bool {
		return strings.Contains(direct.Do("INFO", "clients"), fmt.Sprintf("\r\nblocked_clients:%d\r\n", n))
	})
	direct.Close()
}

func TestClientThatLeavesWhileBlockedEatsNothing(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	for _, leave := range []struct {
		name string
		how  func(c *redistest.Conn)
	}{
		{"by closing", func(c *redistest.Conn) { c.Close() }},
		{"by half-closing", func(c *redistest.Conn) { c.HalfClose() }},
		{"with more requests behind", func(c *redistest.Conn) { c.Send("GET", "x"); c.Send("BLPOP", "y", "0"); c.Flush(); c.Close() }},
	} {
		t.Run(leave.name, func(t *testing.T) {
			c := client(t, srv)
			c.Send("BLPOP", "list", "0")
			c.Flush()
			blockedAt(t, r, 1)
			leave.how(c)
			blockedAt(t, r, 0)
			other := client(t, srv)
			want(t, "RPUSH", other.Do("RPUSH", "list", "v"), ":1\r\n")
			want(t, "LPOP", other.Do("LPOP", "list"), "$1\r\nv\r\n")
			returned(t, srv)
		})
	}
}

// Once it is not blocked any more, a client that half-closes is answered like any other.
func TestHalfCloseAfterBeingBlocked(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	c := client(t, srv)
	c.Do("RPUSH", "list", "v")
	for range 50 {
		c.Send("BLPOP", "list", "0")
		c.Send("RPUSH", "list", "v")
	}
	c.Flush()
	for range 100 {
		c.Recv()
	}
	c.Send("GET", "none")
	c.Send("ECHO", "x")
	c.Flush()
	c.HalfClose()
	want(t, "GET", c.Recv(), "$-1\r\n")
	want(t, "ECHO", c.Recv(), "$1\r\nx\r\n")
	c.RecvEOF()
	returned(t, srv)
}

// Half of a long reply is with the client when the node dies: the client is closed in the middle of its lane's end.
func TestNodeThatDiesInTheMiddleOfALongPrivateReply(t *testing.T) {
	half := "$9000000\r\n" + strings.Repeat("x", 3<<20)
	addr := redistest.Answering(t, func(args []string) string {
		switch args[0] {
		case "BLPOP":
			return "*2\r\n$1\r\nk\r\n" + half + redistest.HangUp
		case "EXEC":
			return "*1\r\n" + half + redistest.HangUp
		case "CLIENT":
			return ":1\r\n"
		}
		return "+OK\r\n"
	})
	srv := serve(t, nil, addr)
	for _, lines := range [][]string{{"BLPOP k 0"}, {"WATCH k", "MULTI", "GET k", "EXEC"}} {
		c, other := client(t, srv), client(t, srv)
		for _, l := range lines {
			c.Send(strings.Fields(l)...)
		}
		c.Flush()
		for range len(lines) - 1 {
			c.Recv()
		}
		if b, err := c.TryRecv(nil); err == nil {
			t.Errorf("%s: %.60q", lines, b)
		}
		want(t, "another client", other.Do("SET", "k", "v"), "+OK\r\n")
		redistest.WaitFor(t, "the private lanes to be gone", func() bool { n, _ := privates(t, srv); return n == 0 })
	}
	balanced(t, srv)
}

func TestRequestsBehindABlockedOneWait(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	c, other := client(t, srv), client(t, srv)
	c.Send("SET", "k", "1")
	c.Send("CLIENT", "REPLY", "SKIP")
	c.Send("GET", "k")
	c.Send("BLPOP", "list", "0")
	c.Send("SET", "k", "2")
	c.Send("BRPOP", "list", "0.01")
	c.Send("QUIT")
	c.Flush()
	want(t, "SET", c.Recv(), "+OK\r\n")
	blockedAt(t, r, 1)
	want(t, "GET, before the blocked one is answered", other.Do("GET", "k"), "$1\r\n1\r\n")
	other.Do("RPUSH", "list", "v")
	want(t, "BLPOP", c.Recv(), "*2\r\n$4\r\nlist\r\n$1\r\nv\r\n")
	want(t, "SET behind it", c.Recv(), "+OK\r\n")
	want(t, "BRPOP", c.Recv(), "*-1\r\n")
	want(t, "QUIT", c.Recv(), "+OK\r\n")
	c.RecvEOF()
	returned(t, srv)
	balanced(t, srv)
}

func TestBlockedWithRepliesSwitchedOff(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	c, other := client(t, srv), client(t, srv)
	c.Send("CLIENT", "REPLY", "OFF")
	c.Send("BLPOP", "list", "0")
	c.Send("SET", "k", "1")
	c.Send("CLIENT", "REPLY", "ON")
	c.Flush()
	blockedAt(t, r, 1)
	other.Do("RPUSH", "list", "v")
	want(t, "CLIENT REPLY ON", c.Recv(), "+OK\r\n")
	want(t, "GET", c.Do("GET", "k"), "$1\r\n1\r\n")
	returned(t, srv)
	balanced(t, srv)
}

func TestNodeThatDiesUnderBlockedClients(t *testing.T) {
	r, well := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, r.Addr(), well.Addr())
	key := keyOf(t, srv, 0, "k")
	var blocked []*redistest.Conn
	for range 20 {
		c := client(t, srv)
		c.Send("BLPOP", key, "0")
		c.Send("ECHO", "after")
		c.Flush()
		blocked = append(blocked, c)
	}
	blockedAt(t, r, 20)
	r.Kill()
	for _, c := range blocked {
		if got := c.Recv(); !strings.HasPrefix(got, "-ERR node 'n0'") {
			t.Errorf("BLPOP at a node that died: %q", got)
		}
		want(t, "ECHO", c.Recv(), "$5\r\nafter\r\n")
		if got := c.Do("BLPOP", key, "0"); !strings.HasPrefix(got, "-ERR node 'n0'") {
			t.Errorf("BLPOP at a node that is down: %q", got)
		}
	}
	returned(t, srv)
	r.Restart()
	for _, c := range blocked {
		c.Send("BLPOP", key, "0.001")
		c.Flush()
	}
	for _, c := range blocked {
		want(t, "BLPOP", c.Recv(), "*-1\r\n")
	}
	returned(t, srv)
	if all, free := privates(t, srv); all != free || free > keptPrivate {
		t.Errorf("%d private lanes, %d of them free", all, free)
	}
	balanced(t, srv)
}

// The stock is of open connections: one that the node has closed is not lent again.
func TestIdlePrivateLaneIsClosedByTheNode(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	c, direct := client(t, srv), redistest.Dial(t, r.Addr())
	for range 5 {
		want(t, "BLPOP", c.Do("BLPOP", "list", "0.001"), "*-1\r\n")
		want(t, "WATCH", c.Do("WATCH", "k"), "+OK\r\n")
		want(t, "UNWATCH", c.Do("UNWATCH"), "+OK\r\n")
		if all, free := privates(t, srv); all != 1 || free != 1 {
			t.Errorf("%d private lanes, %d of them free, want one that is free", all, free)
		}
		direct.Do("CLIENT", "KILL", "TYPE", "normal")
	}
}

// A pipeline that watches again and again does not need a connection each time.
func TestLaneThatIsBeingCleanedIsUsedAgain(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	c, direct := client(t, srv), redistest.Dial(t, r.Addr())
	for range 5 {
		c.Send("WATCH", "k")
		c.Send("UNWATCH")
		c.Send("WATCH", "k")
		c.Send("MULTI")
		c.Send("DISCARD")
		c.Send("BLPOP", "list", "0.001")
	}
	c.Flush()
	for range 5 {
		for _, reply := range []string{"+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n", "*-1\r\n"} {
			want(t, "a reply", c.Recv(), reply)
		}
	}
	if info := direct.Do("INFO", "stats"); !strings.Contains(info, "\r\ntotal_connections_received:4\r\n") && !strings.Contains(info, "\r\ntotal_connections_received:3\r\n") {
		_, info, _ = strings.Cut(info, "total_connections_received:")
		t.Errorf("the node has seen %.5q connections", info)
	}
	returned(t, srv)
}

// Private lanes that find a node down must not leave it so for ever: somebody has to look whether it is back.
func TestNodeThatOnlyPrivateLanesFoundDownComesBack(t *testing.T) {
	r, well := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 1, 50*time.Millisecond
	}), r.Addr(), well.Addr())
	key := keyOf(t, srv, 0, "k")
	r.Kill()
	c := client(t, srv)
	if got := c.Do("BLPOP", key, "0.01"); got[0] != '-' {
		t.Errorf("BLPOP at a node that is down: %q", got)
	}
	owner := func() (i int) {
		onLoop(t, srv, func(w *worker) { i = w.pools[0].find([]byte(key)) })
		return i
	}
	redistest.WaitFor(t, "the node to be ejected", func() bool { return owner() == 1 })
	r.Restart()
	redistest.WaitFor(t, "the node to return", func() bool { return owner() == 0 })
	want(t, "SET", c.Do("SET", key, "v"), "+OK\r\n")
	onLoop(t, srv, func(w *worker) {
		if !w.pools[0].topo.nodes[0].Up() {
			t.Error("the node counts as down")
		}
	})
}

func TestNodeThatIsBackCountsAsUp(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	c := client(t, srv)
	r.Kill()
	if got := c.Do("BLPOP", "list", "0.01"); got[0] != '-' {
		t.Errorf("BLPOP at a node that is down: %q", got)
	}
	r.Restart()
	redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("SET", "k", "v") == "+OK\r\n" })
	redistest.WaitFor(t, "the node to count as up", func() (up bool) {
		onLoop(t, srv, func(w *worker) { up = w.pools[0].topo.nodes[0].Up() })
		return up
	})
}

func TestBooksOfPrivateLanesBalance(t *testing.T) {
	addresses := nodes(t, 2)
	srv := serve(t, nil, addresses...)
	var all []*redistest.Conn
	for i := range 60 {
		c := client(t, srv)
		key := fmt.Sprint("k", i)
		switch i % 6 {
		case 0:
			c.Do("WATCH", key)
		case 1:
			c.Send("BLPOP", key, "0")
		case 2:
			c.Send("WAIT", "9", "0")
		case 3:
			c.Do("WATCH", key)
			c.Do("MULTI")
			c.Send("EXEC")
			c.Send("BLPOP", key, "0")
		case 4:
			c.Do("HELLO", "3")
			c.Do("SELECT", "3")
			c.Do("WATCH", key)
			c.Do("RESET")
			c.Send("BLPOP", key, "0.01")
		case 5:
			c.Do("SELECT", "2")
			c.Send("WATCH", key)
			c.Send("BLPOP", key, "0")
		}
		c.Flush()
		all = append(all, c)
	}
	redistest.WaitFor(t, "private lanes", func() bool { n, _ := privates(t, srv); return n >= 40 })
	for _, c := range all {
		c.Close()
	}
	redistest.WaitFor(t, "the clients to be gone", func() (none bool) {
		onLoop(t, srv, func(w *worker) { none = w.count == 0 })
		return none
	})
	returned(t, srv)
	onLoop(t, srv, func(w *worker) {
		for _, set := range w.pools[0].sets {
			set.Each(func(la *pool.Lane) {
				if la.Depth() != 0 {
					t.Errorf("a lane waits for %d replies", la.Depth())
				}
			})
		}
	})
}
