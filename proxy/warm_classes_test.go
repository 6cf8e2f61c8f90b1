package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/internal/redistest"
)

// warmCases are commands of each class. The setup is sent before the change, the rest in its window, to Ringway and to one server alone: the
// replies must be the same. {k} is a tag whose keys move, {k2} another that may move between other nodes, {s} one whose keys stay.
var warmCases = []struct{ name, setup, window string }{
	{"GET", "SET {k} v", "GET {k}|GET {k}"},
	{"GET of nothing", "", "GET {k}|EXISTS {k}|TTL {k}"},
	{"reads of types", "HSET {k}h f v|RPUSH {k}l a b c|ZADD {k}z 1 a|SADD {k}s a|XADD {k}x 1-1 f v",
		"HGETALL {k}h|LRANGE {k}l 0 -1|ZSCORE {k}z a|SISMEMBER {k}s a|XRANGE {k}x - +|TYPE {k}h|OBJECT ENCODING {k}l|STRLEN {k}n"},
	{"a pipeline of everything", "SET {k} 1|SET {k2} 2|SET {s} 3",
		"GET {k}|INCR {k}|GET {k}|SET {k} 7|GET {k}|APPEND {k} x|GET {k}|GET {s}|INCR {s}|GET {k2}|DEL {k2} {k}|GET {k}|GET {k2}|INCR {k}|GET {k}"},
	{"SET in all its ways", "SET {k} a|SET {k2} b",
		"SET {k} 1 NX|SET {k} 2 XX|SET {k} 3 GET|SET {k} 4 EX 100|TTL {k}|SET {k} 5 KEEPTTL|TTL {k}|SET {k} 6|TTL {k}|SETNX {k2} x|GET {k2}|GETSET {k2} y|GETDEL {k2}|GET {k2}|SETEX {k2} 50 z|TTL {k2}"},
	{"a time to live comes along", "SET {k} v EX 1000|SET {k2} v", "TTL {k}|PERSIST {k}|TTL {k}|EXPIRE {k2} 100|TTL {k2}"},
	{"DEL and UNLINK count", "SET {k} v|SET {k2} v|SET {s} v", "DEL {k} {k}none {s}|UNLINK {k2} {k2}none|EXISTS {k} {k2} {s}|DEL {k}"},
	{"EXISTS and TOUCH", "SET {k} v|SET {k2} v|SET {s} v", "EXISTS {k} {k2} {s} {k}none {k}|TOUCH {k} {k2} {k2}none"},
	{"MGET", "SET {k} a|SET {k2} b|SET {s} c", "MGET {k} {s} {k}none {k2} {k}|MGET {k}"},
	{"MSET", "SET {k} a|SET {k2} b|SET {s} c", "MSET {k} 1 {s} 2 {k2} 3 {k}new 4|MGET {k} {s} {k2} {k}new"},
	{"MSETNX", "SET {k} a", "MSETNX {k} 1 {k}b 2|GET {k}b|MSETNX {k}b 1 {k}c 2|GET {k}c"},
	{"writes of types", "HSET {k}h f v|RPUSH {k}l a b|ZADD {k}z 1 a", "HSET {k}h g w|HGETALL {k}h|LPOP {k}l|LPUSH {k}l z|LRANGE {k}l 0 -1|ZINCRBY {k}z 5 a|HINCRBY {k}n x 3"},
	{"RENAME and COPY", "SET {k}a v|SET {k}b w", "RENAME {k}a {k}c|GET {k}c|GET {k}a|COPY {k}c {k}d|GET {k}d|RENAMENX {k}d {k}b|RENAME {k}none {k}x"},
	{"STORE", "SADD {k}a 1 2|SADD {k}b 2 3|RPUSH {k}l 3 1 2", "SINTERSTORE {k}c {k}a {k}b|SMEMBERS {k}c|SMOVE {k}a {k}b 1|SCARD {k}b|SORT {k}l STORE {k}m|LRANGE {k}m 0 -1|SORT_RO {k}l"},
	{"scripts", "SET {k} 5|SET {k}b 6", "EVAL return{redis.call('incr',KEYS[1]),redis.call('get',KEYS[2])} 2 {k} {k}b|EVAL_RO return(redis.call('get',KEYS[1])) 1 {k}"},
	{"sets on several nodes", "SADD {k}a 1 2 3|SADD {k2}b 2 3 4|SADD {s}c 3 4 5", "SINTER {k}a {k2}b {s}c|SINTERCARD 2 {k}a {k2}b|ZUNION 2 {k}a {k2}b"},
	{"a transaction", "SET {k} 1|SET {k}b 2", "MULTI|INCR {k}|GET {k}b|APPEND {k}b x|EXEC|GET {k}b"},
	{"a transaction of reads", "SET {k} 1", "MULTI|GET {k}|GET {k}none|EXEC"},
	{"WATCH", "SET {k} 1", "WATCH {k}|MULTI|INCR {k}|EXEC|WATCH {k}|SET {k} 9|MULTI|INCR {k}|EXEC|GET {k}|WATCH {k}|UNWATCH|GET {k}"},
	{"blocking", "RPUSH {k} a b", "BLPOP {k} 1|BRPOP {k} 1|LPUSH {k} c|BLMOVE {k} {k}b LEFT RIGHT 1|LRANGE {k}b 0 -1|BLPOP {k}x {k} 0.01"},
	{"streams", "XADD {k} 1-1 f v|XGROUP CREATE {k} g 0", "XREADGROUP GROUP g c COUNT 1 STREAMS {k} >|XACK {k} g 1-1|XREAD COUNT 5 STREAMS {k} 0|XREAD BLOCK 5 STREAMS {k} 1-1"},
	{"errors stay what they are", "RPUSH {k} a", "GET {k}|INCR {k}|SET {k} x EX nonsense|LLEN {k}b|HGET {k}c f|INCRBY {k}d nonsense"},
	{"bits and counters", "SETBIT {k} 7 1|PFADD {k}p a b", "GETBIT {k} 7|BITCOUNT {k}|BITOP NOT {k}n {k}|BITFIELD {k} INCRBY u8 0 1|PFCOUNT {k}p|PFADD {k}p c|PFCOUNT {k}p|PFMERGE {k}q {k}p"},
	{"another database", "SELECT 3|SET {k} there", "SELECT 3|GET {k}|SET {k} 2|INCR {k}|SELECT 0|GET {k}"},
	{"RESP3", "SET {k} v|HSET {k}h f v", "HELLO 3|GET {k}|GET {k}none|HGETALL {k}h|HELLO 2"},
}

