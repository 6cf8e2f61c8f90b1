package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/hashring"
)

// mustParse reads a proxy.yml or a nutcracker.yml that is right. The rings, which follow from the rest, are left out.
func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("test.yml", []byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return ringless(c)
}

func ringless(c *Config) *Config {
	for i := range c.Pools {
		c.Pools[i].built = nil
	}
	return c
}

func mustLoad(t *testing.T, path string) *Config {
	t.Helper()
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return ringless(c)
}

func equals(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got\n%+v\nwant\n%+v", what, got, want)
	}
}

// onePool is the smallest proxy.yml, with lines added to its pool.
func onePool(lines ...string) string {
	text := "pools:\n  - name: cache\n    listen: 127.0.0.1:6380\n"
	for _, l := range lines {
		text += "    " + l + "\n"
	}
	return text + "    backends: [{address: 127.0.0.1:7001}]\n"
}

func TestSixLinesMakeAPool(t *testing.T) {
	c := mustParse(t, `pools:
  - name: cache
    listen: 127.0.0.1:6380
    backends:
      - {address: 127.0.0.1:7001}
      - {name: second, address: 127.0.0.1:7002, weight: 3}
`)
	want := Default()
	want.File = "test.yml"
	p := DefaultPool()
	p.Name, p.Line, p.Listen = "cache", 2, "127.0.0.1:6380"
	p.Backends = []Backend{
		{Name: "127.0.0.1:7001", Address: "127.0.0.1:7001", Weight: 1, Line: 5},
		{Name: "second", Address: "127.0.0.1:7002", Weight: 3, Line: 6},
	}
	want.Pools = []Pool{p}
	equals(t, "config", *c, want)
}

