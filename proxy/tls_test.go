package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// logged is what a server has logged.
type logged struct{ redistest.Buffer }

func (l *logged) has(parts ...string) bool {
	for line := range strings.Lines(l.String()) {
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

// serveLogged is serve for tests that read the log.
func serveLogged(t testing.TB, change func(*config.Config), addresses ...string) (*Server, *logged) {
	t.Helper()
	cfg := config.Default()
	cfg.Threads, cfg.File = 1, "proxy.yml"
	p := config.DefaultPool()
	p.Name, p.Listen = "test", "127.0.0.1:0"
	p.Health = config.Health{}
	for i, a := range addresses {
		p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprintf("n%d", i), Address: a, Weight: 1})
	}
	cfg.Pools = []config.Pool{p}
	change(&cfg)
	log := &logged{}
	srv, err := New(&cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(0) })
	return srv, log
}

// forClients is a pool's tls, with its default options.
func forClients(c *redistest.Certificate) *config.ServerTLS {
	return &config.ServerTLS{Cert: c.Cert, Key: c.Key, RequireClientCert: true, MinVersion: "1.2", HandshakeTimeout: 5 * time.Second}
}

// forNodes is a pool's backend_tls.
func forNodes(a *redistest.Authority, c *redistest.Certificate) *config.ClientTLS {
	t := &config.ClientTLS{CA: a.File, MinVersion: "1.2"}
	if c != nil {
		t.Cert, t.Key = c.Cert, c.Key
	}
	return t
}

// handshakes returns how many have ended in a way.
func handshakes(srv *Server, h metrics.Handshake) uint64 {
	return metrics.Sum(srv.Stats(0)).Handshakes[h]
}

func clientsOf(srv *Server) int { return int(srv.open()[0].clients.Load()) }

func TestTLSClients(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) { p.TLS = forClients(a.Issue(redistest.Issue{})) }), nodes(t, 2)...)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			cfg := a.Trust(nil)
			cfg.MaxVersion = version
			c := redistest.DialTLS(t, srv.Addr(0), cfg)
			t.Run("pipelines of 1000", func(t *testing.T) {
				for round := range 5 {
					for i := range 1000 {
						c.Send("SET", fmt.Sprintf("key%d", i), fmt.Sprintf("value %d of %d", i, round))
						c.Send("GET", fmt.Sprintf("key%d", i))
					}
					c.Flush()
					for i := range 1000 {
						want(t, "SET", c.Recv(), "+OK\r\n")
						want(t, "GET", c.Recv(), redistest.Bulk(fmt.Sprintf("value %d of %d", i, round)))
					}
				}
			})
			t.Run("values of 10 MB both ways", func(t *testing.T) {
				c.SetTimeout(30 * time.Second)
				value := strings.Repeat("0123456789abcdef", 10<<20/16)
				for i := range 3 {
					key := fmt.Sprintf("big%d", i)
					want(t, "SET", c.Do("SET", key, value), "+OK\r\n")
					if got := c.Do("GET", key); got != redistest.Bulk(value) {
						t.Errorf("the value that comes back is another, of %d bytes", len(got))
					}
					want(t, "DEL", c.Do("DEL", key), ":1\r\n")
				}
			})
			t.Run("MGET, MULTI, a blocking pop and a subscription", func(t *testing.T) {
				want(t, "MGET", c.Do("MGET", "key1", "none", "key2"), "*3\r\n"+redistest.Bulk("value 1 of 4")+"$-1\r\n"+redistest.Bulk("value 2 of 4"))
				c.Do("MULTI")
				c.Do("GET", "key1")
				want(t, "EXEC", c.Do("EXEC"), "*1\r\n"+redistest.Bulk("value 1 of 4"))
				other := redistest.DialTLS(t, srv.Addr(0), cfg)
				c.Send("BLPOP", "list", "0")
				c.Flush()
				want(t, "RPUSH", other.Do("RPUSH", "list", "x"), ":1\r\n")
				want(t, "BLPOP", c.Recv(), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
				other.Do("SUBSCRIBE", "news")
				c.Do("PUBLISH", "news", "good")
				want(t, "message", other.Recv(), "*3\r\n"+redistest.Bulk("message")+redistest.Bulk("news")+redistest.Bulk("good"))
			})
			t.Run("half close", func(t *testing.T) {
				c := redistest.DialTLS(t, srv.Addr(0), cfg)
				for range 100 {
					c.Send("GET", "key1")
				}
				c.Flush()
				c.HalfClose()
				for range 100 {
					want(t, "GET", c.Recv(), redistest.Bulk("value 1 of 4"))
				}
				c.RecvEOF()
			})
		})
	}
	balanced(t, srv)
	t.Run("with resumption", func(t *testing.T) {
		cfg := a.Trust(nil)
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		before := handshakes(srv, metrics.HandshakeResumed)
		for range 3 {
			c := redistest.DialTLS(t, srv.Addr(0), cfg)
			want(t, "PING", c.Do("PING"), "+PONG\r\n")
			c.Close()
		}
		if n := handshakes(srv, metrics.HandshakeResumed) - before; n != 2 {
			t.Errorf("%d of 3 handshakes were resumed", n)
		}
	})
}

