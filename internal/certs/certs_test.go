package certs

import (
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestClientKnowsEachServerByItsAddress(t *testing.T) {
	a := redistest.NewAuthority(t)
	c, err := NewClient(ClientOptions{CA: a.File})
	if err != nil {
		t.Fatal(err)
	}
	one, two := c.Config("redis-1.example.com:6379"), c.Config("[::1]:6379")
	if one.ServerName != "redis-1.example.com" || two.ServerName != "::1" {
		t.Errorf("the names are %q and %q", one.ServerName, two.ServerName)
	}
	if one.ClientSessionCache == two.ClientSessionCache || c.Config("redis-1.example.com:6379") != one {
		t.Error("a session is not kept for the server that it began with")
	}
	named, err := NewClient(ClientOptions{CA: a.File, ServerName: "redis.internal"})
	if err != nil {
		t.Fatal(err)
	}
	if got := named.Config("10.0.0.1:6379").ServerName; got != "redis.internal" {
		t.Errorf("the name is %q", got)
	}
	for i := range 3 * mostNodes {
		c.Config(strings.Repeat("x", 1+i%50) + ":" + time.Duration(i).String())
	}
	if len(c.nodes) > mostNodes {
		t.Errorf("%d addresses are kept", len(c.nodes))
	}
}

func TestRefresh(t *testing.T) {
	a := redistest.NewAuthority(t)
	pair := a.Issue(redistest.Issue{})
	files := Pair{Cert: pair.Cert, Key: pair.Key}
	s, err := NewServer(ServerOptions{Pair: files})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ClientOptions{Pair: files, CA: a.File})
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(what string, wantChange bool, wantError string) {
		t.Helper()
		for side, f := range map[string]func() (bool, error){"server": s.Refresh, "client": c.Refresh} {
			changed, err := f()
			if changed != wantChange || (err == nil) != (wantError == "") || err != nil && !strings.Contains(err.Error(), wantError) {
				t.Errorf("%s: the %s says %v, %v", what, side, changed, err)
			}
		}
	}
	server, client := s.Config(), c.Config("h:1")
	same := func(what string, want bool) {
		t.Helper()
		if (s.Config() == server) != want || (c.Config("h:1") == client) != want {
			t.Errorf("%s: the settings stay: server %v, client %v", what, s.Config() == server, c.Config("h:1") == client)
		}
	}
	refresh("nothing has changed", false, "")
	same("nothing has changed", true)
	if err := os.WriteFile(pair.Key, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	refresh("a key that is none", false, "are no pair of certificate and key")
	same("a key that is none", true)
	a.Reissue(pair, redistest.Issue{Until: time.Now().Add(-time.Minute)})
	refresh("one that has expired", false, "has expired at")
	same("one that has expired", true)
	if _, err := NewServer(ServerOptions{Pair: files}); err != nil {
		t.Errorf("one that has expired is better than none: %v", err)
	}
	until := time.Now().Add(2 * time.Hour)
	a.Reissue(pair, redistest.Issue{Until: until})
	refresh("another pair", true, "")
	same("another pair", false)
	if s.NotAfter().Unix() != until.Unix() || c.NotAfter().Unix() != until.Unix() {
		t.Errorf("they expire at %v and %v, want %v", s.NotAfter(), c.NotAfter(), until)
	}
}
