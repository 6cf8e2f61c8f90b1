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

// placement is where the keys of returning nodes are meanwhile: rings without the youngest of them, without the two youngest, and so on.
type placement struct {
	nodes  []*pool.Node
	owners []member
	slow   []returning // oldest first
	rings  []earlier   // as built; the shares come with the time
}

// plan says what the placement is to be. The mutex is held.
func (d *director) plan() *placement {
	p := &placement{nodes: d.nodes[:len(d.nodes):len(d.nodes)]}
	for _, m := range d.members {
		if d.out[m.node] == nil {
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
	for without := range len(p.slow) {
		e := earlier{}
		var list []hashring.Node
		for _, m := range p.owners {
			if !slices.ContainsFunc(p.slow[len(p.slow)-without-1:], func(r returning) bool { return r.node == m.node }) {
				list = append(list, hashring.Node{Name: p.nodes[m.node].Name, Weight: m.weight})
				e.live = append(e.live, uint16(m.node))
			}
		}
		var err error
		if e.ring, err = hashring.New(list, opt); err != nil {
			return err
		}
		p.rings = append(p.rings, e)
	}
	return nil
}

// earlier is where keys are that have not moved yet at a time, nil if all have.
func (p *placement) earlier(now time.Time, over time.Duration) (first *earlier) {
	end := &first
	for i, e := range p.rings {
		e.share = p.slow[len(p.slow)-i-1].share(now, over)
		if e.share == math.MaxUint32 { // this one has all its keys, and so have those that were back before it
			break
		}
		*end, end = &e, &e.before
	}
	return first
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
		if d.stopped || d.present.slow == nil { // a reload has ended it
			return
		}
		if !d.building { // the ring that is being built will begin with its own step
			owners, others := d.owners()
			d.publish(d.assemble(d.present.ring, owners, others))
		}
		d.step()
	})
}
