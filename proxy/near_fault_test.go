package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// keepingModes are those in which something is kept of hot keys. What is tested here holds in each.
var keepingModes = []string{"near", "copies"}

// inKeepingModes runs a test in each of them, all at once: they wait more than they work.
func inKeepingModes(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range keepingModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			test(t, mode)
		})
	}
}

// inEachKeepingMode does so one after the other, for a test that changes what is not its own.
func inEachKeepingMode(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range keepingModes {
		t.Run(mode, func(t *testing.T) { test(t, mode) })
	}
}

// inNearMode is for what has nothing to do with copies, or where there are none.
func inNearMode(t *testing.T, test func(t *testing.T, mode string)) {
	t.Run("near", func(t *testing.T) { test(t, "near") })
}

// inKeepingModesIfFull leaves copies out unless there is time: what is tested is the same for them, and takes long.
func inKeepingModesIfFull(t *testing.T, test func(t *testing.T, mode string)) {
	if full() {
		inEachKeepingMode(t, test)
	} else {
		inNearMode(t, test)
	}
}

// keeping is a change of serve's only pool: two loops, and a key is watched anew as often as it changes, and never without a reason. Copies need two nodes: where there is one
// it gets a companion, which owns next to nothing.
func keeping(t testing.TB, mode string, more func(h *config.HotKeys)) func(*config.Config) {
	var spare *redistest.Redis
	if mode == "copies" {
		spare = redistest.Server(t)
	}
	return func(c *config.Config) {
		c.Threads = 2
		p := &c.Pools[0]
		h := &p.HotKeys
		h.Mode, h.MinReads, h.Validations, h.MaxAge = mode, 1, 1000, time.Hour
		if spare != nil && len(p.Backends) == 1 {
			p.Backends[0].Weight = 1000
			p.Backends = append(p.Backends, config.Backend{Name: "spare", Address: spare.Addr(), Weight: 1})
		}
		if more != nil {
			more(h)
		}
	}
}

func staleness(d time.Duration) func(*config.HotKeys) {
	return func(h *config.HotKeys) { h.MaxStaleness = d }
}

// noHeartbeat is for a test that wants nothing but what is kept to be told for a while: while a PONG has come, and is not read, reads go to the node.
func noHeartbeat(h *config.HotKeys) { h.MaxStaleness = time.Hour }

// bound is how stale a read may be that is told within d.
func bound(d time.Duration) time.Duration { return d + 5*time.Millisecond }

// untilKept reads a key until all reads of a client are answered with what is kept.
func untilKept(t testing.TB, mode string, c *redistest.Conn, key string) {
	t.Helper()
	const reads = 200
	redistest.WaitFor(t, key+" to be kept", func() bool {
		before := keptOf(c, key)
		for range reads {
			c.Send("GET", key)
		}
		c.Flush()
		for range reads {
			c.Recv()
		}
		return keptOf(c, key) >= before+reads && hotField(c, key, "tier") == mode
	})
}

// keptOf is how many reads of a key were answered with what is kept.
func keptOf(c *redistest.Conn, key string) int {
	near, _ := strconv.Atoi(hotField(c, key, "reads-near"))
	copied, _ := strconv.Atoi(hotField(c, key, "reads-copies"))
	return near + copied
}

// keptReads is how many reads were answered with what is kept.
func keptReads(srv *Server) uint64 {
	sum := metrics.Sum(srv.Stats(0))
	return sum.Near + sum.CopyReads - sum.CopyMisses
}

// full says whether the acceptance list's own sizes are wanted.
func full() bool { return os.Getenv("RINGWAY_FULL") == "1" }

// sized returns what is wanted in a full run, or in any other.
func sized[T any](inFull, otherwise T) T {
	if full() {
		return inFull
	}
	return otherwise
}

