package proxy

import (
	"time"

	"ringway/pool"
)

// ejection is a node's absence from the ring.
//
//	on the ring --failures, or a check--> out --retry_timeout--> fit? --> (emptied) --> on the ring, by and by
//	                                                              ^  |
//	                                                              +--+ looked at again, a second later at most
type ejection struct {
	until    time.Time // it returns no earlier
	flushing bool
	told     bool // why it stays out
}

// How long FLUSHALL may take: a big node frees its memory meanwhile.
const flushTimeout = time.Minute

var ejectionReasons = [pool.EjectionReasons]string{"failures", "health_check"}

// failed is called when lanes have lost a node so many times in a row.
func (d *director) failed(n *pool.Node, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.source != nil {
		d.source.Nudge()
	}
	if i, known := d.index[n.Name]; known && d.nodes[i] == n && times >= d.pool.cfg.FailureLimit {
		d.eject(i, pool.EjectedFailures, "failures", times)
	}
}

// eject takes node i off the ring, if that is wanted and allowed. The mutex is held.
func (d *director) eject(i int, reason pool.EjectionReason, because ...any) {
	cfg, n := d.pool.cfg, d.nodes[i]
	if cfg.OnFailure != "eject" || d.stopped || !d.has(i) || d.out[i] != nil {
		return
	}
	if owners, others := d.owners(); len(owners) <= 1 || len(others) >= d.mayBeOut() {
		return
	}
	e := &ejection{until: time.Now().Add(cfg.RetryTimeout)}
	d.out[i] = e
	n.Ejections[reason].Add(1)
	n.EjectedAt.Store(uint64(time.Now().UnixMicro()))
	n.Forgive()
	d.log.Warn("node ejected", append([]any{"pool", cfg.Name, "node", n.Name, "reason", ejectionReasons[reason], "retry_in", cfg.RetryTimeout}, because...)...)
	d.rebuild()
	d.considerIn(cfg.RetryTimeout, i, e)
}

// mayBeOut is how many nodes may be ejected at a time. The mutex is held.
func (d *director) mayBeOut() int {
	share := d.pool.cfg.MaxEjected
	if share == 0 {
		return 0
	}
	return max(1, len(d.members)*share/100)
}

func (d *director) considerIn(wait time.Duration, i int, e *ejection) {
	time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.consider(i, e)
	})
}

// consider takes node i back if its time has come and it is fit, and looks again soon if not. The mutex is held.
func (d *director) consider(i int, e *ejection) {
	cfg := d.pool.cfg
	switch {
	case d.out[i] != e || d.stopped || e.flushing: // it is on the ring again, or will be
	case time.Now().Before(e.until):
		d.considerIn(time.Until(e.until), i, e)
	case !d.fit(i):
		d.considerIn(min(time.Second, cfg.RetryTimeout), i, e)
	case cfg.FlushOnReturn:
		e.flushing = true
		go d.flush(i, d.nodes[i], e)
	default:
		d.takeBack(i)
	}
}

// fit reports whether an ejected node can be reached: by the checks, or by its lanes where there are none. The mutex is held.
func (d *director) fit(i int) bool {
	if d.checks[i] != nil {
		return d.nodes[i].Successes() >= d.pool.cfg.Health.Successes
	}
	return d.nodes[i].Up()
}

// flush empties node i and takes it back at once, so that nothing happens to it between. It stays out if it can't be emptied.
func (d *director) flush(i int, n *pool.Node, e *ejection) {
	err := pool.Flush(d.ctx, n, flushTimeout)
	d.mu.Lock()
	defer d.mu.Unlock()
	e.flushing = false
	if d.out[i] != e || d.stopped {
		return
	}
	if err == nil && d.fit(i) {
		d.takeBack(i)
		return
	}
	if err != nil && !e.told {
		e.told = true
		d.log.Warn("node stays ejected: it cannot be emptied", "pool", d.pool.cfg.Name, "node", n.Name, "error", err)
	}
	d.considerIn(min(time.Second, d.pool.cfg.RetryTimeout), i, e)
}

// takeBack gives an ejected node its keys again. Others that have failed may be ejected in its place. The mutex is held.
func (d *director) takeBack(i int) {
	cfg, n := d.pool.cfg, d.nodes[i]
	delete(d.out, i)
	n.Forgive()
	if cfg.SlowStart > 0 {
		d.slow = append(d.slow, returning{i, time.Now()})
	}
	d.log.Info("node returned", "pool", cfg.Name, "node", n.Name, "emptied", cfg.FlushOnReturn, "slow_start", cfg.SlowStart)
	d.rebuild()
	for _, m := range d.members {
		if reason, unfit := d.nodes[m.node].Unfit(); unfit {
			d.eject(m.node, pool.EjectedCheck, "cause", reason)
		}
	}
}
