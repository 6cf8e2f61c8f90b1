package hashring

import "strconv"

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
	case kindModula:
		for _, n := range r.order {
			shares[n] = float64(r.nodes[n].Weight) / float64(r.wheel.total)
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

// Moved returns the share of keys that a and b place on nodes of different names. It is exact for two rings with
// the same partitions, consistent or crc16, and for two of ketama, if the hash spreads keys evenly; otherwise it is
// what a sample of 100,000 keys shows.
func Moved(a, b *Ring) float64 {
	switch {
	case a.hashName != b.hashName || a.tagged != b.tagged || a.tagOpen != b.tagOpen || a.tagClose != b.tagClose:
		return movedSample(a, b)
	case a.table != nil && b.table != nil && a.kind == b.kind:
		return movedPartitions(a, b)
	case a.points != nil && b.points != nil:
		return movedArcs(a, b)
	default:
		return movedSample(a, b)
	}
}

func movedPartitions(a, b *Ring) float64 {
	moved := 0
	for p := range a.table {
		if a.nodes[a.table[p]].Name != b.nodes[b.table[p]].Name {
			moved++
		}
	}
	return float64(moved) / Partitions
}

// movedArcs walks both rings at once, from border to border of either.
func movedArcs(a, b *Ring) float64 {
	moved := uint64(0)
	x, y := a.points, b.points
	for begin, i, j := uint64(0), 0, 0; begin < 1<<32; {
		end := uint64(min(x.values[i], y.values[j])) + 1
		if a.nodes[x.owners[i]].Name != b.nodes[y.owners[j]].Name {
			moved += end - begin
		}
		begin = end
		for i < len(x.values)-1 && uint64(x.values[i]) < begin {
			i++
		}
		for j < len(y.values)-1 && uint64(y.values[j]) < begin {
			j++
		}
	}
	return float64(moved) / (1 << 32)
}

func movedSample(a, b *Ring) float64 {
	const keys = 100_000
	moved := 0
	var key []byte
	for i := range keys {
		key = sampleKey(key[:0], i)
		if a.nodes[a.Find(key)].Name != b.nodes[b.Find(key)].Name {
			moved++
		}
	}
	return float64(moved) / keys
}

// sampleKey appends the i-th key of a sample: "key:" and a number.
func sampleKey(dst []byte, i int) []byte {
	return strconv.AppendInt(append(dst, "key:"...), int64(i), 10)
}
