package proxy

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/pool"
	"ringway/resp"
)

// Which keys are hot is found out by package hotkey. Each loop shows it a sample of the requests that take the short way, or go to one node for
// their one key: poolState.cool counts down to the next that is looked at, so that the others pay a subtraction. While keys are hot, the
// key of every read on the short way is looked up among them.
//
//	handle --(one in 2^n)--> detector --report, 10 a second--> tally --a set, when it changes--> hotKeys of each loop

// heat finds the hot keys of a pool, on one loop.
type heat struct {
	pool     *poolState
	detector *hotkey.Detector
	report   hotkey.Report
	timer    *loop.Timer
	told     bool // a report is due in this turn
	tellSoon func()

	near      nearSettings
	nearBytes int       // that are kept
	sent      []sentTo  // by node
	hearings  []hearing // by node
}

// reportEvery is how often what a loop has seen is added to what others have, while there are requests.
const reportEvery = 100 * time.Millisecond

// hotKeys are the keys that are hot now, as one loop has them.
type hotKeys struct {
	set  *hotkey.Set
	keys []*hotKey // in the order of the set
}

// hotKey is what one loop does for a hot key.
type hotKey struct {
	hash   uint64
	entry  *hotkey.Entry
	forms  []*form
	saved  uint64 // reads that were answered with another's reply, since the key became hot
	near   uint64 // reads that were answered with what is kept
	copied uint64 // that were sent to copies
	reads  uint64 // that the entry has not been told of
}

// findHeat begins or ends to look for hot keys, as the configuration wants it.
func (ps *poolState) findHeat() {
	cfg := &ps.shared.cfg.HotKeys
	tally := ps.shared.tally
	tally.Exclude(fits(cfg.Exclude))
	tally.Pin(fits(cfg.Pin))
	switch off := cfg.Mode == "off" || ps.shared.cfg.Passthrough; {
	case off:
		ps.heat, ps.cool = nil, math.MaxInt
		tally.Clear()
	case ps.heat == nil:
		l := ps.worker.loop
		h := &heat{pool: ps, detector: hotkey.NewDetector(uint64(l.ID)<<32|uint64(ps.shared.index), l.Now())}
		h.timer = loop.NewTimer(h.tick)
		h.tellSoon = func() { h.tell() }
		ps.heat, ps.cool = h, 0
	}
	if ps.heat != nil {
		ps.heat.detector.Pin(fits(cfg.Pin))
		ps.heat.findNear()
		ps.heat.countSent()
	}
	ps.setHot()
}

// fits returns the test that says which keys fit one of these patterns, nil if there are none.
func fits(list []string) func(key []byte) bool {
	if len(list) == 0 {
		return nil
	}
	var patterns [][]byte
	for _, p := range list {
		patterns = append(patterns, []byte(p))
	}
	return func(key []byte) bool {
		for _, p := range patterns {
			if command.Glob(p, key) {
				return true
			}
		}
		return false
	}
}

// hotOwner is the way of a request that is looked at, or that may be for a hot key. It returns who is to get the reply, nil if the
// request is taken care of; and what it may change.
func (s *Session) hotOwner(c *command.Command, node int, lane *pool.Lane, a *resp.Args, request []byte) (pool.Owner, *writing) {
	ps, key := s.pool, a.At(1)
	hash := xxhash.Sum64(key)
	looked := ps.cool < 0 && ps.look(hash, key, c)
	var writes *writing
	if ps.hot != nil {
		if i := ps.hot.set.Find(hash, key); i >= 0 {
			k := ps.hot.keys[i]
			if collapsible[c.ID] && s.collapse(k, c, node, lane, a, request, looked) {
				return nil, nil
			}
			if mayChange[c.ID] {
				writes = s.addWrite(nil, k)
			}
			s.sendsHot()
		}
	}
	if looked {
		return s.weigh(hash), writes
	}
	return s, writes
}

// look shows a request to the detector. It returns false where there is none.
func (ps *poolState) look(hash uint64, key []byte, c *command.Command) bool {
	h := ps.heat
	if h == nil {
		ps.cool = math.MaxInt
		return false
	}
	l := ps.worker.loop
	skip, nominated := h.detector.Sample(l.Now(), hash, key, c.Flags.Has(command.Write))
	ps.cool = skip
	if !h.timer.Set() {
		l.SetTimer(h.timer, reportEvery)
	}
	if nominated && !h.told && (ps.hot == nil || ps.hot.set.Find(hash, key) < 0) {
		h.told = true
		l.Defer(h.tellSoon)
	}
	return true
}

