// Package metrics is what Ringway counts. Counters are plain integers in shards, one per loop and pool, that only their
// loop touches; a scrape asks each loop for a copy. So counting costs an addition, and no request waits for a reader.
package metrics

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"ringway/internal/command"
)

// Kind says why a request was answered with an error, or a client let go.
type Kind uint8

const (
	NodeError      Kind = iota // the node's own error, passed on
	NodeDown                   // the node can't be reached, broke the connection or did not answer
	CrossSlot                  // keys on different nodes for a command that can't be split
	BadCommand                 // unknown, wrong number of arguments, refused
	Unauthorized               // no or a wrong password
	Protocol                   // the client sent something that is not RESP
	TooManyClients             // beyond max_clients
	Stalled                    // a client that did not read its replies was closed
	Merge                      // the nodes' answers don't fit together
	Shed                       // the node has as many requests as it may
	NoRoute                    // a key that no route of the pool is for
	Injected                   // the error of `fault`
	Denied                     // the user may not do it, or nobody in the pool

	TooManyFromAddress // beyond max_clients_per_address
	ConnectionRate     // beyond max_connection_rate
	LoginTimeout       // a client that did not log in was closed
	Idle               // a client that asked nothing was closed
	RequestTooBig      // beyond max_request_size or client_input_limit
	TooManyArguments   // beyond max_arguments
	KeyTooLong         // beyond max_key_length
	RateLimited        // beyond the max_request_rate of the user or the pool
	OutOfMemory        // beyond max_memory
	Kinds
)

var kindNames = [Kinds]string{"node_error", "node_down", "cross_slot", "bad_command", "unauthorized", "protocol", "too_many_clients", "client_stalled", "merge", "shed", "no_route", "injected", "denied",
	"too_many_from_address", "connection_rate", "login_timeout", "idle", "request_too_big", "too_many_arguments", "key_too_long", "rate_limited", "out_of_memory"}

func (k Kind) String() string { return kindNames[k] }

// Denial says what was denied.
type Denial uint8

const (
	DeniedLogin Denial = iota
	DeniedCommand
	DeniedKey
	DeniedChannel
	Denials
)

var denialNames = [Denials]string{"auth", "command", "key", "channel"}

func (d Denial) String() string { return denialNames[d] }

// Stall says what made a client's parser stop.
type Stall uint8

const (
	StallWindow    Stall = iota // as many requests in flight as allowed
	StallOutput                 // replies that the client does not read
	StallNode                   // a node that does not read its requests
	StallBarrier                // SELECT, HELLO or RESET behind requests in flight
	StallFault                  // the delay of `fault`
	StallMigration              // the other Ringways of the pool have to agree first
	StallPieces                 // requests come in a great many small pieces
	Stalls
)

var stallNames = [Stalls]string{"window", "output", "node", "barrier", "fault", "migration", "pieces"}

func (s Stall) String() string { return stallNames[s] }

// Handshake is how a client's TLS handshake has ended.
type Handshake uint8

const (
	HandshakeDone Handshake = iota
	HandshakeResumed
	HandshakePlain         // it does not speak TLS
	HandshakeVersion       // it offers none of the versions that are allowed
	HandshakeNoCertificate // it has none, and must
	HandshakeCertificate   // that of the client is not good
	HandshakeRefused       // the client doesn't like ours
	HandshakeTimeout       // it took too long
	HandshakeCrowded       // it was slow while others were waiting
	HandshakeClosed        // the client went away
	HandshakeOther
	HandshakeToPlain // it speaks TLS to an address that does not
	Handshakes
)

var handshakeNames = [Handshakes]string{
	"done", "resumed", "not_tls", "version", "no_certificate", "bad_certificate", "refused", "timeout", "crowded", "closed", "other", "to_plain",
}

func (h Handshake) String() string { return handshakeNames[h] }

// Certificate tells when one of ours expires.
type Certificate struct {
	Pool, Side string // to whom it is shown: clients or backends of a pool, or admin's, which is of none
	NotAfter   time.Time
}

// Fault is what `fault` does to a request.
type Fault uint8

const (
	FaultDelay Fault = iota
	FaultError
	Faults
)

var faultNames = [Faults]string{"delay", "error"}

