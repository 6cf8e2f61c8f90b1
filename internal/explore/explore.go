// Package explore visits all states of a small machine, and prints the shortest way to one that is broken.
//
// A machine is a protocol with one object and few actors, whose every step is an event that may happen in any order with the others.
// What it can't reach in all its states doesn't happen within its bounds; what those are, the machine's package says. Nothing
// here runs in Ringway.
package explore

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// Event names one step of a machine: who does what.
type Event struct {
	Who, Arg int8
	What     string
}

// Machine is a system with finitely many states. Steps calls visit for everything that can happen in s; Broken says what is wrong with s,
// "" if nothing is.
type Machine[S comparable] interface {
	Start() S
	Steps(s S, visit func(Event, S))
	Broken(s S) string
	Name(e Event) string
	Canon(s S) S // of states that differ only in who is called the first, one
}

// Outcome is what a search has found.
type Outcome struct {
	States int
	Depth  int
	Cut    bool     // the limit was reached: there are more states
	Broken string   // "" if the promise was kept in all of them
	Trace  []string // the shortest way there
}

func (o Outcome) String() string {
	if o.Broken == "" {
		return fmt.Sprintf("%d states, longest shortest way %d steps", o.States, o.Depth)
	}
	return fmt.Sprintf("%s, after %d states:\n  %s", o.Broken, o.States, strings.Join(o.Trace, "\n  "))
}

// Search visits every state that can be reached, nearest first, and stops at the first that is broken. States are remembered by a
// 64-bit hash: with ten million of them the chance that one is taken for another is 3 in a million.
func Search[S comparable](m Machine[S], limit int) Outcome {
	var (
		seed   = maphash.MakeSeed()
		seen   = newSet()
		parent []int32
		by     []Event
		out    Outcome
	)
	path := func(i int32) (trace []string) {
		for ; i > 0; i = parent[i] {
			trace = append(trace, m.Name(by[i]))
		}
		for a, b := 0, len(trace)-1; a < b; a, b = a+1, b-1 {
			trace[a], trace[b] = trace[b], trace[a]
		}
		return trace
	}
	type place struct {
		state S
		index int32
	}
	first := m.Start()
	seen.add(maphash.Comparable(seed, m.Canon(first)))
	parent, by = append(parent, -1), append(by, Event{})
	for level := []place{{first, 0}}; len(level) > 0; out.Depth++ {
		var next []place
		for _, at := range level {
			m.Steps(at.state, func(e Event, s S) {
				if s == at.state {
					return
				}
				if out.Broken != "" || !seen.add(maphash.Comparable(seed, m.Canon(s))) {
					return
				}
				i := int32(len(parent))
				parent, by = append(parent, at.index), append(by, e)
				if why := m.Broken(s); why != "" {
					out.Broken, out.Trace = why, path(i)
				}
				next = append(next, place{s, i})
			})
			if out.Cut = len(parent) > limit; out.Cut || out.Broken != "" {
				out.States = len(parent)
				return out
			}
		}
		level = next
	}
	out.States = len(parent)
	return out
}

// set is a set of hashes. Nearly all of a search's time goes into waiting for memory here, and a map would wait twice as often.
type set struct {
	table []uint64 // a power of two, at most half full; 0 is an empty place
	n     int
}

func newSet() *set { return &set{table: make([]uint64, 1<<12)} }

// add returns false if h was there already.
func (s *set) add(h uint64) bool {
	h = max(h, 1)
	mask := uint64(len(s.table) - 1)
	at := h & mask
	for ; s.table[at] != 0; at = (at + 1) & mask {
		if s.table[at] == h {
			return false
		}
	}
	s.table[at] = h
	if s.n++; 2*s.n > len(s.table) {
		old := s.table
		s.table, s.n = make([]uint64, 2*len(old)), 0
		for _, h := range old {
			if h != 0 {
				s.add(h)
			}
		}
	}
	return true
}
