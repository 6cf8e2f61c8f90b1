package config

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestEnvoyYAML(t *testing.T) {
	c := mustLoad(t, "testdata/envoy.yml")
	var names []string
	for _, p := range c.Pools {
		names = append(names, p.Name)
	}
	equals(t, "pools", names, []string{"cache-mirror", "cache", "many-users", "many-rest", "many", "slots"})

	cache := c.Pools[1]
	equals(t, "listen", cache.Listen, "127.0.0.1:1999")
	equals(t, "placed by", []string{cache.Distribution, cache.Hash, cache.HashTag}, []string{"ring_hash", "murmur2_64", "{}"})
	equals(t, "sizes", []int{cache.RingSize, cache.MaxRingSize, c.Pools[2].TableSize}, []int{2048, 4096, 251})
	equals(t, "times", []time.Duration{cache.Timeout, cache.ConnectTimeout, cache.RetryTimeout}, []time.Duration{250 * time.Millisecond, time.Second, 10 * time.Second})
	equals(t, "failure", []any{cache.OnFailure, cache.FailureLimit, cache.MaxEjected}, []any{"eject", 3, 20})
	equals(t, "passwords", []Secret{cache.RequirePass, cache.Password}, []Secret{"from clients", "to servers"})
	equals(t, "mirror", *cache.Mirror, Mirror{Pool: "cache-mirror", Percent: 12.5, ExcludeReads: true, Line: cache.Mirror.Line})
	equals(t, "fault", *cache.Fault, Fault{Percent: 10, Delay: time.Second, Commands: []string{"get"}, Line: cache.Fault.Line})
	var servers []string
	for _, b := range append(cache.Backends, c.Pools[2].Backends...) {
		servers = append(servers, fmt.Sprintf("%s=%s*%d", b.Name, b.Address, b.Weight))
	}
	equals(t, "servers", servers, []string{"127.0.0.1:7001=127.0.0.1:7001*1", "second=127.0.0.1:7002*3", "127.0.0.1:7001=127.0.0.1:7001*1", "127.0.0.1:7003=127.0.0.1:7003*1"})
	many := c.Pools[4]
	equals(t, "routes", []string{many.Routes[0].Prefix, many.Routes[0].Pool, many.Routes[1].Prefix, many.Routes[1].Pool}, []string{"user:", "many-users", "", "many-rest"})
	equals(t, "seeds", c.Pools[5].Cluster.Seeds, []string{"127.0.0.1:7101"})
	equals(t, "reads", c.Pools[5].ReadPolicy, "prefer-replica")
	equals(t, "warnings", strings.Join(c.Warnings, "\n"), strings.Join([]string{
		`testdata/envoy.yml:1: admin is not carried over`,
		`testdata/envoy.yml:35: listener "many": redis_proxy: external_auth_provider is not carried over`,
		`testdata/envoy.yml:53: listener "web": no redis_proxy is among its filters; it is left out`,
		`testdata/envoy.yml:83: listener "many": cluster "rest": lb_policy "" places no key twice in the same place: the pool has distribution random`,
	}, "\n"))

	var b strings.Builder
	if err := WriteYAML(&b, c); err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, b.String())
	for i := range c.Pools {
		equals(t, c.Pools[i].Name+" as it is written", []any{again.Pools[i].Distribution, again.Pools[i].Hash, again.Pools[i].HashTag, again.Pools[i].RingSize, again.Pools[i].Listen},
			[]any{c.Pools[i].Distribution, c.Pools[i].Hash, c.Pools[i].HashTag, c.Pools[i].RingSize, c.Pools[i].Listen})
	}
}

func TestWhatOfEnvoyWouldMoveKeysIsRefused(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"lb_policy: MAGLEV", "lb_policy: MAGLEV\n    common_lb_config: {locality_weighted_lb_config: {}}", `locality_weighted_lb_config is not known here: keys would be placed otherwise`},
		{"lb_policy: MAGLEV", "lb_policy: MAGLEV\n    common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 150}}", `hash_balance_factor moves keys by load`},
		{"table_size: 251", "table_size: 250", `table size 250: that of maglev is a prime number`},
		{"cluster: users", "cluster: nobody", `cluster "nobody" is not among static_resources: clusters`},
		{"type: STATIC # maglev", "type: STRICT_DNS", ``},
		{"op_timeout: 0.25s", "op_timeout: soon", `op_timeout "soon" is not a duration such as 0.5s`},
		{"address: 127.0.0.1, port_value: 7003", "address: 127.0.0.1, port_value: 7001", `endpoint "127.0.0.1:7001" is the same as on line`},
		{"catch_all_route: {cluster: rest}", "case_insensitive: true\n            catch_all_route: {cluster: rest}", `case_insensitive prefixes are not known here`},
	} {
		data, err := os.ReadFile("testdata/envoy.yml")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(data), c.old, c.new, 1)
		if text == string(data) {
			t.Errorf("%q is not in the file", c.old)
		}
		_, err = Parse("envoy.yml", []byte(text))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("with %q: %v\nwant %s", c.new, err, c.want)
		}
	}
}

