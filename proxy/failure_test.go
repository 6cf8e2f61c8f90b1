package proxy

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/pool"
)

func TestNodeThatIsGoneFailsItsOwnKeysOnly(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr(), b.Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	c.Do("SET", mine, "1")
	c.Do("SET", other, "2")
	a.Kill()
	down := "-ERR node 'n0' (" + a.Addr() + ") "
	for range 20 {
		if got := c.Do("GET", mine); !strings.HasPrefix(got, down) {
			t.Errorf("GET of its key: %q", got)
		}
		want(t, "GET of another's key", c.Do("GET", other), "$1\r\n2\r\n")
		if got := c.Do("MGET", other, mine); !strings.HasPrefix(got, down) {
			t.Errorf("MGET of both: %q", got)
		}
		want(t, "MGET of another's keys", c.Do("MGET", other, other), "*2\r\n$1\r\n2\r\n$1\r\n2\r\n")
	}
	a.Restart()
	redistest.WaitFor(t, "the node's return", func() bool { return c.Do("SET", mine, "3") == "+OK\r\n" })
	want(t, "MGET after its return", c.Do("MGET", mine, other), "*2\r\n$1\r\n3\r\n$1\r\n2\r\n")
	balanced(t, srv)
}

func TestSilentNodeTimesOutAndOthersAreServed(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 100 * time.Millisecond }), a.Addr(), b.Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c, d := client(t, srv), client(t, srv)
	c.Do("SET", mine, "1")
	d.Do("SET", other, "2")
	a.Stop()
	c.Send("GET", mine)
	c.Send("GET", other)
	c.Send("PING")
	c.Flush()
	want(t, "another client meanwhile", d.Do("GET", other), "$1\r\n2\r\n")
	want(t, "its key", c.Recv(), "-ERR node 'n0' ("+a.Addr()+") is down: did not answer within 100ms\r\n")
	want(t, "the key behind it", c.Recv(), "$1\r\n2\r\n")
	want(t, "the PING behind that", c.Recv(), "+PONG\r\n")
	a.Cont()
	redistest.WaitFor(t, "the node's return", func() bool { return c.Do("GET", mine) == "$1\r\n1\r\n" })
	balanced(t, srv)
}

