package proxy

import (
	"fmt"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// mgetUntil asks MGET for keys until so many of the reads of a hot one are answered with what is kept.
func mgetUntil(t testing.TB, srv *Server, c *redistest.Conn, reply string, keys ...string) {
	t.Helper()
	args := append([]string{"MGET"}, keys...)
	before := keptReads(srv)
	redistest.WaitFor(t, "MGET to be answered with what is kept", func() bool {
		for range 100 {
			c.Send(args...)
		}
		c.Flush()
		for range 100 {
			if got := c.Recv(); got != reply {
				t.Fatalf("MGET: %q, want %q", got, reply)
			}
		}
		return keptReads(srv) > before+100
	})
}

// A key that is asked for by MGET alone is found to be hot, and kept as any other, where it is alone in its part.
func TestMGetOfAHotKey(t *testing.T) {
	cl := redistest.StartCluster(t, 3, 0)
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, copying(t, cl, func(h *config.HotKeys) { h.Mode = mode }))
		found(t, srv)
		c, other := client(t, srv), client(t, srv)
		other.Do("HELLO", "3")
		hot := mode + "hot"
		c.Do("MSET", hot, "0", mode+"a", "1", mode+"b", "2")
		reply := func(v string) string { return "*4\r\n" + redistest.Bulk("1") + v + redistest.Bulk("2") + v }
		mgetUntil(t, srv, c, "*1\r\n"+redistest.Bulk("0"), hot)
		for i := range 200 {
			v := redistest.Bulk(fmt.Sprint(i))
			c.Do("SET", hot, fmt.Sprint(i))
			for range 5 {
				want(t, "MGET by the one who wrote", c.Do("MGET", mode+"a", hot, mode+"b"), "*3\r\n"+redistest.Bulk("1")+v+redistest.Bulk("2"))
				want(t, "MGET by another", other.Do("MGET", mode+"a", hot, mode+"b", hot), reply(v))
				want(t, "MGET of one", other.Do("MGET", hot), "*1\r\n"+v)
			}
		}
		mgetUntil(t, srv, c, "*3\r\n"+redistest.Bulk("1")+redistest.Bulk("199")+redistest.Bulk("2"), mode+"a", hot, mode+"b")
		c.Do("DEL", hot)
		want(t, "MGET of what is gone", other.Do("MGET", mode+"a", hot), "*2\r\n"+redistest.Bulk("1")+"_\r\n")
		c.Do("RPUSH", hot, "x")
		for range 300 { // GET of a list is an error, MGET's null is none
			want(t, "MGET of a list", c.Do("MGET", hot, mode+"a"), "*2\r\n$-1\r\n"+redistest.Bulk("1"))
			want(t, "MGET of a list, RESP3", other.Do("MGET", hot), "*1\r\n_\r\n")
		}
		balanced(t, srv)
	})
}

// What MGET asks of one node is of one moment, hot keys or not: two keys that are always written together are never found apart.
func TestMGetOfOneNodeIsAtomic(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := redistest.Server(t)
		srv, past := serve(t, keeping(t, mode, nil), node.Addr()), redistest.Dial(t, node.Addr())
		c := client(t, srv)
		past.Do("MSET", "hot", "0", "other", "0")
		untilKept(t, mode, c, "hot")
		for i := range 300 {
			past.Do("MSET", "hot", fmt.Sprint(i), "other", fmt.Sprint(i))
			for range 3 {
				list := elements([]byte(c.Do("MGET", "hot", "other")))
				if string(list[0]) != string(list[1]) {
					t.Fatalf("MGET: %q", list)
				}
				c.Do("GET", "hot")
			}
		}
	})
}
