package hotkey

import (
	"bytes"
	"math/bits"
	"sync/atomic"
)

// Set is the keys that are hot at one moment. It never changes.
type Set struct {
	Keys  []Key
	table []uint16 // by some bits of the hash: one more than the index of a key; a power of two, and never more than half full
}

// Key is a hot key.
type Key struct {
	Hash  uint64 // its lowest bit is always set
	Name  []byte
	Since int64
	Entry *Entry
}

func newSet(keys []Key) *Set {
	s := &Set{Keys: keys}
	if len(keys) == 0 {
		return s
	}
	s.table = make([]uint16, 1<<bits.Len(uint(2*len(keys)-1)))
	mask := uint64(len(s.table) - 1)
	for i := range keys {
		at := keys[i].Hash >> 8 & mask
		for s.table[at] != 0 {
			at = (at + 1) & mask
		}
		s.table[at] = uint16(i + 1)
	}
	return s
}

// SetOf returns a set of these keys, hashed with hash.
func SetOf(hash func([]byte) uint64, now int64, names ...string) *Set {
	var keys []Key
	for _, n := range names {
		keys = append(keys, Key{Hash: hash([]byte(n)) | 1, Name: []byte(n), Since: now, Entry: newEntry([]byte(n), hash([]byte(n))|1, 0, new(atomic.Int64))})
	}
	return newSet(keys)
}

// Find returns the index of a key, -1 if it is not hot.
func (s *Set) Find(hash uint64, key []byte) int {
	return s.find(hash|1, key)
}

func (s *Set) find(hash uint64, key []byte) int {
	if len(s.table) == 0 {
		return -1
	}
	mask := uint64(len(s.table) - 1)
	for at := hash >> 8 & mask; s.table[at] != 0; at = (at + 1) & mask {
		i := int(s.table[at]) - 1
		if s.Keys[i].Hash == hash && bytes.Equal(s.Keys[i].Name, key) {
			return i
		}
	}
	return -1
}
