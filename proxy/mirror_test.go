package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
	"ringway/pool"
)

// mirrored is a change of serve's pool: it is mirrored by one of other nodes.
func mirrored(m config.Mirror, addresses ...string) func(*config.Config) {
	return func(c *config.Config) {
		m.Pool = "shadow"
		if m.Percent == 0 {
			m.Percent = 100
		}
		c.Pools[0].Mirror = &m
		c.Pools = append(c.Pools, poolOf("shadow", addresses...))
	}
}

// copied waits until a mirror has got so many copies and has answered all of them.
func copied(t testing.TB, srv *Server, n uint64) {
	t.Helper()
	redistest.WaitFor(t, fmt.Sprint(n, " copies"), func() bool {
		depth := 0
		for _, node := range statsOf(t, srv, "shadow").Nodes {
			depth += node.Depth + node.Unsent
		}
		return statsOf(t, srv, "test").Mirrored == n && depth == 0
	})
}

func TestMirrorGetsACopy(t *testing.T) {
	shadow := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, mirrored(config.Mirror{}, shadow[0].Addr(), shadow[1].Addr(), shadow[2].Addr()), nodes(t, 2)...)
	c := client(t, srv)
	at := func(args ...string) (replies []string) {
		for _, r := range shadow {
			replies = append(replies, r.Do(args...))
		}
		return replies
	}
	count := func(args ...string) (n int) {
		for _, reply := range at(args...) {
			if reply == ":1\r\n" {
				n++
			}
		}
		return n
	}
	n := uint64(0)
	say := func(copies uint64, line string) string {
		t.Helper()
		reply := c.Do(strings.Fields(line)...)
		n += copies
		if statsOf(t, srv, "test").Mirrored != n {
			t.Errorf("%s: %d copies in all, want %d", line, statsOf(t, srv, "test").Mirrored, n)
			n = statsOf(t, srv, "test").Mirrored
		}
		return reply
	}
	say(1, "SET a 1")
	say(1, "GET a")
	say(1, "MSET b 1 c 2 d 3 e 4 f 5")
	want(t, "MGET", say(1, "MGET a b c d e f"), "*6\r\n"+
		redistest.Bulk("1")+redistest.Bulk("1")+redistest.Bulk("2")+redistest.Bulk("3")+redistest.Bulk("4")+redistest.Bulk("5"))
	say(1, "DBSIZE")
	say(1, "EVAL return{redis.call('set',KEYS[1],ARGV[1])} 1 script x")
	for _, line := range []string{"PING", "SCAN 0", "PUBLISH ch x", "RPUSH", "CONFIG GET maxmemory", "CLIENT ID", "BLPOP none 0.01", "RENAME a b c", "NOSUCH"} {
		say(0, line)
	}
	copied(t, srv, n)
	for _, k := range []string{"c", "d", "e", "f", "script"} {
		if got := count("EXISTS", k); got != 1 {
			t.Errorf("%s is on %d nodes of the mirror", k, got)
		}
	}
	t.Run("a transaction", func(t *testing.T) {
		say(0, "MULTI")
		say(0, "SET {t}1 x")
		say(0, "INCR {t}2")
		say(1, "EXEC")
		copied(t, srv, n)
		want(t, "keys at the mirror", fmt.Sprint(count("EXISTS", "{t}1")+count("EXISTS", "{t}2")), "2")
	})
	t.Run("a transaction with WATCH, if it took place", func(t *testing.T) {
		say(0, "WATCH {w}1")
		say(0, "MULTI")
		say(0, "SET {w}2 x")
		client(t, srv).Do("SET", "{w}1", "changed")
		n++
		want(t, "EXEC", say(0, "EXEC"), "*-1\r\n")
		say(0, "WATCH {w}1")
		say(0, "MULTI")
		say(0, "SET {w}3 x")
		want(t, "EXEC", say(1, "EXEC"), "*1\r\n+OK\r\n")
		copied(t, srv, n)
		want(t, "keys at the mirror", fmt.Sprint(count("EXISTS", "{w}2"), count("EXISTS", "{w}3")), "0 1")
	})
	t.Run("a script by its digest", func(t *testing.T) {
		sha := strings.Split(c.Do("SCRIPT", "LOAD", "return redis.call('set',KEYS[1],'by digest')"), "\r\n")[1]
		n++
		for _, r := range shadow {
			r.Do("SCRIPT", "FLUSH")
		}
		say(1, "EVALSHA "+sha+" 1 digest")
		copied(t, srv, n)
		want(t, "the key at the mirror", fmt.Sprint(count("EXISTS", "digest")), "1")
	})
	t.Run("the database", func(t *testing.T) {
		say(0, "SELECT 2")
		say(1, "SET two x")
		say(0, "SELECT 0")
		copied(t, srv, n)
		want(t, "keys in database 0", fmt.Sprint(count("EXISTS", "two")), "0")
		for _, r := range shadow {
			d := redistest.Dial(t, r.Addr())
			d.Do("SELECT", "2")
			if d.Do("EXISTS", "two") == ":1\r\n" {
				return
			}
		}
		t.Error("the key is not in database 2 of the mirror")
	})
	t.Run("everything at once", func(t *testing.T) {
		say(1, "FLUSHALL")
		copied(t, srv, n)
		want(t, "DBSIZE of the mirror", fmt.Sprint(at("DBSIZE")), "[:0\r\n :0\r\n :0\r\n]")
	})
	if st := statsOf(t, srv, "test"); st.MirrorDropped != 0 {
		t.Errorf("%d copies were dropped", st.MirrorDropped)
	}
	balanced(t, srv)
}

