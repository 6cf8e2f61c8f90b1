package proxy

import (
	"io"
	"log/slog"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"ringway/hotkey"
	"ringway/internal/certs"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// worker is one event loop and all that lives on it.
type worker struct {
	server *Server
	loop   *loop.Loop
	log    *slog.Logger
	pools  []*poolState // by index; nil for one that is let go of, see poolState.leave

	sessions *Session // the youngest; linked by next
	count    int
	samples  samples
	taps     taps // MONITOR and CLIENT PAUSE
	watched  bool // taps has something: no request takes the short way
	leaving  bool // the process ends: clients are let go

	scanners     []*resp.RequestScanner // for whoever parses; one whose request is incomplete keeps it
	keys         []int
	scratch      []byte
	stripped     []byte // what outgoing lends
	copyGroups   []int  // scratch of mirror.split
	freeSlots    [len(keptRings)][][]slot
	freeSplits   []*split
	freeAgain    []*again
	freeWeighed  []*weighed
	freeJoints   []*joint
	freeRuns     [][]run
	freeSpreads  []*spread
	freeWritings []*writing
	joints       []join // to be put on their lanes in this turn
	joinsSent    bool   // for a test that shows why they must not
	adoptsLate   bool   // likewise: a reply is kept under the watch that there is when it comes
	runJoints    func()
	readTurn     uint32 // whose turn it is among the replicas
	resuming     []*Session
	seenScripts  map[uint64]struct{}
	runResumes   func()

	handshakeSecond int64 // in which handshakeLines have failed
	handshakeLines  int
	browserSecond   int64 // in which a client that speaks HTTP was last told of
}

// sharedPool is what the workers have in common of a pool: its configuration. It does not change; a reload puts another in its place.
type sharedPool struct {
	cfg        *config.Pool
	index      int // of the pool in worker.pools, for as long as the process lives
	limits     resp.Limits
	opt        *pool.Options
	replicaOpt *pool.Options
	identities map[string]*pool.Options // in their place, by address, for backends with a password of their own
	tls        *certs.Server            // of clients; nil: plain

	sentinelPassword string

	director *director
	tally    *hotkey.Tally
	fault    *fault
	guard    *guard
	denials  *denials
	leads    []*sharedPool // where its routes lead, in their order; nil for a pool that has servers
	traits   traits
	clients  *atomic.Int64 // over all loops

	addresses *addresses // of the clients, likewise
	door      *door      // nil if no client can come

	forgotten *atomic.Pointer[totals] // what had been counted at the last CONFIG RESETSTAT
	slowIDs   *atomic.Int64           // the number of the next entry of the slow log

	strangers  resp.Limits // of those who have to log in first
	longestKey int
	quotas     quotas
}

// poolState is a worker's view of a pool.
type poolState struct {
	shared   *sharedPool
	worker   *worker
	topo     *topology  // where the keys are
	cool     int        // requests until one is looked at: is its key hot?
	hot      *hotKeys   // nil while no key is
	heat     *heat      // nil in a pool that does not look for them
	trackers []*tracker // of those nodes whose trackers live on this loop
	extras   extras
	mirror   *mirror
	sets     map[pool.Key]*pool.Set // looked up only when a session changes its database, RESP version, or, with passthrough, user
	persons  persons
	partOf   []uint16 // scratch of split
	pubsub   *hub     // nil until somebody subscribes
	stats    metrics.Pool
	clock    pool.Clock
	timed    bool     // lanes know when requests were written
	slow     *slowlog // nil: nothing is slow
	slowTerms
	slowest  int64 // how long a request takes that is slow, in nanoseconds
	slowFrom int64 // how long one takes that is looked at when its reply is here: as above, or 0 while there are traces

	remembers bool     // what is in flight, see recall.go
	prefixes  []string // whose lookups are counted apart; nil: none
	clients   int
	keeps     keeps
	loads     []*pool.Load // what this loop has in flight, by node
	privates  int          // private lanes, in use or free
	left      bool         // it is no longer configured
	warm      bool         // it has warm scaling
	moves     moves

	rereads    float64 // how many reads may be sent again now
	rereadBase uint64  // requests when that was last reckoned

	measured sample             // for the rates of INFO
	meters   map[*bucket]*meter // this loop's parts of the limits
	audited  [metrics.Kinds]budget
}

func newWorker(srv *Server, id int) (*worker, error) {
	l, err := loop.New(id)
	if err != nil {
		return nil, err
	}
	w := &worker{server: srv, loop: l, log: srv.log}
	w.runResumes, w.runJoints = w.resumeAll, w.putJoints
	return w, nil
}

// wait runs f on the loop and returns when it has run, or never will. It must not be called on a loop.
func (w *worker) wait(f func()) {
	done := make(chan struct{})
	if w.loop.Post(func() { defer close(done); f() }) { // even if f panics, which the loop survives
		select {
		case <-done:
		case <-w.loop.Done():
		}
	}
}

// addPool gives the worker its view of a pool.
func (w *worker) addPool(p *sharedPool, t *topology) {
	ps := &poolState{
		shared: p, worker: w, topo: t,
		warm:    warmScaling(p.cfg),
		keeps:   p.traits.keeps,
		sets:    map[pool.Key]*pool.Set{},
		partOf:  make([]uint16, t.groups()),
		stats:   metrics.NewPool(len(t.nodes)),
		rereads: fewRereads,
	}
	ps.clock.Follow(len(t.nodes))
	ps.findSlow()
	ps.findCounts()
	ps.findExtras()
	ps.findHeat()
	w.pools = append(w.pools, ps)
}

// poolAt returns the worker's view of a pool, nil if it has yet to hear of it, or has let go of it.
func (w *worker) poolAt(index int) *poolState {
	if index < len(w.pools) {
		return w.pools[index]
	}
	return nil
}

// set returns the lanes for a RESP version and database.
func (ps *poolState) set(k pool.Key) *pool.Set {
	s := ps.sets[k]
	if s == nil {
		s = pool.NewSet(ps.worker.loop, ps.topo.nodes, k, func(node int) *metrics.Node { return &ps.stats.Nodes[node] }, ps.load)
		s.Time(ps.timer())
		ps.sets[k] = s
	}
	return s
}

// takeScanner lends a scanner that is at the beginning of a request.
func (w *worker) takeScanner(limits *resp.Limits) *resp.RequestScanner {
	n := len(w.scanners)
	if n == 0 {
		return &resp.RequestScanner{Limits: *limits}
	}
	scan := w.scanners[n-1]
	w.scanners = w.scanners[:n-1]
	scan.Limits = *limits
	return scan
}

// giveScanner takes back a scanner that is not in the middle of a request.
func (w *worker) giveScanner(scan *resp.RequestScanner) {
	scan.Args.Buf = nil // not ours to keep
	if len(w.scanners) < 64 {
		w.scanners = append(w.scanners, scan)
	}
}

// emptied returns b empty, or a small buffer if b is nil.
func (w *worker) emptied(b []byte) []byte {
	if b == nil {
		return w.loop.Buffer(0)
	}
	return b[:0]
}

// resumeLater has s go on later in this turn.
func (w *worker) resumeLater(s *Session) {
	if s.resumes {
		return
	}
	s.resumes = true
	if len(w.resuming) == 0 {
		w.loop.Defer(w.runResumes)
	}
	w.resuming = append(w.resuming, s)
}

// resumeAll takes the list off first: a session that resumes may have to wait again.
func (w *worker) resumeAll() {
	list := w.resuming
	w.resuming = nil
	for i, s := range list {
		s.conn.Guard(s.resume)
		list[i] = nil
	}
	if w.resuming == nil {
		w.resuming = list[:0]
	}
}

// welcome takes a connection that has been admitted, here or on another loop. One with TLS has its handshake first, away from the loop.
func (w *worker) welcome(ps *poolState, fd int, peer string) {
	cfg := ps.shared.cfg
	if ps.left {
		ps.shared.discount(peer)
		unix.Close(fd)
		return
	}
	if loop.Left(fd) { // who comes and goes at once costs no session; those who do it thousands of times a second mean no good
		unix.Close(fd)
		if ps.shared.tls != nil {
			w.handsShaken(ps, loop.Link{}, peer, io.EOF)
			return
		}
		ps.stats.Accepted++
		ps.shared.discount(peer)
		return
	}
	loop.TCPOptions(fd, cfg.TCPKeepAlive)
	if ps.shared.tls != nil {
		w.shakeHands(ps, fd, peer)
		return
	}
	w.accept(ps, loop.Link{FD: fd}, peer)
}

// accept begins a session.
func (w *worker) accept(ps *poolState, link loop.Link, peer string) {
	cfg := ps.shared.cfg
	s := &Session{worker: w, pool: ps, peer: peer, db: cfg.Database, far: !onThisMachine(peer), certified: ps.certified(link), leaving: w.leaving}
	s.slots = s.few[:]
	s.unknown()
	s.set = ps.set(pool.Key{Database: s.db})
	s.id = w.server.nextID.Add(1)
	s.created = w.loop.Now()
	s.active, s.unknownAt = s.created, s.created
	if err := link.Attach(&s.conn, w.loop, s); err != nil {
		ps.shared.discount(peer)
		link.Close()
		return
	}
	ps.stats.Accepted++
	ps.clients++
	w.remember(s)
	if s.certified != "" && s.user.Name() != s.certified {
		ps.shared.denials.certificate(s)
	}
	s.keepTime()
}

func (w *worker) remember(s *Session) {
	w.count++
	if s.next = w.sessions; s.next != nil {
		s.next.prev = s
	}
	w.sessions = s
}

func (w *worker) forget(s *Session) {
	w.count--
	s.pool.clients--
	s.leavePerson()
	s.pool.shared.discount(s.peer)
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		w.sessions = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	if s.pool.left && s.pool.clients == 0 {
		s.pool.letGo()
	}
}

// snapshot copies the counters. It runs on the loop.
func (ps *poolState) snapshot() metrics.Pool {
	w := ps.worker
	st := ps.stats.Clone()
	st.AddUp()
	st.Clients = ps.clients
	for s := w.sessions; s != nil; s = s.next {
		if s.pool == ps {
			st.BytesOut += s.conn.BytesOut
			st.ClientMemory += s.size()
		}
	}
	for _, set := range ps.sets {
		set.Each(func(la *pool.Lane) {
			la.AddTo(&st.Nodes[la.Index])
			st.LaneMemory += la.Size()
		})
	}
	for _, t := range ps.trackers {
		if t != nil {
			st.Trackers++
			if t.up && t.watching {
				st.LeaseAge += int(t.lease.Age(loop.Clock()))
			}
		}
	}
	if ps.heat != nil {
		st.NearBytes, st.SketchMemory = ps.heat.nearBytes, int(unsafe.Sizeof(*ps.heat.detector))
	}
	if w.loop.ID == 0 { // one tells for all
		tally := ps.shared.tally
		set := tally.Set()
		st.HotKeys, st.Promotions, st.Demotions = len(set.Keys), tally.Promotions(), tally.Demotions()
		for i := range set.Keys {
			st.HotShare = max(st.HotShare, set.Keys[i].Entry.Share())
		}
	}
	for i, n := range ps.topo.nodes {
		of := &st.Nodes[i]
		of.Up, of.Phases = n.Up(), *ps.clock.Nodes[i]
		if w.loop.ID == 0 { // one tells for all
			of.FailedChecks, of.EjectedAt = n.FailedChecks(), n.EjectedAt.Load()
			for reason := range n.Ejections {
				of.Ejections[reason] = n.Ejections[reason].Load()
			}
		}
	}
	for _, i := range ps.topo.ejected {
		st.Nodes[i].Ejected = true
	}
	if w.loop.ID == 0 {
		st.Migration = ps.shared.director.migration()
		ps.shared.director.addWalk(&st)
	}
	return st
}
