package hotmodel

// floor is the oldest version that a proxy may serve to a read that begins now, and the promise that says so. Of promises that ask for
// the same the first is named.
func (m *machine) floor(s *state, i int) (floor version, why promise) {
	raise := func(v version, p promise) {
		if v > floor {
			floor, why = v, p
		}
	}
	p := &s.proxies[i]
	raise(p.known, own)
	for v := range s.current + 1 {
		switch {
		case s.silent>>v&1 == 0 && s.births[v] > m.lease:
			raise(v, bounded)
		case s.silent>>v&1 != 0 && s.births[v] > m.age:
			raise(v, unnoticed)
		}
	}
	if !m.silent && p.link == tracking && !p.lost && !p.invalidated() {
		raise(s.current, caughtUp)
	}
	return floor, why
}

// leased says what a lease has to say to who serves now: it is not too old.
func (m *machine) leased(p *proxy) bool {
	age := p.lease
	if m.is(oldClock) {
		age -= min(age, p.lag)
	}
	return age <= m.lease || m.is(noLease)
}

// early says of a form, or a digest, that it may be served as far as its age goes, where that is its own.
func (m *machine) early(age uint8) bool { return !m.is(ageOfReply) || age <= m.age }

// judge notes what a read of v, that begins now, is to be judged by. What will turn out well whenever it ends needs no judge.
func (m *steps) judge(s *state, i int, r *read, v version) {
	r.val, r.same = v, true
	r.floor, r.why = m.floor(s, i)
	if s.lives[v] == 0 {
		r.floor, r.why = v+1, expiry
	}
	if v >= r.floor && !m.is(mutableCopies) {
		r.floor, r.why = 0, 0
	}
}

// serves hands version v to the client of read j.
func (m *steps) serves(t *state, i, j int, v version) {
	p := &t.proxies[i]
	r := &p.reads[j]
	if v < r.floor {
		t.broken = r.why
	}
	if !m.silent {
		p.known = max(p.known, v)
	}
	*r = read{}
	m.answered(t, i, j, v)
}

// answered is the end of a read, and what it means to the other of a pair.
func (m *steps) answered(t *state, i, j int, v version) {
	p := &t.proxies[i]
	switch other := &p.reads[1-j]; {
	case !m.piped:
	case j == 1 && other.stage != nothing:
		p.second = v
	case j == 1:
	case p.second != none:
		if v > p.second {
			t.broken = inOrder
		}
		p.second = none
	case other.stage > replied && v > other.floor:
		other.floor, other.why = v, inOrder
	}
}

// read is what becomes of a proxy's read j.
func (m *steps) read(i, j int) {
	p := &m.from.proxies[i]
	switch r := p.reads[j]; r.stage {
	case nothing:
		switch {
		case m.piped && j == 0 && p.reads[1].stage != nothing, p.second != none:
			return // the pair that is under way comes first
		case j > 0 && p.reads[0].stage == nothing && !m.heats && !m.piped:
			return // of two, the first goes first
		}
		if first := p.reads[0].stage; j == 0 || !m.piped || first != sent && first != replied || m.is(outOfTurn) {
			m.looks(i, j)
		}
		m.sends(i, j)
	case sent:
		if j == 0 || !m.piped || p.reads[0].stage != sent { // on one lane, the first goes first
			m.replies(i, j)
		}
	case replied:
		if j == 0 || !m.piped || p.reads[0].stage != replied {
			m.keeps(i, j)
		}
	case near, apart:
		m.looksAgain(m.from, i, j)
	case away:
		t := m.from
		q := &t.proxies[i].reads[j]
		switch {
		case m.is(mutableCopies) && t.fixed != none:
			v := t.fixed
			m.serves(&t, i, j, v)
			m.thenWith(i, int(v), "the node with copies answers: version %d", t)
		case !m.is(mutableCopies) && t.copies>>r.val&1 != 0:
			m.serves(&t, i, j, r.val)
			m.thenWith(i, int(r.val), "the node with copies answers: version %d", t)
		case m.piped && !m.is(missToOwner):
			m.serves(&t, i, j, r.val)
			m.thenWith(i, int(r.val), "the node with copies has none; the read is answered with the value that is known, version %d", t)
		default:
			if *q = (read{}); m.piped {
				q.stage = sent
			}
			m.then(i, "the node with copies has none; the read goes to the owner", t)
		}
	}
}

