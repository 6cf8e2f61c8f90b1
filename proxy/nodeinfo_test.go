package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

func TestNodesAreAskedForInfo(t *testing.T) {
	full := redistest.Server(t, "--maxmemory", "2mb", "--maxmemory-policy", "allkeys-lru", "--requirepass", "secret")
	primary := redistest.Server(t)
	replica := redistest.Replica(t, primary)
	backends := func(p *config.Pool) {
		p.Backends = []config.Backend{
			{Name: "full", Address: full.Addr(), Weight: 1, Identity: config.Identity{Password: "secret"}},
			{Name: "primary", Address: primary.Addr(), Weight: 1, Replicas: []config.Replica{{Address: replica.Addr()}}},
		}
		p.ReadPolicy, p.NodeInfo = "prefer-replica", 20*time.Millisecond
	}
	srv := serve(t, onPool(backends))
	c := client(t, srv)
	value := strings.Repeat("x", 10_000)
	tag := "{" + keyOf(t, srv, 0, "k") + "}"
	for i := range 200 {
		c.Do("SET", fmt.Sprint(tag, i), value)
	}
	mine := keyOf(t, srv, 1, "k")
	c.Do("SET", mine, "1")
	c.Do("GET", mine+"none")
	info := func() map[string]metrics.NodeInfo {
		byName := map[string]metrics.NodeInfo{}
		p := srv.Pools()[0]
		for i, said := range p.Infos {
			byName[p.Nodes[i]] = said
		}
		return byName
	}
	var now map[string]metrics.NodeInfo
	redistest.WaitFor(t, "all to have told", func() bool {
		now = info()
		return now["full"].Evicted > 0 && now["primary"].Keys == 1 && now["primary"].LagBytes == 0 && now[replica.Addr()].Keys == 1
	})
	f, p, r := now["full"], now["primary"], now[replica.Addr()]
	if f.MemoryMax != 2<<20 || f.MemoryUsed < 1<<20 || f.MemoryUsed > 4<<20 || f.Fragmentation <= 0 || f.Commands < 200 || f.Clients == 0 || f.Replicas != 0 || f.Replica {
		t.Errorf("the full one says %+v", f)
	}
	if p.MemoryMax != 0 || p.Replicas != 1 || p.Replica || p.Evicted != 0 {
		t.Errorf("the primary says %+v", p)
	}
	if !r.Replica || !r.LinkUp || r.Replicas != 0 {
		t.Errorf("the replica says %+v", r)
	}

	replica.Stop() // no longer does it say how far it is
	c.Do("SET", mine, value)
	redistest.WaitFor(t, "the replica to be behind", func() bool {
		n := info()
		return n["primary"].LagBytes >= 10_000 && n[replica.Addr()] == metrics.NodeInfo{Asked: true}
	})
	replica.Cont()
	full.Kill()
	redistest.WaitFor(t, "the dead to say nothing, and the others to go on", func() bool {
		n := info()
		return n["full"] == metrics.NodeInfo{Asked: true} && n[replica.Addr()].Answered && n["primary"].LagBytes == 0
	})

	reloadWith(t, srv, func(c *config.Config) { backends(&c.Pools[0]); c.Pools[0].NodeInfo = 0 })
	if p := srv.Pools()[0]; p.Infos != nil {
		t.Errorf("nobody asks any more, and yet: %+v", p.Infos)
	}
}

func TestWhatAServerDoesNotTellIsNothing(t *testing.T) {
	for _, x := range []struct {
		text string
		want metrics.NodeInfo
	}{
		{"", metrics.NodeInfo{}},
		{"# Memory\r\nused_memory:-1\r\nmaxmemory:x\r\nevicted_keys\r\ndb0:keys=1,expires=0\r\ndb15:keys=2\r\ndbx:keys=4\r\n", metrics.NodeInfo{Keys: 3}},
		{"role:master\r\nmaster_repl_offset:100\r\nslave0:ip=::1,port=1,state=online,offset=90,lag=1\r\nslave1:ip=::1,port=2,state=wait_bgsave,offset=0,lag=7\r\nslave_expires_tracked_keys:0\r\n",
			metrics.NodeInfo{Replicas: 2, LagBytes: 100, LagSeconds: 7}},
		{"role:slave\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\nmaster_link_down_since_seconds:9\r\n", metrics.NodeInfo{Replica: true, LagSeconds: 9}},
	} {
		if got := parseInfo(x.text); got != x.want {
			t.Errorf("%q: %+v, want %+v", x.text, got, x.want)
		}
	}
}
