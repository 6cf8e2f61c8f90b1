package discover

import (
	"context"
	"time"
)

// Conn is a connection to one server for somebody who has a few simple questions and can wait. After an error it is of no more use.
type Conn struct{ c *client }

// Connect opens a connection and presents opt's credentials. The connection is closed when ctx ends.
func Connect(ctx context.Context, opt Options, address string) (*Conn, error) {
	opt = opt.filled(0)
	c, err := connectTo(ctx, &opt, address)
	if err != nil {
		return nil, err
	}
	return &Conn{c}, nil
}

// Ask sends one request and returns the text of its reply, which is no array. An error reply is an error.
func (c *Conn) Ask(request ...string) (string, error) {
	replies, err := c.c.ask(request)
	if err != nil {
		return "", err
	}
	return replies[0].text, replies[0].err()
}

// Exchange sends requests in one piece and returns as many replies, as they came. A reply that is an error is a reply.
func (c *Conn) Exchange(requests ...[]string) ([][]byte, error) {
	if err := c.c.send(requests...); err != nil {
		return nil, err
	}
	replies := make([][]byte, len(requests))
	for i := range replies {
		c.c.conn.SetReadDeadline(time.Now().Add(c.c.timeout))
		b, err := c.c.raw()
		if err != nil {
			return nil, err
		}
		replies[i] = b
	}
	return replies, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.c.close() }
