package hotkey

import (
	"math"
	"sync/atomic"
	"time"
)

// Entry is what all loops of a process know together of a hot key: whether what they keep of it is what its node has. It stays with the key for
// as long as the key is hot. docs/decisions/0005-hot-keys.md has the protocol and why it holds.
//
//	any loop         Write  gen++, one more hold --------------> Written  one hold less
//	tracking loop           Begin: gen 7, no holds --PTTL--> node --ttl--> Publish: still gen 7: a Watch
//	                        a push of the node: Void, gen++                  |
//	any loop         Watched: read under this watch                  <-------+
//	                 Holds: still gen 7, and the lease has been renewed since the reply: it may be served
type Entry struct {
	Name []byte
	Hash uint64

	gen     atomic.Uint64
	holds   atomic.Int64  // why it can't be watched now: writes under way, loops that do not count theirs yet
	changes *atomic.Int64 // the pool's, see Tally.Change
	watch   atomic.Pointer[Watch]

	Reads    atomic.Uint64          // since it was last watched, as far as loops have told
	Wanted   atomic.Bool            // a loop has asked for it to be watched
	NotYet   atomic.Int64           // loop clock before which it is of no use to ask for that
	Pushes   atomic.Uint64          // times that its node has told of a change
	Watches  atomic.Uint64          // times that it was watched anew
	Why      atomic.Pointer[string] // why nothing is kept; nil: there is no reason
	Large    atomic.Bool            // its replies are too large for the process to keep
	Populate atomic.Bool            // a loop has asked for copies to be looked after

	version atomic.Pointer[Version]
	share   atomic.Uint64
}

// retired is more than any number of holds: the key is hot no more.
const retired = 1 << 40

// newEntry returns an entry that so many loops have to get to know.
func newEntry(name []byte, hash uint64, loops int, changes *atomic.Int64) *Entry {
	e := &Entry{Name: name, Hash: hash, changes: changes}
	e.holds.Store(int64(loops))
	return e
}

// Known is called once by each loop, when it counts all writes of the key, and those that it had sent without counting are carried out.
func (e *Entry) Known() { e.holds.Add(-1) }

// Write is called before a command that may change the key is put on a lane. Written must follow when its reply is in.
func (e *Entry) Write() {
	e.holds.Add(1)
	e.gen.Add(1)
}

// Written is called when nothing more can come of a write.
func (e *Entry) Written() { e.holds.Add(-1) }

// Void says that the key may have changed.
func (e *Entry) Void() { e.gen.Add(1) }

// Because says why nothing is kept of the key.
func (e *Entry) Because(why string) { e.Why.Store(&why) }

// retire says that loops will not count the key's writes much longer.
func (e *Entry) retire() {
	e.holds.Add(retired)
	e.gen.Add(1)
}

// Retired reports whether the key is hot no more.
func (e *Entry) Retired() bool { return e.holds.Load() >= retired/2 }

// Begin is called before the node is asked for the key on the tracking connection. ok is false if that is of no use now.
func (e *Entry) Begin() (gen uint64, ok bool) {
	gen = e.gen.Load() // first: a write that begins now is seen by its gen, one that had begun by its hold
	return gen, e.holds.Load() == 0 && e.changes.Load() == 0
}

// Publish is called with the reply to what was asked after Begin, in its turn among the pushes of the connection.
func (e *Entry) Publish(gen uint64, deadline int64, l *Lease) bool {
	if e.gen.Load() != gen {
		return false
	}
	e.watch.Store(&Watch{gen: gen, Deadline: deadline, Lease: l})
	e.Watches.Add(1)
	return true
}

// Watched returns the watch that a read which is sent to the node now is under; nil if there is none.
func (e *Entry) Watched(now int64) *Watch {
	if w := e.watch.Load(); w != nil && w.gen == e.gen.Load() && now < w.Deadline {
		return w
	}
	return nil
}

// Watch is the time from when a node has promised to tell of a change of the key, until it does.
type Watch struct {
	gen      uint64
	Deadline int64 // when the key's time to live is over, loop clock
	Lease    *Lease
}

// Holds reports whether what was read under w, and came at readAt, may be told a client now. now must be read from the clock for this: a
// process that was stopped for a while has an old idea of the time.
func (e *Entry) Holds(w *Watch, readAt, now int64, b *Bounds) bool {
	answered := w.Lease.answered.Load()
	return w.gen == e.gen.Load() && answered >= readAt && now-answered <= int64(b.Staleness) && now < w.Deadline && now-readAt <= int64(b.Age)
}

// Stands reports whether nothing has been told of a change since w began. Another watch may have followed on it.
func (e *Entry) Stands(w *Watch) bool { return w.gen == e.gen.Load() }

// Bounds are how old what is told may be.
type Bounds struct {
	Staleness time.Duration // beyond which the node must have been heard of
	Age       time.Duration // beyond which it is read again in any case: SWAPDB, and modules, change keys without a word
}

// Lease is how long ago a node was heard of on one tracking connection. It is a new one with each connection.
type Lease struct {
	answered atomic.Int64
	Wanted   atomic.Bool // a loop has asked for it to be renewed

	// Heard asks whether all that the node has told was taken, on any loop: the one that should may be waiting for a processor. Nil: nobody can say. It
	// is set before anything is published under the lease.
	Heard func() bool
}

// NewLease returns a lease that nothing holds under.
func NewLease() *Lease {
	l := &Lease{}
	l.End()
	return l
}

// Answered is called with the reply to a request that was sent at a time: all changes before it have been told.
func (l *Lease) Answered(sent int64) {
	if sent > l.answered.Load() {
		l.answered.Store(sent)
	}
}

// End says that the connection is lost.
func (l *Lease) End() { l.answered.Store(math.MinInt64 / 2) }

// Age is how long ago the newest request was sent that was answered.
func (l *Lease) Age(now int64) time.Duration { return time.Duration(now - l.answered.Load()) }
