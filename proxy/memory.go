package proxy

import (
	"cmp"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"ringway/internal/metrics"
)

// max_memory. A goroutine looks at what the process holds, and no request knows of it. When it is too much, each of these comes after the one
// before has not been enough:
//
//  1. Go's runtime collects garbage more often; it begins to before the limit is reached.
//  2. Nothing big begins: new clients are turned away, requests that need a large buffer of their own and those for transactions are refused.
//  3. The clients whose requests and replies hold more than their share are closed, the newest first, until enough is free: at once if all
//     clients hold more than half of the limit, otherwise if there is not enough when the garbage has been collected.
//
// What one client may hold without that is bounded by other limits, but those of all clients together need not fit in memory.
type memory struct {
	srv *Server
	log *slog.Logger

	held  atomic.Int64
	limit atomic.Int64
	short atomic.Bool // read by the loops

	collected chan struct{} // closed when the collection is over that is under way; of the goroutine

	mu      sync.Mutex
	stop    chan struct{} // of the goroutine; nil: there is none
	stopped chan struct{}
	usual   int64 // the runtime's own limit
}

const (
	errOutOfMemory = "OOM the router holds max_memory; try again later"

	memoryTurn  = 10 * time.Millisecond
	memoryPause = time.Second // between rounds that can free nothing

	largeInput  = 128 << 10 // of a request that is refused while memory is short
	leastToFree = 4 << 10   // what a client must hold to be closed
)

// set is called with the limit of a configuration; 0: none.
func (m *memory) set(limit int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if int64(limit) == m.limit.Load() {
		return
	}
	m.end()
	m.limit.Store(int64(limit))
	if limit == 0 {
		return
	}
	m.usual = debug.SetMemoryLimit(-1)
	debug.SetMemoryLimit(min(m.usual, int64(limit)/10*9))
	m.stop, m.stopped = make(chan struct{}), make(chan struct{})
	go m.run(m.stop, m.stopped)
}

// end ends the watch. The mutex is held.
func (m *memory) end() {
	if m.stop == nil {
		return
	}
	close(m.stop)
	<-m.stopped
	m.stop = nil
	m.short.Store(false)
	debug.SetMemoryLimit(m.usual)
}

func (m *memory) run(stop, stopped chan struct{}) {
	defer close(stopped)
	look := newGauge()
	tick := time.NewTimer(memoryTurn)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		wait := memoryTurn
		limit := m.limit.Load()
		switch held := m.look(look); {
		case held > limit:
			if !m.relieve(look, limit) {
				wait = memoryPause
			}
		case held <= limit/20*19 && m.short.CompareAndSwap(true, false):
			m.log.Info("memory is enough again", "held", held, "max_memory", limit)
		}
		if m.held.Load() <= limit {
			m.collected = nil // another time is another matter
		}
		tick.Reset(wait)
	}
}

func (m *memory) look(g *gauge) int64 {
	held := g.read()
	m.held.Store(held)
	return held
}

// relieve makes room. It returns false if it can't.
func (m *memory) relieve(look *gauge, limit int64) bool {
	if !m.short.Swap(true) {
		m.log.Warn("memory is short", "held", m.held.Load(), "max_memory", limit)
	}
	clients, held := m.survey()
	if excess := held - limit/2; excess > 0 { // that is not garbage, and to collect garbage takes its time
		return m.close(clients, excess, limit)
	}
	if m.collected == nil {
		done := make(chan struct{})
		m.collected = done
		go func() { defer close(done); runtime.GC() }()
	}
	select {
	case <-m.collected:
		m.collected = nil
		return m.close(clients, m.look(look)-limit/10*9, limit)
	default:
		return true
	}
}

// holder is a client and what it holds.
type holder struct {
	s     *Session
	born  int64
	bytes int
}

// survey asks all clients what they hold.
func (m *memory) survey() (clients []holder, held int64) {
	m.srv.onLoops(func(w *worker) {
		for s := w.sessions; s != nil; s = s.next {
			n := s.holds()
			held += int64(n)
			clients = append(clients, holder{s, s.created, n})
		}
	})
	return clients, held
}

// close closes clients that hold more than their share, the newest first, until they have freed so many bytes. It returns false if there are none.
func (m *memory) close(clients []holder, wanted, limit int64) (any bool) {
	share := max(leastToFree, int(limit/2)/max(len(clients), 1))
	slices.SortFunc(clients, func(a, b holder) int { return cmp.Compare(b.born, a.born) })
	for _, h := range clients {
		if h.bytes > share && wanted > 0 {
			wanted -= int64(h.bytes)
			h.s.worker.wait(h.s.giveUp)
			any = true
		}
	}
	return any
}

