// Package hashring says which node of a pool a key belongs to.
//
// A Ring is built once from names and weights and never changes; placing a key reads it without a lock and without
// allocating. Placement is a contract with data already stored: it is a pure function of the names, the weights and
// the options, the same in every process and on every platform, whatever the order of the list (but for ring_hash and list, see New). The
// golden files of this package hold it still.
//
// The package knows names, not addresses: a node may move to another machine and keep its keys. It does not watch
// health, opens no connection and keeps no key.
package hashring

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Partitions is the number of partitions (slots) of the distributions consistent and crc16.
const Partitions = 16384

// Node is one member of a ring. The name alone decides where its keys are; weight is its share beside the others',
// at least 1.
type Node struct {
	Name   string
	Weight int
}

// Options choose how keys are placed. The zero value is a consistent ring over xxhash64 without hash tags. All of
// them except UnsignedChar are part of the placement: changing one moves keys.
type Options struct {
	// Distribution is consistent (the default), ketama, modula, random, crc16, ring_hash, maglev or list.
	Distribution string

	// Hash turns a key into a number: xxhash64 (the default of consistent), or one of twemproxy's (the default of
	// ketama and modula is fnv1a_64, as there). The slots of crc16 have their own hash; random uses none. Of ring_hash it is
	// the hash that puts nodes on the ring: xxhash64 (the default) or murmur2_64. Keys have murmur2_64 there, and in maglev. list has
	// predixy's: crc16 (the default), which is 16 bits wide and not twemproxy's, and atol.
	Hash string

	// HashTag is two characters, for instance "{}": of a key with at least one byte between the first of them and
	// the next following second one, only those bytes are hashed. Empty: the whole key, always.
	HashTag string

	// VirtualNodes is how many points each node gets on a consistent ring; 0 means 160. More points let fewer other
	// keys move when a node joins or leaves, and cost time to build. Ketama has 160 and nothing else.
	VirtualNodes int

	// LoadBound is the most a node of a consistent ring may own, as a multiple of its fair share; 0 means 1.05.
	// A tighter bound balances better and moves more keys when a node joins or leaves.
	LoadBound float64

	// RingSize is the least number of points of a ring_hash ring, all nodes together, and MaxRingSize the most; 0 means
	// Envoy's 1024 and 8388608.
	RingSize, MaxRingSize int

	// TableSize is the length of maglev's table, a prime number; 0 means Envoy's 65537.
	TableSize int

	// UnsignedChar makes fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, one_at_a_time and hsieh read bytes above 127 as a
	// twemproxy built for ARM does. It matters for keys that are not ASCII only.
	UnsignedChar bool
}

// DefaultVirtualNodes and DefaultLoadBound are what a zero in Options means. docs/hashring.md has the measurements
// they were chosen by.
const (
	DefaultVirtualNodes = 160
	DefaultLoadBound    = 1.05
)

// kind is a distribution, as a small number for the switch in Find.
type kind uint8

const (
	kindConsistent kind = iota
	kindKetama
	kindModula
	kindRandom
	kindCRC16
	kindRingHash
	kindMaglev
	kindList
)

var kindNames = [...]string{"consistent", "ketama", "modula", "random", "crc16", "ring_hash", "maglev", "list"}

// Ring places keys on nodes. It is immutable and safe for concurrent use.
type Ring struct {
	kind     kind
	plain64  bool // the hash is xxhash64: taken inline on the hot path
	tagged   bool
	tagOpen  byte
	tagClose byte
	hash     func(key []byte) uint32
	hash64   func(key []byte) uint64 // list

	nodes    []Node  // as given to New
	order    []int32 // indexes into nodes in the order the distribution counts in
	hashName string

	table  *[Partitions]uint16 // consistent, crc16: partition to node
	points *continuum          // ketama
	wheel  *wheel              // modula, list
	circle *circle             // ring_hash
	maglev []uint16            // place in the table to node
}

// Find returns the node that owns key, as an index into the nodes given to New.
func (r *Ring) Find(key []byte) int {
	if r.tagged {
		key = r.tag(key)
	}
	switch r.kind {
	case kindConsistent:
		if r.plain64 {
			return int(r.table[xxhash.Sum64(key)%Partitions])
		}
		return int(r.table[r.hash32(key)%Partitions])
	case kindKetama:
		return r.points.find(r.hash32(key))
	case kindCRC16:
		return int(r.table[slot(key)])
	case kindModula:
		return r.wheel.find(r.hash32(key))
	case kindRingHash:
		return r.circle.find(murmur2(key))
	case kindMaglev:
		return int(r.maglev[murmur2(key)%uint64(len(r.maglev))])
	case kindList:
		return r.wheel.find(uint32(r.hash64(key) % uint64(r.wheel.total)))
	default:
		return rand.IntN(len(r.nodes))
	}
}

// Partition returns the partition of key, 0 to Partitions-1, for the distributions that have them: consistent and
// crc16 (Redis Cluster's slot). The others give false.
func (r *Ring) Partition(key []byte) (int, bool) {
	key = r.Tag(key)
	switch {
	case r.kind == kindCRC16:
		return slot(key), true
	case r.kind != kindConsistent:
		return 0, false
	case r.plain64:
		return int(xxhash.Sum64(key) % Partitions), true
	default:
		return int(r.hash32(key) % Partitions), true
	}
}

// Tag returns the part of key that is hashed: what stands between the tag's characters, or all of key. It points
// into key.
func (r *Ring) Tag(key []byte) []byte {
	if r.tagged {
		return r.tag(key)
	}
	return key
}

// tag looks no further than the first pair: of a{}b{c} all is hashed. Redis Cluster's rule for {} is the same.
func (r *Ring) tag(key []byte) []byte {
	open := bytes.IndexByte(key, r.tagOpen)
	if open < 0 {
		return key
	}
	inner := key[open+1:]
	if n := bytes.IndexByte(inner, r.tagClose); n > 0 {
		return inner[:n]
	}
	return key
}

// hash32 is the 32-bit hash of a key without its tag's surroundings. The empty key hashes to 0 whatever the hash, as in twemproxy.
func (r *Ring) hash32(key []byte) uint32 {
	if len(key) == 0 {
		return 0
	}
	return r.hash(key)
}

// Len returns the number of nodes.
func (r *Ring) Len() int { return len(r.nodes) }

// Node returns node i as it was given to New.
func (r *Ring) Node(i int) Node { return r.nodes[i] }

// Nodes returns the nodes as they were given to New.
func (r *Ring) Nodes() []Node { return slices.Clone(r.nodes) }

// Distribution returns the name of the ring's distribution.
func (r *Ring) Distribution() string { return kindNames[r.kind] }

// Hash returns the name of the ring's hash, or "" for random.
func (r *Ring) Hash() string { return r.hashName }
