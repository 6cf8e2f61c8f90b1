//go:build linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"ringway/internal/redistest"
)

// link is a toxiproxy on the way to a server.
type link struct {
	t *testing.T
	*toxiproxy.Proxy
}

func newLink(t *testing.T, server string) *link {
	t.Helper()
	l := &link{t, toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "link", "127.0.0.1:0", server)}
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// poison adds a toxic in both directions.
func (l *link) poison(kind, attributes string) {
	l.t.Helper()
	for _, stream := range []string{"upstream", "downstream"} {
		json := fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, stream, kind, stream, attributes)
		if _, err := l.Toxics.AddToxicJson(bytes.NewReader([]byte(json))); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *link) cure() { l.Toxics.ResetToxics(context.Background()) }

// fault is something that befalls a server.
type fault struct {
	name   string
	begin  func()
	end    func()
	lossy  bool // the server forgets what it held
	late   bool // what a connection has been given may arrive after it was given up
	errors bool // its keys get errors meanwhile
}

// A server is lost in every way there is, under load of clients that check every reply. Only its keys get errors, and only meanwhile; a
// second after its return at the latest all is well.
func TestServersUnderFaults(t *testing.T) {
	nodes := servers(t, 3)
	tails := map[string][]float64{}
	t.Run("of the process", func(t *testing.T) {
		r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "400ms", "connect_timeout": "300ms"}})
		for n := range size(3, 1) {
			testFaults(t, r, nodes, n, tails, []fault{
				{name: "kill", begin: nodes[n].Kill, end: nodes[n].Restart, lossy: true, errors: true},
				{name: "SIGSTOP", begin: nodes[n].Stop, end: nodes[n].Cont, errors: true},
				{name: "restart", begin: nodes[n].Shutdown, end: nodes[n].Restart, lossy: true, errors: true},
			})
		}
	})
	t.Run("of the network", func(t *testing.T) {
		var links []*link
		var via []string
		for _, n := range nodes {
			l := newLink(t, n.Addr())
			links, via = append(links, l), append(via, l.Listen)
		}
		r := serve(t, pool{nodes: via, options: map[string]string{"timeout": "400ms", "connect_timeout": "300ms"}})
		for n := range size(3, 1) {
			l := links[n]
			toxic := func(kind, attributes string) func() { return func() { l.poison(kind, attributes) } }
			testFaults(t, r, nodes, n, tails, []fault{
				{name: "latency", late: true, begin: toxic("latency", `"latency": 40, "jitter": 20`), end: l.cure},
				{name: "bandwidth", late: true, begin: toxic("bandwidth", `"rate": 100`), end: l.cure},
				{name: "reset_peer", late: true, begin: toxic("reset_peer", `"timeout": 20`), end: l.cure, errors: true},
				{name: "half-open", late: true, begin: toxic("timeout", `"timeout": 0`), end: l.cure, errors: true},
				{name: "partition", late: true, begin: l.Stop, end: func() {
					if err := l.Start(); err != nil {
						t.Error(err)
					}
				}, errors: true},
			})
		}
	})
	for name, ratios := range tails { // one sample alone tells of the machine's other work as well: with no fault at all it is up to 3.5
		slices.Sort(ratios)
		t.Logf("%s: p99 of requests for the other servers, to that before: %.2f", name, ratios)
		if full() && ratios[len(ratios)/2] > 1.5 {
			t.Errorf("%s: the median is above 1.5", name)
		}
	}
}

// testFaults lets one server suffer one fault after the other, and adds to tails, by the fault's name, the p99 of requests for the others over that before.
func testFaults(t *testing.T, r *router, nodes []*redistest.Redis, victim int, tails map[string][]float64, faults []fault) {
	owner := owners(t, r.addr(), nodes, verifiedKeys(32))
	for _, f := range faults {
		t.Run(fmt.Sprintf("%s of n%d", f.name, victim), func(t *testing.T) {
			v := load(t, r.addr(), verifiedOptions{
				depth: 4, mix: "sssgggmMdiiteE", lossy: f.lossy, mayLose: victim, late: f.late,
				group: func(key string) int { return owner[key] },
			})
			window := size(3*time.Second, time.Second)
			v.letRun(window)
			began := v.now()
			f.begin()
			v.letRun(window)
			ended := v.now()
			f.end()
			back := v.now()
			v.letRun(window + time.Second)
			all := v.finish()

			others := func(h happened) bool { return !h.touches(victim) }
			failed := failures(all)
			for _, h := range failed {
				switch {
				case others(h):
					t.Fatalf("a request for other servers' keys failed: %v", h)
				case h.at < began:
					t.Fatalf("failed before the fault, which came at %v: %v", began, h)
				case h.at > back+time.Second:
					t.Fatalf("failed more than 1s after the end of the fault at %v: %v", back, h)
				case !strings.Contains(h.failed, fmt.Sprintf("'n%d'", victim)):
					t.Fatalf("the error does not name n%d: %v", victim, h)
				case !f.errors:
					t.Fatalf("the fault should only slow it down: %v", h)
				}
			}
			if f.errors && len(failed) == 0 {
				t.Error("no request failed: the fault was no test")
			}
			recovered := time.Duration(0)
			if len(failed) > 0 {
				recovered = max(0, failed[len(failed)-1].at-back)
			}
			healthy := only(all, func(h happened) bool { return h.behind&(1<<victim) == 0 })
			alone, disturbed := quantile(during(healthy, 0, began), 0.99), quantile(during(healthy, began, ended), 0.99)
			t.Logf("%d requests, %d errors for n%d's keys (%s); the last one %v after its return; %d acknowledged writes lost, %d came late",
				len(all), len(failed), victim, kinds(failed), recovered.Round(time.Millisecond), v.lost.Load(), v.late.Load())
			tails[f.name] = append(tails[f.name], float64(disturbed)/float64(alone))
			if disturbed > time.Second {
				t.Errorf("requests for the other servers: p99 is %v", disturbed)
			}
		})
	}
}

// verifiedKeys are all the keys of so many clients of a load, but for lists.
func verifiedKeys(clients int) (keys []string) {
	for c := range clients {
		for i := range cells {
			keys = append(keys, fmt.Sprintf("c%d:s%d", c, i))
		}
		for i := range counters {
			keys = append(keys, fmt.Sprintf("c%d:n%d", c, i), fmt.Sprintf("{c%d:t%d}text", c, i), fmt.Sprintf("{c%d:t%d}num", c, i))
		}
	}
	return keys
}
