package proxy

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// everywhere says whether all loops find a key at a node.
func everywhere(t testing.TB, srv *Server, key string, node int) bool {
	t.Helper()
	is := true
	for _, w := range srv.workers {
		redistest.Run(t, w.loop.Post, func() { is = is && w.pools[0].find([]byte(key)) == node })
	}
	return is
}

// moved returns a key that belongs to the first of two nodes, and to the second when that has more weight; and what gives them their weights, and returns when all
// loops know.
func moved(t testing.TB, srv *Server, prefix string) (key string, give func(node int)) {
	t.Helper()
	heavy := func(node int) {
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[node].Weight, p.Backends[1-node].Weight = 100, 1 }))
	}
	heavy(1)
	second := map[string]bool{}
	for i := range 100 {
		k := fmt.Sprint(prefix, i)
		redistest.WaitFor(t, "the loops to agree", func() bool { return everywhere(t, srv, k, 0) || everywhere(t, srv, k, 1) })
		second[k] = everywhere(t, srv, k, 1)
	}
	heavy(0)
	redistest.WaitFor(t, "a key that moves", func() bool {
		for k, is := range second {
			if is && everywhere(t, srv, k, 0) {
				key = k
			}
		}
		return key != ""
	})
	return key, func(node int) {
		t.Helper()
		heavy(node)
		redistest.WaitFor(t, "the loops to know", func() bool { return everywhere(t, srv, key, node) })
	}
}

// The key of a hot load moves to another node and back. From when all loops know of it, what is told is what the node has to which it belongs, and that is
// written to there alone. Its values are even on the first node and odd on the second.
func TestAHotKeyGetsAnotherNode(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 100 * time.Millisecond
		addresses := nodes(t, 2)
		srv := serve(t, keeping(t, mode, staleness(l)), addresses...)
		key, give := moved(t, srv, "k")
		var stop atomic.Bool
		var all sync.WaitGroup
		var reads, owner, last atomic.Int64 // owner: -1 while it changes
		owner.Store(-1)
		begin, replaced := time.Now(), make([]atomic.Int64, 1<<20) // when the next value of a value's own node was acknowledged
		var mu sync.Mutex
		var current [2]int64 // each node's value
		write := func(node int64) error {
			mu.Lock()
			defer mu.Unlock()
			c, err := redistest.Connect(addresses[node])
			if err != nil {
				return err
			}
			defer c.Close()
			n := last.Load() + 2
			n += (n + node) % 2
			err = expectOK(c.TryDo("SET", key, fmt.Sprint(n)))
			replaced[current[node]].Store(int64(time.Since(begin)))
			current[node] = n
			last.Store(n)
			return err
		}
		for node := range int64(2) {
			if err := write(node); err != nil {
				t.Fatal(err)
			}
		}
		all.Go(func() {
			for !stop.Load() {
				if node := owner.Load(); node >= 0 {
					if err := write(node); err != nil {
						t.Error(err)
						stop.Store(true)
					}
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		for range 4 {
			c := client(t, srv)
			all.Go(func() {
				for !stop.Load() {
					node, began := owner.Load(), int64(time.Since(begin))
					reply, err := c.TryDo("GET", key)
					n, ok := version(reply)
					if err != nil || !ok {
						t.Errorf("%q, %v", reply, err)
						stop.Store(true)
						return
					}
					if reads.Add(1); node < 0 || owner.Load() != node {
						continue
					}
					if next := replaced[n].Load(); n%2 != node || next != 0 && time.Duration(began-next) > bound(l) {
						t.Errorf("%d is told, which is of node %d; the owner is node %d, where %v before there was another", n, n%2, node, time.Duration(began-next))
						stop.Store(true)
					}
				}
			})
		}
		for i := range sized(100, 4) {
			node := 1 - i%2
			give(node)
			if err := write(int64(node)); err != nil {
				t.Fatal(err)
			}
			owner.Store(int64(node))
			before, kept := reads.Load(), keptReads(srv)
			until := time.Now().Add(3 * l)
			redistest.WaitFor(t, "reads", func() bool {
				return stop.Load() || reads.Load() > before+500 && keptReads(srv) > kept+100 && time.Now().After(until)
			})
			owner.Store(-1)
		}
		stop.Store(true)
		all.Wait()
		balanced(t, srv)
	})
}

// While loops do not agree whose a key is nothing of it is kept.
func TestNothingIsKeptWhileLoopsDisagree(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		srv := serve(t, keeping(t, mode, nil), nodes(t, 2)...)
		key, give := moved(t, srv, "k")
		c := client(t, srv)
		c.Do("SET", key, "v")
		untilKept(t, mode, c, key)
		e := entryOf(t, srv, key)
		stuck, done := make(chan struct{}), make(chan struct{})
		srv.workers[1].loop.Post(func() { <-stuck })
		go func() { // it waits for the loop
			defer close(done)
			reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0].Weight, p.Backends[1].Weight = 1, 100 }))
		}()
		redistest.WaitFor(t, "one loop to know", func() (is bool) {
			onLoop(t, srv, func(w *worker) { is = w.pools[0].find([]byte(key)) == 1 })
			return is
		})
		if _, ok := e.Begin(); ok || e.Watched(0) != nil {
			t.Error("the key is watched, or can be")
		}
		close(stuck)
		<-done
		give(1)
		c.Do("SET", key, "v")
		untilKept(t, mode, c, key)
	})
}

