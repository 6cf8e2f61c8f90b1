package hashring

import (
	"crypto/md5"
	"encoding/binary"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

// hash is a function from keys to 32 bits, by the name it has in a configuration. Where twemproxy reads bytes as C's
// char, which is signed on x86 and not on ARM, there are two.
type hash struct {
	name     string
	sum      func(key []byte) uint32
	unsigned func(key []byte) uint32 // nil: the same
}

var hashes = [...]hash{
	{"xxhash64", xxhash64, nil},
	{"one_at_a_time", oneAtATime[int8], oneAtATime[uint8]},
	{"md5", md5Sum, nil},
	{"crc16", crc16, nil},
	{"crc32", crc32Short, nil},
	{"crc32a", crc32.ChecksumIEEE, nil},
	{"fnv1_64", fnv1x64[int8], fnv1x64[uint8]},
	{"fnv1a_64", fnv1ax64[int8], fnv1ax64[uint8]},
	{"fnv1_32", fnv1x32[int8], fnv1x32[uint8]},
	{"fnv1a_32", fnv1ax32[int8], fnv1ax32[uint8]},
	{"hsieh", hsieh[int8], hsieh[uint8]},
	{"murmur", murmur, nil},
	{"jenkins", jenkins, nil},
}

// Hashes returns the names of all hash functions.
func Hashes() []string {
	names := make([]string, len(hashes))
	for i, h := range hashes {
		names[i] = h.name
	}
	return names
}

// char is C's, by platform: converting through int8 extends the sign.
type char interface{ ~int8 | ~uint8 }

// xxhash64 is cut to its lower half for the distributions that count in 32 bits.
func xxhash64(key []byte) uint32 { return uint32(xxhash.Sum64(key)) }

func md5Sum(key []byte) uint32 {
	sum := md5.Sum(key)
	return binary.LittleEndian.Uint32(sum[:])
}

// crc32Short is libmemcached's: 15 bits of the middle of a CRC-32.
func crc32Short(key []byte) uint32 { return crc32.ChecksumIEEE(key) >> 16 & 0x7fff }

// oneAtATime is Bob Jenkins's.
func oneAtATime[C char](key []byte) uint32 {
	var h uint32
	for _, c := range key {
		h += uint32(C(c))
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	h += h << 15
	return h
}

// The 64-bit FNVs of twemproxy give the lower halves of their sums only, and those depend on nothing but the lower
// halves of basis and prime. For ASCII keys they are the lower halves of the true FNV-1 and FNV-1a.
const (
	fnvBasis64 = 0x84222325
	fnvPrime64 = 0x000001b3
	fnvBasis32 = 0x811c9dc5
	fnvPrime32 = 0x01000193
)

func fnv1x64[C char](key []byte) uint32  { return fnv1[C](key, fnvBasis64, fnvPrime64) }
func fnv1ax64[C char](key []byte) uint32 { return fnv1a[C](key, fnvBasis64, fnvPrime64) }
func fnv1x32[C char](key []byte) uint32  { return fnv1[C](key, fnvBasis32, fnvPrime32) }
func fnv1ax32[C char](key []byte) uint32 { return fnv1a[C](key, fnvBasis32, fnvPrime32) }

func fnv1[C char](key []byte, h, prime uint32) uint32 {
	for _, c := range key {
		h = h*prime ^ uint32(C(c))
	}
	return h
}

func fnv1a[C char](key []byte, h, prime uint32) uint32 {
	for _, c := range key {
		h = (h ^ uint32(C(c))) * prime
	}
	return h
}

// murmur is MurmurHash2 with a seed that depends on the length.
func murmur(key []byte) uint32 {
	const m = 0x5bd1e995
	n := uint32(len(key))
	h := n*0xdeadbeef ^ n
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	if len(key) > 0 {
		h = (h ^ tail(key)) * m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// hsieh is Paul Hsieh's SuperFastHash begun at 0. A single byte left over at the end is unsigned on every platform;
// the third of three is a char.
func hsieh[C char](key []byte) uint32 {
	var h uint32
	for ; len(key) >= 4; key = key[4:] {
		h += uint32(binary.LittleEndian.Uint16(key))
		h = h<<16 ^ uint32(binary.LittleEndian.Uint16(key[2:]))<<11 ^ h
		h += h >> 11
	}
	switch len(key) {
	case 3:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 16
		h ^= uint32(C(key[2])) << 18
		h += h >> 11
	case 2:
		h += uint32(binary.LittleEndian.Uint16(key))
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(key[0])
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	return h + h>>6
}

// tail reads fewer than four bytes as a little-endian number.
func tail(b []byte) uint32 {
	var v uint32
	for i, c := range b {
		v |= uint32(c) << (8 * i)
	}
	return v
}
