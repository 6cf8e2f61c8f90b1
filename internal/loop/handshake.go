package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Link is a connection that is ready for a loop: a non-blocking descriptor, and what its TLS handshake has come to, if there was one.
type Link struct {
	FD  int
	TLS *Secure // nil: plain
}

// Close gives up a link that no Conn has taken.
func (k Link) Close() { unix.Close(k.FD) }

// Attach has c use the link as Init does.
func (k Link) Attach(c *Conn, l *Loop, h Handler) error {
	if err := c.Init(l, k.FD, h); err != nil {
		return err
	}
	if k.TLS != nil {
		c.Secure(k.TLS)
	}
	return nil
}

// detach takes the descriptor out of a connection of package net, which is closed.
func detach(c net.Conn) (fd int, err error) {
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, dupErr)
}

// Handshakes does the server's part of TLS handshakes, away from the loops. Few compute at a time, so that the loops keep their processors
// when thousands of clients connect at once. Who waits for its client computes nothing, so slow clients hold nobody up; but each takes some
// memory. When there are as many as may be, those whose clients have been silent for a while make room for others.
type Handshakes struct {
	Most     int           // under way at a time; others wait for their turn
	Patience time.Duration // a client may be silent for so long while others wait for their turn

	compute chan struct{} // holds one for each that computes

	mu      sync.Mutex
	running map[*handshake]struct{}
	queue   []*handshake
	making  bool // makeRoom runs
	closed  bool
}

// handshake is one of them, and the connection as it sees it.
type handshake struct {
	net.Conn
	of       *Handshakes
	fd       int
	cfg      *tls.Config
	deadline time.Time
	done     func(Link, error)

	silent time.Time // since when it waits for its client; zero while it does not. The mutex of Handshakes guards it.
	cut    bool      // it had to make room
}

// ErrCrowded ends the handshake of a slow client to whose place others are waiting.
var ErrCrowded = errors.New("too slow while others were waiting")

// NewHandshakes returns Handshakes of which so many compute at a time.
func NewHandshakes(atOnce int) *Handshakes {
	return &Handshakes{Most: 1000, Patience: time.Second, compute: make(chan struct{}, atOnce), running: map[*handshake]struct{}{}}
}

// Begin takes over a descriptor that was accepted, and calls done, on a goroutine, with a link or an error, in which case the descriptor is closed.
func (h *Handshakes) Begin(fd int, cfg *tls.Config, limit time.Duration, done func(Link, error)) {
	s := &handshake{of: h, fd: fd, cfg: cfg, deadline: time.Now().Add(limit), done: done}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		unix.Close(fd)
		go done(Link{}, net.ErrClosed)
	case len(h.running) < h.Most:
		h.running[s] = struct{}{}
		go s.run()
	default:
		h.queue = append(h.queue, s)
		if !h.making {
			h.making = true
			go h.makeRoom()
		}
	}
}

// Close ends all that are under way, and all that come later.
func (h *Handshakes) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.running {
		if s.Conn != nil {
			s.Conn.Close()
		}
	}
	for _, s := range h.queue {
		unix.Close(s.fd)
		go s.done(Link{}, net.ErrClosed)
	}
	h.queue = nil
}

// makeRoom cuts off clients that are silent, for as long as others wait for their turn.
func (h *Handshakes) makeRoom() {
	for {
		time.Sleep(min(h.Patience/4+1, 100*time.Millisecond))
		h.mu.Lock()
		now, wanted := time.Now(), len(h.queue)
		for s := range h.running {
			if wanted > 0 && !s.cut && !s.silent.IsZero() && now.Sub(s.silent) > h.Patience {
				s.cut = true
				s.Conn.SetDeadline(now)
				wanted--
			}
		}
		h.making = len(h.queue) > 0
		over := !h.making
		h.mu.Unlock()
		if over {
			return
		}
	}
}

