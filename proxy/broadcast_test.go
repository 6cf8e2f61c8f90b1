package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/resp"
)

// scanned follows SCAN's cursors to the end, and returns how often each key has come.
func scanned(t testing.TB, c *redistest.Conn, options ...string) map[string]int {
	t.Helper()
	return scannedFrom(t, c, "0", options...)
}

func scannedFrom(t testing.TB, c *redistest.Conn, cursor string, options ...string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for range 10000 {
		b := []byte(c.Do(append([]string{"SCAN", cursor}, options...)...))
		n, rest, err := resp.ArrayLen(b)
		if err != nil || n != 2 {
			t.Fatalf("SCAN %s: %.100q", cursor, b)
		}
		elem, keys, _ := resp.Element(rest)
		for _, k := range elements(keys) {
			found[string(text(k))]++
		}
		if cursor = string(text(elem)); cursor == "0" {
			return found
		}
	}
	t.Fatal("SCAN does not end")
	return nil
}

func TestScanWalksAllNodes(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	c := client(t, srv)
	for i := range 500 {
		c.Send("SET", fmt.Sprint("k", i), "v")
	}
	c.Flush()
	for range 500 {
		c.Recv()
	}
	c.Do("RPUSH", "list", "x")
	for _, proto := range []string{"2", "3"} {
		c.Do("HELLO", proto)
		for _, options := range [][]string{nil, {"COUNT", "1"}, {"COUNT", "1000"}, {"MATCH", "k*", "COUNT", "7"}, {"TYPE", "string"}} {
			found := scanned(t, c, options...)
			for i := range 500 {
				if found[fmt.Sprint("k", i)] == 0 {
					t.Fatalf("RESP%s SCAN %s has missed k%d", proto, options, i)
				}
			}
		}
		want(t, "what is found by TYPE list", fmt.Sprint(scanned(t, c, "TYPE", "list")), "map[list:1]")
	}
	for cursor, reply := range map[string]string{
		"x": "-ERR invalid cursor\r\n", "-1": "-ERR invalid cursor\r\n", "": "-ERR invalid cursor\r\n", "18446744073709551616": "-ERR invalid cursor\r\n",
		"18446744073709551615": "*2\r\n$1\r\n0\r\n*0\r\n", // a place behind all nodes
	} {
		want(t, "SCAN of cursor "+cursor, c.Do("SCAN", cursor), reply)
	}
	for _, cursor := range []string{"1", "3", "1024", "65536", "1099511627777", "18446744073709486080"} { // no cursors of ours
		if got := c.Do("SCAN", cursor); got[0] != '*' {
			t.Errorf("SCAN of cursor %s: %q", cursor, got)
		}
	}
	want(t, "SCAN with a wrong option", c.Do("SCAN", "1", "COUNT", "x"), "-"+errNotInteger+"\r\n")
	balanced(t, srv)
}

// What one server shows in one answer to SCAN comes in one, though it is on several nodes.
func TestScanGoesOnToTheNextNode(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, nil, servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
	c := client(t, srv)
	scan := func(args ...string) (cursor string, n int) {
		parts := elements([]byte(c.Do(append([]string{"SCAN"}, args...)...)))
		if len(parts) != 2 {
			t.Fatalf("SCAN %s: %q", args, parts)
		}
		return string(text(parts[0])), len(elements(parts[1]))
	}
	expect := func(cursor string, n int, args ...string) {
		t.Helper()
		if gotCursor, got := scan(args...); gotCursor != cursor || got != n {
			t.Errorf("SCAN %s: cursor %s with %d keys, want %s with %d", args, gotCursor, got, cursor, n)
		}
	}
	expect("0", 0, "0")
	for i := range 3 {
		for j := range 3 {
			c.Do("SET", keyOf(t, srv, i, fmt.Sprint("k", j, "-")), "v")
		}
	}
	c.Do("RPUSH", keyOf(t, srv, 2, "list"), "x")
	var walk []stop
	onLoop(t, srv, func(w *worker) { walk = w.pools[0].topo.walk })
	holds := func(i int) int { return []int{3, 3, 4}[walk[i].node] }
	cursor := func(i int) string { return fmt.Sprint(walk[i].place) }
	expect("0", 10, "0")
	expect("0", holds(1)+holds(2), cursor(1))
	expect("0", 1, "0", "TYPE", "list")
	if holds(0) == 4 { // as many as were asked for
		expect(cursor(1), 4, "0", "count", "4")
	} else {
		expect(cursor(2), holds(0)+holds(1), "0", "count", "4")
	}
	expect("0", 10, "0", "MATCH", "*", "COUNT", "100")
	want(t, "SCAN with a wrong option", c.Do("SCAN", "0", "COUNT", "0"), "-ERR syntax error\r\n")
	servers[walk[1].node].Kill()
	expect(cursor(1), holds(0), "0")
	if got := c.Do("SCAN", cursor(1)); !strings.HasPrefix(got, fmt.Sprintf("-ERR node 'n%d'", walk[1].node)) {
		t.Errorf("SCAN of a node that is down: %q", got)
	}
	expect("0", holds(2), cursor(2))
	balanced(t, srv)
}

