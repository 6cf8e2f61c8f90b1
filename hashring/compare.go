package hashring

import (
	"cmp"
	"slices"
	"strconv"
)

// Shares returns the share of all keys each node owns, in the order given to New, for a hash that spreads keys
// evenly. They add up to 1.
func (r *Ring) Shares() []float64 {
	shares := make([]float64, len(r.nodes))
	switch r.kind {
	case kindConsistent, kindCRC16:
		for _, n := range r.table {
			shares[n] += 1.0 / Partitions
		}
	case kindKetama:
		points := r.Points()
		before := int64(points[len(points)-1].Value) - 1<<32
		for _, p := range points {
			shares[p.Node] += float64(int64(p.Value)-before) / (1 << 32)
			before = int64(p.Value)
		}
	case kindModula, kindList:
		for _, n := range r.order {
			shares[n] = float64(r.nodes[n].Weight) / float64(r.wheel.total)
		}
	case kindRingHash:
		r.circle.shares(shares)
	case kindMaglev:
		for _, n := range r.maglev {
			shares[n] += 1 / float64(len(r.maglev))
		}
	case kindRandom:
		for i := range shares {
			shares[i] = 1 / float64(len(shares))
		}
	}
	return shares
}

// Imbalance returns how far above its fair share the most loaded node is: the largest ratio of a node's share to
// its part of all weight. 1 is perfect. For nodes of equal weight this is max over mean.
func (r *Ring) Imbalance() float64 {
	total := float64(totalWeight(r.nodes))
	worst := 0.0
	for i, share := range r.Shares() {
		worst = max(worst, share*total/float64(r.nodes[i].Weight))
	}
	return worst
}

// Flow is the share of all keys that one ring places on node From, and another on its node To.
type Flow struct {
	From, To int
	Share    float64
}

// Flows returns where the keys of each node of a are in b, nodes in the order of a and then of b; the shares add up to 1.
// They are exact for two rings with the same partitions, consistent or crc16, and for two of ketama, if the hash spreads
// keys evenly; otherwise they are what a sample of 100,000 keys shows. The sample's keys are plain: another hash tag
// moves none of them.
func Flows(a, b *Ring) (flows []Flow, exact bool) {
	counts, total := map[[2]int]uint64{}, uint64(0)
	add := func(from, to int, n uint64) {
		counts[[2]int{from, to}] += n
		total += n
	}
	sameHash := a.hashName == b.hashName && a.tagged == b.tagged && a.tagOpen == b.tagOpen && a.tagClose == b.tagClose
	switch {
	case sameHash && a.table != nil && b.table != nil && a.kind == b.kind:
		exact = true
		for p := range a.table {
			add(int(a.table[p]), int(b.table[p]), 1)
		}
	case sameHash && a.points != nil && b.points != nil:
		exact = true
		arcs(a.points, b.points, add)
	default:
		sample(a, b, add)
	}
	for nodes, n := range counts {
		flows = append(flows, Flow{nodes[0], nodes[1], float64(n) / float64(total)})
	}
	slices.SortFunc(flows, func(x, y Flow) int { return cmp.Or(x.From-y.From, x.To-y.To) })
	return flows, exact
}

// Moved returns the share of keys that a and b place on nodes of different names, as exactly as Flows knows.
func Moved(a, b *Ring) float64 {
	moved := 0.0
	flows, _ := Flows(a, b)
	for _, f := range flows {
		if a.nodes[f.From].Name != b.nodes[f.To].Name {
			moved += f.Share
		}
	}
	return moved
}

// arcs walks both rings at once, from border to border of either.
func arcs(x, y *continuum, add func(from, to int, n uint64)) {
	for begin, i, j := uint64(0), 0, 0; begin < 1<<32; {
		end := uint64(min(x.values[i], y.values[j])) + 1
		add(int(x.owners[i]), int(y.owners[j]), end-begin)
		begin = end
		for i < len(x.values)-1 && uint64(x.values[i]) < begin {
			i++
		}
		for j < len(y.values)-1 && uint64(y.values[j]) < begin {
			j++
		}
	}
}

func sample(a, b *Ring, add func(from, to int, n uint64)) {
	const keys = 100_000
	prefix := "key:"
	if a.hashName == hashAtol || b.hashName == hashAtol {
		prefix = "" // it sees nothing but digits
	}
	var key []byte
	for i := range keys {
		key = sampleKey(key[:0], prefix, i)
		add(a.Find(key), b.Find(key), 1)
	}
}

// sampleKey appends the i-th key of a sample: a prefix and a number.
func sampleKey(dst []byte, prefix string, i int) []byte {
	return strconv.AppendInt(append(dst, prefix...), int64(i), 10)
}