// The keys of a hot load move, warm, and back. No value is found older than somebody has seen it, here or in front of another Ringway.
func TestWarmScalingOfHotKeysKeepsHistories(t *testing.T) {
	inKeepingModesIfFull(t, func(t *testing.T, mode string) {
		addresses := nodes(t, 4)
		change := func(c *config.Config) {
			windowOf(1000*time.Millisecond, 0)(c)
			keeping(t, mode, nil)(c)
		}
		a := serve(t, change, addresses[:3]...)
		inMode(t, warmPlain, a)
		ck := newChecker(t, 8)
		ck.fill(a.Addr(0))
		ck.run(12, a.Addr(0))
		for _, n := range []int{4, 3} {
			scale(t, addresses[:n], a)
			onRing(t, n, a)
			kept := keptReads(a)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return ck.stop.Load() || keptReads(a) > kept+100 })
		}
		if ratio := ck.end(a); ratio < 0.99 {
			t.Errorf("%.2f%% of the reads found something", 100*ratio)
		}
	})
}

// A node that is full evicts what was read long ago. A key that is asked for all the time must not seem so because it is asked for here.
func TestAHotKeyIsNotEvicted(t *testing.T) {
	inKeepingModesIfFull(t, func(t *testing.T, mode string) {
		// evicted fills a node in three seconds or so, and goes on until the hot key is gone, or a good part of the others.
		evicted := func(t *testing.T, age time.Duration) bool {
			node := redistest.Server(t, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru", "--maxmemory-samples", "10", "--maxmemory-clients", "0")
			srv := serve(t, keeping(t, mode, func(h *config.HotKeys) {
				if h.MaxAge = age; age > time.Minute {
					noHeartbeat(h)
				}
			}), node.Addr())
			c, other := client(t, srv), redistest.Dial(t, node.Addr())
			c.Do("SET", "hot", "v")
			untilKept(t, mode, c, "hot")
			began, n, value := time.Now(), 0, strings.Repeat("x", 2000)
			evictions := func() int { return numberIn(node.Do("INFO", "stats"), "evicted_keys:") }
			for n < 10000 && (evictions() < 250 || age > time.Minute) {
				for ; time.Since(began) > time.Duration(n)*4*time.Millisecond; n++ {
					other.Do("SET", fmt.Sprint("other", n), value)
				}
				for range 20 {
					if c.Do("GET", "hot") == "$-1\r\n" {
						return true
					}
				}
			}
			t.Logf("after %v and %d keys, %d of which were evicted, the hot key is there; %d reads were answered with what is kept", time.Since(began), n, evictions(), keptReads(srv))
			return false
		}
		t.Run("read anew in time", func(t *testing.T) {
			t.Parallel()
			if evicted(t, 500*time.Millisecond) {
				t.Error("it was evicted")
			}
		})
		t.Run("never read anew", func(t *testing.T) {
			t.Parallel()
			if !evicted(t, time.Hour) {
				t.Error("it was not evicted: the test is no good")
			}
		})
	})
}

// numberIn returns a number of INFO.
func numberIn(info, name string) (n int) {
	if _, rest, ok := strings.Cut(info, name); ok {
		fmt.Sscan(rest, &n)
	}
	return n
}

// A node is frozen for a while. What is kept is told for as long as may be, and then the reads wait with the writes.
func TestTheOwnerOfAHotKeyIsFrozen(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		node := redistest.Server(t)
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, staleness(l))(c)
			c.Pools[0].Timeout = 10 * time.Second
		}, node.Addr())
		v := newVersions(t, "hot")
		v.setOn(client(t, srv))
		untilKept(t, mode, client(t, srv), "hot")
		v.readers(8, srv.Addr(0))
		v.writers(5*time.Millisecond, srv.Addr(0))
		for range sized(20, 1) {
			v.until(5000)
			node.Stop()
			frozen := time.Now()
			redistest.WaitFor(t, "the time to pass", func() bool { return time.Since(frozen) > sized(2*time.Second, time.Second) })
			node.Cont()
		}
		v.until(1000)
		if worst := v.finish(); worst > 0 {
			t.Errorf("a read was stale by %v, and all writes came from here", worst)
		}
		balanced(t, srv)
	})
}

