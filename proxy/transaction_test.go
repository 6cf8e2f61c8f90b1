package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// What goes wrong inside and around MULTI is answered in Redis's own words, and at the same place of the pipeline.
func TestTransactionsAreThoseOfRedis(t *testing.T) {
	srv, one := serve(t, nil, nodes(t, 1)...), redistest.Server(t)
	for _, script := range []string{
		"SET k 1; MULTI; INCR k; GET k; EXEC; GET k",
		"MULTI; EXEC; EXEC; DISCARD",
		"MULTI; MULTI; SET k 1; EXEC",
		"MULTI; WATCH k; SET k 2; EXEC; GET k",
		"MULTI; NOSUCH; SET k 3; EXEC; GET k; PING",
		"MULTI; GET; EXEC; MULTI; GET k; EXEC",
		"MULTI; CONFIG NOSUCH; EXEC",
		"MULTI; NOSUCH; DISCARD; MULTI; GET k; EXEC",
		"MULTI; SET k x; INCR k; LPUSH k y; GET k; EXEC",
		"MULTI; PING; ECHO x; PING y; EXEC",
		"WATCH k; MULTI; SET k 4; EXEC; EXEC",
		"WATCH k; SET k 5; MULTI; SET k 6; EXEC; GET k; MULTI; SET k 7; EXEC; GET k",
		"WATCH k; SET k 5; UNWATCH; MULTI; SET k 6; EXEC; GET k",
		"WATCH k; SET k 5; MULTI; DISCARD; MULTI; SET k 6; EXEC; GET k",
		"WATCH k; SET k 5; MULTI; NOSUCH; EXEC; MULTI; SET k 6; EXEC; GET k",
		"WATCH k; WATCH k2 k3; SET k3 x; MULTI; EXEC; GET k",
		"WATCH k; MULTI; UNWATCH; SET k 8; EXEC; GET k",
		"WATCH k; SELECT 0; MULTI; GET k; EXEC",
		"WATCH k; SET k 9; RESET; MULTI; SET k 10; EXEC; GET k",
		"MULTI; SET k 1; RESET; GET k; EXEC",
		"HELLO 3; SET k x; WATCH k; SET k 5; MULTI; GET k; EXEC; MULTI; GET none; HGETALL none; EXEC; RESET; MULTI; GET none; EXEC",
		"MULTI; BLPOP none 0; XREAD BLOCK 0 STREAMS s $; EXEC",
		"CLIENT REPLY SKIP; MULTI; SET k 1; EXEC; GET k",
		"CLIENT REPLY OFF; WATCH k; MULTI; SET k 11; EXEC; CLIENT REPLY ON; GET k",
		"SET k 1; MULTI; SET k 2; QUIT; GET k",
		"FLUSHALL",
	} {
		through, direct := client(t, srv), redistest.Dial(t, one.Addr())
		for _, c := range []*redistest.Conn{through, direct} {
			for line := range strings.SplitSeq(script, "; ") {
				c.Send(strings.Fields(line)...)
			}
			c.Send("QUIT")
			c.Flush()
		}
		for i := 0; ; i++ {
			got, err := through.TryRecv(nil)
			wanted, errDirect := direct.TryRecv(nil)
			if (err == nil) != (errDirect == nil) {
				t.Fatalf("%s: reply %d: %q, %v, want %q, %v", script, i, got, err, wanted, errDirect)
			}
			if err != nil {
				break
			}
			if !strings.Contains(string(wanted), "server") {
				want(t, fmt.Sprintf("%s: reply %d", script, i), string(got), string(wanted))
			}
		}
	}
	returned(t, srv)
	balanced(t, srv)
}

