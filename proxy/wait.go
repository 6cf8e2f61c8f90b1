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
	sp.merge, sp.weight, sp.pool = mergeLeast, 1, s.pool.shared
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
	for i, la := range lanes {
		la.Send(pingRequest, nobody{}, 0)
		la.Send(request, s, tagOf(seq, i))
	}
	s.stall(metrics.StallBarrier)
	return true
}

var pingRequest = resp.AppendCommand(nil, "PING")
