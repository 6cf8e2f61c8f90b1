package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// abroad is where a test's client has an address that is not loopback's: in a network of its own, which nobody else reaches, or, for who may not make one, at
// an address of the machine. There is no third way, and no test without one of them.
type abroad struct {
	here, there string // the server's and the client's
	run         chan func()
}

// newAbroad makes a network on a thread of its own. What has been opened there stays there, whichever thread uses it.
func newAbroad(t *testing.T) *abroad {
	t.Helper()
	a := &abroad{here: "192.0.2.7", there: "192.0.2.1", run: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- err
		} else {
			made <- giveAddress(a.here)
		}
		for f := range a.run {
			f()
		}
	}()
	t.Cleanup(func() { close(a.run) })
	if err := <-made; err == nil {
		return a
	} else if !errors.Is(err, unix.EPERM) {
		t.Fatalf("cannot make a network: %v", err)
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range addresses {
		if p, err := netip.ParsePrefix(of.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			a.here, a.there = p.Addr().String(), p.Addr().String()
			t.Logf("without the right to make a network, clients come from %s", a.there)
			return a
		}
	}
	t.Fatal("this machine has loopback only, and I may not make a network: give it an address, or run me as root")
	return nil
}

// giveAddress gives loopback of the thread's network an address, and with it all of its network.
func giveAddress(addr string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := ifr.SetInet4Addr(netip.MustParseAddr(addr).AsSlice()); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, ifr); err != nil {
		return fmt.Errorf("SIOCSIFADDR: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func (a *abroad) do(f func()) {
	done := make(chan struct{})
	a.run <- func() { defer close(done); f() }
	<-done
}

func (a *abroad) serve(t *testing.T, change func(*config.Pool), nodes ...string) (srv *Server) {
	t.Helper()
	a.do(func() {
		srv = serve(t, onPool(func(p *config.Pool) {
			p.Listen = a.here + ":0"
			change(p)
		}), nodes...)
	})
	return srv
}

func (a *abroad) client(t *testing.T, srv *Server) *redistest.Conn {
	t.Helper()
	var nc net.Conn
	var err error
	a.do(func() {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a.there)}, Timeout: redistest.Patience}
		nc, err = from.Dial("tcp", srv.Addr(0))
	})
	if err != nil {
		t.Fatal(err)
	}
	return redistest.NewConn(t, nc)
}

// A client that comes over a network is far, and has it from its address alone.
func TestClientsFromAfar(t *testing.T) {
	a, addresses := newAbroad(t), nodes(t, 1)
	for _, c := range []struct {
		name   string
		change func(*config.Pool)
		may    bool
	}{
		{"by default", func(*config.Pool) {}, false},
		{"allow", func(p *config.Pool) { p.Dangerous = "allow" }, true},
		{"a user whose rules have it", func(p *config.Pool) {
			p.Users = []config.User{{Name: "app", NoPassword: true, Rules: "~* +@all"}}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := a.serve(t, func(p *config.Pool) { c.change(p) }, addresses...)
			cl := a.client(t, srv)
			if list := cl.Do("CLIENT", "LIST"); !strings.Contains(list, " addr="+a.there+":") || !strings.Contains(list, " laddr="+a.here+":") {
				t.Errorf("CLIENT LIST: %q", list)
			}
			if c.name == "a user whose rules have it" {
				want(t, "AUTH", cl.Do("AUTH", "app", "x"), "+OK\r\n")
			}
			want(t, "FLUSHALL", cl.Do("FLUSHALL"), map[bool]string{true: "+OK\r\n", false: "-NOPERM 'flushall' is for clients on Ringway's own machine: for others name it in " +
				"allow_commands, say dangerous_commands: allow, or give them a user whose rules have it\r\n"}[c.may])
			want(t, "SET", cl.Do("SET", "k", "v"), "+OK\r\n")
		})
	}
}
