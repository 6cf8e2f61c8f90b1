package warmmodel

import (
	"fmt"

	"ringway/internal/explore"
)

type event = explore.Event

// mode is what a Ringway goes by.
type mode uint8

const (
	none  mode = iota // nothing: it has just started, or its lease has run out
	old               // the old ring
	hold              // neither: requests wait
	warm              // the new ring; misses are looked up on the old node, writes void it
	drain             // the new ring; no looking up, but writes still void the old node
	fresh             // the new ring, and nothing else
)

func (m mode) String() string {
	return [...]string{"none", "old", "hold", "warm", "drain", "new"}[m]
}

// compatible says whether two Ringways may serve under these modes at the same time.
func compatible(a, b mode) bool {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == none || a == hold || a == b:
		return true
	case a == old:
		return b == hold
	}
	return !(a == warm && b == fresh)
}

type kind uint8

const (
	read   kind = iota
	write       // of a whole value: SET
	remove      // DEL
	modify      // read-modify-write: INCR, HSET, scripts, transactions
	flush       // FLUSHALL
	ghost       // a write of an earlier time, when the new node had the key already, given up then and still on its way
	echo        // a write under the old ring, given up, and still on its way to the old node
)

// place is the request of an operation that is on its way, or what has become of the operation.
type place uint8

const (
	uncalled place = iota
	atOld          // the command itself, at the old node, as there was nothing to change
	get            // a read at the new node
	mark           // SET marker NX at the new node
	look           // WATCH marker, EXISTS marker, EXISTS key at the new node
	take           // MULTI, PTTL, DUMP, UNLINK, EXEC at the old node
	restore        // MULTI, RESTORE, UNLINK marker, EXEC at the new node
	reread         // a read at the new node, behind the above
	void           // UNLINK at the old node
	unmark         // UNLINK marker at the new node
	put            // the write itself, at the new node
	wipe           // the first FLUSHALL of the new node
	over
)

func (p place) String() string {
	return [...]string{"", "command at the old node", "read at the new node", "set the marker", "watch and look", "take from the old node",
		"restore", "read behind the restore", "void at the old node", "remove the marker", "write at the new node",
		"first flush of the new node", "over"}[p]
}

// op is an operation of a client. What is left of one that is over, or failed and can't do harm any more, is only that.
type op struct {
	place  place
	by     int8
	failed bool    // the client has an error, but the request is still on its way
	late   bool    // its Ringway's lease has run out since the call
	watch  bool    // its connection watches the marker
	dirty  bool    // the marker has been touched since
	value  version // what was taken from the old node
	result version // what was found, if voiding comes last
}

const maxOps = 5

// keyState is the key on both nodes, the Ringways, and what clients have been told.
type keyState struct {
	spec    spec
	modes   [2]mode
	ops     [maxOps]op
	oldCopy version
	newCopy version
	marker  bool
	force   mode // what the registry says is in force, whoever is alive: old, warm or fresh
	swept   bool // the new node has been rid of what is not its own while the old ring was in force
	lapses  uint8
}

// fault leaves a step of the protocol out.
type fault uint32

const (
	noBarrier     fault = 1 << iota // one goes to the new ring while others are on the old one
	noWait                          // one holds with requests in flight, and takes their replies for good
	noFence                         // replies count though the lease has run out
	noVoid                          // writes leave the old copy
	voidLast                        // write at the new node, then void
	noMarker                        // restore whenever the key is missing
	keepMarker                      // writes leave the marker
	noLook                          // the marker is watched, but not whether it is still there
	noSweep                         // what lies on the new node from earlier times stays
	noDrain                         // from warm to new while others are warm
	markerForEver                   // others go on though a restore may still be carried out
	copyOnly                        // a move leaves the old copy
	readOld                         // some reads that miss are answered from the old node, without a marker
	oneFlush                        // all nodes are flushed once
	noForce                         // nothing says which ring is in force when nobody is alive
	earlySweep                      // swept while requests of an earlier time may still be carried out
)

// keyMachine has two Ringways, one key, its old and its new node, and a list of operations, each done once by either Ringway.
type keyMachine struct {
	ops    []kind
	lapses uint8 // how many times a lease may run out
	warm   bool  // begin when all are warm
	faults fault
	lib    *library
}

func (m *keyMachine) is(f fault) bool { return m.faults&f != 0 }

