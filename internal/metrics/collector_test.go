package metrics

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"ringway/internal/command"
)

// fake is a Source of two loops and two pools; the second pool has a node whose name is not UTF-8.
type fake struct {
	names  []string
	nodes  [][]string
	shards [][]Pool // by pool, then by loop
	loops  []Loop
	infos  []NodeInfo // of each pool
}

func (f *fake) Pools() (list []PoolShards) {
	for i, name := range f.names {
		list = append(list, PoolShards{Name: name, Nodes: f.nodes[i], Shards: f.shards[i], Infos: f.infos})
	}
	return list
}
func (f *fake) Certificates() ([]Certificate, bool) {
	return []Certificate{{"cache", "clients", epoch}, {"", "admin", epoch}}, true
}
func (f *fake) Memory() Memory    { return Memory{Held: 3 << 20, Limit: 4 << 20, Short: true} }
func (f *fake) LoopStats() []Loop { return f.loops }
func (f *fake) Reloads() Reloads  { return Reloads{Done: 2, Failed: 1, OutOfDate: true, Last: epoch} }

var epoch = time.UnixMilli(1_700_000_000_500)

func newFake() *fake {
	f := &fake{
		names: []string{"cache", "sessions"},
		nodes: [][]string{{"redis-0", "redis-1"}, {"caf\xe9"}},
		loops: []Loop{{Turns: 10, Panics: 1, AcceptFailures: 2}, {Turns: 20, AcceptFailures: 3}},
	}
	for _, nodes := range f.nodes {
		f.shards = append(f.shards, []Pool{NewPool(len(nodes)), NewPool(len(nodes))})
	}
	get, set := command.Lookup([]byte("get")).ID, command.Lookup([]byte("set")).ID
	a, b := &f.shards[0][0], &f.shards[0][1]
	a.Requests[get], b.Requests[get], b.Requests[set] = 3, 4, 5
	a.Unknown = 6
	a.Errors[NodeDown], b.Errors[NodeDown], b.Errors[Merge] = 1, 1, 9
	a.Stalls[StallNode] = 8
	a.Clients, b.Clients, a.Accepted, b.Accepted = 2, 3, 12, 13
	a.BytesIn, b.BytesIn, a.BytesOut, b.BytesOut = 100, 200, 1000, 2000
	a.Parts, b.Parts = 30, 40
	f.infos = []NodeInfo{{Asked: true, Answered: true, MemoryUsed: 70, Replicas: 1, LagBytes: 71, Replica: true, LagSeconds: 72, LinkUp: true}}
	a.Prefixes, a.PrefixLookups = []string{"user:"}, []Lookups{{Hits: 5, Misses: 6}}
	b.Prefixes, b.PrefixLookups = []string{"caf\xe9:", "user:"}, []Lookups{{}, {Hits: 10}}
	a.Migration = Migration{On: true, Mode: 3, Members: 2}
	a.Latency.Observe(40_000)
	a.Latency.Observe(100_000)
	b.Latency.Observe(100_000)
	b.Latency.Observe(90e9)
	a.Nodes[0] = Node{Up: true, Lanes: 1, Depth: 2, Unsent: 3, Requests: 4, BytesIn: 5, BytesOut: 6,
		Connects: 7, ConnectErrors: 8, Losses: 9, Timeouts: 10, Garbage: 11, Walked: 12, Walk: 13}
	b.Nodes[0] = Node{Up: true, Lanes: 1, Depth: 20, Unsent: 30, Requests: 40, BytesIn: 50, BytesOut: 60,
		Connects: 70, ConnectErrors: 80, Losses: 90, Timeouts: 100, Garbage: 110}
	return f
}

func gather(c *collector) ([]*dto.MetricFamily, error) {
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(c); err != nil {
		return nil, err
	}
	return r.Gather()
}

// scrape returns what src is scraped to: values by name and labels, as `name{label="value"}`, and histograms by the same.
func scrape(t *testing.T, src Source) (values map[string]float64, histograms map[string]*dto.Histogram) {
	t.Helper()
	mfs, err := gather(newCollector(src, "1.2.3", epoch))
	if err != nil {
		t.Fatal(err)
	}
	values, histograms = map[string]float64{}, map[string]*dto.Histogram{}
	for _, mf := range mfs {
		for _, m := range mf.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := mf.GetName()
			if labels != nil {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				histograms[key] = m.Histogram
			case m.Counter != nil:
				values[key] = m.Counter.GetValue()
			default:
				values[key] = m.Gauge.GetValue()
			}
		}
	}
	return values, histograms
}