// Many clients write the same keys; the last value of each is the same at the mirror, since the copies go in the order of the requests.
func TestMirrorKeepsTheOrderOfWrites(t *testing.T) {
	srv := serve(t, func(c *config.Config) {
		mirrored(config.Mirror{ExcludeReads: true}, nodes(t, 2)...)(c)
		c.Pools[1].NodeOutputLimit = 64 << 20 // nothing may be dropped here
	}, nodes(t, 3)...)
	const clients, rounds = 8, 50
	var load sync.WaitGroup
	for id := range clients {
		c := client(t, srv)
		load.Go(func() {
			for round := range rounds {
				for k := range 10 {
					c.Send("SET", fmt.Sprint("k", k), fmt.Sprint(id, ":", round))
					c.Send("MSET", fmt.Sprint("m", k), fmt.Sprint(id, ":", round), fmt.Sprint("n", k), fmt.Sprint(id, ":", round))
					c.Send("GET", fmt.Sprint("k", k))
					c.Send("APPEND", fmt.Sprint("a", k), fmt.Sprint(id))
				}
				c.Flush()
				for range 40 {
					c.Recv()
				}
			}
		})
	}
	load.Wait()
	copied(t, srv, clients*rounds*30)
	c := client(t, srv)
	for k := range 10 {
		for _, key := range []string{"k", "m", "n", "a"} {
			key += fmt.Sprint(k)
			var at *redistest.Conn
			onLoop(t, srv, func(w *worker) {
				m := w.pools[1]
				at = redistest.Dial(t, m.topo.nodes[m.find([]byte(key))].Address())
			})
			want(t, "GET "+key+" at the mirror", at.Do("GET", key), c.Do("GET", key))
		}
	}
	if st := statsOf(t, srv, "test"); st.MirrorDropped != 0 || st.MirrorErrors != 0 {
		t.Errorf("%d copies were dropped, %d have failed", st.MirrorDropped, st.MirrorErrors)
	}
	balanced(t, srv)
}

