//go:build clients

package clients

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// goSweep builds the sweep of the Go clients, which is a module of its own.
func goSweep(t *testing.T) string {
	t.Helper()
	path := filepath.Join(scratch, "gosweep")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Dir = absolute(t, "go")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the sweep: %v\n%s", err, out)
	}
	return path
}

// goVersions runs the sweep of a client, in front of pools that have the lines.
func goVersions(t *testing.T, client string, lines ...string) {
	program := goSweep(t)
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, exec.Command(program, append([]string{client, p.addr()}, resp...)...))
	}, lines...)
}

func TestGoRedis(t *testing.T)        { goVersions(t, "goredis") }
func TestGoRedisCluster(t *testing.T) { goVersions(t, "goredis-cluster", clusterMode) }
func TestRueidis(t *testing.T)        { goVersions(t, "rueidis") }
func TestRueidisCluster(t *testing.T) { goVersions(t, "rueidis-cluster", clusterMode) }

func TestRedigo(t *testing.T) {
	sweep(t, exec.Command(goSweep(t), "redigo", serve(t).addr()))
}
