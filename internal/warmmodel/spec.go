package warmmodel

import "slices"

// A version is a value that one operation writes, so that who reads it says which write was seen.
type version uint8

const (
	absent  version = 0
	initial version = 1 // what the old node holds at the beginning
	firstOp version = 2 // operation i writes version firstOp+i
	stale   version = 7 // left over on the new node from an earlier time, overwritten since
)

// The promise: what clients are told fits a single register that takes one operation after the other, each at some moment between
// its call and its answer, where a read may also miss at any time. An operation that ends in an error may take effect at any
// later moment, once, or never. A read that returns a value returns the register's; so nothing older than what
// was returned or acknowledged ever comes back.
//
// A history is one way to explain the events so far. The spec keeps all of them, and the promise is broken when none is left.
type history uint64

// Bits of a history: the register's version, for each operation whether it has taken effect and the version it found, and for
// each read the versions that were current since its call.
func (h history) current() version             { return version(h & 7) }
func (h history) effective(op int) bool        { return h>>(3+4*op)&1 != 0 }
func (h history) found(op int) version         { return version(h >> (4 + 4*op) & 7) }
func (h history) could(op int, v version) bool { return h>>(23+8*op)&(1<<v) != 0 }
func (h history) without(op int) history       { return h &^ (0xff << (23 + 8*op)) }

// take has a write take effect. Every read under way could have seen it.
func (h history) take(op int, reads []int) history {
	v := firstOp + version(op)
	h |= (1 | history(h.current())<<1) << (3 + 4*op)
	h = h&^7 | history(v)
	return h.see(reads)
}

// see notes the current version for reads under way.
func (h history) see(reads []int) history {
	for _, r := range reads {
		h |= 1 << h.current() << (23 + 8*r)
	}
	return h
}

// spec is a set of histories by its number, so that a state of a machine can hold it. 0 is the empty set.
type spec uint32

// library numbers sets of histories.
type library struct {
	numbers map[string]spec
	sets    [][]history
	known   map[question]spec
}

// question is an event and what the spec was before it: the same question has the same answer.
type question struct {
	s       spec
	kind    uint8
	op      uint8
	v       version
	writes  uint8 // operations called, as bits
	reading uint8 // reads under way, as bits
}

func newLibrary() *library {
	lib := &library{numbers: map[string]spec{}, known: map[question]spec{}}
	lib.number(nil)
	return lib
}

func (lib *library) number(set []history) spec {
	slices.Sort(set)
	set = slices.Compact(set)
	key := make([]byte, 0, 8*len(set))
	for _, h := range set {
		for i := range 8 {
			key = append(key, byte(h>>(8*i)))
		}
	}
	n, ok := lib.numbers[string(key)]
	if !ok {
		n = spec(len(lib.sets))
		lib.numbers[string(key)] = n
		lib.sets = append(lib.sets, set)
	}
	return n
}

func bits(mask uint8) (list []int) {
	for i := range 8 {
		if mask>>i&1 != 0 {
			list = append(list, i)
		}
	}
	return list
}

const (
	called = iota
	written
	returned
	failed
)

// next answers what the spec is after an event. writes are all writes called so far, those that failed included; reading are the reads
// under way, the one of the event included.
func (lib *library) next(q question) spec {
	if s, ok := lib.known[q]; ok {
		return s
	}
	op, reads := int(q.op), bits(q.reading)
	var set []history
	for _, h := range lib.sets[q.s] {
		switch q.kind {
		case called:
			h = h.see(reads)
		case written: // v is what a read-modify-write says it found
			if !h.effective(op) || q.v != absent && h.found(op) != q.v {
				continue
			}
		case returned:
			if q.v != absent && !h.could(op, q.v) {
				continue
			}
			h = h.without(op)
		case failed: // of a read: it does not matter any more
			h = h.without(op)
		}
		set = append(set, h)
	}
	if q.kind == called { // whatever has been called may take effect from now on
		for i := 0; i < len(set); i++ {
			for _, w := range bits(q.writes) {
				if !set[i].effective(w) {
					set = append(set, set[i].take(w, reads))
				}
			}
		}
		slices.Sort(set)
		set = slices.Compact(set)
	}
	s := lib.number(set)
	lib.known[q] = s
	return s
}
