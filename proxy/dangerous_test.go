package proxy

import (
	"strings"
	"testing"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

func TestWhoIsOnThisMachine(t *testing.T) {
	for peer, want := range map[string]bool{
		"127.0.0.1:1234": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "unix": true, "": true, "/run/ringway.sock:0": true,
		"10.0.0.1:1234": false, "192.168.1.1:1": false, "[2001:db8::1]:1": false, "[::ffff:10.0.0.1]:1": false, "0.0.0.0:1": false, "[fe80::1%eth0]:1": false,
	} {
		if got := onThisMachine(peer); got != want {
			t.Errorf("%q: %v, want %v", peer, got, want)
		}
	}
}

// fromAfar makes the sessions of the loop those of clients on another machine.
func fromAfar(t *testing.T, srv *Server) {
	t.Helper()
	onLoop(t, srv, func(w *worker) {
		for s := w.sessions; s != nil; s = s.next {
			s.far = true
		}
	})
}

// Commands that concern everybody are for clients on this machine, unless it is said otherwise.
func TestDangerousCommandsAreForLocals(t *testing.T) {
	addresses := nodes(t, 2)
	refused := func(reply string) bool { return strings.HasPrefix(reply, "-NOPERM") }
	for _, c := range []struct {
		name             string
		change           func(p *config.Pool)
		local, far, keys bool // whether FLUSHALL, and KEYS from afar, are refused
		user             string
	}{
		{"by default", func(*config.Pool) {}, false, true, true, ""},
		{"allow", func(p *config.Pool) { p.Dangerous = "allow" }, false, false, false, ""},
		{"deny", func(p *config.Pool) { p.Dangerous = "deny" }, true, true, true, ""},
		{"deny but for one", func(p *config.Pool) { p.Dangerous, p.AllowCommands = "deny", []string{"keys"} }, true, true, false, ""},
		{"local and one for all", func(p *config.Pool) { p.AllowCommands = []string{"keys"} }, false, true, false, ""},
		{"a user whose rules have it", func(p *config.Pool) {
			p.Users = []config.User{{Name: "admin", Passwords: []config.Secret{"x"}, Rules: "~* +@all"}}
		}, false, false, false, "admin"},
		{"a user whose rules do not", func(p *config.Pool) {
			p.Users = []config.User{{Name: "app", Passwords: []config.Secret{"x"}, Rules: "~* +@all -@dangerous"}}
		}, true, true, true, "app"},
		{"the user default, beside others", func(p *config.Pool) {
			p.Users = []config.User{{Name: "app", Passwords: []config.Secret{"x"}, Rules: "~* +@all -@dangerous"}}
		}, false, true, true, ""},
		{"the user default, with rules and a password", func(p *config.Pool) {
			p.Users = []config.User{{Name: acl.DefaultName, Passwords: []config.Secret{"x"}, Rules: "~* +@all"}}
		}, false, false, false, acl.DefaultName},
		{"the user default, whose rules have no FLUSHALL", func(p *config.Pool) {
			p.Users = []config.User{{Name: acl.DefaultName, Passwords: []config.Secret{"x"}, Rules: "~* +@all -flushall -debug"}}
		}, true, true, false, acl.DefaultName},
		{"the user default, with rules and without a password", func(p *config.Pool) {
			p.Users = []config.User{{Name: acl.DefaultName, NoPassword: true, Rules: "~* +@all"}}
		}, false, true, true, ""},
		{"a password for all", func(p *config.Pool) { p.RequirePass = "x" }, false, true, true, acl.DefaultName},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := serve(t, onPool(c.change), addresses...)
			cl := client(t, srv)
			if c.user != "" {
				want(t, "AUTH", cl.Do("AUTH", c.user, "x"), "+OK\r\n")
			}
			if got := cl.Do("FLUSHALL"); refused(got) != c.local {
				t.Errorf("FLUSHALL on this machine: %q", got)
			}
			fromAfar(t, srv)
			before := srv.Stats(0)[0].Denials[metrics.DeniedCommand]
			got := cl.Do("FLUSHALL")
			if refused(got) != c.far {
				t.Errorf("FLUSHALL from afar: %q", got)
			}
			if after := srv.Stats(0)[0].Denials[metrics.DeniedCommand]; c.far != (after == before+1) {
				t.Errorf("%d denials were counted", after-before)
			}
			if got := cl.Do("KEYS", "*"); refused(got) != c.keys {
				t.Errorf("KEYS from afar: %q", got)
			}
			want(t, "SET from afar", cl.Do("SET", "k", "v"), "+OK\r\n")
			want(t, "GET from afar", cl.Do("GET", "k"), redistest.Bulk("v"))
			cl.Do("MULTI")
			if got := cl.Do("DEBUG", "SLEEP", "0"); c.far && !strings.HasPrefix(got, "-") {
				t.Errorf("DEBUG in MULTI from afar: %q", got)
			}
			cl.Do("DISCARD")
			balanced(t, srv)
		})
	}
}

// The list is of commands that there are, and none is on the short way, where nobody looks.
func TestDangerousCommandsAreOffTheShortWay(t *testing.T) {
	for _, name := range dangerous {
		c := command.Named([]byte(name))
		if c == nil {
			t.Errorf("there is no %s", name)
		} else if c.Plan == command.Forward && c.SingleKey {
			t.Errorf("%s is on the short way", name)
		}
	}
}

// A client's certificate says who it is.
func TestUserFromCertificate(t *testing.T) {
	authority := redistest.NewAuthority(t)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(authority.Issue(redistest.Issue{}))
		p.TLS.ClientCA, p.TLS.RequireClientCert, p.TLS.UserFromCert = authority.File, false, "cn"
		p.Users = []config.User{
			{Name: acl.DefaultName, Rules: "off"},
			{Name: "app", Passwords: []config.Secret{"x"}, Rules: "~app:* +@all"},
			{Name: "gone", Passwords: []config.Secret{"x"}, Rules: "off ~* +@all"},
		}
	}), nodes(t, 1)...)
	as := func(name string) *redistest.Conn {
		cfg := authority.Trust(nil)
		if name != "" {
			cfg = authority.Trust(authority.Issue(redistest.Issue{Name: name}))
		}
		return redistest.DialTLS(t, srv.Addr(0), cfg)
	}
	app := as("app")
	want(t, "WHOAMI", app.Do("ACL", "WHOAMI"), redistest.Bulk("app"))
	want(t, "SET of what is allowed", app.Do("SET", "app:1", "v"), "+OK\r\n")
	if got := app.Do("SET", "other", "v"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("SET of what is not: %q", got)
	}
	want(t, "RESET", app.Do("RESET"), "+RESET\r\n")
	want(t, "WHOAMI after RESET", app.Do("ACL", "WHOAMI"), redistest.Bulk("app"))
	for _, name := range []string{"", "nobody", "gone"} {
		if got := as(name).Do("GET", "app:1"); !strings.HasPrefix(got, "-NOAUTH") {
			t.Errorf("a certificate of %q: %q", name, got)
		}
	}
	redistest.WaitFor(t, "the log to tell", func() bool { return log.has("certificate names no user", "name=nobody") })
	if log.has("name=app") {
		t.Error("a certificate that names a user is told")
	}

	// Another list of users: who is not in it any more is closed.
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Users = p.Users[:1] }))
	if reply, err := app.TryDo("GET", "app:1"); err == nil {
		t.Errorf("a client whose user is gone: %q", reply)
	}
}