// Whoever is not let in is told so in the way of TLS, is logged with the reason, and counted.
func TestTLSRefusals(t *testing.T) {
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	own := a.Issue(redistest.Issue{})
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(own)
		p.TLS.ClientCA, p.TLS.MinVersion, p.TLS.HandshakeTimeout = a.File, "1.3", 300*time.Millisecond
	}), nodes(t, 1)...)
	good := a.Trust(a.Issue(redistest.Issue{}))
	with := func(cert *redistest.Certificate, change func(*tls.Config)) func(*testing.T, string) error {
		return func(t *testing.T, addr string) error {
			cfg := a.Trust(cert)
			if change != nil {
				change(cfg)
			}
			c, err := redistest.ConnectTLS(addr, cfg)
			if err == nil { // with TLS 1.3 a client hears of it when it reads
				defer c.Close()
				_, err = c.TryDo("PING")
			}
			return err
		}
	}
	raw := func(text string) func(*testing.T, string) error {
		return func(t *testing.T, addr string) error {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(redistest.Patience))
			io.WriteString(c, text)
			b, err := io.ReadAll(c)
			if err == nil {
				err = fmt.Errorf("closed after %q", b)
			}
			return err
		}
	}
	cases := []struct {
		name, heard, reason string
		result              metrics.Handshake
		try                 func(*testing.T, string) error
	}{
		{"an old version", "protocol version not supported", "unsupported versions", metrics.HandshakeVersion,
			with(a.Issue(redistest.Issue{}), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 })},
		{"a very old version", "protocol version not supported", "unsupported versions", metrics.HandshakeVersion,
			with(a.Issue(redistest.Issue{}), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 })},
		{"no certificate", "certificate required", "it has no certificate", metrics.HandshakeNoCertificate, with(nil, nil)},
		{"a stranger's certificate", "unknown certificate authority", "signed by unknown authority", metrics.HandshakeCertificate,
			with(stranger.Issue(redistest.Issue{}), func(c *tls.Config) { // or it would not even show it
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					return &stranger.Issue(redistest.Issue{}).Pair, nil
				}
			})},
		{"an expired certificate", "expired certificate", "has expired", metrics.HandshakeCertificate,
			with(a.Issue(redistest.Issue{Until: time.Now().Add(-time.Minute)}), nil)},
		{"a certificate of tomorrow", "expired certificate", "not yet valid", metrics.HandshakeCertificate,
			with(a.Issue(redistest.Issue{From: time.Now().Add(time.Hour), Until: time.Now().Add(2 * time.Hour)}), nil)},
		{"a client that does not trust us", "unknown authority", "it refuses: tls: bad certificate", metrics.HandshakeRefused,
			func(t *testing.T, addr string) error {
				_, err := redistest.ConnectTLS(addr, stranger.Trust(nil))
				return err
			}},
		{"a client that wants another name", "not example.com", "it refuses: tls: bad certificate", metrics.HandshakeRefused,
			with(nil, func(c *tls.Config) { c.ServerName = "example.com" })},
		{"a plain client", "this address is for TLS only", "it does not speak TLS", metrics.HandshakePlain, raw("*1\r\n$4\r\nPING\r\n")},
		{"an inline command", "this address is for TLS only", "it does not speak TLS", metrics.HandshakePlain, raw("PING\r\n")},
		{"HTTP", "this address is for TLS only", "it does not speak TLS", metrics.HandshakePlain, raw("GET / HTTP/1.1\r\n\r\n")},
		{"garbage", "", "it does not speak TLS", metrics.HandshakePlain, raw(strings.Repeat("\xff\x00\x80", 1000))},
		{"garbage in a ClientHello", "closed after", "handshake message of length", metrics.HandshakeOther, raw("\x16\x03\x01\x00\x04\xff\xff\xff\xff" + strings.Repeat("\x00", 100))},
		{"a record that is too long", "", "oversized record", metrics.HandshakeOther, raw("\x16\x03\x01\xff\xff")},
		{"SSL 2", "closed after", "unsupported SSLv2", metrics.HandshakeOther, raw("\x80\x2e\x01\x00\x02\x00\x15")},
		{"a client that says nothing", "closed after", "it did not finish in time", metrics.HandshakeTimeout, raw("")},
		{"half a ClientHello", "closed after", "it did not finish in time", metrics.HandshakeTimeout, raw("\x16\x03\x01\x02\x00\x01")},
		{"a client that goes away", "EOF", "it closed the connection", metrics.HandshakeClosed, func(t *testing.T, addr string) error {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			return io.EOF
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			before, lines := handshakes(srv, c.result), len(log.String())
			err := c.try(t, srv.Addr(0))
			if err == nil {
				t.Fatal("it was let in")
			}
			if !strings.Contains(err.Error(), c.heard) {
				t.Errorf("it heard %q, want %q", err, c.heard)
			}
			redistest.WaitFor(t, "the metric "+c.result.String(), func() bool { return handshakes(srv, c.result) > before })
			if line := log.String()[lines:]; !strings.Contains(line, "TLS handshake failed") || !strings.Contains(line, c.reason) ||
				!strings.Contains(line, "pool=test") || !strings.Contains(line, "client=127.0.0.1:") {
				t.Errorf("logged is %q, want %q", line, c.reason)
			}
			onLoop(t, srv, func(w *worker) { w.handshakeSecond = -1 }) // the next case has its lines too
			redistest.WaitFor(t, "nobody to be left", func() bool { return clientsOf(srv) == 0 })
			d := redistest.DialTLS(t, srv.Addr(0), good)
			want(t, "PING of a good client", d.Do("PING"), "+PONG\r\n")
			d.Close()
			redistest.WaitFor(t, "it to be gone", func() bool { return clientsOf(srv) == 0 })
		})
	}
}

