package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringway/internal/loop"
	"ringway/pool/discover"
)

// registry is how the Ringways of a pool with `migration: warm` agree on the ring (docs/decisions/0004-warm-scaling.md). It lives on a
// goroutine of its own, which alone touches what is in it, and speaks with each node on a connection of its own.
//
//	none --attempt--> plain Y --stop, write--> hold Y>Z --attempt--> warm Y>Z --stop, write--> drain Y>Z --attempt--> plain Z
//	                     ^---------attempt--------+
//
// A Ringway that takes a mode which others may exclude makes an attempt; one that gives something up stops first and then says so.
type registry struct {
	pool  string
	id    string
	log   *slog.Logger
	t     timings
	opt   discover.Options
	loops warmLoops
	lease *lease

	ctx    context.Context
	cancel context.CancelFunc
	posts  chan func()
	ended  chan struct{}

	asks  string // the digest of the file's ring
	specs map[string]*ringSpec
	nodes map[string]*regNode // by name; those of the rings in use

	seq     uint64
	mode    mode // in the record
	serving mode // on the loops
	force   force
	ready   string
	swept   string
	walked  []string

	inForce   int64 // since when the ring of plain is in force
	held      int64 // when the hold began
	retryAt   int64 // no attempt before
	holdAt    int64 // no hold before
	prepareAt int64
	preparing bool
	turns     int    // of the loops to another mode
	walking   func() // ends the background mover
	said      map[string]int64

	members  atomic.Int64
	why      atomic.Pointer[string] // why nothing is served
	progress walkProgress
	kindNow  atomic.Int32
	lapses   atomic.Uint64
}

// warmLoops is what the registry has to say to the loops. Each call returns when it is so on all of them.
type warmLoops interface {
	address(name string) string // where a node is; "" if that is not known here
	serve(m mode, y, z *ringSpec)
	// holdStill stops what moves, and reports whether nothing of it is in flight any more.
	holdStill(m mode, y, z *ringSpec, limit time.Duration) bool
	// settle waits until no move is under way.
	settle(limit time.Duration)
	walkOptions() walkOptions
}

// lease says until when one may acknowledge. The fence of each lane asks it.
type lease struct {
	until atomic.Int64 // loop clock
	free  atomic.Bool  // nobody has asked for it yet: warm scaling was switched on a moment ago
}

// Valid reads the clock itself: the turn's is from before the read.
func (l *lease) Valid() bool { return l.free.Load() || loop.Clock() < l.until.Load() }

// regNode is a node as the registry sees it.
type regNode struct {
	name, address string
	conn          *discover.Conn
	came          bool
	last          string            // the record that was written
	unsure        []string          // those of which that is not known
	trusted       int64             // from when on it is believed
	fields        map[string]string // of its last answer
	peers         map[string]*peer
	answered      bool // in the last round
	shown         bool // with one's own record
	sent          int64
	since         int64 // since when it has answered without a break
	until         int64 // the lease by it
	err           error
}

// peer is another's record on a node.
type peer struct {
	record
	since int64 // when its seq was new
	age   int64 // how old it was in the last answer
}

func newRegistry(pool string, log *slog.Logger, opt discover.Options, loops warmLoops, l *lease, file *ringSpec) *registry {
	host, _ := os.Hostname()
	b := make([]byte, 8)
	rand.Read(b)
	r := &registry{
		pool: pool, log: log, t: warmTimings, opt: opt, loops: loops, lease: l,
		id:    fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(b)),
		posts: make(chan func(), 64), ended: make(chan struct{}),
		specs: map[string]*ringSpec{}, nodes: map[string]*regNode{}, said: map[string]int64{},
	}
	r.opt.Timeout = r.t.ask
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.ask(file)
	r.because("it has just been started")
	return r
}

// want has the registry ask for another ring. Any goroutine may call it.
func (r *registry) want(file *ringSpec) { r.post(func() { r.ask(file) }) }

func (r *registry) post(f func()) {
	select {
	case r.posts <- f:
	case <-r.ctx.Done():
	}
}

func (r *registry) ask(file *ringSpec) {
	r.asks = file.digest()
	r.specs[r.asks] = file
}

// because says why nothing is served.
func (r *registry) because(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	r.why.Store(&s)
}

