package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

func rueidisSweep(addr string, resp int, mode rueidis.ClientMode) []check {
	options := rueidis.ClientOption{InitAddress: []string{addr}}
	if resp == 2 {
		options.AlwaysRESP2, options.DisableCache = true, true
	}
	c, err := rueidis.NewClient(options)
	if err != nil {
		return []check{{"connect", func(context.Context) { fail("%v", err) }}}
	}
	if c.Mode() != mode { // it finds out by itself
		fmt.Printf("FAIL start: the client's mode is %q, not %q\n", c.Mode(), mode)
	}
	r := rueidisClient{Client: c, options: options}
	if mode == rueidis.ClientModeCluster {
		r.tag = "{one}"
	}
	noErrorAtStart(r.do(context.Background(), "FLUSHALL").Error())
	return []check{
		{"strings", r.strings}, {"hashes", r.hashes}, {"lists", r.lists}, {"sets", r.sets}, {"sorted-sets", r.sortedSets},
		{"streams", r.streams}, {"hyperloglog", r.hyperloglog}, {"geo", r.geo}, {"bits", r.bits}, {"scan", r.scan},
		{"pipeline", r.pipeline}, {"transaction", r.transaction}, {"watch", r.watch}, {"scripts", r.scripts},
		{"blocking", r.blocking}, {"pubsub", r.pubsub}, {"patterns", r.patterns}, {"big-value", r.bigValue},
		{"binary-keys", r.binaryKeys}, {"mget", r.mget}, {"cached-read", r.cachedRead},
	}
}

type rueidisClient struct {
	rueidis.Client
	options rueidis.ClientOption
	tag     string // before keys that one command has together: in cluster mode the client itself wants them in one slot
}

// do sends a command in words. Commands with few forms are built by the library's builder below instead.
func (r rueidisClient) do(ctx context.Context, words ...string) rueidis.RedisResult {
	return r.Do(ctx, r.B().Arbitrary(words...).Build())
}

func (r rueidisClient) text(ctx context.Context, words ...string) string {
	s, err := r.do(ctx, words...).ToString()
	noError(err)
	return s
}

func (r rueidisClient) number(ctx context.Context, words ...string) int64 {
	n, err := r.do(ctx, words...).AsInt64()
	noError(err)
	return n
}

func (r rueidisClient) list(ctx context.Context, words ...string) []string {
	l, err := r.do(ctx, words...).AsStrSlice()
	noError(err)
	return l
}

func (r rueidisClient) strings(ctx context.Context) {
	noError(r.Do(ctx, r.B().Set().Key("s:a").Value("1").Ex(time.Minute).Build()).Error())
	same(r.text(ctx, "GET", "s:a"), "1")
	same(r.number(ctx, "INCRBY", "s:a", "41"), 42)
	if err := r.do(ctx, "GET", "s:none").Error(); !rueidis.IsRedisNil(err) {
		fail("GET of nothing: %v", err)
	}
	t := r.tag
	noError(r.Do(ctx, r.B().Mset().KeyValue().KeyValue(t+"s:1", "a").KeyValue(t+"s:2", "b").KeyValue(t+"s:3", "c").Build()).Error())
	got, err := r.Do(ctx, r.B().Mget().Key(t+"s:1", t+"s:none", t+"s:3").Build()).AsStrSlice()
	equal(got, err, []string{"a", "", "c"})
	same(r.number(ctx, "EXISTS", t+"s:1", t+"s:2", t+"s:none"), 2)
	same(r.number(ctx, "DEL", t+"s:1", t+"s:2", t+"s:3"), 3)
	same(r.number(ctx, "MSETNX", "{s}1", "a", "{s}2", "b"), 1)
	same(r.text(ctx, "RENAME", "{s}1", "{s}3"), "OK")
	if err := r.do(ctx, "INCR", "{s}3").Error(); err == nil || !strings.Contains(err.Error(), "not an integer") {
		fail("INCR of a word: %v", err)
	}
}

func (r rueidisClient) hashes(ctx context.Context) {
	same(r.number(ctx, "HSET", "h", "a", "1", "b", "2"), 2)
	m, err := r.Do(ctx, r.B().Hgetall().Key("h").Build()).AsStrMap()
	equal(m, err, map[string]string{"a": "1", "b": "2"})
	same(r.list(ctx, "HMGET", "h", "a", "none"), []string{"1", ""})
	same(r.number(ctx, "HINCRBY", "h", "a", "4"), 5)
	for _, f := range keys("f", 500) {
		same(r.number(ctx, "HSET", "h2", f, f), 1)
	}
	n := 0
	for cursor := uint64(0); ; {
		e, err := r.Do(ctx, r.B().Hscan().Key("h2").Cursor(cursor).Count(50).Build()).AsScanEntry()
		noError(err)
		n += len(e.Elements)
		if cursor = e.Cursor; cursor == 0 {
			break
		}
	}
	same(n, 1000)
}

