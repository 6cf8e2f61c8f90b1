package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
	"ringway/pool"
)

// Random pipelines of everything that takes a slot, far over the window, with replies checked.
func TestRepliesKeepRequestOrder(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.Window, p.ClientOutputLimit, p.NodeOutputLimit = 20, 8<<10, 4<<10 }), nodes(t, 3)...)
	fill := client(t, srv)
	value := func(i int) string { return strings.Repeat(fmt.Sprint("v", i), 1+i*i%700) }
	for i := range 50 {
		fill.Do("SET", fmt.Sprint("k", i), value(i))
	}
	var wg sync.WaitGroup
	for n := range 12 {
		c := client(t, srv)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(9, uint64(n)))
			for range 12 {
				var replies []string
				for range 1 + r.IntN(600) {
					i, j := r.IntN(50), r.IntN(50)
					switch r.IntN(8) {
					case 0:
						c.Send("MGET", fmt.Sprint("k", i), fmt.Sprint("k", j), "none", fmt.Sprint("k", i))
						replies = append(replies, "*4\r\n"+redistest.Bulk(value(i))+redistest.Bulk(value(j))+"$-1\r\n"+redistest.Bulk(value(i)))
					case 1:
						c.Send("ECHO", fmt.Sprint(i))
						replies = append(replies, redistest.Bulk(fmt.Sprint(i)))
					case 2:
						c.SendRaw(fmt.Sprintf("\r\nEXISTS k%d none k%d\r\n", i, j))
						replies = append(replies, ":2\r\n")
					case 3:
						c.Send("CLIENT", "REPLY", "SKIP")
						c.Send("GET", fmt.Sprint("k", j))
					case 4:
						c.Send("SELECT", "1")
						c.Send("GET", fmt.Sprint("k", j))
						c.Send("SELECT", "0")
						replies = append(replies, "+OK\r\n", "$-1\r\n", "+OK\r\n")
					case 5:
						c.SendRaw(fmt.Sprintf("MSET x%d %d y%d %d z%d 1\r\n", i, i, j, j, i))
						replies = append(replies, "+OK\r\n")
					default:
						c.Send("GET", fmt.Sprint("k", i))
						replies = append(replies, redistest.Bulk(value(i)))
					}
				}
				flushed := make(chan error, 1)
				go func() { flushed <- c.TryFlush() }()
				for at, reply := range replies {
					got, err := c.TryRecv(nil)
					if err != nil || string(got) != reply {
						t.Errorf("client %d, reply %d of %d: got %.100q, %v, want %.100q", n, at, len(replies), got, err, reply)
						return
					}
				}
				if err := <-flushed; err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	balanced(t, srv)
	onLoop(t, srv, func(w *worker) {
		for r, n := range w.pools[0].stats.Stalls {
			switch r := metrics.Stall(r); r {
			case metrics.StallWindow, metrics.StallOutput, metrics.StallBarrier:
				if n == 0 {
					t.Errorf("no client ever stalled over the %s: nothing was tested", r)
				}
			}
		}
	})
}

// The sum of the clients' windows is far over what a node's lane may hold: each must be woken when there is room.
func TestFiftyClientsOverANodesLimit(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.NodeOutputLimit = 16 << 10; p.Timeout = 0 }), r.Addr())
	client(t, srv).Do("PING")
	var wg sync.WaitGroup
	r.Stop() // so that the lane fills up
	value := strings.Repeat("x", 2000)
	for n := range 50 {
		c := client(t, srv)
		wg.Go(func() {
			for i := range 100 {
				c.Send("SET", fmt.Sprint(n, ":", i%10), value)
				c.Send("GET", fmt.Sprint(n, ":", i%10))
			}
			go c.TryFlush()
			for i := range 200 {
				reply := "+OK\r\n"
				if i%2 == 1 {
					reply = redistest.Bulk(value)
				}
				if got, err := c.TryRecv(nil); err != nil || string(got) != reply {
					t.Errorf("client %d, reply %d: %.100q, %v", n, i, got, err)
					return
				}
			}
		})
	}
	stalled := func() (n uint64) {
		onLoop(t, srv, func(w *worker) { n = w.pools[0].stats.Stalls[metrics.StallNode] })
		return n
	}
	redistest.WaitFor(t, "clients to wait for the node", func() bool { return stalled() > 10 })
	r.Cont()
	wg.Wait()
	balanced(t, srv)
}