func TestEveryOptionIsRead(t *testing.T) {
	c := mustLoad(t, "testdata/full.yml")
	p := Pool{
		Name: "cache", Line: 6, Listen: "unix:///run/ringway.sock", ListenMode: 0o660, Backlog: 1024, ReusePort: true, TCPKeepAlive: true,
		Distribution: "modula", Hash: "jenkins", HashTag: "$$", VirtualNodes: 160, LoadBound: 1.05, RingSize: 1024, MaxRingSize: 8 << 20, TableSize: 65537, UnsignedChar: true,
		ReadTimeout: 200 * time.Millisecond, WriteTimeout: AsTimeout, ConnectTimeout: 90 * time.Second, Preconnect: true,
		Window: 64, MaxPerAddress: 100, ConnectionRate: 500, IdleTimeout: time.Hour, RequestRate: 20000, RequestBurst: 30000,
		MaxRequestSize: 64 << 20, ClientInputLimit: 128 << 20, MaxArguments: 1000, MaxKeyLength: 1 << 10, ClientOutputLimit: 1e6, NodeOutputLimit: 2048,
		NodeRequests: 1000, NodeBytes: 64 << 20, MaxReplySize: 1 << 30, PrivateLanes: 50,
		Identity: Identity{Username: "ringway", Password: "0123"}, RequirePass: "# not a comment", Database: 5, Dangerous: "local", ClusterMode: true,
		OnFailure: "eject", FailureLimit: 7, RetryTimeout: 250 * time.Millisecond,
		Health:     Health{Interval: 2 * time.Second, Timeout: 300 * time.Millisecond, Failures: 4, Successes: 1},
		MaxEjected: 25, FlushOnReturn: true, SlowStart: time.Minute,
		ReadPolicy: "nearest", ReadOwnWrites: 2 * time.Second, Zone: "rack 1", DNSInterval: time.Minute,
		Migration: DefaultPool().Migration, HotKeys: DefaultPool().HotKeys, RequestPhases: true, SlowThreshold: 10 * time.Millisecond, SlowLength: 128,
		Mirror: &Mirror{Pool: "shadow", Percent: 12.5, ExcludeReads: true, Line: 60},
		Fault: &Fault{Percent: 0.1, Delay: 100 * time.Millisecond, Error: "ERR injected: by us",
			Commands: []string{"get", "@write"}, Line: 61},
		Backends: []Backend{
			{Name: "null", Address: "[::1]:7001", Weight: 2, Line: 63},
			{Name: "~", Address: "127.0.0.1:7001", Weight: 1, Zone: "rack 1", Line: 64, Replicas: []Replica{
				{Address: "127.0.0.1:7101", Line: 64}, {Address: "[::1]:7101", Zone: "2", Line: 64},
			}},
			{Name: "a: b", Address: "unix:///run/redis.sock", Weight: 1, Line: 65},
		},
	}

	merged := p
	merged.Name, merged.Line, merged.Listen = "true", 66, "unix:///run/other.sock"
	merged.Distribution, merged.Hash, merged.UnsignedChar, merged.VirtualNodes, merged.LoadBound = "consistent", "xxhash64", false, 200, 1.25
	merged.OnFailure, merged.FlushOnReturn, merged.SlowStart, merged.ReadPolicy = "fail", false, 0, "primary"
	merged.Health = DefaultPool().Health
	merged.Health.Interval = 0
	merged.Migration = Migration{Mode: "warm", Window: time.Hour}
	merged.Backends = []Backend{
		{Name: "host:1", Address: "host:1", Weight: 1, Line: 80}, {Name: "HOST:2", Address: "HOST:2", Weight: 1, Line: 80},
		{Name: "dns://all:1", Address: "dns://all:1", Weight: 1, Line: 80},
		{Name: "dns://One:1", Address: "dns://One:1", Single: true, Weight: 1, Line: 80},
	}

	watched := DefaultPool()
	watched.Name, watched.Line, watched.Listen, watched.ReadPolicy, watched.Migration.Mode = "watched", 81, "127.0.0.1:1", "replica", "warm"
	watched.Sentinel = &Sentinel{
		Addresses: []string{"127.0.0.1:26379", "[::1]:26379"},
		Masters:   []Master{{Name: "users", Weight: 1, Line: 87}, {Name: "on", Weight: 3, Line: 87}},
		Identity:  Identity{Username: "null", Password: "0x10"}, Line: 85,
	}

	shadow := DefaultPool()
	shadow.Name, shadow.Line, shadow.ReadPolicy = "shadow", 90, "any"
	shadow.Cluster = &Cluster{Seeds: []string{"127.0.0.1:7001"}, Line: 91}

	front := DefaultPool()
	front.Name, front.Line, front.Listen, front.RequirePass = "front", 93, "127.0.0.1:2", "x"
	front.Routes = []Route{{Prefix: "user:", Pool: "cache", StripPrefix: true, Line: 97}, {Pool: "shadow", Line: 98}}

	front.HotKeys = HotKeys{
		Mode: "off", Exclude: []string{"session:*", "*"}, Pin: []string{"a*"}, MaxStaleness: time.Second, MaxAge: 2 * time.Second,
		NearMaxValue: 3, NearMemory: 4, CopyMaxValue: 5, CopyTTL: 6 * time.Second, CopyDatabase: 7, MinReads: 8, Validations: 9,
	}

	front.Users = []User{
		{Name: "alice", Passwords: []Secret{"0123", "a b"}, Rules: "~a* %R~b +@read (~c +get)", Line: 101},
		{Name: "null", Digests: []Secret{"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}, Line: 102},
		{Name: "bob", NoPassword: true, RequestRate: 100, RequestBurst: 5, Line: 103},
		{Name: "carol", Rules: "off", Line: 104},
	}
	front.DenyCommands, front.AllowCommands = []string{"flushall", "@dangerous", "config|set"}, []string{"info", "client|list"}

	guarded := DefaultPool()
	guarded.Name, guarded.Line, guarded.Listen, guarded.UsersFile = "guarded", 107, "127.0.0.1:6", "users.acl"
	guarded.Backends = []Backend{{Name: "g", Address: "127.0.0.1:7001", Weight: 1, Line: 110}}

	secure := DefaultPool()
	secure.Name, secure.Line, secure.Listen = "secure", 111, "127.0.0.1:3"
	secure.TLS = &ServerTLS{Cert: "own.crt", Key: "/run/secrets/own.key", ClientCA: "ca.crt", UserFromCert: "cn", MinVersion: "1.3", HandshakeTimeout: time.Second, Line: 113}
	secure.BackendTLS = &ClientTLS{CA: "ca.crt", Cert: "me.crt", Key: "me.key", ServerName: "redis.internal", MinVersion: "1.3", Line: 114}
	secure.Identity = Identity{Username: "me", PasswordEnv: "REDIS_PASSWORD"}
	secure.Backends = []Backend{
		{Name: "file", Address: "file:1", Weight: 1, Identity: Identity{Username: "you", PasswordFile: "you.txt"}, Line: 118,
			Replicas: []Replica{{Address: "file:2", Line: 118}}},
		{Name: "env", Address: "env:1", Weight: 1, Identity: Identity{PasswordEnv: "ENV"}, Line: 119},
		{Name: "given", Address: "given:1", Weight: 1, Identity: Identity{Username: "he", Password: "0x11"}, Line: 120},
	}

	trusting := DefaultPool()
	trusting.Name, trusting.Line, trusting.Listen = "trusting", 121, "127.0.0.1:4"
	trusting.BackendTLS = &ClientTLS{InsecureSkipVerify: true, MinVersion: "1.2", Line: 123}
	trusting.Identity = Identity{PasswordFile: "all.txt"}
	trusting.Sentinel = &Sentinel{Addresses: []string{"s:1"}, Masters: []Master{{Name: "m", Weight: 1, Line: 125}}, Identity: Identity{PasswordEnv: "S"}, Line: 125}

	public := DefaultPool()
	public.Name, public.Line, public.Listen = "public", 126, "127.0.0.1:5"
	public.BackendTLS = &ClientTLS{MinVersion: "1.2", Line: 129}
	public.Sentinel = &Sentinel{Addresses: []string{"t:1"}, Masters: []Master{{Name: "m", Weight: 1, Line: 130}},
		Identity: Identity{Username: "s", PasswordFile: "t.txt"}, Line: 130}
	public.MaxReplySize = 2 << 30

	public.Dangerous, public.Passthrough = "deny", true

	ringed := DefaultPool()
	ringed.Name, ringed.Line, ringed.Listen = "ringed", 134, "127.0.0.1:12"
	ringed.Distribution, ringed.Hash, ringed.RingSize, ringed.MaxRingSize = "ring_hash", "murmur2_64", 100, 2000
	ringed.Backends = []Backend{{Name: "host:11", Address: "host:11", Weight: 1, Line: 140}, {Name: "host:12", Address: "host:12", Weight: 1, Line: 140}}

	magic := DefaultPool()
	magic.Name, magic.Line, magic.Listen = "magic", 141, "127.0.0.1:13"
	magic.Distribution, magic.Hash, magic.TableSize = "maglev", "", 251
	magic.Backends = []Backend{{Name: "host:11", Address: "host:11", Weight: 1, Line: 145}, {Name: "host:12", Address: "host:12", Weight: 1, Line: 145}}

	magic.HitPrefixes, magic.RequestPhases, magic.NodeInfo = []string{"session:", "null"}, false, 15*time.Second
	magic.SlowThreshold, magic.SlowLength = 250*time.Microsecond, 7

	magic.UserLimits = []UserLimit{{User: "default", RequestRate: 1000, RequestBurst: 2000, Line: 151}}

	for i, want := range []Pool{p, merged, watched, shadow, front, guarded, secure, trusting, public, ringed, magic} {
		equals(t, want.Name, c.Pools[i], want)
	}
	admin := Admin{Pprof: true, TLS: &ServerTLS{Cert: "a.crt", Key: "a.key", ClientCA: "ca.crt", RequireClientCert: true, UserFromCert: "off", MinVersion: "1.2",
		HandshakeTimeout: 5 * time.Second, Line: 2}}
	start, shutdown := Start{Require: "all", Wait: time.Minute}, Shutdown{DrainDelay: 5 * time.Second, DrainTimeout: 25 * time.Second}
	equals(t, "the rest", *c, Config{Threads: 3, MaxMemory: 2 << 30, Admin: admin, Stats: &StatsCompat{Listen: "127.0.0.1:22222", Line: 156}, Log: Log{Level: "debug", Format: "json"}, Start: start, Shutdown: shutdown,
		Tracing: Tracing{Endpoint: "https://collector:4317/x", Protocol: "grpc", Sample: 0.25, Keys: true}, File: "testdata/full.yml", Pools: c.Pools})
}

// The test above is only as good as its file: an option that it forgets would be tested nowhere.
func TestTheFullFileHasEveryOption(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range everyOption() {
		if !strings.Contains(string(text), name+":") {
			t.Errorf("testdata/full.yml has no %s", name)
		}
	}
}

func everyOption() []string {
	all := slices.Concat(topOptions, adminOptions, logOptions, reloadOptions, poolOptionNames(),
		optionNames(tracingOptions), optionNames(masterOptions), optionNames(replicaOptions))
	for _, o := range poolOptions {
		if o.inner != nil {
			all = append(all, o.inner()...)
		}
	}
	return all
}

func TestTheManual(t *testing.T) {
	const path = "../../proxy.yml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	c := mustLoad(t, path)

	t.Run("shows the defaults", func(t *testing.T) {
		want := DefaultPool()
		got := c.Pools[0]
		want.Name, want.Line, want.Listen, want.Backends = got.Name, got.Line, got.Listen, got.Backends
		equals(t, "pool", got, want)
		top := Default()
		top.File, top.Pools = c.File, c.Pools
		equals(t, "top", *c, top)
	})
	t.Run("has every option", func(t *testing.T) {
		for _, name := range everyOption() {
			if !strings.Contains(text, name+":") {
				t.Errorf("%s is not in proxy.yml", name)
			}
		}
	})
	t.Run("says the default of every option", func(t *testing.T) {
		usual := DefaultPool()
		for _, o := range poolOptions {
			value := o.text(&usual)
			about := textAbout(text, o.name)
			switch {
			case o.name == "name", o.name == "listen": // have none
			case value == "", o.name == "listen_mode": // said in words
				if !strings.Contains(about, "Default: ") {
					t.Errorf("no default for %s in\n%s", o.name, about)
				}
			default:
				if !strings.Contains(strings.Join(strings.Fields(about), " "), value) || !strings.Contains(about, "efault") {
					t.Errorf("the default of %s is %s, which is not in\n%s", o.name, value, about)
				}
			}
		}
	})
	t.Run("stays narrow", func(t *testing.T) {
		for i, line := range strings.Split(text, "\n") {
			if len(line) > 120 {
				t.Errorf("line %d has %d columns", i+1, len(line))
			}
		}
	})
}

// textAbout gives the paragraph of the manual that holds an option.
func textAbout(manual, name string) string {
	for _, paragraph := range strings.Split(manual, "\n\n") {
		for _, line := range strings.Split(paragraph, "\n") {
			if strings.HasPrefix(strings.TrimLeft(line, " #-"), name+":") {
				return paragraph
			}
		}
	}
	return ""
}

func TestExamplesOfTheDocumentsLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if base := filepath.Base(f); base == "proxy.yml" || base == "nutcracker.yml" {
			mustLoad(t, f)
		}
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		line string
		got  func(*Pool) any
		want any
	}{
		{"timeout: 400ms", func(p *Pool) any { return p.Timeout }, 400 * time.Millisecond},
		{"timeout: 1m30s", func(p *Pool) any { return p.Timeout }, 90 * time.Second},
		{"timeout: 1.5s", func(p *Pool) any { return p.Timeout }, 1500 * time.Millisecond},
		{"timeout: 0", func(p *Pool) any { return p.Timeout }, time.Duration(0)},
		{"timeout: 0s", func(p *Pool) any { return p.Timeout }, time.Duration(0)},
		{`timeout: "2s"`, func(p *Pool) any { return p.Timeout }, 2 * time.Second},
		{"max_request_size: 1gb", func(p *Pool) any { return p.MaxRequestSize }, 1 << 30},
		{"max_request_size: 1g", func(p *Pool) any { return p.MaxRequestSize }, 1_000_000_000},
		{"max_request_size: 5MB", func(p *Pool) any { return p.MaxRequestSize }, 5 << 20},
		{"max_request_size: 5m", func(p *Pool) any { return p.MaxRequestSize }, 5_000_000},
		{"max_request_size: 64k", func(p *Pool) any { return p.MaxRequestSize }, 64_000},
		{"max_request_size: 4096", func(p *Pool) any { return p.MaxRequestSize }, 4096},
		{"max_request_size: 4096b", func(p *Pool) any { return p.MaxRequestSize }, 4096},
		{`hash_tag: ""`, func(p *Pool) any { return p.HashTag }, ""},
		{`hash_tag: $$`, func(p *Pool) any { return p.HashTag }, "$$"},
		{"distribution: ketama", func(p *Pool) any { return p.Hash }, "fnv1a_64"},
		{"distribution: modula", func(p *Pool) any { return p.Hash }, "fnv1a_64"},
		{"distribution: random", func(p *Pool) any { return p.Hash }, ""},
		{"distribution: crc16", func(p *Pool) any { return p.Hash }, ""},
		{"load_bound: 1", func(p *Pool) any { return p.LoadBound }, 1.0},
		{"password: 0123", func(p *Pool) any { return p.Password.Reveal() }, "0123"},
		{"password: yes", func(p *Pool) any { return p.Password.Reveal() }, "yes"},
		{`password: ""`, func(p *Pool) any { return p.Password.Reveal() }, ""},
		{"read_timeout: timeout", func(p *Pool) any { return p.ReplyTimeout(p.ReadTimeout) }, time.Second},
		{"write_timeout: 2s", func(p *Pool) any { return p.ReplyTimeout(p.WriteTimeout) }, 2 * time.Second},
		{"script_timeout: 0", func(p *Pool) any { return p.ReplyTimeout(p.ScriptTimeout) }, time.Duration(0)},
		{"max_ejected: 0%", func(p *Pool) any { return p.MaxEjected }, 0},
		{"max_ejected: 100%", func(p *Pool) any { return p.MaxEjected }, 100},
		{"max_reply_size: 0", func(p *Pool) any { return p.MaxReplySize }, 0},
		{"max_node_bytes: 0", func(p *Pool) any { return p.NodeBytes }, 0},
		{"health_check: off", func(p *Pool) any { return p.Health.Interval }, time.Duration(0)},
		{"health_check: {}", func(p *Pool) any { return p.Health }, DefaultPool().Health},
		{"migration: off", func(p *Pool) any { return p.Migration }, DefaultPool().Migration},
		{"slowlog_threshold: off", func(p *Pool) any { return p.SlowThreshold }, NoSlowlog},
		{"slowlog_threshold: 0", func(p *Pool) any { return p.SlowThreshold }, time.Duration(0)},
		{"slowlog_threshold: 1m", func(p *Pool) any { return p.SlowThreshold }, time.Minute},
		{"hot_keys: off", func(p *Pool) any { return p.HotKeys }, defaultHotKeys("off")},
		{"hot_keys: {}", func(p *Pool) any { return p.HotKeys }, DefaultPool().HotKeys},
		{`hot_keys: {exclude: ["a*", b]}`, func(p *Pool) any { return p.HotKeys }, defaultHotKeys("auto", "a*", "b")},
		{"migration: warm", func(p *Pool) any { return p.Migration.Mode }, "warm"},
		{"fault: {percent: 0.01%, error: OOPS}", func(p *Pool) any { return *p.Fault }, Fault{Percent: 0.01, Error: "OOPS", Line: 4}},
		{`requirepass: "1e3"`, func(p *Pool) any { return p.RequirePass.Reveal() }, "1e3"},
	}
	for _, test := range tests {
		t.Run(test.line, func(t *testing.T) {
			c := mustParse(t, onePool(test.line))
			equals(t, test.line, test.got(&c.Pools[0]), test.want)
		})
	}
}

