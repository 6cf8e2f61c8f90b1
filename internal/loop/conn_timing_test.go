package loop

import (
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkConn is a turn in which a connection reads a request and writes a reply, over a socket pair and without a poller: what is left is two pairs of
// system calls and what is around them.
func BenchmarkConn(b *testing.B) {
	l, err := New(0)
	if err != nil {
		b.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(pair[1])
	p := &peer{loop: l}
	if err := p.conn.Init(l, pair[0], p); err != nil {
		b.Fatal(err)
	}
	defer p.conn.Close()
	p.read = func(in []byte) { p.conn.Append(in) }
	buf := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		unix.Write(pair[1], buf)
		l.event(pair[0], true, false, false)
		l.endTurn()
		unix.Read(pair[1], buf)
	}
}
