package proxy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// askFor sends a pipeline of reads and writes in which one key in two is always the same.
func askFor(c *redistest.Conn, key string, n int) {
	for i := range n {
		if i%10 == 0 {
			c.Send("SET", key, "value")
		} else {
			c.Send("GET", key)
		}
		c.Send("GET", fmt.Sprint("other:", i))
	}
	c.Flush()
	for range 2 * n {
		c.Recv()
	}
}

// untilHot asks for a key until HOTKEYS says that it is hot, or not.
func untilHot(t testing.TB, c *redistest.Conn, key string, hot bool) {
	t.Helper()
	redistest.WaitFor(t, fmt.Sprintf("%s to be hot: %v", key, hot), func() bool {
		askFor(c, key, 200)
		tier := hotField(c, key, "tier")
		return tier != "" && (tier != "none") == hot
	})
}

func TestHotKeysAreFoundOnEveryLoopAndTold(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, nodes(t, 3)...)
	c, resp3 := client(t, srv), client(t, srv)
	want(t, "HOTKEYS before anything", c.Do("HOTKEYS"), "*0\r\n")
	resp3.Do("HELLO", "3")
	untilHot(t, c, "hot", true)
	for _, w := range srv.workers {
		redistest.WaitFor(t, "each loop to know", func() (is bool) {
			redistest.Run(t, w.loop.Post, func() { is = w.pools[0].hot != nil })
			return is
		})
	}
	owner := ringOf(t, srv).Find([]byte("hot"))
	begin := fmt.Sprintf("$3\r\nkey\r\n$3\r\nhot\r\n$4\r\nnode\r\n$2\r\nn%d\r\n$5\r\nshare\r\n", owner)
	if got := c.Do("HOTKEYS", "GET"); !strings.HasPrefix(got[strings.Index(got, "\r\n")+2:], "*30\r\n"+begin+"$") {
		t.Errorf("HOTKEYS GET: %q", got)
	}
	if got := resp3.Do("HOTKEYS"); !strings.HasPrefix(got[strings.Index(got, "\r\n")+2:], "%15\r\n"+begin+",0.") {
		t.Errorf("HOTKEYS in RESP3: %q", got)
	}
	want(t, "HOTKEYS GET with more", c.Do("HOTKEYS", "GET", "x"), "-ERR syntax error\r\n")
	if got := c.Do("HOTKEYS", "START"); !strings.HasPrefix(got, "-ERR HOTKEYS START is refused: ") {
		t.Errorf("HOTKEYS START: %q", got)
	}
	m := figures(t, c, "hotkeys")
	if m["hot_keys_mode"] != "auto" || m["hot_keys"] != "1" || m["hot_key_promotions"] != "1" ||
		!strings.HasPrefix(m["hotkey0"], fmt.Sprintf("node=n%d,share=0.", owner)) || !strings.HasSuffix(m["hotkey0"], `,key="hot"`) {
		t.Errorf("INFO hotkeys: %v", m)
	}
	var k HotKey
	redistest.WaitFor(t, "its rate to be known", func() bool {
		askFor(c, "hot", 200)
		pools := srv.HotKeys()
		if len(pools) != 1 || pools[0].Pool != "test" || len(pools[0].Keys) == 0 {
			t.Fatalf("HotKeys: %+v", pools)
		}
		k = pools[0].Keys[0]
		return k.Reads > 0 && k.Writes > 0 && k.Bytes >= k.Reads*5
	})
	if k.Key != "hot" || k.Share < 0.3 || k.Share > 0.7 || k.Writes > k.Reads || k.Saved == 0 {
		t.Errorf("the hot key: %+v", k)
	}
	st := srv.Stats(0)
	if st[0].HotKeys != 1 || st[1].HotKeys != 0 || st[0].Promotions != 1 {
		t.Errorf("the loops count %d and %d hot keys", st[0].HotKeys, st[1].HotKeys)
	}
}

func TestAKeyCoolsWhenNobodyAsks(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	c := client(t, srv)
	untilHot(t, c, "hot", true)
	redistest.WaitFor(t, "no key to be hot", func() bool { return len(srv.pools[0].tally.Set().Keys) == 0 })
	onLoop(t, srv, func(w *worker) {
		if w.pools[0].hot != nil {
			t.Error("the loop still has it")
		}
	})
	redistest.WaitFor(t, "the reports to end", func() (ended bool) {
		onLoop(t, srv, func(w *worker) { ended = !w.pools[0].heat.timer.Set() })
		return ended
	})
}

func TestAReloadExcludesKeysAndEndsTheSearch(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	c := client(t, srv)
	untilHot(t, c, "user:1", true)
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys.Exclude = []string{"lock:*", "user:*"} }))
	untilHot(t, c, "user:1", false)
	untilHot(t, c, "session:1", true)
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys.Mode = "off" }))
	redistest.WaitFor(t, "the search to end", func() (off bool) {
		onLoop(t, srv, func(w *worker) { off = w.pools[0].heat == nil && w.pools[0].hot == nil })
		return off
	})
	askFor(c, "session:1", 200)
	want(t, "HOTKEYS where it is off", c.Do("HOTKEYS"), "*0\r\n")
	onLoop(t, srv, func(w *worker) {
		if cool := w.pools[0].cool; cool < math.MaxInt/2 {
			t.Errorf("the next look is %d requests away", cool)
		}
	})
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.HotKeys = config.HotKeys{Mode: "collapse"} }))
	untilHot(t, c, "user:1", true)
	balanced(t, srv)
}

// What waits for its turn when keys move is sent to where the key was, before the client's next request goes elsewhere.
func TestAReloadSendsHotReadsWhereTheyWouldHaveGone(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET k"), redistest.Tell(first), redistest.Expect("GET k"),
		redistest.Pause(reply), redistest.Reply("+1\r\n+2\r\n"))
	b := redistest.Server(t)
	redistest.Dial(t, b.Addr()).Do("SET", "k", "new")
	srv := serve(t, nil, node.Addr())
	heatUp(t, srv, "k")
	x, y := client(t, srv), client(t, srv)
	x.Send("GET", "k")
	x.Flush()
	<-first
	y.Send("GET", "k")
	y.Flush()
	redistest.WaitFor(t, "the other to wait", func() bool { return waiters(t, srv, "k") == 1 })
	cfg := changed(t, srv, onPool(func(p *config.Pool) { p.Backends[0].Address = b.Addr() }))
	if err := srv.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	close(reply)
	want(t, "the first", x.Recv(), "+1\r\n")
	want(t, "the second", y.Recv(), "+2\r\n")
	redistest.WaitFor(t, "the new address", func() bool { return y.Do("GET", "k") == redistest.Bulk("new") })
	balanced(t, srv)
}
