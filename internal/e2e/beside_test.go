package e2e

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// What docs/migrating-from-twemproxy.md says of a trial: twemproxy stays in charge, as the only server of a pool, and a mirror of that pool gets
// the same traffic in Ringway's own way.
func TestTwemproxyBehindAPoolWithAMirror(t *testing.T) {
	old, next := servers(t, 2), servers(t, 2)
	port, stats := redistest.FreePort(t), redistest.FreePort(t)
	nutcracker(t, port, stats, []string{"a", "b"}, old)
	r := serve(t,
		pool{name: "cache", nodes: []string{fmt.Sprintf("127.0.0.1:%d", port)}, options: map[string]string{"hot_keys": "off", "mirror": "{pool: trial}"}},
		pool{name: "trial", nodes: addresses(next)})
	c := redistest.Dial(t, r.addr())
	want := map[string]string{}
	for i := range 100 {
		key, value := fmt.Sprint("key:", i), fmt.Sprint(i)
		want[key] = value
		c.Send("SET", key, value)
	}
	c.Send("MGET", "key:1", "key:2", "key:3")
	c.Send("DEL", "key:1", "key:2")
	c.Flush()
	delete(want, "key:1")
	delete(want, "key:2")
	for range 100 {
		if got := c.Recv(); got != "+OK\r\n" {
			t.Fatalf("SET: %q", got)
		}
	}
	if got := c.Recv(); got != "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n" {
		t.Errorf("MGET: %q", got)
	}
	if got := c.Recv(); got != ":2\r\n" {
		t.Errorf("DEL: %q", got)
	}
	sizes := func(nodes []*redistest.Redis) string {
		var all []string
		for _, n := range nodes {
			all = append(all, n.Do("DBSIZE"))
		}
		return strings.Join(all, "")
	}
	count := func(nodes []*redistest.Redis) (n int) {
		for key, value := range want {
			for _, at := range nodes {
				if at.Do("GET", key) == redistest.Bulk(value) {
					n++
				}
			}
		}
		return n
	}
	redistest.WaitFor(t, "the mirror to have all of it", func() bool { return count(next) == len(want) })
	if n := count(old); n != len(want) {
		t.Errorf("%d of %d keys are at twemproxy's servers: %q", n, len(want), sizes(old))
	}
}
