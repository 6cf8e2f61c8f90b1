package proxy

import (
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func TestProtocolError(t *testing.T) {
	srv := serve(t, nil, redistest.Server(t).Addr())
	cases := []struct{ name, in, reply string }{
		{"a multibulk length that is no number", "*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
		{"something else than a bulk", "*1\r\nx4\r\nPING\r\n", "-ERR Protocol error: expected '$', got 'x'\r\n"},
		{"a bulk length that is no number", "*1\r\n$x\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
		{"unbalanced quotes", "SET a \"b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bad, good := client(t, srv), client(t, srv)
			bad.SendRaw("PING\r\n" + c.in + "PING\r\n")
			bad.Flush()
			want(t, "the request before", bad.Recv(), "+PONG\r\n")
			want(t, "the error", bad.Recv(), c.reply)
			bad.RecvEOF()
			want(t, "another client", good.Do("PING"), "+PONG\r\n")
		})
	}
	t.Run("an argument over max_request_size", func(t *testing.T) {
		srv := serve(t, onPool(func(p *config.Pool) { p.MaxRequestSize = 1024 }), redistest.Server(t).Addr())
		c := client(t, srv)
		want(t, "an argument of that size", c.Do("SET", "a", string(make([]byte, 1024))), "+OK\r\n")
		c.SendRaw("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1025\r\n")
		c.Flush()
		want(t, "a larger one", c.Recv(), "-ERR Protocol error: invalid bulk length\r\n")
		c.RecvEOF()
	})
}
