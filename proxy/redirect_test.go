package proxy

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// inCluster makes the pool one in front of a Redis Cluster.
func inCluster(seeds ...string) func(*config.Config) {
	return onPool(func(p *config.Pool) {
		p.Backends, p.Cluster = nil, &config.Cluster{Seeds: seeds}
	})
}

// keyInSlot returns a key that has a slot.
func keyInSlot(slot int, prefix string) string {
	for i := 0; ; i++ {
		if k := fmt.Sprintf("%s{%d}", prefix, i); clusterSlot([]byte(k)) == slot {
			return k
		}
	}
}

// found waits until the nodes of the server's pools have been found.
func found(t testing.TB, srv *Server) {
	t.Helper()
	redistest.WaitFor(t, "the nodes to be found", func() bool { return srv.Ready() == nil })
}

func TestClusterBackends(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 3, 1)
	srv := serve(t, inCluster(cl.Node(0).Addr()))
	found(t, srv)
	c := client(t, srv)
	mset, mget := []string{"MSET"}, []string{"MGET"}
	wanted := "*300\r\n"
	for i := range 300 {
		k := fmt.Sprint("k", i)
		mset, mget = append(mset, k, k), append(mget, k)
		wanted += redistest.Bulk(k)
	}
	want(t, "MSET over many slots", c.Do(mset...), "+OK\r\n")
	want(t, "MGET over many slots", c.Do(mget...), wanted)
	want(t, "DBSIZE", c.Do("DBSIZE"), ":300\r\n")
	if found := scanned(t, c, "COUNT", "7"); len(found) != 300 {
		t.Errorf("SCAN has found %d of 300 keys", len(found))
	}
	want(t, "keys of different slots", c.Do("RENAME", "k1", "k2"), "-"+errCrossSlot+"\r\n")
	want(t, "keys of one slot", c.Do("RENAME", "k1", "{k1}2"), "+OK\r\n")
	c.Do("SADD", "s1", "a", "b")
	c.Do("SADD", "s2", "b", "c")
	want(t, "SINTER over slots", c.Do("SINTER", "s1", "s2"), "*1\r\n"+redistest.Bulk("b"))
	want(t, "MULTI", c.Do("MULTI"), "+OK\r\n")
	c.Do("SET", "{t}1", "x")
	c.Do("INCR", "{t}2")
	want(t, "EXEC", c.Do("EXEC"), "*2\r\n+OK\r\n:1\r\n")
	c.Do("MULTI")
	c.Do("SET", "{t}1", "y")
	want(t, "a key of another slot in MULTI", c.Do("SET", "{u}1", "y"), "-"+errCrossSlot+"\r\n")
	if got := c.Do("EXEC"); !strings.HasPrefix(got, "-EXECABORT") {
		t.Errorf("EXEC: %q", got)
	}
	want(t, "EVAL", c.Do("EVAL", "return redis.call('GET', KEYS[1])", "1", "{t}1"), redistest.Bulk("x"))

	sub, pattern := client(t, srv), client(t, srv)
	sub.Do("SUBSCRIBE", "news")
	pattern.Do("PSUBSCRIBE", "new*")
	c.Do("PUBLISH", "news", "hello")
	want(t, "the message", sub.Recv(), message("news", "hello"))
	if got := pattern.Recv(); !strings.Contains(got, "pmessage") {
		t.Errorf("the message to a pattern: %q", got)
	}
	silent(t, pattern) // the cluster's nodes pass messages on, so it comes once
	balanced(t, srv)
}

