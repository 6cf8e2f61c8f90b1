package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// The tests of this file show, one each, what docs/commands.md says is not as on one server.

const crossSlot = "-CROSSSLOT Keys in request don't hash to the same slot\r\n"

// spread is a router in front of three nodes, with a client, and keys of which each node has some.
type spread struct {
	nodes []*redistest.Redis
	*router
	*redistest.Conn
	keys [3][]string
}

func newSpread(t *testing.T, n int, with setup) *spread {
	t.Helper()
	s := &spread{nodes: servers(t, 3)}
	s.router = serveWith(t, with, pool{nodes: addresses(s.nodes)})
	s.Conn = redistest.Dial(t, s.addr())
	for i := range s.keys {
		s.keys[i], _ = keysOf(t, s.addr(), s.nodes, i, n)
	}
	return s
}

// want compares a reply with one that it must be.
func want(t *testing.T, c *redistest.Conn, reply string, args ...string) {
	t.Helper()
	if got := c.Do(args...); got != reply {
		t.Errorf("%s: %q, want %q", strings.Join(args, " "), got, reply)
	}
}

// wantError compares the beginning of an error.
func wantError(t *testing.T, c *redistest.Conn, beginning string, args ...string) {
	t.Helper()
	if got := c.Do(args...); !strings.HasPrefix(got, "-"+beginning) {
		t.Errorf("%s: %q, want an error that begins with %s", strings.Join(args, " "), got, beginning)
	}
}

// texts returns the elements of an array of bulk strings.
func texts(t *testing.T, reply string) []string {
	t.Helper()
	var all []string
	for _, e := range elements(t, reply) {
		_, body, _ := strings.Cut(e, "\r\n")
		all = append(all, strings.TrimSuffix(body, "\r\n"))
	}
	return all
}

// body returns what a bulk or verbatim string says.
func body(reply string) string {
	_, b, _ := strings.Cut(reply, "\r\n")
	return strings.TrimSuffix(b, "\r\n")
}

