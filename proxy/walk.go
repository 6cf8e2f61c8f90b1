package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"ringway/hashring"
	"ringway/internal/loop"
	"ringway/pool/discover"
)

// Before a change the nodes that get keys are swept of what earlier changes have left there; in its window the nodes that give keys are
// walked, and what is found is moved. Both go through the keys with SCAN, away from the loops, on connections of their own.

// walkOptions are what a pool's configuration says of it.
type walkOptions struct {
	window time.Duration
	rate   int // keys a second; 0: no walk
}

// walkProgress is how far the background mover of this process is.
type walkProgress struct {
	moved, lost atomic.Uint64
	mu          sync.Mutex
	nodes       map[string]*walkedNode
}

type walkedNode struct{ walked, keys atomic.Int64 }

func (p *walkProgress) node(name string) *walkedNode {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodes == nil {
		p.nodes = map[string]*walkedNode{}
	}
	n := p.nodes[name]
	if n == nil {
		n = &walkedNode{}
		p.nodes[name] = n
	}
	return n
}

func (p *walkProgress) all() map[string][2]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string][2]int64{}
	for name, n := range p.nodes {
		all[name] = [2]int64{n.walked.Load(), n.keys.Load()}
	}
	return all
}

// placing is a ring by the names of its nodes.
type placing struct {
	ring  *hashring.Ring
	names map[string]bool
}

func placingOf(sp *ringSpec) (*placing, error) {
	ring, err := hashring.New(sp.ringNodes(), sp.options())
	if err != nil {
		return nil, err
	}
	p := &placing{ring, map[string]bool{}}
	for _, n := range sp.Nodes {
		p.names[n.Name] = true
	}
	return p, nil
}

func (p *placing) owner(key string) string { return p.ring.Node(p.ring.Find([]byte(key))).Name }

