package hashring

import "math"

// Around returns the owners of n places at equal distances, once round what the distribution divides among the nodes: the partitions, the
// continuum or the row of nodes. It is a picture of the ring, not a measure: a part smaller than a place may be missed. random has
// no such thing, and returns nil.
func (r *Ring) Around(n int) []int {
	if r.kind == kindRandom || n <= 0 {
		return nil
	}
	owners := make([]int, n)
	for i := range owners {
		place := func(length uint64) uint64 { return (2*uint64(i) + 1) * length / (2 * uint64(n)) }
		switch r.kind {
		case kindKetama:
			owners[i] = r.points.find(uint32(place(1 << 32)))
		case kindModula, kindList:
			owners[i] = r.wheel.find(uint32(place(uint64(r.wheel.total))))
		case kindRingHash:
			owners[i] = r.circle.find((2*uint64(i) + 1) * (math.MaxUint64 / (2 * uint64(n))))
		case kindMaglev:
			owners[i] = int(r.maglev[place(uint64(len(r.maglev)))])
		default:
			owners[i] = int(r.table[place(Partitions)])
		}
	}
	return owners
}
