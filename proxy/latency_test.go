package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// latencyCalls returns how many calls LATENCY HISTOGRAM tells of, by command, and checks that the last bucket has them all.
func latencyCalls(t *testing.T, c *redistest.Conn, names ...string) map[string]int64 {
	t.Helper()
	calls := map[string]int64{}
	list := elements([]byte(c.Do(append([]string{"LATENCY", "HISTOGRAM"}, names...)...)))
	for i := 0; i+1 < len(list); i += 2 {
		name, fields := string(text(list[i])), elements(list[i+1])
		buckets := elements(fields[3])
		calls[name] = intOf(fields[1])
		if n := len(buckets); n == 0 || intOf(buckets[n-1]) != calls[name] {
			t.Errorf("%s: %d calls, and buckets %q", name, calls[name], buckets)
		}
		for k := 2; k+1 < len(buckets); k += 2 {
			if intOf(buckets[k]) <= intOf(buckets[k-2]) || intOf(buckets[k+1]) <= intOf(buckets[k-1]) {
				t.Errorf("%s: buckets %q", name, buckets)
			}
		}
	}
	return calls
}

func TestLatencyIsToldByCommand(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, nodes(t, 2)...)
	c, d := client(t, srv), client(t, srv)
	for i := range 20 {
		c.Do("SET", fmt.Sprint("k", i), "v")
		d.Do("GET", fmt.Sprint("k", i))
	}
	d.Do("HELLO", "3")
	d.Do("CONFIG", "GET", "maxmemory")
	d.Do("CONFIG", "SET", "hz", "10")
	c.Do("PING")
	calls := latencyCalls(t, d)
	want(t, "all", fmt.Sprint(calls["set"], calls["get"], calls["config|get"], calls["config|set"], calls["ping"]), "20 20 1 1 0")
	want(t, "some", fmt.Sprint(latencyCalls(t, c, "GET", "nonsense", "get", "ping")), "map[get:20]")
	want(t, "with subcommands", fmt.Sprint(latencyCalls(t, c, "config")), "map[config|get:1 config|set:1]")
	want(t, "a subcommand", fmt.Sprint(latencyCalls(t, c, "Config|GET")), "map[config|get:1]")
	sum := counted(srv)
	if n := sum.Latency.Count(); n < 42 {
		t.Errorf("the pool's latency has %d requests", n)
	}
	c.Do("CONFIG", "RESETSTAT")
	c.Do("GET", "k")
	want(t, "after RESETSTAT", fmt.Sprint(latencyCalls(t, c, "get", "set")), "map[get:1]")
	if n := counted(srv).Latency.Count(); n <= sum.Latency.Count() {
		t.Errorf("a counter goes back from %d to %d", sum.Latency.Count(), n)
	}
	one := redistest.Server(t)
	direct := redistest.Dial(t, one.Addr())
	direct.Do("GET", "k")
	for _, request := range []string{"LATENCY HISTOGRAM get", "LATENCY HISTOGRAM nonsense"} {
		for _, x := range []string{"2", "3"} {
			c.Do("HELLO", x)
			direct.Do("HELLO", x)
			if got, wanted := shape([]byte(c.Do(strings.Fields(request)...))), shape([]byte(direct.Do(strings.Fields(request)...))); got != wanted {
				t.Errorf("RESP%s %s: shape %q, a server's %q", x, request, got, wanted)
			}
		}
	}
}
