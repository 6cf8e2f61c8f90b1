package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// A key is hot in one Ringway, and is written through another and at its node in turn. How much older than the last value that had been acknowledged
// is what the first tells? It is never more than the bound, and next to nothing as a rule: the figures are in docs/bench/hotkeys.md. Readers
// that pause leave the processors something to spare; those that do not show what it is like without.
func TestHowStaleAHotKeyIs(t *testing.T) {
	pauses := []time.Duration{200 * time.Microsecond, 0}
	for i := range 2 * size(2, 1) {
		mode, pause := keepingModes[i%2], pauses[i/2]
		t.Run(fmt.Sprintf("%s,pause=%v", mode, pause), func(t *testing.T) {
			const bound = 500 * time.Millisecond
			nodes := servers(t, 2)
			keeps := pool{nodes: addresses(nodes), options: map[string]string{
				"hot_keys": fmt.Sprintf("{mode: %s, max_staleness: %v, min_reads_per_version: 1, validations_per_key: 1000}", mode, bound)}}
			r, other := serveWith(t, setup{threads: 2}, keeps), serve(t, pool{nodes: addresses(nodes)})
			owner := nodes[owners(t, r.addr(), nodes, []string{"hot"})["hot"]]
			writers := []*redistest.Conn{redistest.Dial(t, other.addr()), redistest.Dial(t, owner.Addr())}
			begin := time.Now()
			acked := make([]atomic.Int64, 1<<20) // when each value was acknowledged
			var last atomic.Int64
			var late [][]time.Duration
			const readers = 2
			for range readers {
				late = append(late, nil)
			}
			var reads atomic.Int64
			end := time.Now().Add(size(20*time.Second, 2*time.Second))
			eachClient(t, readers+1, func(id int) error {
				if id == readers {
					for n := int64(1); time.Now().Before(end); n++ {
						if reply, err := writers[n%2].TryDo("SET", "hot", fmt.Sprint(n)); err != nil || reply != "+OK\r\n" {
							return fmt.Errorf("SET: %q, %v", reply, err)
						}
						acked[n].Store(int64(time.Since(begin)))
						last.Store(n)
						time.Sleep(5 * time.Millisecond)
					}
					return nil
				}
				c, err := redistest.Connect(r.addr())
				if err != nil {
					return err
				}
				defer c.Close()
				for ; time.Now().Before(end); reads.Add(1) {
					if pause > 0 {
						time.Sleep(pause)
					}
					began := int64(time.Since(begin))
					reply, err := c.TryDo("GET", "hot")
					if err != nil {
						return err
					}
					if reply == "$-1\r\n" {
						continue
					}
					_, value, _ := strings.Cut(strings.TrimSuffix(reply, "\r\n"), "\r\n")
					n, err := strconv.ParseInt(value, 10, 64)
					if err != nil || n > last.Load()+1 {
						return fmt.Errorf("GET: %q", reply)
					}
					if next := acked[n+1].Load(); next > 0 && next < began {
						late[id] = append(late[id], time.Duration(began-next))
					}
				}
				return nil
			})
			stale := slices.Concat(late...)
			slices.Sort(stale)
			at := func(q float64) time.Duration {
				if len(stale) == 0 {
					return 0
				}
				return stale[int(q*float64(len(stale)-1))].Round(time.Microsecond)
			}
			kept := r.keptReads(t)
			t.Logf("%d reads, %.0f of them answered with what is kept, and %d writes; %d reads were stale, half of them by less than %v, 99%% by less than %v, none by more than %v",
				reads.Load(), kept, last.Load(), len(stale), at(0.5), at(0.99), at(1))
			if at(1) > bound+5*time.Millisecond {
				t.Errorf("a read was stale by %v", at(1))
			}
			if kept < float64(reads.Load())/10 {
				t.Errorf("of %d reads %.0f were answered with what is kept", reads.Load(), kept)
			}
		})
	}
}
