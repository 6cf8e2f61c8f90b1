package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"ringway/internal/config"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// Server is a running configuration: its loops, pools and listeners.
type Server struct {
	cfg       *config.Config
	log       *slog.Logger
	workers   []*worker
	pools     []*sharedPool
	listeners []*loop.Listener
	clients   []atomic.Int64 // by pool, over all loops
	nextID    atomic.Uint64
	turn      atomic.Uint32 // which loop gets the next client
	started   time.Time
	closed    atomic.Bool
	scripts   scripts
	running   bool
}

// New binds the listeners and builds the rings of a configuration. Nothing is served before Start.
func New(cfg *config.Config, log *slog.Logger) (*Server, error) {
	srv := &Server{cfg: cfg, log: log, clients: make([]atomic.Int64, len(cfg.Pools)), started: time.Now()}
	for i := range Threads(cfg) {
		w, err := newWorker(srv, i)
		if err != nil {
			return nil, fmt.Errorf("cannot open event loop %d: %w", i, err)
		}
		srv.workers = append(srv.workers, w)
	}
	for i := range cfg.Pools {
		if err := srv.addPool(i); err != nil {
			srv.closeListeners()
			return nil, fmt.Errorf("pool %q: %w", cfg.Pools[i].Name, err)
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

func (srv *Server) addPool(i int) error {
	p := &srv.cfg.Pools[i]
	ring, err := p.Ring()
	if err != nil {
		return err
	}
	sp := &sharedPool{cfg: p, index: i, limits: resp.DefaultLimits()}
	sp.limits.MaxBulk = p.MaxRequestSize
	for j, b := range p.Backends {
		sp.nodes = append(sp.nodes, &pool.Node{Name: b.Name, Address: b.Address, Weight: b.Weight})
		if b.Name < p.Backends[sp.first].Name {
			sp.first = j
		}
	}
	sp.opt = pool.Options{
		Pool: p.Name, Timeout: p.Timeout, ConnectTimeout: p.ConnectTimeout, KeepAlive: p.TCPKeepAlive,
		Username: p.Username, Password: p.Password.Reveal(), OutputLimit: p.NodeOutputLimit,
		OnChange:  func(n *pool.Node, up bool, reason string) { srv.nodeChanged(p, n, up, reason) },
		OnRefusal: func(n *pool.Node, reason string) { srv.nodeRefused(p, n, reason) },
	}
	if p.OnFailure == "eject" {
		sp.eject = &ejector{srv: srv, pool: sp, log: srv.log, out: map[int]time.Time{}}
		sp.opt.OnFailure = sp.eject.failed
	}
	ln, err := loop.Listen(p.Listen, loop.ListenOptions{Backlog: p.Backlog, ReusePort: p.ReusePort, Mode: p.ListenMode})
	if err != nil {
		return err
	}
	srv.pools = append(srv.pools, sp)
	srv.listeners = append(srv.listeners, ln)
	for _, w := range srv.workers {
		w.addPool(sp, ring)
	}
	return nil
}

func (srv *Server) nodeRefused(p *config.Pool, n *pool.Node, reason string) {
	srv.log.Warn("node refused a connection", "pool", p.Name, "node", n.Name, "address", n.Address, "reason", reason)
}

func (srv *Server) nodeChanged(p *config.Pool, n *pool.Node, up bool, reason string) {
	if up {
		srv.log.Info("node up", "pool", p.Name, "node", n.Name, "address", n.Address)
		return
	}
	srv.log.Warn("node down", "pool", p.Name, "node", n.Name, "address", n.Address, "reason", reason)
}

// Addr returns where pool i listens.
func (srv *Server) Addr(i int) string { return srv.listeners[i].Addr() }

// Start runs the loops and accepts clients. It returns at once.
func (srv *Server) Start() {
	srv.running = true
	for _, w := range srv.workers {
		go func() {
			if err := w.loop.Run(); err != nil {
				srv.log.Error("event loop ended", "loop", w.loop.ID, "error", err)
			}
		}()
	}
	for i, ln := range srv.listeners {
		w := srv.workers[i%len(srv.workers)]
		w.loop.Post(func() {
			err := ln.Start(w.loop, func(fd int, peer string) { srv.hand(w, i, fd, peer) })
			if err != nil {
				srv.log.Error("cannot accept", "pool", srv.cfg.Pools[i].Name, "error", err)
			}
		})
		if srv.cfg.Pools[i].Preconnect {
			srv.preconnect(i)
		}
	}
}

// preconnect opens the lanes that a plain client will need.
func (srv *Server) preconnect(i int) {
	for _, w := range srv.workers {
		w.loop.Post(func() {
			set := w.pools[i].set(pool.Key{Database: srv.cfg.Pools[i].Database})
			for n := range srv.pools[i].nodes {
				set.Lane(n).Open()
			}
		})
	}
}

// hand gives a new client to one loop after the other.
func (srv *Server) hand(from *worker, i, fd int, peer string) {
	srv.clients[i].Add(1)
	to := srv.workers[int(srv.turn.Add(1))%len(srv.workers)]
	if to == from {
		to.accept(to.pools[i], fd, peer)
		return
	}
	if !to.loop.Post(func() { to.accept(to.pools[i], fd, peer) }) {
		srv.clients[i].Add(-1)
		unix.Close(fd)
	}
}

// OnLoops runs f on every loop, one after the other, and waits. It must not be called on a loop.
func (srv *Server) onLoops(f func(w *worker)) {
	if !srv.running {
		return
	}
	for _, w := range srv.workers {
		done := make(chan struct{})
		if w.loop.Post(func() { f(w); close(done) }) {
			select {
			case <-done:
			case <-w.loop.Done():
			}
		}
	}
}

// Stats returns the counters of pool i, one shard a loop.
func (srv *Server) Stats(i int) []metrics.Pool {
	var shards []metrics.Pool
	srv.onLoops(func(w *worker) { shards = append(shards, w.snapshot(i)) })
	return shards
}

// LoopStats returns what the loops count of themselves.
func (srv *Server) LoopStats() []metrics.Loop {
	if !srv.running || srv.closed.Load() {
		return nil
	}
	ls := make([]metrics.Loop, len(srv.workers))
	srv.onLoops(func(w *worker) { ls[w.loop.ID] = metrics.Loop{Turns: w.loop.Turns, Panics: w.loop.Panics} })
	for i, ln := range srv.listeners {
		ls[i%len(ls)].AcceptFailures += ln.Refused()
	}
	return ls
}

// Config returns what the server was made from.
func (srv *Server) Config() *config.Config { return srv.cfg }

// Ready says why no client should be sent here, nil if clients are accepted.
func (srv *Server) Ready() error {
	if srv.closed.Load() {
		return errors.New("shutting down")
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

// PoolNames returns the pools' names, in the order of the configuration.
func (srv *Server) PoolNames() (names []string) {
	for _, p := range srv.pools {
		names = append(names, p.cfg.Name)
	}
	return names
}

// NodeNames returns the names of the nodes of pool i.
func (srv *Server) NodeNames(i int) (names []string) {
	for _, n := range srv.pools[i].nodes {
		names = append(names, n.Name)
	}
	return names
}

func (srv *Server) closeListeners() {
	for _, ln := range srv.listeners {
		ln.Close()
	}
}

// Shutdown stops accepting, lets what is in flight finish for at most grace, then closes everything.
func (srv *Server) Shutdown(grace time.Duration) {
	srv.closed.Store(true)
	if !srv.running {
		srv.closeListeners()
		return
	}
	for i, ln := range srv.listeners {
		w := srv.workers[i%len(srv.workers)]
		w.loop.Post(ln.Close)
	}
	deadline := time.Now().Add(grace)
	for srv.busy() && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	for _, p := range srv.pools {
		if p.eject != nil {
			p.eject.stop()
		}
	}
	for _, w := range srv.workers {
		w.loop.Post(w.closeAll)
		w.loop.Stop()
	}
	for _, w := range srv.workers {
		<-w.loop.Done()
	}
}

// busy closes clients that wait for nothing, and reports whether any are left.
func (srv *Server) busy() (left bool) {
	srv.onLoops(func(w *worker) {
		for s := w.sessions; s != nil; {
			next := s.next
			if s.head == s.tail && s.conn.Unsent() == 0 {
				s.drop()
			} else {
				left = true
			}
			s = next
		}
	})
	return left
}

// closeAll closes what is left: clients and lanes.
func (w *worker) closeAll() {
	for s := w.sessions; s != nil; {
		next := s.next
		s.drop()
		s = next
	}
	for _, ps := range w.pools {
		for _, set := range ps.sets {
			set.Each((*pool.Lane).Close)
		}
		if ps.pubsub != nil {
			for _, li := range ps.pubsub.lines {
				if li != nil {
					li.lane.Close()
				}
			}
		}
	}
}
