package status

import (
	"errors"
	"testing"
	"time"

	"ringway/internal/metrics"
	"ringway/proxy"
)

// counted is a Source whose counters the test sets.
type counted struct {
	pool   metrics.Pool
	layout proxy.PoolLayout
	ready  error
}

func (c *counted) Pools() []metrics.PoolShards {
	names := make([]string, len(c.layout.Nodes))
	for i, n := range c.layout.Nodes {
		names[i] = n.Name
	}
	return []metrics.PoolShards{{Name: "p", Nodes: names, Shards: []metrics.Pool{c.pool.Clone()}}}
}
func (c *counted) Layout() []proxy.PoolLayout   { return []proxy.PoolLayout{c.layout} }
func (c *counted) HotKeys() []proxy.PoolHotKeys { return nil }
func (c *counted) Ready() error                 { return c.ready }

func TestRatesAreOfTheTimeBetween(t *testing.T) {
	src := &counted{pool: metrics.NewPool(3), layout: proxy.PoolLayout{Name: "p", Nodes: []proxy.NodeLayout{{Name: "a", Share: 0.5}, {}, {Name: "b", Share: 0.5}}, Ring: []int{0, 2, 2}}}
	for i := range src.pool.Nodes {
		src.pool.Nodes[i].Up = true
	}
	r := NewRecorder(src, "1", nil)
	now := time.Now()
	r.record(now)
	src.pool.Requests[0], src.pool.Errors[metrics.Shed] = 100, 4
	src.pool.Nodes[0].Requests, src.pool.Nodes[2].Requests = 30, 60
	src.pool.Clients, src.pool.Nodes[2].Up = 7, false
	for range 99 {
		src.pool.Latency.Observe(int64(time.Millisecond))
	}
	src.pool.Latency.Observe(int64(time.Second))
	now = now.Add(2 * time.Second)
	r.record(now)
	p := r.Status().Pools[0]
	if p.Requests != 50 || p.Errors != 2 || p.Clients != 7 || p.P50 < 1 || p.P50 > 1.3 || p.P99 < 1 || p.P99 > 1.3 {
		t.Errorf("%+v", p)
	}
	if len(p.Nodes) != 2 || p.Nodes[0].Requests != 15 || p.Nodes[1].Name != "b" || p.Nodes[1].Requests != 30 || p.Nodes[1].State != Down || p.Nodes[0].State != Up {
		t.Errorf("%+v", p.Nodes)
	}
	if len(p.Ring) != 3 || p.Ring[0] != 0 || p.Ring[1] != 1 || p.Ring[2] != 1 {
		t.Errorf("the ring: %v", p.Ring)
	}
	if got := p.Nodes[1].Load; got < 0.66 || got > 0.67 {
		t.Errorf("load of b: %v", got)
	}

	for range 2 * length { // nothing more happens
		now = now.Add(time.Second)
		r.record(now)
	}
	p = r.Status().Pools[0]
	if p.Requests != 0 || len(p.History.Requests) != length || len(p.Nodes[0].History) != length || p.P99 != 0 {
		t.Errorf("after a while: %+v", p)
	}

	src.pool = metrics.NewPool(3) // another pool of that name: its counters begin anew
	r.record(now.Add(time.Second))
	if p = r.Status().Pools[0]; p.Requests != 0 {
		t.Errorf("counters that have gone back: %v", p.Requests)
	}
	src.ready = errors.New("no nodes")
	if s := r.Status(); s.Ready || s.Why != "no nodes" {
		t.Errorf("%+v", s)
	}
}
