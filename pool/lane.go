package pool

import (
	"fmt"
	"time"
	"unsafe"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// A lane's life:
//
//	idle --request--> connecting --(handshake)--> ready --lost--> connecting
//	                      |                         ^               |
//	                      +--failed--> down --probe +               +--failed--> down
//
// While it connects, requests queue up behind it; they have not been sent, and wait no longer than the connect time-out.
// While it is down they fail at once, and the lane tries to come back by itself: connect, handshake or PING, ready.
type state uint8

const (
	idle state = iota
	connecting
	greeting // connected, the handshake's replies are awaited
	ready
	down
)

// Back-off between attempts to reach a node that is down. The upper bound keeps a returned node waiting less than a second.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 800 * time.Millisecond
)

// Key tells the lanes of one node on one loop apart.
type Key struct {
	RESP3    bool
	Database int

	// User and Password are whom the node is to take us for, in place of whom the node's settings name. An empty User leaves it to those.
	User, Password string
}

// Lane is one pipelined connection to a node.
type Lane struct {
	Node    *Node
	Index   int   // of the node in its pool
	Patient bool  // a private lane that waits as long as the node likes
	Spent   bool  // a private lane that must not be used again
	Number  int64 // of a private lane: its client id at the node, 0 if that is not known
	key     Key
	opt     *Options
	loop    *loop.Loop

	state   state
	conn    loop.Conn
	scan    resp.ReplyScanner
	waiting queue
	load    *Load
	held    []byte // requests that wait for the connection
	greets  int    // replies of the handshake still to come
	reason  string // why it is down
	address string // where it was connected to, or is being connected to
	downAt  int64  // since when it has been down
	leaving func() // called when all it carries is answered: it takes nothing more

	tick     time.Duration // how often a silent node is looked at, 0: never
	put      uint64        // bytes put on the lane until the last Expect
	weighing bool          // put is right
	lastRead int64
	before   int64  // lastRead until the bytes that are being looked at came
	met      int64  // when it was connected
	size     int    // bytes of a reply that comes in pieces, as far as it has come
	nameless bool   // of it there is an attribute, and no type yet
	attempt  int    // in a row, without success
	praised  bool   // the node has answered on this connection
	failing  bool   // failHeld is to run in this turn
	torn     []byte // an error line, as far as it has come, that may be the node's reason to close
	dial     int    // counts the attempts, so that a late answer of an old one is known
	retry    *loop.Timer
	patience *loop.Timer
	hope     *loop.Timer // runs while what was not sent waits for a node that is down
	full     []Waiter    // who waits for room

	stats    Stats
	requests uint64
	unused   uint64 // requests before those that this connection carries

	scripts      map[string]struct{} // digests that the node was told on this connection
	scriptsEpoch uint64

	clock   *Clock          // nil: nobody asks for it
	phases  *metrics.Phases // of its node
	flights flights

	listener *Listener // for a lane that carries subscriptions and no requests
	pushed   []byte    // a push, as far as it has come
	pinged   int64     // when the last heartbeat was asked for
}

// NewLane returns a lane that is not connected yet.
func NewLane(l *loop.Loop, n *Node, index int, key Key) *Lane {
	la := &Lane{Node: n, Index: index, key: key, loop: l, load: &unbounded}
	la.look()
	la.retry = loop.NewTimer(la.connect)
	la.patience = loop.NewTimer(la.checkPatience)
	la.hope = loop.NewTimer(la.despair)
	return la
}

// look takes over where the node is now, and its settings.
func (la *Lane) look() {
	la.address, la.opt = la.Node.Address(), la.Node.Options()
	la.tick = la.opt.shortest()
}

// Down reports whether requests would fail at once, and why.
func (la *Lane) Down() (reason string, is bool) { return la.reason, la.state == down }

// Key is the RESP version and the database of the lane.
func (la *Lane) Key() Key { return la.key }

