package proxy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// hotRead is a read of a key and what the key's node answers.
type hotRead struct {
	args  []string
	reply string
}

func (r hotRead) key() string { return r.args[1] }

// untilEachIsKept reads until all keys are kept, and, where they are copied, so many nodes have them.
func untilEachIsKept(t testing.TB, mode string, c *redistest.Conn, reads []hotRead, copies int) {
	t.Helper()
	redistest.WaitFor(t, "all keys to be kept", func() bool {
		for range 50 {
			for _, r := range reads {
				c.Send(r.args...)
			}
		}
		c.Flush()
		for range 50 {
			for _, r := range reads {
				want(t, strings.Join(r.args, " "), c.Recv(), r.reply)
			}
		}
		for _, r := range reads {
			if hotField(c, r.key(), "tier") != mode || mode == "copies" && hotField(c, r.key(), "copied-to") != fmt.Sprint(copies) {
				return false
			}
		}
		return !t.Failed()
	})
}

// copiesAt returns the names of the copies that a node has.
func copiesAt(t testing.TB, c *redistest.Conn) (names []string) {
	t.Helper()
	c.Do("SELECT", "15")
	list := elements([]byte(c.Do("KEYS", copyPrefix+"*")))
	for _, name := range list {
		names = append(names, string(text(name)))
	}
	c.Do("SELECT", "0")
	return names
}

// Copies vanish in each way that there is, while they are read. What is not there is no answer: no nil, no 0, nothing that is empty.
func TestCopiesVanish(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		var servers []*redistest.Redis
		var direct []*redistest.Conn
		var addresses []string
		for range 3 {
			s := redistest.Server(t, "--maxmemory-policy", "volatile-random")
			servers, direct, addresses = append(servers, s), append(direct, redistest.Dial(t, s.Addr())), append(addresses, s.Addr())
		}
		srv := serve(t, keeping(t, mode, nil), addresses...)
		c := client(t, srv)
		c.Do("SET", "string", "v")
		c.Do("HSET", "hash", "f", "v")
		c.Do("RPUSH", "list", "a", "b")
		c.Do("SADD", "set", "a", "c")
		c.Do("ZADD", "zset", "1", "a")
		reads := []hotRead{
			{[]string{"GET", "string"}, redistest.Bulk("v")},
			{[]string{"STRLEN", "string"}, ":1\r\n"},
			{[]string{"HGET", "hash", "f"}, redistest.Bulk("v")},
			{[]string{"HLEN", "hash"}, ":1\r\n"},
			{[]string{"LRANGE", "list", "0", "-1"}, "*2\r\n" + redistest.Bulk("a") + redistest.Bulk("b")},
			{[]string{"SISMEMBER", "set", "a"}, ":1\r\n"},
			{[]string{"ZSCORE", "zset", "a"}, redistest.Bulk("1")},
		}
		untilEachIsKept(t, mode, c, reads, 3)
		var stop atomic.Bool
		var all sync.WaitGroup
		var answered atomic.Int64
		for range 3 {
			reader := client(t, srv)
			all.Go(func() {
				for !stop.Load() {
					for _, r := range reads {
						reader.Send(r.args...)
					}
					err := reader.TryFlush()
					for _, r := range reads {
						var b []byte
						if err == nil {
							b, err = reader.TryRecv(nil)
						}
						if err != nil || string(b) != r.reply {
							t.Errorf("%v: %q, %v", r.args, b, err)
							stop.Store(true)
							return
						}
					}
					answered.Add(1)
				}
			})
		}
		more := func() {
			n := answered.Load() + 200
			redistest.WaitFor(t, "reads", func() bool { return stop.Load() || answered.Load() > n })
		}
		someAt := func(n *redistest.Conn) {
			redistest.WaitFor(t, "copies", func() bool { return stop.Load() || mode == "near" || len(copiesAt(t, n)) > 0 })
		}
		evicted := func(i int) int { return numberIn(servers[i].Do("INFO", "stats"), "evicted_keys:") }
		for range sized(20, 2) {
			for i, n := range direct {
				someAt(n)
				for _, name := range copiesAt(t, n) {
					n.Do("SELECT", "15")
					n.Do("UNLINK", name)
					n.Do("SELECT", "0")
				}
				more()
				someAt(n)
				n.Do("SELECT", "15")
				want(t, "FLUSHDB", n.Do("FLUSHDB"), "+OK\r\n")
				n.Do("SELECT", "0")
				more()
				someAt(n)
				before := evicted(i)
				want(t, "CONFIG SET", n.Do("CONFIG", "SET", "maxmemory", "1"), "+OK\r\n")
				redistest.WaitFor(t, "a copy to be evicted", func() bool { return stop.Load() || mode == "near" || evicted(i) > before })
				more()
				want(t, "CONFIG SET", n.Do("CONFIG", "SET", "maxmemory", "0"), "+OK\r\n")
			}
		}
		stop.Store(true)
		all.Wait()
		misses := metrics.Sum(srv.Stats(0)).CopyMisses
		if mode == "copies" && misses == 0 {
			t.Error("no copy was missing when it was asked for")
		}
		t.Logf("%d times %d reads, %d misses", answered.Load(), len(reads), misses)
		balanced(t, srv)
	})
}