// Slots move while the pool knows nothing of it: MOVED and ASK are followed.
func TestClusterRedirections(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 3, 0)
	srv := serve(t, inCluster(cl.Addrs()...))
	found(t, srv)
	c := client(t, srv)
	slot := 0
	from := cl.Owner(slot)
	to := (from + 1) % 3
	here, gone, fresh := keyInSlot(slot, "here"), keyInSlot(slot, "gone"), keyInSlot(slot, "fresh")
	c.Do("SET", here, "1")
	c.Do("SET", gone, "2")
	cl.StartMove(from, to, slot)
	cl.MoveKeys(from, to, slot, gone)

	want(t, "a key that has not moved yet", c.Do("GET", here), redistest.Bulk("1"))
	want(t, "a key that has moved", c.Do("GET", gone), redistest.Bulk("2"))
	want(t, "a new key", c.Do("SET", fresh, "3"), "+OK\r\n")
	want(t, "APPEND to one that has moved", c.Do("APPEND", gone, "x"), ":2\r\n")
	want(t, "DEL of both kinds", c.Do("DEL", gone), ":1\r\n")
	c.Send("GET", here)
	c.Send("GET", fresh)
	c.Send("PING")
	c.Send("GET", here)
	c.Flush()
	for i, w := range []string{redistest.Bulk("1"), redistest.Bulk("3"), "+PONG\r\n", redistest.Bulk("1")} {
		want(t, fmt.Sprint("reply ", i), c.Recv(), w)
	}
	cl.MoveKeys(from, to, slot, here)
	cl.FinishMove(from, to, slot)
	want(t, "MOVED", c.Do("SET", here, "4"), "+OK\r\n")
	want(t, "GET at the new node", c.Do("GET", fresh), redistest.Bulk("3"))
	want(t, "a transaction at the new node", c.Do("MULTI"), "+OK\r\n")
	c.Do("INCR", fresh)
	c.Do("GET", here)
	want(t, "EXEC", c.Do("EXEC"), "*2\r\n:4\r\n"+redistest.Bulk("4"))
	redistest.WaitFor(t, "the slot map to follow", func() bool {
		c.Do("GET", here)
		addr := ""
		onLoop(t, srv, func(w *worker) {
			ps := w.pools[0]
			addr = ps.topo.nodes[ps.find([]byte(here))].Address()
		})
		return addr == cl.Node(to).Addr()
	})
	balanced(t, srv)
}

// A transaction whose slot has moved since the pool last looked is sent again as a whole.
func TestClusterTransactionIsMoved(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 2, 0)
	srv := serve(t, inCluster(cl.Addrs()...))
	found(t, srv)
	c := client(t, srv)
	k := keyInSlot(1, "k")
	from := cl.Owner(1)
	cl.MoveSlots(from, 1-from, 1)
	c.Send("MULTI")
	c.Send("INCR", k)
	c.Send("INCR", k)
	c.Send("EXEC")
	c.Flush()
	for _, w := range []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:1\r\n:2\r\n"} {
		want(t, "the transaction", c.Recv(), w)
	}
	balanced(t, srv)
}

func TestClusterFailover(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 3, 1)
	srv := serve(t, inCluster(cl.Addrs()...))
	found(t, srv)
	c := client(t, srv)
	victim := cl.Owner(0)
	k := keyInSlot(0, "k")
	want(t, "SET", c.Do("SET", k, "before"), "+OK\r\n")
	want(t, "WAIT", c.Do("WAIT", "1", "5000"), ":1\r\n")
	cl.Node(victim).Kill()
	// The first request finds the connection lost; those that come after it wait for the new primary.
	start := time.Now()
	redistest.WaitFor(t, "a write", func() bool { return c.Do("SET", k, "after") == "+OK\r\n" })
	t.Logf("a write was taken %v after the primary's death", time.Since(start).Round(time.Millisecond))
	want(t, "GET", c.Do("GET", k), redistest.Bulk("after"))
	balanced(t, srv)
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	replica := redistest.Server(t, "--replicaof", "127.0.0.1 "+fmt.Sprint(primary.Port()))
	_ = replica
	sen := redistest.StartSentinels(t, 3, redistest.Monitored{Name: "m1", Primary: primary})
	srv := serve(t, onPool(func(p *config.Pool) {
		p.Backends = nil
		p.Sentinel = &config.Sentinel{Addresses: sen.Addrs(), Masters: []config.Master{{Name: "m1", Weight: 1}}}
		p.FailoverWait = 20 * time.Second
	}))
	c := client(t, srv) // before anything was found: it waits
	want(t, "SET", c.Do("SET", "k", "before"), "+OK\r\n")
	want(t, "WAIT", c.Do("WAIT", "1", "5000"), ":1\r\n")
	primary.Kill()
	start := time.Now()
	want(t, "a write during the failover", c.Do("SET", "k", "after"), "+OK\r\n")
	t.Logf("it waited %v", time.Since(start).Round(time.Millisecond))
	want(t, "GET", c.Do("GET", "k"), redistest.Bulk("after"))
	balanced(t, srv)
}