// TestKeysAreWhereEnvoyPutThem writes through a real Envoy, and looks where the imported file says.
func TestKeysAreWhereEnvoyPutThem(t *testing.T) {
	var redis []*redistest.Redis
	conns := map[string]*redistest.Conn{}
	for range 3 {
		r := redistest.Server(t)
		redis = append(redis, r)
		conns[r.Addr()] = redistest.Dial(t, r.Addr())
	}
	const keys = 2000
	key := func(i int) string {
		return fmt.Sprintf([]string{"user:%d", "{tag%d}:x", "item/%d", "user:{%d}"}[i%4], i)
	}
	for name, policy := range map[string]string{
		"ring":   "RING_HASH\n    ring_hash_lb_config: {minimum_ring_size: 300, hash_function: MURMUR_HASH_2}",
		"maglev": "MAGLEV",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "envoy.yaml")
			var listen string
			redistest.WaitFor(t, "envoy to serve", func() bool {
				port := redistest.FreePort(t)
				listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
				text := realEnvoy(port, policy, redis)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return startEnvoy(t, file, listen)
			})
			c := mustLoad(t, file)
			front := &c.Pools[len(c.Pools)-1]
			proxy := redistest.Dial(t, listen)
			for i := range keys {
				proxy.Send("SET", key(i), name+strconv.Itoa(i))
			}
			proxy.Flush()
			for i := range keys {
				if got := proxy.Recv(); got != "+OK\r\n" {
					t.Fatalf("SET %s through envoy: %q", key(i), got)
				}
			}
			for i := range keys {
				route := front.RouteOf([]byte(key(i)))
				at := ""
				for j := range c.Pools {
					if p := &c.Pools[j]; p.Name == route.Pool {
						ring, err := p.Ring()
						if err != nil {
							t.Fatal(err)
						}
						at = p.Backends[ring.Find([]byte(key(i)))].Address
					}
				}
				want := name + strconv.Itoa(i)
				if got := conns[at].Do("GET", key(i)); !strings.Contains(got, want) {
					t.Fatalf("%s is not on %s: %q", key(i), at, got)
				}
			}
		})
	}
}

func realEnvoy(port int, policy string, redis []*redistest.Redis) string {
	var b strings.Builder
	fmt.Fprintf(&b, `static_resources:
  listeners:
  - name: redis
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: test
          settings: {op_timeout: 60s, enable_hashtagging: true}
          prefix_routes:
            routes: [{prefix: "user:", cluster: users}]
            catch_all_route: {cluster: rest}
  clusters:
`, port)
	endpoint := func(r *redistest.Redis, weight int) {
		_, port, _ := strings.Cut(r.Addr(), ":")
		fmt.Fprintf(&b, "        - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}, load_balancing_weight: %d}\n", port, weight)
	}
	for i, name := range []string{"users", "rest"} {
		fmt.Fprintf(&b, "  - name: %s\n    type: STATIC\n    connect_timeout: 30s\n    lb_policy: %s\n    load_assignment:\n      cluster_name: %s\n"+
			"      endpoints:\n      - lb_endpoints:\n", name, policy, name)
		for j, r := range redis[:3-i] {
			endpoint(r, 1+j*(1-i))
		}
	}
	return b.String()
}

// startEnvoy says false if it has ended at once: its port may have been taken meanwhile.
func startEnvoy(t *testing.T, file, listen string) bool {
	t.Helper()
	path, err := exec.LookPath("envoy")
	if err != nil {
		cache, _ := os.UserCacheDir()
		path = filepath.Join(cache, "ringway", "bin", "envoy")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test needs a real envoy: make envoy, or make test (%v)", err)
	}
	p := redistest.Start(t, path, "-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
	for {
		select {
		case <-p.Exited():
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if c, err := redistest.Connect(listen); err == nil {
			said, err := c.TryDo("PING")
			c.Close()
			if err == nil && said == "+PONG\r\n" {
				return true
			}
		}
	}
}
