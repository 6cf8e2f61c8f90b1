package proxy

import (
	"fmt"
	"testing"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/pool"
)

// What replicas cost each read: the choice of one, and a copy of the request, in case it has to be sent again.
func BenchmarkReadFrom(b *testing.B) {
	srv := serve(b, onPool(func(p *config.Pool) { p.ReadPolicy = "any" }), nodes(b, 1)...)
	get := command.Lookup([]byte("GET"))
	request := []byte("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n")
	onLoop(b, srv, func(w *worker) {
		ps := w.pools[0]
		own, none := ps.topo.nodes[0], *ps.topo
		for _, replicas := range []int{0, 1, 2, 5} {
			topo := none
			if replicas > 0 {
				topo.readers = [][]uint16{{0}}
				for i := range replicas {
					topo.nodes = append(topo.nodes[:len(topo.nodes):len(topo.nodes)], pool.NewNode("replica", "127.0.0.1:1", own.Options()))
					topo.readers[0] = append(topo.readers[0], uint16(i+1))
				}
			}
			s := &Session{worker: w, pool: ps}
			for _, after := range []time.Duration{0, time.Second} { // of reads of one's own writes
				b.Run(fmt.Sprintf("replicas=%d/read_own_writes=%v", replicas, after), func(b *testing.B) {
					defer func(t *topology, d time.Duration) { ps.topo, ps.shared.traits.ownWrites = t, d }(ps.topo, ps.shared.traits.ownWrites)
					ps.topo, ps.shared.traits.ownWrites = &topo, after
					s.wrote = w.loop.Now() - int64(time.Minute) // long ago
					sum := 0
					for range b.N {
						node := 0
						if s.pool.topo.readers != nil {
							node = s.readFrom(get, node)
						}
						sum += node
					}
					if sum < 0 {
						b.Fatal("never")
					}
				})
			}
		}
		b.Run("keep", func(b *testing.B) {
			b.ReportAllocs()
			s := &Session{worker: w, pool: ps}
			defer s.forgetKept()
			var sl slot
			for range b.N {
				s.keep(&sl, get, 0, request)
			}
		})
	})
}
