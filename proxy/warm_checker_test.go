package proxy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// knownKey is a key whose history is known. Each version has a number of its own; versions grow in the order in which they were written, for
// one writer at a time writes a key.
//
// floor is the youngest version that was returned or acknowledged to anybody. A read that began after that must not return an older one; it
// may find nothing.
type knownKey struct {
	name  string
	mu    sync.Mutex // the writer's
	next  int64
	floor atomic.Int64
	dead  atomic.Bool  // a write has ended in an error: it may take effect at any later moment
	sure  atomic.Int64 // of an integer or a list: what has been acknowledged since it was known to be there
}

func (k *knownKey) seen(v int64) {
	for {
		at := k.floor.Load()
		if at >= v || k.floor.CompareAndSwap(at, v) {
			return
		}
	}
}

// checker drives clients over keys of known histories.
type checker struct {
	t       testing.TB
	strings []*knownKey
	counter []*knownKey
	stop    atomic.Bool
	wg      sync.WaitGroup

	ops, hits, misses, errors atomic.Int64
	gets                      atomic.Pointer[[]string] // nodes that evict what was just written
	mayFail                   atomic.Bool              // a node or a router is being killed: errors are no news
	mu                        sync.Mutex
	kinds                     map[string]int
}

func newChecker(t testing.TB, n int) *checker {
	ck := &checker{t: t, kinds: map[string]int{}}
	for i := range n {
		ck.strings = append(ck.strings, &knownKey{name: fmt.Sprintf("s:%d", i)})
		ck.counter = append(ck.counter, &knownKey{name: fmt.Sprintf("n:%d", i)})
	}
	return ck
}

// fill writes a first version of each key.
func (ck *checker) fill(addr string) {
	c := redistest.Dial(ck.t, addr)
	for _, k := range ck.strings {
		k.next++
		want(ck.t, "SET", c.Do("SET", k.name, fmt.Sprint(k.next)), "+OK\r\n")
		k.seen(k.next)
	}
}

// version reads the version out of a bulk string; -1 is nil.
func version(b string) (int64, bool) {
	if b == "$-1\r\n" {
		return -1, true
	}
	_, body, _ := strings.Cut(b, "\r\n")
	n, err := strconv.ParseInt(strings.TrimSuffix(body, "\r\n"), 10, 64)
	return n, err == nil && b[0] == '$'
}

func (ck *checker) read(k *knownKey, floor int64, reply string) {
	v, ok := version(reply)
	switch {
	case !ok:
		ck.failed("GET", reply)
	case k.dead.Load():
	case v < 0:
		ck.misses.Add(1)
	case v < floor:
		ck.t.Errorf("GET %s returned version %d, after %d had been returned or acknowledged", k.name, v, floor)
		ck.stop.Store(true)
	default:
		ck.hits.Add(1)
		k.seen(v)
	}
}

func (ck *checker) failed(what, reply string) {
	ck.errors.Add(1)
	ck.mu.Lock()
	word, _, _ := strings.Cut(reply, ":")
	ck.kinds[what+" "+word]++
	ck.mu.Unlock()
	if !ck.mayFail.Load() {
		ck.t.Errorf("%s: %q", what, reply)
		ck.stop.Store(true)
	}
}

// client runs one client until the checker stops.
func (ck *checker) client(addr string, seed uint64) {
	defer ck.wg.Done()
	rnd := rand.New(rand.NewPCG(seed, 1))
	var c *redistest.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for !ck.stop.Load() {
		if c == nil {
			var err error
			if c, err = redistest.Connect(addr); err != nil {
				if !ck.mayFail.Load() {
					ck.t.Error(err)
					return
				}
				time.Sleep(10 * time.Millisecond)
				c = nil
				continue
			}
			c.SetTimeout(15 * time.Second)
		}
		if err := ck.step(c, rnd); err != nil {
			if !ck.mayFail.Load() {
				ck.t.Error(err)
				return
			}
			c.Close()
			c = nil
		}
	}
}

func pick(rnd *rand.Rand, list []*knownKey) *knownKey { return list[rnd.IntN(len(list))] }

