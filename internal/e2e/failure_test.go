//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// fast fails the test if f takes longer than a second: what fails, fails at once.
func fast(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > time.Second {
		t.Errorf("%s took %v", what, took)
	}
}

func TestNodeThatIsDown(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "5s"}})
	on, off := keysOf(t, r.addr(), nodes, 1, 30)
	c := redistest.Dial(t, r.addr())
	nodes[1].Kill()

	for i := range on {
		fast(t, "a request for a node that is down", func() {
			got := c.Do("GET", on[i])
			if got[0] != '-' || !strings.Contains(got, "n1") {
				t.Errorf("GET of a key of the dead node: %q, want an error that names n1", got)
			}
		})
		if got := c.Do("SET", off[i], off[i]); got != "+OK\r\n" {
			t.Errorf("SET of another node's key: %q", got)
		}
	}
	t.Run("fails a split command that needs it, and no other", func(t *testing.T) {
		for _, args := range [][]string{{"MGET", off[0], on[0]}, {"DEL", on[1], off[1]}, {"MSET", off[2], "x", on[2], "x"}, {"EXISTS", on[0]}} {
			if got := c.Do(args...); got[0] != '-' || !strings.Contains(got, "n1") {
				t.Errorf("%s: %q, want an error that names n1", strings.Join(args, " "), got)
			}
		}
		if got := c.Do("MGET", off[4], off[5]); got != "*2\r\n"+redistest.Bulk(off[4])+redistest.Bulk(off[5]) {
			t.Errorf("MGET of healthy nodes' keys: %q", got)
		}
	})
	t.Run("is answered in order with the others", func(t *testing.T) {
		for i := range on {
			c.Send("GET", off[i])
			c.Send("GET", on[i])
		}
		c.Flush()
		for i := range on {
			if i == 1 || i == 2 {
				c.Recv() // those two the split commands may have changed
			} else if got := c.Recv(); got != redistest.Bulk(off[i]) {
				t.Errorf("GET %s: %q", off[i], got)
			}
			if got := c.Recv(); got[0] != '-' {
				t.Errorf("GET %s: %q", on[i], got)
			}
		}
	})
	t.Run("does not keep the router busy", func(t *testing.T) { idleCPU(t, r.Pid(), "with a node down") })
	t.Run("is used again when it is back", func(t *testing.T) {
		nodes[1].Restart()
		start := time.Now()
		redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("SET", on[0], "x") == "+OK\r\n" })
		t.Logf("used again %v after it was up", time.Since(start).Round(time.Millisecond))
	})
}

func TestAllNodesDown(t *testing.T) {
	nodes := servers(t, 2)
	r := serve(t, pool{nodes: addresses(nodes)})
	for _, n := range nodes {
		n.Kill()
	}
	c := redistest.Dial(t, r.addr())
	for i := range 100 {
		c.Send("GET", fmt.Sprintf("k%d", i))
		c.Send("MGET", "a", "b", "c", "d")
		c.Send("PING")
	}
	c.Flush()
	for range 100 {
		if got := c.Recv(); got[0] != '-' {
			t.Fatalf("GET: %q", got)
		}
		if got := c.Recv(); got[0] != '-' {
			t.Fatalf("MGET: %q", got)
		}
		if got := c.Recv(); got != "+PONG\r\n" {
			t.Fatalf("PING: %q", got)
		}
	}
}

// A node that hangs times out its own requests; what it says later nobody hears.
func TestNodeThatHangs(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "300ms", "connect_timeout": "300ms"}})
	on, off := keysOf(t, r.addr(), nodes, 1, 40)
	c := redistest.Dial(t, r.addr())
	for _, k := range slices.Concat(on, off) {
		c.Do("SET", k, "first "+k)
	}
	nodes[1].Stop()
	defer nodes[1].Cont()
	others := redistest.Dial(t, r.addr())
	for i := range on {
		c.Send("GET", on[i])
		c.Send("GET", off[i])
	}
	start := time.Now()
	c.Flush()
	for i := range off {
		fast(t, "another client's request meanwhile", func() {
			if got := others.Do("GET", off[i]); got != redistest.Bulk("first "+off[i]) {
				t.Errorf("another client's GET %s: %q", off[i], got)
			}
		})
	}
	for i := range on {
		if got := c.Recv(); got[0] != '-' || !strings.Contains(got, "n1") {
			t.Errorf("GET %s of the hanging node: %q, want an error that names n1", on[i], got)
		}
		if got := c.Recv(); got != redistest.Bulk("first "+off[i]) {
			t.Errorf("GET %s: %q", off[i], got)
		}
	}
	took := time.Since(start)
	t.Logf("timed out after %v", took.Round(time.Millisecond))
	if took < 250*time.Millisecond || took > 3*time.Second {
		t.Errorf("timeout: 300ms, but the errors came after %v", took)
	}

	nodes[1].Cont()
	redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("SET", on[0], "second "+on[0]) == "+OK\r\n" })
	for range 20 {
		for _, k := range on[1:] {
			c.Send("GET", k)
			c.Send("ECHO", k)
		}
		c.Flush()
		for _, k := range on[1:] {
			if got := c.Recv(); got != redistest.Bulk("first "+k) {
				t.Fatalf("GET %s after the node went on: %q", k, got)
			}
			if got := c.Recv(); got != redistest.Bulk(k) {
				t.Fatalf("ECHO %s: %q", k, got)
			}
		}
	}
}

// scripted is for nodes that play to a script: they expect the client's requests once each, and nothing else.
var scripted = map[string]string{"timeout": "2s", "read_retry": "0%", "health_check": "off"}

