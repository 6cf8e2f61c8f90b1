package loop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptAtOnce is how many connections are accepted in one turn, so that a storm of them does not starve the others: each takes some 20 us until it is served, and
// nobody's reply leaves before the turn ends. Those who have to wait cost nothing but the next turn.
const acceptAtOnce = 16

// Listener accepts connections on a loop and hands their descriptors on.
type Listener struct {
	loop   *Loop
	fd     int
	addr   string
	path   string // of a unix socket, removed on Close
	accept func(fd int, peer string)
	retry  *Timer
	paused bool

	shared  bool   // SO_REUSEPORT
	self    net.IP // where this machine reaches it
	backlog int    // with which Start listens; 0: it listens already
	probe   string // the peer that StepAside looks for; "": it does not
	probed  bool   // it was here

	refused atomic.Uint64
}

// ListenOptions says how to listen.
type ListenOptions struct {
	Backlog   int         // 0: the system's default
	ReusePort bool        // SO_REUSEPORT: several processes may listen at once
	Later     bool        // bind only: who connects before Start is refused, or goes to another process
	Mode      os.FileMode // of a unix socket; 0: as the umask says
}

// Listen binds addr: host:port, or unix:///path. A unix socket that nobody listens on any more is replaced.
// The listener accepts nothing before Start, but clients may wait there already unless they are refused until then (Later).
func Listen(addr string, opt ListenOptions) (*Listener, error) {
	if opt.Backlog <= 0 {
		opt.Backlog = 4096
	}
	ln := &Listener{fd: -1}
	var err error
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		err = ln.listenUnix(path, opt)
	} else {
		err = ln.listenTCP(addr, opt)
	}
	if err != nil {
		if ln.fd >= 0 {
			unix.Close(ln.fd)
		}
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	return ln, nil
}

