package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ringway/internal/certs"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/pool/discover"
)

// keyring is what a configuration has in files and in the environment: certificates, and passwords. It does not change, but the settings that are made of
// certificates do, by themselves.
type keyring struct {
	dir       string // that names of files are relative to
	servers   map[certs.ServerOptions]*certs.Server
	clients   map[certs.ClientOptions]*certs.Client
	passwords map[config.Identity]string
	uses      []use
}

// use is one place in the configuration that has a certificate, for metrics.
type use struct {
	pool, side string
	notAfter   func() time.Time
}

// openKeyring reads what a configuration needs. What an older one has already is refreshed and taken over, so that sessions of TLS go on.
func openKeyring(cfg *config.Config, old *keyring) (*keyring, error) {
	k := &keyring{
		dir: filepath.Dir(cfg.File), servers: map[certs.ServerOptions]*certs.Server{}, clients: map[certs.ClientOptions]*certs.Client{},
		passwords: map[config.Identity]string{},
	}
	if old == nil {
		old = &keyring{}
	}
	at := func(line int, where string, err error) error {
		return fmt.Errorf("%s:%d: %s%w", cfg.File, line, where, err)
	}
	if t := cfg.Admin.TLS; t != nil {
		if err := k.addServer(t, old, "", "admin"); err != nil {
			return nil, at(t.Line, "admin: tls: ", err)
		}
	}
	for i := range cfg.Pools {
		p := &cfg.Pools[i]
		in := fmt.Sprintf("pool %q: ", p.Name)
		if t := p.TLS; t != nil {
			if err := k.addServer(t, old, p.Name, "clients"); err != nil {
				return nil, at(t.Line, in+"tls: ", err)
			}
		}
		if t := p.BackendTLS; t != nil {
			if err := k.addClient(t, old, p.Name); err != nil {
				return nil, at(t.Line, in+"backend_tls: ", err)
			}
		}
		if err := k.addPassword(p.Identity); err != nil {
			return nil, at(p.Line, in, err)
		}
		if s := p.Sentinel; s != nil {
			if err := k.addPassword(s.Identity); err != nil {
				return nil, at(s.Line, in+"sentinel: ", err)
			}
		}
		for _, b := range p.Backends {
			if err := k.addPassword(b.Identity); err != nil {
				return nil, at(b.Line, in+fmt.Sprintf("backend %q: ", b.Name), err)
			}
		}
	}
	return k, nil
}

func (k *keyring) addServer(t *config.ServerTLS, old *keyring, of, side string) (err error) {
	opt := k.serverOptions(t)
	s := k.servers[opt]
	if s == nil {
		if s = old.servers[opt]; s != nil {
			_, err = s.Refresh()
		} else {
			s, err = certs.NewServer(opt)
		}
		k.servers[opt] = s
	}
	if err == nil {
		k.uses = append(k.uses, use{of, side, s.NotAfter})
	}
	return err
}

func (k *keyring) addClient(t *config.ClientTLS, old *keyring, of string) (err error) {
	opt := k.clientOptions(t)
	c := k.clients[opt]
	if c == nil {
		if c = old.clients[opt]; c != nil {
			_, err = c.Refresh()
		} else {
			c, err = certs.NewClient(opt)
		}
		k.clients[opt] = c
	}
	if err == nil && opt.Cert != "" {
		k.uses = append(k.uses, use{of, "backends", c.NotAfter})
	}
	return err
}

func (k *keyring) serverOptions(t *config.ServerTLS) certs.ServerOptions {
	return certs.ServerOptions{
		Pair: certs.Pair{Cert: k.file(t.Cert), Key: k.file(t.Key)}, ClientCA: k.file(t.ClientCA),
		Optional: !t.RequireClientCert, MinVersion: versionOf(t.MinVersion),
	}
}

func (k *keyring) clientOptions(t *config.ClientTLS) certs.ClientOptions {
	return certs.ClientOptions{
		Pair: certs.Pair{Cert: k.file(t.Cert), Key: k.file(t.Key)}, CA: k.file(t.CA), ServerName: t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, MinVersion: versionOf(t.MinVersion),
	}
}

