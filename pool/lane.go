package pool

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

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
	held    []byte // requests that wait for the connection
	greets  int    // replies of the handshake still to come
	reason  string // why it is down

	lastRead int64
	attempt  int    // in a row, without success
	praised  bool   // the node has answered on this connection
	failing  bool   // failHeld is to run in this turn
	torn     []byte // an error line, as far as it has come, that may be the node's reason to close
	dial     int    // counts the attempts, so that a late answer of an old one is known
	retry    *loop.Timer
	patience *loop.Timer
	full     []Waiter // who waits for room

	stats    Stats
	requests uint64
	unused   uint64 // requests before those that this connection carries

	scripts      map[string]struct{} // digests that the node was told on this connection
	scriptsEpoch uint64

	listener *Listener // for a lane that carries subscriptions and no requests
	pushed   []byte    // a push, as far as it has come
}

// Listener is told what happens on a lane that carries subscriptions.
type Listener struct {
	Push func(b []byte)      // a whole message or confirmation; b is lent
	Up   func()              // connected: say what is listened to
	Down func(reason string) // the connection is gone
}

// Listen makes the lane one for subscriptions: everything that the node sends is a push, and when the connection is lost
// it is made again without being asked. It must be called before Open.
func (la *Lane) Listen(to Listener) {
	la.listener = &to
	la.Patient = true
}

// NewLane returns a lane that is not connected yet.
func NewLane(l *loop.Loop, n *Node, index int, key Key, opt *Options) *Lane {
	la := &Lane{Node: n, Index: index, key: key, opt: opt, loop: l}
	la.retry = loop.NewTimer(la.connect)
	la.patience = loop.NewTimer(la.checkPatience)
	return la
}

// Down reports whether requests would fail at once, and why.
func (la *Lane) Down() (reason string, is bool) { return la.reason, la.state == down }

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

// Usable reports whether the lane works, Clean whether it works and nothing is awaited on it.
func (la *Lane) Usable() bool { return la.state == ready }
func (la *Lane) Clean() bool  { return la.state == ready && la.waiting.len() == 0 }

// Lost counts the times that the lane's connection was lost or could not be made.
func (la *Lane) Lost() uint64 { return la.stats.Losses + la.stats.ConnectErrors }

