package status

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"ringway/internal/metrics"
	"ringway/proxy"
)

// Source is what is asked: a proxy.Server.
type Source interface {
	Pools() []metrics.PoolShards
	Layout() []proxy.PoolLayout
	HotKeys() []proxy.PoolHotKeys
	Ready() error
}

const (
	interval = time.Second
	length   = 120 // seconds of history
	recent   = 5   // seconds that a node's load is taken over
)

// Recorder looks at the counters each second, and keeps the rates.
type Recorder struct {
	src     Source
	version string
	started time.Time
	events  *Events

	mu    sync.Mutex
	pools map[string]*past
}

// NewRecorder returns one that knows nothing yet. events may be nil.
func NewRecorder(src Source, version string, events *Events) *Recorder {
	if events == nil {
		events = &Events{}
	}
	return &Recorder{src: src, version: version, started: time.Now(), events: events, pools: map[string]*past{}}
}

// Run records until ctx ends.
func (r *Recorder) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	r.record(time.Now())
	for {
		select {
		case now := <-tick.C:
			r.record(now)
		case <-ctx.Done():
			return
		}
	}
}

// past is what was seen of a pool.
type past struct {
	at       time.Time
	last     *metrics.Pool // what had been counted then; nil before the first time
	names    []string
	requests []float64
	errors   []float64
	p50, p99 []float64
	nodes    map[string][]float64 // requests a second
}

func (r *Recorder) record(now time.Time) {
	seen := map[string]bool{}
	list := r.src.Pools() // it waits for the loops
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range list {
		sum := metrics.Sum(p.Shards)
		if sum == nil {
			continue
		}
		seen[p.Name] = true
		if r.pools[p.Name] == nil {
			r.pools[p.Name] = &past{nodes: map[string][]float64{}}
		}
		r.pools[p.Name].add(now, p.Nodes, sum)
	}
	for name := range r.pools {
		if !seen[name] {
			delete(r.pools, name)
		}
	}
}

// add keeps the rates since the last time. Counters that have become smaller are those of another pool of that name.
func (p *past) add(now time.Time, names []string, sum *metrics.Pool) {
	last, seconds := p.last, now.Sub(p.at).Seconds()
	p.at, p.last, p.names = now, sum, names
	if last == nil || seconds <= 0 {
		return
	}
	rate := func(now, before uint64) float64 {
		if now < before {
			return 0
		}
		return float64(now-before) / seconds
	}
	p.requests = push(p.requests, rate(requests(sum), requests(last)))
	p.errors = push(p.errors, rate(total(sum.Errors[:]), total(last.Errors[:])))
	p50, p99 := quantiles(&sum.Latency, &last.Latency)
	p.p50, p.p99 = push(p.p50, p50), push(p.p99, p99)
	here := map[string]bool{}
	for i, name := range names {
		if name == "" || i >= len(sum.Nodes) {
			continue
		}
		before := uint64(0)
		if i < len(last.Nodes) {
			before = last.Nodes[i].Requests
		}
		here[name] = true
		p.nodes[name] = push(p.nodes[name], rate(sum.Nodes[i].Requests, before))
	}
	for name := range p.nodes {
		if !here[name] {
			delete(p.nodes, name)
		}
	}
}

func push(list []float64, v float64) []float64 {
	if len(list) >= length {
		list = append(list[:0], list[len(list)-length+1:]...)
	}
	return append(list, math.Round(v*100)/100)
}

func requests(p *metrics.Pool) uint64 { return total(p.Requests) + p.Unknown }

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// quantiles are those of the requests between two times, in ms; 0 if there were none.
func quantiles(now, before *metrics.Histogram) (p50, p99 float64) {
	var counts [metrics.HistogramBuckets]uint64
	all := uint64(0)
	for i := range counts {
		counts[i] = now.Buckets[i] - before.Buckets[i]
		all += counts[i]
	}
	at := func(q float64) float64 {
		if all == 0 || now.Sum < before.Sum {
			return 0
		}
		left := int64(math.Ceil(q * float64(all)))
		for i, n := range counts {
			if left -= int64(n); left <= 0 {
				return float64(metrics.Bound(min(i, metrics.HistogramBuckets-2))) / 1e6
			}
		}
		return 0
	}
	return at(0.5), at(0.99)
}

