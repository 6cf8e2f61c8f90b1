//go:build clients

package clients

import (
	"os/exec"
	"testing"
)

func TestPhpRedis(t *testing.T) {
	p := serve(t)
	sweep(t, exec.Command("php", "php/sweep.php", p.host, p.port))
}

func TestPhpRedisCluster(t *testing.T) {
	p := serve(t, clusterMode)
	sweep(t, exec.Command("php", "php/sweep.php", p.host, p.port, "cluster"))
}