func (f Fault) String() string { return faultNames[f] }

// Retry says why a request was sent a second time.
type Retry uint8

const (
	RetryMoved Retry = iota // the cluster has it elsewhere (MOVED)
	RetryAsk                // the cluster is moving it (ASK)
	RetryWait               // a node was not ready for it, or was down before it was sent
	RetryLost               // a read whose node was lost
	Retries
)

var retryNames = [Retries]string{"moved", "ask", "not_ready", "lost"}

func (r Retry) String() string { return retryNames[r] }

// Move says what has become of an attempt to bring a key from its old node to its new one.
type Move uint8

const (
	MoveMoved   Move = iota // it was brought
	MoveAbsent              // the old node does not have it
	MoveThere               // the new node has it already
	MoveAborted             // a write came between: what was taken is older, and dropped
	MoveLost                // the new node did not take it, or a connection broke
	MoveResults
)

var moveNames = [MoveResults]string{"moved", "absent", "there", "aborted", "lost"}

func (m Move) String() string { return moveNames[m] }

// Migration is what a pool with warm scaling knows of the others. It is the same for all loops, and in one shard only.
type Migration struct {
	On      bool
	Mode    int // 0 none, 1 plain, 2 hold, 3 warm, 4 drain
	Members int
	Lapses  uint64
	Held    uint64 // nanoseconds
}

// Pool is the shard of one loop for one pool.
type Pool struct {
	Requests []uint64 // by command ID
	Unknown  uint64   // requests with a name the table doesn't have
	Errors   [Kinds]uint64
	Denials  [Denials]uint64
	Stalls   [Stalls]uint64
	Retries  [Retries]uint64
	Slow     uint64    // requests that took so long that they were put in the slow log
	Latency  Histogram // from the turn that read a request to the turn that had its whole reply; while a loop counts, of those without a command: see AddUp

	Commands []*Histogram // the same of each command, by its ID; nil until it is first used

	Parts  uint64 // requests made from multi-key requests that were split
	Widths Widths // of these: how many parts each had

	Moves                 [MoveResults]uint64
	Voids                 uint64 // writes that were preceded by the removal of what an old node had
	Migration             Migration
	HotKeys               int     // now; no loop's own: only one of them tells
	HotShare              float64 // likewise: of the hottest one, of the commands with one key
	Promotions, Demotions uint64  // likewise: keys that became hot, and that were so no more
	Collapsed             uint64  // reads of hot keys that were answered with the reply to another's
	Near                  uint64  // reads of hot keys that were answered with a reply that is kept
	NearBytes             int     // that are kept now
	CopyReads             uint64  // reads of hot keys that were sent to copies
	CopyMisses            uint64  // of which these found none
	Populates             uint64  // copies that were sent to nodes
	PopulateErrors        uint64  // and those that were not taken
	Validations           uint64  // times that a node was asked to tell of changes of a hot key
	Invalidations         uint64  // times that it did
	Trackers              int     // connections on which nodes tell, now
	LeaseAge              int     // ns since the nodes have answered on them, in all, where something is kept

	Mirrored      uint64         // requests of which the mirror was sent a copy
	MirrorDropped uint64         // of which it was not, though it should have been
	MirrorErrors  uint64         // copies, or parts of them, that were answered with an error or not at all
	Faults        [Faults]uint64 // injected
	Traces        [2]uint64      // requests that were handed over for a collector, and those for which there was no room

	Handshakes [Handshakes]uint64 // of TLS, with clients

	ClientMemory, LaneMemory, SketchMemory int // bytes, now

	Clients  int // now
	Accepted uint64
	BytesIn  uint64 // from clients
	BytesOut uint64 // to clients

	Lookups       Lookups
	Prefixes      []string // whose lookups are counted apart; never changed, only replaced
	PrefixLookups []Lookups

	Write Phase // of replies that are no one node's: of requests that were split, or that no node was asked

	Nodes []Node // by the index of the node
}