func TestListenAddresses(t *testing.T) {
	for _, s := range []string{
		"127.0.0.1:6380", "127.0.0.1:0", ":6380", "0.0.0.0:6380", "[::]:6380", "[::1]:65535", "[fe80::1%eth0]:6380",
		"localhost:6380", "redis.example.com:6380", "unix:///run/ringway/cache.sock",
	} {
		if got, err := parseListen(s); err != nil || got != s {
			t.Errorf("%s: got %q, %v", s, got, err)
		}
	}
}

func TestListensClash(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", "localhost:1", true},
		{"127.0.0.1:1", ":1", true},
		{"127.0.0.1:1", "0.0.0.0:1", true},
		{"[::1]:1", "[0:0::1]:1", true},
		{"[::1]:1", "[::]:1", true},
		{"[::1]:1", "127.0.0.1:1", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"HOST:1", "host:1", true},
		{"unix:///a", "unix:///a", true},
		{"unix:///a", "unix:///b", false},
		{"unix:///a", ":1", false},
	}
	for _, test := range tests {
		if clash(test.a, test.b) != test.want || clash(test.b, test.a) != test.want {
			t.Errorf("%s and %s: clash is not %v", test.a, test.b, test.want)
		}
	}
}

func TestTheAdminListenerCanBeOff(t *testing.T) {
	for _, off := range []string{"off", `"off"`, `""`} {
		c := mustParse(t, "admin: {listen: "+off+"}\n"+onePool())
		if c.Admin.Listen != "" {
			t.Errorf("%s: it listens on %q", off, c.Admin.Listen)
		}
	}
}

