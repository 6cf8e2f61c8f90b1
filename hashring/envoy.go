package hashring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The distributions ring_hash and maglev are Envoy's. What they place by is the node's name, and Envoy places by the
// address as it prints it (10.0.0.1:6379), by the host name, or by a hash_key of the endpoint's metadata: a node that is to
// keep its keys has that for its name. A key's own hash is MurmurHash2 of 64 bits in both: Envoy's Redis proxy
// hashes keys with nothing else, whatever the ring of its servers is made with.

// The sizes that Envoy has if its configuration names none, and the most it takes.
const (
	DefaultRingSize    = 1024
	DefaultMaxRingSize = MostRingSize
	DefaultTableSize   = 65537

	MostRingSize  = 8 << 20
	MostTableSize = 5000011
)

// hashMurmur2 is the name of murmur2, which only ring_hash and maglev have.
const hashMurmur2 = "murmur2_64"

// murmur2 is MurmurHash2 of 64 bits with the seed of libstdc++'s std::hash.
func murmur2(key []byte) uint64 {
	const m, seed = 0xc6a4a7935bd1e995, 0xc70f6907
	mix := func(v uint64) uint64 { return v ^ v>>47 }
	h := seed ^ uint64(len(key))*m
	for ; len(key) >= 8; key = key[8:] {
		h = (h ^ mix(binary.LittleEndian.Uint64(key)*m)*m) * m
	}
	if len(key) > 0 {
		var rest uint64
		for i, c := range key {
			rest |= uint64(c) << (8 * i)
		}
		h = (h ^ rest) * m
	}
	return mix(mix(h) * m)
}

// circle is the ring of ring_hash: its points' values in order, and a table over the upper bits of a hash that says where
// to begin, as continuum has it.
type circle struct {
	values []uint64
	owners []uint16
	first  []uint32 // by hash >> shift: the first point at or after the beginning of that stretch
	shift  uint8
}

// find returns the owner of the first point at or after h, going round at the end.
func (c *circle) find(h uint64) int { return int(c.owners[c.search(h)]) }

func (c *circle) search(h uint64) int {
	i := int(c.first[h>>c.shift])
	for i < len(c.values) && c.values[i] < h {
		i++
	}
	if i == len(c.values) {
		return 0
	}
	return i
}

// newCircle puts the nodes on the ring in the order of the list, for the number of points each gets is a running sum: where
// it is no whole number, the order says who gets one more. Every conversion to float64 is a rounding of the C++ code's.
func newCircle(nodes []Node, sum func([]byte) uint64, least, most int) (*circle, error) {
	if least > most {
		return nil, fmt.Errorf("a ring of at least %d points that has at most %d: raise max_ring_size, or lower ring_size", least, most)
	}
	total := totalWeight(nodes)
	if total > math.MaxUint32 {
		return nil, errors.New("the weights of a ring_hash ring add up to more than 4294967295: divide them all by the same number")
	}
	share := func(n Node) float64 { return float64(n.Weight) / float64(total) }
	smallest := 1.0
	for _, n := range nodes {
		smallest = min(smallest, share(n))
	}
	scale := min(float64(math.Ceil(float64(smallest*float64(least)))/smallest), float64(most))

	type point struct {
		value uint64
		owner uint16
	}
	points := make([]point, 0, int(math.Ceil(scale))+1)
	var label []byte
	has, target := 0.0, 0.0
	for i, n := range nodes {
		target += float64(scale * share(n))
		for k := 0; has < target; k++ {
			label = strconv.AppendInt(append(append(label[:0], n.Name...), '_'), int64(k), 10)
			points = append(points, point{sum(label), uint16(i)})
			has++
		}
	}
	slices.SortStableFunc(points, func(a, b point) int {
		switch {
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	c := &circle{values: make([]uint64, len(points)), owners: make([]uint16, len(points))}
	for i, p := range points {
		c.values[i], c.owners[i] = p.value, p.owner
	}
	c.first, c.shift = indexed(c.values)
	return c, nil
}

// shares adds to each node what its points own of all hashes.
func (c *circle) shares(to []float64) {
	before := c.values[len(c.values)-1]
	for i, v := range c.values {
		if width := v - before; width > 0 || len(c.values) > 1 { // wraps at 0, as the ring does
			to[c.owners[i]] += float64(width) / (1 << 64)
		} else {
			to[c.owners[i]] = 1 // the only point
		}
		before = v
	}
}

// newMaglevTable fills the table as Envoy does: by turns, in the order of the names, each node takes the next place of its own
// permutation that is free. A node of less weight than the heaviest sits out turns.
func newMaglevTable(nodes []Node, order []int32, size int) ([]uint16, error) {
	total := totalWeight(nodes)
	if total > math.MaxUint32 {
		return nil, errors.New("the weights of a maglev table add up to more than 4294967295: divide them all by the same number")
	}
	if size < 3 || size > MostTableSize || !prime(size) {
		return nil, fmt.Errorf("table size %d: that of maglev is a prime number from 3 to %d", size, MostTableSize)
	}
	type entry struct {
		next, skip     uint64
		weight, target float64
	}
	entries := make([]entry, len(order))
	heaviest := 0.0
	n := uint64(size)
	for i, node := range order {
		name := nodes[node].Name
		seeded := xxhash.NewWithSeed(1)
		_, _ = seeded.WriteString(name)
		e := &entries[i]
		e.next, e.skip = xxhash.Sum64String(name)%n, seeded.Sum64()%(n-1)+1
		e.weight = float64(nodes[node].Weight) / float64(total)
		heaviest = max(heaviest, e.weight)
	}
	table := make([]uint16, size)
	taken := make([]bool, size)
	for filled, turn := 0, uint32(1); filled < size; turn++ {
		for i := range entries {
			e := &entries[i]
			if filled == size {
				break
			}
			if float64(float64(turn)*e.weight) < e.target {
				continue
			}
			e.target += heaviest
			for taken[e.next] {
				e.next = (e.next + e.skip) % n
			}
			table[e.next], taken[e.next] = uint16(order[i]), true
			e.next = (e.next + e.skip) % n
			filled++
		}
	}
	return table, nil
}

func prime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n > 1
}
