package hashring

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestTheOrderOfTheListMeansNothing(t *testing.T) {
	nodes := nodeList("node-0", 1, "node-1", 3, "node-10", 2, "a", 1, "10.0.0.1:6379", 2, "longest-name-of-all", 1)
	for _, d := range Distributions() {
		if d == "random" || d == "list" {
			continue
		}
		t.Run(d, func(t *testing.T) {
			first := mustNew(t, nodes, Options{Distribution: d})
			for seed := range uint64(6) {
				shuffled := slices.Clone(nodes)
				rand.New(rand.NewPCG(seed, 0)).Shuffle(len(nodes), func(i, j int) {
					shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
				})
				r := mustNew(t, shuffled, Options{Distribution: d})
				for i := range 5000 {
					key := fmt.Appendf(nil, "key:%d", i)
					a, b := first.Node(first.Find(key)).Name, r.Node(r.Find(key)).Name
					if a != b {
						t.Fatalf("list %v: %s is on %s, want %s", shuffled, key, b, a)
					}
					succ, want := names(r, r.Successors(nil, key, 5)), names(first, first.Successors(nil, key, 5))
					if !slices.Equal(succ, want) {
						t.Fatalf("list %v: successors of %s are %v, want %v", shuffled, key, succ, want)
					}
				}
			}
		})
	}
}

func names(r *Ring, nodes []int) []string {
	var s []string
	for _, n := range nodes {
		s = append(s, r.Node(n).Name)
	}
	return s
}

func TestHashTag(t *testing.T) {
	plain := make(map[string]*Ring)
	for _, d := range Distributions() {
		plain[d] = mustNew(t, equalNodes(30), Options{Distribution: d})
	}
	for _, c := range []struct{ tag, key, want string }{
		{"{}", "user:1000", "user:1000"},
		{"{}", "{user:1000}:cart", "user:1000"},
		{"{}", "a{b}c{d}", "b"},
		{"{}", "a{}b{c}", "a{}b{c}"},
		{"{}", "a{{b}}c", "{b"},
		{"{}", "}a{b}", "b"},
		{"{}", "a{b", "a{b"},
		{"{}", "a}b", "a}b"},
		{"{}", "{", "{"},
		{"{}", "", ""},
		{"{}", "{\xff}", "\xff"},
		{"$$", "a$b$c", "b"},
		{"$$", "a$$b$c", "a$$b$c"},
		{"[)", "a[b)", "b"},
		{"", "a{b}c", "a{b}c"},
	} {
		for _, d := range Distributions() {
			r := mustNew(t, equalNodes(30), Options{Distribution: d, HashTag: c.tag})
			if got := string(r.Tag([]byte(c.key))); got != c.want {
				t.Errorf("%s, hash tag %q: of %q is hashed %q, want %q", d, c.tag, c.key, got, c.want)
			}
			if d != "random" && r.Find([]byte(c.key)) != plain[d].Find([]byte(c.want)) {
				t.Errorf("%s, hash tag %q: %q isn't placed as %q is", d, c.tag, c.key, c.want)
			}
		}
	}
}

func TestPartitionIsWhatDecides(t *testing.T) {
	for _, opt := range []Options{{HashTag: "{}"}, {Hash: "murmur"}, {Hash: "crc32"}, {Distribution: "crc16", HashTag: "{}"}} {
		r := mustNew(t, equalNodes(7), opt)
		for i := range 2000 {
			key := fmt.Appendf(nil, "a{%d}b%d", i/3, i)
			p, ok := r.Partition(key)
			if !ok || p < 0 || p >= Partitions || int(r.table[p]) != r.Find(key) {
				t.Fatalf("%+v: partition of %s is %d, %v; its owner %d, the key's %d", opt, key, p, ok, r.table[p], r.Find(key))
			}
		}
	}
	for _, d := range []string{"ketama", "modula", "random"} {
		if p, ok := mustNew(t, equalNodes(7), Options{Distribution: d}).Partition([]byte("a")); ok {
			t.Errorf("%s: partition %d, want none", d, p)
		}
	}
}

func TestTheEmptyKeyHashesToZero(t *testing.T) {
	for _, name := range Hashes() {
		r := mustNew(t, equalNodes(9), Options{Distribution: "modula", Hash: name})
		if n := r.Find(nil); n != 0 {
			t.Errorf("%s: the empty key is on node %d, want 0", name, n)
		}
	}
}

