package proxy

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// Some requests may be sent a second time, so they are kept until they are answered:
//
//   - in front of a Redis Cluster or Sentinel, all of them: a node that answers MOVED, ASK, TRYAGAIN, CLUSTERDOWN, READONLY, LOADING or
//     MASTERDOWN has not carried the request out, and what a lane never sent can go elsewhere;
//   - reads, where read_retry allows it: when their node is lost they are sent once more;
//   - EVALSHA, whose script a node may have lost (scripts.go).
//
// What may have been a write, and may have been carried out, is never sent again.
//
// While a request of a client is to be sent again the client's parser stands still, and nothing is sent before all that the client had in
// flight is back. What was carried out behind the request meanwhile is a matter of its own (overtaken.go).

// again is a request that is kept.
type again struct {
	request []byte // lent by the loop
	node    int    // where it was sent
	to      int    // where it goes the next time; -1: to the owner of its key
	asking  bool   // with ASKING before it
	reread  bool   // its node was lost once already
	script  bool   // EVALSHA
	tries   int
	since   int64  // when a request on a private lane was first refused
	waited  int64  // since when a blocking request has waited, as it was sent last
	final   bool   // its refusal is passed on
	moved   bool   // it blocks for a key that has moved, and the node was asked to let it go
	tx      *batch // it is a transaction
}

// retrying is what a session has to send again.
type retrying struct {
	queue    []retry
	done     []carried // writes that have been carried out since, or may have been
	timer    *loop.Timer
	deferred bool // sendRetries will run in this turn
}

// retry is a request that is to be sent again, or a read behind one, whose answer is held back.
type retry struct {
	tag    uint64
	due    int64  // loop clock
	words  []byte // the node's, if it has refused; or the answer that is held back
	kind   byte   // of the answer
	reason string // why there was no reply
	held   bool   // it has an answer
}

// lost is called with a request that is kept and gets no reply. It returns true if the request is sent once more.
func (s *Session) lost(tag uint64, sl *slot, reason string, sent bool) bool {
	ag := s.kept(tag, sl)
	again := retry{tag: tag, reason: reason}
	switch {
	case sl.begun || ag.final:
		return false
	case !sent && s.pool.follows():
		ag.to = -1
		return s.retryLater(again, sl, ag, pauseOf(ag.tries), metrics.RetryWait)
	case !sent && !ag.reread && s.pool.topo.readers != nil && sl.command.Flags.Has(command.ReadOnly):
		// a replica was lost since it was last looked at
	case !sent || ag.tx != nil || ag.reread || !sl.command.Flags.Has(command.ReadOnly) || !s.pool.mayReread():
		return false
	}
	ag.reread, ag.to = true, -1
	return s.retryLater(again, sl, ag, 0, metrics.RetryLost)
}

// pauseOf is how long a request waits before it is sent again, so many times after the first.
func pauseOf(tries int) time.Duration {
	return min(5*time.Millisecond<<min(tries, 10), 100*time.Millisecond)
}

// mayReread takes a read from the budget of those that may be sent again: a share of all requests, and a few in any case.
func (ps *poolState) mayReread() bool {
	var total uint64
	for _, n := range ps.stats.Requests {
		total += n
	}
	share := float64(ps.shared.traits.rereads) / 100
	if share == 0 {
		return false
	}
	ps.rereads = min(ps.rereads+float64(total-ps.rereadBase)*share, mostRereads)
	ps.rereadBase = total
	if ps.rereads < 1 {
		return false
	}
	ps.rereads--
	return true
}

// mostRereads bounds what the budget of reads saves up; it begins with fewRereads.
const (
	mostRereads = 10000
	fewRereads  = 10
)

// retryLater has a request sent again after a pause, unless it has taken too long already.
func (s *Session) retryLater(r retry, sl *slot, ag *again, pause time.Duration, why metrics.Retry) bool {
	now := s.worker.loop.Now()
	since := sl.start
	if sl.private { // it may have blocked for long
		if ag.since == 0 {
			ag.since = now
		}
		since = ag.since
	}
	if now+int64(pause)-since > int64(s.pool.shared.traits.patience) {
		return false
	}
	s.pool.stats.Retries[why]++
	ag.tries++
	s.forgetReply(r.tag, sl)
	if s.retrying == nil {
		s.retrying = &retrying{timer: loop.NewTimer(s.sendRetries)}
	}
	r.due = now + int64(pause)
	s.retrying.queue = append(s.retrying.queue, r)
	s.retrySoon()
	s.stall(metrics.StallBarrier)
	s.conn.Pause()
	return true
}

// forgetReply drops what has come of a reply.
func (s *Session) forgetReply(tag uint64, sl *slot) {
	buf := &sl.buf
	if sl.split != nil {
		buf = &sl.split.parts[tag>>32].reply
	}
	s.held -= len(*buf)
	s.worker.loop.Release(*buf)
	*buf = nil
}

// retrySoon looks at the end of the turn if everything is back: a lane may be in the middle of handing replies over.
func (s *Session) retrySoon() {
	if !s.retrying.deferred {
		s.retrying.deferred = true
		s.worker.loop.Defer(s.sendRetries)
	}
}

