package capped

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func start(t *testing.T, n int, opt Options) *Fleet {
	t.Helper()
	f, err := Start(n, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// TestAsARealServer has a node and a redis-server carry out the same on three connections each: a and b speak RESP3 and track, c is plain.
// All that comes back, pushes and their places included, must be the same.
func TestAsARealServer(t *testing.T) {
	script := strings.Split(strings.TrimSpace(`
a: PING
c: PING hello
a: CLIENT TRACKING ON
b: CLIENT TRACKING ON
a: CLIENT NO-EVICT ON
c: AUTH
c: GET
c: NONSENSE
c: GET k
a: GET k
c: SET k 1
a: PING
c: SET k 2
a: PING
a: OBJECT ENCODING k
a: PTTL k
b: STRLEN k
c: SET k three PX 100000
b: PING
a: PING
a: OBJECT ENCODING k
a: TTL k
a: GET k
a: SET k mine
a: PING
b: GET k
b: EXISTS k nothing k
c: DEL k nothing
b: PING
a: GET k
b: GET k
a: EXISTS k
c: INCR k
a: PING
b: PING
c: INCR k
c: SET text word
c: INCR text
c: TYPE text
c: TYPE nothing
a: GET text
c: EXPIRE text 100
a: PING
a: TTL text
a: TTL nothing
c: PERSIST text
c: PERSIST text
a: PING
a: PTTL text
c: PEXPIRE nothing 100
c: EXPIRE text 0
a: PING
a: OBJECT ENCODING text
c: SET k v NX PX
c: SET k v PX x
c: SET k v PX 0
c: SELECT 3
c: SELECT x
c: SELECT 99
c: GET k
c: SET k other
c: DBSIZE
c: MSET a 1 b 2
c: MSET a 1 b
c: MGET a nothing b
a: MGET a k nothing
a: SELECT 3
a: MGET a k nothing
c: MSET a 1 nothing 2
a: PING
b: GET unrelated
c: FLUSHDB
a: PING
b: PING
c: DBSIZE
a: CLIENT TRACKING OFF
a: GET k
c: SET k v
a: PING
c: FLUSHALL
b: PING
a: PING
c: QUIT
`), "\n")
	var heard [2][]string
	for i, addr := range []string{start(t, 1, Options{Rate: 100_000}).Nodes[0].Addr(), redistest.Server(t).Addr()} {
		conns := map[string]*redistest.Conn{}
		for _, name := range []string{"a", "b", "c"} {
			conns[name] = redistest.Dial(t, addr)
		}
		for _, name := range []string{"a", "b"} {
			if reply := conns[name].Do("HELLO", "3"); reply[0] != '%' {
				t.Fatalf("HELLO 3: %q", reply)
			}
		}
		for _, line := range script {
			name, request, _ := strings.Cut(line, ": ")
			c := conns[name]
			c.Send(strings.Fields(request)...)
			c.Flush()
			for { // pushes ahead of the reply belong to it; those behind it come with the next
				reply := c.Recv()
				heard[i] = append(heard[i], line+" -> "+reply)
				if reply[0] != '>' {
					break
				}
			}
		}
	}
	for i := range max(len(heard[0]), len(heard[1])) {
		var ours, theirs string
		if i < len(heard[0]) {
			ours = heard[0][i]
		}
		if i < len(heard[1]) {
			theirs = heard[1][i]
		}
		// What a server says of unknown commands has the arguments as well.
		if ours != theirs && !(strings.Contains(ours, "unknown command") && strings.Contains(theirs, "unknown command")) {
			t.Fatalf("the node: %q\nredis-server: %q", ours, theirs)
		}
	}
}

// TestRate sends more than a node can do at once: the last is not answered before its time, however many connections it came by.
func TestRate(t *testing.T) {
	const rate, each, conns = 2000, 100, 4
	f := start(t, 2, Options{Rate: rate})
	began := time.Now()
	var all []*redistest.Conn
	for range conns {
		c := redistest.Dial(t, f.Nodes[0].Addr())
		for range each {
			c.Send("GET", "k")
		}
		c.Flush()
		all = append(all, c)
	}
	for _, c := range all {
		for range each {
			if reply := c.Recv(); reply != "$-1\r\n" {
				t.Fatalf("%q", reply)
			}
		}
	}
	if took, least := time.Since(began), time.Second*conns*each/rate; took < least {
		t.Errorf("%d commands took %v, less than %v", conns*each, took, least)
	}
	if got := f.Received(); got[0] != conns*each || got[1] != 0 || f.Nodes[0].Done() != conns*each {
		t.Errorf("counted %v", got)
	}
}

// TestFiller: keys of database 0 have a value until they are written or removed.
func TestFiller(t *testing.T) {
	f := start(t, 1, Options{Rate: 100_000, Filler: []byte("filler")})
	c := redistest.Dial(t, f.Nodes[0].Addr())
	for _, step := range [][2]string{
		{"GET k", redistest.Bulk("filler")}, {"STRLEN k", ":6\r\n"}, {"PTTL k", ":-1\r\n"}, {"DEL k", ":1\r\n"}, {"GET k", "$-1\r\n"},
		{"SET j v", "+OK\r\n"}, {"GET j", redistest.Bulk("v")}, {"PEXPIRE i 100000", ":1\r\n"}, {"GET i", redistest.Bulk("filler")},
		{"SELECT 1", "+OK\r\n"}, {"GET k2", "$-1\r\n"},
	} {
		if got := c.Do(strings.Fields(step[0])...); got != step[1] {
			t.Errorf("%s: %q, want %q", step[0], got, step[1])
		}
	}
}

// TestExpiry: a key that is over is gone, and who has read it is told when it is removed.
func TestExpiry(t *testing.T) {
	f := start(t, 1, Options{Rate: 100_000})
	c := redistest.Dial(t, f.Nodes[0].Addr())
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON")
	c.Do("SET", "k", "v", "PX", "20")
	c.Do("GET", "k")
	if push, want := c.Recv(), fmt.Sprintf(">2\r\n%s*1\r\n%s", redistest.Bulk("invalidate"), redistest.Bulk("k")); push != want {
		t.Fatalf("%q", push)
	}
	if reply := c.Do("GET", "k"); reply != "_\r\n" {
		t.Fatalf("%q", reply)
	}
}