// tagsOf finds tags for each case: keys with them move, or stay.
func tagsOf(old, next *hashring.Ring, i int) map[string]string {
	tags := map[string]string{}
	for n := 0; len(tags) < 3; n++ {
		tag := fmt.Sprintf("{c%d-%d}", i, n)
		x, y := old.Node(old.Find([]byte(tag))).Name, next.Node(next.Find([]byte(tag))).Name
		switch {
		case x == y && tags["{s}"] == "":
			tags["{s}"] = tag
		case x != y && tags["{k}"] == "":
			tags["{k}"] = tag
		case x != y && tags["{k2}"] == "" && tag != tags["{k}"]:
			tags["{k2}"] = tag
		}
	}
	return tags
}

func TestEachClassInTheWindow(t *testing.T) {
	t.Parallel()
	addresses := nodes(t, 4)
	for _, to := range []struct{ from, to int }{{3, 4}, {4, 3}} {
		for _, k := range []warmKind{warmWarm, warmDrain} {
			t.Run(fmt.Sprintf("%d to %d, %s", to.from, to.to, k), func(t *testing.T) {
				for _, a := range addresses {
					redistest.Dial(t, a).Do("FLUSHALL")
				}
				alone := redistest.Server(t)
				srv := serve(t, onPool(func(p *config.Pool) { warmed(p); p.HashTag = "{}"; p.Timeout = 5 * time.Second }), addresses[:to.from]...)
				inMode(t, warmPlain, srv)
				c, d := client(t, srv), redistest.Dial(t, alone.Addr())
				old, next := ringOver(t, srv, to.from), ringOver(t, srv, to.to)
				commands := func(line string, tags map[string]string) (list [][]string) {
					for _, one := range strings.Split(line, "|") {
						for from, to := range tags {
							one = strings.ReplaceAll(one, from, to)
						}
						if one != "" {
							list = append(list, strings.Fields(one))
						}
					}
					return list
				}
				for i, cs := range warmCases {
					for _, args := range commands(cs.setup, tagsOf(old, next, i)) {
						if k == warmDrain { // what is on the old node is lost: as if it had never been
							continue
						}
						want(t, cs.name+": "+strings.Join(args, " "), c.Do(args...), d.Do(args...))
					}
					c.Do("SELECT", "0")
					d.Do("SELECT", "0")
				}
				scale(t, addresses[:to.to], srv)
				inMode(t, warmWarm, srv)
				if k == warmDrain { // and stays there: another member is warm still
					dr := srv.open()[0].director
					stays := make(chan struct{})
					dr.registry.post(func() {
						m := mode{warmDrain, dr.registry.mode.y, dr.registry.mode.z}
						dr.serve(m, dr.registry.specs[m.y], dr.registry.specs[m.z])
						close(stays)
					})
					<-stays
				}
				for i, cs := range warmCases {
					list := commands(cs.window, tagsOf(old, next, i))
					var got, wanted []string
					for _, args := range list {
						c.Send(args...)
						d.Send(args...)
					}
					c.Flush()
					d.Flush()
					for range list {
						got, wanted = append(got, c.Recv()), append(wanted, d.Recv())
					}
					for n, args := range list {
						if args[0] == "HELLO" || args[0] == "SINTER" {
							continue
						}
						if args[0] == "MSETNX" && k == warmDrain {
							continue
						}
						want(t, fmt.Sprintf("%s, %d: %s", cs.name, n, strings.Join(args, " ")), got[n], wanted[n])
					}
				}
				balanced(t, srv)
			})
		}
	}
}

