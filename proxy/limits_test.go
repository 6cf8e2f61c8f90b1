package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// counted returns the counters of the first pool over all loops.
func counted(srv *Server) *metrics.Pool { return metrics.Sum(srv.Stats(0)) }

func TestRequestsBeyondTheBoundAreShed(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.NodeRequests, p.Timeout, p.Health, p.HotKeys.Mode = 10, 0, config.Health{}, "off"
	}), a.Addr(), b.Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c, d, tx := client(t, srv), client(t, srv), client(t, srv)
	c.Do("SET", mine, "1")
	tx.Do("MULTI")
	tx.Do("INCR", mine)
	a.Stop()
	for range 15 {
		c.Send("GET", mine)
	}
	c.Send("GET", other)
	c.Flush()
	redistest.WaitFor(t, "the requests to be shed", func() bool { return counted(srv).Errors[metrics.Shed] == 5 })
	overloaded := "node 'n0' (" + a.Addr() + ") is overloaded: 10 requests in flight; try again later\r\n"
	for _, request := range []string{
		"GET " + mine, "SET " + mine + " 2", "MSET " + other + " 2 " + mine + " 2", "MGET " + other + " " + mine, "DBSIZE", "SUNION " + other + " " + mine,
		"EVAL return(1) 1 " + mine,
	} {
		want(t, request, d.Do(strings.Fields(request)...), "-ERR "+overloaded)
	}
	want(t, "EXEC", tx.Do("EXEC"), "-EXECABORT Transaction discarded because of: "+overloaded)
	want(t, "EXEC again", tx.Do("EXEC"), "-ERR EXEC without MULTI\r\n")
	want(t, "another node's key meanwhile", d.Do("GET", other), "$-1\r\n")
	a.Cont()
	for i := range 15 {
		if got := c.Recv(); i < 10 && got != "$1\r\n1\r\n" || i >= 10 && got != "-ERR "+overloaded {
			t.Errorf("GET %d: %q", i, got)
		}
	}
	want(t, "the other node's key", c.Recv(), "$-1\r\n")
	want(t, "GET when there is room again", d.Do("GET", mine), "$1\r\n1\r\n")
	if n := counted(srv); n.Errors[metrics.Shed] != 13 || n.Nodes[0].Sheds != 13 || n.Nodes[1].Sheds != 0 || n.Requests[command.Lookup([]byte("get")).ID] != 19 {
		t.Errorf("counted: %d shed, %d and %d by node, %d GETs", n.Errors[metrics.Shed], n.Nodes[0].Sheds, n.Nodes[1].Sheds, n.Requests[command.Lookup([]byte("get")).ID])
	}
	balanced(t, srv)
}

func TestBytesBeyondTheBoundAreShed(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.NodeBytes, p.Timeout, p.Health = 10_000, 0, config.Health{} }), a.Addr())
	c := client(t, srv)
	for range 20 { // what is answered counts no more
		want(t, "SET", c.Do("SET", "k", strings.Repeat("x", 4000)), "+OK\r\n")
	}
	request := len(redistest.AppendCommand(nil, "SET", "k", strings.Repeat("x", 4000)))
	overloaded := fmt.Sprintf("-ERR node 'n0' (%s) is overloaded: %d bytes of requests in flight; try again later\r\n", a.Addr(), 3*request)
	for round := range 3 {
		a.Stop()
		for range 5 {
			c.Send("SET", "k", strings.Repeat("x", 4000))
		}
		c.Flush()
		redistest.WaitFor(t, "the requests to be shed", func() bool { return counted(srv).Errors[metrics.Shed] == uint64(2*round+2) })
		a.Cont()
		for i := range 5 {
			if got := c.Recv(); i < 3 && got != "+OK\r\n" || i >= 3 && got != overloaded {
				t.Errorf("SET %d: %q, want %q", i, got, overloaded)
			}
		}
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.NodeBytes = 0 }))
	big := strings.Repeat("x", 100_000)
	want(t, "SET without a bound", c.Do("SET", "k", big), "+OK\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.NodeBytes = 10_000 }))
	for range 5 {
		want(t, "SET with the bound again", c.Do("SET", "k", "v"), "+OK\r\n")
	}
	balanced(t, srv)
}