// A primary is replaced by its replica, in several ways. Once its successor has acknowledged a write, nothing older is told.
func TestSentinelFailoverOfAHotKey(t *testing.T) {
	inNearMode(t, func(t *testing.T, mode string) {
		primary := redistest.Server(t)
		replica := redistest.Replica(t, primary)
		servers := map[string]*redistest.Redis{primary.Addr(): primary, replica.Addr(): replica}
		sentinels := redistest.StartSentinels(t, 3, redistest.Monitored{Name: "m0", Primary: primary})
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, func(h *config.HotKeys) { h.MaxAge = time.Hour })(c)
			p := &c.Pools[0]
			p.Sentinel = &config.Sentinel{Addresses: sentinels.Addrs(), Masters: []config.Master{{Name: "m0", Weight: 1}}}
			p.Timeout, p.ConnectTimeout, p.FailoverWait = 400*time.Millisecond, 300*time.Millisecond, 10*time.Second
		})
		c := client(t, srv)
		redistest.WaitFor(t, "the primary to be found", func() bool { return c.Do("SET", "hot", "0") == "+OK\r\n" })
		untilKept(t, mode, c, "hot")
		v := newVersions(t, "hot")
		v.lossy = true
		v.readers(4, srv.Addr(0))
		v.writers(2*time.Millisecond, srv.Addr(0))
		ways := []string{"SIGSTOP", "orderly"}
		if full() {
			ways = append(ways, "kill", "SIGSTOP", "orderly", "kill")
		}
		for _, way := range ways {
			v.until(2000)
			old := servers[sentinels.Primary("m0")]
			v.mayLose()
			now := ""
			switch way {
			case "SIGSTOP":
				old.Stop()
				now = sentinels.FailedOver("m0", old.Addr())
			case "kill":
				old.Kill()
				now = sentinels.FailedOver("m0", old.Addr())
			case "orderly":
				now = sentinels.Failover("m0")
			}
			redistest.WaitFor(t, "the loops to follow", func() bool {
				is := true
				for _, w := range srv.workers {
					redistest.Run(t, w.loop.Post, func() {
						ps := w.pools[0]
						is = is && ps.topo.nodes[ps.find([]byte("hot"))].Address() == now
					})
				}
				return is
			})
			v.until(100) // what was sent before has failed or is answered
			v.losesNothing()
			if way == "SIGSTOP" {
				old.Cont()
			} else if way == "kill" {
				old.Restart()
			}
			kept := keptReads(srv)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return keptReads(srv) > kept+100 })
			redistest.WaitFor(t, "the old primary to follow the new one", func() bool {
				info, err := old.TryDo("INFO", "replication") // a server that becomes a replica may end a client's connection
				return err == nil && strings.Contains(info, "master_link_status:up")
			})
		}
		if worst := v.finish(); worst > 0 {
			t.Errorf("a read was stale by %v", worst)
		}
		balanced(t, srv)
	})
}

