package redistest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Sentinels are real sentinels that watch over the same primaries. Each keeps its port and what it has learnt over Kill and
// Restart.
type Sentinels struct {
	Nodes []*Redis
	t     testing.TB
}

// Monitored is a primary under the name by which sentinels know it.
type Monitored struct {
	Name    string
	Primary *Redis
}

// StartSentinels starts n sentinels and returns when all of them know each other and the replicas that the primaries have by
// now. They take a server for down after 500 ms of silence, and the smallest majority of them can fail over. What they do by
// themselves every ten seconds or two, asking servers for INFO and telling each other of news, they do every second or half.
func StartSentinels(t testing.TB, n int, masters ...Monitored) *Sentinels {
	t.Helper()
	return startSentinels(t, nil, n, masters)
}

// StartSentinelsTLS starts sentinels that speak TLS only, with each other and with the servers too.
func StartSentinelsTLS(t testing.TB, a *Authority, n int, masters ...Monitored) *Sentinels {
	t.Helper()
	return startSentinels(t, a, n, masters)
}

func startSentinels(t testing.TB, a *Authority, n int, masters []Monitored) *Sentinels {
	t.Helper()
	s := &Sentinels{t: t}
	for range n {
		s.Nodes = append(s.Nodes, sentinel(t, a, n/2+1, masters))
	}
	for _, m := range masters {
		replicas := m.Primary.info("connected_slaves", "INFO", "replication")
		s.waitFor("the sentinels to know each other and the replicas of "+m.Name, func(node *Redis) bool {
			about := s.about(node, m.Name)
			return about["num-other-sentinels"] == strconv.Itoa(n-1) && about["num-slaves"] == replicas
		})
	}
	return s
}

func sentinel(t testing.TB, a *Authority, quorum int, masters []Monitored) *Redis {
	t.Helper()
	dir := t.TempDir()
	r := &Redis{t: t, program: find(t, "redis-server", "install it: apt-get install redis-server, or run make test"), port: FreePort(t)}
	var conf strings.Builder
	fmt.Fprintf(&conf, "bind 127.0.0.1\ndir %s\nloglevel notice\n", dir)
	if a == nil {
		fmt.Fprintf(&conf, "port %d\n", r.port)
	} else {
		r.authority, r.own = a, a.Issue(Issue{})
		fmt.Fprintf(&conf, "tls-port %d\n", r.port)
		options := tlsOptions(a, r.own)
		for i := 0; i < len(options); i += 2 {
			fmt.Fprintf(&conf, "%s %s\n", strings.TrimPrefix(options[i], "--"), options[i+1])
		}
	}
	for _, m := range masters {
		fmt.Fprintf(&conf, "sentinel monitor %s 127.0.0.1 %d %d\n", m.Name, m.Primary.port, quorum)
		fmt.Fprintf(&conf, "sentinel down-after-milliseconds %s 500\n", m.Name)
		fmt.Fprintf(&conf, "sentinel failover-timeout %s 2000\n", m.Name)
	}
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.args = []string{file, "--sentinel"}
	r.first = []string{"SENTINEL", "DEBUG", "INFO-PERIOD", "1000", "PUBLISH-PERIOD", "500"}
	t.Cleanup(func() { r.Kill() })
	r.launch()
	return r
}

// Node returns sentinel i.
func (s *Sentinels) Node(i int) *Redis { return s.Nodes[i] }

// Addrs returns the addresses of all sentinels.
func (s *Sentinels) Addrs() []string { return addrs(s.Nodes) }

// Primary returns the address of a primary, as the first sentinel that is awake tells it.
func (s *Sentinels) Primary(name string) string {
	s.t.Helper()
	for _, node := range s.Nodes {
		if node.awake() {
			return s.told(node, name)
		}
	}
	s.t.Fatal("no sentinel is awake")
	return ""
}

// Failover has the sentinels promote a replica, the primary being in good health, and returns when all that are awake tell the
// new one's address, which is the result.
func (s *Sentinels) Failover(name string) string {
	s.t.Helper()
	old := s.Primary(name)
	WaitFor(s.t, "a sentinel to accept SENTINEL FAILOVER", func() bool {
		for _, node := range s.Nodes {
			if node.awake() {
				reply, _ := node.TryDo("SENTINEL", "FAILOVER", name) // NOGOODSLAVE while it has no fresh INFO of them
				return reply == "+OK\r\n"
			}
		}
		return false
	})
	return s.FailedOver(name, old)
}

// FailedOver returns when all sentinels that are awake tell the same address, another one than old, which is the result.
func (s *Sentinels) FailedOver(name, old string) string {
	s.t.Helper()
	var now string
	s.waitFor("the failover of "+name, func(node *Redis) bool {
		now = s.Primary(name)
		return now != "" && now != old && s.told(node, name) == now
	})
	return now
}

// waitFor returns when ok holds for all sentinels that are awake.
func (s *Sentinels) waitFor(what string, ok func(*Redis) bool) {
	s.t.Helper()
	WaitFor(s.t, what, func() bool {
		for _, node := range s.Nodes {
			if node.awake() && !ok(node) {
				return false
			}
		}
		return true
	})
}

func (s *Sentinels) told(node *Redis, name string) string {
	if pair := texts(node.TryDo("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)); len(pair) == 2 {
		return net.JoinHostPort(pair[0], pair[1])
	}
	return ""
}

// about returns what a sentinel tells of a primary.
func (s *Sentinels) about(node *Redis, name string) map[string]string {
	about := make(map[string]string)
	pairs := texts(node.TryDo("SENTINEL", "MASTER", name))
	for i := 0; i+1 < len(pairs); i += 2 {
		about[pairs[i]] = pairs[i+1]
	}
	return about
}

// texts takes an array of bulk strings apart; it is empty for anything else.
func texts(raw string, err error) []string {
	if err != nil {
		return nil
	}
	list, err := ReadCommand(bufio.NewReader(strings.NewReader(raw)))
	if err != nil {
		return nil
	}
	return list
}

func addrs(nodes []*Redis) []string {
	list := make([]string, len(nodes))
	for i, node := range nodes {
		list[i] = node.Addr()
	}
	return list
}