// holds is how many bytes the session's requests and replies take.
func (s *Session) holds() int {
	n := cap(s.in) + s.conn.Holds() + s.held
	if s.tx != nil {
		n += cap(s.tx.batch)
	}
	return n
}

// giveUp closes a client for what it holds. One that waits for no reply is told why.
func (s *Session) giveUp() {
	if s.conn.Closed() || s.holds() < leastToFree { // it has been refused meanwhile
		return
	}
	if s.head != s.tail || s.conn.Unsent() > 0 {
		s.letGo(metrics.OutOfMemory, "it held much while max_memory was reached")
		return
	}
	s.refuseLarge()
	s.afterParse()
}

// noRoom refuses what the client is sending, if it needs a large buffer while memory is short. Where the request ends nobody can tell without taking
// the rest of it, so the client is closed.
func (s *Session) noRoom(wanted int) bool {
	if wanted <= largeInput || !s.worker.server.memory.short.Load() {
		return false
	}
	s.refuseLarge()
	return true
}

func (s *Session) refuseLarge() {
	if show, skipped := s.pool.mayLog(metrics.OutOfMemory); show {
		s.warnOf("client closed", skipped, "reason", "its request needs memory while max_memory is reached")
	}
	s.refuse(metrics.OutOfMemory, errOutOfMemory)
	s.worker.loop.Release(s.in)
	s.in, s.off = nil, 0
	if s.scan != nil {
		s.scan.Reset()
		s.worker.giveScanner(s.scan)
		s.scan = nil
	}
	if s.tx != nil {
		s.endTransaction()
	}
	s.closing = true
}

// Memory tells what the process holds.
func (srv *Server) Memory() metrics.Memory {
	m := &srv.memory
	now := metrics.Memory{Held: uint64(newGauge().read()), Limit: uint64(m.limit.Load()), Short: m.short.Load()}
	classes := make([]runtimemetrics.Sample, len(memoryClasses))
	for i, c := range memoryClasses {
		classes[i].Name = "/memory/classes/" + c.name + ":bytes"
	}
	runtimemetrics.Read(classes)
	for i, c := range memoryClasses {
		*c.to(&now) += classes[i].Value.Uint64()
	}
	return now
}

// memoryClasses are those of runtime/metrics, but for what was given back to the system, by where they count.
var memoryClasses = []struct {
	name string
	to   func(m *metrics.Memory) *uint64
}{
	{"heap/objects", inHeap}, {"heap/unused", inHeap},
	{"heap/free", func(m *metrics.Memory) *uint64 { return &m.Free }},
	{"heap/stacks", inStacks}, {"os-stacks", inStacks},
	{"metadata/mcache/free", inRuntime}, {"metadata/mcache/inuse", inRuntime}, {"metadata/mspan/free", inRuntime}, {"metadata/mspan/inuse", inRuntime},
	{"metadata/other", inRuntime}, {"other", inRuntime}, {"profiling/buckets", inRuntime},
}

func inHeap(m *metrics.Memory) *uint64    { return &m.Heap }
func inStacks(m *metrics.Memory) *uint64  { return &m.Stacks }
func inRuntime(m *metrics.Memory) *uint64 { return &m.Runtime }

// size is how many bytes the session takes, with what it holds.
func (s *Session) size() int {
	n := int(unsafe.Sizeof(*s)) + s.holds() + cap(s.unwritten)*int(unsafe.Sizeof(run{})) + cap(s.recall.b) + cap(s.tardies)*int(unsafe.Sizeof(tardy{}))
	if len(s.slots) > fewSlots {
		n += len(s.slots) * int(unsafe.Sizeof(slot{}))
	}
	return n
}

// gauge reads how much memory is in use: what Go's runtime has of the system, but for what it has given back or could.
type gauge struct{ samples []runtimemetrics.Sample }

func newGauge() *gauge {
	return &gauge{[]runtimemetrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}}
}

func (g *gauge) read() int64 {
	runtimemetrics.Read(g.samples)
	n := g.samples[0].Value.Uint64() - g.samples[1].Value.Uint64() - g.samples[2].Value.Uint64()
	return int64(min(n, math.MaxInt64))
}
