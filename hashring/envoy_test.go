package hashring

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// envoyPool is a listener of a real Envoy with the cluster behind it, and the ring that must agree with it.
type envoyPool struct {
	name    string
	opt     Options
	policy  string // what the cluster says of its load balancing
	weights []int
	names   func(addr string, i int) string // nil: by address
}

var envoyPools = []envoyPool{
	{"ring", Options{Distribution: "ring_hash", HashTag: "{}"}, "lb_policy: RING_HASH", []int{1, 1, 1, 1}, nil},
	{"untagged", Options{Distribution: "ring_hash"}, "lb_policy: RING_HASH", []int{1, 1, 1, 1}, nil},
	{"three", Options{Distribution: "ring_hash", HashTag: "{}"}, "lb_policy: RING_HASH", []int{1, 1, 1}, nil},
	{"weighted", Options{Distribution: "ring_hash", HashTag: "{}"}, "lb_policy: RING_HASH", []int{3, 1, 7, 2}, nil},
	{"murmur", Options{Distribution: "ring_hash", Hash: "murmur2_64", HashTag: "{}", RingSize: 4000}, "lb_policy: RING_HASH\n" +
		"    ring_hash_lb_config: {minimum_ring_size: 4000, hash_function: MURMUR_HASH_2}", []int{1, 1, 1, 1}, nil},
	{"uneven", Options{Distribution: "ring_hash", RingSize: 10, MaxRingSize: 55}, "lb_policy: RING_HASH\n" +
		"    ring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 55}", []int{30, 1, 7, 20}, nil},
	{"named", Options{Distribution: "ring_hash", HashTag: "{}"}, "lb_policy: RING_HASH", []int{1, 2, 1, 1}, func(_ string, i int) string { return fmt.Sprint("cache-", 3-i) }},
	{"maglev", Options{Distribution: "maglev", HashTag: "{}"}, "lb_policy: MAGLEV", []int{1, 1, 1, 1}, nil},
	{"maglevw", Options{Distribution: "maglev", HashTag: "{}"}, "lb_policy: MAGLEV", []int{3, 1, 7, 2}, nil},
	{"maglevs", Options{Distribution: "maglev", TableSize: 251}, "lb_policy: MAGLEV\n    maglev_lb_config: {table_size: 251}", []int{1, 4, 1}, nil},
	{"maglevn", Options{Distribution: "maglev", HashTag: "{}"}, "lb_policy: MAGLEV", []int{1, 2, 1, 1}, func(_ string, i int) string { return fmt.Sprint("cache-", 3-i) }},
}

// TestEveryKeyIsWhereEnvoyPutsIt writes through a real Envoy and reads from the server the ring names.
func TestEveryKeyIsWhereEnvoyPutsIt(t *testing.T) {
	dir := socketDir(t)
	redis := make([]*redisServer, 4)
	for i := range redis {
		redis[i] = startRedis(t, dir, i)
	}
	startEnvoy(t, dir, redis)
	keys := wildKeys(5000)
	for _, p := range envoyPools {
		t.Run(p.name, func(t *testing.T) {
			ring := mustNew(t, p.nodes(redis), p.opt)
			byRedis := make(map[*redisServer][][]byte)
			for _, key := range keys {
				r := redis[ring.Find(key)]
				byRedis[r] = append(byRedis[r], key)
			}
			direct := make(map[*redisServer]*wire)
			for _, r := range redis {
				direct[r] = dial(t, r.sock)
			}
			flush(t, direct)
			dial(t, filepath.Join(dir, p.name+".sock")).write(t, keys, "through envoy "+p.name)
			for r, c := range direct {
				c.check(t, byRedis[r], "through envoy "+p.name)
			}
			for i := range p.weights {
				if len(byRedis[redis[i]]) == 0 {
					t.Errorf("no key is on server %d: nothing is shown of it", i)
				}
			}
		})
	}
}

func (p *envoyPool) nodes(redis []*redisServer) (nodes []Node) {
	for i, w := range p.weights {
		name := redis[i].addr
		if p.names != nil {
			name = p.names(name, i)
		}
		nodes = append(nodes, Node{name, w})
	}
	return nodes
}

func startEnvoy(t *testing.T, dir string, redis []*redisServer) {
	t.Helper()
	var listeners, clusters strings.Builder
	for _, p := range envoyPools {
		fmt.Fprintf(&listeners, `  - name: %[1]s
    address: {pipe: {path: %[2]s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: %[1]s
          settings: {op_timeout: 60s, enable_hashtagging: %[3]v}
          prefix_routes: {catch_all_route: {cluster: %[1]s}}
`, p.name, filepath.Join(dir, p.name+".sock"), p.opt.HashTag != "")
		fmt.Fprintf(&clusters, `  - name: %[1]s
    type: STATIC
    connect_timeout: 30s
    %[2]s
    load_assignment:
      cluster_name: %[1]s
      endpoints:
      - lb_endpoints:
`, p.name, p.policy)
		for i, n := range p.nodes(redis) {
			host, port, _ := strings.Cut(redis[i].addr, ":")
			fmt.Fprintf(&clusters, "        - endpoint: {address: {socket_address: {address: %s, port_value: %s}}}\n          load_balancing_weight: %d\n", host, port, n.Weight)
			if p.names != nil {
				fmt.Fprintf(&clusters, "          metadata: {filter_metadata: {envoy.lb: {hash_key: %s}}}\n", n.Name)
			}
		}
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte("static_resources:\n  listeners:\n"+listeners.String()+"  clusters:\n"+clusters.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, process{
		program: envoyProgram(),
		install: "make envoy, or make test",
		args: func() []string {
			return []string{"-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"}
		},
		ready: func() error { return ping(filepath.Join(dir, envoyPools[len(envoyPools)-1].name+".sock")) },
	})
}

// envoyProgram is the Envoy on the PATH, or the one that the Makefile has put into the user's cache directory.
func envoyProgram() string {
	if path, err := exec.LookPath("envoy"); err == nil {
		return path
	}
	cache, _ := os.UserCacheDir()
	return filepath.Join(cache, "ringway", "bin", "envoy")
}

// murmur2 is checked where nobody else hashes with it, so that a mistake is found without an Envoy: the sums are std::hash's.
func TestMurmur2IsThatOfTheStandardLibraryOfCPlusPlus(t *testing.T) {
	for key, want := range map[string]uint64{
		"": 6142509188972423790, "1": 10159970873491820195, "test": 15118982290295364091, "user:1000": 9913810270617923547,
		"exactly8": 13580205909952649287, "more than sixteen bytes": 15249471802749058905, "\xff\xfe\x80": 14556126092281874519,
	} {
		if got := murmur2([]byte(key)); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

func TestEnvoysRingsRefuse(t *testing.T) {
	ok := equalNodes(2)
	for _, c := range []struct {
		opt  Options
		want string
	}{
		{Options{Distribution: "ring_hash", Hash: "md5"}, `hash "md5" does not go with distribution ring_hash: write xxhash64 or murmur2_64`},
		{Options{Distribution: "ring_hash", RingSize: 20, MaxRingSize: 10}, `a ring of at least 20 points that has at most 10: raise max_ring_size, or lower ring_size`},
		{Options{Distribution: "maglev", Hash: "md5"}, `hash "md5": distribution maglev has its own hash, that of Envoy (leave hash out)`},
		{Options{Distribution: "maglev", TableSize: 250}, `table size 250: that of maglev is a prime number from 3 to 5000011`},
	} {
		if _, err := New(ok, c.opt); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v\nwant: %s", c.opt, err, c.want)
		}
	}
}
