package proxy

import (
	"ringway/internal/command"
	"ringway/resp"
)

// broadcast asks every node that is on the ring. Each gets the request as it came.
func (s *Session) broadcast(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	switch c.Name {
	case "scan":
		return s.scanPool(c, scan)
	case "pubsub|numsub", "pubsub|shardnumsub":
		return s.numsub(c, &scan.Args)
	case "script|exists":
		return s.scriptsExist(c, &scan.Args)
	case "config|resetstat":
		return s.resetStats(c, &scan.Args)
	}
	if s.pool.extras.strips && (c.Name == "keys" || c.Name == "randomkey" && !s.hides()) {
		return s.keysByName(c, &scan.Args)
	}
	if c.Name == "swapdb" {
		for i := 1; i <= 2; i++ {
			if db, ok := integer(scan.Args.At(i)); ok {
				s.forbidCopies(db)
			}
		}
	}
	if s.hides() {
		if dealt, taken := s.keysWithoutReserved(c, scan.Bytes(b)); dealt {
			return taken
		}
	}
	if s.pool.size() == 1 {
		return s.send(c, s.pool.nth(0), scan.Bytes(b))
	}
	w := s.worker
	sp := w.takeSplit()
	sp.merge, sp.weight, sp.resp3 = c.Merge, s.pool.size(), s.resp3
	for i := range s.pool.size() {
		node := s.pool.nth(i)
		if lane := s.set.Lane(node); lane.Busy() {
			sp.release(w)
			return s.putOff(lane)
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
	s.pool.stats.FanOut(len(sp.parts))
	for i := range sp.parts {
		s.set.Lane(sp.parts[i].node).SendAs(classes[c.ID], request, s, tagOf(seq, i))
	}
}
