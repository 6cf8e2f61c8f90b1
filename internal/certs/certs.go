// Package certs makes TLS settings of certificates, keys and authorities in files, and makes them anew when the files change. Who has a connection keeps
// it: new settings are for the handshakes that begin later. A change that can't be used is refused as a whole, and what was there before stays.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Pair says which files hold a certificate with its chain, and the key to it. Both are PEM.
type Pair struct{ Cert, Key string }

// ServerOptions are the settings of who is connected to.
type ServerOptions struct {
	Pair
	ClientCA   string // file of the authorities that clients' certificates must be signed by; "": none is asked for
	Optional   bool   // with ClientCA: a client may do without a certificate
	MinVersion uint16
}

// ClientOptions are the settings of who connects.
type ClientOptions struct {
	Pair                      // shown to servers that ask for it; empty: none
	CA                 string // file of the authorities that servers' certificates must be signed by; "": those of the system
	ServerName         string // that the certificate must be for; "": the host of the address
	InsecureSkipVerify bool
	MinVersion         uint16
}

// Server is the present settings of who is connected to.
type Server struct {
	opt     ServerOptions
	mu      sync.Mutex
	read    contents
	current atomic.Pointer[serverState]
}

type serverState struct {
	cfg      *tls.Config
	notAfter time.Time
}

// NewServer reads the files.
func NewServer(opt ServerOptions) (*Server, error) {
	s := &Server{opt: opt}
	if _, err := s.Refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

// Options are those that it was made with.
func (s *Server) Options() ServerOptions { return s.opt }

// Config returns the settings of the next handshake. They are not to be changed.
func (s *Server) Config() *tls.Config { return s.current.Load().cfg }

// NotAfter tells when the certificate expires.
func (s *Server) NotAfter() time.Time { return s.current.Load().notAfter }

// Files lists what is read.
func (s *Server) Files() []string { return named(s.opt.Cert, s.opt.Key, s.opt.ClientCA) }

// Refresh reads the files again, and reports whether there are new settings. With them begin new keys of session tickets: nobody goes on with a
// session that the old certificates have allowed.
func (s *Server) Refresh() (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	read, err := readAll(s.Files())
	if err != nil || s.read.same(read) {
		return false, err
	}
	cert, err := s.opt.Pair.load(read, s.current.Load() == nil)
	if err != nil {
		return false, err
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: s.opt.MinVersion, DynamicRecordSizingDisabled: true}
	if s.opt.ClientCA != "" {
		if cfg.ClientCAs, err = authorities(s.opt.ClientCA, read); err != nil {
			return false, err
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
		if s.opt.Optional {
			cfg.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	s.read = read
	s.current.Store(&serverState{cfg, cert.Leaf.NotAfter})
	return true, nil
}

// Client is the present settings of who connects.
type Client struct {
	opt  ClientOptions
	mu   sync.Mutex
	read contents

	base     *tls.Config
	notAfter time.Time
	nodes    map[string]*tls.Config // by address: each has its own sessions
}

// mostNodes bounds what is kept of addresses that come and go.
const mostNodes = 4096

// NewClient reads the files.
func NewClient(opt ClientOptions) (*Client, error) {
	c := &Client{opt: opt}
	if _, err := c.Refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// Options are those that it was made with.
func (c *Client) Options() ClientOptions { return c.opt }

// Files lists what is read.
func (c *Client) Files() []string { return named(c.opt.Cert, c.opt.Key, c.opt.CA) }

// NotAfter tells when the certificate expires; the zero time if there is none.
func (c *Client) NotAfter() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notAfter
}

// Config returns the settings of the next handshake with the server at an address. They are not to be changed. A session is resumed with
// the server only that it began with.
func (c *Client) Config(address string) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	cfg := c.nodes[address]
	if cfg == nil {
		cfg = c.base.Clone()
		if cfg.ServerName == "" {
			if host, _, err := net.SplitHostPort(address); err == nil {
				cfg.ServerName = host
			}
		}
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		if len(c.nodes) >= mostNodes {
			clear(c.nodes)
		}
		c.nodes[address] = cfg
	}
	return cfg
}

// Refresh reads the files again, and reports whether there are new settings.
func (c *Client) Refresh() (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	read, err := readAll(c.Files())
	if err != nil || c.base != nil && c.read.same(read) {
		return false, err
	}
	cfg := &tls.Config{
		ServerName: c.opt.ServerName, InsecureSkipVerify: c.opt.InsecureSkipVerify, MinVersion: c.opt.MinVersion,
		DynamicRecordSizingDisabled: true,
	}
	var notAfter time.Time
	if c.opt.Cert != "" {
		cert, err := c.opt.Pair.load(read, c.base == nil)
		if err != nil {
			return false, err
		}
		cfg.Certificates, notAfter = []tls.Certificate{cert}, cert.Leaf.NotAfter
	}
	if c.opt.CA != "" {
		if cfg.RootCAs, err = authorities(c.opt.CA, read); err != nil {
			return false, err
		}
	}
	c.read, c.base, c.notAfter, c.nodes = read, cfg, notAfter, map[string]*tls.Config{}
	return true, nil
}

// contents are of files, by name.
type contents map[string][]byte

func readAll(files []string) (contents, error) {
	all := contents{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return nil, fmt.Errorf("cannot read %s: %w", f, err)
		}
		all[f] = b
	}
	return all, nil
}

func (c contents) same(d contents) bool {
	if c == nil || len(c) != len(d) {
		return false
	}
	for f, b := range c {
		if !bytes.Equal(b, d[f]) {
			return false
		}
	}
	return true
}

// load makes a pair of what was read. One that has expired is no progress over one that has not, but better than nothing: whoever does not look at the date is
// served.
func (p Pair) load(read contents, first bool) (tls.Certificate, error) {
	cert, err := tls.X509KeyPair(read[p.Cert], read[p.Key])
	if err != nil {
		return cert, fmt.Errorf("%s and %s are no pair of certificate and key: %w", p.Cert, p.Key, err)
	}
	if !first && time.Now().After(cert.Leaf.NotAfter) {
		return cert, fmt.Errorf("the certificate in %s has expired at %s", p.Cert, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return cert, nil
}

func authorities(file string, read contents) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read[file]) {
		return nil, fmt.Errorf("%s has no certificate in it", file)
	}
	return pool, nil
}

func named(files ...string) (list []string) {
	for _, f := range files {
		if f != "" {
			list = append(list, f)
		}
	}
	return list
}
