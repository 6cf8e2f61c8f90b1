package loop

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects to addr (host:port or unix:///path) away from the loop, since names may have to be looked up, and calls
// done on the loop with a non-blocking descriptor or an error. A timeout of 0 leaves it to the system.
func (l *Loop) Dial(addr string, timeout time.Duration, keepAlive bool, done func(fd int, err error)) {
	go func() {
		fd, err := dial(addr, timeout, keepAlive)
		if !l.Post(func() { done(fd, err) }) && err == nil {
			unix.Close(fd)
		}
	}()
}

func dial(addr string, timeout time.Duration, keepAlive bool) (int, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	d := net.Dialer{Timeout: timeout, KeepAlive: -1}
	c, err := d.DialContext(context.Background(), network, addr)
	if err != nil {
		return -1, errors.New(Cause(err))
	}
	defer c.Close()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(own uintptr) { fd, dupErr = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dupErr); err != nil {
		return -1, err
	}
	if network == "tcp" {
		TCPOptions(fd, keepAlive)
	}
	return fd, nil
}

// Cause strips from an error of package net what its reader knows already: "connection refused", not "dial tcp ...: connect: ...".
func Cause(err error) string {
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