func (ck *checker) step(c *redistest.Conn, rnd *rand.Rand) error {
	ck.ops.Add(1)
	switch rnd.IntN(12) {
	case 0: // one write
		return ck.write(c, rnd, pick(rnd, ck.strings))
	case 1:
		return ck.count(c, rnd, pick(rnd, ck.counter))
	case 2:
		return ck.mset(c, rnd)
	case 3, 4: // MGET
		args := []string{"MGET"}
		var keys []*knownKey
		var floors []int64
		for range 8 {
			k := pick(rnd, ck.strings)
			keys, floors, args = append(keys, k), append(floors, k.floor.Load()), append(args, k.name)
		}
		reply, err := c.TryDo(args...)
		if err != nil {
			return err
		}
		if reply[0] != '*' {
			ck.failed("MGET", reply)
			return nil
		}
		for i, e := range elements([]byte(reply)) {
			ck.read(keys[i], floors[i], string(e))
		}
		return nil
	case 5: // a pipeline of reads
		var keys []*knownKey
		var floors []int64
		for range 10 {
			k := pick(rnd, ck.strings)
			keys, floors = append(keys, k), append(floors, k.floor.Load())
			c.Send("GET", k.name)
		}
		if err := c.TryFlush(); err != nil {
			return err
		}
		for i, k := range keys {
			b, err := c.TryRecv(nil)
			if err != nil {
				return err
			}
			ck.read(k, floors[i], string(b))
		}
		return nil
	case 6: // another command that reads
		k := pick(rnd, ck.strings)
		floor := k.floor.Load()
		reply, err := c.TryDo("GETRANGE", k.name, "0", "-1")
		if err == nil && reply == "$0\r\n\r\n" {
			reply = "$-1\r\n"
		}
		if err == nil {
			ck.read(k, floor, reply)
		}
		return err
	default:
		k := pick(rnd, ck.strings)
		floor := k.floor.Load()
		reply, err := c.TryDo("GET", k.name)
		if err == nil {
			ck.read(k, floor, reply)
		}
		return err
	}
}

// write writes the next version in one of many ways, and reads it in the same pipeline.
func (ck *checker) write(c *redistest.Conn, rnd *rand.Rand, k *knownKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead.Load() {
		return nil
	}
	succeeded := false
	defer func() {
		if !succeeded {
			k.dead.Store(true)
		}
	}()
	floor := k.floor.Load()
	k.next++
	v := fmt.Sprint(k.next)
	value := fmt.Sprint
	switch way := rnd.IntN(9); way {
	case 0, 1:
		c.Send("SET", k.name, v)
	case 2:
		c.Send("SET", k.name, v, "EX", "1000")
	case 3:
		c.Send("SETEX", k.name, "1000", v)
	case 4:
		c.Send("GETSET", k.name, v)
	case 5:
		c.Send("SET", k.name, v, "KEEPTTL")
	case 6:
		c.Send("EVAL", "return redis.call('set', KEYS[1], ARGV[1])", "1", k.name, v)
	case 7:
		c.Send("MULTI")
		c.Send("SET", k.name, v)
		c.Send("PEXPIRE", k.name, "1000000")
		c.Send("EXEC")
	case 8: // it is deleted, and comes again
		c.Send("DEL", k.name)
		c.Send("SET", k.name, v, "NX")
	}
	c.Send("GET", k.name)
	c.Send("PTTL", k.name)
	if err := c.TryFlush(); err != nil {
		return err
	}
	var last string
	failed := false
	for i := 0; ; i++ {
		b, err := c.TryRecv(nil)
		if err != nil {
			return err
		}
		reply := string(b)
		if strings.HasPrefix(reply, "-") {
			failed = true
			ck.failed("write", reply)
		}
		if old, ok := version(reply); ok && reply[0] == '$' && i == 0 && old >= 0 && old < floor { // of GETSET
			ck.t.Errorf("GETSET %s returned %d, after %d", k.name, old, floor)
		}
		if reply[0] == ':' && i > 0 && last != "" && last[0] == '$' {
			break // of PTTL
		}
		last = reply
		if failed && i >= 1 { // read the rest below
			if c2 := ck.drainErrors(c, reply); c2 != nil {
				return c2
			}
			return nil
		}
	}
	got, ok := version(last)
	if !ok || got != k.next && got != -1 {
		ck.t.Errorf("%s was written and read as %s in a pipeline, got %q", k.name, value(k.next), last)
		ck.stop.Store(true)
	}
	if got == -1 {
		ck.misses.Add(1)
	}
	k.seen(k.next)
	succeeded = true
	if ck.gets.Load() != nil && rnd.IntN(3) == 0 {
		return ck.evict(k)
	}
	return nil
}

// drainErrors ends a connection on which an error came in the middle of a pipeline.
func (ck *checker) drainErrors(c *redistest.Conn, reply string) error {
	return fmt.Errorf("an error in a pipeline: %q", reply)
}

// count adds to a counter. A counter that was lost begins anew; it must never be less than what was acknowledged since.
func (ck *checker) count(c *redistest.Conn, rnd *rand.Rand, k *knownKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead.Load() {
		return nil
	}
	reply, err := c.TryDo("INCR", k.name)
	if err != nil {
		k.dead.Store(true)
		return err
	}
	n, ok := strings.CutPrefix(reply, ":")
	if !ok {
		k.dead.Store(true)
		ck.failed("INCR", reply)
		return nil
	}
	v, _ := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
	switch sure := k.sure.Load(); {
	case v == 1: // lost, or new
		if sure > 0 {
			ck.misses.Add(1)
		}
	case sure >= 0 && v != sure+1:
		ck.t.Errorf("INCR %s is %d, after %d", k.name, v, sure)
		ck.stop.Store(true)
	default:
		ck.hits.Add(1)
	}
	k.sure.Store(v)
	return nil
}