func TestCrossSlot(t *testing.T) {
	s := newSpread(t, 1, setup{})
	a, b := s.keys[0][0], s.keys[1][0]
	for _, request := range []string{
		"MSETNX A 1 B 2", "RENAME A B", "RENAMENX A B", "COPY A B", "SMOVE A B m", "LMOVE A B LEFT RIGHT", "RPOPLPUSH A B", "LMPOP 2 A B LEFT",
		"BLPOP A B 1", "BRPOP A B 1", "BLMOVE A B LEFT LEFT 1", "BRPOPLPUSH A B 1", "BLMPOP 1 2 A B LEFT", "BZPOPMIN A B 1", "BZMPOP 1 2 A B MIN",
		"SINTERSTORE A B", "SUNIONSTORE A B", "SDIFFSTORE A B", "ZUNIONSTORE A 1 B", "ZINTERSTORE A 1 B", "ZDIFFSTORE A 1 B", "ZRANGESTORE A B 0 1", "ZMPOP 2 A B MIN",
		"PFCOUNT A B", "PFMERGE A B", "BITOP NOT A B", "LCS A B", "SORT A STORE B", "GEOSEARCHSTORE A B FROMLONLAT 1 1 BYRADIUS 1 km",
		"GEORADIUS A 1 1 1 km STORE B", "XREAD BLOCK 1 STREAMS A B 0 0", "XREADGROUP GROUP g c STREAMS A B 0 0",
		"EVAL return(1) 2 A B", "EVALSHA 0 2 A B", "FCALL f 2 A B", "WATCH A B",
	} {
		fields := strings.Fields(request)
		apart, together := slices.Clone(fields), slices.Clone(fields)
		for i, f := range fields {
			switch f {
			case "A":
				apart[i], together[i] = a, "{"+a+"}1"
			case "B":
				apart[i], together[i] = b, "{"+a+"}2"
			}
		}
		want(t, s.Conn, crossSlot, apart...)
		if strings.HasPrefix(fields[0], "B") && fields[0] != "BITOP" || slices.Contains(fields, "BLOCK") {
			continue // it would wait for what does not come
		}
		if got := s.Do(together...); strings.HasPrefix(got, "-CROSSSLOT") {
			t.Errorf("%s: %q", strings.Join(together, " "), got)
		}
	}
	want(t, s.Conn, "+OK\r\n", "UNWATCH")
	for _, n := range s.nodes[1:] {
		want(t, redistest.Dial(t, n.Addr()), ":0\r\n", "DBSIZE")
	}
	want(t, s.Conn, "+OK\r\n", "MSET", a, "1", b, "2")
	want(t, s.Conn, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n", "MGET", a, b)
	for _, split := range []string{"EXISTS", "TOUCH", "DEL", "UNLINK"} {
		s.Do("MSET", a, "1", b, "2")
		want(t, s.Conn, ":2\r\n", split, a, b)
	}
}

func TestReadsOverSeveralNodes(t *testing.T) {
	s := newSpread(t, 1, setup{})
	alone := redistest.Dial(t, redistest.Server(t).Addr())
	a, b, c := s.keys[0][0], s.keys[1][0], s.keys[2][0]
	for _, conn := range []*redistest.Conn{s.Conn, alone} {
		conn.Do("SADD", "s"+a, "1", "2", "3")
		conn.Do("SADD", "s"+b, "2", "3", "x")
		conn.Do("SADD", "s"+c, "3", "4")
		conn.Do("ZADD", "z"+a, "1", "m", "2", "n", "2.5", "o")
		conn.Do("ZADD", "z"+b, "1", "m", "0.1", "n", "inf", "p")
		conn.Do("ZADD", "z"+c, "-1", "m", "-inf", "p")
		for i, k := range []string{a, b, c} {
			conn.Do("XADD", "x"+k, fmt.Sprintf("1-%d", i+1), "f", k)
		}
	}
	for _, proto := range []string{"2", "3"} {
		s.Do("HELLO", proto)
		alone.Do("HELLO", proto)
		for _, request := range []string{
			"SINTER sA sB sC", "SINTER sA sB", "SINTER sA none", "SUNION sA sB sC none", "SDIFF sA sB sC", "SDIFF sB sA", "SINTERCARD 3 sA sB sC",
			"SINTERCARD 2 sA sB LIMIT 1", "SINTER sA zB", "SUNION sA xB", "SINTERCARD 2 sA sB LIMIT -1", "SINTERCARD 2 sA sB NOSUCH 1",
			"ZUNION 3 zA zB zC", "ZUNION 3 zA zB zC WITHSCORES", "ZINTER 2 zA zB WITHSCORES", "ZINTER 2 zA zB AGGREGATE MAX WITHSCORES",
			"ZUNION 2 zA zB WEIGHTS 2 -0.5 AGGREGATE MIN WITHSCORES", "ZDIFF 2 zA zC WITHSCORES", "ZDIFF 3 zA zB zC", "ZINTERCARD 2 zA zB", "ZUNION 2 zA sB WITHSCORES",
			"ZINTERCARD 2 zA zB LIMIT 1", "ZUNION 2 zA xB", "ZUNION 2 zA zB WEIGHTS 1", "ZUNION 2 zA zB AGGREGATE AVG", "ZDIFF 2 zA zB WEIGHTS 1 2",
			"XREAD STREAMS xA xB xC 0 0 0", "XREAD COUNT 1 STREAMS xC xA 0 0", "XREAD STREAMS xA xB 2 2", "XREAD STREAMS xA none 0 0", "XREAD STREAMS xA sB 0 0",
			"XREAD STREAMS xA xB 0", "XREAD COUNT x STREAMS xA xB 0 0", "XREAD STREAMS xA xB 0 bad", "XREAD STREAMS xA xB $ 0",
		} {
			args := strings.Fields(request)
			for i, f := range args {
				if k, ours := map[byte]string{'A': a, 'B': b, 'C': c}[f[len(f)-1]]; ours && i > 0 && len(f) == 2 {
					args[i] = f[:1] + k
				}
			}
			if got, reply := s.Do(args...), alone.Do(args...); !sameSorted(got, reply) || args[0][0] != 'S' && got != reply {
				t.Errorf("RESP%s %s: %q, want %q", proto, strings.Join(args, " "), got, reply)
			}
		}
	}
}

func TestSplitOverADeadNode(t *testing.T) {
	s := newSpread(t, 2, setup{})
	live, dead := s.keys[0], s.keys[1]

	// On each node it is atomic: nobody sees one of its keys changed and the other not.
	stop := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		c, err := redistest.Connect(s.addr())
		for i := 0; err == nil; i++ {
			v := fmt.Sprint(i)
			if _, err = c.TryDo("MSET", live[0], v, dead[0], v, live[1], v, dead[1], v); err != nil {
				break
			}
			select {
			case <-stop:
				written <- c.Close()
				return
			default:
			}
		}
		written <- err
	}()
	for range 2000 {
		v := texts(t, s.Do("MGET", live[0], live[1], dead[0], dead[1]))
		if v[0] != v[1] || v[2] != v[3] {
			t.Fatalf("a reader saw half of what an MSET did on a node: %q", v)
		}
	}
	close(stop)
	if err := <-written; err != nil {
		t.Fatal(err)
	}

	s.nodes[1].Kill()
	for _, args := range [][]string{
		{"MGET", live[0], dead[0]}, {"EXISTS", dead[0], live[0]}, {"TOUCH", live[0], dead[0]}, {"MSET", live[0], "new", dead[0], "new"},
	} {
		if got := s.Do(args...); got[0] != '-' || !strings.Contains(got, "n1") {
			t.Errorf("%s: %q, want an error that names n1", strings.Join(args, " "), got)
		}
	}
	want(t, s.Conn, "$3\r\nnew\r\n", "GET", live[0])
	for _, del := range []string{"DEL", "UNLINK"} {
		s.Do("SET", live[0], "x")
		if got := s.Do(del, dead[0], live[0]); got[0] != '-' {
			t.Errorf("%s: %q", del, got)
		}
		want(t, s.Conn, ":0\r\n", "EXISTS", live[0])
	}
}

