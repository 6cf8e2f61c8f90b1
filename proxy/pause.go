package proxy

import (
	"math"
	"strconv"
	"strings"
	"time"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// pauseClients is CLIENT PAUSE timeout [WRITE|ALL]. It is answered when all loops are paused. As in Redis a pause can be made
// longer and stricter by another one, and only UNPAUSE ends it early.
func (s *Session) pauseClients(a *resp.Args) {
	ms, err := strconv.ParseInt(string(a.At(2)), 10, 64)
	all := true
	switch {
	case err != nil || ms > math.MaxInt64/int64(time.Millisecond)/2:
		s.refuse(metrics.BadCommand, "ERR timeout is not an integer or out of range")
		return
	case ms < 0:
		s.refuse(metrics.BadCommand, "ERR timeout is negative")
		return
	}
	if a.Len() > 3 {
		switch mode := strings.ToUpper(string(a.At(3))); {
		case a.Len() > 4:
			s.refuse(metrics.BadCommand, errSyntax)
			return
		case mode == "WRITE":
			all = false
		case mode != "ALL":
			s.refuse(metrics.BadCommand, "ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	}
	until := loop.Clock() + ms*int64(time.Millisecond)
	s.askLoops(func(w *worker) { w.pause(until, all) }, func() []byte { return []byte("+OK\r\n") })
}

// unpauseClients is CLIENT UNPAUSE. Unlike in Redis it is carried out during a pause of everything, too.
func (s *Session) unpauseClients() {
	s.askLoops((*worker).unpause, func() []byte { return []byte("+OK\r\n") })
}

// pause stops the worker's clients until then.
func (w *worker) pause(until int64, all bool) {
	t := &w.taps
	if t.endOfPause == nil {
		t.endOfPause = loop.NewTimer(w.unpause)
	}
	t.pausedUntil = max(t.pausedUntil, until)
	t.pausedAll = t.pausedAll || all
	w.loop.SetTimer(t.endOfPause, time.Duration(t.pausedUntil-w.loop.Now()))
	w.lookAgain()
}

// unpause lets them go on.
func (w *worker) unpause() {
	t := &w.taps
	if t.pausedUntil == 0 {
		return
	}
	w.loop.StopTimer(t.endOfPause)
	t.pausedUntil, t.pausedAll = 0, false
	held := t.waiting
	t.waiting = nil
	w.lookAgain()
	for x := range held {
		if !x.conn.Closed() {
			x.relieve(metrics.StallBarrier)
		}
	}
}

// heldByPause reports whether a command has to wait for the end of a pause.
func (s *Session) heldByPause(c *command.Command) bool {
	t := &s.worker.taps
	switch {
	case t.pausedUntil == 0 || c.Name == "client|unpause":
		return false
	case t.pausedAll:
		return true
	case c.Name == "exec" && s.tx != nil:
		return s.tx.writes()
	case s.tx != nil:
		return false // it is only queued
	}
	return mayWrite(c)
}

func mayWrite(c *command.Command) bool { return c.Flags.Has(command.Write | command.MayReplicate) }

// writes reports whether any queued command may write.
func (tx *transaction) writes() bool {
	scan := resp.RequestScanner{Limits: resp.DefaultLimits()}
	for b := tx.batch; len(b) > 0; {
		n, err := scan.Scan(b)
		if n == 0 || err != nil {
			return true
		}
		c := command.Lookup(scan.Args.At(0))
		if c != nil && c.Container() && scan.Args.Len() > 1 {
			c = c.Sub(scan.Args.At(1))
		}
		if c == nil || mayWrite(c) {
			return true
		}
		b = b[n:]
	}
	return false
}

// waitForPause stops the parser until the pause is over. Should the session go on earlier, the gate stops it again.
func (s *Session) waitForPause() {
	t := &s.worker.taps
	if t.waiting == nil {
		t.waiting = map[*Session]struct{}{}
	}
	t.waiting[s] = struct{}{}
	s.stall(metrics.StallBarrier)
}
