package hashring

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// maxNodes is what a table of uint16 can name.
const maxNodes = math.MaxUint16

// New builds the ring of nodes. The order of the list means nothing to placement, only to the indexes Find returns; of ring_hash,
// as in Envoy, it says which nodes have one point more where the points can't be divided evenly, and of list it is all that counts.
// An error says what was found and what to write instead.
func New(nodes []Node, opt Options) (*Ring, error) {
	if err := checkNodes(nodes); err != nil {
		return nil, err
	}
	r := &Ring{nodes: slices.Clone(nodes)}
	if err := r.setKind(opt.Distribution); err != nil {
		return nil, err
	}
	if err := r.setHash(opt.Hash, opt.UnsignedChar); err != nil {
		return nil, err
	}
	if err := r.setTag(opt.HashTag); err != nil {
		return nil, err
	}
	if err := r.build(opt); err != nil {
		return nil, err
	}
	return r, nil
}

// Distributions returns the names of all distributions, the default first.
func Distributions() []string { return slices.Clone(kindNames[:]) }

func (r *Ring) build(opt Options) (err error) {
	switch r.kind {
	case kindConsistent:
		r.order = r.sorted(byName)
		r.table, err = newConsistentTable(r.nodes, r.order, opt)
	case kindCRC16:
		r.order = r.sorted(byName)
		r.table, err = newSlotTable(r.nodes, r.order)
	case kindKetama:
		if v := opt.VirtualNodes; v != 0 && v != pointsPerNode {
			return fmt.Errorf("virtual nodes %d: ketama always has %d points a node, as twemproxy has (leave the option out, or choose distribution consistent)", v, pointsPerNode)
		}
		r.order = r.sorted(byLength)
		r.points, err = newContinuum(r.nodes, r.order)
	case kindModula:
		r.order = r.sorted(byLength)
		r.wheel, err = newWheel(r.nodes, r.order)
	case kindRandom:
		r.order = r.sorted(byLength)
	case kindRingHash:
		sum := xxhash.Sum64
		if r.hashName == hashMurmur2 {
			sum = murmur2
		}
		r.circle, err = newCircle(r.nodes, sum, cmp.Or(opt.RingSize, DefaultRingSize), cmp.Or(opt.MaxRingSize, DefaultMaxRingSize))
	case kindMaglev:
		r.order = r.sorted(byName)
		r.maglev, err = newMaglevTable(r.nodes, r.order, cmp.Or(opt.TableSize, DefaultTableSize))
	case kindList:
		r.order = r.sorted(asListed)
		r.wheel, err = newWheel(r.nodes, r.order)
	}
	return err
}

func checkNodes(nodes []Node) error {
	if len(nodes) == 0 {
		return errors.New("a ring needs at least one node, found none")
	}
	if len(nodes) > maxNodes {
		return fmt.Errorf("%d nodes: a ring holds at most %d", len(nodes), maxNodes)
	}
	seen := make(map[string]bool, len(nodes))
	for i, n := range nodes {
		switch {
		case n.Name == "":
			return fmt.Errorf("node %d of %d has no name: keys are placed by name, give it one", i+1, len(nodes))
		case seen[n.Name]:
			return fmt.Errorf("two nodes are named %q: keys are placed by name, give each its own", n.Name)
		case n.Weight < 1:
			return fmt.Errorf("node %q has weight %d: a weight is at least 1; to take a node off the ring, leave it out", n.Name, n.Weight)
		case n.Weight > math.MaxInt32:
			return fmt.Errorf("node %q has weight %d: a weight is at most %d", n.Name, n.Weight, math.MaxInt32)
		}
		seen[n.Name] = true
	}
	return nil
}

func (r *Ring) setKind(name string) error {
	if name == "" {
		return nil
	}
	i := slices.Index(kindNames[:], name)
	if i < 0 {
		return fmt.Errorf("unknown distribution %q (known: %s)", name, strings.Join(kindNames[:], ", "))
	}
	r.kind = kind(i)
	return nil
}

func (r *Ring) setHash(name string, unsigned bool) error {
	switch {
	case r.kind == kindRandom && name == "":
		return nil
	case r.kind == kindCRC16:
		if name != "" && name != "crc16" {
			return fmt.Errorf("hash %q: distribution crc16 has its own hash, that of Redis Cluster (leave hash out)", name)
		}
		r.hashName = "crc16"
		return nil
	case r.kind == kindMaglev:
		if name != "" && name != hashMurmur2 {
			return fmt.Errorf("hash %q: distribution maglev has its own hash, that of Envoy (leave hash out)", name)
		}
		r.hashName = hashMurmur2
		return nil
	case r.kind == kindRingHash:
		r.hashName = cmp.Or(name, "xxhash64")
		if r.hashName != "xxhash64" && r.hashName != hashMurmur2 {
			return fmt.Errorf("hash %q does not go with distribution ring_hash: write xxhash64 or %s", name, hashMurmur2)
		}
		return nil
	case r.kind == kindList:
		r.hashName = cmp.Or(name, "crc16")
		if r.hash64 = listHashes[r.hashName]; r.hash64 == nil {
			return fmt.Errorf("hash %q does not go with distribution list: write crc16 or %s", name, hashAtol)
		}
		return nil
	case name == "" && r.kind == kindConsistent:
		name = "xxhash64"
	case name == "":
		name = "fnv1a_64"
	}
	i := slices.IndexFunc(hashes[:], func(h hash) bool { return h.name == name })
	if i < 0 {
		return fmt.Errorf("unknown hash %q (known: %s)", name, strings.Join(Hashes(), ", "))
	}
	r.hashName, r.hash, r.plain64 = name, hashes[i].sum, name == "xxhash64"
	if unsigned && hashes[i].unsigned != nil {
		r.hash = hashes[i].unsigned
	}
	return nil
}

func (r *Ring) setTag(tag string) error {
	if tag == "" {
		return nil
	}
	if len(tag) != 2 {
		return fmt.Errorf("hash tag %q: a hash tag is exactly two characters, for instance \"{}\"", tag)
	}
	r.tagged, r.tagOpen, r.tagClose = true, tag[0], tag[1]
	return nil
}

func byName(a, b string) int { return strings.Compare(a, b) }

// asListed is no order of names: sorting by it is stable, and leaves the list as it is.
func asListed(a, b string) int { return 0 }

// byLength is the order twemproxy puts its servers in: shorter names first, then by their bytes.
func byLength(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// totalWeight fits: 65535 weights of 31 bits are fewer than 48 bits, and times Partitions fewer than 62.
func totalWeight(nodes []Node) int64 {
	total := int64(0)
	for _, n := range nodes {
		total += int64(n.Weight)
	}
	return total
}

// sorted returns the indexes of the nodes in an order of their names: what makes the order of the list irrelevant.
func (r *Ring) sorted(compare func(a, b string) int) []int32 {
	order := make([]int32, len(r.nodes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return compare(r.nodes[a].Name, r.nodes[b].Name) })
	return order
}
