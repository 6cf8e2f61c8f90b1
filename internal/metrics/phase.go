package metrics

import "math/bits"

// A request's time has three phases. Each begins and ends with a turn of a loop, or with a turn's writes, so that no request asks for the time:
//
//	turn that read it   the lane is written      turn that had the reply      the client is written
//	      |---- queued ---------|------- at node ---------|--------- write ------------|
type Phases struct {
	Queued Phase // until it was written to the node: the turn's work, a connection that was being made, a node that did not take it
	AtNode Phase // until the whole reply had come
	Write  Phase // until the reply was written: replies that come before it, a client that does not read
}

// Phase is a histogram of durations whose bounds double, from 16 us to 4.3 s: a loop has three of them for each node.
type Phase struct {
	Buckets [PhaseBuckets]uint64
	Sum     uint64 // nanoseconds
}

const (
	firstPhaseBits = 14
	PhaseBuckets   = 20
)

// Observe counts n durations of ns nanoseconds. What is negative is nothing: a turn's writes come after its beginning.
func (p *Phase) Observe(ns int64, n uint64) {
	if ns < 0 {
		ns = 0
	}
	p.Sum += uint64(ns) * n
	p.Buckets[min(bits.Len64(uint64(ns)>>firstPhaseBits), PhaseBuckets-1)] += n
}

// phaseBound returns where a bucket ends, in nanoseconds. The last has all the rest.
func phaseBound(i int) uint64 { return 1 << (firstPhaseBits + i) }

func (p *Phase) add(o *Phase) {
	for i, n := range o.Buckets {
		p.Buckets[i] += n
	}
	p.Sum += o.Sum
}

func (p *Phases) add(o *Phases) {
	p.Queued.add(&o.Queued)
	p.AtNode.add(&o.AtNode)
	p.Write.add(&o.Write)
}
