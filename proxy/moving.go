package proxy

import (
	"bytes"
	"fmt"
	"time"

	"ringway/hashring"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// moving is in a topology while keys are on their way from an old ring to the next, or nothing may be served.
//
//	none   all requests wait
//	hold   those for keys that move wait; the topology is that of the old ring
//	warm   reads look at the new node and have the key moved if it is not there; writes void the old node first
//	drain  reads ask the new node alone; writes void the old node first
type moving struct {
	kind      warmKind
	old, next *hashring.Ring
	oldNodes  []uint16 // by the ring's index
	nextNodes []uint16
	lease     *lease
	t         *timings
	why       func() *string // why nothing is served
}

func (mv *moving) from(key []byte) int { return int(mv.oldNodes[mv.old.Find(key)]) }
func (mv *moving) to(key []byte) int   { return int(mv.nextNodes[mv.next.Find(key)]) }

// moves reports whether a key changes its node.
func (mv *moving) moves(key []byte) bool { return mv.kind == warmNone || mv.from(key) != mv.to(key) }

const (
	errMoving     = "TRYAGAIN the keys of the request are on their way to another node"
	errBusyMoving = "TRYAGAIN another router has been moving the key for too long"
	errCantMove   = "ERR '%s' can't be carried out while keys of pool %s are moving"
	errNobody     = "ERR pool %s waits for its other Ringways: %s"
)

// stays reports whether a request of one key may take the short way.
func (s *Session) stays(c *command.Command, key []byte) bool {
	mv := s.pool.topo.moving
	return !mv.moves(key) || mv.kind == warmDrain && c.Flags.Has(command.ReadOnly) && len(s.ops) == 0
}

// whileMoving takes a request while keys are moving. dealt says that it is dealt with, or must come again if it was not taken.
func (s *Session) whileMoving(mv *moving, c *command.Command, plan command.Plan, scan *resp.RequestScanner, b []byte) (dealt, taken bool) {
	if plan == command.Refuse || plan == command.Session && c.Name != "exec" || c.Name == "unwatch" {
		return false, true
	}
	a := &scan.Args
	switch mv.kind {
	case warmNone:
		return true, s.waitForOthers(mv)
	case warmHold:
		if s.touches(mv, c, plan, a) {
			s.stall(metrics.StallMigration)
			return true, false
		}
		return false, true
	}
	switch {
	case c.Name == "swapdb":
		s.refuse(metrics.BadCommand, fmt.Sprintf(errCantMove, c.Name, s.pool.shared.cfg.Name))
		return true, true
	case c.Name == "flushall", c.Name == "flushdb":
		return true, s.flushMoving(c, scan.Bytes(b))
	case c.Merge == command.MergeSorted && plan == command.Split:
		if so := (&sorting{most: -1}); so.parse(c, a) && s.pool.size() > 1 {
			s.refuse(metrics.BadCommand, fmt.Sprintf(errCantMove, c.Name, s.pool.shared.cfg.Name))
			return true, true
		}
		return s.forwardMoving(mv, c, scan, b)
	case plan == command.Forward:
		return s.forwardMoving(mv, c, scan, b)
	case c.Name == "watch" || plan == command.Private && c.Flags.Has(command.Blocking):
		return s.privateMoving(mv, c, scan, b)
	case c.Name == "exec":
		return s.execMoving(mv, c)
	}
	return false, true
}

func hasOption(a *resp.Args, from int, option string) bool {
	for i := from; i < a.Len(); i++ {
		if equalFold(a.At(i), option) {
			return true
		}
	}
	return false
}

// touches reports whether a request has to wait until all Ringways hold.
func (s *Session) touches(mv *moving, c *command.Command, plan command.Plan, a *resp.Args) bool {
	if c.Name == "exec" {
		return s.tx != nil && s.anyMoves(mv, s.tx.batch)
	}
	if plan == command.Broadcast || c.Name == "swapdb" {
		return c.Flags.Has(command.Write)
	}
	if c.Merge == command.MergeSorted { // what its patterns name is not known yet
		return true
	}
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	for _, k := range keys {
		if mv.moves(a.At(k)) {
			return true
		}
	}
	return false
}

// waitForOthers stops the parser until something may be served, for as long as a node is waited for. Behind that requests fail.
func (s *Session) waitForOthers(mv *moving) (taken bool) {
	now := s.worker.loop.Now()
	limit := s.pool.shared.cfg.Timeout
	if s.waiting == 0 {
		s.waiting = max(now, 1)
		if limit > 0 {
			s.worker.loop.SetTimer(loop.NewTimer(func() { s.relieve(metrics.StallMigration) }), limit+time.Millisecond)
		}
	}
	if limit > 0 && now-s.waiting >= int64(limit) {
		s.refuse(metrics.NodeDown, fmt.Sprintf(errNobody, s.pool.shared.cfg.Name, *mv.why()))
		return true
	}
	s.stall(metrics.StallMigration)
	return false
}

// anyMoves reports whether any of the requests, one behind the other, has a key that moves.
func (s *Session) anyMoves(mv *moving, requests []byte) bool {
	if mv.kind == warmNone {
		return true
	}
	any := false
	s.eachKey(requests, func(key []byte) { any = any || mv.moves(key) })
	return any
}

// followMoving is called when the topology has changed and one of the two, or both, has keys that move.
func (ps *poolState) followMoving(before *moving) {
	mv := ps.topo.moving
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps {
			if mv == nil || mv.kind != warmNone {
				s.waiting = 0
			}
			s.relieve(metrics.StallMigration)
			s.pump()
		}
	}
	if mv == nil || mv.kind != warmWarm {
		ps.moves.discardFree(ps)
	}
}