// Requests counts those that were ever put on the lane.
func (la *Lane) Requests() uint64 { return la.requests }

// answers counts the requests that are answered or failed.
func (la *Lane) answers() uint64 { return la.requests - uint64(la.waiting.len()) }

// Depth returns how many replies are awaited.
func (la *Lane) Depth() int { return la.waiting.len() }

// Scripts returns the set of script digests that the node has been told on this connection, for the caller to keep. It is empty
// in a new epoch.
func (la *Lane) Scripts(epoch uint64) map[string]struct{} {
	if la.scripts == nil || la.scriptsEpoch != epoch {
		la.scripts, la.scriptsEpoch = map[string]struct{}{}, epoch
	}
	return la.scripts
}

// Usable reports whether the lane works. One that is just telling of its loss does not.
func (la *Lane) Usable() bool { return la.state == ready && !la.conn.Closed() }

// Fit reports whether the lane can be lent: it works, and the node has not closed it a moment ago. What is still awaited on it nobody
// waits for.
func (la *Lane) Fit() bool { return la.Usable() && (la.waiting.len() > 0 || la.conn.Quiet()) }

// FD is the descriptor of the present connection.
func (la *Lane) FD() int { return la.conn.FD() }

// Lost counts the times that the lane's connection was lost or could not be made.
func (la *Lane) Lost() uint64 { return la.stats.Losses + la.stats.ConnectErrors }

// AddTo adds what the lane has counted, and its state, to the shard of its node.
func (la *Lane) AddTo(n *metrics.Node) {
	if la.state == ready {
		n.Lanes++
	}
	n.Depth += la.waiting.len()
	n.Unsent += len(la.held) + la.conn.Unsent()
	la.addCounters(n)
}

// Size is how many bytes the lane takes, with what waits on it.
func (la *Lane) Size() int {
	return int(unsafe.Sizeof(*la)) + cap(la.held) + la.conn.Holds() + len(la.waiting.ring)*int(unsafe.Sizeof(waiting{})) + cap(la.flights.marks)*int(unsafe.Sizeof(mark{}))
}

func (la *Lane) addCounters(n *metrics.Node) {
	n.Requests += la.requests
	n.BytesIn += la.conn.BytesIn
	n.BytesOut += la.conn.BytesOut
	n.Connects += la.stats.Connects
	n.ConnectErrors += la.stats.ConnectErrors
	n.Losses += la.stats.Losses
	n.Timeouts += la.stats.Timeouts
	n.Garbage += la.stats.Garbage
}

// Full reports whether so much is unsent that no more should be added. WaitForRoom tells when that has changed.
func (la *Lane) Full() bool {
	return len(la.held)+la.conn.Unsent() > la.opt.OutputLimit
}

// Busy reports whether a request must not be put on the lane now: there is no room for it, or the node has as many as it may.
func (la *Lane) Busy() bool { return la.Overloaded() || la.Full() }

// Overloaded reports whether the node has as many requests of this loop as it may.
func (la *Lane) Overloaded() bool { return la.load.bounded && la.load.over() }

// Overload says so to a client.
func (la *Lane) Overload() string {
	requests, bytes := la.load.inFlight()
	if la.load.most > 0 && requests >= la.load.most {
		return fmt.Sprintf("node %s is overloaded: %d requests in flight", la.label(), requests)
	}
	return fmt.Sprintf("node %s is overloaded: %d bytes of requests in flight", la.label(), bytes)
}

// WaitForRoom has w told once, when the lane is less than half full or has failed.
func (la *Lane) WaitForRoom(w Waiter) { la.full = append(la.full, w) }

// Send puts a whole request on the lane.
func (la *Lane) Send(request []byte, owner Owner, tag uint64) { la.SendAs(Other, request, owner, tag) }

// SendAs is Send for a request of some class.
func (la *Lane) SendAs(class Class, request []byte, owner Owner, tag uint64) {
	la.Append(request)
	la.ExpectAs(class, owner, tag)
}

