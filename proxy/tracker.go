package proxy

import (
	"bytes"
	"time"

	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/loop"
	"ringway/pool"
	"ringway/resp"
)

// tracker is the connection on which a node tells of changes of hot keys, one for the process and node: CLIENT TRACKING, in RESP3, in its
// default mode (https://redis.io/docs/latest/develop/reference/client-side-caching/). What the node writes to it comes in the order in which things happened there: a reply is behind the pushes for
// all changes before it. It lives on one loop; the others post what they want of it.
//
// It is opened for the first hot key of the node, and closed a minute after the last.
type tracker struct {
	pool     *poolState
	node     int
	lane     *pool.Lane
	lease    *hotkey.Lease // of the connection that is now
	up       bool          // the node has agreed to tell
	asked    []question    // asked[next:] are to be answered, in this order
	next     int
	tended   map[*hotkey.Entry]*tended
	beat     *loop.Timer
	watching bool    // something was watched at the last heartbeat
	idle     int64   // since when there has been no hot key
	unable   string  // why the node does not tell
	askAgain int64   // until when it is not asked again
	refuse   []int64 // by node, until when it is sent nothing of what DUMP says here: it does not understand it
}

// question is what was asked of the node.
type question struct {
	kind  questionKind
	sent  int64 // clock, before it was sent
	gen   uint64
	entry *hotkey.Entry
	watch *hotkey.Watch
}

type questionKind uint8

const (
	askHello questionKind = iota
	askTracking
	askEvict // not to be closed for want of memory; a node may refuse it
	askNothing
	askPing
	askEncoding
	askTTL
	askLength
	askUsage
	askValue
	askDump
)

// tended is what the tracker knows of a key that was to be watched.
type tended struct {
	mean    float64 // reads of a version, moving average
	watches int
	credit  float64 // how many times it may be watched anew now
	at      int64   // when that was last reckoned
	pause   time.Duration
	waits   bool // for the connection
	fields  bool // it is a hash whose fields have a time to live of their own: nobody tells when that is over

	fetched   *hotkey.Watch   // the last under which the value was asked for
	version   *hotkey.Version // the last that this tracker has published
	refreshed int64           // when the copies' time to live was last put off
}

const (
	trackerIdle   = int64(time.Minute)
	holdPause     = int64(time.Millisecond) // while a key is written
	firstPause    = 500 * time.Millisecond  // of a key that is not worth it
	longestPause  = 8 * time.Second         //
	unablePause   = int64(30 * time.Second) // of a node that can't track, until it is asked again
	fewestWatches = 4                       // before a key is judged
	burst         = 3                       // times that a key may be watched anew at once
	slackOfTTL    = int64(time.Millisecond) // that is taken off a key's time to live
)

var (
	helloRequest    = resp.AppendCommand(nil, "HELLO", "3")
	trackingRequest = resp.AppendCommand(nil, "CLIENT", "TRACKING", "ON")
	noEvictRequest  = resp.AppendCommand(nil, "CLIENT", "NO-EVICT", "ON")
)

// onTracker has f run with the tracker of a node, on its loop. otherwise runs if there is none to be had.
func (ps *poolState) onTracker(node int, f func(*tracker), otherwise func()) {
	if node < 0 {
		otherwise()
		return
	}
	home := ps.worker.server.workers[node%len(ps.worker.server.workers)]
	index := ps.shared.index // which this loop may exchange before the other one runs this
	run := func() {
		if index >= len(home.pools) {
			otherwise()
			return
		}
		at := home.pools[index]
		if t := at.tracker(node); t != nil {
			f(t)
		} else {
			otherwise()
		}
	}
	if home == ps.worker {
		home.loop.Defer(run)
	} else if !home.loop.Post(run) {
		otherwise()
	}
}

// tracker returns the tracker of a node, which is opened if there is none; nil where none may be.
func (ps *poolState) tracker(node int) *tracker {
	if ps.heat == nil || ps.left || node >= len(ps.topo.used) || !ps.topo.used[node] {
		return nil
	}
	for len(ps.trackers) <= node {
		ps.trackers = append(ps.trackers, nil)
	}
	t := ps.trackers[node]
	if t == nil {
		t = &tracker{pool: ps, node: node, lease: hotkey.NewLease(), tended: map[*hotkey.Entry]*tended{}, idle: ps.worker.loop.Now()}
		t.beat = loop.NewTimer(t.heartbeat)
		t.lane = ps.set(pool.Key{Database: ps.shared.cfg.Database}).NewLane(node)
		t.lane.Listen(pool.Listener{Push: t.receive, Ping: func() { t.ping() }, Up: t.begin, Down: t.lost})
		ps.trackers[node] = t
		t.lane.Open()
		ps.worker.loop.SetTimer(t.beat, t.interval())
	}
	return t
}