// Who blocks for a key, or watches one, goes along when the key's slot moves, and so does who is refused at once.
func TestClusterPrivateLanesFollowTheSlot(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 2, 0)
	srv := serve(t, inCluster(cl.Addrs()...))
	found(t, srv)
	blocks, c, watches := client(t, srv), client(t, srv), client(t, srv)
	slot := 1
	from := cl.Owner(slot)
	list, key := keyInSlot(slot, "list"), keyInSlot(slot, "key")
	blocks.Send("BLPOP", list, "0")
	blocks.Flush()
	redistest.WaitFor(t, "the client to block", func() bool {
		return strings.Contains(cl.Node(from).Do("INFO", "clients"), "blocked_clients:1")
	})
	watches.Do("WATCH", key)
	watches.Do("MULTI")
	watches.Do("SET", key, "never")
	cl.MoveSlots(from, 1-from, slot)
	want(t, "EXEC of a key whose slot has moved", watches.Do("EXEC"), "*-1\r\n")
	redistest.WaitFor(t, "the client to block at the new node", func() bool {
		return strings.Contains(cl.Node(1-from).Do("INFO", "clients"), "blocked_clients:1")
	})
	want(t, "RPUSH", c.Do("RPUSH", list, "x"), ":1\r\n")
	want(t, "BLPOP", blocks.Recv(), "*2\r\n"+redistest.Bulk(list)+redistest.Bulk("x"))

	t.Run("refused at once", func(t *testing.T) {
		slot := 2
		from := cl.Owner(slot)
		list, key, other := keyInSlot(slot, "list"), keyInSlot(slot, "key"), keyInSlot(slot, "other")
		cl.Node(from).Do("RPUSH", list, "x")
		cl.MoveSlots(from, 1-from, slot)
		// Whoever comes first is told MOVED, and the pool looks at once; so each has a slot that has just moved.
		want(t, "BLPOP", c.Do("BLPOP", list, "1"), "*2\r\n"+redistest.Bulk(list)+redistest.Bulk("x"))
		cl.MoveSlots(1-from, from, slot)
		want(t, "WATCH", watches.Do("WATCH", key, other), "+OK\r\n")
		watches.Do("MULTI")
		watches.Do("SET", key, "1")
		want(t, "EXEC", watches.Do("EXEC"), "*1\r\n+OK\r\n")
		start := time.Now()
		cl.StartMove(from, 1-from, slot)
		want(t, "BLPOP of a key that is not there yet", c.Do("BLPOP", list, "0.3"), "*-1\r\n")
		if took := time.Since(start); took < 290*time.Millisecond || took > 2*time.Second {
			t.Errorf("it blocked for %v", took)
		}
		cl.MoveKeys(from, 1-from, slot)
		cl.FinishMove(from, 1-from, slot)
	})
	balanced(t, srv)
}