func (s *handshake) run() {
	link, err := s.shake()
	h := s.of
	h.mu.Lock()
	if s.cut && err != nil {
		err = ErrCrowded
	}
	delete(h.running, s)
	if len(h.queue) > 0 {
		next := h.queue[0]
		h.queue[0] = nil
		h.queue = h.queue[1:]
		h.running[next] = struct{}{}
		go next.run()
	}
	h.mu.Unlock()
	s.done(link, err)
}

func (s *handshake) shake() (Link, error) {
	f := os.NewFile(uintptr(s.fd), "")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return Link{}, err
	}
	s.of.mu.Lock()
	s.Conn = c
	closed := s.of.closed
	s.of.mu.Unlock()
	if closed {
		c.Close()
		return Link{}, net.ErrClosed
	}
	c.SetDeadline(s.deadline)
	sec := newSecure(s, tls.Server, s.cfg)
	s.of.compute <- struct{}{}
	err = sec.tls.Handshake()
	<-s.of.compute
	if err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) && plain.Conn != nil { // it can't read an alert either
			c.Write([]byte(SpeakTLS))
		}
		c.Close()
		return Link{}, err
	}
	sec.net = nil
	fd, err := detach(c)
	if err != nil {
		return Link{}, err
	}
	return Link{fd, sec}, nil
}

// SpeakTLS is what a client is told that does not.
const SpeakTLS = "-ERR this address is for TLS only\r\n"

// Read lets others compute while it waits.
func (s *handshake) Read(b []byte) (int, error) {
	<-s.of.compute
	s.wait(time.Now())
	n, err := s.Conn.Read(b)
	s.wait(time.Time{})
	s.of.compute <- struct{}{}
	return n, err
}

func (s *handshake) wait(since time.Time) {
	s.of.mu.Lock()
	s.silent = since
	s.of.mu.Unlock()
}

// Connect connects to addr, host:port or unix:///path, and does the client's part of a TLS handshake if tlsTo is given, which then tells with what
// settings. A unix socket is never asked for TLS: nobody else can listen to it. It must be done when ctx ends; a time-out is that of ctx.
func Connect(ctx context.Context, addr string, tlsTo func(addr string) *tls.Config) (net.Conn, error) {
	c, s, err := reach(ctx, addr, tlsTo, 0)
	if err != nil || s == nil {
		return c, err
	}
	return s.tls, nil
}

// longest bounds a handshake for which there is no time-out: the system, which bounds how long it tries to connect, knows nothing of it.
const longest = time.Minute

// reach returns the connection as it is below TLS, too.
func reach(ctx context.Context, addr string, tlsTo func(addr string) *tls.Config, keepAlive time.Duration) (net.Conn, *Secure, error) {
	network, to := "tcp", addr
	if path, ok := cutUnix(addr); ok {
		network, to, tlsTo = "unix", path, nil
	}
	c, err := (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, network, to)
	if err != nil || tlsTo == nil {
		return c, nil, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(longest)
	}
	c.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	cfg := tlsTo(addr).Clone()
	var s *Secure
	cfg.GetClientCertificate = func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		s.asked = true
		for i := range cfg.Certificates {
			if asked.SupportsCertificate(&cfg.Certificates[i]) == nil {
				s.shown = true
				return &cfg.Certificates[i], nil
			}
		}
		return new(tls.Certificate), nil
	}
	s = newSecure(c, tls.Client, cfg)
	err = s.tls.Handshake()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return nil, nil, &HandshakeError{err}
	}
	c.SetDeadline(time.Time{})
	return c, s, nil
}

// HandshakeError tells what fails in TLS from what fails before it.
type HandshakeError struct{ Err error }

func (e *HandshakeError) Unwrap() error { return e.Err }

func (e *HandshakeError) Error() string {
	var ne net.Error
	var plain tls.RecordHeaderError
	switch {
	case errors.As(e.Err, &ne) && ne.Timeout():
		return "connection timed out in the TLS handshake"
	case errors.Is(e.Err, io.EOF), errors.Is(e.Err, unix.ECONNRESET), errors.Is(e.Err, unix.EPIPE):
		return "it closed the connection in the TLS handshake"
	case errors.As(e.Err, &plain):
		return "it does not speak TLS there"
	}
	return e.Err.Error()
}
