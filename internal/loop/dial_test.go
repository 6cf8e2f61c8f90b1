package loop

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialed is Dial's answer.
func dialed(t testing.TB, l *Loop, addr string, timeout time.Duration) (fd int, err error) {
	t.Helper()
	done := make(chan struct{})
	l.Dial(addr, DialOptions{Timeout: timeout, KeepAlive: true}, func(k Link, e error) { fd, err = k.FD, e; close(done) })
	wait(t, "Dial", done)
	return fd, err
}

func TestDial(t *testing.T) {
	l := run(t)
	addresses := []string{
		serve(t, l, echo),
		listen(t, l, "unix://"+filepath.Join(t.TempDir(), "s"), ListenOptions{}).Addr(),
	}
	for _, addr := range addresses {
		fd, err := dialed(t, l, addr, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("%s: the descriptor blocks (%v)", addr, err)
		}
		if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: children inherit the descriptor", addr)
		}
		got := make(chan string, 1)
		p := &peer{loop: l, read: func(b []byte) { got <- string(b) }}
		do(t, l, func() {
			if err := p.conn.Init(l, fd, p); err != nil {
				t.Error(err)
			}
			p.conn.Append([]byte("hello"))
		})
		select {
		case s := <-got:
			if s != "hello" {
				t.Errorf("%s: got %q", addr, s)
			}
		case <-time.After(patience):
			t.Errorf("%s: no answer", addr)
		}
		do(t, l, func() { p.conn.Close() })
	}
}

func TestDialSaysWhatWentWrongAndNoMore(t *testing.T) {
	l := run(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	cases := []struct{ name, addr, want string }{
		{"nobody listens", gone.Addr().String(), "connection refused"},
		{"no socket", "unix:///no/such/socket", "no such file or directory"},
		{"no such name", "no-such-host.invalid:1", "cannot look up no-such-host.invalid: "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fd, err := dialed(t, l, c.addr, 5*time.Second)
			if err == nil {
				unix.Close(fd)
				t.Fatal("it connected")
			}
			if err.Error() != c.want && !(strings.HasSuffix(c.want, ": ") && strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got %q, want %q", err, c.want)
			}
		})
	}
	t.Run("no answer", func(t *testing.T) {
		full := fullListener(t)
		if _, err := dialed(t, l, full, 30*time.Millisecond); err == nil || err.Error() != "connection timed out" {
			t.Errorf("got %v", err)
		}
	})
}

// fullListener returns the address of a listener whose backlog is full: a connection attempt gets no answer.
func fullListener(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	addr := LocalAddr(fd)
	for {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
}

// A loop that has stopped lets go of a connection that comes too late.
func TestDialAfterStopLeaksNothing(t *testing.T) {
	other := run(t)
	addr := serve(t, other, echo)
	l, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	l.Stop()
	wait(t, "the loop to end", l.Done())
	before := descriptors(t)
	for range 5 {
		l.Dial(addr, DialOptions{Timeout: time.Second}, func(Link, error) { t.Error("a stopped loop calls") })
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		left := 0
		do(t, other, func() {
			for _, s := range other.sources {
				if _, is := s.(*Conn); is {
					left++
				}
			}
		})
		if left == 0 && descriptors(t) <= before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left open", left)
		}
	}
}