// versions is what is known of a key whose values are 1, 2, 3 and so on: when each was acknowledged. One writer at a time writes it.
type versions struct {
	t     testing.TB
	key   string
	begin time.Time
	mu    sync.Mutex
	acked []atomic.Int64 // since the beginning, by value; 0: not yet
	last  atomic.Int64

	lossy bool         // requests may fail, and are made again
	epoch atomic.Int64 // odd: what was acknowledged may be lost now

	reads atomic.Int64
	worst atomic.Int64 // of all reads
	stop  atomic.Bool
	wg    sync.WaitGroup
	late  [][]time.Duration // of each reader: how stale those reads were that were stale
	atMu  sync.Mutex
}

func newVersions(t testing.TB, key string) *versions {
	v := &versions{t: t, key: key, begin: time.Now(), acked: make([]atomic.Int64, 1<<20)}
	t.Cleanup(func() { v.stop.Store(true); v.wg.Wait() })
	return v
}

// write writes the next value in some way.
func (v *versions) write(do func(value string) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.last.Load() + 1
	if err := do(fmt.Sprint(n)); err != nil {
		return err
	}
	v.acked[n].Store(int64(time.Since(v.begin)))
	v.last.Store(n)
	return nil
}

// setOn writes the next value on a connection.
func (v *versions) setOn(c *redistest.Conn) {
	err := v.write(func(value string) (err error) {
		for again := true; again; again = err != nil && v.lossy && !v.stop.Load() {
			err = expectOK(c.TryDo("SET", v.key, value))
		}
		return err
	})
	if err != nil && !v.stop.Load() {
		v.t.Error(err)
		v.stop.Store(true)
	}
}

func expectOK(reply string, err error) error {
	if err == nil && reply != "+OK\r\n" {
		err = fmt.Errorf("the reply is %q", reply)
	}
	return err
}

// read reads the key and returns for how long another value had been acknowledged when the read began; 0: it is the last, or is so young.
func (v *versions) read(c *redistest.Conn) (time.Duration, error) {
	epoch, began := v.epoch.Load(), int64(time.Since(v.begin))
	reply, err := c.TryDo("GET", v.key)
	if err != nil {
		return 0, err
	}
	if v.lossy && reply[0] == '-' || epoch%2 == 1 || v.epoch.Load() != epoch {
		v.reads.Add(1)
		return 0, nil
	}
	n, ok := version(reply)
	if !ok || n < 0 || n > v.last.Load()+1 {
		return 0, fmt.Errorf("the value is %q, of %d", reply, v.last.Load())
	}
	v.reads.Add(1)
	next := v.acked[n+1].Load()
	if next == 0 || next >= began {
		return 0, nil
	}
	for old := v.worst.Load(); began-next > old && !v.worst.CompareAndSwap(old, began-next); {
		old = v.worst.Load()
	}
	return time.Duration(began - next), nil
}

// mayLose says that writes may vanish which were acknowledged, until losesNothing. After that what has been acknowledged since holds: the next write is waited for.
func (v *versions) mayLose() { v.epoch.Add(1) }

func (v *versions) losesNothing() {
	v.t.Helper()
	last := v.last.Load() + 1
	redistest.WaitFor(v.t, "a write to be acknowledged", func() bool { return v.last.Load() > last })
	v.epoch.Add(1)
}

// readers has clients read until the end.
func (v *versions) readers(n int, addr string) {
	for range n {
		c := redistest.Dial(v.t, addr)
		v.wg.Go(func() {
			var late []time.Duration
			for !v.stop.Load() {
				d, err := v.read(c)
				if err != nil {
					v.t.Error(err)
					v.stop.Store(true)
				}
				if d > 0 {
					late = append(late, d)
				}
			}
			v.atMu.Lock()
			v.late = append(v.late, late)
			v.atMu.Unlock()
		})
	}
}

// writers has clients write in turn, a pause between any two writes, until the end.
func (v *versions) writers(pause time.Duration, addresses ...string) {
	for _, a := range addresses {
		c := redistest.Dial(v.t, a)
		v.wg.Go(func() {
			for !v.stop.Load() {
				v.setOn(c)
				time.Sleep(pause)
			}
		})
	}
}

