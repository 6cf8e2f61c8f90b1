package proxy

// Who the members of a pool are: what its configuration names, and what discovery finds.

import (
	"context"
	"fmt"
	"math"
	"slices"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/pool"
	"ringway/pool/discover"
)

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

// node returns the index of the node of a name, which is made if there was none yet. The mutex is held.
func (d *director) node(name, address string, opt *pool.Options) int {
	if i, ok := d.index[name]; ok {
		n := d.nodes[i]
		if n.Refusal != "" { // there was no room for it
			return i
		}
		if n.Address() != address {
			n.SetAddress(address)
			n.Forgive()
		}
		if n.Options() != opt {
			n.SetOptions(opt)
		}
		return i
	}
	i := d.add(pool.NewNode(name, address, opt))
	d.index[name] = i
	return i
}

// mostNodes is how many nodes a pool may have in the life of a process, those that have left included: loops have their indices in 16 bits.
var mostNodes = math.MaxUint16

// add gives a node its index, which is never another's: requests under way hold it. When all indices are used the last one is that of a node
// which refuses every request, and of each newcomer from then on. The mutex is held.
func (d *director) add(n *pool.Node) int {
	last := mostNodes - 1
	if len(d.nodes) > last {
		return last
	}
	if len(d.nodes) == last {
		n = pool.NewNode("no room", "", n.Options())
		n.Refusal = fmt.Sprintf("ERR this router has met %d nodes since it was started and has no room for another: it must be restarted", last)
		d.log.Error("no room for another node: its keys are refused until this process is restarted", "pool", d.pool.cfg.Name, "nodes", last)
	}
	d.nodes = append(d.nodes, n)
	return len(d.nodes) - 1
}

// replicaNode is node for a replica, whose name is its address. The mutex is held.
func (d *director) replicaNode(address string, opt *pool.Options) int {
	key := "replica " + address
	if i, ok := d.index[key]; ok {
		d.nodes[i].SetOptions(opt)
		return i
	}
	i := d.add(pool.NewNode(address, address, opt))
	d.index[key] = i
	return i
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
	if n := d.nodes[i]; n.Refusal == "" {
		n.Refusal = refusal
	}
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
