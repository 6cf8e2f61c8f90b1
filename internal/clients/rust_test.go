//go:build clients

package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// cargo builds the Rust programs of a folder offline, with what is in the cache folder, and returns the path of one.
func cargo(t *testing.T, folder, name string) string {
	t.Helper()
	target := filepath.Join(cache, "rust")
	build := exec.Command("cargo", "build", "--bins", "--examples", "--locked", "--offline", "--quiet")
	build.Dir = absolute(t, folder)
	build.Env = append(os.Environ(), "CARGO_TARGET_DIR="+target)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", folder, err, out)
	}
	return filepath.Join(target, "debug", name)
}

func TestRedisRs(t *testing.T) {
	program := cargo(t, "rust", "sweep")
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, exec.Command(program, append([]string{p.addr()}, resp...)...))
	})
}