func (t *tracker) settings() *nearSettings { return &t.pool.heat.near }

// interval is how often the node is asked for a sign of life.
func (t *tracker) interval() time.Duration {
	return max(t.settings().bounds.Staleness/3, time.Millisecond)
}

// begin is called when the connection is there.
func (t *tracker) begin() {
	t.asked, t.next = t.asked[:0], 0
	t.introduce()
}

// introduce asks the node to tell of changes.
func (t *tracker) introduce() {
	t.lease, t.unable = hotkey.NewLease(), ""
	fd := t.lane.FD()
	t.lease.Heard = func() bool { return loop.Quiet(fd) }
	t.ask(question{kind: askHello}, helloRequest)
	t.ask(question{kind: askTracking}, trackingRequest)
	t.ask(question{kind: askEvict}, noEvictRequest)
}

// ask sends a request. What is asked when is read from the clock before it is sent: the lease is counted from then.
func (t *tracker) ask(q question, request []byte) {
	q.sent = loop.Clock()
	if t.next > 64 && t.next*2 > len(t.asked) {
		t.asked = t.asked[:copy(t.asked, t.asked[t.next:])]
		t.next = 0
	}
	t.asked = append(t.asked, q)
	t.lane.Append(request)
}

// askOf sends a command about the key of a question.
func (t *tracker) askOf(q question, command ...string) {
	w := t.pool.worker
	w.scratch = resp.AppendCommand(w.scratch[:0], append(command, string(t.pool.topo.seenAs(q.entry.Name)))...)
	t.ask(q, w.scratch)
}

// lost is called when the connection is gone: nobody tells of changes any more.
func (t *tracker) lost(string) {
	t.up = false
	t.lease.End()
	t.asked, t.next = t.asked[:0], 0
	now := t.pool.worker.loop.Now()
	for e, td := range t.tended {
		e.Void()
		if td.waits = e.Wanted.Load(); !td.waits {
			e.NotYet.Store(now + holdPause)
		}
	}
}

// watch has a key watched, if that is worth it, and the node is its owner still: it may have waited for the connection, or for this loop.
func (t *tracker) watch(e *hotkey.Entry) {
	ps, now := t.pool, t.pool.worker.loop.Now()
	if t.hasDoneWith(e) {
		t.forget(e)
		return
	}
	td := t.tended[e]
	if td == nil {
		td = &tended{mean: 4 * float64(ps.shared.cfg.HotKeys.MinReads), credit: burst, at: now, pause: firstPause}
		t.tended[e] = td
	}
	switch {
	case t.unable != "" && now < t.askAgain:
		t.putOff(e, t.askAgain)
		return
	case t.unable != "" && t.lane.Usable():
		td.waits = true
		t.introduce()
		return
	case !t.up:
		td.waits = true
		return
	}
	if ps.topo.goesSlowly() { // keys go to another node one by one, and each loop has its own clock for that
		t.putOff(e, now+int64(firstPause))
		return
	}
	if until, not := t.isDear(e, td, now); not {
		t.putOff(e, until)
		return
	}
	gen, ok := e.Begin()
	if !ok {
		t.putOff(e, now+holdPause)
		return
	}
	td.credit--
	td.watches++
	t.askOf(question{kind: askEncoding, entry: e}, "OBJECT", "ENCODING")
	t.askOf(question{kind: askTTL, gen: gen, entry: e}, "PTTL")
}

// hasDoneWith reports whether a key is hot no more, or another node's.
func (t *tracker) hasDoneWith(e *hotkey.Entry) bool {
	return e.Retired() || t.pool.find(e.Name) != t.node
}

// forget is the one way in which a tracker parts with a key, and with what it has published of it. Who wants it watched asks the key's node from now on.
func (t *tracker) forget(e *hotkey.Entry) {
	t.dropVersion(e)
	delete(t.tended, e)
	e.Wanted.Store(false)
}

