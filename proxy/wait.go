package proxy

import (
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// The merges of WAIT and WAITAOF: what every node can promise.
const (
	mergeLeast     command.Merge = 200 + iota // of integers
	mergeLeastEach                            // of arrays of integers, place by place
)

// waitForReplicas is WAIT and WAITAOF. A client's writes may be on any node, so every node is asked, and the least answer counts. They
// wait for what their own connection has written; a private lane has written nothing, so it says PING first: Redis then
// takes everything up to that moment as the connection's own, and that includes all that this client has been answered.
func (s *Session) waitForReplicas(c *command.Command, request []byte) bool {
	if !s.barrier() {
		return false
	}
	sp := s.worker.takeSplit()
	sp.merge, sp.weight, sp.topo = mergeLeast, 1, s.pool.topo
	if c.Name == "waitaof" {
		sp.merge = mergeLeastEach
	}
	var lanes []*pool.Lane
	for i := range s.pool.size() {
		lane := s.takePrivate(s.pool.nth(i))
		if lane == nil { // the client has been told
			for _, la := range lanes {
				s.pool.givePrivate(s.set, la)
			}
			sp.release(s.worker)
			return true
		}
		lane.Patient = true
		lanes = append(lanes, lane)
		sp.parts = append(sp.parts, part{node: lane.Index})
	}
	seq := s.tail
	sl := s.open(c)
	sl.split, sl.private = sp, true
	sp.pending = len(sp.parts)
	s.inFlight++
	s.blocked = lanes
	s.conn.WatchEnd(true)
	r := &replicaWait{session: s, seq: seq, lanes: lanes}
	for i, la := range lanes {
		askNumber(la)
		la.Send(pingRequest, nobody{}, 0)
		la.Send(request, r, uint64(i))
	}
	s.stall(metrics.StallBarrier)
	return true
}

// replicaWait is a WAIT under way. If a node is lost there is nothing to wait for any more, though the others may let us wait for ever.
type replicaWait struct {
	session *Session
	seq     uint32
	lanes   []*pool.Lane
	reason  string // why a node gives no answer
}

// Reply takes the answer of the node whose lane the tag names.
func (r *replicaWait) Reply(i uint64, kind byte, b []byte, done bool) {
	r.session.Reply(tagOf(r.seq, int(i)), kind, b, done)
}

// Fail ends the waiting at all nodes.
func (r *replicaWait) Fail(i uint64, reason string, sent bool) {
	if r.reason == "" {
		r.reason = reason
		r.session.worker.loop.Defer(r.giveUp)
	}
	r.session.Fail(tagOf(r.seq, int(i)), r.reason, sent)
}

// giveUp closes the lanes, which fails what waits on them. The session may have got all its answers meanwhile, or be gone.
func (r *replicaWait) giveUp() {
	if s := r.session; len(s.blocked) > 0 && s.blocked[0] == r.lanes[0] {
		for _, la := range r.lanes {
			la.Close()
		}
	}
}

var pingRequest = resp.AppendCommand(nil, "PING")
