package proxy

import (
	"errors"
	"strconv"
	"time"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// A move takes a key from its old node a to its new one b (docs/decisions/0004-warm-scaling.md). p is a private lane to b.
//
//	1  p: SET marker NX PX, WATCH marker, EXISTS marker, EXISTS key
//	2  a: MULTI, PTTL key, DUMP key, UNLINK key, EXEC
//	3  p: MULTI, RESTORE key, UNLINK marker, EXEC
//
// Each write removes the marker, so 3 does nothing if one has come between. There is one move of a key on a loop; whoever wants the key
// meanwhile joins it.
type move struct {
	ps      *poolState
	id      moveID
	mv      *moving
	a, b    int
	lane    *pool.Lane // p
	lost    uint64     // what p had lost when the marker was set
	round   int        // replies of an older round are nobody's
	began   int64      // 1
	took    int64      // 2
	first   int64
	tries   int
	replies [4]int64 // of 1
	pending int
	taken   []byte
	put     []byte
	waiters []moveWaiter
}

type moveID struct {
	db  int
	key string
}

// moveWaiter is who wants a key moved: op.moved is called with the result.
type moveWaiter struct {
	op    *op
	key   int // its index in op.keys
	since int64
}

// moves are those of a loop, for one pool.
type moves struct {
	under  map[moveID]*move
	stocks map[moveStock]*stock // of private lanes
}

type moveStock struct{ db, node int }

type stock struct {
	free  []*pool.Lane
	out   int
	queue []*move // those that wait for a lane
}

const mostMoves = 16 // at a time, for each node and database on a loop

// Results of a move, as metrics.Move; moveFailed is for one that could not be carried out, moveBusy for a key that somebody else is moving.
const (
	moveMoved  = int(metrics.MoveMoved)
	moveAbsent = int(metrics.MoveAbsent)
	moveThere  = int(metrics.MoveThere)
	moveDrop   = int(metrics.MoveAborted)
	moveLost   = int(metrics.MoveLost)
	moveBusy   = -1
	moveFailed = -2
)

func markerOf(key string) string { return reservedPrefix + "move:" + key }

var unwatchRequest = []byte("*1\r\n$7\r\nUNWATCH\r\n")

// bring moves key i of op, which is told with moved, later.
func (ps *poolState) bring(o *op, i int) {
	mv, key := o.mv, o.keys[i]
	id := moveID{o.set.Key.Database, key}
	w := moveWaiter{o, i, ps.worker.loop.Now()}
	if m := ps.moves.under[id]; m != nil {
		m.waiters = append(m.waiters, w)
		return
	}
	m := &move{ps: ps, id: id, mv: mv, a: mv.from([]byte(key)), b: mv.to([]byte(key)), waiters: []moveWaiter{w}, first: w.since}
	if ps.moves.under == nil {
		ps.moves.under, ps.moves.stocks = map[moveID]*move{}, map[moveStock]*stock{}
	}
	ps.moves.under[id] = m
	st := ps.moves.stock(m)
	if st.out >= mostMoves {
		st.queue = append(st.queue, m)
		return
	}
	m.begin(st)
}

func (ms *moves) stock(m *move) *stock {
	k := moveStock{m.id.db, m.b}
	st := ms.stocks[k]
	if st == nil {
		st = &stock{}
		ms.stocks[k] = st
	}
	return st
}

func (m *move) set() *pool.Set { return m.ps.set(pool.Key{Database: m.id.db}) }

// goesOn reports whether keys may be moved still.
func (m *move) goesOn() bool {
	cur := m.ps.topo.moving
	return cur != nil && cur.kind == warmWarm && cur.next == m.mv.next && cur.old == m.mv.old
}

// begin takes a lane and goes the first step.
func (m *move) begin(st *stock) {
	st.out++
	for m.lane == nil && len(st.free) > 0 {
		la := st.free[len(st.free)-1]
		st.free = st.free[:len(st.free)-1]
		if la.Fit() && !la.Stale() {
			m.lane = la
		} else {
			m.set().Discard(la)
		}
	}
	if m.lane == nil {
		m.lane = m.set().NewLane(m.b)
		m.lane.Open()
	}
	m.look()
}

// look is step 1.
func (m *move) look() {
	if !m.goesOn() {
		m.end(moveFailed, errMoving)
		return
	}
	m.round++
	m.began, m.lost, m.pending = m.ps.worker.loop.Now(), m.lane.Lost(), 4
	marker := markerOf(m.id.key)
	px := strconv.FormatInt(m.mv.t.marker.Milliseconds(), 10)
	m.lane.Send(resp.AppendCommand(nil, "SET", marker, "1", "NX", "PX", px), m, m.tag(0))
	m.lane.Send(resp.AppendCommand(nil, "WATCH", marker), m, m.tag(1))
	m.lane.Send(resp.AppendCommand(nil, "EXISTS", marker), m, m.tag(2))
	m.lane.Send(resp.AppendCommand(nil, "EXISTS", m.id.key), m, m.tag(3))
}

const (
	moveTaken = 4 // the tag of the reply of 2
	movePut   = 5 // of 3
)

func (m *move) tag(i int) uint64 { return uint64(m.round)<<8 | uint64(i) }

// Reply takes the next bytes of a reply.
func (m *move) Reply(tag uint64, kind byte, b []byte, done bool) {
	if int(tag>>8) != m.round {
		return
	}
	switch i := int(tag & 255); i {
	case moveTaken:
		m.taken = append(m.taken, b...)
		if done {
			m.restore()
		}
	case movePut:
		m.put = append(m.put, b...)
		if done {
			result := putResult(m.put)
			m.end(result, trimmed(m.put))
		}
	default:
		if !done {
			return
		}
		if kind == '-' {
			m.unmark(i > 0)
			m.end(moveFailed, trimmed(b))
			return
		}
		m.replies[i] = 0
		if kind == '+' || string(b) == ":1\r\n" {
			m.replies[i] = 1
		}
		if m.pending--; m.pending == 0 {
			m.looked()
		}
	}
}

// Fail says that there is no reply.
func (m *move) Fail(tag uint64, reason string, sent bool) {
	if int(tag>>8) != m.round {
		return
	}
	if tag&255 >= moveTaken {
		if tag&255 == moveTaken { // the value may be on its way to nobody
			m.unmark(true)
		}
		if sent {
			m.ps.stats.Moves[metrics.MoveLost]++
		}
	}
	m.end(moveFailed, reason)
}

// unmark takes the marker away, so that others need not wait for its end.
func (m *move) unmark(own bool) {
	m.lane.Send(unwatchRequest, nobody{}, 0)
	if own {
		m.lane.Send(resp.AppendCommand(nil, "UNLINK", markerOf(m.id.key)), nobody{}, 0)
	}
}

// looked goes on behind step 1.
func (m *move) looked() {
	switch {
	case m.replies[0] == 0 || m.replies[2] == 0: // somebody else moves it, or the marker is gone already
		m.lane.Send(unwatchRequest, nobody{}, 0)
		m.busy()
	case m.replies[3] != 0:
		m.unmark(true)
		m.end(moveThere, "")
	case !m.goesOn():
		m.unmark(true)
		m.end(moveFailed, errMoving)
	default:
		lane := m.set().Lane(m.a)
		m.took = m.ps.worker.loop.Now()
		m.taken = m.taken[:0]
		lane.Append(multiRequest)
		lane.Append(resp.AppendCommand(nil, "PTTL", m.id.key))
		lane.Append(resp.AppendCommand(nil, "DUMP", m.id.key))
		lane.Append(resp.AppendCommand(nil, "UNLINK", m.id.key))
		lane.Append(execRequest)
		for range 4 {
			lane.Expect(nobody{}, 0)
		}
		lane.Expect(m, m.tag(moveTaken))
	}
}

// busy tries again in a while. Reads wait less long than writes.
func (m *move) busy() {
	now := m.ps.worker.loop.Now()
	patience := int64(m.ps.shared.cfg.Timeout)
	if patience == 0 {
		patience = 2 * int64(m.mv.t.marker)
	}
	kept := m.waiters[:0:0]
	for _, w := range m.waiters {
		limit := patience
		if w.op.reads {
			limit = int64(m.mv.t.await)
		}
		if now-w.since < limit {
			kept = append(kept, w)
		} else {
			m.tell(w, moveBusy, errBusyMoving)
		}
	}
	if m.waiters = kept; len(kept) == 0 {
		m.end(moveBusy, errBusyMoving)
		return
	}
	pause := time.Millisecond << min(m.tries, 5)
	m.tries++
	m.ps.worker.loop.SetTimer(loop.NewTimer(m.look), pause)
}

// restore is step 3.
func (m *move) restore() {
	ttl, dump, err := parseTaken(m.taken)
	now := m.ps.worker.loop.Now()
	clock := loop.Clock()
	switch {
	case err != nil:
		m.unmark(true)
		m.end(moveFailed, err.Error())
		return
	case dump == nil:
		m.unmark(true)
		m.end(moveAbsent, "")
		return
	case m.lane.Lost() != m.lost || clock-m.began >= int64(m.mv.t.attempt) || !m.mv.lease.Valid():
		m.unmark(true)
		m.end(moveLost, "it took too long")
		return
	}
	ttl, expired := ttlLeft(ttl, now-m.took)
	if expired {
		m.unmark(true)
		m.end(moveAbsent, "")
		return
	}
	m.put = m.put[:0]
	b := append([]byte(nil), multiRequest...)
	b = resp.AppendArray(b, 4)
	b = resp.AppendBulkString(b, "RESTORE")
	b = resp.AppendBulkString(b, m.id.key)
	b = resp.AppendBulkString(b, strconv.FormatInt(ttl, 10))
	b = resp.AppendBulk(b, dump)
	b = append(b, resp.AppendCommand(nil, "UNLINK", markerOf(m.id.key))...)
	b = append(b, execRequest...)
	m.lane.Append(b)
	for range 3 {
		m.lane.Expect(nobody{}, 0)
	}
	m.lane.Expect(m, m.tag(movePut))
	m.taken = nil
}

// end gives the lane back and tells those who wait.
func (m *move) end(result int, reason string) {
	ps := m.ps
	m.round++
	if result >= 0 {
		ps.stats.Moves[result]++
	}
	delete(ps.moves.under, m.id)
	st := ps.moves.stock(m)
	st.out--
	if m.lane.Usable() && len(st.free) < mostMoves && m.goesOn() {
		st.free = append(st.free, m.lane)
	} else {
		set, lane := m.set(), m.lane
		ps.worker.loop.Defer(func() { set.Discard(lane) }) // it is in the middle of handing a reply over
	}
	if len(st.queue) > 0 {
		next := st.queue[0]
		st.queue = st.queue[1:]
		ps.worker.loop.Defer(func() { next.begin(st) })
	}
	waiters := m.waiters
	m.waiters = nil
	for _, w := range waiters {
		m.tell(w, result, reason)
	}
}

// tell tells one who waits, later in the turn.
func (m *move) tell(w moveWaiter, result int, reason string) {
	m.ps.worker.loop.Defer(func() { w.op.moved(w.key, result, reason) })
}

// discardFree closes the lanes that no move uses.
func (ms *moves) discardFree(ps *poolState) {
	for k, st := range ms.stocks {
		for _, la := range st.free {
			ps.set(pool.Key{Database: k.db}).Discard(la)
		}
		st.free = nil
	}
}

// parseTaken reads the reply of step 2. The dump is nil if there was nothing.
func parseTaken(b []byte) (ttl int64, dump []byte, err error) {
	if b[0] == '-' {
		return 0, nil, errors.New(trimmed(b))
	}
	list := elements(b)
	if len(list) != 3 {
		return 0, nil, errors.New("ERR the old node's answer can't be read")
	}
	for _, e := range list {
		if e[0] == '-' {
			return 0, nil, errors.New(trimmed(e))
		}
	}
	if isNull(list[1]) {
		return 0, nil, nil
	}
	ttl, _ = resp.Int(list[0])
	return ttl, text(list[1]), nil
}

// ttlLeft is the time to live, in milliseconds and 0 for none, so many nanoseconds after it was asked for.
func ttlLeft(ttl, since int64) (left int64, expired bool) {
	if ttl < 0 {
		return 0, false
	}
	left = ttl - since/int64(time.Millisecond)
	return left, left <= 0
}

// putResult reads the reply of step 3.
func putResult(b []byte) int {
	list := elements(b)
	switch {
	case len(list) == 2 && list[0][0] == '+':
		return moveMoved
	case len(list) == 2 && string(list[0][:min(len(list[0]), 8)]) == "-BUSYKEY":
		return moveDrop
	case len(list) == 0 && b[0] != '-':
		return moveDrop // nil: the marker was gone
	}
	return moveLost
}