// isDear says of a key that it is not worth to be watched until some time: it is not read often enough for each time that it changes, or
// it was watched anew too often already.
func (t *tracker) isDear(e *hotkey.Entry, td *tended, now int64) (until int64, is bool) {
	cfg := &t.pool.shared.cfg.HotKeys
	td.mean += (float64(e.Reads.Swap(0)) - td.mean) / 4
	if td.watches >= fewestWatches && td.mean < float64(cfg.MinReads) {
		e.Because("written too often")
		until = now + int64(td.pause)
		td.pause = min(2*td.pause, longestPause)
		td.mean, td.watches = float64(cfg.MinReads), fewestWatches-1
		return until, true
	}
	rate := float64(cfg.Validations)
	td.credit = min(burst, td.credit+float64(now-td.at)/1e9*rate)
	td.at = now
	if td.credit < 1 {
		return now + int64((1-td.credit)/rate*1e9), true
	}
	if td.mean >= 2*float64(cfg.MinReads) {
		td.pause = firstPause
		e.Why.Store(nil)
	}
	return 0, false
}

// putOff says that a key can't be watched before some time.
func (t *tracker) putOff(e *hotkey.Entry, until int64) {
	e.NotYet.Store(until)
	e.Wanted.Store(false)
}

// confirm renews the lease: what was read until now may be told when it is answered.
func (t *tracker) confirm() {
	t.lease.Wanted.Store(false) // first: who asks from now on was not meant
	if t.up {
		t.ping()
	}
}

// ping asks for a sign of life. A node of a Redis Cluster that has been replaced, or finds itself cut off, answers PING as ever while others take writes for its
// keys, of which it may not hear: it is asked about one of them, which it then refuses to speak of.
func (t *tracker) ping() {
	if t.pool.sharedOf(t.node).cfg.Cluster == nil {
		t.ask(question{kind: askPing}, pingRequest)
		return
	}
	for e := range t.tended {
		t.askOf(question{kind: askPing, entry: e}, "EXISTS")
		return
	}
	t.ask(question{kind: askNothing}, pingRequest)
}

// heartbeat renews the lease while something is kept under it, and forgets keys that are hot no more.
func (t *tracker) heartbeat() {
	ps, now := t.pool, loop.Clock()
	if ps.trackers[t.node] != t {
		return
	}
	if ps.heat == nil || now-t.idle > trackerIdle {
		t.close()
		return
	}
	watched := false
	for e, td := range t.tended {
		if t.hasDoneWith(e) {
			t.forget(e)
			continue
		}
		if td.version != nil && !t.copiesOf(e) {
			t.dropVersion(e)
			td.fetched = nil
		}
		if e.Watched(now) != nil {
			watched = true
			t.lookAfter(e)
		}
	}
	if len(t.tended) > 0 {
		t.idle = now
	}
	t.watching = watched
	if t.up && watched {
		if t.next < len(t.asked) && now-t.asked[t.next].sent > 3*int64(t.settings().bounds.Staleness) {
			t.lane.Move() // it is silent
		} else {
			t.ping()
		}
	}
	ps.worker.loop.SetTimer(t.beat, t.interval())
}

// receive takes a reply, or a push, in the order in which the node has sent them.
func (t *tracker) receive(b []byte) {
	if b[0] == '>' {
		t.pushed(b)
		return
	}
	if t.next == len(t.asked) {
		return // an error that nothing had asked for: the connection will be closed
	}
	q := t.asked[t.next]
	t.next++
	if q.kind >= askPing && !resp.IsError(b) { // a node that is loading, or runs a script for too long, knows of nothing
		t.lease.Answered(q.sent)
	}
	switch q.kind {
	case askHello:
		if resp.IsError(b) { // in RESP2 it would agree to tell, and not do it
			t.cannot(string(text(b)))
		}
	case askTracking:
		if t.unable == "" && resp.IsError(b) {
			t.cannot(string(text(b)))
		}
		if t.unable != "" {
			return
		}
		t.up = true
		for e, td := range t.tended {
			if td.waits {
				td.waits = false
				t.watch(e)
			}
		}
	case askEncoding:
		if td := t.tended[q.entry]; td != nil {
			td.fields = bytes.HasSuffix(text(b), []byte("ex"))
		}
	case askTTL:
		t.watchBegins(&q, b)
	case askLength, askUsage:
		t.lengthIs(&q, b)
	case askValue, askDump:
		t.valueIs(&q, b)
	}
}

