package proxy

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/tracing"
	"ringway/resp"
)

// The slow log of a pool: requests that took long from the turn that read them to the turn that had their whole reply. Each loop has its own last ones; who
// asks gets those of all, the latest first.
//
//	count --took >= slowFrom--> lookAt --> slow --> slowlog.entries     recall.go has the arguments, the lane (pool.Clock.Lane) the phases
//	                               \--> Session.tardies --Flushed--> entry.writing

// slowlog is what one loop has of one pool.
type slowlog struct {
	entries []slowRequest // the last ones, in a ring
	next    int           // the place of the next
	busy    int64         // until when those that were noted count, see takes
}

// slowRequest is an entry. Its memory is used again.
type slowRequest struct {
	id      int64
	ended   time.Time // its reply was here
	took    int64     // nanoseconds, as the phases are
	queued  int64     // until it was written to the node
	atNode  int64     // from then on
	writing int64     // until the client's system had the reply; -1: not yet, or never
	node    string    // that has answered, of several the last; "": none, or it is not known
	client  string
	name    string // of the client
	command *command.Command
	args    []byte // cut short, as bulks
	count   int    // of args
	known   bool   // args are the request's, and not words about it
}

// tardy is a request that is slow, or told to a collector, and whose reply is not written yet.
type tardy struct {
	entry  *slowRequest // in the slow log; nil: it is not there
	id     int64        // of the entry, for its memory is used again
	at     int64        // when the reply came
	end    uint64       // of the client's bytes, behind the reply; 0: it is not there yet
	seq    uint32
	traced *tracing.Request
}

// slowTerms are what is slow, and how many of them are remembered.
type slowTerms struct {
	threshold time.Duration // config.NoSlowlog: nothing is
	length    int
}

// findSlow takes over what the configuration calls slow.
func (ps *poolState) findSlow() {
	ps.callSlow(slowTerms{ps.shared.cfg.SlowThreshold, ps.shared.cfg.SlowLength})
}

// callSlow has that called slow from now on. The latest entries stay.
func (ps *poolState) callSlow(terms slowTerms) {
	ps.slowTerms = terms
	sm, remembered, wanted := &ps.worker.samples, ps.remembers, terms.threshold >= 0 && terms.length > 0
	ps.remembers = wanted || sm.tracer != nil && sm.keys
	ps.slowest = math.MaxInt64
	if wanted {
		ps.slowest = int64(terms.threshold)
	}
	if ps.slowFrom = ps.slowest; sm.tracer != nil {
		ps.slowFrom = 0
	}
	if ps.remembers && !remembered {
		for s := ps.worker.sessions; s != nil; s = s.next {
			if s.pool == ps { // nothing was remembered until now
				s.forgetPlaces()
			}
		}
	}
	if !wanted {
		ps.slow = nil
		return
	}
	if ps.slow == nil {
		ps.slow = &slowlog{}
	}
	ps.slow.resize(terms.length)
}

// Redis' own settings of its slow log, which are Ringway's here.
const (
	slowerThan   = "slowlog-log-slower-than" // microseconds; -1: nothing is
	slowMaxLen   = "slowlog-max-len"
	mostSlowKept = 100_000 // as in the configuration
)

// parameter is what CONFIG GET tells.
func (terms slowTerms) parameter(name string) string {
	if name == slowMaxLen {
		return strconv.Itoa(terms.length)
	}
	if terms.threshold < 0 {
		return "-1"
	}
	return strconv.FormatInt(terms.threshold.Microseconds(), 10)
}

// set takes over what CONFIG SET says, unless that is about something else, or nothing that a node would take.
func (terms *slowTerms) set(name string, value []byte) {
	n, ok := integer(value)
	switch {
	case ok && name == slowerThan && n == -1:
		terms.threshold = config.NoSlowlog
	case ok && name == slowerThan && n >= 0 && int64(n) <= math.MaxInt64/1000:
		terms.threshold = time.Duration(n) * time.Microsecond
	case ok && name == slowMaxLen && n >= 0:
		terms.length = min(n, mostSlowKept)
	}
}

// lanesTell reports whether lanes have to know when requests were written, though nobody counts it.
func (ps *poolState) lanesTell() bool { return ps.slow != nil || ps.worker.samples.tracer != nil }

func (l *slowlog) resize(n int) {
	if len(l.entries) == n {
		return
	}
	last := l.last(n)
	slices.Reverse(last)
	l.entries = make([]slowRequest, n)
	for i := range l.entries {
		l.entries[i].id = -1
	}
	l.next = copy(l.entries, last) % n
}

// last returns copies of the latest n entries at most, the latest first.
func (l *slowlog) last(n int) (list []slowRequest) {
	for i := range l.entries {
		e := &l.entries[(l.next-1-i+2*len(l.entries))%len(l.entries)]
		if e.id < 0 || len(list) == n {
			break
		}
		c := *e
		c.args = slices.Clone(e.args)
		list = append(list, c)
	}
	return list
}

