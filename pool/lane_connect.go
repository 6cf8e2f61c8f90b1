package pool

import (
	"strconv"
	"time"

	"ringway/internal/loop"
	"ringway/resp"
)

// Open connects the lane if it has never been needed yet.
func (la *Lane) Open() {
	if la.state == idle {
		la.connect()
	}
}

func (la *Lane) connect() {
	if la.state != down {
		la.state = connecting
	}
	la.dial++
	attempt := la.dial
	la.look()
	if la.address == "" {
		la.loop.Defer(func() {
			if attempt == la.dial {
				la.fall("nobody knows its address yet")
			}
		})
		return
	}
	how := loop.DialOptions{Timeout: la.opt.ConnectTimeout, KeepAlive: la.opt.KeepAlive, TLS: la.opt.tlsTo()}
	la.loop.Dial(la.address, how, func(link loop.Link, err error) {
		if attempt != la.dial {
			if err == nil {
				link.Close()
			}
			return
		}
		if err != nil {
			la.stats.ConnectErrors++
			la.fall(err.Error())
			return
		}
		la.connected(link)
	})
}

// redial gives up reaching the node at the address it had, and begins at the one it has now with all that is held. The lane must not be
// connected and in use.
func (la *Lane) redial() {
	if la.state == idle {
		la.look()
		return
	}
	if la.greets > 0 {
		la.conn.Close()
		la.greets = 0
	}
	la.loop.StopTimer(la.patience)
	la.loop.StopTimer(la.retry)
	la.state, la.attempt = connecting, 0
	la.connect()
}

// Move has a lane that carries subscriptions go to where its node is now.
func (la *Lane) Move() {
	if la.state == ready {
		la.conn.Close()
		la.scan.Reset()
		la.tellListener("")
	}
	la.redial()
}

// Stale reports whether the node has moved, or has other settings, since the lane was connected.
func (la *Lane) Stale() bool { return la.Moved() || la.opt != la.Node.Options() }

// Moved reports whether the node has moved since the lane was connected.
func (la *Lane) Moved() bool { return la.address != la.Node.Address() }

// connected greets the node. A lane that was down, or whose node is for others, asks for a sign of life first; one that was not sends its
// requests right behind the connection, unless they depend on the handshake.
func (la *Lane) connected(link loop.Link) {
	la.scan.Reset()
	la.torn, la.praised = nil, false
	la.Number = 0
	la.unused = la.requests - uint64(la.waiting.len())
	if err := la.conn.Reinit(la.loop, link, la); err != nil {
		link.Close()
		la.fall(err.Error())
		return
	}
	if la.opt.Valid != nil {
		loop.GiveUpUnsent(link.FD, lateness)
	}
	la.met = la.loop.Now()
	la.lastRead, la.size = la.met, 0
	hello := la.handshake()
	if la.greets == 0 {
		la.begin()
		return
	}
	if la.state != down {
		la.state = greeting
	}
	la.conn.Append(hello)
	la.put += uint64(len(hello))
	limit := la.opt.ConnectTimeout
	if limit == 0 {
		limit = la.opt.Timeout
	}
	if limit > 0 {
		la.loop.SetTimer(la.patience, limit)
	}
}

// lateness bounds how long the kernel goes on trying to deliver what a lane has sent that is given up by now.
const lateness = 5 * time.Second

// handshake builds what must be said first and counts the replies it will have.
func (la *Lane) handshake() (b []byte) {
	username, password := la.opt.Username, la.opt.Password
	if la.key.User != "" {
		username, password = la.key.User, la.key.Password
	}
	auth := password != "" || la.key.User != ""
	switch {
	case la.key.RESP3 && auth:
		if username == "" {
			username = "default"
		}
		b = resp.AppendCommand(b, "HELLO", "3", "AUTH", username, password)
		la.greets++
	case la.key.RESP3:
		b = resp.AppendCommand(b, "HELLO", "3")
		la.greets++
	case auth && username != "":
		b = resp.AppendCommand(b, "AUTH", username, password)
		la.greets++
	case auth:
		b = resp.AppendCommand(b, "AUTH", password)
		la.greets++
	}
	if la.opt.ReadOnly {
		b = resp.AppendCommand(b, "READONLY")
		la.greets++
	}
	if la.key.Database != 0 {
		b = resp.AppendCommand(b, "SELECT", strconv.Itoa(la.key.Database))
		la.greets++
	}
	dies := la.attempt > 0 && la.opt.FailoverWait > 0 // perhaps: its last connection was lost, and requests can wait
	// A node that hangs, or is dying, accepts connections still; and one that does not want our certificate says so after the handshake (TLS 1.3).
	if la.greets == 0 && (la.state == down || dies || !la.Node.Up() || la.opt.TLS != nil) {
		b = resp.AppendCommand(b, "PING")
		la.greets++
	}
	return b
}

// begin opens the lane for requests, and sends those that have been waiting.
func (la *Lane) begin() {
	la.state = ready
	la.stats.Connects++
	la.reason, la.downAt = "", 0
	la.loop.StopTimer(la.patience)
	la.loop.StopTimer(la.hope)
	if la.listener != nil {
		defer la.listener.Up()
		if la.opt.Timeout > 0 {
			la.heartbeat()
		}
	}
	if len(la.held) > 0 {
		if !la.conn.Adopt(la.held) {
			la.conn.Append(la.held)
			la.loop.Release(la.held)
		}
		la.held = nil
	}
	if la.waiting.len() > 0 && la.tick > 0 && !la.Patient {
		la.loop.SetTimer(la.patience, la.tick)
	}
}
