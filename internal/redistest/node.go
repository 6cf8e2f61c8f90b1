package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// FakeNode is a backend that plays a script: a list of steps, one after the other, on the first connection; Close ends
// that and the script goes on with the next one. When the script is through, every further request is drained unanswered.
// Cleanup fails the test if the script did not get to its end.
type FakeNode struct {
	l    net.Listener
	done chan struct{} // closed when the last step is through

	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

// Step is one line of a script.
type Step struct {
	name string
	do   func(n *FakeNode, c *fakeConn) error
}

type fakeConn struct {
	net.Conn
	r *bufio.Reader
}

var errNextConn = errors.New("the script goes on with the next connection")

// Node starts a scripted backend on a free port.
func Node(t testing.TB, steps ...Step) *FakeNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &FakeNode{l: l, done: make(chan struct{})}
	result := make(chan error, 1)
	go func() { result <- n.play(steps) }()
	t.Cleanup(func() {
		n.close()
		if err := <-result; err != nil {
			t.Errorf("scripted node: %v", err)
		}
	})
	return n
}

// Addr returns the address, "127.0.0.1:port".
func (n *FakeNode) Addr() string { return n.l.Addr().String() }

// Done is closed when the last step is through.
func (n *FakeNode) Done() <-chan struct{} { return n.done }

func (n *FakeNode) play(steps []Step) error {
	var c *fakeConn
	for i, s := range steps {
		if c == nil {
			nc, err := n.accept()
			if err != nil {
				return fmt.Errorf("step %d, %s: no connection came", i+1, s.name)
			}
			c = &fakeConn{Conn: nc, r: bufio.NewReader(nc)}
		}
		if err := s.do(n, c); err == errNextConn {
			c.Close()
			c = nil
		} else if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.name, err)
		}
	}
	close(n.done)
	if c != nil {
		go io.Copy(io.Discard, c.r)
	}
	for {
		nc, err := n.accept()
		if err != nil {
			return nil
		}
		go io.Copy(io.Discard, nc)
	}
}

func (n *FakeNode) accept() (net.Conn, error) {
	nc, err := n.l.Accept()
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		nc.Close()
		return nil, net.ErrClosed
	}
	n.conns = append(n.conns, nc)
	return nc, nil
}

func (n *FakeNode) close() {
	n.l.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, c := range n.conns {
		c.Close()
	}
}

// Expect reads a request, which must be this one. A single argument is split at its spaces: Expect("GET a").
func Expect(args ...string) Step {
	if len(args) == 1 {
		args = strings.Fields(args[0])
	}
	return Step{fmt.Sprintf("expect %q", args), func(_ *FakeNode, c *fakeConn) error {
		got, err := ReadCommand(c.r)
		if err != nil {
			return err
		}
		if !slices.Equal(got, args) {
			return fmt.Errorf("got %q", got)
		}
		return nil
	}}
}

// Reply writes bytes as they are.
func Reply(raw string) Step {
	return Step{fmt.Sprintf("reply %q", raw), func(_ *FakeNode, c *fakeConn) error {
		_, err := c.Write([]byte(raw))
		return err
	}}
}

// Pause holds the script until the channel is closed.
func Pause(until <-chan struct{}) Step {
	return Step{"pause", func(*FakeNode, *fakeConn) error { <-until; return nil }}
}

// Tell closes the channel, so that the test knows the script has come this far.
func Tell(reached chan<- struct{}) Step {
	return Step{"tell", func(*FakeNode, *fakeConn) error { close(reached); return nil }}
}

// Answer replies to every request with what f returns, until the connection ends or f returns "": then the script goes on.
func Answer(f func(args []string) string) Step {
	return Step{"answer", func(_ *FakeNode, c *fakeConn) error {
		for {
			args, err := ReadCommand(c.r)
			if err != nil {
				return errNextConn
			}
			reply := f(args)
			if reply == "" {
				return nil
			}
			if _, err := c.Write([]byte(reply)); err != nil {
				return errNextConn
			}
		}
	}}
}

// Stream writes head and then more again and again, and reads nothing, until the peer closes the connection; the script goes on with the next one.
func Stream(head, more string) Step {
	return Step{"stream", func(_ *FakeNode, c *fakeConn) error {
		for _, err := io.WriteString(c, head); err == nil; {
			_, err = io.WriteString(c, more)
		}
		return errNextConn
	}}
}

// Hang reads whatever comes and answers nothing, until the peer closes the connection; the script goes on with the next one.
func Hang() Step {
	return Step{"hang", func(_ *FakeNode, c *fakeConn) error {
		io.Copy(io.Discard, c.r)
		return errNextConn
	}}
}

// Close closes the connection; the script goes on with the next one.
func Close() Step {
	return Step{"close", func(*FakeNode, *fakeConn) error { return errNextConn }}
}

// Reset closes the connection with a TCP reset; the script goes on with the next one.
func Reset() Step {
	return Step{"reset", func(_ *FakeNode, c *fakeConn) error {
		c.Conn.(*net.TCPConn).SetLinger(0)
		return errNextConn
	}}
}

// ReadCommand reads one request in the form of an array of bulk strings.
func ReadCommand(r *bufio.Reader) ([]string, error) {
	raw, err := ReadReply(r, nil)
	if err != nil {
		return nil, err
	}
	br := bufio.NewReader(strings.NewReader(string(raw)))
	head, err := readLine(br, nil)
	if err != nil {
		return nil, err
	}
	if head[0] != '*' {
		return nil, fmt.Errorf("%q is not a request", raw)
	}
	var args []string
	for {
		b, err := ReadReply(br, nil)
		if err != nil {
			return args, nil
		}
		if b[0] != '$' {
			return nil, fmt.Errorf("%q is not a request", raw)
		}
		_, after, _ := strings.Cut(string(b), "\r\n")
		args = append(args, strings.TrimSuffix(after, "\r\n"))
	}
}