// What waits behind a request that its node does not answer is bounded, however small the replies are.
func TestRepliesBehindAStuckOneAreBounded(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 0 }), a.Addr(), b.Addr())
	stuck, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	c.Do("GET", stuck)
	c.Do("GET", other)
	a.Stop()
	c.Send("GET", stuck)
	const n = 100_000
	for range n / 2 {
		c.SendRaw("PING\r\n")
		c.Send("GET", other)
	}
	go c.TryFlush()
	slots := uint32(0)
	measure := func() (now uint32) {
		onLoop(t, srv, func(w *worker) {
			for s := w.sessions; s != nil; s = s.next {
				now = s.tail - s.head
			}
		})
		return now
	}
	for last := -1; last != int(slots) || slots < 10; time.Sleep(20 * time.Millisecond) {
		last, slots = int(slots), measure()
	}
	if slots > 5000 {
		t.Errorf("%d replies are kept behind one that does not come", slots)
	}
	a.Cont()
	want(t, "the stuck one", c.Recv(), "$-1\r\n")
	for i := range n {
		reply := "$-1\r\n"
		if i%2 == 0 {
			reply = "+PONG\r\n"
		}
		if got := c.Recv(); got != reply {
			t.Fatalf("reply %d: %q, want %q", i, got, reply)
		}
	}
	balanced(t, srv)
	onLoop(t, srv, func(w *worker) {
		for _, ring := range slices.Concat(w.freeSlots[:]...) {
			if len(ring) > 4096 {
				t.Errorf("a ring of %d slots is kept", len(ring))
			}
		}
	})
}

func TestHalfClose(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.Window = 4; p.ClientOutputLimit = 2048 }), nodes(t, 2)...)
	fill := client(t, srv)
	value := strings.Repeat("x", 500)
	for i := range 10 {
		fill.Do("SET", fmt.Sprint("k", i), value)
	}
	cases := []struct {
		name string
		last func(c *redistest.Conn)
		ends []string
	}{
		{"behind a pipeline", func(c *redistest.Conn) {}, nil},
		{"behind half a request", func(c *redistest.Conn) { c.SendRaw("*2\r\n$3\r\nGE") }, nil},
		{"behind QUIT", func(c *redistest.Conn) { c.Send("QUIT"); c.Send("GET", "k1") }, []string{"+OK\r\n"}},
		{"behind a request that is not RESP", func(c *redistest.Conn) { c.SendRaw("*x\r\n") }, []string{"-ERR Protocol error: invalid multibulk length\r\n"}},
		{"behind dropped replies", func(c *redistest.Conn) {
			c.Send("CLIENT", "REPLY", "OFF")
			c.Send("GET", "k1")
			c.Send("MGET", "k1", "k2")
		}, nil},
		{"behind a barrier", func(c *redistest.Conn) { c.Send("SELECT", "3"); c.Send("GET", "k1") }, []string{"+OK\r\n", "$-1\r\n"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := client(t, srv)
			for i := range 100 {
				c.Send("GET", fmt.Sprint("k", i%10))
			}
			tc.last(c)
			c.Flush()
			c.HalfClose()
			for range 100 {
				want(t, "GET", c.Recv(), redistest.Bulk(value))
			}
			for _, reply := range tc.ends {
				want(t, "the last", c.Recv(), reply)
			}
			c.RecvEOF()
		})
	}
	fill.Close()
	redistest.WaitFor(t, "every session to end", func() bool {
		n := 1
		onLoop(t, srv, func(w *worker) { n = w.count })
		return n == 0 && srv.pool(0).clients.Load() == 0
	})
}

// A client that does not read is first slowed and then closed; who stays within the limits is not.
func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.ClientStall = 200 * time.Millisecond }), nodes(t, 1)...)
	c := client(t, srv)
	c.Do("SET", "a", strings.Repeat("x", 100_000))
	for range 2000 {
		c.Send("GET", "a")
	}
	c.Flush()
	other := client(t, srv)
	redistest.WaitFor(t, "it to be closed", func() bool {
		want(t, "another client", other.Do("PING"), "+PONG\r\n")
		return srv.pool(0).clients.Load() == 1
	})
	onLoop(t, srv, func(w *worker) {
		if n := w.pools[0].stats.Errors[metrics.Stalled]; n != 1 {
			t.Errorf("%d clients were counted as stalled", n)
		}
	})
	balanced(t, srv)
}

