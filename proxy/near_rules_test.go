package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/hotkey"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// entryOf is what is known of a hot key.
func entryOf(t testing.TB, srv *Server, key string) (e *hotkey.Entry) {
	t.Helper()
	set := srv.open()[0].tally.Set()
	for i := range set.Keys {
		if string(set.Keys[i].Name) == key {
			return set.Keys[i].Entry
		}
	}
	t.Fatalf("%s is not hot", key)
	return nil
}

// A key waits for the connection on which its node tells of changes, and when that comes the node is its owner no more.
func TestAKeyIsWatchedAtItsOwner(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		addresses := nodes(t, 2)
		r := newRelay(t, addresses[0])
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MaxAge = time.Hour }), r.Addr(), addresses[1])
		c := client(t, srv)
		heavy := func(weight int) { reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[1].Weight = weight })) }
		owner := func(key string) (node int) {
			for _, w := range srv.workers {
				redistest.Run(t, w.loop.Post, func() { node += w.pools[0].find([]byte(key)) })
			}
			return node
		}
		// A key of the first node that belongs to the second when that has more weight.
		key := ""
		heavy(100)
		redistest.WaitFor(t, "the first node to own little", func() bool { return owner("a") > 0 || owner("b") > 0 })
		second := map[string]bool{}
		for i := range 100 {
			k := fmt.Sprint("k", i)
			second[k] = owner(k) == len(srv.workers)
		}
		heavy(1)
		redistest.WaitFor(t, "the first node to own its part", func() bool {
			for k, is := range second {
				if is && owner(k) == 0 {
					key = k
				}
			}
			return key != ""
		})
		c.Do("SET", key, "v")
		r.tracking.hold()
		redistest.WaitFor(t, key+" to wait to be watched", func() bool {
			for range 200 {
				c.Send("GET", key)
			}
			c.Flush()
			for range 200 {
				c.Recv()
			}
			return hotField(c, key, "tier") == "collapse" && entryOf(t, srv, key).Wanted.Load()
		})
		heavy(100)
		redistest.WaitFor(t, "the second node to own it", func() bool { return owner(key) == len(srv.workers) })
		redistest.Dial(t, addresses[1]).Do("SET", key, "v")
		r.tracking.release()
		untilKept(t, mode, c, key)
		redistest.Dial(t, addresses[1]).Do("SET", key, "direct")
		redistest.WaitFor(t, "a write past the router to be seen", func() bool { return c.Do("GET", key) == redistest.Bulk("direct") })
		balanced(t, srv)
	})
}

// A mode that keeps nothing comes while a reply is on its way that was to be kept.
func TestNothingIsToBeKeptAnyMore(t *testing.T) {
	inNearMode(t, func(t *testing.T, mode string) {
		r := newRelay(t, nodes(t, 1)[0])
		srv := serve(t, keeping(t, mode, staleness(time.Minute)), r.Addr())
		c := client(t, srv)
		c.Do("SET", "hot", "123")
		for _, other := range []string{"off", "collapse"} {
			untilKept(t, mode, c, "hot")
			r.data.hold()
			c.Send("STRLEN", "hot")
			c.Flush()
			redistest.WaitFor(t, "the request", func() bool { return srv.Stats(0)[0].Nodes[0].Depth+srv.Stats(0)[1].Nodes[0].Depth == 1 })
			reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys.Mode = other }))
			r.data.release()
			want(t, "STRLEN", c.Recv(), ":3\r\n")
			kept := keptReads(srv)
			for range 100 {
				want(t, "GET", c.Do("GET", "hot"), redistest.Bulk("123"))
			}
			if n := keptReads(srv); n != kept {
				t.Errorf("mode %s: %d reads were answered with what is kept", other, n-kept)
			}
			reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys.Mode = mode }))
		}
		balanced(t, srv)
	})
}

// Whether a key is worth it is told by all of its reads, and those that are answered with what is kept are the most.
func TestAKeyThatIsReadMuchIsWorthIt(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MinReads = 8 }), nodes(t, 1)...)
		c := client(t, srv)
		c.Do("SET", "hot", "0")
		untilKept(t, mode, c, "hot")
		for i := range 30 {
			c.Do("SET", "hot", fmt.Sprint(i))
			for range 100 {
				c.Do("GET", "hot")
			}
			if why := hotField(c, "hot", "why"); why != "" {
				t.Fatalf("after %d writes of a key with a hundred reads for each nothing is kept: %s", i+1, why)
			}
		}
	})
}

