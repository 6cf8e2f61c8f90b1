package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ringway/hotkey"
	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/internal/tracing"
	"ringway/pool"
	"ringway/pool/discover"
	"ringway/resp"
)

// Server is a running configuration: its loops, pools and listeners.
type Server struct {
	log     *slog.Logger
	workers []*worker
	nextID  atomic.Uint64
	turn    atomic.Uint32 // which loop gets the next client
	started time.Time
	tracer  *tracing.Tracer // nil: no request is told
	opened  atomic.Bool     // clients are accepted
	leaving atomic.Bool     // it is about to stop: no new client should come
	closed  atomic.Bool
	scripts scripts
	running bool
	lookup  discover.Lookup // of dns:// names; nil: the system's

	reloading              sync.Mutex // one reload at a time
	reloads, failedReloads atomic.Uint64
	reloadedAt             atomic.Int64 // when the present configuration was taken over
	outOfDate              atomic.Bool  // the file holds one that could not be taken over
	foundUsers             string       // what rereadUsers has found last, in a digest

	keys       atomic.Pointer[keyring]
	keysOld    atomic.Bool // the files hold others, which could not be taken over
	handshakes *loop.Handshakes
	memory     memory

	mu    sync.Mutex
	cfg   *config.Config
	pools []*sharedPool // by index; nil for one that was removed
}

// New binds the listeners and builds the rings of a configuration. Nothing is served before Start.
func New(cfg *config.Config, log *slog.Logger) (*Server, error) {
	if err := CheckFaults(cfg); err != nil {
		return nil, err
	}
	guards, err := openGuards(cfg)
	if err != nil {
		return nil, err
	}
	keys, err := openKeyring(cfg, nil)
	if err != nil {
		return nil, err
	}
	srv := &Server{cfg: cfg, log: log, started: time.Now()}
	srv.memory.srv, srv.memory.log = srv, log
	srv.keys.Store(keys)
	for _, u := range keys.uses {
		if until := u.notAfter(); time.Now().After(until) {
			log.Warn("a certificate has expired; who looks at the date will refuse it", "pool", u.pool, "side", u.side, "expired", until)
		}
	}
	srv.handshakes = loop.NewHandshakes(max(1, runtime.GOMAXPROCS(0)-Threads(cfg)))
	srv.reloadedAt.Store(srv.started.UnixNano())
	for i := range Threads(cfg) {
		w, err := newWorker(srv, i)
		if err != nil {
			return nil, fmt.Errorf("cannot open event loop %d: %w", i, err)
		}
		srv.workers = append(srv.workers, w)
	}
	if err := srv.openTracer(); err != nil {
		return nil, err
	}
	for _, p := range ordered(cfg.Pools) {
		if err := srv.addPool(p, guards[p.Name]); err != nil {
			srv.closeListeners()
			return nil, fmt.Errorf("pool %q: %w", p.Name, err)
		}
	}
	return srv, nil
}

// Threads returns how many event loops a configuration has.
func Threads(cfg *config.Config) int {
	if cfg.Threads > 0 {
		return cfg.Threads
	}
	return max(1, runtime.NumCPU()/4)
}

// addPool opens a pool before Start.
func (srv *Server) addPool(p *config.Pool, g *guard) error {
	sp := srv.newShared(p, newDirector(srv, len(srv.pools)), srv.keys.Load())
	sp.guard, sp.quotas = g, newQuotas(p, quotas{})
	g.warn(srv, p)
	sp.director.use(sp)
	sp.linkTo(srv.pools)
	err := sp.director.open(func(t *topology) {
		for _, w := range srv.workers {
			w.addPool(sp, t)
		}
	})
	if err != nil {
		return err
	}
	if p.Listen != "" {
		if sp.door, err = srv.openDoor(sp); err != nil {
			return err
		}
	}
	srv.pools = append(srv.pools, sp)
	return nil
}