// cannot is called when the node does not track: it is too old, or it is forbidden.
func (t *tracker) cannot(why string) {
	t.unable, t.askAgain = why, t.pool.worker.loop.Now()+unablePause
	t.pool.worker.log.Info("hot keys are not kept: the node does not tell of changes", "pool", t.pool.shared.cfg.Name,
		"node", t.pool.topo.name(t.node), "answer", why)
	reason := "the node can't tell of changes: " + why
	now := t.pool.worker.loop.Now()
	for e, td := range t.tended {
		td.waits = false
		e.Because(reason)
		t.putOff(e, now+unablePause)
	}
}

// watchBegins is called with the reply to PTTL.
func (t *tracker) watchBegins(q *question, b []byte) {
	ms, err := resp.Int(b)
	now := t.pool.worker.loop.Now()
	if err != nil { // MOVED, LOADING, NOPERM ...
		q.entry.Because(string(text(b)))
		t.putOff(q.entry, now+int64(firstPause))
		return
	}
	if td := t.tended[q.entry]; td == nil || td.fields {
		q.entry.Because("its fields have a time to live")
		t.putOff(q.entry, now+int64(longestPause))
		return
	}
	deadline := q.sent + int64(t.settings().bounds.Age) // it is asked again then, for SWAPDB changes it without a word
	if ms >= 0 {
		deadline = min(deadline, q.sent+ms*int64(time.Millisecond)-slackOfTTL)
	}
	if ms == -2 && t.pool.topo.slots { // if its slot moves, it may be made at the next node without a word of this one
		deadline = min(deadline, q.sent+int64(t.settings().bounds.Staleness))
	}
	if !q.entry.Publish(q.gen, deadline, t.lease) {
		t.putOff(q.entry, now+holdPause)
		return
	}
	t.pool.stats.Validations++
	q.entry.Wanted.Store(false)
	t.lookAfter(q.entry)
}

// pushed takes what the node says unasked: keys that have changed, or null for all.
func (t *tracker) pushed(b []byte) {
	n, rest, err := resp.ArrayLen(b)
	if err != nil || n != 2 {
		return
	}
	name, rest, err := resp.Element(rest)
	if err != nil || string(text(name)) != "invalidate" {
		return
	}
	keys, rest, err := resp.ArrayLen(rest)
	if err != nil || keys < 0 {
		for e := range t.tended {
			t.voided(e)
		}
		return
	}
	for range keys {
		var key []byte
		if key, rest, err = resp.Element(rest); err != nil {
			return
		}
		t.changed(text(key))
	}
}

// changed is called with a key as the node calls it.
func (t *tracker) changed(key []byte) {
	r := t.pool.topo.routes
	if r == nil || !r.strips {
		t.changedAs(key)
		return
	}
	for _, rt := range r.leading[t.node] { // clients may have several names for it
		name := key
		if rt.cut > 0 {
			name = append([]byte(rt.prefix), key...)
		}
		t.changedAs(name)
	}
}

func (t *tracker) changedAs(name []byte) {
	hot := t.pool.hot
	if hot == nil {
		return
	}
	if i := hot.set.Find(xxhash.Sum64(name), name); i >= 0 && hot.keys[i].entry != nil {
		t.voided(hot.keys[i].entry)
	}
}

func (t *tracker) voided(e *hotkey.Entry) {
	e.Void()
	e.Pushes.Add(1)
	t.pool.stats.Invalidations++
}

// followTrackers is called when nodes have changed.
func (ps *poolState) followTrackers() {
	for node, t := range ps.trackers {
		switch {
		case t == nil:
			continue
		case ps.heat == nil || ps.left || !ps.topo.used[node] || t.lane.Key().Database != ps.shared.cfg.Database:
			t.close()
			continue
		case t.lane.Stale():
			t.lane.Move()
		}
		for e := range t.tended {
			if t.hasDoneWith(e) {
				t.forget(e)
			}
		}
	}
	if ps.heat != nil {
		ps.heat.countSent()
	}
}

// close gives the connection up.
func (t *tracker) close() {
	ps := t.pool
	ps.trackers[t.node] = nil
	t.lost("")
	for e := range t.tended {
		t.forget(e)
	}
	ps.worker.loop.StopTimer(t.beat)
	ps.set(t.lane.Key()).DiscardLater(t.lane)
}
