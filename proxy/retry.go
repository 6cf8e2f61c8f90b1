package proxy

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
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
// Order: while a request of a client is to be sent again the client's parser stands still, and nothing is sent before all that the client
// had in flight is back. Then it is known what was carried out behind the request:
//
//	GET a  (lost)        SET a 1 (READONLY)     SET a 1 (TRYAGAIN)
//	SET a 2 (carried     GET a   (answered)     SET b 2 (carried out)
//	         out?)
//	not sent again       both sent again,       SET a sent again
//	                     in order
//
// A write behind it to one of its keys that was carried out, or may have been, can't be undone: the request is answered with what the node
// has said. A read behind a write that has to be repeated has read too early: its answer is held back until then, and it is repeated too.

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

// batch is what is known of a transaction under way.
type batch struct {
	ahead int // replies before that of EXEC
	class pool.Class
	cause []byte // the first error among them
}

// Reply notes why the transaction fails.
func (t *batch) Reply(_ uint64, kind byte, b []byte, _ bool) {
	if kind == '-' && t.cause == nil {
		t.cause = bytes.Clone(b)
	}
}

// Fail is part of pool.Owner. EXEC fails as well.
func (t *batch) Fail(uint64, string, bool) {}

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

type carried struct {
	seq   uint32
	ag    *again // nil: nobody knows its keys
	reads bool
}

// keeps says which requests are kept.
type keeps uint8

const (
	keepNothing keeps = iota
	keepReads
	keepAll
)

func keepsOf(cfg *config.Pool) keeps {
	switch {
	case cfg.Cluster != nil || cfg.Sentinel != nil:
		return keepAll
	case cfg.RetryShare() > 0 || cfg.ReadPolicy != "primary":
		return keepReads
	}
	return keepNothing
}

// follows reports whether the nodes' own redirections are followed.
func (ps *poolState) follows() bool { return ps.keeps == keepAll }

// keepApart keeps a copy of a request in a buffer of its own.
func (s *Session) keepApart(node int, request []byte) *again {
	ag := s.worker.takeAgain()
	ag.request = s.worker.loop.Append(nil, request)
	ag.node, ag.to = node, -1
	return ag
}

// keepPart keeps a part's buffer until the part is answered, or gives it back.
func (s *Session) keepPart(c *command.Command, p *part) *again {
	if s.pool.keeps == keepNothing || s.pool.keeps == keepReads && !c.Flags.Has(command.ReadOnly) {
		s.worker.loop.Release(p.out)
		return nil
	}
	ag := s.worker.takeAgain()
	ag.request, ag.node, ag.to = p.out, p.node, -1
	return ag
}

func (w *worker) takeAgain() *again {
	if n := len(w.freeAgain); n > 0 {
		ag := w.freeAgain[n-1]
		w.freeAgain = w.freeAgain[:n-1]
		return ag
	}
	return new(again)
}

// forgetAgain gives a kept request back. Nil is allowed.
func (w *worker) forgetAgain(ag *again) {
	if ag == nil {
		return
	}
	w.loop.Release(ag.request)
	*ag = again{}
	if len(w.freeAgain) < 4096 {
		w.freeAgain = append(w.freeAgain, ag)
	}
}

// refused is called with a whole error reply of a request that is kept. It returns true if the request is sent once more.
func (s *Session) refused(tag uint64, sl *slot, before, b []byte) bool {
	ag := s.kept(tag, sl)
	message := b
	if len(before) > 0 { // the error came in pieces
		message = append(bytes.Clone(before), b...)
	}
	if ag.tx != nil && ag.tx.cause != nil && bytes.HasPrefix(message, []byte("-EXECABORT")) {
		message = ag.tx.cause
		ag.tx.cause = nil
	}
	if ag.script && bytes.HasPrefix(message, []byte("-NOSCRIPT")) {
		return s.tryScript(tag, sl, ag, message)
	}
	if !s.pool.follows() || ag.final {
		return false
	}
	word, rest, _ := strings.Cut(strings.TrimSuffix(string(message[1:]), "\r\n"), " ")
	if sl.private && refusals[word] && s.watchRefused(tag) {
		return true
	}
	pause := pauseOf(ag.tries)
	why := metrics.RetryWait
	switch word {
	case "MOVED", "ASK":
		_, address, _ := strings.Cut(rest, " ")
		if ag.to = s.pool.nodeAt(ag.node, address); ag.to >= 0 && ag.tries < 3 {
			pause = 0
		}
		why = metrics.RetryMoved
		if ag.asking = word == "ASK"; ag.asking {
			why = metrics.RetryAsk
			if ag.to < 0 || ag.tx != nil { // ASKING holds for one command only
				ag.asking, ag.to, pause = false, -1, pauseOf(ag.tries)
			}
		}
		if word == "MOVED" {
			s.pool.shared.director.nudge()
		}
	case "READONLY", "CLUSTERDOWN":
		s.pool.shared.director.nudge()
	case "UNBLOCKED":
		if !sl.private || !ag.moved && !strings.Contains(rest, "instance state changed") { // then somebody has asked for it
			return false
		}
		ag.moved = false
	default:
		if !refusals[word] {
			return false
		}
	}
	return s.retryLater(retry{tag: tag, words: bytes.Clone(message)}, sl, ag, pause, why)
}

