package pool

import (
	"fmt"
	"time"
)

// Listener is told what happens on a lane that carries subscriptions.
type Listener struct {
	Push func(b []byte)      // a whole message or confirmation, or the answer to a PING; b is lent
	Ping func()              // nothing has come for a while: send a PING
	Up   func()              // connected: say what is listened to
	Down func(reason string) // the connection is gone; "" if it is only being moved
}

// Listen makes the lane one for subscriptions: everything that the node sends is a push, and when the connection is lost
// it is made again without being asked. It must be called before Open.
func (la *Lane) Listen(to Listener) {
	la.listener = &to
	la.Patient = true
}

// push gathers a push and hands it over when it is whole.
func (la *Lane) push(b []byte, done bool) {
	if !done || len(la.pushed) > 0 {
		la.pushed = append(la.pushed, b...)
		b = la.pushed
	}
	if done {
		la.stats.Pushes++
		if b[0] != '-' {
			la.praise()
		}
		la.listener.Push(b)
		if cap(la.pushed) > 64<<10 {
			la.pushed = nil
		}
		la.pushed = la.pushed[:0]
	}
}

// tellListener tells of the connection's loss.
func (la *Lane) tellListener(reason string) {
	if la.listener != nil {
		la.pushed = la.pushed[:0]
		la.listener.Down(reason)
	}
}

// shortestHeartbeat is how long a listening lane may be silent, whatever the pool's timeout: what is published seldom costs
// one PING a second.
const shortestHeartbeat = time.Second

// heartbeat notices a node that is gone without a word: nobody waits for a reply on a listening lane, so none can be late. When
// nothing has come for as long as the pool's timeout the node is asked for a sign of life, and given up after as long again.
func (la *Lane) heartbeat() {
	limit := max(la.opt.Timeout, shortestHeartbeat)
	quiet := time.Duration(la.loop.Now() - la.lastRead)
	switch {
	case quiet < limit:
		la.loop.SetTimer(la.patience, limit-quiet)
	case la.pinged < la.lastRead:
		la.pinged = la.loop.Now()
		la.listener.Ping()
		la.loop.SetTimer(la.patience, limit)
	default:
		la.stats.Timeouts++
		la.conn.Close()
		la.fallAfterLoss(fmt.Sprintf("did not answer within %v", limit))
	}
}
