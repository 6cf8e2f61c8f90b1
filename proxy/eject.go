package proxy

import (
	"log/slog"
	"sync"
	"time"

	"ringway/hashring"
)

// ejector takes failing nodes off a pool's ring and puts them back: `on_failure: eject`, twemproxy's auto_eject_hosts.
// The keys of a node that is off the ring belong to the others until it returns, so it is for caches only.
//
// A node is ejected after failure_limit failures without a reply between them. It returns when retry_timeout has passed
// and a lane has reached it (twemproxy takes it back untried). The last node is never ejected.
//
// A ring takes milliseconds to build, so it is built away from the loops and handed to each when done.
type ejector struct {
	srv  *Server
	pool *sharedPool
	log  *slog.Logger

	mu      sync.Mutex
	out     map[int]time.Time // ejected nodes, and when they may return
	version int
	stopped bool
}

// failed is a lane's call, on a loop: node i has failed so many times in a row.
func (e *ejector) failed(i int, times int) {
	if times < e.pool.cfg.FailureLimit {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, already := e.out[i]; already || e.stopped {
		return
	}
	if len(e.out)+1 >= len(e.pool.nodes) {
		return
	}
	e.out[i] = time.Now().Add(e.pool.cfg.RetryTimeout)
	n := e.pool.nodes[i]
	n.Ejections.Add(1)
	n.Forgive()
	e.log.Warn("node ejected", "pool", e.pool.cfg.Name, "node", n.Name, "failures", times, "retry_in", e.pool.cfg.RetryTimeout)
	e.rebuild()
	time.AfterFunc(e.pool.cfg.RetryTimeout, func() { e.consider(i) })
}

// consider takes node i back if it can be reached, and looks again soon if not.
func (e *ejector) consider(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	if !e.pool.nodes[i].Up() {
		time.AfterFunc(min(time.Second, e.pool.cfg.RetryTimeout), func() { e.consider(i) })
		return
	}
	delete(e.out, i)
	e.pool.nodes[i].Forgive()
	e.log.Info("node returned", "pool", e.pool.cfg.Name, "node", e.pool.nodes[i].Name)
	e.rebuild()
}

// rebuild makes the ring of the nodes that are left. The mutex is held.
func (e *ejector) rebuild() {
	e.version++
	version := e.version
	var live []uint16
	var nodes []hashring.Node
	for i, n := range e.pool.nodes {
		if _, out := e.out[i]; !out {
			live = append(live, uint16(i))
			nodes = append(nodes, hashring.Node{Name: n.Name, Weight: n.Weight})
		}
	}
	go func() {
		ring, err := hashring.New(nodes, e.pool.cfg.RingOptions())
		e.mu.Lock()
		defer e.mu.Unlock()
		if err != nil {
			e.log.Error("cannot build the ring without the ejected nodes; the old one stays", "pool", e.pool.cfg.Name, "error", err)
			return
		}
		if version != e.version {
			return // a newer one is on its way
		}
		for _, w := range e.srv.workers {
			w.loop.Post(func() { w.pools[e.pool.index].setRing(ring, live) })
		}
	}()
}

func (e *ejector) stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
}

// setRing changes where keys go from now on. live gives the node for each index of the ring.
func (ps *poolState) setRing(ring *hashring.Ring, live []uint16) {
	ps.ring, ps.live = ring, live
	if len(live) == len(ps.shared.nodes) {
		ps.live = nil
	}
	if ps.pubsub != nil {
		ps.pubsub.follow()
	}
}

// find returns the node that owns a key.
func (ps *poolState) find(key []byte) int {
	i := ps.ring.Find(key)
	if ps.live != nil {
		return int(ps.live[i])
	}
	return i
}

// first is the node for requests without a key: the first by name, or the first that is not ejected.
func (ps *poolState) first() int {
	if ps.live == nil {
		return ps.shared.first
	}
	return int(ps.live[0])
}
