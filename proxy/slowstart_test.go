package proxy

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"ringway/hashring"
	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/pool"
)

// placementOf places five nodes of which some are on their way back, those that began first first.
func placementOf(t testing.TB, opt hashring.Options, slow ...returning) (at func(now time.Time, over time.Duration) *topology) {
	t.Helper()
	p := &placement{slow: slow}
	var owners []uint16
	var all []hashring.Node
	for i := range 5 {
		p.nodes = append(p.nodes, pool.NewNode(fmt.Sprint("n", i), "", nil))
		p.owners = append(p.owners, member{node: i, weight: 1})
		owners = append(owners, uint16(i))
		all = append(all, hashring.Node{Name: p.nodes[i].Name, Weight: 1})
	}
	if err := p.build(opt); err != nil {
		t.Fatal(err)
	}
	ring, err := hashring.New(all, opt)
	if err != nil {
		t.Fatal(err)
	}
	return func(now time.Time, over time.Duration) *topology {
		topo := newTopology(p.nodes, ring, owners, nil)
		topo.slow = p.earlier(now, over)
		return topo
	}
}

func TestSlowStartMovesEachKeyOnce(t *testing.T) {
	const over = time.Minute
	begun := time.Unix(1_700_000_000, 0)
	var keys [][]byte
	for i := range 3000 {
		keys = append(keys, fmt.Appendf(nil, "key:%d", i))
	}
	cases := map[string][]returning{
		"one":                {{1, begun}},
		"one after another":  {{1, begun}, {3, begun.Add(over / 2)}},
		"three at once":      {{4, begun}, {0, begun}, {2, begun.Add(time.Second)}},
		"one when another's": {{2, begun}, {1, begun.Add(over - time.Second)}},
	}
	for name, slow := range cases {
		for _, distribution := range []string{"consistent", "ketama", "modula", "crc16"} {
			t.Run(name+"/"+distribution, func(t *testing.T) {
				topologyAt := placementOf(t, hashring.Options{Distribution: distribution}, slow...)
				at := make([]int, len(keys))
				moves := make([]int, len(keys))
				for i, k := range keys {
					at[i] = topologyAt(begun, over).at(k)
				}
				before := slices.Clone(at)
				var share []int // keys of the first that returns, by step
				for now := begun; now.Before(begun.Add(2*over + time.Second)); now = now.Add(over / slowSteps) {
					topo := topologyAt(now, over)
					n := 0
					for i, k := range keys {
						if node := topo.at(k); node != at[i] {
							at[i] = node
							moves[i]++
						}
						if at[i] == slow[0].node {
							n++
						}
					}
					share = append(share, n)
				}
				full := topologyAt(begun.Add(2*over), over)
				if full.slow != nil {
					t.Error("it never ends")
				}
				for i, k := range keys {
					switch {
					case moves[i] > len(slow):
						t.Fatalf("%s has moved %d times", k, moves[i])
					case len(slow) == 1 && moves[i] != one(before[i] != at[i]):
						t.Fatalf("%s has moved %d times from %d to %d", k, moves[i], before[i], at[i])
					case at[i] != full.at(k):
						t.Fatalf("%s ends at %d, and belongs to %d", k, at[i], full.at(k))
					}
				}
				if slow[0].since == slow[len(slow)-1].since {
					half, all := share[slowSteps/2], share[len(share)-1]
					if share[0] != 0 || half < all*4/10 || half > all*6/10 {
						t.Errorf("after no time it has %d keys, after half %d, in the end %d", share[0], half, all)
					}
				}
			})
		}
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// at finds a key as a loop does.
func (t *topology) at(key []byte) int { return (&poolState{topo: t}).find(key) }

func TestSlowStartKeepsKeysOfOneTagTogether(t *testing.T) {
	begun := time.Unix(1_700_000_000, 0)
	topologyAt := placementOf(t, hashring.Options{HashTag: "{}"}, returning{1, begun})
	for step := range 20 {
		topo := topologyAt(begun.Add(time.Duration(step)*time.Second), 20*time.Second)
		for i := range 500 {
			if x, y := topo.at(fmt.Appendf(nil, "{%d}:a", i)), topo.at(fmt.Appendf(nil, "b:{%d}", i)); x != y {
				t.Fatalf("step %d: the keys of tag %d are on %d and %d", step, i, x, y)
			}
		}
	}
}

func TestShareOfAReturningNode(t *testing.T) {
	begun := time.Unix(1_700_000_000, 0)
	r := returning{0, begun}
	for passed, want := range map[time.Duration]float64{0: 0, time.Second: 0.1, 5 * time.Second: 0.5, 10 * time.Second: 1, time.Hour: 1} {
		if got := float64(r.share(begun.Add(passed), 10*time.Second)) / math.MaxUint32; math.Abs(got-want) > 1e-6 {
			t.Errorf("after %v: %v, want %v", passed, got, want)
		}
	}
	if r.share(begun, 0) != math.MaxUint32 {
		t.Error("without slow_start it waits")
	}
}

// A node that returns gets more and more of its keys, a blocked client follows its key, and in the end all is as it was.
func TestSlowStart(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t), redistest.Server(t)}
	srv := serve(t, func(c *config.Config) {
		ejecting(&c.Pools[0])
		checked(&c.Pools[0])
		c.Pools[0].SlowStart = time.Second
		c.Threads = 2
	}, servers[0].Addr(), servers[1].Addr(), servers[2].Addr())
	var keys [][]byte
	for i := range 1000 {
		keys = append(keys, fmt.Appendf(nil, "key:%d", i))
	}
	owned := func() (n int, slow bool) {
		onLoop(t, srv, func(w *worker) {
			for _, k := range keys {
				n += one(w.pools[0].find(k) == 1)
			}
			slow = w.pools[0].topo.slow != nil
		})
		return n, slow
	}
	all, _ := owned()
	list := keyOf(t, srv, 1, "list")
	servers[1].Kill()
	redistest.WaitFor(t, "its ejection", func() bool { n, _ := owned(); return n == 0 })
	settled(t, srv)
	blocked, c := client(t, srv), client(t, srv)
	blocked.Send("BLPOP", list, "0")
	blocked.Flush()
	servers[1].Restart()
	seen := []int{0}
	redistest.WaitFor(t, "all its keys", func() bool {
		if got := c.Do("SET", "key:1", "v"); got != "+OK\r\n" {
			t.Fatalf("SET: %q", got)
		}
		n, slow := owned()
		if n < seen[len(seen)-1] {
			t.Fatalf("it had %d keys, and then %d", seen[len(seen)-1], n)
		}
		seen = append(seen, n)
		return n == all && !slow
	})
	if steps := len(slices.Compact(seen)); steps < 5 {
		t.Errorf("its keys came in %d steps: %v", steps, slices.Compact(seen))
	}
	if got := blocked.Recv(); got != "-UNBLOCKED key's owner has changed\r\n" && got[:10] != "-UNBLOCKED" {
		t.Errorf("BLPOP of a key that has moved: %q", got)
	}
	balanced(t, srv)
}

func TestSlowStartEndsWithTheServersOfItsPool(t *testing.T) {
	servers := []*redistest.Redis{redistest.Server(t), redistest.Server(t)}
	srv := serve(t, onPool(func(p *config.Pool) {
		ejecting(p)
		checked(p)
		p.SlowStart = 5 * time.Second
	}), servers[0].Addr(), servers[1].Addr())
	servers[1].Kill()
	redistest.WaitFor(t, "its ejection", func() bool { return slices.Equal(outNow(srv), []int{1}) })
	servers[1].Restart()
	d := srv.pool(0).director
	stepping := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.stepping
	}
	redistest.WaitFor(t, "its slow start", stepping)
	reloadWith(t, srv, func(c *config.Config) {
		front := config.DefaultPool()
		front.Name, front.Listen, front.Routes = c.Pools[0].Name, c.Pools[0].Listen, []config.Route{{Pool: "other"}}
		c.Pools = []config.Pool{front, poolOf("other", servers[0].Addr())}
	})
	redistest.WaitFor(t, "the step that was on its way", func() bool { return !stepping() })
	want(t, "SET", client(t, srv).Do("SET", "k", "v"), "+OK\r\n")
	balanced(t, srv)
}