func (r rueidisClient) lists(ctx context.Context) {
	same(r.number(ctx, "RPUSH", "{l}1", "a", "b", "c"), 3)
	same(r.text(ctx, "LMOVE", "{l}1", "{l}2", "LEFT", "RIGHT"), "a")
	same(r.list(ctx, "LRANGE", "{l}1", "0", "-1"), []string{"b", "c"})
	same(r.list(ctx, "LPOP", "{l}1", "2"), []string{"b", "c"})
}

func (r rueidisClient) sets(ctx context.Context) {
	same(r.number(ctx, "SADD", "{t}1", "a", "b", "c"), 3)
	same(r.number(ctx, "SADD", "{t}2", "b", "c", "d"), 3)
	sorted(r.list(ctx, "SINTER", "{t}1", "{t}2"), nil, "b", "c")
	sorted(r.list(ctx, "SUNION", "{t}1", "{t}2"), nil, "a", "b", "c", "d")
	same(r.number(ctx, "SDIFFSTORE", "{t}3", "{t}1", "{t}2"), 1)
	same(r.number(ctx, "SMOVE", "{t}1", "{t}2", "a"), 1)
}

func (r rueidisClient) sortedSets(ctx context.Context) {
	same(r.number(ctx, "ZADD", "{z}1", "1", "a", "2.5", "b"), 2)
	got, err := r.do(ctx, "ZRANGE", "{z}1", "0", "-1", "WITHSCORES").AsZScores()
	equal(got, err, []rueidis.ZScore{{Member: "a", Score: 1}, {Member: "b", Score: 2.5}})
	same(r.number(ctx, "ZADD", "{z}1", "+inf", "a"), 0)
	score, err := r.do(ctx, "ZSCORE", "{z}1", "a").AsFloat64()
	equal(score, err, math.Inf(1))
	same(r.number(ctx, "ZUNIONSTORE", "{z}2", "1", "{z}1"), 2)
	min, err := r.do(ctx, "ZPOPMIN", "{z}2").AsZScore()
	equal(min, err, rueidis.ZScore{Member: "b", Score: 2.5})
}

func (r rueidisClient) streams(ctx context.Context) {
	var ids []string
	for n := range 10 {
		ids = append(ids, r.text(ctx, "XADD", "x", "*", "n", strconv.Itoa(n)))
	}
	entries, err := r.do(ctx, "XRANGE", "x", "-", "+").AsXRange()
	equal(entryIDs(entries), err, ids)
	read, err := r.Do(ctx, r.B().Xread().Count(3).Streams().Key("x").Id("0").Build()).AsXRead()
	equal(entryIDs(read["x"]), err, ids[:3])
	same(r.text(ctx, "XGROUP", "CREATE", "x", "g", "0"), "OK")
	read, err = r.Do(ctx, r.B().Xreadgroup().Group("g", "me").Count(4).Streams().Key("x").Id(">").Build()).AsXRead()
	equal(entryIDs(read["x"]), err, ids[:4])
	same(r.number(ctx, "XACK", "x", "g", ids[0], ids[1]), 2)
	err = r.Do(ctx, r.B().Xread().Block(20).Streams().Key("x").Id("$").Build()).Error()
	if !rueidis.IsRedisNil(err) {
		fail("XREAD BLOCK without news: %v", err)
	}
}

