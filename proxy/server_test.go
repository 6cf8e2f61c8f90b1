package proxy

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

func TestMaxClients(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.MaxClients = 3 }), nodes(t, 1)...)
	var in []*redistest.Conn
	for range 3 {
		c := client(t, srv)
		c.Do("PING")
		in = append(in, c)
	}
	for range 10 {
		c := client(t, srv)
		want(t, "one too many", c.Recv(), "-ERR max number of clients reached\r\n")
		c.RecvEOF()
	}
	in[0].Close()
	redistest.WaitFor(t, "a place", func() bool {
		c, err := redistest.Connect(srv.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		reply, _ := c.TryDo("PING")
		return reply == "+PONG\r\n"
	})
	for _, c := range in[1:] {
		want(t, "a client that is in", c.Do("PING"), "+PONG\r\n")
	}
}

func TestUnixSocketAndSeveralPools(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	srv := serve(t, func(c *config.Config) {
		second := c.Pools[0]
		second.Name, second.Listen, second.ListenMode = "second", "unix://"+path, 0o600
		second.Backends = c.Pools[0].Backends[1:]
		c.Pools[0].Backends = c.Pools[0].Backends[:1]
		c.Pools = append(c.Pools, second)
		c.Threads = 2
	}, nodes(t, 2)...)
	a, b := client(t, srv), redistest.Dial(t, "unix://"+path)
	want(t, "the first pool", a.Do("SET", "k", "1"), "+OK\r\n")
	want(t, "the second pool", b.Do("GET", "k"), "$-1\r\n")
	want(t, "the second pool", b.Do("SET", "k", "2"), "+OK\r\n")
	want(t, "the first pool", a.Do("GET", "k"), "$1\r\n1\r\n")
	if info := b.Do("CLIENT", "INFO"); !strings.Contains(info, " addr="+path+":0 laddr="+path+":0 ") || !strings.Contains(info, " pool=second ") {
		t.Errorf("CLIENT INFO: %q", info)
	}
	if got := fmt.Sprint(srv.Pools()[0].Name, " ", srv.Pools()[1].Name, srv.Pools()[0].Nodes, srv.Pools()[1].Nodes, srv.Addr(1)); got != "test second[n0] [n1]unix://"+path {
		t.Errorf("the names are %s", got)
	}
	srv.Shutdown(time.Second)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestNewRefusesAnAddressInUse(t *testing.T) {
	srv := serve(t, nil, "127.0.0.1:1")
	cfg := *srv.Config()
	cfg.Pools = append([]config.Pool(nil), cfg.Pools...)
	cfg.Pools[0].Listen = srv.Addr(0)
	second, err := New(&cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		second.Shutdown(0)
		t.Fatal("two servers on one address")
	}
	if got := `pool "test": cannot listen on ` + srv.Addr(0) + ": bind: address already in use"; err.Error() != got {
		t.Errorf("got  %s\nwant %s", err, got)
	}
}

func TestPreconnect(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.Preconnect = true }), nodes(t, 2)...)
	redistest.WaitFor(t, "the lanes", func() bool {
		st := srv.Stats(0)[0]
		return st.Nodes[0].Lanes == 1 && st.Nodes[1].Lanes == 1
	})
}

