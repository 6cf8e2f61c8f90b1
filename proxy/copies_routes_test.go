package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// routedHot is a server with a pool in whose front keys are hot, and behind it one of two nodes, whose keys have a prefix that the servers may not see, one of
// a Redis Cluster's nodes, likewise, and one of a single node.
func routedHot(t testing.TB, mode string, strip bool, cl *redistest.Cluster, addresses []string) *Server {
	plain, rest := poolOf("plain", addresses[:2]...), poolOf("rest", addresses[2])
	cluster := poolOf("cluster")
	cluster.Cluster = &config.Cluster{Seeds: cl.Addrs()}
	srv := serve(t, func(c *config.Config) {
		keeping(t, "near", func(h *config.HotKeys) { h.Mode = mode })(c)
		routesTo([]config.Route{{Prefix: "p:", Pool: "plain", StripPrefix: strip}, {Prefix: "c:", Pool: "cluster", StripPrefix: strip}, {Prefix: "", Pool: "rest"}}, plain, cluster, rest)(c)
	})
	found(t, srv)
	return srv
}

// Behind routes a hot key has copies on the nodes of its own pool, under the name by which those know it.
func TestHotKeysBehindRoutes(t *testing.T) {
	cl := redistest.StartCluster(t, 3, 0)
	for _, strip := range []bool{false, true} {
		for _, mode := range keepingModes {
			t.Run(fmt.Sprintf("%s, strip_prefix %v", mode, strip), func(t *testing.T) {
				addresses := nodes(t, 3)
				srv := routedHot(t, mode, strip, cl, addresses)
				a, b := client(t, srv), client(t, srv)
				b.Do("HELLO", "3")
				a.Do("FLUSHALL")
				a.Do("SET", "other", "v")
				for key, copies := range map[string]int{"p:hot": 2, "c:hot": 3} {
					seen := key
					if strip {
						seen = key[2:]
					}
					a.Do("SET", key, "first")
					if mode == "copies" {
						untilCopied(t, a, key, copies)
					}
					untilKept(t, mode, a, key)
					for i := range 100 {
						v := strings.Repeat(fmt.Sprint(i), 1+i)
						want(t, "SET", a.Do("SET", key, v), "+OK\r\n")
						for range 5 {
							want(t, "GET by the one who wrote", a.Do("GET", key), redistest.Bulk(v))
							want(t, "GET by another", b.Do("GET", key), redistest.Bulk(v))
							want(t, "STRLEN", b.Do("STRLEN", key), fmt.Sprintf(":%d\r\n", len(v)))
							want(t, "MGET", b.Do("MGET", key, "other"), "*2\r\n"+redistest.Bulk(v)+redistest.Bulk("v"))
						}
					}
					untilKept(t, mode, a, key)
					owner := ""
					onLoop(t, srv, func(w *worker) {
						for _, ps := range w.pools {
							if ps.shared.cfg.Name == "front" {
								owner = ps.topo.nodes[ps.find([]byte(key))].Address()
							}
						}
					})
					want(t, "SET past the router", redistest.Dial(t, owner).Do("SET", seen, "direct"), "+OK\r\n")
					told := time.Now()
					for late := time.Duration(0); a.Do("GET", key) != redistest.Bulk("direct"); late = time.Since(told) {
						if late > bound(500*time.Millisecond) {
							t.Fatalf("%s was written past the router, and is not told after %v", key, late)
						}
					}
					untilKept(t, mode, a, key)
					pushes := hotField(a, key, "invalidations")
					if pushes == "0" {
						t.Errorf("%s: no node has told of a change", key)
					}
				}
				if mode == "copies" {
					untilCopied(t, a, "c:hot", 3)
					for _, node := range cl.Nodes {
						names := copiesOn(node)
						if len(names) == 0 {
							t.Error("a node of the cluster has no copy")
						}
						for _, name := range names {
							if seen := map[bool]string{false: ":s:c:hot", true: ":s:hot"}[strip]; !strings.HasSuffix(name, seen) {
								t.Errorf("a copy is called %q", name)
							}
						}
					}
					if n := redistest.Dial(t, addresses[2]); n.Do("SELECT", "15") != "+OK\r\n" || n.Do("DBSIZE") != ":0\r\n" {
						t.Error("there are copies on the node of another pool")
					}
				}
				hidden(t, a, []string{"other", "p:hot", "c:hot"})
				if mode == "copies" { // whose database of copies clients use has none any more
					want(t, "SELECT", b.Do("SELECT", "15"), "+OK\r\n")
					redistest.WaitFor(t, "the copies in it to be given up", func() bool { return hotField(a, "p:hot", "copied-to") == "0" })
					untilCopied(t, a, "c:hot", 3)
				}
				balanced(t, srv)
			})
		}
	}
}
