package proxy

import (
	"bytes"

	"ringway/pool"
)

// batch is what is known of a transaction under way.
type batch struct {
	ahead int // replies before that of EXEC
	class pool.Class
	cause []byte // the first error among them
}

// Reply notes why the transaction fails.
func (t *batch) Reply(_ uint64, kind byte, b []byte, _ bool) {
	if kind == '-' && t.cause == nil {
		t.cause = bytes.Clone(b)
	}
}

// Fail is part of pool.Owner. EXEC fails as well.
func (t *batch) Fail(uint64, string, bool) {}

// sendBatch puts a transaction on a lane, and keeps it where the nodes' redirections are followed.
func (s *Session) sendBatch(tx *transaction, lane *pool.Lane, sl *slot, owner pool.Owner, tag uint64) {
	if !s.pool.follows() {
		tx.send(&s.worker.server.scripts, lane, s.outgoing(tx.batch), owner, tag)
		return
	}
	ag := s.worker.takeAgain()
	ag.request = s.worker.loop.Append(nil, multiRequest)
	ag.request = s.worker.loop.Append(ag.request, tx.batch)
	ag.request = s.worker.loop.Append(ag.request, execRequest)
	ag.node, ag.to = lane.Index, -1
	ag.tx = &batch{ahead: tx.count + 1, class: tx.class}
	sl.again = ag
	for _, d := range tx.digests {
		s.worker.server.scripts.tell(lane, d)
	}
	lane.Append(s.outgoing(ag.request))
	for range ag.tx.ahead {
		lane.Expect(ag.tx, 0)
	}
	lane.ExpectAs(tx.class, owner, tag)
}