// Node is what one loop knows of a node.
type Node struct {
	Up                                                 bool
	Ejected                                            bool      // now
	Ejections                                          [2]uint64 // by pool.EjectionReason; no loop's own: only one of them tells
	EjectedAt                                          uint64    // likewise: when it was for the last time, in microseconds since 1970; 0: never
	FailedChecks                                       uint64    // likewise
	Lanes                                              int       // connections that are open
	Depth                                              int       // replies awaited
	Unsent                                             int       // bytes
	Requests                                           uint64
	Walked, Walk                                       int // keys that the background mover has gone through, of how many
	BytesIn                                            uint64
	BytesOut                                           uint64
	Connects, ConnectErrors, Losses, Timeouts, Garbage uint64
	Sheds                                              uint64
	Phases                                             Phases
}

// Loop is what a loop counts of itself.
type Loop struct {
	Turns, Panics, AcceptFailures uint64
}

// Histogram counts durations in buckets that double, each doubling split in four: from 1 us to 60 s what is read out of
// it is at most a quarter too high.
type Histogram struct {
	Buckets [HistogramBuckets]uint64
	Sum     uint64 // nanoseconds
}

const (
	firstBits        = 10 // durations below 1.024 us share the first bucket
	HistogramBuckets = 4*26 + 1
)

// Observe counts a request that took ns nanoseconds, which must not be negative.
func (h *Histogram) Observe(ns int64) {
	h.Sum += uint64(ns)
	h.Buckets[bucket(uint64(ns))]++
}

func bucket(ns uint64) int {
	b := bits.Len64(ns)
	if b <= firstBits {
		return 0
	}
	i := (b-firstBits-1)*4 + int(ns>>((b-3)&63)&3) + 1
	return min(i, HistogramBuckets-1)
}

// Bound returns where bucket i ends, in nanoseconds: it has what is less, down to the bound before. The last bucket has
// all the rest.
func Bound(i int) uint64 {
	switch i {
	case 0:
		return 1 << firstBits
	case HistogramBuckets - 1:
		return math.MaxUint64
	}
	i--
	return uint64(4+i%4+1) << (i/4 + firstBits - 2)
}

// OfCommand begins to count a command's requests.
func (p *Pool) OfCommand(id int) *Histogram {
	h := new(Histogram)
	p.Commands[id] = h
	return h
}

// AddUp has Latency tell of all requests, those of commands too. It must be called once, for a copy.
func (p *Pool) AddUp() {
	for _, h := range p.Commands {
		if h != nil {
			p.Latency.add(h)
		}
	}
}

// AddHistograms adds up by command.
func AddHistograms(to, from []*Histogram) {
	for id, h := range from {
		switch {
		case h == nil:
		case to[id] == nil:
			c := *h
			to[id] = &c
		default:
			to[id].add(h)
		}
	}
}

// Doublings calls f for each doubling of the time in which something was counted: how many took no longer than so many nanoseconds.
func (h *Histogram) Doublings(f func(bound, count uint64)) {
	var count, told uint64
	for i, n := range h.Buckets {
		if count += n; i%4 == 0 && count > told {
			f(1<<(firstBits+i/4), count)
			told = count
		}
	}
}

// Count is how many there are.
func (h *Histogram) Count() (n uint64) {
	for _, b := range h.Buckets {
		n += b
	}
	return n
}

// Since is what was counted after an earlier moment.
func (h *Histogram) Since(before *Histogram) Histogram {
	d := *h
	for i, n := range before.Buckets {
		d.Buckets[i] -= n
	}
	d.Sum -= before.Sum
	return d
}

// NewPool returns an empty shard for a pool of that many nodes.
func NewPool(nodes int) Pool {
	return Pool{Requests: make([]uint64, command.Count()), Commands: make([]*Histogram, command.Count()), Nodes: make([]Node, nodes)}
}

// Grow makes room for more nodes.
func (p *Pool) Grow(nodes int) {
	for len(p.Nodes) < nodes {
		p.Nodes = append(p.Nodes, Node{})
	}
}

// Clone copies a shard.
func (p *Pool) Clone() Pool {
	c := *p
	c.Requests = slices.Clone(p.Requests)
	c.Nodes = slices.Clone(p.Nodes)
	c.Commands = make([]*Histogram, len(p.Commands))
	AddHistograms(c.Commands, p.Commands)
	c.PrefixLookups = slices.Clone(p.PrefixLookups)
	return c
}
