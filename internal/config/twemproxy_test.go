package config

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNutcrackerYML(t *testing.T) {
	c := mustLoad(t, "testdata/nutcracker.yml")
	base := DefaultPool()
	base.Distribution, base.Hash, base.HashTag = "ketama", "fnv1a_64", ""
	base.Timeout, base.ConnectTimeout, base.MaxClients = 0, 0, 0
	base.FailureLimit, base.RetryTimeout = 2, 30*time.Second

	sessions := base
	sessions.Name, sessions.Line, sessions.Listen = "sessions", 2, "127.0.0.1:22121"
	sessions.Hash, sessions.HashTag = "murmur", "{}"
	sessions.Timeout, sessions.ConnectTimeout = 400*time.Millisecond, 400*time.Millisecond
	sessions.Backlog, sessions.Preconnect, sessions.TCPKeepAlive = 1024, true, true
	sessions.Password, sessions.RequirePass, sessions.Database = "kept: between us", "kept: between us", 3
	sessions.OnFailure, sessions.FailureLimit, sessions.RetryTimeout, sessions.MaxEjected = "eject", 5, 2*time.Second, 100
	sessions.Backends = []Backend{
		{Name: "127.0.0.1:7001", Address: "127.0.0.1:7001", Weight: 1, Line: 20},
		{Name: "127.0.0.1", Address: "127.0.0.1:11211", Weight: 2, Line: 21},
		{Name: "127.0.0.1:07002", Address: "127.0.0.1:7002", Weight: 1, Line: 22},
		{Name: "third", Address: "127.0.0.1:7003", Weight: 3, Line: 23},
		{Name: "::1:7004", Address: "[::1]:7004", Weight: 1, Line: 24},
		{Name: "/run/redis-a.sock:", Address: "unix:///run/redis-a.sock", Weight: 1, Line: 25},
		{Name: "socket-b", Address: "unix:///run/redis-b.sock", Weight: 100000, Line: 26},
	}
	cache := base
	cache.Name, cache.Line, cache.Listen, cache.ListenMode = "cache", 29, "unix:///run/ringway.sock", 0o666
	cache.Backends = []Backend{{Name: "localhost:7001", Address: "localhost:7001", Weight: 1, Line: 33}}
	any := base
	any.Name, any.Line, any.Listen, any.Distribution, any.Hash = "any", 36, "[::1]:22122", "random", ""
	any.Backends = []Backend{{Name: "a", Address: "localhost:7001", Weight: 1, Line: 43}, {Name: "b", Address: "localhost:7001", Weight: 1, Line: 44}}
	old := base
	old.Name, old.Line, old.Listen, old.Distribution, old.Hash = "old", 46, "0.0.0.0:22123", "modula", "hsieh"
	old.Backlog, old.FailureLimit, old.RetryTimeout = 1, 1, time.Millisecond
	old.Backends = []Backend{{Name: "localhost:7001", Address: "localhost:7001", Weight: 1, Line: 58}, {Name: "localhost:7002", Address: "localhost:7002", Weight: 1, Line: 59}}

	for i, want := range []Pool{sessions, cache, any, old} {
		equals(t, want.Name, c.Pools[i], want)
	}
	equals(t, "the rest", Config{Admin: c.Admin, Log: c.Log, Reload: c.Reload, Threads: c.Threads, Start: c.Start, Shutdown: c.Shutdown, Tracing: c.Tracing}, Default())
	equals(t, "warnings", strings.Join(c.Warnings, "\n"), strings.Join([]string{
		`testdata/nutcracker.yml:13: pool "sessions": server_connections 2 has no effect: one pipelined connection to each server and` +
			` event loop carries everything, and keeps the order of a client's commands`,
		`testdata/nutcracker.yml:17: pool "sessions": client_connections 700 has no effect, as in twemproxy itself; for a limit use a` +
			` proxy.yml with max_clients: 700`,
		`testdata/nutcracker.yml:44: pool "any": server "localhost:7001" is the same as on line 43 under another name; a proxy.yml has` +
			` weights for this`,
	}, "\n"))
}