// The log does not grow with a scan of ports; the count does.
func TestTLSFailedHandshakesDoNotFillTheLog(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.TLS = forClients(a.Issue(redistest.Issue{})) }), nodes(t, 1)...)
	const many = 300
	for range many {
		c, err := net.Dial("tcp", srv.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "garbage")
		io.ReadAll(c)
		c.Close()
	}
	redistest.WaitFor(t, "all to be counted", func() bool { return handshakes(srv, metrics.HandshakePlain) == many })
	if lines := strings.Count(log.String(), "TLS handshake failed"); lines < handshakeLines || lines > many/2 {
		t.Errorf("%d lines for %d failed handshakes", lines, many)
	}
}

func TestTLSOptionalClientCertificate(t *testing.T) {
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(a.Issue(redistest.Issue{}))
		p.TLS.ClientCA, p.TLS.RequireClientCert = a.File, false
	}), nodes(t, 1)...)
	for _, cert := range []*redistest.Certificate{nil, a.Issue(redistest.Issue{})} {
		want(t, "PING", redistest.DialTLS(t, srv.Addr(0), a.Trust(cert)).Do("PING"), "+PONG\r\n")
	}
	cfg := a.Trust(nil)
	pair := stranger.Issue(redistest.Issue{}).Pair
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	c, err := redistest.ConnectTLS(srv.Addr(0), cfg)
	if err == nil {
		_, err = c.TryDo("PING")
	}
	if err == nil {
		t.Error("a stranger's certificate was accepted")
	}
}

// Clients that never finish their handshake hold up neither those that do nor those that are there.
func TestTLSSlowHandshakesHoldNobodyUp(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(a.Issue(redistest.Issue{}))
		p.TLS.HandshakeTimeout = time.Minute
	}), nodes(t, 1)...)
	onLoop(t, srv, func(*worker) { srv.handshakes.Most, srv.handshakes.Patience = 20, 200*time.Millisecond })
	old := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
	for i := range 100 { // five times as many as may be at it
		c, err := net.Dial("tcp", srv.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[:i%11])
	}
	for range 10 {
		want(t, "PING of who was there", old.Do("PING"), "+PONG\r\n")
		c := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
		want(t, "PING of who comes", c.Do("PING"), "+PONG\r\n")
		c.Close()
	}
	redistest.WaitFor(t, "slow ones to have made room", func() bool { return handshakes(srv, metrics.HandshakeCrowded) >= 80 })
	if !log.has("TLS handshake failed", "too slow while others were waiting") {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

func TestTLSClientOfAPlainAddress(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, log := serveLogged(t, func(*config.Config) {}, nodes(t, 1)...)
	for i := range 20 { // some have a line feed in what they say first
		_, err := redistest.ConnectTLS(srv.Addr(0), a.Trust(nil))
		var alert tls.AlertError
		if !errors.As(err, &alert) && (err == nil || !strings.Contains(err.Error(), "handshake failure")) {
			t.Fatalf("it heard %v", err)
		}
		redistest.WaitFor(t, "it to be counted", func() bool { return handshakes(srv, metrics.HandshakeToPlain) == uint64(i+1) })
	}
	if !log.has("TLS handshake failed", "it speaks TLS to an address that does not") {
		t.Errorf("the log does not say so:\n%s", log)
	}
	balanced(t, srv)
}

func TestAThousandTLSClients(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(a.Issue(redistest.Issue{}))
		p.TLS.HandshakeTimeout = time.Minute
	}), nodes(t, 2)...)
	const clients = 1000
	var wait, ready sync.WaitGroup
	var failed atomic.Int64
	begin := make(chan struct{})
	ready.Add(clients)
	for i := range clients {
		wait.Go(func() {
			c, err := redistest.ConnectTLS(srv.Addr(0), a.Trust(nil))
			ready.Done()
			if err != nil {
				failed.Add(1)
				t.Error(err)
				return
			}
			defer c.Close()
			c.SetTimeout(time.Minute)
			<-begin
			for n := range 20 {
				key, value := fmt.Sprintf("key%d", i), fmt.Sprintf("%d of %d", n, i)
				c.Send("SET", key, value)
				c.Send("GET", key)
				if err := c.TryFlush(); err != nil {
					t.Error(err)
					return
				}
				for _, wanted := range []string{"+OK\r\n", redistest.Bulk(value)} {
					if b, err := c.TryRecv(nil); err != nil || string(b) != wanted {
						t.Errorf("client %d: %q, %v", i, b, err)
						return
					}
				}
			}
		})
	}
	ready.Wait()
	if n := clientsOf(srv); n != clients {
		t.Errorf("%d clients are connected", n)
	}
	close(begin)
	wait.Wait()
	if n := handshakes(srv, metrics.HandshakeDone); n != clients {
		t.Errorf("%d handshakes went well", n)
	}
	redistest.WaitFor(t, "all to be gone", func() bool { return clientsOf(srv) == 0 })
	balanced(t, srv)
}