// AddTo adds what the lane has counted to the shard of its node.
func (la *Lane) AddTo(n *metrics.Node) {
	if la.state == ready {
		n.Lanes++
	}
	n.Depth += la.waiting.len()
	n.Unsent += len(la.held) + la.conn.Unsent()
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

// WaitForRoom has w told once, when the lane is less than half full or has failed.
func (la *Lane) WaitForRoom(w Waiter) { la.full = append(la.full, w) }

// Send puts a whole request on the lane.
func (la *Lane) Send(request []byte, owner Owner, tag uint64) {
	la.Append(request)
	la.Expect(owner, tag)
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

// Append adds bytes of a request. Expect must follow before anything else is put on the lane.
func (la *Lane) Append(b []byte) {
	if la.state == ready {
		la.conn.Append(b)
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
		la.conn.Commit(b)
		return
	}
	la.held = b
}

// Expect queues the owner of the request just appended.
func (la *Lane) Expect(owner Owner, tag uint64) {
	la.waiting.push(waiting{owner, tag, la.loop.Now()})
	la.requests++
	switch la.state {
	case ready:
		if la.opt.Timeout > 0 && !la.Patient && !la.patience.Set() {
			la.loop.SetTimer(la.patience, la.opt.Timeout)
		}
	case idle:
		la.connect()
	case down: // the owner learns of it after it has finished what it is doing
		if !la.failing {
			la.failing = true
			la.loop.Defer(la.failHeld)
		}
	}
}

func (la *Lane) failHeld() {
	la.failing = false
	if la.state == down {
		la.failAll(la.down())
	}
}

// Open connects the lane if it has never been needed yet.
func (la *Lane) Open() {
	if la.state == idle {
		la.connect()
	}
}

func (la *Lane) connect() {
	if la.state != down {
		la.state = connecting
	}
	la.dial++
	attempt := la.dial
	la.loop.Dial(la.Node.Address, la.opt.ConnectTimeout, la.opt.KeepAlive, func(fd int, err error) {
		if attempt != la.dial {
			if err == nil {
				unix.Close(fd)
			}
			return
		}
		if err != nil {
			la.stats.ConnectErrors++
			la.fall(err.Error())
			return
		}
		la.connected(fd)
	})
}

// connected greets the node. A lane that was down asks for a sign of life first; one that was not sends its requests
// right behind the connection, unless they depend on the handshake.
func (la *Lane) connected(fd int) {
	la.scan.Reset()
	la.torn, la.praised = nil, false
	la.Number = 0
	la.unused = la.requests - uint64(la.waiting.len())
	if err := la.conn.Reinit(la.loop, fd, la); err != nil {
		unix.Close(fd)
		la.fall(err.Error())
		return
	}
	la.lastRead = la.loop.Now()
	hello := la.handshake()
	if la.greets == 0 {
		la.begin()
		return
	}
	if la.state != down {
		la.state = greeting
	}
	la.conn.Append(hello)
	limit := la.opt.ConnectTimeout
	if limit == 0 {
		limit = la.opt.Timeout
	}
	if limit > 0 {
		la.loop.SetTimer(la.patience, limit)
	}
}

// handshake builds what must be said first and counts the replies it will have.
func (la *Lane) handshake() (b []byte) {
	auth := la.opt.Password != ""
	switch {
	case la.key.RESP3 && auth:
		user := la.opt.Username
		if user == "" {
			user = "default"
		}
		b = resp.AppendCommand(b, "HELLO", "3", "AUTH", user, la.opt.Password)
		la.greets++
	case la.key.RESP3:
		b = resp.AppendCommand(b, "HELLO", "3")
		la.greets++
	case auth && la.opt.Username != "":
		b = resp.AppendCommand(b, "AUTH", la.opt.Username, la.opt.Password)
		la.greets++
	case auth:
		b = resp.AppendCommand(b, "AUTH", la.opt.Password)
		la.greets++
	}
	if la.key.Database != 0 {
		b = resp.AppendCommand(b, "SELECT", strconv.Itoa(la.key.Database))
		la.greets++
	}
	if la.greets == 0 && la.state == down {
		b = resp.AppendCommand(b, "PING")
		la.greets++
	}
	return b
}

// begin opens the lane for requests, and sends those that have been waiting.
func (la *Lane) begin() {
	la.state = ready
	la.stats.Connects++
	if la.listener != nil {
		defer la.listener.Up()
	}
	la.reason = ""
	la.loop.StopTimer(la.patience)
	if len(la.held) > 0 {
		if !la.conn.Adopt(la.held) {
			la.conn.Append(la.held)
			la.loop.Release(la.held)
		}
		la.held = nil
	}
	if la.waiting.len() > 0 && la.opt.Timeout > 0 && !la.Patient {
		la.loop.SetTimer(la.patience, la.opt.Timeout)
	}
}

// Readable reads replies and hands each to the head of the queue.
func (la *Lane) Readable() {
	b := la.loop.ReadBuffer()
	n, err := la.conn.Read(b)
	if err != nil {
		if la.state == ready && la.waiting.len() == 0 && la.listener == nil && (la.praised || la.requests == la.unused) { // a node closes what it thinks is idle: no harm done
			la.conn.Close()
			la.scan.Reset()
			la.stats.Losses++
			la.scripts = nil
			la.state = idle
		} else if err == io.EOF && len(la.torn) > 0 {
			la.lose("refused the connection: " + trimLine(la.torn))
		} else if err == io.EOF {
			la.lose("closed the connection")
		} else {
			la.lose("lost the connection: " + err.Error())
		}
		return
	}
	if n > 0 {
		la.lastRead = la.loop.Now()
		la.Data(b[:n])
	}
}

// Data takes bytes that came from the node.
func (la *Lane) Data(b []byte) {
	for len(b) > 0 && !la.conn.Closed() {
		n, done, err := la.scan.Scan(b)
		if err != nil {
			la.stats.Garbage++
			la.lose("sent something that is not RESP: " + err.Error())
			return
		}
		kind := la.scan.Kind()
		switch {
		case kind == '>' && la.listener == nil: // out of band: no request waits for it
			if done {
				la.stats.Pushes++
			}
		case la.listener != nil && la.greets == 0:
			la.push(b[:n], done)
		case la.greets > 0:
			if !la.greeted(kind, b[:n], done) {
				return
			}
		case la.waiting.len() == 0:
			if !la.unasked(kind, b[:n], done) {
				return
			}
		default:
			w := *la.waiting.first()
			if done {
				la.waiting.pop()
				if kind != '-' {
					la.praise()
				} else if !la.praised {
					la.torn = append(la.torn[:0], b[:n]...) // perhaps its parting words
				}
			}
			w.owner.Reply(w.tag, kind, b[:n], done)
		}
		b = b[n:]
	}
}

// push gathers a push and hands it over when it is whole.
func (la *Lane) push(b []byte, done bool) {
	if !done || len(la.pushed) > 0 {
		la.pushed = append(la.pushed, b...)
		b = la.pushed
	}
	if done {
		la.stats.Pushes++
		if b[0] != '-' {
			la.praise()
		}
		la.listener.Push(b)
		if cap(la.pushed) > 64<<10 {
			la.pushed = nil
		}
		la.pushed = la.pushed[:0]
	}
}

// greeted takes a reply of the handshake. It returns false if the lane is lost over it.
func (la *Lane) greeted(kind byte, b []byte, done bool) bool {
	if kind == '-' {
		la.torn = append(la.torn, b...)
		if done {
			la.refused("refused the connection: " + trimLine(la.torn))
		}
		return !done
	}
	if !done {
		return true
	}
	la.greets--
	if la.greets == 0 {
		la.praise()
		la.begin()
	}
	return true
}

// unasked takes a reply that no request waits for: the node's parting words, or a node gone mad. It returns false if the
// lane is lost over it.
func (la *Lane) unasked(kind byte, b []byte, done bool) bool {
	if kind == '-' && len(la.torn)+len(b) < 1024 {
		la.torn = append(la.torn, b...)
		if !done {
			return true
		}
		la.stats.Garbage++
		la.lose("refused the connection: " + trimLine(la.torn))
		return false
	}
	la.stats.Garbage++
	la.lose("sent a reply that nothing had asked for")
	return false
}

func trimLine(b []byte) string {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == '\r' || b[len(b)-1] == '\n') {
		b = b[:len(b)-1]
	}
	return string(b)
}

// Flushed tells those who wait for room.
func (la *Lane) Flushed(unsent int) {
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
func (la *Lane) Broken(err error) { la.lose("lost the connection: " + err.Error()) }

// checkPatience gives a silent node up.
func (la *Lane) checkPatience() {
	if la.conn.Closed() || la.state == connecting {
		return
	}
	limit := la.opt.Timeout
	if la.greets > 0 && la.opt.ConnectTimeout > 0 {
		limit = la.opt.ConnectTimeout
	} else if la.greets == 0 {
		if la.waiting.len() == 0 || limit == 0 || la.Patient {
			return
		}
	}
	since := la.lastRead
	if la.greets == 0 {
		since = max(since, la.waiting.first().since)
	}
	if la.conn.Unsent() > 0 {
		since = max(since, la.conn.LastWrite())
	}
	if left := time.Duration(since-la.loop.Now()) + limit; left > 0 {
		la.loop.SetTimer(la.patience, left)
		return
	}
	la.stats.Timeouts++
	la.conn.Close()
	la.fallAfterLoss(fmt.Sprintf("did not answer within %v", limit))
}

// lose gives the connection up. Whatever was sent and not answered fails: it may have been carried out, so it is never sent
// again. A lane that was working is connected again at once.
func (la *Lane) lose(reason string) {
	la.conn.Close()
	la.scan.Reset()
	la.torn = nil
	if la.listener != nil {
		la.pushed = la.pushed[:0]
		la.listener.Down(reason)
	}
	if la.state == ready && la.attempt == 0 {
		la.stats.Losses++
		la.countFailure()
		la.attempt++
		la.state = connecting
		la.failAll(fmt.Sprintf("ERR node %s %s", la.Node.Label(), reason))
		if la.state == connecting {
			la.connect()
		}
		return
	}
	la.fallAfterLoss(reason)
}

func (la *Lane) countFailure() {
	times := la.Node.fail(la.loop.Now())
	if la.opt.OnFailure != nil {
		la.opt.OnFailure(la.Index, times)
	}
}

// praise forgets past failures: the node has answered.
func (la *Lane) praise() {
	la.attempt, la.praised, la.torn = 0, true, la.torn[:0]
	if !la.Node.Up() {
		la.Node.downUntil.Store(0)
		if la.opt.OnChange != nil {
			la.opt.OnChange(la.Node, true, "")
		}
	}
	if la.Node.failures.Load() != 0 {
		la.Node.Forgive()
	}
}

func (la *Lane) fallAfterLoss(reason string) {
	la.stats.Losses++
	la.fall(reason)
}

// fall marks the node and the lane as down.
func (la *Lane) fall(reason string) {
	was := la.state
	la.countFailure()
	la.Node.downUntil.Store(1)
	la.rest(reason)
	if was != down && la.opt.OnChange != nil {
		la.opt.OnChange(la.Node, false, reason)
	}
	la.failAll(la.down())
}

// refused is for a node that answers the handshake with an error: a wrong password, a database that it does not have. It is alive,
// so only this lane is down.
func (la *Lane) refused(reason string) {
	was := la.state
	la.conn.Close()
	la.stats.Losses++
	la.rest(reason)
	if was != down && la.opt.OnRefusal != nil {
		la.opt.OnRefusal(la.Node, reason)
	}
	la.failAll(la.down())
}

// rest plans the next attempt.
func (la *Lane) rest(reason string) {
	la.dial++ // what is under way does not count any more
	la.state = down
	la.greets = 0
	la.reason = reason
	la.torn = nil
	la.scan.Reset()
	if la.listener != nil {
		la.listener.Down(reason)
	}
	la.attempt++
	la.loop.StopTimer(la.patience)
	wait := min(firstRetry<<min(la.attempt-1, 10), lastRetry)
	wait = wait/2 + rand.N(wait/2)
	la.loop.SetTimer(la.retry, wait)
}

// down is what a client is told while the node is down.
func (la *Lane) down() string {
	return fmt.Sprintf("ERR node %s is down: %s", la.Node.Label(), la.reason)
}

// failAll fails everything that waits.
func (la *Lane) failAll(message string) {
	la.scripts = nil
	la.loop.Release(la.held)
	la.held = nil
	for n := la.waiting.len(); n > 0 && la.waiting.len() > 0; n-- { // only those that wait now: an owner may send again, or close the lane
		w := *la.waiting.first()
		la.waiting.pop()
		w.owner.Fail(w.tag, message)
	}
	la.tellRoom()
}

// Close gives the lane up for good.
func (la *Lane) Close() {
	la.dial++
	la.loop.StopTimer(la.retry)
	la.loop.StopTimer(la.patience)
	if la.state == ready || la.greets > 0 {
		la.conn.CloseNow()
	}
	la.state, la.greets, la.torn = idle, 0, nil
	la.failAll(fmt.Sprintf("ERR node %s was taken out of the pool", la.Node.Label()))
}
