//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// Passwords are nowhere to be seen, whatever is asked and whatever goes wrong, and at the most talkative level the log has neither keys nor values.
// Each of them has its own mark here, so that a leak says where it comes from.
func TestNothingTellsSecretsKeysOrValues(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inFile, inEnv := redistest.Server(t, "--requirepass", "SECRET-file"), redistest.Server(t, "--requirepass", "SECRET-env")
	inline, wrong := redistest.Server(t, "--requirepass", "SECRET-inline"), redistest.Server(t, "--requirepass", "other")
	t.Setenv("RINGWAY_TEST_PASSWORD", "SECRET-env")
	password := write("password", "SECRET-file\n")
	users := write("users.acl", "user default off\nuser app on >SECRET-user ~KEY* +@all\nuser admin on >SECRET-admin ~* &* +@all\n")
	admin, listen, denied := redistest.FreePort(t), redistest.FreePort(t), redistest.FreePort(t)
	text := fmt.Sprintf(`admin: {listen: 127.0.0.1:%d}
log: {level: debug}
pools:
  - name: p
    listen: 127.0.0.1:%d
    users_file: %s
    health_check: {interval: 50ms}
    backends:
      - {name: f, address: %q, password_file: %s}
      - {name: e, address: %q, password_env: RINGWAY_TEST_PASSWORD}
      - {name: i, address: %q, password: SECRET-inline}
      - {name: w, address: %q, password: SECRET-wrong}
  - name: q
    listen: 127.0.0.1:%d
    requirepass: SECRET-require
    sentinel: {addresses: ["127.0.0.1:1"], masters: [m], username: s, password: SECRET-sentinel}
`, admin, listen, users, inFile.Addr(), password, inEnv.Addr(), inline.Addr(), wrong.Addr(), denied)
	config := write("proxy.yml", text)
	r := redistest.Start(t, program, "-c", config)
	told := map[string]string{} // what was said, by whom

	page := func(path string) string {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", admin, path))
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	redistest.WaitFor(t, "the pools", func() bool { return strings.Contains(r.Output(), "pool open") && page("/livez") != "" })
	c := redistest.Dial(t, fmt.Sprintf("127.0.0.1:%d", listen))
	ask := func(c *redistest.Conn, args ...string) {
		reply, err := c.TryDo(args...)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		told[strings.Join(args[:min(2, len(args))], " ")] += reply
	}
	for _, login := range [][]string{{"GET", "KEY-0"}, {"AUTH", "app", "SECRET-guess"}, {"AUTH", "SECRET-guess"}, {"HELLO", "3", "AUTH", "nobody", "SECRET-guess"}, {"AUTH", "app", "SECRET-user"}} {
		ask(c, login...)
	}
	for i := range 40 { // on all four, of which one refuses us
		key := fmt.Sprintf("KEY-%d", i)
		c.Do("SET", key, "VALUE")
		c.Do("LPUSH", key, "VALUE")
		c.Do("GET", key)
	}
	c.Do("GET", "FOREIGN-KEY")
	c.Do("RENAME", "KEY-1", "KEY-2")
	c.Do("EVAL", "return redis.error_reply('VALUE')", "1", "KEY-1")
	c.Do("NOSUCH-KEY", "VALUE")
	c.Do("MULTI")
	c.Do("SET", "KEY-1", "VALUE")
	c.Do("EXEC")
	for range 3000 { // it becomes hot
		c.Send("GET", "KEY-hot")
	}
	c.Flush()
	for range 3000 {
		c.Recv()
	}
	bad := redistest.Dial(t, fmt.Sprintf("127.0.0.1:%d", listen))
	bad.SendRaw("*2\r\n$3\r\nGET\r\n$x KEY VALUE\r\n")
	bad.Flush()
	bad.Recv()
	q := redistest.Dial(t, fmt.Sprintf("127.0.0.1:%d", denied))
	ask(q, "AUTH", "SECRET-guess")
	ask(q, "AUTH", "SECRET-require")
	ask(q, "GET", "KEY-1")

	a := redistest.Dial(t, fmt.Sprintf("127.0.0.1:%d", listen))
	ask(a, "AUTH", "admin", "SECRET-admin")
	for _, line := range []string{"INFO", "CONFIG GET *", "CLIENT LIST", "ACL LOG", "ACL LIST", "ACL GETUSER app", "SLOWLOG GET 128", "RINGWAY CONFIG", "RINGWAY NODES", "RINGWAY RING", "DEBUG OBJECT KEY-1"} {
		ask(a, strings.Fields(line)...)
	}

	// Things go wrong.
	logs := func(what string) {
		t.Helper()
		redistest.WaitFor(t, "the log to have "+what, func() bool { return strings.Contains(r.Output(), what) })
	}
	write("users.acl", "user default off\nuser app on >SECRET-user2 ~KEY* +nosuch\n")
	logs("Unknown command or category name")
	write("users.acl", "user default off\nuser app on #SECRET-digest ~KEY* +@all\n")
	logs("The password hash must be")
	write("users.acl", "user default off\nuser app on >SECRET-user2 ~KEY* +@all\n")
	logs("users reloaded")
	write("password", "SECRET-file-that-is-wrong\n")
	logs(`msg="node refuses health checks" pool=p node=f`)
	lines := len(r.Output())
	write("proxy.yml", strings.Replace(text, "password: SECRET-inline", "password: [SECRET-inline]", 1))
	redistest.WaitFor(t, "the mistake to be told", func() bool { return strings.Contains(r.Output()[lines:], "proxy.yml") })
	write("proxy.yml", strings.Replace(text, "password: SECRET-inline", "password: SECRET-exchanged", 1))
	redistest.WaitFor(t, "the change to be told", func() bool { return strings.Count(r.Output()[lines:], "proxy.yml") > 1 })
	inline.Kill()
	redistest.WaitFor(t, "the loss to be told", func() bool { return strings.Contains(r.Output(), "node down") })

	for _, path := range []string{"/", "/metrics", "/livez", "/readyz", "/api/v1/status", "/hotkeys"} {
		told[path] = page(path)
	}
	other := write("other.yml", strings.Replace(text, "password: SECRET-wrong", "password: SECRET-right", 1))
	for _, args := range [][]string{{"check", "-c", config}, {"check", "-c", other}, {"plan", config, other}, {"route", "-c", config, "key"}} {
		b, _ := exec.Command(program, args...).CombinedOutput()
		told["ringway "+args[0]] += string(b)
	}
	told["the log"] = r.Output()
	for who, what := range told {
		if what == "" {
			t.Errorf("%s says nothing", who)
		}
		for line := range strings.Lines(what) {
			if strings.Contains(line, "SECRET") {
				t.Errorf("%s tells a secret: %s", who, shorten([]byte(line)))
			}
			if (who == "the log" || who == "/metrics") && (strings.Contains(line, "KEY-") || strings.Contains(line, "VALUE")) {
				t.Errorf("%s has a key or a value: %s", who, shorten([]byte(line)))
			}
		}
	}
}
