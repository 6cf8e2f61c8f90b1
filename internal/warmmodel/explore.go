package warmmodel

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// event names one step of a machine: who does what.
type event struct {
	who  int8
	what string
}

// machine is a system with finitely many states. Steps calls visit for everything that can happen in s; broken says what is wrong with s,
// "" if nothing is.
type machine[S comparable] interface {
	start() S
	steps(s S, visit func(event, S))
	broken(s S) string
	name(e event) string
	canon(s S) S // of states that differ only in who is called the first, one
}

// outcome is what a search has found.
type outcome struct {
	states int
	depth  int
	cut    bool     // the limit was reached: there are more states
	broken string   // "" if the promise was kept in all of them
	trace  []string // the shortest way there
}

func (o outcome) String() string {
	if o.broken == "" {
		return fmt.Sprintf("%d states, longest shortest way %d steps", o.states, o.depth)
	}
	return fmt.Sprintf("%s, after %d states:\n  %s", o.broken, o.states, strings.Join(o.trace, "\n  "))
}

// explore visits every state that can be reached, nearest first, and stops at the first that is broken. States are remembered by a
// 64-bit hash: with ten million of them the chance that one is taken for another is 3 in a million.
func explore[S comparable](m machine[S], limit int) outcome {
	var (
		seed   = maphash.MakeSeed()
		seen   = map[uint64]struct{}{}
		parent []int32
		by     []event
		out    outcome
	)
	path := func(i int32) (trace []string) {
		for ; i > 0; i = parent[i] {
			trace = append(trace, m.name(by[i]))
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
	first := m.start()
	seen[maphash.Comparable(seed, m.canon(first))] = struct{}{}
	parent, by = append(parent, -1), append(by, event{})
	for level := []place{{first, 0}}; len(level) > 0; out.depth++ {
		var next []place
		for _, at := range level {
			m.steps(at.state, func(e event, s S) {
				if s == at.state {
					return
				}
				h := maphash.Comparable(seed, m.canon(s))
				if _, old := seen[h]; old || out.broken != "" {
					return
				}
				seen[h] = struct{}{}
				i := int32(len(parent))
				parent, by = append(parent, at.index), append(by, e)
				if why := m.broken(s); why != "" {
					out.broken, out.trace = why, path(i)
				}
				next = append(next, place{s, i})
			})
			if out.cut = len(parent) > limit; out.cut || out.broken != "" {
				out.states = len(parent)
				return out
			}
		}
		level = next
	}
	out.states = len(parent)
	return out
}
