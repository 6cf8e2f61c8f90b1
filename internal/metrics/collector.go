package metrics

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Source is what a scrape asks. Any goroutine may ask, several at once.
type Source interface {
	Pools() []PoolShards
	LoopStats() []Loop
	Reloads() Reloads
	Memory() Memory
	// Certificates tells of those in use, and whether they are those in the files.
	Certificates() (list []Certificate, current bool)
}

// Reloads is what became of attempts to exchange the configuration.
type Reloads struct {
	Done, Failed uint64
	OutOfDate    bool      // the last attempt has failed
	Last         time.Time // when the present configuration was taken over
}

// Memory is what the process holds, and may hold.
type Memory struct {
	Held, Limit uint64 // Limit 0: no limit
	Short       bool   // there is not enough: something is refused

	Heap, Free, Stacks, Runtime uint64 // what Go's runtime has of the system, by what it is for
}

// PoolShards is what the loops have counted of a pool.
type PoolShards struct {
	Name   string
	Nodes  []string   // the names of the shards' nodes, "" for one that is not of interest any more
	Infos  []NodeInfo // of the nodes that are asked; it may be shorter
	Shards []Pool     // copies, one a loop; none when the loops have ended
}

// NewRegistry returns what is behind /metrics: the table's metrics, read from src at each scrape, and those that the
// Prometheus client has of the Go runtime and of the process.
func NewRegistry(src Source, version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(src, version, time.Now()),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// collector reads a Source for Prometheus. It keeps nothing between scrapes.
type collector struct {
	src      Source
	version  string
	started  time.Time
	families []*family
	descs    []*prometheus.Desc // of the families
}

func newCollector(src Source, version string, started time.Time) *collector {
	c := &collector{src: src, version: valid(version), started: started}
	for _, s := range table {
		for i := range s.families {
			f := &s.families[i]
			c.families = append(c.families, f)
			c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, f.labelsOf(), nil))
		}
	}
	return c
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect is part of prometheus.Collector. What it says of one pool was true at one time, within a turn of each loop.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for i, f := range c.families {
		if f.process != nil {
			f.process(c, c.putter(ch, i))
		}
	}
	for _, p := range c.src.Pools() {
		c.collectInfos(ch, valid(p.Name), &p)
		if sum := Sum(p.Shards); sum != nil {
			c.collectPool(ch, valid(p.Name), p.Nodes, sum)
		}
	}
	c.collectLoops(ch, c.src.LoopStats())
}

func (c *collector) collectPool(ch chan<- prometheus.Metric, pool string, nodes []string, sum *Pool) {
	for i, f := range c.families {
		switch {
		case f.pool != nil:
			f.pool(sum, c.putter(ch, i, pool))
		case f.latency != nil:
			ch <- classic(c.descs[i], f.latency(sum), pool)
		case f.spread != nil:
			f.spread(sum, c.spreader(ch, i, pool))
		case f.phases != nil:
			for j, node := range nodes[:min(len(nodes), len(sum.Nodes))] {
				if node != "" {
					f.phases(&sum.Nodes[j], c.spreader(ch, i, pool, valid(node)))
				}
			}
		case f.node != nil:
			for j, node := range nodes[:min(len(nodes), len(sum.Nodes))] {
				if node == "" {
					continue
				}
				f.node(&sum.Nodes[j], c.putter(ch, i, pool, valid(node)))
			}
		}
	}
}

func (c *collector) collectInfos(ch chan<- prometheus.Metric, pool string, p *PoolShards) {
	for i, f := range c.families {
		if f.info == nil {
			continue
		}
		for j := range p.Infos[:min(len(p.Infos), len(p.Nodes))] {
			if p.Nodes[j] != "" {
				f.info(&p.Infos[j], c.putter(ch, i, pool, valid(p.Nodes[j])))
			}
		}
	}
}

func (c *collector) collectLoops(ch chan<- prometheus.Metric, loops []Loop) {
	if len(loops) == 0 {
		return
	}
	var all Loop
	for i := range loops {
		all.add(&loops[i])
	}
	for i, f := range c.families {
		switch {
		case f.total != nil:
			f.total(&all, c.putter(ch, i))
		case f.loop != nil:
			for id := range loops {
				f.loop(&loops[id], c.putter(ch, i, strconv.Itoa(id)))
			}
		}
	}
}

// putter sends values of family i, with those labels before their own.
func (c *collector) putter(ch chan<- prometheus.Metric, i int, first ...string) put {
	return func(v float64, labels ...string) {
		all := append(first[:len(first):len(first)], labels...)
		ch <- prometheus.MustNewConstMetric(c.descs[i], c.families[i].kind, v, all...)
	}
}

// spreader is putter for histograms.
func (c *collector) spreader(ch chan<- prometheus.Metric, i int, first ...string) putSpread {
	return func(bounds []float64, counts []uint64, sum float64, labels ...string) {
		all := append(first[:len(first):len(first)], labels...)
		cumulative, count := make(map[float64]uint64, len(bounds)), uint64(0)
		for j, n := range counts {
			if count += n; j < len(bounds) {
				cumulative[bounds[j]] = count
			}
		}
		ch <- prometheus.MustNewConstHistogram(c.descs[i], count, sum, cumulative, all...)
	}
}

// The bounds of phases in seconds, and those of widths.
var phaseBounds, widthBounds = func() (phases, widths []float64) {
	for i := range PhaseBuckets - 1 {
		phases = append(phases, float64(phaseBound(i))/1e9)
	}
	for i := range widthBuckets - 1 {
		widths = append(widths, float64(widthBound(i)))
	}
	return phases, widths
}()

// classicBounds are the internal buckets that end a bucket of the scraped histogram: they double from 33 us to 4.3 s,
// with a half step between where most replies come, from 66 us to 4.2 ms. All internal buckets would be
// four times the series for each pool. A native histogram would have to be made up: its bounds are not ours.
var classicBounds = func() (at []int) {
	for shift := 15; shift <= 32; shift++ {
		at = append(at, endingAt(1<<shift))
		if shift >= 16 && shift < 22 {
			at = append(at, endingAt(3<<(shift-1)))
		}
	}
	return at
}()

// endingAt returns the bucket whose bound is ns.
func endingAt(ns uint64) int { return bucket(ns) - 1 }

// seconds is a bound as Prometheus has it.
func seconds(bucket int) float64 { return float64(Bound(bucket)) / 1e9 }

// classic merges the internal buckets. A duration of exactly a bound is one bucket too high, by a nanosecond.
func classic(desc *prometheus.Desc, h *Histogram, labels ...string) prometheus.Metric {
	cumulative := make(map[float64]uint64, len(classicBounds))
	count, next := uint64(0), 0
	for i, n := range h.Buckets {
		count += n
		if next < len(classicBounds) && i == classicBounds[next] {
			cumulative[seconds(i)] = count
			next++
		}
	}
	return prometheus.MustNewConstHistogram(desc, count, float64(h.Sum)/1e9, cumulative, labels...)
}

// valid makes a name fit for a label: Prometheus refuses what is not UTF-8.
func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