func (ln *Listener) listenTCP(addr string, opt ListenOptions) error {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	var sa unix.Sockaddr
	family := unix.AF_INET6
	switch ip4 := a.IP.To4(); {
	case ip4 != nil:
		family = unix.AF_INET
		sa = &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip4)}
	case a.IP == nil: // ":6379" listens on both
		sa = &unix.SockaddrInet6{Port: a.Port}
	default:
		s6 := &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
		if a.Zone != "" {
			if ifi, err := net.InterfaceByName(a.Zone); err == nil {
				s6.ZoneId = uint32(ifi.Index)
			}
		}
		sa = s6
	}
	if ln.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		if a.IP != nil {
			return os.NewSyscallError("socket", err)
		}
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: a.Port} // a machine without IPv6
		if ln.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
	}
	unix.SetsockoptInt(ln.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if family == unix.AF_INET6 {
		only := 1
		if a.IP == nil {
			only = 0
		}
		unix.SetsockoptInt(ln.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if opt.ReusePort {
		if err := unix.SetsockoptInt(ln.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if err := unix.Bind(ln.fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	ln.shared = opt.ReusePort
	switch ln.self = a.IP; {
	case a.IP == nil || a.IP.Equal(net.IPv4zero):
		ln.self = net.IPv4(127, 0, 0, 1)
	case a.IP.IsUnspecified():
		ln.self = net.IPv6loopback
	}
	if opt.Later {
		ln.backlog = opt.Backlog
	} else if err := ln.listen(opt.Backlog); err != nil {
		return err
	}
	bound, err := unix.Getsockname(ln.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	ln.addr = sockaddrString(bound)
	return nil
}

func (ln *Listener) listen(backlog int) error {
	if err := unix.Listen(ln.fd, backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	if ln.shared {
		spreadEvenly(ln.fd)
	}
	return nil
}

func (ln *Listener) listenUnix(path string, opt ListenOptions) error {
	if st, err := os.Stat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%s exists and is not a socket", path)
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("another process listens there: %w", syscall.EADDRINUSE)
		}
		os.Remove(path)
	}
	var err error
	if ln.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(ln.fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	ln.path = path
	if opt.Mode != 0 {
		if err := os.Chmod(path, opt.Mode); err != nil {
			return err
		}
	}
	if err := unix.Listen(ln.fd, opt.Backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	ln.addr = "unix://" + path
	return nil
}

// Started reports whether it accepts connections.
func (ln *Listener) Started() bool { return ln.loop != nil }

// Refused counts the times that the process or the system had no descriptor left for a client.
func (ln *Listener) Refused() uint64 { return ln.refused.Load() }

// Addr returns where the listener is bound, with the port that the system chose if 0 was asked for.
func (ln *Listener) Addr() string { return ln.addr }

// Start accepts on l. Each connection's descriptor, non-blocking, goes to accept with the peer's address.
func (ln *Listener) Start(l *Loop, accept func(fd int, peer string)) error {
	ln.loop, ln.accept = l, accept
	ln.retry = NewTimer(ln.resume)
	if ln.backlog > 0 {
		if err := ln.listen(ln.backlog); err != nil {
			return err
		}
		ln.backlog = 0
	}
	return l.Watch(ln.fd, ln, Readable)
}

// Ready accepts what is waiting. When descriptors have run out it stops listening for a moment: the event would
// come again at once, and again.
func (ln *Listener) Ready(readable, _, _ bool) { ln.acceptSome(acceptAtOnce) }

// acceptSome accepts what is waiting, so many at most, and reports whether nothing was left.
func (ln *Listener) acceptSome(most int) (empty bool) {
	for range most {
		fd, sa, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			peer := peerString(fd, sa)
			if ln.probe != "" && peer == ln.probe {
				ln.probed = true
				unix.Close(fd)
				continue
			}
			ln.accept(fd, peer)
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			ln.refused.Add(1)
			ln.pause()
			return false
		case unix.EAGAIN:
			return true
		default: // ECONNABORTED, EINTR and network errors concern one connection only
		}
	}
	return false
}

// waitingAtMost is how many connections can wait to be accepted: net.core.somaxconn, as a rule.
const waitingAtMost = 1 << 16

// CloseEmpty accepts all that is waiting and then closes: a client whose connection the system has made already would be
// reset otherwise. It must be called on the loop.
func (ln *Listener) CloseEmpty() {
	if ln.fd >= 0 && ln.loop != nil {
		ln.acceptSome(waitingAtMost)
	}
	ln.Close()
}

func (ln *Listener) pause() {
	if !ln.paused && ln.fd >= 0 {
		ln.paused = true
		ln.loop.Change(ln.fd, None)
		ln.loop.SetTimer(ln.retry, 100*time.Millisecond)
	}
}

func (ln *Listener) resume() {
	if ln.paused && ln.fd >= 0 {
		ln.paused = false
		ln.loop.Change(ln.fd, Readable)
	}
}

// Close stops listening. If the listener was started it must be called on its loop.
func (ln *Listener) Close() {
	if ln.fd < 0 {
		return
	}
	if ln.loop != nil {
		ln.loop.StopTimer(ln.retry)
		ln.loop.Close(ln.fd)
	} else {
		unix.Close(ln.fd)
	}
	ln.fd = -1
	if ln.path != "" {
		os.Remove(ln.path)
	}
}

// peerString names the peer as Redis does in CLIENT LIST: address:port, or the path of a unix socket with :0.
func peerString(fd int, sa unix.Sockaddr) string {
	if _, ok := sa.(*unix.SockaddrUnix); ok {
		if own, err := unix.Getsockname(fd); err == nil {
			return sockaddrString(own) + ":0"
		}
	}
	return sockaddrString(sa)
}

// LocalAddr returns the address that the peer of fd connected to.
func LocalAddr(fd int) string {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return ""
	}
	if u, ok := sa.(*unix.SockaddrUnix); ok {
		return u.Name + ":0"
	}
	return sockaddrString(sa)
}

func sockaddrString(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return net.JoinHostPort(net.IP(a.Addr[:]).String(), fmt.Sprint(a.Port))
	case *unix.SockaddrUnix:
		return a.Name
	}
	return "?"
}

// TCPOptions sets what a proxied connection wants: no delay for small writes, and keep-alive if asked for.
func TCPOptions(fd int, keepAlive bool) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if keepAlive {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	}
}
