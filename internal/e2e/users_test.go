package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

const noPermission = "NOPERM this user has no permissions to "

// withUsersFile runs a router in front of three nodes, whose users are in a file that change writes.
func withUsersFile(t *testing.T, lines ...string) (r *router, change func(lines ...string)) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "users.acl")
	change = func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	change(lines...)
	r = serveWith(t, setup{threads: 2, config: filepath.Join(dir, "proxy.yml")},
		pool{nodes: addresses(servers(t, 3)), options: map[string]string{"users_file": "users.acl"}})
	return r, change
}

// Users log in and are held to their rules, in RESP2 and in RESP3, on every way that requests take; their file is watched, and one with a mistake
// changes nothing.
func TestUsersThroughTheProgram(t *testing.T) {
	r, change := withUsersFile(t,
		"user default off",
		"user app on >hunter2 ~app:* &app:* +@all -@dangerous -@scripting +sort",
		"user reader on >hunter3 %R~* +@read",
		"user admin on >hunter4 +@all ~* &*")
	for _, login := range []string{"AUTH app hunter2", "HELLO 3 AUTH app hunter2"} {
		c := redistest.Dial(t, r.addr())
		wantError(t, c, "NOAUTH ", "GET", "app:1")
		wantError(t, c, "WRONGPASS ", "AUTH", "app", "hunter3")
		c.Do(strings.Fields(login)...)
		want(t, c, "+OK\r\n", "MSET", "app:1", "1", "app:2", "2", "app:3", "3", "app:4", "4")
		want(t, c, "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n4\r\n", "MGET", "app:1", "app:2", "app:4")
		wantError(t, c, noPermission+"access one of the keys", "MGET", "app:1", "foreign", "app:3")
		wantError(t, c, noPermission+"access one of the keys", "GET", "foreign")
		wantError(t, c, noPermission+"access one of the keys", "RENAME", "app:1", "foreign")
		wantError(t, c, noPermission+"run the 'flushall' command", "FLUSHALL")
		wantError(t, c, noPermission+"run the 'eval' command", "EVAL", "return 1", "0")
		wantError(t, c, noPermission+"access one of the keys", "BLPOP", "app:list", "foreign", "0")
		wantError(t, c, noPermission+"access one of the keys", "WATCH", "foreign")
		wantError(t, c, noPermission+"access one of the channels", "SUBSCRIBE", "app:news", "foreign")
		wantError(t, c, noPermission+"access one of the channels", "PUBLISH", "foreign", "m")
		wantError(t, c, "ERR BY option of SORT denied", "SORT", "app:list", "BY", "w_*")
		want(t, c, "+OK\r\n", "MULTI")
		want(t, c, "+QUEUED\r\n", "SET", "app:1", "x")
		wantError(t, c, noPermission+"access one of the keys", "SET", "foreign", "x")
		wantError(t, c, "EXECABORT ", "EXEC")
		want(t, c, "$1\r\n1\r\n", "GET", "app:1")
	}

	app, reader, admin := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
	want(t, app, "+OK\r\n", "AUTH", "app", "hunter2")
	want(t, reader, "+OK\r\n", "AUTH", "reader", "hunter3")
	want(t, admin, "+OK\r\n", "AUTH", "admin", "hunter4")
	wantError(t, reader, noPermission+"run the 'set' command", "SET", "app:1", "2")
	wantError(t, admin, "ERR ACL DELUSER is refused", "ACL", "DELUSER", "app")
	if log := admin.Do("ACL", "LOG", "100"); !strings.Contains(log, "flushall") || !strings.Contains(log, "user=reader") {
		t.Errorf("ACL LOG: %q", log)
	}
	if n := r.metric(t, `ringway_denials_total{pool="pool0",reason="key"}`); n < 12 {
		t.Errorf("%v denials of keys are counted", n)
	}

	change("user default off", "user app on >hunter2 ~app:* +nosuch", "user admin on >hunter4 +@all ~* &*")
	redistest.WaitFor(t, "the mistake to be told", func() bool { return strings.Contains(r.Output(), "Unknown command or category name") })
	want(t, reader, "$1\r\n1\r\n", "GET", "app:1")
	change("user default off", "user app on >hunter2 ~app:* +get", "user admin on >hunter4 +@all ~* &*")
	reader.RecvEOF()
	redistest.WaitFor(t, "the new rules", func() bool { return strings.HasPrefix(app.Do("SET", "app:1", "2"), "-"+noPermission) })
	want(t, app, "$1\r\n1\r\n", "GET", "app:1")
	wantError(t, redistest.Dial(t, r.addr()), "WRONGPASS ", "AUTH", "reader", "hunter3")
	redistest.WaitFor(t, "the reload to be told", func() bool { return strings.Contains(r.Output(), `msg="users reloaded"`) }) // when all is done

	out := r.Output()
	for _, secret := range []string{"hunter", "foreign"} {
		if strings.Contains(out, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for _, event := range []string{`msg="login refused" pool=pool0`, `msg="request denied" pool=pool0`, `msg="users reloaded"`, `msg="clients closed" pool=pool0`} {
		if !strings.Contains(out, event) {
			t.Errorf("the log has no %s", event)
		}
	}
}

// The keys that a script declares are judged. What it does is done by Ringway's connection, and nodes know no other user.
func TestScriptsRunWithRingwaysPermissions(t *testing.T) {
	r, _ := withUsersFile(t, "user default off", "user app on >hunter2 ~app:* +@all")
	c := redistest.Dial(t, r.addr())
	want(t, c, "+OK\r\n", "AUTH", "app", "hunter2")
	wantError(t, c, noPermission+"access one of the keys", "EVAL", "return redis.call('GET', KEYS[1])", "1", "foreign")
	wantError(t, c, noPermission+"access one of the keys", "GET", "foreign")
	want(t, c, "$-1\r\n", "EVAL", "return redis.call('GET', 'other')", "0")
}
