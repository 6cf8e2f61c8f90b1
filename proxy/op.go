package proxy

import (
	"bytes"
	"fmt"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// op is a request, or a part of one, whose keys move, on its way. Those of a session form a queue: runs of reads and runs of writes.
// A read begins when all writes before it have been sent to their new nodes; a write begins when all reads before it are answered.
// What a run has to ask of old nodes it asks at once, and its writes go to their new nodes in the order of the queue.
type op struct {
	s       *Session
	tag     uint64
	mv      *moving
	c       *command.Command
	set     *pool.Set
	node    int
	request []byte   // lent by the loop
	keys    []string // those that move
	class   opClass
	reads   bool
	state   opState
	pending int
	failed  string
	gone    []bool // by key: what was removed from its old node was there
	count   int64

	head    []byte // the beginning of a reply, while it does not tell yet whether it is nil
	decided bool
	short   bool // keys are missing
	again   bool // they have been moved: what the node says now is the answer

	launch func() // sends it, if that is not just putting it on the lane
	undo   func() // if it is not launched
}

type opClass uint8

const (
	opGet opClass = iota
	opRead
	opSet // what was there before does not matter
	opDel
	opModify
)

type opState uint8

const (
	opWaits opState = iota
	opBegun
	opReady
	opSent
	opDone
)

// Tags of an op's own requests.
const (
	opLooks = iota << 32
	opAnswers
	opVoids
	opHas
	opDeletes
)

// classOf says what a request does with what its keys hold.
func classOf(c *command.Command, a *resp.Args) opClass {
	switch c.Name {
	case "get":
		return opGet
	case "del", "unlink":
		return opDel
	case "setex", "psetex", "mset":
		return opSet
	case "set":
		for i := 3; i < a.Len(); i++ {
			switch o := a.At(i); {
			case equalFold(o, "ex"), equalFold(o, "px"), equalFold(o, "exat"), equalFold(o, "pxat"):
				i++
			default:
				return opModify
			}
		}
		return opSet
	}
	if c.Flags.Has(command.ReadOnly) {
		return opRead
	}
	return opModify
}

// newOp makes an op of a request, whose buffer becomes its own.
func (s *Session) newOp(mv *moving, c *command.Command, tag uint64, node int, request []byte) (o *op, mixed bool) {
	o = &op{s: s, tag: tag, mv: mv, c: c, set: s.set, node: node, request: request, class: opModify}
	s.eachKey(request, func(key []byte) {
		if mv.moves(key) {
			o.keys = append(o.keys, string(key))
		} else {
			mixed = true
		}
	})
	scan := s.worker.takeScanner(&s.pool.shared.limits)
	if n, err := scan.Scan(request); err == nil && n > 0 {
		o.class = classOf(c, &scan.Args)
	} else {
		scan.Reset()
	}
	s.worker.giveScanner(scan)
	o.reads = o.class <= opRead
	return o, mixed
}

// roomFor reports whether the lanes that a key's move or void needs have room. If not, the parser has been stopped.
func (s *Session) roomFor(mv *moving, key []byte) bool {
	for _, node := range [...]int{mv.to(key), mv.from(key)} {
		if lane := s.set.Lane(node); lane.Full() {
			return s.waitFor(lane)
		}
	}
	return true
}

// forwardMoving takes a request that one node answers.
func (s *Session) forwardMoving(mv *moving, c *command.Command, scan *resp.RequestScanner, b []byte) (dealt, taken bool) {
	a := &scan.Args
	node, keyed, ok := s.ownerOf(c, a)
	if !keyed || !ok {
		return false, true
	}
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	any := false
	for _, k := range keys {
		if !mv.moves(a.At(k)) {
			continue
		}
		any = true
		if !s.roomFor(mv, a.At(k)) {
			return true, false
		}
	}
	if !any || mv.kind == warmDrain && c.Flags.Has(command.ReadOnly) && len(s.ops) == 0 {
		return false, true
	}
	if c.Name == "move" || c.Name == "copy" && hasOption(a, 3, "db") { // what the other database has is not brought
		s.refuse(metrics.BadCommand, fmt.Sprintf(errCantMove, c.Name, s.pool.shared.cfg.Name))
		return true, true
	}
	if runsDigest(c) {
		s.worker.server.scripts.tell(s.set.Lane(node), a.At(1))
	}
	seq := s.tail
	s.open(c)
	s.inFlight++
	o, mixed := s.newOp(mv, c, tagOf(seq, 0), node, s.worker.loop.Append(nil, scan.Bytes(b)))
	if mixed { // what comes behind for a key that stays must not overtake
		s.stall(metrics.StallBarrier)
	}
	s.enqueue(o)
	return true, true
}

// privateMoving takes a request that needs a lane of its own.
func (s *Session) privateMoving(mv *moving, c *command.Command, scan *resp.RequestScanner, b []byte) (dealt, taken bool) {
	a := &scan.Args
	node, keyed, ok := s.ownerOf(c, a)
	watches := c.Name == "watch"
	if !keyed || !ok || watches && (s.tx != nil || s.watch.lane != nil && node != s.watch.node) {
		return false, true
	}
	if !s.barrier() {
		return true, false
	}
	request := s.worker.loop.Append(nil, scan.Bytes(b))
	o, _ := s.newOp(mv, c, tagOf(s.tail, 0), node, request)
	o.class, o.reads = opModify, false
	if len(o.keys) == 0 {
		s.worker.loop.Release(request)
		return false, true
	}
	lane := s.watch.lane
	if !watches || lane == nil {
		if lane = s.takePrivate(node); lane == nil {
			s.worker.loop.Release(request)
			return true, true
		}
		o.undo = func() { s.pool.givePrivate(o.set, lane) }
	}
	awaits := a.At(s.worker.keys[:1][0])
	awaits = bytes.Clone(awaits)
	seq := s.tail
	s.open(c)
	s.inFlight++
	s.stall(metrics.StallBarrier)
	o.launch = func() {
		s.slot(seq).private = true
		if watches && s.watch.lane == nil {
			s.watch = watch{lane: lane, node: node, lost: lane.Lost()}
		}
		if !watches {
			s.blocked = []*pool.Lane{lane}
			s.awaits = append(s.awaits[:0], awaits...)
			s.conn.WatchEnd(true)
			lane.Patient = true
			askNumber(lane)
		}
		o.unmark(lane)
		if !watches { // a later change may free it
			bl := &blocking{s: s, seq: seq, request: bytes.Clone(o.request)}
			s.blocks = bl
			lane.Send(o.request, bl, 0)
			o.finish()
			return
		}
		lane.Send(o.request, o, opAnswers)
	}
	s.enqueue(o)
	return true, true
}

// execMoving sends a transaction whose keys move.
func (s *Session) execMoving(mv *moving, c *command.Command) (dealt, taken bool) {
	tx := s.tx
	if tx == nil || tx.dirty || tx.count == 0 || !s.anyMoves(mv, tx.batch) {
		return false, true
	}
	if tx.topo != s.pool.topo && !s.findAgain(tx) {
		return false, true
	}
	if s.watch.lane != nil && (s.watch.lane.Lost() != s.watch.lost || tx.node >= 0 && tx.node != s.watch.node) {
		return false, true // it is refused
	}
	node := tx.node
	lane := s.set.Lane(node)
	if s.watch.lane != nil {
		if lane = s.watch.lane; !s.barrier() {
			return true, false
		}
	} else if lane.Full() {
		return true, s.waitFor(lane)
	}
	seq := s.tail
	s.open(c)
	s.inFlight++
	o, mixed := s.newOp(mv, c, tagOf(seq, 0), node, s.worker.loop.Append(nil, tx.batch))
	o.class, o.reads = opModify, false
	watched := s.watch.lane != nil
	if watched {
		o.undo = s.unwatch
	}
	if mixed || watched {
		s.stall(metrics.StallBarrier)
	}
	o.launch = func() {
		if watched {
			if s.watch.lane != lane || lane.Lost() != s.watch.lost {
				s.Reply(o.tag, '*', resp.AppendNullArray(nil, s.resp3), true)
				s.unwatch()
				o.finish()
				return
			}
			s.slot(seq).private = true
			s.watch.ending = true
		}
		o.unmark(lane)
		tx.send(&s.worker.server.scripts, lane, tx.batch, o, opAnswers)
	}
	s.endTransaction()
	s.enqueue(o)
	return true, true
}

// enqueue puts an op at the end of the session's queue.
func (s *Session) enqueue(o *op) {
	s.ops = append(s.ops, o)
	s.pump()
}

// pump lets ops begin and be sent. A write that voids a key waits for those before it that want what the old node has of it.
func (s *Session) pump() {
	writesSent, readsDone := true, true
	var wanted map[string]struct{}
	for i := 0; i < len(s.ops); i++ {
		o := s.ops[i]
		if o.reads {
			if o.state == opWaits && writesSent {
				o.look()
			}
			readsDone = readsDone && o.state == opDone
			continue
		}
		if o.state == opWaits && readsDone && (o.class == opModify || !o.wants(wanted)) {
			o.prepare()
		}
		if o.state == opReady && writesSent {
			o.send()
		}
		if o.class == opModify && o.state < opSent && i+1 < len(s.ops) {
			if wanted == nil {
				wanted = map[string]struct{}{}
			}
			for _, k := range o.keys {
				wanted[k] = struct{}{}
			}
		}
		writesSent = writesSent && o.state >= opSent
	}
	n := 0
	for n < len(s.ops) && s.ops[n].state == opDone {
		s.ops[n] = nil
		n++
	}
	if s.ops = s.ops[n:]; len(s.ops) == 0 {
		s.ops = nil
	}
}

// wants reports whether one of the op's keys is in a set.
func (o *op) wants(keys map[string]struct{}) bool {
	for _, k := range o.keys {
		if _, is := keys[k]; is {
			return true
		}
	}
	return false
}

// warm reports whether the op may move keys still. Once the loop drains it voids.
func (o *op) warm() bool {
	cur := o.s.pool.topo.moving
	return cur != nil && cur.kind == warmWarm && cur.next == o.mv.next && cur.old == o.mv.old
}

// finish is the end of an op that is answered.
func (o *op) finish() {
	o.state = opDone
	o.s.worker.loop.Release(o.request)
	o.request = nil
	o.s.worker.loop.Defer(o.s.pump) // a lane is in the middle of handing a reply over
}

// fail answers an op that has not been sent to its new node.
func (o *op) fail(reason string) {
	if o.state == opDone {
		return
	}
	if o.undo != nil {
		o.undo()
	}
	if !o.s.conn.Closed() {
		o.s.failNow(o.tag, reason)
	}
	o.finish()
}
