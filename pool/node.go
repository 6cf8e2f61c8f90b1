package pool

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"ringway/internal/certs"
	"ringway/internal/loop"
)

// Node is one backend of a pool, the same for all loops. It keeps its name for life; its address changes when it moves to another
// machine, or when a replica takes its place.
type Node struct {
	Name string // what the ring knows it by

	// Refusal is what its keys are answered with for as long as it has no address; "" for the usual words.
	Refusal string

	address atomic.Pointer[string]
	options atomic.Pointer[Options]

	Ejections [EjectionReasons]atomic.Uint64 // times it was taken off the ring
	EjectedAt atomic.Uint64                  // when it was for the last time, in microseconds since 1970; 0: never

	failures atomic.Int32  // lanes lost since the last reply
	failedAt atomic.Int64  // when the last was counted, loop clock
	down     atomic.Uint32 // lanesSay and checksSay

	unfit        atomic.Pointer[string] // what the checks say, while they say down
	successes    atomic.Int32           // checks in a row that went well
	failedChecks atomic.Uint64
}

// Who says that a node is down. It is up again when neither does. A reply on any lane proves both wrong.
const (
	lanesSay = 1 << iota
	checksSay
)

// EjectionReason says why a node was taken off the ring.
type EjectionReason uint8

const (
	EjectedFailures EjectionReason = iota // lanes were lost
	EjectedCheck                          // health checks have failed
	EjectionReasons
)

// NewNode returns a node at an address: host:port, unix:///path, or "" while nobody knows where it is.
func NewNode(name, address string, opt *Options) *Node {
	n := &Node{Name: name}
	n.SetAddress(address)
	n.SetOptions(opt)
	return n
}

// Address is where the node is now. Any goroutine may ask.
func (n *Node) Address() string { return *n.address.Load() }

// SetAddress moves the node. Lanes go on with the address that they have until their loop is told (Set.Follow).
// What checks have found at the old address is forgotten.
func (n *Node) SetAddress(address string) {
	n.address.Store(&address)
	n.forgetChecks()
}

// Options are the settings of new lanes to the node.
func (n *Node) Options() *Options { return n.options.Load() }

// SetOptions changes the settings. Lanes go on with those that they have until their loop is told (Set.Follow).
func (n *Node) SetOptions(opt *Options) { n.options.Store(opt) }

// Label names the node for people: its name, and its address unless that is the name.
func (n *Node) Label() string { return label(n.Name, n.Address()) }

func label(name, address string) string {
	if address == name || address == "" {
		return "'" + name + "'"
	}
	return fmt.Sprintf("'%s' (%s)", name, address)
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
func (n *Node) Up() bool { return n.down.Load() == 0 }

// Unfit reports whether the health checks take the node for down, and why. Any goroutine may ask.
func (n *Node) Unfit() (reason string, is bool) {
	if n.down.Load()&checksSay == 0 {
		return "", false
	}
	return *n.unfit.Load(), true
}

// Successes is how many health checks in a row have gone well. Any goroutine may ask.
func (n *Node) Successes() int { return int(n.successes.Load()) }

// FailedChecks is how many health checks have failed. Any goroutine may ask.
func (n *Node) FailedChecks() uint64 { return n.failedChecks.Load() }

// foundDown is the checks' verdict. It reports whether the node was known to be down before.
func (n *Node) foundDown(reason string) (was bool) {
	n.unfit.Store(&reason)
	return n.down.Or(checksSay) != 0
}

// lostDown is a lane's verdict.
func (n *Node) lostDown() (was bool) { return n.down.Or(lanesSay) != 0 }

// revive says that the node is up, for a lane has had a reply, and reports whether it was known to be down.
func (n *Node) revive() (was bool) { return n.down.Swap(0) != 0 }

// foundUp is the checks' verdict. Lanes find out for themselves. It reports whether the node is up now, and was not before.
func (n *Node) foundUp() (news bool) { return n.down.And(^uint32(checksSay)) == checksSay }

// forgetChecks takes back what the checks say.
func (n *Node) forgetChecks() {
	n.down.And(^uint32(checksSay))
	n.successes.Store(0)
}

// Options are the settings of a pool that its lanes need.
type Options struct {
	Pool           string
	Timeout        time.Duration          // a node that is silent for so long while a reply is due is taken for gone; 0: never
	Timeouts       [Classes]time.Duration // in its place, by the class of the request that is due; 0: as Timeout, AnyTime: never
	ConnectTimeout time.Duration          // 0: the system's
	KeepAlive      bool
	Username       string
	Password       string
	TLS            *certs.Client // nil: plain
	OutputLimit    int           // unsent bytes at which the lane is full
	ReplyLimit     int           // bytes of a reply over which the lane is given up; 0: none

	// ReadOnly tells a replica of a Redis Cluster that reads are meant for it (READONLY).
	ReadOnly bool

	// ReplicasOnly says of a replica that its primary is not to be read in its place. For the caller; nothing here looks at it.
	ReplicasOnly bool

	// FailoverWait is how long what was not sent yet waits for a node that is down, counted from its loss. 0: it fails at once.
	FailoverWait time.Duration

	// Valid says, after bytes have come from a node, whether they may be believed: if not, the lane is given up with all that waits
	// on it. Nil: always. As OnChange.
	Valid func() bool

	// OnChange is told of a node's loss (with the reason) and return. It is called on a loop and must not block.
	OnChange func(n *Node, up bool, reason string)
	// OnRefusal is told that a node has refused a connection: it is alive, and does not want us. As OnChange.
	OnRefusal func(n *Node, reason string)
	// OnFailure is told how many times in a row a node has failed. It is called on a loop and must not block. May be nil.
	OnFailure func(n *Node, times int)
}

// tlsTo gives what loop.Dial and loop.Connect ask for; nil: plain.
func (o *Options) tlsTo() func(address string) *tls.Config {
	if o.TLS == nil {
		return nil
	}
	return o.TLS.Config
}

// Dial connects to a node for somebody who can wait, until ctx ends, in the same way as lanes do.
func (o *Options) Dial(ctx context.Context, address string) (net.Conn, error) {
	return loop.Connect(ctx, address, o.tlsTo())
}

// AnyTime among Timeouts means that such a request may take as long as it likes.
const AnyTime time.Duration = -1

// timeout is how long the reply to a request of a class may take, 0: for ever.
func (o *Options) timeout(c Class) time.Duration {
	switch t := o.Timeouts[c]; t {
	case 0:
		return o.Timeout
	case AnyTime:
		return 0
	default:
		return t
	}
}

// shortest is the least of all timeouts, 0 if there are none.
func (o *Options) shortest() (least time.Duration) {
	for c := range Classes {
		if t := o.timeout(c); t > 0 && (least == 0 || t < least) {
			least = t
		}
	}
	return least
}

// Same reports whether lanes with these settings are as those with other ones. What the settings call is left out.
func (o *Options) Same(other *Options) bool {
	return o.Pool == other.Pool && o.Timeout == other.Timeout && o.Timeouts == other.Timeouts && o.ConnectTimeout == other.ConnectTimeout &&
		o.KeepAlive == other.KeepAlive && o.Username == other.Username && o.Password == other.Password && o.TLS == other.TLS && o.OutputLimit == other.OutputLimit &&
		o.FailoverWait == other.FailoverWait && o.ReadOnly == other.ReadOnly && o.ReplicasOnly == other.ReplicasOnly &&
		(o.Valid == nil) == (other.Valid == nil)
}

// Stats are what a lane counts of its own life.
type Stats struct {
	Connects, ConnectErrors, Losses, Timeouts, Garbage, Pushes uint64
}
