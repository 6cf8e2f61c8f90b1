//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// metric returns the sum of a metric over its labels.
func (r *router) metric(t testing.TB, name string) float64 {
	t.Helper()
	resp, err := http.Get(r.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			if err != nil {
				t.Fatal(err)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		t.Fatalf("/metrics lacks %s", name)
	}
	return sum
}

// nodeFigures adds up a line of INFO over the nodes, "blocked_clients" for example.
func nodeFigures(t testing.TB, asked []*redistest.Conn, name string) int {
	t.Helper()
	sum := 0
	for _, c := range asked {
		for line := range strings.Lines(c.Do("INFO", "clients")) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
				n, err := strconv.Atoi(v)
				if err != nil {
					t.Fatal(err)
				}
				sum += n
			}
		}
	}
	return sum
}

func askDirectly(t testing.TB, nodes []*redistest.Redis) []*redistest.Conn {
	t.Helper()
	var all []*redistest.Conn
	for _, n := range nodes {
		all = append(all, redistest.Dial(t, n.Addr()))
	}
	return all
}

// block has n clients wait in BLPOP, each for a list of its own, and returns when they do.
func block(t *testing.T, r *router, direct []*redistest.Conn, n int) []*redistest.Conn {
	t.Helper()
	blocked := make([]*redistest.Conn, n)
	for i := range blocked {
		blocked[i] = redistest.Dial(t, r.addr())
		blocked[i].Send("BLPOP", fmt.Sprintf("queue:%d", i), "0")
		blocked[i].Flush()
	}
	redistest.WaitFor(t, "all to be blocked", func() bool { return nodeFigures(t, direct, "blocked_clients") == n })
	return blocked
}

func TestBlockedClientsDisturbNobody(t *testing.T) {
	n := size(2000, 200)
	during := size(4*time.Second, 500*time.Millisecond)
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	direct := askDirectly(t, nodes)
	nb := newNeighbours(t, r.addr(), 20, []string{"a", "b", "c", "d", "e", "f", "g"})
	nb.p99(t, during/5)
	connections := nodeFigures(t, direct, "connected_clients")
	goroutines := r.metric(t, "go_goroutines")
	files := openFiles(t, r.Pid())

	// Without and with take turns, so that what else the machine does hits both; the best of each counts.
	const never = time.Hour
	alone, with := never, never
	var memory int
	for round := range 3 {
		alone = min(alone, nb.p99(t, during))
		blocked := block(t, r, direct, n)
		with = min(with, nb.p99(t, during))
		// Half of them get what they wait for, the others leave.
		pusher := redistest.Dial(t, r.addr())
		for i, c := range blocked {
			if i%2 == 0 {
				want(t, pusher, ":1\r\n", "RPUSH", fmt.Sprintf("queue:%d", i), "x")
				if got := c.Recv(); got != "*2\r\n"+redistest.Bulk(fmt.Sprintf("queue:%d", i))+"$1\r\nx\r\n" {
					t.Fatalf("blocked client %d: %q", i, got)
				}
				want(t, c, "+PONG\r\n", "PING")
			}
			c.Close()
		}
		pusher.Close()
		redistest.WaitFor(t, "nobody to be blocked", func() bool { return nodeFigures(t, direct, "blocked_clients") == 0 })
		// A few private connections are kept for the next client, 32 to a node; and the neighbours' keys are hot, so that their nodes have
		// one on which they tell of changes, and one for copies.
		redistest.WaitFor(t, "the connections to the nodes to be closed", func() bool {
			return nodeFigures(t, direct, "connected_clients") <= connections+3*34
		})
		redistest.WaitFor(t, "the clients to be gone", func() bool { return r.metric(t, "ringway_clients") <= 20 })
		redistest.WaitFor(t, "the goroutines to end", func() bool { return r.metric(t, "go_goroutines") <= goroutines+8 })
		redistest.WaitFor(t, "the descriptors to be closed", func() bool { return openFiles(t, r.Pid()) <= files+3*34+2 })
		now := rss(t, r.Pid())
		t.Logf("after round %d: %d connections to the nodes (%d before), %.0f goroutines (%.0f before), %s", round,
			nodeFigures(t, direct, "connected_clients"), connections, r.metric(t, "go_goroutines"), goroutines, inMiB(now))
		if round == 2 && now > memory+8*mib {
			t.Errorf("another round of blocked clients took %s more", inMiB(now-memory))
		}
		memory = now
	}
	within(t, fmt.Sprintf("with %d clients blocked", n), with, alone, 1.3)
}

