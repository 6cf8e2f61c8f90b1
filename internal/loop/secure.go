package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// TLS on a loop. crypto/tls reads and writes a net.Conn; once the handshake is over that is not a socket but memory:
//
//	socket --one read--> Loop.records --> wire.Read --> tls.Conn.Read  --> the owner's buffer
//	socket <--one write-- Secure.out  <-- wire.Write <-- tls.Conn.Write <-- Conn.out, at the end of the turn
//
// When there are no more records wire.Read returns errNoRecord, a temporary net.Error: crypto/tls gives it back to its caller and goes on from
// there at the next Read, in the middle of a record as well. Any other error would end its connection for good. wire.Write never fails. So neither
// ever waits, and tickets, key updates and alerts come and go like all else. docs/decisions/0006-tls-on-the-loop.md has what else was thought of.

// Secure is the TLS half of a Conn: a handshake makes it, on a goroutine, and Conn.Secure puts it to use.
type Secure struct {
	tls  *tls.Conn
	net  net.Conn // during the handshake
	peer net.Addr

	asked, shown bool // the server has asked for a certificate, and was shown one

	// On the loop.
	loop    *Loop
	in      []byte // records that have been read and not been taken by tls
	kept    []byte // what in is a part of, if that is not Loop.records; lent by the loop
	end     error  // what follows on in
	out     []byte // records for the peer; lent by the loop, nil when empty
	sent    int    // out[:sent] is with the kernel
	plain   int    // bytes of the owner that the rest of out carries
	control int    // bytes in out that the owner has not asked for
	sealing bool   // what is written now is the owner's
	more    bool   // there may be something to read for which no event will come
	queued  bool   // in the loop's list of those
}

const (
	recordSize     = 16 << 10           // of what a record carries, at most
	recordOverhead = 5 + 256            // of a record that comes, at most; of one that is sent it is 22 with TLS 1.3
	sealAtOnce     = 7 * recordSize     // the most that fits, sealed, in the largest buffer that a loop lends
	pushAtOnce     = 1 << 20            // written in one turn
	mostControl    = 4 << 10            // of a peer that asks for new keys and does not read
	sealRoom       = recordOverhead * 8 // beside what is sealed at once
)

// wire is the Secure as its tls.Conn sees it.
type wire Secure

// noRecord is an error that crypto/tls does not take for the end.
type noRecord struct{}

func (noRecord) Error() string   { return "no record has come yet" }
func (noRecord) Timeout() bool   { return true }
func (noRecord) Temporary() bool { return true }

var errNoRecord error = noRecord{}

