package proxy

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

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