func TestShutdown(t *testing.T) {
	t.Run("lets what is in flight finish", func(t *testing.T) {
		r := redistest.Server(t)
		srv := serve(t, nil, r.Addr())
		busy, lazy := client(t, srv), client(t, srv)
		want(t, "before", busy.Do("SET", "a", "1"), "+OK\r\n")
		lazy.Do("PING")
		r.Stop()
		busy.Send("GET", "a")
		busy.Flush()
		redistest.WaitFor(t, "the request", func() bool { return srv.Stats(0)[0].Nodes[0].Depth == 1 })
		down := make(chan struct{})
		go func() { srv.Shutdown(redistest.Patience); close(down) }()
		lazy.RecvEOF()
		if _, err := redistest.Connect(srv.Addr(0)); err == nil {
			t.Error("a new client is accepted")
		}
		if srv.Ready() == nil {
			t.Error("it says it is ready")
		}
		r.Cont()
		want(t, "the request in flight", busy.Recv(), "$1\r\n1\r\n")
		busy.RecvEOF()
		<-down
	})
	t.Run("gives up when its time is over", func(t *testing.T) {
		r := redistest.Server(t)
		srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 0 }), r.Addr())
		c := client(t, srv)
		c.Do("GET", "a")
		r.Stop()
		c.Send("GET", "a")
		c.Flush()
		redistest.WaitFor(t, "the request", func() bool { return srv.Stats(0)[0].Nodes[0].Depth == 1 })
		srv.Shutdown(20 * time.Millisecond)
		if b, err := c.TryRecv(nil); err == nil && b[0] != '-' {
			t.Errorf("got %q", b)
		}
	})
	t.Run("leaves no goroutine", func(t *testing.T) {
		addresses := nodes(t, 2)
		before := runtime.NumGoroutine()
		for range 5 {
			srv := serve(t, func(c *config.Config) { c.Threads = 2; c.Pools[0].OnFailure = "eject" }, addresses...)
			c := client(t, srv)
			c.Do("MGET", "a", "b", "c", "d")
			c.Send("GET", "a")
			c.Flush()
			srv.Shutdown(0)
			srv.Shutdown(0) // once more does no harm
			srv.Stats(0)
			srv.LoopStats()
			if err := srv.Live(); err != nil {
				t.Error(err)
			}
		}
		redistest.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
	})
	t.Run("of a server that was never started", func(t *testing.T) {
		cfg := *serve(t, nil, "127.0.0.1:1").Config()
		srv, err := New(&cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		down := make(chan struct{})
		go func() { srv.Shutdown(0); close(down) }()
		select {
		case <-down:
		case <-time.After(5 * time.Second):
			t.Error("it hangs")
		}
	})
}

func TestStatsAddUp(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, nodes(t, 2)...)
	a, b := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	for range 4 {
		c := client(t, srv)
		c.Do("SET", a, "1")
		c.Do("GET", b)
		c.Do("MGET", a, b, a)
		c.Do("GET", "too", "many")
		c.Do("NOSUCH")
		c.Do("RENAME", a, b)
		c.Do("LPUSH", a, "x")
		c.Do("PING")
		c.Close()
	}
	open := client(t, srv)
	open.Do("PING")
	redistest.WaitFor(t, "the clients to be forgotten", func() bool {
		n := 0
		for _, st := range srv.Stats(0) {
			n += st.Clients
		}
		return n == 1
	})
	requests, errors := map[string]uint64{}, map[metrics.Kind]uint64{}
	var unknown, accepted, parts, in, out, replies, nodeRequests, answers uint64
	for _, st := range srv.Stats(0) {
		for id, n := range st.Requests {
			if n > 0 {
				requests[command.All()[id].Name] += n
			}
		}
		for k, n := range st.Errors {
			if n > 0 {
				errors[metrics.Kind(k)] += n
			}
		}
		for _, n := range st.Latency.Buckets {
			replies += n
		}
		unknown += st.Unknown
		accepted += st.Accepted
		parts += st.Parts
		in += st.BytesIn
		out += st.BytesOut
		for _, n := range st.Nodes {
			nodeRequests += n.Requests
			answers += n.BytesIn
			if n.Depth != 0 || n.Unsent != 0 || !n.Up {
				t.Errorf("a node at rest: %+v", n)
			}
		}
	}
	if got, want := fmt.Sprint(requests), "map[get:8 lpush:4 mget:4 ping:5 rename:4 set:4]"; got != want {
		t.Errorf("requests: %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(errors), "map[node_error:4 cross_slot:4 bad_command:8]"; got != want {
		t.Errorf("errors: %s, want %s", got, want)
	}
	if unknown != 4 || accepted != 5 || parts != 8 || nodeRequests != 4*(1+1+2+1) || replies != 4*(1+1+1+1) {
		t.Errorf("unknown %d, accepted %d, parts %d, requests to nodes %d, replies %d", unknown, accepted, parts, nodeRequests, replies)
	}
	if in == 0 || out == 0 || answers == 0 {
		t.Errorf("bytes: %d in, %d out, %d from nodes", in, out, answers)
	}
}
