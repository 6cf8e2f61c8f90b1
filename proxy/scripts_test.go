package proxy

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func digestOf(body string) string {
	sum := sha1.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// A script that has passed through is known everywhere, whatever the nodes have forgotten.
func TestScriptsThatNodesHaveLost(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, a.Addr(), b.Addr())
	here, there := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	const body = "return {KEYS[1], ARGV[1]}"
	digest := digestOf(body)
	var clients []*redistest.Conn // on both loops
	for range 4 {
		clients = append(clients, client(t, srv))
	}
	answer := func(key string) string { return "*2\r\n" + redistest.Bulk(key) + "$1\r\nx\r\n" }
	want(t, "EVAL", clients[0].Do("EVAL", body, "1", here, "x"), answer(here))
	everywhere := func(when string) {
		t.Helper()
		for i, c := range clients {
			for _, key := range []string{here, there} {
				want(t, fmt.Sprint("EVALSHA ", when, ", client ", i), c.Do("EVALSHA", digest, "1", key, "x"), answer(key))
				want(t, "EVALSHA_RO "+when, c.Do("EVALSHA_RO", strings.ToUpper(digest), "1", key, "x"), answer(key))
				c.Do("MULTI")
				c.Do("EVALSHA", digest, "1", key, "x")
				want(t, "EVALSHA in a transaction "+when, c.Do("EXEC"), "*1\r\n"+answer(key))
				c.Send("CLIENT", "REPLY", "SKIP")
				c.Send("EVALSHA", digest, "1", key, "x")
				want(t, "ECHO behind one whose reply is dropped", c.Do("ECHO", "x"), "$1\r\nx\r\n")
			}
		}
	}
	everywhere("at first")
	for _, n := range []*redistest.Redis{a, b} {
		redistest.Dial(t, n.Addr()).Do("SCRIPT", "FLUSH")
	}
	for _, c := range clients {
		want(t, "EVALSHA after the nodes were flushed", c.Do("EVALSHA", digest, "1", here, "x"), answer(here))
		want(t, "EVALSHA_RO after the nodes were flushed", c.Do("EVALSHA_RO", digest, "1", there, "x"), answer(there))
	}
	for _, n := range []*redistest.Redis{a, b} {
		redistest.Dial(t, n.Addr()).Do("CLIENT", "KILL", "TYPE", "normal")
		redistest.Dial(t, n.Addr()).Do("SCRIPT", "FLUSH")
	}
	everywhere("after the connections were lost")
	want(t, "SCRIPT FLUSH", clients[0].Do("SCRIPT", "FLUSH"), "+OK\r\n")
	for _, c := range clients {
		if got := c.Do("EVALSHA", digest, "1", here, "x"); !strings.HasPrefix(got, "-NOSCRIPT") {
			t.Errorf("EVALSHA of a script that was flushed: %q", got)
		}
	}
	for i, c := range clients { // what a loop has seen before the flush is to be remembered again
		want(t, "EVAL", c.Do("EVAL", body, "1", here, "x"), answer(here))
		want(t, fmt.Sprint("EVALSHA at another node, client ", i), c.Do("EVALSHA", digest, "1", there, "x"), answer(there))
		want(t, "SCRIPT FLUSH", c.Do("SCRIPT", "FLUSH"), "+OK\r\n")
	}
	want(t, "SCRIPT LOAD", clients[0].Do("SCRIPT", "LOAD", body), redistest.Bulk(digest))
	everywhere("after SCRIPT LOAD")
	balanced(t, srv)
}

// Bodies that are forgotten for want of room are remembered when they come again.
func TestScriptsBeyondTheCache(t *testing.T) {
	addresses := nodes(t, 2)
	srv := serve(t, nil, addresses...)
	here, there := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	const body = "return 'first'"
	c.Do("EVAL", body, "1", here)
	filler := strings.Repeat("x", 900<<10)
	for i := range 20 {
		c.Do("EVAL", fmt.Sprint("--", i, filler, "\nreturn 1"), "1", here)
	}
	onLoop(t, srv, func(w *worker) {
		if _, known := srv.scripts.body([]byte(digestOf(body))); known || srv.scripts.size > maxScripts {
			t.Errorf("the first script is known: %v; %d bytes are remembered", known, srv.scripts.size)
		}
	})
	want(t, "EVAL", c.Do("EVAL", body, "1", here), "$5\r\nfirst\r\n")
	want(t, "EVALSHA at another node", c.Do("EVALSHA", digestOf(body), "1", there), "$5\r\nfirst\r\n")
	balanced(t, srv)
}

