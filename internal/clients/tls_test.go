//go:build clients

package clients

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// overTLS runs a sweep in front of a pool that speaks TLS only. The sweep is told by RINGWAY_TLS_CA whom to believe.
func overTLS(t *testing.T, command func(p *pool) *exec.Cmd) {
	t.Helper()
	a := redistest.NewAuthority(t)
	p := serveTLS(t, a)
	cmd := command(p)
	cmd.Env = append(os.Environ(), "RINGWAY_TLS_CA="+a.File)
	sweep(t, cmd)
}

func serveTLS(t *testing.T, a *redistest.Authority, lines ...string) *pool {
	t.Helper()
	c := a.Issue(redistest.Issue{})
	return serveBy(t, func(addr string) (*redistest.Conn, error) { return redistest.ConnectTLS(addr, a.Trust(c)) },
		append(lines, fmt.Sprintf("tls: {cert: %s, key: %s}", c.Cert, c.Key))...)
}

func TestGoRedisTLS(t *testing.T) {
	program := goSweep(t)
	overTLS(t, func(p *pool) *exec.Cmd { return exec.Command(program, "goredis", p.addr()) })
}

func TestRedisPyTLS(t *testing.T) {
	overTLS(t, func(p *pool) *exec.Cmd { return python("python/sweep_redispy.py", p.host, p.port) })
}

func TestIORedisTLS(t *testing.T) {
	overTLS(t, func(p *pool) *exec.Cmd { return nodeScript(t, "node", "ioredis.mjs", p.host, p.port) })
}

func TestLettuceTLS(t *testing.T) {
	classes := compile(t, "java")
	overTLS(t, func(p *pool) *exec.Cmd { return java(classes, "LettuceSweep", p.host, p.port) })
}

// OpenSSL's side, with certificates both ways.
func TestRedisToolsTLS(t *testing.T) {
	a := redistest.NewAuthority(t)
	own, client := a.Issue(redistest.Issue{}), a.Issue(redistest.Issue{})
	p := serveBy(t, func(addr string) (*redistest.Conn, error) { return redistest.ConnectTLS(addr, a.Trust(client)) },
		fmt.Sprintf("tls: {cert: %s, key: %s, client_ca: %s}", own.Cert, own.Key, a.File))
	options := []string{"--tls", "--cacert", a.File, "--cert", client.Cert, "--key", client.Key}
	cmd := cli(p, options...)
	cmd.Stdin = strings.NewReader("SET a 1\nINCR a\nMGET a none\n")
	if got, want := say(t, cmd), "OK\n2\n2\n\n"; got != want {
		t.Errorf("redis-cli says %q, want %q", got, want)
	}
	for _, pipeline := range []string{"1", "100"} {
		out, errors, err := output(exec.Command("redis-benchmark", append(options, "-h", p.host, "-p", p.port, "-q", "-t", "set,get,mset",
			"-n", "20000", "-P", pipeline, "-d", "1000", "-r", "1000")...))
		if err != nil || strings.Count(string(out), "requests per second") != 3 {
			t.Errorf("redis-benchmark -P %s: %v\n%s\n%s", pipeline, err, tail(out, 500), tail(errors, 500))
		}
	}
}
