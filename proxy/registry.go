package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
