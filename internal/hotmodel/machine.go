package hotmodel

import (
	"fmt"

	"ringway/internal/explore"
)

// fault leaves a rule of the protocol out, or turns it round.
type fault uint32

const (
	mutableCopies   fault = 1 << iota // copies have one name, whatever they hold
	noGeneration                      // what was asked for is published though the generation has moved on
	armBeside                         // who arms does not look whether there are holds
	sendBeside                        // nor does who notes the watch for a read
	writersFirst                      // who arms looks for holds, and then notes the generation
	bumpFirst                         // a write moves the generation on, and is then counted
	noBump                            // a write leaves the generation to its invalidation
	leftEarly                         // a write holds no more when its client has left
	noLease                           // a lease that has run out is not noticed
	generationFirst                   // who serves looks at the generation, and then at the lease
	oldClock                          // who serves goes by the clock of the loop's turn
	noBarrier                         // a form is served at once
	barrierAtSend                     // the barrier counts from when the read was sent
	earlyRead                         // a form is kept though its read was sent before the watch was published
	fromReplica                       // a form is kept of what a replica has answered
	noDeadline                        // the key's time to live is of no interest
	ageOfReply                        // the greatest age is counted from the reply
	untracked                         // a connection on which CLIENT TRACKING was refused is as good as another
	keepWatch                         // the watch outlives its connection
	unsettled                         // a new entry takes what loops have sent before for over
	outOfTurn                         // a client is served while a read that it sent before is at the owner
	missToOwner                       // a read of a copy that is not there goes to the owner
	noFarewell                        // loops forget an entry whose watch is good
)

// machine is the protocol within bounds.
type machine struct {
	proxies  int
	reads    int   // at once, of a proxy
	forms    int   // kept at once: of GET, of STRLEN
	writes   int   // at once, of a proxy, those given up and still on their way among them
	asks     uint8 // requests on a tracking connection at once
	versions uint8 // in play at once
	lease    uint8 // L
	age      uint8 // A; 0: no watch is ever too old
	life     uint8 // a write may give the key so long to live; 0: none does

	copies  bool // there is a node with copies
	direct  bool // somebody writes past the proxies
	silent  bool // the key is replaced without an invalidation, as by SWAPDB
	losses  bool // tracking connections are lost
	refused bool // CLIENT TRACKING may be refused
	lanes   bool // connections are lost with a write on them
	crashes bool // proxies crash
	piped   bool // two reads at once are one client's, the second sent behind the first; only then reads that miss are followed
	heats   bool // the key becomes hot, and is not any more
	split   bool // others may act between the two looks of who serves, or arms a watch
	strict  bool // what the owner has told is known as well as what was served

	faults fault
}

func (m *machine) is(f fault) bool { return m.faults&f != 0 }

// old is an age that is no different from a greater one, for any rule.
func (m *machine) old() uint8 { return max(m.lease, m.age, m.life) + 1 }

func (m *machine) Start() (s state) {
	s.fixed = none
	for i := range maxVersions {
		s.births[i], s.lives[i] = m.old(), endless
	}
	for i := range s.proxies {
		p := &s.proxies[i]
		p.lease, p.copying, p.second = m.lease+1, none, none
		p.void()
		m.begin(p)
		if !m.losses && !m.refused && !m.crashes {
			p.link, p.tracks = tracking, true
		}
	}
	return s
}

// begin is a new process' knowledge of the entry.
func (m *machine) begin(p *proxy) {
	p.entry, p.loops = absent, [2]view{}
	if !m.heats {
		p.entry, p.loops = present, [2]view{settled, settled}
	}
}

func (m *machine) Broken(s state) string {
	if s.broken == 0 {
		return ""
	}
	return fmt.Sprintf("the promise %q is broken", s.broken)
}

func (m *machine) Name(e explore.Event) string {
	what := e.What
	if e.Arg >= 0 {
		what = fmt.Sprintf(e.What, e.Arg)
	}
	if e.Who < 0 {
		return what
	}
	return fmt.Sprintf("proxy %d: %s", e.Who, what)
}

// Canon sorts what has no order.
func (m *machine) Canon(s state) state {
	for i := range m.proxies {
		p := &s.proxies[i]
		if a, b := &p.forms[0], &p.forms[1]; m.forms == 2 && a.weight() > b.weight() {
			*a, *b = *b, *a
		}
		if a, b := &p.reads[0], &p.reads[1]; m.reads == 2 && !m.heats && !m.piped && a.weight() > b.weight() {
			*a, *b = *b, *a
		}
		if a, b := &p.writes[0], &p.writes[1]; m.writes == 2 && !m.heats && a.weight() > b.weight() {
			*a, *b = *b, *a
		}
	}
	if a, b := &s.proxies[0], &s.proxies[1]; m.proxies == 2 && a.weight() > b.weight() {
		*a, *b = *b, *a
	}
	return s
}

