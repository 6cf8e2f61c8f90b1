package pool

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// What a lane does for each request besides copying it: queueing who waits, and finding him again. The replies come as one read
// would bring them.
func BenchmarkExpectAndReply(b *testing.B) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(b, redistest.Node(b, redistest.Pause(held)).Addr(), nil)
	f.open()
	for _, depth := range []int{1, 16} {
		b.Run(fmt.Sprintf("pipeline=%d", depth), func(b *testing.B) {
			b.ReportAllocs()
			replies := []byte(strings.Repeat("$5\r\nhello\r\n", depth))
			f.do(func() {
				for n := 0; n < b.N; n += depth {
					for range depth {
						f.lane.Expect(nowhere{}, 0)
					}
					f.lane.Data(replies)
				}
			})
		})
	}
}

type nowhere struct{}

func (nowhere) Reply(uint64, byte, []byte, bool) {}
func (nowhere) Fail(uint64, string, bool)        {}