func entryIDs(list []rueidis.XRangeEntry) []string {
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

func (r rueidisClient) hyperloglog(ctx context.Context) {
	same(r.number(ctx, append([]string{"PFADD", "{p}1"}, keys("", 1000)...)...), 1)
	same(r.text(ctx, "PFMERGE", "{p}2", "{p}1"), "OK")
	if n := r.number(ctx, "PFCOUNT", "{p}1", "{p}2"); n < 950 || n > 1050 {
		fail("PFCOUNT of 1000: %d", n)
	}
}

func (r rueidisClient) geo(ctx context.Context) {
	same(r.number(ctx, "GEOADD", "g", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania"), 2)
	got, err := r.Do(ctx, r.B().Geosearch().Key("g").Fromlonlat(15, 37).Byradius(100).Km().Withdist().Build()).AsGeosearch()
	noError(err)
	same(got[0].Name, "Catania")
	same(math.Round(got[0].Dist), 56)
}

func (r rueidisClient) bits(ctx context.Context) {
	same(r.number(ctx, "SETBIT", "{b}1", "7", "1"), 0)
	same(r.number(ctx, "SETBIT", "{b}2", "0", "1"), 0)
	same(r.number(ctx, "BITOP", "OR", "{b}3", "{b}1", "{b}2"), 1)
	same(r.number(ctx, "BITCOUNT", "{b}3"), 2)
}

func (r rueidisClient) scan(ctx context.Context) {
	want := keys("scan:", 3000)
	r.mset(ctx, want)
	seen := map[string]bool{}
	scanner := rueidis.NewScanner(func(cursor uint64) (rueidis.ScanEntry, error) {
		return r.Do(ctx, r.B().Scan().Cursor(cursor).Match("scan:*").Count(100).Build()).AsScanEntry()
	})
	for k := range scanner.Iter() {
		seen[k] = true
	}
	noError(scanner.Err())
	same(len(seen), len(want))
	sorted(r.list(ctx, "KEYS", "scan:*"), nil, want...)
}

// mset gives each key itself as its value.
func (r rueidisClient) mset(ctx context.Context, list []string) {
	words := []string{"MSET"}
	for _, k := range list {
		words = append(words, k, k)
	}
	same(r.text(ctx, words...), "OK")
}

func (r rueidisClient) pipeline(ctx context.Context) {
	var cmds rueidis.Commands
	for _, k := range keys("pipe:", 1000) {
		cmds = append(cmds, r.B().Set().Key(k).Value(k).Build(), r.B().Get().Key(k).Build())
	}
	for i, res := range r.DoMulti(ctx, cmds...) {
		got, err := res.ToString()
		want := "OK"
		if i%2 == 1 {
			want = "pipe:" + strconv.Itoa(i/2)
		}
		equal(got, err, want)
	}
}

func (r rueidisClient) transaction(ctx context.Context) {
	c, release := r.Dedicate()
	defer release()
	res := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Set().Key("{tx}a").Value("1").Build(),
		c.B().Incr().Key("{tx}a").Build(), c.B().Exec().Build())
	got, err := res[3].ToArray()
	noError(err)
	n, err := got[1].ToInt64()
	equal(n, err, 2)
	if r.Mode() == rueidis.ClientModeCluster {
		return // the client panics over keys in several slots
	}
	cmds := rueidis.Commands{c.B().Multi().Build()}
	for _, k := range keys("tx:", 50) {
		cmds = append(cmds, c.B().Set().Key(k).Value("x").Build())
	}
	res = c.DoMulti(ctx, append(cmds, c.B().Exec().Build())...)
	if err := res[len(res)-1].Error(); err == nil || !strings.HasPrefix(err.Error(), "EXECABORT") {
		fail("a transaction over several nodes: %v", err)
	}
	same(r.number(ctx, append([]string{"EXISTS"}, keys("tx:", 50)...)...), 0)
}

func (r rueidisClient) watch(ctx context.Context) {
	same(r.text(ctx, "SET", "{w}a", "5"), "OK")
	c, release := r.Dedicate()
	defer release()
	exec := func() rueidis.RedisResult {
		res := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Incr().Key("{w}a").Build(), c.B().Exec().Build())
		return res[2]
	}
	noError(c.Do(ctx, c.B().Watch().Key("{w}a").Build()).Error())
	noError(exec().Error())
	same(r.text(ctx, "GET", "{w}a"), "6")
	noError(c.Do(ctx, c.B().Watch().Key("{w}a").Build()).Error())
	same(r.text(ctx, "SET", "{w}a", "100"), "OK")
	if err := exec().Error(); !rueidis.IsRedisNil(err) {
		fail("EXEC after the key had changed: %v", err)
	}
	same(r.text(ctx, "GET", "{w}a"), "100")
}

func (r rueidisClient) scripts(ctx context.Context) {
	script := rueidis.NewLuaScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	for i, k := range keys("ev:", 30) {
		n, err := script.Exec(ctx, r.Client, []string{k}, []string{strconv.Itoa(i)}).AsInt64()
		equal(n, err, int64(i))
	}
	var many []rueidis.LuaExec
	for _, k := range keys("ev:", 30) {
		many = append(many, rueidis.LuaExec{Keys: []string{k}, Args: []string{"1"}})
	}
	for i, res := range script.ExecMulti(ctx, r.Client, many...) {
		n, err := res.AsInt64()
		equal(n, err, int64(i+1))
	}
	if err := r.do(ctx, "EVALSHA", strings.Repeat("0", 40), "1", "k").Error(); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
		fail("EVALSHA of an unknown script: %v", err)
	}
}

