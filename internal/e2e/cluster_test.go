package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

var clusterKinds = []struct {
	name  string
	start func(t testing.TB, primaries, replicas int, args ...string) *redistest.Cluster
}{{"redis", redistest.StartCluster}, {"valkey", redistest.StartValkeyCluster}}

// inFront serves a pool in front of a cluster.
func inFront(t *testing.T, cl *redistest.Cluster, options map[string]string) *router {
	t.Helper()
	all := map[string]string{"timeout": "1s", "connect_timeout": "300ms", "failover_wait": "15s"}
	for k, v := range options {
		all[k] = v
	}
	return serve(t, pool{options: all, source: fmt.Sprintf("    cluster: {seeds: [%s]}\n", strings.Join(cl.Addrs()[:2], ", "))})
}

const clusterMix = "sssgggmmMMddiitteEbw"

// Slots move by the thousand under load of clients that check every reply. Nobody sees it.
func TestClusterReshardUnderLoad(t *testing.T) {
	for _, kind := range clusterKinds {
		t.Run(kind.name, func(t *testing.T) {
			cl := kind.start(t, 3, 1)
			r := inFront(t, cl, nil)
			shards := subscribeShards(t, r.addr(), 32, true)
			v := load(t, r.addr(), verifiedOptions{mix: clusterMix, depth: 4})
			v.letRun(500 * time.Millisecond)
			began := v.now()
			from, to := cl.Owner(0), cl.Owner(16383)
			n := size(2000, 200)
			for first := 0; first < n && !v.stop.Load(); first += 100 {
				var slots []int
				for slot := first; slot < first+100; slot++ {
					slots = append(slots, slot)
				}
				cl.MoveSlots(from, to, slots...)
			}
			took := v.now() - began
			v.letRun(time.Second)
			all := v.finish()
			shards.stop(t)
			t.Logf("%d slots in %v, %d requests meanwhile, p99 %v, before %v; the longest %v; %v requests sent again; %d EXECs of watched keys said nil; errors: %s", n, took.Round(time.Millisecond),
				len(during(all, began, began+took)), quantile(during(all, began, began+took), 0.99), quantile(during(all, 0, began), 0.99),
				quantile(all, 1).Round(time.Millisecond), r.metric(t, "ringway_retries_total"), v.nils.Load(), kinds(failures(all)))
			for _, h := range failures(all) {
				if strings.HasPrefix(h.failed, "-TRYAGAIN") { // a write with several keys that another write of its pipeline has overtaken
					continue
				}
				t.Fatalf("a request failed: %v", h)
			}
		})
	}
}

// A primary dies, and another one gives its place up, under the same load.
func TestClusterFailoverUnderLoad(t *testing.T) {
	for _, kind := range clusterKinds {
		t.Run(kind.name, func(t *testing.T) {
			cl := kind.start(t, 3, 1)
			r := inFront(t, cl, nil)
			group := groupBySlot(cl)
			t.Run("CLUSTER FAILOVER", func(t *testing.T) {
				primary := cl.Owner(0)
				shards := subscribeShards(t, r.addr(), 8, false)
				v := load(t, r.addr(), verifiedOptions{mix: clusterMix, group: group})
				v.letRun(500 * time.Millisecond)
				began := v.now()
				cl.Failover(cl.ReplicasOf(primary)[0])
				v.letRun(size(3*time.Second, time.Second))
				all := v.finish()
				shards.stop(t)
				t.Logf("%d requests, the longest %v, %d errors: %s", len(all), quantile(during(all, began, v.now()), 1).Round(time.Millisecond), len(failures(all)), kinds(failures(all)))
				for _, h := range failures(all) {
					t.Fatalf("a request failed: %v", h)
				}
			})
			t.Run("kill", func(t *testing.T) {
				primary := cl.Owner(16383)
				shards := subscribeShards(t, r.addr(), 8, false)
				v := load(t, r.addr(), verifiedOptions{mix: clusterMix, group: group, lossy: true, mayLose: 2})
				v.letRun(500 * time.Millisecond)
				began := v.now()
				cl.Node(primary).Kill()
				cl.Settle()
				took := v.now() - began
				v.letRun(size(3*time.Second, time.Second))
				all := v.finish()
				shards.stop(t)
				failed := failures(all)
				t.Logf("%d requests, the cluster was well after %v, the longest request took %v, %d acknowledged writes lost, %d errors: %s", len(all), took.Round(time.Millisecond),
					quantile(during(all, began, v.now()), 1).Round(time.Millisecond), v.lost.Load(), len(failed), kinds(failed))
				for _, h := range failed {
					if !h.touches(2) || !strings.Contains(h.failed, "lost the connection") && !strings.Contains(h.failed, "closed the connection") {
						t.Fatalf("a request failed: %v", h)
					}
				}
				cl.Node(primary).Restart()
				cl.Settle()
			})
		})
	}
}