// giveUp fails all that is in flight: this process has lost its lease.
func (ps *poolState) giveUp() {
	const reason = "was given up: this router had lost touch with the others of the pool"
	for _, set := range ps.sets {
		set.GiveUp(reason)
	}
	for _, m := range ps.moves.under {
		if m.lane != nil {
			m.lane.GiveUp(reason)
		}
	}
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool != ps {
			continue
		}
		for _, la := range s.blocked {
			la.GiveUp(reason)
		}
		if s.watch.lane != nil {
			s.watch.lane.GiveUp(reason)
		}
		for _, o := range s.ops {
			if o.state < opSent {
				o.fail("ERR the request was given up: this router had lost touch with the others of the pool")
			}
		}
		s.pump()
	}
}

// blocking is a blocking command on its private lane, in a pool with warm scaling: a client that is freed for a hold is told nothing, and
// blocks again afterwards.
type blocking struct {
	s       *Session
	seq     uint32
	request []byte
	freed   bool
}

// sendBlocking is sendPrivate for a blocking command.
func (s *Session) sendBlocking(c *command.Command, lane *pool.Lane, request []byte) {
	bl := &blocking{s: s, seq: s.tail, request: bytes.Clone(request)}
	s.open(c).private = true
	s.inFlight++
	s.blocks = bl
	lane.Send(request, bl, 0)
	s.stall(metrics.StallBarrier)
}

func (bl *blocking) Reply(_ uint64, kind byte, b []byte, done bool) {
	s := bl.s
	if done && s.blocks == bl {
		s.blocks = nil
	}
	if !bl.freed || !done || s.conn.Closed() || !bytes.HasPrefix(b, []byte("-UNBLOCKED")) {
		s.Reply(tagOf(bl.seq, 0), kind, b, done)
		return
	}
	s.privateDone(kind)
	*s.slot(bl.seq) = slot{} // the last one: the parser stands still behind it
	s.tail--
	s.inFlight--
	in := s.worker.loop.Append(nil, bl.request)
	if s.scan != nil {
		s.scan.Reset()
		s.worker.giveScanner(s.scan)
		s.scan = nil
	}
	in = s.worker.loop.Append(in, s.in[s.off:])
	s.worker.loop.Release(s.in)
	s.in, s.off = in, 0
	s.stall(metrics.StallMigration)
	s.relieve(metrics.StallBarrier)
	if mv := s.pool.topo.moving; mv == nil || mv.kind > warmHold {
		s.relieve(metrics.StallMigration)
	}
}

func (bl *blocking) Fail(_ uint64, reason string, sent bool) {
	if bl.s.blocks == bl {
		bl.s.blocks = nil
	}
	bl.s.Fail(tagOf(bl.seq, 0), reason, sent)
}

// emptying is the wait until nothing is in flight to the nodes that give keys.
type emptying struct {
	ps      *poolState
	mv      *moving
	pending int // PINGs
	then    func()
	timer   *loop.Timer
}

// emptyOut calls then when nothing that was sent before a hold is in flight any more. If the hold ends before, it does not.
func (ps *poolState) emptyOut(then func()) {
	e := &emptying{ps: ps, mv: ps.topo.moving, then: then}
	if e.mv == nil || e.mv.kind != warmHold {
		return
	}
	e.timer = loop.NewTimer(e.look)
	gives := map[int]bool{}
	for _, n := range e.mv.oldNodes {
		gives[int(n)] = true
	}
	for _, set := range ps.sets {
		set.Each(func(la *pool.Lane) {
			if gives[la.Index] && la.Depth() > 0 {
				e.pending++
				la.Send(pingRequest, e, 0)
			}
		})
	}
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps && s.awaits != nil && len(s.blocked) == 1 && gives[s.blocked[0].Index] {
			if s.blocks != nil {
				s.blocks.freed = true
			}
			(&unblocking{blocked: s, lane: s.blocked[0], reason: "ERROR"}).try()
		}
	}
	e.look()
}

