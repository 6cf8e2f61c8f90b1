package proxy

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ringway/internal/config"
	"ringway/pool"
)

// director decides what the topology of a pool is: of the nodes that the configuration names or that were found, those that are not
// ejected make the ring. It works away from the loops and hands each topology to all of them.
//
// With `on_failure: eject`, twemproxy's auto_eject_hosts, a node is ejected after failure_limit failures without a reply between them, or when
// health checks find it down. Its keys belong to the others until it returns, so it is for caches only. It returns when
// retry_timeout has passed and it is fit again (twemproxy takes it back untried), emptied first if that is asked for. The last node is never
// ejected, nor more than max_ejected.
type director struct {
	srv *Server
	log *slog.Logger
	at  int             // the index of the pool in worker.pools
	ctx context.Context // ends with the director
	end context.CancelFunc

	mu       sync.Mutex
	pool     *sharedPool
	nodes    []*pool.Node      // all there ever were
	index    map[string]int    // of a node, by its name
	members  []member          // those of now
	out      map[int]*ejection // ejected nodes
	slow     []returning       // nodes that take their share back, in the order of their return
	present  *topology         // what the loops have, or are about to
	placed   *placement        // what present was made of, nil for the first
	version  int               // of the members and the ejected: a ring that was built for an older one is not used
	stopped  bool
	stepping bool // the next step of slow starts is on its way

	checks  map[int]*pool.Check // of the members, once the server runs
	running bool
}

// member is a node of the pool as it is now.
type member struct {
	node   int
	weight int
}

func newDirector(srv *Server, sp *sharedPool) *director {
	d := &director{srv: srv, log: srv.log, at: sp.index, pool: sp, index: map[string]int{}, out: map[int]*ejection{}, checks: map[int]*pool.Check{}}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
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
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enrol(d.pool)
	ring, err := d.pool.cfg.Ring()
	if err != nil {
		return nil, err
	}
	owners, _ := d.owners()
	d.present = newTopology(d.nodes, ring, owners, nil)
	return d.present, nil
}

// start begins what the director does while clients are served.
func (d *director) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = true
	d.checkMembers()
}

// reload takes over another configuration. The loops get it with the topology that goes with it, at once.
func (d *director) reload(sp *sharedPool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.pool.cfg
	d.enrol(sp)
	d.checkMembers()
	d.version++ // a ring that is being built is out of date
	if sp.cfg.OnFailure != "eject" {
		clear(d.out)
		d.slow = nil
	}
	t, err := d.topologyOf(before, sp.cfg)
	if err != nil { // the configuration was checked with this ring
		d.log.Error("cannot build the ring; the old one stays", "pool", sp.cfg.Name, "error", err)
		return
	}
	d.present = t
	d.srv.post(func(w *worker) { w.pools[d.at].adopt(sp, t) })
	d.step()
}

// topologyOf makes the topology of a configuration that takes another's place. An ejected node stays out of it from the beginning: it may have
// to be emptied first. The mutex is held.
func (d *director) topologyOf(before, cfg *config.Pool) (*topology, error) {
	owners, others := d.owners()
	if p := d.plan(); len(others) > 0 || len(p.slow) > 0 {
		if err := p.build(cfg.RingOptions()); err != nil {
			return nil, err
		}
		d.placed = p
		return p.topology(time.Now(), cfg.SlowStart), nil
	}
	d.placed = nil
	ring, err := cfg.Ring()
	if err != nil {
		return nil, err
	}
	if before.RingOptions() == cfg.RingOptions() && slices.Equal(ring.Nodes(), d.present.ring.Nodes()) {
		ring = d.present.ring // nothing moves
	}
	return newTopology(d.nodes[:len(d.nodes):len(d.nodes)], ring, owners, nil), nil
}

// enrol makes the backends of a configuration the members. The mutex is held.
func (d *director) enrol(sp *sharedPool) {
	d.pool = sp
	d.members = nil
	for _, b := range sp.cfg.Backends {
		d.members = append(d.members, member{d.node(b.Name, b.Address, sp.opt), b.Weight})
	}
	for i := range d.out {
		if !d.has(i) {
			delete(d.out, i)
		}
	}
	if len(d.out) == len(d.members) { // the one that was left has left: better one that failed than none
		clear(d.out)
	}
}

// has reports whether a node is a member. The mutex is held.
func (d *director) has(node int) bool {
	return slices.ContainsFunc(d.members, func(m member) bool { return m.node == node })
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

// rebuild has a topology made of what is known now. A ring takes milliseconds to build, so that happens on a goroutine of its own. The
// mutex is held.
func (d *director) rebuild() {
	d.version++
	version, p, opt := d.version, d.plan(), d.pool.cfg.RingOptions()
	go func() {
		err := p.build(opt)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err != nil {
			d.log.Error("cannot build the ring; the old one stays", "pool", d.pool.cfg.Name, "error", err)
			return
		}
		if version != d.version || d.stopped {
			return // a newer one is on its way
		}
		d.placed = p
		d.publish(p.topology(time.Now(), d.pool.cfg.SlowStart))
		d.step()
	}()
}

// publish hands a topology to all loops. The mutex is held, so that they all get the last one last.
func (d *director) publish(t *topology) {
	d.present = t
	d.srv.post(func(w *worker) { w.pools[d.at].setTopology(t) })
}

// names returns the names of the nodes, "" for one that has left.
func (d *director) names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, n := range d.nodes {
		if i < len(d.present.used) && d.present.used[i] {
			names = append(names, n.Name)
		} else {
			names = append(names, "")
		}
	}
	return names
}

func (d *director) stop() {
	d.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	d.checkMembers()
}
