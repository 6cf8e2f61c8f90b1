package proxy

import (
	"bytes"
	"math/rand/v2"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/pool"
	"ringway/resp"
)

// A mirror gets a copy of a pool's requests, and what it answers is dropped. The copy goes on the lanes that the mirror's pool has on the same
// loop, in the turn and in the order in which the requests went to their own nodes, to where that pool has the keys. It is made
// of what the client has sent, prefixes and all.
//
// Nothing of it may be felt by the client. A lane that is full, down, or owes too many replies gets no copy, which is counted; a session never waits
// for one.

// mirror is a pool's mirror as one worker sees it.
type mirror struct {
	cfg    *config.Mirror
	chance chance
	pool   *poolState // found when it is needed: a reload may make it later than this
	from   *poolState
}

// mostCopies bounds the replies that a mirror's lane may owe: one that reads requests and answers none would pile them up.
const mostCopies = 16384

// chance is a share of 1<<32.
type chance uint64

func chanceOf(percent float64) chance { return chance(max(1, percent/100*(1<<32))) }

// hits draws a lot. With percent: 100 every one does.
func (c chance) hits() bool { return uint64(rand.Uint32()) < uint64(c) }

// findMirror makes the mirror of a configuration.
func (ps *poolState) findMirror() {
	cfg := ps.shared.cfg.Mirror
	if cfg == nil {
		ps.mirror = nil
		return
	}
	ps.mirror = &mirror{cfg: cfg, chance: chanceOf(cfg.Percent), from: ps}
}

// target returns the mirror's pool, nil if it is not there.
func (m *mirror) target() *poolState {
	if m.pool == nil || m.pool.left {
		m.pool = nil
		for _, ps := range m.from.worker.pools {
			if ps != nil && ps.shared.cfg.Name == m.cfg.Pool && !ps.left {
				m.pool = ps
			}
		}
	}
	return m.pool
}

// takes says whether a copy is to be made of a request that has gone to its nodes: not of what blocks, speaks or listens to channels, or
// concerns one server or connection.
func (m *mirror) takes(c *command.Command, plan command.Plan, a *resp.Args) bool {
	switch {
	case m.cfg.ExcludeReads && !mayWrite(&m.from.worker.server.scripts, c, a):
		return false
	case plan == command.Broadcast && (c.Merge == command.MergeCursor || c.Flags.Has(command.Admin) || c.Flags.Has(command.AllowBusy)):
		return false // SCAN's cursor is another's, CONFIG is the operator's business, SCRIPT KILL means a script of ours
	case plan != command.Forward && plan != command.Split && plan != command.Broadcast:
		return false
	}
	return !c.Flags.Has(command.PubSub)
}

// copies is the owner of copies: it counts what goes wrong, for the pool that they are of.
type copies struct{ *mirror }

// Reply is part of pool.Owner.
func (m copies) Reply(_ uint64, kind byte, b []byte, done bool) {
	if done && (kind == '-' || kind == '!') {
		m.from.stats.MirrorErrors++
		if bytes.HasPrefix(b, []byte("-MOVED")) && m.pool != nil {
			m.pool.shared.director.nudge() // the copy is lost; the next ones go where it belongs
		}
	}
}

// Fail is part of pool.Owner.
func (m copies) Fail(uint64, string, bool) { m.from.stats.MirrorErrors++ }

// fit reports whether a lane can take a copy.
func fit(la *pool.Lane) bool {
	_, down := la.Down()
	return !down && !la.Busy() && la.Depth() < mostCopies
}

// copyRequest sends a copy of a request that was taken to the mirror.
func (m *mirror) copyRequest(s *Session, c *command.Command, plan command.Plan, a *resp.Args, request []byte) {
	if !m.takes(c, plan, a) || !m.chance.hits() {
		return
	}
	sent, to := false, m.target()
	if to != nil {
		set := to.set(pool.Key{Database: s.db})
		switch plan {
		case command.Forward:
			sent = m.forward(to, set, c, a, request)
		case command.Split:
			sent = m.split(to, set, c, a, request)
		case command.Broadcast:
			sent = m.broadcast(to, set, c, request)
		}
	}
	m.count(sent)
}

