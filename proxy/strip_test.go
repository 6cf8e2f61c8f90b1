package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// stripped is a server with a pool in front of two nodes, whose keys clients have below "old:", beside one whose keys they have as they are.
func stripped(t testing.TB) (srv *Server, old, rest []*redistest.Redis) {
	old = []*redistest.Redis{redistest.Server(t), redistest.Server(t)}
	rest = []*redistest.Redis{redistest.Server(t)}
	return serve(t, routesTo([]config.Route{{Prefix: "old:", Pool: "old", StripPrefix: true}, {Prefix: "", Pool: "rest"}},
		poolOf("old", old[0].Addr(), old[1].Addr()), poolOf("rest", rest[0].Addr()))), old, rest
}

func TestStrippedKeys(t *testing.T) {
	srv, old, rest := stripped(t)
	for _, resp3 := range []bool{false, true} {
		t.Run(fmt.Sprintf("resp3=%v", resp3), func(t *testing.T) {
			c, one, other := client(t, srv), client(t, srv), redistest.Server(t) // other: what a single server says to the same
			direct := redistest.Dial(t, other.Addr())
			if resp3 {
				for _, x := range []*redistest.Conn{c, one, direct} {
					x.Do("HELLO", "3")
				}
			}
			// Each is said to a single server as it stands, and the replies must be the same, prefixes and all.
			for line := range strings.Lines(`
				FLUSHALL
				SET old:a 1
				GET old:a
				GETDEL old:a
				MSET old:a 1 old:b 2 old:c 3 d 4
				MGET old:a d old:b old:c a
				EXISTS old:a old:b old:c a b c d
				DEL old:a old:c nothing
				RENAME old:{x} old:{x}y
				SET old:{x} v
				RENAME old:{x} old:{x}y
				COPY old:{x}y old:{x}z REPLACE
				GET old:{x}z
				OBJECT ENCODING old:{x}z
				MEMORY USAGE nothing
				RPUSH old:{l}1 a b c d e f
				LMPOP 2 old:{l}2 old:{l}1 LEFT COUNT 2
				LMPOP 1 old:{l}2 LEFT
				BLPOP old:{l}2 old:{l}1 0
				BRPOP old:{l}1 0
				BLMPOP 0 2 old:{l}2 old:{l}1 LEFT
				BLMPOP 0.01 2 old:{l}2 old:{l}3 LEFT
				LMOVE old:{l}1 old:{l}4 LEFT RIGHT
				LRANGE old:{l}4 0 -1
				ZADD old:{z} 1 a 2 b 3 c 4 d
				ZMPOP 1 old:{z} MIN
				BZPOPMIN old:{z} 0
				BZPOPMAX old:{z} 0
				BZMPOP 0 1 old:{z} MAX
				BZPOPMIN old:{z} 0.01
				ZADD old:{z} 1 a 2 b
				ZUNIONSTORE old:{z}u 2 old:{z} old:{z}2 WEIGHTS 2 1
				ZRANGE old:{z}u 0 -1 WITHSCORES
				XADD old:s1 1-1 f v
				XADD old:{t}1 1-1 f v
				XADD old:{t}2 1-1 f v
				XADD t 1-1 f v
				XREAD STREAMS old:{t}1 old:{t}2 0 0
				XREAD COUNT 1 STREAMS old:s1 t old:{t}2 0 0 0
				XREAD BLOCK 0 STREAMS old:{t}1 old:{t}2 0 0
				XREAD BLOCK 10 STREAMS old:{t}1 2
				XREAD STREAMS old:{t}1 2
				XGROUP CREATE old:{t}1 g 0
				XREADGROUP GROUP g me STREAMS old:{t}1 >
				XREADGROUP GROUP g me BLOCK 0 STREAMS old:{t}1 0
				EVAL redis.call('set',KEYS[1],ARGV[1])return{KEYS[2]==nil,redis.call('get',KEYS[1])} 1 old:e v
				SADD old:set1 a b c
				SADD set2 b c d
				SINTER old:set1 set2
				SINTERCARD 2 old:set1 set2
				RPUSH old:{o} 3 1 2
				MSET old:{o}w1 30 old:{o}w2 20 old:{o}w3 10
				SORT old:{o}
				SORT old:{o} BY old:{o}w* GET # GET old:{o}w*
				MSET w1 7 w2 8 w3 9 old:w1 3 old:w2 2 old:w3 1
				SORT old:{o} BY w* GET # GET old:w*
				SORT old:{o} BY old:w* GET w*
				SORT old:{o} LIMIT 0 2 STORE old:{o}out
				LRANGE old:{o}out 0 -1
				MULTI
				SET old:{m} 1
				INCR old:{m}
				EXEC
				WATCH old:{m} old:{m}2
				MULTI
				INCR old:{m}
				EXEC
				GET old:{m}
				EXPIRE old:{m} 100
				SETRANGE old:{m} 5 x
				PFADD old:{h} a
				PFMERGE old:{h}2 old:{h}
				PFCOUNT old:{h} old:{h}2
				BITOP NOT old:{h}3 old:{h}2
				GEOADD old:{g} 13 38 P
				GEOSEARCHSTORE old:{g}2 old:{g} FROMMEMBER P BYRADIUS 1 km
				TYPE old:{g}2
				TOUCH old:{g}2 old:{g} d
				UNLINK old:{g}2 old:{g} d
				DBSIZE
			`) {
				args := strings.Fields(line)
				if len(args) == 0 {
					continue
				}
				got, wanted := c.Do(args...), direct.Do(args...)
				if args[0] == "SINTER" {
					got, wanted = sorted(t, got), sorted(t, wanted)
				}
				want(t, strings.TrimSpace(line), got, wanted)
			}
			for _, pattern := range []string{"*", "old:*", "old:{o}*", "*l*", "ol[c-e]:*", "o*w?", "s*", "old:", "old", "none*", `old\:a*`} {
				want(t, "KEYS "+pattern, sorted(t, c.Do("KEYS", pattern)), sorted(t, direct.Do("KEYS", pattern)))
				got, wanted := scanned(t, c, "MATCH", pattern, "COUNT", "3"), scanned(t, direct, "MATCH", pattern)
				for k := range wanted {
					if got[k] == 0 {
						t.Errorf("SCAN MATCH %s: %s is missing", pattern, k)
					}
				}
				if len(got) != len(wanted) {
					t.Errorf("SCAN MATCH %s: %v, want %v", pattern, got, wanted)
				}
			}
			if got := scanned(t, c, "TYPE", "stream"); len(got) != 4 {
				t.Errorf("SCAN TYPE stream: %v", got)
			}
			one.Do("FLUSHALL")
			want(t, "RANDOMKEY of nothing", c.Do("RANDOMKEY"), direct.Do("GET", "nothing"))
			one.Do("SET", "old:x", "1")
			want(t, "RANDOMKEY", c.Do("RANDOMKEY"), redistest.Bulk("old:x"))
		})
	}
	t.Run("the servers see them without the prefix", func(t *testing.T) {
		c := client(t, srv)
		c.Do("FLUSHALL")
		c.Do("MSET", "old:1", "x", "old:2", "x", "old:3", "x", "old:4", "x", "old:5", "x", "1", "y")
		var keys []string
		for _, r := range old {
			for _, k := range "12345" {
				if r.Do("EXISTS", string(k)) == ":1\r\n" {
					keys = append(keys, string(k))
				}
			}
		}
		if slices.Sort(keys); len(keys) != 5 {
			t.Errorf("the servers have %q", keys)
		}
		want(t, "GET 1 of the rest", rest[0].Do("GET", "1"), redistest.Bulk("y"))
		for _, k := range keys { // as for clients of that pool
			direct, front := 0, 0
			onLoop(t, srv, func(w *worker) { direct, front = w.pools[0].find([]byte(k)), w.pools[2].find([]byte("old:"+k)) })
			if direct != front {
				t.Errorf("%s is on node %d of its pool and %d of the front", k, direct, front)
			}
		}
	})
	t.Run("a key that no name leads to", func(t *testing.T) {
		rest[0].Do("SET", "old:hidden", "x")
		if got := client(t, srv).Do("KEYS", "*hidden"); got != "*0\r\n" {
			t.Errorf("KEYS: %q", got)
		}
	})
	t.Run("what blocks", func(t *testing.T) {
		c, d := client(t, srv), client(t, srv)
		c.Send("BLPOP", "old:{b}1", "old:{b}2", "0")
		c.Flush()
		redistest.WaitFor(t, "the client to block", func() bool {
			return strings.Contains(old[0].Do("INFO", "clients")+old[1].Do("INFO", "clients"), "blocked_clients:1")
		})
		d.Do("RPUSH", "old:{b}2", "x")
		want(t, "BLPOP", c.Recv(), "*2\r\n"+redistest.Bulk("old:{b}2")+redistest.Bulk("x"))
		want(t, "what comes behind", c.Do("GET", "old:none"), "$-1\r\n")
	})
	t.Run("channels keep their names", func(t *testing.T) {
		c, sub := client(t, srv), client(t, srv)
		want(t, "SUBSCRIBE", sub.Do("SUBSCRIBE", "old:news"), confirmation("*", 1, "subscribe", "old:news"))
		want(t, "PUBLISH", c.Do("PUBLISH", "old:news", "x"), ":1\r\n")
		want(t, "the message", sub.Recv(), message("old:news", "x"))
	})
	t.Run("a big value", func(t *testing.T) {
		c, value := client(t, srv), strings.Repeat("x", 3<<20)
		want(t, "SET", c.Do("SET", "old:big", value), "+OK\r\n")
		want(t, "MSET", c.Do("MSET", "old:big2", value, "big", value), "+OK\r\n")
		if c.Do("GET", "old:big") != redistest.Bulk(value) || c.Do("GET", "old:big2") != redistest.Bulk(value) {
			t.Error("the value is another")
		}
	})
	balanced(t, srv)
}

