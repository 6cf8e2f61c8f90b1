package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

func goredisSweep(addr string, resp int) []check {
	return goredis{redis.NewClient(&redis.Options{Addr: addr, Protocol: resp, TLSConfig: tlsConfig()}), ""}.sweep()
}

func goredisClusterSweep(addr string, resp int) []check {
	return goredis{redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, Protocol: resp}), "{one}"}.sweep()
}

// tlsConfig is nil unless RINGWAY_TLS_CA names the file of the authority to believe.
func tlsConfig() *tls.Config {
	file := os.Getenv("RINGWAY_TLS_CA")
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	noErrorAtStart(err)
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AppendCertsFromPEM(pem)
	return cfg
}

func (s goredis) sweep() []check {
	noErrorAtStart(s.FlushAll(context.Background()).Err())
	return []check{
		{"strings", s.strings}, {"hashes", s.hashes}, {"lists", s.lists}, {"sets", s.sets}, {"sorted-sets", s.sortedSets},
		{"streams", s.streams}, {"hyperloglog", s.hyperloglog}, {"geo", s.geo}, {"bits", s.bits}, {"scan", s.scan},
		{"pipeline", s.pipeline}, {"transaction", s.transaction}, {"watch", s.watch}, {"scripts", s.scripts},
		{"blocking", s.blocking}, {"pubsub", s.pubsub}, {"patterns", s.patterns}, {"big-value", s.bigValue},
		{"binary-keys", s.binaryKeys}, {"mget", s.mget}, {"server", s.server},
	}
}

func noErrorAtStart(err error) {
	if err != nil {
		fmt.Printf("FAIL start: %v\n", err)
	}
}

type goredis struct {
	redis.UniversalClient
	tag string // before keys that one command has together: in cluster mode the client itself wants them in one slot
}

func (r goredis) strings(ctx context.Context) {
	equal2(r.Set(ctx, "s:a", 1, 0), "OK")
	equal2(r.Get(ctx, "s:a"), "1")
	equal2(r.IncrBy(ctx, "s:a", 41), 42)
	equal2(r.IncrByFloat(ctx, "s:f", 1.5), 1.5)
	equal2(r.Append(ctx, "s:a", "0"), 3)
	equal2(r.GetDel(ctx, "s:a"), "420")
	if err := r.Get(ctx, "s:a").Err(); err != redis.Nil {
		fail("GET of nothing: %v", err)
	}
	equal2(r.SetNX(ctx, "s:n", "x", time.Minute), true)
	equal2(r.Expire(ctx, "s:n", time.Hour), true)
	t := r.tag
	equal2(r.MSet(ctx, t+"s:1", "1", t+"s:2", "2", t+"s:3", "3"), "OK")
	equal2(r.MGet(ctx, t+"s:1", t+"s:none", t+"s:3"), []any{"1", nil, "3"})
	equal2(r.MSetNX(ctx, "{s}1", "1", "{s}2", "2"), true)
	equal2(r.Exists(ctx, t+"s:1", t+"s:2", t+"s:none"), 2)
	equal2(r.Touch(ctx, t+"s:1", t+"s:2"), 2)
	equal2(r.Unlink(ctx, t+"s:1"), 1)
	equal2(r.Del(ctx, t+"s:2", t+"s:3", t+"s:none"), 2)
	equal2(r.Rename(ctx, "{s}1", "{s}3"), "OK")
	equal2(r.Copy(ctx, "{s}3", "{s}4", 0, false), 1)
	if err := r.HGet(ctx, "{s}3", "f").Err(); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		fail("HGET of a string: %v", err)
	}
}

// equal2 is equal for go-redis's commands.
func equal2[T any](cmd interface{ Result() (T, error) }, want T) {
	got, err := cmd.Result()
	equal(got, err, want)
}

func (r goredis) hashes(ctx context.Context) {
	equal2(r.HSet(ctx, "h", "a", 1, "b", "2"), 2)
	equal2(r.HGetAll(ctx, "h"), map[string]string{"a": "1", "b": "2"})
	equal2(r.HMGet(ctx, "h", "a", "none"), []any{"1", nil})
	equal2(r.HIncrBy(ctx, "h", "a", 4), 5)
	equal2(r.HDel(ctx, "h", "b"), 1)
	for _, f := range keys("f", 1000) {
		noError(r.HSet(ctx, "h2", f, f).Err())
	}
	n := 0
	for it := r.HScan(ctx, "h2", 0, "", 20).Iterator(); it.Next(ctx); {
		n++
	}
	same(n, 2000)
}

