package proxy

import (
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

func TestLookups(t *testing.T) {
	for _, resp3 := range []bool{false, true} {
		srv := serve(t, onPool(func(p *config.Pool) { p.HitPrefixes = []string{"a:", "b:", "a:never"} }), nodes(t, 2)...)
		c := client(t, srv)
		if resp3 {
			c.Do("HELLO", "3")
		}
		big := strings.Repeat("x", 3000)
		for _, set := range []string{"SET a:1 1", "SET a:2 " + big, "SET b:1 1", "HSET b:h f 1", "SADD s m", "SET x 1"} {
			c.Do(strings.Fields(set)...)
		}
		var all, a, b metrics.Lookups
		add := func(l *metrics.Lookups, hits, misses uint64) { l.AddAll(metrics.Lookups{Hits: hits, Misses: misses}) }
		for _, x := range []struct {
			request      string
			hits, misses uint64
			of           *metrics.Lookups
		}{
			{"GET a:1", 1, 0, &a}, {"GET a:none", 0, 1, &a}, {"GET a:never", 0, 1, &a}, {"GET b:1", 1, 0, &b}, {"GET x", 1, 0, nil}, {"GETDEL none", 0, 1, nil},
			{"MGET a:1 a:none a:2 none x", 3, 2, &a}, {"MGET none", 0, 1, nil}, {"HGET b:h f", 1, 0, &b}, {"HGET b:h none", 0, 1, &b}, {"HMGET b:h f none g", 1, 2, &b},
			{"HGETALL b:h", 1, 0, &b}, {"HGETALL none", 0, 1, nil}, {"SMEMBERS s", 1, 0, nil}, {"SMEMBERS none", 0, 1, nil},
			{"GET b:h", 0, 0, &b}, {"SET a:3 1", 0, 0, &a}, {"DBSIZE", 0, 0, nil}, {"PING", 0, 0, nil}, {"GET", 0, 0, nil}, {"LLEN a:list", 0, 0, &a},
		} {
			for range 2 { // alone, and below in a pipeline, where replies wait for each other
				add(&all, x.hits, x.misses)
				if x.of != nil {
					add(x.of, x.hits, x.misses)
				}
			}
			c.Do(strings.Fields(x.request)...)
			c.Send(strings.Fields(x.request)...)
			c.Send("GETEX", "none")
			add(&all, 0, 1)
			c.Flush()
			c.Recv()
			c.Recv()
			n := counted(srv)
			if n.Lookups != all || n.PrefixLookups[0] != a || n.PrefixLookups[1] != b || n.PrefixLookups[2] != (metrics.Lookups{}) {
				t.Fatalf("resp3 %v, %s: counted %+v, %+v; want %+v, %+v, %+v", resp3, x.request, n.Lookups, n.PrefixLookups, all, a, b)
			}
		}
	}
}

func TestPrefixesThatStayGoOnCounting(t *testing.T) {
	change := func(prefixes ...string) func(*config.Config) {
		return onPool(func(p *config.Pool) { p.HitPrefixes = prefixes })
	}
	srv := serve(t, change("a", "b"), redistest.Server(t).Addr())
	c := client(t, srv)
	ask := func() { c.Do("GET", "a"); c.Do("GET", "b"); c.Do("GET", "c") }
	ask()
	reloadWith(t, srv, change("c", "b"))
	ask()
	n := counted(srv)
	if want := []metrics.Lookups{{Misses: 1}, {Misses: 2}}; n.Prefixes[0] != "c" || n.PrefixLookups[0] != want[0] || n.PrefixLookups[1] != want[1] || n.Lookups.Misses != 6 {
		t.Errorf("%v: %v", n.Prefixes, n.PrefixLookups)
	}
	reloadWith(t, srv, change())
	ask()
	if n := counted(srv); len(n.Prefixes) != 0 || n.Lookups.Misses != 9 {
		t.Errorf("%v: %v, in all %v", n.Prefixes, n.PrefixLookups, n.Lookups)
	}
}

func TestPhasesCanBeLeftOut(t *testing.T) {
	change := func(on bool) func(*config.Config) { return onPool(func(p *config.Pool) { p.RequestPhases = on }) }
	srv := serve(t, change(false), redistest.Server(t).Addr())
	c := client(t, srv)
	c.Do("GET", "a")
	if n := counted(srv); n.Nodes[0].Phases != (metrics.Phases{}) || n.Write != (metrics.Phase{}) {
		t.Error("they were told")
	}
	reloadWith(t, srv, change(true))
	c.Do("GET", "a")
	redistest.WaitFor(t, "the write to be counted", func() bool {
		n := counted(srv).Nodes[0].Phases
		return n.Write.Buckets != [metrics.PhaseBuckets]uint64{}
	})
	took(t, "at the node", counted(srv).Nodes[0].Phases.AtNode, 1, 0)
	reloadWith(t, srv, change(false))
	c.Do("GET", "a")
	took(t, "at the node", counted(srv).Nodes[0].Phases.AtNode, 1, 0)
}
