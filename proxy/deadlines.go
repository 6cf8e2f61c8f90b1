package proxy

import (
	"math"
	"time"

	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// How long a client may take to log in, and how long it may be idle. One timer a client, and none where there is neither limit: it is not
// moved when the client does something, but looks when it fires how long it still has to wait.

// keepTime has the session's time looked at when the next limit may be reached.
func (s *Session) keepTime() {
	left := min(s.timeToLogIn(), s.timeToIdle())
	if left == endless {
		return
	}
	if s.clock == nil {
		s.clock = loop.NewTimer(s.checkTime)
	}
	s.worker.loop.SetTimer(s.clock, left)
}

func (s *Session) checkTime() {
	cfg := s.pool.shared.cfg
	switch {
	case s.conn.Closed():
	case s.timeToLogIn() <= 0:
		s.letGo(metrics.LoginTimeout, "it has not logged in within "+cfg.LoginTimeout.String())
	case s.timeToIdle() <= 0:
		s.letGo(metrics.Idle, "it was idle for "+cfg.IdleTimeout.String())
	default:
		s.keepTime()
	}
}

// keepTimes is called when there may be other limits than before.
func (ps *poolState) keepTimes() {
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps {
			s.keepTime()
			s.watchPatience()
		}
	}
}

const endless time.Duration = math.MaxInt64

// timeToLogIn is how long the client may still go without.
func (s *Session) timeToLogIn() time.Duration {
	limit := s.pool.shared.cfg.LoginTimeout
	if s.authed || limit == 0 {
		return endless
	}
	return limit - time.Duration(s.worker.loop.Now()-s.unknownAt)
}

// timeToIdle is how long it may still do nothing. Who waits for something of ours is not idle.
func (s *Session) timeToIdle() time.Duration {
	limit := s.pool.shared.cfg.IdleTimeout
	switch {
	case limit == 0:
		return endless
	case s.head != s.tail || s.conn.Unsent() > 0 || s.stalls != 0 || s.subs != nil || s.monitoring():
		return limit
	}
	return limit - time.Duration(s.worker.loop.Now()-max(s.active, s.conn.LastWrite()))
}
