package hashring

import (
	"fmt"
	"slices"
	"sort"
	"testing"
)

// nodeList makes nodes from a list of name and weight pairs: nodeList("a", 1, "b", 2).
func nodeList(pairs ...any) []Node {
	var nodes []Node
	for i := 0; i < len(pairs); i += 2 {
		nodes = append(nodes, Node{pairs[i].(string), pairs[i+1].(int)})
	}
	return nodes
}

// equalNodes makes n nodes of weight 1 named node-0, node-1 and so on.
func equalNodes(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{fmt.Sprintf("node-%d", i), 1}
	}
	return nodes
}

func mustNew(t testing.TB, nodes []Node, opt Options) *Ring {
	t.Helper()
	r, err := New(nodes, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The expectations of this table were computed with twemproxy 0.5's C code on x86-64, hash fnv1a_64.
var ketamaGolden = []struct {
	name   string
	nodes  []Node
	points []int   // of each node
	first  []Point // the ring's beginning
	last   []Point // and its end
	owners string  // of goldenKeys, by number of the node in the list, from 1
	shares []int   // of key:0 to key:99999
}{{
	name:   "four nodes",
	nodes:  nodeList("server1", 1, "server2", 1, "server3", 1, "server4", 1),
	points: []int{160, 160, 160, 160},
	first:  []Point{{9796559, 2}, {10686546, 1}, {26495822, 0}, {41163405, 3}},
	last:   []Point{{4290847573, 3}},
	owners: "14113341",
	shares: []int{24576, 24418, 24765, 26241},
}, {
	name:   "named by address",
	nodes:  nodeList("127.0.0.1:6379", 1, "127.0.0.1:6380", 1, "127.0.0.1:6381", 1),
	points: []int{160, 160, 160},
	first:  []Point{{20075150, 0}, {23409604, 1}, {29345296, 1}, {38654231, 0}},
	last:   []Point{{4289099568, 2}},
	owners: "31332112",
	shares: []int{34225, 34611, 31164},
}, {
	name:   "weights 1 to 4",
	nodes:  nodeList("server1", 1, "server2", 2, "server3", 3, "server4", 4),
	points: []int{64, 128, 192, 256},
	owners: "44113441",
	shares: []int{8796, 19017, 29923, 42264},
}, {
	name:   "named by address, the last of double weight",
	nodes:  nodeList("127.0.0.1:6379", 1, "127.0.0.1:6380", 1, "127.0.0.1:6381", 2),
	points: []int{120, 120, 240},
	owners: "33331312",
	shares: []int{26955, 23806, 49239},
}}

var goldenKeys = []string{"foo", "bar", "user:1000", "user:1001", "key:0", "a", "hello world", "session:abcdef"}

func TestKetamaIsTheRingOfTwemproxy(t *testing.T) {
	for _, c := range ketamaGolden {
		t.Run(c.name, func(t *testing.T) {
			r := mustNew(t, c.nodes, Options{Distribution: "ketama"})
			points := r.Points()
			count := make([]int, len(c.nodes))
			for _, p := range points {
				count[p.Node]++
			}
			if !slices.Equal(count, c.points) {
				t.Errorf("points by node: %v, want %v", count, c.points)
			}
			if got := points[:len(c.first)]; !slices.Equal(got, c.first) {
				t.Errorf("first points: %v, want %v", got, c.first)
			}
			if got := points[len(points)-len(c.last):]; !slices.Equal(got, c.last) {
				t.Errorf("last points: %v, want %v", got, c.last)
			}
			owners := ""
			for _, key := range goldenKeys {
				owners += fmt.Sprint(r.Find([]byte(key)) + 1)
			}
			if owners != c.owners {
				t.Errorf("owners of %q: %s, want %s", goldenKeys, owners, c.owners)
			}
			shares := make([]int, len(c.nodes))
			for i := range 100_000 {
				shares[r.Find(fmt.Appendf(nil, "key:%d", i))]++
			}
			if !slices.Equal(shares, c.shares) {
				t.Errorf("keys by node: %v, want %v", shares, c.shares)
			}
		})
	}
}

func TestKetamaRoundsToSinglePrecisionLikeTwemproxy(t *testing.T) {
	// The numbers of equal nodes, up to 200, for which single precision loses a quarter of a point.
	short := []int{25, 47, 50, 55, 61, 71, 94, 100, 107, 109, 110, 115, 122, 142, 159, 163, 188, 193, 200}
	for n := 1; n <= 200; n++ {
		want := 160
		if slices.Contains(short, n) {
			want = 156
		}
		if got := 4 * ketamaSums(1, int64(n), n); got != want {
			t.Errorf("%d nodes: %d points each, want %d", n, got, want)
		}
	}
}

func TestKetamaFindsThePointABinarySearchFinds(t *testing.T) {
	for _, n := range []int{1, 2, 3, 25, 200} {
		r := mustNew(t, equalNodes(n), Options{Distribution: "ketama"})
		points := r.Points()
		check := func(h uint32) {
			i := sort.Search(len(points), func(i int) bool { return points[i].Value >= h })
			if want, got := points[i%len(points)].Node, r.points.find(h); got != want {
				t.Fatalf("%d nodes: hash %d belongs to node %d, want %d", n, h, got, want)
			}
		}
		for _, p := range points {
			check(p.Value - 1)
			check(p.Value)
			check(p.Value + 1)
		}
		for h := uint64(0); h < 1<<32; h += 40_009 {
			check(uint32(h))
		}
		check(0)
		check(1<<32 - 1)
	}
}
