package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// survey asks several nodes the same and makes one reply of what they say. Unlike a split it has a word for a node that is
// down, so that INFO can tell of the others.
type survey struct {
	session *Session
	seq     uint32
	answers []nodeAnswer // in the order of the nodes
	pending int          // answers still to come, and one for the loops if they are asked too
	merge   func([]nodeAnswer) []byte
}

// nodeAnswer is what one node has said.
type nodeAnswer struct {
	node  int
	reply []byte
	down  string // why there is no reply; "" if there is one
}

// survey sends a request to all nodes on the ring. merge makes the reply of their answers.
func (s *Session) survey(c *command.Command, request []byte, merge func([]nodeAnswer) []byte) (taken bool) {
	return s.surveyAnd(c, request, nil, merge)
}

// surveyAnd also runs also on every loop before merge is called.
func (s *Session) surveyAnd(c *command.Command, request []byte, also func(*worker), merge func([]nodeAnswer) []byte) (taken bool) {
	n := s.pool.size()
	for i := range n {
		if lane := s.set.Lane(s.pool.nth(i)); lane.Full() {
			return s.waitFor(lane)
		}
	}
	sv := &survey{session: s, seq: s.tail, answers: make([]nodeAnswer, n), pending: n, merge: merge}
	s.open(c)
	s.inFlight++
	for i := range n {
		node := s.pool.nth(i)
		sv.answers[i].node = node
		s.set.Lane(node).Send(request, sv, uint64(i))
	}
	if also != nil {
		sv.pending++
		s.worker.visit(also, sv.oneDone)
	}
	return true
}

// Reply takes the next bytes of a node's answer.
func (sv *survey) Reply(tag uint64, _ byte, b []byte, done bool) {
	a := &sv.answers[tag]
	a.reply = append(a.reply, b...)
	if done {
		sv.oneDone()
	}
}

// Fail takes the reason why a node does not answer.
func (sv *survey) Fail(tag uint64, reason string, _ bool) {
	sv.answers[tag].reply, sv.answers[tag].down = nil, reason
	sv.oneDone()
}

func (sv *survey) oneDone() {
	if sv.pending--; sv.pending == 0 && !sv.session.conn.Closed() {
		sv.session.answerSlot(sv.seq, sv.merge(sv.answers))
	}
}

// answerSlot answers a slot that was opened earlier with a whole reply made here.
func (s *Session) answerSlot(seq uint32, reply []byte) {
	kind := reply[0]
	if kind == '-' {
		kind = 0 // not a node's
	}
	s.Reply(tagOf(seq, 0), kind, reply, true)
}

// openAlone takes a slot for a reply made here and stops the parser until it is answered with answerSlot.
func (s *Session) openAlone() (seq uint32) {
	seq = s.tail
	s.open(nil)
	s.inFlight++
	s.stall(metrics.StallBarrier)
	return seq
}

// visit runs f on every loop, one after the other, and then goes on here.
func (w *worker) visit(f func(*worker), then func()) {
	all := w.server.workers
	if len(all) == 1 {
		f(w)
		then()
		return
	}
	var next func(i int)
	next = func(i int) {
		if i == len(all) {
			w.loop.Post(then)
			return
		}
		all[i].loop.Post(func() { f(all[i]); next(i + 1) })
	}
	next(0)
}

// askLoops answers with what answer makes after f has run on every loop. What the client has sent behind it waits for that, so
// that CLIENT PAUSE has paused when the next request is read.
func (s *Session) askLoops(f func(*worker), answer func() []byte) {
	if len(s.worker.server.workers) == 1 {
		f(s.worker)
		s.answer(answer())
		return
	}
	seq := s.openAlone()
	s.worker.visit(f, func() {
		if !s.conn.Closed() {
			s.answerSlot(seq, answer())
		}
	})
}

// refusal returns the first error of the answers, nil if there is none. A node that is down counts as one if strict.
func refusal(answers []nodeAnswer, strict bool) []byte {
	for i := range answers {
		switch a := &answers[i]; {
		case a.down != "" && strict:
			return resp.AppendError(nil, a.down)
		case a.down == "" && resp.IsError(a.reply):
			return a.reply
		}
	}
	return nil
}

// good returns the replies that are no errors. If there are none, it returns the first error.
func good(answers []nodeAnswer) (replies [][]byte, err []byte) {
	for i := range answers {
		if a := &answers[i]; a.down == "" && !resp.IsError(a.reply) {
			replies = append(replies, a.reply)
		}
	}
	if len(replies) == 0 {
		err = refusal(answers, true)
	}
	return replies, err
}

// requestOf writes the request once more, from its arguments.
func (s *Session) requestOf(a *resp.Args) []byte {
	b := resp.AppendArray(s.worker.scratch[:0], a.Len())
	for i := range a.Len() {
		b = resp.AppendBulk(b, a.At(i))
	}
	s.worker.scratch = b
	return b
}

// equalFold compares a name with one in lower case.
func equalFold(b []byte, lower string) bool { return bytes.EqualFold(b, []byte(lower)) }
