package proxy

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// A private lane serves one session for a while: one that blocks must not block others, and WATCH is a property of
// the connection. Lanes that are clean go back to the worker's stock, so that a transaction does not cost a connection.
//
// Nothing of a session may overtake what it does on a private lane, or be overtaken: before the lane is used, everything
// in flight is awaited, and after it the parser waits for the reply.

// send puts the batch on a lane as the node is to see it, between MULTI and EXEC. Only EXEC's reply has an owner.
func (tx *transaction) send(known *scripts, lane *pool.Lane, batch []byte, owner pool.Owner, tag uint64) {
	for _, d := range tx.digests {
		known.tell(lane, d)
	}
	lane.Append(multiRequest)
	lane.Append(batch)
	lane.Append(execRequest)
	for range tx.count + 1 {
		lane.Expect(nobody{}, 0)
	}
	lane.ExpectAs(tx.class, owner, tag)
}

// watch is the private lane that watches keys for a session.
type watch struct {
	lane   *pool.Lane
	node   int
	group  int    // what its last key has in common with others: the node, or the slot
	holds  bool   // the node has said that it watches something
	ending bool   // EXEC has been sent
	lost   uint64 // what the lane had lost when the first key was watched
}

// private sends a blocking command, or WATCH, on a lane of its own.
func (s *Session) private(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	switch c.Name {
	case "watch":
		if s.tx != nil {
			s.refuse(metrics.BadCommand, errWatchInMulti)
			return true
		}
		return s.watchKeys(c, scan, b)
	case "subscribe":
		return s.subscribe(c, channelTopic, &scan.Args)
	case "psubscribe":
		return s.subscribe(c, patternTopic, &scan.Args)
	case "ssubscribe":
		return s.subscribe(c, shardTopic, &scan.Args)
	case "unsubscribe":
		return s.unsubscribe(c, channelTopic, &scan.Args)
	case "punsubscribe":
		return s.unsubscribe(c, patternTopic, &scan.Args)
	case "sunsubscribe":
		return s.unsubscribe(c, shardTopic, &scan.Args)
	case "wait", "waitaof":
		return s.waitForReplicas(c, scan.Bytes(b))
	case "script|kill", "function|kill":
		return s.killScripts(c, scan.Bytes(b))
	case "unwatch":
		s.unwatch()
		s.answerOK()
		return true
	}
	if !c.Flags.Has(command.Blocking) {
		s.refuse(metrics.BadCommand, notYet(c))
		return true
	}
	node, keyed, ok := s.ownerOf(c, &scan.Args)
	if !ok {
		s.refuse(metrics.CrossSlot, errCrossSlot)
		return true
	}
	if !keyed {
		return s.forward(c, scan, b) // without keys it can only be wrong, and the node says how
	}
	if !s.barrier() {
		return false
	}
	lane := s.takePrivate(node)
	if lane == nil {
		return true
	}
	s.blocked = []*pool.Lane{lane}
	s.awaits = append(s.awaits[:0], scan.Args.At(s.worker.keys[:1][0])...)
	s.conn.WatchEnd(true)
	lane.Patient = true
	askNumber(lane)
	s.sendPrivate(c, lane, &scan.Args, scan.Bytes(b))
	return true
}

// sendPrivate sends a request on a private lane and stops the parser until it is answered.
func (s *Session) sendPrivate(c *command.Command, lane *pool.Lane, a *resp.Args, request []byte) {
	seq := s.tail
	sl := s.open(c)
	sl.private = true
	s.inFlight++
	if restore := s.restorerFor(c, a); restore != nil {
		sl.split = s.worker.takeSplit()
		sl.split.gather, sl.split.weight, sl.split.pending = restored(nil, nil, restore), 1, 1
		sl.split.parts, sl.split.topo = append(sl.split.parts, part{node: lane.Index}), s.pool.topo
	}
	if s.pool.follows() {
		ag := s.keepApart(lane.Index, request)
		ag.waited = sl.start
		if sl.split != nil {
			sl.split.parts[0].again = ag
		} else {
			sl.again = ag
		}
	}
	lane.Send(s.outgoing(request), s, tagOf(seq, 0))
	s.stall(metrics.StallBarrier)
}

// otherPrivate gives the private lane of the request in flight back and lends another one, to node. It returns nil if there is none.
func (s *Session) otherPrivate(node int) *pool.Lane {
	old := s.watch.lane
	if s.blocked != nil {
		old = s.blocked[0]
		s.blocked = s.blocked[:0]
	}
	s.pool.givePrivate(s.set, old)
	lane := s.lendPrivate(node)
	switch {
	case s.blocked == nil && lane == nil:
		s.watch, s.blocked = watch{}, []*pool.Lane{} // it ends with this request
	case s.blocked == nil:
		s.watch = watch{lane: lane, node: node, group: s.watch.group, lost: lane.Lost()}
	case lane != nil:
		s.blocked = append(s.blocked, lane)
		lane.Patient = true
		askNumber(lane)
	}
	return lane
}