func TestTLSToNodes(t *testing.T) {
	a := redistest.NewAuthority(t)
	for _, mutual := range []bool{false, true} {
		t.Run(fmt.Sprintf("mutual=%v", mutual), func(t *testing.T) {
			args := []string{"--tls-auth-clients", "no"}
			var cert *redistest.Certificate
			if mutual {
				args, cert = nil, a.Issue(redistest.Issue{Name: "ringway"})
			}
			var list []string
			for range 2 {
				list = append(list, redistest.ServerTLS(t, a, args...).Addr())
			}
			srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
				p.BackendTLS = forNodes(a, cert)
				p.Health = config.DefaultPool().Health
				p.Health.Interval = 20 * time.Millisecond
			}), list...)
			c := client(t, srv)
			for i := range 1000 {
				c.Send("SET", fmt.Sprint("key", i), fmt.Sprint("value", i))
			}
			c.Flush()
			for range 1000 {
				want(t, "SET", c.Recv(), "+OK\r\n")
			}
			want(t, "MGET", c.Do("MGET", "key1", "key2", "key3"), "*3\r\n"+redistest.Bulk("value1")+redistest.Bulk("value2")+redistest.Bulk("value3"))
			value := strings.Repeat("0123456789abcdef", 10<<20/16)
			want(t, "a large SET", c.Do("SET", "big", value), "+OK\r\n")
			if got := c.Do("GET", "big"); got != redistest.Bulk(value) {
				t.Errorf("a value of %d bytes comes back as %d", len(value), len(got))
			}
			want(t, "SELECT", c.Do("SELECT", "3"), "+OK\r\n")
			want(t, "GET of another database", c.Do("GET", "key1"), "$-1\r\n")
			other := client(t, srv)
			other.Do("HELLO", "3")
			want(t, "GET with RESP3", other.Do("GET", "none"), "_\r\n")
			c.Send("BLPOP", "list", "0")
			c.Flush()
			other.Do("SELECT", "3")
			want(t, "RPUSH", other.Do("RPUSH", "list", "x"), ":1\r\n")
			want(t, "BLPOP", c.Recv(), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
			other.Do("SUBSCRIBE", "news")
			c.Do("PUBLISH", "news", "good")
			want(t, "message", other.Recv(), ">3\r\n"+redistest.Bulk("message")+redistest.Bulk("news")+redistest.Bulk("good"))
			want(t, "WATCH", c.Do("WATCH", "key1"), "+OK\r\n")
			c.Do("MULTI")
			c.Do("SET", "key1", "x")
			want(t, "EXEC", c.Do("EXEC"), "*1\r\n+OK\r\n")
			redistest.WaitFor(t, "health checks that go well", func() bool {
				n := srv.open()[0].director.nodes[0]
				return n.Successes() > 3 && n.FailedChecks() == 0
			})
			balanced(t, srv)
		})
	}
}

