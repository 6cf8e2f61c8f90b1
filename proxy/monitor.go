package proxy

import (
	"fmt"
	"strconv"
	"time"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// MONITOR shows every request that passes through this process. A loop writes a request down once and hands what has gathered
// in a turn to each loop that has monitors. A monitor that reads too slowly is closed: it must not hold the others up, nor
// be shown less than everything.

const errMonitorOnly = "ERR Replica can't interact with the keyspace" // Redis's own words

// feed is what a loop has written down for the monitors of another in this turn.
type feed struct {
	to  *worker
	buf []byte
}

// monitor is MONITOR. The answer is sent when all loops have begun to write down.
func (s *Session) monitor() (taken bool) {
	if s.monitoring() {
		s.answerOK()
		return true
	}
	if !s.barrier() {
		return false
	}
	w := s.worker
	w.taps.joining++
	seq := s.openAlone()
	w.tellLoops(func() {
		w.taps.joining--
		if s.conn.Closed() {
			w.unmonitored()
			return
		}
		s.answerSlot(seq, []byte("+OK\r\n"))
		if w.taps.monitors == nil {
			w.taps.monitors = map[*Session]struct{}{}
		}
		w.taps.monitors[s] = struct{}{}
	})
	return true
}

// tellLoops has every loop feed this one if it has monitors, and stop if not; then it goes on here.
func (w *worker) tellLoops(then func()) {
	w.taps.wanted.Store(w.taps.joining+len(w.taps.monitors) > 0)
	w.visit(func(x *worker) { x.feedTo(w) }, then)
}

// feedTo begins or ends the feed to a loop, as that one wants it now.
func (w *worker) feedTo(to *worker) {
	at := -1
	for i, f := range w.taps.feeds {
		if f.to == to {
			at = i
		}
	}
	switch wanted := to.taps.wanted.Load(); {
	case wanted && at < 0:
		w.taps.feeds = append(w.taps.feeds, &feed{to: to})
	case !wanted && at >= 0:
		w.taps.feeds = append(w.taps.feeds[:at:at], w.taps.feeds[at+1:]...)
	}
	w.lookAgain()
}

// monitoring reports whether the client is a monitor.
func (s *Session) monitoring() bool {
	_, is := s.worker.taps.monitors[s]
	return is
}

// stopMonitoring makes the client an ordinary one again.
func (s *Session) stopMonitoring() {
	if s.monitoring() {
		delete(s.worker.taps.monitors, s)
		s.worker.unmonitored()
	}
}

// unmonitored is called when there is a monitor less.
func (w *worker) unmonitored() {
	if w.taps.joining+len(w.taps.monitors) == 0 {
		w.tellLoops(func() {})
	}
}

func (s *Session) refuseMonitor() { s.refuse(metrics.BadCommand, errMonitorOnly) }

// showMonitors writes a request down for all monitors. What administers a server is not shown, as in Redis, nor are passwords.
func (s *Session) showMonitors(c *command.Command, a *resp.Args) {
	if c.Flags.Has(command.Admin) {
		return
	}
	w := s.worker
	w.scratch = s.appendMonitorLine(w.scratch[:0], c, a)
	for _, f := range w.taps.feeds {
		if f.to == w {
			w.showLines(w.scratch)
			continue
		}
		if len(f.buf) == 0 {
			w.loop.Defer(f.hand)
		}
		f.buf = append(f.buf, w.scratch...)
	}
}

// hand sends what has gathered to the loop that wants it.
func (f *feed) hand() {
	b, to := f.buf, f.to
	f.buf = nil
	if to.taps.backlog.Add(int64(len(b))) > maxPushed {
		to.taps.backlog.Add(-int64(len(b)))
		to.taps.overrun.Store(true)
		return
	}
	to.loop.Post(func() {
		to.taps.backlog.Add(-int64(len(b)))
		to.showLines(b)
	})
}

// showLines sends lines to the monitors of this loop.
func (w *worker) showLines(b []byte) {
	lost := w.taps.overrun.Swap(false)
	for x := range w.taps.monitors {
		switch {
		case x.conn.Closed():
			x.stopMonitoring()
		case lost || x.conn.Unsent()+len(b) > maxPushed:
			x.pool.stats.Errors[metrics.Stalled]++
			w.log.Info("client closed", "pool", x.pool.shared.cfg.Name, "client", x.peer, "reason", "it does not keep up with MONITOR")
			x.stopMonitoring()
			w.loop.Defer(x.drop) // it may be the one that is being served
		default:
			x.conn.Append(b)
		}
	}
}

// appendMonitorLine appends a request as MONITOR shows it: +1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
func (s *Session) appendMonitorLine(dst []byte, c *command.Command, a *resp.Args) []byte {
	now := time.Now()
	dst = fmt.Appendf(dst, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, s.db, s.peer)
	secret := secretArgs(c, a)
	for i := range a.Len() {
		dst = append(dst, ' ')
		if i >= secret.from && i < secret.to {
			dst = append(dst, `"(redacted)"`...)
		} else {
			dst = appendQuoted(dst, a.At(i))
		}
	}
	return append(dst, "\r\n"...)
}

type span struct{ from, to int }

// secretArgs says which arguments are names and passwords.
func secretArgs(c *command.Command, a *resp.Args) span {
	switch c.Name {
	case "auth":
		return span{1, a.Len()}
	case "acl|setuser":
		return span{2, a.Len()}
	case "hello", "migrate":
		for i := 2; i < a.Len(); i++ {
			switch arg := a.At(i); {
			case equalFold(arg, "auth") && c.Name == "migrate":
				return span{i + 1, i + 2}
			case equalFold(arg, "auth"), equalFold(arg, "auth2"):
				return span{i + 1, i + 3}
			case equalFold(arg, "keys"):
				return span{}
			}
		}
	}
	return span{}
}

// appendQuoted appends an argument in quotes, what can't be printed escaped.
func appendQuoted(dst, b []byte) []byte {
	dst = append(dst, '"')
	for _, ch := range b {
		switch ch {
		case '\\', '"':
			dst = append(dst, '\\', ch)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\a':
			dst = append(dst, '\\', 'a')
		case '\b':
			dst = append(dst, '\\', 'b')
		default:
			if ch >= ' ' && ch <= '~' {
				dst = append(dst, ch)
			} else {
				dst = append(dst, '\\', 'x')
				if ch < 16 {
					dst = append(dst, '0')
				}
				dst = strconv.AppendUint(dst, uint64(ch), 16)
			}
		}
	}
	return append(dst, '"')
}
