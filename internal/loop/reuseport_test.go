package loop

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// counter is a listener that counts who comes.
type counter struct {
	*Listener
	came atomic.Int64
}

func listenShared(t *testing.T, l *Loop, addr string) *counter {
	t.Helper()
	ln, err := Listen(addr, ListenOptions{ReusePort: true, Later: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{Listener: ln}
	do(t, l, func() {
		err = ln.Start(l, func(fd int, _ string) { c.came.Add(1); unix.Close(fd) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, l, ln.Close) })
	return c
}

// visits makes n connections, waits until each has arrived, and says how many each listener got.
func visits(t *testing.T, n int, list ...*counter) (got []int64) {
	t.Helper()
	total := func() (sum int64) {
		for _, c := range list {
			sum += c.came.Load()
		}
		return sum
	}
	before := total()
	for _, c := range list {
		got = append(got, -c.came.Load())
	}
	_, port, _ := net.SplitHostPort(list[0].Addr())
	for range n {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for deadline := time.Now().Add(patience); total() < before+int64(n); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of %d connections %d came", n, total()-before)
		}
	}
	for i, c := range list {
		got[i] += c.came.Load()
	}
	return got
}

func TestStepAside(t *testing.T) {
	l := run(t)
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", ":0"} {
		for own := range 3 {
			t.Run(fmt.Sprint(addr, " of three the one at ", own), func(t *testing.T) {
				a := listenShared(t, l, addr)
				list := []*counter{a, listenShared(t, l, a.Addr2(addr)), listenShared(t, l, a.Addr2(addr))}
				if others, err := list[own].StepAside(context.Background()); err != nil || !others {
					t.Fatalf("others %v, error %v", others, err)
				}
				got := visits(t, 200, list...)
				for i, n := range got {
					if i == own && n > 0 || i != own && n < 50 { // of 200, 100 are its due
						t.Errorf("the listeners got %d", got)
					}
				}
				do(t, l, list[own].CloseEmpty)
				left := append(append([]*counter{}, list[:own]...), list[own+1:]...)
				if got := visits(t, 200, left...); got[0] == 0 || got[1] == 0 {
					t.Errorf("the two that are left got %d", got)
				}
				left = append(left, listenShared(t, l, a.Addr2(addr)))
				if got := visits(t, 300, left...); min(got[0], got[1], got[2]) < 40 { // of 300, 100 are its due
					t.Errorf("with a new one they got %d", got)
				}
			})
		}
	}
	t.Run("for nobody", func(t *testing.T) {
		a := listenShared(t, l, "127.0.0.1:0")
		if others, err := a.StepAside(context.Background()); err != nil || others {
			t.Errorf("others %v, error %v", others, err)
		}
		visits(t, 10, a)
	})
	t.Run("one after the other", func(t *testing.T) {
		a := listenShared(t, l, "127.0.0.1:0")
		for range 5 {
			b := listenShared(t, l, a.Addr())
			if others, err := a.StepAside(context.Background()); err != nil || !others {
				t.Fatalf("others %v, error %v", others, err)
			}
			if got := visits(t, 50, a, b); got[0] > 0 {
				t.Errorf("they got %d", got)
			}
			do(t, l, a.CloseEmpty)
			a = b
			visits(t, 50, a)
		}
	})
}

// Addr2 is where another listener has to bind to listen beside this one.
func (c *counter) Addr2(asked string) string {
	host, _, _ := net.SplitHostPort(asked)
	_, port, _ := net.SplitHostPort(c.Addr())
	return net.JoinHostPort(host, port)
}

func TestCloseEmptyAcceptsWhoWaits(t *testing.T) {
	l := run(t)
	ln, err := Listen("127.0.0.1:0", ListenOptions{Backlog: 300})
	if err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	for range 200 {
		waiting = append(waiting, connect(t, ln.Addr()))
	}
	came := 0
	do(t, l, func() {
		err = ln.Start(l, func(fd int, _ string) { came++; unix.Close(fd) })
		ln.CloseEmpty()
	})
	if err != nil || came != len(waiting) {
		t.Errorf("%d of %d were accepted: %v", came, len(waiting), err)
	}
}

func TestListenLater(t *testing.T) {
	l := run(t)
	ln, err := Listen("127.0.0.1:0", ListenOptions{Later: true})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", ln.Addr()); err == nil {
		c.Close()
		t.Error("it accepts before Start")
	}
	do(t, l, func() { err = ln.Start(l, func(fd int, _ string) { unix.Close(fd) }) })
	if err != nil {
		t.Fatal(err)
	}
	connect(t, ln.Addr())
	do(t, l, ln.Close)
}

// A peer that is sending when it is let go reads all that was sent to it, and the end of the stream after that.
func TestCloseGently(t *testing.T) {
	l := run(t)
	var p *peer
	ln, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		ln.Start(l, func(fd int, _ string) {
			p = &peer{loop: l}
			p.conn.Init(l, fd, p)
			p.conn.Pause()
		})
	})
	defer do(t, l, ln.Close)
	c := connect(t, ln.Addr())
	fmt.Fprint(c, "what nobody will read")
	eventually(t, l, "the request", func() bool { return p != nil && !p.conn.Quiet() })
	do(t, l, func() { p.conn.Append([]byte("the last reply")) })
	eventually(t, l, "the reply to be sent", func() bool { return p.conn.Unsent() == 0 })
	do(t, l, p.conn.CloseGently)
	do(t, l, func() {
		if n := l.Farewells(); n != 1 {
			t.Errorf("%d farewells", n)
		}
	})
	fmt.Fprint(c, "nor this")
	if b, err := io.ReadAll(c); err != nil || string(b) != "the last reply" {
		t.Errorf("got %q, %v", b, err)
	}
	c.Close()
	eventually(t, l, "the descriptor to be closed", func() bool { return l.Farewells() == 0 })
}