func (m *keyMachine) Start() keyState {
	s := keyState{oldCopy: initial, newCopy: stale, modes: [2]mode{old, old}, force: old, swept: m.is(noSweep)}
	s.spec = m.lib.number([]history{history(initial)})
	if m.warm {
		s.modes, s.force, s.swept, s.newCopy = [2]mode{warm, warm}, warm, true, absent
	}
	for i, k := range m.ops {
		switch k {
		case ghost:
			s.ops[i] = op{place: put, failed: true}
			m.tell(&s, called, i, absent)
		case echo:
			s.ops[i] = op{place: atOld, failed: true}
			m.tell(&s, called, i, absent)
		}
	}
	return s
}

func (m *keyMachine) Broken(s keyState) string {
	if s.spec == 0 {
		return fmt.Sprintf("no order of events explains this; the old node has version %d, the new one %d", s.oldCopy, s.newCopy)
	}
	return ""
}

// canon swaps the Ringways if the second is ahead: neither is special.
func (m *keyMachine) Canon(s keyState) keyState {
	if s.modes[0] > s.modes[1] {
		return s
	}
	t := s
	t.modes[0], t.modes[1] = s.modes[1], s.modes[0]
	for i := range t.ops {
		if o := &t.ops[i]; o.place != uncalled && o.place != over && m.ops[i] < ghost {
			o.by = 1 - o.by
		}
	}
	if s.modes[0] < s.modes[1] || callers(&t) < callers(&s) {
		return t
	}
	return s
}

// callers tells who calls what, as a number.
func callers(s *keyState) (n uint8) {
	for i := range s.ops {
		n |= uint8(s.ops[i].by) << i
	}
	return n
}

func (m *keyMachine) Name(e event) string {
	if e.Who < 10 {
		return fmt.Sprintf("ringway %d: %s", e.Who, e.What)
	}
	i := e.Who - 10
	return fmt.Sprintf("operation %d (%s, version %d): %s", i, [...]string{"read", "write", "DEL", "modify", "FLUSHALL", "write of an earlier time",
		"write under the old ring"}[m.ops[i]],
		firstOp+version(i), e.What)
}

// tell puts an event of operation i to the spec.
func (m *keyMachine) tell(s *keyState, what uint8, i int, v version) {
	q := question{s: s.spec, kind: what, op: uint8(i), v: v}
	for j, k := range m.ops {
		switch o := &s.ops[j]; {
		case o.place == uncalled:
		case k != read:
			q.writes |= 1 << j
		case o.place != over || j == i:
			q.reading |= 1 << j
		}
	}
	s.spec = m.lib.next(q)
}

func (m *keyMachine) Steps(s keyState, visit func(event, keyState)) {
	m.nodes(s, visit)
	for r := range s.modes {
		m.ringway(s, r, visit)
	}
	for i := range m.ops {
		m.operation(s, i, visit)
	}
}

// touch is the marker's end, by whatever cause: whoever watches it will not restore.
func (s *keyState) touch() {
	if !s.marker {
		return
	}
	s.marker = false
	for i := range s.ops {
		if s.ops[i].watch {
			s.ops[i].dirty = true
		}
	}
}

// nodes may evict anything, or let it expire, at any time.
func (m *keyMachine) nodes(s keyState, visit func(event, keyState)) {
	if t := s; s.oldCopy != absent {
		t.oldCopy = absent
		visit(event{What: "(the old node evicts the key)"}, t)
	}
	if t := s; s.newCopy != absent {
		t.newCopy = absent
		visit(event{What: "(the new node evicts the key)"}, t)
	}
	if t := s; s.marker {
		t.touch()
		visit(event{What: "(the marker expires or is evicted)"}, t)
	}
}

// may says whether Ringway r may take a mode while the others are as they are.
func (s *keyState) may(r int, to mode) bool {
	for q, have := range s.modes {
		if q != r && !compatible(have, to) {
			return false
		}
	}
	return true
}

