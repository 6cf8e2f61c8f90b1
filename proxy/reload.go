package proxy

import (
	"fmt"
	"time"

	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// door is a listener and the pool that its clients go to. It may pass from one pool to another in a reload.
type door struct {
	*loop.Listener
	listen string // as the configuration has it
	home   *worker
	pool   int // index; belongs to the home loop once clients are accepted

	newcomers  *bucket   // likewise; nil until there is a limit
	asideSince time.Time // when it stepped aside
	among      int       // how many listened there then; 0: it has not
}

// Reload puts another configuration in the place of the present one, as a whole or not at all: an error means that nothing has changed.
//
// Clients stay connected as long as there is a pool of the name of theirs. Requests in flight finish where they were sent; nodes that have
// left are let go of when they have answered. What can't change in a running process (config.NeedsRestart) stays as it is.
func (srv *Server) Reload(cfg *config.Config) error {
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	return srv.take(cfg)
}

// reloadUsers takes over what is in the files of users.
func (srv *Server) reloadUsers() error {
	srv.reloading.Lock()
	defer srv.reloading.Unlock()
	return srv.take(srv.Config())
}

// take is Reload, while no other is under way.
func (srv *Server) take(cfg *config.Config) error {
	if srv.closed.Load() {
		return fmt.Errorf("shutting down")
	}
	if err := CheckFaults(cfg); err != nil {
		return err
	}
	guards, err := openGuards(cfg)
	if err != nil {
		return err
	}
	keys, err := openKeyring(cfg, srv.keys.Load())
	if err != nil {
		return err
	}
	r := &reload{srv: srv, cfg: cfg, guards: guards, keys: keys, old: map[string]*sharedPool{}, free: map[string]*door{}}
	if err := r.prepare(); err != nil {
		return err
	}
	r.apply()
	srv.keysOld.Store(false)
	srv.reloads.Add(1)
	srv.reloadedAt.Store(time.Now().UnixNano())
	srv.outOfDate.Store(false)
	return nil
}

// ReloadFailed counts a configuration that could not be taken over, or not even be read.
func (srv *Server) ReloadFailed() {
	srv.failedReloads.Add(1)
	srv.outOfDate.Store(true)
}

// Reloads tells how often the configuration has been exchanged.
func (srv *Server) Reloads() metrics.Reloads {
	return metrics.Reloads{
		Done: srv.reloads.Load(), Failed: srv.failedReloads.Load(), OutOfDate: srv.outOfDate.Load(), Last: time.Unix(0, srv.reloadedAt.Load()),
	}
}

// reload is a change of configuration under way.
type reload struct {
	srv    *Server
	cfg    *config.Config
	guards map[string]*guard      // by pool
	old    map[string]*sharedPool // by name
	free   map[string]*door       // of the old pools that no longer want them, by listen
	next   []*sharedPool          // of the new configuration, those that others lead to first
	made   []*door                // listeners that were opened for it
	keys   *keyring
}

// prepare does all that can fail.
func (r *reload) prepare() error {
	wanted := map[string]string{} // the address on which each pool listens
	for i := range r.cfg.Pools {
		wanted[r.cfg.Pools[i].Name] = r.cfg.Pools[i].Listen
	}
	for _, sp := range r.srv.open() {
		r.old[sp.cfg.Name] = sp
		if listen, stays := wanted[sp.cfg.Name]; sp.door != nil && (!stays || listen != sp.door.listen) {
			r.free[sp.door.listen] = sp.door
		}
	}
	index := r.srv.count()
	for _, p := range ordered(r.cfg.Pools) {
		old := r.old[p.Name]
		var d *director
		if old != nil {
			d = old.director
		} else {
			d = newDirector(r.srv, index)
			index++
		}
		sp := r.srv.newShared(p, d, r.keys)
		sp.guard = r.guards[p.Name]
		if old != nil {
			sp.denials, sp.addresses = old.denials, old.addresses
			sp.quotas = newQuotas(p, old.quotas)
			sp.clients, sp.forgotten, sp.slowIDs, sp.tally = old.clients, old.forgotten, old.slowIDs, old.tally
			sp.keep(old)
		} else {
			sp.quotas = newQuotas(p, quotas{})
			d.use(sp)
		}
		sp.linkTo(r.next)
		if err := r.findDoor(sp, old); err != nil {
			for _, d := range r.made {
				d.Close()
			}
			return fmt.Errorf("pool %q: %w", p.Name, err)
		}
		r.next = append(r.next, sp)
	}
	return nil
}

// findDoor gives a pool its listener: the one that it has, one that another pool gives up, or a new one.
func (r *reload) findDoor(sp, old *sharedPool) error {
	listen := sp.cfg.Listen
	switch {
	case listen == "":
		return nil
	case old != nil && old.door != nil && old.door.listen == listen:
		sp.door = old.door
		return nil
	case r.free[listen] != nil:
		sp.door = r.free[listen]
		delete(r.free, listen)
		return nil
	}
	d, err := r.srv.openDoor(sp)
	if err != nil {
		return err
	}
	sp.door = d
	r.made = append(r.made, d)
	return nil
}

// apply makes the change. Each loop learns of it in the same order, by itself.
func (r *reload) apply() {
	srv := r.srv
	stays := map[*director]bool{}
	for _, sp := range r.next {
		sp.director.hold()
	}
	for _, sp := range r.next {
		stays[sp.director] = true
		sp.guard.warn(srv, sp.cfg)
		if sp.director.present == nil {
			srv.enter(sp)
		} else {
			sp.director.reload(sp)
		}
	}
	for _, sp := range r.old {
		if !stays[sp.director] {
			sp.director.stop()
			srv.post(func(w *worker) { w.pools[sp.index].leave() })
			go func() {
				sp.director.onLoops(func(*poolState) {})
				sp.director.leaveRegistry()
			}()
		}
	}
	srv.mu.Lock()
	srv.cfg = r.cfg
	srv.keys.Store(r.keys)
	for i := range srv.pools {
		srv.pools[i] = nil
	}
	for _, sp := range r.next {
		for len(srv.pools) <= sp.index {
			srv.pools = append(srv.pools, nil)
		}
		srv.pools[sp.index] = sp
	}
	srv.mu.Unlock()
	srv.memory.set(r.cfg.MaxMemory)
	for _, sp := range r.next {
		if sp.door != nil {
			srv.acceptAt(sp.door, sp.index)
		}
	}
	for _, d := range r.free {
		d.home.wait(d.Close)
		d.home.wait(func() {}) // the descriptor is closed at the end of the turn
	}
}

// enter makes a pool that is new known to the loops.
func (srv *Server) enter(sp *sharedPool) {
	err := sp.director.open(func(t *topology) {
		srv.post(func(w *worker) { w.addPool(sp, t) })
	})
	if err != nil { // the configuration was checked with this ring
		srv.log.Error("cannot open the pool", "pool", sp.cfg.Name, "error", err)
		return
	}
	sp.director.start()
	if sp.cfg.Preconnect {
		srv.preconnect(sp)
	}
}

// post has f run on every loop.
func (srv *Server) post(f func(w *worker)) {
	for _, w := range srv.workers {
		w.loop.Post(func() { f(w) })
	}
}

// adopt takes over another configuration of the pool, and the topology that goes with it.
func (ps *poolState) adopt(sp *sharedPool, t *topology) {
	before := ps.shared.guard
	ps.shared = sp
	ps.meters = nil // the sessions look for theirs again
	ps.rejudge(before)
	ps.keepTimes()
	ps.warm = warmScaling(sp.cfg)
	ps.keeps = sp.traits.keeps
	for node := range ps.loads {
		ps.bound(node)
	}
	ps.findHeat()
	ps.findSlow()
	ps.findCounts()
	ps.setTopology(t)
}

// leave ends a pool that is no longer configured. Its clients get the replies of what is in flight, and are closed. When all have gone the
// worker lets go of it: a process that is reloaded for years must not keep each pool there ever was. Its index stays unused, for what is on
// its way to another loop may name it.
func (ps *poolState) leave() {
	ps.left = true
	for s := ps.worker.sessions; s != nil; {
		next := s.next
		if s.pool == ps {
			s.leavePool()
		}
		s = next
	}
	ps.retire()
	if ps.pubsub != nil {
		ps.pubsub.close()
	}
	ps.followTrackers()
	if ps.clients == 0 {
		ps.letGo()
	}
}

// letGo is called when no client is left.
func (ps *poolState) letGo() {
	ps.retire() // what was still in flight may have needed lanes again
	ps.worker.pools[ps.shared.index] = nil
}

// retire takes all lanes out of use.
func (ps *poolState) retire() {
	ps.putAll()
	for _, set := range ps.sets {
		for i := range ps.topo.nodes {
			ps.privates -= set.Retire(i)
		}
	}
}

// leavePool closes a session at the end of what is in flight. One that blocks or listens has nothing to wait for.
func (s *Session) leavePool() {
	if s.blocked != nil || s.subs != nil || s.head == s.tail && s.conn.Unsent() == 0 {
		s.drop()
		return
	}
	s.closing = true
	s.conn.Pause()
}

// close closes the hub's connections.
func (h *hub) close() {
	for node, li := range h.lines {
		if li != nil {
			h.drop(node)
		}
	}
}