func TestPprofForThoseWhoMay(t *testing.T) {
	for _, admin := range []string{
		"listen: 127.0.0.1:9121", "listen: localhost:9121", `listen: "[::1]:9121"`, "listen: off",
		"listen: 0.0.0.0:9121, tls: {cert: a.crt, key: a.key, client_ca: ca.crt}",
	} {
		if c := mustParse(t, "admin: {pprof: true, "+admin+"}\n"+onePool()); !c.Admin.Pprof {
			t.Errorf("%s: it is off", admin)
		}
	}
	if c := mustParse(t, onePool()); c.Admin.Pprof {
		t.Error("it is on without being asked for")
	}
}

func TestJSONIsYAMLToo(t *testing.T) {
	c := mustParse(t, `{"threads": 2, "pools": [{"name": "cache", "listen": "127.0.0.1:6380", "backends": [{"address": "127.0.0.1:7001"}]}]}`)
	if c.Threads != 2 || c.Pools[0].Backends[0].Address != "127.0.0.1:7001" {
		t.Errorf("got %+v", c)
	}
}

func TestLineEndsOfWindowsAndAByteOrderMark(t *testing.T) {
	mustParse(t, "\ufeff"+strings.ReplaceAll(onePool("timeout: 1s"), "\n", "\r\n"))
}