func (m *keyMachine) ringway(s keyState, r int, visit func(event, keyState)) {
	to := func(md mode, text string) {
		t := s
		t.modes[r] = md
		if md == warm || md == fresh {
			t.force = max(t.force, md)
		}
		if md == drain && !m.is(markerForEver) {
			t.touch() // longer than a marker lives has passed since its last move, or since it was alive
		}
		visit(event{Who: int8(r), What: text}, t)
	}
	busy := func(first, last place) bool {
		for i := range s.ops {
			if o := &s.ops[i]; o.place >= first && o.place <= last && int(o.by) == r && !o.failed {
				return true
			}
		}
		return false
	}
	other := s.modes[1-r]
	if s.modes[r] != none && s.lapses < m.lapses {
		t := s
		t.modes[r] = none
		t.lapses++
		if other == none && s.force == old {
			t.swept = m.is(noSweep) // nobody is left who would know
		}
		for i := range t.ops {
			if o := &t.ops[i]; o.place != uncalled && o.place != over && int(o.by) == r {
				o.late = true
			}
		}
		visit(event{Who: int8(r), What: "its lease runs out"}, t)
	}
	switch s.modes[r] {
	case none:
		if m.is(noForce) && s.may(r, old) {
			to(old, "starts with the old ring")
		}
		switch s.force {
		case old:
			if s.may(r, old) {
				to(old, "starts with the old ring, which is in force")
			}
			if other == hold {
				to(hold, "starts and joins those who hold")
			}
		case warm:
			if s.may(r, warm) {
				to(warm, "starts and is warm")
			}
			to(drain, "starts and drains")
		case fresh:
			to(drain, "starts and drains")
		}
	case old:
		if !s.swept {
			t := s
			t.newCopy, t.swept = absent, true
			for i, k := range m.ops {
				if k == ghost && !m.is(earlySweep) {
					t.ops[i] = op{place: over} // carried out before, or never
				}
			}
			visit(event{Who: int8(r), What: "sweeps the new node"}, t)
		}
		if s.swept && (m.is(noWait) || !busy(atOld, wipe)) {
			to(hold, "holds: nothing is in flight any more")
		}
	case hold:
		if s.may(r, old) && s.force == old {
			to(old, "gives up and goes back to the old ring")
		}
		if (s.may(r, warm) || m.is(noBarrier)) && s.force != fresh {
			to(warm, "is warm: all others hold or are warm")
		}
		if s.force != old {
			to(drain, "drains: the others are ahead")
		}
	case warm:
		if !busy(mark, restore) {
			to(drain, "drains: its window is over, no move is under way")
		}
		if m.is(noDrain) {
			to(fresh, "has the new ring, though others may be warm")
		}
	case drain:
		if s.may(r, fresh) {
			t := s
			if !m.is(markerForEver) {
				t.touch() // longer than a marker lives has passed since the last who was warm drained or lapsed
			}
			t.modes[r], t.force = fresh, fresh
			visit(event{Who: int8(r), What: "has the new ring: nobody is warm"}, t)
		}
	}
}

// first is the first request of an operation.
func (m *keyMachine) first(k kind, md mode) place {
	switch {
	case md == old:
		return atOld
	case k == read:
		return get
	case md == fresh:
		return put
	case k == flush:
		return wipe
	case k == modify && md == warm:
		return mark
	}
	return m.voiding()
}

// voiding is where a write begins that concerns both nodes.
func (m *keyMachine) voiding() place {
	switch {
	case !m.is(voidLast | noVoid):
		return void
	case m.is(keepMarker):
		return put
	}
	return unmark
}

func (m *keyMachine) operation(s keyState, i int, visit func(event, keyState)) {
	o, k := s.ops[i], m.ops[i]
	who := int8(10 + i)
	switch o.place {
	case over:
	case uncalled:
		if i > 0 && m.ops[i-1] == k && s.ops[i-1].place == uncalled {
			return // of two alike, the first goes first
		}
		for r, md := range s.modes {
			if md != none && md != hold {
				t := s
				t.ops[i] = op{place: m.first(k, md), by: int8(r)}
				m.tell(&t, called, i, absent)
				visit(event{Who: who, What: [...]string{"called at ringway 0", "called at ringway 1"}[r]}, t)
			}
		}
	default:
		if !o.failed {
			t := s
			m.fail(&t, i, true)
			visit(event{Who: who, What: "the connection is lost; the client gets an error"}, t)
		}
		t := s
		then, result := m.carryOut(&t, i)
		switch {
		case then == o.place: // it tries again
		case o.failed:
			t.ops[i] = op{place: over}
			visit(event{Who: who, What: lateText[o.place]}, t)
		case then != over && o.late && !m.is(noFence):
			m.fail(&t, i, false)
			visit(event{Who: who, What: lateText[o.place]}, t)
		case then != over:
			t.ops[i].place = then
			visit(event{Who: who, What: o.place.String()}, t)
		default:
			if k != read {
				u := t
				m.fail(&u, i, false)
				visit(event{Who: who, What: lateText[o.place]}, u)
			}
			if o.late && !m.is(noFence) {
				return
			}
			t.ops[i] = op{place: over}
			if k == read {
				m.tell(&t, returned, i, result)
			} else {
				m.tell(&t, written, i, result)
			}
			visit(event{Who: who, What: answers[result]}, t)
		}
	}
}