// until waits for so many reads from now on.
func (v *versions) until(reads int64) {
	v.t.Helper()
	most := v.reads.Load() + reads
	for end := time.Now().Add(time.Minute); v.reads.Load() < most && !v.stop.Load(); {
		if time.Now().After(end) {
			v.t.Fatalf("only %d of %d reads in a minute", v.reads.Load(), most)
		}
		time.Sleep(time.Millisecond)
	}
}

// finish ends the clients and returns the worst of all reads.
func (v *versions) finish() time.Duration {
	v.stop.Store(true)
	v.wg.Wait()
	stale := slices.Concat(v.late...)
	slices.Sort(stale)
	at := func(q float64) time.Duration {
		if len(stale) == 0 {
			return 0
		}
		return stale[int(q*float64(len(stale)-1))].Round(time.Microsecond)
	}
	v.t.Logf("%d reads, %d writes; %d reads were stale, by %v (half of them) and %v (99%%), at most %v",
		v.reads.Load(), v.last.Load(), len(stale), at(0.5), at(0.99), at(1))
	return time.Duration(v.worst.Load())
}

// relay stands between Ringway and a node. It can tell a tracking connection from the others, and keeps the frames of both apart.
type relay struct {
	node     string
	l        net.Listener
	tracking side
	data     side
	late     atomic.Int64 // how much later some requests come that are not the tracker's
}

// side is what becomes of what the node sends on connections of one kind.
type side struct {
	mu   sync.Mutex
	open chan struct{} // nil: nothing is held
	edit func(frame []byte) []byte
}

func newRelay(t testing.TB, node string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{node: node, l: l}
	t.Cleanup(func() { l.Close(); r.tracking.release(); r.data.release() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(c)
		}
	}()
	return r
}

// seldom takes its time once in eight times.
func seldom(d time.Duration) {
	if d > 0 && rand.IntN(8) == 0 {
		time.Sleep(d)
	}
}

func (r *relay) Addr() string { return r.l.Addr().String() }

// hold stops what the node sends, until release.
func (s *side) hold() {
	s.mu.Lock()
	if s.open == nil {
		s.open = make(chan struct{})
	}
	s.mu.Unlock()
}

func (s *side) release() {
	s.mu.Lock()
	if s.open != nil {
		close(s.open)
		s.open = nil
	}
	s.mu.Unlock()
}

// edits has each reply and push of the node changed; nil takes it away.
func (s *side) edits(edit func(frame []byte) []byte) {
	s.mu.Lock()
	s.edit = edit
	s.mu.Unlock()
}

func (s *side) pass(frame []byte) []byte {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	if open != nil {
		<-open
	}
	s.mu.Lock()
	edit := s.edit
	s.mu.Unlock()
	if edit != nil {
		frame = edit(frame)
	}
	return frame
}

func (r *relay) carry(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", r.node)
	if err != nil {
		return
	}
	defer out.Close()
	var tracks atomic.Bool
	go func() {
		defer out.Close()
		for b := make([]byte, 64<<10); ; {
			n, err := in.Read(b)
			if bytes.Contains(b[:n], []byte("TRACKING")) {
				tracks.Store(true)
			}
			if !tracks.Load() {
				seldom(time.Duration(r.late.Load()))
			}
			if _, err2 := out.Write(b[:n]); err != nil || err2 != nil {
				return
			}
		}
	}()
	from, to := bufio.NewReaderSize(out, 64<<10), bufio.NewWriterSize(in, 64<<10)
	for {
		frame, err := redistest.ReadReply(from, nil)
		if err != nil {
			return
		}
		s := &r.data
		if tracks.Load() {
			s = &r.tracking
		}
		to.Write(s.pass(frame))
		if from.Buffered() == 0 && to.Flush() != nil {
			return
		}
	}
}

// pushesOff takes away what a node tells of changes.
func pushesOff(frame []byte) []byte {
	if frame[0] == '>' {
		return nil
	}
	return frame
}