func TestMirrorOfSomeRequests(t *testing.T) {
	srv := serve(t, mirrored(config.Mirror{Percent: 25}, nodes(t, 1)...), nodes(t, 1)...)
	c := client(t, srv)
	for range 4000 {
		c.Send("INCR", "n")
	}
	c.Flush()
	for range 4000 {
		c.Recv()
	}
	if n := statsOf(t, srv, "test").Mirrored; n < 800 || n > 1200 {
		t.Errorf("%d of 4000 requests were copied", n)
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Mirror = nil }))
	redistest.WaitFor(t, "the mirror to be off", func() bool {
		before := statsOf(t, srv, "test").Mirrored
		for range 100 {
			c.Do("INCR", "n")
		}
		return statsOf(t, srv, "test").Mirrored == before
	})
	late := redistest.Server(t)
	reloadWith(t, srv, func(c *config.Config) {
		c.Pools[0].Mirror = &config.Mirror{Pool: "late", Percent: 100}
		c.Pools = append(c.Pools, poolOf("late", late.Addr()))
	})
	redistest.WaitFor(t, "a copy at another mirror", func() bool { c.Do("SET", "k", "v"); return late.Do("GET", "k") == redistest.Bulk("v") })
	reloadWith(t, srv, func(c *config.Config) {
		c.Pools[0].Mirror = &config.Mirror{Pool: "shadow", Percent: 100}
		c.Pools = c.Pools[:2]
	})
	redistest.WaitFor(t, "copies at the first again", func() bool {
		before := statsOf(t, srv, "test")
		c.Do("SET", "k", "v")
		after := statsOf(t, srv, "test")
		return after.Mirrored == before.Mirrored+1 && after.MirrorDropped == before.MirrorDropped
	})
	balanced(t, srv)
}

// Whatever becomes of the mirror, the client does not feel it.
func TestMirrorThatDoesNotWork(t *testing.T) {
	for _, x := range []struct {
		name    string
		node    func(t *testing.T) string
		dropped bool // some copies at least
		errors  bool
	}{
		{"it can't be reached", func(t *testing.T) string { return fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t)) }, true, true},
		{"it answers with errors", func(t *testing.T) string {
			return redistest.Answering(t, func([]string) string { return "-ERR no\r\n" })
		}, false, true},
		{"it hangs", func(t *testing.T) string {
			r := redistest.Server(t)
			r.Stop()
			t.Cleanup(r.Cont)
			return r.Addr()
		}, true, false},
		{"it hangs up", func(t *testing.T) string {
			return redistest.Answering(t, func([]string) string { return redistest.HangUp })
		}, false, true},
		{"it sends garbage", func(t *testing.T) string {
			return redistest.Answering(t, func([]string) string { return "garbage\r\n" })
		}, false, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			srv := serve(t, func(c *config.Config) {
				mirrored(config.Mirror{}, x.node(t))(c)
				c.Pools[1].NodeOutputLimit, c.Pools[1].Timeout = 64<<10, 0
			}, nodes(t, 2)...)
			c := client(t, srv)
			value := strings.Repeat("x", 1000)
			began := time.Now()
			for round := range 50 {
				for i := range 100 {
					c.Send("SET", fmt.Sprint("k", i), fmt.Sprint(value, round))
					c.Send("MGET", fmt.Sprint("k", i), fmt.Sprint("k", i+1))
				}
				c.Flush()
				for range 100 {
					want(t, "SET", c.Recv(), "+OK\r\n")
					if got := c.Recv(); !strings.HasPrefix(got, "*2\r\n"+redistest.Bulk(fmt.Sprint(value, round))) {
						t.Fatalf("MGET: %.40q", got)
					}
				}
			}
			redistest.WaitFor(t, "what becomes of the copies", func() bool {
				st := statsOf(t, srv, "test")
				return st.Mirrored+st.MirrorDropped == 50*200 && (!x.dropped || st.MirrorDropped > 0) && (!x.errors || st.MirrorErrors > 0)
			})
			st := statsOf(t, srv, "test")
			t.Logf("%d copies, %d dropped, %d errors, %v", st.Mirrored, st.MirrorDropped, st.MirrorErrors, time.Since(began))
			if st.Errors[metrics.NodeDown]+st.Errors[metrics.NodeError]+st.Stalls[metrics.StallNode] != 0 {
				t.Errorf("errors %v, stalls %v", st.Errors, st.Stalls)
			}
			onLoop(t, srv, func(w *worker) {
				w.pools[1].set(pool.Key{}).Each(func(la *pool.Lane) {
					if la.Depth() > mostCopies {
						t.Errorf("%d replies are owed", la.Depth())
					}
				})
			})
			balanced(t, srv)
		})
	}
}
