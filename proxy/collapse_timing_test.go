package proxy

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"ringway/internal/capped"
	"ringway/internal/config"
	"ringway/internal/redistest"
)

// BenchmarkStorm has 64 clients ask for one key in a share of their requests, for any of ten thousand in the others, of nodes that take 2000
// requests a second.
func BenchmarkStorm(b *testing.B) {
	for _, count := range []int{3, 8} {
		for _, share := range []float64{0.3, 0.9} {
			for _, mode := range []string{"off", "collapse", "near", "copies"} {
				b.Run(fmt.Sprintf("nodes=%d/share=%g/mode=%s", count, share, mode), func(b *testing.B) {
					fleet, err := capped.Start(count, capped.Options{Rate: 2000, Filler: []byte("value")})
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(fleet.Close)
					var addresses []string
					for _, n := range fleet.Nodes {
						addresses = append(addresses, n.Addr())
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
					total, most := uint64(0), uint64(0)
					for _, n := range fleet.Nodes {
						total, most = total+n.Done(), max(most, n.Done())
					}
					b.ReportMetric(float64(total)/float64(b.N), "sent/request")
					b.ReportMetric(float64(most)*float64(count)/float64(total), "max/mean")
				})
			}
		}
	}
}