// A loop notes so many slow requests of a pool at once, or as many as its log has room for, and one in so many nanoseconds from then on. When
// nearly all requests are slow there are too many of them: to note each would double what they cost, only to be overwritten within the
// millisecond. They are counted, and have their numbers.
const (
	slowBurst = 1024
	slowPause = int64(100 * time.Microsecond)
)

// takes reports whether another request may be noted.
func (l *slowlog) takes(now int64) bool {
	busy := max(l.busy, now) + slowPause
	if busy-now > slowPause*int64(max(slowBurst, len(l.entries))) {
		return false
	}
	l.busy = busy
	return true
}

func (l *slowlog) reset() {
	for i := range l.entries {
		l.entries[i].id = -1
	}
}

// slow is called with a request that took long, when its reply is here. It returns its entry; nil: it has none.
func (s *Session) slow(sl *slot, took int64) *slowRequest {
	ps, c := s.pool, sl.command
	if ps.slow == nil || sl.private && c.Flags.Has(command.Blocking) { // it was to wait
		return nil
	}
	ps.stats.Slow++
	l, now, id := ps.slow, s.worker.loop.Now(), ps.shared.slowIDs.Add(1)-1
	if !l.takes(now) {
		return nil
	}
	e := &l.entries[l.next]
	if l.next++; l.next == len(l.entries) {
		l.next = 0
	}
	e.id = id
	e.ended, e.took, e.writing = time.Now(), took, -1
	e.client, e.name = s.peer, ""
	if s.about != nil {
		e.name = s.about.name
	}
	e.node, e.queued, e.atNode = "", took, 0
	if la := ps.clock.Lane; la != nil {
		at := max(la.Written(), sl.start)
		e.node, e.queued, e.atNode = la.Node.Name, at-sl.start, now-at
	}
	e.command = c
	e.args, e.count = s.recalled(e.args[:0], sl)
	if e.known = e.count > 0; !e.known {
		e.args, e.count = resp.AppendBulkString(resp.AppendBulkString(e.args, c.Name), notRemembered), 2
	}
	return e
}

// mostLate is for how many of them a session keeps memory.
const mostLate = 64

// notRemembered stands for the arguments of a request that the client had too much before.
const notRemembered = "... (arguments not kept: the client had more than 32 KiB in flight)"

// lateWritten looks which replies to slow requests the client's system has taken.
func (s *Session) lateWritten(unsent int) {
	taken, now := s.conn.BytesOut, s.worker.loop.WriteTime()
	left := s.tardies[:0]
	for _, t := range s.tardies {
		if t.end == 0 && int32(s.head-t.seq) > 0 {
			t.end = taken + uint64(unsent)
		}
		if t.end == 0 || t.end > taken {
			left = append(left, t)
			continue
		}
		if r := t.traced; r != nil {
			r.Sent = r.Replied.Add(time.Duration(max(now-t.at, 0)))
			s.told(r)
		}
		if t.entry != nil && t.entry.id == t.id {
			t.entry.writing = max(now-t.at, 0)
		}
	}
	clear(s.tardies[len(left):])
	if s.tardies = left; len(left) == 0 && cap(left) > mostLate {
		s.tardies = nil // many were slow at once
	}
}

// wrote is how many microseconds it took until the reply was written; -1: it is not, or the client left before.
func (e *slowRequest) wrote() int64 {
	if e.writing < 0 {
		return -1
	}
	return e.writing / 1000
}

// slowReport gathers what the loops have.
type slowReport struct {
	index int // of the pool
	most  int // how many are wanted; -1: all
	list  []slowRequest

	length int // how many the pool may have
}

func (r *slowReport) loop(w *worker) {
	if ps := w.poolAt(r.index); ps != nil && ps.slow != nil {
		r.length = len(ps.slow.entries)
		r.list = append(r.list, ps.slow.last(r.length)...)
	}
}

// latest returns the entries that are wanted. The loops together have no more than one may have.
func (r *slowReport) latest() []slowRequest {
	slices.SortFunc(r.list, func(a, b slowRequest) int { return cmp.Compare(b.id, a.id) })
	n := min(len(r.list), r.length)
	if r.most >= 0 {
		n = min(n, r.most)
	}
	return r.list[:n]
}

// slowlog answers SLOWLOG.
func (s *Session) slowlog(sub string, a *resp.Args) {
	r := &slowReport{index: s.pool.shared.index, most: -1}
	switch sub {
	case "reset":
		s.askLoops(func(w *worker) {
			if ps := w.poolAt(r.index); ps != nil && ps.slow != nil {
				ps.slow.reset()
			}
		}, func() []byte { return []byte("+OK\r\n") })
	case "len":
		s.askLoops(r.loop, func() []byte { return resp.AppendInt(nil, int64(len(r.latest()))) })
	case "get":
		if ok := s.slowCount(r, a); ok {
			s.askLoops(r.loop, func() []byte {
				list := r.latest()
				b := resp.AppendArray(nil, len(list))
				for i := range list {
					b = list[i].append(b)
				}
				return b
			})
		}
	}
}

