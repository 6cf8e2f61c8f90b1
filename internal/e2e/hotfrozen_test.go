package e2e

import (
	"fmt"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// A Ringway is frozen, as a container is that has used up its time. What it keeps of a hot key is another's past when it goes on: the first replies
// that it gives then, to requests that have waited, are what the node has.
func TestAFrozenRingwayTellsNothingOld(t *testing.T) {
	for _, mode := range keepingModes {
		t.Run(mode, func(t *testing.T) {
			nodes := servers(t, 2)
			keeps := pool{nodes: addresses(nodes), options: map[string]string{
				"hot_keys": fmt.Sprintf("{mode: %s, max_staleness: 300ms, max_age: 1h, min_reads_per_version: 1}", mode)}}
			frozen, other := serveWith(t, setup{threads: 2}, keeps), serve(t, pool{nodes: addresses(nodes)})
			writer := redistest.Dial(t, other.addr())
			conns := make([]*redistest.Conn, 16)
			for i := range conns {
				conns[i] = redistest.Dial(t, frozen.addr())
			}
			writer.Do("SET", "hot", "0")
			for round := range size(50, 4) {
				redistest.WaitFor(t, "the key to be kept", func() bool {
					before := frozen.keptReads(t)
					for _, c := range conns {
						for range 50 {
							c.Send("GET", "hot")
						}
						c.Flush()
						for range 50 {
							c.Recv()
						}
					}
					return frozen.keptReads(t) > before+400
				})
				frozen.Stop()
				stopped := time.Now()
				value := fmt.Sprint(round + 1)
				if got := writer.Do("SET", "hot", value); got != "+OK\r\n" {
					t.Fatalf("SET: %q", got)
				}
				for _, c := range conns {
					c.Send("GET", "hot")
					c.Flush()
				}
				redistest.WaitFor(t, "the time to pass", func() bool { return time.Since(stopped) > size(2*time.Second, 400*time.Millisecond) })
				frozen.Cont()
				for i, c := range conns {
					if got := c.Recv(); got != redistest.Bulk(value) {
						t.Errorf("client %d got %q, and %s had been acknowledged %v before", i, got, value, time.Since(stopped).Round(time.Millisecond))
					}
				}
			}
		})
	}
}

// keepingModes are those in which something is kept of hot keys.
var keepingModes = []string{"near", "copies"}

// keptReads is how many reads were answered with what is kept.
func (r *router) keptReads(t testing.TB) float64 {
	t.Helper()
	return r.metric(t, "ringway_near_reads_total") + r.metric(t, "ringway_copy_reads_total")
}