func TestModulaCountsWeightsInTwemproxysOrder(t *testing.T) {
	// Shorter names first, then by bytes: b, c, aa.
	r := mustNew(t, nodeList("aa", 1, "c", 2, "b", 3), Options{Distribution: "modula"})
	var got []string
	for h := range uint32(8) {
		got = append(got, r.Node(r.wheel.find(h)).Name)
	}
	if want := "b b b c c aa b b"; strings.Join(got, " ") != want {
		t.Errorf("hashes 0 to 7 belong to %v, want %s", got, want)
	}
}

func TestCRC16GivesRangesInOrderOfName(t *testing.T) {
	r := mustNew(t, nodeList("c", 2, "a", 1, "b", 1), Options{Distribution: "crc16"})
	for p, n := range r.table {
		want := "c"
		if p < 4096 {
			want = "a"
		} else if p < 8192 {
			want = "b"
		}
		if got := r.Node(int(n)).Name; got != want {
			t.Fatalf("slot %d belongs to %s, want %s", p, got, want)
		}
	}
}

func TestRandomIgnoresKeysAndWeights(t *testing.T) {
	r := mustNew(t, nodeList("a", 1, "b", 1000, "c", 1), Options{Distribution: "random", Hash: "fnv1a_64"})
	count := make([]int, 3)
	for range 30_000 {
		count[r.Find([]byte("same"))]++
	}
	for i, n := range count {
		if n < 9_500 || n > 10_500 { // six sigma
			t.Errorf("node %d was chosen %d times of 30000, want about 10000", i, n)
		}
	}
}

func TestSuccessors(t *testing.T) {
	for _, d := range Distributions() {
		t.Run(d, func(t *testing.T) {
			opt := Options{Distribution: d, HashTag: "{}"}
			if d == "ketama" {
				opt.Hash = "murmur" // fnv1a_64 puts keys that differ in three digits on three points
			}
			r := mustNew(t, weighted(6, func(i int) int { return 1 + i%2 }), opt)
			dst := make([]int, 0, 8)
			first := make(map[[2]int]bool) // owner and its first successor
			for i := range 2000 {
				key := fmt.Appendf(nil, "k%d{user:%d}", i, 1000+i%500)
				owner := r.Find(key)
				for n := range 9 {
					dst = r.Successors(dst, key, n)
					if len(dst) != min(n, 5) {
						t.Fatalf("%d successors of %s wanted, got %v", n, key, dst)
					}
					if d != "random" && slices.Contains(dst, owner) {
						t.Fatalf("successors of %s: %v, with its owner %d", key, dst, owner)
					}
					slices.Sort(dst)
					if len(slices.Compact(slices.Clone(dst))) != len(dst) {
						t.Fatalf("successors of %s: %v, not distinct", key, dst)
					}
				}
				first[[2]int{owner, r.Successors(dst, key, 1)[0]}] = true
			}
			if d != "modula" && d != "list" && len(first) < 20 {
				t.Errorf("%d pairs of owner and first successor: the keys of one owner have too few successors", len(first))
			}
		})
	}
	if s := mustNew(t, equalNodes(1), Options{}).Successors(nil, []byte("a"), 3); len(s) != 0 {
		t.Errorf("a lone node has successors %v", s)
	}
}