func TestEveryHashOfEveryDistributionMakesARing(t *testing.T) {
	for _, d := range hashring.Distributions() {
		accepted := 0
		for _, h := range allHashes {
			c, err := Parse("test.yml", []byte(onePool("distribution: "+d, "hash: "+h)))
			if err != nil {
				continue
			}
			accepted++
			r, err := c.Pools[0].Ring()
			if err != nil {
				t.Errorf("%s, %s: %v", d, h, err)
			} else if r.Distribution() != d || r.Hash() != h {
				t.Errorf("%s, %s: the ring is %s, %s", d, h, r.Distribution(), r.Hash())
			}
		}
		want := map[string]int{"consistent": 1, "ketama": 13, "modula": 13, "ring_hash": 2, "list": 2}[d]
		if accepted != want {
			t.Errorf("%s takes %d hashes, want %d", d, accepted, want)
		}
		if r, err := mustParse(t, onePool("distribution: "+d)).Pools[0].Ring(); err != nil || r.Distribution() != d {
			t.Errorf("%s with its default hash: %v", d, err)
		}
	}
}

func TestTheRingIsTheOneOfTheBackends(t *testing.T) {
	c, err := Load("../../proxy.yml")
	if err != nil {
		t.Fatal(err)
	}
	p := &c.Pools[0]
	first, _ := p.Ring()
	if again, _ := p.Ring(); again != first {
		t.Error("the ring is built again")
	}
	p.Backends[1].Name = "other"
	if changed, err := p.Ring(); err != nil || changed.Node(1).Name != "other" {
		t.Errorf("the ring is that of before a change: %v", err)
	}
	p.Backends = nil
	if _, err := p.Ring(); err == nil {
		t.Error("no backends have a ring")
	}
}

