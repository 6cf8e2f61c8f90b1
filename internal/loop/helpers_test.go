package loop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something that should happen at once.
const patience = 10 * time.Second

// run starts a loop that Cleanup stops.
func run(t testing.TB) *Loop {
	t.Helper()
	l, err := New(0)
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(func() {
		l.Stop()
		wait(t, "the loop to end", l.Done())
	})
	return l
}

// do runs f on the loop and waits for it.
func do(t testing.TB, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); f() }) {
		t.Fatal("the loop has stopped")
	}
	wait(t, "the loop", done)
}

// wait waits for a channel to be closed.
func wait(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// eventually waits for a condition that is looked at on the loop.
func eventually(t testing.TB, l *Loop, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		is := false
		do(t, l, func() { is = ok() })
		if is {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// peer is a Handler whose parts a test sets as it needs them. What was read is given to read, in the loop's buffer.
type peer struct {
	conn    Conn
	loop    *Loop
	read    func(b []byte)
	ended   func(err error) // of the stream, or of Read
	flushed func(unsent int)
	broken  func(err error)
	size    int // of what is read at once; 0: the loop's buffer
}

func (p *peer) Readable() {
	b := p.loop.ReadBuffer()
	if p.size > 0 {
		b = b[:p.size]
	}
	n, err := p.conn.Read(b)
	switch {
	case err != nil && p.ended != nil:
		p.ended(err)
	case err != nil:
		p.conn.Close()
	case n > 0 && p.read != nil:
		p.read(b[:n])
	}
}

func (p *peer) Flushed(unsent int) {
	if p.flushed != nil {
		p.flushed(unsent)
	}
}

func (p *peer) Broken(err error) {
	if p.broken != nil {
		p.broken(err)
	}
}

// serve listens on a loopback port of loop l and gives each connection to begin, on the loop, before it reads. It returns the address.
func serve(t testing.TB, l *Loop, begin func(p *peer)) string {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		err = ln.Start(l, func(fd int, _ string) {
			p := &peer{loop: l}
			begin(p)
			if err := p.conn.Init(l, fd, p); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, l, ln.Close) })
	return ln.Addr()
}

// echo is a begin for serve that sends back what it reads, and closes when the other side has.
func echo(p *peer) {
	p.read = func(b []byte) { p.conn.Append(b) }
	over := false
	p.ended = func(err error) {
		over = true
		p.conn.Pause()
		if p.conn.Unsent() == 0 {
			p.conn.Close()
		}
	}
	p.flushed = func(unsent int) {
		if over && unsent == 0 {
			p.conn.Close()
		}
	}
}

// connect dials a test's listener.
func connect(t testing.TB, addr string) net.Conn {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// asks writes a line and returns what comes back, of the same length.
func asks(t testing.TB, c net.Conn, line string) string {
	t.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		t.Fatal(err)
	}
	return reads(t, c, len(line))
}

func reads(t testing.TB, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	if n, err := io.ReadFull(c, b); err != nil {
		t.Fatalf("after %d bytes %q: %v", n, b[:min(n, 100)], err)
	}
	return string(b)
}

// readsEnd fails the test unless the other side closes.
func readsEnd(t testing.TB, c net.Conn) {
	t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, unix.ETIMEDOUT) {
		t.Fatalf("got %d bytes and %v where the stream should have ended", n, err)
	}
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Fatal("the stream should have ended")
	}
}

func words(i int) string { return fmt.Sprintf("line %d\n", i) }