// Two routes to one pool, one of which strips: keys of both in one command, if they share a node.
func TestStrippedAndWholeKeysTogether(t *testing.T) {
	srv := serve(t, routesTo([]config.Route{{Prefix: "old:", Pool: "p", StripPrefix: true}, {Prefix: "", Pool: "p"}}, poolOf("p", nodes(t, 3)...)))
	c := client(t, srv)
	c.Do("SET", "old:{x}1", "v")
	want(t, "RENAME", c.Do("RENAME", "old:{x}1", "{x}2"), "+OK\r\n")
	want(t, "GET", c.Do("GET", "{x}2"), redistest.Bulk("v"))
	want(t, "GET by its other name", c.Do("GET", "old:{x}2"), redistest.Bulk("v"))
	want(t, "KEYS tells one name", c.Do("KEYS", "*"), "*1\r\n"+redistest.Bulk("{x}2"))
	c.Do("RPUSH", "{x}l", "1")
	want(t, "LMPOP", c.Do("LMPOP", "2", "old:{x}none", "{x}l", "LEFT"), "*2\r\n"+redistest.Bulk("{x}l")+"*1\r\n"+redistest.Bulk("1"))
	balanced(t, srv)
}

// While a pool strips, its routes change: what was queued by the old ones is sent by the new ones.
func TestStripPrefixChangesWhileATransactionIsQueued(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, routesTo([]config.Route{{Prefix: "", Pool: "p"}}, poolOf("p", a.Addr())))
	c := client(t, srv)
	c.Do("MULTI")
	c.Do("SET", "old:k", "v")
	reloadWith(t, srv, func(c *config.Config) {
		c.Pools[0].Routes = []config.Route{{Prefix: "", Pool: "p"}, {Prefix: "old:", Pool: "p", StripPrefix: true}}
	})
	redistest.WaitFor(t, "the new routes", func() bool {
		strips := false
		onLoop(t, srv, func(w *worker) { strips = w.pools[1].extras.strips })
		return strips
	})
	want(t, "EXEC", c.Do("EXEC"), "*1\r\n+OK\r\n")
	want(t, "GET at the server", a.Do("GET", "k"), redistest.Bulk("v"))
	balanced(t, srv)
}

func TestLateNodeOfAStrippedPool(t *testing.T) {
	srv := serve(t, func(c *config.Config) {
		p := poolOf("p", redistest.Answering(t, func([]string) string { select {} }))
		p.Timeout = 50 * time.Millisecond
		routesTo([]config.Route{{Prefix: "old:", Pool: "p", StripPrefix: true}}, p)(c)
	})
	c := client(t, srv)
	for _, request := range []string{"GET old:a", "LMPOP 1 old:a LEFT", "XREAD STREAMS old:a 0", "MGET old:a old:b", "KEYS *"} {
		if got := c.Do(strings.Fields(request)...); !strings.HasPrefix(got, "-ERR node 'n0' (") {
			t.Errorf("%s: %q", request, got)
		}
	}
	balanced(t, srv)
}
