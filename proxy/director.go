package proxy

import (
	"context"
	"log/slog"
	"slices"
	"sync"
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
// With `on_failure: eject`, twemproxy's auto_eject_hosts, a node is ejected after failure_limit failures without a reply between them. Its keys
// belong to the others until it returns, so it is for caches only. It returns when retry_timeout has passed and a lane
// has reached it (twemproxy takes it back untried). The last node is never ejected.
type director struct {
	srv *Server
	log *slog.Logger

	mu       sync.Mutex
	pool     *sharedPool
	nodes    []*pool.Node                 // all there ever were
	index    map[string]int               // of a node, by its name
	members  []member                     // those of now
	slots    *[hashring.Partitions]uint16 // of a Redis Cluster: for each slot the member; nil otherwise
	out      map[int]time.Time            // ejected nodes, and when they may return
	present  *topology                    // what the loops have, or are about to
	ringOpt  hashring.Options             // of its ring
	building bool                         // a ring
	version  int                          // of the members and the ejected: a ring that was built for an older one is not used
	stopped  bool

	source   discover.Source // nil: the configuration names all nodes
	stopFind context.CancelFunc
	complete bool          // the source has found something
	watch    *replicaWatch // nil: nothing is read from replicas

	// With migration: warm (director_warm.go).
	place        int       // of the pool in worker.pools
	registry     *registry // nil without it
	lease        *lease
	registryRuns bool
	warm         warmState
	rings        map[string]*hashring.Ring // by digest
	heldFrom     time.Time
	heldFor      time.Duration
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
	return &director{srv: srv, log: srv.log, pool: sp, place: sp.index, lease: &lease{}, index: map[string]int{}, out: map[int]time.Time{}}
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

// open makes the first topology. What has to be found is not awaited: requests wait for it, as long as they wait for any node.
func (d *director) open() (*topology, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enrol(d.pool)
	ring, err := d.firstRing()
	if err != nil {
		return nil, err
	}
	if warmScaling(d.pool.cfg) {
		d.openWarm(false)
		d.present = d.assembleWarm()
		return d.present, nil
	}
	owners, _ := d.owners()
	d.present = d.assemble(ring, owners, nil)
	return d.present, nil
}

// firstRing is the ring of the configuration's nodes. The mutex is held.
func (d *director) firstRing() (*hashring.Ring, error) {
	d.ringOpt = d.pool.cfg.RingOptions()
	if d.pool.cfg.Placement() == "" {
		return d.pool.cfg.Ring()
	}
	return d.ringOf()
}

// start begins to look for what the configuration does not name. It is called once the loops run.
func (d *director) start() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.startFinding()
	if d.registry != nil {
		d.startWarm()
	}
}

// startFinding starts the source and the watch over replicas. The mutex is held.
func (d *director) startFinding() {
	d.source = newSource(d.pool.cfg, d.log)
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
	defer d.mu.Unlock()
	if d.source != nil {
		d.source.Nudge()
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

// newSource returns what finds the nodes of a pool, nil if its configuration names them all.
func newSource(cfg *config.Pool, log *slog.Logger) discover.Source {
	opt := discover.Options{
		Pool: cfg.Name, Log: log, Username: cfg.Username, Password: cfg.Password.Reveal(), Timeout: cfg.ConnectTimeout,
	}
	switch sourceOf(cfg) {
	case fromSentinel:
		var masters []string
		for _, m := range cfg.Sentinel.Masters {
			masters = append(masters, m.Name)
		}
		return discover.NewSentinel(cfg.Sentinel.Addresses, masters, cfg.Sentinel.Username, cfg.Sentinel.Password.Reveal(), opt)
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
		return discover.NewDNS(list, nil, opt)
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
	d.slots, d.complete = u.Slots, true
	d.forgetOthers()
	if d.slots != nil {
		d.addNobody()
	}
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
	d.pool = sp
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
			m := member{node: d.node(b.Name, address, sp.opt), weight: b.Weight, zone: b.Zone}
			for _, r := range b.Replicas {
				m.replicas = append(m.replicas, replica{d.replicaNode(r.Address, d.replicaOptions()), r.Zone})
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
		if !slices.ContainsFunc(d.members, func(m member) bool { return m.node == i }) {
			delete(d.out, i)
		}
	}
}

// reload takes over another configuration. The loops get it with the topology that goes with it, at once.
func (d *director) reload(sp *sharedPool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.pool.cfg
	if kind := sourceOf(sp.cfg); (kind == fromCluster || kind == fromDNS) && kind == sourceOf(before) {
		d.pool = sp // the members stay until they have been looked for again
		for _, m := range d.members {
			d.nodes[m.node].SetOptions(sp.opt)
		}
	} else {
		d.enrol(sp)
	}
	d.version++ // a ring that is being built is out of date
	d.building = false
	if before.OnFailure == "eject" && sp.cfg.OnFailure != "eject" {
		clear(d.out)
	}
	if d.registry != nil || warmScaling(sp.cfg) {
		d.ringOpt = sp.cfg.RingOptions()
		d.reloadWarm(sp)
		return
	}
	owners, others := d.owners()
	ring := d.present.ring
	if d.ringOpt = sp.cfg.RingOptions(); !d.ringFits(ring, before.RingOptions()) {
		var err error
		if sp.cfg.Placement() == "" && len(others) == 0 {
			ring, err = sp.cfg.Ring()
		} else {
			ring, err = d.ringOf()
		}
		if err != nil { // the configuration was checked with this ring
			d.log.Error("cannot build the ring; the old one stays", "pool", sp.cfg.Name, "error", err)
			return
		}
	}
	d.stopFind()
	d.startFinding()
	t := d.assemble(ring, owners, others)
	d.present = t
	d.srv.post(func(w *worker) { w.pools[sp.index].adopt(sp, t) })
}

// ringFits reports whether a ring made with these options is the one that is wanted now. The mutex is held.
func (d *director) ringFits(ring *hashring.Ring, opt hashring.Options) bool {
	return d.slots == nil && !d.present.slots && opt == d.ringOpt && slices.Equal(ring.Nodes(), d.ringNodes())
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
	return t
}

// failed is a lane's call, on a loop: a node has failed so many times in a row.
func (d *director) failed(n *pool.Node, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	cfg := d.pool.cfg
	if d.source != nil {
		d.source.Nudge()
	}
	i, known := d.index[n.Name]
	if cfg.OnFailure != "eject" || times < cfg.FailureLimit || !known || d.nodes[i] != n || d.stopped {
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

// rebuild has a topology made of what is known now. Where the ring stays as it is that is done at once: the place of a dead primary is
// taken without delay. Another ring takes milliseconds to build, on a goroutine of its own. The mutex is held.
func (d *director) rebuild() {
	d.version++
	if d.registry != nil {
		d.askAgain()
		return
	}
	version := d.version
	owners, others := d.owners()
	if d.slots != nil {
		d.publish(d.assemble(hashring.FromSlots(d.ringNodes(), d.slots), owners, others))
		return
	}
	if d.ringFits(d.present.ring, d.ringOpt) {
		d.publish(d.assemble(d.present.ring, owners, others))
		return
	}
	nodes, opt := d.ringNodes(), d.ringOpt
	d.building = true
	go func() {
		ring, err := hashring.New(nodes, opt)
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
		d.publish(d.assemble(ring, owners, others))
	}()
}

// publish hands a topology to all loops. The mutex is held, so that they all get the last one last.
func (d *director) publish(t *topology) {
	d.present = t
	index := d.pool.index
	d.srv.post(func(w *worker) { w.pools[index].setTopology(t) })
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

// names returns the names of the nodes, "" for one that has left.
func (d *director) names() (names []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, n := range d.nodes {
		if i < len(d.present.used) && d.present.used[i] && n.Refusal == "" {
			names = append(names, n.Name)
		} else {
			names = append(names, "")
		}
	}
	return names
}

func (d *director) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
	if d.stopFind != nil {
		d.stopFind()
	}
}