// A shard channel's subscribers go where its slot goes.
func TestClusterShardChannelsFollowTheSlot(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, int, int, ...string) *redistest.Cluster{
		"redis": redistest.StartCluster, "valkey": redistest.StartValkeyCluster,
	} {
		t.Run(name, func(t *testing.T) {
			cl := start(t, 2, 0)
			srv := serve(t, inCluster(cl.Addrs()...))
			found(t, srv)
			slot := 1
			from := cl.Owner(slot)
			channel, second := keyInSlot(slot, "channel"), keyInSlot(slot, "second")
			sub, c := client(t, srv), client(t, srv)
			want(t, "SSUBSCRIBE", sub.Do("SSUBSCRIBE", channel), confirmation("*", 1, "ssubscribe", channel))
			for round := range 3 {
				to := 1 - from
				cl.MoveSlots(from, to, slot)
				if round == 0 { // the pool does not know yet that the slot has moved, or has only just been told
					want(t, "SSUBSCRIBE where the slot was", sub.Do("SSUBSCRIBE", second), confirmation("*", 2, "ssubscribe", second))
				}
				redistest.WaitFor(t, "the subscription at the new node", func() bool {
					return strings.Contains(cl.Node(to).Do("PUBSUB", "SHARDNUMSUB", channel), ":1\r\n")
				})
				want(t, "SPUBLISH", c.Do("SPUBLISH", channel, "x"), ":1\r\n")
				want(t, "the message", sub.Recv(), "*3\r\n$8\r\nsmessage\r\n"+redistest.Bulk(channel)+redistest.Bulk("x"))
				from = to
			}
			want(t, "SUNSUBSCRIBE", sub.Do("SUNSUBSCRIBE", channel), confirmation("*", 1, "sunsubscribe", channel))
			want(t, "SUNSUBSCRIBE of the second", sub.Do("SUNSUBSCRIBE", second), confirmation("*", 0, "sunsubscribe", second))
			want(t, "PING of a client that listens no more", sub.Do("PING"), "+PONG\r\n")
			balanced(t, srv)
		})
	}
}

// What a pipeline asks for behind a refused write is not answered before it.
func TestPipelinesKeepTheirOrderOverRefusals(t *testing.T) {
	refusals := 3
	value, refused := "old", "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"
	node := redistest.Answering(t, func(args []string) string {
		switch args[0] {
		case "SET":
			if refusals > 0 {
				refusals--
				return "-READONLY You can't write against a read only replica.\r\n"
			}
			value = args[2]
			return "+OK\r\n"
		case "GET":
			return redistest.Bulk(value)
		case "MSET":
			return refused
		case "PING":
			return "+PONG\r\n"
		}
		return "+OK\r\n"
	})
	srv := serve(t, onPool(func(p *config.Pool) { p.FailoverWait = 5 * time.Second }), node)
	onLoop(t, srv, func(w *worker) { w.pools[0].keeps = keepAll })
	c := client(t, srv)
	c.Send("GET", "k")
	c.Send("SET", "k", "new")
	c.Send("GET", "k")
	c.Send("GET", "other")
	c.Flush()
	for i, w := range []string{redistest.Bulk("old"), "+OK\r\n", redistest.Bulk("new"), redistest.Bulk("old")} {
		want(t, fmt.Sprint("reply ", i), c.Recv(), w)
	}
	refusals = 0
	for _, word := range []string{"TRYAGAIN", "ASK", "MOVED"} {
		if word != "TRYAGAIN" {
			refused = "-" + word + " 7 " + node + "\r\n"
		}
		c.Send("MSET", "k", "1", "k", "2")
		c.Send("SET", "k", "3")
		c.Send("GET", "k")
		c.Flush()
		if got := c.Recv(); !strings.HasPrefix(got, "-TRYAGAIN") {
			t.Errorf("a write that was answered with %s, and that another has overtaken: %q", word, got)
		}
		want(t, "the write behind it", c.Recv(), "+OK\r\n")
		want(t, "the read behind that", c.Recv(), redistest.Bulk("3"))
	}
	balanced(t, srv)
}

// Nodes that send a slot to and fro for good: no client can be meant to follow them.
func TestASlotThatKeepsMoving(t *testing.T) {
	var node, word string
	node = redistest.Answering(t, func(args []string) string {
		switch args[0] {
		case "GET", "MGET", "SET", "BLPOP":
			return "-" + word + " 7 " + node + "\r\n"
		case "EXEC":
			return "-EXECABORT Transaction discarded because of previous errors.\r\n"
		}
		return "+OK\r\n"
	})
	srv := serve(t, onPool(func(p *config.Pool) { p.FailoverWait, p.Timeout = 0, 200*time.Millisecond }), node)
	onLoop(t, srv, func(w *worker) { w.pools[0].keeps = keepAll })
	c := client(t, srv)
	for _, word = range []string{"MOVED", "ASK"} {
		c.Send("GET", "k")
		c.Send("MGET", "k", "l")
		c.Send("BLPOP", "k", "1")
		c.Send("PING")
		c.Flush()
		for _, what := range []string{"GET", "MGET", "BLPOP"} {
			want(t, what+" with "+word, c.Recv(), "-"+errStillMoving+"\r\n")
		}
		want(t, "PING behind them", c.Recv(), "+PONG\r\n")
		c.Do("MULTI")
		c.Do("SET", "k", "v")
		want(t, "EXEC with "+word, c.Do("EXEC"), "-"+errStillMoving+"\r\n")
	}
	balanced(t, srv)
}