// givers are the nodes that may give keys away: all of the old ring. One that gives none is walked in vain, once.
func givers(y, z *ringSpec) (names []string) {
	for _, n := range y.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// sweep removes from the nodes what would be theirs in z and is not in y: nobody can want it. Before, nodes are asked whether they
// understand each other's DUMP.
func (r *registry) sweep(y, z *ringSpec) (removed int, err error) {
	old, err := placingOf(y)
	if err != nil {
		return 0, err
	}
	next, err := placingOf(z)
	if err != nil {
		return 0, err
	}
	conns := map[string]*discover.Conn{}
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	opt := r.opt
	opt.Timeout = max(opt.Timeout, 2*time.Second)
	connect := func(n specNode) (*discover.Conn, error) {
		if c := conns[n.Name]; c != nil {
			return c, nil
		}
		c, err := discover.Connect(r.ctx, opt, r.addressOf(n))
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.Name, err)
		}
		conns[n.Name] = c
		return c, nil
	}
	probe := reservedPrefix + "probe"
	dumps := map[string]string{}
	for _, n := range y.Nodes {
		c, err := connect(n)
		if err != nil {
			return 0, err
		}
		replies, err := c.Exchange([]string{"SET", probe, "1", "PX", "1000"}, []string{"DUMP", probe}, []string{"UNLINK", probe})
		if err != nil {
			return 0, fmt.Errorf("node %s: %w", n.Name, err)
		}
		if replies[1][0] != '$' || isNull(replies[1]) {
			return 0, fmt.Errorf("node %s does not DUMP: %s", n.Name, trimmed(replies[1]))
		}
		dumps[n.Name] = string(text(replies[1]))
	}
	for _, n := range z.Nodes {
		c, err := connect(n)
		if err != nil {
			return 0, err
		}
		for from, dump := range dumps {
			replies, err := c.Exchange([]string{"UNLINK", probe}, []string{"RESTORE", probe, "1000", dump}, []string{"UNLINK", probe})
			if err != nil {
				return 0, fmt.Errorf("node %s: %w", n.Name, err)
			}
			if replies[1][0] == '-' {
				return 0, fmt.Errorf("node %s does not take what node %s gives: %s", n.Name, from, trimmed(replies[1]))
			}
		}
	}
	for _, n := range z.Nodes {
		err := eachKey(r.ctx, conns[n.Name], 1000, 10*time.Millisecond, func(c *discover.Conn, _ int, keys []string) error {
			gone := []string{"UNLINK"}
			for _, k := range keys {
				if next.owner(k) == n.Name && old.owner(k) != n.Name && !strings.HasPrefix(k, reservedPrefix+"pool:") {
					gone = append(gone, k)
				}
			}
			if len(gone) == 1 {
				return nil
			}
			if !r.lease.Valid() { // the others may have gone on without this one
				return errors.New("the lease ran out")
			}
			removed += len(gone) - 1
			_, err := c.Ask(gone...)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return removed, nil
}

func (r *registry) addressOf(n specNode) string {
	if at := r.loops.address(n.Name); at != "" {
		return at
	}
	return n.Address
}

// eachKey goes through the keys of a node, database after database, and ends in database 0.
func eachKey(ctx context.Context, c *discover.Conn, count int, pause time.Duration, f func(c *discover.Conn, db int, keys []string) error) error {
	replies, err := c.Exchange([]string{"INFO", "keyspace"})
	if err != nil {
		return err
	}
	var dbs []int
	for line := range strings.Lines(string(replies[0])) {
		if rest, ok := strings.CutPrefix(line, "db"); ok {
			number, _, _ := strings.Cut(rest, ":")
			if db, err := strconv.Atoi(number); err == nil {
				dbs = append(dbs, db)
			}
		}
	}
	for _, db := range dbs {
		if _, err := c.Ask("SELECT", strconv.Itoa(db)); err != nil {
			return err
		}
		for cursor := "0"; ; {
			replies, err := c.Exchange([]string{"SCAN", cursor, "COUNT", strconv.Itoa(count)})
			if err != nil {
				return err
			}
			parts := elements(replies[0])
			if len(parts) != 2 {
				return fmt.Errorf("SCAN: %s", trimmed(replies[0]))
			}
			var keys []string
			for _, k := range elements(parts[1]) {
				keys = append(keys, string(text(k)))
			}
			if len(keys) > 0 {
				if err := f(c, db, keys); err != nil {
					return err
				}
			}
			if cursor = string(text(parts[0])); cursor == "0" {
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
	_, err = c.Ask("SELECT", "0")
	return err
}

// startWalking begins the background mover of a change.
func (r *registry) startWalking() {
	r.stopWalking()
	opt := r.loops.walkOptions()
	if opt.rate == 0 {
		return
	}
	ctx, cancel := context.WithCancel(r.ctx)
	var done sync.WaitGroup
	r.walking = func() { cancel(); done.Wait() }
	wk := &walker{r: r, ctx: ctx, y: r.specs[r.mode.y], z: r.specs[r.mode.z], rate: opt.rate}
	done.Go(func() { wk.run() })
}

// stopWalking returns when the mover has ended: what it had taken is restored, or given up.
func (r *registry) stopWalking() {
	if r.walking != nil {
		r.walking()
		r.walking = nil
	}
}

// walker is the background mover.
type walker struct {
	r    *registry
	ctx  context.Context
	y, z *ringSpec
	rate int
	next *placing
}

func (wk *walker) run() {
	var err error
	if wk.next, err = placingOf(wk.z); err != nil {
		return
	}
	done := map[string]bool{}
	for wk.ctx.Err() == nil {
		for _, n := range wk.y.Nodes {
			if done[n.Name] || !wk.mine(n.Name) || wk.ctx.Err() != nil {
				continue
			}
			left, err := wk.pass(n)
			if err != nil {
				if wk.ask(func() bool { return wk.r.remind("walk " + n.Name) }) {
					wk.r.log.Warn("cannot move keys in the background", "pool", wk.r.pool, "node", n.Name, "error", err)
				}
				continue
			}
			if left == 0 {
				done[n.Name] = true
				wk.ask(func() bool { wk.r.walked = append(wk.r.walked, n.Name); return true })
			}
		}
		select {
		case <-wk.ctx.Done():
		case <-time.After(wk.r.t.heartbeat):
		}
	}
}

// ask has f answer on the registry's goroutine; false if the walk ends meanwhile.
func (wk *walker) ask(f func() bool) bool {
	answer := make(chan bool, 1)
	wk.r.post(func() { answer <- f() })
	select {
	case is := <-answer:
		return is
	case <-wk.ctx.Done():
		return false
	}
}

// mine reports whether this process is the one to walk a node: the living member with the highest hash.
func (wk *walker) mine(node string) bool {
	return wk.ask(func() bool {
		own := xxhash.Sum64String(wk.r.id + " " + node)
		for id, p := range wk.r.living() {
			if p.Mode.kind == warmWarm && xxhash.Sum64String(id+" "+node) > own {
				return false
			}
		}
		return true
	})
}

// pass goes through a node once and moves what is not its own. left is how many keys it has found to move.
func (wk *walker) pass(n specNode) (left int, err error) {
	c, err := discover.Connect(wk.r.ctx, wk.r.opt, wk.r.addressOf(n))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	to := map[string]*discover.Conn{}
	defer func() {
		for _, c := range to {
			c.Close()
		}
	}()
	progress := wk.r.progress.node(n.Name)
	size, err := c.Ask("DBSIZE")
	if err != nil {
		return 0, err
	}
	keys, _ := strconv.Atoi(size)
	progress.keys.Store(int64(keys))
	progress.walked.Store(0)
	begun, moved := time.Now(), 0
	err = eachKey(wk.ctx, c, 100, 0, func(c *discover.Conn, db int, keys []string) error {
		for _, k := range keys {
			progress.walked.Add(1)
			owner := wk.next.owner(k)
			if owner == n.Name || strings.HasPrefix(k, reservedPrefix) {
				continue
			}
			left++
			b := to[owner]
			if b == nil {
				i := slices.IndexFunc(wk.z.Nodes, func(z specNode) bool { return z.Name == owner })
				if b, err = discover.Connect(wk.r.ctx, wk.r.opt, wk.r.addressOf(wk.z.Nodes[i])); err != nil {
					return err
				}
				to[owner] = b
			}
			if err := wk.move(c, b, db, k); err != nil {
				return err
			}
			moved++
			if ahead := time.Duration(moved)*time.Second/time.Duration(wk.rate) - time.Since(begun); ahead > 0 {
				select {
				case <-wk.ctx.Done():
				case <-time.After(ahead):
				}
			}
			if wk.ctx.Err() != nil {
				return wk.ctx.Err()
			}
		}
		return nil
	})
	return left, err
}

// move moves a key from a to b with the steps of move.go. The end of the walk does not cut it.
func (wk *walker) move(a, b *discover.Conn, db int, key string) error {
	r := wk.r
	marker := markerOf(key)
	began := loop.Clock()
	look, err := b.Exchange([]string{"SELECT", strconv.Itoa(db)}, []string{"SET", marker, "1", "NX", "PX", strconv.FormatInt(r.t.marker.Milliseconds(), 10)},
		[]string{"WATCH", marker}, []string{"EXISTS", marker}, []string{"EXISTS", key})
	if err != nil {
		return err
	}
	if look[0][0] == '-' {
		return fmt.Errorf("SELECT: %s", trimmed(look[0]))
	}
	switch {
	case look[1][0] != '+' || string(look[3]) != ":1\r\n": // somebody else moves it; or a node without memory
		_, err := b.Ask("UNWATCH")
		return err
	case string(look[4]) != ":0\r\n":
		_, err := b.Exchange([]string{"UNWATCH"}, []string{"UNLINK", marker})
		return err
	}
	taken := loop.Clock()
	take, err := a.Exchange([]string{"MULTI"}, []string{"PTTL", key}, []string{"DUMP", key}, []string{"UNLINK", key}, []string{"EXEC"})
	if err != nil {
		return err
	}
	ttl, dump, err := parseTaken(take[4])
	if err != nil || dump == nil {
		if _, e := b.Exchange([]string{"UNWATCH"}, []string{"UNLINK", marker}); e != nil {
			return e
		}
		return err
	}
	now := loop.Clock()
	ttl, expired := ttlLeft(ttl, now-taken)
	if expired || now-began >= int64(r.t.attempt) || !r.lease.Valid() {
		if !expired {
			r.progress.lost.Add(1)
		}
		_, err := b.Exchange([]string{"UNWATCH"}, []string{"UNLINK", marker})
		return err
	}
	put, err := b.Exchange([]string{"MULTI"}, []string{"RESTORE", key, strconv.FormatInt(ttl, 10), string(dump)}, []string{"UNLINK", marker}, []string{"EXEC"})
	if err != nil {
		r.progress.lost.Add(1)
		return err
	}
	switch putResult(put[3]) {
	case moveMoved:
		r.progress.moved.Add(1)
	case moveLost:
		r.progress.lost.Add(1)
		return fmt.Errorf("RESTORE: %s", trimmed(put[3]))
	}
	return nil
}
