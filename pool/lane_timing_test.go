package pool

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// What a lane does for each request besides copying it: queueing who waits, and finding him again. The replies come as one read
// would bring them.
func BenchmarkExpectAndReply(b *testing.B) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(b, redistest.Node(b, redistest.Pause(held)).Addr(), nil)
	f.open()
	for _, timed := range []bool{false, true} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("phases=%v/pipeline=%d", timed, depth), func(b *testing.B) {
				b.ReportAllocs()
				replies := []byte(strings.Repeat("$5\r\nhello\r\n", depth))
				f.do(func() {
					if f.lane.clock = nil; timed {
						f.lane.clock = &Clock{}
						f.lane.clock.Count(true)
						f.lane.phases = &metrics.Phases{}
					}
					for n := 0; n < b.N; n += depth {
						for range depth {
							f.lane.Expect(nowhere{}, 0)
						}
						f.lane.Flushed(0)
						f.lane.Data(replies)
					}
				})
			})
		}
	}
}

// What the bounds of a node cost each request: the question whether there is room, alone, and with all that keeps the answer at hand. The
// node's other lanes are those of clients with another protocol or database.
func BenchmarkBounds(b *testing.B) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(b, redistest.Node(b, redistest.Pause(held)).Addr(), nil)
	f.open()
	replies := []byte("$5\r\nhello\r\n")
	for _, bounds := range []struct {
		name            string
		requests, bytes int
	}{{"none", 0, 0}, {"requests", 1000, 0}, {"bytes", 0, 1 << 20}, {"both", 1000, 1 << 20}} {
		for _, lanes := range []int{1, 2} {
			f.do(func() {
				var load Load
				load.Bound(bounds.requests, bounds.bytes)
				load.carry(f.lane)
				for range lanes - 1 {
					load.carry(NewLane(f.loop, f.node, 0, Key{Database: 1}))
				}
			})
			name := fmt.Sprintf("bounds=%s/lanes=%d", bounds.name, lanes)
			b.Run("do=ask/"+name, func(b *testing.B) {
				f.do(func() {
					for range b.N {
						if f.lane.Busy() {
							panic("busy")
						}
					}
				})
			})
			b.Run("do=all/"+name, func(b *testing.B) {
				b.ReportAllocs()
				f.do(func() {
					for range b.N {
						if f.lane.Busy() {
							panic("busy")
						}
						f.lane.Expect(nowhere{}, 0)
						f.lane.Data(replies)
					}
				})
			})
		}
	}
}

type nowhere struct{}

func (nowhere) Reply(uint64, byte, []byte, bool) {}
func (nowhere) Fail(uint64, string, bool)        {}
