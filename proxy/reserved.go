package proxy

import (
	"bytes"
	"math/rand/v2"
	"strconv"

	"ringway/internal/command"
	"ringway/pool"
	"ringway/resp"
)

// Keys that begin with reservedPrefix are Ringway's own: the registry on each node, the markers of moves, copies of hot keys. In pools with warm scaling,
// and in the database of copies, they are left out of what clients are shown of the keyspace.

func isReserved(elem []byte) bool { return bytes.HasPrefix(text(elem), []byte(reservedPrefix)) }

// withoutReserved leaves reserved keys out of a list of elements.
func withoutReserved(list [][]byte) [][]byte {
	kept := list[:0]
	for _, e := range list {
		if !isReserved(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// hides reports whether the nodes may have reserved keys in the session's database.
func (s *Session) hides() bool { return s.pool.warm || s.amongCopies }

// keysWithoutReserved is KEYS, DBSIZE or RANDOMKEY. dealt is false for other commands.
func (s *Session) keysWithoutReserved(c *command.Command, request []byte) (dealt, taken bool) {
	switch c.Name {
	case "keys":
		return true, s.survey(c, request, strict(func(replies [][]byte) []byte {
			var list [][]byte
			for _, r := range replies {
				list = append(list, withoutReserved(elements(r))...)
			}
			return appendAll(nil, list)
		}))
	case "dbsize":
		return true, s.sizeWithoutReserved(c, request)
	case "randomkey":
		rk := &randomKey{s: s, seq: s.tail, c: c, request: bytes.Clone(request), left: 32}
		s.open(c)
		s.inFlight++
		rk.ask()
		return true, true
	}
	return false, true
}

// sizeWithoutReserved is DBSIZE. In front of a Redis Cluster a node's copies have one slot, and are counted there.
func (s *Session) sizeWithoutReserved(c *command.Command, request []byte) (taken bool) {
	n := s.pool.size()
	for i := range n {
		if lane := s.set.Lane(s.pool.nth(i)); lane.Full() {
			return s.waitFor(lane)
		}
	}
	own := int64(0)
	if s.pool.warm && s.db == 0 {
		own = 1 // the registry of each
	}
	sv := &survey{session: s, seq: s.tail, answers: make([]nodeAnswer, n), pending: n, merge: strict(func(replies [][]byte) []byte {
		sum := int64(0)
		for _, r := range replies {
			sum += max(intOf(r)-own, 0)
		}
		return resp.AppendInt(nil, sum)
	})}
	s.open(c)
	s.inFlight++
	request = bytes.Clone(request)
	for i := range n {
		node := s.pool.nth(i)
		sv.answers[i].node = node
		lane, tag := s.set.Lane(node), s.pool.topo.copyTag(node)
		if tag == "" {
			lane.Send(request, sv, uint64(i))
			continue
		}
		b := append(bytes.Clone(multiRequest), request...) // in one, or copies may come and go in between
		b = resp.AppendCommand(b, "CLUSTER", "GETKEYSINSLOT", strconv.Itoa(clusterSlot([]byte(tag))), mostInSlot)
		lane.Append(append(b, execRequest...))
		for range 3 {
			lane.Expect(nobody{}, 0)
		}
		lane.Expect(&sizing{survey: sv, request: request, lane: lane}, uint64(i))
	}
	return true
}

// mostInSlot is how many keys of a slot are looked at for copies.
const mostInSlot = "100000"

// sizing makes DBSIZE of a node of what EXEC says.
type sizing struct {
	survey  *survey
	request []byte
	lane    *pool.Lane
	reply   []byte
}

func (sz *sizing) Reply(tag uint64, kind byte, b []byte, done bool) {
	sz.reply = append(sz.reply, b...)
	if !done {
		return
	}
	if kind == '-' { // it is not allowed to look into slots
		sz.lane.Send(sz.request, sz.survey, tag)
		return
	}
	list := elements(sz.reply)
	if len(list) != 2 {
		sz.survey.Fail(tag, errMergedReply, true)
		return
	}
	size := intOf(list[0])
	for _, key := range elements(list[1]) {
		if isReserved(key) {
			size--
		}
	}
	size = max(size, 0)
	sz.survey.Reply(tag, ':', resp.AppendInt(nil, size), true)
}

func (sz *sizing) Fail(tag uint64, reason string, sent bool) { sz.survey.Fail(tag, reason, sent) }

// randomKey is a RANDOMKEY under way. A node that names a reserved key is as good as one that has none; if all do, they are asked again.
type randomKey struct {
	s       *Session
	seq     uint32
	c       *command.Command
	request []byte
	left    int
	nodes   []int
	pending int
	found   [][]byte
	again   bool
	failure []byte
	replies [][]byte
}

func (rk *randomKey) ask() {
	n := rk.s.pool.size()
	rk.left--
	rk.pending, rk.again, rk.replies, rk.nodes = n, false, make([][]byte, n), make([]int, n)
	for i := range n {
		rk.nodes[i] = rk.s.pool.nth(i)
	}
	for i, node := range rk.nodes {
		rk.s.set.Lane(node).Send(rk.request, rk, uint64(i))
	}
}

func (rk *randomKey) Reply(tag uint64, kind byte, b []byte, done bool) {
	rk.replies[tag] = append(rk.replies[tag], b...)
	if !done {
		return
	}
	switch r := rk.replies[tag]; {
	case kind == '-':
		rk.failure = r
	case isNull(r):
	case isReserved(r):
		rk.again = true
	case rk.s.pool.extras.strips:
		if name, ok := rk.s.pool.topo.routes.nameOf(rk.nodes[tag], text(r), nil); ok {
			rk.found = append(rk.found, resp.AppendBulk(nil, name))
		}
	default:
		rk.found = append(rk.found, r)
	}
	rk.oneDone()
}

func (rk *randomKey) Fail(_ uint64, reason string, _ bool) {
	rk.failure = resp.AppendError(nil, reason)
	rk.oneDone()
}

func (rk *randomKey) oneDone() {
	if rk.pending--; rk.pending > 0 || rk.s.conn.Closed() {
		return
	}
	switch {
	case len(rk.found) > 0:
		rk.s.answerSlot(rk.seq, rk.found[rand.IntN(len(rk.found))])
	case rk.again && rk.left > 0:
		rk.ask()
	case rk.failure != nil && !rk.again:
		rk.s.answerSlot(rk.seq, rk.failure)
	default:
		rk.s.answerSlot(rk.seq, resp.AppendNull(nil, rk.s.resp3))
	}
}
