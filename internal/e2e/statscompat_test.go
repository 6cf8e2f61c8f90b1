package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// nutcracker runs a real twemproxy over those servers, on the first port, with its stats on the second.
func nutcracker(t *testing.T, port, stats int, names []string, servers []*redistest.Redis) {
	t.Helper()
	path, err := exec.LookPath("nutcracker")
	if err != nil {
		path = "/usr/sbin/nutcracker" // where Debian has it, out of a user's PATH
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("this test needs a real nutcracker: apt-get install nutcracker")
	}
	dir := t.TempDir()
	var conf strings.Builder
	fmt.Fprintf(&conf, "alpha:\n  listen: 127.0.0.1:%d\n  redis: true\n  distribution: ketama\n  hash: fnv1a_64\n  servers:\n", port)
	for i, s := range servers {
		fmt.Fprintf(&conf, "    - %s:1 %s\n", s.Addr(), names[i])
	}
	file := filepath.Join(dir, "nutcracker.yml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := redistest.Start(t, path, "-c", file, "-a", "127.0.0.1", "-s", fmt.Sprint(stats), "-i", "20", "-o", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	redistest.WaitFor(t, "nutcracker to listen", func() bool {
		c, err := redistest.Connect(fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return !p.Running()
		}
		c.Close()
		return true
	})
	if !p.Running() {
		t.Fatalf("nutcracker has ended: %s", p.Output())
	}
}

// statsOf reads the document of a stats port.
func statsOf(t *testing.T, port int) map[string]any {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return doc
}

func fields(doc map[string]any) []string { return slices.Sorted(maps.Keys(doc)) }

// The same load through twemproxy and through Ringway, which has taken its file over: the documents have the same fields, and what both count alike is equal.
func TestStatsAreInTwemproxysShape(t *testing.T) {
	names := []string{"first", "second", "third"}
	var servers []*redistest.Redis
	var nodes []string
	for i := range names {
		servers = append(servers, redistest.Server(t))
		nodes = append(nodes, fmt.Sprintf("{name: %s, address: %q}", names[i], servers[i].Addr()))
	}
	port, theirs, ours := redistest.FreePort(t), redistest.FreePort(t), redistest.FreePort(t)
	nutcracker(t, port, theirs, names, servers)
	r := serveWith(t, setup{top: fmt.Sprintf("stats_compat: {listen: \"127.0.0.1:%d\"}\n", ours)}, pool{
		name: "alpha", options: map[string]string{"distribution": "ketama", "hash": "fnv1a_64", "hash_tag": `""`, "hot_keys": "off"},
		source: "    backends: [" + strings.Join(nodes, ", ") + "]\n",
	})

	for _, addr := range []string{fmt.Sprintf("127.0.0.1:%d", port), r.addrs[0]} {
		c := redistest.Dial(t, addr)
		for i := range 300 {
			key := fmt.Sprint("key:", i)
			c.Send("SET", key, "value")
			c.Send("GET", key)
			c.Send("DEL", key, "key:one", "key:two", "key:three", "key:four", "key:five", "key:six")
			c.Send("MGET", key, "key:one", "key:two", "key:three", "key:four", "key:five", "key:six")
		}
		c.Flush()
		for range 4 * 300 {
			c.Recv()
		}
	}

	figure := func(doc map[string]any, path ...string) float64 {
		for _, name := range path[:len(path)-1] {
			doc = doc[name].(map[string]any)
		}
		return doc[path[len(path)-1]].(float64)
	}
	var twemproxy, ringway map[string]any
	redistest.WaitFor(t, "twemproxy to have added up", func() bool { // it does so from time to time
		twemproxy = statsOf(t, theirs)
		n := 0.0
		for _, name := range names {
			n += figure(twemproxy, "alpha", name, "responses")
		}
		return n >= 600 && n == func() (n float64) {
			ringway = statsOf(t, ours)
			for _, name := range names {
				n += figure(ringway, "alpha", name, "responses")
			}
			return n
		}()
	})

	at := func(doc map[string]any, name string) map[string]any { return doc[name].(map[string]any) }
	for _, where := range []struct {
		name     string
		got, has map[string]any
	}{
		{"at the top", ringway, twemproxy},
		{"of a pool", at(ringway, "alpha"), at(twemproxy, "alpha")},
		{"of a server", at(at(ringway, "alpha"), "first"), at(at(twemproxy, "alpha"), "first")},
	} {
		if got, want := fields(where.got), fields(where.has); !slices.Equal(got, want) {
			t.Errorf("fields %s: %v\nwant %v", where.name, got, want)
		}
	}
	for _, name := range names {
		for _, f := range []string{"requests", "responses", "request_bytes", "response_bytes", "server_eof", "server_err", "server_timedout", "server_connections",
			"server_ejected_at", "in_queue", "in_queue_bytes", "out_queue", "out_queue_bytes"} {
			if got, want := figure(ringway, "alpha", name, f), figure(twemproxy, "alpha", name, f); got != want {
				t.Errorf("server %s: %s is %v, and twemproxy's %v", name, f, got, want)
			}
		}
	}
	if n := figure(ringway, "alpha", "fragments"); n < 1200 || n > 1800 { // twemproxy 0.5 does not count them
		t.Errorf("%v fragments of 600 requests with keys on two or three servers", n)
	}
	for _, f := range []string{"client_err", "forward_error", "server_ejects", "client_connections"} {
		if got, want := figure(ringway, "alpha", f), figure(twemproxy, "alpha", f); got != want {
			t.Errorf("pool: %s is %v, and twemproxy's %v", f, got, want)
		}
	}
	if ringway["service"] != twemproxy["service"] || ringway["source"] != twemproxy["source"] {
		t.Errorf("service %v, source %v; twemproxy's are %v and %v", ringway["service"], ringway["source"], twemproxy["service"], twemproxy["source"])
	}
}
