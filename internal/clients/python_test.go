//go:build clients

package clients

import (
	"os/exec"
	"path/filepath"
	"testing"
)

func python(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(cache, "python/bin/python"), args...)
}

func TestRedisPy(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, python(append([]string{"python/sweep_redispy.py", p.host, p.port}, resp...)...))
	})
}

func TestRedisPyCluster(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, python(append([]string{"python/sweep_redispy.py", p.host, p.port, "cluster"}, resp...)...))
	}, clusterMode)
}

func TestRedisPyAsyncio(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, python(append([]string{"python/sweep_asyncio.py", p.host, p.port}, resp...)...))
	})
}

func TestValkeyGlide(t *testing.T) {
	versions(t, func(t *testing.T, p *pool, resp ...string) {
		sweep(t, python(append([]string{"python/sweep_glide.py", p.host, p.port}, resp...)...))
	})
}
