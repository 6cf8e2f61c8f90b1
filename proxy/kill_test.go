package proxy

import (
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// idOf is a client's CLIENT ID.
func idOf(c *redistest.Conn) string { return strings.TrimSpace(c.Do("CLIENT", "ID")[1:]) }

func TestClientKill(t *testing.T) {
	for _, threads := range []int{1, 3} {
		srv := serve(t, func(c *config.Config) { c.Threads = threads }, redistest.Server(t).Addr())
		c := client(t, srv)
		t.Run("by address, the old way", func(t *testing.T) {
			x := client(t, srv)
			x.Do("PING")
			want(t, "KILL", c.Do("CLIENT", "KILL", x.LocalAddr().String()), "+OK\r\n")
			x.RecvEOF()
			want(t, "one that is not there", c.Do("CLIENT", "KILL", "1.2.3.4:5"), "-ERR No such client\r\n")
		})
		t.Run("by filters, all of which must fit", func(t *testing.T) {
			x, y := client(t, srv), client(t, srv)
			x.Do("PING")
			id := idOf(y)
			want(t, "another's id", c.Do("CLIENT", "KILL", "ID", id, "ADDR", x.LocalAddr().String()), ":0\r\n")
			want(t, "its id", c.Do("CLIENT", "KILL", "ID", id, "TYPE", "normal", "USER", "default", "LADDR", srv.Addr(0)), ":1\r\n")
			y.RecvEOF()
			want(t, "the other", x.Do("PING"), "+PONG\r\n")
			want(t, "too young", c.Do("CLIENT", "KILL", "MAXAGE", "1000"), ":0\r\n")
			want(t, "TYPE pubsub", c.Do("CLIENT", "KILL", "TYPE", "pubsub"), ":0\r\n")
			s := client(t, srv)
			s.Do("SUBSCRIBE", "news")
			want(t, "TYPE pubsub with one", c.Do("CLIENT", "KILL", "TYPE", "pubsub"), ":1\r\n")
			s.RecvEOF()
			want(t, "all but me", c.Do("CLIENT", "KILL", "TYPE", "normal"), ":1\r\n")
			x.RecvEOF()
		})
		t.Run("what is wrong is said in Redis's words", func(t *testing.T) {
			for _, e := range []struct{ args, reply string }{
				{"ID 0", "-ERR client-id should be greater than 0\r\n"},
				{"TYPE foo", "-ERR Unknown client type 'foo'\r\n"},
				{"USER foo", "-ERR No such user 'foo'\r\n"},
				{"ID 1 ADDR", "-ERR syntax error\r\n"},
				{"ID 1 SKIPME maybe", "-ERR syntax error\r\n"},
				{"FOO bar", "-ERR syntax error\r\n"},
			} {
				want(t, e.args, c.Do(append([]string{"CLIENT", "KILL"}, strings.Fields(e.args)...)...), e.reply)
			}
		})
		t.Run("oneself, after the answer", func(t *testing.T) {
			x := client(t, srv)
			id := idOf(x)
			x.Send("SET", "a", "b")
			x.Send("CLIENT", "KILL", "ID", id, "SKIPME", "no")
			x.Send("PING")
			x.Flush()
			want(t, "before", x.Recv(), "+OK\r\n")
			want(t, "the answer", x.Recv(), ":1\r\n")
			x.RecvEOF()
		})
	}
}

func TestClientListByType(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, redistest.Server(t).Addr())
	c, s := client(t, srv), client(t, srv)
	id := idOf(s)
	s.Do("SUBSCRIBE", "news")
	list := string(text([]byte(c.Do("CLIENT", "LIST", "TYPE", "pubsub"))))
	if strings.Count(list, "\n") != 1 || !strings.HasPrefix(list, "id="+id+" ") || !strings.Contains(list, " flags=P ") {
		t.Errorf("TYPE pubsub: %q", list)
	}
	list = string(text([]byte(c.Do("CLIENT", "LIST", "TYPE", "normal"))))
	if strings.Count(list, "\n") != 1 || strings.Contains(list, "id="+id+" ") {
		t.Errorf("TYPE normal: %q", list)
	}
	want(t, "TYPE replica", c.Do("CLIENT", "LIST", "TYPE", "replica"), "$0\r\n\r\n")
}
