// Package loop is the event loop that everything on Ringway's data path lives on: readiness, reads, timers, and one
// write per connection at the end of each turn.
//
// A turn is: wait, hand every ready descriptor to its owner, run what was posted or has come due, write what has been
// appended to the connections, close what was given up. Owners only append to buffers while a turn runs; nothing
// is written before its end, so that many small replies leave in one system call.
//
// Nothing here knows Redis. All methods but Post, Stop and Stopped must be called on the loop's own goroutine.
package loop

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// ReadSize is how many bytes one read takes at most. Larger reads do not make anything faster, and smaller ones
// do not make anything fairer: the window per client does that.
const ReadSize = 64 << 10

// Output that is held back because more is coming waits no longer than this, and is no more than this. A pipeline's replies come
// from several nodes in several turns; sent in one write they cost the client and us a fraction.
const (
	holdTime  = 100 * time.Microsecond
	holdBytes = 16 << 10
)

// Source owns a descriptor that the loop watches.
type Source interface {
	// Ready is called once a turn while the descriptor is readable, writable or broken.
	Ready(readable, writable, broken bool)
}

// Loop is one event loop. The zero value is not usable; call New.
type Loop struct {
	ID   int
	poll *poller

	now     int64 // nanoseconds since start-up, read once a turn
	wrote   int64 // the same, read before what a turn has to write
	readBuf []byte
	records []byte // as readBuf, for TLS; nil until a connection speaks it
	bufs    buffers
	timers  timers
	sources []Source // by descriptor

	flush    []*Conn // connections with something to write in this turn
	held     []*Conn // connections whose output may wait for more
	again    []*Conn // connections that have read more than their owners
	deferred []func()
	spare    []func() // the deferred list of the turn before, kept for its memory
	closing  []int    // descriptors to close at the end of the turn

	farewells int // see CloseGently

	mu      sync.Mutex
	posted  []func()
	stopped bool
	done    chan struct{}

	// Turns and Panics count turns taken and panics survived, for metrics.
	Turns, Panics uint64
}

var start = time.Now()

// Clock returns nanoseconds since the process started, on the monotonic clock. Loops read it once a turn.
func Clock() int64 { return int64(time.Since(start)) }

// New opens a loop. Run must be called to make it turn.
func New(id int) (*Loop, error) {
	p, err := openPoller()
	if err != nil {
		return nil, err
	}
	l := &Loop{ID: id, poll: p, readBuf: make([]byte, ReadSize), now: Clock(), done: make(chan struct{})}
	return l, nil
}

// Run turns the loop until Stop is called.
func (l *Loop) Run() error {
	defer close(l.done)
	defer l.endFarewells()
	return l.poll.run(l)
}

// Now returns the turn's time in nanoseconds since start-up.
func (l *Loop) Now() int64 { return l.now }

// WriteTime returns when this turn's writes began: a call of Flushed is told of a write at that time. What a turn takes lies between it and Now.
func (l *Loop) WriteTime() int64 { return l.wrote }

// ReadBuffer returns the loop's one read buffer. It is lent: the next reader overwrites it.
func (l *Loop) ReadBuffer() []byte { return l.readBuf }

// recordBuffer is ReadBuffer for what is not yet decrypted.
func (l *Loop) recordBuffer() []byte {
	if l.records == nil {
		l.records = make([]byte, ReadSize)
	}
	return l.records
}

// Post runs f on the loop, in its next turn. It may be called from any goroutine; after Stop it does nothing and
// returns false.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.post(f)
}

func (l *Loop) post(f func()) bool {
	if l.stopped {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		l.poll.wake()
	}
	return true
}

// Stop ends the loop after its current turn. Functions posted before it still run. Connections are not closed.
func (l *Loop) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.post(l.poll.stop)
	l.stopped = true // from here on nobody rings the bell, whose descriptor the end of Run closes
}

// Done is closed when Run has returned.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Defer runs f later in this turn, before the writes.
func (l *Loop) Defer(f func()) { l.deferred = append(l.deferred, f) }

// event hands a ready descriptor to its owner. A panic costs that connection, not the process.
func (l *Loop) event(fd int, readable, writable, broken bool) {
	if fd >= len(l.sources) || l.sources[fd] == nil {
		return // given up earlier in this turn
	}
	l.sources[fd].Ready(readable, writable, broken)
}

