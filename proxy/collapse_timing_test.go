package proxy

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// capped is a node that takes so long for each request, whoever sends it, and keeps the rest waiting. It counts what it has answered.
type capped struct {
	addr     string
	each     time.Duration
	answered atomic.Int64
	mu       sync.Mutex
	free     time.Time // when it has done what it was asked
}

func newCapped(t testing.TB, each time.Duration) *capped {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	n := &capped{addr: l.Addr().String(), each: each}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.serve(c)
		}
	}()
	return n
}

func (n *capped) serve(c net.Conn) {
	due := make(chan time.Time, 1<<16)
	go func() {
		for at := range due {
			time.Sleep(time.Until(at))
			n.answered.Add(1)
			c.Write([]byte("$5\r\nvalue\r\n"))
		}
		c.Close()
	}()
	for r := bufio.NewReader(c); ; {
		if _, err := redistest.ReadCommand(r); err != nil {
			close(due)
			return
		}
		n.mu.Lock()
		if now := time.Now(); n.free.Before(now) {
			n.free = now
		}
		n.free = n.free.Add(n.each)
		due <- n.free
		n.mu.Unlock()
	}
}

// BenchmarkStorm has 64 clients ask for one key in a share of their requests, for any of ten thousand in the others, of nodes that take 2000
// requests a second.
func BenchmarkStorm(b *testing.B) {
	for _, count := range []int{3, 8} {
		for _, share := range []float64{0.3, 0.9} {
			for _, mode := range []string{"off", "collapse"} {
				b.Run(fmt.Sprintf("nodes=%d/share=%g/mode=%s", count, share, mode), func(b *testing.B) {
					var addresses []string
					var all []*capped
					for range count {
						n := newCapped(b, 500*time.Microsecond)
						all, addresses = append(all, n), append(addresses, n.addr)
					}
					srv := serve(b, onPool(func(p *config.Pool) { p.HotKeys.Mode = mode }), addresses...)
					const clients = 64
					var conns []*redistest.Conn
					for range clients {
						conns = append(conns, client(b, srv))
					}
					b.ResetTimer()
					var left atomic.Int64
					left.Store(int64(b.N))
					var done sync.WaitGroup
					for id, c := range conns {
						done.Go(func() {
							rng := rand.New(rand.NewPCG(uint64(id), 1))
							for left.Add(-1) >= 0 {
								key := "hot"
								if rng.Float64() >= share {
									key = fmt.Sprint("key:", rng.IntN(10_000))
								}
								if _, err := c.TryDo("GET", key); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					done.Wait()
					b.StopTimer()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
					total, most := int64(0), int64(0)
					for _, n := range all {
						total, most = total+n.answered.Load(), max(most, n.answered.Load())
					}
					b.ReportMetric(float64(total)/float64(b.N), "sent/request")
					b.ReportMetric(float64(most)*float64(count)/float64(total), "max/mean")
				})
			}
		}
	}
}
