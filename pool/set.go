package pool

import "ringway/internal/loop"

// Set is all the lanes of one loop to the nodes of a pool, for one Key. A node's lane is found by the node's index.
type Set struct {
	Key   Key
	lanes []*Lane

	// Private holds the private lanes to each node that nobody uses now.
	Private [][]*Lane

	nodes []*Node
	opt   *Options
	loop  *loop.Loop
}

// NewSet returns a set without connections.
func NewSet(l *loop.Loop, nodes []*Node, key Key, opt *Options) *Set {
	return &Set{Key: key, lanes: make([]*Lane, len(nodes)), Private: make([][]*Lane, len(nodes)), nodes: nodes, opt: opt, loop: l}
}

// Lane returns the lane to node i.
func (s *Set) Lane(i int) *Lane {
	if la := s.lanes[i]; la != nil {
		return la
	}
	la := s.NewLane(i)
	s.lanes[i] = la
	return la
}

// NewLane returns a lane to node i that belongs to the caller.
func (s *Set) NewLane(i int) *Lane { return NewLane(s.loop, s.nodes[i], i, s.Key, s.opt) }

// Each calls f for every lane that exists, but for private ones in use.
func (s *Set) Each(f func(*Lane)) {
	for _, la := range s.lanes {
		if la != nil {
			f(la)
		}
	}
	for _, free := range s.Private {
		for _, la := range free {
			f(la)
		}
	}
}