func (r goredis) lists(ctx context.Context) {
	equal2(r.RPush(ctx, "{l}1", "a", "b", "c"), 3)
	equal2(r.LRange(ctx, "{l}1", 0, -1), []string{"a", "b", "c"})
	equal2(r.LMove(ctx, "{l}1", "{l}2", "left", "right"), "a")
	equal2(r.LInsertBefore(ctx, "{l}1", "c", "x"), 3)
	equal2(r.LPos(ctx, "{l}1", "x", redis.LPosArgs{}), 1)
	key, vals, err := r.LMPop(ctx, "left", 5, "{l}1", "{l}2").Result()
	equal(vals, err, []string{"b", "x", "c"})
	same(key, "{l}1")
}

func (r goredis) sets(ctx context.Context) {
	equal2(r.SAdd(ctx, "{t}1", "a", "b", "c"), 3)
	equal2(r.SAdd(ctx, "{t}2", "b", "c", "d"), 3)
	got, err := r.SInter(ctx, "{t}1", "{t}2").Result()
	sorted(got, err, "b", "c")
	got, err = r.SUnion(ctx, "{t}1", "{t}2").Result()
	sorted(got, err, "a", "b", "c", "d")
	equal2(r.SDiffStore(ctx, "{t}3", "{t}1", "{t}2"), 1)
	equal2(r.SMove(ctx, "{t}1", "{t}2", "a"), true)
	equal2(r.SMIsMember(ctx, "{t}1", "b", "a"), []bool{true, false})
}

func (r goredis) sortedSets(ctx context.Context) {
	equal2(r.ZAdd(ctx, "{z}1", redis.Z{Score: 1, Member: "a"}, redis.Z{Score: 2.5, Member: "b"}), 2)
	equal2(r.ZRangeWithScores(ctx, "{z}1", 0, -1), []redis.Z{{Score: 1, Member: "a"}, {Score: 2.5, Member: "b"}})
	equal2(r.ZIncrBy(ctx, "{z}1", math.Inf(1), "a"), math.Inf(1))
	equal2(r.ZRank(ctx, "{z}1", "b"), 0)
	equal2(r.ZUnionStore(ctx, "{z}2", &redis.ZStore{Keys: []string{"{z}1"}}), 2)
	equal2(r.ZPopMin(ctx, "{z}2"), []redis.Z{{Score: 2.5, Member: "b"}})
}

func (r goredis) streams(ctx context.Context) {
	var ids []string
	for n := range 10 {
		id, err := r.XAdd(ctx, &redis.XAddArgs{Stream: "x", Values: map[string]any{"n": n}}).Result()
		noError(err)
		ids = append(ids, id)
	}
	got, err := r.XRange(ctx, "x", "-", "+").Result()
	equal(messageIDs(got), err, ids)
	streams, err := r.XRead(ctx, &redis.XReadArgs{Streams: []string{"x", "0"}, Count: 3, Block: -1}).Result()
	noError(err)
	same(messageIDs(streams[0].Messages), ids[:3])
	equal2(r.XGroupCreate(ctx, "x", "g", "0"), "OK")
	streams, err = r.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "me", Streams: []string{"x", ">"}, Count: 4, Block: -1}).Result()
	noError(err)
	same(messageIDs(streams[0].Messages), ids[:4])
	pending, err := r.XPending(ctx, "x", "g").Result()
	noError(err)
	same(pending.Count, 4)
	equal2(r.XAck(ctx, "x", "g", ids[:4]...), 4)
	info, err := r.XInfoStream(ctx, "x").Result()
	noError(err)
	same(info.Length, 10)
	if err := r.XRead(ctx, &redis.XReadArgs{Streams: []string{"x", "$"}, Block: 20 * time.Millisecond}).Err(); err != redis.Nil {
		fail("XREAD BLOCK without news: %v", err)
	}
}

