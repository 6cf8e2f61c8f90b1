package proxy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/pool"
	"ringway/resp"
)

// A pool with routes has no servers of its own. The beginning of a key leads to another pool, and that pool's ring to a node:
//
//	front --"user:"--> users --> its ring --> node 0 or 1 of users  = node 0 or 1 of front
//	      --""-------> cache --> its ring --> node 0 of cache       = node 2 of front
//
// Its topology is composed of theirs. The nodes are the same objects, with the settings and passwords of the pool that they are from; only
// the lanes to them are its own. So whatever works over several nodes works over several pools, and need not know of it.

// routing is where the keys of a pool with routes are. It is part of a topology and does not change.
type routing struct {
	routes []route // by prefix
	whole  bool    // every key has a route
	strips bool    // some servers see their keys without the prefix
	groups int     // how many groups place may tell apart

	leading [][]*route // by node, those that lead there; only if some strip
}

type route struct {
	prefix  string
	cut     int       // bytes of the key that its servers don't see
	shorter int       // the route with the longest prefix that this one's begins with; -1 if there is none
	to      *topology // of the pool that it leads to
	nodes   []uint16  // by that pool's node, which it is of ours
	group   int       // of ours, the first of that pool's groups
}

// nowhere is the node of a key that no route is for.
const nowhere = -1

// of returns the route of a key, the one with the longest prefix; nil if none is for it. The last prefix that does not come behind the key in
// the order of the alphabet is that of its route, or begins with it.
func (r *routing) of(key []byte) *route {
	lo, hi := 0, len(r.routes)
	for lo < hi {
		if m := (lo + hi) / 2; string(key) < r.routes[m].prefix {
			hi = m
		} else {
			lo = m + 1
		}
	}
	for i := lo - 1; i >= 0; i = r.routes[i].shorter {
		rt := &r.routes[i]
		if len(key) >= len(rt.prefix) && string(key[:len(rt.prefix)]) == rt.prefix {
			return rt
		}
	}
	return nil
}

// find returns the node of a key. The ring of the pool places it as its servers see it, so it is where that pool's own clients find it.
func (r *routing) find(key []byte) int {
	rt := r.of(key)
	if rt == nil {
		return nowhere
	}
	return int(rt.nodes[rt.to.find(key[rt.cut:])])
}

// place returns the node of a key and its group: those of one pool, one behind the other, come behind those of others.
func (r *routing) place(key []byte) (node, group int) {
	rt := r.of(key)
	if rt == nil {
		return nowhere, nowhere
	}
	node, group = rt.to.place(key[rt.cut:])
	return int(rt.nodes[node]), rt.group + group
}

// findName returns the node of a name that is no key, such as a channel: it is routed as a key would be, and never stripped.
func (t *topology) findName(name []byte) int {
	node, _ := t.placeName(name)
	return node
}

// placeName is place for such a name.
func (t *topology) placeName(name []byte) (node, group int) {
	if t.routes == nil {
		return t.place(name)
	}
	rt := t.routes.of(name)
	if rt == nil {
		return nowhere, nowhere
	}
	node, group = rt.to.place(name)
	return int(rt.nodes[node]), rt.group + group
}

func (ps *poolState) findName(name []byte) int { return ps.topo.findName(name) }

// speakers are those of all pools.
func (r *routing) speakers(k topicKind, name string) (nodes []int) {
	for i := range r.routes {
		rt := &r.routes[i]
		if slices.ContainsFunc(r.routes[:i], func(x route) bool { return x.to == rt.to }) {
			continue
		}
		for _, node := range rt.to.speakers(k, name) {
			nodes = append(nodes, int(rt.nodes[node]))
		}
	}
	return nodes
}