// One that is written as often as it is read is not, until that ends.
func TestAKeyThatIsWrittenMuchIsNotWorthIt(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MinReads = 8 }), nodes(t, 1)...)
		c := client(t, srv)
		redistest.WaitFor(t, "the key to be written too often", func() bool {
			for i := range 100 {
				c.Do("SET", "hot", fmt.Sprint(i))
				c.Do("GET", "hot")
			}
			return hotField(c, "hot", "why") == "written too often"
		})
		untilKept(t, mode, c, "hot")
	})
}

// A client leaves while its EXEC, on a connection of its own, is on the way. As long as nobody knows whether it was carried out nothing is kept.
func TestATransactionIsGivenUp(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := redistest.Server(t)
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, nil)(c)
			c.Pools[0].Timeout = 20 * time.Second
		}, node.Addr())
		c := client(t, srv)
		c.Do("SET", "hot", "0")
		for i := range 5 {
			value := fmt.Sprint("exec", i)
			untilKept(t, mode, c, "hot")
			leaves := client(t, srv)
			want(t, "WATCH", leaves.Do("WATCH", "hot"), "+OK\r\n")
			leaves.Do("MULTI")
			leaves.Do("SET", "hot", value)
			e := entryOf(t, srv, "hot")
			node.Stop()
			leaves.Send("EXEC")
			leaves.Flush()
			redistest.WaitFor(t, "EXEC to be sent", func() bool { _, ok := e.Begin(); return !ok })
			clients := metrics.Sum(srv.Stats(0)).Clients
			reset(leaves)
			redistest.WaitFor(t, "the client to leave", func() bool { return metrics.Sum(srv.Stats(0)).Clients == clients-1 })
			if _, ok := e.Begin(); ok {
				t.Error("the key may be watched, and EXEC was not carried out")
			}
			node.Cont()
			redistest.WaitFor(t, "EXEC to be carried out", func() bool { return c.Do("GET", "hot") == redistest.Bulk(value) })
			redistest.WaitFor(t, "the private lane to be closed", func() bool {
				n := 0
				for _, w := range srv.workers {
					redistest.Run(t, w.loop.Post, func() { n += w.pools[0].privates })
				}
				return n == 0
			})
		}
		balanced(t, srv)
	})
}

// A key becomes hot while a write of it is at its node. It is not watched before that is answered.
func TestAWriteFromBeforeAKeyWasHot(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := redistest.Server(t)
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, nil)(c)
			c.Pools[0].Timeout = 20 * time.Second
		}, node.Addr())
		c, reader := client(t, srv), client(t, srv)
		c.Do("GET", "hot")
		reader.Do("GET", "hot")
		node.Stop()
		c.Send("SET", "hot", "v")
		c.Flush()
		depth := func() (n int) {
			for _, st := range srv.Stats(0) {
				n += st.Nodes[0].Depth
			}
			return n
		}
		redistest.WaitFor(t, "the write", func() bool { return depth() == 1 })
		const reads = 60 // a window
		for range reads {
			reader.Send("GET", "hot")
		}
		reader.Flush()
		redistest.WaitFor(t, "the key to be hot", func() bool { return len(srv.open()[0].tally.Set().Keys) == 1 })
		e := entryOf(t, srv, "hot")
		for _, w := range srv.workers { // all of them know of it
			redistest.WaitFor(t, "the loops to know", func() (is bool) {
				redistest.Run(t, w.loop.Post, func() { is = w.pools[0].hot != nil })
				return is
			})
		}
		if _, ok := e.Begin(); ok {
			t.Error("the key may be watched, and SET was not carried out")
		}
		node.Cont()
		want(t, "SET", c.Recv(), "+OK\r\n")
		for range reads {
			reader.Recv()
		}
		redistest.WaitFor(t, "the key to be watched", func() bool {
			want(t, "GET", reader.Do("GET", "hot"), redistest.Bulk("v"))
			return e.Watched(0) != nil
		})
		balanced(t, srv)
	})
}