// beginTurn reads the clock.
func (l *Loop) beginTurn() {
	l.now = Clock()
	l.Turns++
}

// endTurn runs what came due or was posted, then writes, then closes. Posting and deferring during the writes is
// allowed: the turn goes on until nothing is left, except for posts, which wait for the next turn so that I/O runs.
func (l *Loop) endTurn() {
	l.guard("timer", nil, func() { l.timers.fire(l.now) })
	l.releaseHeld(int64(holdTime))
	for {
		if len(l.deferred) > 0 {
			run := l.deferred
			l.deferred, l.spare = l.spare[:0], nil
			for i, f := range run {
				l.guard("deferred", nil, f)
				run[i] = nil
			}
			l.spare = run[:0]
			continue
		}
		if len(l.again) > 0 {
			l.readAgain()
			continue
		}
		if len(l.flush) > 0 {
			l.flushAll()
			continue
		}
		break
	}
	for _, fd := range l.closing {
		closeFD(fd)
	}
	l.closing = l.closing[:0]
	l.poll.arm(l.timers.next(), l.now)
}

// releaseHeld has the output written that has been held for as long as given.
func (l *Loop) releaseHeld(age int64) {
	kept := l.held[:0]
	for _, c := range l.held {
		switch {
		case c.closed || c.scheduled || c.sent == len(c.out):
			c.held = false
		case l.now-c.heldAt >= age:
			c.held = false
			c.Schedule()
		default:
			kept = append(kept, c)
		}
	}
	clear(l.held[len(kept):])
	l.held = kept
}

// idle writes what is held: nothing else is ready.
func (l *Loop) idle() {
	l.beginTurn()
	l.releaseHeld(0)
	l.endTurn()
}

func (l *Loop) flushAll() {
	l.wrote = Clock()
	// Conns scheduled while this runs are appended and written in the same pass.
	for i := 0; i < len(l.flush); i++ {
		c := l.flush[i]
		l.flush[i] = nil
		c.scheduled = false
		c.write()
	}
	l.flush = l.flush[:0]
}

// readAgain has those read for whom no event will come, once; who has still more is read after the others.
func (l *Loop) readAgain() {
	for i, n := 0, len(l.again); i < n; i++ {
		c := l.again[i]
		l.again[i] = nil
		if c.tls != nil && c.tls.queued {
			c.tls.queued = false
			c.Ready(true, false, false)
		}
	}
	n := 0
	for _, c := range l.again {
		if c != nil {
			l.again[n] = c
			n++
		}
	}
	clear(l.again[n:])
	l.again = l.again[:n]
}

// runPosted runs what other goroutines have asked for until now.
func (l *Loop) runPosted() {
	l.mu.Lock()
	run := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range run {
		l.guard("posted", nil, f)
	}
}

// Watch makes s the owner of fd and asks for events. Want is a mask of Readable and Writable.
func (l *Loop) Watch(fd int, s Source, want Interest) error {
	if err := l.poll.add(fd, want); err != nil {
		return err
	}
	for fd >= len(l.sources) {
		l.sources = append(l.sources, make([]Source, len(l.sources)+64)...)
	}
	l.sources[fd] = s
	return nil
}

// Change replaces the events asked for.
func (l *Loop) Change(fd int, want Interest) error { return l.poll.modify(fd, want) }

// Close forgets fd now and closes it at the end of the turn: were it closed at once, a connection accepted later
// in the turn could get its number, and with it events that were meant for the old one.
func (l *Loop) Close(fd int) {
	if fd < len(l.sources) && l.sources[fd] != nil {
		l.sources[fd] = nil
		l.poll.remove(fd)
	}
	l.closing = append(l.closing, fd)
}

// guard runs f and turns a panic into a log line, and into the loss of the connection that it was for if lose is given.
func (l *Loop) guard(what string, lose func(), f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.Panics++
			slog.Error("bug: survived a panic", "where", what, "panic", r, "stack", string(debug.Stack()))
			if lose != nil {
				lose()
			}
		}
	}()
	f()
}
