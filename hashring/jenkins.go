package hashring

import (
	"encoding/binary"
	"math/bits"
)

// jenkins is Bob Jenkins's lookup3 (hashlittle) with the initial value 13.
func jenkins(key []byte) uint32 {
	a := 0xdeadbeef + uint32(len(key)) + 13
	b, c := a, a
	if len(key) == 0 {
		return c
	}
	for ; len(key) > 12; key = key[12:] {
		a += binary.LittleEndian.Uint32(key)
		b += binary.LittleEndian.Uint32(key[4:])
		c += binary.LittleEndian.Uint32(key[8:])
		a, b, c = jenkinsMix(a, b, c)
	}
	var last [12]byte
	copy(last[:], key)
	a += binary.LittleEndian.Uint32(last[0:])
	b += binary.LittleEndian.Uint32(last[4:])
	c += binary.LittleEndian.Uint32(last[8:])
	return jenkinsFinal(a, b, c)
}

func jenkinsMix(a, b, c uint32) (uint32, uint32, uint32) {
	step := func(x, y, z uint32, k int) (uint32, uint32) {
		return (x - z) ^ bits.RotateLeft32(z, k), z + y
	}
	a, c = step(a, b, c, 4)
	b, a = step(b, c, a, 6)
	c, b = step(c, a, b, 8)
	a, c = step(a, b, c, 16)
	b, a = step(b, c, a, 19)
	c, b = step(c, a, b, 4)
	return a, b, c
}

func jenkinsFinal(a, b, c uint32) uint32 {
	step := func(x, y uint32, k int) uint32 { return (x ^ y) - bits.RotateLeft32(y, k) }
	c = step(c, b, 14)
	a = step(a, c, 11)
	b = step(b, a, 25)
	c = step(c, b, 16)
	a = step(a, c, 4)
	b = step(b, a, 14)
	return step(c, b, 24)
}