func TestNewRefuses(t *testing.T) {
	ok := equalNodes(2)
	for _, c := range []struct {
		nodes []Node
		opt   Options
		want  string
	}{
		{nil, Options{}, `a ring needs at least one node, found none`},
		{nodeList("a", 1, "", 1), Options{}, `node 2 of 2 has no name: keys are placed by name, give it one`},
		{nodeList("a", 1, "b", 1, "a", 2), Options{}, `two nodes are named "a": keys are placed by name, give each its own`},
		{nodeList("a", 1, "b", 0), Options{}, `node "b" has weight 0: a weight is at least 1; to take a node off the ring, leave it out`},
		{nodeList("a", math.MaxInt32, "b", -1), Options{}, `node "b" has weight -1: a weight is at least 1; to take a node off the ring, leave it out`},
		{nodeList("a", 1, "b", 20_000), Options{}, `node "a" would own none of the 16384 partitions: its weight is 1 of 20001 in all; raise it, or lower the others'`},
		{nodeList("a", 1, "b", 20_000), Options{Distribution: "crc16"}, `node "a" would own none of the 16384 partitions: its weight is 1 of 20001 in all; raise it, or lower the others'`},
		{nodeList("a", math.MaxInt32, "b", math.MaxInt32, "c", 2), Options{Distribution: "modula"}, `the weights of a modula ring add up to more than 4294967295: divide them all by the same number`},
		{nodeList("a", math.MaxInt32, "b", math.MaxInt32, "c", 2), Options{Distribution: "ketama"}, `the weights of a ketama ring add up to more than 4294967295: divide them all by the same number`},
		{equalNodes(1025), Options{}, `1025 nodes: a consistent ring holds at most 1024, so that each has 16 partitions (for more choose ketama)`},
		{equalNodes(65_536), Options{Distribution: "ketama"}, `65536 nodes: a ring holds at most 65535`},
		{ok, Options{Distribution: "jump"}, `unknown distribution "jump" (known: consistent, ketama, modula, random, crc16, ring_hash, maglev, list)`},
		{ok, Options{Hash: "fnv2"}, `unknown hash "fnv2" (known: xxhash64, one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins)`},
		{ok, Options{Distribution: "crc16", Hash: "md5"}, `hash "md5": distribution crc16 has its own hash, that of Redis Cluster (leave hash out)`},
		{ok, Options{HashTag: "{"}, `hash tag "{": a hash tag is exactly two characters, for instance "{}"`},
		{ok, Options{HashTag: "«»"}, `hash tag "«»": a hash tag is exactly two characters, for instance "{}"`},
		{ok, Options{VirtualNodes: 1}, `virtual nodes 1: between 2 and 10000 (default 160)`},
		{ok, Options{VirtualNodes: -1}, `virtual nodes -1: between 2 and 10000 (default 160)`},
		{ok, Options{LoadBound: 0.9}, `load bound 0.9: between 1 and 100 (default 1.05)`},
		{ok, Options{LoadBound: math.NaN()}, `load bound NaN: between 1 and 100 (default 1.05)`},
		{ok, Options{Distribution: "ketama", VirtualNodes: 100}, `virtual nodes 100: ketama always has 160 points a node, as twemproxy has (leave the option out, or choose distribution consistent)`},
	} {
		r, err := New(c.nodes, c.opt)
		if err == nil || err.Error() != c.want {
			t.Errorf("New(%d nodes, %+v): %v\nwant: %s", len(c.nodes), c.opt, err, c.want)
		}
		if r != nil {
			t.Errorf("New(%d nodes, %+v) gives a ring with its error", len(c.nodes), c.opt)
		}
	}
}

func TestLargeRings(t *testing.T) {
	for _, d := range []string{"ketama", "modula", "random"} {
		nodes := equalNodes(5000)
		r := mustNew(t, nodes, Options{Distribution: d})
		owned := make(map[int]bool)
		for i := range 50_000 {
			owned[r.Find(fmt.Appendf(nil, "key:%d", i))] = true
		}
		if len(owned) < 4000 {
			t.Errorf("%s: 50000 keys are on %d nodes of 5000", d, len(owned))
		}
	}
}

func TestFindingAllocatesNothing(t *testing.T) {
	key := []byte("prefix:{user:1000}:suffix")
	dst := make([]int, 0, 8)
	for _, d := range Distributions() {
		for _, h := range Hashes() {
			if d == "crc16" || d == "ring_hash" || d == "maglev" || d == "list" {
				h = ""
			}
			r := mustNew(t, equalNodes(8), Options{Distribution: d, Hash: h, HashTag: "{}"})
			if n := testing.AllocsPerRun(100, func() {
				found += r.Find(key)
				p, _ := r.Partition(key)
				found += p
				dst = r.Successors(dst, key, 3)
			}); n != 0 {
				t.Errorf("%s over %s: %v allocations", d, h, n)
			}
		}
	}
}

func TestARingIsSharedFreely(t *testing.T) {
	for _, d := range Distributions() {
		r := mustNew(t, equalNodes(5), Options{Distribution: d, HashTag: "{}"})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 500 {
					key := fmt.Appendf(nil, "{%d}", i)
					r.Find(key)
					r.Successors(nil, key, 2)
					r.Points()
				}
			})
		}
		wg.Wait()
	}
}