// A field of a hash has a time to live of its own, and its node finds out late.
func TestAFieldOfAHotHashExpires(t *testing.T) {
	inNearMode(t, func(t *testing.T, mode string) {
		const (
			l    = 200 * time.Millisecond
			life = 300 * time.Millisecond
		)
		node := redistest.Valkey(t, "--enable-debug-command", "yes")
		want(t, "DEBUG", node.Do("DEBUG", "SET-ACTIVE-EXPIRE", "0"), "+OK\r\n")
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MaxStaleness, h.MaxAge = l, time.Hour }), node.Addr())
		c := client(t, srv)
		c.Do("HSET", "hot", "field", "v", "other", "w")
		untilKept := func() {
			kept := keptReads(srv)
			redistest.WaitFor(t, "the field to be kept", func() bool {
				for range 200 {
					c.Send("HGET", "hot", "field")
				}
				c.Flush()
				for range 200 {
					c.Recv()
				}
				return keptReads(srv) > kept+100
			})
		}
		untilKept()
		want(t, "HPEXPIRE", c.Do("HPEXPIRE", "hot", fmt.Sprint(life.Milliseconds()), "FIELDS", "1", "field"), "*1\r\n:1\r\n")
		end, kept := time.Now().Add(life), keptReads(srv)
		for {
			began := time.Now()
			if c.Do("HGET", "hot", "field") == "$-1\r\n" {
				break
			}
			if late := began.Sub(end); late > bound(l) {
				t.Fatalf("read %v after its end", late)
			}
		}
		if keptReads(srv) == kept {
			t.Error("no read was answered with what is kept")
		}
		untilKept()
	})
}

// The database of a pool becomes another one. A key's time to live is that in the new one.
func TestThePoolHasAnotherDatabase(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const life = 300 * time.Millisecond
		node := redistest.Server(t, "--enable-debug-command", "yes")
		node.Do("DEBUG", "SET-ACTIVE-EXPIRE", "0")
		srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MaxAge = time.Hour }), node.Addr())
		c := client(t, srv)
		c.Do("SET", "hot", "v")
		untilKept(t, mode, c, "hot")
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.Database = 1 }))
		c = client(t, srv)
		redistest.WaitFor(t, "the other database", func() bool {
			if c.Do("GET", "hot") == "$-1\r\n" {
				return true
			}
			c = client(t, srv)
			return false
		})
		c.Do("SET", "hot", "v")
		untilKept(t, mode, c, "hot")
		c.Do("PEXPIRE", "hot", fmt.Sprint(life.Milliseconds()))
		end, kept := time.Now().Add(life), keptReads(srv)
		for {
			began := time.Now()
			if c.Do("GET", "hot") == "$-1\r\n" {
				break
			}
			if late := began.Sub(end); late > 2*time.Millisecond {
				t.Fatalf("read %v after its end", late)
			}
		}
		if keptReads(srv) == kept {
			t.Error("no read was answered with what is kept")
		}
	})
}

