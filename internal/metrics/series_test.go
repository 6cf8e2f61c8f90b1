package metrics

import (
	"fmt"
	"testing"

	"ringway/internal/command"
)

// What docs/metrics.md promises of how many time series there are, whatever clients do. Raising one of these is a decision, and a line of the docs.
const (
	seriesOfProcess = 25
	seriesOfLoop    = 1
	seriesOfPool    = 220 // and one for each command that was ever used, and two for each of hit_prefixes
	seriesOfNode    = 110
)

// full is a source in which everything has happened that can be counted.
func full(pools, nodes, prefixes, loops int) *fake {
	f := &fake{}
	for i := range pools {
		var names []string
		p := NewPool(nodes)
		for j := range nodes {
			names = append(names, fmt.Sprint("n", j))
			p.Nodes[j].Walk = 1
		}
		for id := range p.Requests {
			p.Requests[id] = 1
		}
		p.Unknown = 1
		p.Migration.On = true
		for j := range prefixes {
			p.Prefixes = append(p.Prefixes, fmt.Sprint("p", j))
			p.PrefixLookups = append(p.PrefixLookups, Lookups{})
		}
		f.names = append(f.names, fmt.Sprint("pool", i))
		f.nodes = append(f.nodes, names)
		f.shards = append(f.shards, nil)
		for range loops {
			f.shards[i] = append(f.shards[i], p.Clone())
		}
	}
	for range nodes {
		f.infos = append(f.infos, NodeInfo{Asked: true, Answered: true, Replicas: 1, Replica: true})
	}
	f.loops = make([]Loop, loops)
	return f
}

// seriesOf counts what Prometheus would store of a scrape.
func seriesOf(t *testing.T, src Source) (n int) {
	t.Helper()
	values, histograms := scrape(t, src)
	for _, h := range histograms {
		n += len(h.Bucket) + 3 // +Inf, sum and count
	}
	return n + len(values)
}

func TestTimeSeriesAreBounded(t *testing.T) {
	none := seriesOf(t, full(0, 0, 0, 1))
	loop := seriesOf(t, full(0, 0, 0, 2)) - none
	pool := seriesOf(t, full(1, 0, 0, 1)) - none
	prefix := seriesOf(t, full(1, 0, 1, 1)) - none - pool
	node := seriesOf(t, full(1, 1, 0, 1)) - none - pool
	t.Logf("%d of the process, %d of a loop, %d of a pool with %d commands, %d of a prefix, %d of a node", none, loop, pool, command.Count(), prefix, node)
	if none > seriesOfProcess || loop > seriesOfLoop || pool-command.Count() > seriesOfPool || prefix != 2 || node > seriesOfNode {
		t.Error("more than is promised")
	}
	if got, want := seriesOf(t, full(3, 5, 16, 4)), none+3*loop+3*(pool+16*prefix+5*node); got != want {
		t.Errorf("3 pools of 5 nodes each, with 16 prefixes, on 4 loops: %d, want %d", got, want)
	}
}