var answers = [...]string{"carried out and answered: a miss", "carried out and answered with version 1", "carried out and answered with version 2",
	"carried out and answered with version 3", "carried out and answered with version 4", "carried out and answered with version 5",
	"carried out and answered with version 6", "carried out and answered with what was overwritten before the beginning"}

var lateText = func() (texts [over + 1]string) {
	for p := range texts {
		texts[p] = place(p).String() + ": carried out, and nobody learns of it"
	}
	return texts
}()

// fail ends an operation with an error. If its request is still on its way and may do more than what a node does of itself, which
// is to forget the key or the marker, it stays.
func (m *keyMachine) fail(s *keyState, i int, underWay bool) {
	o := &s.ops[i]
	left := op{place: over}
	if p := o.place; underWay && (p == put || p == atOld && m.ops[i] != read || p == restore && o.watch && !o.dirty) {
		left = *o
		left.failed, left.late = true, false
	}
	*o = left
	if m.ops[i] == read {
		m.tell(s, failed, i, absent)
	}
}

// apply carries the command out on a copy and returns what it found, where that is told.
func (m *keyMachine) apply(s *keyState, i int, copy *version) (found version) {
	found = *copy
	switch m.ops[i] {
	case read:
		return found
	case modify:
		*copy = firstOp + version(i)
		return found
	case write, ghost, echo:
		*copy = firstOp + version(i)
	case remove, flush:
		*copy = absent
		if m.ops[i] == flush && copy == &s.newCopy {
			s.touch()
		}
	}
	return absent
}

// carryOut has a node carry a request out, and returns the next one, and the result if there is none. That a Ringway gets the reply later,
// or not at all, is the same as that it sends the next request later, or loses the connection.
func (m *keyMachine) carryOut(s *keyState, i int) (next place, result version) {
	o, k := &s.ops[i], m.ops[i]
	afterMove := reread
	if k == modify { // nothing that anybody has seen is left on the old node: there is no need to void it
		afterMove = unmark
		if m.is(keepMarker) {
			afterMove = put
		}
	}
	switch o.place {
	case atOld:
		return over, m.apply(s, i, &s.oldCopy)
	case get:
		if s.newCopy == absent && s.modes[o.by] == warm && !o.late {
			if m.is(noMarker) || m.is(readOld) && i%2 == 0 {
				return take, 0
			}
			return mark, 0
		}
		return over, m.apply(s, i, &s.newCopy)
	case mark:
		switch {
		case !s.marker:
			s.marker = true
			return look, 0
		case k == read:
			return reread, 0 // others are moving the key
		}
		return mark, 0
	case look:
		switch {
		case !s.marker && !m.is(noLook):
			if k == read {
				return reread, 0
			}
			return mark, 0
		case s.newCopy != absent:
			return afterMove, 0
		}
		o.watch, o.dirty = true, false
		return take, 0
	case take:
		o.value = s.oldCopy
		if !m.is(copyOnly) {
			s.oldCopy = absent
		}
		switch {
		case o.value == absent:
			o.watch, o.dirty = false, false
			return afterMove, 0 // its marker is left to expire
		case m.is(readOld) && !o.watch:
			s.oldCopy = o.value // it only reads
			return over, o.value
		}
		return restore, 0
	case restore:
		good := o.watch && !o.dirty
		if (good || m.is(noMarker)) && s.newCopy == absent {
			s.newCopy = o.value
		}
		o.watch, o.dirty, o.value = false, false, absent
		if good {
			s.touch()
		}
		return afterMove, 0
	case reread:
		return over, m.apply(s, i, &s.newCopy)
	case wipe:
		s.newCopy = absent
		s.touch()
		return void, 0
	case void:
		s.oldCopy = absent
		switch {
		case m.is(voidLast) && k != flush || m.is(oneFlush) && k == flush:
			return over, o.result
		case k == flush || m.is(keepMarker):
			return put, 0
		}
		return unmark, 0
	case unmark:
		s.touch()
		return put, 0
	case put:
		result := m.apply(s, i, &s.newCopy)
		if m.is(voidLast) && k != ghost && s.modes[o.by] != fresh {
			o.result = result
			return void, 0
		}
		return over, result
	}
	panic("no such place")
}