// newShared makes what follows from a pool's configuration, and from what it has in files, alone.
func (srv *Server) newShared(p *config.Pool, d *director, keys *keyring) *sharedPool {
	name := p.Name // of p itself nothing may be kept by the options: a node that has left keeps its own
	sp := &sharedPool{cfg: p, director: d, index: d.at, limits: resp.DefaultLimits(), clients: new(atomic.Int64), addresses: &addresses{}, forgotten: new(atomic.Pointer[totals]), slowIDs: new(atomic.Int64)}
	sp.tally = hotkey.NewTally(len(srv.workers), fits(p.HotKeys.Exclude))
	sp.denials = &denials{}
	sp.limits.MaxBulk, sp.limits.MaxRequest, sp.limits.MaxArgs = p.MaxRequestSize, p.ClientInputLimit, p.MaxArguments
	sp.strangers = strangersLimits(sp.limits)
	sp.longestKey = math.MaxInt
	if p.MaxKeyLength > 0 {
		sp.longestKey = p.MaxKeyLength
	}
	sp.fault, _ = newFault(p.Fault) // it was checked
	sp.opt = &pool.Options{
		Pool: p.Name, Timeout: p.Timeout, Timeouts: timeoutsOf(p), ConnectTimeout: p.ConnectTimeout, KeepAlive: p.TCPKeepAlive,
		Username: p.Username, Password: keys.password(p.Identity), TLS: keys.client(p.BackendTLS), OutputLimit: p.NodeOutputLimit, ReplyLimit: p.MaxReplySize,
		OnChange:  func(n *pool.Node, up bool, reason string) { srv.nodeChanged(name, n, up, reason) },
		OnRefusal: func(n *pool.Node, reason string) { srv.nodeRefused(name, n, reason) },
		OnFailure: func(n *pool.Node, times int) { go d.failed(n, times) },
	}
	if sourceOf(p) == fromSentinel || sourceOf(p) == fromCluster {
		sp.opt.FailoverWait = p.FailoverWait
	}
	if warmScaling(p) {
		sp.opt.Valid = func() bool { return d.lease.Valid() }
	}
	replicas := *sp.opt
	replicas.FailoverWait = 0
	replicas.ReadOnly = sourceOf(p) == fromCluster
	replicas.ReplicasOnly = p.ReadPolicy == "replica"
	sp.replicaOpt = &replicas
	sp.tls = keys.server(p.TLS)
	if p.Sentinel != nil {
		sp.sentinelPassword = keys.password(p.Sentinel.Identity)
	}
	sp.identify(keys)
	return sp
}

// identify makes the settings of those servers that know us by another name or password than the pool's.
func (sp *sharedPool) identify(keys *keyring) {
	for _, b := range sp.cfg.Backends {
		if !b.Given() {
			continue
		}
		as := func(opt *pool.Options) *pool.Options {
			own := *opt
			own.Username, own.Password = b.Username, keys.password(b.Identity)
			return &own
		}
		if sp.identities == nil {
			sp.identities = map[string]*pool.Options{}
		}
		sp.identities[b.Address] = as(sp.opt)
		for _, r := range b.Replicas {
			sp.identities[r.Address] = as(sp.replicaOpt)
		}
	}
}

// optionsAt are the settings for the server at an address.
func (sp *sharedPool) optionsAt(address string) *pool.Options {
	if opt := sp.identities[address]; opt != nil {
		return opt
	}
	return sp.opt
}

// replicaOptionsAt are those for a replica.
func (sp *sharedPool) replicaOptionsAt(address string) *pool.Options {
	if opt := sp.identities[address]; opt != nil {
		return opt
	}
	return sp.replicaOpt
}

// keep has the settings stay that are the same as before: then lanes stay as they are.
func (sp *sharedPool) keep(old *sharedPool) {
	if sp.opt.Same(old.opt) {
		sp.opt = old.opt
	}
	if sp.replicaOpt.Same(old.replicaOpt) {
		sp.replicaOpt = old.replicaOpt
	}
	for address, was := range old.identities {
		switch opt := sp.identities[address]; {
		case opt != nil && opt.Same(was):
			sp.identities[address] = was
		case opt == nil && !sp.names(address): // its keys may still have to be fetched there (migration: warm)
			if sp.identities == nil {
				sp.identities = map[string]*pool.Options{}
			}
			sp.identities[address] = was
		}
	}
}

