package proxy

import (
	"math"
	"slices"
	"time"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// Session is one client's connection.
type Session struct {
	conn   loop.Conn
	worker *worker
	pool   *poolState
	set    *pool.Set // the lanes of this client's RESP version and database

	// Requests. in[off:] has been read and not been parsed; scan is set while a request is incomplete.
	in   []byte
	off  int
	scan *resp.RequestScanner

	// Replies.
	slots      []slot
	head, tail uint32
	few        [fewSlots]slot
	inFlight   int // requests at the nodes, each key of a split one counts
	held       int // bytes of replies that wait for the head
	seen       int // replies until now, up to the window: the window opens as they come
	meanReply  int // moving average, in bytes

	unwritten []run // replies that are not written yet

	keptRequests keptRequests
	recall       recall
	at           uint32  // of the request that is being parsed, in recall
	tardies      []tardy // slow requests whose replies are not written yet

	ring    uint16 // the size of the last ring of slots that was needed
	stalls  stalls
	resumes bool // in the worker's list of those to resume
	eof     bool // the client has said all it will say
	closing bool // close when everything is answered and sent
	leaving bool // close at the first moment at which nothing is lost by it: the process ends
	plain   bool // nothing special about it: requests may take the short way
	authed  bool
	judged  bool // what it asks may be denied: it is limited, or may name a copy
	far     bool // it is on another machine
	resp3   bool
	replies replyMode

	prefix      uint8 // of the key of the request that is being handled, for its slot
	limited     bool  // what it asks may be denied, for its user or the pool
	amongCopies bool  // there may be copies of hot keys in its database

	db        int
	id        uint64
	user      *acl.User
	digest    string  // of the password with which it has logged in; "": without
	person    *person // who it is at the nodes, with passthrough
	proof     *proof  // that a node is asked for, or has given
	certified string  // the name in its certificate, where that is to be its user
	about     *about  // what CLIENT SETNAME and SETINFO set, nil until then
	peer      string
	created   int64
	active    int64
	last      *command.Command
	total     uint64 // requests

	tx      *transaction // between MULTI and EXEC
	blocked []*pool.Lane // the private lanes of a blocking command; several only for WAIT
	awaits  []byte       // the key for which it is blocked, the first of several
	watch   watch
	subs    *subscriptions // nil unless it listens to a channel

	ops     []*op // requests for keys that are moving (moving.go), in order
	blocks  *blocking
	waiting int64 // since when it waits for the pool's other Ringways; 0: it does not

	tracking *tracking // CLIENT TRACKING, nil while it is off

	fate fate        // of the next request, where there is a fault
	late *loop.Timer // runs while it is delayed; nil until one is

	pieces *pieces // nil until a request comes in some

	joins    []join   // requests for hot keys that wait for others, and may have no place on the lane yet
	seenHot  *hotKeys // the hot keys that sentHot is about
	atCopies int      // reads that are at copies of hot keys
	sentHot  uint32   // the request behind the last that was sent to a node, and may have been for one of them

	retrying *retrying // what has to be sent again; nil: nothing
	wrote    int64     // when it last wrote, where reads go to replicas

	patience   *loop.Timer // runs while the client owes us a read
	prev, next *Session    // all sessions of the worker

	fees      fees
	unknownAt int64       // since when it could have logged in
	clock     *loop.Timer // of the limits of its time; nil: there are none
}

// about is what most clients never set.
type about struct {
	name, libName, libVer string
	noEvict, noTouch      bool
}

type replyMode uint8

const (
	replyOn replyMode = iota
	replyOff
	replySkipNext // CLIENT REPLY SKIP was just read: the next request's reply is dropped
	replySkip     // this one's is
)

func (s *Session) muted() bool { return s.replies == replyOff || s.replies == replySkip }

// stalls is the set of reasons why a session's parser has stopped.
type stalls uint8

func (st stalls) has(r metrics.Stall) bool { return st&(1<<r) != 0 }

// stall stops the parser. The reader is paused when the parser has returned.
func (s *Session) stall(r metrics.Stall) {
	if !s.stalls.has(r) {
		s.stalls |= 1 << r
		s.pool.stats.Stalls[r]++
	}
}

// relieve takes a reason away; without any left the session goes on later in this turn.
func (s *Session) relieve(r metrics.Stall) {
	if s.stalls.has(r) {
		s.stalls &^= 1 << r
		if s.stalls == 0 {
			s.worker.resumeLater(s)
		}
	}
}

// LaneHasRoom is a lane's call after WaitForRoom.
func (s *Session) LaneHasRoom() { s.relieve(metrics.StallNode) }

// window is how many requests may be in flight. It opens as replies come, so that the first burst of a client that
// asks for big values is small, and stays so narrow that their replies fit in the memory a client may hold.
func (s *Session) window() int {
	p := s.pool.shared
	w := min(p.cfg.Window, firstWindow+s.seen)
	if budget := 2 * p.cfg.ClientOutputLimit; s.meanReply*w > budget {
		w = max(1, budget/s.meanReply)
	}
	return w
}

const (
	firstWindow = 64
	// maxSlots bounds what is answered but waits for the head, in windows: such requests are in flight no more.
	maxSlots = 4
)

// Readable reads what the client has sent.
func (s *Session) Readable() {
	var n int
	var err error
	if s.off == len(s.in) {
		b := s.worker.loop.ReadBuffer()
		n, err = s.conn.Read(b)
		if err != nil || n == 0 {
			s.readEnded(err)
			return
		}
		s.pool.stats.BytesIn += uint64(n)
		used := s.parse(b[:n])
		if used < n && !s.conn.Closed() {
			s.in = s.worker.loop.Append(s.in[:0], b[used:n])
			s.off = 0
		}
	} else {
		if !s.roomForMore() {
			s.afterParse()
			return
		}
		n, err = s.conn.Read(s.in[len(s.in):cap(s.in)])
		if err != nil || n == 0 {
			s.readEnded(err)
			return
		}
		s.pool.stats.BytesIn += uint64(n)
		s.in = s.in[:len(s.in)+n]
		s.advance(s.parse(s.in[s.off:]))
	}
	if n < smallPiece && s.scan != nil {
		s.tookPiece()
	}
	s.afterParse()
}

// advance steps over what has been parsed, unless the buffer was given away with it.
func (s *Session) advance(used int) {
	if s.in != nil {
		s.off += used
	}
}

// roomForMore makes room behind an unfinished request. The buffer doubles with what has arrived, and is made as large as was
// announced when an eighth has arrived, so an announcement alone costs nothing. It returns false if the client is given up for it.
func (s *Session) roomForMore() bool {
	if s.off > 0 {
		s.in = s.in[:copy(s.in, s.in[s.off:])]
		s.off = 0
	}
	room := 4 << 10
	if s.scan != nil {
		missing := s.scan.Want() - len(s.in)
		if missing <= 7*len(s.in) {
			room = max(room, missing) // an eighth has come: believe the rest
		} else {
			room = min(max(room, missing), 256<<10)
		}
	}
	if free := cap(s.in) - len(s.in); free < 512 || free < room && free < 64<<10 {
		if s.noRoom(len(s.in) + room) {
			return false
		}
		s.in = s.worker.loop.Grow(s.in, room)
	}
	return true
}

// afterParse puts the input buffer back if nothing is left in it, and stops reading while the parser is stopped.
func (s *Session) afterParse() {
	if s.conn.Closed() {
		return
	}
	if s.off == len(s.in) {
		s.worker.loop.Release(s.in)
		s.in, s.off = nil, 0
	}
	if s.stalls != 0 || s.closing {
		s.conn.Pause()
	}
	s.maybeClose()
}

// resume goes on where the parser stopped: no event will come for what has been read already.
func (s *Session) resume() {
	s.resumes = false
	if s.conn.Closed() || s.stalls != 0 {
		return
	}
	if s.off < len(s.in) && !s.closing {
		s.advance(s.parse(s.in[s.off:]))
	}
	if s.stalls == 0 && !s.closing && !s.eof {
		s.conn.Resume()
	}
	s.afterParse()
}

func (s *Session) readEnded(err error) {
	switch {
	case err == nil:
	case s.conn.Closed():
		s.gone()
	default: // end of the stream: what has been asked is answered still
		s.eof = true
		s.conn.Pause()
		s.maybeClose()
	}
}

// maybeClose closes a session that has nothing more to say.
func (s *Session) maybeClose() {
	if !s.closing && !s.eof && !s.leaving || s.head != s.tail || s.conn.Unsent() > 0 || s.conn.Closed() {
		return
	}
	if s.closing || s.eof && s.stalls == 0 && !s.resumes || s.leaving && s.mayLeave() {
		s.drop()
	}
}

// parse finds requests in b and handles each, until b is used up or the session must stop. It returns how much of b is done
// with. A request that can't be taken now is parsed again later.
func (s *Session) parse(b []byte) (used int) {
	w := s.worker
	s.active = w.loop.Now()
	scan := s.scan
	if scan == nil {
		scan = w.takeScanner(s.limits())
	}
	first, place := s.tail, s.recallPlace()
	for used < len(b) && s.stalls == 0 && !s.closing {
		n, err := scan.Scan(b[used:])
		if (err != nil || n == 0) && helloOfTLS(b[used:]) && s.head == s.tail {
			s.speaksTLS()
			scan.Reset()
			used = len(b)
			break
		}
		if err != nil {
			s.protocolError(err)
			scan.Reset()
			break
		}
		if n == 0 {
			s.scan, scan = scan, nil
			break
		}
		s.at = place + uint32(used)
		if scan.Args.Len() > 0 && !s.handle(scan, b[used:]) {
			if s.replies == replySkip {
				s.replies = replySkipNext
			}
			scan.Reset()
			break
		}
		used += n
		if s.inFlight >= s.window() || int(s.tail-s.head) >= maxSlots*s.pool.shared.cfg.Window {
			s.stall(metrics.StallWindow)
		}
		if s.conn.Unsent()+s.held >= s.pool.shared.cfg.ClientOutputLimit {
			s.stall(metrics.StallOutput)
		}
	}
	if s.tail != first {
		s.remember(b[:used], first, place)
	}
	if s.at = 0; scan != nil {
		s.scan = nil
		w.giveScanner(scan)
	}
	return used
}

// protocolError answers and closes, as Redis does: after it nobody can tell where the next request begins.
func (s *Session) protocolError(err error) {
	kind, words := s.beyond(err)
	s.refuse(kind, words)
	s.closing = true
}

// Flushed is called when output was written.
func (s *Session) Flushed(unsent int) {
	if len(s.unwritten) > 0 {
		s.written(unsent)
	}
	if len(s.tardies) > 0 {
		s.lateWritten(unsent)
	}
	if s.stalls.has(metrics.StallOutput) && unsent+s.held <= s.pool.shared.cfg.ClientOutputLimit/2 {
		s.relieve(metrics.StallOutput)
	}
	if unsent == 0 {
		s.fewerSlots()
		if s.keptRequests.b != nil && s.head == s.tail {
			s.forgetKept()
		}
		if s.recall.b != nil && s.head == s.tail {
			s.forgetRequests()
		}
		s.maybeClose()
		return
	}
	s.watchPatience()
}

// watchPatience has it looked at how long the client reads nothing, while there is something to read.
func (s *Session) watchPatience() {
	if limit := s.pool.shared.cfg.ClientStall; limit > 0 && s.conn.Unsent() > 0 {
		if s.patience == nil {
			s.patience = loop.NewTimer(s.checkPatience)
		}
		if !s.patience.Set() {
			s.worker.loop.SetTimer(s.patience, limit)
		}
	}
}

// checkPatience closes a client that has not read for too long.
func (s *Session) checkPatience() {
	limit := s.pool.shared.cfg.ClientStall
	if s.conn.Closed() || s.conn.Unsent() == 0 || limit == 0 {
		return
	}
	if left := limit - s.conn.StalledFor(); left > 0 {
		s.worker.loop.SetTimer(s.patience, left)
		return
	}
	s.letGo(metrics.Stalled, "it has not read its replies for "+limit.String())
}

// Broken is called when the connection has failed.
func (s *Session) Broken(error) { s.gone() }

// gone forgets a session whose connection is closed. Its requests stay in the lanes' queues, where their replies find nobody.
func (s *Session) gone() {
	w := s.worker
	if w.forget(s); s.patience != nil {
		w.loop.StopTimer(s.patience)
	}
	if s.clock != nil {
		w.loop.StopTimer(s.clock)
	}
	if s.late != nil {
		w.loop.StopTimer(s.late)
	}
	if s.pieces != nil {
		w.loop.StopTimer(s.pieces.rest)
	}
	if s.retrying != nil {
		s.endRetrying()
	}
	s.pool.stats.BytesOut += s.conn.BytesOut
	w.loop.Release(s.in)
	if s.scan != nil {
		s.scan.Reset()
		w.giveScanner(s.scan)
	}
	s.in, s.off, s.scan = nil, 0, nil
	for ; s.head != s.tail; s.head++ {
		sl := s.slot(s.head)
		w.loop.Release(sl.buf)
		if sl.split != nil {
			sl.split.release(w)
		}
		w.forgetAgain(sl.again)
		if sl.writes != nil {
			s.abandonWrites(sl.writes)
		}
		*sl = slot{}
	}
	if len(s.slots) > fewSlots {
		w.giveSlots(s.slots)
	}
	s.slots = s.few[:]
	s.forgetKept()
	s.forgetRuns()
	s.forgetRequests()
	for _, t := range s.tardies {
		if t.traced != nil {
			s.told(t.traced)
		}
	}
	s.tardies = nil
	s.inFlight, s.held, s.joins = 0, 0, nil
	s.dropPrivate()
	s.leaveAll()
	if s.proof != nil {
		s.proof.abandon()
	}
}

// follow is called when keys may be on other nodes than before.
func (s *Session) follow(moves bool) {
	if s.inFlight > 0 { // nothing may overtake on another lane what was sent before
		s.stall(metrics.StallBarrier)
		s.conn.Pause()
	}
	if w := &s.watch; w.lane != nil && (moves || w.lane.Stale()) {
		w.lost = math.MaxUint64 // what happens to the keys from now on, this lane does not see
	}
	if moves && s.pool.follows() { // what was not sent yet may go elsewhere
		if s.watch.lane != nil {
			s.watch.lane.Reroute()
		} else if len(s.blocked) == 1 {
			s.blocked[0].Reroute()
		}
	}
	var ag *again // the blocking request, where it may be sent again
	if s.awaits != nil {
		ag = s.kept(tagOf(s.head, 0), s.slot(s.head))
	}
	switch moved := slices.ContainsFunc(s.blocked, (*pool.Lane).Moved); {
	case moved && ag != nil: // a primary that was replaced lets it go, if it still can
		s.blocked[0].Hurry()
	case moved: // nobody gives anything there any more, and to ask for an end it may be too late
		for _, la := range s.blocked {
			la.Close()
		}
	case s.awaits != nil && s.pool.find(s.awaits) != s.blocked[0].Index:
		if ag != nil {
			ag.moved = true
		}
		(&unblocking{blocked: s, lane: s.blocked[0], reason: "ERROR"}).try()
	}
}

// update finds out whether the session's requests may take the short way.
func (s *Session) update() {
	s.plain = s.authed && s.tx == nil && s.subs == nil && s.tracking == nil && !s.worker.watched && !s.pool.extras.looks()
	s.amongCopies = s.pool.copiesIn(s.db)
	s.limited = !s.user.Unlimited() || s.pool.shared.guard.denied != nil
	s.findFees(s.user)
	s.judged = s.limited || s.amongCopies || s.fees.metered() || s.pool.shared.longestKey < math.MaxInt
	if !s.pool.extras.faults {
		s.fate = undecided
	}
}

// drop closes the session without sending what was not sent.
func (s *Session) drop() {
	if s.conn.Closed() {
		return
	}
	if s.worker.leaving {
		s.conn.CloseGently()
	} else {
		s.conn.Close()
	}
	s.gone()
}

func (s *Session) age() time.Duration { return time.Duration(s.worker.loop.Now() - s.created) }
