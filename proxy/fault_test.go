package proxy

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// faulty is a change of serve's pool. Without a share all requests are meant.
func faulty(f config.Fault) func(*config.Config) {
	if f.Percent == 0 {
		f.Percent = 100
	}
	return onPool(func(p *config.Pool) { p.Fault = &f })
}

const injected = "-ERR injected\r\n"

func TestFaultAnswersWithAnError(t *testing.T) {
	t.Run("all requests that go to nodes", func(t *testing.T) {
		a := redistest.Server(t)
		srv := serve(t, faulty(config.Fault{Error: "ERR injected"}), a.Addr())
		c := client(t, srv)
		for _, line := range []string{"SET k v", "GET k", "MGET k l", "DBSIZE", "BLPOP k 0", "WATCH k", "SUBSCRIBE k", "EVAL x 0"} {
			want(t, line, c.Do(strings.Fields(line)...), injected)
		}
		for line, reply := range map[string]string{"PING": "+PONG\r\n", "SELECT 0": "+OK\r\n", "CLIENT SETNAME x": "+OK\r\n"} {
			want(t, line, c.Do(strings.Fields(line)...), reply)
		}
		c.Do("MULTI")
		want(t, "what would be queued", c.Do("SET", "k", "v"), injected)
		want(t, "EXEC", c.Do("EXEC"), injected)
		want(t, "EXEC has ended the transaction", c.Do("DISCARD"), "-"+errDiscardAlone+"\r\n")
		want(t, "the server has seen nothing", a.Do("DBSIZE"), ":0\r\n")
		st := statsOf(t, srv, "test")
		if st.Faults[metrics.FaultError] != 10 || st.Errors[metrics.Injected] != 10 || st.Faults[metrics.FaultDelay] != 0 {
			t.Errorf("%v faults, errors %v", st.Faults, st.Errors)
		}
		balanced(t, srv)
	})
	t.Run("some commands", func(t *testing.T) {
		srv := serve(t, faulty(config.Fault{Error: "ERR injected", Commands: []string{"get", "@hash", "client", "exec", "object|freq"}}), nodes(t, 2)...)
		c := client(t, srv)
		for line, reply := range map[string]string{
			"GET k": injected, "get k": injected, "SET k v": "+OK\r\n", "HGET h f": injected, "CLIENT SETNAME x": injected, "MGET n": "*1\r\n$-1\r\n",
			"OBJECT FREQ k": injected, "OBJECT ENCODING n": "$-1\r\n", "EXEC": injected, "GET": "-ERR wrong number of arguments for 'get' command\r\n",
		} {
			want(t, line, c.Do(strings.Fields(line)...), reply)
		}
		balanced(t, srv)
	})
	t.Run("some of the requests", func(t *testing.T) {
		srv := serve(t, faulty(config.Fault{Error: "ERR injected", Percent: 25}), nodes(t, 1)...)
		c := client(t, srv)
		n := 0
		for range 4000 {
			c.Send("INCR", "n")
		}
		c.Flush()
		for range 4000 {
			if c.Recv() == injected {
				n++
			}
		}
		if n < 800 || n > 1200 {
			t.Errorf("%d of 4000 requests have failed", n)
		}
		balanced(t, srv)
	})
}

