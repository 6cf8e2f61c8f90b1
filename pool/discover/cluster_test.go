package discover

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

var clusters = map[string]func(testing.TB, int, int, ...string) *redistest.Cluster{
	"redis": redistest.StartCluster, "valkey": redistest.StartValkeyCluster,
}

// serves tells whether a slot belongs to the node at an address.
func serves(u Update, slot int, address string) bool {
	return u.Slots != nil && u.Slots[slot] != NoNode && u.Nodes[u.Slots[slot]].Address == address
}

// agrees checks an update against what the cluster itself tells.
func agrees(t *testing.T, c *redistest.Cluster, u Update) {
	t.Helper()
	if !slices.IsSorted(names(u)) {
		t.Errorf("nodes are not sorted: %q", names(u))
	}
	for slot := 0; slot < redistest.Slots; slot += 1000 {
		owner := c.Owner(slot)
		if !serves(u, slot, c.Node(owner).Addr()) || u.Nodes[u.Slots[slot]].Name != c.ID(owner) {
			t.Errorf("slot %d belongs to node %d, not to %+v", slot, owner, u.Nodes[u.Slots[slot]])
		}
	}
}

func TestCluster(t *testing.T) {
	for name, start := range clusters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, 3, 1)
			opt, book := options(t)
			f := follow(t, NewCluster([]string{"127.0.0.1:1", c.Node(4).Addr()}, opt))
			lazy, _ := options(t)
			lazy.Interval = time.Hour
			nudged := follow(t, NewCluster(c.Addrs(), lazy))
			both := func(what string, ok func(Update) bool) {
				t.Helper()
				f.await(what, ok)
				nudged.await(what+", for a nudge", func(u Update) bool { nudged.source.Nudge(); return ok(u) })
			}

			both("three nodes with a replica each", func(u Update) bool {
				return len(u.Nodes) == 3 && !slices.ContainsFunc(u.Nodes, func(n Node) bool { return len(n.Replicas) != 1 })
			})
			agrees(t, c, f.last())
			for i := range 3 {
				if n := node(f.last(), c.ID(i)); n.Address != c.Node(i).Addr() || n.Replicas[0].Address != c.Node(3+i).Addr() || n.Weight != 1 {
					t.Errorf("node %d is %+v", i, n)
				}
			}

			c.MoveSlots(0, 1, 5, 6, 7)
			both("the slots that were moved", func(u Update) bool {
				return serves(u, 4, c.Node(0).Addr()) && serves(u, 5, c.Node(1).Addr()) && serves(u, 7, c.Node(1).Addr())
			})

			c.Failover(3)
			both("the replica that was promoted in the orderly way", func(u Update) bool {
				return serves(u, 4, c.Node(3).Addr()) && slices.Equal(replicasOf(u, c.ID(3)), []string{c.Node(0).Addr()})
			})

			c.Node(1).Kill()
			both("the replica that took the dead primary's place", func(u Update) bool {
				return serves(u, 5, c.Node(4).Addr()) && node(u, c.ID(4)).Replicas == nil && node(u, c.ID(1)).Name == ""
			})
			c.Settle()
			agrees(t, c, f.last())
			c.Node(1).Restart()
			both("the node that was dead as a replica", func(u Update) bool {
				return slices.Equal(replicasOf(u, c.ID(4)), []string{c.Node(1).Addr()})
			})

			added := c.AddPrimary()
			both("the node that was added", func(u Update) bool { return node(u, c.ID(added)).Address == c.Node(added).Addr() })
			c.MoveSlots(3, added, 0)
			both("its first slot", func(u Update) bool { return serves(u, 0, c.Node(added).Addr()) })
			replica := c.AddReplica(added)
			both("its first replica", func(u Update) bool {
				return slices.Equal(replicasOf(u, c.ID(added)), []string{c.Node(replica).Addr()})
			})
			c.Node(replica).Stop()
			both("no replica that hangs", func(u Update) bool { return len(replicasOf(u, c.ID(added))) == 0 })
			c.Node(replica).Cont()
			both("it, now that it goes on", func(u Update) bool { return len(replicasOf(u, c.ID(added))) == 1 })
			agrees(t, c, f.last())

			text := `msg="node found" pool=p node=` + c.ID(added) + " address=" + c.Node(added).Addr()
			if n := book.count(text); n != 1 {
				t.Errorf("%s is logged %d times", text, n)
			}
		})
	}
}

