package proxy

import (
	"bytes"
	"strconv"
	"time"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// A hot key whose replies are too large to be kept here is copied to other nodes, and what is read of it is spread over them
// (docs/decisions/0005-hot-keys.md). A copy's name tells the value, so that it is never overwritten and need not be removed:
//
//	tracker --PTTL, STRLEN, GET k--> owner        publishes a Version: the name of the value that k has under this watch
//	tracker --PEXPIRE, SET name value PX--> node  each target tells when it has the copy
//	client  --GET k: GET name--> node             the one of those targets to which this loop has sent least
//
// The owner is a target like others, through its own copy. Copies lie in a database of their own and go away by themselves.
//
// A copy that is not there, or seems empty, is no answer: GET is answered with the value, which the process has as long as the version is the newest;
// other reads go to the owner. Until they are answered their client's writes of hot keys wait, or they would overtake.

// copyPrefix begins the names of all copies.
const copyPrefix = reservedPrefix + "copy:"

// spreads says, by the ID of a command, what kind of value it reads; 0: it is not to be read from a copy.
var spreads = func() []hotkey.Kind {
	list := make([]hotkey.Kind, command.Count())
	for id, is := range collapsible {
		if is {
			list[id] = hotkey.Restored
		}
	}
	for _, name := range []string{"get", "strlen", "getrange", "substr", "getbit", "bitcount", "bitpos", "bitfield_ro"} {
		list[command.Lookup([]byte(name)).ID] = hotkey.String
	}
	for _, name := range []string{"xrange", "xrevrange", "xlen", "type"} { // streams are not copied; what a key is tells nothing of its size
		list[command.Lookup([]byte(name)).ID] = 0
	}
	return list
}()

var getID = command.Lookup([]byte("get")).ID

// spread stands for a session whose read is at a copy.
type spread struct {
	session *Session
	copies  *hotkey.Copies
	key     *hotKey
	target  int
	began   bool // something of the reply has been handed on
}

// spreadRead sends a read of a hot key to one of its copies. It returns false if there is none to be read.
func (s *Session) spreadRead(k *hotKey, f *form, c *command.Command, owner int, a *resp.Args, request []byte) bool {
	ps := s.pool
	v := k.entry.Version()
	if v == nil || !ps.heat.near.copies || v.Kind != spreads[c.ID] || f.misses > fewMisses && f.misses*5 > f.spread ||
		s.watch.lane != nil || !s.inTurn() {
		return false
	}
	if !ps.heat.hears(owner, v.Watch.Lease) {
		return false
	}
	now := loop.Clock()
	if !k.entry.Holds(v.Watch, v.ReadAt, now, &ps.heat.near.bounds) {
		return false
	}
	set := ps.set(pool.Key{RESP3: s.resp3, Database: v.Database})
	target := ps.leastSent(v.Copies, now, set)
	if target < 0 {
		return false
	}
	v.Used.Store(now)
	node := int(v.Targets[target])
	lane := set.Lane(node)
	ps.heat.sent[node].now++
	k.copied++
	k.reads++
	f.spread++
	ps.stats.CopyReads++
	ps.stats.Requests[c.ID]++
	s.total++
	s.last = c
	seq := s.tail
	sl := s.open(c)
	s.inFlight++
	sl.again = s.keepApart(owner, request)
	s.atCopies++
	name, at := v.Name(target), int(a.Spans[1].Off)
	out := lane.Extend(len(request) + len(name) + 24)
	out = append(out, request[:headerOf(request, at)]...)
	out = resp.AppendBulk(out, name)
	out = append(out, request[end(a, 1):]...)
	lane.Commit(out)
	lane.ExpectAs(pool.Read, s.worker.takeSpread(s, v.Copies, k, target), tagOf(seq, 0))
	return true
}

const fewMisses = 50

// headerOf returns where the header of the argument begins whose text begins at off.
func headerOf(request []byte, off int) int { return bytes.LastIndexByte(request[:off], '$') }

// leastSent chooses among the targets that have the copy the one to which this loop has sent least of late. It returns -1 if none can be had.
func (ps *poolState) leastSent(c *hotkey.Copies, now int64, set *pool.Set) (best int) {
	best = -1
	var least float64
	for i := range c.Using() {
		if !c.Ready(i) || c.Resting(i, now) {
			continue
		}
		node := int(c.Targets[i])
		if !ps.topo.nodes[node].Up() {
			continue
		}
		of := &ps.heat.sent[node]
		if sent := of.mean + float64(of.now); best < 0 || sent < least {
			if la := set.Present(node); la != nil && la.Busy() {
				continue
			}
			best, least = i, sent
		}
	}
	return best
}

// sentTo is what this loop has sent to a node.
type sentTo struct {
	mean  float64 // of about the last second, until the last report
	now   uint32  // to copies, since then
	total uint64  // that the lanes had counted then
}

// countSent is called ten times a second while keys are hot.
func (h *heat) countSent() {
	ps := h.pool
	for len(h.sent) < len(ps.topo.nodes) {
		h.sent = append(h.sent, sentTo{})
	}
	for i := range h.sent {
		var total uint64
		for _, set := range ps.sets {
			if la := set.Present(i); la != nil {
				total += la.Requests()
			}
		}
		of := &h.sent[i]
		if total < of.total { // a lane was closed
			of.total = total
		}
		of.mean += float64(total-of.total) - of.mean/10
		of.now, of.total = 0, total
	}
}

// Reply hands the reply on, unless it says that there is no copy.
func (sp *spread) Reply(tag uint64, kind byte, b []byte, done bool) {
	s := sp.session
	if !sp.began && (kind == '-' || kind == '!' || done && isEmpty(kind, b)) {
		if !done {
			return // an error in pieces: its end will do
		}
		if kind == '-' || kind == '!' {
			if bytes.HasPrefix(b, []byte("-ERR")) || bytes.HasPrefix(b, []byte("-WRONGTYPE")) { // the request's own fault
				sp.ask(tag)
				return
			}
			sp.copies.Rest(sp.target, s.worker.loop.Now()+int64(time.Second))
			s.pool.copyRefused(b)
		}
		sp.missed(tag)
		return
	}
	sp.began = true
	if done {
		s.worker.giveSpread(sp)
	}
	s.Reply(tag, kind, b, done)
}

// isEmpty reports whether a reply may be that of a key which does not exist.
func isEmpty(kind byte, b []byte) bool {
	switch kind {
	case '_':
		return true
	case '$':
		return len(b) < 7 && (b[1] == '0' || b[1] == '-')
	case '*', '%', '~':
		return b[1] == '0' || b[1] == '-' || isNulls(b)
	case ':':
		return b[1] == '0' || b[1] == '-'
	}
	return false
}

// isNulls reports whether an array begins with a null, or with a 0, as HMGET and SMISMEMBER answer for what does not exist.
func isNulls(b []byte) bool {
	i := bytes.IndexByte(b, '\n') + 1
	return i < len(b) && (b[i] == '_' || b[i] == '$' && b[i+1] == '-' || b[i] == '*' && b[i+1] == '-' || b[i] == ':' && b[i+1] == '0')
}

// Fail is part of pool.Owner.
func (sp *spread) Fail(tag uint64, reason string, sent bool) {
	s := sp.session
	sp.copies.Rest(sp.target, s.worker.loop.Now()+int64(time.Second))
	if sp.began {
		s.worker.giveSpread(sp)
		s.Fail(tag, reason, true)
		return
	}
	sp.missed(tag)
}

// missed has a read answered in another way: the copy is gone.
func (sp *spread) missed(tag uint64) {
	s := sp.session
	sp.copies.Missed(sp.target)
	s.pool.stats.CopyMisses++
	s.pool.repopulate(sp.key.entry)
	sp.ask(tag)
}

// ask has a read answered without a copy: GET by the value, others by the owner.
func (sp *spread) ask(tag uint64) {
	s, c, k := sp.session, sp.copies, sp.key
	if s.conn.Closed() {
		s.worker.giveSpread(sp)
		return
	}
	sl := s.slot(uint32(tag))
	ag := s.kept(tag, sl)
	if sl.command.ID == getID {
		s.worker.giveSpread(sp)
		s.Reply(tag, '$', c.Value, true)
		return
	}
	for _, f := range k.forms {
		if bytes.Equal(f.request, s.outgoing(ag.request)) {
			f.misses++
		}
	}
	s.worker.giveSpread(sp)
	if mv := s.pool.topo.moving; mv != nil && s.anyMoves(mv, ag.request) {
		s.failNow(tag, errMoving)
		return
	}
	node := s.pool.find(k.entry.Name)
	if node == nowhere {
		s.failNow(tag, errNoRoute(k.entry.Name))
		return
	}
	ag.node = node
	s.set.Lane(node).SendAs(pool.Read, s.outgoing(ag.request), s, tag)
}

// overtakes reports whether a command may change a hot key, while the session has reads at copies that may have to go to the owner yet. Then its
// parser waits until they are answered.
func (s *Session) overtakes(c *command.Command) bool { return s.atCopies > 0 && mayChange[c.ID] }

func (w *worker) takeSpread(s *Session, c *hotkey.Copies, k *hotKey, target int) *spread {
	if n := len(w.freeSpreads); n > 0 {
		sp := w.freeSpreads[n-1]
		w.freeSpreads = w.freeSpreads[:n-1]
		*sp = spread{session: s, copies: c, key: k, target: target}
		return sp
	}
	return &spread{session: s, copies: c, key: k, target: target}
}

func (w *worker) giveSpread(sp *spread) {
	if sp.session.atCopies--; sp.session.atCopies < 0 {
		sp.session.atCopies = 0
	}
	*sp = spread{}
	if len(w.freeSpreads) < 1024 {
		w.freeSpreads = append(w.freeSpreads, sp)
	}
}

// wantsCopies asks for copies of a key whose replies are too large to be kept.
func (ps *poolState) wantsCopies(k *hotKey) {
	if !k.entry.Large.Load() && ps.heat.near.copies {
		k.entry.Large.Store(true)
		ps.repopulate(k.entry)
	}
}

// repopulate has the tracker look after the copies of a key.
func (ps *poolState) repopulate(e *hotkey.Entry) {
	if e.Populate.CompareAndSwap(false, true) {
		ps.onTracker(ps.find(e.Name), func(t *tracker) { e.Populate.Store(false); t.lookAfter(e) }, func() { e.Populate.Store(false) })
	}
}

// copiesOf reports whether a key is to be copied.
func (t *tracker) copiesOf(e *hotkey.Entry) bool {
	ps, near := t.pool, t.settings()
	return near.copies && (near.copyAll || e.Large.Load()) && ps.topo.moving == nil && ps.mayCopy(t.node)
}

// fetch asks for the value of a key that is watched now, its size first.
func (t *tracker) fetch(e *hotkey.Entry, w *hotkey.Watch) {
	t.askOf(question{kind: askLength, entry: e, watch: w}, "STRLEN")
}

// lengthIs is called with the reply to STRLEN, or to MEMORY USAGE for what is no string.
func (t *tracker) lengthIs(q *question, b []byte) {
	limit := t.settings().copyLargest
	n, err := resp.Int(b)
	switch {
	case err != nil && q.kind == askLength && bytes.HasPrefix(b, []byte("-WRONGTYPE")):
		t.askOf(question{kind: askUsage, entry: q.entry, watch: q.watch}, "MEMORY", "USAGE")
	case err != nil:
		q.entry.Because(string(text(b)))
	case n == 0:
	case n > int64(limit), q.kind == askUsage && n > int64(min(limit, mostDumped)):
		q.entry.Because("too large: " + strconv.FormatInt(n, 10) + " bytes")
	default:
		name, kind := "GET", askValue
		if q.kind == askUsage {
			name, kind = "DUMP", askDump
		}
		t.askOf(question{kind: kind, entry: q.entry, watch: q.watch}, name)
	}
}

// mostDumped is the memory of a hash, list, set or sorted set beyond which it is not copied: DUMP and RESTORE hold the nodes up.
const mostDumped = 64 << 10

// valueIs is called with the value. If nothing has been told of a change since the key was watched, it is what the key has.
func (t *tracker) valueIs(q *question, b []byte) {
	e, ps := q.entry, t.pool
	if resp.IsError(b) {
		e.Because(string(text(b)))
		return
	}
	td := t.tended[e]
	if td == nil || len(b) < 2 || b[0] != '$' || b[1] == '-' || !e.Stands(q.watch) || !t.copiesOf(e) {
		return
	}
	old := e.Version()
	v := &hotkey.Version{Watch: q.watch, ReadAt: q.sent}
	kind := hotkey.String
	if q.kind == askDump {
		kind = hotkey.Restored
	}
	places := ps.topo.placesFor(t.node)
	if old != nil && old.Kind == kind && bytes.Equal(old.Value, b) && old.Watch.Lease == q.watch.Lease && old.At(places) {
		v.Copies = old.Copies // the same value, as after EXPIRE: the copies are there
	} else {
		t.dropVersion(e) // first: it is of no use any more, and may be what there is no room for
		if ps.shared.tally.Held.Load()+int64(len(b)) > int64(t.settings().copyMemory) {
			e.Because("near_memory is used up")
			return
		}
		prefix := copyPrefix + strconv.Itoa(t.settings().database) + ":"
		v.Copies = hotkey.NewCopies(prefix, kind, bytes.Clone(b), ps.topo.seenAs(e.Name), places)
		v.Database = ps.sharedOf(t.node).copyDatabase()
	}
	v.Used.Store(loop.Clock())
	t.publish(e, td, v)
	t.lookAfter(e)
}

// publish says of copies that they are what a key has. The one before may be that of another tracker, of the node that had the key then: who takes a version
// out of its place takes its value off what is held, and nobody else does.
func (t *tracker) publish(e *hotkey.Entry, td *tended, v *hotkey.Version) {
	held := &t.pool.shared.tally.Held
	held.Add(int64(len(v.Value)))
	if before := e.SetVersion(v); before != nil {
		held.Add(-int64(len(before.Value)))
	}
	td.version = v
}

// dropVersion forgets the copies of a key that this tracker has published, unless another has followed on them. They go away by themselves.
func (t *tracker) dropVersion(e *hotkey.Entry) {
	td := t.tended[e]
	if td == nil || td.version == nil {
		return
	}
	if e.DropVersion(td.version) {
		t.pool.shared.tally.Held.Add(-int64(len(td.version.Value)))
	}
	td.version = nil
}

// lookAfter sees to it that as many nodes have the copy as should.
func (t *tracker) lookAfter(e *hotkey.Entry) {
	ps, now := t.pool, loop.Clock()
	td := t.tended[e]
	w := e.Watched(now)
	v := e.Version()
	switch {
	case td == nil || w == nil || !t.up || w.Lease != t.lease: // perhaps another node has the key by now
		return
	case v == nil || !e.Stands(v.Watch) || now >= v.Watch.Deadline:
		if t.copiesOf(e) && td.fetched != w {
			td.fetched = w
			t.fetch(e, w)
		}
		return
	}
	v.Use(max(v.Using(), hotkey.Spread(e.Share(), len(v.Targets))))
	for i := range v.Using() {
		if !v.Ready(i) && !v.Resting(i, now) && !t.isRefused(v, i, now) {
			v.Rest(i, now+int64(100*time.Millisecond)) // until it is known
			t.populate(v, i)
		}
	}
	if half := int64(ps.shared.cfg.HotKeys.CopyTTL / 2); now-td.refreshed >= half && now-v.Used.Load() < half {
		td.refreshed = now
		for i := range v.Using() {
			if v.Ready(i) {
				t.populate(v, i)
			}
		}
	}
}

// refusedFor is for how long a target is not sent what it has refused: it is older than the owner, and that will not change soon.
const refusedFor = int64(time.Minute)

// isRefused reports whether a target does not understand what the owner makes of a value, as it has said of this one or another.
func (t *tracker) isRefused(v *hotkey.Version, target int, now int64) bool {
	node := int(v.Targets[target])
	return v.Kind == hotkey.Restored && node < len(t.refuse) && now < t.refuse[node]
}

func (t *tracker) isToRefuse(node int, until int64) {
	for len(t.refuse) <= node {
		t.refuse = append(t.refuse, 0)
	}
	t.refuse[node] = until
}

// populating waits for a target to say that it has a copy.
type populating struct {
	tracker *tracker
	v       *hotkey.Version
	target  int
	lane    *pool.Lane
}

const (
	popExpires uint64 = iota
	popSets
)

// populate has a target keep the copy, and sends it if it does not have it.
func (t *tracker) populate(v *hotkey.Version, target int) {
	ps, p := t.pool, &populating{tracker: t, v: v, target: target}
	p.lane = ps.set(pool.Key{Database: v.Database}).Lane(int(v.Targets[target]))
	p.lane.Send(resp.AppendCommand(nil, "PEXPIRE", string(v.Name(target)), p.ttl()), p, popExpires)
}

// ttl is for how long a copy is to be kept, in milliseconds. It is for tidiness alone: when the key expires is known from the watch.
func (p *populating) ttl() string {
	return strconv.FormatInt(int64(p.tracker.pool.shared.cfg.HotKeys.CopyTTL/time.Millisecond), 10)
}

// Reply is part of pool.Owner.
func (p *populating) Reply(tag uint64, kind byte, b []byte, done bool) {
	if !done {
		return
	}
	ps, v := p.tracker.pool, p.v
	switch {
	case (kind == '-' || kind == '!') && !bytes.HasPrefix(b, []byte("-BUSYKEY")):
		v.Missed(p.target)
		v.Rest(p.target, ps.worker.loop.Now()+int64(time.Second))
		ps.stats.PopulateErrors++
		ps.copyRefused(b)
		if bytes.HasPrefix(b, []byte("-ERR DUMP payload")) {
			p.tracker.isToRefuse(int(v.Targets[p.target]), ps.worker.loop.Now()+refusedFor)
		}
	case tag == popExpires && string(b) == ":0\r\n":
		v.Missed(p.target)
		value := v.Value[bytes.IndexByte(v.Value, '\n')+1:]
		value = value[:len(value)-2]
		var request []byte
		if v.Kind == hotkey.String {
			request = resp.AppendCommand(nil, "SET", string(v.Name(p.target)), string(value), "PX", p.ttl())
		} else {
			request = resp.AppendCommand(nil, "RESTORE", string(v.Name(p.target)), p.ttl(), string(value))
		}
		p.lane.Send(request, p, popSets)
		ps.stats.Populates++
	default:
		v.Rest(p.target, 0)
		v.Arrived(p.target)
	}
}

// Fail is part of pool.Owner.
func (p *populating) Fail(uint64, string, bool) {
	ps := p.tracker.pool
	p.v.Missed(p.target)
	p.v.Rest(p.target, ps.worker.loop.Now()+int64(time.Second))
	ps.stats.PopulateErrors++
}

// forbidCopies is called when a client uses a database for itself: if it is that of copies, no more are made. Those that are there go away by themselves, and
// other Ringways may make some yet, so in that database they can't be named, and KEYS, SCAN and RANDOMKEY leave them out. In front of a Redis Cluster, which
// has one database, copies lie among the clients' keys.
func (s *Session) forbidCopies(db int) {
	for _, sp := range s.pool.shared.itself() {
		if sp.cfg.Cluster != nil || !sp.copiesIn(db) || sp.tally.CopiesForbidden() != "" {
			continue
		}
		why := "clients use database " + strconv.Itoa(db) + ", which is set aside for copies (copy_db)"
		sp.tally.ForbidCopies(why)
		s.worker.log.Warn("hot keys are not copied to other nodes", "pool", sp.cfg.Name, "reason", why)
	}
}

func isCopy(key []byte) bool { return bytes.HasPrefix(key, []byte(copyPrefix)) }

// refuseCopies refuses a request that names a copy: who could write to one could have others told what their key never was. It returns false if it names none.
func (s *Session) refuseCopies(c *command.Command, a *resp.Args) (refused bool) {
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	for _, at := range keys {
		if isCopy(a.At(at)) {
			s.last = c
			s.refuseQueued(metrics.BadCommand, errNamesCopy)
			return true
		}
	}
	return false
}
