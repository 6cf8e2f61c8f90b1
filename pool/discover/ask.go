package discover

import "context"

// Conn is a connection to one server for somebody who has a few simple questions and can wait. After an error it is of no more use.
type Conn struct{ c *client }

// Connect opens a connection and presents opt's credentials. The connection is closed when ctx ends.
func Connect(ctx context.Context, opt Options, address string) (*Conn, error) {
	opt = opt.filled(0)
	c, err := connect(ctx, &opt, address, opt.Username, opt.Password)
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

// Close closes the connection.
func (c *Conn) Close() { c.c.close() }