// What is kept is told to those who may read the key, and to nobody else, in whatever way he asks.
func TestWhoMayNotReadAHotKey(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		users := func(rules string) []config.User {
			pw := []config.Secret{"pw"}
			return []config.User{
				{Name: "other", Passwords: pw, Rules: "~o* +@all"},
				{Name: "writer", Passwords: pw, Rules: "~o* %W~hot +@all"},
				{Name: "without", Passwords: pw, Rules: "~* +@all -get -getrange"},
				{Name: "changing", Passwords: pw, Rules: rules},
			}
		}
		may, mayNot := "~* +@all", "~o* +@all"
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, nil)(c)
			c.Pools[0].Users = users(may)
		}, nodes(t, 1)...)
		as := func(name string) *redistest.Conn {
			c := client(t, srv)
			want(t, "AUTH", c.Do("AUTH", name, "pw"), "+OK\r\n")
			return c
		}
		plain := client(t, srv)
		plain.Do("SET", "hot", "secret")
		untilKept(t, mode, plain, "hot")
		// denied has a client ask in several ways, a few hundred times: none of them shows anything.
		denied := func(name string, c *redistest.Conn) {
			t.Helper()
			kept := keptReads(srv)
			requests := [][]string{{"GET", "hot"}, {"GETRANGE", "hot", "0", "-1"}, {"GET", "hot"}}
			for range 100 {
				for _, r := range requests {
					c.Send(r...)
				}
			}
			c.Flush()
			for range 100 {
				for _, r := range requests {
					if reply := c.Recv(); !strings.HasPrefix(reply, "-NOPERM ") {
						t.Fatalf("%s asks for %v: %q", name, r, reply)
					}
				}
			}
			c.Do("MULTI")
			for _, r := range requests {
				if reply := c.Do(r...); !strings.HasPrefix(reply, "-NOPERM ") {
					t.Errorf("%s asks for %v in MULTI: %q", name, r, reply)
				}
			}
			want(t, "EXEC", c.Do("EXEC"), "-"+errExecAbort+"\r\n")
			if n := keptReads(srv); n != kept {
				t.Errorf("%s: %d reads were answered with what is kept", name, n-kept)
			}
		}
		for _, name := range []string{"other", "writer", "without"} {
			denied(name, as(name))
		}
		if reply := as("other").Do("MGET", "o", "hot"); !strings.HasPrefix(reply, "-NOPERM ") {
			t.Errorf("MGET: %q", reply)
		}
		writer := as("writer")
		want(t, "SET by one who may only write", writer.Do("SET", "hot", "new"), "+OK\r\n")
		want(t, "GET after it", plain.Do("GET", "hot"), redistest.Bulk("new"))
		untilKept(t, mode, plain, "hot")

		// It is taken away from one who is told, and given back.
		c := as("changing")
		for range 2 {
			kept := keptReads(srv)
			for range 100 {
				want(t, "GET", c.Do("GET", "hot"), redistest.Bulk("new"))
			}
			if keptReads(srv) == kept {
				t.Error("one who may read is not told what is kept")
			}
			reloadWith(t, srv, onPool(func(p *config.Pool) { p.Users = users(mayNot) }))
			redistest.WaitFor(t, "the rules", func() bool { return strings.HasPrefix(c.Do("GET", "hot"), "-NOPERM ") })
			denied("changing", c)
			reloadWith(t, srv, onPool(func(p *config.Pool) { p.Users = users(may) }))
			redistest.WaitFor(t, "the rules", func() bool { return c.Do("GET", "hot") == redistest.Bulk("new") })
			untilKept(t, mode, plain, "hot")
		}
		balanced(t, srv)
	})
}

// A node that does not let the router read a key is asked each time, for that may change at any moment.
func TestANodeThatForbidsAHotKey(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		for _, rules := range []struct{ forbid, allow []string }{
			{[]string{"resetkeys", "~o*"}, []string{"~*"}},
			{[]string{"-get"}, []string{"+get"}}, // it tells of changes all the same
		} {
			node := redistest.Server(t)
			srv := serve(t, keeping(t, mode, func(h *config.HotKeys) { h.MaxAge = time.Second }), node.Addr())
			c := client(t, srv)
			c.Do("SET", "hot", "v")
			untilKept(t, mode, c, "hot")
			want(t, "ACL SETUSER", node.Do("ACL", "SETUSER", "admin", "on", "nopass", "~*", "+@all"), "+OK\r\n")
			direct := redistest.Dial(t, node.Addr())
			direct.Do("AUTH", "admin", "x")
			may := func(rules []string) {
				t.Helper()
				want(t, "ACL SETUSER", direct.Do(append([]string{"ACL", "SETUSER", "default"}, rules...)...), "+OK\r\n")
			}
			may(rules.forbid)
			want(t, "SET past the router", direct.Do("SET", "hot", "w"), "+OK\r\n")
			forbidden := func() bool { return strings.HasPrefix(c.Do("GET", "hot"), "-NOPERM ") }
			redistest.WaitFor(t, "the node to forbid it", forbidden)
			redistest.WaitFor(t, "the key to be asked about again", func() bool {
				for range 100 {
					forbidden()
				}
				return entryOf(t, srv, "hot").Watched(0) != nil || strings.Contains(hotField(c, "hot", "why"), "NOPERM ")
			})
			kept := keptReads(srv)
			for range 100 {
				if !forbidden() {
					t.Fatal("a read was answered")
				}
			}
			if n := keptReads(srv); n != kept {
				t.Errorf("%d reads were answered with what is kept", n-kept)
			}
			may(rules.allow)
			want(t, "GET", c.Do("GET", "hot"), redistest.Bulk("w"))
			untilKept(t, mode, c, "hot")
			balanced(t, srv)
		}
	})
}
