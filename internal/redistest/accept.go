package redistest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
)

// Accept gives each connection to a free port to serve, on a goroutine of its own, and closes it afterwards. It returns the
// address, "127.0.0.1:port". Cleanup ends the listening.
func Accept(t testing.TB, serve func(c net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// HangUp at the end of a reply of Answering closes the connection after what stands before it.
const HangUp = "<hang up>"

// Answering starts a backend that answers each request on each connection with what f returns, and returns its address.
func Answering(t testing.TB, f func(args []string) string) (addr string) {
	t.Helper()
	return Accept(t, func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			args, err := ReadCommand(r)
			if err != nil {
				return
			}
			reply, ends := strings.CutSuffix(f(args), HangUp)
			if _, err := io.WriteString(c, reply); err != nil || ends {
				return
			}
		}
	})
}
