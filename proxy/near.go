package proxy

import (
	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/pool"
)

// The reply to a read of a hot key may be kept, and told to others who ask the same, for as long as it is known that the key has not changed
// (docs/decisions/0005-hot-keys.md):
//
//	client A --GET k--> joint --> node                             <-- reply: to A, and kept
//	                    tracker --PING--> node                     <-- PONG: the node has told of no change before that
//	client B --GET k--> what is kept
//	client C --SET k--> gen++ --> node ...                         what is kept is of another gen: it is of no use any more
//
// The node tells of changes on the tracker's connection, for it has been asked for the key's time to live there (tracker.go). A joint notes under which
// watch it was put on its lane. What is kept may be told when the node has answered on the tracker's connection since, and not too long ago.

// near is what a form keeps of the last reply.
type near struct {
	reply  []byte // lent by the loop; nil: nothing is kept
	watch  *hotkey.Watch
	readAt int64
}

// nearSettings are those of a pool for one loop.
type nearSettings struct {
	on       bool
	bounds   hotkey.Bounds
	ofFields hotkey.Bounds // of what is read of hashes
	database int           // the one whose keys are kept
	largest  int           // reply
	memory   int           // for all replies

	copies      bool // keys may be copied to other nodes
	copyAll     bool // all of them, and nothing is kept here
	copyLargest int  // value
	copyMemory  int  // for all values, of the process
}

// boundsOf are those of a form. Fields of a hash may have a time to live of their own (Redis 7.4, Valkey 9), at the end of which the node does not tell of it
// before it has found out itself, and its encoding does not always show it: what is read of a hash is read again as often as the node has to be heard of.
func (n *nearSettings) boundsOf(f *form) *hotkey.Bounds {
	if f.fields {
		return &n.ofFields
	}
	return &n.bounds
}

// findNear takes over the configuration.
func (h *heat) findNear() {
	before := h.near
	cfg := &h.pool.shared.cfg.HotKeys
	p := h.pool.shared.cfg
	h.near = nearSettings{
		on:       cfg.Mode != "collapse" && cfg.MaxStaleness > 0 && hasOwners(p),
		bounds:   hotkey.Bounds{Staleness: cfg.MaxStaleness, Age: cfg.MaxAge},
		ofFields: hotkey.Bounds{Staleness: cfg.MaxStaleness, Age: min(cfg.MaxAge, cfg.MaxStaleness)},
		database: p.Database,
		largest:  cfg.NearMaxValue,
		memory:   cfg.NearMemory / len(h.pool.worker.server.workers),

		copies:      makesCopies(p),
		copyAll:     cfg.Mode == "copies",
		copyLargest: cfg.CopyMaxValue,
		copyMemory:  cfg.NearMemory,
	}
	if h.near.copyAll {
		h.near.largest = -1
	}
	if h.near == before {
		return
	}
	if h.pool.hot != nil {
		for _, k := range h.pool.hot.keys {
			h.pool.dropForms(k)
		}
	}
	for s := h.pool.worker.sessions; s != nil; s = s.next {
		if s.pool == h.pool {
			s.forbidCopies(s.db)
		}
	}
}

// tellNear answers a read with what is kept, if that may be told. inTurn says that no read of a hot key which this client sent before is at its node:
// that could be answered with something newer. Who watches keys is not told: what others have written to them before WATCH, and what is not known here
// yet, EXEC would not notice.
func (s *Session) tellNear(k *hotKey, f *form, c *command.Command, looked bool) bool {
	ps := s.pool
	if !ps.heat.hears(f.lane.Index, f.near.watch.Lease) || !k.entry.Holds(f.near.watch, f.near.readAt, loop.Clock(), ps.heat.near.boundsOf(f)) {
		return false
	}
	k.near++
	k.reads++
	ps.stats.Near++
	ps.stats.Requests[c.ID]++
	s.total++
	s.last = c
	if looked {
		ps.heat.detector.Kept()
		ps.heat.detector.AddBytes(k.hash, len(f.near.reply))
	}
	seq := s.tail
	s.open(c)
	s.inFlight++
	s.Reply(tagOf(seq, 0), f.near.reply[0], f.near.reply, true)
	return true
}

// hearing is whether all that a node has told was taken, in one turn of this loop.
type hearing struct {
	lease *hotkey.Lease
	turn  uint64
	is    bool
}

// hears reports whether all that a node has told was taken when this turn first asked. The lease bounds how old what is told may be, whatever happens. This
// makes it younger where processors are short: the tracker's loop may be waiting for one, with an invalidation in front of it, while this loop goes on telling.
func (h *heat) hears(node int, l *hotkey.Lease) bool {
	for len(h.hearings) <= node {
		h.hearings = append(h.hearings, hearing{})
	}
	of := &h.hearings[node]
	if turn := h.pool.worker.loop.Turns; of.lease != l || of.turn != turn {
		*of = hearing{lease: l, turn: turn, is: l.Heard == nil || l.Heard()}
	}
	return of.is
}