func weight(bytes ...uint8) (w uint64) {
	for _, b := range bytes {
		w = w<<8 | uint64(b)
	}
	return w
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func (f *form) weight() uint64  { return weight(f.val, f.left, f.wait, f.age) }
func (w *write) weight() uint64 { return weight(uint8(w.course), w.val, bit(w.blind)) }
func (r *read) weight() uint64 {
	return weight(uint8(r.stage), r.val, bit(r.same), r.left, r.wait, r.floor, uint8(r.why))
}

// weight can't tell all proxies apart. That costs states and nothing else.
func (p *proxy) weight() uint64 {
	f, g := p.frames[0], p.frames[1]
	return weight(uint8(p.link)<<4|p.queued, p.ready<<4|p.lease, p.left, uint8(p.arming)<<4|bit(p.armed)<<3|bit(p.watch)<<2|bit(p.getting)<<1|bit(p.gettable),
		uint8(f.kind)<<4|f.age, f.val<<4|uint8(g.kind), p.digest<<4|p.copying&15, uint8(p.reads[0].stage)<<4|p.known)
}

// steps is one state's, as they are being told.
type steps struct {
	*machine
	from  state
	visit func(explore.Event, state)
}

// then tells of a state that may come next. who is -1 for what no proxy does.
func (m *steps) then(who int, what string, t state) { m.thenWith(who, -1, what, t) }

func (m *steps) thenWith(who, arg int, what string, t state) {
	m.forget(&t)
	m.visit(explore.Event{Who: int8(who), Arg: int8(arg), What: what}, t)
}

func (m *machine) Steps(s state, visit func(explore.Event, state)) {
	st := &steps{m, s, visit}
	st.time()
	st.owner()
	if m.copies {
		st.node()
	}
	for i := range m.proxies {
		st.connection(i)
		st.watching(i)
		for j := range m.writes {
			st.write(i, j)
		}
		for j := range m.reads {
			st.read(i, j)
		}
		if m.heats {
			st.heat(i)
		}
		if m.crashes {
			st.crash(i)
		}
	}
}

// time goes on by a tick, for all and everything that is on its way.
func (m *steps) time() {
	t, old := m.from, m.old()
	older := func(a *uint8, most uint8) { *a = min(*a+1, most) }
	less := func(a *uint8) {
		if *a != endless && *a > 0 {
			*a--
		}
	}
	for i := range t.births {
		older(&t.births[i], old)
		less(&t.lives[i])
	}
	for i := range m.proxies {
		p := &t.proxies[i]
		older(&p.lease, m.lease+1)
		for j := range p.queued {
			if p.frames[j].kind != push {
				older(&p.frames[j].age, old)
			}
		}
		less(&p.left)
		less(&p.getLeft)
		less(&p.digLeft)
		for j := range p.forms {
			less(&p.forms[j].left)
		}
		for j := range p.reads {
			less(&p.reads[j].left)
		}
		if !m.is(noDeadline) {
			p.end()
		}
		if m.is(ageOfReply) {
			for j := range p.forms {
				if p.forms[j].val != none {
					older(&p.forms[j].age, old)
				}
			}
			if p.digest != none {
				older(&p.fresh, old)
			}
		}
		if m.is(oldClock) {
			older(&p.lag, old)
		}
	}
	m.then(-1, "(a tick)", t)
	for i := range m.proxies {
		if t := m.from; t.proxies[i].lag > 0 {
			t.proxies[i].lag = 0
			m.then(i, "a turn begins, and the clock is read", t)
		}
	}
}

// crash ends a proxy, and starts it again. What it has sent is still on its way.
func (m *steps) crash(i int) {
	t := m.from
	p := &t.proxies[i]
	p.disconnected()
	p.lease = m.lease + 1
	p.void()
	m.begin(p)
	p.reads, p.second = [2]read{}, none
	for j := range p.writes {
		switch w := &p.writes[j]; w.course {
		case forwarded:
			*w = write{course: late}
		case late:
		default:
			*w = write{}
		}
	}
	m.then(i, "crashes, and starts again", t)
}

// forget drops what makes no difference: versions that nobody holds, and what is known of them.
func (m *machine) forget(s *state) {
	held := uint8(1) << s.current
	hold := func(v version) {
		if v != none {
			held |= 1 << v
		}
	}
	hold(s.fixed)
	if m.is(fromReplica) && s.current > 0 {
		hold(s.current - 1)
	}
	for i := range m.proxies {
		p := &s.proxies[i]
		hold(p.digest)
		hold(p.copying)
		hold(p.second)
		hold(p.forms[0].val)
		hold(p.forms[1].val)
		for _, f := range p.frames[:p.ready] {
			if f.kind == get {
				hold(f.val)
			}
		}
		for j := range p.reads {
			if r := &p.reads[j]; r.stage > sent {
				hold(r.val)
			}
		}
		for j := range p.writes {
			if w := &p.writes[j]; w.course == written {
				hold(w.val)
			}
		}
	}
	lowest := uint8(0)
	for held>>lowest&1 == 0 {
		lowest++
	}
	for v := range version(maxVersions) {
		if held>>v&1 == 0 {
			s.lives[v] = endless
		}
		if v <= lowest { // it is no floor to anything
			s.births[v] = m.old()
		}
	}
	s.silent &^= 2<<lowest - 1
	s.copies &= held
	for i := range m.proxies {
		p := &s.proxies[i]
		p.known = max(p.known, lowest)
	}
	if lowest == 0 {
		return
	}
	lower := func(v *version) {
		if *v != none {
			*v -= lowest
		}
	}
	for v := range version(maxVersions) {
		if v+lowest < maxVersions {
			s.births[v], s.lives[v] = s.births[v+lowest], s.lives[v+lowest]
		} else {
			s.births[v], s.lives[v] = m.old(), endless
		}
	}
	s.silent >>= lowest
	s.copies >>= lowest
	lower(&s.current)
	lower(&s.fixed)
	for i := range m.proxies {
		p := &s.proxies[i]
		lower(&p.digest)
		lower(&p.copying)
		lower(&p.second)
		lower(&p.forms[0].val)
		lower(&p.forms[1].val)
		lower(&p.known)
		for j := range p.ready {
			if p.frames[j].kind == get {
				lower(&p.frames[j].val)
			}
		}
		for j := range p.reads {
			if r := &p.reads[j]; r.stage > sent {
				lower(&r.val)
				r.floor = max(r.floor, lowest) - lowest
			}
		}
		for j := range p.writes {
			if w := &p.writes[j]; w.course == written {
				lower(&w.val)
			}
		}
	}
}
