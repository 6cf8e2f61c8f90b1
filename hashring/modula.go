package hashring

import (
	"errors"
	"math"
	"slices"
)

// wheel is modula's ring: the nodes in twemproxy's order, each as many times in a row as its weight says; a hash is
// taken modulo the length. The row is not written out, for weights may be large: ends[i] is where the i-th node's
// stretch ends. list has the same, in the order of the list.
type wheel struct {
	total uint32
	ends  []uint32
	order []int32
	equal bool // all weights are 1: the remainder is the place in order
}

func newWheel(nodes []Node, order []int32) (*wheel, error) {
	w := &wheel{order: order, ends: make([]uint32, len(order)), equal: true}
	if totalWeight(nodes) > math.MaxUint32 {
		return nil, errors.New("the weights of a modula ring add up to more than 4294967295: divide them all by the same number")
	}
	for i, n := range order {
		w.total += uint32(nodes[n].Weight)
		w.ends[i] = w.total
		w.equal = w.equal && nodes[n].Weight == 1
	}
	return w, nil
}

func (w *wheel) find(h uint32) int { return int(w.order[w.place(h%w.total)]) }

// place returns the place in order of the node whose stretch holds v.
func (w *wheel) place(v uint32) int {
	if w.equal {
		return int(v)
	}
	i, _ := slices.BinarySearch(w.ends, v+1)
	return i
}