// What a node's TLS says against us reaches the client that asked, and the log, once.
func TestTLSToNodesIsRefused(t *testing.T) {
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	cert := a.Issue(redistest.Issue{})
	closed := redistest.ServerTLS(t, a)
	open := func(args ...string) string {
		return redistest.ServerTLS(t, a, append([]string{"--tls-auth-clients", "no"}, args...)...).Addr()
	}
	expired, elsewhere := a.Issue(redistest.Issue{Until: time.Now().Add(-time.Minute)}), a.Issue(redistest.Issue{Hosts: []string{"redis.internal"}})
	raw := func(c *redistest.Certificate) string { // redis-server itself would serve it, but the test could not ask it anything
		ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.Pair}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				go func() {
					defer nc.Close()
					for r := bufio.NewReader(nc); ; {
						if _, err := redistest.ReadCommand(r); err != nil {
							return
						}
						io.WriteString(nc, "+PONG\r\n")
					}
				}()
			}
		}()
		return ln.Addr().String()
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	cases := []struct {
		name, addr, reason string
		tls                *config.ClientTLS
	}{
		{"another authority", open(), "signed by unknown authority", forNodes(stranger, nil)},
		{"expired", raw(expired), "certificate has expired", forNodes(a, nil)},
		{"another name", raw(elsewhere), "cannot validate certificate for 127.0.0.1", forNodes(a, nil)},
		{"a wrong server_name", raw(elsewhere), "is valid for redis.internal, not redis.external", func() *config.ClientTLS {
			c := forNodes(a, nil)
			c.ServerName = "redis.external"
			return c
		}()},
		{"no certificate of ours", closed.Addr(), "certificate", forNodes(a, nil)},
		{"a stranger's certificate of ours", closed.Addr(), "certificate", forNodes(a, stranger.Issue(redistest.Issue{}))},
		{"a plain node", redistest.Server(t).Addr(), "TLS", forNodes(a, nil)},
		{"a node that says nothing", silent.Addr().String(), "connection timed out in the TLS handshake", forNodes(a, nil)},
		{"an old version", open("--tls-protocols", "TLSv1.2"), "protocol version", func() *config.ClientTLS {
			c := forNodes(a, nil)
			c.MinVersion = "1.3"
			return c
		}()},
		{"TLS without backend_tls", closed.Addr(), "connection", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			srv, log := serveLogged(t, onPool(func(p *config.Pool) {
				p.BackendTLS, p.ConnectTimeout = c.tls, 300*time.Millisecond
				if c.tls == nil { // such a node accepts connections, and closes them at the first request
					p.Health = config.DefaultPool().Health
					p.Health.Interval = 20 * time.Millisecond
				}
			}), c.addr)
			reply := client(t, srv).Do("GET", "key")
			if !strings.HasPrefix(reply, "-ERR node 'n0'") || !strings.Contains(reply, c.reason) {
				t.Errorf("the client is told %q, want %q", reply, c.reason)
			}
			redistest.WaitFor(t, "the log", func() bool { return log.has("node down", c.reason) })
			redistest.WaitFor(t, "the metric", func() bool {
				n := metrics.Sum(srv.Stats(0)).Nodes[0]
				return n.ConnectErrors+n.Losses+n.FailedChecks > 0
			})
			if n := strings.Count(log.String(), "node down"); n != 1 {
				t.Errorf("it is logged %d times", n)
			}
		})
	}
	t.Run("the right server_name", func(t *testing.T) {
		srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
			p.BackendTLS = forNodes(a, cert)
			p.BackendTLS.ServerName = "redis.internal"
		}), raw(elsewhere))
		want(t, "GET", client(t, srv).Do("GET", "key"), "+PONG\r\n")
	})
	t.Run("insecure_skip_verify", func(t *testing.T) {
		srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
			p.BackendTLS = &config.ClientTLS{InsecureSkipVerify: true, MinVersion: "1.2"}
		}), raw(expired))
		want(t, "GET", client(t, srv).Do("GET", "key"), "+PONG\r\n")
	})
}

func TestTLSOnBothSidesWithSentinel(t *testing.T) {
	a := redistest.NewAuthority(t)
	cert := a.Issue(redistest.Issue{})
	primary := redistest.ServerTLS(t, a)
	redistest.ReplicaTLS(t, a, primary)
	sentinels := redistest.StartSentinelsTLS(t, a, 3, redistest.Monitored{Name: "orders", Primary: primary})
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS, p.BackendTLS = forClients(cert), forNodes(a, cert)
		p.ConnectTimeout = 2 * time.Second
		p.Sentinel = &config.Sentinel{Addresses: sentinels.Addrs(), Masters: []config.Master{{Name: "orders", Weight: 1}}}
	}))
	c := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
	c.SetTimeout(30 * time.Second)
	want(t, "SET", c.Do("SET", "key", "before"), "+OK\r\n")
	want(t, "WAIT", c.Do("WAIT", "1", "5000"), ":1\r\n")
	sentinels.Failover("orders")
	redistest.WaitFor(t, "writes to go to the new primary", func() bool { return c.Do("SET", "key", "after") == "+OK\r\n" })
	want(t, "GET", c.Do("GET", "key"), redistest.Bulk("after"))
}

