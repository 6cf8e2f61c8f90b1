package loop

import (
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPost(t *testing.T) {
	t.Run("from many goroutines runs everything once, each goroutine's in its order", func(t *testing.T) {
		l := run(t)
		const posters, each = 20, 500
		got := make([][]int, posters)
		var wg sync.WaitGroup
		for p := range posters {
			wg.Go(func() {
				for i := range each {
					if !l.Post(func() { got[p] = append(got[p], i) }) {
						t.Error("a running loop refuses")
					}
				}
			})
		}
		wg.Wait()
		do(t, l, func() {})
		for p := range posters {
			if len(got[p]) != each || !slices.IsSorted(got[p]) {
				t.Errorf("poster %d: %d of %d functions ran, in order: %v", p, len(got[p]), each, slices.IsSorted(got[p]))
			}
		}
	})
	t.Run("from the loop itself waits for the next turn, so that I/O is not starved", func(t *testing.T) {
		l := run(t)
		c := connect(t, serve(t, l, echo))
		asks(t, c, "hello")
		var stop atomic.Bool
		var again func()
		again = func() {
			if !stop.Load() {
				l.Post(again)
			}
		}
		l.Post(again)
		asks(t, c, "answered between posts")
		stop.Store(true)
	})
}

func TestDeferredFunctionsRunBeforeTheWrites(t *testing.T) {
	l := run(t)
	var log []string
	c := connect(t, serve(t, l, func(p *peer) {
		p.read = func(b []byte) {
			p.conn.Append([]byte("1"))
			l.Defer(func() {
				log = append(log, "deferred")
				p.conn.Append([]byte("2"))
				l.Defer(func() { log = append(log, "deferred by it"); p.conn.Append([]byte("3")) })
			})
		}
		p.flushed = func(int) {
			log = append(log, "flushed")
			if len(log) == 3 {
				l.Defer(func() { log = append(log, "after the write"); p.conn.Append([]byte("4")) })
			}
		}
	}))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := reads(t, c, 4); got != "1234" {
		t.Errorf("got %q", got)
	}
	var got string
	do(t, l, func() { got = strings.Join(log, ", ") })
	if want := "deferred, deferred by it, flushed, after the write, flushed"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Both descriptors are ready in one turn. The first one's handler closes the second, and a new one takes its place: what
// was meant for the second must not reach the third.
func TestDescriptorClosedInATurnGetsNoEventAndKeepsItsNumberUntilTheEnd(t *testing.T) {
	l := run(t)
	var pairs [3][2]int
	for i := range pairs {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		pairs[i] = p
	}
	events := map[string]int{}
	numbers := map[int]bool{}
	add := func(name string, fd int, ready func()) {
		l.Watch(fd, sourceFunc(func() { events[name]++; ready() }), Readable)
	}
	opened := -1
	closeOther := func(own, other int) func() {
		return func() {
			l.Close(own)
			l.Close(other)
			for range 8 { // had the number been free, one of these would have it
				fd, err := unix.Dup(0)
				if err != nil {
					t.Error(err)
					return
				}
				numbers[fd] = true
				defer unix.Close(fd)
			}
			opened = pairs[2][0]
			add("new", opened, func() {})
		}
	}
	do(t, l, func() {
		a, b := pairs[0][0], pairs[1][0]
		add("a", a, closeOther(a, b))
		add("b", b, closeOther(b, a))
		unix.Write(pairs[0][1], []byte("x"))
		unix.Write(pairs[1][1], []byte("x"))
	})
	eventually(t, l, "an event", func() bool { return len(events) > 0 })
	do(t, l, func() {
		if events["a"]+events["b"] != 1 || events["new"] != 0 {
			t.Errorf("events: %v; want one, for a or b", events)
		}
		if numbers[pairs[0][0]] || numbers[pairs[1][0]] {
			t.Error("a number was given out again in the turn in which it was closed")
		}
		l.Close(opened)
	})
	for _, p := range pairs {
		unix.Close(p[1])
	}
}

type sourceFunc func()

func (f sourceFunc) Ready(bool, bool, bool) { f() }

func TestPanicCostsOnlyItsConnection(t *testing.T) {
	l := run(t)
	logged := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(logged)
	lost := make(chan error, 2)
	addr := serve(t, l, func(p *peer) {
		p.broken = func(err error) { lost <- err }
		p.read = func(b []byte) {
			switch string(b) {
			case "read":
				panic("as the test wants it")
			case "flush":
				p.flushed = func(int) { panic("as the test wants it") }
			}
			p.conn.Append(b)
		}
	})
	bystander := connect(t, addr)
	asks(t, bystander, "hello")
	for _, where := range []string{"read", "flush"} {
		c := connect(t, addr)
		if _, err := c.Write([]byte(where)); err != nil {
			t.Fatal(err)
		}
		if where == "flush" {
			reads(t, c, len(where))
		}
		readsEnd(t, c)
		select {
		case err := <-lost:
			if err == nil {
				t.Error("Broken was called without a reason")
			}
		case <-time.After(patience):
			t.Errorf("%s: Broken was not called", where)
		}
	}
	asks(t, bystander, "still here")
	do(t, l, func() {
		if l.Panics != 2 {
			t.Errorf("%d panics were counted, want 2", l.Panics)
		}
	})
}

func TestStop(t *testing.T) {
	t.Run("runs what was posted before it and refuses what comes later", func(t *testing.T) {
		l, err := New(0)
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		for range 100 {
			l.Post(func() { ran++ })
		}
		l.Stop()
		l.Stop()
		if l.Post(func() { t.Error("posted after Stop, and ran") }) {
			t.Error("Post after Stop says it will run")
		}
		if err := l.Run(); err != nil {
			t.Error(err)
		}
		wait(t, "Done", l.Done())
		if ran != 100 {
			t.Errorf("%d of 100 functions ran", ran)
		}
	})
	t.Run("what Post promises to run does run", func(t *testing.T) {
		for range 40 {
			l, err := New(0)
			if err != nil {
				t.Fatal(err)
			}
			go l.Run()
			var promised, ran atomic.Int64
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for l.Post(func() { ran.Add(1) }) {
						promised.Add(1)
					}
				})
			}
			runtime.Gosched()
			l.Stop()
			wg.Wait()
			wait(t, "the loop to end", l.Done())
			if promised.Load() != ran.Load() {
				t.Fatalf("%d functions were promised to run, %d did", promised.Load(), ran.Load())
			}
		}
	})
	t.Run("leaves no goroutine and no descriptor", func(t *testing.T) {
		before, open := runtime.NumGoroutine(), descriptors(t)
		for range 10 {
			l, err := New(0)
			if err != nil {
				t.Fatal(err)
			}
			go l.Run()
			do(t, l, func() {})
			l.Stop()
			wait(t, "the loop to end", l.Done())
		}
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			}
		}
		if now := descriptors(t); now > open {
			t.Errorf("%d descriptors are open, %d before", now, open)
		}
	})
}