// looks is a read that finds a form, or a digest, and looks at the lease. The generation is looked at after it: had it been before,
// an invalidation and then the answer to a PING could come in between, and the lease be good by the latter.
func (m *steps) looks(i, j int) {
	p := &m.from.proxies[i]
	if p.loops[j] == unaware || !m.is(generationFirst) && !m.leased(p) {
		return
	}
	for _, f := range p.forms[:m.forms] {
		if f.val == none || f.wait > 0 && !m.is(generationFirst) || !m.early(f.age) {
			continue
		}
		t := m.from
		r := &t.proxies[i].reads[j]
		m.judge(&t, i, r, f.val)
		r.stage = near
		if m.is(generationFirst) {
			r.wait = f.wait
		}
		m.found(t, i, j)
	}
	if p.digest != none && m.early(p.fresh) {
		t := m.from
		r := &t.proxies[i].reads[j]
		m.judge(&t, i, r, p.digest)
		r.stage = apart
		m.found(t, i, j)
	}
}

// found tells of a read that has found something, or goes on at once.
func (m *steps) found(t state, i, j int) {
	r := t.proxies[i].reads[j]
	if !m.split {
		m.looksAgain(t, i, j)
		return
	}
	what := textForm
	if r.stage == apart {
		what = textDigest
	}
	m.thenWith(i, int(r.val), what[m.second()], t)
}

// looksAgain is the second look of a read that has found something.
func (m *steps) looksAgain(t state, i, j int) {
	p := &t.proxies[i]
	r := &p.reads[j]
	good := r.same
	if m.is(generationFirst) {
		good = r.wait == 0 && m.leased(p)
	}
	v, n := r.val, m.second()
	switch {
	case !good:
		*r = read{}
		m.then(i, textNot[n], t)
	case r.stage == apart:
		r.stage, r.wait = away, 0
		m.thenWith(i, int(v), textAway[n], t)
	default:
		m.serves(&t, i, j, v)
		m.thenWith(i, int(v), textServed[n], t)
	}
}

// second says what is looked at second: 0 the generation, 1 the lease, 2 nothing, for nobody acts between the looks.
func (m *machine) second() int {
	switch {
	case !m.split:
		return 2
	case m.is(generationFirst):
		return 1
	}
	return 0
}

var (
	textForm   = [...]string{"a read finds the form of version %d: the lease is good", "a read finds the form of version %d: the generation is good"}
	textDigest = [...]string{"a read finds the digest of version %d: the lease is good", "a read finds the digest of version %d: the generation is good"}
	textServed = [...]string{"and so is the generation: version %d is served", "and so is the lease: version %d is served",
		"a read is served the form of version %d"}
	textAway = [...]string{"and so is the generation: the read of version %d is sent to the node with copies",
		"and so is the lease: the read of version %d is sent to the node with copies", "a read of version %d is sent to the node with copies"}
	textNot = [...]string{"but not so the generation; the read goes to the owner", "but not so the lease; the read goes to the owner"}
)

// sends is a read that goes to the owner. One that can't become a form changes nothing, but for what its client knows.
func (m *steps) sends(i, j int) {
	t := m.from
	p := &t.proxies[i]
	r := &p.reads[j]
	may := p.loops[j] != unaware && p.watch && (m.holds(p) == 0 || m.is(sendBeside)) || m.is(earlyRead)
	if !m.strict && !m.piped && (!may || m.forms == 0) {
		return
	}
	r.stage, r.same = sent, may
	if may {
		r.left = p.left
	}
	if m.is(barrierAtSend) {
		r.wait = p.outstanding() + 1
	}
	m.then(i, "a read is sent to the owner", t)
}

// replies is the owner that carries out a read.
func (m *steps) replies(i, j int) {
	t := m.from
	if !m.lapse(&t) {
		return
	}
	r := &t.proxies[i].reads[j]
	r.stage, r.val = replied, t.current
	m.thenWith(i, int(t.current), "the owner reads version %d", t)
	if m.is(fromReplica) && t.current > 0 {
		r.val--
		m.thenWith(i, int(r.val), "a replica reads version %d", t)
	}
}

// keeps is the reply to a read that went to the owner.
func (m *steps) keeps(i, j int) {
	t := m.from
	p := &t.proxies[i]
	r := p.reads[j]
	p.reads[j] = read{}
	if m.strict {
		p.known = max(p.known, r.val)
	}
	m.answered(&t, i, j, r.val)
	m.thenWith(i, int(r.val), "the reply of the owner comes: version %d", t)
	if m.is(earlyRead) && p.watch {
		r.same, r.left = true, p.left
	}
	if !r.same {
		return
	}
	f := form{val: r.val, left: r.left, wait: p.outstanding() + 1}
	switch {
	case m.is(barrierAtSend):
		f.wait = r.wait
	case m.is(noBarrier):
		f.wait = 0
	}
	for k := range m.forms {
		u := t
		u.proxies[i].forms[k] = f
		m.thenWith(i, int(r.val), "the reply of the owner comes, and is kept: version %d", u)
	}
}
