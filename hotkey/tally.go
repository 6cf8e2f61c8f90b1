package hotkey

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// mostKeys bounds how many keys are hot at a time. By their share no more than 10 for each node can be.
const mostKeys = 512

// coolAfter is how long a key must have less than half of what makes one hot before it is hot no more.
const coolAfter = int64(time.Second)

// Tally adds up what all loops have seen of a pool, and says which keys are hot.
type Tally struct {
	set                   atomic.Pointer[Set]
	promotions, demotions atomic.Uint64
	changes               atomic.Int64 // loops that don't route by the newest topology yet
	Held                  atomic.Int64 // bytes of values that are kept for copies
	noCopies              atomic.Pointer[string]

	mu      sync.Mutex
	exclude func(key []byte) bool
	pin     func(key []byte) bool
	loops   []Report
	hot     float64          // the share from which a key is hot
	below   map[uint64]int64 // since when a hot key has had too little

	// What addUp makes of the reports.
	sums          map[uint64]*sum
	total, recent float64 // commands in the windows
	atNodes       float64 // of total, those that count for what a node's fair share is
	spare         []*sum
	newcomers     []uint64
}

// sum is what is known of a key from all loops, in commands.
type sum struct {
	key                    []byte
	count, sure, recent    float64
	samples, lately        uint32  // that this is by
	reads, writes, replies float64 // a second
}

// NewTally returns a tally of that many loops. Keys that exclude is true of are never hot; nil: there are none.
func NewTally(loops int, exclude func(key []byte) bool) *Tally {
	t := &Tally{exclude: exclude, loops: make([]Report, loops), sums: map[uint64]*sum{}, below: map[uint64]int64{}}
	t.set.Store(&Set{})
	return t
}

// Set returns the keys that are hot now.
func (t *Tally) Set() *Set { return t.set.Load() }

// Promotions and Demotions count how often a key became hot, and was so no more.
func (t *Tally) Promotions() uint64 { return t.promotions.Load() }

// Demotions see Promotions.
func (t *Tally) Demotions() uint64 { return t.demotions.Load() }

// Exclude changes which keys are never hot. It holds from the next report on.
func (t *Tally) Exclude(exclude func(key []byte) bool) {
	t.mu.Lock()
	t.exclude = exclude
	t.mu.Unlock()
}

// Pin says which keys are hot as soon as they are seen a few times, and until they are seen no more. Nil: none.
func (t *Tally) Pin(pin func(key []byte) bool) {
	t.mu.Lock()
	t.pin = pin
	t.mu.Unlock()
}

// Change is called before any loop routes keys in another way than before, Changed by each loop when it does: until then nothing of a hot
// key can be kept. So no loop serves what it has of a node while another sends writes to the next.
func (t *Tally) Change() {
	t.changes.Add(int64(len(t.loops)))
	for i := range t.Set().Keys { // one that becomes hot now is not watched yet
		t.Set().Keys[i].Entry.Void()
	}
}

// Changed see Change.
func (t *Tally) Changed() { t.changes.Add(-1) }

// ForbidCopies says that no copies are to be made, and why. The first reason stays.
func (t *Tally) ForbidCopies(why string) { t.noCopies.CompareAndSwap(nil, &why) }

// CopiesForbidden says why no copies are to be made, "" if they may.
func (t *Tally) CopiesForbidden() string {
	if why := t.noCopies.Load(); why != nil {
		return *why
	}
	return ""
}

// Clear forgets everything.
func (t *Tally) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.loops {
		t.loops[i] = Report{}
	}
	t.demotions.Add(uint64(len(t.Set().Keys)))
	for i := range t.Set().Keys {
		t.Set().Keys[i].Entry.retire()
	}
	t.set.Store(&Set{})
	clear(t.below)
}

// Add takes a loop's report and gives back the memory of the one before in its place. changed says that other keys are hot than
// before.
func (t *Tally) Add(now int64, loop int, r *Report) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.loops[loop], *r = *r, t.loops[loop]
	if t.loops[loop].Nodes > 0 {
		t.hot = Share / float64(t.loops[loop].Nodes)
	}
	t.addUp()
	set := t.Set()
	stay := 0
	for i := range set.Keys {
		if s := t.sums[set.Keys[i].Hash]; s != nil && t.total > 0 {
			set.Keys[i].Entry.setShare(s.count / t.total)
		}
		if t.stays(now, &set.Keys[i]) {
			stay++
		}
	}
	t.newcomers = t.newcomers[:0]
	for hash, s := range t.sums {
		if t.rises(s) && set.find(hash, s.key) < 0 {
			t.newcomers = append(t.newcomers, hash)
		}
	}
	if stay == len(set.Keys) && len(t.newcomers) == 0 {
		return false
	}
	t.replace(now, set)
	return true
}