func (w *wire) Read(b []byte) (int, error) {
	if w.net != nil {
		return w.net.Read(b)
	}
	if len(w.in) == 0 {
		return 0, w.end
	}
	n := copy(b, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) Write(b []byte) (int, error) {
	if w.net != nil {
		return w.net.Write(b)
	}
	w.out = w.loop.Append(w.out, b)
	if !w.sealing {
		w.control += len(b)
	}
	return len(b), nil
}

func (w *wire) Close() error {
	if w.net != nil {
		return w.net.Close()
	}
	return nil
}

// SetDeadline and its like concern the handshake alone. crypto/tls sets one of its own for close_notify.
func (w *wire) SetDeadline(t time.Time) error {
	if w.net != nil {
		return w.net.SetDeadline(t)
	}
	return nil
}

func (w *wire) SetReadDeadline(t time.Time) error {
	if w.net != nil {
		return w.net.SetReadDeadline(t)
	}
	return nil
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.net != nil {
		return w.net.SetWriteDeadline(t)
	}
	return nil
}

func (w *wire) LocalAddr() net.Addr  { return w.peer } // nobody asks
func (w *wire) RemoteAddr() net.Addr { return w.peer } // sessions without a server's name are kept by it

// newSecure begins a Secure on a connection of package net, with tls.Server or tls.Client.
func newSecure(c net.Conn, side func(net.Conn, *tls.Config) *tls.Conn, cfg *tls.Config) *Secure {
	s := &Secure{net: c, peer: c.RemoteAddr(), end: errNoRecord}
	s.tls = side((*wire)(s), cfg)
	return s
}

// State tells what was agreed on in the handshake, and who the peer is.
func (s *Secure) State() tls.ConnectionState { return s.tls.ConnectionState() }

// Suspect guesses why a server has closed the connection right after the handshake, "" if nothing comes to mind. With TLS 1.3 a client is done before its
// certificate is looked at, and what the server says of it may get lost with the connection.
func (s *Secure) Suspect() string {
	switch {
	case s == nil || !s.asked:
		return ""
	case s.shown:
		return "it was shown our certificate, and may not accept it"
	}
	return "it asked for a certificate, and was shown none"
}

// Secure has the connection speak TLS from now on. It must be called right after Init. What has come with the last of the handshake is read later
// in this turn.
func (c *Conn) Secure(s *Secure) {
	c.tls = s
	s.loop = c.loop
	s.more = true
	c.readAgain()
}

// TLS returns what Secure was given, nil for a plain connection.
func (c *Conn) TLS() *Secure { return c.tls }

// readAgain has the owner read later in this turn: what is left has come out of the socket already.
func (c *Conn) readAgain() {
	if s := c.tls; s.more && !s.queued && !c.paused && !c.closed {
		s.queued = true
		c.loop.again = append(c.loop.again, c)
	}
}

// readSecure is Read. It asks the kernel for no more than b has room for, so that records are left over only where b is small.
func (c *Conn) readSecure(b []byte) (int, error) {
	s := c.tls
	if !s.more {
		room := min(max(len(b)-recordSize-recordOverhead, 4<<10), ReadSize)
		buf := c.loop.recordBuffer()[:room]
		switch n, errno := readFD(c.fd, buf); {
		case n > 0:
			s.in = buf[:n]
		case errno == 0:
			s.end = io.EOF
		case errno == syscall.EAGAIN:
			return 0, nil
		default:
			c.Close()
			return 0, errno
		}
	}
	n, err := s.open(b)
	c.BytesIn += uint64(n)
	if s.sent < len(s.out) {
		c.Schedule()
	}
	if err == nil && s.control > mostControl {
		err = errTooManyKeys
	}
	switch err {
	case nil, io.EOF:
		return n, err
	}
	c.Close()
	return 0, err
}

var errTooManyKeys = errors.New("it asks for new keys and does not read")

// open takes what has been read out of its records. An error comes after all that came before it.
func (s *Secure) open(b []byte) (n int, err error) {
	s.more = true
	for n < len(b) {
		var k int
		k, err = s.tls.Read(b[n:])
		n += k
		if err == errNoRecord {
			s.more, err = false, nil
			break
		}
		if err != nil {
			if s.more = n > 0; s.more {
				err = nil
			}
			break
		}
	}
	switch {
	case len(s.in) == 0:
		s.loop.Release(s.kept)
		s.kept, s.in = nil, nil
	case s.kept == nil:
		s.kept = s.loop.Append(nil, s.in)
		s.in = s.kept
	}
	return n, err
}

// push seals the output and writes it, until all is written, or the kernel takes no more, or others should have their turn. It calls nobody.
func (c *Conn) push() (wrote bool, err error) {
	s := c.tls
	for written := 0; written < pushAtOnce; {
		if c.sent < len(c.out) && len(s.out)-s.sent < recordSize/4 { // of control there is little
			if err := c.seal(); err != nil {
				return wrote, err
			}
		}
		before := len(s.out) - s.sent
		if before == 0 {
			return wrote, nil
		}
		n, errno := writeFD(c.fd, s.out[s.sent:])
		if errno != 0 && errno != syscall.EAGAIN {
			return wrote, errno
		}
		if n == 0 {
			return wrote, nil
		}
		wrote = true
		written += n
		s.sent += n
		left := (s.plain*(before-n) + before - 1) / before
		c.BytesOut += uint64(s.plain - left)
		s.plain = left
		if n < before {
			return wrote, nil
		}
		s.loop.Release(s.out)
		s.out, s.sent, s.control = nil, 0, 0
	}
	return wrote, nil
}

// seal makes records of the next part of the output.
func (c *Conn) seal() error {
	s := c.tls
	p := c.out[c.sent:min(len(c.out), c.sent+sealAtOnce)]
	if s.sent > 0 {
		s.out = s.out[:copy(s.out, s.out[s.sent:])]
		s.sent = 0
	}
	s.out = s.loop.Grow(s.out, len(p)+sealRoom)
	s.sealing = true
	n, err := s.tls.Write(p)
	s.sealing = false
	c.sent += n
	s.plain += n
	return err
}

// writeSecure is write.
func (c *Conn) writeSecure() {
	s := c.tls
	wrote, err := c.push()
	if err != nil {
		c.fail(err)
		return
	}
	if wrote || s.sent == 0 {
		c.lastWrite = c.loop.now
	}
	if c.sent == len(c.out) {
		c.giveBack()
	}
	c.blocked = s.sent < len(s.out) || c.sent < len(c.out)
	c.update()
	c.loop.guard("flush", func() { c.fail(errPanic) }, func() { c.handler.Flushed(c.Unsent()) })
}

// writeEarlySecure is writeEarly.
func (c *Conn) writeEarlySecure() {
	if wrote, _ := c.push(); !wrote {
		return
	}
	c.lastWrite = c.loop.now
	if c.sent == len(c.out) {
		c.usual = len(c.out)
		c.out, c.sent = c.out[:0], 0
		c.Schedule()
	}
}

// sayGoodbye sends close_notify, or the alert that says what is wrong, if it can be done at once and nothing that came before is lost.
func (c *Conn) sayGoodbye() {
	s := c.tls
	if c.Unsent() == 0 && s.sent == 0 {
		s.tls.CloseWrite()
		if len(s.out) > 0 {
			writeFD(c.fd, s.out)
		}
	}
	s.loop.Release(s.out)
	s.loop.Release(s.kept)
	s.out, s.sent, s.plain, s.kept, s.in, s.more = nil, 0, 0, nil, nil, false
}
