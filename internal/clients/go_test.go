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

func TestGoRedis(t *testing.T) {
	program := goSweep(t)
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, exec.Command(program, append([]string{"goredis", p.addr()}, resp...)...))
	})
}

func TestRueidis(t *testing.T) {
	program := goSweep(t)
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, exec.Command(program, append([]string{"rueidis", p.addr()}, resp...)...))
	})
}

func TestRedigo(t *testing.T) {
	sweep(t, exec.Command(goSweep(t), "redigo", serve(t).addr()))
}
