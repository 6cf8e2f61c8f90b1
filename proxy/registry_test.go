package proxy

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/loop"
	"ringway/internal/redistest"
	"ringway/pool/discover"
)

// fakeLoops note what they are told to serve.
type fakeLoops struct {
	mu     sync.Mutex
	modes  []mode
	seen   int  // of these, by awaits
	busy   bool // hold does not succeed
	window time.Duration
}

func (f *fakeLoops) address(string) string { return "" }
func (f *fakeLoops) serve(m mode, y, z *ringSpec) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modes = append(f.modes, m)
}
func (f *fakeLoops) holdStill(m mode, y, z *ringSpec, limit time.Duration) bool {
	f.serve(m, y, z)
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.busy
}
func (f *fakeLoops) settle(time.Duration) {}
func (f *fakeLoops) walkOptions() walkOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	return walkOptions{f.window, 0}
}

func (f *fakeLoops) last() mode {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.modes) == 0 {
		return mode{}
	}
	return f.modes[len(f.modes)-1]
}

func spec(servers ...*redistest.Redis) *ringSpec {
	sp := &ringSpec{Distribution: "ketama"}
	for i, s := range servers {
		sp.Nodes = append(sp.Nodes, specNode{string(rune('a' + i)), s.Addr(), 1})
	}
	return sp
}

// enrolled starts a registry. Cleanup takes it off the nodes.
func enrolled(t *testing.T, file *ringSpec) (*registry, *fakeLoops) {
	t.Helper()
	f := &fakeLoops{window: time.Hour}
	r := newRegistry("p", slog.New(slog.DiscardHandler), discover.Options{}, f, &lease{}, file)
	go r.run()
	t.Cleanup(func() {
		if r.ctx.Err() == nil {
			r.leave()
		}
	})
	return r, f
}

// dies ends a registry without a word.
func (r *registry) dies() { r.cancel(); <-r.ended }

func awaits(t *testing.T, what string, f *fakeLoops, m mode) {
	t.Helper()
	redistest.WaitFor(t, what+" to be in "+m.String(), func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i, had := range f.modes[f.seen:] { // it may have gone on already
			if had == m {
				f.seen += i
				return true
			}
		}
		return false
	})
}

func TestModesExcludeEachOther(t *testing.T) {
	list := []string{"none", "plain Y", "plain Z", "hold Y>Z", "warm Y>Z", "drain Y>Z", "hold Z>W", "drain X>Y"}
	together := map[string]string{ // beside none
		"plain Y":   "plain Y, hold Y>Z, drain X>Y",
		"plain Z":   "plain Z, hold Z>W, drain Y>Z",
		"hold Y>Z":  "plain Y, hold Y>Z, warm Y>Z, drain Y>Z",
		"warm Y>Z":  "hold Y>Z, warm Y>Z, drain Y>Z",
		"drain Y>Z": "plain Z, hold Y>Z, warm Y>Z, drain Y>Z",
		"hold Z>W":  "plain Z, hold Z>W",
		"drain X>Y": "plain Y, drain X>Y",
	}
	for _, x := range list {
		for _, y := range list {
			a, err1 := parseMode(x)
			b, err2 := parseMode(y)
			if err1 != nil || err2 != nil || a.String() != x {
				t.Fatal(x, y, err1, err2)
			}
			may := x == "none" || y == "none"
			for _, m := range strings.Split(together[x], ", ") {
				may = may || m == y
			}
			if a.excludes(b) == may {
				t.Errorf("%s beside %s: excluded is %v", x, y, !may)
			}
		}
	}
	for _, bad := range []string{"", "plain", "plain Y>Z", "warm Y", "cold Y"} {
		if _, err := parseMode(bad); err == nil {
			t.Errorf("%q is taken for a mode", bad)
		}
	}
}