func versionOf(text string) uint16 {
	if text == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// file is where a file of the configuration is: beside it, unless it says more.
func (k *keyring) file(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(k.dir, name)
}

func (k *keyring) addPassword(id config.Identity) error {
	switch {
	case id.PasswordEnv != "":
		text := os.Getenv(id.PasswordEnv)
		if text == "" {
			return fmt.Errorf("password_env: the environment has no %s, or an empty one", id.PasswordEnv)
		}
		k.passwords[id] = text
	case id.PasswordFile != "":
		text, err := readPassword(k.file(id.PasswordFile))
		if err != nil {
			return fmt.Errorf("password_file: %w", err)
		}
		k.passwords[id] = text
	default:
		k.passwords[id] = id.Password.Reveal()
	}
	return nil
}

// readPassword reads the first line.
func readPassword(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return "", fmt.Errorf("cannot read %s: %w", file, err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return "", fmt.Errorf("the first line of %s is empty", file)
	}
	return string(line), nil
}

// server, client and password give what was opened for a part of the configuration.
func (k *keyring) server(t *config.ServerTLS) *certs.Server {
	if t == nil {
		return nil
	}
	return k.servers[k.serverOptions(t)]
}

func (k *keyring) client(t *config.ClientTLS) *certs.Client {
	if t == nil {
		return nil
	}
	return k.clients[k.clientOptions(t)]
}

func (k *keyring) password(id config.Identity) string { return k.passwords[id] }

// files lists all that were read.
func (k *keyring) files() (list []string) {
	for _, s := range k.servers {
		list = append(list, s.Files()...)
	}
	for _, c := range k.clients {
		list = append(list, c.Files()...)
	}
	for id := range k.passwords {
		if id.PasswordFile != "" {
			list = append(list, k.file(id.PasswordFile))
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// AdminTLS gives the settings of the admin address for the next handshake; nil: plain.
func (srv *Server) AdminTLS() func() *tls.Config {
	last := srv.keys.Load().server(srv.Config().Admin.TLS)
	if last == nil {
		return nil
	}
	var mu sync.Mutex
	return func() *tls.Config {
		mu.Lock()
		defer mu.Unlock()
		if s := srv.keys.Load().server(srv.Config().Admin.TLS); s != nil { // or it is to be switched off, which takes a restart
			last = s
		}
		return last.Config()
	}
}

// rereadKeys is RereadFiles for certificates, keys, authorities and passwords.
func (srv *Server) rereadKeys() {
	srv.reloading.Lock()
	k := srv.keys.Load()
	whole := true
	refresh := func(files []string, f func() (bool, error)) {
		changed, err := f()
		switch {
		case err != nil:
			whole = false
			srv.log.Error("cannot take over changed certificates; those before stay", "files", strings.Join(files, " "), "error", err)
		case changed:
			srv.log.Info("certificates reloaded", "files", strings.Join(files, " "))
		}
	}
	for _, s := range k.servers {
		refresh(s.Files(), s.Refresh)
	}
	for _, c := range k.clients {
		refresh(c.Files(), c.Refresh)
	}
	passwords := false
	for id, text := range k.passwords {
		if id.PasswordFile == "" {
			continue
		}
		now, err := readPassword(k.file(id.PasswordFile))
		if err != nil {
			whole = false
			srv.log.Error("cannot take over a changed password; the one before stays", "error", err)
		}
		passwords = passwords || err == nil && now != text
	}
	srv.keysOld.Store(!whole)
	srv.reloading.Unlock()
	if !passwords {
		return
	}
	if err := srv.Reload(srv.Config()); err != nil {
		srv.log.Error("cannot take over a changed password; the one before stays", "error", err)
		srv.keysOld.Store(true)
		return
	}
	srv.log.Info("passwords reloaded")
}

// Certificates tells when certificates expire, and whether those in use are those in the files.
func (srv *Server) Certificates() (list []metrics.Certificate, inUse bool) {
	for _, u := range srv.keys.Load().uses {
		list = append(list, metrics.Certificate{Pool: u.pool, Side: u.side, NotAfter: u.notAfter()})
	}
	return list, !srv.keysOld.Load()
}

// asking is how the pool's own questions reach its servers: with the credentials and TLS settings of the present configuration, whichever it is by then.
func (d *director) asking() discover.Options {
	return discover.Options{
		Pool: d.pool.cfg.Name, Log: d.log,
		As: func(address string) (username, password string) {
			opt := d.settings.Load().optionsAt(address)
			return opt.Username, opt.Password
		},
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return d.settings.Load().opt.Dial(ctx, address)
		},
	}
}

// asking is that for who reads the configuration and runs no pool.
func (k *keyring) asking(p *config.Pool) discover.Options {
	sp := &sharedPool{cfg: p, opt: &pool.Options{Username: p.Username, Password: k.password(p.Identity), TLS: k.client(p.BackendTLS)}}
	sp.replicaOpt = sp.opt
	sp.identify(k)
	return discover.Options{
		Pool: p.Name, Log: slog.New(slog.DiscardHandler), Timeout: 2 * time.Second,
		As: func(address string) (username, password string) {
			opt := sp.optionsAt(address)
			return opt.Username, opt.Password
		},
		Dial: sp.opt.Dial,
	}
}