// descriptors counts the open descriptors by asking for the lowest ones.
func descriptors(t testing.TB) (n int) {
	t.Helper()
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func TestAnIdleLoopTakesNoTurns(t *testing.T) {
	l := run(t)
	c := connect(t, serve(t, l, echo))
	asks(t, c, "hello")
	var before, after uint64
	do(t, l, func() { before = l.Turns })
	time.Sleep(60 * time.Millisecond) // nothing happens in it: that is what is tested
	do(t, l, func() { after = l.Turns })
	if after-before > 3 {
		t.Errorf("%d turns with nothing to do", after-before)
	}
}

// One byte sent out of band must not make the loop spin.
func TestOutOfBandByteDoesNotSpin(t *testing.T) {
	l := run(t)
	addr := serve(t, l, echo)
	c := connect(t, addr)
	asks(t, c, "hello")
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.Send(int(fd), []byte("!"), unix.MSG_OOB) })
	if err != nil {
		t.Fatal(err)
	}
	asks(t, c, "after it")
	var before, after uint64
	do(t, l, func() { before = l.Turns })
	time.Sleep(60 * time.Millisecond)
	do(t, l, func() { after = l.Turns })
	if after-before > 3 {
		t.Errorf("%d turns in 60 ms", after-before)
	}
	asks(t, c, "still here")
}
