package proxy

import (
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// hasAll reports whether a reply has each of some names with its value.
func hasAll(reply string, facts ...string) bool {
	for i := 0; i+1 < len(facts); i += 2 {
		if !strings.Contains(reply, redistest.Bulk(facts[i])+redistest.Bulk(facts[i+1])) {
			return false
		}
	}
	return true
}

func TestExplainSaysWhereAKeyIs(t *testing.T) {
	addresses := nodes(t, 3)
	srv := serve(t, nil, addresses...)
	c := client(t, srv)
	for _, key := range []string{"plain", "{tag}x", "a{b}c"} {
		var node int
		onLoop(t, srv, func(w *worker) { node = w.pools[0].find([]byte(key)) })
		name := srv.pools[0].director.names()[node]
		got := c.Do("RINGWAY", "EXPLAIN", key)
		if !hasAll(got, "key", key, "distribution", "consistent", "node", name, "address", addresses[node], "state", "up") {
			t.Errorf("EXPLAIN %s: %q", key, got)
		}
	}
	if got := c.Do("RINGWAY", "EXPLAIN", "a{b}c", "other"); !strings.HasPrefix(got, "*2\r\n") || !hasAll(got, "hashed", "b") || !hasAll(got, "key", "other") {
		t.Errorf("two keys: %q", got)
	}
	if got := c.Do("RINGWAY", "EXPLAIN"); !strings.HasPrefix(got, "-ERR wrong number of arguments") {
		t.Errorf("no key: %q", got)
	}
	if got := c.Do("RINGWAY", "NODES"); !strings.HasPrefix(got, "*3\r\n") || !hasAll(got, "address", addresses[2], "state", "up") {
		t.Errorf("NODES: %q", got)
	}
	if got := c.Do("RINGWAY", "RING"); !hasAll(got, "distribution", "consistent", "hash", "xxhash64", "hash-tag", "{}") || strings.Count(got, "share of ") != 3 {
		t.Errorf("RING: %q", got)
	}
	if got := c.Do("RINGWAY", "HELP"); !strings.Contains(got, "EXPLAIN") || !strings.Contains(got, "NODES") {
		t.Errorf("HELP: %q", got)
	}
	if got := c.Do("RINGWAY", "NOSUCH"); !strings.HasPrefix(got, "-ERR") {
		t.Errorf("an unknown subcommand: %q", got)
	}
	balanced(t, srv)
}

// A node that is down is said to be so, with the reason.
func TestExplainSaysThatANodeIsDown(t *testing.T) {
	server := redistest.Server(t)
	srv := serve(t, nil, server.Addr())
	c := client(t, srv)
	c.Do("SET", "k", "v")
	server.Kill()
	redistest.WaitFor(t, "the node to be down", func() bool {
		c.Do("GET", "k")
		return hasAll(c.Do("RINGWAY", "EXPLAIN", "k"), "state", "down")
	})
}

// The configuration is told without its passwords.
func TestRingwayConfigHidesPasswords(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.RequirePass = config.Secret("open sesame") }), nodes(t, 1)...)
	c := client(t, srv)
	if got := c.Do("RINGWAY", "CONFIG"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("without a login: %q", got)
	}
	c.Do("AUTH", "open sesame")
	if got := c.Do("RINGWAY", "CONFIG"); !strings.Contains(got, "distribution: consistent") || !strings.Contains(got, "requirepass: <secret>") || strings.Contains(got, "sesame") {
		t.Errorf("CONFIG: %q", got)
	}
}

// A key behind a route is explained as the pool that it leads to has it.
func TestExplainFollowsRoutes(t *testing.T) {
	addresses := nodes(t, 2)
	srv := serve(t, func(c *config.Config) {
		front, a, b := c.Pools[0], c.Pools[0], c.Pools[0]
		front.Backends, front.Routes = nil, []config.Route{{Prefix: "user:", Pool: "users", StripPrefix: true}, {Prefix: "job:", Pool: "jobs"}}
		a.Name, a.Listen, a.Backends = "users", "", c.Pools[0].Backends[:1]
		b.Name, b.Listen, b.Backends = "jobs", "", c.Pools[0].Backends[1:]
		c.Pools = []config.Pool{front, a, b}
	}, addresses...)
	c := client(t, srv)
	if got := c.Do("RINGWAY", "EXPLAIN", "user:1"); !hasAll(got, "route", "user:", "key-at-the-node", "1", "address", addresses[0]) {
		t.Errorf("a key that is stripped: %q", got)
	}
	if got := c.Do("RINGWAY", "EXPLAIN", "job:1"); !hasAll(got, "route", "job:", "address", addresses[1]) || strings.Contains(got, "key-at-the-node") {
		t.Errorf("a key that is not: %q", got)
	}
	if got := c.Do("RINGWAY", "EXPLAIN", "other"); !hasAll(got, "refused", "no route has a prefix of it") {
		t.Errorf("a key without a route: %q", got)
	}
	if got := c.Do("RINGWAY", "RING"); !hasAll(got, "distribution", "routes") {
		t.Errorf("RING: %q", got)
	}
}
