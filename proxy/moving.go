package proxy

import (
	"fmt"
	"time"

	"ringway/hashring"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// moving is in a topology while keys are on their way from an old ring to the next, or nothing may be served.
//
//	none   all requests wait
//	hold   those for keys that move wait; the topology is that of the old ring
//	warm   reads look at the new node and have the key moved if it is not there; writes void the old node first
//	drain  reads ask the new node alone; writes void the old node first
type moving struct {
	kind      warmKind
	old, next *hashring.Ring
	oldNodes  []uint16 // by the ring's index
	nextNodes []uint16
	lease     *lease
	t         *timings
	why       func() *string // why nothing is served
}

func (mv *moving) from(key []byte) int { return int(mv.oldNodes[mv.old.Find(key)]) }
func (mv *moving) to(key []byte) int   { return int(mv.nextNodes[mv.next.Find(key)]) }

// moves reports whether a key changes its node.
func (mv *moving) moves(key []byte) bool { return mv.kind == warmNone || mv.from(key) != mv.to(key) }

const (
	errMoving     = "TRYAGAIN the keys of the request are on their way to another node"
	errBusyMoving = "TRYAGAIN another router has been moving the key for too long"
	errCantMove   = "ERR '%s' can't be carried out while keys of pool %s are moving"
	errNobody     = "ERR pool %s waits for its other Ringways: %s"
)

// stays reports whether a request of one key may take the short way.
func (s *Session) stays(c *command.Command, key []byte) bool {
	mv := s.pool.topo.moving
	return !mv.moves(key) || mv.kind == warmDrain && c.Flags.Has(command.ReadOnly) && len(s.ops) == 0
}

// whileMoving takes a request while keys are moving. dealt says that it is dealt with, or must come again if it was not taken.
func (s *Session) whileMoving(mv *moving, c *command.Command, plan command.Plan, scan *resp.RequestScanner, b []byte) (dealt, taken bool) {
	if plan == command.Refuse || plan == command.Session && c.Name != "exec" || c.Name == "unwatch" {
		return false, true
	}
	a := &scan.Args
	switch mv.kind {
	case warmNone:
		return true, s.waitForOthers(mv)
	case warmHold:
		if s.touches(mv, c, plan, a) {
			s.stall(metrics.StallMigration)
			return true, false
		}
		return false, true
	}
	switch {
	case c.Name == "swapdb":
		s.refuse(metrics.BadCommand, fmt.Sprintf(errCantMove, c.Name, s.pool.shared.cfg.Name))
		return true, true
	case c.Name == "flushall", c.Name == "flushdb":
		return true, s.flushMoving(c, scan.Bytes(b))
	case c.Merge == command.MergeSorted && plan == command.Split:
		if so := (&sorting{most: -1}); so.parse(c, a) && s.pool.size() > 1 {
			s.refuse(metrics.BadCommand, fmt.Sprintf(errCantMove, c.Name, s.pool.shared.cfg.Name))
			return true, true
		}
		return s.forwardMoving(mv, c, scan, b)
	case plan == command.Forward:
		return s.forwardMoving(mv, c, scan, b)
	case c.Name == "watch" || plan == command.Private && c.Flags.Has(command.Blocking):
		return s.privateMoving(mv, c, scan, b)
	case c.Name == "exec":
		return s.execMoving(mv, c)
	}
	return false, true
}

func hasOption(a *resp.Args, from int, option string) bool {
	for i := from; i < a.Len(); i++ {
		if equalFold(a.At(i), option) {
			return true
		}
	}
	return false
}

// touches reports whether a request has to wait until all Ringways hold.
func (s *Session) touches(mv *moving, c *command.Command, plan command.Plan, a *resp.Args) bool {
	if c.Name == "exec" {
		return s.tx != nil && s.anyMoves(mv, s.tx.batch)
	}
	if plan == command.Broadcast || c.Name == "swapdb" {
		return c.Flags.Has(command.Write)
	}
	if c.Merge == command.MergeSorted { // what its patterns name is not known yet
		return true
	}
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	for _, k := range keys {
		if mv.moves(a.At(k)) {
			return true
		}
	}
	return false
}

// waitForOthers stops the parser until something may be served, for as long as a node is waited for. Behind that requests fail.
func (s *Session) waitForOthers(mv *moving) (taken bool) {
	now := s.worker.loop.Now()
	limit := s.pool.shared.cfg.Timeout
	if s.waiting == 0 {
		s.waiting = max(now, 1)
		if limit > 0 {
			s.worker.loop.SetTimer(loop.NewTimer(func() { s.relieve(metrics.StallMigration) }), limit+time.Millisecond)
		}
	}
	if limit > 0 && now-s.waiting >= int64(limit) {
		s.refuse(metrics.NodeDown, fmt.Sprintf(errNobody, s.pool.shared.cfg.Name, *mv.why()))
		return true
	}
	s.stall(metrics.StallMigration)
	return false
}

// anyMoves reports whether any of the requests, one behind the other, has a key that moves.
func (s *Session) anyMoves(mv *moving, requests []byte) bool {
	if mv.kind == warmNone {
		return true
	}
	any := false
	s.eachKey(requests, func(key []byte) { any = any || mv.moves(key) })
	return any
}

// followMoving is called when the topology has changed and one of the two, or both, has keys that move.
func (ps *poolState) followMoving(before *moving) {
	mv := ps.topo.moving
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps {
			if mv == nil || mv.kind != warmNone {
				s.waiting = 0
			}
			s.relieve(metrics.StallMigration)
			s.pump()
		}
	}
	if mv == nil || mv.kind != warmWarm {
		ps.moves.discardFree(ps)
	}
}

// giveUp fails all that is in flight: this process has lost its lease.
func (ps *poolState) giveUp() {
	const reason = "was given up: this router had lost touch with the others of the pool"
	for _, set := range ps.sets {
		set.GiveUp(reason)
	}
	for _, m := range ps.moves.under {
		if m.lane != nil {
			m.lane.GiveUp(reason)
		}
	}
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool != ps {
			continue
		}
		for _, la := range s.blocked {
			la.GiveUp(reason)
		}
		if s.watch.lane != nil {
			s.watch.lane.GiveUp(reason)
		}
		for _, o := range s.ops {
			if o.state < opSent {
				o.fail("ERR the request was given up: this router had lost touch with the others of the pool")
			}
		}
		s.pump()
	}
}