func (e *emptying) Reply(_ uint64, _ byte, _ []byte, done bool) {
	if done {
		e.pending--
	}
}

func (e *emptying) Fail(uint64, string, bool) { e.pending-- }

// look asks every millisecond: some of what is awaited tells nobody when it is over.
func (e *emptying) look() {
	if e.ps.topo.moving != e.mv && (e.ps.topo.moving == nil || e.ps.topo.moving.kind != warmHold) {
		return
	}
	busy := e.pending > 0
	for s := e.ps.worker.sessions; s != nil && !busy; s = s.next {
		if s.pool == e.ps {
			busy = s.awaits != nil && s.blocked != nil || s.watch.ending || len(s.ops) > 0
		}
	}
	if !busy {
		e.then()
		return
	}
	e.ps.worker.loop.SetTimer(e.timer, time.Millisecond)
}

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
	scan := s.worker.takeScanner(s.pool.shared.limits)
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

// look is the beginning of a read.
func (o *op) look() {
	o.state = opBegun
	lane := o.set.Lane(o.node)
	if !o.warm() {
		o.again = true
	} else if o.class == opRead {
		lane.Send(resp.AppendCommand(nil, append([]string{"EXISTS"}, o.keys...)...), o, opLooks)
	}
	lane.Send(o.request, o, opAnswers)
}

// bring has the keys moved, and the read done again.
func (o *op) bring() {
	if !o.warm() {
		o.readAgain()
		return
	}
	o.pending = len(o.keys)
	for i := range o.keys {
		o.s.pool.bring(o, i)
	}
}

func (o *op) readAgain() {
	o.again, o.head = true, nil
	o.set.Lane(o.node).Send(o.request, o, opAnswers)
}

// prepare is the beginning of a write: the old node is voided, or the key brought.
func (o *op) prepare() {
	o.state = opBegun
	o.pending = len(o.keys)
	if o.gone == nil {
		o.gone = make([]bool, len(o.keys))
	}
	if o.pending == 0 {
		o.state = opReady
		return
	}
	for i, k := range o.keys {
		if o.class == opModify && o.warm() {
			o.set.Lane(o.node).Send(resp.AppendCommand(nil, "EXISTS", k), o, opHas|uint64(i))
		} else {
			o.void(i)
		}
	}
}

// void removes what the old node has.
func (o *op) void(i int) {
	o.s.pool.stats.Voids++
	k := o.keys[i]
	o.set.Lane(o.mv.from([]byte(k))).Send(resp.AppendCommand(nil, "UNLINK", k), o, opVoids|uint64(i))
}

// moved is told what has become of the key i, which was to be moved.
func (o *op) moved(i, result int, reason string) {
	if o.state == opDone {
		return
	}
	if o.reads {
		if o.pending--; o.pending == 0 {
			o.readAgain()
		}
		return
	}
	if cur := o.s.pool.topo.moving; result < 0 && !o.warm() && (cur == nil || cur.kind == warmDrain) {
		o.void(i)
		return
	}
	if result < 0 && o.failed == "" {
		o.failed = reason
	}
	o.oneDone()
}

func (o *op) oneDone() {
	if o.pending--; o.pending > 0 || o.state != opBegun {
		return
	}
	if o.failed != "" {
		o.fail(o.failed)
		return
	}
	o.state = opReady
	o.s.worker.loop.Defer(o.s.pump)
}

// unmark removes the markers of the keys: whoever holds an older value of one in his hand drops it.
func (o *op) unmark(lane *pool.Lane) {
	b := resp.AppendArray(o.s.worker.scratch[:0], 1+len(o.keys))
	b = resp.AppendBulkString(b, "UNLINK")
	for _, k := range o.keys {
		b = resp.AppendBulkString(b, markerOf(k))
	}
	o.s.worker.scratch = b
	lane.Send(b, nobody{}, 0)
}

// send sends a write to its new node.
func (o *op) send() {
	o.state = opSent
	switch {
	case o.launch != nil && o.s.conn.Closed():
		if o.undo != nil {
			o.undo()
		}
		o.finish()
	case o.launch != nil:
		o.undo = nil
		o.launch()
	case o.class == opDel:
		lane := o.set.Lane(o.node)
		o.unmark(lane)
		o.pending = len(o.keys)
		for i, k := range o.keys {
			lane.Send(resp.AppendCommand(nil, o.c.Name, k), o, opDeletes|uint64(i))
		}
	default:
		lane := o.set.Lane(o.node)
		o.unmark(lane)
		lane.Send(o.request, o, opAnswers)
	}
}

