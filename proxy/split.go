package proxy

import (
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// split is a request under way in parts, one a node: a multi-key request, or one that all nodes are asked. The parts are in the order of their first keys, and
// the keys of a part in the order of the request, so that merging walks each part's reply once, from front to back.
type split struct {
	merge   command.Merge
	parts   []part
	owners  []uint16 // of each key, the part it is in
	pending int      // parts without a reply
	weight  int      // what it counts in the client's window
	failed  bool     // a part's reply is an error
	lost    bool     // that error is ours: the node could not be reached
	resp3   bool

	gather *gathering // a request that is answered from what its parts bring
	topo   *topology
}

type part struct {
	node    int
	group   int    // what its keys have in common: the node, or the slot
	count   int    // keys
	bytes   int    // of the keys with what belongs to them
	moving  bool   // its keys are on their way to the node
	looked  bool   // the detector was shown its one key
	form    *form  // what is asked instead of it, and may be answered without the node; nil: nothing (mget.go)
	tooMuch bool   // the reply is dropped as it comes, and an error stands for it
	out     []byte // the lane's output, while the part is written; or a buffer of its own
	again   *again // the request, if it may have to be sent once more
	reply   []byte // lent by the loop; an error if it begins with '-'
	rest    []byte // of the reply, while merging
}

// takeSplit lends an empty split.
func (w *worker) takeSplit() *split {
	if n := len(w.freeSplits); n > 0 {
		sp := w.freeSplits[n-1]
		w.freeSplits = w.freeSplits[:n-1]
		return sp
	}
	return &split{}
}

// release gives a split and what it holds back.
func (sp *split) release(w *worker) {
	for i := range sp.parts {
		w.loop.Release(sp.parts[i].reply)
		w.forgetAgain(sp.parts[i].again)
		sp.parts[i] = part{}
	}
	*sp = split{parts: sp.parts[:0], owners: sp.owners[:0]}
	if cap(sp.owners) <= 4096 && len(w.freeSplits) < 256 {
		w.freeSplits = append(w.freeSplits, sp)
	}
}

// split sends each node the part of the request that concerns its keys. If that is one node, it gets the request as it came.
func (s *Session) split(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	if c.Merge == command.MergeSorted {
		return s.sort(c, scan, b)
	}
	a := &scan.Args
	step := max(c.Step, 1)
	if (a.Len()-1)%step != 0 {
		s.refuse(metrics.BadCommand, command.WrongArity(c))
		return true
	}
	w := s.worker
	sp := w.takeSplit()
	sp.merge, sp.weight, sp.resp3 = c.Merge, (a.Len()-1)/step, s.resp3
	mv := s.pool.topo.moving
	if mv != nil && (mv.kind == warmHold || mv.kind == warmDrain && c.Flags.Has(command.ReadOnly) && len(s.ops) == 0) {
		mv = nil
	}
	if mv != nil {
		for len(s.pool.partOf) < 2*len(s.pool.topo.nodes) {
			s.pool.partOf = append(s.pool.partOf, 0)
		}
	}
	partOf := s.pool.partOf // by node, or by slot in front of a Redis Cluster: its part's index plus one
	for i := 1; i < a.Len(); i += step {
		node, group := s.pool.place(a.At(i))
		moves := mv != nil && mv.moves(a.At(i))
		if moves { // keys that move and keys that stay are parts of their own
			group += len(s.pool.topo.nodes)
		}
		p := partOf[group]
		if p == 0 {
			sp.parts = append(sp.parts, part{node: node, group: group, moving: moves})
			p = uint16(len(sp.parts))
			partOf[group] = p
		}
		sp.parts[p-1].count++
		sp.parts[p-1].bytes += end(a, i+step-1) - end(a, i-1)
		sp.owners = append(sp.owners, p-1)
	}
	for i := range sp.parts {
		partOf[sp.parts[i].group] = 0
	}
	if s.pool.topo.readers != nil {
		s.readPartsFrom(c, sp)
	}
	for i := range sp.parts {
		if lane := s.set.Lane(sp.parts[i].node); lane.Busy() {
			sp.release(w)
			return s.putOff(lane)
		}
	}
	hot := s.lookAtParts(c, sp, a, step)
	if len(sp.parts) == 1 && !sp.parts[0].moving && !hot {
		node := sp.parts[0].node
		sp.release(w)
		return s.send(c, node, scan.Bytes(b))
	}
	s.sendParts(c, sp, a, scan.Bytes(b), step)
	return true
}

// sendParts writes the parts. A key with what belongs to it stands in the request just as it will in the part, so it is
// copied in one piece, lengths and all.
func (s *Session) sendParts(c *command.Command, sp *split, a *resp.Args, request []byte, step int) {
	inTurn := s.inTurn()
	seq := s.tail
	sl := s.open(c)
	sl.split, sp.topo = sp, s.pool.topo
	sp.pending = len(sp.parts)
	s.inFlight += sp.weight
	s.pool.stats.FanOut(len(sp.parts))
	name := a.At(0)
	// Each part has a buffer of its own if it is kept or stripped, and where two may be for one lane.
	own := s.pool.keeps != keepNothing || s.pool.extras.strips || s.pool.topo.readers != nil
	for i := range sp.parts {
		p := &sp.parts[i]
		if p.form != nil && !own {
			continue // nothing of it is sent
		}
		if room := p.bytes + len(name) + 64; own || p.moving {
			p.out = s.worker.loop.Buffer(room)
		} else {
			p.out = s.set.Lane(p.node).Extend(room)
		}
		p.out = resp.AppendBulk(resp.AppendArray(p.out, 1+p.count*step), name)
	}
	from := end(a, 0)
	for k, o := range sp.owners {
		to := end(a, (k+1)*step)
		if p := &sp.parts[o]; p.out != nil {
			p.out = append(p.out, request[from:to]...)
		}
		from = to
	}
	for i := range sp.parts {
		p := &sp.parts[i]
		if p.moving {
			o, _ := s.newOp(s.pool.topo.moving, c, tagOf(seq, i), p.node, p.out)
			p.out = nil
			s.ops = append(s.ops, o)
			continue
		}
		lane := s.set.Lane(p.node)
		if p.form != nil {
			if own {
				p.again = s.keepPart(c, p)
			}
			p.out = nil
			continue
		}
		if own {
			lane.Append(s.outgoing(p.out))
			p.again = s.keepPart(c, p)
		} else {
			lane.Commit(p.out)
		}
		p.out = nil
		lane.ExpectAs(classes[c.ID], s, tagOf(seq, i))
	}
	if len(s.ops) > 0 {
		s.pump()
	}
	s.askForms(seq, sl, inTurn)
}

// end returns where argument i and its CRLF end in the request. Spans and request begin at the same byte, for an inline
// request too: its arguments point into the array it was turned into.
func end(a *resp.Args, i int) int {
	sp := a.Spans[i]
	return int(sp.Off+sp.Len) + 2
}

// replyPart takes the next bytes of a part's reply.
func (s *Session) replyPart(seq uint32, sl *slot, i int, kind byte, b []byte, done bool) {
	p := &sl.split.parts[i]
	if p.again != nil && done {
		if s.comesBack(tagOf(seq, i), sl, p.reply, kind, b) {
			return
		}
	} else if done && s.retrying != nil {
		s.carriedOut(tagOf(seq, i), sl, nil)
	}
	if p.form != nil {
		b = s.asOfMGet(p, kind, b)
	}
	if !p.tooMuch {
		p.reply = s.worker.loop.Append(p.reply, b)
		s.held += len(b)
	}
	if sl.split.gather != nil && s.held > maxGathered {
		p.tooMuch = true
		s.held -= len(p.reply)
		p.reply = resp.AppendError(s.worker.emptied(p.reply), errGathered)
		s.held += len(p.reply)
		sl.split.failed = true
	}
	if done {
		if p.form != nil {
			kind = s.nullIfWrongType(p, kind)
		}
		if kind == '-' || kind == '!' {
			sl.split.failed = true
		}
		s.partDone(seq, sl)
	}
}

// failPart puts an error in the place of a part's reply.
func (s *Session) failPart(seq uint32, sl *slot, i int, reason string) {
	p := &sl.split.parts[i]
	s.held -= len(p.reply)
	p.reply = resp.AppendError(s.worker.emptied(p.reply), reason)
	s.held += len(p.reply)
	sl.split.failed, sl.split.lost = true, true
	s.partDone(seq, sl)
}

// partDone merges when the last part is in. If the slot is the head, the merged reply goes straight to the client.
func (s *Session) partDone(seq uint32, sl *slot) {
	sp := sl.split
	if sp.pending--; sp.pending > 0 {
		return
	}
	if sp.gather != nil {
		s.finishGather(seq, sl)
		return
	}
	size := 0
	for i := range sp.parts {
		size += len(sp.parts[i].reply)
	}
	s.held -= size
	kind := byte(0)
	if seq == s.head && !sl.mute {
		out := s.conn.Extend(size + 32)
		at := len(out)
		out = sp.appendMerged(out)
		kind, size = out[at], len(out)-at
		s.lookedUp(sl, kind, out[at:])
		s.conn.Commit(out)
	} else {
		sl.buf = sp.appendMerged(s.worker.loop.Buffer(size + 32))
		kind, size = sl.buf[0], len(sl.buf)
		s.lookedUp(sl, kind, sl.buf)
		s.held += size
	}
	if kind == '-' && !sp.failed {
		s.pool.stats.Errors[metrics.Merge]++
	}
	if sp.lost || !sp.failed {
		kind = 0 // counted where it came from
	}
	sl.split = nil
	sl.state = answered
	s.count(sl, kind, size, sp.weight)
	sl.answeredBy = min(sl.answeredBy, manyNodes)
	sp.release(s.worker)
	if seq == s.head {
		s.sendAnswered()
	}
}
