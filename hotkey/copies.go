package hotkey

import (
	"cmp"
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
	Kind     Kind
	Value    []byte   // as the node has sent it: a bulk string, of the value or of what DUMP made of it
	Targets  []uint16 // all nodes that may have one, in the order in which they are used
	Database int      // of the nodes

	places []Place  // in the order in which they were given
	names  [][]byte // by target

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

// Place is a node that may have a copy.
type Place struct {
	Node uint16
	Name string // the same in every process
	Tag  string // hash tag of what is to be on this node; "" where a node takes any name
}

// NewCopies returns what is to be known of copies that are not there yet. A copy's name is made of the prefix, the place's tag, a digest of the value, and the
// key.
func NewCopies(prefix string, kind Kind, value, key []byte, places []Place) *Copies {
	digest := sha256.Sum256(value)
	rest := base64.RawURLEncoding.EncodeToString(digest[:16]) + ":" + string(byte(kind)) + ":" + string(key)
	c := &Copies{Kind: kind, Value: value, places: places, ready: make([]atomic.Bool, len(places)), until: make([]atomic.Int64, len(places))}
	untagged := []byte(prefix + rest)
	for _, p := range order(key, places) {
		name := untagged
		if p.Tag != "" {
			name = []byte(prefix + "{" + p.Tag + "}:" + rest)
		}
		c.Targets, c.names = append(c.Targets, p.Node), append(c.names, name)
	}
	return c
}

// order is by the highest random weight of key and node (Thaler and Ravishankar, 1998): the same in every process, and another for each key, so that
// the keys of one node do not all go to the same others. It does not depend on the ring.
func order(key []byte, places []Place) []Place {
	weight := func(p Place) uint64 { return xxhash.Sum64String(p.Name + "\x00" + string(key)) }
	list := slices.Clone(places)
	slices.SortFunc(list, func(a, b Place) int { return cmp.Compare(weight(b), weight(a)) })
	return list
}

// At reports whether these are the places that the copies may be at.
func (c *Copies) At(places []Place) bool { return slices.Equal(c.places, places) }

// Name is what the copy at a target is called.
func (c *Copies) Name(i int) []byte { return c.names[i] }

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
