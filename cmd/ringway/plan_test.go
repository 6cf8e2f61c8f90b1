package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/config"
)

// run gives what a command line prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := root()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	err := c.Execute()
	return out.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const threeNodes = `pools:
  - name: cache
    listen: 127.0.0.1:6380
    backends: [{name: a, address: "h:1"}, {name: b, address: "h:2"}, {name: c, address: "h:3"}]
`

func TestPlan(t *testing.T) {
	old := file(t, "old.yml", threeNodes)
	next := file(t, "new.yml", strings.Replace(threeNodes, `, {name: c, address: "h:3"}`, "", 1))
	want := old + " -> " + next + `

pool cache
  node c: removed, h:3, weight 1

  FROM  TO  SHARE
  b     a   0.1 %
  c     a   17.4 %
  c     b   17.6 %

  35.1 % of the keys move, counted exactly; the ideal, for even shares, is 33.3 %.
  Reads of 35.1 % of the keys will miss: a cache is cold for them, and data is lost to its clients. migration: warm would bring them along.

A running process can take this by reload.
`
	if got := mustRun(t, "plan", old, next); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := mustRun(t, "plan", old, old); !strings.HasSuffix(got, "\n\nNothing changes.\n") {
		t.Errorf("the same file: %s", got)
	}
}

func TestPlanForAProgram(t *testing.T) {
	old := file(t, "old.yml", threeNodes)
	next := file(t, "new.yml", "threads: 2\n"+strings.Replace(threeNodes, "h:3", "h:4", 1))
	var d config.Diff
	if err := json.Unmarshal([]byte(mustRun(t, "plan", "--json", old, next)), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Restart) != 1 || d.Restart[0] != "threads" || len(d.Pools) != 1 || d.Pools[0].Nodes[0].String() != "node c: address h:3 -> h:4" {
		t.Errorf("got %+v", d)
	}
	if same := mustRun(t, "plan", "--json", old, old); !strings.Contains(same, `"needs_restart": []`) {
		t.Errorf("the same file: %s", same)
	}
}

func TestPlanTellsOfTLSAndPasswords(t *testing.T) {
	const old = "admin: {listen: off}\npools:\n  - name: p\n    listen: 127.0.0.1:1\n    backends: [{name: a, address: h:1, password: hush1}]\n"
	next := strings.NewReplacer("off}", "off, tls: {cert: x, key: y}}", "hush1", "hush2", "    backends", "    backend_tls: on\n    tls: {cert: x, key: y}\n    backends").Replace(old)
	got := mustRun(t, "plan", file(t, "old.yml", old), file(t, "new.yml", next))
	for _, want := range []string{
		"admin.tls: none -> {cert: x, key: y}", "  tls: none -> {cert: x, key: y}", "  backend_tls: none -> on", "node a: password <secret> -> <secret>",
		"a restart is needed for admin.tls.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "hush") {
		t.Errorf("it shows a password:\n%s", got)
	}
}

func TestPlanNeedsTwoFilesThatAreRight(t *testing.T) {
	old := file(t, "old.yml", threeNodes)
	bad := file(t, "bad.yml", "threads: -1\n"+threeNodes)
	if _, err := run(t, "plan", old, bad); err == nil || !strings.Contains(err.Error(), `bad.yml:1: threads "-1"`) {
		t.Errorf("got %v", err)
	}
	if _, err := run(t, "plan", old); err == nil {
		t.Error("one file is enough")
	}
}

func TestRouteFollowsRoutesAndSaysWhatItCannotKnow(t *testing.T) {
	const full = "../../internal/config/testdata/full.yml"
	want := `POOL      KEY           SLOT  NODE     ADDRESS
cache     user:{$$1$$}  -     a: b     unix:///run/redis.sock
true      user:{$$1$$}  -     -        placed on the addresses that dns://all:1 has
watched   user:{$$1$$}  1964  on       named by sentinel
shadow    user:{$$1$$}  8284  -        placed by the cluster's slots
front     user:{$$1$$}  -     null     [::1]:7001, in pool cache
guarded   user:{$$1$$}  1964  g        127.0.0.1:7001
secure    user:{$$1$$}  1964  env      env:1
trusting  user:{$$1$$}  1964  m        named by sentinel
public    user:{$$1$$}  1964  m        named by sentinel
ringed    user:{$$1$$}  -     host:11  host:11
magic     user:{$$1$$}  -     host:12  host:12
`
	if got := mustRun(t, "route", "-c", full, "user:{$$1$$}"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	front := file(t, "front.yml", threeNodes+"  - {name: front, listen: \"127.0.0.1:1\", routes: [{prefix: \"u:\", pool: cache, strip_prefix: true}]}\n")
	want = `POOL   KEY  SLOT  NODE  ADDRESS
front  u:1  9428  b     h:2, in pool cache
front  1    -     -     refused: no route has a prefix of it
`
	if got := mustRun(t, "route", "-c", front, "--pool", "front", "u:1", "1"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := mustRun(t, "route", "-c", front, "--pool", "cache", "1"); !strings.Contains(got, "cache  1    9428  b     h:2\n") {
		t.Errorf("a key without its prefix is elsewhere by itself: %s", got)
	}
}