func (m *mirror) count(sent bool) {
	if sent {
		m.from.stats.Mirrored++
	} else {
		m.from.stats.MirrorDropped++
	}
}

func (m *mirror) forward(to *poolState, set *pool.Set, c *command.Command, a *resp.Args, request []byte) bool {
	node, _, ok := to.ownerOf(c, a)
	if !ok {
		return false
	}
	lane := set.Lane(node)
	if !fit(lane) {
		return false
	}
	if runsDigest(c) {
		to.worker.server.scripts.tell(lane, a.At(1))
	}
	lane.SendAs(classes[c.ID], request, copies{m}, 0)
	return true
}

func (m *mirror) broadcast(to *poolState, set *pool.Set, c *command.Command, request []byte) bool {
	for i := range to.size() {
		if !fit(set.Lane(to.nth(i))) {
			return false
		}
	}
	for i := range to.size() {
		set.Lane(to.nth(i)).SendAs(classes[c.ID], request, copies{m}, 0)
	}
	return true
}

// split sends each of the mirror's nodes its part, or each slot's, found anew: its ring is another.
func (m *mirror) split(to *poolState, set *pool.Set, c *command.Command, a *resp.Args, request []byte) bool {
	w, step := to.worker, max(c.Step, 1)
	groups := w.copyGroups[:0]
	for i := 1; i < a.Len(); i += step {
		node, group := to.place(a.At(i))
		if !fit(set.Lane(node)) {
			return false
		}
		groups = append(groups, group)
	}
	w.copyGroups = groups
	const sent = -1
	for first, group := range groups {
		if group == sent {
			continue
		}
		n := 0
		for _, g := range groups[first:] {
			if g == group {
				n++
			}
		}
		node, _ := to.place(a.At(1 + first*step))
		lane := set.Lane(node)
		w.scratch = resp.AppendBulk(resp.AppendArray(w.scratch[:0], 1+n*step), a.At(0))
		lane.Append(w.scratch)
		for k := first; k < len(groups); k++ {
			if groups[k] == group {
				groups[k] = sent
				lane.Append(request[end(a, k*step):end(a, (k+1)*step)])
			}
		}
		lane.ExpectAs(classes[c.ID], copies{m}, 0)
	}
	return true
}

// copyTransaction sends a copy of a transaction that was sent. Its keys have to share a node of the mirror, too.
func (m *mirror) copyTransaction(s *Session, tx *transaction) {
	if m.cfg.ExcludeReads && !tx.writes(&s.worker.server.scripts) || !m.chance.hits() {
		return
	}
	to := m.target()
	if to == nil {
		m.count(false)
		return
	}
	node, _, ok := to.ownerOfAll(tx.batch)
	if !ok {
		m.count(false)
		return
	}
	lane := to.set(pool.Key{Database: s.db}).Lane(node)
	if !fit(lane) {
		m.count(false)
		return
	}
	tx.send(&s.worker.server.scripts, lane, tx.batch, copies{m}, 0)
	m.count(true)
}

// watchedCopy hands EXEC's reply on to the session, and has the transaction copied when it was carried out: whether it was depends on keys
// that were watched, which the mirror can't know.
type watchedCopy struct {
	session *Session
	tx      *transaction
	begun   bool
	done    bool // it was carried out
}

// Reply is part of pool.Owner.
func (x *watchedCopy) Reply(tag uint64, kind byte, b []byte, done bool) {
	if !x.begun {
		x.begun, x.done = true, kind == '*' && !bytes.HasPrefix(b, []byte("*-"))
	}
	if m := x.session.pool.mirror; done && x.done && m != nil {
		m.copyTransaction(x.session, x.tx)
	}
	x.session.Reply(tag, kind, b, done)
}

// Fail is part of pool.Owner.
func (x *watchedCopy) Fail(tag uint64, reason string, sent bool) { x.session.Fail(tag, reason, sent) }