// Adopt takes over a large request's buffer instead of copying it, if nothing is queued before it. If it returns false nothing
// has happened; otherwise Expect must follow.
func (la *Lane) Adopt(request []byte) bool {
	if la.state == ready {
		return la.conn.Adopt(request)
	}
	if len(la.held) > 0 {
		return false
	}
	la.loop.Release(la.held)
	la.held = request
	return true
}

// Append adds bytes of a request. Expect must follow before anything else is put on the lane. They are sent when the loop has
// nothing else to do, with what other clients ask of the node meanwhile.
func (la *Lane) Append(b []byte) {
	if la.state == ready {
		la.conn.AppendLazily(b)
		return
	}
	la.held = la.loop.Append(la.held, b)
}

// Extend lends the lane's output for appending n bytes at most of a request; Commit takes it back.
func (la *Lane) Extend(n int) []byte {
	if la.state == ready {
		return la.conn.Extend(n)
	}
	la.held = la.loop.Grow(la.held, n)
	return la.held
}

// Commit takes back what Extend lent. Expect must follow, as after Append.
func (la *Lane) Commit(b []byte) {
	if la.state == ready {
		la.conn.CommitLazily(b)
		return
	}
	la.held = b
}

// Expect queues the owner of the request just appended.
func (la *Lane) Expect(owner Owner, tag uint64) { la.ExpectAs(Other, owner, tag) }

// ExpectAs is Expect for a request of some class.
func (la *Lane) ExpectAs(class Class, owner Owner, tag uint64) {
	la.waiting.push(waiting{owner, tag, la.loop.Now()>>classBits<<classBits | int64(class)})
	la.requests++
	if la.load.mostBytes > 0 {
		la.weigh()
	}
	switch la.state {
	case ready:
		if la.tick > 0 && !la.Patient && !la.patience.Set() {
			la.loop.SetTimer(la.patience, la.tick)
		}
	case idle:
		if reason, is := la.Node.Unfit(); is {
			la.rest(reason)
			la.failSoon()
			return
		}
		la.connect()
	case down:
		la.failSoon()
	}
}

// failSoon fails what is held by a lane that is down, after the owner has finished what it is doing.
func (la *Lane) failSoon() {
	if !la.failing && !la.hope.Set() {
		la.failing = true
		la.loop.Defer(la.failHeld)
	}
}

// weigh counts the bytes of the request just queued: what was put on the lane since the one before.
func (la *Lane) weigh() {
	now := la.allPut()
	if !la.weighing { // the bound came while this lane was at work
		la.weighing, la.put = true, now
	}
	la.waiting.weigh(max(0, int(now)-int(la.put)))
	la.put = now
}

// allPut is how many bytes were ever put on the lane, but for those that were lost unsent.
func (la *Lane) allPut() uint64 { return la.conn.BytesOut + uint64(la.conn.Unsent()+len(la.held)) }

func (la *Lane) failHeld() {
	la.failing = false
	if la.state == down && !la.hope.Set() {
		la.failAll(la.down(), false)
	}
}

// Flushed tells those who wait for room.
func (la *Lane) Flushed(unsent int) {
	if la.clock != nil && la.state == ready {
		la.flights.written(la.requests, la.conn.BytesOut+uint64(unsent), unsent, la.loop.WriteTime())
	}
	if len(la.full) > 0 && unsent+len(la.held) <= la.opt.OutputLimit/2 {
		la.tellRoom()
	}
}

// tellRoom takes the list off first: whoever is told may fill the lane and wait again.
func (la *Lane) tellRoom() {
	told := la.full
	la.full = nil
	for _, w := range told {
		w.LaneHasRoom()
	}
}

// Broken is the connection's call when a write has failed.
func (la *Lane) Broken(err error) { la.lose("lost the connection: " + err.Error() + la.suspicion()) }