// inTurn reports whether what is kept may be told to the session: no read of a hot key that it sent before is at the node still, for that may
// bring something newer.
func (s *Session) inTurn() bool {
	if s.head == s.tail {
		return true
	}
	if s.seenHot != s.pool.hot { // what it sent before these were hot counts as well
		s.seenHot, s.sentHot = s.pool.hot, s.tail
	}
	return int32(s.head-s.sentHot) >= 0
}

// sendsHot notes that the request which is taken next goes to a node, and may be for a hot key.
func (s *Session) sendsHot() { s.seenHot, s.sentHot = s.pool.hot, s.tail+1 }

// wants asks for what is missing to keep replies: a watch, or a lease that is newer than the reply.
func (ps *poolState) wants(k *hotKey) {
	e := k.entry
	k.reads++
	now := ps.worker.loop.Now()
	if e.Watched(now) != nil || e.NotYet.Load() > now || !e.Wanted.CompareAndSwap(false, true) {
		return
	}
	e.Reads.Add(k.reads)
	k.reads = 0
	ps.onTracker(ps.find(e.Name), func(t *tracker) { t.watch(e) }, func() { e.Wanted.Store(false) })
}

// adopts is called when a joint is put on its lane: its reply will be kept if the key is watched, and what is kept now is of no use.
func (j *joint) adopts() {
	f := j.form
	if !f.keeps {
		return
	}
	e, now := f.key.entry, j.pool.worker.loop.Now()
	if w := f.near.watch; f.near.reply != nil && e.Stands(w) && now < w.Deadline && now-f.near.readAt < int64(j.pool.heat.near.boundsOf(f).Age) {
		return // it waits for its PONG, or the next heartbeat: a younger one would wait longer
	}
	j.watch = e.Watched(now)
}

// gather takes the next bytes of a reply that is to be kept.
func (j *joint) gather(kind byte, b []byte) {
	h := j.pool.heat
	if kind == '-' || kind == '!' || h == nil {
		j.watch = nil
		return
	}
	if j.size > h.near.largest {
		j.watch = nil
		j.pool.wantsCopies(j.form.key)
		return
	}
	j.kept = j.pool.worker.loop.Append(j.kept, b)
}

// keep keeps a joint's reply.
func (f *form) keep(j *joint) {
	ps := j.pool
	h := ps.heat
	if w := f.key.entry.Watched(loop.Clock()); w != nil && ps.worker.adoptsLate {
		j.watch = w
	}
	if h == nil || !f.key.entry.Stands(j.watch) {
		return
	}
	ps.dropNear(f)
	if h.nearBytes+cap(j.kept) > h.near.memory {
		ps.wantsCopies(f.key)
		return
	}
	f.near = near{reply: j.kept, watch: j.watch, readAt: loop.Clock()}
	h.nearBytes += cap(j.kept)
	j.kept = nil
	if l := j.watch.Lease; l.Wanted.CompareAndSwap(false, true) {
		ps.onTracker(f.lane.Index, (*tracker).confirm, func() { l.Wanted.Store(false) })
	}
}

// dropForms forgets what is kept of a key, and has its reads begin anew. What is under way is not kept.
func (ps *poolState) dropForms(k *hotKey) {
	k.putAll()
	for _, f := range k.forms {
		ps.dropNear(f)
		f.keeps = false
	}
	k.forms = nil
}

// dropNear forgets what a form keeps.
func (ps *poolState) dropNear(f *form) {
	if f.near.reply == nil {
		return
	}
	if ps.heat != nil {
		ps.heat.nearBytes -= cap(f.near.reply)
	}
	ps.worker.loop.Release(f.near.reply)
	f.near = near{}
}

// hasOwners reports whether there is one node that tells what a key holds.
func hasOwners(cfg *config.Pool) bool {
	return cfg.ReadPolicy != "replica" && cfg.Distribution != "random"
}

// keepsFor reports whether replies to requests on a lane may be kept: it leads to the key's owner, and to the database whose keys are watched.
func (ps *poolState) keepsFor(k *hotKey, lane *pool.Lane) bool {
	h := ps.heat
	return h != nil && h.near.on && lane.Key().Database == h.near.database && k.entry != nil && lane.Index == ps.find(k.entry.Name) &&
		hasOwners(ps.configOf(lane.Index))
}

// followForms is called when nodes or settings have changed: the owner of a key may be read as a replica now, or the other way round.
func (ps *poolState) followForms() {
	if ps.hot == nil {
		return
	}
	for _, k := range ps.hot.keys {
		for _, f := range k.forms {
			if f.keeps = ps.keepsFor(k, f.lane); !f.keeps {
				ps.dropNear(f)
			}
		}
	}
}
