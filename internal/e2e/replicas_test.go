//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// copied is a primary with two replicas, the second of which is reached by its clients directly, and reaches its primary by a link that can be cut.
type copied struct {
	primary, first, second *redistest.Redis
	link                   *link
	router                 *router
	keys                   []string
}

func newCopied(t *testing.T, options map[string]string) *copied {
	t.Helper()
	c := &copied{primary: redistest.Server(t)}
	c.link = newLink(t, c.primary.Addr())
	c.first = redistest.Replica(t, c.primary)
	_, port, _ := strings.Cut(c.link.Listen, ":")
	c.second = redistest.Server(t, "--replicaof", "127.0.0.1 "+port)
	redistest.WaitFor(t, "the second replica to be in step", func() bool {
		return strings.Contains(c.second.Do("INFO", "replication"), "master_link_status:up")
	})
	all := map[string]string{"timeout": "400ms", "connect_timeout": "300ms", "health_check": "{interval: 1s, timeout: 300ms}"}
	for k, v := range options {
		all[k] = v
	}
	c.router = serve(t, pool{options: all, source: fmt.Sprintf("    backends:\n      - {name: n0, address: %q, zone: far, replicas: [{address: %q, zone: near}, {address: %q, zone: far}]}\n",
		c.primary.Addr(), c.first.Addr(), c.second.Addr())})
	w := redistest.Dial(t, c.primary.Addr())
	for i := range 50 {
		c.keys = append(c.keys, fmt.Sprint("k", i))
		w.Do("SET", c.keys[i], c.keys[i])
	}
	w.Do("WAIT", "2", "5000")
	return c
}

// share reads every key once and returns how many of the reads each server has answered.
func (c *copied) share(t *testing.T, client *redistest.Conn) (primary, first, second int) {
	t.Helper()
	all := []*redistest.Redis{c.primary, c.first, c.second}
	var before [3]int
	count := func(n *redistest.Redis) int {
		if strings.HasPrefix(readProc(t, n.Pid(), "stat"), fmt.Sprint(n.Pid())) && !strings.Contains(readProc(t, n.Pid(), "status"), "State:\tT") {
			return calls(n, "get")
		}
		return 0
	}
	for i, n := range all {
		before[i] = count(n)
	}
	for _, k := range c.keys {
		if got := client.Do("GET", k); got != redistest.Bulk(k) {
			t.Fatalf("GET %s: %q", k, got)
		}
	}
	return count(all[0]) - before[0], count(all[1]) - before[1], count(all[2]) - before[2]
}

func TestReadPolicies(t *testing.T) {
	for _, test := range []struct {
		options map[string]string
		want    func(primary, first, second int) bool
	}{
		{map[string]string{"read_policy": "primary"}, func(p, a, b int) bool { return p == 50 }},
		{map[string]string{"read_policy": "prefer-replica"}, func(p, a, b int) bool { return p == 0 && a == 25 && b == 25 }},
		{map[string]string{"read_policy": "replica"}, func(p, a, b int) bool { return p == 0 && a == 25 && b == 25 }},
		{map[string]string{"read_policy": "any"}, func(p, a, b int) bool { return p >= 16 && a >= 16 && b >= 16 }},
		{map[string]string{"read_policy": "nearest", "zone": "near"}, func(p, a, b int) bool { return a == 50 }},
		{map[string]string{"read_policy": "nearest", "zone": "far"}, func(p, a, b int) bool { return p == 25 && b == 25 }},
		{map[string]string{"read_policy": "nearest"}, func(p, a, b int) bool { return p+a+b == 50 }},
	} {
		t.Run(test.options["read_policy"]+test.options["zone"], func(t *testing.T) {
			c := newCopied(t, test.options)
			client := redistest.Dial(t, c.router.addr())
			redistest.WaitFor(t, "the reads to be shared as they should", func() bool { return test.want(c.share(t, client)) })
			client.Do("MULTI")
			client.Do("GET", "k0")
			if got := client.Do("EXEC"); got != "*1\r\n"+redistest.Bulk("k0") {
				t.Errorf("EXEC: %q", got)
			}
		})
	}
}

