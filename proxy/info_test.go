package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// figures reads an INFO.
func figures(t testing.TB, c *redistest.Conn, sections ...string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for line := range strings.Lines(string(text([]byte(c.Do(append([]string{"INFO"}, sections...)...))))) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[name] = value
		} else if s := strings.TrimSpace(line); s != "" {
			m[s] = ""
		}
	}
	return m
}

func TestInfo(t *testing.T) {
	addresses := nodes(t, 3)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, addresses...)
	c := client(t, srv)
	for i := range 30 {
		c.Do("SET", fmt.Sprint("k", i), "v")
		c.Do("GET", fmt.Sprint("k", i))
	}
	c.Do("PEXPIRE", "k1", "100000")
	c.Do("GET", "missing")

	t.Run("tells of the pool as of one server", func(t *testing.T) {
		m := figures(t, c)
		for name, wanted := range map[string]string{
			"redis_version": "7.0.15", "redis_mode": "standalone", "role": "master", "cluster_enabled": "0", "connected_clients": "1",
			"keyspace_hits": "30", "keyspace_misses": "1", "loading": "0", "lazyfree_pending_objects": "0", "sync_full": "0", "rdb_saves": "0", "aof_last_rewrite_time_sec": "-1", "maxmemory_policy": "noeviction", "total_connections_received": "1",
			"tcp_port": srv.Addr(0)[strings.LastIndexByte(srv.Addr(0), ':')+1:], "pool": "test", "threads": "2",
		} {
			want(t, name, m[name], wanted)
		}
		if !strings.HasPrefix(m["db0"], "keys=30,expires=1,avg_ttl=") {
			t.Errorf("db0: %q", m["db0"])
		}
		for i, a := range addresses {
			wanted := fmt.Sprintf("name=n%d,address=%s,state=up,version=7.0.15,lanes=1,", i, a)
			if got := m["node"+strconv.Itoa(i)]; !strings.HasPrefix(got, wanted) {
				t.Errorf("node%d: %q, want %q...", i, got, wanted)
			}
		}
		for _, name := range []string{"used_memory", "used_memory_rss", "process_id", "uptime_in_seconds", "used_cpu_user", "instantaneous_ops_per_sec"} {
			if m[name] == "" {
				t.Errorf("%s is missing", name)
			}
		}
		if _, has := m["# Commandstats"]; has {
			t.Error("Commandstats came without being asked for")
		}
	})
	t.Run("one section, several, all", func(t *testing.T) {
		want(t, "a section of the nodes", c.Do("INFO", "keyspace")[5:17], "# Keyspace\r\n")
		want(t, "an unknown one", c.Do("INFO", "nonsense"), "$0\r\n\r\n")
		m := figures(t, c, "Server", "commandstats")
		if m["cmdstat_set"] == "" || !strings.HasPrefix(m["cmdstat_set"], "calls=30,") || m["redis_version"] == "" || m["role"] != "" {
			t.Errorf("INFO Server commandstats: %v", m)
		}
		m = figures(t, c, "everything")
		if m["cmdstat_get"] == "" || m["role"] == "" {
			t.Errorf("INFO everything: %v", m)
		}
	})
	t.Run("in RESP3 it is a verbatim text", func(t *testing.T) {
		c := client(t, srv)
		c.Do("HELLO", "3")
		if got := c.Do("INFO", "cluster"); got != "=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n" {
			t.Errorf("INFO cluster: %q", got)
		}
	})
	t.Run("it waits for its turn", func(t *testing.T) {
		c.Send("SET", "k1", "x")
		c.Send("INFO", "keyspace")
		c.Send("PING")
		c.Flush()
		want(t, "before", c.Recv(), "+OK\r\n")
		c.Recv()
		want(t, "after", c.Recv(), "+PONG\r\n")
	})
}

func TestInfoListsANodeThatIsDown(t *testing.T) {
	up, gone := redistest.Server(t), redistest.Server(t)
	srv := serve(t, nil, up.Addr(), gone.Addr())
	c := client(t, srv)
	c.Do("SET", keyOf(t, srv, 0, "a"), "1")
	gone.Kill()
	m := figures(t, c)
	if !strings.HasPrefix(m["db0"], "keys=1,") || !strings.Contains(m["node0"], "state=up") || !strings.Contains(m["node1"], "state=down") {
		t.Errorf("db0 %q, node0 %q, node1 %q", m["db0"], m["node0"], m["node1"])
	}
}

func TestRatesAreMeasuredBetweenTwoLooks(t *testing.T) {
	var sa sample
	steps := []struct {
		at       int64
		commands uint64
		want     float64
	}{
		{2e9, 100, 50},       // since the start
		{2e9 + 1e7, 500, 50}, // too soon
		{4e9, 300, 100},
		{5e9, 300, 0},
	}
	for _, st := range steps {
		if got := sa.since(st.at, totals{commands: st.commands}); got.commands != st.want {
			t.Errorf("at %d: %v commands a second, want %v", st.at, got.commands, st.want)
		}
	}
}

func TestInfoOfAPoolThatAReloadBrings(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, nil, a.Addr())
	client(t, srv).Do("INFO")
	listen := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	reloadWith(t, srv, func(c *config.Config) {
		p := poolOf("second", a.Addr())
		p.Listen = listen
		c.Pools = append(c.Pools, p)
	})
	if m := figures(t, redistest.Dial(t, listen)); m["instantaneous_ops_per_sec"] == "" {
		t.Errorf("INFO has no rates: %v", m)
	}
	balanced(t, srv)
}

// What INFO tells is asked of every loop, each of which takes a reload over at its own time. The race detector is the judge.
func TestInfoDuringReloads(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, nodes(t, 1)...)
	var asking sync.WaitGroup
	var over atomic.Bool
	for range 8 { // on both loops
		c := client(t, srv)
		asking.Go(func() {
			for !over.Load() {
				for range 20 {
					c.Send("INFO", "server", "stats")
				}
				c.Flush()
				for range 20 {
					if got := c.Recv(); !strings.Contains(got, "config_file:") {
						t.Errorf("INFO: %q", got)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.Window = 100 + i }))
	}
	over.Store(true)
	asking.Wait()
	balanced(t, srv)
}

func TestConfigResetStat(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, a.Addr(), redistest.Server(t).Addr())
	c, other := client(t, srv), client(t, srv)
	for range 50 {
		c.Do("GET", "k")
		other.Do("NOSUCH")
	}
	want(t, "CONFIG RESETSTAT", c.Do("CONFIG", "RESETSTAT"), "+OK\r\n")
	m := figures(t, other, "stats")
	for name, wanted := range map[string]string{"total_commands_processed": "1", "total_connections_received": "0", "keyspace_misses": "0"} {
		want(t, name, m[name], wanted)
	}
	a.Kill()
	if got := c.Do("CONFIG", "RESETSTAT"); !strings.HasPrefix(got, "-ERR node 'n0'") {
		t.Errorf("CONFIG RESETSTAT with a node down: %q", got)
	}
}
