package loop

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestHalfClosedPeerIsStillAnswered(t *testing.T) {
	l := run(t)
	c := connect(t, serve(t, l, echo))
	want := strings.Repeat("to the end\n", 1000)
	if _, err := io.WriteString(c, want); err != nil {
		t.Fatal(err)
	}
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != want {
		t.Errorf("got %d of %d bytes, %v", len(got), len(want), err)
	}
}

func TestPausedReader(t *testing.T) {
	l := run(t)
	var server *peer
	read := 0
	c := connect(t, serve(t, l, func(p *peer) {
		server = p
		p.read = func(b []byte) {
			read += len(b)
			if b[0] == 'p' {
				p.conn.Pause()
			}
			p.conn.Append(b)
		}
	}))
	asks(t, c, "pause")
	if _, err := io.WriteString(c, "later"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond) // for an event that must not come
	do(t, l, func() {
		if read != len("pause") || !server.conn.Paused() {
			t.Errorf("%d bytes were read, paused: %v", read, server.conn.Paused())
		}
	})
	do(t, l, func() { server.conn.Resume() })
	if got := reads(t, c, 5); got != "later" {
		t.Errorf("after Resume: %q", got)
	}
	t.Run("learns that its peer is gone", func(t *testing.T) {
		lost := make(chan struct{})
		do(t, l, func() {
			server.conn.Pause()
			server.broken = func(error) { close(lost) }
		})
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		wait(t, "Broken", lost)
	})
}

func TestSlowReaderGetsEveryByteInOrder(t *testing.T) {
	l := run(t)
	const size = 24 << 20
	var whole bytes.Buffer
	for i := 0; whole.Len() < size; i++ {
		whole.WriteString(words(i))
	}
	want := whole.Bytes()
	var server *peer
	blocked := false
	c := connect(t, serve(t, l, func(p *peer) {
		server = p
		unix.SetsockoptInt(p.conn.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 8192)
		left := want
		p.read = func([]byte) { // in pieces of all sizes
			for size := 1; len(left) > 0 && size < 1<<20; size = size*3 + 1 {
				piece := left[:min(size, len(left))]
				p.conn.Append(piece)
				left = left[len(piece):]
			}
		}
		p.flushed = func(unsent int) {
			blocked = blocked || unsent > 0
			if unsent < 100_000 && len(left) > 0 {
				p.read(nil)
			}
		}
	}))
	if _, err := c.Write([]byte("go")); err != nil {
		t.Fatal(err)
	}
	eventually(t, l, "the kernel to take no more", func() bool { return blocked })
	sum := sha256.New()
	buf := make([]byte, 300_000)
	for n := 0; n < len(want); {
		m, err := c.Read(buf[:1+n%len(buf)])
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		sum.Write(buf[:m])
		n += m
	}
	if w := sha256.Sum256(want); !bytes.Equal(sum.Sum(nil), w[:]) {
		t.Error("the bytes are not those that were appended")
	}
	do(t, l, func() {
		if server.conn.Unsent() != 0 || server.conn.BytesOut != uint64(len(want)) || server.conn.StalledFor() != 0 {
			t.Errorf("unsent %d, sent %d of %d, stalled for %v", server.conn.Unsent(), server.conn.BytesOut, len(want), server.conn.StalledFor())
		}
		lentOnce(t, l)
	})
}

// Output that is appended while the kernel takes no more, and through Extend, stays in its order.
func TestExtendAndAppendWhileBlocked(t *testing.T) {
	l := run(t)
	var server *peer
	c := connect(t, serve(t, l, func(p *peer) { server = p }))
	eventually(t, l, "the connection", func() bool { return server != nil })
	var want bytes.Buffer
	for i := range 400 {
		line := bytes.Repeat([]byte(words(i)), 1+i*7)
		want.Write(line)
		do(t, l, func() {
			switch i % 3 {
			case 0:
				server.conn.Append(line)
			case 1:
				server.conn.Commit(append(server.conn.Extend(len(line)), line...))
			default:
				server.conn.AppendLazily(line)
			}
		})
	}
	do(t, l, func() {
		if server.conn.StalledFor() == 0 {
			t.Error("the connection is not blocked: nothing was tested")
		}
	})
	if got := reads(t, c, want.Len()); got != want.String() {
		t.Error("the bytes are not in their order")
	}
	do(t, l, func() { lentOnce(t, l) })
}

// Much output in one turn leaves early, in order, and its owner hears that there is room.
func TestMuchOutputInOneTurnIsWrittenEarly(t *testing.T) {
	l := run(t)
	var server *peer
	flushed := []int{}
	c := connect(t, serve(t, l, func(p *peer) {
		server = p
		p.flushed = func(unsent int) { flushed = append(flushed, unsent) }
	}))
	eventually(t, l, "the connection", func() bool { return server != nil })
	var want bytes.Buffer
	largestBuffer := 0
	do(t, l, func() {
		for i := range 2000 {
			line := strings.Repeat(words(i), 10)
			want.WriteString(line)
			server.conn.Append([]byte(line))
			largestBuffer = max(largestBuffer, cap(server.conn.out))
			if len(flushed) > 0 {
				t.Fatal("Flushed was called in the middle of appending")
			}
		}
	})
	if got := reads(t, c, want.Len()); got != want.String() {
		t.Error("the bytes are not in their order")
	}
	eventually(t, l, "Flushed", func() bool { return len(flushed) > 0 && flushed[len(flushed)-1] == 0 })
	if largestBuffer > largest {
		t.Errorf("%d bytes were buffered for a peer that takes everything", largestBuffer)
	}
}

