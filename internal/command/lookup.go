package command

import "encoding/binary"

// Lookup finds a command by its name in any case; nil if there is none. It doesn't allocate.
//
// A name is two words: its first and its last eight bytes (they overlap), or for a short name what it has. With
// the letters folded they are hashed to a slot; mostly the first one looked at is right.
func Lookup(name []byte) *Command {
	n := len(name)
	if uint(n-1) >= maxName { // none or too many
		return nil
	}
	head, tail := words(name)
	for i := hash(head, tail, n); ; i = (i + 1) % slots {
		s := &index[i]
		if s.size == 0 {
			return nil
		}
		if head|letters(s.head) == s.head && tail|letters(s.tail) == s.tail && int(s.size) == n {
			c := &table[s.id]
			if n > 16 && !sameFold(c.Name[8:n-8], name[8:n-8]) {
				continue
			}
			return c
		}
	}
}

const (
	slots   = 1024
	maxName = 32
)

// index is an open hash table of the commands that are not subcommands. It is less than half full.
var index [slots]struct {
	head, tail uint64
	id         uint16
	size       uint8 // of the name; 0: the slot is free
}

// topLevel is the number of commands that are not subcommands.
var topLevel int

func init() {
	for i := range table {
		c := &table[i]
		if c.parent >= 0 {
			continue
		}
		topLevel++
		head, tail := words([]byte(c.Name))
		at := hash(head, tail, len(c.Name))
		for index[at].size != 0 {
			at = (at + 1) % slots
		}
		s := &index[at]
		s.head, s.tail, s.id, s.size = head, tail, uint16(i), uint8(len(c.Name))
	}
}

// words returns the first and the last eight bytes of b. A shorter name gives words which together with its
// length still tell it from every other.
func words(b []byte) (head, tail uint64) {
	n := len(b)
	switch {
	case n >= 8:
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	case n >= 4:
		return uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[n-4:]))
	default: // 1 to 3
		return uint64(b[0]) | uint64(b[n/2])<<8 | uint64(b[n-1])<<16, 0
	}
}

// hash doesn't see case: bit 5 of each byte is set before.
func hash(head, tail uint64, n int) uint {
	const fold = 0x2020202020202020
	h := (head|fold)*0x9e3779b97f4a7c15 ^ (tail|fold)*0xc2b2ae3d27d4eb4f
	return uint(h^uint64(n)<<58) >> 54
}

// letters returns bit 5 for every byte of w that is a lower case letter, given that w is part of a command's
// name: only letters have both bit 6 and bit 5 there. So x|letters(w) == w says that x is w but for case.
func letters(w uint64) uint64 {
	const bit5 = 0x2020202020202020
	return w & (w >> 1) & bit5
}

// sameFold says whether b is the lower case word s, in any case.
func sameFold(s string, b []byte) bool {
	if len(s) != len(b) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