// Others write a key that is hot here: a Ringway in which it is not, and a client of the node. What is read here is never older than the bound.
func TestReadsOfAHotKeyThatOthersWrite(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		node := nodes(t, 1)[0]
		r := newRelay(t, node)
		srv, other := serve(t, keeping(t, mode, staleness(l)), r.Addr()), serve(t, nil, node)
		v := newVersions(t, "hot")
		v.setOn(client(t, srv))
		untilKept(t, mode, client(t, srv), "hot")
		v.readers(8, srv.Addr(0))
		v.writers(10*time.Millisecond, other.Addr(0), node)
		v.until(sized(1e6, map[string]int64{"near": 1e5, "copies": 2e4}[mode]))
		if worst := v.finish(); worst > bound(l) {
			t.Errorf("a read was stale by %v", worst)
		}
		if kept := keptReads(srv); kept < uint64(v.reads.Load()/10) {
			t.Errorf("of %d reads %d were answered with what is kept", v.reads.Load(), kept)
		}
		c := client(t, srv)
		redistest.WaitFor(t, "the last value", func() bool { return c.Do("GET", "hot") == redistest.Bulk(fmt.Sprint(v.last.Load())) })
		balanced(t, srv)

		// Were it not told of changes, this test would notice.
		r.tracking.edits(pushesOff)
		v = newVersions(t, "other")
		v.setOn(client(t, srv))
		untilKept(t, mode, client(t, srv), "other")
		v.readers(2, srv.Addr(0))
		v.setOn(redistest.Dial(t, node))
		redistest.WaitFor(t, "a read that is too old", func() bool { return time.Duration(v.worst.Load()) > bound(l) })
		v.finish()
	})
}

// The connection on which a node tells of changes is dead, and the others are not.
func TestNothingIsToldLongAfterItsNodeWasHeardOf(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		run := func(t *testing.T, set time.Duration, rounds int) time.Duration {
			node := nodes(t, 1)[0]
			r := newRelay(t, node)
			srv, other := serve(t, keeping(t, mode, staleness(set)), r.Addr()), serve(t, nil, node)
			v := newVersions(t, "hot")
			v.setOn(client(t, srv))
			untilKept(t, mode, client(t, srv), "hot")
			v.readers(4, srv.Addr(0))
			v.writers(10*time.Millisecond, other.Addr(0), node)
			for i := 0; i < rounds && (set == l || time.Duration(v.worst.Load()) <= bound(l)); i++ {
				v.until(2000)
				r.tracking.hold()
				held := time.Now()
				redistest.WaitFor(t, "writes and reads meanwhile", func() bool { return time.Since(held) > 2*l })
				r.tracking.release()
			}
			return v.finish()
		}
		worst := run(t, l, sized(50, 3))
		if worst > bound(l) {
			t.Errorf("a read was stale by %v", worst)
		}
		if worst < l/4 {
			t.Errorf("no read was stale by more than %v: nothing was held", worst)
		}
		if worst := run(t, time.Hour, 20); worst <= bound(l) {
			t.Errorf("without the bound no read was stale by more than %v: the test is no good", worst)
		}
	})
}

// trackers returns the ids of the connections on which a node tells of changes.
func trackers(list string) (ids []string) {
	for line := range strings.Lines(list) {
		id, flags := "", ""
		for _, f := range strings.Fields(line) {
			if rest, ok := strings.CutPrefix(f, "flags="); ok {
				flags = rest
			}
			if at := strings.Index(f, "id="); at >= 0 && id == "" {
				id = f[at+3:]
			}
		}
		if strings.Contains(flags, "t") {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestTheTrackingConnectionIsKilledInAStorm(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		node := nodes(t, 1)[0]
		srv, other := serve(t, keeping(t, mode, staleness(l)), node), serve(t, nil, node)
		v := newVersions(t, "hot")
		v.setOn(client(t, srv))
		untilKept(t, mode, client(t, srv), "hot")
		v.readers(4, srv.Addr(0))
		v.writers(5*time.Millisecond, other.Addr(0), node)
		direct := redistest.Dial(t, node)
		for range sized(500, 20) {
			kept := keptReads(srv)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return keptReads(srv) > kept+100 })
			ids := trackers(direct.Do("CLIENT", "LIST"))
			if len(ids) != 1 {
				t.Fatalf("tracking connections: %v", ids)
			}
			want(t, "CLIENT KILL", direct.Do("CLIENT", "KILL", "ID", ids[0]), ":1\r\n")
		}
		killed := time.Now()
		redistest.WaitFor(t, "what was kept before to be too old", func() bool { return time.Since(killed) > 2*l })
		kept := keptReads(srv)
		redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return keptReads(srv) > kept+100 })
		if worst := v.finish(); worst > bound(l) {
			t.Errorf("a read was stale by %v", worst)
		}
		balanced(t, srv)
	})
}

