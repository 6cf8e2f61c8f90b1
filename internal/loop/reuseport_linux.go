package loop

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Several processes listen on one address with SO_REUSEPORT, and the system chooses one of them for each connection by a hash. When one
// of them closes its listener, connections that wait there to be accepted are reset, and so are those whose handshake was under way.
// However it hurries, some are always lost.
//
// So before it closes it steps aside. The group of listeners has an array in the system, in the order in which they came; when one
// leaves, the last takes its place. A program of classic BPF, which any of them may attach and which holds for all, chooses by index:
//
//	       0     1     2                        0     1     2
//	     [old] [new] [new']   --StepAside-->  [old] [new] [new']    no new connection for old; it accepts those that it
//	      1/3   1/3   1/3                       0    1/2   1/2      still has, and then it closes
//
// No call tells which index is one's own. It is found by trying each: all connections go to it for a moment, and one is made to see whether
// it comes here. Whoever is at that index serves those of others meanwhile, as always.

// StepAside has the system give all new connections to the other listeners of this address, and reports whether there are any; if not, nothing has
// changed. What comes here afterwards has been on its way before. It must not be called on the loop.
func (ln *Listener) StepAside(ctx context.Context) (bool, error) {
	if !ln.shared {
		return false, nil
	}
	for range 3 { // others may come or go meanwhile
		n, err := Listeners(ln.addr)
		if err != nil || n < 2 {
			return false, err
		}
		own, err := ln.ownIndex(ctx, n)
		if err != nil {
			return false, err
		}
		if err := ln.choose(aside(own, n)); err != nil {
			return false, err
		}
		here := false
		for range 3 {
			if here, err = ln.comesHere(ctx); here || err != nil {
				break
			}
		}
		if err != nil {
			return false, err
		}
		if now, err := Listeners(ln.addr); err == nil && now == n && !here {
			return true, nil
		}
	}
	return false, fmt.Errorf("too many come and go at %s", ln.addr)
}

// ownIndex finds this listener's place among the n of its address.
func (ln *Listener) ownIndex(ctx context.Context, n int) (int, error) {
	for i := range n {
		if err := ln.choose(always(i)); err != nil {
			return 0, err
		}
		if here, err := ln.comesHere(ctx); here || err != nil {
			return i, err
		}
	}
	return 0, fmt.Errorf("not found among the %d listeners of %s", n, ln.addr)
}

// onLoop runs f on the loop, unless the listener is closed.
func (ln *Listener) onLoop(f func() error) error {
	err := net.ErrClosed
	done := make(chan struct{})
	if ln.loop.Post(func() {
		defer close(done)
		if ln.fd >= 0 {
			err = f()
		}
	}) {
		select {
		case <-done:
		case <-ln.loop.Done():
		}
	}
	return err
}

// comesHere makes a connection to the address and reports whether it comes to this listener. Nothing is said on it: to whoever gets it, it
// is a client that has changed its mind.
func (ln *Listener) comesHere(ctx context.Context) (here bool, err error) {
	defer ln.onLoop(func() error { ln.probe, ln.probed = "", false; return nil })
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var name string
		var err error
		failed := c.Control(func(fd uintptr) { name, err = bindTo(int(fd), ln.self) })
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		return ln.onLoop(func() error { ln.probe = name; return nil })
	}}
	_, port, _ := net.SplitHostPort(ln.addr)
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ln.self.String(), port))
	if err != nil {
		return false, err
	}
	defer c.Close()
	if err := ended(ctx, c.(*net.TCPConn)); err != nil {
		return false, err
	}
	err = ln.onLoop(func() error { ln.acceptSome(waitingAtMost); here = ln.probed; return nil })
	return here, err
}

// bindTo gives a socket an address of this machine, with any port, and returns its name as the other side will see it.
func bindTo(fd int, ip net.IP) (string, error) {
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: [16]byte(ip.To16())}
	if ip4 := ip.To4(); ip4 != nil {
		sa = &unix.SockaddrInet4{Addr: [4]byte(ip4)}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	return sockaddrString(sa), nil
}

// ended ends the stream of c on this side and waits until the other has confirmed that: then the connection is among those that its
// listener can accept.
func ended(ctx context.Context, c *net.TCPConn) error {
	if err := c.CloseWrite(); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var info *unix.TCPInfo
		if e := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); e != nil || err != nil {
			return errors.Join(e, err)
		}
		if info.State != unix.BPF_TCP_ESTABLISHED && info.State != unix.BPF_TCP_FIN_WAIT1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// choose attaches a program for all listeners of the address.
func (ln *Listener) choose(program []unix.SockFilter) error {
	return ln.onLoop(func() error {
		err := unix.SetsockoptSockFprog(ln.fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
		return os.NewSyscallError("setsockopt SO_ATTACH_REUSEPORT_CBPF", err)
	})
}

// spreadEvenly takes off the program that another has left behind when it stepped aside. Without one the system goes by a hash.
func spreadEvenly(fd int) { unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0) }

// always is the program that chooses index i.
func always(i int) []unix.SockFilter {
	return []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)}}
}

// aside is the program that chooses any of n but the one at index own, for which the last stands in. It outlives own. Then the last has taken its
// place, the index of the last is none, and for that the system goes by its hash: all that are left are chosen still, but if they are two or more
// the last more seldom than its due, until a new one comes (spreadEvenly). Taking the program off before own closes would be even, and
// lose whoever comes between the two.
func aside(own, n int) []unix.SockFilter {
	const skfADOff, skfADRandom = 0xfffff000, 56 // <linux/filter.h>
	last := uint32(n - 1)
	return []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: skfADOff + skfADRandom},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: last},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(own)},
		{Code: unix.BPF_RET | unix.BPF_K, K: last},
		{Code: unix.BPF_RET | unix.BPF_A},
	}
}

// Listeners counts the sockets that listen on exactly this address, host:port, in this network namespace.
func Listeners(addr string) (int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return 0, err
	}
	ip, file := net.ParseIP(host), "/proc/self/net/tcp6"
	bytes := []byte(ip.To16())
	if ip4 := ip.To4(); ip4 != nil {
		bytes, file = ip4, "/proc/self/net/tcp"
	}
	want := ""
	for ; len(bytes) >= 4; bytes = bytes[4:] {
		want += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(bytes))
	}
	want += fmt.Sprintf(":%04X", number)
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	count := 0
	lines := bufio.NewScanner(f)
	lines.Scan() // the heading
	for lines.Scan() {
		if field := strings.Fields(lines.Text()); len(field) > 3 {
			if field[3] != listening { // they come first
				break
			}
			if field[1] == want {
				count++
			}
		}
	}
	return count, lines.Err()
}

// listening is the state of a listener in /proc/net/tcp.
const listening = "0A"
