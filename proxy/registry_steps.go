package proxy

import (
	"slices"
	"time"

	"ringway/internal/loop"
)

// step does what is to be done next.
func (r *registry) step() {
	if loop.Clock() < r.retryAt {
		return
	}
	switch r.mode.kind {
	case warmNone:
		r.begin()
	case warmPlain:
		r.plain()
	case warmHold:
		r.holding()
	case warmWarm:
		r.warm()
	case warmDrain:
		r.draining()
	}
}

// begin claims what is in force.
func (r *registry) begin() {
	f := r.force
	answer, first := 0, true
	for _, n := range r.nodes {
		if n.answered {
			answer++
			first = first && n.sent >= n.trusted
		}
	}
	switch {
	case answer == 0:
		r.because("none of its nodes answers")
		return
	case f.N == 0 && !first:
		r.because("none is known yet, and %v have to pass to be sure", r.t.grace)
		return
	case f.N == 0:
		f = force{Mode: mode{kind: warmPlain, y: r.asks}}
	case r.specs[f.Mode.y] == nil || f.Mode.z != "" && r.specs[f.Mode.z] == nil:
		r.because("no node knows the ring that is in force")
		return
	}
	r.follow()
	m := f.Mode
	if m.kind == warmWarm {
		if r.over() {
			m.kind = warmDrain
		}
		for _, p := range r.living() {
			if p.Mode.kind == warmPlain && p.Mode.y == m.z {
				m.kind = warmDrain
			}
		}
	}
	if r.lease.free.Load() && (m.kind != warmPlain || m.y != r.asks) {
		r.lease.free.Store(false)
		r.served(mode{})
	}
	if !r.attempt(m) {
		return
	}
	r.inForce = loop.Clock()
	r.log.Info("mode taken", "pool", r.pool, "mode", m.String(), "members", r.members.Load())
	if m.kind != warmPlain || m.y != r.asks {
		r.log.Warn("the file's ring is not in force", "pool", r.pool, "in_force", m.String(), "asks", r.asks)
	}
	if m.kind == warmWarm {
		r.startWalking()
	}
}

// plain looks whether all want another ring, and it is prepared.
func (r *registry) plain() {
	y, z := r.mode.y, r.asks
	r.ready = ""
	if z == y {
		return
	}
	now := loop.Clock()
	if r.remind("known " + z) {
		r.log.Info("ring change known", "pool", r.pool, "from", y, "to", z)
	}
	living := r.living()
	change := y + ">" + z
	hold := mode{warmHold, y, z}
	swept, lowest, ready, joins := r.swept == change, true, true, false
	for id, p := range living {
		if p.Asks != z {
			if r.remind("waits " + id) {
				r.log.Warn("waiting for a Ringway that asks for another ring", "pool", r.pool, "member", id)
			}
			return
		}
		swept = swept || p.Swept == change
		lowest = lowest && r.id < id
		ready = ready && p.Ready == change
		joins = joins || p.Mode == hold
	}
	settled := now-r.inForce >= int64(r.t.settle)
	for _, n := range r.nodesOf(mode{y: y, z: z}) {
		settled = settled && n.since > 0 && now-n.since >= int64(r.t.settle) && now >= n.trusted
	}
	if settled {
		r.ready = change
	}
	switch {
	case !settled || r.preparing: // a sweep must not go on in the window
	case !swept && lowest && now >= r.prepareAt:
		r.prepare(change, r.specs[y], r.specs[z])
	case swept && (ready && now >= r.holdAt || joins): // all at once, though each has given up at another time
		m := hold
		r.log.Info("holding", "pool", r.pool, "from", y, "to", z)
		r.held = now
		if !r.loops.holdStill(m, r.specs[y], r.specs[z], r.t.hold) {
			r.served(r.mode)
			r.holdAt = loop.Clock() + int64(r.t.again)
			r.log.Warn("hold given up", "pool", r.pool, "member", "this one: requests are in flight still")
			return
		}
		r.mode = m
		r.noted(m)
		r.beat(nil)
	}
}

// prepare probes and sweeps, away from here.
func (r *registry) prepare(change string, y, z *ringSpec) {
	r.preparing = true
	turns := r.turns
	go func() {
		removed, err := r.sweep(y, z)
		r.post(func() {
			r.preparing = false
			if err != nil {
				r.prepareAt = loop.Clock() + int64(r.t.again)
				r.log.Error("change refused", "pool", r.pool, "why", err)
				return
			}
			r.log.Info("nodes swept", "pool", r.pool, "removed", removed)
			if r.turns == turns { // what was swept before something else was served says nothing
				r.swept = change
			}
		})
	}()
}

// holding waits for the others to hold.
func (r *registry) holding() {
	m, now := r.mode, loop.Clock()
	all, late := true, ""
	for id, p := range r.living() {
		if p.Mode.y != m.y || p.Mode.z != m.z || p.Mode.kind < warmHold {
			all, late = false, id
		}
	}
	if r.force.Mode.kind == warmWarm || all {
		if r.attempt(mode{warmWarm, m.y, m.z}) {
			r.log.Info("warm", "pool", r.pool, "held", time.Duration(loop.Clock()-r.held).Round(time.Millisecond))
			r.startWalking()
			return
		}
		if late = *r.why.Load(); r.mode != m {
			return
		}
	}
	if now-r.held > int64(r.t.hold) && r.force.Mode.kind == warmPlain && r.attempt(mode{kind: warmPlain, y: m.y}) {
		r.holdAt = loop.Clock() + int64(r.t.again)
		r.log.Warn("hold given up", "pool", r.pool, "member", late)
	}
}

// over reports whether the window of the change in force is over.
func (r *registry) over() bool {
	return time.Since(time.UnixMilli(r.force.Since)) >= r.loops.walkOptions().window
}

// warm looks whether the change is at its end.
func (r *registry) warm() {
	why := ""
	left := givers(r.specs[r.mode.y], r.specs[r.mode.z])
	all := map[string]bool{}
	for _, name := range r.walked {
		all[name] = true
	}
	drains := false
	for _, p := range r.living() {
		drains = drains || p.Mode.kind >= warmDrain
		for _, name := range p.Walked {
			all[name] = true
		}
	}
	left = slices.DeleteFunc(left, func(name string) bool { return all[name] })
	switch {
	case r.over():
		why = "the window is over"
	case len(left) == 0:
		why = "everything has been moved"
	case r.asks != r.mode.z:
		why = "the file asks for another ring"
	case r.force.Mode.kind == warmPlain:
		why = "the others have finished"
	default:
		return
	}
	r.log.Info("draining", "pool", r.pool, "why", why)
	r.stopWalking()
	m := mode{warmDrain, r.mode.y, r.mode.z}
	r.served(m)
	r.loops.settle(r.t.marker)
	r.mode = m
	r.beat(nil)
}

// draining waits until nobody moves anything any more.
func (r *registry) draining() {
	for _, p := range r.living() {
		if p.Mode.kind == warmHold || p.Mode.kind == warmWarm {
			return
		}
	}
	if m := (mode{kind: warmPlain, y: r.mode.z}); r.attempt(m) {
		r.inForce = loop.Clock()
		r.swept, r.walked = "", nil
		p := &r.progress
		r.log.Info("ring change finished", "pool", r.pool, "ring", m.y, "walked", p.moved.Load(), "lost", p.lost.Load())
	}
}

// remind reports whether it is time to say something again.
func (r *registry) remind(what string) bool {
	now := loop.Clock()
	if at, said := r.said[what]; said && now-at < int64(r.t.remind) {
		return false
	}
	r.said[what] = now
	return true
}