func TestTLSOnBothSidesWithCluster(t *testing.T) {
	a := redistest.NewAuthority(t)
	cert := a.Issue(redistest.Issue{})
	cluster := redistest.StartClusterTLS(t, a, 3, 0)
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS, p.BackendTLS = forClients(cert), forNodes(a, cert)
		p.ConnectTimeout = 2 * time.Second
		p.Cluster = &config.Cluster{Seeds: cluster.Addrs()[:1]}
	}))
	c := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
	c.SetTimeout(30 * time.Second)
	set := func(value string) {
		t.Helper()
		for i := range 300 {
			c.Send("SET", fmt.Sprint("key", i), value)
		}
		c.Flush()
		for range 300 {
			want(t, "SET", c.Recv(), "+OK\r\n")
		}
	}
	set("before")
	slot := 12539 // of key1... any: all keys are looked at
	from := cluster.Owner(slot)
	to := (from + 1) % 3
	cluster.StartMove(from, to, slot)
	set("meanwhile") // ASK by TLS
	cluster.MoveKeys(from, to, slot)
	cluster.FinishMove(from, to, slot)
	set("after") // MOVED by TLS
	want(t, "MGET", c.Do("MGET", "key0", "key299"), "*2\r\n"+redistest.Bulk("after")+redistest.Bulk("after"))
}

// Certificates are exchanged under load again and again: no connection is lost, and who comes later meets the new one. A pair that does not fit is
// refused, and the one before goes on.
func TestTLSCertificatesAreExchanged(t *testing.T) {
	a := redistest.NewAuthority(t)
	own, shown := a.Issue(redistest.Issue{Name: "first"}), a.Issue(redistest.Issue{})
	node := redistest.ServerTLS(t, a)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS, p.BackendTLS = forClients(own), forNodes(a, shown)
		p.ConnectTimeout = 5 * time.Second
	}), node.Addr())
	var stop atomic.Bool
	var replies atomic.Int64
	var load sync.WaitGroup
	for i := range 8 {
		c := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
		load.Go(func() {
			for n := 0; !stop.Load(); n++ {
				wanted := fmt.Sprintf("%d of %d", n, i)
				if r, err := c.TryDo("SET", fmt.Sprint("key", i), wanted); err != nil || r != "+OK\r\n" {
					t.Errorf("SET: %q, %v", r, err)
					return
				}
				if r, err := c.TryDo("GET", fmt.Sprint("key", i)); err != nil || r != redistest.Bulk(wanted) {
					t.Errorf("GET: %q, %v", r, err)
					return
				}
				replies.Add(2)
			}
		})
	}
	name := func() string {
		t.Helper()
		c := redistest.DialTLS(t, srv.Addr(0), a.Trust(nil))
		defer c.Close()
		want(t, "PING", c.Do("PING"), "+PONG\r\n")
		return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	want(t, "the certificate", name(), "first")
	for i := range 10 {
		next := fmt.Sprint("number ", i)
		a.Reissue(own, redistest.Issue{Name: next})
		a.Reissue(shown, redistest.Issue{})
		srv.RereadFiles()
		want(t, "the certificate", name(), next)
		seen := replies.Load()
		redistest.WaitFor(t, "replies after it", func() bool { return replies.Load() > seen+100 || t.Failed() })
	}
	if _, current := srv.Certificates(); !current || !log.has("certificates reloaded", own.Cert) {
		t.Errorf("it says that they are current: %v; the log:\n%s", current, log)
	}
	for what, spoil := range map[string]func(){
		"a key of another certificate": func() {
			other := a.Issue(redistest.Issue{})
			copyFile(t, other.Key, own.Key)
		},
		"no PEM":  func() { os.WriteFile(own.Cert, []byte("garbage"), 0o600) },
		"expired": func() { a.Reissue(own, redistest.Issue{Name: "late", Until: time.Now().Add(-time.Second)}) },
		"gone":    func() { os.Remove(own.Key) },
	} {
		lines := len(log.String())
		spoil()
		srv.RereadFiles()
		want(t, what+": the certificate", name(), "number 9")
		if _, current := srv.Certificates(); current || !strings.Contains(log.String()[lines:], "those before stay") {
			t.Errorf("%s: it says that they are current: %v; the log: %s", what, current, log.String()[lines:])
		}
		if err := srv.Reload(srv.Config()); err == nil || !strings.Contains(err.Error(), `proxy.yml:`) || !strings.Contains(err.Error(), `pool "test": tls: `) {
			t.Errorf("%s: a reload of the configuration says %v", what, err)
		}
		a.Reissue(own, redistest.Issue{Name: "number 9"})
		srv.RereadFiles()
		if _, current := srv.Certificates(); !current {
			t.Errorf("after %s: it is not told that all is well again", what)
		}
	}
	stop.Store(true)
	load.Wait()
	balanced(t, srv)
	if n := metrics.Sum(srv.Stats(0)).Nodes[0]; n.Losses != 0 {
		t.Errorf("%d connections to the node were lost", n.Losses)
	}
	t.Logf("%d replies", replies.Load())
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Each server is told who we are in its own way, on every connection that there is: lanes, health checks, the watch over replicas.
func TestIdentities(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("in a file\nand more\n")
	t.Setenv("RINGWAY_TEST_PASSWORD", "in the environment")
	with := func(password string) *redistest.Redis {
		r := redistest.Server(t)
		r.Do("ACL", "SETUSER", "router", "on", ">"+password, "~*", "&*", "+@all")
		r.Do("CONFIG", "SET", "requirepass", password)
		return r
	}
	inFile, inEnv, plain := with("in a file"), with("in the environment"), with("the pool's")
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.Identity = config.Identity{Password: "the pool's"}
		p.Backends[0].Identity = config.Identity{Username: "router", PasswordFile: file}
		p.Backends[1].Identity = config.Identity{PasswordEnv: "RINGWAY_TEST_PASSWORD"}
		p.Health = config.DefaultPool().Health
		p.Health.Interval = 20 * time.Millisecond
	}), inFile.Addr(), inEnv.Addr(), plain.Addr())
	c := client(t, srv)
	check := func() {
		t.Helper()
		for i := range 3 {
			want(t, fmt.Sprintf("SET at n%d", i), c.Do("SET", keyOf(t, srv, i, "k"), "v"), "+OK\r\n")
		}
		for i, n := range srv.open()[0].director.nodes {
			redistest.WaitFor(t, fmt.Sprintf("a check of n%d that goes well", i), func() bool { return n.Successes() > 1 })
			if n.FailedChecks() > 0 {
				t.Errorf("checks of n%d have failed", i)
			}
		}
	}
	check()
	t.Run("a password file that changes", func(t *testing.T) {
		do := func(args ...string) string {
			c := redistest.Dial(t, inFile.Addr())
			defer c.Close()
			c.Do("AUTH", "in a file")
			return c.Do(args...)
		}
		want(t, "SETUSER", do("ACL", "SETUSER", "router", ">rotated"), "+OK\r\n")
		write("rotated\n")
		srv.RereadFiles()
		if !log.has("passwords reloaded") {
			t.Errorf("the log does not say so:\n%s", log)
		}
		want(t, "SETUSER", do("ACL", "SETUSER", "router", "<in a file"), "+OK\r\n")
		do("CLIENT", "KILL", "TYPE", "normal", "USER", "router")
		redistest.WaitFor(t, "the new password to be in use", func() bool { return c.Do("SET", keyOf(t, srv, 0, "k"), "v") == "+OK\r\n" })
		check()
	})
	t.Run("a password file that can't be used", func(t *testing.T) {
		write("\n")
		srv.RereadFiles()
		if _, current := srv.Certificates(); current || !log.has("cannot take over a changed password", "is empty") {
			t.Errorf("current %v, the log:\n%s", current, log)
		}
		check()
		if strings.Contains(log.String(), "rotated") {
			t.Error("the password is in the log")
		}
	})
}

