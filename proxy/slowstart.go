package proxy

import (
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"ringway/hashring"
	"ringway/pool"
)

// Slow start: a node that returns takes its share back by and by. There are two rings meanwhile, the one before its return and the one after. Of
// each key a part of the hash says when it moves from the one to the other: when the share of the time that has passed is beyond it. So each
// key moves once, and keys with the same hash tag move together. When more nodes return meanwhile there is one more ring for each:
//
//	         hash < share of c?     hash < share of b?
//	key ---> no ------------------> no ------------------> ring of a
//	         yes: ring of a, b, c   yes: ring of a, b
//
// The share changes in steps, each of which is a topology like any other: clients that block or watch, and transactions, are dealt with as
// in every change of where keys are.
const (
	slowSteps    = 50
	shortestStep = 10 * time.Millisecond
)

// returning is a node that takes its share back.
type returning struct {
	node  int
	since time.Time
}

// share is how much of its keys a returning node has, as a bound for their hashes.
func (r returning) share(now time.Time, over time.Duration) uint32 {
	passed := max(0, now.Sub(r.since))
	if over <= 0 || passed >= over {
		return math.MaxUint32
	}
	return uint32(float64(passed) / float64(over) * math.MaxUint32)
}

// earlier is where those keys are that have not moved yet.
type earlier struct {
	share  uint32 // keys whose hash is below it have moved
	ring   *hashring.Ring
	live   []uint16
	before *earlier
}

// findSlowly is find while slow starts are under way.
func (t *topology) findSlowly(key []byte) int {
	at := uint32(xxhash.Sum64(t.ring.Tag(key)) >> 32) // rings of kind consistent go by the lower end
	ring, live := t.ring, t.live
	for e := t.slow; e != nil && at >= e.share; e = e.before {
		ring, live = e.ring, e.live
	}
	i := ring.Find(key)
	if live != nil {
		i = int(live[i])
	}
	return i
}

// placement is which nodes own keys, and the rings that follow from it: the first is that of all owners, and each next is without one
// more of those that are on their way back, the youngest first.
type placement struct {
	nodes  []*pool.Node
	owners []member
	others []uint16
	slow   []returning // oldest first
	rings  []placed
}

// placed is a ring, and the node of each of its indices.
type placed struct {
	ring *hashring.Ring
	live []uint16
}

// plan says what the placement is to be. The mutex is held.
func (d *director) plan() *placement {
	p := &placement{nodes: d.nodes[:len(d.nodes):len(d.nodes)]}
	for _, m := range d.members {
		if d.out[m.node] != nil {
			p.others = append(p.others, uint16(m.node))
		} else {
			p.owners = append(p.owners, m)
		}
	}
	now := time.Now()
	d.slow = slices.DeleteFunc(d.slow, func(r returning) bool {
		return d.out[r.node] != nil || !d.has(r.node) || r.share(now, d.pool.cfg.SlowStart) == math.MaxUint32
	})
	if len(d.slow) >= len(p.owners) {
		d.slow = nil // there would be nobody to have the keys meanwhile
	}
	p.slow = slices.Clone(d.slow)
	return p
}

// build makes the rings. It takes milliseconds for each.
func (p *placement) build(opt hashring.Options) error {
	for without := range len(p.slow) + 1 {
		on := placed{}
		var list []hashring.Node
		for _, m := range p.owners {
			if !slices.ContainsFunc(p.slow[len(p.slow)-without:], func(r returning) bool { return r.node == m.node }) {
				list = append(list, hashring.Node{Name: p.nodes[m.node].Name, Weight: m.weight})
				on.live = append(on.live, uint16(m.node))
			}
		}
		ring, err := hashring.New(list, opt)
		if err != nil {
			return err
		}
		on.ring = ring
		p.rings = append(p.rings, on)
	}
	return nil
}

// topology is what the placement is at a time.
func (p *placement) topology(now time.Time, over time.Duration) *topology {
	t := newTopology(p.nodes, p.rings[0].ring, p.rings[0].live, p.others)
	for i, end := 1, &t.slow; i < len(p.rings); i++ {
		share := p.slow[len(p.slow)-i].share(now, over)
		if share == math.MaxUint32 { // this one has all its keys, and so have those that were there before it
			break
		}
		e := &earlier{share: share, ring: p.rings[i].ring, live: p.rings[i].live}
		*end, end = e, &e.before
	}
	return t
}

// step sees to the next step of the slow starts, if any is under way. The mutex is held.
func (d *director) step() {
	if d.present.slow == nil || d.stepping {
		return
	}
	d.stepping = true
	time.AfterFunc(max(d.pool.cfg.SlowStart/slowSteps, shortestStep), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.stepping = false
		if !d.stopped && d.placed != nil {
			d.publish(d.placed.topology(time.Now(), d.pool.cfg.SlowStart))
			d.step()
		}
	})
}
