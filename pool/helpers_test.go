package pool

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"ringway/internal/loop"
	"ringway/internal/redistest"
	"ringway/resp"
)

// runLoop starts a loop that Cleanup stops.
func runLoop(t testing.TB) *loop.Loop {
	t.Helper()
	l, err := loop.New(0)
	if err != nil {
		t.Fatal(err)
	}
	go l.Run()
	t.Cleanup(func() {
		l.Stop()
		<-l.Done()
	})
	return l
}

// fixture is a lane on a loop of its own, and what has been told about its node.
type fixture struct {
	t    testing.TB
	loop *loop.Loop
	lane *Lane
	node *Node
	opt  *Options

	mu      sync.Mutex
	changes []string // "up", or "down: reason"
}

// newLane returns a lane to addr, with short time-outs that a test may change.
func newLane(t testing.TB, addr string, change func(o *Options, k *Key)) *fixture {
	t.Helper()
	f := &fixture{t: t, loop: runLoop(t), node: NewNode("n", addr, nil)}
	f.opt = &Options{
		Pool: "test", Timeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, OutputLimit: 1 << 20,
		OnChange: func(_ *Node, up bool, reason string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if up {
				f.changes = append(f.changes, "up")
			} else {
				f.changes = append(f.changes, "down: "+reason)
			}
		},
	}
	var key Key
	if change != nil {
		change(f.opt, &key)
	}
	f.node.SetOptions(f.opt)
	f.lane = NewLane(f.loop, f.node, 0, key)
	t.Cleanup(func() { f.do(f.lane.Close) })
	return f
}

// do runs g on the loop and waits for it.
func (f *fixture) do(g func()) {
	f.t.Helper()
	redistest.Run(f.t, f.loop.Post, g)
}

// told returns what OnChange was told.
func (f *fixture) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.changes...)
}

// await waits until the lane is in the state.
func (f *fixture) await(s state) {
	f.t.Helper()
	redistest.WaitFor(f.t, fmt.Sprintf("state %d", s), func() bool {
		var now state
		f.do(func() { now = f.lane.state })
		return now == s
	})
}

// open connects the lane and waits until it is ready.
func (f *fixture) open() {
	f.t.Helper()
	f.do(f.lane.Open)
	f.await(ready)
}

// caller is an Owner that keeps what it gets, and fails the test if it gets anything after the end.
type caller struct {
	t       testing.TB
	mu      sync.Mutex
	reply   map[uint64]string
	kind    map[uint64]byte
	over    map[uint64]bool
	failure map[uint64]string
	order   []uint64
}

func newCaller(t testing.TB) *caller {
	return &caller{t: t, reply: map[uint64]string{}, kind: map[uint64]byte{}, over: map[uint64]bool{}, failure: map[uint64]string{}}
}

func (c *caller) Reply(tag uint64, kind byte, b []byte, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over[tag] {
		c.t.Errorf("request %d gets %q after its end", tag, b)
	}
	c.reply[tag] += string(b)
	c.kind[tag] = kind
	if done {
		c.over[tag] = true
		c.order = append(c.order, tag)
	}
}

func (c *caller) Fail(tag uint64, reason string, _ bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over[tag] {
		c.t.Errorf("request %d fails after its end: %s", tag, reason)
	}
	c.over[tag] = true
	c.failure[tag] = reason
	c.order = append(c.order, tag)
}

// ended returns how many requests have their reply or failure.
func (c *caller) ended() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.order)
}

// wait waits until n requests have ended.
func (c *caller) wait(n int) {
	c.t.Helper()
	redistest.WaitFor(c.t, fmt.Sprintf("%d requests to end", n), func() bool { return c.ended() >= n })
}

// gets checks the reply of a request.
func (c *caller) gets(tag uint64, want string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure[tag] != "" || c.reply[tag] != want {
		c.t.Errorf("request %d: got %q, failure %q; want %q", tag, c.reply[tag], c.failure[tag], want)
	}
}

// fails checks the failure of a request.
func (c *caller) fails(tag uint64, want string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure[tag] != want {
		c.t.Errorf("request %d: reply %q, failure\n     %q; want\n     %q", tag, c.reply[tag], c.failure[tag], want)
	}
}

// send puts requests on the lane, with tags from the given one on.
func (f *fixture) send(c *caller, tag uint64, requests ...[]string) {
	f.t.Helper()
	f.do(func() {
		for i, r := range requests {
			f.lane.Send(resp.AppendCommand(nil, r...), c, tag+uint64(i))
		}
	})
}

func get(key string) []string { return []string{"GET", key} }

// closed is where nobody listens.
func closed(t testing.TB) string { return fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t)) }