func TestAScrapeAddsUpTheLoops(t *testing.T) {
	got, _ := scrape(t, newFake())
	for key, want := range map[string]float64{
		`ringway_clients{pool="cache"}`:                                             5,
		`ringway_clients{pool="sessions"}`:                                          0,
		`ringway_clients_accepted_total{pool="cache"}`:                              25,
		`ringway_requests_total{command="get",pool="cache"}`:                        7,
		`ringway_requests_total{command="set",pool="cache"}`:                        5,
		`ringway_requests_total{command="unknown",pool="cache"}`:                    6,
		`ringway_errors_total{kind="node_down",pool="cache"}`:                       2,
		`ringway_errors_total{kind="merge",pool="cache"}`:                           9,
		`ringway_errors_total{kind="protocol",pool="cache"}`:                        0,
		`ringway_client_stalls_total{pool="cache",reason="node"}`:                   8,
		`ringway_client_bytes_total{direction="in",pool="cache"}`:                   300,
		`ringway_client_bytes_total{direction="out",pool="cache"}`:                  3000,
		`ringway_fanout_parts_total{pool="cache"}`:                                  70,
		`ringway_node_up{node="redis-0",pool="cache"}`:                              1,
		`ringway_node_up{node="redis-1",pool="cache"}`:                              0,
		`ringway_node_up{node="caf�",pool="sessions"}`:                              0,
		`ringway_prefix_lookups_total{pool="cache",prefix="user:",result="hit"}`:    15,
		`ringway_prefix_lookups_total{pool="cache",prefix="user:",result="miss"}`:   6,
		`ringway_node_info_up{node="redis-0",pool="cache"}`:                         1,
		`ringway_node_memory_used_bytes{node="redis-0",pool="cache"}`:               70,
		`ringway_node_replication_lag_bytes{node="redis-0",pool="cache"}`:           71,
		`ringway_node_replication_lag_seconds{node="redis-0",pool="cache"}`:         72,
		`ringway_node_lanes{node="redis-0",pool="cache"}`:                           2,
		`ringway_node_in_flight{node="redis-0",pool="cache"}`:                       22,
		`ringway_node_unsent_bytes{node="redis-0",pool="cache"}`:                    33,
		`ringway_node_requests_total{node="redis-0",pool="cache"}`:                  44,
		`ringway_node_bytes_total{direction="in",node="redis-0",pool="cache"}`:      55,
		`ringway_node_bytes_total{direction="out",node="redis-0",pool="cache"}`:     66,
		`ringway_node_connects_total{node="redis-0",pool="cache"}`:                  77,
		`ringway_node_connect_errors_total{node="redis-0",pool="cache"}`:            88,
		`ringway_node_losses_total{node="redis-0",pool="cache"}`:                    99,
		`ringway_node_timeouts_total{node="redis-0",pool="cache"}`:                  110,
		`ringway_node_garbage_total{node="redis-0",pool="cache"}`:                   121,
		`ringway_loop_turns_total{loop="0"}`:                                        10,
		`ringway_loop_turns_total{loop="1"}`:                                        20,
		`ringway_panics_total`:                                                      1,
		`ringway_accept_failures_total`:                                             5,
		`ringway_start_time_seconds`:                                                1_700_000_000.5,
		`ringway_build_info{goversion="` + runtime.Version() + `",version="1.2.3"}`: 1,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
		}
	}
}

func TestOnlyCommandsThatWereUsedAppear(t *testing.T) {
	got, _ := scrape(t, newFake())
	for key := range got {
		if strings.HasPrefix(key, "ringway_requests_total") && strings.Contains(key, "sessions") {
			t.Errorf("nobody asked for %s", key)
		}
	}
}

func TestEveryFamilyIsScraped(t *testing.T) {
	values, histograms := scrape(t, newFake())
	var keys []string
	for key := range values {
		keys = append(keys, key)
	}
	for key := range histograms {
		keys = append(keys, key)
	}
	for _, s := range table {
		for _, f := range s.families {
			if !slices.ContainsFunc(keys, func(key string) bool { return key == f.name || strings.HasPrefix(key, f.name+"{") }) {
				t.Errorf("%s is not there", f.name)
			}
		}
	}
}

