package proxy

import (
	"math"
	"slices"
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
func (s *Session) heldByPause(c *command.Command, a *resp.Args) bool {
	t := &s.worker.taps
	switch {
	case t.pausedUntil == 0 || c.Name == "client|unpause":
		return false
	case t.pausedAll:
		return true
	case c.Name == "exec" && s.tx != nil:
		return s.tx.writes(&s.worker.server.scripts)
	case s.tx != nil:
		return false // it is only queued
	}
	return mayWrite(&s.worker.server.scripts, c, a)
}

// mayWrite reports whether a command may change something. Redis counts what is only passed on to replicas, too, and tells nobody of that flag.
// A script that says of itself that it does not write is believed; what a function says of itself is not known here.
func mayWrite(sc *scripts, c *command.Command, a *resp.Args) bool {
	switch c.Name {
	case "pfcount", "publish", "spublish", "fcall":
		return true
	case "eval":
		return !noWrites(string(a.At(1)))
	case "evalsha":
		body, known := sc.body(a.At(1))
		return !known || !noWrites(body)
	}
	return c.Flags.Has(command.Write)
}

// noWrites reads the first line of a script: #!lua flags=no-writes,allow-stale
func noWrites(body string) bool {
	line, _, _ := strings.Cut(body, "\n")
	if !strings.HasPrefix(line, "#!") {
		return false
	}
	for _, word := range strings.Fields(line) {
		if flags, is := strings.CutPrefix(word, "flags="); is && slices.Contains(strings.Split(flags, ","), "no-writes") {
			return true
		}
	}
	return false
}

// writes reports whether any queued command may write.
func (tx *transaction) writes(sc *scripts) bool {
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
		if c == nil || mayWrite(sc, c, &scan.Args) {
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