// endRetrying is called when nothing is in flight any more.
func (s *Session) endRetrying() {
	s.worker.loop.StopTimer(s.retrying.timer)
	for _, d := range s.retrying.done {
		s.worker.forgetAgain(d.ag)
	}
	for _, r := range s.retrying.queue {
		if r.held {
			s.held -= len(r.words)
		}
	}
	s.retrying = nil
}

// outstanding counts the replies that are still to come by lanes.
func (s *Session) outstanding() (n int) {
	for seq := s.head; seq != s.tail; seq++ {
		switch sl := s.slot(seq); {
		case sl.state != awaited:
		case sl.split != nil:
			n += sl.split.pending
		default:
			n++
		}
	}
	return n - len(s.retrying.queue)
}

// sendRetries sends what is to be sent again, if everything else is back and its time has come.
func (s *Session) sendRetries() {
	if s.conn.Closed() || s.retrying == nil {
		return
	}
	re := s.retrying
	re.deferred = false
	if len(re.queue) == 0 || s.outstanding() > 0 {
		return // the next reply comes by here
	}
	due := int64(0)
	for _, r := range re.queue {
		due = max(due, r.due)
	}
	if pause := due - s.worker.loop.Now(); pause > 0 {
		s.worker.loop.SetTimer(re.timer, time.Duration(pause))
		return
	}
	head := s.head
	slices.SortFunc(re.queue, func(a, b retry) int {
		if x, y := uint32(a.tag)-head, uint32(b.tag)-head; x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a.tag, b.tag)
	})
	all, late := re.queue, s.tooLate()
	early := s.tooEarly(late)
	re.queue = nil
	for i, r := range all {
		if early[i] {
			s.held -= len(r.words)
			s.forgetReply(r.tag, s.slot(uint32(r.tag)))
		}
		if !late[i] && (!r.held || early[i]) && !s.conn.Closed() {
			s.sendAgain(r.tag)
		}
	}
	for i, r := range all { // answers only now: the session may go on with the last of them
		if s.conn.Closed() {
			return
		}
		sl := s.slot(uint32(r.tag))
		switch {
		case r.held && !early[i]:
			s.held -= len(r.words)
			s.kept(r.tag, sl).final = true
			s.Reply(r.tag, r.kind, r.words, true)
		case late[i]:
			s.kept(r.tag, sl).final = true
			switch {
			case r.words == nil:
				s.failNow(r.tag, r.reason)
			case bytes.HasPrefix(r.words, []byte("-MOVED ")), bytes.HasPrefix(r.words, []byte("-ASK ")): // a client that knows no cluster can't follow
				s.failNow(r.tag, errOvertaken)
			default:
				s.Reply(r.tag, '-', r.words, true)
			}
		}
	}
}

// eachRequest calls f with one request after the other, until it returns false.
func (ps *poolState) eachRequest(requests []byte, f func(c *command.Command, a *resp.Args) bool) bool {
	scan := ps.worker.takeScanner(&ps.shared.limits)
	defer ps.worker.giveScanner(scan)
	for rest := requests; len(rest) > 0; {
		n, err := scan.Scan(rest)
		if err != nil || n == 0 {
			scan.Reset()
			return false
		}
		c, _ := command.Resolve(&scan.Args) // it was taken once, so it has a row
		if !f(c, &scan.Args) {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// sendAgain sends a kept request once more.
func (s *Session) sendAgain(tag uint64) {
	ag := s.kept(tag, s.slot(uint32(tag)))
	if mv := s.pool.topo.moving; mv != nil && s.anyMoves(mv, ag.request) {
		s.failNow(tag, errMoving)
		return
	}
	node := ag.to
	if node < 0 || !s.pool.topo.used[node] {
		var ok bool
		if node, _, ok = s.pool.ownerOfAll(ag.request); !ok {
			s.failNow(tag, errMovedApart)
			return
		}
	}
	sl := s.slot(uint32(tag))
	if ag.to < 0 && ag.reread {
		node = s.pool.rereadFrom(node)
	}
	ag.node, ag.to = node, -1
	lane, class := s.set.Lane(node), classes[sl.command.ID]
	if sl.private {
		if lane = s.otherPrivate(node); lane == nil {
			s.failNow(tag, errPrivate)
			return
		}
		s.waitLess(sl.command, ag)
	}
	if ag.asking {
		ag.asking = false
		lane.Append(askingRequest)
		lane.Expect(nobody{}, 0)
	}
	lane.Append(s.outgoing(ag.request))
	if ag.tx != nil {
		for range ag.tx.ahead {
			lane.Expect(ag.tx, 0)
		}
		class = ag.tx.class
	}
	lane.ExpectAs(class, s, tag)
}

const (
	errMovedApart = "TRYAGAIN The keys of the request have moved to different nodes"
	errOvertaken  = "TRYAGAIN The slot of the request is moving, and a request behind it in the pipeline has been carried out already"
)

var askingRequest = resp.AppendCommand(nil, "ASKING")

// ownerOfAll finds the node of one or more requests, one behind the other. Without keys it is the pool's first.
func (ps *poolState) ownerOfAll(requests []byte) (node int, keyed, ok bool) {
	node = ps.first()
	ok = ps.eachRequest(requests, func(c *command.Command, a *resp.Args) bool {
		at, has, together := ps.ownerOf(c, a)
		if !together || has && keyed && at != node {
			return false
		}
		if has {
			node, keyed = at, true
		}
		return true
	})
	return node, keyed, ok
}