// A node with copies dies, and comes back with those that it had when it was last saved. Nobody who reads fails for it, or is told what was written over since.
func TestANodeComesBackWithCopiesOfBefore(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.CopyTTL = time.Hour }), servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
		key := keyOf(t, srv, 0, "hot")
		v := newVersions(t, key)
		c := client(t, srv)
		reader := client(t, srv)
		// everywhere waits until the nodes have copies of the newest value.
		everywhere := func() {
			t.Helper()
			reads := []hotRead{{[]string{"GET", key}, redistest.Bulk(fmt.Sprint(v.last.Load()))}}
			untilEachIsKept(t, mode, reader, reads, len(servers))
		}
		v.setOn(c)
		everywhere()
		v.readers(3, srv.Addr(0))
		for round := range sized(10, 2) {
			back := servers[1+round%2]
			v.setOn(c)
			everywhere()
			want(t, "SAVE", back.Do("SAVE"), "+OK\r\n")
			saved := len(copiesAt(t, redistest.Dial(t, back.Addr())))
			for range 5 {
				v.setOn(c)
				v.until(100)
			}
			everywhere()
			back.Kill()
			v.until(100)
			v.setOn(c)
			v.until(100)
			back.Restart()
			if n := len(copiesAt(t, redistest.Dial(t, back.Addr()))); n < saved || mode == "copies" && saved == 0 {
				t.Errorf("it comes back with %d copies of %d", n, saved)
			}
			v.until(100)
			v.setOn(c)
			everywhere()
			if v.stop.Load() {
				break
			}
		}
		if worst := v.finish(); worst > 0 {
			t.Errorf("a read was stale by %v, and all writes came from here", worst)
		}
		balanced(t, srv)
	})
}

// What DUMP says on one node another may not understand, if it is older. Then there are fewer copies, it is not asked again each time, and reads are right.
func TestNodesOfDifferentVersions(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, nil), redistest.Server(t).Addr(), redistest.Server(t).Addr(), redistest.Valkey(t).Addr())
		c, reader := client(t, srv), client(t, srv)
		older, newer, word := keyOf(t, srv, 0, "older"), keyOf(t, srv, 2, "newer"), keyOf(t, srv, 2, "word")
		fields := func(v string) string { return "*2\r\n" + redistest.Bulk("f") + redistest.Bulk(v) }
		set := func(v string) (ofWord, ofOlder, ofNewer []hotRead) {
			t.Helper()
			want(t, "SET", c.Do("SET", word, v), "+OK\r\n")
			for _, key := range []string{older, newer} {
				c.Do("HSET", key, "f", v)
			}
			reads := func(key string) []hotRead {
				return []hotRead{
					{[]string{"HGET", key, "f"}, redistest.Bulk(v)},
					{[]string{"HGETALL", key}, fields(v)},
					{[]string{"HLEN", key}, ":1\r\n"},
				}
			}
			return []hotRead{{[]string{"GET", word}, redistest.Bulk(v)}}, reads(older), reads(newer)
		}
		for i := range 10 {
			ofWord, ofOlder, ofNewer := set(fmt.Sprint(i))
			untilEachIsKept(t, mode, reader, append(ofWord, ofOlder...), 3)
			untilEachIsKept(t, mode, reader, ofNewer, 1)
		}
		refused := uint64(0)
		if mode == "copies" {
			refused = 2
		}
		if n := metrics.Sum(srv.Stats(0)).PopulateErrors; n != refused {
			t.Errorf("the two older nodes have refused %d times what the newer one had dumped", n)
		}
		want(t, "a field that is not there", reader.Do("HGET", newer, "g"), "$-1\r\n")
		balanced(t, srv)
	})
}

// A value is held for its copies, and goes when it is of no use: there is another, the key is hot no more, or is another node's, or nothing is copied.
func TestWhatIsHeldForCopiesIsGivenUp(t *testing.T) {
	srv := serve(t, keeping(t, "copies", func(h *config.HotKeys) { h.NearMemory = 100 << 10 }), nodes(t, 2)...)
	key, give := moved(t, srv, "k")
	c := client(t, srv)
	held := func() int64 { return srv.open()[0].tally.Held.Load() }
	fill := func(i int) {
		t.Helper()
		value := strings.Repeat(fmt.Sprint(i), 60<<10) // two of them are too much
		want(t, "SET", c.Do("SET", key, value), "+OK\r\n")
		untilEachIsKept(t, "copies", c, []hotRead{{[]string{"GET", key}, redistest.Bulk(value)}}, 2)
		if n := int(held()); n != len(redistest.Bulk(value)) {
			t.Errorf("%d bytes are held of %d", n, len(value))
		}
	}
	freed := func(why string) {
		t.Helper()
		redistest.WaitFor(t, "the value to be given up: "+why, func() bool {
			for range 100 { // it does not cool
				c.Do("GET", key)
			}
			return held() == 0
		})
	}
	for i := range 4 {
		fill(i)
	}
	give(1)
	freed("the key has another node")
	fill(5)
	for why, change := range map[string]func(h *config.HotKeys){
		"nothing is copied": func(h *config.HotKeys) { h.Mode = "near" },
		"it is excluded":    func(h *config.HotKeys) { h.Exclude = []string{key} },
		"keys are not hot":  func(h *config.HotKeys) { h.Mode = "off" },
	} {
		before := srv.open()[0].cfg.HotKeys
		reloadWith(t, srv, onPool(func(p *config.Pool) { change(&p.HotKeys) }))
		freed(why)
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys = before }))
		fill(6)
	}
	balanced(t, srv)
}
