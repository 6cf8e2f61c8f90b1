package e2e

import (
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// Profiles are served when the file asks for them, and not otherwise.
func TestPprof(t *testing.T) {
	p := pool{name: "main", nodes: addresses(servers(t, 1))}
	r := serve(t, p)
	get := func() (int, string) {
		t.Helper()
		resp, err := http.Get(r.admin + "/debug/pprof/goroutine?debug=1")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := get(); code != http.StatusNotFound {
		t.Errorf("without pprof: %d %q", code, body)
	}
	text, err := os.ReadFile(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.config, []byte(strings.Replace(string(text), "admin:\n", "admin:\n  pprof: true\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Signal(syscall.SIGTERM)
	<-r.Exited()
	r.Process = redistest.Start(t, program, "--config", r.config)
	redistest.WaitFor(t, "it to be ready", func() bool { return !r.Running() || r.ready() })
	if code, body := get(); code != http.StatusOK || !strings.HasPrefix(body, "goroutine profile:") {
		t.Errorf("with pprof: %d %q", code, body)
	}
}
