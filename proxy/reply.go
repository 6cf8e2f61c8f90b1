package proxy

import (
	"ringway/internal/metrics"
	"ringway/resp"
)

// A tag says which request of a session a reply is for: its sequence number, and the part for a request that was split.
func tagOf(seq uint32, part int) uint64 { return uint64(part)<<32 | uint64(seq) }

// streamAfter is how much of a reply is kept before its beginning is sent. Shorter ones are sent only when whole, so that
// a node that dies in the middle of one costs the client an error and not its connection.
const streamAfter = 1 << 20

// Reply takes the next bytes of a reply from a lane.
func (s *Session) Reply(tag uint64, kind byte, b []byte, done bool) {
	if s.conn.Closed() {
		return
	}
	seq := uint32(tag)
	sl := s.slot(seq)
	if sl.split != nil {
		s.replyPart(seq, sl, int(tag>>32), kind, b, done)
		return
	}
	if done && (sl.again != nil || sl.keptLen > 0 && (kind == '-' || s.retrying != nil)) {
		if s.comesBack(tag, sl, sl.buf, kind, b) {
			return
		}
	} else if done && s.retrying != nil {
		s.carriedOut(tag, sl, nil)
	}
	if seq == s.head && done && sl.buf == nil && !sl.mute {
		s.lookedUp(sl, kind, b)
		s.count(sl, kind, len(b), 1)
		s.push(b)
		if sl.answeredBy != notCounted {
			s.note(sl)
		}
		*sl = slot{}
		s.head++
		s.sendAnswered()
		return
	}
	s.replyLater(seq, sl, kind, b, done)
}

// comesBack is called with the end of a reply to a request that is kept. It returns true if the request is sent once more, or the reply is held
// back.
func (s *Session) comesBack(tag uint64, sl *slot, before []byte, kind byte, b []byte) bool {
	if kind == '-' && s.refused(tag, sl, before, b) {
		return true
	}
	ag := s.kept(tag, sl)
	if !ag.final && s.holdsBack(sl) {
		s.holdBack(tag, kind, b)
		return true
	}
	final := ag.final
	s.unkept(tag, sl)
	if s.retrying == nil || final {
		s.worker.forgetAgain(ag)
	} else {
		s.carriedOut(tag, sl, ag)
	}
	return false
}

// push adds a reply to the output. While others are on their way it may wait for them.
func (s *Session) push(b []byte) {
	if s.inFlight > 0 {
		s.conn.AppendLazily(b)
	} else {
		s.conn.Append(b)
	}
}

// replyLater is for a reply that is not the head's, or comes in pieces.
func (s *Session) replyLater(seq uint32, sl *slot, kind byte, b []byte, done bool) {
	if !sl.mute {
		sl.buf = s.worker.loop.Append(sl.buf, b)
		s.held += len(b)
	}
	if done {
		if !sl.begun {
			s.lookedUp(sl, kind, sl.buf)
		}
		s.count(sl, kind, len(sl.buf), 1)
		sl.state = answered
		if seq == s.head {
			s.sendAnswered()
		}
		return
	}
	if seq == s.head && !sl.mute && (sl.begun || len(sl.buf) >= streamAfter) {
		sl.begun = true
		s.held -= len(sl.buf)
		s.conn.Append(sl.buf)
		sl.buf = sl.buf[:0]
	}
}

// Fail says that a request gets no reply.
func (s *Session) Fail(tag uint64, reason string, sent bool) {
	if s.conn.Closed() {
		return
	}
	if sl := s.slot(uint32(tag)); s.kept(tag, sl) != nil && s.lost(tag, sl, reason, sent) {
		return
	} else if s.retrying != nil && sent {
		ag := s.kept(tag, sl)
		s.unkept(tag, sl)
		s.carriedOut(tag, sl, ag)
	}
	s.failNow(tag, reason)
}

