package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringway/hashring"
	"ringway/internal/config"
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

// member is a node that owns keys, or would if it were not ejected.
type member struct {
	node     int
	weight   int
	zone     string
	replicas []replica
}

type replica struct {
	node int
	zone string
}

func newDirector(srv *Server, sp *sharedPool) *director {
	d := &director{srv: srv, log: srv.log, at: sp.index, lease: &lease{}, pool: sp, index: map[string]int{}, out: map[int]*ejection{}, checks: map[int]*pool.Check{}}
	d.settings.Store(sp)
	d.ctx, d.end = context.WithCancel(context.Background())
	return d
}

// node returns the index of the node of a name, which is made if there was none yet. The mutex is held.
func (d *director) node(name, address string, opt *pool.Options) int {
	if i, ok := d.index[name]; ok {
		n := d.nodes[i]
		if n.Address() != address {
			n.SetAddress(address)
			n.Forgive()
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

// replicaNode is node for a replica, whose name is its address. The mutex is held.
func (d *director) replicaNode(address string, opt *pool.Options) int {
	key := "replica " + address
	if i, ok := d.index[key]; ok {
		d.nodes[i].SetOptions(opt)
		return i
	}
	d.nodes = append(d.nodes, pool.NewNode(address, address, opt))
	i := len(d.nodes) - 1
	d.index[key] = i
	return i
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

// firstRing is the ring of the configuration's nodes. The mutex is held.
func (d *director) firstRing() (*hashring.Ring, error) {
	d.ringOpt = d.pool.cfg.RingOptions()
	if d.pool.cfg.Placement() == "" {
		return d.pool.cfg.Ring()
	}
	return d.ringOf()
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

// startFinding starts the source and the watch over replicas. The mutex is held.
func (d *director) startFinding() {
	d.source = d.newSource()
	ctx, cancel := context.WithCancel(context.Background())
	d.stopFind = cancel
	if d.source != nil {
		source := d.source
		go source.Run(ctx, func(u discover.Update) { d.found(ctx, u) })
	}
	d.watch = nil
	if d.pool.cfg.ReadPolicy != "primary" {
		d.watch = newReplicaWatch(d)
		go d.watch.run(ctx)
	}
}

// nudge has the source look again: a node has said that its part in the pool has changed. Any goroutine may call it.
func (d *director) nudge() {
	d.mu.Lock()
	leads := d.pool.leads
	if d.source != nil {
		d.source.Nudge()
	}
	d.mu.Unlock()
	for _, sp := range leads { // not with our mutex: theirs comes before it
		sp.director.nudge()
	}
}

// Where the nodes of a pool come from.
const (
	fromFile = iota
	fromSentinel
	fromCluster
	fromDNS
)

func sourceOf(cfg *config.Pool) int {
	switch {
	case cfg.Sentinel != nil:
		return fromSentinel
	case cfg.Cluster != nil:
		return fromCluster
	case slices.ContainsFunc(cfg.Backends, config.Backend.InDNS):
		return fromDNS
	}
	return fromFile
}

// newSource returns what finds the nodes of the pool, nil if its configuration names them all. The mutex is held.
func (d *director) newSource() discover.Source {
	cfg, opt := d.pool.cfg, d.asking()
	opt.Timeout = cfg.ConnectTimeout
	switch sourceOf(cfg) {
	case fromSentinel:
		var masters []string
		for _, m := range cfg.Sentinel.Masters {
			masters = append(masters, m.Name)
		}
		return discover.NewSentinel(cfg.Sentinel.Addresses, masters, cfg.Sentinel.Username, d.pool.sentinelPassword, opt)
	case fromCluster:
		return discover.NewCluster(cfg.Cluster.Seeds, opt)
	case fromDNS:
		opt.Interval = cfg.DNSInterval
		var list []discover.DNSBackend
		for _, b := range cfg.Backends {
			d := discover.DNSBackend{Name: b.Name, Address: b.Address, Weight: b.Weight, Single: b.Single, Zone: b.Zone}
			if b.Name == b.Address {
				d.Name = ""
			}
			for _, r := range b.Replicas {
				d.Replicas = append(d.Replicas, discover.Replica{Address: r.Address, Zone: r.Zone})
			}
			list = append(list, d)
		}
		return discover.NewDNS(list, d.srv.lookup, opt)
	}
	return nil
}

// found takes what a source has found.
func (d *director) found(ctx context.Context, u discover.Update) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil || d.stopped || len(u.Nodes) == 0 && u.Slots == nil {
		return
	}
	d.members = nil
	opt := d.pool.opt
	weights := map[string]int{}
	if s := d.pool.cfg.Sentinel; s != nil {
		for _, m := range s.Masters {
			weights[m.Name] = m.Weight
		}
	}
	for _, n := range u.Nodes {
		name := n.Name
		if u.Slots != nil {
			name = n.Address // people know the nodes of a cluster by their addresses
		}
		m := member{node: d.node(name, n.Address, opt), weight: max(n.Weight, weights[n.Name], 1)}
		for _, r := range n.Replicas {
			m.replicas = append(m.replicas, replica{d.replicaNode(r.Address, d.replicaOptions()), r.Zone})
		}
		d.members = append(d.members, m)
	}
	d.slots = u.Slots
	d.complete = d.complete || !slices.ContainsFunc(u.Nodes, func(n discover.Node) bool { return n.Address == "" })
	d.forgetOthers()
	if d.slots != nil {
		d.addNobody()
	}
	d.checkMembers()
	d.rebuild()
}

// addNobody makes a member that has the slots which nobody serves: it can't be reached, and its keys are answered as a node of the cluster would.
// It is there as well while the cluster has not been found yet.
func (d *director) addNobody() {
	var table [hashring.Partitions]uint16
	missing := d.slots == nil
	for i := range table {
		if d.slots != nil {
			table[i] = d.slots[i]
		}
		if d.slots == nil || int(table[i]) >= len(d.members) {
			missing = true
			table[i] = uint16(len(d.members))
		}
	}
	if missing {
		i := d.refusing("no node", "CLUSTERDOWN Hash slot not served", d.pool.opt)
		d.members = append(d.members, member{node: i, weight: 1})
	}
	d.slots = &table
}

// enrol makes what a configuration names the members. The mutex is held.
func (d *director) enrol(sp *sharedPool) {
	d.use(sp)
	d.members, d.slots = nil, nil
	switch cfg := sp.cfg; {
	case cfg.Sentinel != nil:
		for _, m := range cfg.Sentinel.Masters {
			d.members = append(d.members, member{node: d.node(m.Name, d.addressOf(m.Name), sp.opt), weight: m.Weight})
		}
	case cfg.Cluster != nil:
		d.addNobody()
	default:
		for _, b := range cfg.Backends {
			address := b.Address
			if b.InDNS() {
				address = d.addressOf(b.Name)
			}
			m := member{node: d.node(b.Name, address, sp.optionsAt(b.Address)), weight: b.Weight, zone: b.Zone}
			for _, r := range b.Replicas {
				m.replicas = append(m.replicas, replica{d.replicaNode(r.Address, sp.replicaOptionsAt(r.Address)), r.Zone})
			}
			d.members = append(d.members, m)
		}
	}
	d.forgetOthers()
}

// addressOf is the address that was found for a node, "" if none was yet. The mutex is held.
func (d *director) addressOf(name string) string {
	if i, ok := d.index[name]; ok {
		return d.nodes[i].Address()
	}
	return ""
}

// use makes the pool's settings those of another configuration. The mutex is held.
func (d *director) use(sp *sharedPool) {
	d.pool = sp
	d.settings.Store(sp)
}

// replicaOptions are the settings of replicas: nobody waits for one to be replaced, and in a cluster they have to be told that reads are
// meant for them. The mutex is held.
func (d *director) replicaOptions() *pool.Options { return d.pool.replicaOpt }

// noReplica is the node of reads that only a replica may answer while none is fit. The mutex is held.
func (d *director) noReplica() int {
	return d.refusing("no replica", "ERR none of the replicas of this key's node is fit to be read: see the log of the router", d.replicaOptions())
}

// refusing is a node that is nowhere, whose keys are answered with a refusal. The mutex is held.
func (d *director) refusing(name, refusal string, opt *pool.Options) int {
	if i, ok := d.index[name]; ok {
		return i
	}
	i := d.node(name, "", opt)
	d.nodes[i].Refusal = refusal
	return i
}

// forgetOthers forgets the ejection of nodes that are no members any more. The mutex is held.
func (d *director) forgetOthers() {
	for i := range d.out {
		if !d.has(i) {
			delete(d.out, i)
		}
	}
	if len(d.out) == len(d.members) { // the last that worked has left: better those that have failed than none
		clear(d.out)
	}
}

// has reports whether a node is a member. The mutex is held.
func (d *director) has(node int) bool {
	return slices.ContainsFunc(d.members, func(m member) bool { return m.node == node })
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
	d.srv.post(func(w *worker) { w.pools[d.at].adopt(sp, t) })
	d.step()
	d.tellFronts()
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
	d.srv.post(func(w *worker) { w.pools[d.at].setTopology(t) })
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
