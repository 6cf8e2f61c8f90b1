package proxy

import (
	"context"
	"slices"
	"time"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// With `migration: warm` the director does not publish a ring that it has made: it asks for it in the registry, and publishes what the
// registry says is served.
//
//	configuration, discovery --> members --> ring asked for --> registry --> mode and rings --> topology --> loops

// warmState is what the registry has said last.
type warmState struct {
	mode mode
	y, z *ringSpec
}

// warmScaling reports whether the pool's Ringways agree before they change the ring.
func warmScaling(cfg *config.Pool) bool {
	return cfg.Migration.Mode == "warm" && cfg.Cluster == nil && len(cfg.Routes) == 0
}

// fileSpec is the ring that this process asks for. The mutex is held.
func (d *director) fileSpec() *ringSpec {
	return specOf(d.ringNodes(), func(name string) string {
		if i, ok := d.index[name]; ok {
			return d.nodes[i].Address()
		}
		return ""
	}, d.ringOpt)
}

// openWarm begins warm scaling. free: the pool has been served without it until now, and is until the registry knows better. The mutex is held.
func (d *director) openWarm(free bool) {
	cfg := d.pool.cfg
	file := d.fileSpec()
	d.registry = newRegistry(cfg.Name, d.log, d.asking(), d, d.lease, file)
	d.lease.until.Store(0)
	d.lease.free.Store(free)
	d.warm = warmState{}
	if free {
		d.warm = warmState{mode{kind: warmPlain, y: file.digest()}, file, nil}
	}
}

// startWarm lets the registry run, once the nodes are known. The mutex is held.
func (d *director) startWarm() {
	if !d.registryRuns && (d.source == nil || d.complete) {
		d.registryRuns = true
		go d.registry.run()
	}
}

// endWarm ends warm scaling. The mutex is held.
func (d *director) endWarm() {
	r := d.registry
	d.registry = nil
	if d.registryRuns {
		d.registryRuns = false
		go r.leave()
	}
}

// askAgain asks for the ring of the members that are now, and publishes what concerns them beside it. The mutex is held.
func (d *director) askAgain() {
	d.registry.want(d.fileSpec())
	d.startWarm()
	d.publish(d.assembleWarm())
}

// reloadWarm takes over a configuration of a pool that has warm scaling, or had it. The mutex is held.
func (d *director) reloadWarm(sp *sharedPool) {
	had := d.registry
	if had != nil && !warmScaling(sp.cfg) {
		d.endWarm()
		d.lease.free.Store(true)
		ring, err := d.ringOf()
		if err != nil {
			d.log.Error("cannot build the ring; the old one stays", "pool", sp.cfg.Name, "error", err)
			return
		}
		owners, others := d.owners()
		d.restartFinding()
		d.adopt(sp, d.assemble(ring, owners, others))
		return
	}
	d.ringFor(d.fileSpec()) // built here, not when the registry waits for it
	if had == nil {
		d.openWarm(true)
		d.restartFinding()
	} else {
		d.restartFinding()
		had.want(d.fileSpec())
	}
	d.startWarm()
	d.adopt(sp, d.assembleWarm())
}

func (d *director) restartFinding() {
	d.stopFind()
	d.startFinding()
}

// ringFor is the ring of a spec. The mutex is held.
func (d *director) ringFor(sp *ringSpec) *hashring.Ring {
	digest := sp.digest()
	if ring := d.rings[digest]; ring != nil {
		return ring
	}
	ring, err := hashring.New(sp.ringNodes(), sp.options())
	if err != nil {
		d.log.Error("cannot build the ring", "pool", d.pool.cfg.Name, "error", err)
		return nil
	}
	if d.rings == nil || len(d.rings) > 8 {
		d.rings = map[string]*hashring.Ring{}
	}
	d.rings[digest] = ring
	return ring
}

// ownersOf are the nodes of a ring, in its order. The mutex is held.
func (d *director) ownersOf(sp *ringSpec, ring *hashring.Ring) (owners []uint16) {
	for _, n := range ring.Nodes() {
		i, known := d.index[n.Name]
		if at := slices.IndexFunc(sp.Nodes, func(sn specNode) bool { return sn.Name == n.Name }); !known || d.nodes[i].Address() == "" {
			i = d.node(n.Name, sp.Nodes[at].Address, d.pool.optionsAt(sp.Nodes[at].Address))
		}
		owners = append(owners, uint16(i))
	}
	return owners
}

// assembleWarm makes the topology of what the registry has said. The mutex is held.
func (d *director) assembleWarm() *topology {
	y, z := d.warm.y, d.warm.z
	kind := d.warm.mode.kind
	if kind == warmNone {
		y, z = d.fileSpec(), nil
	}
	ring := d.ringFor(y)
	owners := d.ownersOf(y, ring)
	if kind <= warmPlain {
		t := d.assemble(ring, owners, nil)
		if kind == warmNone {
			t.moving = &moving{kind: kind, why: d.registry.why.Load}
		}
		return t
	}
	next := d.ringFor(z)
	nextOwners := d.ownersOf(z, next)
	mv := &moving{
		kind: kind, old: ring, oldNodes: owners, next: next, nextNodes: nextOwners, lease: d.lease, t: &d.registry.t,
		why: d.registry.why.Load,
	}
	if kind == warmHold {
		t := d.assemble(ring, owners, nextOwners)
		t.ejected = nil
		t.moving = mv
		return t
	}
	t := d.assemble(next, nextOwners, owners)
	t.ejected = nil
	t.moving = mv
	t.order = slices.Clone(t.order)
	for _, i := range owners {
		if !slices.Contains(t.order, i) {
			t.order = append(t.order, i)
		}
	}
	t.walk = t.walkOf(t.order)
	return t
}

// address is part of warmLoops.
func (d *director) address(name string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.addressOf(name)
}

// walkOptions is part of warmLoops.
func (d *director) walkOptions() walkOptions {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.pool.cfg.Migration
	return walkOptions{m.Window, m.MoverRate}
}

// serve is part of warmLoops.
func (d *director) serve(m mode, y, z *ringSpec) {
	if !d.turn(m, y, z) {
		return
	}
	d.onLoops(func(ps *poolState) {
		if m.kind == warmNone {
			ps.giveUp()
		}
	})
}

// turn publishes a mode. It returns false if the pool is not to be served any more.
func (d *director) turn(m mode, y, z *ringSpec) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped || d.registry == nil {
		return false
	}
	d.warm = warmState{m, y, z}
	switch {
	case m.kind == warmHold:
		d.heldFrom = time.Now()
	case !d.heldFrom.IsZero():
		d.heldFor += time.Since(d.heldFrom)
		d.heldFrom = time.Time{}
	}
	d.publish(d.assembleWarm())
	return true
}