// runsForEver has a client run a script without end on a node that says BUSY 10 ms later.
func runsForEver(t testing.TB, srv *Server, node *redistest.Redis, key string) *redistest.Conn {
	t.Helper()
	c := client(t, srv)
	c.Send("EVAL", "while true do end", "1", key)
	c.Flush()
	redistest.WaitFor(t, "the node to be busy", func() bool {
		return strings.HasPrefix(redistest.Dial(t, node.Addr()).Do("PING"), "-BUSY")
	})
	return c
}

func TestScriptKill(t *testing.T) {
	a, b := redistest.Server(t, "--lua-time-limit", "10"), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 0 }), a.Addr(), b.Addr())
	here, admin := keyOf(t, srv, 0, "k"), client(t, srv)
	want(t, "SCRIPT KILL of nothing", admin.Do("SCRIPT", "KILL"), "-NOTBUSY No scripts in execution right now.\r\n")
	want(t, "FUNCTION KILL of nothing", admin.Do("FUNCTION", "KILL"), "-NOTBUSY No scripts in execution right now.\r\n")
	c := runsForEver(t, srv, a, here)
	if got := admin.Do("FUNCTION", "KILL"); !strings.HasPrefix(got, "-BUSY") {
		t.Errorf("FUNCTION KILL of a script: %q", got)
	}
	want(t, "SCRIPT KILL", admin.Do("SCRIPT", "KILL"), "+OK\r\n")
	if got := c.Recv(); !strings.Contains(got, "Script killed by user") {
		t.Errorf("the script that was killed: %q", got)
	}
	want(t, "SET", admin.Do("SET", here, "v"), "+OK\r\n")
	admin.Do("MULTI")
	if got := admin.Do("SCRIPT", "KILL"); !strings.HasPrefix(got, "-ERR 'script|kill' concerns all nodes") {
		t.Errorf("SCRIPT KILL in a transaction: %q", got)
	}
	b.Kill()
	if got := client(t, srv).Do("SCRIPT", "KILL"); !strings.HasPrefix(got, "-ERR node 'n1'") {
		t.Errorf("SCRIPT KILL with a node down: %q", got)
	}
	balanced(t, srv)
}

// The lane to a node that is busy for longer than the timeout is lost. Clients hear from then on what the node itself says, and can end the script.
func TestNodeThatIsBusyForLong(t *testing.T) {
	a := redistest.Server(t, "--lua-time-limit", "10")
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 100 * time.Millisecond }), a.Addr())
	c := runsForEver(t, srv, a, "k")
	if got := c.Recv(); !strings.HasPrefix(got, "-ERR node 'n0'") {
		t.Errorf("the script: %q", got)
	}
	first, fifth := client(t, srv), client(t, srv)
	fifth.Do("SELECT", "5")
	for _, x := range []*redistest.Conn{first, fifth} {
		redistest.WaitFor(t, "the node's own words", func() bool { return strings.HasPrefix(x.Do("GET", "k"), "-BUSY Redis is busy running a script.") })
	}
	want(t, "SCRIPT KILL", fifth.Do("SCRIPT", "KILL"), "+OK\r\n")
	for _, x := range []*redistest.Conn{first, fifth} {
		redistest.WaitFor(t, "the node to be back", func() bool { return x.Do("SET", "k", "v") == "+OK\r\n" })
	}
	balanced(t, srv)
}

// EVALSHA works on every node with what one has been given, so SCRIPT EXISTS says so.
func TestScriptExists(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, a.Addr(), b.Addr())
	c := client(t, srv)
	foreign := strings.TrimSpace(redistest.Dial(t, a.Addr()).Do("SCRIPT", "LOAD", "return 2"))
	foreign = foreign[len(foreign)-40:]
	want(t, "EVAL", c.Do("EVAL", "return 1", "0"), ":1\r\n")
	if got := c.Do("EVAL", "return(", "0"); got[0] != '-' {
		t.Errorf("EVAL of nonsense: %q", got)
	}
	want(t, "SCRIPT EXISTS", c.Do("SCRIPT", "EXISTS", digestOf("return 1"), digestOf("return("), foreign, strings.ToUpper(digestOf("return 1")), "x"), "*5\r\n:1\r\n:0\r\n:0\r\n:1\r\n:0\r\n")
	want(t, "SCRIPT FLUSH", c.Do("SCRIPT", "FLUSH"), "+OK\r\n")
	want(t, "SCRIPT EXISTS", c.Do("SCRIPT", "EXISTS", digestOf("return 1")), "*1\r\n:0\r\n")
	b.Kill()
	if got := c.Do("SCRIPT", "EXISTS", "x"); !strings.HasPrefix(got, "-ERR node 'n1'") {
		t.Errorf("SCRIPT EXISTS with a node down: %q", got)
	}
	balanced(t, srv)
}