func (r *registry) run() {
	defer close(r.ended)
	timer := time.NewTimer(0)
	for {
		select {
		case <-r.ctx.Done():
			return
		case f := <-r.posts:
			f()
			continue
		case <-timer.C:
		}
		r.beat(nil)
		r.step()
		timer.Reset(r.pause())
	}
}

// pause is how long to wait for the next round.
func (r *registry) pause() time.Duration {
	hasty := r.mode.kind == warmHold || r.mode.kind == warmDrain || r.mode.kind == warmPlain && r.asks != r.mode.y
	for _, m := range r.living() {
		hasty = hasty || r.mode.kind == warmPlain && m.Asks != r.mode.y
	}
	if hasty || r.mode.kind == warmNone && r.retryAt > 0 {
		return r.t.hasty
	}
	return r.t.heartbeat
}

// leave ends the registry, and takes its record off the nodes. The loops must have ended, or do without it.
func (r *registry) leave() {
	r.cancel()
	<-r.ended
	r.stopWalking()
	ctx, cancel := context.WithTimeout(context.Background(), r.t.ask)
	defer cancel()
	var left sync.WaitGroup
	for _, n := range r.nodes {
		left.Go(func() {
			if c, err := discover.Connect(ctx, r.opt, n.address); err == nil {
				c.Ask("HDEL", registryKey(r.pool), "m:"+r.id)
				c.Close()
			}
		})
	}
	left.Wait()
}

// follow makes the nodes those of the rings in use.
func (r *registry) follow() {
	wanted := map[string]string{}
	for _, d := range []string{r.asks, r.mode.y, r.mode.z, r.force.Mode.y, r.force.Mode.z} {
		if sp := r.specs[d]; sp != nil {
			for _, n := range sp.Nodes {
				wanted[n.Name] = n.Address
			}
		}
	}
	for name, address := range wanted {
		if at := r.loops.address(name); at != "" {
			address = at
		}
		n := r.nodes[name]
		if n != nil && n.address == address {
			continue
		}
		if n != nil {
			n.drop()
		}
		r.nodes[name] = &regNode{name: name, address: address, peers: map[string]*peer{}}
	}
	for name, n := range r.nodes {
		if _, ok := wanted[name]; !ok {
			if n.conn != nil {
				n.conn.Ask("HDEL", registryKey(r.pool), "m:"+r.id)
			}
			n.drop()
			delete(r.nodes, name)
		}
	}
}

func (n *regNode) drop() {
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}

// beat writes one's record to all nodes and reads what was there before, in one transaction each. With only, to some of them.
func (r *registry) beat(only func(*regNode) bool) {
	r.follow()
	r.seq++
	rec := toJSON(record{r.seq, r.mode, r.asks, r.ready, r.swept, r.walked, r.walk()})
	var asked sync.WaitGroup
	var list []*regNode
	for _, n := range r.nodes {
		if only == nil || only(n) {
			list = append(list, n)
			requests := r.requests(n, rec)
			asked.Go(func() { n.exchange(r, rec, requests) })
		}
	}
	asked.Wait()
	if r.serving.kind != warmNone && !r.lease.Valid() {
		r.lapse()
	}
	for _, n := range list {
		r.take(n, rec)
	}
	until := int64(0)
	for _, n := range r.nodes {
		until = max(until, n.until)
	}
	if r.serving.kind != warmNone {
		r.lease.until.Store(max(until, r.lease.until.Load()))
	}
	r.members.Store(int64(len(r.living()) + 1))
	for _, n := range r.nodes {
		var f force
		if json.Unmarshal([]byte(n.fields["force"]), &f) == nil && f.N > r.force.N {
			r.force = f
		}
		for field, value := range n.fields {
			if d, ok := strings.CutPrefix(field, "r:"); ok && r.specs[d] == nil {
				sp := new(ringSpec)
				if json.Unmarshal([]byte(value), sp) == nil && sp.digest() == d {
					r.specs[d] = sp
				}
			}
		}
	}
}

// walk is how far the background mover is, while it goes.
func (r *registry) walk() map[string][2]int64 {
	if r.walking == nil {
		return nil
	}
	return r.progress.all()
}

