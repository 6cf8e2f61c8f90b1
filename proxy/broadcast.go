package proxy

import (
	"math"
	"strconv"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// broadcast asks every node that is on the ring. Each gets the request as it came.
func (s *Session) broadcast(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	if c.Merge == command.MergeCursor {
		return s.scanPool(c, scan)
	}
	if s.pool.size() == 1 {
		return s.send(c, s.pool.nth(0), scan.Bytes(b))
	}
	w := s.worker
	sp := w.takeSplit()
	sp.merge, sp.weight, sp.resp3 = c.Merge, s.pool.size(), s.resp3
	for i := range s.pool.size() {
		node := s.pool.nth(i)
		if lane := s.set.Lane(node); lane.Full() {
			sp.release(w)
			return s.waitFor(lane)
		}
		sp.parts = append(sp.parts, part{node: node})
	}
	s.sendWhole(c, sp, scan.Bytes(b))
	return true
}

// sendWhole sends the same request to the node of each part.
func (s *Session) sendWhole(c *command.Command, sp *split, request []byte) {
	seq := s.tail
	sl := s.open(c)
	sl.split, sp.topo = sp, s.pool.topo
	sp.pending = len(sp.parts)
	s.inFlight += sp.weight
	s.pool.stats.Parts += uint64(len(sp.parts))
	for i := range sp.parts {
		s.set.Lane(sp.parts[i].node).Send(request, s, tagOf(seq, i))
	}
}

// A cursor of SCAN carries the place of the node in its low bits and the node's own cursor above. Nodes are walked one after the
// other, so SCAN's promise holds over the pool: what is there from the beginning to the end is returned, as long as it stays on its node.
const placeBits = 16

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
	lane := s.set.Lane(int(at.node))
	if lane.Full() {
		return s.waitFor(lane)
	}
	sp := s.worker.takeSplit()
	sp.merge, sp.weight = c.Merge, 1
	sp.place = at.place
	if next, more := s.pool.topo.stopFrom(at.place + 1); more && at.place < math.MaxUint16 {
		sp.next = next.place
	}
	sp.parts = append(sp.parts, part{node: int(at.node)})

	request := resp.AppendArray(s.worker.scratch[:0], a.Len())
	request = resp.AppendBulk(request, a.At(0))
	request = resp.AppendBulk(request, strconv.AppendUint(nil, cursor, 10))
	for i := 2; i < a.Len(); i++ {
		request = resp.AppendBulk(request, a.At(i))
	}
	s.worker.scratch = request
	s.sendWhole(c, sp, request)
	return true
}

// appendCursor rewrites the cursor of a node's answer to SCAN: the node goes on, or the next one begins, or all is done.
func (sp *split) appendCursor(dst []byte) []byte {
	n, rest, err := resp.ArrayLen(sp.parts[0].reply)
	if err != nil || n != 2 {
		return resp.AppendError(dst, errMergedReply)
	}
	elem, keys, err := resp.Element(rest)
	if err != nil {
		return resp.AppendError(dst, errMergedReply)
	}
	cursor, err := strconv.ParseUint(string(text(elem)), 10, 64)
	if err != nil || cursor > 1<<(64-placeBits)-1 {
		return resp.AppendError(dst, errMergedReply)
	}
	next := cursor<<placeBits | uint64(sp.place)
	if cursor == 0 {
		next = uint64(sp.next)
	}
	dst = resp.AppendArray(dst, 2)
	dst = resp.AppendBulk(dst, strconv.AppendUint(nil, next, 10))
	return append(dst, keys...)
}
