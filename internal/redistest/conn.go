package redistest

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Conn is a client that shows the bytes as they are. It may be used by one goroutine at a time; a test may read on one
// and write on another.
type Conn struct {
	net.Conn // for deadlines and writes past the pipeline; reading it would miss what is buffered
	t        testing.TB
	r        *bufio.Reader
	out      []byte
	timeout  time.Duration
}

// Dial connects to "host:port" or "unix:///path". Cleanup closes the connection.
func Dial(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := Connect(addr)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { c.Close() })
	return c
}

// Connect is Dial for goroutines other than the test's: only the Try methods may be used on its result.
func Connect(addr string) (*Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix://"); ok {
		network, addr = "unix", path
	}
	nc, err := net.DialTimeout(network, addr, Patience)
	if err != nil {
		return nil, err
	}
	return NewConn(nil, nc), nil
}

// NewConn makes a client of a connection that exists; t may be nil, as for Connect. Its reader's buffer is small, so that
// ten thousand clients fit in a test.
func NewConn(t testing.TB, nc net.Conn) *Conn {
	return &Conn{Conn: nc, t: t, r: bufio.NewReaderSize(nc, 1024), timeout: Patience}
}

// SetTimeout bounds each later wait for a reply or for room to write; the default is Patience.
func (c *Conn) SetTimeout(d time.Duration) { c.timeout = d }

// Do sends one command and returns its reply, raw.
func (c *Conn) Do(args ...string) string {
	c.t.Helper()
	c.Send(args...)
	c.Flush()
	return c.Recv()
}

// Send adds a command to the pipeline; nothing is written before Flush.
func (c *Conn) Send(args ...string) { c.out = AppendCommand(c.out, args...) }

// SendRaw adds bytes to the pipeline as they are.
func (c *Conn) SendRaw(s string) { c.out = append(c.out, s...) }

// Flush writes the pipeline.
func (c *Conn) Flush() {
	c.t.Helper()
	if err := c.TryFlush(); err != nil {
		c.t.Fatalf("cannot write to %s: %v", c.RemoteAddr(), err)
	}
}

// Recv returns the next reply, raw.
func (c *Conn) Recv() string {
	c.t.Helper()
	b, err := c.TryRecv(nil)
	if err != nil {
		c.t.Fatalf("cannot read a reply from %s: %v (read so far: %q)", c.RemoteAddr(), err, tail(string(b), 200))
	}
	return string(b)
}

// RecvEOF ends the test unless the server has closed the connection, or does so within the timeout, and sends no byte before.
func (c *Conn) RecvEOF() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(c.timeout))
	if b, err := c.r.ReadByte(); err == nil {
		c.t.Fatalf("%s sent %q where the connection should have ended", c.RemoteAddr(), b)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("%s has not closed the connection within %v", c.RemoteAddr(), c.timeout)
	}
}

// TryDo is Do with an error.
func (c *Conn) TryDo(args ...string) (string, error) {
	c.Send(args...)
	if err := c.TryFlush(); err != nil {
		return "", err
	}
	b, err := c.TryRecv(nil)
	return string(b), err
}

// TryFlush is Flush with an error.
func (c *Conn) TryFlush() error {
	c.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err := c.Conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// TryRecv appends the next reply, raw, to dst.
func (c *Conn) TryRecv(dst []byte) ([]byte, error) {
	c.SetReadDeadline(time.Now().Add(c.timeout))
	return ReadReply(c.r, dst)
}

// HalfClose says that no more requests will come; replies can still be read.
func (c *Conn) HalfClose() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatalf("cannot half-close: %v", err)
	}
}

// AppendCommand appends a command as an array of bulk strings.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(len(args)), 10)
	dst = append(dst, "\r\n"...)
	for _, a := range args {
		dst = append(dst, Bulk(a)...)
	}
	return dst
}

// Bulk returns a bulk string as it looks on the wire.
func Bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