func TestTheHistogramHasWhatWasObserved(t *testing.T) {
	_, got := scrape(t, newFake())
	h := got[`ringway_request_duration_seconds{pool="cache"}`]
	if h.GetSampleCount() != 4 || math.Abs(h.GetSampleSum()-90.00024) > 1e-9 {
		t.Errorf("%d requests took %v s", h.GetSampleCount(), h.GetSampleSum())
	}
	for _, b := range h.Bucket {
		want := uint64(0)
		if b.GetUpperBound() > 40e-6 {
			want = 1
		}
		if b.GetUpperBound() >= 100e-6 {
			want = 3
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("up to %v s: %d requests, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
}

// The scraped histogram must not tell of other requests than were counted: each of its buckets is made of whole ones.
func TestClassicBoundsAreBoundsOfTheShard(t *testing.T) {
	if n := len(classicBounds); n < 20 || n > 25 {
		t.Errorf("%d buckets", n)
	}
	if !slices.IsSorted(classicBounds) || len(slices.Compact(slices.Clone(classicBounds))) != len(classicBounds) {
		t.Errorf("out of order: %v", classicBounds)
	}
	for shift := 15; shift <= 32; shift++ {
		if i := endingAt(1 << shift); Bound(i) != 1<<shift || !slices.Contains(classicBounds, i) {
			t.Errorf("2^%d ns is in no bound", shift)
		}
	}
	for shift := 16; shift < 22; shift++ {
		if i := endingAt(3 << (shift - 1)); Bound(i) != 3<<(shift-1) || !slices.Contains(classicBounds, i) {
			t.Errorf("1.5 * 2^%d ns is in no bound", shift)
		}
	}
	r := NewPool(0)
	for _, i := range classicBounds {
		r.Latency.Observe(int64(Bound(i)) - 1)
	}
	f := &fake{names: []string{"p"}, nodes: [][]string{nil}, shards: [][]Pool{{r}}}
	_, got := scrape(t, f)
	for i, b := range got[`ringway_request_duration_seconds{pool="p"}`].Bucket {
		if b.GetCumulativeCount() != uint64(i+1) || b.GetUpperBound() != float64(Bound(classicBounds[i]))/1e9 {
			t.Errorf("up to %v s: %d requests, want %d", b.GetUpperBound(), b.GetCumulativeCount(), i+1)
		}
	}
}

func TestAScrapeAfterTheLoopsHaveEndedSaysNothingOfThem(t *testing.T) {
	f := newFake()
	f.shards, f.loops, f.infos = [][]Pool{nil, nil}, nil, nil
	got, histograms := scrape(t, f)
	for name := range got {
		if !strings.HasPrefix(name, "ringway_build_info") && !strings.HasPrefix(name, "ringway_start_time") && !strings.HasPrefix(name, "ringway_config_") && !strings.HasPrefix(name, "ringway_tls_c") && !strings.HasPrefix(name, "ringway_tls_l") && !strings.HasPrefix(name, "ringway_memory_") && !strings.HasPrefix(name, "ringway_go_memory_") {
			t.Errorf("it says %s", name)
		}
	}
	if len(histograms) != 0 {
		t.Errorf("it has %d histograms", len(histograms))
	}
}

func TestTheRegistryIsCleanToPrometheusLint(t *testing.T) {
	r := NewRegistry(newFake(), "1.2.3")
	mfs, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(mfs).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, name := range []string{"go_goroutines", "process_start_time_seconds", "ringway_clients"} {
		if !slices.ContainsFunc(mfs, func(mf *dto.MetricFamily) bool { return mf.GetName() == name }) {
			t.Errorf("%s is not there", name)
		}
	}
}

func TestKindsAndStallsAreExplainedByTheirNames(t *testing.T) {
	if len(kindValues) != int(Kinds) || len(stallValues) != int(Stalls) {
		t.Fatalf("%d of %d kinds and %d of %d stalls are explained", len(kindValues), Kinds, len(stallValues), Stalls)
	}
	for k, v := range kindValues {
		if v.name == "" || v.name != Kind(k).String() || v.meaning == "" {
			t.Errorf("kind %q is explained as %q", Kind(k), v)
		}
	}
	for s, v := range stallValues {
		if v.name == "" || v.name != Stall(s).String() || v.meaning == "" {
			t.Errorf("stall %q is explained as %q", Stall(s), v)
		}
	}
}
