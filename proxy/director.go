package proxy

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"ringway/hashring"
	"ringway/pool"
)

// director decides what the topology of a pool is: of the nodes that the configuration names or that were found, those that are not
// ejected make the ring. It works away from the loops and hands each topology to all of them.
//
// With `on_failure: eject`, twemproxy's auto_eject_hosts, a node is ejected after failure_limit failures without a reply between them. Its keys
// belong to the others until it returns, so it is for caches only. It returns when retry_timeout has passed and a lane
// has reached it (twemproxy takes it back untried). The last node is never ejected.
type director struct {
	srv *Server
	log *slog.Logger

	mu      sync.Mutex
	pool    *sharedPool
	nodes   []*pool.Node      // all there ever were
	index   map[string]int    // of a node, by its name
	members []member          // those of now
	out     map[int]time.Time // ejected nodes, and when they may return
	present *topology         // what the loops have, or are about to
	version int               // of the members and the ejected: a ring that was built for an older one is not used
	stopped bool

	composed composition // of a pool with routes
}

// member is a node of the pool as it is now.
type member struct {
	node   int
	weight int
}

func newDirector(srv *Server, sp *sharedPool) *director {
	return &director{srv: srv, log: srv.log, pool: sp, index: map[string]int{}, out: map[int]time.Time{}}
}

// node returns the index of the node of a name, which is made if there was none yet. The mutex is held.
func (d *director) node(name, address string, opt *pool.Options) int {
	if i, ok := d.index[name]; ok {
		n := d.nodes[i]
		if n.Address() != address {
			n.SetAddress(address)
		}
		if n.Options() != opt {
			n.SetOptions(opt)
		}
		return i
	}
	d.nodes = append(d.nodes, pool.NewNode(name, address, opt))
	i := len(d.nodes) - 1
	d.index[name] = i
	return i
}

// open makes the first topology, of the configuration's nodes and ring.
func (d *director) open() (*topology, error) {
	d.followPools(d.pool.leads)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.composed.held = false
	if d.pool.leads != nil {
		d.present = d.compose()
		return d.present, nil
	}
	d.enrol(d.pool)
	ring, err := d.pool.cfg.Ring()
	if err != nil {
		return nil, err
	}
	owners, _ := d.owners()
	d.present = newTopology(d.nodes, ring, owners, nil)
	return d.present, nil
}

// reload takes over another configuration. The loops get it with the topology that goes with it, at once.
func (d *director) reload(sp *sharedPool) {
	d.followPools(sp.leads)
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.pool.cfg
	d.enrol(sp)
	d.version++ // a ring that is being built is out of date
	d.composed.held = false
	if sp.leads != nil {
		d.adopt(sp, d.compose())
		return
	}
	if before.OnFailure == "eject" && sp.cfg.OnFailure != "eject" {
		clear(d.out)
	}
	ring, err := sp.cfg.Ring()
	if err != nil { // the configuration was checked with this ring
		d.log.Error("cannot build the ring; the old one stays", "pool", sp.cfg.Name, "error", err)
		return
	}
	if before.RingOptions() == sp.cfg.RingOptions() && d.present.ring != nil && slices.Equal(ring.Nodes(), d.present.ring.Nodes()) {
		ring = d.present.ring // nothing moves
	}
	all := make([]uint16, len(d.members))
	for i, m := range d.members {
		all[i] = uint16(m.node)
	}
	d.adopt(sp, newTopology(d.nodes[:len(d.nodes):len(d.nodes)], ring, all, nil))
	if _, others := d.owners(); len(others) > 0 {
		d.rebuild()
	}
}

// adopt hands a configuration to all loops, with the topology that goes with it. The mutex is held.
func (d *director) adopt(sp *sharedPool, t *topology) {
	d.present = t
	d.srv.post(func(w *worker) { w.pools[sp.index].adopt(sp, t) })
	d.tellFronts()
}

// enrol makes the backends of a configuration the members. The mutex is held.
func (d *director) enrol(sp *sharedPool) {
	d.pool = sp
	d.members = nil
	for _, b := range sp.cfg.Backends {
		d.members = append(d.members, member{d.node(b.Name, b.Address, sp.opt), b.Weight})
	}
	for i := range d.out {
		if !slices.ContainsFunc(d.members, func(m member) bool { return m.node == i }) {
			delete(d.out, i)
		}
	}
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

// failed is a lane's call, on a loop: a node has failed so many times in a row.
func (d *director) failed(n *pool.Node, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cfg := d.pool.cfg
	i, known := d.index[n.Name]
	if cfg.OnFailure != "eject" || times < cfg.FailureLimit || !known || d.stopped {
		return
	}
	if _, already := d.out[i]; already {
		return
	}
	if owners, _ := d.owners(); len(owners) <= 1 {
		return
	}
	d.out[i] = time.Now().Add(cfg.RetryTimeout)
	n.Ejections.Add(1)
	n.Forgive()
	d.log.Warn("node ejected", "pool", cfg.Name, "node", n.Name, "failures", times, "retry_in", cfg.RetryTimeout)
	d.rebuild()
	time.AfterFunc(cfg.RetryTimeout, func() { d.consider(i) })
}

// consider takes node i back if it can be reached, and looks again soon if not.
func (d *director) consider(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cfg, n := d.pool.cfg, d.nodes[i]
	if _, out := d.out[i]; !out || d.stopped {
		return
	}
	if !n.Up() {
		time.AfterFunc(min(time.Second, cfg.RetryTimeout), func() { d.consider(i) })
		return
	}
	delete(d.out, i)
	n.Forgive()
	d.log.Info("node returned", "pool", cfg.Name, "node", n.Name)
	d.rebuild()
}

// rebuild has a topology made of what is known now. A ring takes milliseconds to build, so that happens on a goroutine of its own. The
// mutex is held.
func (d *director) rebuild() {
	d.version++
	version := d.version
	opt := d.pool.cfg.RingOptions()
	nodes := d.nodes[:len(d.nodes):len(d.nodes)]
	owners, others := d.owners()
	var ringNodes []hashring.Node
	for _, m := range d.members {
		if _, out := d.out[m.node]; !out {
			ringNodes = append(ringNodes, hashring.Node{Name: d.nodes[m.node].Name, Weight: m.weight})
		}
	}
	go func() {
		ring, err := hashring.New(ringNodes, opt)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil {
			d.log.Error("cannot build the ring; the old one stays", "pool", d.pool.cfg.Name, "error", err)
			return
		}
		if version != d.version || d.stopped {
			return // a newer one is on its way
		}
		d.publish(newTopology(nodes, ring, owners, others))
	}()
}

// publish hands a topology to all loops. The mutex is held, so that they all get the last one last.
func (d *director) publish(t *topology) {
	d.present = t
	index := d.pool.index
	d.srv.post(func(w *worker) { w.pools[index].setTopology(t) })
	d.tellFronts()
}

// names returns the names of the nodes, "" for one that has left.
func (d *director) names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.nodes {
		if i < len(d.present.used) && d.present.used[i] {
			names = append(names, d.present.name(i))
		} else {
			names = append(names, "")
		}
	}
	return names
}

func (d *director) stop() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.followPools(nil)
}
