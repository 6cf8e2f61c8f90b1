package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// inCopies is a change of a pool that keeps nothing in the process.
func inCopies(threads int) func(*config.Config) {
	return func(c *config.Config) { c.Threads, c.Pools[0].HotKeys.Mode = threads, "copies" }
}

// untilCopied reads a key until so many nodes have a copy.
func untilCopied(t testing.TB, c *redistest.Conn, key string, copies int, read ...string) {
	t.Helper()
	if read == nil {
		read = []string{"GET", key}
	}
	redistest.WaitFor(t, key+" to be copied", func() bool {
		for range 200 {
			c.Send(read...)
		}
		c.Flush()
		for range 200 {
			c.Recv()
		}
		return hotField(c, key, "copied-to") == fmt.Sprint(copies)
	})
}

func TestReadsOfAHotKeyAreSpreadOverCopies(t *testing.T) {
	addresses := nodes(t, 3)
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprint(threads, " loops"), func(t *testing.T) {
			srv := serve(t, inCopies(threads), addresses...)
			a, b := client(t, srv), client(t, srv)
			b.Do("HELLO", "3")
			a.Do("SET", "hot", "first")
			untilCopied(t, a, "hot", 3)
			for i := range 300 {
				v := strings.Repeat(fmt.Sprint(i), 1+i*10)
				want(t, "SET", a.Do("SET", "hot", v), "+OK\r\n")
				for range 10 {
					want(t, "GET by the one who wrote", a.Do("GET", "hot"), redistest.Bulk(v))
					want(t, "GET by another", b.Do("GET", "hot"), redistest.Bulk(v))
					want(t, "STRLEN", b.Do("STRLEN", "hot"), fmt.Sprintf(":%d\r\n", len(v)))
				}
			}
			untilCopied(t, a, "hot", 3)
			if n := hotField(a, "hot", "reads-copies"); n == "0" {
				t.Error("no copy was read")
			}
			last := a.Do("GET", "hot")
			for _, address := range addresses { // without a copy the answer is the same
				n := redistest.Dial(t, address)
				n.Do("SELECT", "15")
				n.Do("FLUSHDB")
				want(t, "GET when copies are gone", b.Do("GET", "hot"), last)
			}
			a.Do("FLUSHALL")
			want(t, "GET after all was flushed", b.Do("GET", "hot"), "_\r\n")
			t.Log("copies", hotField(a, "hot", "reads-copies"), "saved", hotField(a, "hot", "reads-saved"),
				"validations", hotField(a, "hot", "validations"), "invalidations", hotField(a, "hot", "invalidations"))
			balanced(t, srv)
		})
	}
}