// A script changes a key that it does not name, and a transaction changes one twice.
func TestAHotKeyIsChangedByScriptsAndTransactions(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, nil), nodes(t, 1)...)
		c, reader := client(t, srv), client(t, srv)
		c.Do("SET", "hot", "0")
		untilKept(t, mode, reader, "hot")
		for i := range 50 {
			want(t, "EVAL", c.Do("EVAL", "redis.call('SET', 'hot', ARGV[1])", "0", fmt.Sprint("script", i)), "$-1\r\n")
			redistest.WaitFor(t, "what the script wrote", func() bool { return reader.Do("GET", "hot") == redistest.Bulk(fmt.Sprint("script", i)) })
			want(t, "EVAL with its key", c.Do("EVAL", "redis.call('SET', KEYS[1], ARGV[1])", "1", "hot", fmt.Sprint("named", i)), "$-1\r\n")
			want(t, "GET", reader.Do("GET", "hot"), redistest.Bulk(fmt.Sprint("named", i)))
			untilKept(t, mode, reader, "hot")
			c.Do("MULTI")
			c.Do("SET", "hot", "between")
			c.Do("SET", "hot", fmt.Sprint("exec", i))
			want(t, "EXEC", c.Do("EXEC"), "*2\r\n+OK\r\n+OK\r\n")
			want(t, "GET", reader.Do("GET", "hot"), redistest.Bulk(fmt.Sprint("exec", i)))
			untilKept(t, mode, reader, "hot")
		}
		balanced(t, srv)
	})
}

func TestAHotKeyIsFlushed(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := redistest.Server(t, "--enable-debug-command", "yes")
		srv := serve(t, keeping(t, mode, nil), node.Addr())
		c, reader := client(t, srv), client(t, srv)
		fill := func(value string) {
			want(t, "SET", c.Do("SET", "hot", value), "+OK\r\n")
			untilKept(t, mode, reader, "hot")
		}
		other := redistest.Dial(t, node.Addr())
		other.Do("SELECT", "5")
		for i := range 10 {
			value := fmt.Sprint(i)
			fill(value)
			want(t, "FLUSHDB of another database", other.Do("FLUSHDB"), "+OK\r\n")
			want(t, "GET", reader.Do("GET", "hot"), redistest.Bulk(value))
			untilKept(t, mode, reader, "hot")
			want(t, "DEBUG RELOAD", node.Do("DEBUG", "RELOAD"), "+OK\r\n")
			want(t, "GET", reader.Do("GET", "hot"), redistest.Bulk(value))
			untilKept(t, mode, reader, "hot")
			node.Do("SET", "hot", "direct")
			redistest.WaitFor(t, "a write after DEBUG RELOAD", func() bool { return reader.Do("GET", "hot") == redistest.Bulk("direct") })
			fill(value)
			want(t, "FLUSHALL", node.Do("FLUSHALL"), "+OK\r\n")
			redistest.WaitFor(t, "the key to be gone", func() bool { return reader.Do("GET", "hot") == "$-1\r\n" })
			fill(value)
			want(t, "FLUSHALL", c.Do("FLUSHALL"), "+OK\r\n")
			want(t, "GET", reader.Do("GET", "hot"), "$-1\r\n")
		}
		balanced(t, srv)
	})
}

