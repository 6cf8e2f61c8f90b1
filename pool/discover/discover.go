package discover

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

// Node is a primary with its replicas.
type Node struct {
	Name     string // what the ring knows it by; stays the same over failovers and changes of address
	Address  string // of the primary, host:port or unix:///path; "" while none is known
	Weight   int
	Replicas []Replica // in a stable order (by address)
}

// Replica is a server that follows a primary.
type Replica struct{ Address, Zone string }

// NoNode stands in Update.Slots for a slot that nobody serves.
const NoNode = 65535

// Update is all that is known of a pool's nodes at one moment. It is not changed after it has been published.
type Update struct {
	Nodes []Node         // in a stable order: static as configured, sentinel in the order of masters, cluster and dns by name
	Slots *[16384]uint16 // Redis Cluster only: for each slot an index into Nodes, NoNode for a slot that nobody serves
}

// Source finds nodes until ctx ends. publish is called with every change (never twice with an equal update), from the
// source's goroutine. Run returns when nothing it has started is left; it may be called once.
type Source interface {
	Run(ctx context.Context, publish func(Update))
	// Nudge has the source look again at once, at most a few times a second: somebody has seen MOVED, READONLY or a
	// dead primary. Any goroutine may call it; it never blocks.
	Nudge()
}

// Options are what all sources need.
type Options struct {
	Pool     string       // for the log
	Log      *slog.Logger // nil: slog.Default()
	Username string       // for the nodes
	Password string
	As       func(address string) (username, password string) // in their place; may be nil
	// Dial connects to host:port or unix:///path; nil: plain TCP or a socket file. It must give up when ctx ends.
	Dial     func(ctx context.Context, address string) (net.Conn, error)
	Timeout  time.Duration // for a connection, for each reply and for a look-up of a name; default 1s
	Interval time.Duration // how often to look when nothing happens; default 1s for sentinel, 5s for cluster and dns
}

// filled returns the options with the defaults in place of zeroes.
func (o Options) filled(interval time.Duration) Options {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Pool != "" {
		o.Log = o.Log.With("pool", o.Pool)
	}
	if o.Dial == nil {
		o.Dial = dialPlain
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	if o.Interval <= 0 {
		o.Interval = interval
	}
	return o
}

// credentials are what the node at an address is given.
func (o *Options) credentials(address string) (username, password string) {
	if o.As != nil {
		return o.As(address)
	}
	return o.Username, o.Password
}

func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// outlet publishes updates that differ from the one before.
type outlet struct {
	publish func(Update)
	last    Update
	used    bool
}

// put tells whether there was a change.
func (o *outlet) put(u Update) bool {
	if o.used && same(o.last, u) {
		return false
	}
	o.last, o.used = u, true
	o.publish(u)
	return true
}

func same(a, b Update) bool {
	if (a.Slots == nil) != (b.Slots == nil) || a.Slots != nil && *a.Slots != *b.Slots {
		return false
	}
	return slices.EqualFunc(a.Nodes, b.Nodes, func(a, b Node) bool {
		return a.Name == b.Name && a.Address == b.Address && a.Weight == b.Weight && slices.Equal(a.Replicas, b.Replicas)
	})
}

func sortReplicas(list []Replica) {
	slices.SortFunc(list, func(a, b Replica) int { return strings.Compare(a.Address, b.Address) })
}

// bell is how others wake a source. Who rings during a look is heard after it: what he has seen may be newer.
type bell struct {
	nudges chan struct{} // heard when gap has passed since the last look
	alarms chan struct{} // heard at once
}

func newBell() bell { return bell{nudges: make(chan struct{}, 1), alarms: make(chan struct{}, 1)} }

// Nudge is Source.Nudge.
func (b bell) Nudge() { ring(b.nudges) }

func ring(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gap is the least time between two looks for a nudge.
const gap = 200 * time.Millisecond

// wait returns when it is time for the next look: d has passed, or somebody has rung, in which case it tells so. The caller
// asks ctx whether there is to be a next look.
func (b bell) wait(ctx context.Context, d time.Duration) (nudged bool) {
	last := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return false
	case <-b.alarms:
	case <-b.nudges:
		timer.Reset(gap - time.Since(last))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-b.alarms:
		}
	}
	// Who has rung in the meantime is served by the same look.
	select {
	case <-b.nudges:
	default:
	}
	return true
}

// jitter makes d up to a tenth longer or shorter, so that many routers do not ask in step.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