func TestScanWalksAllNodes(t *testing.T) {
	s := newSpread(t, 1, setup{})
	var keys []string
	for i := range 2000 {
		keys = append(keys, fmt.Sprintf("key:%d", i))
	}
	home := owners(t, s.addr(), s.nodes, keys)
	fill := func() {
		for _, k := range keys {
			s.Send("SET", k, "")
		}
		s.Flush()
		for range keys {
			s.Recv()
		}
	}
	fill()
	// Other keys come and go meanwhile, the kind that makes tables grow and shrink.
	other := redistest.Dial(t, s.addr())
	seen := make(map[string]bool)
	var walked []int // the nodes, in the order of the walk
	cursor, steps := "0", 0
	for {
		for i := range 50 {
			other.Send([]string{"SET", "DEL"}[steps/20%2], fmt.Sprintf("other:%d", i+50*(steps%20)), "v")
		}
		other.Send("DEL", "other:0")
		other.Flush()
		for range 51 {
			other.Recv()
		}
		parts := elements(t, s.Do("SCAN", cursor, "COUNT", "25"))
		for _, k := range texts(t, parts[1]) {
			if h, ours := home[k]; ours && (len(walked) == 0 || walked[len(walked)-1] != h) {
				walked = append(walked, h) // the next node fills up what the end of one leaves of COUNT
			}
			seen[k] = true
		}
		cursor = body(parts[0])
		if steps++; cursor == "0" {
			break
		}
	}
	if slices.Sort(walked); !slices.Equal(walked, []int{0, 1, 2}) {
		t.Errorf("the walk was over the nodes %v", walked)
	}
	for _, k := range keys {
		if !seen[k] {
			t.Errorf("%s was there all the time and was not returned", k)
		}
	}
	t.Logf("%d keys in %d steps", len(seen), steps)

	t.Run("options hold on every node", func(t *testing.T) {
		for i := range s.keys {
			s.Do("RPUSH", "list"+s.keys[i][0], "x")
		}
		all := scanAll(t, s.Conn, "MATCH", "listkey:*", "TYPE", "list", "COUNT", "1000")
		if len(all) != 3 {
			t.Errorf("SCAN MATCH TYPE: %q", all)
		}
	})
	t.Run("a cursor from elsewhere ends the walk or goes on with it", func(t *testing.T) {
		for _, c := range []string{"3", "1023", "18446744073709551615", "1000000", "17"} {
			if got := s.Do("SCAN", c); got[0] != '*' {
				t.Errorf("SCAN %s: %q", c, got)
			}
		}
		want(t, s.Conn, "*2\r\n$1\r\n0\r\n*0\r\n", "SCAN", "65535") // behind all nodes
		want(t, s.Conn, "-ERR invalid cursor\r\n", "SCAN", "x")
		want(t, s.Conn, "-ERR syntax error\r\n", "SCAN", "0", "COUNT", "0")
	})
}

// scanAll returns what a whole walk returns, without repetitions, sorted.
func scanAll(t *testing.T, c *redistest.Conn, options ...string) []string {
	t.Helper()
	var all []string
	cursor := "0"
	for {
		parts := elements(t, c.Do(append([]string{"SCAN", cursor}, options...)...))
		all = append(all, texts(t, parts[1])...)
		if cursor = body(parts[0]); cursor == "0" {
			slices.Sort(all)
			return slices.Compact(all)
		}
	}
}

func TestWholePoolCommands(t *testing.T) {
	s := newSpread(t, 5, setup{})
	all := slices.Sorted(slices.Values(slices.Concat(s.keys[:]...)))
	fill := func() {
		for _, k := range all {
			s.Do("SET", k, "")
		}
	}
	fill()
	if got := slices.Sorted(slices.Values(texts(t, s.Do("KEYS", "*")))); !slices.Equal(got, all) {
		t.Errorf("KEYS *: %q, want %q", got, all)
	}
	want(t, s.Conn, ":15\r\n", "DBSIZE")
	from := make(map[int]bool)
	redistest.WaitFor(t, "RANDOMKEY to have returned a key of each node", func() bool {
		k := body(s.Do("RANDOMKEY"))
		from[slices.IndexFunc(s.keys[:], func(keys []string) bool { return slices.Contains(keys, k) })] = true
		return len(from) == 3 && !from[-1]
	})
	for _, flush := range []string{"FLUSHALL", "FLUSHDB"} {
		fill()
		// A node that hangs is flushed when it goes on; the others have long been by then.
		s.nodes[1].Stop()
		s.Send(flush)
		s.Flush()
		other := redistest.Dial(t, s.addr())
		redistest.WaitFor(t, "the first node to be flushed", func() bool { return other.Do("EXISTS", s.keys[0][0]) == ":0\r\n" })
		s.nodes[1].Cont()
		if got := s.Recv(); got != "+OK\r\n" {
			t.Errorf("%s: %q", flush, got)
		}
		for i, n := range s.nodes {
			if got := redistest.Dial(t, n.Addr()).Do("DBSIZE"); got != ":0\r\n" {
				t.Errorf("%s left node %d with %q keys", flush, i, got)
			}
		}
	}
	want(t, s.Conn, "$-1\r\n", "RANDOMKEY")
}

