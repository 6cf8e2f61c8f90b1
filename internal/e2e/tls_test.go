//go:build linux

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// mounted is a directory as Kubernetes mounts a Secret: each file is a link into ..data, a link that is exchanged.
type mounted struct {
	t    *testing.T
	dir  string
	next int
}

func (m *mounted) path(name string) string { return filepath.Join(m.dir, name) }

// put exchanges the files for the contents of others.
func (m *mounted) put(from map[string]string) {
	m.t.Helper()
	must := func(err error) {
		m.t.Helper()
		if err != nil {
			m.t.Fatal(err)
		}
	}
	old, _ := os.Readlink(m.path("..data"))
	m.next++
	now := fmt.Sprintf("..%d", m.next)
	must(os.Mkdir(m.path(now), 0o700))
	for name, file := range from {
		b, err := os.ReadFile(file)
		must(err)
		must(os.WriteFile(filepath.Join(m.dir, now, name), b, 0o600))
		if old == "" {
			must(os.Symlink(filepath.Join("..data", name), m.path(name)))
		}
	}
	must(os.Symlink(now, m.path("..data_tmp")))
	must(os.Rename(m.path("..data_tmp"), m.path("..data")))
	if old != "" {
		must(os.RemoveAll(m.path(old)))
	}
}

// Certificates for both sides, and the password for the nodes, are exchanged again and again in a running process, in the way of Kubernetes and
// under load: no connection is dropped, no reply is missing or wrong, and who comes later meets the new ones.
func TestMountedSecretsAreExchangedUnderLoad(t *testing.T) {
	a := redistest.NewAuthority(t)
	nodes := make([]*redistest.Redis, 2)
	for i := range nodes {
		nodes[i] = redistest.ServerTLS(t, a)
		nodes[i].Do("ACL", "SETUSER", "router", "on", ">password 0", "~*", "&*", "+@all")
	}
	m := &mounted{t: t, dir: t.TempDir()}
	password := filepath.Join(t.TempDir(), "password")
	exchange := func(n int) {
		t.Helper()
		own := a.Issue(redistest.Issue{Name: fmt.Sprint("number ", n)})
		if err := os.WriteFile(password, fmt.Appendf(nil, "password %d\n", n), 0o600); err != nil {
			t.Fatal(err)
		}
		m.put(map[string]string{"tls.crt": own.Cert, "tls.key": own.Key, "ca.crt": a.File, "password": password})
	}
	exchange(0)
	secrets := fmt.Sprintf("cert: %s, key: %s", m.path("tls.crt"), m.path("tls.key"))
	r := serveWith(t, setup{threads: 2}, pool{nodes: addresses(nodes), options: map[string]string{
		"tls":         "{" + secrets + "}",
		"backend_tls": "{" + secrets + ", ca: " + m.path("ca.crt") + "}",
		"username":    "router", "password_file": m.path("password"), "connect_timeout": "5s",
	}})
	connect := func() (*redistest.Conn, error) { return redistest.ConnectTLS(r.addr(), a.Trust(nil)) }
	name := func() string {
		c, err := connect()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	l := loadBy(t, connect, 16)
	count := size(30, 8)
	for n := range count {
		for _, node := range nodes {
			node.Do("ACL", "SETUSER", "router", fmt.Sprintf(">password %d", n+1))
		}
		seen := l.replies.Load()
		exchange(n + 1)
		redistest.WaitFor(t, "the new certificate", func() bool { return name() == fmt.Sprint("number ", n+1) })
		redistest.WaitFor(t, "the new password", func() bool { return strings.Count(r.Output(), "passwords reloaded") == n+1 })
		redistest.WaitFor(t, "replies after it", func() bool { return l.replies.Load() > seen+16*150 || l.stop.Load() })
	}
	l.finish(t)
	for metric, want := range map[string]float64{
		"ringway_node_losses_total": 0, "ringway_node_connect_errors_total": 0, "ringway_tls_last_reload_successful": 1,
	} {
		if got := r.metric(t, metric); got != want {
			t.Errorf("%s is %v", metric, got)
		}
	}
	if strings.Contains(r.Output(), "password 1") {
		t.Error("the log shows a password")
	}
	t.Logf("%d replies checked over %d exchanges", l.replies.Load(), count)

	t.Run("a pair that does not fit is refused, and told", func(t *testing.T) {
		other := a.Issue(redistest.Issue{})
		own := a.Issue(redistest.Issue{Name: "never"})
		m.put(map[string]string{"tls.crt": own.Cert, "tls.key": other.Key, "ca.crt": a.File, "password": password})
		redistest.WaitFor(t, "the metric", func() bool { return r.metric(t, "ringway_tls_last_reload_successful") == 0 })
		if got := name(); got != fmt.Sprint("number ", count) {
			t.Errorf("clients are shown %q", got)
		}
		if !strings.Contains(r.Output(), "those before stay") {
			t.Errorf("the log does not say so:\n%s", r.Output())
		}
	})
}

func TestAdminTLS(t *testing.T) {
	a := redistest.NewAuthority(t)
	own, client := a.Issue(redistest.Issue{}), a.Issue(redistest.Issue{})
	file := filepath.Join(t.TempDir(), "proxy.yml")
	listen, admin := redistest.FreePort(t), redistest.FreePort(t)
	text := fmt.Sprintf("admin: {listen: 127.0.0.1:%d, tls: {cert: %s, key: %s, client_ca: %s}}\n"+
		"pools:\n  - {name: p, listen: 127.0.0.1:%d, backends: [{address: %q}]}\n", admin, own.Cert, own.Key, a.File, listen, redistest.Server(t).Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	redistest.Start(t, program, "-c", file)
	get := func(cert *redistest.Certificate) (string, error) {
		cfg := a.Trust(cert)
		h := http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: redistest.Patience}
		resp, err := h.Get(fmt.Sprintf("https://127.0.0.1:%d/metrics", admin))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	redistest.WaitFor(t, "the admin address", func() bool { _, err := get(client); return err == nil })
	body, err := get(client)
	if err != nil || !strings.Contains(body, `ringway_tls_certificate_expiry_timestamp_seconds{pool="",side="admin"}`) {
		t.Errorf("%v: %s", err, shorten([]byte(body)))
	}
	if _, err := get(nil); err == nil {
		t.Error("who has no certificate gets in")
	}
	if resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", admin)); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("plain HTTP is served")
	}
}

// What a client that is connected and idle costs, with and without TLS. The figures are for the log; the bound is for a leak.
func TestIdleTLSClientsAreCheap(t *testing.T) {
	a := redistest.NewAuthority(t)
	own := a.Issue(redistest.Issue{})
	r := serve(t, pool{nodes: addresses(servers(t, 1)), options: map[string]string{"tls": fmt.Sprintf("{cert: %s, key: %s, handshake_timeout: 1m}", own.Cert, own.Key)}})
	count := size(5000, 1000)
	before := rss(t, r.Pid())
	conns := make([]*redistest.Conn, count)
	var wait sync.WaitGroup
	for part := range 8 {
		wait.Go(func() {
			for i := part; i < count; i += 8 {
				c, err := redistest.ConnectTLS(r.addr(), a.Trust(nil))
				if err != nil {
					t.Error(err)
					return
				}
				if reply, err := c.TryDo("GET", "key"); err != nil || reply != "$-1\r\n" {
					t.Errorf("GET: %q, %v", reply, err)
				}
				conns[i] = c
			}
		})
	}
	wait.Wait()
	each := (rss(t, r.Pid()) - before) / count
	t.Logf("%d bytes for each of %d clients", each, count)
	if each > 64<<10 {
		t.Errorf("%d bytes for a client that is idle", each)
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	redistest.WaitFor(t, "all to be gone", func() bool { return r.metric(t, "ringway_clients") == 0 })
}

// A client in the middle of its handshake when the process is told to end does not keep it.
func TestStoppingDuringHandshakes(t *testing.T) {
	a := redistest.NewAuthority(t)
	own := a.Issue(redistest.Issue{})
	r := serve(t, pool{nodes: addresses(servers(t, 1)), options: map[string]string{"tls": fmt.Sprintf("{cert: %s, key: %s, handshake_timeout: 1m}", own.Cert, own.Key)}})
	for range 20 {
		c := redistest.Dial(t, r.addr())
		io.WriteString(c.Conn, "\x16\x03\x01")
	}
	c, err := redistest.ConnectTLS(r.addr(), a.Trust(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if reply, err := c.TryDo("PING"); err != nil || reply != "+PONG\r\n" {
		t.Fatalf("PING: %q, %v", reply, err)
	}
	begun := time.Now()
	r.Signal(os.Interrupt)
	<-r.Exited()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if code := r.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Whoever is not let in at the admin address is told so, and the log has who it was and why; so has it for clients and for servers after authorities
// were exchanged.
func TestTLSRefusalsAreLogged(t *testing.T) {
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	m := &mounted{t: t, dir: t.TempDir()}
	own := a.Issue(redistest.Issue{})
	put := func(clients, nodes *redistest.Authority) {
		m.put(map[string]string{"tls.crt": own.Cert, "tls.key": own.Key, "clients.crt": clients.File, "nodes.crt": nodes.File})
	}
	put(a, a)
	node := redistest.ServerTLS(t, a)
	secrets := fmt.Sprintf("cert: %s, key: %s", m.path("tls.crt"), m.path("tls.key"))
	file := filepath.Join(t.TempDir(), "proxy.yml")
	listen, admin := redistest.FreePort(t), redistest.FreePort(t)
	text := fmt.Sprintf("admin: {listen: 127.0.0.1:%d, tls: {%s, client_ca: %s, min_version: \"1.3\"}}\n"+
		"pools:\n  - {name: p, listen: 127.0.0.1:%d, tls: {%s, client_ca: %s}, backend_tls: {%s, ca: %s}, backends: [{address: %q}]}\n",
		admin, secrets, m.path("clients.crt"), listen, secrets, m.path("clients.crt"), secrets, m.path("nodes.crt"), node.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r := redistest.Start(t, program, "-c", file)
	get := func(cfg *tls.Config) error {
		h := http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}, Timeout: redistest.Patience}
		resp, err := h.Get(fmt.Sprintf("https://127.0.0.1:%d/metrics", admin))
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	has := func(from int, parts ...string) bool {
		for line := range strings.Lines(r.Output()[from:]) {
			all := true
			for _, p := range parts {
				all = all && strings.Contains(line, p)
			}
			if all {
				return true
			}
		}
		return false
	}
	logged := func(from int, parts ...string) {
		t.Helper()
		redistest.WaitFor(t, fmt.Sprintf("the log to have %q", parts), func() bool { return has(from, parts...) })
	}
	good := a.Issue(redistest.Issue{})
	redistest.WaitFor(t, "the admin address", func() bool { return get(a.Trust(good)) == nil })
	showing := func(c *redistest.Certificate) *tls.Config { // even what the router has not asked for
		cfg := a.Trust(nil)
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.Pair, nil }
		return cfg
	}
	for _, c := range []struct {
		name, reason string
		cfg          *tls.Config
	}{
		{"an old version", "unsupported versions", func() *tls.Config {
			cfg := a.Trust(good)
			cfg.MaxVersion = tls.VersionTLS12
			return cfg
		}()},
		{"no certificate", "didn't provide a certificate", a.Trust(nil)},
		{"a stranger's certificate", "unknown authority", showing(stranger.Issue(redistest.Issue{}))},
		{"an expired certificate", "has expired", showing(a.Issue(redistest.Issue{Until: time.Now().Add(-time.Minute)}))},
		{"a client that does not trust us", "bad certificate", stranger.Trust(nil)},
		{"a client that wants another name", "bad certificate", func() *tls.Config {
			cfg := a.Trust(good)
			cfg.ServerName = "redis.example.com"
			return cfg
		}()},
	} {
		t.Run("admin/"+c.name, func(t *testing.T) {
			from := len(r.Output())
			if err := get(c.cfg); err == nil {
				t.Error("it is let in")
			}
			logged(from, "TLS handshake error from 127.0.0.1:", c.reason)
		})
	}
	t.Run("admin/plain HTTP", func(t *testing.T) {
		from := len(r.Output())
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", admin))
		if err == nil && resp.StatusCode == http.StatusOK {
			t.Error("it is served")
		}
		logged(from, "TLS handshake error from 127.0.0.1:", "client sent an HTTP request to an HTTPS server")
	})

	addr := fmt.Sprintf("127.0.0.1:%d", listen)
	ping := func(cert *redistest.Certificate) error {
		c, err := redistest.ConnectTLS(addr, showing(cert))
		if err == nil {
			defer c.Close()
			_, err = c.TryDo("PING")
		}
		return err
	}
	there := redistest.DialTLS(t, addr, a.Trust(good))
	want(t, there, "+OK\r\n", "SET", "key", "value")
	t.Run("the authority of clients is exchanged", func(t *testing.T) {
		put(stranger, a)
		redistest.WaitFor(t, "clients of the new one to be let in", func() bool { return ping(stranger.Issue(redistest.Issue{})) == nil })
		from := len(r.Output())
		redistest.WaitFor(t, "the log to have who is refused", func() bool { // some are only counted
			if err := ping(good); err == nil {
				t.Fatal("a certificate of the old one is good still")
			}
			return has(from, "TLS handshake failed", "pool=p", "client=127.0.0.1:", "signed by unknown authority")
		})
		from = len(r.Output())
		if err := get(a.Trust(good)); err == nil {
			t.Error("a certificate of the old one is good still at the admin address")
		}
		logged(from, "TLS handshake error from 127.0.0.1:", "unknown authority")
		want(t, there, redistest.Bulk("value"), "GET", "key")
	})
	t.Run("the authority of servers is exchanged", func(t *testing.T) {
		from := len(r.Output())
		put(stranger, stranger)
		logged(from, "certificates reloaded")
		want(t, there, redistest.Bulk("value"), "GET", "key") // what is connected stays
		node.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		logged(from, "node down", "signed by unknown authority")
		wantError(t, there, "ERR node '", "GET", "key")
		put(stranger, a)
		redistest.WaitFor(t, "the server to be trusted again", func() bool { return there.Do("GET", "key") == redistest.Bulk("value") })
	})
}