// Reply takes the next bytes of a reply.
func (o *op) Reply(tag uint64, kind byte, b []byte, done bool) {
	i := int(uint32(tag))
	if what := tag >> 32 << 32; what == opAnswers {
		o.answer(kind, b, done)
		return
	} else if !done || o.state == opDone {
		return
	} else {
		n, err := resp.Int(b)
		if err != nil && what != opLooks && o.failed == "" {
			o.failed = trimmed(b)
		}
		switch what {
		case opLooks:
			o.short = err == nil && n < int64(len(o.keys))
		case opVoids:
			o.gone[i] = n > 0
			o.oneDone()
		case opHas:
			switch {
			case n > 0 || err != nil:
				o.oneDone()
			case o.warm():
				o.s.pool.bring(o, i)
			default:
				o.void(i)
			}
		case opDeletes:
			if n > 0 || o.gone[i] {
				o.count++
			}
			o.deleted()
		}
	}
}

// deleted counts the keys of a DEL.
func (o *op) deleted() {
	if o.pending--; o.pending > 0 {
		return
	}
	switch {
	case o.s.conn.Closed():
	case o.failed != "":
		o.s.Reply(o.tag, '-', resp.AppendError(nil, o.failed), true)
	default:
		b := resp.AppendInt(nil, o.count)
		o.s.Reply(o.tag, ':', b, true)
	}
	o.finish()
}

// answer takes the next bytes of the reply that the client may get.
func (o *op) answer(kind byte, b []byte, done bool) {
	if o.reads && !o.again {
		switch {
		case o.class == opRead && o.short:
			if done {
				o.bring()
			}
			return
		case o.class == opGet && !o.decided:
			o.head = append(o.head, b...)
			if len(o.head) < 2 && !done {
				return
			}
			if isNil(o.head) {
				if done {
					o.bring()
				}
				return
			}
			o.decided, b = true, o.head
		}
	}
	o.s.Reply(o.tag, kind, b, done)
	if done {
		o.finish()
	}
}

func isNil(head []byte) bool {
	return head[0] == '_' || head[0] == '$' && len(head) > 1 && head[1] == '-'
}

// Fail says that there is no reply.
func (o *op) Fail(tag uint64, reason string, sent bool) {
	if o.state == opDone {
		return
	}
	switch what := tag >> 32 << 32; what {
	case opLooks:
	case opAnswers:
		o.s.Fail(o.tag, reason, sent)
		o.finish()
	case opDeletes:
		if o.failed == "" {
			o.failed = reason
		}
		o.deleted()
	default:
		if o.failed == "" {
			o.failed = reason
		}
		o.oneDone()
	}
}

// flushing is a FLUSHALL or FLUSHDB while keys are moving: all nodes of both rings, and once more when the first have done it, for a move
// may have brought a key from a node that was not flushed yet to one that was.
type flushing struct {
	s       *Session
	seq     uint32
	request []byte
	rounds  int
	pending int
	failure []byte
}

func (s *Session) flushMoving(c *command.Command, request []byte) (taken bool) {
	if !s.barrier() {
		return false
	}
	f := &flushing{s: s, seq: s.tail, request: bytes.Clone(request), rounds: 2}
	s.open(c)
	s.inFlight++
	s.stall(metrics.StallBarrier)
	f.round()
	return true
}

func (f *flushing) round() {
	f.rounds--
	nodes := f.s.pool.topo.order
	f.pending = len(nodes)
	for _, n := range nodes {
		f.s.set.Lane(int(n)).Send(f.request, f, 0)
	}
}

func (f *flushing) Reply(_ uint64, kind byte, b []byte, done bool) {
	if kind == '-' && f.failure == nil {
		f.failure = bytes.Clone(b)
	}
	if done {
		f.oneDone()
	}
}

func (f *flushing) Fail(_ uint64, reason string, _ bool) {
	if f.failure == nil {
		f.failure = resp.AppendError(nil, reason)
	}
	f.oneDone()
}

func (f *flushing) oneDone() {
	if f.pending--; f.pending > 0 || f.s.conn.Closed() {
		return
	}
	switch {
	case f.failure != nil:
		f.s.answerSlot(f.seq, f.failure)
	case f.rounds > 0:
		f.round()
	default:
		f.s.answerSlot(f.seq, []byte("+OK\r\n"))
	}
}
