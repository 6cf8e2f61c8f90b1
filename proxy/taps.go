package proxy

import (
	"sync/atomic"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/resp"
)

// taps is what the commands that look after the whole process keep on each worker. While a worker is paused or feeds a monitor
// it is watched: its sessions are not plain, so that every request passes gate and tapped. Otherwise none of this costs a
// request anything.
type taps struct {
	// CLIENT PAUSE. The clock is the same for all loops.
	pausedUntil int64 // 0: not paused
	pausedAll   bool  // not only writes
	waiting     map[*Session]struct{}
	endOfPause  *loop.Timer

	// MONITOR.
	monitors map[*Session]struct{} // clients of this loop that watch
	joining  int                   // those whose OK is not out yet
	wanted   atomic.Bool           // there are some; other loops ask for it
	backlog  atomic.Int64          // bytes on their way here from other loops
	overrun  atomic.Bool           // some were dropped: the monitors have lost lines
	feeds    []*feed               // the loops that want to see this one's requests
}

// lookAgain finds out whether requests of this worker have to be looked at.
func (w *worker) lookAgain() {
	watched := w.taps.pausedUntil != 0 || len(w.taps.feeds) > 0
	if watched == w.watched {
		return
	}
	w.watched = watched
	for x := w.sessions; x != nil; x = x.next {
		x.update()
	}
}

// gate stops what may not be carried out now. stop says that the request is dealt with, taken that it need not come again.
func (s *Session) gate(c *command.Command, a *resp.Args) (stop, taken bool) {
	if s.heldByPause(c, a) {
		s.waitForPause()
		return true, false
	}
	if s.monitoring() && c.Plan != command.Session {
		s.refuseMonitor()
		return true, true
	}
	return false, true
}

// tapped is called with every request that was taken, while somebody watches or the client's reads are tracked.
func (s *Session) tapped(c *command.Command, a *resp.Args) {
	if len(s.worker.taps.feeds) > 0 {
		s.showMonitors(c, a)
	}
	if s.tracking != nil {
		s.invalidate(c, a)
	}
}

// rates measures how busy the pool is: since INFO was last asked for on this loop, or since the start.
func (s *Session) rates(t totals) rates {
	return s.pool.measured.since(s.worker.loop.Now(), t)
}
