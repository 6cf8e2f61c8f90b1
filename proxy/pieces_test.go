package proxy

import (
	"math"
	"net"
	"strings"
	"testing"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

func TestRequestsInPieces(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	c := client(t, srv)
	want(t, "PING", c.Do("PING"), "+PONG\r\n")
	stalls := func() uint64 { return counted(srv).Stalls[metrics.StallPieces] }
	session := func(f func(s *Session)) { onLoop(t, srv, func(w *worker) { f(w.sessions) }) }

	session(func(s *Session) {
		for n := range freePieces {
			if s.tookPiece(); s.stalls != 0 {
				t.Errorf("it is not read after %d pieces", n+1)
			}
		}
		s.pieces.from -= int64(piecesSpan) + 1
		if s.tookPiece(); s.stalls != 0 {
			t.Error("pieces of long ago count")
		}
		s.pieces.n, s.pieces.from = freePieces, math.MaxInt64/2 // from here on each is one too many
	})
	request := redistest.AppendCommand(nil, "ECHO", strings.Repeat("x", 1000))
	read := func() uint64 { return counted(srv).BytesIn }
	before := read()
	c.SendRaw(string(request[:smallPiece]))
	c.Flush()
	redistest.WaitFor(t, "much of a request to be read", func() bool { return read() == before+smallPiece })
	if n := stalls(); n != 0 {
		t.Errorf("%d pauses after much of a request", n)
	}
	for i, b := range request[smallPiece : smallPiece+3] {
		c.SendRaw(string(b))
		c.Flush()
		redistest.WaitFor(t, "a pause after a piece", func() bool { return stalls() == uint64(i+1) })
	}
	c.SendRaw(string(request[smallPiece+3:]))
	c.SendRaw("PING\r\n")
	c.Flush()
	want(t, "ECHO", c.Recv(), redistest.Bulk(strings.Repeat("x", 1000)))
	want(t, "PING behind it", c.Recv(), "+PONG\r\n")
	if n := stalls(); n != 3 {
		t.Errorf("%d pauses, want 3", n)
	}

	c.SendRaw("*1\r\n$4") // one who leaves during a pause
	c.Flush()
	redistest.WaitFor(t, "a pause", func() bool { return stalls() == 4 })
	c.Close()
	redistest.WaitFor(t, "the client to be forgotten", func() bool { return counted(srv).Clients == 0 })
	balanced(t, srv)
}

// Who has gone before it is looked at becomes no session, and holds no place.
func TestWhoHasLeftIsNoSession(t *testing.T) {
	for name, leave := range map[string]func(c *net.TCPConn){
		"by a reset": func(c *net.TCPConn) { c.SetLinger(0) }, "by the end of its stream": func(*net.TCPConn) {},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, nil, nodes(t, 1)...)
			held := make(chan struct{})
			srv.workers[0].loop.Post(func() { <-held })
			for range 3 * 16 { // more than are accepted in a turn
				c, err := net.Dial("tcp", srv.Addr(0))
				if err != nil {
					t.Fatal(err)
				}
				leave(c.(*net.TCPConn))
				c.Close()
			}
			close(held)
			redistest.WaitFor(t, "them to be accepted", func() bool { return counted(srv).Accepted == 48 })
			if n := srv.nextID.Load(); n != 0 {
				t.Errorf("%d sessions were made", n)
			}
			if n := srv.open()[0].clients.Load(); n != 0 {
				t.Errorf("%d are counted as clients", n)
			}
			onLoop(t, srv, func(w *worker) {
				if n := len(w.pools[0].shared.addresses.clients); n != 0 {
					t.Errorf("clients are counted for %d addresses", n)
				}
			})
			c, err := net.Dial("tcp", srv.Addr(0)) // who has said something is answered
			if err != nil {
				t.Fatal(err)
			}
			cl := redistest.NewConn(t, c)
			cl.SendRaw("PING\r\n")
			cl.Flush()
			c.(*net.TCPConn).CloseWrite()
			want(t, "PING", cl.Recv(), "+PONG\r\n")
		})
	}
	if loop.Left(-1) {
		t.Error("a descriptor that is none has left")
	}
}
