//go:build clients

package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// nodeScript returns a command that runs a script with the libraries of the cache folder, which Node looks for beside it.
func nodeScript(t *testing.T, folder, script string, args ...string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(cache, "node/node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return exec.Command("node", append([]string{filepath.Join(dir, script)}, args...)...)
}

func TestIORedis(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, nodeScript(t, "node", "ioredis.mjs", append([]string{p.host, p.port}, resp...)...))
	})
}

func TestNodeRedis(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, nodeScript(t, "node", "node-redis.mjs", append([]string{p.host, p.port}, resp...)...))
	})
}