// A node that answers rubbish, or in part, or too much: the request fails, nobody gets another's reply.
func TestNodeThatMisbehaves(t *testing.T) {
	for name, answer := range map[string]string{
		"rubbish":         "hello, who are you?\r\n",
		"half a reply":    "$10\r\nabc",
		"a wrong length":  "$3\r\nabcdef\r\n",
		"nothing":         "",
		"a streamed type": "$?\r\n;3\r\nabc\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			node := redistest.Node(t, redistest.Expect("GET a"), redistest.Reply(answer), redistest.Close(),
				redistest.Expect("GET b"), redistest.Reply("$1\r\nb\r\n"))
			r := serve(t, pool{nodes: []string{node.Addr()}, options: scripted})
			c := redistest.Dial(t, r.addr())
			if got := c.Do("GET", "a"); got[0] != '-' || !strings.Contains(got, "n0") {
				t.Errorf("GET a: %q, want an error that names n0", got)
			}
			redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("GET", "b") == "$1\r\nb\r\n" })
		})
	}
	t.Run("a reply that nobody asked for", func(t *testing.T) {
		node := redistest.Node(t, redistest.Expect("GET a"), redistest.Reply("$1\r\na\r\n$5\r\nextra\r\n"), redistest.Hang(),
			redistest.Expect("GET b"), redistest.Reply("$1\r\nb\r\n"))
		r := serve(t, pool{nodes: []string{node.Addr()}, options: scripted})
		c := redistest.Dial(t, r.addr())
		if got := c.Do("GET", "a"); got != "$1\r\na\r\n" {
			t.Errorf("GET a: %q", got)
		}
		redistest.WaitFor(t, "the node to be used again", func() bool {
			got := c.Do("GET", "b")
			if strings.Contains(got, "extra") {
				t.Fatalf("GET b got the reply that nobody asked for: %q", got)
			}
			return got == "$1\r\nb\r\n"
		})
	})
}

// A write that may have reached a node is not sent twice.
func TestWritesAreNotRepeated(t *testing.T) {
	node := redistest.Server(t)
	r := serve(t, pool{nodes: []string{node.Addr()}, options: map[string]string{"timeout": "300ms", "connect_timeout": "300ms"}})
	c := redistest.Dial(t, r.addr())
	d := redistest.Dial(t, node.Addr())
	c.Do("SET", "n", "0")
	for range 3 {
		node.Stop()
		if got := c.Do("INCR", "n"); got[0] != '-' {
			t.Errorf("INCR on a stopped node: %q", got)
		}
		node.Cont()
		redistest.WaitFor(t, "the node to be used again", func() bool { return strings.HasPrefix(c.Do("EXISTS", "n"), ":") })
	}
	if got := d.Do("GET", "n"); got != "$1\r\n3\r\n" && got != "$1\r\n2\r\n" && got != "$1\r\n1\r\n" && got != "$1\r\n0\r\n" {
		t.Errorf("three INCRs, each sent once at most, made it %q", got)
	}
}

// route says where a key lives, and it does.
func TestRouteTellsTheTruth(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	var keys []string
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("user:%d", i), fmt.Sprintf("a{tag%d}b", i))
	}
	owner := owners(t, r.addr(), nodes, keys)
	out, err := exec.Command(program, append([]string{"route", "-c", r.config}, keys...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ringway route: %v\n%s", err, out)
	}
	found := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, k := range fields {
			if _, ours := owner[k]; ours {
				found[k] = line
			}
		}
	}
	for k, n := range owner {
		if line := found[k]; !slices.Contains(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\n(),:", r) }), fmt.Sprintf("n%d", n)) {
			t.Errorf("key %s lives on n%d; ringway route says %q", k, n, line)
		}
	}
}

// SIGTERM ends the process in the orderly way.
func TestTermination(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := serve(t, pool{nodes: addresses(servers(t, 1))})
		c := redistest.Dial(t, r.addr())
		c.Do("SET", "a", "1")
		c.Close()
		r.Signal(s)
		select {
		case <-r.Exited():
			if code := r.ExitCode(); code != 0 {
				t.Errorf("%v: exit code %d\n%s", s, code, r.Output())
			}
		case <-time.After(redistest.Patience):
			t.Errorf("%v: still running", s)
		}
	}
}

func TestSeenFromOutside(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{name: "main", nodes: addresses(nodes)})
	on, off := keysOf(t, r.addr(), nodes, 1, 5)
	c := redistest.Dial(t, r.addr())
	for range 10 {
		c.Do("GET", off[0])
		c.Do("MGET", on[0], off[0])
	}
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get(r.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, body := get("/livez"); code != 200 {
		t.Errorf("/livez: %d %s", code, body)
	}
	_, metrics := get("/metrics")
	for _, want := range []string{
		"ringway_requests_total{", `command="get"`, `command="mget"`, `pool="main"`, "ringway_node_up{", "ringway_request_duration_seconds_bucket{",
		"go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	up := func() string {
		_, metrics := get("/metrics")
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "ringway_node_up{") && strings.Contains(line, `node="n1"`) {
				return strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
			}
		}
		return "missing"
	}
	if got := up(); got != "1" {
		t.Errorf("ringway_node_up of n1 is %s", got)
	}
	nodes[1].Kill()
	c.Do("GET", on[0])
	redistest.WaitFor(t, "ringway_node_up of n1 to be 0", func() bool { c.Do("GET", on[0]); return up() == "0" })
	nodes[1].Restart()
	redistest.WaitFor(t, "ringway_node_up of n1 to be 1", func() bool { c.Do("GET", on[0]); return up() == "1" })
}
