package loop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// DialOptions say how to connect.
type DialOptions struct {
	Timeout   time.Duration // of all of it; 0 leaves it to the system
	KeepAlive bool
	TLS       func(addr string) *tls.Config // nil: plain. A unix socket always is.
}

// Dial connects to addr (host:port or unix:///path) away from the loop, since names may have to be looked up and handshakes take their time, and calls
// done on the loop with a link or an error.
func (l *Loop) Dial(addr string, opt DialOptions, done func(Link, error)) {
	go func() {
		link, err := dial(addr, opt)
		if !l.Post(func() { done(link, err) }) && err == nil {
			link.Close()
		}
	}()
}

func dial(addr string, opt DialOptions) (Link, error) {
	ctx := context.Background()
	if opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.Timeout)
		defer cancel()
	}
	c, s, err := reach(ctx, addr, opt.TLS, -1)
	if err != nil {
		return Link{}, errors.New(Cause(err))
	}
	if s != nil {
		s.net = nil
	}
	fd, err := detach(c)
	if err != nil {
		return Link{}, err
	}
	if _, local := cutUnix(addr); !local {
		TCPOptions(fd, opt.KeepAlive)
	}
	return Link{fd, s}, nil
}

func cutUnix(addr string) (path string, is bool) { return strings.CutPrefix(addr, "unix://") }

// Cause strips from an error of package net what its reader knows already: "connection refused", not "dial tcp ...: connect: ...".
func Cause(err error) string {
	var he *HandshakeError
	if errors.As(err, &he) {
		return he.Error()
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return "connection timed out"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "cannot look up " + dns.Name + ": " + dns.Err
	}
	if errors.Is(err, io.EOF) {
		return "it closed the connection"
	}
	return err.Error()
}