func messageIDs(list []redis.XMessage) []string {
	var ids []string
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

func (r goredis) hyperloglog(ctx context.Context) {
	for _, k := range keys("", 1000) {
		noError(r.PFAdd(ctx, "{p}1", k).Err())
	}
	equal2(r.PFMerge(ctx, "{p}2", "{p}1"), "OK")
	n, err := r.PFCount(ctx, "{p}1", "{p}2").Result()
	noError(err)
	if n < 950 || n > 1050 {
		fail("PFCOUNT of 1000: %d", n)
	}
}

func (r goredis) geo(ctx context.Context) {
	equal2(r.GeoAdd(ctx, "g", &redis.GeoLocation{Name: "Palermo", Longitude: 13.361389, Latitude: 38.115556},
		&redis.GeoLocation{Name: "Catania", Longitude: 15.087269, Latitude: 37.502669}), 2)
	d, err := r.GeoDist(ctx, "g", "Palermo", "Catania", "km").Result()
	equal(math.Round(d), err, 166)
	equal2(r.GeoSearch(ctx, "g", &redis.GeoSearchQuery{Longitude: 15, Latitude: 37, Radius: 100, RadiusUnit: "km"}), []string{"Catania"})
	equal2(r.GeoHash(ctx, "g", "Palermo"), []string{"sqc8b49rny0"})
}

func (r goredis) bits(ctx context.Context) {
	equal2(r.SetBit(ctx, "{b}1", 7, 1), 0)
	equal2(r.SetBit(ctx, "{b}2", 0, 1), 0)
	equal2(r.BitOpOr(ctx, "{b}3", "{b}1", "{b}2"), 1)
	equal2(r.BitCount(ctx, "{b}3", nil), 2)
	equal2(r.BitField(ctx, "{b}4", "SET", "u8", 0, 200, "INCRBY", "u8", 0, 100), []int64{0, 44})
}

func (r goredis) scan(ctx context.Context) {
	want := keys("scan:", 3000)
	_, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range want {
			p.Set(ctx, k, "x", 0)
		}
		return nil
	})
	noError(err)
	seen := map[string]bool{}
	it := r.Scan(ctx, 0, "scan:*", 100).Iterator()
	for it.Next(ctx) {
		seen[it.Val()] = true
	}
	noError(it.Err())
	same(len(seen), len(want))
	got, err := r.Keys(ctx, "scan:*").Result()
	sorted(got, err, want...)
	n, err := r.DBSize(ctx).Result()
	equal(n >= 3000, err, true)
}

func (r goredis) pipeline(ctx context.Context) {
	var sets []*redis.StatusCmd
	var gets []*redis.StringCmd
	_, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys("pipe:", 1000) {
			sets = append(sets, p.Set(ctx, k, k, 0))
			gets = append(gets, p.Get(ctx, k))
		}
		return nil
	})
	noError(err)
	for i, k := range keys("pipe:", 1000) {
		equal2(sets[i], "OK")
		equal2(gets[i], k)
	}
}

func (r goredis) transaction(ctx context.Context) {
	var n *redis.IntCmd
	_, err := r.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, "{tx}a", 1, 0)
		n = p.Incr(ctx, "{tx}a")
		p.RPush(ctx, "{tx}b", "x")
		return nil
	})
	noError(err)
	equal2(n, 2)
	_, err = r.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys("tx:", 50) {
			p.Set(ctx, k, "x", 0)
		}
		return nil
	})
	if err == nil {
		fail("a transaction over several nodes worked")
	}
	if !strings.HasPrefix(err.Error(), "CROSSSLOT") && !strings.HasPrefix(err.Error(), "EXECABORT") {
		fail("a transaction over several nodes: %v", err)
	}
	for _, k := range keys("tx:", 50) {
		equal2(r.Exists(ctx, k), 0)
	}
}

func (r goredis) watch(ctx context.Context) {
	noError(r.Set(ctx, "{w}a", 5, 0).Err())
	add := func(meanwhile func()) error {
		return r.Watch(ctx, func(tx *redis.Tx) error {
			n, err := tx.Get(ctx, "{w}a").Int()
			noError(err)
			meanwhile()
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, "{w}a", n+1, 0)
				return nil
			})
			return err
		}, "{w}a")
	}
	noError(add(func() {}))
	equal2(r.Get(ctx, "{w}a"), "6")
	if err := add(func() { noError(r.Set(ctx, "{w}a", 100, 0).Err()) }); !errors.Is(err, redis.TxFailedErr) {
		fail("EXEC after the key had changed: %v", err)
	}
	equal2(r.Get(ctx, "{w}a"), "100")
}

func (r goredis) scripts(ctx context.Context) {
	script := redis.NewScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	for i, k := range keys("ev:", 30) {
		n, err := script.Run(ctx, r, []string{k}, i).Int()
		equal(n, err, i)
	}
	sha, err := r.ScriptLoad(ctx, "return redis.call('GET', KEYS[1])").Result()
	noError(err)
	for i, k := range keys("ev:", 30) {
		got, err := r.EvalSha(ctx, sha, []string{k}).Text()
		equal(got, err, strconv.Itoa(i))
	}
	equal2(r.ScriptExists(ctx, sha, strings.Repeat("0", 40)), []bool{true, false})
	if err := r.EvalSha(ctx, strings.Repeat("0", 40), []string{"k"}).Err(); !redis.HasErrorPrefix(err, "NOSCRIPT") {
		fail("EVALSHA of an unknown script: %v", err)
	}
}