// groupBySlot tells keys apart by the primary that has their slot in the beginning: 0, 1 or 2.
func groupBySlot(cl *redistest.Cluster) func(key string) int {
	return func(key string) int { return min(2, slotOf(key)*3/redistest.Slots) }
}

func slotOf(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if n := strings.IndexByte(key[open+1:], '}'); n > 0 {
			key = key[open+1 : open+1+n]
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % redistest.Slots
}

// shards is a listener to shard channels, and somebody who publishes in them.
type shards struct {
	end                atomic.Bool
	done               chan error
	strict             bool // messages come in order: while a primary is replaced the cluster itself may pass one on late
	heard, twice, late atomic.Int64
	unsent             atomic.Int64 // published when nobody listened
}

// subscribeShards listens to so many shard channels, and publishes numbers in each. A number may not come, while its channel moves, but none
// may come out of order or in another channel, and in the end all channels must be heard again.
func subscribeShards(t *testing.T, addr string, n int, strict bool) *shards {
	t.Helper()
	sh := &shards{strict: strict, done: make(chan error, 2)}
	sub := redistest.Dial(t, addr)
	for i := range n {
		if got := sub.Do("SSUBSCRIBE", fmt.Sprintf("news:%d", i)); got[0] != '*' {
			t.Fatalf("SSUBSCRIBE: %q", got)
		}
	}
	last := make([]atomic.Int64, n)
	go func() {
		c, err := redistest.Connect(addr)
		if err != nil {
			sh.done <- err
			return
		}
		defer c.Close()
		number := int64(0)
		publish := func(i int) error {
			number++
			reply, err := c.TryDo("SPUBLISH", fmt.Sprintf("news:%d", i), fmt.Sprint(number))
			switch {
			case err != nil:
				return err
			case reply != ":1\r\n":
				sh.unsent.Add(1)
			}
			return nil
		}
		for !sh.end.Load() {
			for i := range n {
				if err := publish(i); err != nil {
					sh.done <- err
					return
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		for i := range n { // all are heard in the end
			target := number
			for end := time.Now().Add(redistest.Patience); last[i].Load() <= target; {
				if err := publish(i); err != nil || time.Now().After(end) {
					sh.done <- fmt.Errorf("channel %d is heard no more: %v", i, err)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
		sh.done <- nil
	}()
	go func() {
		before := map[int64]bool{}
		for {
			b, err := sub.TryRecv(nil)
			if err != nil {
				if !sh.end.Load() {
					sh.done <- fmt.Errorf("the subscriber: %w", err)
				}
				return
			}
			elems, err := elementsOf(string(b))
			var i int
			var number int64
			if err == nil && len(elems) == 3 && elems[0] == redistest.Bulk("smessage") {
				if _, err = fmt.Sscanf(strings.SplitN(elems[1], "\r\n", 2)[1], "news:%d", &i); err == nil {
					_, err = fmt.Sscanf(strings.SplitN(elems[2], "\r\n", 2)[1], "%d", &number)
				}
			} else {
				err = fmt.Errorf("no message")
			}
			if err == nil && before[number] {
				sh.twice.Add(1) // the old primary had passed it on to the new one
				continue
			}
			before[number] = true
			if err == nil && i < n && number < last[i].Load() && !sh.strict {
				sh.late.Add(1)
				continue
			}
			if err != nil || i >= n || number < last[i].Load() {
				sh.done <- fmt.Errorf("the subscriber got %q, %v", b, err)
				return
			}
			last[i].Store(number)
			sh.heard.Add(1)
		}
	}()
	return sh
}

func (sh *shards) stop(t *testing.T) {
	t.Helper()
	sh.end.Store(true)
	if err := <-sh.done; err != nil {
		t.Fatal(err)
	}
	t.Logf("shard channels: %d messages heard, %d twice, %d out of order, %d published when nobody listened", sh.heard.Load(), sh.twice.Load(), sh.late.Load(), sh.unsent.Load())
}

// Reads go to a cluster's replicas, which want to be told so, and follow the slots there too.
func TestClusterReplicasAreRead(t *testing.T) {
	for _, kind := range clusterKinds {
		t.Run(kind.name, func(t *testing.T) {
			cl := kind.start(t, 3, 1)
			r := inFront(t, cl, map[string]string{"read_policy": "prefer-replica", "read_own_writes": "2s"})
			c, writes := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
			var keys []string
			for i := range 100 {
				keys = append(keys, fmt.Sprint("k", i))
				writes.Do("SET", keys[i], keys[i])
			}
			for i := range 3 {
				redistest.WaitFor(t, "the replica to have the writes", func() bool {
					return cl.Node(3+i).Do("DBSIZE") == cl.Node(i).Do("DBSIZE")
				})
			}
			reads := func(node int) int { return calls(cl.Node(node), "get") + calls(cl.Node(node), "mget") }
			read := func() {
				for _, k := range keys {
					if got := c.Do("GET", k); got != redistest.Bulk(k) {
						t.Fatalf("GET %s: %q", k, got)
					}
				}
				if got := c.Do(slices.Concat([]string{"MGET"}, keys)...); !strings.HasPrefix(got, "*100\r\n") || strings.Contains(got, "$-1") {
					t.Fatalf("MGET: %q", got)
				}
			}
			redistest.WaitFor(t, "reads to go to the replicas alone", func() bool {
				var before [6]int
				for i := range before {
					before[i] = reads(i)
				}
				read()
				return reads(0) == before[0] && reads(1) == before[1] && reads(2) == before[2] && reads(3) > before[3] && reads(4) > before[4] && reads(5) > before[5]
			})
			t.Run("a replica that dies", func(t *testing.T) {
				v := load(t, r.addr(), verifiedOptions{mix: "sggmM", pause: 4 * time.Millisecond})
				v.letRun(300 * time.Millisecond)
				cl.Node(3).Kill()
				v.letRun(time.Second)
				all := v.finish()
				if failed := failures(all); len(failed) > 0 {
					t.Errorf("%d of %d requests failed: %s", len(failed), len(all), kinds(failed))
				}
				cl.Node(3).Restart()
				cl.Settle()
			})
			for _, k := range keys { // the load has begun with an empty pool
				writes.Do("SET", k, k)
			}
			t.Run("slots that move", func(t *testing.T) {
				var slots []int
				for i := range 30 {
					if s := slotOf(keys[i]); cl.Owner(s) == 0 {
						slots = append(slots, s)
					}
				}
				cl.MoveSlots(0, 1, slots...)
				redistest.WaitFor(t, "the replica of the new node to have the keys", func() bool {
					return cl.Node(4).Do("DBSIZE") == cl.Node(1).Do("DBSIZE")
				})
				read()
			})
		})
	}
}

// calls is how often a server has run a command.
func calls(n *redistest.Redis, command string) (count int) {
	for line := range strings.Lines(n.Do("INFO", "commandstats")) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			fmt.Sscanf(rest, "%d", &count)
		}
	}
	return count
}