// The slot of a hot key moves, and those of its copies; its owner changes places with its replica, and a node with a copy does: nothing is lost by any of
// that, and no read is old.
func TestAHotKeyInACluster(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		cluster := redistest.StartCluster(t, 3, 1)
		srv := serve(t, func(c *config.Config) {
			keeping(t, "near", func(h *config.HotKeys) { h.Mode, h.MaxAge = mode, time.Hour })(c)
			p := &c.Pools[0]
			p.Backends, p.Cluster = nil, &config.Cluster{Seeds: cluster.Addrs()}
			p.FailoverWait = 10 * time.Second
		})
		c := client(t, srv)
		redistest.WaitFor(t, "the cluster", func() bool { return c.Do("SET", "hot", "0") == "+OK\r\n" })
		untilKept(t, mode, c, "hot")
		v := newVersions(t, "hot")
		v.readers(4, srv.Addr(0))
		v.writers(2*time.Millisecond, srv.Addr(0))
		slot := clusterSlot([]byte("hot"))
		kept := func() {
			n := keptReads(srv)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return v.stop.Load() || keptReads(srv) > n+100 })
		}
		others := func() (list []int) { // that own slots but not the key
			for _, s := range []int{0, redistest.Slots / 2, redistest.Slots - 1} {
				if node := cluster.Owner(s); node != cluster.Owner(slot) {
					list = append(list, node)
				}
			}
			return list
		}
		for range sized(20, 2) {
			from := cluster.Owner(slot)
			cluster.MoveSlots(from, others()[0], slot)
			kept()
		}
		for i := range sized(20, 2) {
			if mode == "near" {
				break
			}
			list := others()
			tag := clusterSlot([]byte(tagAt(t, srv, cluster.Node(list[i%2]).Addr())))
			cluster.MoveSlots(list[i%2], list[1-i%2], tag)
			kept()
		}
		for range sized(10, 1) {
			cluster.Failover(cluster.ReplicasOf(cluster.Owner(slot))[0])
			kept()
			if mode == "copies" {
				cluster.Failover(cluster.ReplicasOf(others()[0])[0])
				kept()
			}
		}
		if worst := v.finish(); worst > 0 {
			t.Errorf("a read was stale by %v", worst)
		}
		balanced(t, srv)
	})
}

// tagAt returns the hash tag of copies at a node, when all loops know of one.
func tagAt(t testing.TB, srv *Server, address string) (tag string) {
	t.Helper()
	redistest.WaitFor(t, "the node to be known", func() bool {
		tag = ""
		onLoop(t, srv, func(w *worker) {
			topo := w.pools[0].topo
			for i, n := range topo.nodes {
				if topo.used[i] && n.Address() == address {
					tag = topo.copyTag(i)
				}
			}
		})
		return tag != ""
	})
	return tag
}

// Others write a key that is hot here, while its slot moves and its owner changes places with a replica. What was the owner hears of changes late, then, or not
// at all, and yet nothing is told beyond the bound.
func TestOthersWriteAHotKeyInACluster(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		cluster := redistest.StartCluster(t, 3, 1)
		in := func(mode string) *Server {
			srv := serve(t, func(c *config.Config) {
				keeping(t, "near", func(h *config.HotKeys) { h.Mode, h.MaxStaleness = mode, l })(c)
				p := &c.Pools[0]
				p.Backends, p.Cluster = nil, &config.Cluster{Seeds: cluster.Addrs()}
				p.FailoverWait = 10 * time.Second
			})
			found(t, srv)
			return srv
		}
		srv, other := in(mode), in("off")
		v := newVersions(t, "hot")
		v.setOn(client(t, other))
		untilKept(t, mode, client(t, srv), "hot")
		v.readers(4, srv.Addr(0))
		v.writers(20*time.Millisecond, other.Addr(0))
		slot := clusterSlot([]byte("hot"))
		kept := func() {
			n := keptReads(srv)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return v.stop.Load() || keptReads(srv) > n+100 })
		}
		for range sized(20, 2) {
			cluster.Failover(cluster.ReplicasOf(cluster.Owner(slot))[0])
			kept()
			from := cluster.Owner(slot)
			to := cluster.Owner(redistest.Slots / 2)
			if to == from {
				to = cluster.Owner(0)
			}
			cluster.MoveSlots(from, to, slot)
			kept()
		}
		if worst := v.finish(); worst > bound(l) {
			t.Errorf("a read was stale by %v", worst)
		}
		balanced(t, srv)
	})
}

