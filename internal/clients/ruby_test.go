//go:build clients

package clients

import (
	"os/exec"
	"testing"
)

func TestRubyRedis(t *testing.T) {
	p := serve(t)
	sweep(t, exec.Command("ruby", "ruby/sweep.rb", p.host, p.port))
}