func TestClientThatLeavesDisturbsNobody(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	stays := client(t, srv)
	for i := range 200 {
		stays.Do("SET", fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for round := range 60 {
		leaves, err := redistest.Connect(srv.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 300 {
			switch i % 4 {
			case 0:
				leaves.Send("MGET", "k1", "k2", "k3", "k4", "k5")
			case 1:
				leaves.Send("SET", "other", strings.Repeat("x", 1000))
			default:
				leaves.Send("GET", fmt.Sprint("k", i%200))
			}
		}
		leaves.TryFlush()
		if round%2 == 0 {
			leaves.TryRecv(nil)
		}
		for i := range 50 {
			stays.Send("GET", fmt.Sprint("k", i))
			stays.Send("MGET", fmt.Sprint("k", i), fmt.Sprint("k", i+1))
		}
		stays.Flush()
		leaves.Close()
		for i := range 50 {
			v := redistest.Bulk(fmt.Sprint("v", i))
			want(t, "GET", stays.Recv(), v)
			want(t, "MGET", stays.Recv(), "*2\r\n"+v+redistest.Bulk(fmt.Sprint("v", i+1)))
		}
	}
	redistest.WaitFor(t, "the sessions to be forgotten", func() bool {
		n := 0
		onLoop(t, srv, func(w *worker) { n = w.count })
		return n == 1 && srv.pool(0).clients.Load() == 1
	})
	balanced(t, srv)
}

// The request of a client that selects what a node does not have is refused; the node is well and stays on the ring.
func TestRefusedDatabaseIsNoFailureOfTheNode(t *testing.T) {
	few := []string{redistest.Server(t, "--databases", "1").Addr(), redistest.Server(t, "--databases", "1").Addr()}
	srv := serve(t, onPool(func(p *config.Pool) { p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 1, time.Minute }), few...)
	c, d := client(t, srv), client(t, srv)
	want(t, "before", d.Do("SET", "a", "1"), "+OK\r\n")
	c.Do("SELECT", "5")
	for range 5 {
		if got := c.Do("GET", "a"); !strings.Contains(got, "ERR DB index is out of range") || got[0] != '-' {
			t.Errorf("GET in a database that is not there: %q", got)
		}
	}
	want(t, "another client", d.Do("GET", "a"), "$1\r\n1\r\n")
	for _, n := range srv.pool(0).director.nodes {
		if times := n.Ejections[pool.EjectedFailures].Load(); times != 0 || !n.Up() {
			t.Errorf("%s was ejected %d times, up: %v", n.Name, times, n.Up())
		}
	}
}

func TestEjection(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, func(c *config.Config) {
		p := &c.Pools[0]
		p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 2, 200*time.Millisecond
		c.Threads = 2
	}, servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
	keys := []string{}
	for i := range 60 {
		keys = append(keys, fmt.Sprint("key:", i))
	}
	owner := map[string]int{}
	for _, k := range keys {
		owner[k] = ringOf(t, srv).Find([]byte(k))
	}
	clients := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
	all := func(value string) bool {
		for _, c := range clients {
			for _, k := range keys {
				if c.Do("SET", k, value) != "+OK\r\n" {
					return false
				}
			}
		}
		return true
	}
	if !all("before") {
		t.Fatal("a key is not served")
	}
	servers[1].Kill()
	redistest.WaitFor(t, "the others to take the keys over", func() bool { return all("meanwhile") })
	if n := srv.pool(0).director.nodes[1].Ejections[pool.EjectedFailures].Load(); n != 1 {
		t.Errorf("it was ejected %d times", n)
	}
	for i, s := range servers {
		if i == 1 {
			continue
		}
		direct := redistest.Dial(t, s.Addr())
		for _, k := range keys {
			if owner[k] == i {
				want(t, "a key of a living node", direct.Do("GET", k), "$9\r\nmeanwhile\r\n")
			}
		}
	}
	servers[1].Restart()
	direct := redistest.Dial(t, servers[1].Addr())
	redistest.WaitFor(t, "the node's return", func() bool {
		all("after")
		for _, k := range keys {
			if owner[k] == 1 && direct.Do("GET", k) != "$5\r\nafter\r\n" {
				return false
			}
		}
		return true
	})
	t.Run("never takes the last node", func(t *testing.T) {
		for _, s := range servers {
			s.Kill()
		}
		redistest.WaitFor(t, "an error", func() bool { return strings.HasPrefix(clients[0].Do("GET", "key:1"), "-ERR node ") })
		for range 50 {
			if got := clients[0].Do("GET", "key:1"); !strings.HasPrefix(got, "-ERR node ") {
				t.Fatalf("GET: %q", got)
			}
		}
		for _, s := range servers {
			s.Restart()
		}
		redistest.WaitFor(t, "all to return", func() bool { return all("again") })
	})
}

// A reply that is cut off by its node's death becomes an error; one of which half has been sent already ends the client's
// connection, for there is no honest end to it.
func TestReplyThatIsCutOff(t *testing.T) {
	size := atomic.Int64{}
	srv := serve(t, onPool(func(p *config.Pool) { p.ReadRetries = 0 }), cutting(t, &size))
	t.Run("before any of it was sent", func(t *testing.T) {
		size.Store(1000)
		c := client(t, srv)
		if got := c.Do("GET", "a"); !strings.HasPrefix(got, "-ERR node 'n0'") {
			t.Errorf("got %q", got)
		}
		if got := c.Do("PING"); got != "+PONG\r\n" {
			t.Errorf("PING after it: %q", got)
		}
	})
	t.Run("after half of it was sent", func(t *testing.T) {
		size.Store(streamAfter * 2)
		c := client(t, srv)
		c.Send("GET", "a")
		c.Send("PING")
		c.Flush()
		b, err := io.ReadAll(c.Conn)
		if err == nil && !strings.HasPrefix(string(b), "$10000000\r\nxxx") || strings.Contains(string(b), "PONG") {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
	})
	balanced(t, srv)
}

// cutting is a node that announces ten million bytes and closes after some.
func cutting(t testing.TB, size *atomic.Int64) string {
	return redistest.Answering(t, func(args []string) string {
		if args[0] == "PING" {
			return "+PONG\r\n"
		}
		return "$10000000\r\n" + strings.Repeat("x", int(size.Load())) + redistest.HangUp
	})
}
