package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// Where two nodes have no replica that is fit, their parts go to the same lane, that of nobody. They must not be written in one buffer: it may
// be a third part's by then.
func TestPartsForOneLaneHaveBuffersOfTheirOwn(t *testing.T) {
	third := redistest.Server(t)
	replica := redistest.Replica(t, third)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.ReadPolicy, p.ReadRetries = "replica", 0
		for i, address := range []string{"127.0.0.1:1", "127.0.0.1:1", replica.Addr()} {
			p.Backends[i].Replicas = []config.Replica{{Address: address}}
		}
	}), append(nodes(t, 2), third.Addr())...)
	c := client(t, srv)
	key := func(name string, n int) string { // of the node of that name
		var node int
		onLoop(t, srv, func(w *worker) {
			for i, is := range w.pools[0].topo.nodes {
				if is.Name == name {
					node = i
				}
			}
		})
		return keyOf(t, srv, node, fmt.Sprint(strings.Repeat("x", 10*n), "-", n, ":"))
	}
	wanted := key("n2", 5)
	redistest.WaitFor(t, "the replica to be read", func() bool { return c.Do("GET", wanted) == "$-1\r\n" })
	monitor := redistest.Dial(t, replica.Addr())
	monitor.Do("MONITOR")
	request := []string{"MGET", key("n0", 1)}
	for n := range 100 {
		request = append(request, key("n1", 10+n%2))
	}
	request = append(request, wanted, key("n0", 2), key("n0", 3))
	if got := c.Do(request...); !strings.HasPrefix(got, "-ERR none of the replicas") {
		t.Errorf("MGET: %q", got)
	}
	for {
		if line := monitor.Recv(); strings.Contains(line, "MGET") {
			if !strings.Contains(line, fmt.Sprintf("\"MGET\" %q\r\n", wanted)) {
				t.Errorf("the replica was asked for %q", line)
			}
			break
		}
	}
	balanced(t, srv)
}
