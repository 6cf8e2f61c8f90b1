package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// The example of examples/routes, on free ports: routes, a mirror, and a fault that comes and goes with the file.
func TestRoutesMirrorAndFault(t *testing.T) {
	example, err := os.ReadFile("../../examples/routes/proxy.yml")
	if err != nil {
		t.Fatal(err)
	}
	nodes := servers(t, 4) // sessions, cache, cache, next
	listen, admin := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	replace := []string{"127.0.0.1:6390", listen, "127.0.0.1:9131", admin}
	for i, n := range nodes {
		replace = append(replace, fmt.Sprintf("127.0.0.1:711%d", i+1), n.Addr())
	}
	yml := strings.NewReplacer(replace...).Replace(string(example))
	file := filepath.Join(t.TempDir(), "proxy.yml")
	save := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	save(yml)
	r := &router{Process: redistest.Start(t, program, "-c", file), admin: "http://" + admin}
	redistest.WaitFor(t, "ringway to be ready", func() bool { return !r.Running() || r.ready() })
	if !r.Running() {
		t.Fatalf("ringway ended:\n%s", r.Output())
	}
	c := redistest.Dial(t, listen)
	expect := func(reply string, request ...string) {
		t.Helper()
		if got := c.Do(request...); got != reply {
			t.Errorf("%s: got %q, want %q", request, got, reply)
		}
	}
	expect("+OK\r\n", "MSET", "session:ann", "1", "page:1", "a", "page:2", "b")
	expect("*3\r\n$1\r\n1\r\n$1\r\na\r\n$1\r\nb\r\n", "MGET", "session:ann", "page:1", "page:2")
	expect("*1\r\n$11\r\nsession:ann\r\n", "KEYS", "s*")
	if got := nodes[0].Do("GET", "ann"); got != "$1\r\n1\r\n" {
		t.Errorf("the key at the server of sessions: %q", got)
	}
	redistest.WaitFor(t, "the copy at the mirror", func() bool { return nodes[3].Do("EXISTS", "session:ann", "page:1", "page:2") == ":3\r\n" })

	save(strings.Replace(yml, "# fault: {percent: 20%, delay: 200ms", "fault: {percent: 100%, delay: 1ms", 1))
	redistest.WaitFor(t, "the fault", func() bool { return strings.HasPrefix(c.Do("GET", "page:1"), "-LOADING ") })
	expect("+OK\r\n", "SET", "page:1", "c")
	save(yml)
	redistest.WaitFor(t, "the end of the fault", func() bool { return c.Do("GET", "page:1") == "$1\r\nc\r\n" })

	resp, err := http.Get(r.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	for _, line := range []string{
		`ringway_node_up{node="sessions/sessions-0",pool="app"} 1`, `ringway_node_up{node="cache/cache-1",pool="app"} 1`,
		`ringway_mirrored_total{pool="app"} 2`, `ringway_mirror_dropped_total{pool="app"} 0`, `ringway_mirror_errors_total{pool="app"} 0`,
	} {
		if !strings.Contains(string(all), line+"\n") {
			t.Errorf("the metrics don't have %s", line)
		}
	}
	for _, kind := range []string{"delay", "error"} {
		if line := fmt.Sprintf(`ringway_faults_injected_total{kind=%q,pool="app"} `, kind); strings.Contains(string(all), line+"0\n") {
			t.Errorf("the metrics have %s0", line)
		}
	}
}