// newRouting takes the routes in any order.
func newRouting(routes []route) *routing {
	r := &routing{routes: routes}
	slices.SortFunc(r.routes, func(x, y route) int { return strings.Compare(x.prefix, y.prefix) })
	for i := range r.routes {
		rt := &r.routes[i]
		rt.shorter = i - 1
		for rt.shorter >= 0 && !strings.HasPrefix(rt.prefix, r.routes[rt.shorter].prefix) {
			rt.shorter = r.routes[rt.shorter].shorter
		}
		r.whole = r.whole || rt.prefix == ""
		r.strips = r.strips || rt.cut > 0
	}
	return r
}

// same reports whether all keys are where they are in old, under the same names.
func (r *routing) same(old *routing) bool {
	if r == nil || old == nil {
		return r == old
	}
	return slices.EqualFunc(r.routes, old.routes, func(x, y route) bool {
		owner := func(rt route) []uint16 {
			var nodes []uint16
			for _, i := range rt.to.order {
				nodes = append(nodes, rt.nodes[i])
			}
			return nodes
		}
		return x.prefix == y.prefix && x.cut == y.cut && !x.to.movesKeys(y.to) && slices.Equal(owner(x), owner(y))
	})
}

// extras are what some pools do with requests besides sending them on.
type extras struct {
	strays  bool // keys may have no route
	strips  bool // servers see keys without their prefix
	mirrors bool
	faults  bool
}

func (ps *poolState) findExtras() {
	r, cfg := ps.topo.routes, ps.shared.cfg
	if ps.mirror == nil || ps.mirror.cfg != cfg.Mirror {
		ps.findMirror()
	}
	ps.extras = extras{
		strays:  r != nil && !r.whole,
		strips:  r != nil && r.strips,
		mirrors: cfg.Mirror != nil,
		faults:  cfg.Fault != nil,
	}
}

// looks reports whether requests have to be looked at before they are sent, so that none may take the short way. For strays that does not
// hold: the short way notices them.
func (e extras) looks() bool { return e.strips || e.mirrors || e.faults }

// stray returns a key of the request that no route is for.
func (s *Session) stray(c *command.Command, a *resp.Args) (key []byte, is bool) {
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	for _, k := range keys {
		if s.pool.find(a.At(k)) == nowhere {
			return a.At(k), true
		}
	}
	switch {
	case len(keys) > 0:
	case c.Name == "subscribe" || c.Name == "ssubscribe":
		for i := 1; i < a.Len(); i++ {
			if !onAllNodes(channelTopic, string(a.At(i))) && s.pool.findName(a.At(i)) == nowhere {
				return a.At(i), true
			}
		}
	case c.RouteArg > 0 && c.RouteArg < a.Len() && s.pool.findName(a.At(c.RouteArg)) == nowhere:
		return a.At(c.RouteArg), true
	}
	return nil, false
}

// errNoRoute names the key, or its beginning.
func errNoRoute(key []byte) string {
	const most = 64
	if len(key) > most {
		return fmt.Sprintf("ERR no route for this key: %.*q...", most, key)
	}
	return fmt.Sprintf("ERR no route for this key: %q", key)
}

// composition is what the director of a pool with routes has beside the rest. What the other pools publish comes to learn, on their
// goroutines, while they hold their mutex: a mutex of theirs is always taken before ours.
type composition struct {
	parts  map[*director]*topology // of the pools that the routes lead to
	index  map[*pool.Node]int
	names  []string // by node
	held   bool     // a reload is under way: the next topology is that of its end
	fronts []*director
}

// ordered returns the pools in the order in which they can be opened: those that others lead to first.
func ordered(pools []config.Pool) []*config.Pool {
	var first, last []*config.Pool
	for i := range pools {
		if p := &pools[i]; len(p.Routes) == 0 {
			first = append(first, p)
		} else {
			last = append(last, p)
		}
	}
	return append(first, last...)
}

