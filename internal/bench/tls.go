package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os/exec"
	"strings"
	"time"

	"ringway/internal/bench/process"
)

// secure is what everybody shows and trusts when TLS is measured: one certificate, signed by itself.
type secure struct {
	cert, key, both string // files; both has the two of them
	pool            *x509.CertPool
	ports           []int // where the servers speak TLS
}

func newSecure(dir string, servers int) (*secure, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	s := &secure{pool: x509.NewCertPool()}
	s.pool.AddCert(cert)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	for _, f := range []struct {
		to         *string
		name, text string
	}{{&s.cert, "tls.crt", public}, {&s.key, "tls.key", private}, {&s.both, "tls.pem", public + private}} {
		if *f.to, err = write(dir, f.name, f.text); err != nil {
			return nil, err
		}
	}
	s.ports, err = process.FreePorts(servers)
	return s, err
}

// server are redis-server's arguments for the i-th of them.
func (s *secure) server(i int) []string {
	if s == nil {
		return nil
	}
	return []string{"--tls-port", fmt.Sprint(s.ports[i]), "--tls-cert-file", s.cert, "--tls-key-file", s.key, "--tls-ca-cert-file", s.cert,
		"--tls-auth-clients", "no"}
}

// client is for our own questions.
func (s *secure) client() *tls.Config { return &tls.Config{RootCAs: s.pool, ServerName: "127.0.0.1"} }

// tlsScenarios are GETs with TLS on one side of the proxy, on the other and on both, and with none to see what it costs.
func tlsScenarios() []scenario {
	var list []scenario
	for _, pipeline := range []int{1, 16, 128} {
		for _, side := range []string{"none", "down", "up", "both"} {
			words := map[string]string{"none": "no TLS", "down": "TLS with clients", "up": "TLS with servers", "both": "TLS on both sides"}[side]
			s := scenario{
				ID: fmt.Sprintf("tls-%s-p%d", side, pipeline), Title: words + ", GET", Command: []string{"GET", randomKey}, Pipeline: pipeline, TLS: side,
				Ratio: 1,
			}
			list = append(list, s)
		}
	}
	return completed(list)
}

func (s scenario) down() bool { return s.TLS == "down" || s.TLS == "both" }

// upstream is where the servers are.
func (p place) upstream() []int {
	if p.side == "up" || p.side == "both" {
		return p.secure.ports
	}
	return p.servers
}

func ringwayTLS(p place) string {
	text := ""
	if p.side == "down" || p.side == "both" {
		text += fmt.Sprintf("    tls: {cert: %q, key: %q}\n", p.secure.cert, p.secure.key)
	}
	if p.side == "up" || p.side == "both" {
		text += fmt.Sprintf("    backend_tls: {ca: %q}\n", p.secure.cert)
	}
	return text
}

// besideTwemproxy has a haproxy do TLS for twemproxy, which can't: in front of it, behind it, or both in one process. It moves
// twemproxy, and the servers as twemproxy sees them, out of the way.
func besideTwemproxy(p *place) (string, []string, error) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			return "", nil, err
		}
	}
	if p.side == "none" {
		return "", nil, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "global\n  nbthread %d\n  maxconn 4096\n\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n", p.threads)
	if p.side == "up" || p.side == "both" {
		behind, err := process.FreePorts(len(p.servers))
		if err != nil {
			return "", nil, err
		}
		for i, port := range behind {
			fmt.Fprintf(&b, "\nlisten redis-%d\n  bind 127.0.0.1:%d\n  server redis 127.0.0.1:%d ssl verify required ca-file %s\n",
				i, port, p.secure.ports[i], p.secure.cert)
		}
		p.servers = behind
	}
	if p.side == "down" || p.side == "both" {
		inner, err := process.FreePorts(1)
		if err != nil {
			return "", nil, err
		}
		fmt.Fprintf(&b, "\nlisten clients\n  bind 127.0.0.1:%d ssl crt %s\n  server twemproxy 127.0.0.1:%d\n", p.ports[0], p.secure.both, inner[0])
		p.ports[0] = inner[0]
	}
	path, err := write(p.dir, "haproxy.cfg", b.String())
	return program, []string{"-db", "-f", path}, err
}

// tlsIntroduction is in place of the one for the peers.
const tlsIntroduction = `# The cost of TLS

Written by ` + "`make bench-tls`" + `; run it to get the figures of your own machine.

![CPU time per request](tls.svg)

## What was measured

`

const tlsMethod = `
As [results.md](results.md) says, but with TLS 1.3 between the clients and the proxy, between the proxy and the servers, or both. twemproxy has no
TLS, so a haproxy with one thread does it for twemproxy, in front of it, behind it, or on both sides; the figures are those of the two processes
together. Connections are made before the time is taken. In each of %d rounds each contender runs once.
`
