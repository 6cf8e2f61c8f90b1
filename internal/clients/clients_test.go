//go:build clients

package clients

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// checks are what every sweep must report; it may add more.
var checks = []string{
	"strings", "hashes", "lists", "sets", "sorted-sets", "streams", "hyperloglog", "geo", "bits", "scan", "pipeline",
	"transaction", "watch", "scripts", "blocking", "pubsub", "patterns", "big-value", "binary-keys", "mget",
}

var (
	program string // the ringway under test
	cache   string // where install.sh put the libraries
	scratch string // programs built here, removed at the end
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "ringway-clients-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	if cache = os.Getenv("RINGWAY_CLIENTS_DIR"); cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		cache = filepath.Join(dir, "ringway-clients")
	}
	if program = os.Getenv("RINGWAY_BIN"); program == "" {
		program = filepath.Join(scratch, "ringway")
		if out, err := exec.Command("go", "build", "-o", program, "ringway/cmd/ringway").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build ringway: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// pool is a running Ringway in front of three servers.
type pool struct {
	host, port string
	nodes      []*redistest.Redis
	process    *redistest.Process
}

func (p *pool) addr() string { return p.host + ":" + p.port }

// serve starts three servers and a Ringway with the shortest configuration that serves them, and further lines of the pool. All end
// with the test.
func serve(t *testing.T, lines ...string) *pool {
	t.Helper()
	return serveBy(t, redistest.Connect, lines...)
}

// serveBy is serve with the way in which the test itself connects.
func serveBy(t *testing.T, connect func(addr string) (*redistest.Conn, error), lines ...string) *pool {
	t.Helper()
	p := &pool{host: "127.0.0.1", port: strconv.Itoa(redistest.FreePort(t))}
	var b strings.Builder
	fmt.Fprintf(&b, "pools:\n  - name: matrix\n    listen: %s\n    backends:\n", p.addr())
	for i := range 3 {
		p.nodes = append(p.nodes, redistest.Server(t))
		fmt.Fprintf(&b, "      - {name: n%d, address: %q}\n", i, p.nodes[i].Addr())
	}
	for _, line := range lines {
		b.WriteString("    " + line + "\n")
	}
	b.WriteString("admin:\n  listen: off\n")
	config := filepath.Join(t.TempDir(), "proxy.yml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.process = redistest.Start(t, program, "-c", config)
	redistest.WaitFor(t, "ringway to answer", func() bool {
		c, err := connect(p.addr())
		if err != nil {
			return false
		}
		defer c.Close()
		reply, err := c.TryDo("PING")
		return err == nil && reply == "+PONG\r\n"
	})
	return p
}

// sweep runs a sweep program and makes a subtest of each check that it reports.
func sweep(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	start := time.Now()
	out, errors, err := output(cmd)
	reported := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		line := lines.Text()
		if name, ok := strings.CutPrefix(line, "ok "); ok {
			reported[name] = true
			t.Run(name, func(*testing.T) {})
		} else if rest, ok := strings.CutPrefix(line, "FAIL "); ok {
			name, reason, _ := strings.Cut(rest, ": ")
			reported[name] = true
			t.Run(name, func(t *testing.T) { t.Error(reason) })
		} else {
			t.Logf("%s", line)
		}
	}
	for _, name := range checks {
		if !reported[name] {
			t.Errorf("%s was not checked", name)
		}
	}
	if err != nil {
		t.Errorf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	if t.Failed() {
		t.Logf("standard error:\n%s", tail(errors, 6000))
	}
	t.Logf("%d checks in %v", len(reported), time.Since(start).Round(time.Millisecond))
}

// output runs a command to its end, for five minutes at most.
func output(cmd *exec.Cmd) (out, errors []byte, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("%w; was `make test-clients` run on this machine?", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	err = cmd.Wait()
	return stdout.Bytes(), stderr.Bytes(), err
}

func tail(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}

// absolute returns the absolute path of a file of this package.
func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// versions runs a sweep on default options, in RESP2 and in RESP3, each in front of servers of its own. The lines are the pool's.
func versions(t *testing.T, f func(t *testing.T, p *pool, resp ...string), lines ...string) {
	t.Run("default", func(t *testing.T) { f(t, serve(t, lines...)) })
	t.Run("RESP2", func(t *testing.T) { f(t, serve(t, lines...), "2") })
	t.Run("RESP3", func(t *testing.T) { f(t, serve(t, lines...), "3") })
}

// clusterMode is the line of a pool that serves clients in cluster mode.
const clusterMode = "cluster_mode: true"