func TestKeysOnSeveralNodes(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	a, b := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	const crossSlot = "-CROSSSLOT Keys in request don't hash to the same slot\r\n"
	for _, args := range [][]string{
		{"RENAME", a, b}, {"MSETNX", a, "1", b, "2"}, {"ZUNIONSTORE", a, "2", a, b}, {"SORT", a, "STORE", b}, {"COPY", a, b},
		{"EVAL", "return 1", "2", a, b}, {"BITOP", "AND", a, a, b}, {"LMOVE", a, b, "LEFT", "LEFT"},
	} {
		want(t, strings.Join(args, " "), c.Do(args...), crossSlot)
	}
	want(t, "keys with one tag", c.Do("MSETNX", "{t}1", "1", "{t}2", "2"), ":1\r\n")
	want(t, "the same key twice", c.Do("SINTERSTORE", a, a, a), ":0\r\n")
	want(t, "MSET with an odd argument", c.Do("MSET", a, "1", b), "-ERR wrong number of arguments for 'mset' command\r\n")
	want(t, "an inline MSET", inline(c, "MSET "+a+" \"1 2\" "+b+" ''"), "+OK\r\n")
	want(t, "MGET", c.Do("MGET", b, a), "*2\r\n$0\r\n\r\n$3\r\n1 2\r\n")
	want(t, "an inline MGET", inline(c, "MGET "+b+" "+a), "*2\r\n$0\r\n\r\n$3\r\n1 2\r\n")
	want(t, "an error in a part", c.Do("LPUSH", a+"l", "1"), ":1\r\n")
	want(t, "MSET over a list", c.Do("MSET", a+"l", "1", b, "2"), "+OK\r\n")
	want(t, "DEL", c.Do("DEL", a, b, a, "none", a+"l"), ":3\r\n")
	balanced(t, srv)
}

// Two clients that ask for the same database and RESP version share their lanes, others don't.
func TestLanesAreShared(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	for range 20 {
		c := client(t, srv)
		c.Do("GET", "a")
		c.Do("SELECT", "1")
		c.Do("GET", "a")
		c.Do("HELLO", "3")
		want(t, "GET in RESP3", c.Do("GET", "a"), "_\r\n")
	}
	onLoop(t, srv, func(w *worker) {
		lanes := 0
		for _, set := range w.pools[0].sets {
			set.Each(func(*pool.Lane) { lanes++ })
		}
		if lanes != 3 {
			t.Errorf("%d lanes for three kinds of client", lanes)
		}
	})
}

func inline(c *redistest.Conn, line string) string {
	c.SendRaw(line + "\r\n")
	c.Flush()
	return c.Recv()
}

// A large value passes in both directions, in front of and behind small ones.
func TestLargeValues(t *testing.T) {
	srv := serve(t, nil, nodes(t, 2)...)
	c := client(t, srv)
	big := strings.Repeat("0123456789abcdef", 1<<20)
	c.Send("SET", "small", "1")
	c.Send("SET", "big", big)
	c.Send("GET", "small")
	c.Send("GET", "big")
	c.Send("MGET", "small", "big", "x", "y", "z")
	c.Send("GET", "small")
	go c.TryFlush()
	for _, reply := range []string{"+OK\r\n", "+OK\r\n", "$1\r\n1\r\n", redistest.Bulk(big),
		"*5\r\n$1\r\n1\r\n" + redistest.Bulk(big) + "$-1\r\n$-1\r\n$-1\r\n", "$1\r\n1\r\n"} {
		if got := c.Recv(); got != reply {
			t.Errorf("got %d bytes %.50q, want %d bytes %.50q", len(got), got, len(reply), reply)
		}
	}
	balanced(t, srv)
}

// Nodes are killed and come back under load. Each reply is the right one or an error that names a node.
func TestNoReplyIsWrongWhileNodesComeAndGo(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, onPool(func(p *config.Pool) { p.Window = 50 }), servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 8 {
		c := client(t, srv)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(11, uint64(n)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				var replies []string
				for range 1 + r.IntN(100) {
					k := fmt.Sprint("key:", r.IntN(1000))
					switch r.IntN(3) {
					case 0:
						c.Send("SET", k, k)
						replies = append(replies, "+OK\r\n")
					case 1:
						c.Send("GET", k)
						replies = append(replies, redistest.Bulk(k)+"|$-1\r\n")
					default:
						c.Send("ECHO", k)
						replies = append(replies, redistest.Bulk(k))
					}
				}
				if err := c.TryFlush(); err != nil {
					t.Error(err)
					return
				}
				for _, reply := range replies {
					got, err := c.TryRecv(nil)
					if err != nil || !strings.HasPrefix(string(got), "-ERR node 'n") && !strings.Contains("|"+reply+"|", "|"+string(got)+"|") {
						t.Errorf("got %q, %v, want %q", got, err, reply)
						return
					}
				}
			}
		})
	}
	for i := range 6 {
		s := servers[i%3]
		time.Sleep(50 * time.Millisecond) // under load
		s.Kill()
		time.Sleep(50 * time.Millisecond)
		s.Restart()
	}
	close(stop)
	wg.Wait()
	balanced(t, srv)
}