func (r rueidisClient) blocking(ctx context.Context) {
	type popped struct {
		got []string
		err error
	}
	results := make(chan popped)
	for _, k := range keys("bl:", 5) {
		go func() {
			got, err := r.Do(ctx, r.B().Blpop().Key(k).Timeout(5).Build()).AsStrSlice()
			results <- popped{got, err}
		}()
	}
	time.Sleep(100 * time.Millisecond)
	for _, k := range keys("bl:", 5) {
		same(r.number(ctx, "RPUSH", k, k), 1)
	}
	for range 5 {
		p := <-results
		noError(p.err)
		same(p.got[0], p.got[1])
	}
	if err := r.Do(ctx, r.B().Blpop().Key("bl:none").Timeout(0.1).Build()).Error(); !rueidis.IsRedisNil(err) {
		fail("BLPOP of nothing: %v", err)
	}
}

func (r rueidisClient) pubsub(ctx context.Context) {
	r.subscribe(ctx, r.B().Subscribe().Channel(keys("room:", 20)...).Build(), keys("room:", 20), 20, "CHANNELS", "room:*")
}

func (r rueidisClient) patterns(ctx context.Context) {
	r.subscribe(ctx, r.B().Psubscribe().Pattern("pat.*").Build(), keys("pat.", 100), 1, "NUMPAT")
}

// subscribe subscribes, publishes to each channel, and wants each message once.
func (r rueidisClient) subscribe(ctx context.Context, subscription rueidis.Completed, channels []string, confirmations int, count ...string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	confirmed, got := make(chan string, 100), make(chan rueidis.PubSubMessage, len(channels))
	ready := rueidis.WithOnSubscriptionHook(ctx, func(s rueidis.PubSubSubscription) { confirmed <- s.Kind })
	go r.Receive(ready, subscription, func(m rueidis.PubSubMessage) { got <- m })
	for range confirmations {
		<-confirmed
	}
	for _, ch := range channels {
		same(r.number(ctx, "PUBLISH", ch, "to "+ch), 1)
	}
	var seen []string
	for range channels {
		m := <-got
		same(m.Message, "to "+m.Channel)
		seen = append(seen, m.Channel)
	}
	sorted(seen, nil, channels...)
	noError(r.do(ctx, append([]string{"PUBSUB"}, count...)...).Error())
}

func (r rueidisClient) bigValue(ctx context.Context) {
	big := bigValue()
	same(r.text(ctx, "SET", "big", big), "OK")
	same(r.text(ctx, "GET", "big") == big, true)
	same(r.number(ctx, "DEL", "big"), 1)
}

func (r rueidisClient) binaryKeys(ctx context.Context) {
	for _, k := range binaryKeys("") {
		noError(r.Do(ctx, r.B().Set().Key(k).Value("v"+k).Build()).Error())
		got, err := r.Do(ctx, r.B().Getdel().Key(k).Build()).ToString()
		equal(got, err, "v"+k)
	}
	list := binaryKeys(r.tag)
	r.mset(ctx, list)
	got, err := r.Do(ctx, r.B().Mget().Key(list...).Build()).AsStrSlice()
	equal(got, err, list)
	same(r.number(ctx, append([]string{"DEL"}, list...)...), int64(len(list)))
}

func (r rueidisClient) mget(ctx context.Context) {
	list := keys(r.tag+"many:", 10000)
	r.mset(ctx, list)
	got, err := r.Do(ctx, r.B().Mget().Key(list...).Build()).AsStrSlice()
	equal(got, err, list)
	same(r.number(ctx, append([]string{"DEL"}, list...)...), 10000)
}

// Reads through the client-side cache of rueidis, which must never keep what another client has changed since.
func (r rueidisClient) cachedRead(ctx context.Context) {
	if r.options.DisableCache {
		return
	}
	list := keys("cached:", 20)
	r.mset(ctx, list)
	read := func() map[string]string {
		values, err := rueidis.MGetCache(r.Client, ctx, time.Minute, list)
		noError(err)
		got := map[string]string{}
		for k, v := range values {
			got[k], err = v.ToString()
			noError(err)
		}
		return got
	}
	for range 3 {
		for k, v := range read() {
			same(v, k)
		}
	}
	other, err := rueidis.NewClient(r.options)
	noError(err)
	defer other.Close()
	want := map[string]string{}
	for _, k := range list {
		noError(other.Do(ctx, other.B().Set().Key(k).Value("changed").Build()).Error())
		want[k] = "changed"
	}
	for deadline := time.Now().Add(5 * time.Second); !maps.Equal(read(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			fail("the cache still holds an old value after five seconds: %v", read())
		}
	}
}
