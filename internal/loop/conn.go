package loop

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// Handler is what lives on a Conn.
type Handler interface {
	// Readable is called when there is something to read, or the end of the stream, or an error to be read.
	Readable()
	// Flushed is called after each write with the number of bytes that the peer has not taken yet.
	Flushed(unsent int)
	// Broken is called once when the connection has failed; it is closed already.
	Broken(err error)
}

// Conn is a stream socket on a loop with an output buffer that is written once a turn.
type Conn struct {
	loop    *Loop
	handler Handler
	fd      int

	out  []byte // lent by the loop; nil when empty
	sent int    // out[:sent] is with the kernel, or in the records of tls

	tls *Secure // nil for a plain connection

	usual int // how much output there was lately

	interest  Interest
	scheduled bool // in the loop's flush list
	held      bool // in the loop's list of those that are written when there is nothing better to do
	blocked   bool // the kernel took less than all: wait until it says writable
	paused    bool // the owner does not want to read
	closed    bool
	watchEnd  bool  // the end of the stream closes, even while paused
	lastWrite int64 // when the peer last took something
	heldAt    int64 // when output was first held back

	// BytesIn and BytesOut count what passed, for metrics.
	BytesIn, BytesOut uint64
}

// Init puts the non-blocking descriptor fd under the care of c, which belongs to h, and begins to read.
func (c *Conn) Init(l *Loop, fd int, h Handler) error {
	*c = Conn{loop: l, handler: h, fd: fd, interest: Readable, lastWrite: l.now}
	return l.Watch(fd, c, Readable)
}

// Loop returns the loop that c lives on.
func (c *Conn) Loop() *Loop { return c.loop }

// FD returns the descriptor, for naming the connection.
func (c *Conn) FD() int { return c.fd }

// Closed reports whether the connection is gone.
func (c *Conn) Closed() bool { return c.closed }

// Unsent returns how many bytes wait to be taken by the peer.
func (c *Conn) Unsent() int {
	if c.tls != nil {
		return len(c.out) - c.sent + c.tls.plain
	}
	return len(c.out) - c.sent
}

// LastWrite returns when the peer last took bytes, or when output began to wait.
func (c *Conn) LastWrite() int64 { return c.lastWrite }

// Append copies p to the output. It is written at the end of the turn.
func (c *Conn) Append(p []byte) {
	if c.closed {
		return
	}
	if len(c.out)+len(p) > cap(c.out) {
		c.grow(len(p))
	}
	c.out = append(c.out, p...)
	c.Schedule()
}

// AppendLazily copies p to the output of a peer that is about to get more. It is written with what comes, or when the loop
// has nothing else to do, and after holdTime at the latest.
func (c *Conn) AppendLazily(p []byte) {
	if c.closed {
		return
	}
	if len(c.out)+len(p) > cap(c.out) {
		c.grow(len(p))
	}
	c.out = append(c.out, p...)
	c.hold()
}

// hold has the output written when the loop has nothing else to do, or there is much of it.
func (c *Conn) hold() {
	if len(c.out)-c.sent > holdBytes {
		c.Schedule()
	} else if !c.scheduled && !c.blocked && !c.held {
		c.held = true
		c.heldAt = c.loop.now
		c.loop.held = append(c.loop.held, c)
	}
}

// Adopt makes p the output without copying it, if nothing else is waiting. p must be too large to have been lent by the loop, and is
// the connection's from then on. If it returns false nothing has happened.
func (c *Conn) Adopt(p []byte) bool {
	if cap(p) <= largest || c.closed || c.sent < len(c.out) {
		return false
	}
	c.loop.Release(c.out)
	c.out, c.sent = p, 0
	c.Schedule()
	return true
}

// Extend lends the output for appending n bytes at most; what has become of it goes back with Commit.
func (c *Conn) Extend(n int) []byte {
	if len(c.out)+n > cap(c.out) {
		c.grow(n)
	}
	return c.out
}

// Commit takes back the output that Extend lent.
func (c *Conn) Commit(b []byte) {
	if c.closed {
		c.loop.Release(b)
		c.out = nil
		return
	}
	c.out = b
	c.Schedule()
}

// CommitLazily is Commit for output that may wait as AppendLazily's may.
func (c *Conn) CommitLazily(b []byte) {
	if c.closed {
		c.Commit(b)
		return
	}
	c.out = b
	c.hold()
}

// grow makes room for n bytes: by writing what has gathered if it is much, by forgetting what was sent if that is most of
// it, and by a larger buffer only then.
func (c *Conn) grow(n int) {
	if len(c.out)+n > largest && !c.blocked && !c.closed {
		c.writeEarly()
		if len(c.out)+n <= cap(c.out) {
			return
		}
	}
	if c.sent > len(c.out)/2 {
		c.out = c.out[:copy(c.out, c.out[c.sent:])]
		c.sent = 0
	}
	if c.out == nil {
		c.out = c.loop.Buffer(max(n, min(c.usual, largest)))
		return
	}
	c.out = c.loop.Grow(c.out, n)
}

// giveBack gives the output's buffer back when all of it is sent, and remembers how large a one was needed, so that the next is of
// that size from the beginning.
func (c *Conn) giveBack() {
	c.usual = max(len(c.out), c.usual/2)
	c.loop.Release(c.out)
	c.out, c.sent = nil, 0
}

// Schedule has the output written at the end of the turn.
func (c *Conn) Schedule() {
	if !c.scheduled && !c.blocked && !c.closed {
		c.scheduled = true
		c.loop.flush = append(c.loop.flush, c)
	}
}

// Pause stops reading. What the peer sends stays in its socket and, by TCP's window, in the peer.
func (c *Conn) Pause() {
	if !c.paused {
		c.paused = true
		c.update()
	}
}