// manyVolatile fills a node with keys that have a time to live: it takes long to find those whose time is over.
func manyVolatile(t testing.TB, node string) {
	t.Helper()
	redistest.Dial(t, node).Do("EVAL", "for i = 1, 100000 do redis.call('SET', 'volatile:' .. i, '', 'EX', 100000) end", "0")
}

// forEver is an edit: no key has a time to live.
func forEver(frame []byte) []byte {
	if frame[0] == ':' {
		return []byte(":-1\r\n")
	}
	return frame
}

// A node does not tell of a key whose time to live is over before it has found out itself.
func TestNothingIsKeptBeyondItsTimeToLive(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const (
			life = 300 * time.Millisecond
			l    = 200 * time.Millisecond
			tick = 2 * time.Millisecond // a node counts in milliseconds
		)
		node := nodes(t, 1)[0]
		manyVolatile(t, node)
		r := newRelay(t, node)
		srv := serve(t, keeping(t, mode, staleness(l)), r.Addr())
		c := client(t, srv)
		c.Do("SET", "hot", "v")
		untilKept(t, mode, c, "hot")
		// outlives sets the key and reads it until it is gone. It returns how long after its end it was read.
		outlives := func(set func()) (late time.Duration) {
			set()
			end, kept := time.Now().Add(life), keptReads(srv)
			for {
				began := time.Now()
				if reply := c.Do("GET", "hot"); reply == "$-1\r\n" || time.Since(end) > time.Second {
					break
				}
				late = max(late, began.Sub(end))
			}
			if keptReads(srv) == kept {
				t.Error("no read was answered with what is kept")
			}
			return late
		}
		put := func() { c.Do("SET", "hot", "v", "PX", fmt.Sprint(life.Milliseconds())) }
		for range sized(50, 1) {
			if late := outlives(put); late > tick {
				t.Errorf("read %v after its end", late)
			}
			// It gets a time to live when it is hot, from here and from elsewhere.
			c.Do("SET", "hot", "v")
			untilKept(t, mode, c, "hot")
			if late := outlives(func() { c.Do("PEXPIRE", "hot", fmt.Sprint(life.Milliseconds())) }); late > tick {
				t.Errorf("read %v after its end", late)
			}
			c.Do("SET", "hot", "v")
			untilKept(t, mode, c, "hot")
			if late := outlives(func() { redistest.Dial(t, node).Do("PEXPIRE", "hot", fmt.Sprint(life.Milliseconds())) }); late > bound(l) {
				t.Errorf("read %v after its end", late)
			}
			// Its time to live is taken away.
			redistest.WaitFor(t, "its time to live to be taken away before it is over", func() bool {
				put()
				untilKept(t, mode, c, "hot")
				return redistest.Dial(t, node).Do("PERSIST", "hot") == ":1\r\n"
			})
			end := time.Now().Add(life)
			for time.Now().Before(end) {
				want(t, "GET", c.Do("GET", "hot"), redistest.Bulk("v"))
			}
			untilKept(t, mode, c, "hot")
		}
		reloadWith(t, srv, onPool(func(p *config.Pool) { noHeartbeat(&p.HotKeys) }))
		r.tracking.edits(forEver)
		if late := outlives(put); late < life {
			t.Errorf("if the time to live were not asked for it would be read %v after its end: the test is no good", late)
		}
		balanced(t, srv)
	})
}

