package pool

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Node is one backend of a pool, the same for all loops.
type Node struct {
	Name    string // what the ring knows it by
	Address string // host:port or unix:///path
	Weight  int

	Ejections atomic.Uint64 // times it was taken off the ring

	failures  atomic.Int32 // lanes lost since the last reply
	failedAt  atomic.Int64 // when the last was counted, loop clock
	downUntil atomic.Int64 // for the metrics: not zero while some loop knows it as down
}

// Label names the node for people: its name, and its address unless that is the name.
func (n *Node) Label() string {
	if n.Name == n.Address {
		return "'" + n.Name + "'"
	}
	return fmt.Sprintf("'%s' (%s)", n.Name, n.Address)
}

// Forgive forgets the node's failures.
func (n *Node) Forgive() { n.failures.Store(0) }

// fail counts a failure and returns how many there were in a row. Several lanes that lose the same node in the same moment
// count once.
func (n *Node) fail(now int64) int {
	if last := n.failedAt.Load(); last == 0 || now-last > int64(sameFailure) {
		n.failedAt.Store(now)
		return int(n.failures.Add(1))
	}
	return int(n.failures.Load())
}

const sameFailure = 10 * time.Millisecond

// Up reports whether the node was reachable when last tried. A node that was never tried is up. Any goroutine may ask.
func (n *Node) Up() bool { return n.downUntil.Load() == 0 }

// Options are the settings of a pool that its lanes need.
type Options struct {
	Pool           string
	Timeout        time.Duration // a node that is silent for so long while a reply is due is taken for gone; 0: never
	ConnectTimeout time.Duration // 0: the system's
	KeepAlive      bool
	Username       string
	Password       string
	OutputLimit    int // unsent bytes at which the lane is full
	// OnChange is told of a node's loss (with the reason) and return. It is called on a loop and must not block.
	OnChange func(n *Node, up bool, reason string)
	// OnRefusal is told that a node has refused a connection: it is alive, and does not want us. As OnChange.
	OnRefusal func(n *Node, reason string)
	// OnFailure is told how many times in a row a node has failed. It is called on a loop and must not block. May be nil.
	OnFailure func(index, times int)
}

// Stats are what a lane counts of its own life.
type Stats struct {
	Connects, ConnectErrors, Losses, Timeouts, Garbage, Pushes uint64
}
