package loop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// farewell is what is left of a connection that was closed gently: it is read to the end of its stream, and what comes is dropped.
//
// A connection that is closed with unread input is reset, and then the peer's system may throw away replies that the peer has not read
// yet. So the stream ends on our side first, and the descriptor stays until the peer has ended its own, or the loop closes.
type farewell struct {
	loop *Loop
	fd   int
}

// CloseGently is Close for a peer that may be sending something at this moment: it gets all that was written to it and then the end of the
// stream, never a reset, and what it sends is not read by anybody.
func (c *Conn) CloseGently() {
	if c.closed {
		return
	}
	l, fd := c.loop, c.fd
	if c.tls != nil {
		c.sayGoodbye()
	}
	c.closed = true
	l.Release(c.out)
	c.out, c.sent = nil, 0
	f := &farewell{loop: l, fd: fd}
	if unix.Shutdown(fd, unix.SHUT_WR) != nil || l.Change(fd, Readable) != nil {
		l.Close(fd)
		return
	}
	l.sources[fd] = f
	l.farewells++
}

// Farewells is how many connections that were closed gently have not been closed by their peers.
func (l *Loop) Farewells() int { return l.farewells }

// Ready is part of Source.
func (f *farewell) Ready(_, _, broken bool) {
	for range 16 {
		n, errno := readFD(f.fd, f.loop.readBuf)
		switch {
		case errno == syscall.EAGAIN && !broken:
			return
		case n == 0:
			f.loop.farewells--
			f.loop.Close(f.fd)
			return
		}
	}
}

// endFarewells closes what is left of them when the loop has ended.
func (l *Loop) endFarewells() {
	if l.farewells == 0 {
		return
	}
	for _, s := range l.sources {
		if f, is := s.(*farewell); is {
			closeFD(f.fd)
		}
	}
}
