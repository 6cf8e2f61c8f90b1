package hashring

import (
	"fmt"
	"testing"
)

func consistentOptions(bound float64) Options {
	opt := Options{LoadBound: bound}
	opt.setConsistentDefaults()
	return opt
}

// The way of placing by weight, given equal weights, must be the library's own, or the ring of a pool would jump at
// the moment when one of its weights changes.
func TestPlacingEqualNodesByWeightGivesTheLibrarysTable(t *testing.T) {
	for _, n := range []int{2, 3, 13, 32} {
		for _, bound := range []float64{1, 1.05} {
			nodes, opt := equalNodes(n), consistentOptions(bound)
			order := mustNew(t, nodes, Options{}).order
			if *placeByWeight(nodes, order, opt) != *placeEquals(nodes, order, opt) {
				t.Errorf("%d nodes, load bound %g: the tables differ", n, bound)
			}
		}
	}
}

func TestNoNodeOwnsMoreThanTheLoadBound(t *testing.T) {
	lists := map[string][]Node{
		"2 equal":        equalNodes(2),
		"3 equal":        equalNodes(3),
		"33 equal":       equalNodes(33),
		"1, 2 and 4":     nodeList("a", 1, "b", 2, "c", 4),
		"1 beside 100":   nodeList("a", 1, "b", 100, "c", 100),
		"all different":  weighted(12, func(i int) int { return 5 + i }),
		"all but equal":  weighted(12, func(i int) int { return 1000 + i%2 }),
		"very different": weighted(9, func(i int) int { return 1 << i }),
	}
	for name, nodes := range lists {
		for _, bound := range []float64{1, 1.05, 10} {
			r := mustNew(t, nodes, Options{LoadBound: bound})
			for i, share := range r.Shares() {
				owned := int(share*Partitions + 0.5)
				if most := capacity(nodes[i].Weight, totalWeight(nodes), bound); owned > most || owned == 0 {
					t.Errorf("%s, load bound %g: node %s of weight %d owns %d partitions, want 1 to %d", name, bound, nodes[i].Name, nodes[i].Weight, owned, most)
				}
			}
		}
	}
}

// The library panics when a bound leaves it no room.
func TestNoLoadBoundIsTooTight(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 7, 16, 17, 40} {
		for _, virtual := range []int{2, 3, 160} {
			mustNew(t, equalNodes(n), Options{LoadBound: 1, VirtualNodes: virtual})
		}
	}
	mustNew(t, weighted(20, func(i int) int { return 1 + i*i }), Options{LoadBound: 1, VirtualNodes: 2})
}

func TestOnlyTheRatiosOfWeightsCount(t *testing.T) {
	for _, factor := range []int{3, 100, 1 << 20} {
		small := nodeList("a", 1, "b", 2, "c", 5, "d", 2)
		large := nodeList("a", factor, "b", 2*factor, "c", 5*factor, "d", 2*factor)
		if *mustNew(t, small, Options{}).table != *mustNew(t, large, Options{}).table {
			t.Errorf("weights multiplied by %d make another ring", factor)
		}
	}
}

func TestNamesThatContinueEachOtherShareNoPoints(t *testing.T) {
	// Of the nodes a, a1 and a11, a bare concatenation of name and number would give point "a110" to all three.
	seen := make(map[string]Node)
	for _, n := range nodeList("a", 1, "a1", 1, "a11", 1, "a point ", 1, "a point 1", 1) {
		for i := range 200 {
			point := label(n) + fmt.Sprint(i)
			if other, taken := seen[point]; taken {
				t.Errorf("point %q belongs to %q and %q", point, other.Name, n.Name)
			}
			seen[point] = n
		}
	}
}

// weighted makes n nodes named as those of equalNodes.
func weighted(n int, weight func(i int) int) []Node {
	nodes := equalNodes(n)
	for i := range nodes {
		nodes[i].Weight = weight(i)
	}
	return nodes
}
