package config

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
)

func unplacedTLS(t *ServerTLS) *ServerTLS {
	if t == nil {
		return nil
	}
	u := *t
	u.Line = 0
	return &u
}

// unplaced is a Config without what a file of other lines can't repeat.
func unplaced(c *Config) Config {
	d := *c
	d.File, d.Warnings = "", nil
	d.Admin.TLS = unplacedTLS(c.Admin.TLS)
	if c.Stats != nil {
		d.Stats = &StatsCompat{Listen: c.Stats.Listen}
	}
	d.Pools = slices.Clone(c.Pools)
	for i := range d.Pools {
		p := &d.Pools[i]
		p.Line, p.built = 0, nil
		p.TLS = unplacedTLS(p.TLS)
		if p.BackendTLS != nil {
			t := *p.BackendTLS
			t.Line, p.BackendTLS = 0, &t
		}
		p.Backends = slices.Clone(p.Backends)
		for j := range p.Backends {
			p.Backends[j].Line = 0
			p.Backends[j].Replicas = slices.Clone(p.Backends[j].Replicas)
			for k := range p.Backends[j].Replicas {
				p.Backends[j].Replicas[k].Line = 0
			}
		}
		p.Users = slices.Clone(p.Users)
		for j := range p.Users {
			p.Users[j].Line = 0
		}
		p.UserLimits = slices.Clone(p.UserLimits)
		for j := range p.UserLimits {
			p.UserLimits[j].Line = 0
		}
		p.Routes = slices.Clone(p.Routes)
		for j := range p.Routes {
			p.Routes[j].Line = 0
		}
		if p.Sentinel != nil {
			s := *p.Sentinel
			s.Line, s.Masters = 0, slices.Clone(s.Masters)
			for j := range s.Masters {
				s.Masters[j].Line = 0
			}
			p.Sentinel = &s
		}
		if p.Cluster != nil {
			p.Cluster = &Cluster{Seeds: p.Cluster.Seeds}
		}
		if p.Mirror != nil {
			m := *p.Mirror
			m.Line, p.Mirror = 0, &m
		}
		if p.Fault != nil {
			f := *p.Fault
			f.Line, p.Fault = 0, &f
		}
	}
	return d
}

func TestWhatIsWrittenLoadsToTheSame(t *testing.T) {
	nutcracker, err := os.ReadFile("testdata/nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{
		"proxy.yml":      mustLoad(t, "../../proxy.yml"),
		"full.yml":       mustLoad(t, "testdata/full.yml"),
		"nutcracker.yml": mustParse(t, strings.Replace(string(nutcracker), "7001:1 b", "7002:1 b", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteYAML(&b, c); err != nil {
				t.Fatal(err)
			}
			again := mustParse(t, b.String())
			equals(t, "config", unplaced(again), unplaced(c))
			equals(t, "warnings", again.Warnings, []string(nil))
		})
	}
}

func TestImport(t *testing.T) {
	c := mustParse(t, `alpha:
  listen: /run/ringway.sock 0660
  redis: true
  redis_auth: "a: b"
  auto_eject_hosts: true
  client_connections: 10
  servers:
   - 127.0.0.1:11211:1
   - 127.0.0.1:7002:2 two
`)
	var b bytes.Buffer
	if err := WriteYAML(&b, c); err != nil {
		t.Fatal(err)
	}
	equals(t, "text", b.String(), `# From "test.yml". What is not said here has its default; the names of the backends place the keys.
# test.yml:6: pool "alpha": client_connections 10 has no effect, as in twemproxy itself; for a limit use a proxy.yml with max_clients: 10
threads: 0
admin:
  listen: 127.0.0.1:9121
log: {level: info, format: text}
pools:
  - name: alpha
    listen: unix:///run/ringway.sock
    listen_mode: 0660
    distribution: ketama
    hash: fnv1a_64
    hash_tag: ""
    timeout: 0
    connect_timeout: 0
    on_failure: eject
    failure_limit: 2
    max_ejected: 100%
    password: "a: b"
    requirepass: "a: b"
    max_clients: 0
    backends:
      - {name: 127.0.0.1, address: '127.0.0.1:11211', weight: 1}
      - {name: two, address: '127.0.0.1:7002', weight: 2}
`)
}

func TestWhatNoProxyYMLCanSayIsNotWritten(t *testing.T) {
	c := mustLoad(t, "testdata/nutcracker.yml")
	var b bytes.Buffer
	err := WriteYAML(&b, c)
	if err == nil || !strings.Contains(err.Error(), `backend address "localhost:7001" is that of the backend`) {
		t.Errorf("got %v", err)
	}
	if b.Len() > 0 {
		t.Errorf("written:\n%s", b.String())
	}
}

func TestDescribe(t *testing.T) {
	c := mustLoad(t, "testdata/nutcracker.yml")
	c.Pools = c.Pools[1:3]
	c.Warnings = c.Warnings[2:]
	c.Admin.Listen = ""
	c.Threads = 2
	var b bytes.Buffer
	c.Describe(&b)
	equals(t, "text", b.String(), `testdata/nutcracker.yml: 2 pools. Event loops: 2; admin: off; log: info, as text.

pool cache on unix:///run/ringway.sock, mode 0666
  keys      ketama, hash fnv1a_64, no hash tag
  timeouts  reply none, connect none, stalled client 1m
  failure   a node that is down fails its own keys
  health    asked every 1s, 1s for the answer, down after 3 failures in a row, up after 2 successes
  limits    clients unlimited, 256 requests in flight for each, arguments of 512mb, 256kb unsent to a client, 1mb unsent to a backend
  access    clients need no password
  socket    backlog 512
  1 backend
    localhost:7001  localhost:7001  weight 1  100.0 % of the keys

pool any on [::1]:22122
  keys      random, no hash tag
  timeouts  reply none, connect none, stalled client 1m
  failure   a node that is down fails its own keys
  health    asked every 1s, 1s for the answer, down after 3 failures in a row, up after 2 successes
  limits    clients unlimited, 256 requests in flight for each, arguments of 512mb, 256kb unsent to a client, 1mb unsent to a backend
  access    clients need no password
  socket    backlog 512
  2 backends
    a  localhost:7001  weight 1  50.0 % of the keys
    b  localhost:7001  weight 1  50.0 % of the keys

warning: testdata/nutcracker.yml:44: pool "any": server "localhost:7001" is the same as on line 43 under another name; a proxy.yml has weights for this
`)
}

func TestDescribeSaysAllThatIsOtherThanUsual(t *testing.T) {
	var b bytes.Buffer
	mustLoad(t, "testdata/full.yml").Describe(&b)
	golden(t, "testdata/full.check.txt", b.String())
}

// golden compares with a file; with RINGWAY_GOLDEN=1 it is written instead, to be read over before it is committed.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("RINGWAY_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	equals(t, file, got, string(want))
}