func TestTimeoutOfMinusOneIsForEver(t *testing.T) {
	c := mustParse(t, "alpha:\n  listen: 127.0.0.1:22121\n  redis: true\n  timeout: -1\n  reuseport: true\n  servers: [127.0.0.1:6379:1]\n")
	if p := c.Pools[0]; p.Timeout != 0 || p.ConnectTimeout != 0 || !p.ReusePort {
		t.Errorf("got %+v", p)
	}
}

func TestANutcrackerPoolOnTheAdminPortTurnsAdminOff(t *testing.T) {
	c := mustParse(t, "alpha:\n  listen: 0.0.0.0:9121\n  redis: true\n  servers: [127.0.0.1:6379:1]\n")
	if c.Admin.Listen != "" || len(c.Warnings) != 1 {
		t.Errorf("admin listens on %q, warnings %q", c.Admin.Listen, c.Warnings)
	}
}

// Pools may be called as our own options are.
func TestTheTwoKindsAreToldApart(t *testing.T) {
	const pool = "\n  listen: 127.0.0.1:22121\n  redis: true\n  servers: [127.0.0.1:6379:1]\n"
	for _, name := range []string{"pools", "log", "admin", "threads"} {
		if c := mustParse(t, name+":"+pool); c.Pools[0].Name != name || c.Pools[0].Distribution != "ketama" {
			t.Errorf("%s: got %+v", name, c.Pools[0])
		}
	}
	for text, want := range map[string]bool{
		"alpha: {listen: x}":                    true,
		"alpha: {listen: x}\nbeta: {hash: md5}": true,
		"alpha: {listen: x}\nbeta: {}":          false,
		"alpha: {}":                             false,
		"admin: {listen: x}":                    false,
		"log: {level: x}":                       false,
		"pools: {alpha: {listen: x}}":           false,
		"pools: []\nalpha: {servers: []}":       false,
		"alpha: {servers: x}\nthreads: 1":       true,
	} {
		r := &reader{}
		if got := isTwemproxy(r.document([]byte(text))); got != want {
			t.Errorf("%s: twemproxy's is %v, want %v", text, got, want)
		}
	}
}

// nutcracker says what twemproxy itself thinks of a file.
func nutcracker(t *testing.T, file string) (ok bool) {
	t.Helper()
	path, err := exec.LookPath("nutcracker")
	if err != nil {
		path = "/usr/sbin/nutcracker" // where Debian has it, out of a user's PATH
	}
	out, err := exec.Command(path, "--test-conf", "--conf-file", file).CombinedOutput()
	if !strings.Contains(string(out), "syntax is") {
		t.Fatalf("cannot run nutcracker: %v\n%s", err, out)
	}
	return strings.Contains(string(out), "syntax is ok")
}

func TestTwemproxyAcceptsWhatWeTest(t *testing.T) {
	if !nutcracker(t, "testdata/nutcracker.yml") {
		t.Error("testdata/nutcracker.yml is no nutcracker.yml")
	}
}

// What twemproxy accepts of our bad files is what only we can't take, and what it finds out later, at its start.
func TestWhatTwemproxyRefusesIsRefused(t *testing.T) {
	accepted := map[string]bool{"twemproxy_memcached": true, "twemproxy_memcached_by_default": true, "twemproxy_server_without_host": true,
		"twemproxy_listen_mode": true, "twemproxy_server_space": true}
	for _, bad := range badFiles {
		if !strings.HasPrefix(bad.name, "twemproxy_") || bad.name == "twemproxy_option" {
			continue
		}
		if got := nutcracker(t, filepath.Join("testdata", bad.name+".bad.yml")); got != accepted[bad.name] {
			t.Errorf("%s: twemproxy accepts it: %v", bad.name, got)
		}
	}
}