// watchRefused deals with a refusal on the lane that watches keys. A first WATCH is sent again elsewhere, so it returns false. What is watched
// already nobody watches over any more: EXEC says nil, as if a key had changed.
func (s *Session) watchRefused(tag uint64) bool {
	if s.blocked != nil || s.watch.lane == nil || !s.watch.holds && !s.watch.ending {
		return false
	}
	s.kept(tag, s.slot(uint32(tag))).final = true
	answer := []byte("+OK\r\n")
	if s.watch.ending {
		answer = resp.AppendNullArray(nil, s.resp3)
	} else {
		s.watch.lost = math.MaxUint64
	}
	s.Reply(tag, answer[0], answer, true)
	return true
}

// waitLess takes the time that a blocking request has waited already off the time for which it may block.
func (s *Session) waitLess(c *command.Command, ag *again) {
	scan := resp.RequestScanner{}
	if n, err := scan.Scan(ag.request); err != nil || n == 0 || s.blocked == nil {
		return
	}
	a, at, unit := &scan.Args, -1, float64(time.Second)
	switch c.Name {
	case "blpop", "brpop", "bzpopmin", "bzpopmax", "brpoplpush", "blmove":
		at = a.Len() - 1
	case "blmpop", "bzmpop":
		at = 1
	case "xread", "xreadgroup":
		unit = float64(time.Millisecond)
		for i := 1; i+1 < a.Len() && at < 0 && !bytes.EqualFold(a.At(i), []byte("streams")); i++ {
			if bytes.EqualFold(a.At(i), []byte("block")) {
				at = i + 1
			}
		}
	}
	if at < 0 {
		return
	}
	limit, err := strconv.ParseFloat(string(a.At(at)), 64)
	if err != nil || limit <= 0 {
		return
	}
	now := s.worker.loop.Now()
	left := max(time.Duration(limit*unit)-time.Duration(now-ag.waited), time.Millisecond)
	text := strconv.FormatFloat(float64(left)/unit, 'f', 3, 64)
	if unit == float64(time.Millisecond) {
		text = strconv.FormatInt(int64(left/time.Millisecond), 10)
	}
	b := resp.AppendArray(s.worker.loop.Buffer(len(ag.request)+64), a.Len())
	for i := range a.Len() {
		if i == at {
			b = resp.AppendBulkString(b, text)
		} else {
			b = resp.AppendBulk(b, a.At(i))
		}
	}
	s.worker.loop.Release(ag.request)
	ag.request, ag.waited = b, now
}

// privateDone is called when the reply of a private lane is complete.
func (s *Session) privateDone(kind byte) {
	lanes, set := s.blocked, s.set
	switch {
	case lanes != nil:
		s.blocked, s.awaits = nil, nil
		s.conn.WatchEnd(false)
	case s.watch.lane != nil && (s.watch.ending || !s.watch.holds && (kind == '-' || kind == 0)):
		lanes = []*pool.Lane{s.watch.lane}
		s.watch = watch{}
	default: // WATCH itself: the lane stays, for EXEC to find out if it was lost
		s.watch.holds = true
		return
	}
	s.worker.loop.Defer(func() { // the lane is in the middle of handing the reply over
		for _, la := range lanes {
			s.pool.givePrivate(set, la)
		}
	})
}

func (s *Session) watchKeys(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	node, _, ok := s.ownerOf(c, &scan.Args)
	if !ok || s.watch.lane != nil && node != s.watch.node {
		s.refuse(metrics.CrossSlot, errCrossSlot)
		return true
	}
	if !s.barrier() {
		return false
	}
	if s.watch.lane == nil {
		lane := s.takePrivate(node)
		if lane == nil {
			return true
		}
		s.watch = watch{lane: lane, node: node, lost: lane.Lost()}
	}
	s.watch.group = node
	if s.pool.topo.slots {
		s.watch.group = s.slotOf(c, &scan.Args)
	}
	s.sendPrivate(c, s.watch.lane, &scan.Args, scan.Bytes(b))
	return true
}

// unwatch forgets what is watched.
func (s *Session) unwatch() {
	if la := s.watch.lane; la != nil {
		la.Send([]byte("*1\r\n$7\r\nUNWATCH\r\n"), nobody{}, 0)
		s.pool.givePrivate(s.set, la)
		s.watch = watch{}
	}
}

