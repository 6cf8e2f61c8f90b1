package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

func redigoSweep(addr string) []check {
	r := redigo{&redis.Pool{MaxIdle: 5, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", addr) }}}
	_, err := r.do("FLUSHALL")
	noErrorAtStart(err)
	return []check{
		{"strings", r.strings}, {"hashes", r.hashes}, {"lists", r.lists}, {"sets", r.sets}, {"sorted-sets", r.sortedSets},
		{"streams", r.streams}, {"hyperloglog", r.hyperloglog}, {"geo", r.geo}, {"bits", r.bits}, {"scan", r.scan},
		{"pipeline", r.pipeline}, {"transaction", r.transaction}, {"watch", r.watch}, {"scripts", r.scripts},
		{"blocking", r.blocking}, {"pubsub", r.pubsub}, {"patterns", r.patterns}, {"big-value", r.bigValue},
		{"binary-keys", r.binaryKeys}, {"mget", r.mget},
	}
}

type redigo struct{ *redis.Pool }

func (r redigo) do(cmd string, args ...any) (any, error) {
	c := r.Get()
	defer c.Close()
	return c.Do(cmd, args...)
}

func (r redigo) text(cmd string, args ...any) string {
	s, err := redis.String(r.do(cmd, args...))
	noError(err)
	return s
}

func (r redigo) number(cmd string, args ...any) int {
	n, err := redis.Int(r.do(cmd, args...))
	noError(err)
	return n
}

func (r redigo) list(cmd string, args ...any) []string {
	l, err := redis.Strings(r.do(cmd, args...))
	noError(err)
	return l
}

func (r redigo) strings(context.Context) {
	same(r.text("SET", "s:a", 1), "OK")
	same(r.number("INCRBY", "s:a", 41), 42)
	if _, err := redis.String(r.do("GET", "s:none")); err != redis.ErrNil {
		fail("GET of nothing: %v", err)
	}
	same(r.text("MSET", "s:1", "a", "s:2", "b", "s:3", "c"), "OK")
	same(r.list("MGET", "s:1", "s:none", "s:3"), []string{"a", "", "c"})
	same(r.number("DEL", "s:1", "s:2", "s:none"), 2)
	same(r.number("MSETNX", "{s}1", "a", "{s}2", "b"), 1)
	same(r.text("RENAME", "{s}1", "{s}3"), "OK")
	if _, err := r.do("INCR", "{s}3"); err == nil || !strings.Contains(err.Error(), "not an integer") {
		fail("INCR of a word: %v", err)
	}
}

func (r redigo) hashes(context.Context) {
	same(r.number("HSET", "h", "a", 1, "b", 2), 2)
	m, err := redis.StringMap(r.do("HGETALL", "h"))
	equal(m, err, map[string]string{"a": "1", "b": "2"})
	same(r.number("HINCRBY", "h", "a", 4), 5)
}

func (r redigo) lists(context.Context) {
	same(r.number("RPUSH", "{l}1", "a", "b", "c"), 3)
	same(r.text("LMOVE", "{l}1", "{l}2", "LEFT", "RIGHT"), "a")
	same(r.list("LRANGE", "{l}1", 0, -1), []string{"b", "c"})
}

func (r redigo) sets(context.Context) {
	same(r.number("SADD", "{t}1", "a", "b"), 2)
	same(r.number("SADD", "{t}2", "b", "c"), 2)
	sorted(r.list("SUNION", "{t}1", "{t}2"), nil, "a", "b", "c")
	same(r.number("SINTERSTORE", "{t}3", "{t}1", "{t}2"), 1)
}

func (r redigo) sortedSets(context.Context) {
	same(r.number("ZADD", "{z}1", 1, "a", 2.5, "b"), 2)
	same(r.list("ZRANGE", "{z}1", 0, -1, "WITHSCORES"), []string{"a", "1", "b", "2.5"})
	same(r.number("ZUNIONSTORE", "{z}2", 1, "{z}1"), 2)
}

func (r redigo) streams(context.Context) {
	for n := range 5 {
		r.text("XADD", "x", strconv.Itoa(n+1)+"-0", "n", n)
	}
	entries, err := redis.Values(r.do("XRANGE", "x", "-", "+"))
	equal(len(entries), err, 5)
	same(r.text("XGROUP", "CREATE", "x", "g", "0"), "OK")
	streams, err := redis.Values(r.do("XREADGROUP", "GROUP", "g", "me", "COUNT", 4, "STREAMS", "x", ">"))
	equal(len(streams), err, 1)
	same(r.number("XACK", "x", "g", "1-0", "2-0"), 2)
}

func (r redigo) hyperloglog(context.Context) {
	same(r.number("PFADD", redis.Args{"{p}1"}.AddFlat(keys("", 1000))...), 1)
	same(r.text("PFMERGE", "{p}2", "{p}1"), "OK")
	if n := r.number("PFCOUNT", "{p}1", "{p}2"); n < 950 || n > 1050 {
		fail("PFCOUNT of 1000: %d", n)
	}
}

func (r redigo) geo(context.Context) {
	same(r.number("GEOADD", "g", 13.361389, 38.115556, "Palermo"), 1)
	same(r.list("GEOSEARCH", "g", "FROMLONLAT", 13, 38, "BYRADIUS", 100, "km", "ASC"), []string{"Palermo"})
}

func (r redigo) bits(context.Context) {
	same(r.number("SETBIT", "{b}1", 7, 1), 0)
	same(r.number("BITOP", "NOT", "{b}2", "{b}1"), 1)
	same(r.number("BITCOUNT", "{b}2"), 7)
}

func (r redigo) scan(context.Context) {
	want := keys("scan:", 3000)
	r.mset(want)
	seen := map[string]bool{}
	for cursor := "0"; ; {
		reply, err := redis.Values(r.do("SCAN", cursor, "MATCH", "scan:*", "COUNT", 100))
		noError(err)
		var found []string
		_, err = redis.Scan(reply, &cursor, &found)
		noError(err)
		for _, k := range found {
			seen[k] = true
		}
		if cursor == "0" {
			break
		}
	}
	same(len(seen), len(want))
	sorted(r.list("KEYS", "scan:*"), nil, want...)
}

// mset gives each key itself as its value.
func (r redigo) mset(list []string) {
	var args redis.Args
	for _, k := range list {
		args = args.Add(k, k)
	}
	same(r.text("MSET", args...), "OK")
}

func (r redigo) pipeline(context.Context) {
	c := r.Get()
	defer c.Close()
	for _, k := range keys("pipe:", 1000) {
		noError(c.Send("SET", k, k))
		noError(c.Send("GET", k))
	}
	noError(c.Flush())
	for _, k := range keys("pipe:", 1000) {
		got, err := redis.String(c.Receive())
		equal(got, err, "OK")
		got, err = redis.String(c.Receive())
		equal(got, err, k)
	}
}

func (r redigo) transaction(context.Context) {
	c := r.Get()
	defer c.Close()
	noError(c.Send("MULTI"))
	noError(c.Send("SET", "{tx}a", 1))
	noError(c.Send("INCR", "{tx}a"))
	got, err := redis.Values(c.Do("EXEC"))
	equal(got, err, []any{"OK", int64(2)})
	_, err = c.Do("MULTI")
	noError(err)
	for _, k := range keys("tx:", 50) {
		c.Do("SET", k, "x")
	}
	if _, err := c.Do("EXEC"); err == nil || !strings.HasPrefix(err.Error(), "EXECABORT") {
		fail("a transaction over several nodes: %v", err)
	}
	same(r.number("EXISTS", redis.Args{}.AddFlat(keys("tx:", 50))...), 0)
}

func (r redigo) watch(context.Context) {
	c := r.Get()
	defer c.Close()
	same(r.text("SET", "{w}a", 5), "OK")
	exec := func(meanwhile func()) (any, error) {
		_, err := c.Do("WATCH", "{w}a")
		noError(err)
		meanwhile()
		noError(c.Send("MULTI"))
		noError(c.Send("INCR", "{w}a"))
		return c.Do("EXEC")
	}
	got, err := redis.Ints(exec(func() {}))
	equal(got, err, []int{6})
	reply, err := exec(func() { r.text("SET", "{w}a", 100) })
	equal(reply, err, nil)
	same(r.number("GET", "{w}a"), 100)
}

func (r redigo) scripts(context.Context) {
	script := redis.NewScript(1, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
	c := r.Get()
	defer c.Close()
	for i, k := range keys("ev:", 30) {
		n, err := redis.Int(script.Do(c, k, i))
		equal(n, err, i)
	}
	if _, err := c.Do("EVALSHA", strings.Repeat("0", 40), 1, "k"); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
		fail("EVALSHA of an unknown script: %v", err)
	}
}

func (r redigo) blocking(context.Context) {
	go func() {
		time.Sleep(100 * time.Millisecond)
		r.do("RPUSH", "bl", "x")
	}()
	same(r.list("BLPOP", "bl", 5), []string{"bl", "x"})
	if _, err := redis.Strings(r.do("BLPOP", "bl:none", 0.1)); err != redis.ErrNil {
		fail("BLPOP of nothing: %v", err)
	}
}

func (r redigo) pubsub(context.Context) {
	sub := redis.PubSubConn{Conn: r.Get()}
	defer sub.Close()
	noError(sub.Subscribe(redis.Args{}.AddFlat(keys("room:", 20))...))
	for range 20 {
		r.receive(sub)
	}
	for _, k := range keys("room:", 20) {
		same(r.number("PUBLISH", k, "to "+k), 1)
	}
	for range 20 {
		m := r.receive(sub).(redis.Message)
		same(string(m.Data), "to "+m.Channel)
	}
	noError(sub.Ping("still there"))
	same(r.receive(sub), any(redis.Pong{Data: "still there"}))
}

func (r redigo) patterns(context.Context) {
	sub := redis.PubSubConn{Conn: r.Get()}
	defer sub.Close()
	noError(sub.PSubscribe("pat.*"))
	r.receive(sub)
	for _, k := range keys("pat.", 100) {
		r.number("PUBLISH", k, k)
	}
	for range 100 {
		m := r.receive(sub).(redis.Message)
		same([]string{m.Pattern, m.Channel}, []string{"pat.*", string(m.Data)})
	}
}

func (r redigo) receive(sub redis.PubSubConn) any {
	m := sub.ReceiveWithTimeout(10 * time.Second)
	if err, ok := m.(error); ok {
		noError(err)
	}
	return m
}

func (r redigo) bigValue(context.Context) {
	big := bigValue()
	same(r.text("SET", "big", big), "OK")
	same(r.text("GET", "big") == big, true)
}

func (r redigo) binaryKeys(context.Context) {
	r.mset(binaryKeys(""))
	same(r.list("MGET", redis.Args{}.AddFlat(binaryKeys(""))...), binaryKeys(""))
	same(r.number("DEL", redis.Args{}.AddFlat(binaryKeys(""))...), len(binaryKeys("")))
}

func (r redigo) mget(context.Context) {
	list := keys("many:", 10000)
	r.mset(list)
	same(r.list("MGET", redis.Args{}.AddFlat(list)...), list)
	same(r.number("DEL", redis.Args{}.AddFlat(list)...), 10000)
}