// failNow answers a request with an error that says why there is no reply.
func (s *Session) failNow(tag uint64, reason string) {
	seq := uint32(tag)
	sl := s.slot(seq)
	if s.retrying != nil {
		s.retrySoon()
	}
	s.unkeep(tag, sl)
	s.pool.stats.Errors[metrics.NodeDown]++
	if sl.split != nil {
		s.failPart(seq, sl, int(tag>>32), reason)
		return
	}
	if sl.begun { // half of the reply is on its way: there is no honest way to end it
		s.drop()
		return
	}
	s.held -= len(sl.buf)
	sl.buf = resp.AppendError(s.worker.emptied(sl.buf), reason)
	s.held += len(sl.buf)
	s.count(sl, 0, len(sl.buf), 1)
	sl.state = answered
	if seq == s.head {
		s.sendAnswered()
	}
}

// count does the books for a reply that is complete: weight is what the request counted in the window.
func (s *Session) count(sl *slot, kind byte, size, weight int) {
	st, now := &s.pool.stats, s.worker.loop.Now()
	took := now - sl.start
	of := &st.Latency
	if c := sl.command; c != nil {
		if of = st.Commands[c.ID]; of == nil {
			of = st.OfCommand(c.ID)
		}
	}
	of.Observe(took)
	if took >= s.pool.slowFrom {
		s.lookAt(sl, kind, took)
	}
	if c := &s.pool.clock; c.Weight > 0 {
		sl.start, sl.answeredBy, sl.weight = now, uint16(c.Replying+manyNodes), c.Weight
	}
	if kind == '-' || kind == '!' {
		st.Errors[metrics.NodeError]++
	}
	s.inFlight -= weight
	if sl.writes != nil {
		s.worker.written(sl.writes)
		sl.writes = nil
	}
	if s.seen < s.pool.shared.cfg.Window {
		s.seen++
	}
	s.meanReply += (size/weight - s.meanReply) / 8
	if sl.private {
		s.privateDone(kind)
	}
	if s.retrying != nil {
		s.retrySoon()
	}
	if s.stalls != 0 {
		s.ease()
	}
}

// ease lets a stalled session go on when enough has been answered.
func (s *Session) ease() {
	if s.stalls.has(metrics.StallWindow) && s.inFlight <= s.window()/2 && int(s.tail-s.head) <= maxSlots/2*s.pool.shared.cfg.Window {
		s.relieve(metrics.StallWindow)
	}
	if s.stalls.has(metrics.StallBarrier) && s.inFlight == 0 {
		if s.retrying != nil {
			s.endRetrying()
		}
		s.relieve(metrics.StallBarrier)
	}
}

// sendAnswered sends the head and all behind it that are answered.
func (s *Session) sendAnswered() {
	for s.head != s.tail {
		sl := s.slot(s.head)
		if sl.state != answered {
			break
		}
		if !sl.mute {
			s.push(sl.buf)
			if sl.answeredBy != notCounted {
				s.note(sl)
			}
		}
		s.held -= len(sl.buf)
		s.worker.loop.Release(sl.buf)
		*sl = slot{}
		s.head++
	}
	s.sendPending()
	if s.stalls != 0 {
		s.ease()
	}
	if s.head == s.tail && (s.closing || s.eof) {
		s.worker.resumeLater(s) // nothing may be left to flush, if all replies were dropped
	}
	if s.stalls.has(metrics.StallOutput) && s.conn.Unsent()+s.held <= s.pool.shared.cfg.ClientOutputLimit/2 {
		s.relieve(metrics.StallOutput)
	}
}

// answer sends a whole reply made here, in its turn.
func (s *Session) answer(b []byte) {
	if s.head == s.tail {
		if !s.muted() {
			s.conn.Append(b)
		}
		return
	}
	sl := s.open(nil)
	sl.buf = s.worker.loop.Append(sl.buf, b)
	s.held += len(b)
	sl.state = answered
}

// answerError sends an error made here.
func (s *Session) answerError(message string) {
	s.worker.scratch = resp.AppendError(s.worker.scratch[:0], message)
	s.answer(s.worker.scratch)
}

// refuse sends an error and counts it.
func (s *Session) refuse(k metrics.Kind, message string) {
	s.pool.stats.Errors[k]++
	s.answerError(message)
}
