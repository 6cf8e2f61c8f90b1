package redistest

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestServer(t *testing.T) {
	r := Server(t)
	c := Dial(t, r.Addr())
	if got := c.Do("SET", "k", "a\r\nb"); got != "+OK\r\n" {
		t.Fatalf("SET: %q", got)
	}
	c.Send("GET", "k")
	c.Send("NOSUCH")
	c.Send("GET", "none")
	c.Flush()
	if got := c.Recv(); got != "$4\r\na\r\nb\r\n" {
		t.Errorf("GET: %q", got)
	}
	if got := c.Recv(); !strings.HasPrefix(got, "-ERR unknown command 'NOSUCH'") {
		t.Errorf("NOSUCH: %q", got)
	}
	if got := c.Recv(); got != "$-1\r\n" {
		t.Errorf("GET of nothing: %q", got)
	}

	t.Run("keeps its port and loses its data over a restart", func(t *testing.T) {
		r.Kill()
		c.RecvEOF()
		if _, err := Connect(r.Addr()); err == nil {
			t.Error("a killed server still accepts connections")
		}
		r.Restart()
		if got := Dial(t, r.Addr()).Do("GET", "k"); got != "$-1\r\n" {
			t.Errorf("GET after restart: %q", got)
		}
	})
	t.Run("answers nothing while it is stopped", func(t *testing.T) {
		c := Dial(t, r.Addr())
		c.Do("PING")
		r.Stop()
		c.SetTimeout(100 * time.Millisecond)
		if got, err := c.TryDo("PING"); err == nil {
			t.Errorf("a stopped server answered %q", got)
		}
		r.Cont()
		c.SetTimeout(Patience)
		if got := c.Recv(); got != "+PONG\r\n" {
			t.Errorf("after Cont: %q", got)
		}
	})
	t.Run("shuts down", func(t *testing.T) {
		c := Dial(t, r.Addr())
		r.Shutdown()
		c.RecvEOF()
	})
}

func TestReadReply(t *testing.T) {
	replies := []string{
		"+OK\r\n", "-ERR no\r\n", ":-12\r\n", "$0\r\n\r\n", "$-1\r\n", "$3\r\na\r\n\r\n", "*-1\r\n", "*0\r\n",
		"*2\r\n*1\r\n:1\r\n$-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n", "!5\r\nERR a\r\n", "=7\r\ntxt:abc\r\n",
		"%1\r\n+k\r\n*1\r\n:2\r\n", "~1\r\n+a\r\n", ">1\r\n+a\r\n", "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
	}
	r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(strings.Join(replies, ""))))
	for _, want := range replies {
		got, err := ReadReply(r, nil)
		if err != nil || string(got) != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
	for _, bad := range []string{"hello\r\n", "\r\n", "$x\r\n", "$2\r\nabcd\r\n", "+OK\n", "$5\r\nab", "*2\r\n:1\r\n"} {
		if got, err := ReadReply(bufio.NewReader(strings.NewReader(bad)), nil); err == nil {
			t.Errorf("%q was taken for a reply: %q", bad, got)
		}
	}
}

func TestNode(t *testing.T) {
	t.Run("plays its script over several connections", func(t *testing.T) {
		reached := make(chan struct{})
		n := Node(t,
			Expect("GET", "a b"), Reply("$1\r\nx\r\n"), Close(),
			Expect("GET c"), Tell(reached), Reply("$1"), Reset(),
			Answer(func(args []string) string { return Bulk(args[0]) }),
			Hang(),
		)
		c := Dial(t, n.Addr())
		if got := c.Do("GET", "a b"); got != "$1\r\nx\r\n" {
			t.Errorf("got %q", got)
		}
		c.RecvEOF()
		c = Dial(t, n.Addr())
		if got, err := c.TryDo("GET", "c"); err == nil {
			t.Errorf("a torn reply was read as %q", got)
		}
		<-reached
		c = Dial(t, n.Addr())
		if got := c.Do("ECHO"); got != "$4\r\nECHO\r\n" {
			t.Errorf("got %q", got)
		}
		c.Close()
		c = Dial(t, n.Addr())
		c.SetTimeout(50 * time.Millisecond)
		if got, err := c.TryDo("PING"); err == nil {
			t.Errorf("a hanging node answered %q", got)
		}
	})
	t.Run("fails the test when the script is not followed", func(t *testing.T) {
		if err := Expect("GET a").do(nil, pipe(t, "*2\r\n$3\r\nGET\r\n$1\r\nb\r\n")); err == nil {
			t.Error("GET b was taken for GET a")
		}
	})
}

func pipe(t *testing.T, in string) *fakeConn {
	t.Helper()
	return &fakeConn{r: bufio.NewReader(strings.NewReader(in))}
}

func TestFreePort(t *testing.T) {
	a, b := FreePort(t), FreePort(t)
	if a == b {
		t.Errorf("the same port twice: %d", a)
	}
}

func TestLend(t *testing.T) {
	loan, giveBack := Lend([]byte("secret"))
	kept := loan[:3]
	giveBack()
	if bytes.Equal(kept, []byte("sec")) {
		t.Error("a kept loan still reads as it did")
	}
}
