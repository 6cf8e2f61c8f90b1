package proxy

import (
	"ringway/internal/command"
)

// Reads may go to replicas: which of them are fit for it the director says in each topology; here one of these is taken for each request.
// What writes goes to the node that owns the key, and so does what reads in a transaction, blocks or watches.

// readFrom returns the node to which a command for keys of node goes.
func (s *Session) readFrom(c *command.Command, node int) int {
	if !s.readsReplicas(c) {
		return node
	}
	s.worker.readTurn++
	return s.pool.reader(node, s.worker.readTurn)
}

// readPartsFrom does the same for each part of a split request.
func (s *Session) readPartsFrom(c *command.Command, sp *split) {
	if !s.readsReplicas(c) {
		return
	}
	s.worker.readTurn++
	for i := range sp.parts {
		sp.parts[i].node = s.pool.reader(sp.parts[i].node, s.worker.readTurn)
	}
}

// readsReplicas reports whether a command may be answered by a replica. It notes when the session writes: with read_own_writes its reads
// go to the primary for a while after.
func (s *Session) readsReplicas(c *command.Command) bool {
	now := s.worker.loop.Now()
	if !c.Flags.Has(command.ReadOnly) {
		s.wrote = now
		return false
	}
	own := int64(s.pool.shared.traits.ownWrites)
	return own == 0 || s.wrote == 0 || now-s.wrote >= own
}

// reader is the node to read from in the turn: those that are fit take turns. One that has been lost since the last look at it is passed
// over; without any that can be reached, and unless the policy wants replicas alone, it is the primary.
func (ps *poolState) reader(node int, turn uint32) int {
	fit := ps.topo.readers[node]
	for range fit {
		if i := int(fit[turn%uint32(len(fit))]); ps.topo.nodes[i].Up() {
			return i
		}
		turn++
	}
	if len(fit) > 0 && ps.topo.nodes[fit[0]].Options().ReplicasOnly {
		return int(fit[turn%uint32(len(fit))])
	}
	return node
}

// rereadFrom is the node to which a read of a key of node goes the second time.
func (ps *poolState) rereadFrom(node int) int {
	if ps.topo.readers != nil {
		if fit := ps.topo.readers[node]; len(fit) > 0 && ps.topo.nodes[fit[0]].Options().ReplicasOnly {
			return ps.reader(node, ps.worker.readTurn)
		}
	}
	return node
}
