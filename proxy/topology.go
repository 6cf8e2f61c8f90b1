package proxy

import (
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"ringway/hashring"
	"ringway/hotkey"
	"ringway/pool"
	"ringway/resp"
)

// topology is where the keys of a pool are at one moment. It never changes; the director replaces it as a whole, on each loop by
// itself.
//
// Nodes go by their index, which is theirs as long as the process lives: requests under way hold indices. A node that leaves keeps
// its place in nodes, and has it again if it returns.
type topology struct {
	nodes []*pool.Node // all there ever were
	ring  *hashring.Ring
	live  []uint16 // the node of each index of the ring; nil if they are the same
	order []uint16 // the nodes that own keys, as whole-pool commands ask them
	first int      // the node for requests without a key: the first by name
	used  []bool   // by node: it is part of the pool now, on the ring or ejected from it
	walk  []stop   // the way of SCAN

	places [][]hotkey.Place // by node, where copies of its hot keys may be (copyplaces.go)

	routes *routing // of a pool whose keys lead to other pools; nil for one that has a ring
	names  []string // of such a pool's nodes; those of other pools have their own

	slots    bool       // the ring is the slot map of a Redis Cluster, or that of one of the pools that routes lead to is
	replicas [][]uint16 // by node, those that follow it; nil if there are none
	readers  [][]uint16 // by node, those that its keys are read from; nil if that is always the node itself
	ejected  []uint16   // the nodes that own no keys because they have failed
	slow     *earlier   // where keys are that have not moved yet to nodes that have returned; nil unless there are such nodes

	moving *moving // keys are on their way to another ring, or nothing may be served now; nil: neither
}

// stop is a node on the way of SCAN. Its place goes into cursors, so it is made from the name: it is the same in every process and
// stays while other nodes come and go.
type stop struct {
	place uint16
	node  uint16
}

// newTopology takes the nodes that own keys in the order of the ring, and those that are in the pool and own none now.
func newTopology(nodes []*pool.Node, ring *hashring.Ring, owners, others []uint16) *topology {
	t := &topology{nodes: nodes, ring: ring, ejected: others, used: make([]bool, len(nodes))}
	for _, i := range owners {
		if nodes[i].Refusal == "" {
			t.order = append(t.order, i)
		}
	}
	if len(t.order) == 0 {
		t.order = owners
	}
	if !countsUp(owners) {
		t.live = owners
	}
	for _, i := range others {
		t.used[i] = true
	}
	t.first = int(t.order[0])
	for _, i := range owners {
		t.used[i] = true
	}
	for _, i := range t.order {
		if nodes[i].Name < nodes[t.first].Name {
			t.first = int(i)
		}
	}
	t.walk = t.walkOf(t.order)
	return t
}

// addReplica makes a node the replica of another.
func (t *topology) addReplica(of, node int) {
	if t.replicas == nil {
		t.replicas = make([][]uint16, len(t.nodes))
	}
	t.replicas[of] = append(t.replicas[of], uint16(node))
	t.used[node] = true
}

// countsUp reports whether the list is 0, 1, 2 and so on.
func countsUp(list []uint16) bool {
	for i, n := range list {
		if int(n) != i {
			return false
		}
	}
	return true
}

// walkOf gives each node its place. Places are never 0, which begins a SCAN; of two nodes that want the same the second by name takes the
// next one.
func (t *topology) walkOf(owners []uint16) []stop {
	byName := slices.Clone(owners)
	slices.SortFunc(byName, func(x, y uint16) int { return strings.Compare(t.name(int(x)), t.name(int(y))) })
	taken := map[uint16]bool{0: true}
	var walk []stop
	for _, i := range byName {
		place := uint16(xxhash.Sum64String(t.name(int(i))))
		for taken[place] {
			place++
		}
		taken[place] = true
		walk = append(walk, stop{place, i})
	}
	slices.SortFunc(walk, func(x, y stop) int { return int(x.place) - int(y.place) })
	return walk
}

// stopAfter returns the next stop of SCAN behind a place.
func (t *topology) stopAfter(place uint16) (at stop, ok bool) {
	if place == math.MaxUint16 {
		return stop{}, false
	}
	return t.stopFrom(place + 1)
}

