package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// router is a ringway process, in front of one or more pools.
type router struct {
	*redistest.Process
	config  string // path of its proxy.yml
	admin   string // "http://127.0.0.1:port"
	threads int
	addrs   []string // where the pools listen, in order
}

// pool is what a test says about a pool; everything has a default but nodes.
type pool struct {
	name    string
	listen  string            // "": a free loopback port
	nodes   []string          // addresses; their names are n0, n1, ...
	options map[string]string // further lines of the pool
	source  string            // in place of nodes: the lines that say where they come from, as backends, sentinel or cluster
}

// setup is what a test says about the process.
type setup struct {
	threads int      // 0: one
	config  string   // path of the proxy.yml, "" for one of its own
	top     string   // further lines at the top of the proxy.yml
	under   []string // run ringway as the last words of this command, a shell that sets limits for example
}

// serve runs ringway and returns when it says that it is ready.
func serve(t testing.TB, pools ...pool) *router {
	t.Helper()
	return serveWith(t, setup{}, pools...)
}

func serveWith(t testing.TB, with setup, pools ...pool) *router {
	t.Helper()
	r := &router{config: with.config, threads: max(1, with.threads), admin: fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(t))}
	if r.config == "" {
		r.config = filepath.Join(t.TempDir(), "proxy.yml")
	}
	for i := range pools {
		p := &pools[i]
		if p.name == "" {
			p.name = fmt.Sprintf("pool%d", i)
		}
		if p.listen == "" {
			p.listen = fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
		}
		r.addrs = append(r.addrs, p.listen)
	}
	text := with.top + r.describe(pools)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := slices.Concat(with.under, []string{program, "--config", r.config})
	r.Process = redistest.Start(t, argv[0], argv[1:]...)
	t.Cleanup(func() {
		for line := range strings.Lines(r.Output()) {
			if strings.Contains(line, "panic") || strings.Contains(line, "bug:") || strings.Contains(line, "DATA RACE") {
				t.Errorf("ringway printed %s", shorten([]byte(line)))
				break
			}
		}
	})
	redistest.WaitFor(t, "ringway to be ready", func() bool { return !r.Running() || r.ready() })
	if !r.Running() {
		t.Fatalf("ringway ended with exit code %d:\n%s\n%s", r.ExitCode(), r.Output(), text)
	}
	return r
}

// describe writes a configuration of these pools, each with its name and where it listens.
func (r *router) describe(pools []pool) string {
	var y strings.Builder
	fmt.Fprintf(&y, "threads: %d\nadmin:\n  listen: %s\nlog: {level: info, format: text}\npools:\n", r.threads, strings.TrimPrefix(r.admin, "http://"))
	for _, p := range pools {
		fmt.Fprintf(&y, "  - name: %s\n    listen: %q\n", p.name, p.listen)
		options := map[string]string{"timeout": "10s", "connect_timeout": "2s"}
		if !strings.Contains(p.source, "cluster:") {
			options["distribution"], options["hash_tag"] = "consistent", `"{}"`
		}
		maps.Copy(options, p.options)
		for _, k := range slices.Sorted(maps.Keys(options)) {
			fmt.Fprintf(&y, "    %s: %s\n", k, options[k])
		}
		if p.source != "" {
			y.WriteString(p.source)
			continue
		}
		fmt.Fprintf(&y, "    backends:\n")
		for j, a := range p.nodes {
			fmt.Fprintf(&y, "      - {name: n%d, address: %q, weight: 1}\n", j, a)
		}
	}
	return y.String()
}

func (r *router) ready() bool {
	resp, err := http.Get(r.admin + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// addr is where the first pool listens.
func (r *router) addr() string { return r.addrs[0] }

// servers starts n real servers.
func servers(t testing.TB, n int) []*redistest.Redis {
	t.Helper()
	nodes := make([]*redistest.Redis, n)
	for i := range nodes {
		nodes[i] = redistest.Server(t)
	}
	return nodes
}

func addresses(nodes []*redistest.Redis) []string {
	var a []string
	for _, n := range nodes {
		a = append(a, n.Addr())
	}
	return a
}

// owners returns the number of the node that each key lives on. It asks the nodes themselves: a key is written through the
// router, and where it then exists is where it lives. The keys are gone afterwards.
func owners(t testing.TB, addr string, nodes []*redistest.Redis, keys []string) map[string]int {
	t.Helper()
	c := redistest.Dial(t, addr)
	for _, k := range keys {
		c.Send("SET", k, "")
	}
	c.Flush()
	for _, k := range keys {
		if got := c.Recv(); got != "+OK\r\n" {
			t.Fatalf("SET %q through the router: %q", k, got)
		}
	}
	owner := make(map[string]int, len(keys))
	for i, n := range nodes {
		d := redistest.Dial(t, n.Addr())
		for _, k := range keys {
			d.Send("DEL", k)
		}
		d.Flush()
		for _, k := range keys {
			if d.Recv() == ":1\r\n" {
				if j, twice := owner[k]; twice {
					t.Fatalf("key %q is on node %d and on node %d", k, j, i)
				}
				owner[k] = i
			}
		}
		d.Close()
	}
	if len(owner) != len(keys) {
		t.Fatalf("of %d keys written through the router, only %d are on its nodes", len(keys), len(owner))
	}
	c.Close()
	return owner
}

// keysOf returns n keys that live on one node, and n that do not.
func keysOf(t testing.TB, addr string, nodes []*redistest.Redis, node, n int) (on, off []string) {
	t.Helper()
	var keys []string
	for i := range 20*n + 100 {
		keys = append(keys, fmt.Sprintf("key:%d", i))
	}
	owner := owners(t, addr, nodes, keys)
	for _, k := range keys {
		if owner[k] == node {
			on = append(on, k)
		} else {
			off = append(off, k)
		}
	}
	if len(on) < n || len(off) < n {
		t.Fatalf("of %d keys, %d live on node %d: too uneven", len(keys), len(on), node)
	}
	return on[:n], off[:n]
}
