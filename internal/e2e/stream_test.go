package e2e

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// counter counts the bytes that a writer could get rid of, for someone who watches.
type counter struct{ n atomic.Int64 }

// write writes b in pieces of at most 64 KiB and counts each.
func (c *counter) write(w io.Writer, b []byte) error {
	for len(b) > 0 {
		n, err := w.Write(b[:min(len(b), 64<<10)])
		c.n.Add(int64(n))
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// settle returns when the writer is stuck: nothing more has been written for a third of a second.
func (c *counter) settle(t testing.TB) {
	t.Helper()
	last, since := int64(-1), time.Now()
	redistest.WaitFor(t, "the writer to be held back", func() bool {
		if n := c.n.Load(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 300*time.Millisecond
	})
}

func sendAll(c net.Conn, b []byte) error {
	c.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := c.Write(b)
	return err
}

// countReplies reads so many replies, all of which must be the same.
func countReplies(t testing.TB, c *redistest.Conn, n int, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Minute))
	r := bufio.NewReaderSize(c.Conn, 256<<10)
	got := make([]byte, len(want))
	for i := range n {
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatalf("reply %d of %d: %v", i, n, err)
		}
		if string(got) != want {
			t.Fatalf("reply %d of %d: %q, want %q", i, n, got, want)
		}
	}
}