func TestClusterSlotsTellsTheSame(t *testing.T) {
	for name, start := range clusters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, 2, 1)
			for _, server := range c.Nodes {
				if got := server.Do("ACL", "SETUSER", "old", "on", ">sesame", "+cluster|info", "+cluster|slots"); got != "+OK\r\n" {
					t.Fatalf("ACL SETUSER: %q", got)
				}
			}
			opt, _ := options(t)
			f := follow(t, NewCluster(c.Addrs(), opt))
			opt.Username, opt.Password = "old", "sesame"
			old := follow(t, NewCluster(c.Addrs(), opt))
			whole := func(u Update) bool {
				return len(u.Nodes) == 2 && len(u.Nodes[0].Replicas) == 1 && len(u.Nodes[1].Replicas) == 1
			}
			shards := f.await("the cluster by CLUSTER SHARDS", whole)
			slots := old.await("the cluster by CLUSTER SLOTS", whole)
			if !same(shards, slots) {
				t.Errorf("SHARDS: %+v\nSLOTS: %+v", shards.Nodes, slots.Nodes)
			}
			if got := c.Node(0).Do("CLIENT", "LIST"); !strings.Contains(got, "user=old") {
				t.Errorf("nobody has come as user old: %s", got)
			}

			wrong, book := options(t)
			wrong.Username, wrong.Password = "old", "hush"
			lost := follow(t, NewCluster(c.Addrs(), wrong))
			book.await(t, "no node of the cluster answers")
			if lost.count() != 0 || !strings.Contains(book.String(), "WRONGPASS") || strings.Contains(book.String(), "hush") {
				t.Errorf("%d updates, log: %s", lost.count(), book)
			}
		})
	}
}

func TestClusterEndpoints(t *testing.T) {
	for name, start := range clusters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, 2, 1)
			set := func(option, value string) {
				t.Helper()
				for _, server := range c.Nodes {
					if got := server.Do("CONFIG", "SET", option, value); got != "+OK\r\n" {
						t.Fatalf("CONFIG SET %s %s: %q", option, value, got)
					}
				}
			}
			server := c.Node(0)
			server.Do("ACL", "SETUSER", "old", "on", ">sesame", "+cluster|info", "+cluster|slots")
			seed := "localhost:" + strconv.Itoa(server.Port())
			at := func(host string) func(Update) bool {
				want := sorted(fmt.Sprintf("%s:%d", host, server.Port()), fmt.Sprintf("%s:%d", host, c.Node(1).Port()),
					fmt.Sprintf("%s:%d", host, c.Node(2).Port()), fmt.Sprintf("%s:%d", host, c.Node(3).Port()))
				return func(u Update) bool {
					var all []string
					for _, n := range u.Nodes {
						all = append(append(all, n.Address), addresses(n.Replicas)...)
					}
					return slices.Equal(sorted(all...), want)
				}
			}
			for _, user := range []string{"", "old"} {
				opt, _ := options(t)
				if user != "" {
					opt.Username, opt.Password = user, "sesame"
				}
				first := func(what string, ok func(Update) bool) {
					t.Helper()
					f := follow(t, NewCluster([]string{seed}, opt))
					f.await(what+" for user "+user, ok)
					f.stop()
				}
				first("addresses", at("127.0.0.1"))
				set("cluster-preferred-endpoint-type", "unknown-endpoint")
				first("the host that was asked", at("localhost"))
				set("cluster-preferred-endpoint-type", "hostname")
				first("addresses in place of missing host names", at("127.0.0.1"))
				set("cluster-announce-hostname", "localhost")
				first("host names", at("localhost"))
				set("cluster-announce-hostname", "")
				set("cluster-preferred-endpoint-type", "ip")
			}
		})
	}
}

func TestClusterZones(t *testing.T) {
	t.Parallel()
	c := redistest.StartValkeyCluster(t, 1, 1, "--availability-zone", "eu-1")
	opt, _ := options(t)
	f := follow(t, NewCluster(c.Addrs(), opt))
	f.await("the replica with its zone", func(u Update) bool {
		return slices.Equal(node(u, c.ID(0)).Replicas, []Replica{{c.Node(1).Addr(), "eu-1"}})
	})
}

