package proxy

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringway/internal/config"
	"ringway/pool/discover"
)

// replicaWatch finds out which replicas are fit to be read: they answer, are connected to their primary, and are not further behind it
// than max_lag.
//
// How far behind is told in time, though Redis tells it in bytes: in each round the primary's offset is noted with the time. A replica
// that has reached an offset is at most as far behind as that note is old, or not at all if the primary has not gone on since.
type replicaWatch struct {
	d   *director
	cfg *config.Pool
	opt discover.Options

	mu     sync.Mutex
	known  map[int]*observed // by node
	handed [][]uint16        // the readers that were handed out last
}

// observed is what is known of one server.
type observed struct {
	fit     bool
	why     string        // it is not fit
	latency time.Duration // smoothed
	marks   []mark        // of a primary: its offsets, the oldest first
}

type mark struct {
	offset int64
	at     time.Time
}

// watchInterval is the time between two rounds.
const watchInterval = time.Second

func newReplicaWatch(d *director) *replicaWatch {
	cfg := d.pool.cfg
	timeout := cfg.Health.Timeout
	if timeout <= 0 {
		timeout = time.Second
	}
	w := &replicaWatch{d: d, cfg: cfg, known: map[int]*observed{}, opt: d.asking()}
	w.opt.Timeout = timeout
	return w
}

// run watches until ctx ends.
func (w *replicaWatch) run(ctx context.Context) {
	conns := map[int]*watched{}
	tick := time.NewTicker(w.interval())
	defer tick.Stop()
	for {
		w.round(ctx, conns)
		w.handOut()
		select {
		case <-ctx.Done():
			for _, c := range conns {
				c.hangUp()
			}
			return
		case <-tick.C:
		}
	}
}

func (w *replicaWatch) interval() time.Duration {
	if w.cfg.MaxLag > 0 {
		return min(watchInterval, max(w.cfg.MaxLag/4, 50*time.Millisecond))
	}
	return watchInterval
}

// watched is the connection to a server.
type watched struct {
	address string
	conn    *discover.Conn
}

func (c *watched) hangUp() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// report is what one server says of itself.
type report struct {
	info    map[string]string
	latency time.Duration
	err     error
}

// round asks all servers at the same time.
func (w *replicaWatch) round(ctx context.Context, conns map[int]*watched) {
	w.d.mu.Lock()
	members := slices.Clone(w.d.members)
	nodes := w.d.nodes
	w.d.mu.Unlock()
	reports := map[int]*report{}
	var all sync.WaitGroup
	ask := func(i int) {
		if nodes[i].Address() == "" || reports[i] != nil {
			return
		}
		c, r := conns[i], &report{}
		if c == nil {
			c = &watched{}
			conns[i] = c
		}
		reports[i] = r
		all.Add(1)
		go func() {
			defer all.Done()
			*r = w.ask(ctx, c, nodes[i].Address())
		}()
	}
	for _, m := range members {
		if len(m.replicas) == 0 {
			continue
		}
		ask(m.node)
		for _, r := range m.replicas {
			ask(r.node)
		}
	}
	all.Wait()
	for i, c := range conns {
		if reports[i] == nil {
			c.hangUp()
			delete(conns, i)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range members {
		if p := reports[m.node]; p != nil {
			w.notePrimary(m.node, p)
			for _, r := range m.replicas {
				w.noteReplica(nodes[r.node].Name, w.of(r.node), w.of(m.node), reports[r.node])
			}
		}
	}
}

// ask asks one server.
func (w *replicaWatch) ask(ctx context.Context, c *watched, address string) (r report) {
	if c.address != address {
		c.hangUp()
		c.address = address
	}
	if c.conn == nil {
		if c.conn, r.err = discover.Connect(ctx, w.opt, address); r.err != nil {
			c.conn = nil
			return r
		}
	}
	start := time.Now()
	if _, r.err = c.conn.Ask("PING"); r.err == nil {
		r.latency = time.Since(start)
		var text string
		text, r.err = c.conn.Ask("INFO", "replication")
		r.info = map[string]string{}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				r.info[name] = value
			}
		}
	}
	if r.err != nil {
		c.hangUp()
	}
	return r
}

func (w *replicaWatch) of(node int) *observed {
	o := w.known[node]
	if o == nil {
		o = &observed{latency: math.MaxInt64}
		w.known[node] = o
	}
	return o
}

func (o *observed) sample(latency time.Duration) {
	if o.latency == math.MaxInt64 {
		o.latency = latency
	} else {
		o.latency += (latency - o.latency) / 4
	}
}