func TestOutputThatExactlyFillsABufferIsFlushed(t *testing.T) {
	l := run(t)
	var server *peer
	flushed := 0
	c := connect(t, serve(t, l, func(p *peer) { server = p; p.flushed = func(int) { flushed++ } }))
	eventually(t, l, "the connection", func() bool { return server != nil })
	for _, n := range []int{smallest, 4 * smallest, largest - 1, largest, largest + 1} {
		before := 0
		do(t, l, func() { before = flushed; server.conn.Append(make([]byte, n)) })
		reads(t, c, n)
		eventually(t, l, "Flushed", func() bool { return flushed > before && server.conn.Unsent() == 0 })
	}
}

func TestHeldOutput(t *testing.T) {
	l := run(t)
	var server *peer
	c := connect(t, serve(t, l, func(p *peer) { server = p }))
	eventually(t, l, "the connection", func() bool { return server != nil })
	t.Run("is written when the loop has nothing else to do", func(t *testing.T) {
		do(t, l, func() { server.conn.AppendLazily([]byte("idle")) })
		if got := reads(t, c, 4); got != "idle" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("is written with what comes after it", func(t *testing.T) {
		do(t, l, func() {
			server.conn.AppendLazily([]byte("one "))
			server.conn.Append([]byte("two"))
		})
		if got := reads(t, c, 7); got != "one two" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("is written soon in a loop that is never idle", func(t *testing.T) {
		stop := false
		var again func()
		again = func() {
			if !stop {
				l.Post(again)
			}
		}
		var asked time.Time
		do(t, l, func() { again(); server.conn.AppendLazily([]byte("busy")); asked = time.Now() })
		if got := reads(t, c, 4); got != "busy" {
			t.Errorf("got %q", got)
		}
		if took := time.Since(asked); took > time.Second {
			t.Errorf("it took %v", took)
		}
		do(t, l, func() { stop = true })
	})
	t.Run("is written at once when there is much of it", func(t *testing.T) {
		do(t, l, func() {
			server.conn.AppendLazily(make([]byte, holdBytes+1))
			if !server.conn.scheduled {
				t.Error("it is not scheduled")
			}
		})
		reads(t, c, holdBytes+1)
	})
	t.Run("is written soon when the loop held it while it was idle", func(t *testing.T) {
		var asked time.Time
		do(t, l, func() {
			server.flushed = func(int) { server.flushed = nil; server.conn.AppendLazily([]byte("b")) }
			server.conn.AppendLazily([]byte("a"))
			asked = time.Now()
		})
		reads(t, c, 2)
		if took := time.Since(asked); took > linger*time.Millisecond*3/4 {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("is forgotten with its connection", func(t *testing.T) {
		do(t, l, func() { server.conn.AppendLazily([]byte("x")); server.conn.Close() })
		readsEnd(t, c)
		do(t, l, func() {
			if len(l.held) != 0 {
				t.Errorf("%d connections are held", len(l.held))
			}
		})
	})
}

func TestClosedConnection(t *testing.T) {
	l := run(t)
	var server *peer
	c := connect(t, serve(t, l, func(p *peer) { server = p }))
	eventually(t, l, "the connection", func() bool { return server != nil })
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	number := server.conn.FD()
	do(t, l, func() { server.conn.Close() })
	readsEnd(t, c)
	// A stranger gets the number.
	if err := unix.Dup3(pair[0], number, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		for range 3 {
			server.conn.Append(make([]byte, largest))
			server.conn.AppendLazily([]byte("x"))
			server.conn.Commit(append(server.conn.Extend(1), 'x'))
		}
		server.conn.Pause()
		server.conn.Resume()
		server.conn.Close()
	})
	do(t, l, func() {})
	if n, err := unix.Read(pair[1], make([]byte, 1)); err != unix.EAGAIN {
		t.Errorf("a stranger got %d bytes of a closed connection's output (%v)", n, err)
	}
	for _, fd := range []int{pair[0], pair[1], number} {
		unix.Close(fd)
	}
}

func TestBrokenIsCalledOnce(t *testing.T) {
	l := run(t)
	var server *peer
	broken := 0
	c := connect(t, serve(t, l, func(p *peer) {
		server = p
		p.broken = func(err error) {
			broken++
			if err == nil || !p.conn.Closed() {
				t.Errorf("broken by %v, closed: %v", err, p.conn.Closed())
			}
		}
	}))
	eventually(t, l, "the connection", func() bool { return server != nil })
	do(t, l, func() { server.conn.Pause() })
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	eventually(t, l, "Broken", func() bool { return broken > 0 })
	do(t, l, func() { server.conn.Append([]byte("x")); server.conn.Close() })
	do(t, l, func() {
		if broken != 1 {
			t.Errorf("Broken was called %d times", broken)
		}
	})
}

// A connection in steady state costs no allocation a turn.
func TestEchoDoesNotAllocate(t *testing.T) {
	l := run(t)
	c := connect(t, serve(t, l, echo))
	line := []byte("hello")
	buf := make([]byte, len(line))
	const rounds = 2000
	echoes := func() {
		for range rounds {
			if _, err := c.Write(line); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	echoes()
	var before, after runtime.MemStats // AllocsPerRun would give loop and client one processor to share
	runtime.ReadMemStats(&before)
	echoes()
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > rounds/20 {
		t.Errorf("%d allocations in %d turns", n, rounds)
	}
}