// linkTo finds the pools that the routes lead to among those that have been made.
func (sp *sharedPool) linkTo(pools []*sharedPool) {
	for _, r := range sp.cfg.Routes {
		i := slices.IndexFunc(pools, func(p *sharedPool) bool { return p != nil && p.cfg.Name == r.Pool })
		sp.leads = append(sp.leads, pools[i]) // the configuration was checked
	}
	sp.traits = traitsOf(sp.cfg)
	for i, to := range sp.leads {
		if i == 0 {
			sp.traits = to.traits
		}
		sp.traits = traits{
			max(sp.traits.keeps, to.traits.keeps), max(sp.traits.rereads, to.traits.rereads),
			max(sp.traits.patience, to.traits.patience), max(sp.traits.ownWrites, to.traits.ownWrites),
		}
	}
}

// traits are settings about servers that sessions go by. Those of a pool with routes are the most that the pools they lead to have.
type traits struct {
	keeps     keeps
	rereads   int           // percent of the requests that may be sent again when their node was lost
	patience  time.Duration // for which a request may be tried again
	ownWrites time.Duration // for which a client reads from the primary after a write
}

func traitsOf(cfg *config.Pool) traits {
	return traits{keepsOf(cfg), cfg.RetryShare(), max(cfg.FailoverWait, cfg.Timeout), cfg.ReadOwnWrites}
}

// followPools has the director told of what the pools that routes lead to publish, and of no others. The mutex is not held.
func (d *director) followPools(leads []*sharedPool) {
	var now []*director
	for _, sp := range leads {
		if !slices.Contains(now, sp.director) {
			now = append(now, sp.director)
		}
	}
	d.mu.Lock()
	before := d.composed.parts
	d.mu.Unlock()
	for to := range before {
		if !slices.Contains(now, to) {
			to.mu.Lock()
			to.composed.fronts = slices.DeleteFunc(to.composed.fronts, func(x *director) bool { return x == d })
			d.forget(to)
			to.mu.Unlock()
		}
	}
	for _, to := range now {
		to.mu.Lock()
		if !slices.Contains(to.composed.fronts, d) {
			to.composed.fronts = append(to.composed.fronts, d)
			d.learn(to, to.present)
		}
		to.mu.Unlock()
	}
}

// tellFronts tells the pools whose routes lead here of another topology. The mutex is held.
func (d *director) tellFronts() {
	for _, f := range d.composed.fronts {
		f.learn(d, d.present)
	}
}

// learn takes the topology of a pool that routes lead to. Parts are replaced as a whole: followPools reads them without the mutex.
func (d *director) learn(from *director, t *topology) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := map[*director]*topology{from: t}
	for other, of := range d.composed.parts {
		if other != from {
			parts[other] = of
		}
	}
	d.composed.parts = parts
	if d.stopped || d.composed.held || d.present == nil || !slices.ContainsFunc(d.pool.leads, func(sp *sharedPool) bool { return sp.director == from }) {
		return
	}
	d.publish(d.compose())
}

func (d *director) forget(from *director) {
	d.mu.Lock()
	defer d.mu.Unlock()
	parts := map[*director]*topology{}
	for other, of := range d.composed.parts {
		if other != from {
			parts[other] = of
		}
	}
	d.composed.parts = parts
}

// hold keeps what other pools publish during a reload from being used with the old routes.
func (d *director) hold() {
	d.mu.Lock()
	d.composed.held = true
	d.mu.Unlock()
}