func TestKeyringSaysWhere(t *testing.T) {
	a := redistest.NewAuthority(t)
	own, other := a.Issue(redistest.Issue{}), a.Issue(redistest.Issue{})
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*config.Pool){
		`f.yml:7: pool "p": tls: cannot read /none.crt: no such file or directory`: func(p *config.Pool) {
			p.TLS = &config.ServerTLS{Cert: "/none.crt", Key: own.Key, Line: 7}
		},
		`f.yml:7: pool "p": tls: ` + own.Cert + ` and ` + other.Key + ` are no pair of certificate and key: tls: private key does not match public key`: func(p *config.Pool) {
			p.TLS = &config.ServerTLS{Cert: own.Cert, Key: other.Key, Line: 7}
		},
		`f.yml:7: pool "p": tls: ` + empty + ` has no certificate in it`: func(p *config.Pool) {
			p.TLS = &config.ServerTLS{Cert: own.Cert, Key: own.Key, ClientCA: empty, Line: 7}
		},
		`f.yml:8: pool "p": backend_tls: cannot read none/ca.crt: no such file or directory`: func(p *config.Pool) {
			p.BackendTLS = &config.ClientTLS{CA: "none/ca.crt", Line: 8}
		},
		`f.yml:2: pool "p": password_env: the environment has no RINGWAY_NONE, or an empty one`: func(p *config.Pool) {
			p.PasswordEnv = "RINGWAY_NONE"
		},
		`f.yml:3: pool "p": backend "b": password_file: the first line of ` + empty + ` is empty`: func(p *config.Pool) {
			p.Backends = []config.Backend{{Name: "b", Line: 3, Identity: config.Identity{PasswordFile: empty}}}
		},
	} {
		p := config.DefaultPool()
		p.Name, p.Line = "p", 2
		change(&p)
		if err := Check(&config.Config{File: "f.yml", Pools: []config.Pool{p}}); err == nil || err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	}
}