func TestTransactionOverSeveralNodesIsNotCarriedOut(t *testing.T) {
	srv := serve(t, nil, nodes(t, 2)...)
	here, there := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	run := func(lines ...string) (last string) {
		for _, l := range lines {
			last = c.Do(strings.Fields(l)...)
		}
		return last
	}
	crossSlot, abort := "-"+errCrossSlot+"\r\n", "-"+errExecAbort+"\r\n"
	want(t, "a key of another node", run("MULTI", "SET "+here+" 1", "SET "+there+" 1"), crossSlot)
	want(t, "EXEC", run("EXEC"), abort)
	want(t, "keys of two nodes", run("MULTI", "MSET "+here+" 1 "+there+" 1"), crossSlot)
	want(t, "EXEC", run("EXEC"), abort)
	want(t, "WATCH of keys of two nodes", run("WATCH "+here+" "+there), crossSlot)
	want(t, "WATCH of a key of another node", run("WATCH "+here, "WATCH "+there), crossSlot)
	want(t, "EXEC at another node than the watched key's", run("MULTI", "SET "+there+" 1", "EXEC"), "-"+errCrossSlotWatch+"\r\n")
	want(t, "nothing has been done", run("EXISTS "+here+" "+there), ":0\r\n")
	want(t, "the next transaction", run("MULTI", "SET "+here+" 1", "PING", "EXEC"), "*2\r\n+OK\r\n+PONG\r\n")
	returned(t, srv)
	balanced(t, srv)
}

// Whoever watches and loses the connection gets nil from EXEC, whatever else has been asked meanwhile.
func TestExecAfterTheWatchingLaneIsLost(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, nil, r.Addr())
	direct := redistest.Dial(t, r.Addr())
	c := client(t, srv)
	lose := func() { direct.Do("CLIENT", "KILL", "TYPE", "normal") }
	for _, test := range []struct {
		name string
		then func()
	}{
		{"at once", func() {}},
		{"watching another key", func() { c.Do("WATCH", "other") }},
		{"with a write between", func() {
			redistest.WaitFor(t, "the shared lane", func() bool { return c.Do("SET", "other", "x") == "+OK\r\n" })
		}},
		{"watching another key while the node is down", func() {
			r.Kill()
			for range 2 {
				if got := c.Do("WATCH", "other"); got[0] != '-' {
					t.Errorf("WATCH at a node that is down: %q", got)
				}
			}
			r.Restart()
			direct = redistest.Dial(t, r.Addr())
			redistest.WaitFor(t, "the node's return", func() bool { return c.Do("GET", "none") == "$-1\r\n" })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			redistest.WaitFor(t, "WATCH", func() bool { return c.Do("WATCH", "k") == "+OK\r\n" })
			lose()
			test.then()
			c.Do("MULTI")
			c.Do("SET", "k", test.name)
			want(t, "EXEC", c.Do("EXEC"), "*-1\r\n")
			want(t, "the key", c.Do("GET", "k"), "$-1\r\n")
			redistest.WaitFor(t, "the next WATCH", func() bool { return c.Do("WATCH", "k") == "+OK\r\n" })
			c.Do("MULTI")
			c.Do("DEL", "k")
			want(t, "the next EXEC", c.Do("EXEC"), "*1\r\n:0\r\n")
			returned(t, srv)
		})
	}
	balanced(t, srv)
}

// Many clients count with optimistic locking: no increment is lost.
func TestOptimisticLockingIsExact(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, r.Addr())
	client(t, srv).Do("SET", "n", "0")
	var wg sync.WaitGroup
	for range 8 {
		c := client(t, srv)
		wg.Go(func() {
			for done := 0; done < 20; {
				c.Send("WATCH", "n")
				c.Send("GET", "n")
				if err := c.TryFlush(); err != nil {
					t.Error(err)
					return
				}
				c.TryRecv(nil)
				b, err := c.TryRecv(nil)
				if err != nil {
					t.Error(err)
					return
				}
				n := 0
				fmt.Sscan(string(text(b)), &n)
				c.Send("MULTI")
				c.Send("SET", "n", fmt.Sprint(n+1))
				c.Send("EXEC")
				c.TryFlush()
				c.TryRecv(nil)
				c.TryRecv(nil)
				if b, err = c.TryRecv(nil); err != nil {
					t.Error(err)
					return
				}
				if string(b) == "*1\r\n+OK\r\n" {
					done++
				} else if string(b) != "*-1\r\n" {
					t.Errorf("EXEC: %q", b)
					return
				}
			}
		})
	}
	wg.Wait()
	want(t, "the counter", client(t, srv).Do("GET", "n"), "$3\r\n160\r\n")
	returned(t, srv)
}

