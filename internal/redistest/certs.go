package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	File string // its own certificate, PEM

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Certificate is a certificate and its key, in files of PEM.
type Certificate struct {
	Cert, Key string // the files
	Pair      tls.Certificate
}

// Issue is what a certificate says.
type Issue struct {
	Hosts []string // names and addresses; none: localhost, 127.0.0.1 and ::1
	From  time.Time
	Until time.Time // zero: an hour from now
	Name  string    // the subject's common name; "": "ringway test"
}

// NewAuthority makes one for the length of a test.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.key = a.newKey()
	about := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "ringway test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &a.key.PublicKey, a.key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	a.File = a.write("ca.crt", "CERTIFICATE", der)
	return a
}

// Issue makes a certificate for servers and clients.
func (a *Authority) Issue(what Issue) *Certificate {
	a.t.Helper()
	dir, err := os.MkdirTemp(a.dir, "")
	if err != nil {
		a.t.Fatal(err)
	}
	c := &Certificate{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	a.Reissue(c, what)
	return c
}

// Reissue makes another certificate in the same files, each of which is exchanged in one step.
func (a *Authority) Reissue(c *Certificate, what Issue) {
	a.t.Helper()
	if what.Hosts == nil {
		what.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if what.Until.IsZero() {
		what.Until = time.Now().Add(time.Hour)
	}
	if what.Name == "" {
		what.Name = "ringway test"
	}
	if what.From.IsZero() {
		what.From = time.Now().Add(-24 * time.Hour)
	}
	key := a.newKey()
	about := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: what.Name}, NotBefore: what.From, NotAfter: what.Until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range what.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			about.IPAddresses = append(about.IPAddresses, ip)
		} else {
			about.DNSNames = append(about.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, about, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.replace(c.Cert, "CERTIFICATE", der)
	a.replace(c.Key, "PRIVATE KEY", secret)
	if c.Pair, err = tls.LoadX509KeyPair(c.Cert, c.Key); err != nil {
		a.t.Fatal(err)
	}
}

// Trust returns the settings of a client that believes in this authority alone. cert is what it shows, nil for none.
func (a *Authority) Trust(cert *Certificate) *tls.Config {
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	cfg.RootCAs.AddCert(a.cert)
	if cert != nil {
		cfg.Certificates = []tls.Certificate{cert.Pair}
	}
	return cfg
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *Authority) write(name, kind string, der []byte) string {
	file := filepath.Join(a.dir, name)
	a.replace(file, kind, der)
	return file
}

func (a *Authority) replace(file, kind string, der []byte) {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	err := os.WriteFile(file+".new", text, 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func serial(t testing.TB) *big.Int {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ServerTLS starts a redis-server that speaks TLS only, with a certificate of the authority, and asks clients for theirs: it demands one unless args say
// --tls-auth-clients no. What the test itself asks of it goes by TLS too.
func ServerTLS(t testing.TB, a *Authority, args ...string) *Redis {
	t.Helper()
	r := prepare(t, "redis-server", "install it: apt-get install redis-server, or run make test", nil)
	r.useTLS(a, args)
	r.launch()
	return r
}

// ReplicaTLS is ServerTLS for a replica.
func ReplicaTLS(t testing.TB, a *Authority, primary *Redis, args ...string) *Redis {
	t.Helper()
	r := ServerTLS(t, a, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(primary.port)}, args...)...)
	WaitFor(t, "the replica on port "+strconv.Itoa(r.port)+" to be in step", r.inStep)
	return r
}

// useTLS has the server listen for TLS in place of plain TCP.
func (r *Redis) useTLS(a *Authority, args []string) {
	c := a.Issue(Issue{})
	r.authority, r.own = a, c
	for i, arg := range r.args {
		if arg == "--port" {
			r.args[i] = "--tls-port"
		}
	}
	r.args = append(r.args, tlsOptions(a, c)...)
	r.args = append(r.args, args...)
}

func tlsOptions(a *Authority, c *Certificate) []string {
	return []string{"--port", "0", "--tls-cert-file", c.Cert, "--tls-key-file", c.Key, "--tls-ca-cert-file", a.File,
		"--tls-replication", "yes", "--tls-cluster", "yes"}
}

// DialTLS is Dial with TLS.
func DialTLS(t testing.TB, addr string, cfg *tls.Config) *Conn {
	t.Helper()
	c, err := ConnectTLS(addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() { c.Close() })
	return c
}

// ConnectTLS is Connect with TLS. It returns when the client's part of the handshake is done.
func ConnectTLS(addr string, cfg *tls.Config) (*Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: Patience}, Config: cfg}
	nc, err := d.Dial("tcp", strings.TrimPrefix(addr, "tcp://"))
	if err != nil {
		return nil, err
	}
	return NewConn(nil, nc), nil
}
