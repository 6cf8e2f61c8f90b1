package proxy

import (
	"bytes"
	"strconv"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// SCAN walks the nodes one after the other. A cursor carries the place of the node in its low bits and the node's own cursor above, so
// SCAN's promise holds over the pool: what is there from the beginning to the end is returned, as long as it stays on its node.
const placeBits = 16

const (
	scanCount = 10      // elements that SCAN is after when it does not say so
	scanBytes = 1 << 20 // of elements after which it does not go on to the next node, whatever COUNT says
)

// scanning is a SCAN under way. While fewer elements have come than COUNT asks for and a node is at its end, the next node is asked at
// once: a keyspace that one server shows in one answer comes in one, not in one a node.
type scanning struct {
	session *Session
	seq     uint32
	args    [][]byte // of the request, but for its name and cursor
	match   int      // where the pattern is among them; -1 if there is none
	count   int      // elements still wanted
	at      stop     // the node that is asked
	reply   []byte   // its answer
	found   []byte   // elements of the nodes before
	n       int      // how many these are
}

// scanPool sends SCAN to the node that its cursor names.
func (s *Session) scanPool(c *command.Command, scan *resp.RequestScanner) bool {
	a := &scan.Args
	cursor, err := strconv.ParseUint(string(a.At(1)), 10, 64)
	if err != nil {
		s.refuse(metrics.BadCommand, "ERR invalid cursor")
		return true
	}
	place := uint16(cursor)
	at, found := s.pool.topo.stopFrom(place)
	if !found { // from another pool, or from before nodes left: there is nothing behind it
		s.worker.scratch = resp.AppendArray(resp.AppendBulkString(resp.AppendArray(s.worker.scratch[:0], 2), "0"), 0)
		s.answer(s.worker.scratch)
		return true
	}
	if cursor >>= placeBits; at.place != place {
		cursor = 0 // its node has left, or this is where SCAN begins
	}
	if lane := s.set.Lane(int(at.node)); lane.Busy() {
		return s.putOff(lane)
	}
	sc := &scanning{session: s, seq: s.tail, at: at, count: scanCount, match: -1}
	for i := 2; i < a.Len(); i++ {
		if n, isNumber := integer(a.At(i)); isNumber && equalFold(a.At(i-1), "count") {
			sc.count = n
		}
		if equalFold(a.At(i-1), "match") && i%2 == 1 {
			sc.match = i - 2
		}
		sc.args = append(sc.args, append([]byte(nil), a.At(i)...))
	}
	s.open(c)
	s.inFlight++
	sc.ask(cursor)
	return true
}

// ask sends SCAN with a node's own cursor to the node whose turn it is.
func (sc *scanning) ask(cursor uint64) {
	s := sc.session
	request := resp.AppendArray(s.worker.scratch[:0], 2+len(sc.args))
	request = resp.AppendBulkString(request, "SCAN")
	request = resp.AppendBulk(request, strconv.AppendUint(nil, cursor, 10))
	for i, arg := range sc.args {
		if i == sc.match && s.pool.extras.strips {
			arg = s.pool.topo.routes.patternAt(int(sc.at.node), arg)
		}
		request = resp.AppendBulk(request, arg)
	}
	s.worker.scratch = request
	s.pool.stats.Parts++
	sc.reply = sc.reply[:0]
	s.set.Lane(int(sc.at.node)).SendAs(pool.Read, request, sc, 0)
}

// Reply takes the next bytes of a node's answer.
func (sc *scanning) Reply(_ uint64, _ byte, b []byte, done bool) {
	sc.reply = append(sc.reply, b...)
	s := sc.session
	if !done || s.conn.Closed() {
		return
	}
	if resp.IsError(sc.reply) {
		sc.fail(sc.reply)
		return
	}
	parts := elements(sc.reply)
	if len(parts) != 2 {
		sc.fail(resp.AppendError(nil, errMergedReply))
		return
	}
	cursor, err := strconv.ParseUint(string(text(parts[0])), 10, 64)
	n, keys, notList := resp.ArrayLen(parts[1])
	if err != nil || notList != nil || cursor > 1<<(64-placeBits)-1 {
		sc.fail(resp.AppendError(nil, errMergedReply))
		return
	}
	if s.hides() && bytes.Contains(keys, []byte(reservedPrefix)) {
		list := withoutReserved(elements(parts[1]))
		n, keys = len(list), bytes.Join(list, nil)
	}
	if s.pool.extras.strips {
		sc.found, n = s.pool.topo.routes.appendNames(sc.found, int(sc.at.node), keys, n, sc.pattern())
	} else {
		sc.found = append(sc.found, keys...)
	}
	sc.n += n
	sc.count -= n
	if cursor != 0 {
		sc.answer(cursor<<placeBits | uint64(sc.at.place))
		return
	}
	next, more := s.pool.topo.stopAfter(sc.at.place)
	if !more {
		sc.answer(0)
		return
	}
	if sc.at = next; sc.count <= 0 || len(sc.found) > scanBytes || s.set.Lane(int(next.node)).Busy() {
		sc.answer(uint64(next.place))
		return
	}
	sc.ask(0)
}

// pattern is what the client wants to match; nil for all.
func (sc *scanning) pattern() []byte {
	if sc.match < 0 {
		return nil
	}
	return sc.args[sc.match]
}

// Fail takes the reason why a node does not answer.
func (sc *scanning) Fail(_ uint64, reason string, _ bool) {
	if !sc.session.conn.Closed() {
		sc.fail(resp.AppendError(nil, reason))
	}
}

// fail answers with an error, or with what the nodes before have brought: the error comes when the client goes on.
func (sc *scanning) fail(e []byte) {
	if sc.n > 0 {
		sc.answer(uint64(sc.at.place))
		return
	}
	sc.session.answerSlot(sc.seq, e)
}

func (sc *scanning) answer(cursor uint64) {
	b := resp.AppendArray(nil, 2)
	b = resp.AppendBulk(b, strconv.AppendUint(nil, cursor, 10))
	b = append(resp.AppendArray(b, sc.n), sc.found...)
	sc.session.answerSlot(sc.seq, b)
}
