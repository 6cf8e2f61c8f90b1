package proxy

// From members to rings and topologies, and those to the loops.

import (
	"slices"
	"time"

	"ringway/hashring"
)

// firstRing is the ring of the configuration's nodes. The mutex is held.
func (d *director) firstRing() (*hashring.Ring, error) {
	d.ringOpt = d.pool.cfg.RingOptions()
	if d.pool.cfg.Placement() == "" {
		return d.pool.cfg.Ring()
	}
	return d.ringOf()
}

// ringFits reports whether a ring made with these options is the one that is wanted now. The mutex is held.
func (d *director) ringFits(ring *hashring.Ring, opt hashring.Options) bool {
	return ring != nil && d.slots == nil && !d.present.slots && opt == d.ringOpt && slices.Equal(ring.Nodes(), d.ringNodes())
}

// owners tells the members that own keys from those that are ejected. The mutex is held.
func (d *director) owners() (owners, others []uint16) {
	for _, m := range d.members {
		if _, out := d.out[m.node]; out {
			others = append(others, uint16(m.node))
		} else {
			owners = append(owners, uint16(m.node))
		}
	}
	return owners, others
}

// ringNodes are the owners as the ring knows them. The mutex is held.
func (d *director) ringNodes() (list []hashring.Node) {
	for _, m := range d.members {
		if _, out := d.out[m.node]; !out {
			list = append(list, hashring.Node{Name: d.nodes[m.node].Name, Weight: m.weight})
		}
	}
	return list
}

// ringOf makes the ring of the owners, here and now. The mutex is held.
func (d *director) ringOf() (*hashring.Ring, error) {
	if d.slots != nil {
		return hashring.FromSlots(d.ringNodes(), d.slots), nil
	}
	return hashring.New(d.ringNodes(), d.ringOpt)
}

// assemble makes a topology. The mutex is held.
func (d *director) assemble(ring *hashring.Ring, owners, others []uint16) *topology {
	var readers [][]uint16
	if d.watch != nil {
		readers = d.watch.readers(d.members)
	}
	t := newTopology(d.nodes[:len(d.nodes):len(d.nodes)], ring, owners, others)
	t.slots, t.readers = d.slots != nil, readers
	if d.placed != nil {
		t.slow = d.placed.earlier(time.Now(), d.pool.cfg.SlowStart)
	}
	for _, list := range readers {
		for _, i := range list {
			t.used[i] = true
		}
	}
	for _, m := range d.members {
		for _, r := range m.replicas {
			t.addReplica(m.node, r.node)
		}
	}
	t.findPlaces()
	return t
}

// rebuild has a topology made of what is known now. Where the ring stays as it is that is done at once: the place of a dead primary is
// taken without delay. Another ring takes milliseconds to build, on a goroutine of its own. The mutex is held.
func (d *director) rebuild() {
	d.version++
	if d.registry != nil {
		d.askAgain()
		return
	}
	version := d.version
	d.building = false // what is being built is out of date
	owners, others := d.owners()
	if d.slots != nil {
		d.publish(d.assemble(hashring.FromSlots(d.ringNodes(), d.slots), owners, others))
		return
	}
	if d.ringFits(d.present.ring, d.ringOpt) {
		d.publish(d.assemble(d.present.ring, owners, others))
		return
	}
	nodes, opt, p := d.ringNodes(), d.ringOpt, d.plan()
	d.building = true
	go func() {
		ring, err := hashring.New(nodes, opt)
		if err == nil {
			err = p.build(opt)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if version == d.version {
			d.building = false
		}
		if err != nil {
			d.log.Error("cannot build the ring; the old one stays", "pool", d.pool.cfg.Name, "error", err)
			return
		}
		if version != d.version || d.stopped {
			return // a newer one is on its way
		}
		d.placed = p
		d.publish(d.assemble(ring, owners, others))
		d.step()
	}()
}

// publish hands a topology to all loops. The mutex is held, so that they all get the last one last.
func (d *director) publish(t *topology) {
	d.present = t
	d.pool.tally.Change()
	d.post(func(ps *poolState) { ps.setTopology(t) })
	d.tellFronts()
}

// refresh hands out the present topology with the replicas that are fit to be read now.
func (d *director) refresh(w *replicaWatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped || d.watch != w || d.building { // the ring that is being built will have them
		return
	}
	if d.registry != nil {
		d.publish(d.assembleWarm())
		return
	}
	owners, others := d.owners()
	d.publish(d.assemble(d.present.ring, owners, others))
}
