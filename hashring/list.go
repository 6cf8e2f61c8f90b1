package hashring

// The distribution list is predixy's modula over its groups: the hash of a key modulo the number of nodes, which are counted as
// they stand in the list. Nothing depends on their names.

// hashAtol is the name of atol, which only list has.
const hashAtol = "atol"

// listHashes are predixy's two.
var listHashes = map[string]func(key []byte) uint64{"crc16": crc16Narrow, hashAtol: atol}

// crc16Narrow is all 16 bits of what a slot of Redis Cluster is made of.
func crc16Narrow(key []byte) uint64 { return uint64(xmodem(key)) }

// atol is the number that a key begins with, 0 if it does not begin with one. A sign may be in front; a negative number is taken modulo
// 2^64, and so is one of too many digits, which is what C on 64 bits makes of it before it divides by an unsigned number.
func atol(key []byte) uint64 {
	digits := key
	if len(key) > 0 && (key[0] == '+' || key[0] == '-') {
		digits = key[1:]
	}
	var v uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			break
		}
		v = v*10 + uint64(c-'0')
	}
	if len(key) > 0 && key[0] == '-' {
		return -v
	}
	return v
}