// The owner of a hot key in a cluster dies, and a node with a copy. Once the successor has acknowledged a write, nothing older is told.
func TestANodeOfAClusterDies(t *testing.T) {
	modes := sized(keepingModes, keepingModes[1:])
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) { aNodeDies(t, mode) })
	}
}

func aNodeDies(t *testing.T, mode string) {
	cluster := redistest.StartCluster(t, 3, 1)
	srv := serve(t, func(c *config.Config) {
		keeping(t, "near", func(h *config.HotKeys) { h.Mode, h.MaxAge = mode, time.Hour })(c)
		p := &c.Pools[0]
		p.Backends, p.Cluster = nil, &config.Cluster{Seeds: cluster.Addrs()}
		p.Timeout, p.ConnectTimeout, p.FailoverWait = 400*time.Millisecond, 300*time.Millisecond, 10*time.Second
	})
	found(t, srv)
	c := client(t, srv)
	c.Do("SET", "hot", "0")
	untilKept(t, mode, c, "hot")
	v := newVersions(t, "hot")
	v.lossy = true
	v.readers(4, srv.Addr(0))
	v.writers(2*time.Millisecond, srv.Addr(0))
	slot := clusterSlot([]byte("hot"))
	for i := range sized(6, 1) {
		v.until(1000)
		dies := slot
		if i%2 == 1 {
			dies = (slot + redistest.Slots/2) % redistest.Slots
		}
		old := cluster.Node(cluster.Owner(dies))
		now, key := cluster.Node(cluster.ReplicasOf(cluster.Owner(dies))[0]), []byte(keyInSlot(dies, "k"))
		v.mayLose()
		old.Kill()
		redistest.WaitFor(t, "the loops to follow", func() bool {
			is := true
			for _, w := range srv.workers {
				redistest.Run(t, w.loop.Post, func() {
					ps := w.pools[0]
					is = is && ps.topo.nodes[ps.find(key)].Address() == now.Addr()
				})
			}
			return is
		})
		v.until(100) // what was sent before has failed or is answered
		v.losesNothing()
		kept := keptReads(srv)
		redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return v.stop.Load() || keptReads(srv) > kept+100 })
		if full() {
			old.Restart()
			cluster.Settle()
		}
	}
	if worst := v.finish(); worst > 0 {
		t.Errorf("a read was stale by %v", worst)
	}
	balanced(t, srv)
}

// A node that does not serve a slot any more, and answers PING, is not one whose word is kept: others may take writes for it.
func TestANodeOfAClusterGivesASlotUp(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		cluster := redistest.StartCluster(t, 3, 0)
		srv := serve(t, func(c *config.Config) {
			keeping(t, "near", func(h *config.HotKeys) { h.Mode, h.MaxStaleness = mode, l })(c)
			p := &c.Pools[0]
			p.Backends, p.Cluster = nil, &config.Cluster{Seeds: cluster.Addrs()}
			p.Timeout, p.FailoverWait = 100*time.Millisecond, 100*time.Millisecond
		})
		found(t, srv)
		c := client(t, srv)
		c.Do("SET", "hot", "v")
		untilKept(t, mode, c, "hot")
		slot := clusterSlot([]byte("hot"))
		owner := cluster.Node(cluster.Owner(slot))
		want(t, "CLUSTER DELSLOTS", owner.Do("CLUSTER", "DELSLOTS", fmt.Sprint(slot)), "+OK\r\n")
		gone := time.Now()
		for late := time.Duration(0); ; late = time.Since(gone) {
			if reply := c.Do("GET", "hot"); reply[0] == '-' {
				break
			} else if late > bound(l) {
				t.Fatalf("%q, %v after the slot was given up", reply, late)
			}
		}
		want(t, "CLUSTER ADDSLOTS", owner.Do("CLUSTER", "ADDSLOTS", fmt.Sprint(slot)), "+OK\r\n")
		untilKept(t, mode, c, "hot")
	})
}

