package proxy

import (
	"fmt"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func TestClientUnblock(t *testing.T) {
	for _, threads := range []int{1, 2} {
		srv := serve(t, func(c *config.Config) { c.Threads = threads }, nodes(t, 2)...)
		c, x := client(t, srv), client(t, srv)
		id := idOf(x)
		for i, how := range []struct{ args, reply string }{
			{"", "*-1\r\n"},
			{"TIMEOUT", "*-1\r\n"},
			{"ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"},
		} {
			t.Run(fmt.Sprintf("%d loops, reason %q", threads, how.args), func(t *testing.T) {
				x.Send("BLPOP", fmt.Sprint("list", i), "0")
				x.Send("PING")
				x.Flush()
				redistest.WaitFor(t, "the client to be blocked", func() bool { return figures(t, c, "clients")["blocked_clients"] == "1" })
				request := []string{"CLIENT", "UNBLOCK", id}
				if how.args != "" {
					request = append(request, how.args)
				}
				want(t, "UNBLOCK", c.Do(request...), ":1\r\n")
				want(t, "BLPOP", x.Recv(), how.reply)
				want(t, "what came behind", x.Recv(), "+PONG\r\n")
				want(t, "one that is not blocked", c.Do("CLIENT", "UNBLOCK", id), ":0\r\n")
				c.Do("RPUSH", fmt.Sprint("list", i), "kept")
				want(t, "the element", c.Do("LPOP", fmt.Sprint("list", i)), "$4\r\nkept\r\n")
			})
		}
		want(t, "nobody", c.Do("CLIENT", "UNBLOCK", "99999"), ":0\r\n")
		want(t, "no number", c.Do("CLIENT", "UNBLOCK", "x"), "-ERR value is not an integer or out of range\r\n")
		want(t, "no reason", c.Do("CLIENT", "UNBLOCK", "1", "x"), "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n")
		balanced(t, srv)
	}
}

// A client whose key has moved is let go once. If it was served in that moment, what it asks next is not disturbed.
func TestKeyThatMovesUnblocksOnce(t *testing.T) {
	served := make(chan struct{})
	popped := "*2\r\n" + redistest.Bulk("k") + redistest.Bulk("x")
	old := redistest.Answering(t, func(args []string) string {
		switch {
		case args[0] == "BLPOP":
			<-served
			return popped
		case args[0] == "CLIENT" && args[1] == "UNBLOCK":
			close(served)
			return ":0\r\n"
		}
		return ":7\r\n"
	})
	b := redistest.Server(t)
	srv := serve(t, nil, old)
	c := client(t, srv)
	c.Send("BLPOP", "k", "0")
	c.Send("BLPOP", "k", "0.3")
	c.Flush()
	redistest.WaitFor(t, "the node's number for the client", func() (known bool) {
		onLoop(t, srv, func(w *worker) {
			known = w.sessions != nil && w.sessions.blocked != nil && w.sessions.blocked[0].Number == 7
		})
		return known
	})
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "b", Address: b.Addr(), Weight: 1} }))
	want(t, "the first", c.Recv(), popped)
	want(t, "the next", c.Recv(), "*-1\r\n")
	balanced(t, srv)
}