// names reports whether the configuration has a backend or replica at an address.
func (sp *sharedPool) names(address string) bool {
	return slices.ContainsFunc(sp.cfg.Backends, func(b config.Backend) bool {
		return b.Address == address || slices.ContainsFunc(b.Replicas, func(r config.Replica) bool { return r.Address == address })
	})
}

// openDoor binds where a pool listens.
func (srv *Server) openDoor(sp *sharedPool) (*door, error) {
	p := sp.cfg
	ln, err := loop.Listen(p.Listen, loop.ListenOptions{Backlog: p.Backlog, ReusePort: p.ReusePort, Later: true, Mode: p.ListenMode})
	if err != nil {
		return nil, err
	}
	return &door{Listener: ln, listen: p.Listen, home: srv.workers[sp.index%len(srv.workers)]}, nil
}

func (srv *Server) nodeRefused(name string, n *pool.Node, reason string) {
	srv.log.Warn("node refused a connection", "pool", name, "node", n.Name, "address", n.Address(), "reason", reason)
}

func (srv *Server) nodeChanged(name string, n *pool.Node, up bool, reason string) {
	if up {
		srv.log.Info("node up", "pool", name, "node", n.Name, "address", n.Address())
		return
	}
	srv.log.Warn("node down", "pool", name, "node", n.Name, "address", n.Address(), "reason", reason)
}

// open returns the pools that are served.
func (srv *Server) open() (list []*sharedPool) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, sp := range srv.pools {
		if sp != nil {
			list = append(list, sp)
		}
	}
	return list
}

// pool returns the pool of an index, nil if it was removed.
func (srv *Server) pool(i int) *sharedPool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.pools[i]
}

// count is how many pools there ever were.
func (srv *Server) count() int {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.pools)
}

// Addr returns where the i-th pool of the configuration listens, "" if no client can come to it.
func (srv *Server) Addr(i int) string {
	name := srv.Config().Pools[i].Name
	for _, sp := range srv.open() {
		if sp.cfg.Name == name && sp.door != nil {
			return sp.door.Addr()
		}
	}
	return ""
}

// Start is Run and Open: it runs the loops and accepts clients. It returns at once.
func (srv *Server) Start() {
	srv.Run()
	if err := srv.Open(); err != nil {
		srv.log.Error("cannot accept", "error", err)
	}
}

// Run runs the loops, and has the nodes found and checked. No client is accepted before Open.
func (srv *Server) Run() {
	srv.running = true
	srv.memory.set(srv.cfg.MaxMemory)
	for _, w := range srv.workers {
		go func() {
			if err := w.loop.Run(); err != nil {
				srv.log.Error("event loop ended", "loop", w.loop.ID, "error", err)
			}
		}()
	}
	for _, sp := range srv.open() {
		sp.director.start()
		if sp.cfg.Preconnect {
			srv.preconnect(sp)
		}
	}
}

// Open accepts clients, or says where it can't.
func (srv *Server) Open() (err error) {
	for _, sp := range srv.open() {
		if sp.door != nil && err == nil {
			sp.door.home.wait(func() { err = srv.openTo(sp.door, sp.index) })
		}
	}
	srv.opened.Store(err == nil)
	return err
}

// acceptAt has the clients who come to a door go to a pool, when it returns.
func (srv *Server) acceptAt(d *door, index int) {
	d.home.wait(func() {
		if err := srv.openTo(d, index); err != nil {
			srv.log.Error("cannot accept", "listen", d.listen, "error", err)
		}
	})
}

// openTo is acceptAt, on the door's loop.
func (srv *Server) openTo(d *door, index int) error {
	d.pool = index
	if d.Started() {
		return nil
	}
	w := d.home
	if err := d.Start(w.loop, func(fd int, peer string) { srv.hand(w, d, fd, peer) }); err != nil {
		return fmt.Errorf("cannot listen on %s: %w", d.listen, err)
	}
	return nil
}

// preconnect opens the lanes that a plain client will need.
func (srv *Server) preconnect(sp *sharedPool) {
	sp.director.post(func(ps *poolState) {
		set := ps.set(pool.Key{Database: sp.cfg.Database})
		for n := range ps.size() {
			set.Lane(ps.nth(n)).Open()
		}
	})
}