func TestPublishCountsLoops(t *testing.T) {
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d loops", threads), func(t *testing.T) {
			nodes := servers(t, 2)
			r := serveWith(t, setup{threads: threads}, pool{nodes: addresses(nodes)})
			c := redistest.Dial(t, r.addr())
			for _, verbs := range [][4]string{{"SUBSCRIBE", "PUBLISH", "NUMSUB", "message"}, {"SSUBSCRIBE", "SPUBLISH", "SHARDNUMSUB", "smessage"}} {
				var listeners []*redistest.Conn
				for range 30 {
					l := redistest.Dial(t, r.addr())
					l.Do(verbs[0], "news")
					listeners = append(listeners, l)
				}
				got := c.Do(verbs[1], "news", "hello")
				if n, err := strconv.Atoi(strings.TrimSpace(got[1:])); err != nil || n < 1 || n > threads {
					t.Errorf("%s to 30 clients on %d loops: %q", verbs[1], threads, got)
				}
				for _, l := range listeners {
					if m := l.Recv(); m != "*3\r\n"+redistest.Bulk(verbs[3])+redistest.Bulk("news")+redistest.Bulk("hello") {
						t.Errorf("a listener got %q", m)
					}
				}
				want(t, c, "*2\r\n"+redistest.Bulk("news")+":30\r\n", "PUBSUB", verbs[2], "news")
				sum := 0
				for _, n := range nodes {
					e := elements(t, redistest.Dial(t, n.Addr()).Do("PUBSUB", verbs[2], "news"))
					i, _ := strconv.Atoi(strings.TrimSpace(e[1][1:]))
					sum += i
				}
				if fmt.Sprintf(":%d\r\n", sum) != got {
					t.Errorf("%s said %q, the nodes count %d", verbs[1], got, sum)
				}
				for _, l := range listeners {
					l.Close()
				}
				redistest.WaitFor(t, "the nodes' subscriptions to end", func() bool { return c.Do(verbs[1], "news", "x") == ":0\r\n" })
			}
		})
	}
}

func TestSubscriptionsAreRenewed(t *testing.T) {
	s := newSpread(t, 1, setup{})
	for _, kind := range []struct{ verb, publish, topic, message, count string }{
		{"SUBSCRIBE", "PUBLISH", "news", "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n", "NUMSUB"},
		{"PSUBSCRIBE", "PUBLISH", "n?ws", "*4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n", "NUMPAT"},
		{"SSUBSCRIBE", "SPUBLISH", "news", "*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n", "SHARDNUMSUB"},
	} {
		t.Run(kind.verb, func(t *testing.T) {
			l := redistest.Dial(t, s.addr())
			l.Do(kind.verb, kind.topic)
			home := -1
			for i, n := range s.nodes {
				if redistest.Dial(t, n.Addr()).Do(kind.publish, "news", "found") == ":1\r\n" {
					home = i
					break
				}
			}
			if home < 0 {
				t.Fatal("no node has the subscription")
			}
			heard := func(text string) {
				t.Helper()
				if got := l.Recv(); got != kind.message+redistest.Bulk(text) {
					t.Fatalf("the listener got %q, want %q", got, text)
				}
			}
			heard("found")

			// The node closes the connection and publishes in the same breath: that is missed, and what comes later is not.
			d := redistest.Dial(t, s.nodes[home].Addr())
			d.Send("CLIENT", "KILL", "TYPE", "pubsub")
			d.Send(kind.publish, "news", "missed")
			d.Flush()
			if killed, got := d.Recv(), d.Recv(); killed == ":0\r\n" || got != ":0\r\n" {
				t.Fatalf("%q connections closed, %q heard the message", killed, got)
			}
			redistest.WaitFor(t, "the subscription to be renewed", func() bool { return d.Do(kind.publish, "news", "later") == ":1\r\n" })
			heard("later")

			s.nodes[home].Restart()
			d = redistest.Dial(t, s.nodes[home].Addr())
			redistest.WaitFor(t, "the subscription to be renewed after a restart", func() bool { return d.Do(kind.publish, "news", "much later") == ":1\r\n" })
			heard("much later")
			redistest.WaitFor(t, "the node to be used again", func() bool { return s.Do(kind.publish, "news", "through the router")[0] == ':' })
			heard("through the router")
			l.Close()
		})
	}
}