// ringOver is the ring of srv's pool over its first n nodes.
func ringOver(t testing.TB, srv *Server, n int) *hashring.Ring {
	t.Helper()
	var list []hashring.Node
	for i := range n {
		list = append(list, hashring.Node{Name: fmt.Sprint("n", i), Weight: 1})
	}
	ring, err := hashring.New(list, srv.Config().Pools[0].RingOptions())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// What concerns the keyspace as a whole, in the window and outside.
func TestWholePoolCommandsInTheWindow(t *testing.T) {
	t.Parallel()
	addresses := nodes(t, 4)
	srv := serve(t, onPool(warmed), addresses[:3]...)
	inMode(t, warmPlain, srv)
	c := client(t, srv)
	whole := func(keys int) {
		t.Helper()
		want(t, "DBSIZE", c.Do("DBSIZE"), fmt.Sprintf(":%d\r\n", keys))
		if got := c.Do("KEYS", "*"); strings.Contains(got, reservedPrefix) || !strings.HasPrefix(got, fmt.Sprintf("*%d\r\n", keys)) {
			t.Errorf("KEYS: %q", got)
		}
		found := map[string]bool{}
		for cursor := "0"; ; {
			parts := elements([]byte(c.Do("SCAN", cursor, "COUNT", "7")))
			for _, k := range elements(parts[1]) {
				found[string(text(k))] = true
			}
			if cursor = string(text(parts[0])); cursor == "0" {
				break
			}
		}
		if len(found) != keys || found[registryKey("test")] {
			t.Errorf("SCAN finds %d keys, want %d", len(found), keys)
		}
		switch got := c.Do("RANDOMKEY"); {
		case keys == 0:
			want(t, "RANDOMKEY", got, "$-1\r\n")
		case !strings.Contains(got, "key"):
			t.Errorf("RANDOMKEY: %q", got)
		}
	}
	whole(0)
	for i := range 60 {
		c.Do("SET", fmt.Sprint("key", i), "v")
	}
	whole(60)
	scale(t, addresses, srv)
	inMode(t, warmWarm, srv)
	whole(60)
	moves, old, next := "", ringOver(t, srv, 3), ringOver(t, srv, 4)
	for i := 0; moves == ""; i++ {
		if k := []byte(fmt.Sprint("key", i)); old.Find(k) != next.Find(k) {
			moves = string(k)
		}
	}
	for _, cmd := range [][]string{{"MOVE", moves, "1"}, {"COPY", moves, moves, "DB", "1"}, {"SORT", moves, "BY", "w_*"}} {
		if got := c.Do(cmd...); !strings.HasPrefix(got, "-ERR '"+strings.ToLower(cmd[0])+"' can't be carried out while keys") {
			t.Errorf("%v: %q", cmd, got)
		}
	}
	c.Do("GET", "key0")
	want(t, "FLUSHALL", c.Do("FLUSHALL"), "+OK\r\n")
	for i := range 60 {
		want(t, "GET after FLUSHALL", c.Do("GET", fmt.Sprint("key", i)), "$-1\r\n")
	}
	redistest.WaitFor(t, "the registry to be written again", func() bool { return c.Do("DBSIZE") == ":0\r\n" })
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Migration.Window = time.Millisecond }))
	onRing(t, 4, srv)
	balanced(t, srv)
}

// A client that is blocked at the change blocks on at the new node, without being told.
func TestBlockedClientsComeAlong(t *testing.T) {
	addresses := nodes(t, 4)
	srv := serve(t, onPool(func(p *config.Pool) { warmed(p); p.HashTag = "{}" }), addresses[:3]...)
	inMode(t, warmPlain, srv)
	c, other := client(t, srv), client(t, srv)
	k := tagsOf(ringOver(t, srv, 3), ringOver(t, srv, 4), 0)["{k}"]
	c.Send("BLPOP", k, "0")
	c.Send("PING")
	c.Flush()
	redistest.WaitFor(t, "the client to block", func() bool {
		blocked := false
		onLoop(t, srv, func(w *worker) {
			for s := w.sessions; s != nil; s = s.next {
				blocked = blocked || s.blocked != nil && s.blocked[0].Number > 0
			}
		})
		return blocked
	})
	scale(t, addresses, srv)
	inMode(t, warmWarm, srv)
	other.Do("RPUSH", k, "x")
	want(t, "BLPOP", c.Recv(), "*2\r\n"+redistest.Bulk(k)+redistest.Bulk("x"))
	want(t, "PING", c.Recv(), "+PONG\r\n")
	balanced(t, srv)
}
