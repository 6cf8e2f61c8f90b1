package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"ringway/resp"
)

// client is a connection for somebody who can wait: it sends requests, then reads their replies. It speaks RESP2. After an
// error it is of no more use. It is closed when the ctx it was made with ends, so that nobody waits in vain.
type client struct {
	address string
	conn    net.Conn
	timeout time.Duration
	in      []byte      // read, not yet taken
	unwatch func() bool // of ctx
}

const (
	maxReply = 64 << 20 // bytes; the slots of a cluster, each in a range of its own, are a few MB
	maxDepth = 8        // of arrays in arrays; CLUSTER SHARDS has 4
)

// connect opens a connection and presents the credentials, if there are any.
func connect(ctx context.Context, opt *Options, address, username, password string) (*client, error) {
	dialing, cancel := context.WithTimeout(ctx, opt.Timeout)
	defer cancel()
	conn, err := opt.Dial(dialing, address)
	if err != nil {
		return nil, err
	}
	c := &client{address: address, conn: conn, timeout: opt.Timeout}
	c.unwatch = context.AfterFunc(ctx, func() { conn.Close() })
	if password == "" {
		return c, nil
	}
	auth := []string{"AUTH", password}
	if username != "" {
		auth = []string{"AUTH", username, password}
	}
	replies, err := c.ask(auth)
	if err == nil {
		err = replies[0].err()
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("AUTH: %w", err)
	}
	return c, nil
}

// connectTo is connect to a node.
func connectTo(ctx context.Context, opt *Options, address string) (*client, error) {
	username, password := opt.credentials(address)
	return connect(ctx, opt, address, username, password)
}

func (c *client) close() {
	c.unwatch()
	c.conn.Close()
}

// ask sends requests in one piece and returns as many replies. A reply that is an error is a reply.
func (c *client) ask(requests ...[]string) ([]value, error) {
	if err := c.send(requests...); err != nil {
		return nil, err
	}
	replies := make([]value, len(requests))
	for i := range replies {
		c.conn.SetReadDeadline(time.Now().Add(c.timeout))
		v, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", requests[i][0], err)
		}
		replies[i] = v
	}
	return replies, nil
}

func (c *client) send(requests ...[]string) error {
	var out []byte
	for _, r := range requests {
		out = resp.AppendCommand(out, r...)
	}
	c.conn.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err := c.conn.Write(out)
	return err
}

// next reads a reply. The caller has set the deadline.
func (c *client) next() (value, error) {
	b, err := c.raw()
	if err != nil {
		return value{}, err
	}
	return parse(b, 0)
}

// raw is next for a reply that is not taken apart.
func (c *client) raw() ([]byte, error) {
	var scan resp.ReplyScanner
	for at := 0; ; {
		n, done, err := scan.Scan(c.in[at:])
		if err != nil {
			return nil, err
		}
		if at += n; done {
			b := bytes.Clone(c.in[:at])
			c.in = append(c.in[:0], c.in[at:]...)
			return b, nil
		}
		if len(c.in) >= maxReply {
			return nil, fmt.Errorf("the reply is longer than %d bytes", maxReply)
		}
		if len(c.in) == cap(c.in) {
			c.in = append(make([]byte, 0, max(4096, 2*cap(c.in))), c.in...)
		}
		n, err = c.conn.Read(c.in[len(c.in):cap(c.in)])
		c.in = c.in[:len(c.in)+n]
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// timedOut tells a server that is silent from one that has closed the connection.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// value is a reply taken apart. Whatever is not there reads as empty, so that a reply of an unexpected shape needs no care.
type value struct {
	kind  byte // '+', '-', ':', '$' or '*'
	null  bool
	text  string // of anything but an array
	elems []value
}

// parse takes a complete reply apart.
func parse(b []byte, depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errors.New("the reply has arrays in arrays without end")
	}
	v := value{kind: b[0]}
	switch v.kind {
	case '+', '-', ':':
		v.text = string(b[1 : len(b)-2])
		return v, nil
	case '$':
		head := bytes.IndexByte(b, '\n') + 1
		if v.null = b[1] == '-'; !v.null {
			v.text = string(b[head : len(b)-2])
		}
		return v, nil
	case '*':
		n, rest, err := resp.ArrayLen(b)
		if err != nil {
			return value{}, err
		}
		v.null = n < 0
		for range n {
			var elem []byte
			if elem, rest, err = resp.Element(rest); err != nil {
				return value{}, err
			}
			e, err := parse(elem, depth+1)
			if err != nil {
				return value{}, err
			}
			v.elems = append(v.elems, e)
		}
		return v, nil
	}
	return value{}, fmt.Errorf("the reply has a %q, which is not RESP2", v.kind)
}

// err returns a reply that is an error as one.
func (v value) err() error {
	if v.kind == '-' {
		return errors.New(v.text)
	}
	return nil
}

// elem returns element i of an array.
func (v value) elem(i int) value {
	if i < len(v.elems) {
		return v.elems[i]
	}
	return value{}
}

// number returns an integer, which some replies have as a string; 0 if it is none or negative.
func (v value) number() (n int) {
	if len(v.text) > 18 {
		return 0
	}
	for _, c := range []byte(v.text) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// fields reads an array of names and values, which is how RESP2 writes a map.
func (v value) fields() map[string]value {
	fields := make(map[string]value, len(v.elems)/2)
	for i := 0; i+1 < len(v.elems); i += 2 {
		fields[v.elems[i].text] = v.elems[i+1]
	}
	return fields
}