func TestTransactionsStayOnOneNode(t *testing.T) {
	s := newSpread(t, 2, setup{})
	a, b := s.keys[0], s.keys[1]
	want(t, s.Conn, "+OK\r\n", "MULTI")
	want(t, s.Conn, "+QUEUED\r\n", "SET", a[0], "1")
	want(t, s.Conn, crossSlot, "SET", b[0], "1")
	want(t, s.Conn, "+QUEUED\r\n", "SET", a[1], "1")
	wantError(t, s.Conn, "EXECABORT", "EXEC")
	want(t, s.Conn, ":0\r\n", "EXISTS", a[0], a[1], b[0])

	// A channel counts as a key, and a hash tag brings both together.
	for _, verb := range []string{"PUBLISH", "SPUBLISH"} {
		for _, args := range [][2][]string{
			{{verb, a[0], "x"}, {verb, b[0], "x"}}, {{verb, a[0], "x"}, {"SET", b[0], "1"}}, {{"SET", a[0], "1"}, {verb, b[0], "x"}},
		} {
			s.Do("MULTI")
			want(t, s.Conn, "+QUEUED\r\n", args[0]...)
			wantError(t, s.Conn, "CROSSSLOT Keys and channels in a transaction don't hash to the same slot: give them a hash tag", args[1]...)
			wantError(t, s.Conn, "EXECABORT", "EXEC")
		}
	}
	l := redistest.Dial(t, s.addr())
	l.Do("SUBSCRIBE", "{"+b[0]+"}news")
	s.Do("MULTI")
	want(t, s.Conn, "+QUEUED\r\n", "SET", b[0], "1")
	want(t, s.Conn, "+QUEUED\r\n", "PUBLISH", "{"+b[0]+"}news", "set")
	want(t, s.Conn, "*2\r\n+OK\r\n:1\r\n", "EXEC")
	if got := l.Recv(); got != "*3\r\n$7\r\nmessage\r\n"+redistest.Bulk("{"+b[0]+"}news")+"$3\r\nset\r\n" {
		t.Errorf("the listener got %q", got)
	}
	s.Do("DEL", b[0])

	for _, args := range [][]string{
		{"SELECT", "1"}, {"CLIENT", "LIST"}, {"HELLO", "3"}, {"KEYS", "*"}, {"DBSIZE"}, {"FLUSHALL"}, {"SCAN", "0"}, {"SCRIPT", "FLUSH"}, {"SUBSCRIBE", "x"},
	} {
		s.Do("MULTI")
		s.Do("SET", a[0], "1")
		if got := s.Do(args...); got[0] != '-' {
			t.Errorf("%s inside MULTI: %q", strings.Join(args, " "), got)
		}
		wantError(t, s.Conn, "EXECABORT", "EXEC")
	}
	want(t, s.Conn, ":0\r\n", "EXISTS", a[0])

	// All on one node is as it always was, keyless commands included.
	s.Do("MULTI")
	for _, args := range [][]string{{"SET", a[0], "1"}, {"PING"}, {"MSET", a[0], "2", a[1], "3"}, {"ECHO", "x"}, {"MGET", a[1], a[0]}} {
		want(t, s.Conn, "+QUEUED\r\n", args...)
	}
	want(t, s.Conn, "*5\r\n+OK\r\n+PONG\r\n+OK\r\n$1\r\nx\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n", "EXEC")

	// The node sees it with EXEC, not before.
	other := redistest.Dial(t, s.addr())
	want(t, other, "+OK\r\n", "CONFIG", "SET", "maxmemory", "1")
	s.Do("MULTI")
	want(t, s.Conn, "+QUEUED\r\n", "SET", a[0], "1")
	wantError(t, s.Conn, "EXECABORT", "EXEC")
	s.Do("MULTI")
	want(t, s.Conn, "+QUEUED\r\n", "SET", a[0], "1")
	want(t, other, "+OK\r\n", "CONFIG", "SET", "maxmemory", "0")
	want(t, s.Conn, "*1\r\n+OK\r\n", "EXEC")
}

func TestExecAfterALostWatch(t *testing.T) {
	s := newSpread(t, 1, setup{})
	k := s.keys[0][0]
	for name, lose := range map[string]func(){
		"the connection is closed": func() { redistest.Dial(t, s.nodes[0].Addr()).Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"the node restarts":        func() { s.nodes[0].Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			for _, proto := range []string{"2", "3"} {
				c := redistest.Dial(t, s.addr())
				c.Do("HELLO", proto)
				redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("WATCH", k) == "+OK\r\n" })
				lose()
				want(t, c, "+OK\r\n", "MULTI")
				want(t, c, "+QUEUED\r\n", "SET", k, "x")
				want(t, c, map[string]string{"2": "*-1\r\n", "3": "_\r\n"}[proto], "EXEC")
				redistest.WaitFor(t, "the node to be used again", func() bool { return strings.HasPrefix(c.Do("EXISTS", k), ":") })
				want(t, c, ":0\r\n", "EXISTS", k)
				// The next attempt is a fresh one.
				redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("WATCH", k) == "+OK\r\n" })
				c.Do("MULTI")
				c.Do("INCR", k)
				want(t, c, "*1\r\n:1\r\n", "EXEC")
				c.Do("DEL", k)
			}
		})
	}
}