// notePrimary takes a primary's report. The mutex is held.
func (w *replicaWatch) notePrimary(node int, r *report) {
	o := w.of(node)
	if o.fit = r.err == nil; !o.fit {
		return
	}
	o.sample(r.latency)
	offset, err := strconv.ParseInt(r.info["master_repl_offset"], 10, 64)
	if err != nil {
		return
	}
	if n := len(o.marks); n > 0 && offset < o.marks[n-1].offset { // another primary, or one that has started anew
		o.marks = o.marks[:0]
	}
	o.marks = append(o.marks, mark{offset, time.Now()})
	if len(o.marks) > mostMarks {
		o.marks = slices.Delete(o.marks, 0, len(o.marks)-mostMarks)
	}
}

// mostMarks bounds what is remembered of a primary: a replica further behind than that is not fit.
const mostMarks = 600

// noteReplica takes a replica's report. The mutex is held.
func (w *replicaWatch) noteReplica(name string, o, primary *observed, r *report) {
	was, known := o.fit, o.why != "" || o.fit
	o.fit, o.why = w.judge(primary, r)
	if r.err == nil {
		o.sample(r.latency)
	}
	if !known || was != o.fit {
		if o.fit {
			w.d.log.Info("replica is read", "pool", w.cfg.Name, "node", name)
		} else {
			w.d.log.Warn("replica is not read", "pool", w.cfg.Name, "node", name, "reason", o.why)
		}
	}
}

// judge says whether a replica is fit, and if not, why.
func (w *replicaWatch) judge(primary *observed, r *report) (fit bool, why string) {
	switch {
	case r.err != nil:
		return false, r.err.Error()
	case r.info["role"] != "slave":
		return false, "it is no replica"
	case r.info["master_link_status"] != "up":
		return false, "it has lost its primary"
	case w.cfg.MaxLag == 0:
		return true, ""
	}
	offset, err := strconv.ParseInt(r.info["slave_repl_offset"], 10, 64)
	if err != nil {
		return false, "it does not say how far it is"
	}
	if lag := primary.behind(offset); lag > w.cfg.MaxLag-min(w.interval(), w.cfg.MaxLag/2) { // it is read until the next round
		return false, "it is behind by more than " + w.cfg.MaxLag.String()
	}
	return true, ""
}

// behind returns how far behind the primary a replica is at most that has reached an offset: what it lacks first may have been written as soon
// as the last offset was noted that it has reached.
func (o *observed) behind(offset int64) time.Duration {
	for i, m := range o.marks {
		if m.offset > offset {
			return time.Since(o.marks[max(0, i-1)].at)
		}
	}
	return 0
}

// handOut publishes the readers if they have changed.
func (w *replicaWatch) handOut() {
	w.d.mu.Lock()
	now := w.readers(w.d.members)
	w.d.mu.Unlock()
	w.mu.Lock()
	changed := !slices.EqualFunc(now, w.handed, slices.Equal)
	w.handed = now
	w.mu.Unlock()
	if changed {
		w.d.refresh(w)
	}
}

// readers says for each primary from which nodes its keys are read, as the pool's read_policy has it. The director's mutex is held.
func (w *replicaWatch) readers(members []member) [][]uint16 {
	nobody := uint16(0)
	if w.cfg.ReadPolicy == "replica" {
		nobody = uint16(w.d.noReplica())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([][]uint16, len(w.d.nodes))
	for _, m := range members {
		var fit []uint16
		for _, r := range m.replicas {
			if o := w.known[r.node]; o != nil && o.fit {
				fit = append(fit, uint16(r.node))
			}
		}
		switch w.cfg.ReadPolicy {
		case "replica":
			if len(fit) == 0 {
				fit = []uint16{nobody}
			}
		case "any":
			fit = append(fit, uint16(m.node))
		case "nearest":
			fit = w.nearest(m, append(fit, uint16(m.node)))
		}
		list[m.node] = fit
	}
	return list
}

// nearest keeps those of the same zone, or if there are none those that answer soonest: within half as much again of the first.
func (w *replicaWatch) nearest(m member, from []uint16) []uint16 {
	zones := map[uint16]string{uint16(m.node): m.zone}
	for _, r := range m.replicas {
		zones[uint16(r.node)] = r.zone
	}
	if w.cfg.Zone != "" {
		same := slices.DeleteFunc(slices.Clone(from), func(n uint16) bool { return zones[n] != w.cfg.Zone })
		if len(same) > 0 {
			return same
		}
	}
	best := time.Duration(math.MaxInt64)
	for _, n := range from {
		if o := w.known[int(n)]; o != nil {
			best = min(best, o.latency)
		}
	}
	return slices.DeleteFunc(from, func(n uint16) bool {
		o := w.known[int(n)]
		return best != math.MaxInt64 && (o == nil || o.latency > best+best/2+100*time.Microsecond)
	})
}