// mset writes several keys at once.
func (ck *checker) mset(c *redistest.Conn, rnd *rand.Rand) error {
	at := rnd.IntN(len(ck.strings) - 4)
	keys := ck.strings[at : at+4]
	args := []string{"MSET"}
	for _, k := range keys {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.next++
		args = append(args, k.name, fmt.Sprint(k.next))
	}
	reply, err := c.TryDo(args...)
	if err != nil || reply != "+OK\r\n" {
		for _, k := range keys {
			k.dead.Store(true)
		}
	}
	if err != nil {
		return err
	}
	if reply != "+OK\r\n" {
		ck.failed("MSET", reply)
		return nil
	}
	for _, k := range keys {
		k.seen(k.next)
	}
	return nil
}

// evict removes a key that was just written from the nodes that get keys, behind everybody's back, as a server that is full may do:
// what is older must not come back by it.
func (ck *checker) evict(k *knownKey) error {
	for _, a := range *ck.gets.Load() {
		c, err := redistest.Connect(a)
		if err != nil {
			return err
		}
		_, err = c.TryDo("UNLINK", k.name)
		c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (ck *checker) run(clients int, addresses ...string) {
	for i := range clients {
		ck.wg.Add(1)
		go ck.client(addresses[i%len(addresses)], uint64(i))
	}
}

// changes scales a pool up and down again under load, in front of which are two Ringways that learn of it one after the other.
func (ck *checker) changes(addresses []string, a, b *Server) {
	rounds := 1
	if os.Getenv("RINGWAY_FULL") != "" {
		rounds = 20
	}
	evicting := ck.gets.Load() != nil
	for range rounds {
		for _, n := range []int{4, 3} {
			if evicting {
				gets := addresses[:3]
				if n == 4 {
					gets = addresses[3:]
				}
				ck.gets.Store(&gets)
			}
			scale(ck.t, addresses[:n], a)
			time.Sleep(300 * time.Millisecond) // the other learns of it later: the interval is what is tested
			scale(ck.t, addresses[:n], b)
			onRing(ck.t, n, a, b)
			if ck.t.Failed() {
				return
			}
		}
	}
}

// end stops the clients, and returns which part of the reads has found something.
func (ck *checker) end(servers ...*Server) float64 {
	ck.stop.Store(true)
	ck.wg.Wait()
	hits, misses := ck.hits.Load(), ck.misses.Load()
	ratio := float64(hits) / float64(hits+misses)
	ck.t.Logf("%d requests, %d values checked, %.3f%% found; errors %v", ck.ops.Load(), hits, 100*ratio, ck.kinds)
	for i, srv := range servers {
		st := srv.Stats(0)[0]
		ck.t.Logf("server %d: moves %v, voids %d, migration %+v", i, st.Moves, st.Voids, st.Migration)
		balanced(ck.t, srv)
	}
	return ratio
}

// windowOf is a change of serve's only pool.
func windowOf(d time.Duration, rate int) func(*config.Config) {
	return onPool(func(p *config.Pool) {
		p.Migration = config.Migration{Mode: "warm", Window: d, MoverRate: rate}
		p.Timeout = 5 * time.Second
	})
}

// No key is found older than somebody has seen it, and next to all are found.
func TestWarmScalingKeepsHistories(t *testing.T) {
	addresses := nodes(t, 4)
	change := windowOf(1500*time.Millisecond, 0)
	a, b := serve(t, change, addresses[:3]...), serve(t, change, addresses[:3]...)
	inMode(t, warmPlain, a, b)
	ck := newChecker(t, 400)
	ck.fill(a.Addr(0))
	ck.run(12, a.Addr(0), b.Addr(0))
	ck.changes(addresses, a, b)
	if ratio := ck.end(a, b); ratio < 0.99 {
		t.Errorf("%.2f%% of the reads found something", 100*ratio)
	}
}

// The same with servers that evict what was just written, and with a mover in the background that comes to few of the keys. So many keys
// that most are touched first by a write, or by two clients at once, long after the change.
func TestWarmScalingKeepsHistoriesOverEvictions(t *testing.T) {
	addresses := nodes(t, 4)
	change := windowOf(1500*time.Millisecond, 100)
	a, b := serve(t, change, addresses[:3]...), serve(t, change, addresses[:3]...)
	inMode(t, warmPlain, a, b)
	ck := newChecker(t, 20000)
	ck.fill(a.Addr(0))
	ck.gets.Store(new([]string))
	ck.run(12, a.Addr(0), b.Addr(0))
	ck.changes(addresses, a, b)
	ck.end(a, b)
}
