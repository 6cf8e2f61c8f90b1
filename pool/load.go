package pool

import "slices"

// Load bounds what one loop has in flight to a node, on all its shared lanes. Private lanes are not among them: what blocks is no work that
// a node is behind with.
//
// Nothing is counted for it that is not there anyhow: the lanes' queues know their lengths. Loops don't look at each other's, which would
// cost each request a trip through memory that all of them write; so a bound for the node is divided between the loops.
type Load struct {
	lanes     []*Lane
	bounded   bool
	most      int // requests, beyond which further ones are refused; 0: no bound
	mostBytes int // of requests, likewise
}

var unbounded Load // of private lanes

// Bound sets the bounds, of which 0 is none.
func (l *Load) Bound(requests, bytes int) {
	if l.mostBytes == 0 {
		for _, la := range l.lanes {
			la.weighing = false
		}
	}
	l.most, l.mostBytes = requests, bytes
	l.bounded = requests > 0 || bytes > 0
}

// carry counts a new lane from now on.
func (l *Load) carry(la *Lane) {
	l.lanes = append(l.lanes, la)
	la.load, la.weighing = l, l.mostBytes > 0
}

func (l *Load) drop(la *Lane) {
	l.lanes = slices.DeleteFunc(l.lanes, func(x *Lane) bool { return x == la })
}

func (l *Load) inFlight() (requests, bytes int) {
	for _, la := range l.lanes {
		requests += la.waiting.len()
		bytes += la.waiting.bytes
	}
	return requests, bytes
}

func (l *Load) over() bool {
	requests, bytes := l.inFlight()
	return l.most > 0 && requests >= l.most || l.mostBytes > 0 && bytes >= l.mostBytes
}