// requests is a round's transaction for a node.
func (r *registry) requests(n *regNode, rec string) [][]string {
	key := registryKey(r.pool)
	set := []string{"HSET", key, "m:" + r.id, rec}
	add := func(field, value string) {
		if n.fields[field] != value {
			set = append(set, field, value)
		}
	}
	rings := []string{r.asks, r.mode.y, r.mode.z}
	if r.mode.kind != warmNone && r.force.N > 0 {
		var f force
		if json.Unmarshal([]byte(n.fields["force"]), &f); f.N < r.force.N {
			add("force", toJSON(r.force))
			rings = []string{r.asks, r.force.Mode.y, r.force.Mode.z} // never without its rings: the node may have forgotten since
			for _, d := range rings {
				delete(n.fields, "r:"+d)
			}
		}
	}
	for _, d := range rings {
		if sp := r.specs[d]; sp != nil && n.fields["r:"+d] == "" {
			add("r:"+d, toJSON(sp))
		}
	}
	if n.came && loop.Clock() >= n.trusted {
		add("ok", "1")
	}
	list := [][]string{{"MULTI"}, {"HGETALL", key}, set}
	del := []string{"HDEL", key}
	for id, p := range n.peers {
		if p.age > 10*int64(r.t.grace) {
			del = append(del, "m:"+id)
		}
	}
	if len(del) > 2 {
		list = append(list, del)
	}
	return append(list, []string{"EXEC"})
}

// exchange asks a node. It runs beside those for the others.
func (n *regNode) exchange(r *registry, rec string, requests [][]string) {
	n.answered, n.shown = false, false
	n.sent = loop.Clock()
	n.err = func() error {
		if n.address == "" {
			return errors.New("nobody knows its address yet")
		}
		if n.conn == nil {
			c, err := discover.Connect(r.ctx, r.opt, n.address)
			if err != nil {
				return err
			}
			n.conn = c
			n.sent = loop.Clock()
		}
		n.unsure = append(n.unsure, rec)
		replies, err := n.conn.Exchange(requests...)
		if err != nil {
			n.drop()
			return err
		}
		exec := replies[len(replies)-1]
		if exec[0] != '*' {
			return errors.New(trimmed(exec))
		}
		list := elements(exec)
		if len(list) < 2 || list[1][0] == '-' || list[0][0] != '*' {
			return fmt.Errorf("it refuses the registry: %s", trimmed(slices.Concat(list...)))
		}
		flat := elements(list[0])
		n.fields = map[string]string{}
		for i := 0; i+1 < len(flat); i += 2 {
			n.fields[string(text(flat[i]))] = string(text(flat[i+1]))
		}
		n.answered = true
		return nil
	}()
	if !n.answered {
		n.since = 0
		n.unsure = n.unsure[max(0, len(n.unsure)-8):]
	}
}

func trimmed(b []byte) string { return strings.TrimSpace(strings.TrimPrefix(string(b), "-")) }

// take makes of an answer what it says of the others, of the node's memory and of one's own lease.
func (r *registry) take(n *regNode, rec string) {
	if !n.answered {
		return
	}
	now := loop.Clock()
	own, there := n.fields["m:"+r.id]
	n.shown = there && (own == n.last || slices.Contains(n.unsure, own))
	switch _, ok := n.fields["ok"]; {
	case !n.came:
		n.came = true
		if n.trusted = now; !ok {
			n.trusted += int64(r.t.grace)
		}
	case !n.shown: // flushed, restarted, evicted; or a record that was late has overwritten a younger one
		n.trusted = now + int64(r.t.grace)
		r.log.Warn("node has forgotten the Ringways of the pool", "pool", r.pool, "node", n.name)
	}
	n.last, n.unsure = rec, nil
	if n.since == 0 {
		n.since = now
	}
	for id := range n.peers {
		if _, ok := n.fields["m:"+id]; !ok {
			delete(n.peers, id)
		}
	}
	excluded := false
	for field, value := range n.fields {
		id, ok := strings.CutPrefix(field, "m:")
		if !ok || id == r.id {
			continue
		}
		var rec record
		if json.Unmarshal([]byte(value), &rec) != nil {
			continue
		}
		p := n.peers[id]
		if p == nil {
			p = &peer{since: now}
			n.peers[id] = p
		} else if p.Seq != rec.Seq {
			p.since = now
		}
		p.record, p.age = rec, n.sent-p.since
		excluded = excluded || r.counts(p) && (p.Mode.excludes(r.mode) || p.Mode.excludes(r.serving))
	}
	if !excluded {
		n.until = n.sent + int64(r.t.lease)
	}
}

// counts reports whether a record is that of one who may be alive.
func (r *registry) counts(p *peer) bool { return p.age < int64(r.t.grace) }

