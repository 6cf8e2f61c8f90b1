package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ringway/hashring"
	"ringway/pool"
	"ringway/pool/discover"
)

// director decides what the topology of a pool is. It works away from the loops and hands each topology to all of them.
//
//	configuration --\
//	discovery ------+--> members --> owners (those not ejected) --> ring --> topology --> loops
//	failures -------/
//
// With `on_failure: eject`, twemproxy's auto_eject_hosts, a node is ejected after failure_limit failures without a reply between them, or when
// health checks find it down. Its keys belong to the others until it returns, so it is for caches only. It returns when
// retry_timeout has passed and it is fit again (twemproxy takes it back untried), emptied first if that is asked for. The last node is never
// ejected, nor more than max_ejected.
type director struct {
	srv *Server
	log *slog.Logger
	at  int // the index of the pool in worker.pools
	ctx context.Context
	end context.CancelFunc // of ctx, with the director

	settings atomic.Pointer[sharedPool] // pool, for those who must not wait for the mutex

	mu       sync.Mutex
	pool     *sharedPool
	nodes    []*pool.Node                 // all there ever were
	index    map[string]int               // of a node, by its name
	members  []member                     // those of now
	slots    *[hashring.Partitions]uint16 // of a Redis Cluster: for each slot the member; nil otherwise
	out      map[int]*ejection            // ejected nodes
	slow     []returning                  // nodes that take their share back, in the order of their return
	placed   *placement                   // of the present ring, while there are such nodes
	stepping bool                         // the next step of theirs is on its way
	present  *topology                    // what the loops have, or are about to
	ringOpt  hashring.Options             // of its ring
	building bool                         // a ring
	version  int                          // of the members and the ejected: a ring that was built for an older one is not used
	stopped  bool

	source   discover.Source // nil: the configuration names all nodes
	stopFind context.CancelFunc
	complete bool          // the source has found all nodes, once at least
	watch    *replicaWatch // nil: nothing is read from replicas

	// With migration: warm (director_warm.go).
	registry     *registry // nil without it
	lease        *lease
	registryRuns bool
	warm         warmState
	rings        map[string]*hashring.Ring // by digest
	heldFrom     time.Time
	heldFor      time.Duration

	infos   *nodeInfo           // nil: nodes are not asked
	checks  map[int]*pool.Check // of the members, once the server runs
	running bool

	composed composition // of a pool with routes
}

// newDirector makes the director of a pool that it has to be told of by use.
func newDirector(srv *Server, at int) *director {
	d := &director{srv: srv, log: srv.log, at: at, lease: &lease{}, index: map[string]int{}, out: map[int]*ejection{}, checks: map[int]*pool.Check{}}
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// open makes the first topology. What has to be found is not awaited: requests wait for it, as long as they wait for any node. enter makes
// the pool known to the loops, before they can be told of another topology.
func (d *director) open(enter func(*topology)) error {
	d.followPools(d.pool.leads)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.composed.held = false
	if d.pool.leads != nil {
		d.present = d.compose()
		enter(d.present)
		return nil
	}
	d.enrol(d.pool)
	ring, err := d.firstRing()
	if err != nil {
		return err
	}
	if warmScaling(d.pool.cfg) {
		d.openWarm(false)
		d.present = d.assembleWarm()
	} else {
		owners, _ := d.owners()
		d.present = d.assemble(ring, owners, nil)
	}
	enter(d.present)
	return nil
}

// start begins to look for what the configuration does not name, and to check what there is. It is called once the loops run.
func (d *director) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = true
	d.checkMembers()
	d.startFinding()
	if d.registry != nil {
		d.startWarm()
	}
}

// use makes the pool's settings those of another configuration. The mutex is held.
func (d *director) use(sp *sharedPool) {
	d.pool = sp
	d.settings.Store(sp)
}

// reload takes over another configuration. The loops get it with the topology that goes with it, at once.
func (d *director) reload(sp *sharedPool) {
	d.followPools(sp.leads)
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.pool.cfg
	if kind := sourceOf(sp.cfg); (kind == fromCluster || kind == fromDNS) && kind == sourceOf(before) {
		d.use(sp) // the members stay until they have been looked for again
		for _, m := range d.members {
			d.nodes[m.node].SetOptions(sp.opt)
		}
	} else {
		d.enrol(sp)
	}
	d.version++ // a ring that is being built is out of date
	d.composed.held = false
	if sp.leads != nil {
		if d.registry != nil {
			d.endWarm()
			d.lease.free.Store(true)
		}
		d.stopFind()
		d.startFinding() // of which nothing is left, if it had servers before
		d.checkMembers()
		d.adopt(sp, d.compose())
		return
	}
	d.building = false
	if sp.cfg.OnFailure != "eject" {
		clear(d.out)
		d.slow = nil
	}
	d.checkMembers()
	if d.registry != nil || warmScaling(sp.cfg) {
		d.ringOpt = sp.cfg.RingOptions()
		d.reloadWarm(sp)
		return
	}
	owners, others := d.owners()
	ring := d.present.ring
	if d.ringOpt = sp.cfg.RingOptions(); !d.ringFits(ring, before.RingOptions()) {
		var err error
		p := d.plan()
		if sp.cfg.Placement() == "" && len(others) == 0 {
			ring, err = sp.cfg.Ring()
		} else {
			ring, err = d.ringOf()
		}
		if err == nil {
			err = p.build(d.ringOpt)
		}
		if err != nil { // the configuration was checked with this ring
			d.log.Error("cannot build the ring; the old one stays", "pool", sp.cfg.Name, "error", err)
			return
		}
		d.placed = p
	}
	d.stopFind()
	d.startFinding()
	d.adopt(sp, d.assemble(ring, owners, others))
}

// adopt hands a configuration to all loops, with the topology that goes with it. The mutex is held.
func (d *director) adopt(sp *sharedPool, t *topology) {
	d.present = t
	sp.tally.Change()
	d.post(func(ps *poolState) { ps.adopt(sp, t) })
	d.step()
	d.tellFronts()
}

// missing says what the pool still waits for, "" if it can be used.
func (d *director) missing() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.source != nil && !d.complete {
		return "pool " + d.pool.cfg.Name + ": its nodes have not been found yet"
	}
	if d.registry != nil && d.warm.mode.kind == warmNone {
		return "pool " + d.pool.cfg.Name + " waits for its other Ringways: " + *d.registry.why.Load()
	}
	return ""
}

// allDown says that no node of the pool is up, "" if one is, or if the pool has none itself.
func (d *director) allDown() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.members {
		if _, down := d.nodes[m.node].Unfit(); !down {
			return ""
		}
		for _, r := range m.replicas {
			if _, down := d.nodes[r.node].Unfit(); !down {
				return ""
			}
		}
	}
	if len(d.members) == 0 {
		return ""
	}
	return fmt.Sprintf("pool %s: none of its %d nodes is up", d.pool.cfg.Name, len(d.members))
}

// names returns the names of the nodes, "" for one that has left.
func (d *director) names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, n := range d.nodes {
		if i < len(d.present.used) && d.present.used[i] && n.Refusal == "" {
			names = append(names, d.present.name(i))
		} else {
			names = append(names, "")
		}
	}
	return names
}

func (d *director) stop() {
	d.end()
	d.mu.Lock()
	d.stopped = true
	d.checkMembers()
	if d.stopFind != nil {
		d.stopFind()
	}
	d.mu.Unlock()
	d.followPools(nil)
}
