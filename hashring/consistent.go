package hashring

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// How a consistent ring honours weights
//
// Each node has its points on a circle, each partition has its place there, and the nearest point's node owns the
// partition unless it is full already. The library does this for equals. For nodes of different weights the
// partitions are cut into layers, one for each weight; in a layer the nodes that reach up to it are equals. With
// weights 1, 2 and 4:
//
//	weight 4          +---+
//	       3          | C |                   partitions     0 ..  4680: C
//	       2      +---+---+
//	              | B | C |                   partitions  4681 ..  9361: B and C
//	       1  +---+---+---+
//	          | A | B | C |                   partitions  9362 .. 16383: A, B and C
//
// A layer has as many partitions as its area says, so that each node gets its weight's share. The layers are filled
// from the top: all who may own a partition of a layer may own those below it, and the nodes that a layer has can't
// be full before it is. Only ratios count: weights 1, 2 and 100, 200 make the same ring.
//
// When a weight changes or a node comes, the borders of the layers move. A partition that changes its layer keeps
// its owner nevertheless, unless the owner isn't in the other layer, or a node that wasn't in the first is nearer.

// maxConsistentNodes leaves each node 16 partitions on average, below which there is nothing to balance. The library
// sorts all points anew for each node it is given, which is slow long before this.
const maxConsistentNodes = Partitions / 16

// newConsistentTable computes the owner of every partition. order must be the nodes' order by name: should two points
// ever coincide, it decides whose counts.
func newConsistentTable(nodes []Node, order []int32, opt Options) (*[Partitions]uint16, error) {
	if err := opt.setConsistentDefaults(); err != nil {
		return nil, err
	}
	if len(nodes) > maxConsistentNodes {
		return nil, fmt.Errorf("%d nodes: a consistent ring holds at most %d, so that each has 16 partitions (for more choose ketama)", len(nodes), maxConsistentNodes)
	}
	place := placeByWeight
	if equalWeights(nodes) {
		place = placeEquals
	}
	table := place(nodes, order, opt)
	owned := make([]bool, len(nodes))
	for _, n := range table {
		owned[n] = true
	}
	if i := slices.Index(owned, false); i >= 0 {
		return nil, tooSmall(nodes, i)
	}
	return table, nil
}

func (o *Options) setConsistentDefaults() error {
	if o.VirtualNodes == 0 {
		o.VirtualNodes = DefaultVirtualNodes
	}
	if o.LoadBound == 0 {
		o.LoadBound = DefaultLoadBound
	}
	if o.VirtualNodes < 2 || o.VirtualNodes > 10_000 {
		return fmt.Errorf("virtual nodes %d: between 2 and 10000 (default %d)", o.VirtualNodes, DefaultVirtualNodes)
	}
	if !(o.LoadBound >= 1 && o.LoadBound <= 100) {
		return fmt.Errorf("load bound %g: between 1 and 100 (default %g)", o.LoadBound, DefaultLoadBound)
	}
	return nil
}

func equalWeights(nodes []Node) bool {
	return !slices.ContainsFunc(nodes, func(n Node) bool { return n.Weight != nodes[0].Weight })
}

// capacity is the most partitions a node may own: its fair share times bound, rounded up. All capacities together
// have room for all partitions, whatever the bound.
func capacity(weight int, total int64, bound float64) int {
	fair := float64(weight) / float64(total) * Partitions
	return int(math.Ceil(fair * bound))
}

// placeEquals leaves everything to the library.
func placeEquals(nodes []Node, order []int32, opt Options) *[Partitions]uint16 {
	table := new([Partitions]uint16)
	n := len(nodes)
	if n == 1 {
		return table
	}
	// The library's limit is the mean, rounded down, times Load, rounded up, and it panics when the limits don't
	// add up to all partitions. This Load makes its limit ours. (It also never asks the last point of a full
	// circle, hence two points a node or more.)
	limit := float64(capacity(1, int64(n), opt.LoadBound)) - 0.5
	ring := newLibraryRing(nodes, order, opt, limit/float64(Partitions/n))
	for p := range table {
		table[p] = uint16(ring.GetPartitionOwner(p).(member).node)
	}
	return table
}

// placeByWeight has the library's ring without its limit on loads, on which there are at any time the nodes that may
// own the next partition: a node comes with its layer and goes when it is full. For nodes of equal weight this gives
// the same table as placeEquals, slower.
func placeByWeight(nodes []Node, order []int32, opt Options) *[Partitions]uint16 {
	total := totalWeight(nodes)
	room := make([]int, len(nodes))
	for i, n := range nodes {
		room[i] = capacity(n.Weight, total, opt.LoadBound)
	}
	table := new([Partitions]uint16)
	ring := newLibraryRing(nodes, nil, opt, Partitions)
	p := 0
	for _, l := range layers(nodes, order, total) {
		ring = extend(ring, nodes, l.nodes, opt)
		for ; p < l.end; p++ {
			owner := ring.GetPartitionOwner(p).(member)
			table[p] = uint16(owner.node)
			if room[owner.node]--; room[owner.node] == 0 {
				ring.Remove(owner.name)
			}
		}
	}
	return table
}

// extend adds nodes to a ring. The library computes its whole table anew for each one it is told to add, and for many
// it is quicker to begin again.
func extend(ring *consistent.Consistent, nodes []Node, more []int32, opt Options) *consistent.Consistent {
	if len(more) > 8 {
		for _, m := range ring.GetMembers() {
			more = append(more, m.(member).node)
		}
		slices.SortFunc(more, func(a, b int32) int { return cmp.Compare(nodes[a].Name, nodes[b].Name) })
		return newLibraryRing(nodes, more, opt, Partitions)
	}
	for _, n := range more {
		ring.Add(member{label(nodes[n]), n})
	}
	return ring
}

// layer is a stretch of partitions shared by equals: those of the layers above and the nodes named here. It ends
// before partition end.
type layer struct {
	nodes []int32
	end   int
}

// layers cuts the partitions by weight, the heaviest nodes' first.
func layers(nodes []Node, order []int32, total int64) []layer {
	order = slices.Clone(order)
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(nodes[b].Weight, nodes[a].Weight) })
	var cut []layer
	for i := 0; i < len(order); {
		l := layer{}
		top := nodes[order[i]].Weight
		for ; i < len(order) && nodes[order[i]].Weight == top; i++ {
			l.nodes = append(l.nodes, order[i])
		}
		floor := 0
		if i < len(order) {
			floor = nodes[order[i]].Weight
		}
		above := int64(0) // the area above the height floor
		for _, n := range order[:i] {
			above += int64(nodes[n].Weight - floor)
		}
		l.end = int(above * Partitions / total)
		cut = append(cut, l)
	}
	return cut
}

// member is a node as the library sees it.
type member struct {
	name string
	node int32
}

func (m member) String() string { return m.name }

// label is what the library hashes for a node, followed by the number of the point: "redis-1 point 0". It puts
// nothing between the two itself, and would give redis-1 and redis-11 points in common.
func label(n Node) string { return n.Name + " point " }

type hasher struct{}

func (hasher) Sum64(b []byte) uint64 { return xxhash.Sum64(b) }

func newLibraryRing(nodes []Node, order []int32, opt Options, load float64) *consistent.Consistent {
	var members []consistent.Member
	for _, n := range order {
		members = append(members, member{label(nodes[n]), n})
	}
	return consistent.New(members, consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    Partitions,
		ReplicationFactor: opt.VirtualNodes,
		Load:              load,
	})
}
