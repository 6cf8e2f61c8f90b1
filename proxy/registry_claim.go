package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ringway/internal/loop"
)

// attempt takes a mode that others may exclude: look, claim, note, serve. At a start nodes that don't answer are left out.
func (r *registry) attempt(m mode) bool {
	start := r.mode.kind == warmNone
	began, old, lapses := loop.Clock(), r.mode, r.lapses.Load()
	need := r.nodesOf(m, old)
	fail := func(format string, args ...any) bool {
		r.because(format, args...)
		r.retryAt = loop.Clock() + int64(r.t.hasty) + rand.Int64N(3*int64(r.t.hasty))
		if r.mode != old && r.lapses.Load() == lapses { // a lapse on the way, of one that was frozen, is an end of the old mode, too
			r.mode = old
			r.beat(nil)
		}
		return false
	}
	r.beat(nil)
	if r.mode != old { // the lease ran out meanwhile
		return false
	}
	there := need[:0]
	for _, n := range need {
		if n.answered {
			there = append(there, n)
		} else if !start {
			return fail("node %s does not answer: %v", n.name, n.err)
		}
	}
	if len(there) == 0 {
		return fail("none of its nodes answers")
	}
	for _, n := range there {
		if n.sent < n.trusted {
			return fail("node %s has no memory of its Ringways yet", n.name)
		}
		if by := r.excluder(n, m); by != "" {
			return fail("%s", by)
		}
	}
	if !r.allows(m) {
		return fail("%s is in force", r.force.Mode)
	}
	among := func(n *regNode) bool { return slices.Contains(there, n) }
	whole := func() string {
		if r.lapses.Load() != lapses { // what is in force may be something else by now
			return "its lease ran out"
		}
		for _, n := range there {
			if !n.answered || !n.shown {
				return "node " + n.name + " does not answer, or has forgotten"
			}
			if by := r.excluder(n, m); by != "" {
				return by
			}
		}
		return ""
	}
	r.mode = m
	r.beat(among)
	if why := whole(); why != "" {
		return fail("%s", why)
	}
	if f, changes := r.noting(m); changes {
		r.force = f
		r.beat(among)
		if why := whole(); why != "" {
			return fail("%s", why)
		}
	}
	until := int64(0)
	for _, n := range there {
		until = max(until, n.until)
	}
	if now := loop.Clock(); now-began > int64(r.t.attempt) || now >= until {
		return fail("its nodes answer too slowly")
	}
	if !start && r.serving.kind == warmNone {
		return fail("its lease ran out") // while it was claiming
	}
	r.retryAt = 0
	r.lease.until.Store(max(until, r.lease.until.Load()))
	r.served(m)
	r.lease.free.Store(false)
	return true
}

// nodesOf are the nodes of the rings of modes.
func (r *registry) nodesOf(modes ...mode) (list []*regNode) {
	for _, m := range modes {
		for _, d := range []string{m.y, m.z} {
			if sp := r.specs[d]; sp != nil {
				for _, sn := range sp.Nodes {
					if n := r.nodes[sn.Name]; n != nil && !slices.Contains(list, n) {
						list = append(list, n)
					}
				}
			}
		}
	}
	return list
}

// excluder says who excludes a mode on a node, "" if nobody does.
func (r *registry) excluder(n *regNode, m mode) string {
	for id, p := range n.peers {
		if r.counts(p) && p.Mode.excludes(m) {
			return fmt.Sprintf("%s is in mode %s", id, p.Mode)
		}
	}
	return ""
}

// allows reports whether a mode may follow what is in force.
func (r *registry) allows(m mode) bool {
	f := r.force
	switch {
	case f.N == 0:
		return m.kind == warmPlain
	case m.kind == warmPlain && f.Mode.kind == warmPlain:
		return m.y == f.Mode.y
	case m.kind == warmPlain:
		return r.serving == mode{warmDrain, f.Mode.y, f.Mode.z} && m.y == f.Mode.z
	case f.Mode.kind == warmPlain:
		return m.kind == warmWarm && f.Mode.y == m.y
	}
	return m.y == f.Mode.y && m.z == f.Mode.z
}

// noting is what is in force with a mode, and whether that is new.
func (r *registry) noting(m mode) (force, bool) {
	switch {
	case m.kind == warmPlain && r.force.Mode != m:
		return force{N: r.force.N + 1, Mode: m}, true
	case m.kind == warmWarm && r.force.Mode != m:
		return force{N: r.force.N + 1, Mode: m, Since: time.Now().UnixMilli()}, true
	}
	return r.force, false
}