// Who blocks at a primary that was replaced and hangs is told so: whether an element was popped nobody knows.
func TestBlockedAtAReplacedPrimaryThatHangs(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 200 * time.Millisecond }), a.Addr())
	onLoop(t, srv, func(w *worker) { w.pools[0].keeps = keepAll })
	c := client(t, srv)
	c.Send("BLPOP", "list", "0")
	c.Flush()
	redistest.WaitFor(t, "the client to block", func() bool { return strings.Contains(a.Do("INFO", "clients"), "blocked_clients:1") })
	a.Stop()
	defer a.Cont()
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0].Address = b.Addr() }))
	if got := c.Recv(); !strings.HasPrefix(got, "-ERR node 'n0'") || !strings.Contains(got, "did not answer within 200ms") {
		t.Errorf("BLPOP: %q", got)
	}
	b.Do("RPUSH", "list", "x")
	want(t, "BLPOP at the new one", c.Do("BLPOP", "list", "1"), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
	balanced(t, srv)
}

// A script that its node has forgotten is not run behind what the client had sent after it.
func TestForgottenScriptsKeepTheirPlace(t *testing.T) {
	const script = "return redis.call('INCR', KEYS[1])"
	for name, front := range map[string]func(t *testing.T) (*Server, *redistest.Redis){
		"plain": func(t *testing.T) (*Server, *redistest.Redis) {
			n := redistest.Server(t)
			return serve(t, nil, n.Addr()), n
		},
		"cluster": func(t *testing.T) (*Server, *redistest.Redis) {
			cl := redistest.StartCluster(t, 1, 0)
			srv := serve(t, inCluster(cl.Addrs()...))
			found(t, srv)
			return srv, cl.Node(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv, node := front(t)
			c := client(t, srv)
			want(t, "EVAL", c.Do("EVAL", script, "1", "n"), ":1\r\n")
			digest := fmt.Sprintf("%x", sha1.Sum([]byte(script)))
			want(t, "EVALSHA", c.Do("EVALSHA", digest, "1", "n"), ":2\r\n")
			node.Do("SCRIPT", "FLUSH")
			c.Send("EVALSHA", digest, "1", "n")
			c.Send("EVALSHA", digest, "1", "n")
			c.Flush()
			want(t, "the first of two", c.Recv(), ":3\r\n")
			want(t, "the second of two", c.Recv(), ":4\r\n")
			node.Do("SCRIPT", "FLUSH")
			c.Send("EVALSHA", digest, "1", "n")
			c.Send("INCR", "n")
			c.Send("GET", "n")
			c.Flush()
			if got := c.Recv(); !strings.HasPrefix(got, "-NOSCRIPT") {
				t.Errorf("a script that a write has overtaken: %q", got)
			}
			want(t, "the write", c.Recv(), ":5\r\n")
			want(t, "the read", c.Recv(), redistest.Bulk("5"))
			balanced(t, srv)
		})
	}
}

// Who subscribes while the primary of the channel's slot is gone waits for the new one, as requests do.
func TestClusterSubscribersWaitForThePrimary(t *testing.T) {
	t.Parallel()
	cl := redistest.StartCluster(t, 3, 1)
	srv := serve(t, func(c *config.Config) {
		inCluster(cl.Addrs()...)(c)
		c.Pools[0].FailoverWait = 20 * time.Second
	})
	found(t, srv)
	c := client(t, srv)
	cl.Node(cl.Owner(1)).Kill()
	channel := keyInSlot(1, "channel")
	want(t, "SSUBSCRIBE", c.Do("SSUBSCRIBE", channel), confirmation("*", 1, "ssubscribe", channel))
	want(t, "SPUBLISH", client(t, srv).Do("SPUBLISH", channel, "x"), ":1\r\n")
	balanced(t, srv)
}
