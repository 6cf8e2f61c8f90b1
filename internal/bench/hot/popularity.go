package main

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// allKeys is how many keys there are.
const allKeys = 1_000_000

// popularity draws keys: number i with the probability that it was made with.
type popularity struct {
	// Column i is number i up to own[i], else number other[i] (Walker's alias method), so that a draw is one look-up.
	own   []float32
	other []uint32
}

// zipf has number i drawn in proportion to 1/(i+1)^s; s = 0 is uniform.
func zipf(s float64) *popularity {
	weights, sum := make([]float64, allKeys), 0.0
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -s)
		sum += weights[i]
	}
	p := &popularity{own: make([]float32, allKeys), other: make([]uint32, allKeys)}
	var small, large []uint32
	for i := range weights {
		weights[i] *= allKeys / sum
		if weights[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		from, to := large[len(large)-1], small[len(small)-1]
		small = small[:len(small)-1]
		p.own[to], p.other[to] = float32(weights[to]), from
		if weights[from] -= 1 - weights[to]; weights[from] < 1 {
			large, small = large[:len(large)-1], append(small, from)
		}
	}
	for _, i := range append(small, large...) {
		p.own[i], p.other[i] = 1, i
	}
	return p
}

func (p *popularity) draw(rng *rand.Rand) uint32 {
	i := rng.Uint32N(allKeys)
	if rng.Float32() < p.own[i] {
		return i
	}
	return p.other[i]
}

// A workload is what clients ask for.
type workload struct {
	name  string
	skew  float64 // of all keys but the storm's
	storm float64 // the share of one more key
}

var workloads = []workload{
	{"uniform", 0, 0},
	{"Zipf 0.9", 0.9, 0}, {"Zipf 0.99", 0.99, 0}, {"Zipf 1.1", 1.1, 0}, {"Zipf 1.2", 1.2, 0}, {"Zipf 1.4", 1.4, 0},
	{"storm 30 %", 0.99, 0.3}, {"storm 60 %", 0.99, 0.6}, {"storm 90 %", 0.99, 0.9},
}

// popularities keeps those that were made.
var popularities = map[float64]*popularity{}

func (w workload) popularity() *popularity {
	p := popularities[w.skew]
	if p == nil {
		p = zipf(w.skew)
		popularities[w.skew] = p
	}
	return p
}

// appendKey appends the name of a key. Each seed has other keys, which lie elsewhere on the ring.
func appendKey(b []byte, seed int, i uint32) []byte {
	b = strconv.AppendInt(append(b, "key:"...), int64(seed), 10)
	return strconv.AppendUint(append(b, ':'), uint64(i), 10)
}
