package proxy

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/redistest"
	"ringway/pool"
	"ringway/resp"
)

// What looking for hot keys adds to a request of one key while none is hot: each pays the countdown, and one in 2^n is looked at. Of each
// the median counts, less than that of nothing; used is how much other memory was used since the last.
func BenchmarkNothingHot(b *testing.B) {
	srv := serve(b, nil, nodes(b, 1)...)
	get := command.Lookup([]byte("GET"))
	const keys = 1 << 16
	requests := make([][]byte, keys)
	for i := range requests {
		requests[i] = redistest.AppendCommand(nil, "GET", fmt.Sprintf("key:%012d", i*15))
	}
	done := make(chan struct{})
	w := srv.workers[0]
	w.loop.Post(func() { // which takes longer than onLoop waits
		ps := w.pools[0]
		s := &Session{worker: w, pool: ps, set: ps.set(pool.Key{})}
		lane := s.set.Lane(0)
		scan, sl := &resp.RequestScanner{}, &slot{}
		// heat is handle's own steps, and those of the reply.
		heat := func(a *resp.Args, request []byte) {
			var owner pool.Owner = s
			var writes *writing
			if ps.cool--; ps.cool < 0 || ps.hot != nil {
				if s.overtakes(get) && !s.barrier() {
					return
				}
				if owner, writes = s.hotOwner(get, 0, lane, a, request); owner == nil {
					b.Fatal("a key is hot")
				}
			}
			if len(s.joins) > 0 {
				s.settle(lane)
			}
			sl.writes = writes
			if w, is := owner.(*weighed); is { // see its Reply
				w.size += 16
				ps.heat.detector.AddBytes(w.hash, w.size)
				w.forget()
			}
			if sl.writes != nil {
				s.worker.written(sl.writes)
			}
		}
		read := func(i int) (*resp.Args, []byte) {
			request := requests[i&(keys-1)]
			if _, err := scan.Scan(request); err != nil {
				b.Fatal(err)
			}
			return &scan.Args, request
		}
		for _, size := range []int{0, 256 << 10, 4 << 20} {
			other := make([]byte, size)
			for _, cool := range []int{-1, 0} {
				name := map[int]string{-1: "nothing", 0: "looked at"}[cool]
				b.Run(fmt.Sprintf("used=%dk/%s", size>>10, name), func(b *testing.B) {
					b.ReportAllocs()
					took := make([]int64, b.N)
					for i := range b.N {
						a, request := read(i)
						for at := 0; at < size; at += 64 {
							other[at]++
						}
						began := loop.Clock()
						if ps.cool = cool; cool >= 0 {
							heat(a, request)
						}
						took[i] = loop.Clock() - began
					}
					slices.Sort(took) // a mean would be of what else the machine has to do
					b.ReportMetric(float64(took[b.N/2]), "median-ns")
				})
			}
		}
		b.Run("hundred passed over", func(b *testing.B) {
			took := make([]int64, b.N)
			a, request := read(0)
			for i := range b.N {
				ps.cool = math.MaxInt
				began := loop.Clock()
				for range 100 {
					heat(a, request)
				}
				took[i] = loop.Clock() - began
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[b.N/2]), "median-ns")
		})
		close(done)
	})
	<-done
}