// stopFrom returns the first stop of SCAN at a place or behind it.
func (t *topology) stopFrom(place uint16) (at stop, ok bool) {
	i, _ := slices.BinarySearchFunc(t.walk, place, func(s stop, p uint16) int { return int(s.place) - int(p) })
	if i == len(t.walk) {
		return stop{}, false
	}
	return t.walk[i], true
}

// count is how many nodes the pool has, those that are ejected included.
func (t *topology) count() (n int) {
	for _, used := range t.used {
		if used {
			n++
		}
	}
	return n
}

// movesKeys reports whether keys are on other nodes in t than in old.
func (t *topology) movesKeys(old *topology) bool {
	if t.routes != nil || old.routes != nil {
		return !t.routes.same(old.routes)
	}
	return t.ring != old.ring || t.slow != old.slow || !slices.Equal(t.order, old.order)
}

// setTopology changes where keys are from now on. Requests in flight finish where they were sent. A client that has some waits for
// their replies before its next request is read, so that nothing overtakes on another lane what was sent before.
func (ps *poolState) setTopology(t *topology) {
	old := ps.topo
	ps.topo = t
	ps.putAll()
	ps.findExtras()
	for len(ps.partOf) < t.groups() {
		ps.partOf = append(ps.partOf, 0)
	}
	ps.stats.Grow(len(t.nodes))
	ps.clock.Follow(len(t.nodes))
	for _, set := range ps.sets {
		ps.privates -= set.Follow(t.nodes)
		for i, used := range t.used {
			if !used {
				ps.privates -= set.Retire(i)
			}
		}
	}
	moves := t.movesKeys(old)
	if ps.follows() && moves {
		for _, set := range ps.sets {
			set.Reroute()
		}
	}
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps {
			s.follow(moves)
			s.update()
		}
	}
	if ps.pubsub != nil {
		ps.pubsub.follow()
	}
	if old.moving != nil || t.moving != nil {
		ps.followMoving(old.moving)
	}
	ps.followForms()
	ps.followTrackers()
	ps.shared.tally.Changed()
}

// name is what a node is called in reports and metrics.
func (t *topology) name(node int) string {
	if t.names != nil {
		return t.names[node]
	}
	return t.nodes[node].Name
}

// find returns the node that owns a key; nowhere for one that no route is for.
func (ps *poolState) find(key []byte) int { return ps.topo.find(key) }

func (t *topology) find(key []byte) int {
	if t.routes != nil {
		return t.routes.find(key)
	}
	if t.slow != nil {
		return t.findSlowly(key)
	}
	i := t.ring.Find(key)
	if t.live != nil {
		return int(t.live[i])
	}
	return i
}

// place returns the node that owns a key, and what tells the parts of a split command apart: the node, or the slot.
func (ps *poolState) place(key []byte) (node, group int) { return ps.topo.place(key) }

func (t *topology) place(key []byte) (node, group int) {
	if t.routes != nil {
		return t.routes.place(key)
	}
	node = t.find(key)
	if t.slots {
		group, _ = t.ring.Partition(key)
		return node, group
	}
	return node, node
}

// goesSlowly reports whether keys go to another node one by one as time passes.
func (t *topology) goesSlowly() bool {
	return t.slow != nil || t.routes != nil && slices.ContainsFunc(t.routes.routes, func(rt route) bool { return rt.to.slow != nil })
}

// groups is how many groups place may tell apart.
func (t *topology) groups() int {
	switch {
	case t.routes != nil:
		return t.routes.groups
	case t.slots:
		return max(len(t.nodes), hashring.Partitions)
	}
	return len(t.nodes)
}

// together reports whether keys may be in one command in front of a Redis Cluster: they have the same slot.
func (ps *poolState) together(a *resp.Args, keys []int) bool {
	_, group := ps.place(a.At(keys[0]))
	for _, k := range keys[1:] {
		if _, other := ps.place(a.At(k)); other != group {
			return false
		}
	}
	return true
}

// first is the node for requests without a key.
func (ps *poolState) first() int { return ps.topo.first }

// size is how many nodes own keys, nth which is the nth of them.
func (ps *poolState) size() int { return len(ps.topo.order) }

func (ps *poolState) nth(i int) int { return int(ps.topo.order[i]) }
