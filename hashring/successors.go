package hashring

import "slices"

// Successors puts up to n nodes into dst[:0] and returns it: those after the owner of key, each once and never the
// owner. They are as much a function of the key as the owner is (except for random, which has neither), and the keys
// of one owner have different successors, so that what is moved or copied to them is spread. It does not allocate if
// dst has room. Fewer than n are returned when the ring has no more.
func (r *Ring) Successors(dst []int, key []byte, n int) []int {
	dst = dst[:0]
	n = min(n, len(r.nodes)-1)
	if n <= 0 {
		return dst
	}
	switch r.kind {
	case kindConsistent, kindCRC16:
		p, _ := r.Partition(key)
		return r.nextPartitions(dst, p, n)
	case kindKetama:
		return r.nextPoints(dst, r.points.search(r.hash32(r.Tag(key))), n)
	case kindRingHash:
		at := r.circle.search(murmur2(r.Tag(key)))
		return nextOwners(dst, r.circle.owners, at, n)
	case kindMaglev:
		at := murmur2(r.Tag(key)) % uint64(len(r.maglev))
		return nextOwners(dst, r.maglev, int(at), n)
	default:
		return r.nextInOrder(dst, r.Find(key), n)
	}
}

// nextPartitions goes round the partitions with a stride that p itself gives. Being odd, it misses none; being another
// for each partition, it leads to other nodes even from neighbouring slots of crc16, which have one owner.
func (r *Ring) nextPartitions(dst []int, p, n int) []int {
	stride := p*10125 | 1
	owner := int(r.table[p])
	for range Partitions - 1 {
		p = (p + stride) % Partitions
		if dst = appendNew(dst, owner, int(r.table[p])); len(dst) == n {
			break
		}
	}
	return dst
}

func (r *Ring) nextPoints(dst []int, i, n int) []int {
	owners := r.points.owners[:len(r.points.owners)-1]
	return nextOwners(dst, owners, i%len(owners), n) // the sentinel is the first point
}

func nextOwners(dst []int, owners []uint16, i, n int) []int {
	owner := int(owners[i])
	for step := 1; step < len(owners) && len(dst) < n; step++ {
		dst = appendNew(dst, owner, int(owners[(i+step)%len(owners)]))
	}
	return dst
}

func (r *Ring) nextInOrder(dst []int, owner, n int) []int {
	at := slices.Index(r.order, int32(owner))
	for step := 1; step <= n; step++ {
		dst = append(dst, int(r.order[(at+step)%len(r.order)]))
	}
	return dst
}

func appendNew(dst []int, owner, node int) []int {
	if node == owner || slices.Contains(dst, node) {
		return dst
	}
	return append(dst, node)
}