// living are the records of the others that may be alive, each the last that any node has.
func (r *registry) living() map[string]record {
	list := map[string]record{}
	for _, n := range r.nodes {
		for id, p := range n.peers {
			if have, ok := list[id]; r.counts(p) && (!ok || have.Seq < p.Seq) {
				list[id] = p.record
			}
		}
	}
	return list
}

// lapse is the end of one who was not heard of for a lease: it serves nothing, and begins anew.
func (r *registry) lapse() {
	ago := time.Duration(loop.Clock() - r.lease.until.Load())
	r.log.Error("lease ran out", "pool", r.pool, "for", ago.Round(time.Millisecond))
	r.lapses.Add(1)
	r.because("none of its nodes has answered this one for %v", r.t.lease)
	r.stopWalking()
	r.mode = mode{}
	r.ready, r.swept, r.walked = "", "", nil
	r.served(mode{})
	for _, n := range r.nodes {
		n.until = 0
	}
}

// served puts the loops under a mode.
func (r *registry) served(m mode) {
	r.loops.serve(m, r.specs[m.y], r.specs[m.z])
	r.noted(m)
}

func (r *registry) noted(m mode) {
	r.serving = m
	r.turns++
	r.kindNow.Store(int32(m.kind))
}

// attempt takes a mode that others may exclude: look, claim, note, serve. At a start nodes that don't answer are left out.
func (r *registry) attempt(m mode) bool {
	start := r.mode.kind == warmNone
	began, old, lapses := loop.Clock(), r.mode, r.lapses.Load()
	need := r.nodesOf(m, old)
	fail := func(format string, args ...any) bool {
		r.because(format, args...)
		r.retryAt = loop.Clock() + int64(r.t.hasty) + mathrand.Int64N(3*int64(r.t.hasty))
		if r.mode != old && r.lapses.Load() == lapses { // a lapse on the way, of one that was frozen, is an end of the old mode, too
			r.mode = old
			r.beat(nil)
		}
		return false
	}
	r.beat(nil)
	if r.mode != old { // the lease ran out meanwhile
		return false
	}
	there := need[:0]
	for _, n := range need {
		if n.answered {
			there = append(there, n)
		} else if !start {
			return fail("node %s does not answer: %v", n.name, n.err)
		}
	}
	if len(there) == 0 {
		return fail("none of its nodes answers")
	}
	for _, n := range there {
		if n.sent < n.trusted {
			return fail("node %s has no memory of its Ringways yet", n.name)
		}
		if by := r.excluder(n, m); by != "" {
			return fail("%s", by)
		}
	}
	if !r.allows(m) {
		return fail("%s is in force", r.force.Mode)
	}
	among := func(n *regNode) bool { return slices.Contains(there, n) }
	whole := func() string {
		if r.lapses.Load() != lapses { // what is in force may be something else by now
			return "its lease ran out"
		}
		for _, n := range there {
			if !n.answered || !n.shown {
				return "node " + n.name + " does not answer, or has forgotten"
			}
			if by := r.excluder(n, m); by != "" {
				return by
			}
		}
		return ""
	}
	r.mode = m
	r.beat(among)
	if why := whole(); why != "" {
		return fail("%s", why)
	}
	if f, changes := r.noting(m); changes {
		r.force = f
		r.beat(among)
		if why := whole(); why != "" {
			return fail("%s", why)
		}
	}
	until := int64(0)
	for _, n := range there {
		until = max(until, n.until)
	}
	if now := loop.Clock(); now-began > int64(r.t.attempt) || now >= until {
		return fail("its nodes answer too slowly")
	}
	if !start && r.serving.kind == warmNone {
		return fail("its lease ran out") // while it was claiming
	}
	r.retryAt = 0
	r.lease.until.Store(max(until, r.lease.until.Load()))
	r.served(m)
	r.lease.free.Store(false)
	return true
}

// nodesOf are the nodes of the rings of modes.
func (r *registry) nodesOf(modes ...mode) (list []*regNode) {
	for _, m := range modes {
		for _, d := range []string{m.y, m.z} {
			if sp := r.specs[d]; sp != nil {
				for _, sn := range sp.Nodes {
					if n := r.nodes[sn.Name]; n != nil && !slices.Contains(list, n) {
						list = append(list, n)
					}
				}
			}
		}
	}
	return list
}