func TestSelectAfterWatch(t *testing.T) {
	s := newSpread(t, 1, setup{})
	k := s.keys[0][0]
	s.Do("WATCH", k)
	wantError(t, s.Conn, "ERR SELECT between WATCH and EXEC is not supported", "SELECT", "1")
	wantError(t, s.Conn, "ERR HELLO between WATCH and EXEC is not supported", "HELLO", "3")
	want(t, s.Conn, "+OK\r\n", "SELECT", "0")
	s.Do("MULTI")
	s.Do("SET", k, "x")
	want(t, s.Conn, "*1\r\n+OK\r\n", "EXEC")
	want(t, s.Conn, "+OK\r\n", "SELECT", "1")
	s.Do("WATCH", k)
	want(t, s.Conn, "+OK\r\n", "UNWATCH")
	want(t, s.Conn, "+OK\r\n", "SELECT", "2")
}

func TestKeylessScriptsRunOnOneNode(t *testing.T) {
	s := newSpread(t, 1, setup{})
	const count = "return redis.call('INCR', 'undeclared')"
	want(t, s.Conn, ":1\r\n", "EVAL", count, "0")
	digest := body(s.Do("SCRIPT", "LOAD", count))
	want(t, s.Conn, ":2\r\n", "EVALSHA", digest, "0")
	want(t, s.Conn, "$3\r\nlib\r\n", "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('count', function() return redis.call('INCR', 'undeclared') end)")
	want(t, s.Conn, ":3\r\n", "FCALL", "count", "0")
	for i, n := range s.nodes {
		want(t, redistest.Dial(t, n.Addr()), []string{"$1\r\n3\r\n", "$-1\r\n", "$-1\r\n"}[i], "GET", "undeclared")
	}
	// Keys take a script to their node; what it did not declare is then that node's.
	for i, want := range []string{"$1\r\n3\r\n", "$-1\r\n", "$-1\r\n"} {
		if got := s.Do("EVAL", "return redis.call('GET', 'undeclared')", "1", s.keys[i][0]); got != want {
			t.Errorf("a script with a key of node %d reads %q, want %q", i, got, want)
		}
	}
}

func TestLostScriptsAreSentAgain(t *testing.T) {
	s := newSpread(t, 1, setup{})
	const script = "return redis.call('SET', KEYS[1], ARGV[1])"
	digest := body(s.Do("SCRIPT", "LOAD", script))
	lose := func() {
		for _, n := range s.nodes {
			want(t, redistest.Dial(t, n.Addr()), "+OK\r\n", "SCRIPT", "FLUSH")
		}
	}
	for _, digest := range []string{digest, strings.ToUpper(digest)} {
		lose()
		for i := range s.keys {
			k := s.keys[i][0]
			s.Send("SET", k, "before")
			s.Send("EVALSHA", digest, "1", k, "by the script")
			s.Send("PING")
			s.Flush()
			if a, b, c := s.Recv(), s.Recv(), s.Recv(); a != "+OK\r\n" || b != "+OK\r\n" || c != "+PONG\r\n" {
				t.Errorf("SET, EVALSHA, PING: %q %q %q", a, b, c)
			}
			want(t, s.Conn, redistest.Bulk("by the script"), "GET", k)
			want(t, redistest.Dial(t, s.nodes[i].Addr()), "*1\r\n:1\r\n", "SCRIPT", "EXISTS", digest)
		}
	}
	// It runs in its place among what the client has sent.
	lose()
	k := s.keys[1][0]
	digest = body(redistest.Dial(t, s.nodes[0].Addr()).Do("SCRIPT", "LOAD", "return redis.call('GET', KEYS[1])"))
	s.Do("EVAL", "return redis.call('GET', KEYS[1])", "1", s.keys[0][0])
	s.Do("SET", k, "before")
	s.Send("EVALSHA", digest, "1", k)
	s.Send("SET", k, "after")
	s.Flush()
	if a, b := s.Recv(), s.Recv(); a != redistest.Bulk("before") || b != "+OK\r\n" {
		t.Errorf("EVALSHA of a GET, then SET: %q %q", a, b)
	}
	// One that came as EVAL to one node is known to the others when it is asked for.
	want(t, s.Conn, "$2\r\nhi\r\n", "EVAL", "return 'hi'", "1", s.keys[0][0])
	digest = body(redistest.Dial(t, s.nodes[0].Addr()).Do("SCRIPT", "LOAD", "return 'hi'"))
	want(t, s.Conn, "$2\r\nhi\r\n", "EVALSHA", digest, "1", s.keys[2][0])
	want(t, s.Conn, "$2\r\nhi\r\n", "EVALSHA_RO", digest, "1", s.keys[1][0])
	// One that never came is not.
	digest = body(redistest.Dial(t, s.nodes[0].Addr()).Do("SCRIPT", "LOAD", "return 'unknown'"))
	wantError(t, s.Conn, "NOSCRIPT", "EVALSHA", digest, "1", s.keys[1][0])
	// And one that the client wanted forgotten is forgotten.
	want(t, s.Conn, "+OK\r\n", "SCRIPT", "FLUSH")
	digest = body(redistest.Dial(t, s.nodes[0].Addr()).Do("SCRIPT", "LOAD", script))
	wantError(t, s.Conn, "NOSCRIPT", "EVALSHA", digest, "1", s.keys[1][0], "x")
}