// replace publishes the set anew: those of the old one that stay, and the newcomers, the hottest first if there are too many.
func (t *Tally) replace(now int64, old *Set) {
	keys := make([]Key, 0, len(old.Keys)+len(t.newcomers))
	for i := range old.Keys {
		if k := &old.Keys[i]; t.stays(now, k) {
			keys = append(keys, *k)
		} else {
			delete(t.below, k.Hash)
			t.demotions.Add(1)
			k.Entry.retire()
		}
	}
	slices.SortFunc(t.newcomers, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(t.sums[b].count, t.sums[a].count), cmp.Compare(a, b))
	})
	for _, hash := range t.newcomers[:min(len(t.newcomers), mostKeys-min(len(keys), mostKeys))] {
		name := slices.Clone(t.sums[hash].key)
		e := newEntry(name, hash, len(t.loops), &t.changes)
		e.setShare(max(t.sums[hash].count/max(t.total, 1), t.sums[hash].recent/max(t.recent, 1)))
		keys = append(keys, Key{Hash: hash, Name: name, Since: now, Entry: e})
		t.promotions.Add(1)
	}
	t.set.Store(newSet(keys))
}

// stays reports whether a hot key is hot still. It may be asked again: the answer at one time is the same.
func (t *Tally) stays(now int64, k *Key) bool {
	if t.exclude != nil && t.exclude(k.Name) {
		return false
	}
	if s := t.sums[k.Hash]; s != nil && t.total > 0 && (s.count >= t.hot/2*t.atNodes || t.pin != nil && t.pin(k.Name)) {
		delete(t.below, k.Hash)
		return true
	}
	since, is := t.below[k.Hash]
	if !is {
		t.below[k.Hash] = now
		return true
	}
	return now-since < coolAfter
}

// rises reports whether a key has what makes one hot, in either window.
func (t *Tally) rises(s *sum) bool {
	slowly := s.samples >= fewest && s.sure >= t.hot*t.atNodes
	fast := s.lately >= fewest && s.recent >= max(4*t.hot, float64(fewest)/recent)*t.recent
	pinned := t.pin != nil && s.samples >= fewestPinned && t.pin(s.key)
	return (slowly || fast || pinned) && (t.exclude == nil || !t.exclude(s.key))
}

// addUp sums the reports by key.
func (t *Tally) addUp() {
	for hash, s := range t.sums {
		delete(t.sums, hash)
		*s = sum{}
		t.spare = append(t.spare, s)
	}
	t.total, t.atNodes, t.recent = 0, 0, 0
	for i := range t.loops {
		r := &t.loops[i]
		if r.Total == 0 {
			continue
		}
		t.total += r.Total * r.Weight
		t.atNodes += r.AtNodes * r.Weight
		t.recent += r.Recent * r.Weight
		for j := range r.Keys {
			k := &r.Keys[j]
			s := t.sumOf(k)
			s.count += float64(k.Count) * r.Weight
			s.sure += float64(k.Sure) * r.Weight
			s.recent += float64(k.Recent) * r.Weight
			s.samples += k.Sure
			s.lately += k.Recent
			aSecond := r.Rate / r.Total
			s.reads += float64(k.Sure-min(k.Sure, k.Writes)) * aSecond
			s.writes += float64(k.Writes) * aSecond
			s.replies += float64(k.Bytes) * aSecond
		}
	}
}

func (t *Tally) sumOf(k *Seen) *sum {
	s := t.sums[k.Hash]
	if s == nil {
		if n := len(t.spare); n > 0 {
			s, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			s = new(sum)
		}
		s.key = k.Key
		t.sums[k.Hash] = s
	}
	return s
}

// Heat is what is known of a key that is hot, or is among those that are next to it. The figures are of the last second or so, by the sample.
type Heat struct {
	Key    []byte
	Hash   uint64
	Share  float64 // of the commands with one key
	Reads  float64 // a second
	Writes float64 // a second
	Bytes  float64 // of replies, a second
	Hot    bool
	Entry  *Entry // nil if it is not hot
	Since  int64  // when it became hot
}

// Top returns the keys that are hot, and of the others those with the largest shares, as many as n in all unless more are hot. The
// largest share comes first.
func (t *Tally) Top(n int) []Heat {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addUp()
	set := t.Set()
	var all []Heat
	for hash, s := range t.sums {
		h := Heat{Key: slices.Clone(s.key), Hash: hash, Share: s.sure / t.total, Reads: s.reads, Writes: s.writes, Bytes: s.replies}
		if i := set.find(hash, s.key); i >= 0 {
			h.Hot, h.Since, h.Entry = true, set.Keys[i].Since, set.Keys[i].Entry
		}
		all = append(all, h)
	}
	for i := range set.Keys {
		if k := &set.Keys[i]; t.sums[k.Hash] == nil {
			all = append(all, Heat{Key: k.Name, Hash: k.Hash, Hot: true, Since: k.Since, Entry: k.Entry})
		}
	}
	slices.SortFunc(all, func(a, b Heat) int {
		if a.Hot != b.Hot {
			return cmp.Compare(b2i(b.Hot), b2i(a.Hot))
		}
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Hash, b.Hash))
	})
	all = all[:min(len(all), max(n, len(set.Keys)))]
	slices.SortFunc(all, func(a, b Heat) int { return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Hash, b.Hash)) })
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
