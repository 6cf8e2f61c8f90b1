package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// poolOf is a pool that others lead to, of the given addresses.
func poolOf(name string, addresses ...string) config.Pool {
	p := config.DefaultPool()
	p.Name = name
	for i, a := range addresses {
		p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprint("n", i), Address: a, Weight: 1})
	}
	return p
}

// routesTo makes serve's pool one that leads to others.
func routesTo(routes []config.Route, pools ...config.Pool) func(*config.Config) {
	return func(c *config.Config) {
		c.Pools[0].Name = "front"
		c.Pools[0].Routes = routes
		c.Pools = append(c.Pools, pools...)
	}
}

// statsOf returns what a pool has counted, over all loops.
func statsOf(t testing.TB, srv *Server, name string) *metrics.Pool {
	t.Helper()
	for _, p := range srv.Pools() {
		if p.Name == name {
			return metrics.Sum(p.Shards)
		}
	}
	t.Fatalf("there is no pool %q", name)
	return nil
}

func TestLongestPrefixWins(t *testing.T) {
	routing := func(prefixes ...string) *routing {
		var routes []route
		for _, p := range prefixes {
			routes = append(routes, route{prefix: p})
		}
		return newRouting(routes)
	}
	few := routing("user:", "a", "user:1", "ab", "user:10:", "abcd", "\xff")
	for key, want := range map[string]string{
		"user:2": "user:", "user:1": "user:1", "user:10": "user:1", "user:10:x": "user:10:", "user:9\xff": "user:", "user:11": "user:1",
		"a": "a", "aa": "a", "ab": "ab", "abc": "ab", "abcd": "abcd", "abce": "ab", "abcde": "abcd", "ac": "a", "\xff\xff": "\xff",
		"": "none", "user": "none", "b": "none", "users:": "none", "\xfe": "none",
	} {
		got := "none"
		if r := few.of([]byte(key)); r != nil {
			got = r.prefix
		}
		if got != want {
			t.Errorf("%q: the route is %q, want %q", key, got, want)
		}
	}
	if few.whole || !routing("", "a").whole {
		t.Error("whether every key has a route")
	}
	t.Run("as the slow way says", func(t *testing.T) {
		word := func() string {
			b := make([]byte, rand.IntN(6))
			for i := range b {
				b[i] = "ab:"[rand.IntN(3)]
			}
			return string(b)
		}
		for range 2000 {
			var pool config.Pool
			var prefixes []string
			for range 1 + rand.IntN(12) {
				if p := word(); !slices.Contains(prefixes, p) {
					prefixes = append(prefixes, p)
					pool.Routes = append(pool.Routes, config.Route{Prefix: p})
				}
			}
			r := routing(prefixes...)
			for range 20 {
				key := []byte(word())
				slow, fast := pool.RouteOf(key), r.of(key)
				if (slow == nil) != (fast == nil) || slow != nil && slow.Prefix != fast.prefix {
					t.Fatalf("%q among %q: %v, want %v", key, prefixes, fast, slow)
				}
			}
		}
	})
	t.Run("without allocating", func(t *testing.T) {
		var prefixes []string
		for i := range 500 {
			prefixes = append(prefixes, fmt.Sprintf("tenant:%d:", i))
		}
		r, key := routing(prefixes...), []byte("tenant:321:key of more than thirty-two bytes in all")
		if n := testing.AllocsPerRun(100, func() {
			if r.of(key).prefix != "tenant:321:" {
				t.Error("the route is another")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestRoutesLeadToOtherPools(t *testing.T) {
	users, cache := nodes(t, 2), nodes(t, 2)
	srv := serve(t, routesTo([]config.Route{{Prefix: "user:", Pool: "users"}, {Prefix: "", Pool: "cache"}},
		poolOf("cache", cache...), poolOf("users", users...)))
	c := client(t, srv)
	has := func(addresses []string, key string) (n int) {
		for _, a := range addresses {
			if redistest.Dial(t, a).Do("EXISTS", key) == ":1\r\n" {
				n++
			}
		}
		return n
	}
	var keys []string
	for i := range 20 {
		for _, p := range []string{"user:", "page:"} {
			k := fmt.Sprint(p, i)
			keys = append(keys, k)
			want(t, "SET", c.Do("SET", k, "v"+k), "+OK\r\n")
			u, p := has(users, k), has(cache, k)
			if isUser := strings.HasPrefix(k, "user:"); u+p != 1 || isUser != (u == 1) {
				t.Errorf("%s is on %d servers of users and %d of cache", k, u, p)
			}
			want(t, "GET "+k, c.Do("GET", k), redistest.Bulk("v"+k))
		}
	}
	t.Run("several at once", func(t *testing.T) {
		want(t, "EXISTS", c.Do(append([]string{"EXISTS"}, keys...)...), fmt.Sprintf(":%d\r\n", len(keys)))
		got := c.Do(append([]string{"MGET"}, keys...)...)
		all := fmt.Sprintf("*%d\r\n", len(keys))
		for _, k := range keys {
			all += redistest.Bulk("v" + k)
		}
		want(t, "MGET", got, all)
		want(t, "DBSIZE", c.Do("DBSIZE"), fmt.Sprintf(":%d\r\n", len(keys)))
		want(t, "keys by SCAN", fmt.Sprint(len(scanned(t, c, "COUNT", "7"))), fmt.Sprint(len(keys)))
	})
	t.Run("keys of different pools in one command", func(t *testing.T) {
		want(t, "RENAME", c.Do("RENAME", "user:1", "page:1"), "-"+errCrossSlot+"\r\n")
		c.Do("SADD", "user:set", "a", "b")
		c.Do("SADD", "page:set", "b", "c")
		want(t, "SINTER", c.Do("SINTER", "user:set", "page:set"), "*1\r\n"+redistest.Bulk("b"))
	})
	t.Run("transactions and WATCH", func(t *testing.T) {
		c.Do("WATCH", "user:{1}")
		c.Do("MULTI")
		c.Do("SET", "user:{1}", "x")
		want(t, "EXEC", c.Do("EXEC"), "*1\r\n+OK\r\n")
		c.Do("MULTI")
		c.Do("SET", "user:{1}", "y")
		want(t, "SET in another pool", c.Do("SET", "page:{1}", "y"), "-"+errCrossSlot+"\r\n")
		want(t, "EXEC", c.Do("EXEC"), "-"+errExecAbort+"\r\n")
	})
	t.Run("databases", func(t *testing.T) {
		d := client(t, srv)
		d.Do("SELECT", "3")
		d.Do("SET", "user:3", "three")
		want(t, "GET in database 0", c.Do("GET", "user:3"), redistest.Bulk("vuser:3"))
		want(t, "GET in database 3", d.Do("GET", "user:3"), redistest.Bulk("three"))
	})
	t.Run("pub/sub", func(t *testing.T) {
		sub := client(t, srv)
		want(t, "SUBSCRIBE", sub.Do("SUBSCRIBE", "user:news"), confirmation("*", 1, "subscribe", "user:news"))
		got := 0
		for _, a := range append(slices.Clone(users), cache...) {
			if redistest.Dial(t, a).Do("PUBSUB", "NUMSUB", "user:news") == "*2\r\n"+redistest.Bulk("user:news")+":1\r\n" {
				got++
			}
		}
		want(t, "subscribed servers", fmt.Sprint(got), "1")
		want(t, "PUBLISH", c.Do("PUBLISH", "user:news", "x"), ":1\r\n")
		want(t, "the message", sub.Recv(), message("user:news", "x"))
	})
	t.Run("names", func(t *testing.T) {
		if got := srv.Pools()[2].Nodes; !slices.Equal(got, []string{"users/n0", "users/n1", "cache/n0", "cache/n1"}) {
			t.Errorf("the nodes are called %q", got)
		}
	})
	balanced(t, srv)
}

func TestKeysWithoutARoute(t *testing.T) {
	srv := serve(t, routesTo([]config.Route{{Prefix: "a:", Pool: "a"}, {Prefix: "b:", Pool: "b"}},
		poolOf("a", nodes(t, 1)...), poolOf("b", nodes(t, 1)...)))
	c := client(t, srv)
	long := strings.Repeat("x", 1000)
	for _, x := range []struct{ request, key string }{
		{"GET c", `"c"`}, {"SET c 1", `"c"`}, {"MGET a:1 c b:1", `"c"`}, {"MSET a:1 x c x", `"c"`}, {"DEL c", `"c"`}, {"BLPOP c 0", `"c"`}, {"WATCH c", `"c"`},
		{"SINTER a:1 c", `"c"`}, {"PUBLISH c x", `"c"`}, {"SUBSCRIBE a:1 c", `"c"`}, {"SSUBSCRIBE c", `"c"`}, {"SPUBLISH c x", `"c"`}, {"EVAL x 1 c", `"c"`},
		{"DEBUG OBJECT c", `"c"`},
		{"XREAD BLOCK 0 STREAMS a:s c 0 0", `"c"`}, {"GET " + long, `"` + strings.Repeat("x", 64) + `"...`},
	} {
		want(t, x.request, c.Do(strings.Fields(x.request)...), "-ERR no route for this key: "+x.key+"\r\n")
	}
	want(t, "nothing of MSET was done", c.Do("EXISTS", "a:1"), ":0\r\n")
	c.Do("MULTI")
	want(t, "in a transaction", c.Do("GET", "c"), "-ERR no route for this key: \"c\"\r\n")
	want(t, "EXEC", c.Do("EXEC"), "-"+errExecAbort+"\r\n")
	want(t, "SET", c.Do("SET", "b:1", "v"), "+OK\r\n")
	want(t, "without a key", c.Do("DBSIZE"), ":1\r\n")
	c.Do("RPUSH", "a:l", "1")
	want(t, "SORT by keys without a route", c.Do("SORT", "a:l", "BY", "c*"), "-ERR no route for this key: \"c1\"\r\n")
	want(t, "keyspace notifications", c.Do("SUBSCRIBE", "__keyspace@0__:c"), confirmation("*", 1, "subscribe", "__keyspace@0__:c"))
	if n := statsOf(t, srv, "front").Errors[metrics.NoRoute]; n != 17 {
		t.Errorf("%d errors were counted", n)
	}
	balanced(t, srv)
}

// A node that is ejected from its pool is none of the pool in front of it either, and comes back to both.
func TestRoutesFollowEjections(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	target := poolOf("target", a.Addr(), b.Addr())
	target.OnFailure, target.FailureLimit, target.RetryTimeout = "eject", 1, 50*time.Millisecond
	srv := serve(t, routesTo([]config.Route{{Prefix: "", Pool: "target"}}, target))
	c := client(t, srv)
	key := "k"
	onLoop(t, srv, func(w *worker) {
		front := w.pools[1]
		for n := 0; front.find([]byte(key)) != 0; n++ {
			key = fmt.Sprint("k", n)
		}
	})
	want(t, "SET", c.Do("SET", key, "at a"), "+OK\r\n")
	a.Kill()
	redistest.WaitFor(t, "the other node", func() bool { return c.Do("SET", key, "at b") == "+OK\r\n" })
	want(t, "GET from b", redistest.Dial(t, b.Addr()).Do("GET", key), redistest.Bulk("at b"))
	a.Restart()
	redistest.WaitFor(t, "the node to be back", func() bool { return c.Do("GET", key) != redistest.Bulk("at b") })
	balanced(t, srv)
}

// The routes change while clients with full pipelines use them: between pools that hold the same keys, so that no reply may be missing, be an
// error, or be another key's.
func TestRoutesChangeUnderLoad(t *testing.T) {
	const clients, reloads = 16, 30
	servers := nodes(t, 4)
	srv := serve(t, func(c *config.Config) {
		c.Threads = 2
		routesTo([]config.Route{{Prefix: "", Pool: "p0"}}, poolOf("p0", servers[0], servers[1]), poolOf("p1", servers[2]), poolOf("p2", servers[3]))(c)
	})
	replies, stop := readAndWrite(t, srv, clients, func(id, i int) string { return fmt.Sprintf("c%d:%d-%d", id, id, i) }) // its own, without the prefix too
	for n := range reloads {
		seen := replies()
		reloadWith(t, srv, func(c *config.Config) {
			c.Pools[0].Routes = []config.Route{{Prefix: "", Pool: fmt.Sprint("p", rand.IntN(3))}}
			for i := range clients {
				if rand.IntN(3) == 0 {
					c.Pools[0].Routes = append(c.Pools[0].Routes, config.Route{Prefix: fmt.Sprintf("c%d:", i), Pool: fmt.Sprint("p", rand.IntN(3)), StripPrefix: n%3 == 2})
				}
			}
			c.Pools[1].Backends = poolOf("", servers[n%4], servers[(n+1)%4]).Backends
		})
		redistest.WaitFor(t, "replies after the reload", func() bool { return replies() > seen+clients*150 || t.Failed() })
	}
	stop()
	t.Logf("%d replies checked over %d reloads", replies(), reloads)
	balanced(t, srv)
}

// A pool that routes lead to may change while the one in front of it is being opened: the loops know that before they are told.
func TestPoolWithRoutesOpensWhileOthersChange(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	behind := srv.pool(0)
	cfg := config.DefaultPool()
	cfg.Name, cfg.Routes = "front", []config.Route{{Pool: behind.cfg.Name}}
	front := srv.newShared(&cfg, newDirector(srv, srv.count()), srv.keys.Load())
	front.director.use(front)
	front.linkTo(srv.open())
	t.Cleanup(front.director.stop)
	changed := make(chan struct{})
	err := front.director.open(func(first *topology) {
		go func() {
			behind.director.mu.Lock()
			behind.director.publish(behind.director.present)
			behind.director.mu.Unlock()
			close(changed)
		}()
		srv.post(func(w *worker) { w.addPool(front, first) })
	})
	if err != nil {
		t.Fatal(err)
	}
	<-changed
	front.director.mu.Lock()
	present := front.director.present
	front.director.mu.Unlock()
	onLoop(t, srv, func(w *worker) {
		if w.pools[1].topo != present {
			t.Error("the loop has another topology")
		}
	})
}

// A pool may have servers, then lead to others, then have servers again, while its clients stay connected.
func TestAPoolBecomesOneWithRoutes(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	c := client(t, srv)
	c.Do("SET", "k", "at a")
	redistest.Dial(t, b.Addr()).Do("SET", "k", "at b")
	for range 2 {
		reloadWith(t, srv, func(c *config.Config) {
			c.Pools[0].Backends, c.Pools[0].Routes = nil, []config.Route{{Prefix: "", Pool: "other"}}
			c.Pools = append(c.Pools, poolOf("other", b.Addr()))
		})
		redistest.WaitFor(t, "the other pool", func() bool { return c.Do("GET", "k") == redistest.Bulk("at b") })
		reloadWith(t, srv, func(c *config.Config) {
			c.Pools = c.Pools[:1]
			c.Pools[0].Routes, c.Pools[0].Backends = nil, poolOf("", a.Addr()).Backends
		})
		redistest.WaitFor(t, "its own servers", func() bool { return c.Do("GET", "k") == redistest.Bulk("at a") })
	}
	balanced(t, srv)
}

// A Redis Cluster and a plain pool behind one address, the cluster's keys without their prefix: its slots move while they are used.
func TestRoutesToARedisCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	p := poolOf("cluster")
	p.Cluster = &config.Cluster{Seeds: cluster.Addrs()}
	srv := serve(t, routesTo([]config.Route{{Prefix: "c:", Pool: "cluster", StripPrefix: true}, {Prefix: "", Pool: "plain"}}, p, poolOf("plain", nodes(t, 2)...)))
	c := client(t, srv)
	redistest.WaitFor(t, "the cluster", func() bool { return c.Do("SET", "c:k", "v") == "+OK\r\n" })
	mset, mget, values := []string{"MSET"}, []string{"MGET"}, "*40\r\n"
	for i := range 20 {
		for _, prefix := range []string{"c:", "p:"} {
			k := fmt.Sprint(prefix, i)
			mset, mget = append(mset, k, "v"+k), append(mget, k)
			values += redistest.Bulk("v" + k)
		}
	}
	want(t, "MSET", c.Do(mset...), "+OK\r\n")
	want(t, "MGET", c.Do(mget...), values)
	want(t, "DEL of two slots", c.Do("DEL", "c:k", "c:none", "p:none"), ":1\r\n")
	want(t, "DBSIZE", c.Do("DBSIZE"), ":40\r\n")
	if got := len(scanned(t, c, "MATCH", "c:*")); got != 20 {
		t.Errorf("SCAN has found %d keys", got)
	}
	want(t, "RENAME to another slot", c.Do("RENAME", "c:1", "c:2"), "-"+errCrossSlot+"\r\n")
	slot := 0
	fmt.Sscanf(cluster.Node(0).Do("CLUSTER", "KEYSLOT", "{t}"), ":%d", &slot)
	c.Do("SET", "c:{t}1", "x")
	for range 2 {
		from := cluster.Owner(slot)
		cluster.MoveSlots(from, (from+1)%3, slot)
		want(t, "GET", c.Do("GET", "c:{t}1"), redistest.Bulk("x"))
		from = cluster.Owner(slot)
		cluster.MoveSlots(from, (from+1)%3, slot)
		want(t, "MGET", c.Do("MGET", "c:{t}1", "p:1", "c:{t}none"), "*3\r\n"+redistest.Bulk("x")+redistest.Bulk("vp:1")+"$-1\r\n")
		from = cluster.Owner(slot)
		cluster.MoveSlots(from, (from+1)%3, slot)
		c.Do("MULTI")
		c.Do("SET", "c:{t}2", "y")
		c.Do("RENAME", "c:{t}2", "c:{t}3")
		want(t, "EXEC", c.Do("EXEC"), "*2\r\n+OK\r\n+OK\r\n")
	}
	want(t, "MGET of all", c.Do(mget...), values)
	sub := client(t, srv)
	sub.Do("PSUBSCRIBE", "?:news")
	for _, channel := range []string{"c:news", "p:news"} { // each is heard once, though all nodes of the cluster would say it
		c.Do("PUBLISH", channel, "x")
		want(t, "the message", sub.Recv(), "*4\r\n"+redistest.Bulk("pmessage")+redistest.Bulk("?:news")+redistest.Bulk(channel)+redistest.Bulk("x"))
	}
	want(t, "PUNSUBSCRIBE", sub.Do("PUNSUBSCRIBE", "?:news"), confirmation("*", 0, "punsubscribe", "?:news"))
	c.Do("MULTI")
	c.Do("SET", "c:1", "x")
	want(t, "a channel of another slot in a transaction", c.Do("PUBLISH", "c:2", "x"), "-"+errCrossSlotChannel+"\r\n")
	c.Do("DISCARD")
	balanced(t, srv)
}

// What a pool's replicas are read for, they are read for through routes, too.
func TestRoutesReadFromReplicas(t *testing.T) {
	primary := redistest.Server(t)
	replica := redistest.Replica(t, primary)
	p := poolOf("p", primary.Addr())
	p.ReadPolicy = "prefer-replica"
	p.Backends[0].Replicas = []config.Replica{{Address: replica.Addr()}}
	srv := serve(t, routesTo([]config.Route{{Prefix: "r:", Pool: "p", StripPrefix: true}}, p))
	c := client(t, srv)
	c.Do("SET", "r:k", "v")
	reads := func() string { return replica.Do("INFO", "commandstats") }
	redistest.WaitFor(t, "a read of the replica", func() bool {
		return c.Do("GET", "r:k") == redistest.Bulk("v") && strings.Contains(reads(), "cmdstat_get:")
	})
	balanced(t, srv)
}

// What a pool's checks find holds for those who come through routes, and so do its limits.
func TestRoutesKeepToTheirPoolsChecksAndLimits(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	bounded, checks := poolOf("bounded", a.Addr()), poolOf("checked", b.Addr())
	bounded.NodeRequests, bounded.Timeout, bounded.Health = 10, 0, config.Health{}
	checks.Timeout = 0
	checked(&checks)
	srv := serve(t, routesTo([]config.Route{{Prefix: "b:", Pool: "bounded", StripPrefix: true}, {Prefix: "", Pool: "checked"}}, bounded, checks))
	c, d := client(t, srv), client(t, srv)
	want(t, "SET", c.Do("MSET", "b:k", "1", "k", "1"), "+OK\r\n")
	a.Stop()
	for range 15 {
		c.Send("GET", "b:k")
	}
	c.Flush()
	redistest.WaitFor(t, "the requests to be shed", func() bool { return statsOf(t, srv, "front").Errors[metrics.Shed] == 5 })
	want(t, "another pool's key meanwhile", d.Do("GET", "k"), redistest.Bulk("1"))
	a.Cont()
	for i := range 15 {
		if got := c.Recv(); (i < 10) != (got == redistest.Bulk("1")) {
			t.Errorf("GET %d: %q", i, got)
		}
	}
	b.Stop()
	want(t, "GET of a node that says nothing", d.Do("GET", "k"), "-ERR node 'n0' ("+b.Addr()+") is down: no answer to a health check within 300ms\r\n")
	b.Cont()
	redistest.WaitFor(t, "the node's return", func() bool { return d.Do("GET", "k") == redistest.Bulk("1") })
	balanced(t, srv)
}
