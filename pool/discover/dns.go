package discover

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// DNSBackend is a node that has a plain address, or one or several that are behind a name.
type DNSBackend struct {
	Name    string // "": by address
	Address string // host:port, unix:///path, or dns://name:port
	Weight  int    // 0 is 1
	// Single makes one node of a dns:// name, whatever the number of its addresses: it has the first of them in sorted
	// order, and keeps it as long as the name has it. Without it each address is a node, "<Name>-<address>" if there is a name.
	Single   bool
	Replicas []Replica // of a plain address or a single node
	Zone     string    // of the primary; for the caller, nothing here looks at it
}

// Lookup returns the addresses of a host.
type Lookup func(ctx context.Context, host string) ([]string, error)

// resolver gives the whole answer or none: without StrictErrors it returns what it has when one of the two questions, for
// IPv4 and IPv6, is not answered, and nodes would be missing for no reason.
var resolver = net.Resolver{StrictErrors: true}

// dns looks names up again and again. The standard library does not tell how long an answer is good for (its TTL), so
// Interval is what decides; a caching resolver on the way adds its own time.
//
// A name that can't be looked up, or has no address, keeps those it had.
type dns struct {
	bell
	opt      Options
	backends []DNSBackend
	lookup   Lookup
	hosts    map[string]*host
	chosen   []string // for each backend that is a single node the host it has now
	clashes  map[string]bool
}

// host is what is known of a name.
type host struct {
	addresses []string // sorted
	failed    bool     // at the last look-up
}

// NewDNS makes a source of backends with plain addresses and dns:// names in any mixture. lookup may be nil: then it is the
// system's, /etc/hosts included. When all addresses are plain there is one update, at once.
//
// Of a name that has addresses of both families only those of IPv4 are taken: nothing says which of them are the same node's.
func NewDNS(backends []DNSBackend, lookup Lookup, opt Options) Source {
	if lookup == nil {
		lookup = resolver.LookupHost
	}
	d := &dns{
		bell: newBell(), opt: opt.filled(5 * time.Second), backends: slices.Clone(backends), lookup: lookup,
		hosts: make(map[string]*host), chosen: make([]string, len(backends)), clashes: make(map[string]bool),
	}
	for i := range d.backends {
		b := &d.backends[i]
		b.Weight = max(b.Weight, 1)
		b.Replicas = slices.Clone(b.Replicas)
		sortReplicas(b.Replicas)
		if name, _, ok := b.dns(); ok {
			d.hosts[name] = new(host)
		}
	}
	return d
}

// dns returns name and port of a dns:// address.
func (b *DNSBackend) dns() (name, port string, ok bool) {
	address, ok := strings.CutPrefix(b.Address, "dns://")
	if !ok {
		return "", "", false
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, "", true
	}
	return name, port, true
}

func (d *dns) Run(ctx context.Context, publish func(Update)) {
	out := outlet{publish: publish}
	for {
		d.look(ctx)
		if ctx.Err() != nil {
			return
		}
		out.put(d.update())
		if len(d.hosts) == 0 {
			<-ctx.Done()
			return
		}
		if d.wait(ctx, jitter(d.opt.Interval)); ctx.Err() != nil {
			return
		}
	}
}

// look looks all names up at the same time.
func (d *dns) look(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, d.opt.Timeout)
	defer cancel()
	var wait sync.WaitGroup
	for name, h := range d.hosts {
		wait.Go(func() {
			addresses, err := d.lookup(limited, name)
			if addresses = oneFamily(addresses); err == nil && len(addresses) == 0 {
				err = errors.New("the name has no address")
			}
			if ctx.Err() == nil {
				d.take(name, h, addresses, err)
			}
		})
	}
	wait.Wait()
}

func (d *dns) take(name string, h *host, addresses []string, err error) {
	if err != nil {
		if !h.failed {
			h.failed = true
			d.opt.Log.Warn("name cannot be looked up", "host", name, "error", err, "keeps", h.addresses)
		}
		return
	}
	if h.failed {
		h.failed = false
		d.opt.Log.Info("name can be looked up again", "host", name)
	}
	if !slices.Equal(addresses, h.addresses) {
		d.opt.Log.Info("addresses changed", "host", name, "from", h.addresses, "to", addresses)
		h.addresses = addresses
	}
}

// oneFamily returns the IPv4 addresses, or all if there is none, sorted: 10.0.0.9 before 10.0.0.10.
func oneFamily(list []string) []string {
	var v4, all []netip.Addr
	for _, s := range list {
		a, err := netip.ParseAddr(s)
		if err != nil {
			continue
		}
		a = a.Unmap()
		all = append(all, a)
		if a.Is4() {
			v4 = append(v4, a)
		}
	}
	if len(v4) > 0 {
		all = v4
	}
	slices.SortFunc(all, netip.Addr.Compare)
	all = slices.Compact(all)
	sorted := make([]string, len(all))
	for i, a := range all {
		sorted[i] = a.String()
	}
	return sorted
}

// update makes nodes of the backends, in their order.
func (d *dns) update() Update {
	nodes := make([]Node, 0, len(d.backends))
	taken := make(map[string]bool)
	add := func(n Node) {
		if taken[n.Name] {
			if !d.clashes[n.Name] {
				d.clashes[n.Name] = true
				d.opt.Log.Warn("two nodes with one name, the second is left out", "node", n.Name, "address", n.Address)
			}
			return
		}
		taken[n.Name] = true
		nodes = append(nodes, n)
	}
	for i, b := range d.backends {
		name, port, ok := b.dns()
		switch {
		case !ok:
			add(Node{Name: cmp.Or(b.Name, b.Address), Address: b.Address, Weight: b.Weight, Replicas: b.Replicas})
		case b.Single:
			add(Node{Name: cmp.Or(b.Name, name+":"+port), Address: d.choose(i, name, port), Weight: b.Weight, Replicas: b.Replicas})
		default:
			var found []Node
			for _, a := range d.hosts[name].addresses {
				n := Node{Address: net.JoinHostPort(a, port), Weight: b.Weight}
				n.Name = n.Address
				if b.Name != "" {
					n.Name = b.Name + "-" + n.Address
				}
				found = append(found, n)
			}
			slices.SortFunc(found, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
			for _, n := range found {
				add(n)
			}
		}
	}
	return Update{Nodes: nodes}
}

// choose returns the address of a single node.
func (d *dns) choose(i int, name, port string) string {
	addresses := d.hosts[name].addresses
	if len(addresses) == 0 {
		return ""
	}
	if !slices.Contains(addresses, d.chosen[i]) {
		d.chosen[i] = addresses[0]
	}
	return net.JoinHostPort(d.chosen[i], port)
}