func TestDigestLeavesAddressesAndOrderOut(t *testing.T) {
	x := &ringSpec{Distribution: "ketama", Nodes: []specNode{{"a", "1", 1}, {"b", "2", 1}}}
	y := &ringSpec{Distribution: "ketama", Nodes: []specNode{{"b", "3", 1}, {"a", "4", 1}}}
	z := &ringSpec{Distribution: "ketama", Nodes: []specNode{{"b", "3", 2}, {"a", "4", 1}}}
	if x.digest() != y.digest() || x.digest() == z.digest() {
		t.Error(x.digest(), y.digest(), z.digest())
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	a, b, c := redistest.Server(t), redistest.Server(t), redistest.Server(t)
	old, next := spec(a, b), spec(a, b, c)
	y, z := old.digest(), next.digest()
	plainY, plainZ := mode{kind: warmPlain, y: y}, mode{kind: warmPlain, y: z}

	one, f1 := enrolled(t, old)
	awaits(t, "the first", f1, plainY)
	two, f2 := enrolled(t, next)
	awaits(t, "one that starts with the new file", f2, plainY)
	if got := one.lease.Valid() && two.lease.Valid(); !got {
		t.Error("a lease is missing")
	}
	one.want(next)
	awaits(t, "the first", f1, mode{warmWarm, y, z})
	awaits(t, "the second", f2, mode{warmWarm, y, z})

	three, f3 := enrolled(t, old)
	awaits(t, "one that starts with the old file in the middle of a change", f3, mode{warmWarm, y, z})
	three.want(next)
	two.dies() // its record counts for a grace
	f1.mu.Lock()
	f1.window = 0
	f1.mu.Unlock()
	awaits(t, "the first", f1, mode{warmDrain, y, z})
	if f3.last().kind != warmWarm {
		t.Error("the third is in", f3.last())
	}
	f3.mu.Lock()
	f3.window = 0
	f3.mu.Unlock()
	awaits(t, "the first", f1, plainZ)
	awaits(t, "the third", f3, plainZ)

	t.Run("a node that forgets does no harm", func(t *testing.T) {
		lapses := one.lapses.Load()
		for _, s := range []*redistest.Redis{a, b, c} {
			s.Do("FLUSHALL")
		}
		redistest.WaitFor(t, "what is in force to be written again", func() bool {
			return strings.Contains(a.Do("HGET", registryKey("p"), "force"), z) && a.Do("HGET", registryKey("p"), "ok") == redistest.Bulk("1")
		})
		if one.lapses.Load() != lapses || f1.last() != plainZ {
			t.Error("the first is in", f1.last())
		}
	})
	t.Run("a record that is gone and a ring of the file that is not in force", func(t *testing.T) {
		one.leave()
		three.leave()
		if got := a.Do("HKEYS", registryKey("p")); strings.Contains(got, one.id) || strings.Contains(got, three.id) {
			t.Errorf("the hash has %q", got)
		}
		last, f := enrolled(t, old) // all are gone, and it comes with the old file: what is in force is served, and then its own asked for
		defer func() {
			if t.Failed() {
				t.Logf("%s; it has been in %v; node a has %s", *last.why.Load(), f.modes, a.Do("HGETALL", registryKey("p")))
			}
		}()
		awaits(t, "it", f, plainZ)
		awaits(t, "it", f, mode{warmWarm, z, y})
	})
}

// One that is cut off from all nodes serves nothing once its lease is over, and begins anew when they are back.
func TestALeaseRunsOut(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	file := spec(a, b)
	r, f := enrolled(t, file)
	awaits(t, "it", f, mode{kind: warmPlain, y: file.digest()})
	a.Stop()
	redistest.WaitFor(t, "some rounds", func() bool { return r.seqNow() > 0 })
	if !r.lease.Valid() {
		t.Error("one node that is silent has cost the lease")
	}
	b.Stop()
	redistest.WaitFor(t, "the lease to run out", func() bool { return !r.lease.Valid() })
	awaits(t, "it", f, mode{})
	a.Cont()
	b.Cont()
	awaits(t, "it", f, mode{kind: warmPlain, y: file.digest()})
	if !r.lease.Valid() || r.lapses.Load() != 1 {
		t.Errorf("%d lapses, the lease is valid: %v", r.lapses.Load(), r.lease.Valid())
	}
}

// seqNow is the number of a round that comes.
func (r *registry) seqNow() uint64 {
	seq := make(chan uint64, 1)
	r.post(func() { seq <- r.seq })
	return <-seq
}

// A hold is given up if another does not come along, and tried again.
func TestHoldIsGivenUp(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	old, next := spec(a), spec(a, b)
	y, z := old.digest(), next.digest()
	one, f1 := enrolled(t, old)
	awaits(t, "the first", f1, mode{kind: warmPlain, y: y})
	two, f2 := enrolled(t, old)
	awaits(t, "the second", f2, mode{kind: warmPlain, y: y})
	f2.mu.Lock()
	f2.busy = true // before its change is known
	f2.mu.Unlock()
	one.want(next)
	two.want(next)
	awaits(t, "the first", f1, mode{warmHold, y, z})
	awaits(t, "the first, again,", f1, mode{kind: warmPlain, y: y})
	f2.mu.Lock()
	f2.busy = false
	f2.mu.Unlock()
	awaits(t, "the first", f1, mode{warmWarm, y, z})
	awaits(t, "the second", f2, mode{warmWarm, y, z})
}

// Two that learn of a change one long after the other hold at the same time, once.
func TestNobodyHoldsBeforeAllAreReady(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	old, next := spec(a), spec(a, b)
	y, z := old.digest(), next.digest()
	one, f1 := enrolled(t, old)
	two, f2 := enrolled(t, old)
	awaits(t, "the first", f1, mode{kind: warmPlain, y: y})
	awaits(t, "the second", f2, mode{kind: warmPlain, y: y})
	one.want(next)
	redistest.WaitFor(t, "the first to have seen the new node for long", func() bool {
		since := make(chan int64, 1)
		one.post(func() {
			if n := one.nodes["b"]; n != nil && n.since > 0 {
				since <- loop.Clock() - n.since
			} else {
				since <- 0
			}
		})
		return <-since > 2*int64(one.t.settle)
	})
	two.want(next)
	awaits(t, "the first", f1, mode{warmWarm, y, z})
	awaits(t, "the second", f2, mode{warmWarm, y, z})
	for i, f := range []*fakeLoops{f1, f2} {
		f.mu.Lock()
		if got := len(f.modes); got != 3 {
			t.Errorf("member %d has been in %v", i, f.modes)
		}
		f.mu.Unlock()
	}
}

// A dead member is waited for until it was silent for a grace.
func TestTheDeadAreAwaited(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	old, next := spec(a), spec(a, b)
	y, z := old.digest(), next.digest()
	one, f1 := enrolled(t, old)
	awaits(t, "the first", f1, mode{kind: warmPlain, y: y})
	two, f2 := enrolled(t, old)
	awaits(t, "the second", f2, mode{kind: warmPlain, y: y})
	died := time.Now()
	two.dies()
	one.want(next)
	awaits(t, "the first", f1, mode{warmWarm, y, z})
	if waited := time.Since(died); waited < one.t.grace {
		t.Errorf("it was waited for %v only", waited)
	}
}

// The nodes that get keys are swept of what nobody can want.
func TestSweep(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	old, next := spec(a), spec(a, b)
	p, err := placingOf(next)
	if err != nil {
		t.Fatal(err)
	}
	left, stays := 0, 0
	for i := range 300 {
		k := "key" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		for _, s := range []*redistest.Redis{a, b} {
			s.Do("SET", k, "v")
		}
		if p.owner(k) == "b" {
			left++
		} else {
			stays++
		}
	}
	one, f := enrolled(t, old)
	awaits(t, "it", f, mode{kind: warmPlain, y: old.digest()})
	one.want(next)
	awaits(t, "it", f, mode{warmWarm, old.digest(), next.digest()})
	keys := func(s *redistest.Redis) (n int) { return strings.Count(s.Do("KEYS", "key*"), "key") }
	if keys(a) != 300 || keys(b) != stays {
		t.Errorf("%d and %d keys, want 300 and %d", keys(a), keys(b), stays)
	}
	var rec record
	json.Unmarshal(text([]byte(a.Do("HGET", registryKey("p"), "m:"+one.id))), &rec)
	if rec.Mode.kind != warmWarm {
		t.Errorf("its record is %+v", rec)
	}
}