// Nodes come and go in a pool with warm scaling, each with TLS and a password of its own, and so does one that the new configuration no longer has.
func TestTLSWarmScaling(t *testing.T) {
	a := redistest.NewAuthority(t)
	var backends []config.Backend
	for i := range 3 {
		node, password := redistest.ServerTLS(t, a), fmt.Sprint("password of ", i)
		node.Do("ACL", "SETUSER", "default", ">"+password, "resetpass", ">"+password)
		backends = append(backends, config.Backend{Name: fmt.Sprint("n", i), Address: node.Addr(), Weight: 1,
			Identity: config.Identity{Password: config.Secret(password)}})
	}
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		warmed(p)
		p.Migration.MoverRate = 10_000
		p.BackendTLS, p.Backends = forNodes(a, a.Issue(redistest.Issue{})), backends[:2]
		p.ConnectTimeout = 2 * time.Second
	}))
	inMode(t, warmPlain, srv)
	c := client(t, srv)
	const keys = 300
	for i := range keys {
		want(t, "SET", c.Do("SET", fmt.Sprint("key", i), "v"), "+OK\r\n")
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends = backends[1:] }))
	inMode(t, warmWarm, srv)
	for i := range keys / 2 {
		want(t, "GET", c.Do("GET", fmt.Sprint("key", i)), redistest.Bulk("v"))
	}
	onRing(t, 2, srv)
	for i := range keys {
		want(t, "GET", c.Do("GET", fmt.Sprint("key", i)), redistest.Bulk("v"))
	}
	report := &strings.Builder{}
	if err := WriteMigration(report, srv.Config(), &srv.Config().Pools[0]); err != nil || !strings.Contains(report.String(), "(2 nodes: n1, n2)") {
		t.Errorf("%v\n%s", err, report)
	}
	balanced(t, srv)
}

func TestTLSReplicas(t *testing.T) {
	a := redistest.NewAuthority(t)
	primary := redistest.ServerTLS(t, a)
	replica := redistest.ReplicaTLS(t, a, primary)
	srv, _ := serveLogged(t, onPool(func(p *config.Pool) {
		p.BackendTLS, p.ReadPolicy = forNodes(a, a.Issue(redistest.Issue{})), "replica"
		p.Backends[0].Replicas = []config.Replica{{Address: replica.Addr()}}
	}), primary.Addr())
	c := client(t, srv)
	want(t, "SET", c.Do("SET", "key", "v"), "+OK\r\n")
	redistest.WaitFor(t, "the replica to be read", func() bool { return c.Do("GET", "key") == redistest.Bulk("v") })
}

// A reload puts TLS on, on both sides, and takes it off: who is there stays, who comes does as it is now.
func TestTLSIsSwitchedByReload(t *testing.T) {
	a := redistest.NewAuthority(t)
	cert := a.Issue(redistest.Issue{})
	node := redistest.Server(t)
	secure := redistest.ServerTLS(t, a)
	srv, _ := serveLogged(t, func(*config.Config) {}, node.Addr())
	old := client(t, srv)
	want(t, "SET", old.Do("SET", "key", "plain"), "+OK\r\n")
	secure.Do("SET", "key", "secure")
	reloadWith(t, srv, onPool(func(p *config.Pool) {
		p.TLS, p.BackendTLS = forClients(cert), forNodes(a, cert)
		p.Backends[0].Address = secure.Addr()
	}))
	redistest.WaitFor(t, "the other node", func() bool { return old.Do("GET", "key") == redistest.Bulk("secure") })
	var c *redistest.Conn
	redistest.WaitFor(t, "TLS", func() bool {
		d, err := redistest.ConnectTLS(srv.Addr(0), a.Trust(nil))
		c = d
		return err == nil
	})
	defer c.Close()
	if r, err := c.TryDo("GET", "key"); err != nil || r != redistest.Bulk("secure") {
		t.Errorf("GET: %q, %v", r, err)
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) {
		p.TLS, p.BackendTLS = nil, nil
		p.Backends[0].Address = node.Addr()
	}))
	redistest.WaitFor(t, "no TLS", func() bool {
		d, err := redistest.Connect(srv.Addr(0))
		if err != nil {
			return false
		}
		defer d.Close()
		r, err := d.TryDo("GET", "key")
		return err == nil && r == redistest.Bulk("plain")
	})
	for _, c := range []*redistest.Conn{old, c} {
		if r, err := c.TryDo("GET", "key"); err != nil || r != redistest.Bulk("plain") {
			t.Errorf("GET of who was there: %q, %v", r, err)
		}
	}
	balanced(t, srv)
}