// A node that nobody has met does not know its own address.
func TestClusterOfOneNode(t *testing.T) {
	t.Parallel()
	server := redistest.Server(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(redistest.FreePort(t)))
	opt, book := options(t)
	f := follow(t, NewCluster([]string{"localhost:" + strconv.Itoa(server.Port())}, opt))
	book.await(t, "the node knows of nobody who serves a slot")
	if f.count() != 0 {
		t.Errorf("published %+v", f.last())
	}
	server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "99")
	u := f.await("slots", func(u Update) bool { return u.Slots != nil })
	if !serves(u, 99, "localhost:"+strconv.Itoa(server.Port())) || u.Slots[100] != NoNode {
		t.Errorf("%+v", u.Nodes)
	}
	book.await(t, `msg="cluster is not ok"`)
	server.Do("CLUSTER", "ADDSLOTSRANGE", "100", "16383")
	book.await(t, `msg="cluster answers well again"`)
	f.await("all slots", func(u Update) bool { return u.Slots[16383] == 0 })
}

func TestAStaleClusterNodeIsNotBelieved(t *testing.T) {
	t.Parallel()
	c := redistest.StartCluster(t, 3, 1)
	opt, book := options(t)
	opt.Timeout = 300 * time.Millisecond
	f := follow(t, NewCluster(c.Addrs(), opt))
	f.await("the cluster", func(u Update) bool { return serves(u, 0, c.Node(0).Addr()) })

	// The replica of node 2 is not there when node 0 is replaced, and when it comes back, nobody is left to tell it.
	c.Node(5).Kill()
	c.Failover(3)
	f.await("the failover", func(u Update) bool { return serves(u, 0, c.Node(3).Addr()) })
	for _, i := range []int{0, 1, 2, 3, 4} {
		c.Node(i).Kill()
	}
	count := f.count()
	book.await(t, "no node of the cluster answers")
	c.Node(5).Restart()
	book.await(t, "nodes tell of an older configuration")
	f.source.Nudge()
	for _, i := range []int{0, 1, 2, 3, 4} {
		c.Node(i).Restart()
	}
	c.Settle()
	book.await(t, "cluster answers well again")
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.updates[count:] {
		if !serves(u, 0, c.Node(3).Addr()) {
			t.Errorf("slot 0 went to %s", u.Nodes[u.Slots[0]].Address)
		}
	}
}

func TestClusterSurvivesWhatIsNone(t *testing.T) {
	t.Parallel()
	server := redistest.Server(t)
	rubbish := redistest.Node(t, redistest.Answer(func([]string) string { return "*3\r\n" + shardsReply[4:] }))
	opt, book := options(t)
	opt.Timeout = 100 * time.Millisecond
	f := follow(t, NewCluster([]string{server.Addr()}, opt))
	book.await(t, "cluster support disabled")
	f.stop()
	f = follow(t, NewCluster([]string{rubbish.Addr()}, opt))
	redistest.WaitFor(t, "the second complaint", func() bool { return book.count("no node of the cluster answers") == 2 })
	f.stop()
	if f.count() != 0 {
		t.Errorf("published %+v", f.last())
	}
}