// execWatched sends the transaction on the lane that watches. If that lane was lost meanwhile nobody knows whether a key
// has changed, so the answer is nil, as if one had.
func (s *Session) execWatched(c *command.Command) bool {
	tx := s.tx
	if !s.barrier() {
		return false
	}
	switch {
	case s.watch.lane.Lost() != s.watch.lost:
		s.endTransaction()
		s.unwatch()
		s.worker.scratch = resp.AppendNullArray(s.worker.scratch[:0], s.resp3)
		s.answer(s.worker.scratch)
		return true
	case tx.node >= 0 && tx.node != s.watch.node && (!s.pool.topo.slots || tx.group != s.watch.group):
		s.endTransaction()
		s.unwatch()
		s.refuse(metrics.CrossSlot, errCrossSlotWatch)
		return true
	}
	seq := s.tail
	sl := s.open(c)
	sl.private = true
	s.inFlight++
	s.watch.ending = true
	owner := pool.Owner(s)
	if s.pool.mirror != nil {
		owner = &watchedCopy{session: s, tx: tx}
	}
	s.sendBatch(tx, s.watch.lane, sl, owner, tagOf(seq, 0))
	s.endTransaction()
	s.stall(metrics.StallBarrier)
	return true
}

const errCrossSlotWatch = "EXECABORT Transaction discarded because its keys are not on the node of the watched keys."

// keptPrivate is how many private lanes a loop keeps per node when they are free.
const (
	keptPrivate = 32
	errPrivate  = "ERR too many clients are blocked or watching: no private connection is left"
)

// takePrivate lends a private lane to a node. If there is none, it tells the client and returns nil.
func (s *Session) takePrivate(node int) *pool.Lane {
	lane := s.lendPrivate(node)
	if lane == nil {
		s.refuse(metrics.NodeDown, errPrivate)
	}
	return lane
}

func (s *Session) lendPrivate(node int) *pool.Lane {
	free := s.set.Private[node]
	for n := len(free); n > 0; n = len(free) {
		la := free[n-1]
		free[n-1] = nil
		free = free[:n-1]
		s.set.Private[node] = free
		if la.Fit() && la.Node.Up() { // one that hangs has its connections still
			return la
		}
		s.set.Discard(la)
		s.pool.privates--
	}
	if s.pool.privates >= s.pool.shared.cfg.PrivateLanes {
		return nil
	}
	s.pool.privates++
	return s.set.NewLane(node)
}

// givePrivate takes a lane back. One that does not work is closed; if it has found its node down, the shared lane is made to
// look when that is back, for nobody else may.
func (ps *poolState) givePrivate(set *pool.Set, la *pool.Lane) {
	la.Patient = false
	free, used := set.Private[la.Index], ps.topo.used[la.Index] && !ps.left
	if !la.Usable() || la.Spent || la.Stale() || !used || len(free) >= keptPrivate {
		if !la.Node.Up() && used {
			set.Lane(la.Index).Send(pingRequest, nobody{}, 0)
		}
		set.Discard(la)
		ps.privates--
		return
	}
	set.Private[la.Index] = append(free, la)
}

// dropPrivate closes the private lanes of a session that is gone: a node that sees the connection close stops serving it, so
// that no element is popped for nobody. On one loop the order in which the end of one client and the push of another have come is that
// in which the node sees them, as if both were connected to it. Two loops have no order between them: the push may reach the
// node first, though it came second. To have one, every push would have to ask all loops who is leaving. To put the element back once it is
// known to be popped for nobody is no way out: others have seen the list without it, and it would come back in another place.
func (s *Session) dropPrivate() {
	lanes := s.blocked
	if s.watch.lane != nil {
		lanes = append(lanes, s.watch.lane)
	}
	for _, la := range lanes {
		s.set.Discard(la)
		s.pool.privates--
	}
	s.blocked, s.watch = nil, watch{}
}

// alone hands on the reply to a request that has a connection of its own, which ends with it.
type alone struct {
	owner pool.Owner
	set   *pool.Set
	lane  *pool.Lane
}

// sendAlone sends one request on a lane that is of no further use: to a node whose shared lane is held up, or one that has left.
func sendAlone(set *pool.Set, node int, request []byte, owner pool.Owner, tag uint64) {
	a := &alone{owner, set, set.NewLane(node)}
	a.lane.Send(request, a, tag)
}

// Reply is part of pool.Owner.
func (a *alone) Reply(tag uint64, kind byte, b []byte, done bool) {
	a.owner.Reply(tag, kind, b, done)
	if done {
		a.close()
	}
}

// Fail is part of pool.Owner.
func (a *alone) Fail(tag uint64, reason string, sent bool) {
	a.owner.Fail(tag, reason, sent)
	a.close()
}

// close gives the lane up when it has returned from handing the answer over.
func (a *alone) close() { a.set.DiscardLater(a.lane) }
