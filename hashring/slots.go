package hashring

import (
	"fmt"
	"slices"
)

// crcTable is that of CRC-16/XMODEM: polynomial 0x1021, most significant bit first.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i) << 8
		for range 8 {
			top := crc >> 15
			crc = crc<<1 ^ top*0x1021
		}
		t[i] = crc
	}
	return t
}()

// xmodem is CRC-16/XMODEM.
func xmodem(key []byte) (crc uint16) {
	for _, c := range key {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^c]
	}
	return crc
}

// slot is Redis Cluster's: CRC-16/XMODEM modulo 16384.
func slot(key []byte) int { return int(xmodem(key) % Partitions) }

// crc16 is the hash twemproxy has under that name: the register is 32 bits wide, so what a 16-bit one pushes out
// stays above. Its lower half is CRC-16/XMODEM.
func crc16(key []byte) uint32 {
	var crc uint32
	for _, c := range key {
		crc = crc<<8 ^ uint32(crcTable[byte(crc>>8)^c])
	}
	return crc
}

// FromSlots makes a ring of the slot map of a Redis Cluster: table has, for each slot, an index into nodes. Keys have the slots that Redis
// Cluster gives them, hash tags considered.
func FromSlots(nodes []Node, table *[Partitions]uint16) *Ring {
	r := &Ring{kind: kindCRC16, hashName: "crc16", nodes: slices.Clone(nodes), table: table}
	r.tagged, r.tagOpen, r.tagClose = true, '{', '}'
	return r
}

// newSlotTable gives each node, in the order of their names, a contiguous range of slots as long as its weight says.
func newSlotTable(nodes []Node, order []int32) (*[Partitions]uint16, error) {
	total := totalWeight(nodes)
	table := new([Partitions]uint16)
	begin, weight := 0, int64(0)
	for _, i := range order {
		weight += int64(nodes[i].Weight)
		end := int(weight * Partitions / total)
		if end == begin {
			return nil, tooSmall(nodes, int(i))
		}
		for s := begin; s < end; s++ {
			table[s] = uint16(i)
		}
		begin = end
	}
	return table, nil
}

// tooSmall is the error for node i when its weight leaves it without a partition.
func tooSmall(nodes []Node, i int) error {
	return fmt.Errorf("node %q would own none of the %d partitions: its weight is %d of %d in all; raise it, or lower the others'",
		nodes[i].Name, Partitions, nodes[i].Weight, totalWeight(nodes))
}
