package proxy

import (
	"bytes"
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
// What may have been a write, and may have been carried out, is never sent again. While a request of a client waits to be sent again the
// client's parser stands still, and what is to be sent again goes in the order in which it came back, so that nothing overtakes.

// again is a request that is kept.
type again struct {
	request []byte // lent by the loop
	node    int    // where it was sent
	to      int    // where it goes the next time; -1: to the owner of its key
	asking  bool   // with ASKING before it
	reread  bool   // its node was lost once already
	script  bool   // EVALSHA
	tries   int
	tx      *batch // it is a transaction
}

// batch is what is known of a transaction under way.
type batch struct {
	ahead int    // replies before that of EXEC
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

// retrying is what a session has to send again, in order.
type retrying struct {
	queue []retry
	timer *loop.Timer
}

type retry struct {
	tag uint64
	due int64 // loop clock
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
	case cfg.RetryShare() > 0:
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
	if s.pool.keeps == keepReads && !c.Flags.Has(command.ReadOnly) {
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
		return s.tryScript(tag, ag)
	}
	if !s.pool.follows() {
		return false
	}
	word, rest, _ := strings.Cut(strings.TrimSuffix(string(message[1:]), "\r\n"), " ")
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
	case "TRYAGAIN", "LOADING", "MASTERDOWN":
	default:
		return false
	}
	return s.retryLater(tag, sl, ag, pause, why)
}

// lost is called with a request that is kept and gets no reply. It returns true if the request is sent once more.
func (s *Session) lost(tag uint64, sl *slot, sent bool) bool {
	ag := s.kept(tag, sl)
	switch {
	case sl.begun:
		return false
	case !sent:
		ag.to = -1
		return s.pool.follows() && s.retryLater(tag, sl, ag, pauseOf(ag.tries), metrics.RetryWait)
	case ag.tx != nil || ag.reread || !sl.command.Flags.Has(command.ReadOnly) || !s.pool.mayReread():
		return false
	}
	ag.reread, ag.to = true, -1
	return s.retryLater(tag, sl, ag, 0, metrics.RetryLost)
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
	share := float64(ps.shared.cfg.RetryShare()) / 100
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
func (s *Session) retryLater(tag uint64, sl *slot, ag *again, pause time.Duration, why metrics.Retry) bool {
	now := s.worker.loop.Now()
	cfg := s.pool.shared.cfg
	if now+int64(pause)-sl.start > int64(max(cfg.FailoverWait, cfg.Timeout)) {
		return false
	}
	s.pool.stats.Retries[why]++
	ag.tries++
	if sl.split != nil {
		p := &sl.split.parts[tag>>32]
		s.held -= len(p.reply)
		s.worker.loop.Release(p.reply)
		p.reply = nil
	} else {
		s.held -= len(sl.buf)
		s.worker.loop.Release(sl.buf)
		sl.buf = nil
	}
	if s.retrying == nil {
		s.retrying = &retrying{timer: loop.NewTimer(s.sendRetries)}
	}
	s.retrying.queue = append(s.retrying.queue, retry{tag, now + int64(pause)})
	if len(s.retrying.queue) == 1 {
		s.awaitRetry()
	}
	s.stall(metrics.StallBarrier)
	s.conn.Pause()
	return true
}

// awaitRetry waits for the first of the queue to be due.
func (s *Session) awaitRetry() {
	if pause := s.retrying.queue[0].due - s.worker.loop.Now(); pause > 0 {
		s.worker.loop.SetTimer(s.retrying.timer, time.Duration(pause))
	} else {
		s.worker.loop.Defer(s.sendRetries) // a lane is in the middle of handing a reply over
	}
}

func (s *Session) sendRetries() {
	if s.conn.Closed() || s.retrying == nil {
		return
	}
	now := s.worker.loop.Now()
	q := s.retrying.queue
	for len(q) > 0 && q[0].due <= now {
		s.sendAgain(q[0].tag)
		q = q[1:]
	}
	if len(q) == 0 {
		s.worker.loop.StopTimer(s.retrying.timer)
		s.retrying = nil
		return
	}
	s.retrying.queue = q
	s.awaitRetry()
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
		if node, _, ok = s.ownerOfAll(ag.request); !ok {
			s.failNow(tag, errMovedApart)
			return
		}
	}
	ag.node, ag.to = node, -1
	lane := s.set.Lane(node)
	if ag.asking {
		ag.asking = false
		lane.Append(askingRequest)
		lane.Expect(nobody{}, 0)
	}
	lane.Append(ag.request)
	if ag.tx != nil {
		for range ag.tx.ahead {
			lane.Expect(ag.tx, 0)
		}
	}
	lane.Expect(s, tag)
}

const errMovedApart = "TRYAGAIN The keys of the request have moved to different nodes"

var askingRequest = resp.AppendCommand(nil, "ASKING")

// ownerOfAll finds the node of one or more requests, one behind the other. Without keys it is the pool's first.
func (s *Session) ownerOfAll(requests []byte) (node int, keyed, ok bool) {
	scan := s.worker.takeScanner(s.pool.shared.limits)
	defer s.worker.giveScanner(scan)
	node = s.pool.first()
	for rest := requests; len(rest) > 0; {
		n, err := scan.Scan(rest)
		if err != nil || n == 0 {
			scan.Reset()
			return 0, false, false
		}
		c, _ := command.Resolve(&scan.Args) // it was taken once, so it has a row
		at, has, together := s.ownerOf(c, &scan.Args)
		if !together || has && keyed && at != node {
			return 0, false, false
		}
		if has {
			node, keyed = at, true
		}
		rest = rest[n:]
	}
	return node, keyed, true
}

// nodeAt returns the node that another node calls by an address, -1 if none is known there. An address without a host is on the
// host of the node that has said it.
func (ps *poolState) nodeAt(said int, address string) int {
	if strings.HasPrefix(address, ":") {
		host, _ := splitAddress(ps.topo.nodes[said].Address())
		address = joinAddress(host, address[1:])
	}
	for _, i := range ps.topo.order {
		if ps.topo.nodes[i].Address() == address {
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
func (s *Session) sendBatch(tx *transaction, lane *pool.Lane, sl *slot, tag uint64) {
	if !s.pool.follows() {
		tx.send(&s.worker.server.scripts, lane, s, tag)
		return
	}
	ag := s.worker.takeAgain()
	ag.request = s.worker.loop.Append(nil, multiRequest)
	ag.request = s.worker.loop.Append(ag.request, tx.batch)
	ag.request = s.worker.loop.Append(ag.request, execRequest)
	ag.node, ag.to = lane.Index, -1
	ag.tx = &batch{ahead: tx.count + 1}
	sl.again = ag
	for _, d := range tx.digests {
		s.worker.server.scripts.tell(lane, d)
	}
	lane.Append(ag.request)
	for range ag.tx.ahead {
		lane.Expect(ag.tx, 0)
	}
	lane.Expect(s, tag)
}