// excluder says who excludes a mode on a node, "" if nobody does.
func (r *registry) excluder(n *regNode, m mode) string {
	for id, p := range n.peers {
		if r.counts(p) && p.Mode.excludes(m) {
			return fmt.Sprintf("%s is in mode %s", id, p.Mode)
		}
	}
	return ""
}

// allows reports whether a mode may follow what is in force.
func (r *registry) allows(m mode) bool {
	f := r.force
	switch {
	case f.N == 0:
		return m.kind == warmPlain
	case m.kind == warmPlain && f.Mode.kind == warmPlain:
		return m.y == f.Mode.y
	case m.kind == warmPlain:
		return r.serving == mode{warmDrain, f.Mode.y, f.Mode.z} && m.y == f.Mode.z
	case f.Mode.kind == warmPlain:
		return m.kind == warmWarm && f.Mode.y == m.y
	}
	return m.y == f.Mode.y && m.z == f.Mode.z
}

// noting is what is in force with a mode, and whether that is new.
func (r *registry) noting(m mode) (force, bool) {
	switch {
	case m.kind == warmPlain && r.force.Mode != m:
		return force{N: r.force.N + 1, Mode: m}, true
	case m.kind == warmWarm && r.force.Mode != m:
		return force{N: r.force.N + 1, Mode: m, Since: time.Now().UnixMilli()}, true
	}
	return r.force, false
}

// step does what is to be done next.
func (r *registry) step() {
	if loop.Clock() < r.retryAt {
		return
	}
	switch r.mode.kind {
	case warmNone:
		r.begin()
	case warmPlain:
		r.plain()
	case warmHold:
		r.holding()
	case warmWarm:
		r.warm()
	case warmDrain:
		r.draining()
	}
}

// begin claims what is in force.
func (r *registry) begin() {
	f := r.force
	answer, first := 0, true
	for _, n := range r.nodes {
		if n.answered {
			answer++
			first = first && n.sent >= n.trusted
		}
	}
	switch {
	case answer == 0:
		r.because("none of its nodes answers")
		return
	case f.N == 0 && !first:
		r.because("none is known yet, and %v have to pass to be sure", r.t.grace)
		return
	case f.N == 0:
		f = force{Mode: mode{kind: warmPlain, y: r.asks}}
	case r.specs[f.Mode.y] == nil || f.Mode.z != "" && r.specs[f.Mode.z] == nil:
		r.because("no node knows the ring that is in force")
		return
	}
	r.follow()
	m := f.Mode
	if m.kind == warmWarm {
		if r.over() {
			m.kind = warmDrain
		}
		for _, p := range r.living() {
			if p.Mode.kind == warmPlain && p.Mode.y == m.z {
				m.kind = warmDrain
			}
		}
	}
	if r.lease.free.Load() && (m.kind != warmPlain || m.y != r.asks) {
		r.lease.free.Store(false)
		r.served(mode{})
	}
	if !r.attempt(m) {
		return
	}
	r.inForce = loop.Clock()
	r.log.Info("mode taken", "pool", r.pool, "mode", m.String(), "members", r.members.Load())
	if m.kind != warmPlain || m.y != r.asks {
		r.log.Warn("the file's ring is not in force", "pool", r.pool, "in_force", m.String(), "asks", r.asks)
	}
	if m.kind == warmWarm {
		r.startWalking()
	}
}

// plain looks whether all want another ring, and it is prepared.
func (r *registry) plain() {
	y, z := r.mode.y, r.asks
	r.ready = ""
	if z == y {
		return
	}
	now := loop.Clock()
	if r.remind("known " + z) {
		r.log.Info("ring change known", "pool", r.pool, "from", y, "to", z)
	}
	living := r.living()
	change := y + ">" + z
	hold := mode{warmHold, y, z}
	swept, lowest, ready, joins := r.swept == change, true, true, false
	for id, p := range living {
		if p.Asks != z {
			if r.remind("waits " + id) {
				r.log.Warn("waiting for a Ringway that asks for another ring", "pool", r.pool, "member", id)
			}
			return
		}
		swept = swept || p.Swept == change
		lowest = lowest && r.id < id
		ready = ready && p.Ready == change
		joins = joins || p.Mode == hold
	}
	settled := now-r.inForce >= int64(r.t.settle)
	for _, n := range r.nodesOf(mode{y: y, z: z}) {
		settled = settled && n.since > 0 && now-n.since >= int64(r.t.settle) && now >= n.trusted
	}
	if settled {
		r.ready = change
	}
	switch {
	case !settled || r.preparing: // a sweep must not go on in the window
	case !swept && lowest && now >= r.prepareAt:
		r.prepare(change, r.specs[y], r.specs[z])
	case swept && (ready && now >= r.holdAt || joins): // all at once, though each has given up at another time
		m := hold
		r.log.Info("holding", "pool", r.pool, "from", y, "to", z)
		r.held = now
		if !r.loops.holdStill(m, r.specs[y], r.specs[z], r.t.hold) {
			r.served(r.mode)
			r.holdAt = loop.Clock() + int64(r.t.again)
			r.log.Warn("hold given up", "pool", r.pool, "member", "this one: requests are in flight still")
			return
		}
		r.mode = m
		r.noted(m)
		r.beat(nil)
	}
}