func TestDatabasesOfAHotKeyAreSwapped(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		run := func(t *testing.T, age time.Duration) (late time.Duration) {
			node := redistest.Server(t)
			srv := serve(t, keeping(t, mode, func(h *config.HotKeys) {
				if h.MaxAge = age; age > time.Minute {
					noHeartbeat(h)
				}
			}), node.Addr())
			c, d := client(t, srv), client(t, srv)
			d.Do("SELECT", "1")
			d.Do("SET", "hot", "one")
			c.Do("SET", "hot", "zero")
			untilKept(t, mode, c, "hot")
			for _, value := range []string{"one", "zero"} {
				want(t, "SWAPDB", c.Do("SWAPDB", "0", "1"), "+OK\r\n")
				want(t, "GET", c.Do("GET", "hot"), redistest.Bulk(value))
				untilKept(t, mode, c, "hot")
			}
			direct := redistest.Dial(t, node.Addr())
			want(t, "SWAPDB past Ringway", direct.Do("SWAPDB", "0", "1"), "+OK\r\n") // a node does not tell of it
			swapped := time.Now()
			for {
				began := time.Now()
				if c.Do("GET", "hot") == redistest.Bulk("one") || time.Since(swapped) > time.Second {
					return late
				}
				late = began.Sub(swapped)
			}
		}
		const age = 500 * time.Millisecond
		if late := run(t, age); late > bound(age) {
			t.Errorf("stale by %v", late)
		}
		if late := run(t, time.Hour); late < age {
			t.Errorf("without the bound it was stale by %v: the test is no good", late)
		}
	})
}

// A client's own writes and reads are seen in their order, whatever is kept for others.
func TestAPipelineOfHotReadsAndWrites(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, nil), nodes(t, 1)...)
		v := newVersions(t, "k")
		c := client(t, srv)
		c.Do("SET", "k", "0")
		untilKept(t, mode, c, "k")
		for range 3 {
			reader := client(t, srv)
			v.wg.Go(func() {
				last := int64(0)
				for !v.stop.Load() {
					reply, err := reader.TryDo("GET", "k")
					n, ok := version(reply)
					if err != nil || !ok || n < last {
						t.Errorf("a reader got %q after %d: %v", reply, last, err)
						return
					}
					last = n
				}
			})
		}
		const depth = 20
		for n := 0; n < 10000; n += depth {
			for i := range depth {
				c.Send("GET", "k")
				c.Send("SET", "k", fmt.Sprint(n+i+1))
				c.Send("GET", "k")
			}
			c.Flush()
			for i := range depth {
				want(t, "before the write", c.Recv(), redistest.Bulk(fmt.Sprint(n+i)))
				want(t, "SET", c.Recv(), "+OK\r\n")
				want(t, "after it", c.Recv(), redistest.Bulk(fmt.Sprint(n+i+1)))
			}
			if n%500 == 0 {
				untilKept(t, mode, c, "k")
			}
			if t.Failed() {
				break
			}
		}
		v.stop.Store(true)
		v.wg.Wait()
		balanced(t, srv)
	})
}

// What is kept may be a little older than what the node has. There are clients to whom that matters, or to whom it does not belong.
func TestWhoIsNotToldWhatIsKept(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := nodes(t, 1)[0]
		r := newRelay(t, node)
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, staleness(time.Minute))(c)
			c.Threads = 1 // all have the same kept
		}, r.Addr())
		plain := client(t, srv)
		plain.Do("SET", "hot", "old")
		untilKept(t, mode, plain, "hot")
		c := client(t, srv)
		c.Do("SELECT", "1")
		kept := keptReads(srv)
		for range 300 {
			c.Do("GET", "hot")
		}
		if n := keptReads(srv); n != kept {
			t.Errorf("%d reads in another database were answered with what is kept", n-kept)
		}
		r.tracking.hold()
		redistest.Dial(t, node).Do("SET", "hot", "new")
		for range 100 {
			want(t, "a plain client, which is told what is kept", plain.Do("GET", "hot"), redistest.Bulk("old"))
		}
		kept = keptReads(srv)
		want(t, "one in another database", c.Do("GET", "hot"), "$-1\r\n")
		c = client(t, srv)
		c.Do("MULTI")
		c.Do("GET", "hot")
		want(t, "one in a transaction", c.Do("EXEC"), "*1\r\n"+redistest.Bulk("new"))
		c = client(t, srv)
		c.Do("WATCH", "hot")
		want(t, "one that watches", c.Do("GET", "hot"), redistest.Bulk("new"))
		c = client(t, srv)
		c.Do("HELLO", "3")
		c.Do("SUBSCRIBE", "channel")
		want(t, "one that subscribes", c.Do("GET", "hot"), redistest.Bulk("new"))
		c = client(t, srv)
		for range 20 {
			c.Send("MGET", "hot", "hot") // more than one key of a node
			c.Send("GET", "hot")
			c.Send("MGET", "hot")
			c.Flush()
			want(t, "one that asks the node", c.Recv(), "*2\r\n"+redistest.Bulk("new")+redistest.Bulk("new"))
			want(t, "and does not wait for the answer", c.Recv(), redistest.Bulk("new"))
			want(t, "nor then", c.Recv(), "*1\r\n"+redistest.Bulk("new"))
		}
		if n := keptReads(srv); n != kept {
			t.Errorf("%d of them were told what is kept", n-kept)
		}
		want(t, "the plain one", plain.Do("GET", "hot"), redistest.Bulk("old"))
		want(t, "MGET of the plain one", plain.Do("MGET", "hot"), "*1\r\n"+redistest.Bulk("old"))
	})
}