// slowCount takes how many entries are wanted from the third argument.
func (s *Session) slowCount(r *slowReport, a *resp.Args) (ok bool) {
	r.most = 10
	if a.Len() == 2 {
		return true
	}
	if a.Len() > 3 {
		s.refuse(metrics.BadCommand, "ERR unknown subcommand or wrong number of arguments for '"+string(a.At(1))+"'. Try "+strings.ToUpper(string(a.At(0)))+" HELP.")
		return false
	}
	if r.most, ok = integer(a.At(2)); !ok || r.most < -1 {
		s.refuse(metrics.BadCommand, "ERR count should be greater than or equal to -1")
		return false
	}
	return true
}

// append appends an entry in the shape of Redis: there are clients that take one more field for the next entry.
func (e *slowRequest) append(b []byte) []byte {
	b = resp.AppendInt(resp.AppendArray(b, 6), e.id)
	b = resp.AppendInt(resp.AppendInt(b, e.ended.Unix()), e.took/1000)
	b = append(resp.AppendArray(b, e.count), e.args...)
	return resp.AppendBulkString(resp.AppendBulkString(b, e.client), e.name)
}

// SlowRequest is an entry of the slow log, as /api/v1/slowlog tells it: without values, since that address asks for no password.
type SlowRequest struct {
	ID      int64     `json:"id"`
	Time    time.Time `json:"time"` // when its reply was here
	Took    int64     `json:"microseconds"`
	Command string    `json:"command"`
	Key     string    `json:"key"` // the first one, cut short; what is not UTF-8 in it has a substitute; "": none, or it is not known
	Client  string    `json:"client"`
	Name    string    `json:"client_name"`
	Node    string    `json:"node"`
	Queued  int64     `json:"queued_microseconds"`
	AtNode  int64     `json:"at_node_microseconds"`
	Writing int64     `json:"writing_microseconds"` // -1: the reply is not written, or the client left before
}

// PoolSlowLog is the slow log of a pool, the latest first.
type PoolSlowLog struct {
	Pool     string        `json:"pool"`
	Requests []SlowRequest `json:"requests"`
}

// SlowLog tells of the slow requests of each pool.
func (srv *Server) SlowLog() []PoolSlowLog {
	list := []PoolSlowLog{}
	for _, sp := range srv.open() {
		r := &slowReport{index: sp.index, most: -1}
		srv.onLoops(r.loop)
		of := PoolSlowLog{Pool: sp.cfg.Name, Requests: []SlowRequest{}}
		for _, e := range r.latest() {
			of.Requests = append(of.Requests, SlowRequest{
				ID: e.id, Time: e.ended.UTC(), Took: e.took / 1000, Command: e.command.Name, Key: e.key(), Client: e.client, Name: e.name, Node: e.node,
				Queued: e.queued / 1000, AtNode: e.atNode / 1000, Writing: e.wrote(),
			})
		}
		list = append(list, of)
	}
	return list
}

// key is the first key of a request whose arguments are known.
func (e *slowRequest) key() string {
	if !e.known {
		return ""
	}
	return firstKey(e.command, append(resp.AppendArray(nil, e.count), e.args...))
}

// firstKey returns the first key of a request, "" if it has none.
func firstKey(c *command.Command, request []byte) string {
	var scan resp.RequestScanner
	if n, err := scan.Scan(request); n == 0 || err != nil || scan.Args.Len() == 0 {
		return ""
	}
	if keys, _ := c.Keys(nil, &scan.Args); len(keys) > 0 && keys[0] < scan.Args.Len() {
		return string(scan.Args.At(keys[0]))
	}
	return ""
}

// tellSlow is RINGWAY SLOWLOG [count]: the entries with all that is known of them.
func (s *Session) tellSlow(a *resp.Args) {
	r := &slowReport{index: s.pool.shared.index}
	if !s.slowCount(r, a) {
		return
	}
	s.askLoops(r.loop, func() []byte {
		list := r.latest()
		b := resp.AppendArray(nil, len(list))
		for i := range list {
			e := &list[i]
			b = resp.AppendMap(b, s.resp3, 10)
			number := func(name string, n int64) { b = resp.AppendInt(resp.AppendBulkString(b, name), n) }
			text := func(name, value string) { b = resp.AppendBulkString(resp.AppendBulkString(b, name), value) }
			number("id", e.id)
			number("time", e.ended.Unix())
			number("microseconds", e.took/1000)
			b = append(resp.AppendArray(resp.AppendBulkString(b, "arguments"), e.count), e.args...)
			text("client", e.client)
			text("client-name", e.name)
			text("node", e.node)
			number("queued-microseconds", e.queued/1000)
			number("at-node-microseconds", e.atNode/1000)
			number("writing-microseconds", e.wrote())
		}
		return b
	})
}
