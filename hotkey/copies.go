package hotkey

import (
	"crypto/sha256"
	"encoding/base64"
	"math"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Copies are copies of a value of a key on several nodes, under a name that tells the value: so a copy is never wrong, it is there or it is not. What may be
// wrong is only that it is the key's value still, and that is what a Version is for.
type Copies struct {
	Name    []byte
	Kind    Kind
	Value   []byte   // as the node has sent it: a bulk string, of the value or of what DUMP made of it
	Targets []uint16 // all nodes, in the order in which they are used

	using atomic.Int32   // how many of the targets
	ready []atomic.Bool  // by target: the copy is there, as far as is known
	until []atomic.Int64 // by target: it is not to be asked before, loop clock
	Used  atomic.Int64   // when the copies were last asked for, loop clock
}

// Kind is how a value is copied.
type Kind byte

const (
	String   Kind = 's' // by SET
	Restored Kind = 'r' // by RESTORE: the key is none
)

// NewCopies returns what is to be known of copies that are not there yet. The name is made of the prefix, the database, a digest of the value and the key.
func NewCopies(prefix string, kind Kind, value []byte, e *Entry, nodes []uint16, names func(uint16) string) *Copies {
	digest := sha256.Sum256(value)
	name := append([]byte(prefix), base64.RawURLEncoding.EncodeToString(digest[:16])...)
	name = append(append(name, ':', byte(kind), ':'), e.Name...)
	c := &Copies{Name: name, Kind: kind, Value: value, ready: make([]atomic.Bool, len(nodes)), until: make([]atomic.Int64, len(nodes))}
	c.Targets = order(e, nodes, names)
	return c
}

// order is by the highest random weight of key and node (Thaler and Ravishankar, 1998): the same in every process, and another for each key, so that
// the keys of one node do not all go to the same others. It does not depend on the ring.
func order(e *Entry, nodes []uint16, names func(uint16) string) []uint16 {
	weight := func(n uint16) uint64 { return xxhash.Sum64String(names(n) + "\x00" + string(e.Name)) }
	list := slices.Clone(nodes)
	slices.SortFunc(list, func(a, b uint16) int {
		x, y := weight(a), weight(b)
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return list
}

// Spread is how many of n nodes should have a copy of a key with a share of the requests: so many that its part at each is no more than what makes a key hot.
func Spread(share float64, n int) int {
	want := 2
	for want < n && float64(want) < share*float64(n)/Share {
		want *= 2
	}
	return min(want, n)
}

// Using is how many of the targets are used.
func (c *Copies) Using() int { return int(c.using.Load()) }

// Use has the first n targets used from now on.
func (c *Copies) Use(n int) { c.using.Store(int32(n)) }

// Ready reports whether the copy is at a target.
func (c *Copies) Ready(i int) bool { return c.ready[i].Load() }

// Arrived says that a copy is at a target.
func (c *Copies) Arrived(i int) { c.ready[i].Store(true) }

// Missed says that it is not.
func (c *Copies) Missed(i int) { c.ready[i].Store(false) }

// Rest says that a target is not to be asked before a time.
func (c *Copies) Rest(i int, until int64) { c.until[i].Store(until) }

// Resting see Rest.
func (c *Copies) Resting(i int, now int64) bool { return now < c.until[i].Load() }

// Version says of copies that they are what the key has, for as long as its watch holds.
type Version struct {
	*Copies
	Watch  *Watch
	ReadAt int64 // when the value was asked for
}

// Version returns what is known of the key's copies, nil if nothing. Whether it holds is to be asked.
func (e *Entry) Version() *Version { return e.version.Load() }

// SetVersion puts another in its place, and returns the one before.
func (e *Entry) SetVersion(v *Version) (before *Version) { return e.version.Swap(v) }

// DropVersion forgets v. It returns false if another has followed on it.
func (e *Entry) DropVersion(v *Version) bool { return e.version.CompareAndSwap(v, nil) }

// Share is the key's part of the requests, when the loops last reported.
func (e *Entry) Share() float64 { return math.Float64frombits(e.share.Load()) }

func (e *Entry) setShare(f float64) { e.share.Store(math.Float64bits(f)) }