// Status tells how things are now.
func (r *Recorder) Status() Status {
	s := Status{Version: r.version, Started: r.started, Time: time.Now(), Ready: true, Pools: []Pool{}, Events: r.events.Last()}
	if err := r.src.Ready(); err != nil {
		s.Ready, s.Why = false, err.Error()
	}
	hot := map[string]proxy.PoolHotKeys{}
	for _, p := range r.src.HotKeys() {
		hot[p.Pool] = p
	}
	layout := r.src.Layout()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range layout {
		s.Pools = append(s.Pools, r.pool(&layout[i], hot[layout[i].Name]))
	}
	return s
}

func (r *Recorder) pool(l *proxy.PoolLayout, hot proxy.PoolHotKeys) Pool {
	p := Pool{Name: l.Name, Listen: l.Listen, Distribution: l.Distribution, HotMode: hot.Mode, Nodes: []Node{}, HotKeys: []HotKey{}, ErrorsByKind: []Count{}}
	past := r.pools[l.Name]
	if past == nil || past.last == nil {
		past = &past0
	} else {
		p.Clients = past.last.Clients
		p.ErrorsByKind = errorsOf(past.last)
	}
	p.Requests, p.Errors, p.P50, p.P99 = newest(past.requests), newest(past.errors), newest(past.p50), newest(past.p99)
	p.History = History{Requests: copied(past.requests), Errors: copied(past.errors), P99: copied(past.p99)}
	place := make([]int, len(l.Nodes)) // of each node in p.Nodes
	for i, n := range l.Nodes {
		place[i] = len(p.Nodes)
		if n.Name != "" {
			p.Nodes = append(p.Nodes, past.node(i, &n))
		}
	}
	for _, i := range l.Ring {
		p.Ring = append(p.Ring, place[i])
	}
	all := 0.0
	for i := range p.Nodes {
		p.Nodes[i].Load = mean(past.nodes[p.Nodes[i].Name])
		all += p.Nodes[i].Load
	}
	for i := range p.Nodes {
		p.Nodes[i].Load /= max(all, 1e-9)
	}
	for _, k := range hot.Keys {
		p.HotKeys = append(p.HotKeys, HotKey{Key: k.Key, Node: k.Node, Share: k.Share, Reads: k.Reads, Writes: k.Writes, Tier: k.Tier, Copies: k.Copies, Why: k.Why})
	}
	p.Verdict = judge(&p)
	return p
}

// past0 is that of a pool which was not looked at yet.
var past0 past

func (p *past) node(i int, n *proxy.NodeLayout) Node {
	node := Node{Name: n.Name, Address: n.Address, Primary: n.Primary, Keys: n.Share, State: Up, History: copied(p.nodes[n.Name])}
	node.Requests = newest(node.History)
	if p.last == nil || i >= len(p.last.Nodes) {
		return node
	}
	c := &p.last.Nodes[i]
	node.InFlight, node.Unsent, node.Lanes, node.Losses = c.Depth, c.Unsent, c.Lanes, c.Losses
	switch {
	case c.Ejected:
		node.State = Ejected
	case !c.Up:
		node.State = Down
	}
	return node
}

func errorsOf(p *metrics.Pool) []Count {
	list := []Count{}
	for k, n := range p.Errors {
		if n > 0 {
			list = append(list, Count{metrics.Kind(k).String(), n})
		}
	}
	slices.SortStableFunc(list, func(x, y Count) int { return cmp.Compare(y.N, x.N) })
	return list
}

func newest(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}

func mean(list []float64) (sum float64) {
	list = list[max(0, len(list)-recent):]
	for _, v := range list {
		sum += v
	}
	return sum / max(1, float64(len(list)))
}

func copied(list []float64) []float64 { return append([]float64{}, list...) }
