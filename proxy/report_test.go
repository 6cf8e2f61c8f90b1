package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
	"ringway/resp"
)

// array writes numbers and lists of them as a reply.
func array(list ...any) string {
	s := fmt.Sprintf("*%d\r\n", len(list))
	for _, x := range list {
		switch x := x.(type) {
		case int:
			s += fmt.Sprintf(":%d\r\n", x)
		case string:
			s += redistest.Bulk(x)
		case []any:
			s += array(x...)
		}
	}
	return s
}

func list(x ...any) []any { return x }

func TestMergedReports(t *testing.T) {
	cases := []struct {
		name  string
		merge func([][]byte) []byte
		nodes []string
		want  string
	}{
		{"slow logs in one list, the youngest first", func(r [][]byte) []byte { return mergeSlowlogs(r, 3) },
			[]string{array(list(5, 100, 1, "x"), list(4, 90, 1, "y")), array(), array(list(0, 95, 1, "z"), list(7, 80, 1, "w"))},
			array(list(15, 100, 1, "x"), list(2, 95, 1, "z"), list(12, 90, 1, "y"))},
		{"slow logs of one second, the one with more before it first", func(r [][]byte) []byte { return mergeSlowlogs(r, 10) },
			[]string{array(list(0, 100, 1, "RESET")), array(list(1, 100, 1, "GET"), list(0, 100, 1, "RESET"))},
			array(list(3, 100, 1, "GET"), list(0, 100, 1, "RESET"), list(1, 100, 1, "RESET"))},
		{"latest events once each", mergeLatest,
			[]string{array(list("fork", 10, 3, 7), list("command", 20, 1, 9)), array(list("command", 30, 2, 4))},
			array(list("fork", 10, 3, 7), list("command", 30, 2, 9))},
		{"sums of newer servers", mergeLatest,
			[]string{array(list("fork", 10, 3, 7, 100, 2)), array(list("fork", 5, 1, 8, 10, 1))},
			array(list("fork", 10, 3, 8, 110, 3))},
		{"histories in order of time", mergeHistories,
			[]string{array(list(10, 1), list(30, 2)), array(list(20, 3))},
			array(list(10, 1), list(20, 3), list(30, 2))},
		{"histograms, whose buckets count all below", func(r [][]byte) []byte { return mergeHistograms(r, false) },
			[]string{
				array("set", list("calls", 5, "histogram_usec", list(1, 2, 4, 5))),
				array("get", list("calls", 1, "histogram_usec", list(2, 1)), "set", list("calls", 3, "histogram_usec", list(2, 1, 8, 3))),
			},
			array("set", list("calls", 8, "histogram_usec", list(1, 2, 2, 3, 4, 6, 8, 8)), "get", list("calls", 1, "histogram_usec", list(2, 1)))},
		{"maps of figures", func(r [][]byte) []byte { return mergeMaps(r, false) },
			[]string{array("total", 5, "ratio", "1.5", "db.0", list("main", 10)), array("total", 6, "ratio", "2.5", "db.0", list("main", 1), "db.1", list("main", 2))},
			array("total", 11, "ratio", "2", "db.0", list("main", 11), "db.1", list("main", 2))},
		{"the time since which all is saved", mergeSmallest, []string{":5\r\n", ":3\r\n", ":9\r\n"}, ":3\r\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var replies [][]byte
			for _, n := range c.nodes {
				replies = append(replies, []byte(n))
			}
			want(t, "merged", string(c.merge(replies)), c.want)
		})
	}
}

func TestReportsHaveTheShapeOfOneServers(t *testing.T) {
	addresses := nodes(t, 3)
	srv, one := serve(t, slowFrom(0), addresses...), redistest.Server(t)
	for _, version := range []string{"2", "3"} {
		c, direct := client(t, srv), redistest.Dial(t, one.Addr())
		for _, x := range []*redistest.Conn{c, direct} {
			x.Do("HELLO", version)
			x.Do("CONFIG", "SET", "slowlog-log-slower-than", "0")
			for i := range 20 {
				x.Do("SET", fmt.Sprint("k", i), "v")
			}
		}
		for _, request := range []string{
			"SLOWLOG GET", "SLOWLOG LEN", "SLOWLOG GET -1", "SLOWLOG GET -2", "SLOWLOG RESET", "LATENCY LATEST", "LATENCY HISTORY command", "LATENCY HISTOGRAM set",
			"LATENCY DOCTOR", "LATENCY RESET", "LATENCY GRAPH command", "MEMORY STATS", "MEMORY DOCTOR", "MEMORY PURGE", "MEMORY USAGE k1", "MEMORY MALLOC-STATS",
			"CONFIG GET maxmemory", "CONFIG GET save appendonly", "CONFIG GET *", "CONFIG RESETSTAT", "CONFIG SET maxmemory-policy noeviction", "CONFIG SET nonsense 1",
			"LASTSAVE", "TIME", "LOLWUT", "ROLE", "ACL WHOAMI", "OBJECT ENCODING k1", "MODULE LIST", "SWAPDB 0 1", "SWAPDB 1 0", "INFO", "INFO commandstats",
			"CLIENT TRACKINGINFO", "CLIENT GETREDIR", "CLIENT LIST", "CLIENT HELP", "SLOWLOG HELP", "COMMAND COUNT", "COMMAND INFO get",
		} {
			args := strings.Fields(request)
			got, wanted := shape([]byte(c.Do(args...))), shape([]byte(direct.Do(args...)))
			if got != wanted {
				t.Errorf("RESP%s %s: shape %q, a server's %q", version, request, got, wanted)
			}
		}
	}
}