// The node has hardly any room to note what it is to tell of.
func TestATrackingTableThatIsTooSmall(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		node := redistest.Server(t, "--tracking-table-max-keys", "5").Addr()
		srv := serve(t, keeping(t, mode, staleness(l)), node)
		v := newVersions(t, "hot")
		v.setOn(client(t, srv))
		untilKept(t, mode, client(t, srv), "hot")
		noise := redistest.Dial(t, node)
		noise.Do("HELLO", "3")
		noise.Do("CLIENT", "TRACKING", "ON")
		pushes := int64(0)
		v.wg.Go(func() {
			for i := 0; !v.stop.Load(); i++ {
				for j := range 10 {
					noise.Send("GET", fmt.Sprint("noise", i*10+j))
				}
				noise.TryFlush()
				for left := 10; left > 0; {
					b, err := noise.TryRecv(nil)
					if err != nil {
						t.Error(err)
						return
					}
					if b[0] == '>' {
						pushes++
					} else {
						left--
					}
				}
				time.Sleep(time.Millisecond)
			}
		})
		v.readers(4, srv.Addr(0))
		v.writers(20*time.Millisecond, node)
		v.until(sized[int64](200000, 10000))
		if worst := v.finish(); worst > bound(l) {
			t.Errorf("a read was stale by %v", worst)
		}
		if pushes == 0 || keptReads(srv) == 0 {
			t.Errorf("%d pushes, %d reads answered with what is kept", pushes, keptReads(srv))
		}
	})
}

// A node that does not tell of changes gets the same read of many clients once, and that is all.
func TestANodeThatDoesNotTell(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		acl  []string
		why  string
	}{
		{name: "no HELLO", args: []string{"--rename-command", "HELLO", ""}, why: "unknown command 'HELLO'"},
		{name: "no CLIENT", args: []string{"--rename-command", "CLIENT", ""}, why: "unknown command 'CLIENT'"},
		{name: "not allowed", acl: []string{"ACL", "SETUSER", "default", "-client"}, why: "NOPERM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			node := redistest.Server(t, c.args...)
			if c.acl != nil {
				want(t, "ACL", node.Do(c.acl...), "+OK\r\n")
			}
			srv, other := serve(t, keeping(t, "auto", nil), node.Addr()), serve(t, nil, node.Addr())
			v := newVersions(t, "hot")
			v.setOn(client(t, srv))
			v.readers(8, srv.Addr(0))
			v.writers(2*time.Millisecond, srv.Addr(0), other.Addr(0), node.Addr())
			v.until(10000)
			asks := client(t, srv)
			redistest.WaitFor(t, "HOTKEYS to say why", func() bool { return strings.Contains(hotField(asks, "hot", "why"), c.why) })
			want(t, "the tier", hotField(asks, "hot", "tier"), "collapse")
			if worst := v.finish(); worst > 0 {
				t.Errorf("a read was stale by %v", worst)
			}
			if keptReads(srv) != 0 || collapsed(srv) == 0 {
				t.Errorf("%d reads were answered with what is kept, %d together", keptReads(srv), collapsed(srv))
			}
			balanced(t, srv)
		})
	}
}