// What is pushed after a blocked client has left stays in the list: at once with one loop, which sees the end of one connection
// and the push on another in their order; with several, as soon as the node has been told.
func TestWhoLeavesBlockedEatsNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d loops", threads), func(t *testing.T) {
			nodes := servers(t, 2)
			r := serveWith(t, setup{threads: threads}, pool{nodes: addresses(nodes)})
			direct := askDirectly(t, nodes)
			pusher := redistest.Dial(t, r.addr())
			lost, tried := 0, 0
			for i := range 60 {
				k := fmt.Sprintf("{%d}", i%7)
				for _, try := range []struct{ block, push, count []string }{
					{[]string{"BLPOP", k + "l", "0"}, []string{"RPUSH", k + "l", "x"}, []string{"LLEN", k + "l"}},
					{[]string{"BRPOPLPUSH", k + "l", k + "m", "0"}, []string{"LPUSH", k + "l", "x"}, []string{"LLEN", k + "l"}},
					{[]string{"BZPOPMIN", k + "z", k + "y", "0"}, []string{"ZADD", k + "z", "1", "x"}, []string{"ZCARD", k + "z"}},
				} {
					c := redistest.Dial(t, r.addr())
					c.Send(try.block...)
					c.Flush()
					redistest.WaitFor(t, "the client to be blocked", func() bool { return nodeFigures(t, direct, "blocked_clients") == 1 })
					if i%2 == 1 { // a reset, as from a machine that is gone
						c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
					}
					c.Close()
					atOnce := threads == 1 && i%4 < 2
					if !atOnce {
						redistest.WaitFor(t, "the node to be told", func() bool { return nodeFigures(t, direct, "blocked_clients") == 0 })
					}
					want(t, pusher, ":1\r\n", try.push...)
					tried++
					if got := pusher.Do(try.count...); got != ":1\r\n" {
						lost++
					}
					pusher.Do("DEL", k+"l", k+"m", k+"z")
					redistest.WaitFor(t, "nobody to be blocked", func() bool { return nodeFigures(t, direct, "blocked_clients") == 0 })
				}
			}
			if lost > 0 {
				t.Errorf("of %d elements pushed after the only blocked client had left, %d are gone", tried, lost)
			}
		})
	}
}

// A blocked client is told when its node goes, and can go on with another.
func TestBlockedWhenTheNodeGoes(t *testing.T) {
	nodes := servers(t, 2)
	r := serve(t, pool{nodes: addresses(nodes)})
	on, off := keysOf(t, r.addr(), nodes, 1, 20)
	direct := askDirectly(t, nodes)
	var blocked []*redistest.Conn
	for i := range on {
		for _, k := range []string{on[i], off[i]} {
			c := redistest.Dial(t, r.addr())
			c.Send("BLPOP", k, "0")
			c.Send("PING")
			c.Flush()
			blocked = append(blocked, c)
		}
	}
	redistest.WaitFor(t, "all to be blocked", func() bool { return nodeFigures(t, direct, "blocked_clients") == len(blocked) })
	nodes[1].Kill()
	pusher := redistest.Dial(t, r.addr())
	for i, c := range blocked {
		if i%2 == 1 {
			want(t, pusher, ":1\r\n", "RPUSH", off[i/2], "x")
			if got := c.Recv(); got != "*2\r\n"+redistest.Bulk(off[i/2])+"$1\r\nx\r\n" {
				t.Errorf("blocked at the other node: %q", got)
			}
		} else if got := c.Recv(); got[0] != '-' || !strings.Contains(got, "n1") {
			t.Errorf("blocked at the node that went: %q, want an error that names n1", got)
		}
		if got := c.Recv(); got != "+PONG\r\n" {
			t.Errorf("PING behind BLPOP: %q", got)
		}
	}
	nodes[1].Restart()
	redistest.WaitFor(t, "the node to be used again", func() bool { return pusher.Do("RPUSH", on[0], "x") == ":1\r\n" })
	want(t, blocked[0], "*2\r\n"+redistest.Bulk(on[0])+"$1\r\nx\r\n", "BLPOP", on[0], "1")
	// One that is blocked for a while is not timed out by the pool's timeout.
	t.Run("longer than the timeout", func(t *testing.T) {
		r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "200ms"}})
		c := redistest.Dial(t, r.addr())
		fast := redistest.Dial(t, r.addr())
		c.Send("BLPOP", "none", "0.6")
		start := time.Now()
		c.Flush()
		want(t, fast, "+OK\r\n", "SET", "a", "1")
		if got := c.Recv(); got != "*-1\r\n" {
			t.Errorf("BLPOP for 600 ms with a timeout of 200 ms: %q after %v", got, time.Since(start))
		}
	})
}