func TestCollectionsAreCopiedToo(t *testing.T) {
	srv := serve(t, inCopies(2), nodes(t, 3)...)
	a, b := client(t, srv), client(t, srv)
	for _, kind := range []struct {
		name        string
		write, read []string
		before      string // what read says before the write, and after it
		after       string
	}{
		{"hash", []string{"HSET", "hash", "f", "2"}, []string{"HGET", "hash", "f"}, "$1\r\n1\r\n", "$1\r\n2\r\n"},
		{"list", []string{"RPUSH", "list", "b"}, []string{"LRANGE", "list", "0", "-1"}, "*1\r\n$1\r\na\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		{"set", []string{"SREM", "set", "a"}, []string{"SISMEMBER", "set", "a"}, ":1\r\n", ":0\r\n"},
		{"zset", []string{"ZADD", "zset", "2", "a"}, []string{"ZSCORE", "zset", "a"}, "$1\r\n1\r\n", "$1\r\n2\r\n"},
	} {
		a.Do("FLUSHALL")
		a.Do("HSET", "hash", "f", "1")
		a.Do("RPUSH", "list", "a")
		a.Do("SADD", "set", "a", "c")
		a.Do("ZADD", "zset", "1", "a")
		untilCopied(t, a, kind.name, 3, kind.read...)
		want(t, "read of a copy", b.Do(kind.read...), kind.before)
		if n := hotField(a, kind.name, "reads-copies"); n == "0" {
			t.Errorf("%s: no copy was read", kind.name)
		}
		a.Do(kind.write...)
		want(t, "read behind a write", b.Do(kind.read...), kind.after)
		a.Do("DEL", kind.name)
		if got := b.Do("EXISTS", kind.name); got != ":0\r\n" {
			t.Errorf("%s: EXISTS after DEL: %q", kind.name, got)
		}
	}
	balanced(t, srv)
}

// Without copies what is too large to be kept would all come from one node.
func TestLargeValuesAreCopiedAndSmallOnesKept(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	c := client(t, srv)
	large := strings.Repeat("x", 20<<10)
	c.Do("SET", "large", large)
	c.Do("SET", "small", "x")
	untilCopied(t, c, "large", 3)
	untilNear(t, c, "small")
	want(t, "tier of the large one", hotField(c, "large", "tier"), "copies")
	want(t, "GET large", c.Do("GET", "large"), redistest.Bulk(large))
}

func TestWhoUsesTheDatabaseOfCopiesHasItForItself(t *testing.T) {
	srv := serve(t, inCopies(1), nodes(t, 3)...)
	c, other := client(t, srv), client(t, srv)
	c.Do("SET", "hot", "x")
	want(t, "SELECT", other.Do("SELECT", "15"), "+OK\r\n")
	for range 20 {
		askFor(c, "hot", 200)
	}
	want(t, "keys in it", other.Do("DBSIZE"), ":0\r\n")
	want(t, "copies", hotField(c, "hot", "copied-to"), "0")
}

// Copies are nobody's business. What a client sees of the keyspace is without them, and it can't have others told what it writes over one.
func TestCopiesAreHidden(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		addresses := nodes(t, 3)
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.CopyTTL = 3 * time.Second }), addresses...)
		c := client(t, srv)
		c.Do("SET", "hot", "v")
		reads := []hotRead{{[]string{"GET", "hot"}, redistest.Bulk("v")}}
		untilEachIsKept(t, mode, c, reads, 3)
		shows := func(what string, c *redistest.Conn, keys ...string) {
			t.Helper()
			list := fmt.Sprintf("*%d\r\n", len(keys))
			for _, k := range keys {
				list += redistest.Bulk(k)
			}
			want(t, what+", KEYS", c.Do("KEYS", "*"), list)
			want(t, what+", KEYS by name", c.Do("KEYS", copyPrefix+"*"), "*0\r\n")
			want(t, what+", SCAN", c.Do("SCAN", "0", "COUNT", "1000"), "*2\r\n$1\r\n0\r\n"+list)
			if key := c.Do("RANDOMKEY"); len(keys) == 0 && key != "$-1\r\n" || len(keys) > 0 && key != redistest.Bulk(keys[0]) {
				t.Errorf("%s, RANDOMKEY: %q", what, key)
			}
		}
		shows("a pool's own database", c, "hot")
		want(t, "DBSIZE", c.Do("DBSIZE"), ":1\r\n")

		// The database of copies, from the moment that a client uses it.
		name := copyPrefix + "0:no:s:hot"
		if names := copiesAt(t, redistest.Dial(t, addresses[0])); mode == "copies" && len(names) != 1 {
			t.Errorf("copies: %q", names)
		} else if mode == "copies" {
			name = names[0]
		}
		want(t, "a key of that name in another database", c.Do("GET", name), "$-1\r\n")
		other := client(t, srv)
		want(t, "SELECT", other.Do("SELECT", "15"), "+OK\r\n")
		shows("the database of copies", other)
		want(t, "SET", other.Do("SET", "own", "x"), "+OK\r\n")
		shows("the database of copies", other, "own")
		if mode == "copies" {
			for _, request := range []string{
				"GET %s", "SET %s wrong", "DEL %s", "DEL own %s", "MSET own y %s wrong", "APPEND %s x", "RENAME own %s", "PEXPIRE %s 1", "BLPOP %s 1",
				"EVAL return 1 %s", "WATCH %s", "DUMP %s", "OBJECT ENCODING %s", "XADD %s * f v",
			} {
				want(t, request, other.Do(strings.Fields(fmt.Sprintf(request, name))...), "-"+errNamesCopy+"\r\n")
			}
			other.Do("MULTI")
			want(t, "SET in MULTI", other.Do("SET", name, "wrong"), "-"+errNamesCopy+"\r\n")
			want(t, "EXEC", other.Do("EXEC"), "-"+errExecAbort+"\r\n")
		}
		want(t, "what was not changed", other.Do("GET", "own"), redistest.Bulk("x"))
		for range 500 {
			want(t, "GET hot", c.Do("GET", "hot"), redistest.Bulk("v"))
		}
		redistest.WaitFor(t, "the copies to be gone", func() bool {
			for range 100 {
				want(t, "GET hot", c.Do("GET", "hot"), redistest.Bulk("v"))
			}
			return other.Do("DBSIZE") == ":1\r\n"
		})
		balanced(t, srv)
	})
}