// A key that is not there may be made at the node that its slot is moving to, and the one that still owns it does not tell of that.
func TestAMissingHotKeyIsMadeWhereItsSlotIsMoving(t *testing.T) {
	inNearMode(t, func(t *testing.T, mode string) {
		const l = 200 * time.Millisecond
		cluster := redistest.StartCluster(t, 2, 0)
		srv := serve(t, func(c *config.Config) {
			keeping(t, mode, func(h *config.HotKeys) { h.MaxStaleness, h.MaxAge = l, time.Hour })(c)
			p := &c.Pools[0]
			p.Backends, p.Cluster = nil, &config.Cluster{Seeds: cluster.Addrs()}
		})
		c := client(t, srv)
		redistest.WaitFor(t, "the cluster", func() bool { return c.Do("GET", "hot") == "$-1\r\n" })
		untilKept(t, mode, c, "hot")
		var slot int
		fmt.Sscanf(cluster.Node(0).Do("CLUSTER", "KEYSLOT", "hot"), ":%d", &slot)
		from := cluster.Owner(slot)
		cluster.StartMove(from, 1-from, slot)
		other := redistest.Dial(t, cluster.Node(1-from).Addr())
		other.Do("ASKING")
		want(t, "SET", other.Do("SET", "hot", "new"), "+OK\r\n")
		made := time.Now()
		for late := time.Duration(0); ; late = time.Since(made) {
			if reply := c.Do("GET", "hot"); reply == redistest.Bulk("new") {
				break
			} else if reply != "$-1\r\n" || late > bound(l) {
				t.Fatalf("%q, %v after it was made", reply, late)
			}
		}
		cluster.FinishMove(from, 1-from, slot)
		untilKept(t, mode, c, "hot")
	})
}

// clientOn connects a client whose session is on a certain loop.
func clientOn(t testing.TB, srv *Server, loop int) *redistest.Conn {
	t.Helper()
	for range 100 {
		c := client(t, srv)
		id, is := uint64(numberIn(c.Do("CLIENT", "ID"), ":")), false
		redistest.Run(t, srv.workers[loop].loop.Post, func() {
			for s := srv.workers[loop].sessions; s != nil; s = s.next {
				is = is || s.id == id
			}
		})
		if is {
			return c
		}
		c.Close()
	}
	t.Fatalf("no client of a hundred is on loop %d", loop)
	return nil
}

// The loop that a node tells of changes has no processor. The other one sees that there is news, and tells nothing old meanwhile.
func TestALoopThatDoesNotHearItsNode(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		node := nodes(t, 1)[0]
		srv := serve(t, keeping(t, mode, staleness(time.Hour)), node)
		c, direct := clientOn(t, srv, 1), redistest.Dial(t, node)
		c.Do("SET", "hot", "0")
		for i := range 20 {
			untilKept(t, mode, c, "hot")
			lease, value := entryOf(t, srv, "hot").Watched(0).Lease, fmt.Sprint(i+1)
			stuck := make(chan struct{})
			srv.workers[0].loop.Post(func() { <-stuck })
			want(t, "SET past the router", direct.Do("SET", "hot", value), "+OK\r\n")
			redistest.WaitFor(t, "news", func() bool { return !lease.Heard() })
			for range 100 {
				want(t, "GET", c.Do("GET", "hot"), redistest.Bulk(value))
			}
			close(stuck)
		}
		balanced(t, srv)
	})
}