// hand gives a new client to one loop after the other.
func (srv *Server) hand(from *worker, d *door, fd int, peer string) {
	i := d.pool
	ps := from.poolAt(i)
	if ps == nil { // it has left, and the door is about to be closed, or given to another
		unix.Close(fd)
		return
	}
	sp := ps.shared
	if kind, refusal := srv.admit(d, sp, from.loop.Now(), peer); refusal != "" {
		ps.turnAway(kind, refusal, fd, peer)
		return
	}
	to := srv.workers[int(srv.turn.Add(1))%len(srv.workers)]
	if to == from {
		to.welcome(ps, fd, peer)
		return
	}
	turnedBack := func() {
		sp.discount(peer)
		unix.Close(fd)
	}
	posted := to.loop.Post(func() {
		if ps := to.poolAt(i); ps != nil {
			to.welcome(ps, fd, peer)
		} else {
			turnedBack()
		}
	})
	if !posted {
		turnedBack()
	}
}

// OnLoops runs f on every loop, one after the other, and waits. It must not be called on a loop.
func (srv *Server) onLoops(f func(w *worker)) {
	if !srv.running {
		return
	}
	for _, w := range srv.workers {
		w.wait(func() { f(w) })
	}
}

// Stats returns the counters of the pool of an index, one shard a loop.
func (srv *Server) Stats(i int) []metrics.Pool {
	var shards []metrics.Pool
	srv.onLoops(func(w *worker) {
		if ps := w.poolAt(i); ps != nil {
			shards = append(shards, ps.snapshot())
		}
	})
	return shards
}

// Pools returns what is counted of each open pool.
func (srv *Server) Pools() (list []metrics.PoolShards) {
	for _, sp := range srv.open() {
		shards := srv.Stats(sp.index)
		list = append(list, metrics.PoolShards{Name: sp.cfg.Name, Nodes: sp.director.names(), Infos: sp.director.nodeInfos(), Shards: shards})
	}
	return list
}

// LoopStats returns what the loops count of themselves.
func (srv *Server) LoopStats() []metrics.Loop {
	if !srv.running || srv.closed.Load() {
		return nil
	}
	ls := make([]metrics.Loop, len(srv.workers))
	srv.onLoops(func(w *worker) { ls[w.loop.ID] = metrics.Loop{Turns: w.loop.Turns, Panics: w.loop.Panics} })
	for _, sp := range srv.open() {
		if sp.door != nil {
			ls[sp.door.home.loop.ID].AcceptFailures += sp.door.Refused()
		}
	}
	return ls
}

// Config returns what is served.
func (srv *Server) Config() *config.Config {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.cfg
}

// Ready says why no client should be sent here, nil if clients are accepted.
func (srv *Server) Ready() error {
	switch {
	case srv.leaving.Load() || srv.closed.Load():
		return errors.New("shutting down")
	case !srv.opened.Load():
		return errors.New("starting")
	}
	return srv.unable()
}

// unable says why no client could be served, nil if one could: a pool has not found its nodes yet, or none that clients come to has a node
// that is up.
func (srv *Server) unable() error {
	var down []string
	asked := 0
	for _, sp := range srv.open() {
		if why := sp.director.missing(); why != "" {
			return errors.New(why)
		}
		if sp.door == nil {
			continue
		}
		asked++
		if why := sp.director.allDown(); why != "" {
			down = append(down, why)
		}
	}
	if len(down) > 0 && len(down) == asked {
		return errors.New(strings.Join(down, "; "))
	}
	return nil
}

// Live says what is wrong with the process, nil if every loop turns.
func (srv *Server) Live() error {
	for _, w := range srv.workers {
		done := make(chan struct{})
		if !w.loop.Post(func() { close(done) }) {
			return nil // stopped on purpose
		}
		select {
		case <-done:
		case <-w.loop.Done():
		case <-time.After(2 * time.Second):
			return fmt.Errorf("event loop %d does not turn", w.loop.ID)
		}
	}
	return nil
}

func (srv *Server) closeListeners() {
	for _, sp := range srv.open() {
		if sp.door != nil {
			sp.door.Close()
		}
	}
}