// refusals are the words of a node that has not carried a request out, and may yet, or knows who will.
var refusals = map[string]bool{
	"MOVED": true, "ASK": true, "TRYAGAIN": true, "CLUSTERDOWN": true, "READONLY": true, "LOADING": true, "MASTERDOWN": true,
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

// holdBack keeps the last bytes of a read's answer while something before it has to be sent again.
func (s *Session) holdBack(tag uint64, kind byte, b []byte) {
	s.held += len(b)
	s.retrying.queue = append(s.retrying.queue, retry{tag: tag, kind: kind, words: bytes.Clone(b), held: true})
	s.retrySoon()
}

// holdsBack reports whether an answer must be held back.
func (s *Session) holdsBack(sl *slot) bool {
	return s.retrying != nil && s.pool.follows() && sl.command.Flags.Has(command.ReadOnly) && !sl.begun && !sl.private
}

// carriedOut notes a write that was carried out, or may have been, while something before it is to be sent again. Where answers are not held
// back, that is a read too: a script before it comes too late then. The kept request is the list's from now on.
func (s *Session) carriedOut(tag uint64, sl *slot, ag *again) {
	if s.retrying != nil {
		s.retrySoon()
	}
	reads := sl.command != nil && sl.command.Flags.Has(command.ReadOnly)
	if s.retrying == nil || sl.command == nil || reads && s.pool.follows() {
		s.worker.forgetAgain(ag)
		return
	}
	s.retrying.done = append(s.retrying.done, carried{uint32(tag), ag, reads})
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

// tooLate says which of the queue can't be sent again, because a write behind them to one of their keys has been carried out.
func (s *Session) tooLate() []bool {
	re := s.retrying
	late := make([]bool, len(re.queue))
	if len(re.done) == 0 {
		return late
	}
	done := slices.Clone(re.done)
	slices.SortFunc(done, func(a, b carried) int { return cmp.Compare(int32(b.seq-s.head), int32(a.seq-s.head)) })
	used, any := map[string]access{}, untouched // of each key, and of keys that are not known
	for i := len(re.queue) - 1; i >= 0; i-- {
		seq := uint32(re.queue[i].tag)
		for len(done) > 0 && int32(done[0].seq-seq) > 0 {
			how := written
			if done[0].reads {
				how = read
			}
			if done[0].ag == nil {
				any = max(any, how)
			} else {
				s.eachKey(done[0].ag.request, func(key []byte) { used[string(key)] = max(used[string(key)], how) })
			}
			done = done[1:]
		}
		if re.queue[i].held {
			continue
		}
		sl, bound := s.slot(seq), read // what may not have happened to its keys
		if sl.command.Flags.Has(command.ReadOnly) {
			bound = written
		}
		if late[i] = any >= bound; !late[i] && len(used) > 0 {
			s.eachKey(s.kept(re.queue[i].tag, sl).request, func(key []byte) { late[i] = late[i] || used[string(key)] >= bound })
		}
	}
	return late
}

// access is what has been done to a key.
type access uint8

const (
	untouched access = iota
	read
	written
)

// tooEarly says which of the answers that are held back were given before a write that should have come first.
func (s *Session) tooEarly(late []bool) []bool {
	re := s.retrying
	early := make([]bool, len(re.queue))
	written := map[string]bool{}
	for i, r := range re.queue {
		sl := s.slot(uint32(r.tag))
		request := s.kept(r.tag, sl).request
		switch {
		case r.held:
			s.eachKey(request, func(key []byte) { early[i] = early[i] || written[string(key)] })
		case !late[i] && !sl.command.Flags.Has(command.ReadOnly) && i+1 < len(re.queue):
			s.eachKey(request, func(key []byte) { written[string(key)] = true })
		}
	}
	return early
}

// eachKey calls f with the keys of one or more requests.
func (s *Session) eachKey(requests []byte, f func(key []byte)) {
	s.pool.eachRequest(requests, func(c *command.Command, a *resp.Args) bool {
		keys, _ := c.Keys(s.worker.keys[:0], a)
		for _, k := range keys {
			f(a.At(k))
		}
		if len(keys) > 0 {
			s.worker.keys = keys[:0]
		}
		return true
	})
}

// eachRequest calls f with one request after the other, until it returns false.
func (ps *poolState) eachRequest(requests []byte, f func(c *command.Command, a *resp.Args) bool) bool {
	scan := ps.worker.takeScanner(ps.shared.limits)
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

// nodeAt returns the node that another node calls by an address, -1 if none is known there. An address without a host is on the
// host of the node that has said it.
func (ps *poolState) nodeAt(said int, address string) int {
	if strings.HasPrefix(address, ":") {
		host, _ := splitAddress(ps.topo.nodes[said].Address())
		address = joinAddress(host, address[1:])
	}
	for _, i := range ps.topo.order {
		if n := ps.topo.nodes[i]; n.Address() == address && n.Options().Pool == ps.topo.nodes[said].Options().Pool {
			return int(i)
		}
	}
	return -1
}

func joinAddress(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

// sendBatch puts a transaction on a lane, and keeps it where the nodes' redirections are followed.
func (s *Session) sendBatch(tx *transaction, lane *pool.Lane, sl *slot, owner pool.Owner, tag uint64) {
	if !s.pool.follows() {
		tx.send(&s.worker.server.scripts, lane, s.outgoing(tx.batch), owner, tag)
		return
	}
	ag := s.worker.takeAgain()
	ag.request = s.worker.loop.Append(nil, multiRequest)
	ag.request = s.worker.loop.Append(ag.request, tx.batch)
	ag.request = s.worker.loop.Append(ag.request, execRequest)
	ag.node, ag.to = lane.Index, -1
	ag.tx = &batch{ahead: tx.count + 1, class: tx.class}
	sl.again = ag
	for _, d := range tx.digests {
		s.worker.server.scripts.tell(lane, d)
	}
	lane.Append(s.outgoing(ag.request))
	for range ag.tx.ahead {
		lane.Expect(ag.tx, 0)
	}
	lane.ExpectAs(tx.class, owner, tag)
}
