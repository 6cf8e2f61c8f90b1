package pool

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"ringway/internal/loop"
	"ringway/resp"
)

// talk is a connection for a few questions of our own, away from the loops. Each answer must be one line.
type talk struct {
	conn    net.Conn
	r       *bufio.Reader
	address string
	opt     *Options
	unwatch func() bool
}

// errorReply is an error that a node has answered with, without the '-'.
type errorReply string

func (r errorReply) Error() string { return string(r) }

// code is the first word of the error.
func (r errorReply) code() string {
	code, _, _ := strings.Cut(string(r), " ")
	return code
}

// begin connects to a node and greets it. When ctx ends, so does the talk.
func begin(ctx context.Context, address string, opt *Options, deadline time.Time) (*talk, error) {
	dialing, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := opt.Dial(dialing, address)
	if err != nil {
		return nil, errors.New(loop.Cause(err))
	}
	t := &talk{conn: conn, r: bufio.NewReaderSize(conn, 1024), address: address, opt: opt}
	t.unwatch = context.AfterFunc(ctx, func() { conn.Close() })
	if opt.Password == "" {
		return t, nil
	}
	args := []string{"AUTH", opt.Password}
	if opt.Username != "" {
		args = []string{"AUTH", opt.Username, opt.Password}
	}
	if _, err := t.ask(deadline, args...); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

// Ping asks a node once whether it lives, and has until the deadline. An error says why it is of no use now.
func Ping(ctx context.Context, n *Node, deadline time.Time) error {
	address := n.Address()
	if address == "" {
		return errors.New("its address is not known")
	}
	t, err := begin(ctx, address, n.Options(), deadline)
	if err != nil {
		return err
	}
	defer t.end()
	_, err = t.ask(deadline, "PING")
	if r, refused := err.(errorReply); refused && alive(r) {
		return nil
	}
	if err == errSilent {
		return errors.New("no answer")
	}
	return err
}

// ask sends a command and returns the line that comes back, without its first character. An error reply is an errorReply.
func (t *talk) ask(deadline time.Time, args ...string) (string, error) {
	t.conn.SetDeadline(deadline)
	if _, err := t.conn.Write(resp.AppendCommand(nil, args...)); err != nil {
		return "", errors.New(loop.Cause(err))
	}
	line, err := t.r.ReadSlice('\n')
	if err != nil {
		var ne net.Error
		if errors.As(err, &ne) && ne.Timeout() {
			return "", errSilent
		}
		return "", errors.New(loop.Cause(err))
	}
	text := strings.TrimRight(string(line), "\r\n")
	switch {
	case strings.HasPrefix(text, "+"):
		return text[1:], nil
	case strings.HasPrefix(text, "-"):
		return "", errorReply(text[1:])
	}
	return "", errors.New("it answered " + args[0] + " with " + strconv.Quote(text))
}

var errSilent = errors.New("no answer")

func (t *talk) end() {
	t.unwatch()
	t.conn.Close()
}

// Flush empties a node, all its databases, with the pool's credentials.
func Flush(ctx context.Context, n *Node, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	t, err := begin(ctx, n.Address(), n.Options(), deadline)
	if err != nil {
		return err
	}
	defer t.end()
	_, err = t.ask(deadline, "FLUSHALL")
	return err
}