func TestWholePoolWithANodeDown(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr(), b.Addr())
	c := client(t, srv)
	for i := range 20 {
		c.Do("SET", fmt.Sprint("k", i), "v")
	}
	b.Kill()
	for _, line := range []string{"DBSIZE", "KEYS *", "FLUSHDB", "FLUSHALL", "SCRIPT LOAD x", "PUBSUB NUMSUB a"} {
		c.Send("ECHO", "before")
		c.Send(strings.Fields(line)...)
		c.Send("ECHO", "after")
		c.Flush()
		want(t, "ECHO", c.Recv(), "$6\r\nbefore\r\n")
		if got := c.Recv(); !strings.HasPrefix(got, "-ERR node 'n1'") && line != "SCRIPT LOAD x" || got[0] != '-' {
			t.Errorf("%s with a node down: %q", line, got)
		}
		want(t, "ECHO", c.Recv(), "$5\r\nafter\r\n")
	}
	for range 20 {
		if got := c.Do("RANDOMKEY"); got != "$-1\r\n" {
			t.Errorf("RANDOMKEY of what was flushed: %q", got)
		}
	}
	balanced(t, srv)
}

func TestWholePoolWithANodeEjected(t *testing.T) {
	a, b, third := redistest.Server(t), redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 1, 50*time.Millisecond
	}), a.Addr(), b.Addr(), third.Addr())
	c := client(t, srv)
	size := func() (n int) {
		onLoop(t, srv, func(w *worker) { n = w.pools[0].size() })
		return n
	}
	a.Kill()
	redistest.WaitFor(t, "the ejection", func() bool { c.TryDo("DBSIZE"); return size() == 2 })
	for i := range 100 {
		want(t, "SET", c.Do("SET", fmt.Sprint("k", i), "v"), "+OK\r\n")
	}
	want(t, "DBSIZE", c.Do("DBSIZE"), ":100\r\n")
	if found := scanned(t, c, "COUNT", "7"); len(found) != 100 {
		t.Errorf("SCAN has found %d of 100 keys", len(found))
	}
	var before string // a cursor in the middle of the node that has left
	onLoop(t, srv, func(w *worker) {
		all := w.pools[0].topo.walkOf([]uint16{0, 1, 2})
		for _, at := range all {
			if at.node == 0 {
				before = strconv.Itoa(5<<placeBits | int(at.place))
			}
		}
	})
	if found := scannedFrom(t, c, before, "COUNT", "7"); len(found) > 100 {
		t.Errorf("SCAN of a cursor from before has found %d keys", len(found))
	}
	want(t, "EVAL without keys", c.Do("EVAL", "return 1", "0"), ":1\r\n")
	want(t, "WAIT", c.Do("WAIT", "0", "0"), ":0\r\n")
	want(t, "FLUSHALL", c.Do("FLUSHALL"), "+OK\r\n")
	a.Restart()
	redistest.WaitFor(t, "the return", func() bool { return size() == 3 })
	want(t, "DBSIZE", c.Do("DBSIZE"), ":0\r\n")
	balanced(t, srv)
}
