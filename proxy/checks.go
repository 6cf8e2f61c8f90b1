package proxy

import (
	"ringway/internal/config"
	"ringway/pool"
)

// checkMembers has each member checked, and nobody else. The mutex is held.
func (d *director) checkMembers() {
	d.askNodes()
	how := checkingOf(d.pool.cfg)
	on := d.running && !d.stopped && how.Interval > 0
	for i, c := range d.checks {
		if !on || c.How != how || !d.has(i) {
			c.Stop()
			delete(d.checks, i)
		}
	}
	for _, m := range d.members {
		if on && d.checks[m.node] == nil && d.nodes[m.node].Refusal == "" {
			d.checks[m.node] = pool.StartCheck(d.nodes[m.node], how, d.reportOf(m.node))
		}
	}
}

func checkingOf(p *config.Pool) pool.Checking {
	h := p.Health
	return pool.Checking{Interval: h.Interval, Timeout: h.Timeout, Failures: h.Failures, Successes: h.Successes}
}

// reportOf is what becomes of what the checks of a node find.
func (d *director) reportOf(i int) pool.Report {
	n := d.nodes[i]
	return pool.Report{
		Served: func(since int64, silent bool) bool { return d.served(i, since, silent) },
		Down:   func(reason string, was bool) { d.foundDown(i, n, reason, was) },
		Up:     func() { d.srv.nodeChanged(d.config().Name, n, true, "") },
		Answered: func() {
			each := d.nodeIn(i)
			d.srv.post(func(w *worker) { each(w, (*poolState).retry) })
		},
		Refused: func(reason string) {
			d.log.Warn("node refuses health checks", "pool", d.config().Name, "node", n.Name, "address", n.Address(), "reason", reason)
		},
	}
}

func (d *director) config() *config.Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pool.cfg
}

// served asks the loops, one after the other, for a sign of life of node i.
func (d *director) served(i int, since int64, silent bool) (is bool) {
	each := d.nodeIn(i)
	d.srv.onLoops(func(w *worker) {
		each(w, func(ps *poolState, i int) { is = is || ps.served(i, since, silent) })
	})
	return is
}

// foundDown has the lanes of node i give it up, and ejects it if that is wanted.
func (d *director) foundDown(i int, n *pool.Node, reason string, was bool) {
	if !was {
		d.srv.nodeChanged(d.config().Name, n, false, reason)
	}
	each := d.nodeIn(i)
	d.srv.post(func(w *worker) {
		if _, still := n.Unfit(); still {
			each(w, func(ps *poolState, i int) { ps.abandon(i, reason) })
		}
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.source != nil {
		d.source.Nudge()
	}
	d.eject(i, pool.EjectedCheck, "cause", reason)
}

// abandon has all connections to node i given up: requests on them fail now and not when their time is over.
func (ps *poolState) abandon(i int, reason string) {
	for _, set := range ps.sets {
		ps.privates -= set.Abandon(i, reason)
	}
	ps.lines(i, func(la *pool.Lane) { la.Abandon(reason) })
	for s := ps.worker.sessions; s != nil; {
		next := s.next // s may end over it
		if s.pool == ps {
			s.abandon(i, reason)
		}
		s = next
	}
}

// abandon is for the private lanes that a session has.
func (s *Session) abandon(i int, reason string) {
	lanes := s.blocked
	if s.watch.lane != nil {
		lanes = append(lanes[:len(lanes):len(lanes)], s.watch.lane)
	}
	for _, la := range lanes {
		if la.Index == i {
			la.Abandon(reason)
		}
	}
}

// retry has the lanes to node i that are down try to come back now.
func (ps *poolState) retry(i int) {
	for _, set := range ps.sets {
		set.Retry(i)
	}
	ps.lines(i, (*pool.Lane).Retry)
}

// served reports whether a lane to node i speaks for it.
func (ps *poolState) served(i int, since int64, silent bool) (is bool) {
	for _, set := range ps.sets {
		is = is || set.Served(i, since, silent)
	}
	ps.lines(i, func(la *pool.Lane) { is = is || la.Served(since, silent) })
	return is
}

// lines calls f for the lane that carries subscriptions to node i, if there is one.
func (ps *poolState) lines(i int, f func(*pool.Lane)) {
	if ps.pubsub != nil && i < len(ps.pubsub.lines) && ps.pubsub.lines[i] != nil {
		f(ps.pubsub.lines[i].lane)
	}
	if i < len(ps.trackers) && ps.trackers[i] != nil {
		f(ps.trackers[i].lane)
	}
}
