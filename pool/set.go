package pool

import (
	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// Set is all the lanes of one loop to the nodes of a pool, for one Key. A node's lane is found by the node's index, which stays the
// node's as long as the process lives.
type Set struct {
	Key   Key
	lanes []*Lane

	// Private holds the private lanes to each node that nobody uses now.
	Private [][]*Lane

	leaving map[*Lane]struct{} // they take no more requests, and close when all they carry is answered
	nodes   []*Node
	loop    *loop.Loop
	counted func(index int) *metrics.Node // where a lane that is closed leaves its counters
	load    func(index int) *Load
	clock   *Clock
}

// NewSet returns a set without connections. counted gives the shard of a node, load what this loop has in flight to it.
func NewSet(l *loop.Loop, nodes []*Node, key Key, counted func(index int) *metrics.Node, load func(index int) *Load) *Set {
	s := &Set{Key: key, loop: l, counted: counted, load: load}
	s.Follow(nodes)
	return s
}

// Time has the lanes tell a clock, which knows all nodes, or none any more.
func (s *Set) Time(c *Clock) {
	s.clock = c
	s.Each(func(la *Lane) { la.time(c) })
}

// Follow takes over a list of nodes that begins with those of the list before. Lanes whose node has moved or has other settings go
// along with it. The result is how many private lanes were closed.
func (s *Set) Follow(nodes []*Node) (closed int) {
	s.nodes = nodes
	for len(s.lanes) < len(nodes) {
		s.lanes = append(s.lanes, nil)
		s.Private = append(s.Private, nil)
	}
	for i, la := range s.lanes {
		if la != nil && la.Stale() {
			s.follow(i, la)
		}
		kept := s.Private[i][:0]
		for _, la := range s.Private[i] {
			if la.Stale() {
				s.Discard(la)
				closed++
			} else {
				kept = append(kept, la)
			}
		}
		s.Private[i] = kept
	}
	return closed
}

// follow brings the shared lane of a node where the node is now. A lane that is not connected has sent nothing of what it holds, and takes
// it along; one that is connected finishes where it is.
func (s *Set) follow(i int, la *Lane) {
	if la.state != ready {
		la.redial()
		return
	}
	s.lanes[i] = nil
	s.retire(la)
}

// Retire takes the lanes of a node that has left out of use. What they carry is answered still. The result is how many private lanes were
// closed.
func (s *Set) Retire(i int) (closed int) {
	if la := s.lanes[i]; la != nil {
		s.lanes[i] = nil
		s.retire(la)
	}
	return s.discardPrivate(i)
}

func (s *Set) discardPrivate(i int) (closed int) {
	closed = len(s.Private[i])
	for _, la := range s.Private[i] {
		s.Discard(la)
	}
	s.Private[i] = nil
	return closed
}

// Abandon has the lanes of a node that was found to be down give it up. The result is how many private lanes were closed.
func (s *Set) Abandon(i int, reason string) (closed int) {
	if la := s.lanes[i]; la != nil {
		la.Abandon(reason)
	}
	return s.discardPrivate(i)
}

// Retry has the lane of a node that may be back try so.
func (s *Set) Retry(i int) {
	if la := s.lanes[i]; la != nil {
		la.Retry()
	}
}

// Served reports whether the shared lane speaks for its node: see Lane.Served.
func (s *Set) Served(i int, since int64, silent bool) bool {
	return s.lanes[i] != nil && s.lanes[i].Served(since, silent)
}

// Reroute hands back what waits on lanes that are not connected: its keys may be elsewhere now.
func (s *Set) Reroute() {
	for _, la := range s.lanes {
		if la != nil {
			la.Reroute()
		}
	}
}

func (s *Set) retire(la *Lane) {
	if s.leaving == nil {
		s.leaving = map[*Lane]struct{}{}
	}
	s.leaving[la] = struct{}{}
	la.retire(func() {
		delete(s.leaving, la)
		s.Discard(la)
	})
}

// Lane returns the lane to node i.
func (s *Set) Lane(i int) *Lane {
	if la := s.lanes[i]; la != nil {
		return la
	}
	la := s.NewLane(i)
	s.load(i).carry(la)
	s.lanes[i] = la
	return la
}

// Present returns the lane to node i, nil if there has been no need for it yet.
func (s *Set) Present(i int) *Lane {
	if i >= len(s.lanes) {
		return nil
	}
	return s.lanes[i]
}

// NewLane returns a lane to node i that belongs to the caller, who gives it to Discard in the end.
func (s *Set) NewLane(i int) *Lane {
	la := NewLane(s.loop, s.nodes[i], i, s.Key)
	la.time(s.clock)
	return la
}

// Discard closes a lane for good. What it has counted is kept.
func (s *Set) Discard(la *Lane) {
	la.Close()
	if la.load != &unbounded {
		la.load.drop(la)
	}
	la.addCounters(s.counted(la.Index))
}

// DiscardLater is Discard for a lane that may be in the middle of handing a reply over.
func (s *Set) DiscardLater(la *Lane) { s.loop.Defer(func() { s.Discard(la) }) }

// GiveUp closes the connections of all lanes, but for private ones in use: what waits on them fails.
func (s *Set) GiveUp(reason string) {
	var all []*Lane
	s.Each(func(la *Lane) { all = append(all, la) })
	for _, la := range all {
		la.GiveUp(reason)
	}
}

// Idle reports whether no lane has anything to do, but for private ones in use.
func (s *Set) Idle() bool {
	idle := true
	s.Each(func(la *Lane) { idle = idle && la.waiting.len() == 0 })
	return idle
}

// Each calls f for every lane that exists, but for private ones in use.
func (s *Set) Each(f func(*Lane)) {
	for _, la := range s.lanes {
		if la != nil {
			f(la)
		}
	}
	for la := range s.leaving {
		f(la)
	}
	for _, free := range s.Private {
		for _, la := range free {
			f(la)
		}
	}
}
