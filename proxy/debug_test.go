package proxy

import (
	"strings"
	"testing"

	"ringway/internal/redistest"
)

func TestDebug(t *testing.T) {
	allowed := []*redistest.Redis{redistest.Server(t, "--enable-debug-command", "yes"), redistest.Server(t, "--enable-debug-command", "yes")}
	srv := serve(t, nil, allowed[0].Addr(), allowed[1].Addr())
	c := client(t, srv)
	for i := range allowed {
		k := keyOf(t, srv, i, "k")
		c.Do("SET", k, "v")
		if got := c.Do("DEBUG", "OBJECT", k); !strings.HasPrefix(got, "+Value at:") {
			t.Errorf("DEBUG OBJECT: %q", got)
		}
	}
	want(t, "DEBUG ERROR", c.Do("DEBUG", "ERROR", "MINE of my own"), "-MINE of my own\r\n")
	want(t, "DEBUG SLEEP", c.Do("DEBUG", "SLEEP", "0.01"), "+OK\r\n")
	want(t, "DEBUG SET-ACTIVE-EXPIRE", c.Do("DEBUG", "SET-ACTIVE-EXPIRE", "1"), "+OK\r\n")
	c.Do("HELLO", "3")
	want(t, "DEBUG PROTOCOL", c.Do("DEBUG", "PROTOCOL", "double"), ",3.141\r\n")
	for _, sub := range []string{"SEGFAULT", "RELOAD", "RESTART", "no\r\nsuch"} {
		if got := c.Do("DEBUG", sub); !strings.HasPrefix(got, "-ERR DEBUG ") || strings.Count(got, "\r\n") != 1 {
			t.Errorf("DEBUG %s: %q", sub, got)
		}
	}
	forbidden := client(t, serve(t, nil, redistest.Server(t).Addr()))
	if got := forbidden.Do("DEBUG", "SLEEP", "0"); !strings.HasPrefix(got, "-ERR DEBUG command not allowed") {
		t.Errorf("a node that does not allow it: %q", got)
	}
	balanced(t, srv)
}
