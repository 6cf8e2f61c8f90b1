//go:build clients

package clients

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// cli returns a redis-cli, which is a client on hiredis, for the pool.
func cli(p *pool, args ...string) *exec.Cmd {
	return exec.Command("redis-cli", append([]string{"-h", p.host, "-p", p.port}, args...)...)
}

// say runs a tool of Redis to its end and returns what it printed. A warning or an error is a failure.
func say(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, errors, err := output(cmd)
	if err != nil {
		t.Errorf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	for line := range strings.Lines(string(out) + "\n" + string(errors)) {
		if worrying.MatchString(line) {
			t.Errorf("%s: %s", strings.Join(cmd.Args, " "), line)
		}
	}
	return string(out)
}

var worrying = regexp.MustCompile(`(?i)\b(warning|error|ERR)\b[^s]`)

func TestRedisCLI(t *testing.T) {
	p := serve(t)
	for _, resp := range []string{"-2", "-3"} {
		t.Run(resp, func(t *testing.T) {
			for _, c := range []struct{ commands, want string }{
				{"SET greeting \"hello world\"\nGET greeting\n", "OK\nhello world\n"},
				{"MSET a 1 b 2 c 3\nMGET a none c\nDEL a b c\n", "OK\n1\n\n3\n3\n"},
				{"HSET h f v\nHGET h f\nDEL h\n", "1\nv\n1\n"},
				{"MULTI\nSET {tx}a 1\nINCR {tx}a\nEXEC\n", "OK\nQUEUED\nQUEUED\nOK\n2\n"},
				{"EVAL \"return {KEYS[1],ARGV[1]}\" 1 k v\n", "k\nv\n"},
				{"BLPOP none 0.1\nPING\n", "\nPONG\n"},
				{"SELECT 1\nSET only1 x\nSELECT 0\nEXISTS only1\n", "OK\nOK\nOK\n0\n"},
			} {
				cmd := cli(p, resp)
				cmd.Stdin = strings.NewReader(c.commands)
				if got := say(t, cmd); got != c.want {
					t.Errorf("%q printed %q, want %q", c.commands, got, c.want)
				}
			}
		})
	}
	t.Run("--pipe", func(t *testing.T) {
		var in []byte
		for i := range 20000 {
			in = redistest.AppendCommand(in, "SET", "pipe:"+strconv.Itoa(i), "x")
		}
		cmd := cli(p, "--pipe")
		cmd.Stdin = strings.NewReader(string(in))
		if got := say(t, cmd); !strings.Contains(got, "errors: 0, replies: 20000") {
			t.Errorf("printed %q", got)
		}
	})
	t.Run("--scan", func(t *testing.T) {
		seen := map[string]bool{}
		for line := range strings.Lines(say(t, cli(p, "--scan", "--pattern", "pipe:*"))) {
			seen[line] = true
		}
		if len(seen) != 20000 {
			t.Errorf("found %d keys, want 20000", len(seen))
		}
	})
	for _, way := range []string{"--bigkeys", "--memkeys"} {
		t.Run(way, func(t *testing.T) {
			if got := say(t, cli(p, way)); !regexp.MustCompile(`Sampled \d{5} keys`).MatchString(got) {
				t.Errorf("printed %q", got)
			}
		})
	}
	t.Run("--hotkeys", func(t *testing.T) {
		for _, n := range p.nodes { // which counts uses only so
			if got := redistest.Dial(t, n.Addr()).Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"); got != "+OK\r\n" {
				t.Fatal(got)
			}
		}
		c := redistest.Dial(t, p.addr())
		for range 5000 {
			c.Send("GET", "pipe:7")
		}
		c.Flush()
		for range 5000 {
			c.Recv()
		}
		if got := say(t, cli(p, "--hotkeys")); !regexp.MustCompile(`hot key found with counter: \d+\s+keyname: "?pipe:7"?\n`).MatchString(got) {
			t.Errorf("printed %q", got)
		}
	})
	t.Run("--eval", func(t *testing.T) {
		if got := say(t, cli(p, "--eval", "testdata/add.lua", "counter", ",", "5")); got != "5\n" {
			t.Errorf("printed %q", got)
		}
	})
	t.Run("--latency", func(t *testing.T) {
		// It measures without end; with --raw or a pipe as output it prints one line and leaves after the interval.
		fields := strings.Fields(say(t, cli(p, "--latency", "--raw", "-i", "1")))
		if len(fields) != 4 {
			t.Errorf("printed %q, want minimum, maximum, average and number", fields)
		}
	})
	t.Run("-r -i", func(t *testing.T) {
		if got := say(t, cli(p, "-r", "3", "-i", "0.01", "PING")); got != "PONG\nPONG\nPONG\n" {
			t.Errorf("printed %q", got)
		}
	})
}

func TestRedisBenchmark(t *testing.T) {
	benchmark(t, serve(t), "", "-P 16", "-3", "-P 16 -3 -r 1000 -d 100", "-c 200", "--threads 2 -t set,get")
}

func TestToolsInClusterMode(t *testing.T) {
	p := serve(t, clusterMode)
	benchmark(t, p, "-t set,get,mset")
	cmd := cli(p, "-c")
	cmd.Stdin = strings.NewReader("SET a 1\nSET b 2\nGET a\nDEL a b\n")
	if got := say(t, cmd); got != "OK\nOK\n1\n2\n" {
		t.Errorf("redis-cli -c printed %q", got)
	}
}

// benchmark runs redis-benchmark with each of the options.
func benchmark(t *testing.T, p *pool, options ...string) {
	for _, args := range options {
		t.Run(fmt.Sprintf("options %q", args), func(t *testing.T) {
			cmd := exec.Command("redis-benchmark", append([]string{"-h", p.host, "-p", p.port, "-n", "2000", "--csv"}, strings.Fields(args)...)...)
			lines := strings.Count(say(t, cmd), "\n")
			if lines < 3 {
				t.Errorf("printed %d lines", lines)
			}
		})
	}
}
