package proxy

// PoolLayout is where a pool's keys are, for people to look at. Nodes have the indices that metrics.PoolShards has them by.
type PoolLayout struct {
	Name         string
	Listen       string // "" if no client can come
	Distribution string
	Nodes        []NodeLayout
	Ring         []int // the owners of equal parts of the ring, once round it; nil if there is none
}

// NodeLayout is a node in its pool.
type NodeLayout struct {
	Name    string // "" for one that is not of the pool any more
	Address string
	Primary string  // of a replica, the name of the node it follows
	Share   float64 // of the keys
}

// RingPlaces is of how many parts the picture of a ring is.
const RingPlaces = 360

// Layout tells where the keys of each pool are at the moment.
func (srv *Server) Layout() (list []PoolLayout) {
	for _, sp := range srv.open() {
		var t *topology
		srv.onLoops(func(w *worker) {
			if ps := w.poolAt(sp.index); ps != nil {
				t = ps.topo
			}
		})
		if t == nil {
			continue // the loops have ended, or the pool has left
		}
		l := t.layout()
		l.Name = sp.cfg.Name
		if sp.door != nil {
			l.Listen = sp.door.Addr()
		}
		list = append(list, l)
	}
	return list
}

func (t *topology) layout() (l PoolLayout) {
	l.Nodes = make([]NodeLayout, len(t.nodes))
	for i, n := range t.nodes {
		if i < len(t.used) && t.used[i] && n.Refusal == "" {
			l.Nodes[i].Name, l.Nodes[i].Address = t.name(i), n.Address()
		}
	}
	for of, followers := range t.replicas {
		for _, i := range followers {
			l.Nodes[i].Primary = t.name(of)
		}
	}
	if t.ring == nil {
		l.Distribution = "routes"
		return l
	}
	node := func(i int) int {
		if t.live != nil {
			return int(t.live[i])
		}
		return i
	}
	l.Distribution = t.ring.Distribution()
	for i, share := range t.ring.Shares() {
		l.Nodes[node(i)].Share = share
	}
	for _, i := range t.ring.Around(RingPlaces) {
		l.Ring = append(l.Ring, node(i))
	}
	return l
}