// shape is a reply's types, nested: the elements of a list once if they are all alike.
func shape(b []byte) string {
	switch b[0] {
	case '*', '~', '%', '>':
		seen := map[string]bool{}
		s := ""
		for _, e := range elements(b) {
			if sh := shape(e); !seen[sh] {
				seen[sh] = true
				s += sh
			}
		}
		return string(b[0]) + "(" + s + ")"
	}
	return string(b[0])
}

func TestConfigGetAndSet(t *testing.T) {
	a, b := redistest.Server(t, "--maxmemory", "1000000"), redistest.Server(t, "--maxmemory", "2000000", "--requirepass", "")
	srv := serve(t, nil, a.Addr(), b.Addr())
	c := client(t, srv)
	port := srv.Addr(0)[strings.LastIndexByte(srv.Addr(0), ':')+1:]
	get := func(name string) string {
		list := elements([]byte(c.Do("CONFIG", "GET", name)))
		if len(list) != 2 {
			return ""
		}
		return string(text(list[1]))
	}
	for name, wanted := range map[string]string{"maxmemory": "1000000", "port": port, "databases": "16", "save": "", "appendonly": "no", "cluster-enabled": "no"} {
		want(t, name, get(name), wanted)
	}
	want(t, "SET on all nodes", c.Do("CONFIG", "SET", "hz", "20", "maxmemory-samples", "7"), "+OK\r\n")
	for _, n := range []*redistest.Redis{a, b} {
		want(t, "at a node", redistest.Dial(t, n.Addr()).Do("CONFIG", "GET", "hz"), "*2\r\n$2\r\nhz\r\n$2\r\n20\r\n")
	}
	for _, name := range []string{"requirepass", "PORT", "maxclients"} {
		if got := c.Do("CONFIG", "SET", name, "1"); !strings.HasPrefix(got, "-ERR CONFIG SET "+strings.ToLower(name)+" is refused: ") {
			t.Errorf("CONFIG SET %s: %q", name, got)
		}
	}
	if got := c.Do("CONFIG", "SET", "nonsense", "1"); !strings.HasPrefix(got, "-ERR Unknown option") {
		t.Errorf("an unknown one: %q", got)
	}
	t.Run("one node is enough to GET, SET needs all", func(t *testing.T) {
		b.Kill()
		want(t, "GET", get("maxmemory"), "1000000")
		if got := c.Do("CONFIG", "SET", "hz", "30"); !strings.HasPrefix(got, "-ERR node ") {
			t.Errorf("SET: %q", got)
		}
		a.Kill()
		if got := c.Do("CONFIG", "GET", "hz"); !resp.IsError([]byte(got)) {
			t.Errorf("GET without any node: %q", got)
		}
	})
}

// The servers of the tests have no modules to load, so fakes tell of some.
func TestModuleListHasWhatAllNodesHave(t *testing.T) {
	module := func(name string) string {
		return "*4\r\n$4\r\nname\r\n" + redistest.Bulk(name) + "$3\r\nver\r\n:1\r\n"
	}
	lists := func(modules ...string) string {
		return redistest.Answering(t, func(args []string) string {
			return fmt.Sprintf("*%d\r\n%s", len(modules), strings.Join(modules, ""))
		})
	}
	json, bloom, search := module("ReJSON"), module("bf"), module("search")
	c := client(t, serve(t, nil, lists(json, search, bloom), lists(bloom, json), lists(search, bloom, json)))
	want(t, "MODULE LIST", c.Do("MODULE", "LIST"), "*2\r\n"+json+bloom)
	none := client(t, serve(t, nil, lists(json), lists()))
	want(t, "MODULE LIST", none.Do("MODULE", "LIST"), "*0\r\n")
}
