package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestWaitTakesTheLeastOfAllNodes(t *testing.T) {
	a, b := redistest.Server(t, "--repl-diskless-sync-delay", "0"), redistest.Server(t)
	replica := redistest.Server(t, "--replicaof", "127.0.0.1", fmt.Sprint(a.Port()))
	srv := serve(t, nil, a.Addr(), b.Addr())
	here := keyOf(t, srv, 0, "k")
	c := client(t, srv)
	redistest.WaitFor(t, "the replica", func() bool {
		return strings.Contains(redistest.Dial(t, replica.Addr()).Do("INFO", "replication"), "master_link_status:up")
	})
	want(t, "WAIT for none", c.Do("WAIT", "0", "0"), ":0\r\n")
	want(t, "WAIT for one, which one node has not", c.Do("WAIT", "1", "20"), ":0\r\n")
	want(t, "WAIT with a wrong number", c.Do("WAIT", "x", "0"), "-"+errNotInteger+"\r\n")
	c.Send("SET", here, "1")
	c.Send("WAIT", "1", "10")
	c.Send("GET", here)
	c.Flush()
	want(t, "SET", c.Recv(), "+OK\r\n")
	want(t, "WAIT behind it", c.Recv(), ":0\r\n")
	want(t, "GET behind that", c.Recv(), "$1\r\n1\r\n")
	alone := serve(t, nil, a.Addr())
	d := client(t, alone)
	for i := range 5 {
		d.Send("SET", "n", fmt.Sprint(i))
		d.Send("WAIT", "1", "0")
	}
	d.Flush()
	for range 5 {
		want(t, "SET", d.Recv(), "+OK\r\n")
		want(t, "WAIT where all nodes have a replica", d.Recv(), ":1\r\n")
	}
	returned(t, srv)
	balanced(t, srv)
}

// With a node lost there is nothing to wait for, however patient the others are.
func TestWaitWithANodeDown(t *testing.T) {
	nodes := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, nil, nodes[0].Addr(), nodes[1].Addr(), nodes[2].Addr())
	c := client(t, srv)
	c.SetTimeout(5 * time.Second)
	for i := range 3 {
		c.Send("WAIT", "1", "0")
		c.Send("ECHO", "x")
		c.Flush()
		blockedAt(t, nodes[(i+1)%3], 1)
		nodes[i].Kill()
		if got := c.Recv(); !strings.HasPrefix(got, fmt.Sprintf("-ERR node 'n%d'", i)) {
			t.Errorf("WAIT at a node that dies: %q", got)
		}
		want(t, "ECHO", c.Recv(), "$1\r\nx\r\n")
		if got := c.Do("WAIT", "1", "0"); !strings.HasPrefix(got, fmt.Sprintf("-ERR node 'n%d'", i)) {
			t.Errorf("WAIT with a node down: %q", got)
		}
		blockedAt(t, nodes[(i+1)%3], 0)
		returned(t, srv)
		nodes[i].Restart()
		redistest.WaitFor(t, "the node's return", func() bool { return c.Do("WAIT", "0", "0") == ":0\r\n" })
	}
	balanced(t, srv)
}