// compose makes the topology of a pool with routes. The mutex is held.
func (d *director) compose() *topology {
	t := &topology{}
	nodesOf, groupOf := map[*director][]uint16{}, map[*director]int{}
	groups := 0
	var routes []route
	for i, rc := range d.pool.cfg.Routes {
		from := d.pool.leads[i]
		to := d.composed.parts[from.director]
		nodes := nodesOf[from.director]
		if nodes == nil {
			nodes = make([]uint16, len(to.nodes))
			for k, n := range to.nodes {
				if to.used[k] {
					nodes[k] = d.nodeOf(n, from.cfg.Name+"/"+to.name(k))
				}
			}
			for _, k := range to.order {
				t.order = append(t.order, nodes[k])
			}
			nodesOf[from.director], groupOf[from.director] = nodes, groups
			groups += to.groups()
			t.slots = t.slots || to.slots
		}
		rt := route{prefix: rc.Prefix, to: to, nodes: nodes, group: groupOf[from.director]}
		if rc.StripPrefix {
			rt.cut = len(rc.Prefix)
		}
		routes = append(routes, rt)
		if i == 0 || rc.Prefix == "" {
			t.first = int(nodes[to.first]) // what has no key goes where most keys go
		}
	}
	d.nameNodes()
	t.nodes = d.nodes[:len(d.nodes):len(d.nodes)]
	t.names = d.composed.names[:len(d.nodes):len(d.nodes)]
	t.used = make([]bool, len(d.nodes))
	for from, nodes := range nodesOf {
		t.takeNodes(d.composed.parts[from], nodes)
	}
	t.routes = newRouting(routes)
	if t.routes.groups = groups; t.routes.strips {
		t.routes.leadTo(len(d.nodes))
	}
	t.walk = t.walkOf(t.order)
	t.places = make([][]hotkey.Place, len(t.nodes))
	for from, nodes := range nodesOf {
		t.takePlaces(d.composed.parts[from], nodes)
	}
	return t
}

// takeNodes takes over which of a pool's nodes are used or ejected, and their replicas. nodes says which they are of ours.
func (t *topology) takeNodes(to *topology, nodes []uint16) {
	translated := func(list []uint16) (all []uint16) {
		for _, i := range list {
			all = append(all, nodes[i])
		}
		return all
	}
	if to.replicas != nil && t.replicas == nil {
		t.replicas = make([][]uint16, len(t.nodes))
	}
	if to.readers != nil && t.readers == nil {
		t.readers = make([][]uint16, len(t.nodes))
	}
	for i, used := range to.used {
		if !used {
			continue
		}
		t.used[nodes[i]] = true
		if slices.Contains(to.ejected, uint16(i)) {
			t.ejected = append(t.ejected, nodes[i])
		}
		if i < len(to.replicas) {
			t.replicas[nodes[i]] = translated(to.replicas[i])
		}
		if i < len(to.readers) {
			t.readers[nodes[i]] = translated(to.readers[i])
		}
	}
}

// nodeOf returns our index of another pool's node. The mutex is held.
func (d *director) nodeOf(n *pool.Node, name string) uint16 {
	i, known := d.composed.index[n]
	if !known {
		if d.composed.index == nil {
			d.composed.index = map[*pool.Node]int{}
		}
		i = d.add(n)
		d.composed.index[n] = i
		d.nameNodes()
		d.composed.names[i] = name
	}
	return uint16(i)
}

// nameNodes gives nodes that the pool had when it had servers of its own an empty name here. The mutex is held.
func (d *director) nameNodes() {
	for len(d.composed.names) < len(d.nodes) {
		d.composed.names = append(d.composed.names, "")
	}
}

// nodeIn calls f on a loop with each pool that has a node of ours: this one, where it is node i, and those whose routes lead here.
func (d *director) nodeIn(i int) func(w *worker, f func(ps *poolState, i int)) {
	d.mu.Lock()
	n, fronts := d.nodes[i], slices.Clone(d.composed.fronts)
	d.mu.Unlock()
	return func(w *worker, f func(ps *poolState, i int)) {
		if ps := w.poolAt(d.at); ps != nil && i < len(ps.topo.nodes) { // else the loop has yet to hear of it: its ring is being built
			f(ps, i)
		}
		for _, front := range fronts {
			ps := w.poolAt(front.at)
			if ps == nil { // it is just being opened
				continue
			}
			if at := slices.Index(ps.topo.nodes, n); at >= 0 {
				f(ps, at)
			}
		}
	}
}
