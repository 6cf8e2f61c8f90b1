package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// What is brought together from several nodes has its place among the replies, is dropped when nobody wants it, and fails when one
// of the nodes does.
func TestGatheringAmongOtherRequests(t *testing.T) {
	nodes := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, nil, nodes[0].Addr(), nodes[1].Addr(), nodes[2].Addr())
	c := client(t, srv)
	var keys []string
	long := strings.Repeat("x", 100<<10) // so much that the answer is made away from the loop
	for i := range 3 {
		keys = append(keys, keyOf(t, srv, i, "k"))
		c.Do("SADD", keys[i], fmt.Sprint(i)+long, "same")
		c.Do("SADD", "small"+keys[i], "same")
	}
	union := append([]string{"SUNION"}, keys...)
	inter := append([]string{"SINTER"}, keys...)
	const same = "*1\r\n$4\r\nsame\r\n"
	for range 20 {
		c.Send("GET", "none")
		c.Send(union...)
		c.Send("ECHO", "x")
		c.Send("CLIENT", "REPLY", "SKIP")
		c.Send(union...)
		c.Send(inter...)
		c.Send("SELECT", "0")
		c.Send(inter...)
		c.Send("SELECT", "1")
		c.Send(inter...)
		c.Send("SELECT", "0")
	}
	c.Flush()
	for range 20 {
		want(t, "GET", c.Recv(), "$-1\r\n")
		if got := c.Recv(); len(elements([]byte(got))) != 4 {
			t.Errorf("SUNION: %.60q", got)
		}
		for _, reply := range []string{"$1\r\nx\r\n", same, "+OK\r\n", same, "+OK\r\n", "*0\r\n", "+OK\r\n"} {
			want(t, "a reply", c.Recv(), reply)
		}
	}
	for range 20 { // clients that leave before they are answered
		d := redistest.Dial(t, srv.Addr(0))
		d.Send(union...)
		d.Send(union...)
		d.Flush()
		d.Close()
	}
	nodes[2].Stop()
	c.Send("ECHO", "x")
	c.Send(union...)
	c.Send("ECHO", "y")
	c.Flush()
	want(t, "ECHO before", c.Recv(), "$1\r\nx\r\n")
	nodes[2].Kill()
	if got := c.Recv(); !strings.HasPrefix(got, "-ERR node 'n2'") {
		t.Errorf("SUNION with a node that dies: %.80q", got)
	}
	want(t, "ECHO behind", c.Recv(), "$1\r\ny\r\n")
	if got := c.Do(inter...); !strings.HasPrefix(got, "-ERR node 'n2'") {
		t.Errorf("SINTER with a node down: %.80q", got)
	}
	want(t, "SINTER without it", c.Do("SINTER", keys[0], keys[1]), same)
	balanced(t, srv)
}
