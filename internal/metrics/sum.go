package metrics

// Sum adds the shards of one pool. It returns nil if there are none: the loops have ended.
func Sum(shards []Pool) *Pool {
	if len(shards) == 0 {
		return nil
	}
	sum := shards[0].Clone()
	for i := range shards[1:] {
		sum.add(&shards[i+1])
	}
	return &sum
}

func (p *Pool) add(q *Pool) {
	for i, n := range q.Requests {
		p.Requests[i] += n
	}
	p.Unknown += q.Unknown
	for i, n := range q.Errors {
		p.Errors[i] += n
	}
	for i, n := range q.Denials {
		p.Denials[i] += n
	}
	for i, n := range q.Stalls {
		p.Stalls[i] += n
	}
	for i, n := range q.Retries {
		p.Retries[i] += n
	}
	for i, n := range q.Moves {
		p.Moves[i] += n
	}
	p.Voids += q.Voids
	p.Slow += q.Slow
	m, o := &p.Migration, &q.Migration // one shard has them
	m.On = m.On || o.On
	m.Mode += o.Mode
	m.Members += o.Members
	m.Lapses += o.Lapses
	m.Held += o.Held
	p.Latency.add(&q.Latency)
	AddHistograms(p.Commands, q.Commands)
	p.Parts += q.Parts
	p.Lookups.AddAll(q.Lookups)
	p.addPrefixes(q)
	p.Widths.add(&q.Widths)
	p.Write.add(&q.Write)
	p.HotKeys += q.HotKeys
	p.HotShare += q.HotShare // one shard has it
	p.Promotions += q.Promotions
	p.Demotions += q.Demotions
	p.Collapsed += q.Collapsed
	p.Near += q.Near
	p.NearBytes += q.NearBytes
	p.CopyReads += q.CopyReads
	p.CopyMisses += q.CopyMisses
	p.Populates += q.Populates
	p.PopulateErrors += q.PopulateErrors
	p.Validations += q.Validations
	p.Invalidations += q.Invalidations
	p.Trackers += q.Trackers
	p.LeaseAge += q.LeaseAge
	p.Mirrored += q.Mirrored
	p.MirrorDropped += q.MirrorDropped
	p.MirrorErrors += q.MirrorErrors
	for i, n := range q.Faults {
		p.Faults[i] += n
	}
	for i, n := range q.Traces {
		p.Traces[i] += n
	}
	for i, n := range q.Handshakes {
		p.Handshakes[i] += n
	}
	p.ClientMemory += q.ClientMemory
	p.LaneMemory += q.LaneMemory
	p.SketchMemory += q.SketchMemory
	p.Clients += q.Clients
	p.Accepted += q.Accepted
	p.BytesIn += q.BytesIn
	p.BytesOut += q.BytesOut
	p.Grow(len(q.Nodes)) // the loops learn of a new node one after the other
	for i := range q.Nodes {
		p.Nodes[i].add(&q.Nodes[i])
	}
}

func (h *Histogram) add(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Sum += o.Sum
}

// add leaves a node up that one loop says is up: the loops share what they know of that, but are asked one by one.
func (n *Node) add(o *Node) {
	n.Up = n.Up || o.Up
	n.Ejected = n.Ejected || o.Ejected
	for i := range n.Ejections {
		n.Ejections[i] += o.Ejections[i]
	}
	n.EjectedAt += o.EjectedAt
	n.FailedChecks += o.FailedChecks
	n.Lanes += o.Lanes
	n.Depth += o.Depth
	n.Walked += o.Walked
	n.Walk += o.Walk
	n.Unsent += o.Unsent
	n.Requests += o.Requests
	n.BytesIn += o.BytesIn
	n.BytesOut += o.BytesOut
	n.Connects += o.Connects
	n.ConnectErrors += o.ConnectErrors
	n.Losses += o.Losses
	n.Timeouts += o.Timeouts
	n.Garbage += o.Garbage
	n.Sheds += o.Sheds
	n.Phases.add(&o.Phases)
}

func (l *Loop) add(o *Loop) {
	l.Turns += o.Turns
	l.Panics += o.Panics
	l.AcceptFailures += o.AcceptFailures
}