// A fake, for a cluster with TLS needs certificates, and one that counts from 0 again is hard to have at the same address.
func TestClusterViews(t *testing.T) {
	t.Parallel()
	node := func(id, role, health string, ports ...string) string {
		fields := []string{"id", id, "ip", "10.0.0.1", "endpoint", "10.0.0.1", "role", role, "health", health}
		return array(bulks(append(fields, ports...)...)...)
	}
	shard := func(slots string, nodes ...string) string {
		return array(redistest.Bulk("slots"), slots, redistest.Bulk("nodes"), array(nodes...))
	}
	some := array(":0\r\n", ":9\r\n")
	for name, test := range map[string]struct {
		asked, reply, want, err string
	}{
		"TLS port when that was asked": {
			asked: "10.0.0.1:7", reply: array(shard(some, node("a", "master", "online", "port", "6", "tls-port", "7")), shard("*0\r\n", node("b", "master", "online", "port", "8", "tls-port", "9"))),
			want: "a = 10.0.0.1:7 x1 [], b = 10.0.0.1:9 x1 []",
		},
		"plain port when that was asked": {
			asked: "10.0.0.1:6", reply: array(shard(some, node("a", "master", "online", "port", "6", "tls-port", "7"))),
			want: "a = 10.0.0.1:6 x1 []",
		},
		"TLS port when there is no other": {
			asked: "10.0.0.9:1", reply: array(shard(some, node("a", "master", "online", "tls-port", "7"))),
			want: "a = 10.0.0.1:7 x1 []",
		},
		"the primary that has died beside its successor": {
			reply: array(shard(some, node("a", "master", "fail", "port", "6"), node("b", "master", "online", "port", "7"), node("c", "replica", "loading", "port", "8"))),
			want:  "b = 10.0.0.1:7 x1 []",
		},
		"a dead primary that still has its slots": {
			reply: array(shard(some, node("a", "master", "fail", "port", "6"), node("c", "replica", "online", "port", "8"))),
			want:  "a = 10.0.0.1:6 x1 [{10.0.0.1:8 }]",
		},
		"a shard without primary": {
			reply: array(shard(some, node("a", "master", "online", "port", "6")), shard("*0\r\n", node("c", "replica", "online", "port", "8"))),
			want:  "a = 10.0.0.1:6 x1 []",
		},
		"no slots":     {reply: array(shard("*0\r\n", node("a", "master", "online", "port", "6"))), err: "the node knows of nobody who serves a slot"},
		"too many":     {reply: array(shard(array(":0\r\n", ":16384\r\n"), node("a", "master", "online", "port", "6"))), err: "there are no slots 0 to 16384"},
		"half a range": {reply: array(shard(array(":0\r\n"), node("a", "master", "online", "port", "6"))), err: "CLUSTER SHARDS: a range of slots has no end"},
		"one id twice": {reply: array(shard(some, node("a", "master", "online", "port", "6")), shard(some, node("a", "master", "online", "port", "7"))), err: `the cluster names a node "a" twice or not at all`},
		"empty":        {reply: "*0\r\n", err: "the node knows of nobody who serves a slot"},
		"not an array": {reply: "+OK\r\n", err: "the node knows of nobody who serves a slot"},
	} {
		t.Run(name, func(t *testing.T) {
			reply, err := read(test.reply)
			if err != nil {
				t.Fatal(err)
			}
			var view *clusterView
			shards, err := readShards(reply, test.asked, "a")
			if err == nil {
				view, err = assemble(shards)
			}
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(text(view.update), ", "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// says is a node that tells something else with each look: an epoch, a state, and the id of who serves the slots.
func says(t *testing.T, tell func(look int) (epoch int, state, id string)) string {
	port := make(chan string, 1)
	here, look := "", 0
	fake := redistest.Node(t, redistest.Answer(func(args []string) string {
		if here == "" {
			here = <-port
		}
		if args[1] == "INFO" {
			look++
		}
		epoch, state, id := tell(look)
		switch args[1] {
		case "INFO":
			return redistest.Bulk(fmt.Sprintf("cluster_state:%s\r\ncluster_current_epoch:%d\r\n", state, epoch))
		case "SLOTS":
			return array(array(":0\r\n", ":9\r\n", array("$-1\r\n", ":"+here+"\r\n", redistest.Bulk(id))))
		}
		return "-ERR unknown subcommand\r\n"
	}))
	_, p, _ := net.SplitHostPort(fake.Addr())
	port <- p
	return fake.Addr()
}

// history returns the names of the first node of all updates.
func history(f *follower) (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.updates {
		list = append(list, names(u)[0])
	}
	return list
}

func TestClusterThatBeginsAnewIsBelievedAfterAWhile(t *testing.T) {
	t.Parallel()
	opt, book := options(t)
	source := NewCluster([]string{says(t, func(look int) (int, string, string) {
		switch {
		case look >= 10:
			return 1, "ok", "new"
		case look >= 2:
			return 1, "fail", "cut off"
		}
		return 7, "ok", "old"
	})}, opt)
	source.(*cluster).patience = 200 * time.Millisecond
	f := follow(t, source)
	f.await("the cluster that has begun anew", func(u Update) bool { return slices.Equal(names(u), []string{"new"}) })
	if got := history(f); !slices.Equal(got, []string{"old", "new"}) {
		t.Errorf("updates: %q", got)
	}
	if n := book.count("nodes tell of an older configuration"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func TestTheEpochOfANodeThatIsCutOffDoesNotCount(t *testing.T) {
	t.Parallel()
	opt, book := options(t)
	f := follow(t, NewCluster([]string{says(t, func(look int) (int, string, string) {
		switch look {
		case 1:
			return 7, "ok", "first"
		case 2:
			return 99, "fail", "cut off"
		}
		return 8, "ok", "second"
	})}, opt))
	f.await("the cluster that is well again", func(u Update) bool { return slices.Equal(names(u), []string{"second"}) })
	if got := history(f); !slices.Equal(got, []string{"first", "cut off", "second"}) {
		t.Errorf("updates: %q", got)
	}
	if n := book.count("cluster is not ok"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

func array(elems ...string) string {
	return fmt.Sprintf("*%d\r\n%s", len(elems), strings.Join(elems, ""))
}

func bulks(list ...string) []string {
	for i, s := range list {
		list[i] = redistest.Bulk(s)
	}
	return list
}