func TestWaitAsksEveryNode(t *testing.T) {
	var nodes []*redistest.Redis
	for range 2 {
		nodes = append(nodes, redistest.Server(t, "--repl-diskless-sync-delay", "0"))
	}
	r := serve(t, pool{nodes: addresses(nodes)})
	on, off := keysOf(t, r.addr(), nodes, 0, 1)
	c := redistest.Dial(t, r.addr())
	write := func() {
		for _, k := range []string{on[0], off[0]} {
			want(t, c, "+OK\r\n", "SET", k, "x")
		}
	}
	replica := func(n *redistest.Redis) {
		redistest.Server(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", n.Port()))
		d := redistest.Dial(t, n.Addr())
		redistest.WaitFor(t, "the replica to be there", func() bool { return d.Do("WAIT", "1", "100") == ":1\r\n" })
	}
	write()
	want(t, c, ":0\r\n", "WAIT", "0", "100")
	replica(nodes[0])
	write()
	want(t, c, ":0\r\n", "WAIT", "1", "100") // node 0 would say 1
	replica(nodes[1])
	write()
	want(t, c, ":1\r\n", "WAIT", "1", "5000")
	want(t, c, "-ERR timeout is not an integer or out of range\r\n", "WAIT", "1", "x")

	// WAITAOF is younger than the servers above.
	var addrs []string
	for _, promise := range []string{"*2\r\n:1\r\n:2\r\n", "*2\r\n:1\r\n:0\r\n", "*2\r\n:0\r\n:1\r\n"} {
		addrs = append(addrs, redistest.Node(t, redistest.Answer(func(args []string) string {
			if args[0] == "WAITAOF" {
				return promise
			}
			return "+PONG\r\n"
		})).Addr())
	}
	r = serve(t, pool{nodes: addrs, options: scripted})
	want(t, redistest.Dial(t, r.addr()), "*2\r\n:0\r\n:0\r\n", "WAITAOF", "1", "1", "1000")
}

func TestClientListTellsOfOurClients(t *testing.T) {
	s := newSpread(t, 1, setup{threads: 2})
	s.Close()
	var clients []*redistest.Conn
	ids := make(map[string]string) // by address
	for i := range 20 {
		c := redistest.Dial(t, s.addr())
		c.Do("CLIENT", "SETNAME", fmt.Sprintf("client-%d", i))
		c.Do("GET", s.keys[0][0])
		ids[c.LocalAddr().String()] = strings.TrimSpace(c.Do("CLIENT", "ID")[1:])
		clients = append(clients, c)
	}
	fields := func(line string) map[string]string {
		m := make(map[string]string)
		for _, f := range strings.Fields(line) {
			name, value, _ := strings.Cut(f, "=")
			m[name] = value
		}
		return m
	}
	var lines []string
	redistest.WaitFor(t, "those who left to be off the list", func() bool {
		lines = strings.Split(strings.TrimSpace(body(clients[0].Do("CLIENT", "LIST"))), "\n")
		return len(lines) == len(clients)
	})
	for _, line := range lines {
		f := fields(line)
		i, err := strconv.Atoi(strings.TrimPrefix(f["name"], "client-"))
		if err != nil || f["addr"] != clients[i].LocalAddr().String() || f["id"] != ids[f["addr"]] || f["laddr"] != s.addr() {
			t.Errorf("CLIENT LIST has %s", line)
		}
	}
	for i, c := range clients {
		info := fields(body(c.Do("CLIENT", "INFO")))
		if info["name"] != fmt.Sprintf("client-%d", i) || info["id"] != ids[c.LocalAddr().String()] || info["cmd"] == "" {
			t.Errorf("CLIENT INFO: %v", info)
		}
		want(t, c, ":"+info["id"]+"\r\n", "CLIENT", "ID")
	}
	// The node sees Ringway: a connection or two of each loop, of no name.
	list := strings.TrimSpace(body(redistest.Dial(t, s.nodes[0].Addr()).Do("CLIENT", "LIST")))
	if n := strings.Count(list, "\n"); n < 1 || n > 6 || strings.Contains(list, "client-") {
		t.Errorf("the node's CLIENT LIST, for %d clients of Ringway:\n%s", len(clients), list)
	}
}

func TestScriptsAreKnownByNode(t *testing.T) {
	s := newSpread(t, 1, setup{})
	const script = "return #KEYS"
	a, b := s.keys[0][0], s.keys[1][0]
	want(t, s.Conn, ":1\r\n", "EVAL", script, "1", a)
	want(t, s.Conn, "*1\r\n:1\r\n", "SCRIPT", "EXISTS", digest(script))
	const foreign = "return 5"
	redistest.Dial(t, s.nodes[0].Addr()).Do("SCRIPT", "LOAD", foreign)
	want(t, s.Conn, "*1\r\n:0\r\n", "SCRIPT", "EXISTS", digest(foreign))
	s.Do("MULTI")
	want(t, s.Conn, "+QUEUED\r\n", "EVALSHA", digest(script), "1", b)
	want(t, s.Conn, "*1\r\n:1\r\n", "EXEC")
	want(t, s.Conn, ":1\r\n", "EVALSHA", digest(script), "1", s.keys[2][0])
	want(t, s.Conn, redistest.Bulk(digest(script)), "SCRIPT", "LOAD", script)
	want(t, s.Conn, "*2\r\n:1\r\n:0\r\n", "SCRIPT", "EXISTS", digest(script), digest("another"))
}

func TestSortLooksOnAllNodes(t *testing.T) {
	s := newSpread(t, 1, setup{})
	k := s.keys[0][0]
	s.Do("RPUSH", k, "1", "2")
	for i, keys := range s.keys { // 1 and 2 have a weight that says otherwise; without a tag it may be on any node
		s.Do("SET", fmt.Sprintf("{%s}weight:1", keys[0]), fmt.Sprint(20+i))
		s.Do("SET", fmt.Sprintf("{%s}weight:2", keys[0]), fmt.Sprint(10+i))
	}
	here, elsewhere := "{"+k+"}weight:*", "{"+s.keys[1][0]+"}weight:*"
	want(t, s.Conn, "*2\r\n$1\r\n2\r\n$1\r\n1\r\n", "SORT", k, "BY", here)
	want(t, s.Conn, "*2\r\n$2\r\n20\r\n$2\r\n10\r\n", "SORT", k, "GET", here)
	want(t, s.Conn, "*2\r\n$2\r\n21\r\n$2\r\n11\r\n", "SORT_RO", k, "GET", elsewhere)
	want(t, s.Conn, "*2\r\n$1\r\n2\r\n$1\r\n1\r\n", "SORT", k, "BY", elsewhere)
	want(t, s.Conn, crossSlot, "SORT", k, "BY", elsewhere, "STORE", "{"+k+"}sorted")
	want(t, s.Conn, ":2\r\n", "SORT", k, "BY", here, "STORE", "{"+k+"}sorted")
	s.Do("MULTI")
	s.Do("SORT", k, "GET", elsewhere)
	want(t, s.Conn, "*1\r\n*2\r\n$-1\r\n$-1\r\n", "EXEC")
}

func TestPingIsAnsweredByRingway(t *testing.T) {
	s := newSpread(t, 1, setup{})
	s.nodes[1].Kill()
	want(t, s.Conn, "+PONG\r\n", "PING")
	want(t, s.Conn, redistest.Bulk("x"), "ECHO", "x")
	if got := s.Do("GET", s.keys[1][0]); !strings.HasPrefix(got, "-ERR node ") {
		t.Errorf("GET at a dead node: %q", got)
	}
	want(t, s.Conn, "+PONG\r\n", "PING")
}

func TestWholePoolOverADeadNode(t *testing.T) {
	s := newSpread(t, 1, setup{})
	live := redistest.Dial(t, s.nodes[0].Addr())
	s.Do("SET", s.keys[0][0], "x")
	s.nodes[1].Kill()
	for _, try := range []struct {
		request []string
		ask     []string // of a node that is up
		reply   string
	}{
		{[]string{"SCRIPT", "LOAD", "return 1"}, []string{"SCRIPT", "EXISTS", digest("return 1")}, "*1\r\n:1\r\n"},
		{[]string{"FUNCTION", "LOAD", library}, []string{"FUNCTION", "LOAD", library}, "-ERR Library 'twins' already exists\r\n"},
		{[]string{"FUNCTION", "DELETE", "twins"}, []string{"FUNCTION", "LIST"}, "*0\r\n"},
		{[]string{"CONFIG", "SET", "slowlog-max-len", "77"}, []string{"CONFIG", "GET", "slowlog-max-len"}, "*2\r\n$15\r\nslowlog-max-len\r\n$2\r\n77\r\n"},
		{[]string{"DBSIZE"}, []string{"DBSIZE"}, ":1\r\n"},
		{[]string{"KEYS", "*"}, []string{"DBSIZE"}, ":1\r\n"},
		{[]string{"SWAPDB", "0", "1"}, []string{"DBSIZE"}, ":0\r\n"},
		{[]string{"FLUSHALL"}, []string{"INFO", "keyspace"}, "$12\r\n# Keyspace\r\n\r\n"},
	} {
		if got := s.Do(try.request...); got[0] != '-' || !strings.Contains(got, "n1") {
			t.Errorf("%s: %q, want an error that names n1", strings.Join(try.request, " "), got)
		}
		want(t, live, try.reply, try.ask...)
	}
}
