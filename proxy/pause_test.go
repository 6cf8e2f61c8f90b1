package proxy

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func TestClientPause(t *testing.T) {
	for _, threads := range []int{1, 2} {
		node := redistest.Server(t)
		srv := serve(t, func(c *config.Config) { c.Threads = threads }, node.Addr())
		direct := redistest.Dial(t, node.Addr())
		boss, c, d := client(t, srv), client(t, srv), client(t, srv)

		t.Run("WRITE lets reads through and holds writes until UNPAUSE", func(t *testing.T) {
			want(t, "PAUSE", boss.Do("CLIENT", "PAUSE", "100000", "WRITE"), "+OK\r\n")
			for _, x := range []*redistest.Conn{c, d} {
				want(t, "GET", x.Do("GET", "a"), "$-1\r\n")
				x.Send("INCR", "a")
				x.Send("PING")
				x.Flush()
			}
			held(t, srv, 2)
			want(t, "blocked_clients", figures(t, boss, "clients")["blocked_clients"], "2")
			want(t, "at the node", direct.Do("GET", "a"), "$-1\r\n")
			want(t, "UNPAUSE", boss.Do("CLIENT", "UNPAUSE"), "+OK\r\n")
			for _, x := range []*redistest.Conn{c, d} {
				if got := x.Recv(); got != ":1\r\n" && got != ":2\r\n" {
					t.Errorf("INCR: %q", got)
				}
				want(t, "PING", x.Recv(), "+PONG\r\n")
			}
		})
		t.Run("WRITE holds what is not flagged as a write and may be one", func(t *testing.T) {
			const reads = "#!lua flags=allow-stale,no-writes\nreturn 1"
			digest := strings.TrimSpace(c.Do("SCRIPT", "LOAD", reads))[5:]
			boss.Do("CLIENT", "PAUSE", "100000", "WRITE")
			want(t, "a script that says it does not write", c.Do("EVAL", reads, "0"), ":1\r\n")
			want(t, "by its digest", c.Do("EVALSHA", strings.TrimSpace(digest), "0"), ":1\r\n")
			want(t, "EVAL_RO", c.Do("EVAL_RO", "return 2", "0"), ":2\r\n")
			var paused []*redistest.Conn
			for _, args := range [][]string{
				{"EVAL", "return 3", "0"}, {"EVAL", "#!lua\nreturn 3", "0"}, {"EVALSHA", digestOf("nobody knows"), "0"}, {"FCALL", "none", "0"},
				{"PFCOUNT", "h"}, {"PUBLISH", "a", "x"}, {"SPUBLISH", "a", "x"},
			} {
				x := client(t, srv)
				x.Send(args...)
				x.Flush()
				paused = append(paused, x)
			}
			held(t, srv, len(paused))
			boss.Do("CLIENT", "UNPAUSE")
			for i, wanted := range []string{":3", ":3", "-NOSCRIPT", "-ERR Function not found", ":0", ":0", ":0"} {
				if got := paused[i].Recv(); !strings.HasPrefix(got, wanted) {
					t.Errorf("held command %d: %q, want %s", i, got, wanted)
				}
			}
		})
		t.Run("WRITE holds a transaction that writes, and no other", func(t *testing.T) {
			boss.Do("CLIENT", "PAUSE", "100000", "WRITE")
			c.Do("MULTI")
			c.Do("GET", "a")
			want(t, "one that reads", c.Do("EXEC"), "*1\r\n$1\r\n2\r\n")
			c.Do("MULTI")
			want(t, "queuing", c.Do("INCR", "a"), "+QUEUED\r\n")
			c.Send("EXEC")
			c.Flush()
			held(t, srv, 1)
			boss.Do("CLIENT", "UNPAUSE")
			want(t, "one that writes", c.Recv(), "*1\r\n:3\r\n")
		})
		t.Run("ALL holds everybody, the one who asked too, and ends by itself", func(t *testing.T) {
			begin := time.Now()
			want(t, "PAUSE", boss.Do("CLIENT", "PAUSE", "100"), "+OK\r\n")
			want(t, "PING", boss.Do("PING"), "+PONG\r\n")
			want(t, "GET", c.Do("GET", "a"), "$1\r\n3\r\n")
			if d := time.Since(begin); d < 100*time.Millisecond {
				t.Errorf("the pause lasted %v", d)
			}
		})
		t.Run("a client that leaves meanwhile is forgotten", func(t *testing.T) {
			x := client(t, srv)
			boss.Do("CLIENT", "PAUSE", "100000", "ALL")
			x.Send("INCR", "b")
			x.Flush()
			held(t, srv, 1)
			x.Close()
			want(t, "UNPAUSE", boss.Do("CLIENT", "UNPAUSE"), "+OK\r\n")
			want(t, "PING", c.Do("PING"), "+PONG\r\n")
		})
		t.Run("afterwards requests take the short way again", func(t *testing.T) {
			srv.onLoops(func(w *worker) {
				for x := w.sessions; x != nil; x = x.next {
					if !x.plain {
						t.Errorf("client %d is not plain", x.id)
					}
				}
			})
		})
		want(t, "a time-out that is no number", boss.Do("CLIENT", "PAUSE", "x"), "-ERR timeout is not an integer or out of range\r\n")
		want(t, "a negative one", boss.Do("CLIENT", "PAUSE", "-1"), "-ERR timeout is negative\r\n")
		want(t, "an unknown mode", boss.Do("CLIENT", "PAUSE", "1", "foo"), "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n")
		balanced(t, srv)
	}
}

// held waits until so many clients are held by a pause.
func held(t *testing.T, srv *Server, n int) {
	t.Helper()
	redistest.WaitFor(t, "clients to be held by the pause", func() bool {
		got := 0
		srv.onLoops(func(w *worker) { got += len(w.taps.waiting) })
		return got == n
	})
}