func TestNodeThatBreaksInTheMiddleOfATransaction(t *testing.T) {
	var seen []string
	var mu sync.Mutex
	addr := redistest.Answering(t, func(args []string) string {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, strings.Join(args, " "))
		switch {
		case args[0] == "EXEC" && len(seen) < 8:
			return "*2\r\n+OK\r\n" + redistest.HangUp
		case args[0] == "EXEC":
			return "*1\r\n+OK\r\n"
		case args[0] == "MULTI":
			return "+OK\r\n"
		}
		return "+QUEUED\r\n"
	})
	srv := serve(t, nil, addr)
	c := client(t, srv)
	for _, args := range [][]string{{"MULTI"}, {"SET", "k", "1"}, {"SET", "k", "2"}, {"EXEC"}, {"ECHO", "x"}} {
		c.Send(args...)
	}
	c.Flush()
	want(t, "MULTI", c.Recv(), "+OK\r\n")
	want(t, "SET", c.Recv(), "+QUEUED\r\n")
	want(t, "SET", c.Recv(), "+QUEUED\r\n")
	want(t, "EXEC", c.Recv(), "-ERR node 'n0' ("+addr+") closed the connection\r\n")
	want(t, "ECHO", c.Recv(), "$1\r\nx\r\n")
	for _, args := range [][]string{{"MULTI"}, {"SET", "k", "3"}, {"SET", "k", "4"}, {"SET", "k", "5"}} {
		c.Do(args...)
	}
	want(t, "the next EXEC", c.Do("EXEC"), "*1\r\n+OK\r\n")
	mu.Lock()
	defer mu.Unlock()
	want(t, "what the node has seen", strings.Join(seen, "; "), "MULTI; SET k 1; SET k 2; EXEC; MULTI; SET k 3; SET k 4; SET k 5; EXEC")
	balanced(t, srv)
}

// EXEC waits when the lane is full, and keeps its place.
func TestExecOnAFullLane(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.NodeOutputLimit = 8 << 10; p.Timeout = 0 }), r.Addr())
	c, d := client(t, srv), client(t, srv)
	c.Do("PING")
	d.Do("SET", "n", "0")
	r.Stop()
	value := strings.Repeat("x", 256<<10)
	for range 100 {
		d.Send("SET", "big", value)
	}
	go d.TryFlush()
	stalled := func(fits func(s *Session) bool) (is bool) {
		onLoop(t, srv, func(w *worker) {
			for s := w.sessions; s != nil; s = s.next {
				is = is || s.stalls.has(metrics.StallNode) && fits(s)
			}
		})
		return is
	}
	redistest.WaitFor(t, "the lane to be full", func() bool { return stalled(func(*Session) bool { return true }) })
	for range 50 {
		c.Send("MULTI")
		c.Send("INCR", "n")
		c.Send("EXEC")
		c.Send("ECHO", "x")
	}
	go c.TryFlush()
	redistest.WaitFor(t, "the client to wait", func() bool { return stalled(func(s *Session) bool { return s.tx != nil }) })
	r.Cont()
	for i := range 50 {
		for _, reply := range []string{"+OK\r\n", "+QUEUED\r\n", fmt.Sprintf("*1\r\n:%d\r\n", i+1), "$1\r\nx\r\n"} {
			want(t, "a reply", c.Recv(), reply)
		}
	}
	for range 100 {
		want(t, "SET", d.Recv(), "+OK\r\n")
	}
	balanced(t, srv)
}

// What MULTI has begun goes on when keys move: together they are, on whichever node.
func TestKeysMoveDuringATransaction(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	c := client(t, srv)
	c.Do("MULTI")
	want(t, "SET", c.Do("SET", "k", "1"), "+QUEUED\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "b", Address: b.Addr(), Weight: 1} }))
	want(t, "INCR", c.Do("INCR", "k"), "+QUEUED\r\n")
	want(t, "EXEC", c.Do("EXEC"), "*2\r\n+OK\r\n:2\r\n")
	want(t, "GET at the new node", b.Do("GET", "k"), redistest.Bulk("2"))
	want(t, "EXISTS at the old one", a.Do("EXISTS", "k"), ":0\r\n")
	balanced(t, srv)
}
