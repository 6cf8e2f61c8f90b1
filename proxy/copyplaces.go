package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"ringway/hotkey"
	"ringway/internal/config"
)

// Where copies of hot keys may be (copies.go): on the nodes of the pool that has the key, so behind routes not on those of other pools, and in a database
// that is set aside for them. A Redis Cluster has one database, and a node of it takes only names of its own slots. There a copy lies among the clients'
// keys, with a hash tag in its name whose slot is one of its node's:
//
//	hot on node 2 --> __ringway:copy:0:{4}:nJ4Yw...:s:hot   on node 0
//	                  __ringway:copy:0:{0}:nJ4Yw...:s:hot   on node 1
//	                  __ringway:copy:0:{1}:nJ4Yw...:s:hot   on node 2
//
// Tags are numbers, and a node's is the first whose slot it has: in every process the same, as long as they agree on the slots. A node that has given the
// slot away answers MOVED, ASK or TRYAGAIN, and that is a copy which is not there. When it is known that slots have moved, or a replica has taken a
// node's place, all that is known of hot keys is void, as it is whenever keys may have another node.

// mostTags is how many numbers are tried: enough for a node that has one slot of the 16384.
const mostTags = 1 << 18

// findPlaces finds out where copies of each node's keys may be. It is called when all else is known.
func (t *topology) findPlaces() {
	list := make([]hotkey.Place, 0, len(t.order))
	for _, n := range t.order {
		list = append(list, hotkey.Place{Node: n, Name: t.name(int(n))})
	}
	if t.slots {
		list = t.tagged(list)
	}
	t.places = make([][]hotkey.Place, len(t.nodes))
	for _, n := range t.order {
		t.places[n] = list
	}
}

// tagged gives each place of a Redis Cluster its tag. Nodes without slots are left out.
func (t *topology) tagged(list []hotkey.Place) (found []hotkey.Place) {
	missing := map[uint16]int{}
	for i, p := range list {
		missing[p.Node] = i
	}
	var tag []byte
	for i := 0; i < mostTags && len(missing) > 0; i++ {
		tag = strconv.AppendInt(tag[:0], int64(i), 36)
		node := uint16(t.find(tag))
		if at, is := missing[node]; is {
			list[at].Tag = string(tag)
			delete(missing, node)
		}
	}
	for _, p := range list {
		if p.Tag != "" {
			found = append(found, p)
		}
	}
	return found
}

// takePlaces takes over where copies may be from a pool that routes lead to. nodes says which of ours its nodes are.
func (t *topology) takePlaces(to *topology, nodes []uint16) {
	list := slices.Clone(to.placesFor(int(to.order[0])))
	for i := range list {
		list[i].Node = nodes[list[i].Node]
	}
	for _, n := range to.order {
		t.places[nodes[n]] = list
	}
}

// placesFor returns where copies of a node's keys may be.
func (t *topology) placesFor(node int) []hotkey.Place {
	if node >= len(t.places) {
		return nil
	}
	return t.places[node]
}

// copyTag returns the hash tag of copies at a node, "" if they have none.
func (t *topology) copyTag(node int) string {
	for _, p := range t.placesFor(node) {
		if int(p.Node) == node {
			return p.Tag
		}
	}
	return ""
}

// seenAs returns what its node calls a key.
func (t *topology) seenAs(key []byte) []byte {
	if t.routes != nil {
		if rt := t.routes.of(key); rt != nil {
			return key[rt.cut:]
		}
	}
	return key
}

// makesCopies reports whether a pool copies hot keys to other nodes.
func makesCopies(cfg *config.Pool) bool {
	h := &cfg.HotKeys
	return (h.Mode == "auto" || h.Mode == "copies") && (cfg.Cluster != nil || len(cfg.Routes) > 0 || cfg.Database != h.CopyDatabase)
}

// itself returns the pool, or those that its routes lead to, which have servers.
func (sp *sharedPool) itself() []*sharedPool {
	if sp.leads != nil {
		return sp.leads
	}
	return []*sharedPool{sp}
}

// copyDatabase is where copies are on the pool's own servers.
func (sp *sharedPool) copyDatabase() int {
	if sp.cfg.Cluster != nil {
		return 0
	}
	return sp.cfg.HotKeys.CopyDatabase
}

// copiesIn reports whether there may be copies in a database of the pool's own servers.
func (sp *sharedPool) copiesIn(db int) bool { return makesCopies(sp.cfg) && db == sp.copyDatabase() }

// copiesIn reports whether there may be copies in a database.
func (ps *poolState) copiesIn(db int) bool {
	for _, sp := range ps.shared.leads {
		if sp.copiesIn(db) {
			return true
		}
	}
	return ps.shared.leads == nil && ps.shared.copiesIn(db)
}

// mayCopy reports whether keys of a node may be copied: those whose servers they are want it, there is another, and no client uses their database of copies.
func (ps *poolState) mayCopy(node int) bool {
	sp := ps.sharedOf(node)
	return makesCopies(sp.cfg) && len(ps.topo.placesFor(node)) > 1 && sp.tally.CopiesForbidden() == "" &&
		(sp == ps.shared || sp.cfg.Cluster != nil || ps.shared.cfg.Database != sp.copyDatabase())
}

// sharedOf is the pool that a node is from.
func (ps *poolState) sharedOf(node int) *sharedPool {
	for _, sp := range ps.shared.leads {
		if sp.cfg.Name == ps.topo.nodes[node].Options().Pool {
			return sp
		}
	}
	return ps.shared
}

// configOf is its configuration.
func (ps *poolState) configOf(node int) *config.Pool { return ps.sharedOf(node).cfg }

// copyRefused looks for slots that have moved, if that is what an error says.
func (ps *poolState) copyRefused(reply []byte) {
	if bytes.HasPrefix(reply, []byte("-MOVED")) || bytes.HasPrefix(reply, []byte("-READONLY")) {
		ps.shared.director.nudge()
	}
}