// Resume reads again.
func (c *Conn) Resume() {
	if c.paused {
		c.paused = false
		c.update()
		if c.tls != nil {
			c.readAgain()
		}
	}
}

// WatchEnd has the connection closed as soon as the peer ends its stream, even while the reader is paused: for a peer that waits for
// something, and whose leaving must be noticed.
func (c *Conn) WatchEnd(on bool) {
	c.watchEnd = on
	c.update()
}

// Paused reports whether reading is stopped.
func (c *Conn) Paused() bool { return c.paused }

// update asks for the events that are wanted now, if they have changed.
func (c *Conn) update() {
	if c.closed {
		return
	}
	want := None
	if !c.paused {
		want |= Readable
	}
	if c.blocked {
		want |= Writable
	}
	if c.paused && c.watchEnd {
		want |= HangUp
	}
	if want != c.interest {
		c.interest = want
		if err := c.loop.Change(c.fd, want); err != nil {
			c.fail(err)
		}
	}
}

// Ready is the loop's call. A broken connection is found by reading it, even when its reader is paused: a peer
// that is gone can't be answered.
func (c *Conn) Ready(readable, writable, broken bool) {
	c.loop.guard("connection", func() { c.fail(errPanic) }, func() {
		if writable && c.blocked {
			c.blocked = false
			c.Schedule()
		}
		if readable && !c.paused {
			c.handler.Readable()
			if c.tls != nil {
				c.readAgain()
			}
		} else if (broken || readable && c.watchEnd) && !c.closed {
			c.fail(syscall.ECONNRESET)
		}
	})
}

// Guard runs f; if it panics, the connection is lost and not the process.
func (c *Conn) Guard(f func()) { c.loop.guard("connection", func() { c.fail(errPanic) }, f) }

var errPanic = errors.New("internal error")

// Read reads once into b. It returns 0 and nil when there is nothing to read now, io.EOF at the end of the stream.
// After any other error the connection is closed, and Broken has not been called.
func (c *Conn) Read(b []byte) (int, error) {
	if c.tls != nil {
		return c.readSecure(b)
	}
	n, errno := readFD(c.fd, b)
	switch {
	case n > 0:
		c.BytesIn += uint64(n)
		return n, nil
	case errno == 0:
		return 0, io.EOF
	case errno == syscall.EAGAIN:
		return 0, nil
	}
	c.Close()
	return 0, errno
}

// write hands the output to the kernel as far as it takes it.
func (c *Conn) write() {
	if c.closed {
		return
	}
	if c.tls != nil {
		c.writeSecure()
		return
	}
	if c.sent == len(c.out) { // written early
		c.giveBack()
		c.loop.guard("flush", func() { c.fail(errPanic) }, func() { c.handler.Flushed(0) })
		return
	}
	n, errno := writeFD(c.fd, c.out[c.sent:])
	if errno != 0 && errno != syscall.EAGAIN {
		c.fail(errno)
		return
	}
	if n > 0 || c.sent == 0 {
		c.lastWrite = c.loop.now
	}
	c.BytesOut += uint64(n)
	c.sent += n
	c.blocked = c.sent < len(c.out)
	if !c.blocked {
		c.giveBack()
	}
	c.update()
	c.loop.guard("flush", func() { c.fail(errPanic) }, func() { c.handler.Flushed(len(c.out) - c.sent) })
}

// writeEarly writes before the end of the turn, to keep the output in a buffer that fits the processor's caches. It calls
// nobody: whoever is appending must not be told in the middle of it. An error will come again at the end of the turn.
func (c *Conn) writeEarly() {
	if c.tls != nil {
		c.writeEarlySecure()
		return
	}
	n, _ := writeFD(c.fd, c.out[c.sent:])
	if n == 0 {
		return
	}
	c.lastWrite = c.loop.now
	c.BytesOut += uint64(n)
	c.sent += n
	if c.sent == len(c.out) {
		c.usual = len(c.out)
		c.out, c.sent = c.out[:0], 0
		c.Schedule() // the owner waits to hear that there is room
	}
}

// Quiet reports whether the peer has neither said anything nor ended the stream since the last read, as far as it has got here. It
// asks the kernel: the event may still be on its way.
func (c *Conn) Quiet() bool { return !c.closed && (c.tls == nil || !c.tls.more) && Quiet(c.fd) }

// Close gives the connection up. What was not written is lost. Broken is not called.
func (c *Conn) Close() {
	if c.closed {
		return
	}
	if c.tls != nil {
		c.sayGoodbye()
	}
	c.closed = true
	c.loop.Release(c.out)
	c.out, c.sent = nil, 0
	c.loop.Close(c.fd)
}

// CloseNow is Close for a peer that must hear of it before anything that is written at the end of this turn: the descriptor is
// closed last, but the stream ends at once.
func (c *Conn) CloseNow() {
	if !c.closed {
		if c.tls != nil {
			c.sayGoodbye()
		}
		shutdownFD(c.fd)
		c.Close()
	}
}

func (c *Conn) fail(err error) {
	if !c.closed {
		c.Close()
		c.handler.Broken(err)
	}
}

// StalledFor returns how long output has been waiting without the peer taking any of it; 0 if none waits.
func (c *Conn) StalledFor() time.Duration {
	if c.Unsent() == 0 {
		return 0
	}
	return time.Duration(c.loop.now - c.lastWrite)
}

// Reinit is Init for a connection that takes another's place and goes on counting.
func (c *Conn) Reinit(l *Loop, link Link, h Handler) error {
	in, out := c.BytesIn, c.BytesOut
	err := link.Attach(c, l, h)
	c.BytesIn, c.BytesOut = in, out
	return err
}