// Each loop has its part of the bound, and at least one request.
func TestBoundIsDividedBetweenTheLoops(t *testing.T) {
	for most, each := range map[int]int{1: 1, 10: 5, 11: 6} {
		t.Run(fmt.Sprint("max_node_requests=", most), func(t *testing.T) {
			a := redistest.Server(t)
			srv := serve(t, func(c *config.Config) {
				c.Threads = 2
				c.Pools[0].NodeRequests, c.Pools[0].Timeout, c.Pools[0].Health = most, 0, config.Health{}
			}, a.Addr())
			clients := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
			for _, c := range clients {
				c.Do("GET", "k")
			}
			a.Stop()
			for _, c := range clients {
				for range each + 2 {
					c.Send("GET", "k")
				}
				c.Flush()
			}
			redistest.WaitFor(t, "the requests to be shed", func() bool { return counted(srv).Errors[metrics.Shed] == 4 })
			if n := counted(srv).Nodes[0].Depth; n != 2*each {
				t.Errorf("%d requests are in flight, want %d", n, 2*each)
			}
			a.Cont()
		})
	}
}

// What blocks on a connection of its own is not what a node is behind with.
func TestBlockedClientsDoNotCount(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.NodeRequests, p.PrivateLanes = 2, 4 }), a.Addr())
	var blocked []*redistest.Conn
	for range 4 {
		c := client(t, srv)
		c.Send("BLPOP", "list", "0")
		c.Flush()
		blocked = append(blocked, c)
	}
	redistest.WaitFor(t, "the clients to block", func() bool {
		return strings.Contains(redistest.Dial(t, a.Addr()).Do("INFO", "clients"), "blocked_clients:4")
	})
	d := client(t, srv)
	want(t, "SET", d.Do("SET", "k", "v"), "+OK\r\n")
	want(t, "BLPOP beyond max_private_connections", d.Do("BLPOP", "list", "0"), "-"+errPrivate+"\r\n")
	for range blocked {
		d.Do("RPUSH", "list", "v")
	}
	for _, c := range blocked {
		want(t, "BLPOP", c.Recv(), "*2\r\n$4\r\nlist\r\n$1\r\nv\r\n")
	}
	balanced(t, srv)
}

func TestTimeoutsByClass(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.Timeout, p.ReadTimeout, p.WriteTimeout, p.ScriptTimeout = 10*time.Second, 100*time.Millisecond, 200*time.Millisecond, 0
		p.Health = config.Health{}
	}), a.Addr())
	c := client(t, srv)
	spin := "local t = redis.call('TIME'); local till = t[1]*1000000+t[2]+500000; repeat t = redis.call('TIME') until t[1]*1000000+t[2] >= till; return 'done'"
	c.Send("EVAL", spin, "1", "k")
	c.Send("GET", "k") // its time begins when it is its turn
	c.Flush()
	want(t, "a script that takes half a second", c.Recv(), "$4\r\ndone\r\n")
	want(t, "a read behind it", c.Recv(), "$-1\r\n")
	c.Do("MULTI")
	c.Do("SET", "k", "v")
	c.Do("EVAL", spin, "1", "k")
	want(t, "a transaction with a script", c.Do("EXEC"), "*2\r\n+OK\r\n$4\r\ndone\r\n")
	for _, x := range []struct {
		request string
		limit   string
	}{{"GET k", "100ms"}, {"SET k v", "200ms"}, {"MGET k j", "100ms"}} {
		a.Stop()
		want(t, x.request, c.Do(strings.Fields(x.request)...), "-ERR node 'n0' ("+a.Addr()+") is down: did not answer within "+x.limit+"\r\n")
		a.Cont()
		redistest.WaitFor(t, "the node's return", func() bool { return c.Do("GET", "k") == "$1\r\nv\r\n" })
	}
	balanced(t, srv)
}