// prepare probes and sweeps, away from here.
func (r *registry) prepare(change string, y, z *ringSpec) {
	r.preparing = true
	turns := r.turns
	go func() {
		removed, err := r.sweep(y, z)
		r.post(func() {
			r.preparing = false
			if err != nil {
				r.prepareAt = loop.Clock() + int64(r.t.again)
				r.log.Error("change refused", "pool", r.pool, "why", err)
				return
			}
			r.log.Info("nodes swept", "pool", r.pool, "removed", removed)
			if r.turns == turns { // what was swept before something else was served says nothing
				r.swept = change
			}
		})
	}()
}

// holding waits for the others to hold.
func (r *registry) holding() {
	m, now := r.mode, loop.Clock()
	all, late := true, ""
	for id, p := range r.living() {
		if p.Mode.y != m.y || p.Mode.z != m.z || p.Mode.kind < warmHold {
			all, late = false, id
		}
	}
	if r.force.Mode.kind == warmWarm || all {
		if r.attempt(mode{warmWarm, m.y, m.z}) {
			r.log.Info("warm", "pool", r.pool, "held", time.Duration(loop.Clock()-r.held).Round(time.Millisecond))
			r.startWalking()
			return
		}
		if late = *r.why.Load(); r.mode != m {
			return
		}
	}
	if now-r.held > int64(r.t.hold) && r.force.Mode.kind == warmPlain && r.attempt(mode{kind: warmPlain, y: m.y}) {
		r.holdAt = loop.Clock() + int64(r.t.again)
		r.log.Warn("hold given up", "pool", r.pool, "member", late)
	}
}

// over reports whether the window of the change in force is over.
func (r *registry) over() bool {
	return time.Since(time.UnixMilli(r.force.Since)) >= r.loops.walkOptions().window
}

// warm looks whether the change is at its end.
func (r *registry) warm() {
	why := ""
	left := givers(r.specs[r.mode.y], r.specs[r.mode.z])
	all := map[string]bool{}
	for _, name := range r.walked {
		all[name] = true
	}
	drains := false
	for _, p := range r.living() {
		drains = drains || p.Mode.kind >= warmDrain
		for _, name := range p.Walked {
			all[name] = true
		}
	}
	left = slices.DeleteFunc(left, func(name string) bool { return all[name] })
	switch {
	case r.over():
		why = "the window is over"
	case len(left) == 0:
		why = "everything has been moved"
	case r.asks != r.mode.z:
		why = "the file asks for another ring"
	case r.force.Mode.kind == warmPlain:
		why = "the others have finished"
	default:
		return
	}
	r.log.Info("draining", "pool", r.pool, "why", why)
	r.stopWalking()
	m := mode{warmDrain, r.mode.y, r.mode.z}
	r.served(m)
	r.loops.settle(r.t.marker)
	r.mode = m
	r.beat(nil)
}

// draining waits until nobody moves anything any more.
func (r *registry) draining() {
	for _, p := range r.living() {
		if p.Mode.kind == warmHold || p.Mode.kind == warmWarm {
			return
		}
	}
	if m := (mode{kind: warmPlain, y: r.mode.z}); r.attempt(m) {
		r.inForce = loop.Clock()
		r.swept, r.walked = "", nil
		p := &r.progress
		r.log.Info("ring change finished", "pool", r.pool, "ring", m.y, "walked", p.moved.Load(), "lost", p.lost.Load())
	}
}

// remind reports whether it is time to say something again.
func (r *registry) remind(what string) bool {
	now := loop.Clock()
	if at, said := r.said[what]; said && now-at < int64(r.t.remind) {
		return false
	}
	r.said[what] = now
	return true
}