// onLoops runs f on all loops, and waits.
func (d *director) onLoops(f func(ps *poolState)) {
	for _, w := range d.srv.workers {
		w.wait(func() {
			if ps := w.poolAt(d.at); ps != nil {
				f(ps)
			}
		})
	}
}

// post has f run on all loops.
func (d *director) post(f func(ps *poolState)) {
	d.srv.post(func(w *worker) {
		if ps := w.poolAt(d.at); ps != nil { // else it has left
			f(ps)
		}
	})
}

// holdStill is part of warmLoops.
func (d *director) holdStill(m mode, y, z *ringSpec, limit time.Duration) bool {
	if !d.turn(m, y, z) {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	empty := make(chan struct{}, len(d.srv.workers))
	d.onLoops(func(ps *poolState) { ps.emptyOut(func() { empty <- struct{}{} }) })
	for range d.srv.workers {
		select {
		case <-empty:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// settle is part of warmLoops.
func (d *director) settle(limit time.Duration) {
	for deadline := loop.Clock() + int64(limit); loop.Clock() < deadline; time.Sleep(time.Millisecond) {
		under := 0
		d.onLoops(func(ps *poolState) { under += len(ps.moves.under) })
		if under == 0 {
			return
		}
	}
}

// migration is what is counted of warm scaling.
func (d *director) migration() (m metrics.Migration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.registry
	if r == nil {
		return m
	}
	m = metrics.Migration{On: true, Mode: int(r.kindNow.Load()), Members: int(r.members.Load()), Lapses: r.lapses.Load()}
	held := d.heldFor
	if !d.heldFrom.IsZero() {
		held += time.Since(d.heldFrom)
	}
	m.Held = uint64(held)
	return m
}

// addWalk adds how far the background mover is with each node.
func (d *director) addWalk(st *metrics.Pool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.registry == nil {
		return
	}
	p := &d.registry.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, n := range p.nodes {
		if i, ok := d.index[name]; ok && i < len(st.Nodes) {
			st.Nodes[i].Walked, st.Nodes[i].Walk = int(n.walked.Load()), int(n.keys.Load())
		}
	}
}

// leaveRegistry takes this process off the nodes, once the loops serve nothing any more.
func (d *director) leaveRegistry() {
	d.mu.Lock()
	r, runs := d.registry, d.registryRuns
	d.registry, d.registryRuns = nil, false
	d.mu.Unlock()
	if r != nil && runs {
		r.leave()
	}
}
