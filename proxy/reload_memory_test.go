package proxy

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// gone waits until the collector has taken what a weak pointer was made of.
func gone[T any](t *testing.T, what string, p weak.Pointer[T]) {
	t.Helper()
	redistest.WaitFor(t, what+" to be gone", func() bool {
		runtime.GC()
		return p.Value() == nil
	})
}

// views are the loops' views of a pool, which may all be gone.
func views(t *testing.T, srv *Server, index int) (list []weak.Pointer[poolState]) {
	t.Helper()
	for _, w := range srv.workers {
		redistest.Run(t, w.loop.Post, func() { list = append(list, weak.Make(w.poolAt(index))) })
	}
	return list
}

// A process that is reloaded for years, with pools that come and go, holds what it holds with the pools of today.
func TestAPoolThatLeavesIsForgotten(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	listen := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	srv := serve(t, func(c *config.Config) {
		c.Threads = 2
		second, front := poolOf("second", a.Addr(), b.Addr()), poolOf("front")
		front.Listen, front.Backends, front.Routes = listen, nil, []config.Route{{Pool: "second"}}
		front.HotKeys.Mode, front.HotKeys.Pin, front.SlowThreshold = "near", []string{"hot"}, 0
		c.Pools = append(c.Pools, second, front)
	}, a.Addr())
	clients := make([]*redistest.Conn, 4)
	for i := range clients {
		clients[i] = redistest.Dial(t, listen)
		clients[i].Do("SET", fmt.Sprint("k", i), "v")
		redistest.WaitFor(t, "a copy of the hot key", func() bool {
			clients[i].Do("GET", "hot")
			return metrics.Sum(srv.Stats(2)).Near > 0
		})
		want(t, "SUBSCRIBE", clients[i].Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	}
	var loops []weak.Pointer[poolState]
	var shared []weak.Pointer[sharedPool]
	var cfgs []weak.Pointer[config.Pool]
	var directors []weak.Pointer[director]
	for index := 1; index <= 2; index++ {
		loops = append(loops, views(t, srv, index)...)
		sp := srv.pool(index)
		shared, cfgs, directors = append(shared, weak.Make(sp)), append(cfgs, weak.Make(sp.cfg)), append(directors, weak.Make(sp.director))
	}
	reloadWith(t, srv, func(c *config.Config) { c.Pools = c.Pools[:1:1] })
	for _, c := range clients {
		c.RecvEOF()
	}
	for i := range loops {
		gone(t, fmt.Sprint("view ", i), loops[i])
	}
	for i := range shared {
		gone(t, fmt.Sprint("pool ", i+1), shared[i])
		gone(t, fmt.Sprint("its configuration ", i+1), cfgs[i])
		gone(t, fmt.Sprint("its director ", i+1), directors[i])
	}
	want(t, "PING of what stays", client(t, srv).Do("PING"), "+PONG\r\n")
}

// A node that has left keeps its place, and nothing of the configurations that it was in.
func TestANodeThatLeavesKeepsNoConfiguration(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	client(t, srv).Do("SET", "k", "v")
	for n := range 2 {
		cfg, shared := weak.Make(srv.pool(0).cfg), weak.Make(srv.pool(0))
		reloadWith(t, srv, onPool(func(p *config.Pool) {
			p.Timeout = time.Duration(10+n) * time.Second
			p.Backends[0] = config.Backend{Name: fmt.Sprint("b", n), Address: b.Addr(), Weight: 1}
		}))
		client(t, srv).Do("SET", "k", "v")
		gone(t, fmt.Sprint("configuration ", n), cfg)
		gone(t, fmt.Sprint("what was made of it ", n), shared)
	}
}

// Indices of nodes have 16 bits. A process that has used them all refuses what is new, and says so; it takes no node for another.
func TestNoRoomForAnotherNode(t *testing.T) {
	defer func(was int) { mostNodes = was }(mostNodes)
	mostNodes = 3
	servers := nodes(t, 3)
	srv := serve(t, nil, servers[0])
	among := func(names ...string) {
		t.Helper()
		reloadWith(t, srv, onPool(func(p *config.Pool) {
			p.Backends = nil
			for i, name := range names {
				p.Backends = append(p.Backends, config.Backend{Name: name, Address: servers[i], Weight: 1})
			}
		}))
	}
	c := client(t, srv)
	replies := func() map[string]int {
		count := map[string]int{}
		for i := range 300 {
			k := fmt.Sprint("k", i)
			c.Send("SET", k, k)
			c.Send("GET", k)
			c.Flush()
			reply, value := c.Recv(), c.Recv()
			if reply == "+OK\r\n" && value != redistest.Bulk(k) {
				t.Fatalf("GET %s: %q", k, value)
			}
			count[reply]++
		}
		return count
	}
	among("n0", "n1")
	if got := replies(); got["+OK\r\n"] != 300 {
		t.Errorf("with room: %v", got)
	}
	const refused = "-ERR this router has met 2 nodes since it was started and has no room for another: it must be restarted\r\n"
	for range 2 { // the second time their names are known
		among("n0", "n2", "n3")
		if got := replies(); got[refused] < 100 || got["+OK\r\n"] < 10 || got[refused]+got["+OK\r\n"] != 300 {
			t.Errorf("without room: %v", got)
		}
		among("n0", "n1")
		if got := replies(); got["+OK\r\n"] != 300 {
			t.Errorf("with nodes that it knows: %v", got)
		}
	}
}
