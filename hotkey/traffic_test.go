package hotkey

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"
)

const manyKeys = 1_000_000

// traffic is a made-up stream of commands with a fixed seed, that a detector and a tally see.
type traffic struct {
	rng   *rand.Rand
	now   int64
	rate  float64       // commands a second
	draw  func() uint64 // the next key
	storm float64       // the share of one more key, stormKey
	d     *Detector
	t     *Tally
	r     Report
	skip  int
	tick  int64
	shown int
	name  [8]byte
}

const stormKey = uint64(1) << 40

func newTraffic(seed uint64, nodes int, rate float64, draw func(*rand.Rand) uint64) *traffic {
	tr := &traffic{rng: rand.New(rand.NewPCG(seed, 7)), rate: rate, t: NewTally(1, nil), d: NewDetector(seed, 0)}
	tr.d.SetNodes(nodes)
	tr.draw = func() uint64 { return draw(tr.rng) }
	return tr
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// step is one command. It returns whether the set of hot keys has changed.
func (tr *traffic) step() (changed bool) {
	tr.now += int64(tr.rng.ExpFloat64() / tr.rate * 1e9)
	key := stormKey
	if tr.storm == 0 || tr.rng.Float64() >= tr.storm {
		key = tr.draw()
	}
	if tr.now-tr.tick >= 100e6 {
		tr.tick = tr.now
		changed = tr.report()
		tr.skip = min(tr.skip, tr.d.Skip())
	}
	if tr.skip > 0 {
		tr.skip--
		return changed
	}
	tr.shown++
	binary.LittleEndian.PutUint64(tr.name[:], key)
	var nominated bool
	tr.skip, nominated = tr.d.Sample(tr.now, mix(key), tr.name[:], false)
	if nominated && !tr.hot(key) {
		changed = tr.report() || changed
	}
	return changed
}

func (tr *traffic) report() bool {
	tr.d.Report(tr.now, &tr.r)
	return tr.t.Add(tr.now, 0, &tr.r)
}

func (tr *traffic) hot(key uint64) bool {
	var name [8]byte
	binary.LittleEndian.PutUint64(name[:], key)
	return tr.t.Set().Find(mix(key), name[:]) >= 0
}

// until runs the traffic for a while.
func (tr *traffic) run(seconds float64) {
	for end := tr.now + int64(seconds*1e9); tr.now < end; {
		tr.step()
	}
}

// zipf draws from many keys, the first the likeliest.
type zipf struct{ sums []float64 }

var (
	zipfs  = map[float64]*zipf{}
	zipfMu sync.Mutex
)

func zipfOf(s float64) *zipf {
	zipfMu.Lock()
	defer zipfMu.Unlock()
	if z := zipfs[s]; z != nil {
		return z
	}
	z := &zipf{sums: make([]float64, manyKeys)}
	sum := 0.0
	for i := range z.sums {
		sum += math.Pow(float64(i+1), -s)
		z.sums[i] = sum
	}
	for i := range z.sums {
		z.sums[i] /= sum
	}
	zipfs[s] = z
	return z
}

func (z *zipf) draw(rng *rand.Rand) uint64 {
	return uint64(sort.SearchFloat64s(z.sums, rng.Float64()))
}

func (z *zipf) share(key uint64) float64 {
	if key == 0 {
		return z.sums[0]
	}
	return z.sums[key] - z.sums[key-1]
}

// above is how many keys have at least a share.
func (z *zipf) above(share float64) (n int) {
	for z.share(uint64(n)) >= share {
		n++
	}
	return n
}

func uniform(keys uint64) func(*rand.Rand) uint64 {
	return func(rng *rand.Rand) uint64 { return rng.Uint64N(keys) }
}

// quantile of what need not be sorted.
func quantile(list []float64, q float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(q*float64(len(list))))]
}
