package hotkey

import (
	"math"
	"time"
)

// The sketch is SpaceSaving in sets, as a processor's cache has them: a key's hash chooses one of 128 sets of eight counters, and a key
// that has none takes over the least of its set with what that had counted, as an excess that is kept beside it. So a count is never too
// low, and count less excess is never too high. At the shares that matter here it finds what the textbook's one list of 1024 counters finds, for a
// few nanoseconds and 16 KiB.
const (
	sets = 128
	ways = 8
)

type counter struct {
	hash          uint64
	count, excess uint32
}

// details are what is known of the key of the counter in the same place.
type details struct {
	key       []byte // empty until it has been seen often enough to be told of
	writes    uint32
	bytes     uint64 // of replies
	nominated bool
}

// Two windows look at the sample. The slow one is all counters: they are halved every half second, or when enough has been seen for
// that to mean something, so that it is as exact as the traffic allows. The fast one is the last 256 samples, for storms.
const (
	halveAfter   = int64(500 * time.Millisecond)
	halveAnyhow  = int64(8 * time.Second)
	halveFrom    = 4096
	recent       = 256
	recentSlots  = 1024
	fewest       = 16 // of a key, in either window, before anything is said of it
	fewestToTell = 8  // before its name is kept
	fewestPinned = 2  // before one that is pinned is hot
	quiet        = int64(2 * time.Second)

	nominateAgain = int64(50 * time.Millisecond)

	longestKey = 1024 // a longer one is never hot: its name would have to be kept
)

// Share is what of a node's fair share of the commands makes a key hot.
const Share = 0.1

// Samples is how many commands a second each detector wants to be shown, about.
const Samples = 8000

// Detector sees a sample of the commands of one loop.
type Detector struct {
	hot float64               // the share from which a key is hot
	pin func(key []byte) bool // says which keys are hot in any case; nil: none

	counters [sets * ways]counter
	details  [sets * ways]details
	total    uint32 // in the counters
	kept     uint32 // of them, those that no node was asked for
	halved   int64
	last     int64 // the last sample
	renewed  int64 // when keys could last be nominated again

	ring  [recent]uint64 // the hashes of the last samples
	at    int
	seen  int
	slots [recentSlots]uint16 // how many of them there are, by some bits of the hash: never too few

	shift  uint8 // one of 1<<shift commands is shown
	since  int64 // of the present measurement of the rate
	taken  int   // samples since then
	rate   float64
	random uint64
}

// NewDetector returns a detector for a pool of one node. The seed, any number, chooses which commands make up the sample.
func NewDetector(seed uint64, now int64) *Detector {
	d := &Detector{random: seed*2862933555777941757 + 1, halved: now, since: now, last: now}
	d.slots[slotOf(0)] = recent // the ring is full of zeros, which no key's hash is
	d.SetNodes(1)
	return d
}

// Pin says which keys are nominated as soon as they were seen a few times. Nil: none.
func (d *Detector) Pin(pin func(key []byte) bool) { d.pin = pin }

// SetNodes says how many nodes share the keys.
func (d *Detector) SetNodes(n int) { d.hot = Share / float64(max(n, 1)) }

func slotOf(hash uint64) uint64 { return hash >> 20 % recentSlots }

// Sample shows the detector a command. It returns how many of the next are not to be shown, and whether the key should be reported
// at once because it seems to have become hot.
func (d *Detector) Sample(now int64, hash uint64, key []byte, write bool) (skip int, nominated bool) {
	if d.taken++; d.taken >= 512 {
		d.measure(now)
	}
	d.last = now
	hash |= 1 // see ring
	i := d.count(hash)
	c, m := &d.counters[i], &d.details[i]
	if write {
		m.writes++
	}
	old := d.ring[d.at]
	d.ring[d.at] = hash
	d.at = (d.at + 1) % recent
	d.seen = min(d.seen+1, recent)
	d.slots[slotOf(old)]--
	d.slots[slotOf(hash)]++

	if m.nominated || len(key) > longestKey {
		return d.Skip(), false
	}
	sure, total := c.count-c.excess, atNodes(d.total, d.kept)
	pinned := d.pin != nil && sure >= fewestPinned && d.pin(key)
	if pinned || sure >= fewest && float64(sure) >= d.hot*total || d.isStorm(hash) {
		nominated, m.nominated = true, true
	}
	if len(m.key) == 0 && (nominated || sure >= fewestToTell && float64(sure) >= d.hot/4*total) {
		m.key = append(m.key, key...)
	}
	return d.Skip(), nominated
}

// count adds one to a key's counter and returns its place.
func (d *Detector) count(hash uint64) int {
	d.total++
	first := int(hash>>32%sets) * ways
	set := d.counters[first : first+ways]
	least := 0
	for i := range set {
		if set[i].hash == hash {
			set[i].count++
			return first + i
		}
		if set[i].count < set[least].count {
			least = i
		}
	}
	c, m := &set[least], &d.details[first+least]
	c.hash, c.excess = hash, c.count
	c.count++
	*m = details{key: m.key[:0]}
	return first + least
}