func TestWhatHasNoRingSaysWhoPlacesItsKeys(t *testing.T) {
	c := mustLoad(t, "testdata/full.yml")
	for i, want := range []string{"", "on the addresses that dns://all:1 has", "", "by the cluster's slots", "by the pools that its routes lead to"} {
		p := &c.Pools[i]
		if got := p.Placement(); got != want {
			t.Errorf("%s: placed %q, want %q", p.Name, got, want)
		}
		if _, err := p.Ring(); (err == nil) != (want == "") || err != nil && !errors.Is(err, ErrNoRing) {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestTheRingOfSentinelIsThatOfTheMasters(t *testing.T) {
	p := mustLoad(t, "testdata/full.yml").Pools[2]
	ring, err := p.Ring()
	if err != nil {
		t.Fatal(err)
	}
	equals(t, "nodes", []hashring.Node{ring.Node(0), ring.Node(1)}, []hashring.Node{{Name: "users", Weight: 1}, {Name: "on", Weight: 3}})
}

func TestTheLongestPrefixCounts(t *testing.T) {
	p := Pool{Routes: []Route{{Prefix: "a:", Pool: "short"}, {Prefix: "a:b:", Pool: "long"}, {Prefix: "", Pool: "rest"}, {Prefix: "z", Pool: "z"}}}
	for key, want := range map[string]string{"a:x": "short", "a:b:x": "long", "a:b:": "long", "a:b": "short", "a": "rest", "": "rest", "zz": "z"} {
		if got := p.RouteOf([]byte(key)); got == nil || got.Pool != want {
			t.Errorf("%q leads to %+v, want %s", key, got, want)
		}
	}
	if got := (&Pool{Routes: p.Routes[:2]}).RouteOf([]byte("x")); got != nil {
		t.Errorf("without a route for all others: %+v", got)
	}
}

// A pool may do without listen if one that listens leads to it, over however many.
func TestPoolsAreReachedOverOthers(t *testing.T) {
	mustParse(t, `pools:
  - {name: c, backends: [{address: "h:1"}]}
  - {name: b, mirror: {pool: c}, backends: [{address: "h:1"}]}
  - {name: a, listen: "h:1", routes: [{prefix: "", pool: b}]}
`)
}

func TestSuggestions(t *testing.T) {
	tests := []struct{ wrong, want string }{
		{"timout", "timeout"}, {"Timeout", "timeout"}, {"tmieout", "timeout"}, {"connection_timeout", "connect_timeout"},
		{"hashtag", "hash_tag"}, {"backend", "backends"}, {"require_pass", "requirepass"}, {"maxclients", "max_clients"},
		{"tcp_keepalive", "tcpkeepalive"}, {"zzz", ""}, {strings.Repeat("timeout", 100), ""},
	}
	for _, test := range tests {
		if got := nearest(test.wrong, poolOptionNames()); got != test.want {
			t.Errorf("%s: suggested %q, want %q", test.wrong, got, test.want)
		}
	}
}

// defaultHotKeys are the defaults with another mode, and what is excluded.
func defaultHotKeys(mode string, exclude ...string) HotKeys {
	h := DefaultPool().HotKeys
	h.Mode, h.Exclude = mode, exclude
	return h
}
