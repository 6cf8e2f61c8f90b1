package pool

import (
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// A listening lane that is silent has its node asked once, and is lost if that is silent, too. Time is moved by hand.
func TestHeartbeat(t *testing.T) {
	asked, hold := make(chan struct{}), make(chan struct{})
	defer close(hold)
	n := redistest.Node(t,
		redistest.Expect("PING"), redistest.Reply("+PONG\r\n"),
		redistest.Expect("PING"), redistest.Reply("*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
		redistest.Expect("PING"), redistest.Tell(asked), redistest.Pause(hold), redistest.Close())
	f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.Timeout = time.Hour })
	var pings, pushes, ups, downs atomic.Int32
	f.do(func() {
		f.lane.Listen(Listener{
			Push: func([]byte) { pushes.Add(1) },
			Ping: func() { pings.Add(1); f.lane.Append([]byte("*1\r\n$4\r\nPING\r\n")) },
			Up:   func() { ups.Add(1) },
			Down: func(string) { downs.Add(1) },
		})
	})
	f.open()
	later := func(d time.Duration) {
		t.Helper()
		f.do(func() {
			f.lane.lastRead -= int64(d)
			f.lane.pinged -= int64(d)
			f.lane.heartbeat()
		})
	}
	told := func(wantPings, wantDowns int32) {
		t.Helper()
		if pings.Load() != wantPings || downs.Load() != wantDowns || ups.Load() != 1 {
			t.Errorf("%d pings, %d times down, %d times up; want %d, %d, 1", pings.Load(), downs.Load(), ups.Load(), wantPings, wantDowns)
		}
	}
	later(30 * time.Minute)
	told(0, 0)
	for i := range int32(2) {
		later(time.Hour)
		told(i+1, 0)
		redistest.WaitFor(t, "the answer", func() bool { return pushes.Load() == i+1 })
		later(30 * time.Minute)
		told(i+1, 0)
	}
	later(time.Hour)
	told(3, 0)
	<-asked
	later(time.Hour)
	told(3, 1)
	var stats Stats
	f.do(func() { stats = f.lane.stats })
	if told := f.told(); len(told) != 1 || told[0] != "down: did not answer within 1h0m0s" || stats.Timeouts != 1 || stats.Losses != 1 {
		t.Errorf("told %q, %+v", told, stats)
	}
}