// isStorm tells from the last samples alone.
func (d *Detector) isStorm(hash uint64) bool {
	enough := max(fewest, int(math.Ceil(4*d.hot*recent)))
	return int(d.slots[slotOf(hash)]) >= enough && d.recently(hash) >= enough
}

// recently counts a key in the last samples.
func (d *Detector) recently(hash uint64) (n int) {
	for _, h := range d.ring {
		if h == hash {
			n++
		}
	}
	return n
}

// atNodes is how many of the commands count for what is a node's fair share: those that the nodes get. What is answered without them would otherwise hide
// the keys that are the hottest of the rest.
func atNodes(total, kept uint32) float64 {
	return float64(max(total-min(kept, total), total/fewestAtNodes))
}

// fewestAtNodes bounds it from below, as a part of all.
const fewestAtNodes = 16

// Kept says that no node was asked for a command that was shown.
func (d *Detector) Kept() { d.kept++ }

// AddBytes adds the size of the reply to a command that was shown.
func (d *Detector) AddBytes(hash uint64, n int) {
	hash |= 1
	first := int(hash>>32%sets) * ways
	for i := first; i < first+ways; i++ {
		if d.counters[i].hash == hash {
			d.details[i].bytes += uint64(n)
			return
		}
	}
}

// Skip draws how many commands are passed over until the next that is shown. It is drawn and not counted out, or a client that
// repeats a pattern could hide a key between two samples for ever.
func (d *Detector) Skip() int {
	if d.shift == 0 {
		return 0
	}
	d.random ^= d.random << 13
	d.random ^= d.random >> 7
	d.random ^= d.random << 17
	return int(d.random >> 11 % (2<<d.shift - 1))
}

// measure finds out how many commands there are a second, and how many of them to look at.
func (d *Detector) measure(now int64) {
	took := float64(now-d.since) / 1e9
	if took <= 0 {
		return
	}
	rate := float64(d.taken) * float64(uint64(1)<<d.shift) / took
	d.rate += (rate - d.rate) * min(1, 4*took)
	if d.taken >= 64 && rate > 2*d.rate { // a rush, not noise
		d.rate = rate
	}
	d.shift = uint8(max(0, min(20, int(math.Round(math.Log2(max(rate, 1)/Samples))))))
	d.since, d.taken = now, 0
}

// halve ages the counters.
func (d *Detector) halve(now int64) {
	d.halved = now
	d.total /= 2
	d.kept /= 2
	for i := range d.counters {
		c, m := &d.counters[i], &d.details[i]
		c.count /= 2
		c.excess /= 2
		m.writes /= 2
		m.bytes /= 2
		if c.count == 0 {
			*c, *m = counter{}, details{key: m.key[:0]}
		}
	}
}

// Report is what one loop has seen, as it is added to what the others have.
type Report struct {
	Nodes   int
	Total   float64 // samples in the slow window
	AtNodes float64 // those of them that count for what a node's fair share is
	Recent  float64 // in the fast one
	Weight  float64 // how many commands a sample stands for
	Rate    float64 // commands a second
	Keys    []Seen  // those with more than a small share
	letters []byte  // of the keys
}

// Seen is how often a key was sampled.
type Seen struct {
	Hash   uint64
	Key    []byte // lent by the report
	Count  uint32 // in the slow window, at most
	Sure   uint32 // at least
	Writes uint32
	Recent uint32 // in the fast window
	Bytes  uint64 // of replies
}

// Report ages what was seen and writes the report of it to r, whose memory is used again. It is to be asked for about ten times a second while
// there are commands, and when a key was nominated. idle says that there have been none for so long that the report is empty.
func (d *Detector) Report(now int64, r *Report) (idle bool) {
	if now-d.since >= halveAfter/10 {
		d.measure(now)
	}
	if age := now - d.halved; age >= halveAfter && d.total >= halveFrom || age >= halveAnyhow {
		d.halve(now)
	}
	*r = Report{Nodes: int(math.Round(Share / d.hot)), Weight: float64(uint64(1) << d.shift), Keys: r.Keys[:0], letters: r.letters[:0]}
	if now-d.last > quiet {
		return true
	}
	r.Total, r.AtNodes, r.Recent, r.Rate = float64(d.total), atNodes(d.total, d.kept), float64(d.seen), d.rate
	again := now-d.renewed >= nominateAgain
	if again {
		d.renewed = now
	}
	for i := range d.counters {
		c, m := &d.counters[i], &d.details[i]
		if len(m.key) == 0 {
			continue
		}
		if again {
			m.nominated = false
		}
		if float64(c.count) < d.hot/8*r.AtNodes && c.count < fewest && (d.pin == nil || !d.pin(m.key)) {
			m.key = m.key[:0]
			continue
		}
		at := len(r.letters)
		r.letters = append(r.letters, m.key...)
		k := Seen{
			Hash: c.hash, Key: r.letters[at:len(r.letters):len(r.letters)],
			Count: c.count, Sure: c.count - c.excess, Writes: m.writes, Bytes: m.bytes, Recent: uint32(d.slots[slotOf(c.hash)]),
		}
		if k.Recent >= fewest/4 {
			k.Recent = uint32(d.recently(c.hash))
		}
		r.Keys = append(r.Keys, k)
	}
	return false
}