func TestFaultDelays(t *testing.T) {
	const delay = 100 * time.Millisecond
	a := redistest.Server(t)
	srv := serve(t, faulty(config.Fault{Delay: delay, Commands: []string{"incr"}}), a.Addr())
	c, other := client(t, srv), client(t, srv)
	began := time.Now()
	c.Send("SET", "n", "1")
	c.Send("INCR", "n")
	c.Send("GET", "n")
	c.Send("INCR", "n")
	c.Send("PING")
	c.Flush()
	want(t, "what came before", c.Recv(), "+OK\r\n")
	redistest.WaitFor(t, "the delay", func() bool { return statsOf(t, srv, "test").Faults[metrics.FaultDelay] == 1 })
	want(t, "another client", other.Do("GET", "n"), redistest.Bulk("1"))
	if d := time.Since(began); d > delay {
		t.Errorf("it took %v", d)
	}
	want(t, "INCR", c.Recv(), ":2\r\n")
	if d := time.Since(began); d < delay {
		t.Errorf("INCR is answered after %v", d)
	}
	want(t, "GET", c.Recv(), redistest.Bulk("2"))
	want(t, "INCR", c.Recv(), ":3\r\n")
	want(t, "PING", c.Recv(), "+PONG\r\n")
	if d := time.Since(began); d < 2*delay {
		t.Errorf("both are answered after %v", d)
	}
	t.Run("a client that is gone meanwhile", func(t *testing.T) {
		d := client(t, srv)
		id := strings.Trim(d.Do("CLIENT", "ID"), ":\r\n")
		d.Send("INCR", "n")
		d.Flush()
		redistest.WaitFor(t, "the delay", func() bool { return statsOf(t, srv, "test").Faults[metrics.FaultDelay] == 3 })
		want(t, "CLIENT KILL", c.Do("CLIENT", "KILL", "ID", id), ":1\r\n")
		want(t, "an INCR as late as the other one would be", c.Do("INCR", "n"), ":4\r\n")
	})
	t.Run("then an error", func(t *testing.T) {
		reloadWith(t, srv, faulty(config.Fault{Delay: delay, Error: "LOADING Redis is loading the dataset in memory"}))
		redistest.WaitFor(t, "the new fault", func() bool { return other.Do("GET", "n") == "-LOADING Redis is loading the dataset in memory\r\n" })
		began := time.Now()
		want(t, "GET", c.Do("GET", "n"), "-LOADING Redis is loading the dataset in memory\r\n")
		if d := time.Since(began); d < delay {
			t.Errorf("it took %v", d)
		}
	})
	t.Run("until it is removed", func(t *testing.T) {
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.Fault = nil }))
		redistest.WaitFor(t, "the fault to be gone", func() bool { return c.Do("GET", "n") == redistest.Bulk("4") })
		plain := 0
		onLoop(t, srv, func(w *worker) {
			for s := w.sessions; s != nil; s = s.next {
				if s.plain {
					plain++
				}
			}
		})
		want(t, "clients that take the short way", strings.Repeat("x", plain), "xx")
	})
	balanced(t, srv)
}

// A request that must be handled several times draws its lot once: with a lane that is full now and then, and half of the requests late.
func TestFaultDrawsOnce(t *testing.T) {
	srv := serve(t, func(c *config.Config) {
		faulty(config.Fault{Delay: time.Nanosecond, Percent: 50})(c)
		c.Pools[0].NodeOutputLimit = 1 << 10
	}, nodes(t, 1)...)
	c := client(t, srv)
	value := strings.Repeat("x", 4<<10)
	for range 400 {
		c.Send("SET", "k", value)
	}
	go c.Flush()
	for range 400 {
		want(t, "SET", c.Recv(), "+OK\r\n")
	}
	st := statsOf(t, srv, "test")
	if n := st.Faults[metrics.FaultDelay]; n < 140 || n > 260 {
		t.Errorf("%d of 400 requests were late", n)
	}
	t.Logf("stalls: %v", st.Stalls)
	balanced(t, srv)
}

func TestFaultOfAnUnknownCommandIsRefused(t *testing.T) {
	for name, message := range map[string]string{
		"gte":    `proxy.yml:7: pool "p": fault: there is no command called "gte"`,
		"@wirte": `proxy.yml:7: pool "p": fault: there is no command of the category "@wirte"`,
	} {
		cfg := config.Default()
		cfg.File = "proxy.yml"
		p := poolOf("p", "127.0.0.1:1")
		p.Fault = &config.Fault{Percent: 1, Error: "ERR x", Commands: []string{name}, Line: 7}
		cfg.Pools = []config.Pool{p}
		if _, err := New(&cfg, slog.New(slog.DiscardHandler)); err == nil || err.Error() != message {
			t.Errorf("%v, want %s", err, message)
		}
	}
}