// lookAt is look for a request that does not take the short way. It returns true if the detector was shown it.
func (ps *poolState) lookAt(c *command.Command, key []byte) bool {
	if ps.cool--; ps.cool < 0 {
		return ps.look(xxhash.Sum64(key), key, c)
	}
	return false
}

// tick reports, and goes on doing so until nothing comes and nothing is hot.
func (h *heat) tick() {
	if h.pool.heat != h || h.pool.left {
		return
	}
	if h.pool.hot != nil {
		h.countSent()
	}
	if idle := h.tell(); !idle || h.pool.hot != nil {
		h.pool.worker.loop.SetTimer(h.timer, reportEvery)
	}
}

// tell adds what this loop has seen to what the others have. If other keys are hot than before, every loop learns of it.
func (h *heat) tell() (idle bool) {
	h.told = false
	ps := h.pool
	if ps.heat != h || ps.left {
		return true
	}
	now := ps.worker.loop.Now()
	h.detector.SetNodes(ps.size())
	idle = h.detector.Report(now, &h.report)
	ps.cool = min(ps.cool, h.detector.Skip())
	if !ps.shared.tally.Add(now, ps.worker.loop.ID, &h.report) {
		return idle
	}
	index := ps.shared.index
	for _, w := range ps.worker.server.workers {
		if w == ps.worker {
			ps.setHot()
		} else {
			w.loop.Post(func() {
				if ps := w.poolAt(index); ps != nil {
					ps.setHot()
				}
			})
		}
	}
	return idle
}

// setHot takes over which keys are hot.
func (ps *poolState) setHot() {
	set := ps.shared.tally.Set()
	if ps.heat == nil {
		set = &hotkey.Set{}
	}
	old := ps.hot
	if old == nil && len(set.Keys) == 0 || old != nil && old.set == set {
		return
	}
	var next *hotKeys
	stays := map[*hotKey]bool{}
	var news []*hotkey.Entry
	if len(set.Keys) > 0 {
		next = &hotKeys{set: set, keys: make([]*hotKey, len(set.Keys))}
		for i := range set.Keys {
			e := set.Keys[i].Entry
			if old != nil {
				if j := old.set.Find(set.Keys[i].Hash, set.Keys[i].Name); j >= 0 && old.keys[j].entry == e {
					next.keys[i] = old.keys[j]
					stays[old.keys[j]] = true
					continue
				}
			}
			next.keys[i] = &hotKey{hash: set.Keys[i].Hash, entry: e}
			news = append(news, e)
		}
		if ps.heat != nil && !ps.heat.timer.Set() { // or nobody would see them cool
			ps.worker.loop.SetTimer(ps.heat.timer, reportEvery)
		}
	}
	if old != nil {
		for _, k := range old.keys {
			if !stays[k] {
				ps.dropForms(k)
			}
		}
	}
	ps.hot = next
	for _, e := range news {
		ps.getToKnow(e)
	}
}

// weighed stands for a session whose request was looked at, to add the size of the reply to what is known of the key.
type weighed struct {
	session *Session
	hash    uint64
	size    int
}

func (s *Session) weigh(hash uint64) *weighed {
	free := &s.worker.freeWeighed
	if n := len(*free); n > 0 {
		w := (*free)[n-1]
		*free = (*free)[:n-1]
		*w = weighed{session: s, hash: hash}
		return w
	}
	return &weighed{session: s, hash: hash}
}

// Reply is part of pool.Owner.
func (w *weighed) Reply(tag uint64, kind byte, b []byte, done bool) {
	s := w.session
	w.size += len(b)
	if done {
		if h := s.pool.heat; h != nil {
			h.detector.AddBytes(w.hash, w.size)
		}
		w.forget()
	}
	s.Reply(tag, kind, b, done)
}

// Fail is part of pool.Owner.
func (w *weighed) Fail(tag uint64, reason string, sent bool) {
	s := w.session
	w.forget()
	s.Fail(tag, reason, sent)
}

func (w *weighed) forget() {
	free := &w.session.worker.freeWeighed
	w.session = nil
	if len(*free) < 1024 {
		*free = append(*free, w)
	}
}