func TestReplicasThatAreBehind(t *testing.T) {
	const maxLag = time.Second
	c := newCopied(t, map[string]string{"read_policy": "prefer-replica", "max_lag": "1s"})
	client := redistest.Dial(t, c.router.addr())
	both := func(p, a, b int) bool { return p == 0 && a > 0 && b > 0 }
	redistest.WaitFor(t, "both replicas to be read", func() bool { return both(c.share(t, client)) })

	v := load(t, c.router.addr(), verifiedOptions{clients: 4, mix: "s"}) // writes, without which nobody is behind
	defer v.finish()
	w := redistest.Dial(t, c.primary.Addr())
	for _, k := range c.keys {
		w.Do("SET", k, k)
	}
	w.Do("WAIT", "2", "5000")
	left := func(what string, n *redistest.Redis, begin, end func()) {
		t.Run(what, func(t *testing.T) {
			begin()
			start := time.Now()
			redistest.WaitFor(t, "the log to say that it is not read", func() bool {
				return strings.Count(c.router.Output(), `msg="replica is not read" pool=pool0 node=`+n.Addr()) >
					strings.Count(c.router.Output(), `msg="replica is read" pool=pool0 node=`+n.Addr())-1
			})
			took := time.Since(start)
			t.Logf("left after %v", took.Round(time.Millisecond))
			if took > maxLag+size(100*time.Millisecond, 500*time.Millisecond) {
				t.Errorf("left after %v, and max_lag is %v", took, maxLag)
			}
			for range 3 {
				if p, a, b := c.share(t, client); p != 0 || n == c.first && a != 0 || n == c.second && b != 0 {
					t.Errorf("%d reads went to the primary, %d to the first and %d to the second replica", p, a, b)
				}
			}
			end()
			redistest.WaitFor(t, "it to be read again", func() bool { return both(c.share(t, client)) })
		})
	}
	left("a replica's link is cut", c.second, func() { c.link.poison("timeout", `"timeout": 0`) }, c.link.cure)
	left("a replica's link is slow", c.second, func() { c.link.poison("latency", `"latency": 2500`) }, c.link.cure)
	left("a replica is stopped", c.first, c.first.Stop, c.first.Cont)
}

func TestReadsOfReplicasThatDie(t *testing.T) {
	for _, how := range []string{"kill", "SIGSTOP"} {
		t.Run(how, func(t *testing.T) {
			c := newCopied(t, map[string]string{"read_policy": "prefer-replica"})
			client := redistest.Dial(t, c.router.addr())
			redistest.WaitFor(t, "both replicas to be read", func() bool { p, a, b := c.share(t, client); return p == 0 && a > 0 && b > 0 })
			end := time.Now().Add(size(5*time.Second, 2*time.Second))
			go func() {
				time.Sleep(300 * time.Millisecond)
				for _, n := range []*redistest.Redis{c.first, c.second} {
					if how == "kill" {
						n.Kill()
					} else {
						n.Stop()
					}
				}
			}()
			took := make([][]time.Duration, 16)
			eachClient(t, len(took), func(id int) error {
				conn, err := redistest.Connect(c.router.addr())
				if err != nil {
					return err
				}
				defer conn.Close()
				for i := id; time.Now().Before(end); i++ {
					k := c.keys[i%len(c.keys)]
					start := time.Now()
					reply, err := conn.TryDo("GET", k)
					if err != nil {
						return err
					}
					if err := expect(reply, redistest.Bulk(k), "GET", k); err != nil {
						return err
					}
					took[id] = append(took[id], time.Since(start))
					time.Sleep(time.Millisecond)
				}
				return nil
			})
			all := slices.Concat(took...)
			t.Logf("%d reads without an error, the longest %v", len(all), slices.Max(all).Round(time.Millisecond))
			if calls(c.primary, "get") == 0 {
				t.Error("the primary was not read")
			}
		})
	}
}

// With read_own_writes a client meets what it has written, whatever the replicas have.
func TestReadOwnWrites(t *testing.T) {
	c := newCopied(t, map[string]string{"read_policy": "prefer-replica", "read_own_writes": "10s", "max_lag": "0"})
	c.first.Do("REPLICAOF", "127.0.0.1", strings.TrimPrefix(c.link.Listen, "127.0.0.1:"))
	redistest.WaitFor(t, "the first replica to be in step", func() bool {
		return strings.Contains(c.first.Do("INFO", "replication"), "master_link_status:up")
	})
	reader := redistest.Dial(t, c.router.addr())
	redistest.WaitFor(t, "both replicas to be read", func() bool { p, a, b := c.share(t, reader); return p == 0 && a > 0 && b > 0 })
	c.link.poison("latency", `"latency": 1000`)
	v := load(t, c.router.addr(), verifiedOptions{mix: "ssgmMdi", depth: 3})
	v.letRun(size(5*time.Second, time.Second))
	all := v.finish()
	if failed := failures(all); len(failed) > 0 {
		t.Errorf("%d errors: %s", len(failed), kinds(failed))
	}
	t.Logf("%d requests, each reading its client's own writes", len(all))
}