func (r goredis) blocking(ctx context.Context) {
	type popped struct {
		got []string
		err error
	}
	results := make(chan popped)
	for _, k := range keys("bl:", 5) {
		go func() {
			got, err := r.BLPop(ctx, 5*time.Second, k).Result()
			results <- popped{got, err}
		}()
	}
	time.Sleep(100 * time.Millisecond)
	for _, k := range keys("bl:", 5) {
		noError(r.RPush(ctx, k, k).Err())
	}
	for range 5 {
		p := <-results
		noError(p.err)
		same(p.got[0], p.got[1])
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		r.ZAdd(ctx, "bl:z", redis.Z{Score: 1, Member: "m"})
	}()
	z, err := r.BZPopMin(ctx, 5*time.Second, "bl:z").Result()
	noError(err)
	same(z.Member, any("m"))
	if err := r.BLPop(ctx, time.Second, "bl:none").Err(); err != redis.Nil {
		fail("BLPOP of nothing: %v", err)
	}
}

func (r goredis) pubsub(ctx context.Context) {
	sub := r.Subscribe(ctx, keys("room:", 20)...)
	defer sub.Close()
	for range 20 {
		_, err := sub.Receive(ctx)
		noError(err)
	}
	for _, k := range keys("room:", 20) {
		equal2(r.Publish(ctx, k, "to "+k), 1)
	}
	for range 20 {
		m, err := sub.ReceiveMessage(ctx)
		noError(err)
		same(m.Payload, "to "+m.Channel)
	}
	got, err := r.PubSubChannels(ctx, "room:*").Result()
	sorted(got, err, keys("room:", 20)...)
	noError(sub.Unsubscribe(ctx, keys("room:", 20)...))
	noError(sub.Ping(ctx))
}

func (r goredis) patterns(ctx context.Context) {
	sub := r.PSubscribe(ctx, "pat.*")
	defer sub.Close()
	_, err := sub.Receive(ctx)
	noError(err)
	for _, k := range keys("pat.", 100) {
		noError(r.Publish(ctx, k, k).Err())
	}
	seen := map[string]bool{}
	for range 100 {
		m, err := sub.ReceiveMessage(ctx)
		noError(err)
		same([]string{m.Pattern, m.Channel}, []string{"pat.*", m.Payload})
		seen[m.Channel] = true
	}
	same(len(seen), 100)
}

func (r goredis) bigValue(ctx context.Context) {
	big := bigValue()
	equal2(r.Set(ctx, "big", big, 0), "OK")
	got, err := r.Get(ctx, "big").Result()
	equal(got == big, err, true)
	equal2(r.Del(ctx, "big"), 1)
}

func (r goredis) binaryKeys(ctx context.Context) {
	for _, k := range binaryKeys("") {
		equal2(r.Set(ctx, k, "v"+k, 0), "OK")
		equal2(r.Get(ctx, k), "v"+k)
		equal2(r.Del(ctx, k), 1)
	}
	list := binaryKeys(r.tag)
	for _, k := range list {
		equal2(r.Set(ctx, k, "v"+k, 0), "OK")
	}
	got, err := r.MGet(ctx, list...).Result()
	noError(err)
	for i, k := range list {
		same(got[i], any("v"+k))
	}
	equal2(r.Del(ctx, list...), int64(len(list)))
}

func (r goredis) mget(ctx context.Context) {
	list := keys(r.tag+"many:", 10000)
	pairs := make([]any, 0, 2*len(list))
	for _, k := range list {
		pairs = append(pairs, k, "v"+k)
	}
	equal2(r.MSet(ctx, pairs...), "OK")
	got, err := r.MGet(ctx, list...).Result()
	noError(err)
	for i, k := range list {
		same(got[i], any("v"+k))
	}
	equal2(r.Del(ctx, list...), 10000)
}

func (r goredis) server(ctx context.Context) {
	equal2(r.Ping(ctx), "PONG")
	equal2(r.Echo(ctx, "hi"), "hi")
	info, err := r.Info(ctx).Result()
	equal(strings.Contains(info, "redis_version"), err, true)
	_, err = r.Time(ctx).Result()
	noError(err)
	commands, err := r.Command(ctx).Result()
	noError(err)
	same(commands["get"].ReadOnly, true)
	id, err := r.ClientID(ctx).Result()
	equal(id > 0, err, true)
	_, err = r.ConfigGet(ctx, "maxmemory").Result()
	noError(err)
	_, err = r.ClientList(ctx).Result()
	noError(err)
	noError(r.ConfigSet(ctx, "slowlog-log-slower-than", "0").Err())
	for range 5 {
		noError(r.Set(ctx, "slow", "x", 0).Err())
	}
	slow, err := r.SlowLogGet(ctx, 5).Result()
	equal(len(slow), err, 5)
}
