package hotmodel

// overwrite has the owner carry a write out. It returns false where more versions would be in play than there may.
func (m *machine) overwrite(s *state, life uint8) bool {
	if s.current+1 == m.versions {
		return false
	}
	s.current++
	s.births[s.current], s.lives[s.current] = 0, life
	return true
}

// invalidate tells those who are on the list, and empties it.
func (s *state) invalidate() {
	for i := range s.proxies {
		if p := &s.proxies[i]; p.listed {
			p.listed = false
			p.reply(frame{kind: push})
		}
	}
}

// written tells of each way in which a write can be carried out: with and without a time to live.
func (m *steps) written(from state, tell func(state)) {
	for _, life := range [...]uint8{endless, m.life} {
		if t := from; life > 0 && m.overwrite(&t, life) {
			t.invalidate()
			tell(t)
		}
	}
}

// lapse has the owner notice that the key has expired, as whoever reads it makes it do, and is the same as a write of nothing.
func (m *machine) lapse(s *state) bool {
	if s.lives[s.current] > 0 {
		return true
	}
	if !m.overwrite(s, endless) {
		return false
	}
	s.invalidate()
	return true
}

// owner is what happens at the owner without the proxies.
func (m *steps) owner() {
	if t := m.from; t.lives[t.current] == 0 && m.lapse(&t) {
		m.then(-1, "(the owner deletes the key, which has expired)", t)
	}
	if m.direct {
		m.written(m.from, func(t state) { m.then(-1, textDirect[lives(&t)], t) })
	}
	if t := m.from; m.silent && m.overwrite(&t, endless) {
		t.silent |= 1 << t.current
		m.then(-1, "(the key is replaced, and nobody is told)", t)
	}
}

// lives is 1 if the current version has a time to live.
func lives(s *state) int {
	if s.lives[s.current] != endless {
		return 1
	}
	return 0
}

var (
	textDirect    = [...]string{"somebody writes past the proxies", "somebody writes past the proxies, with a time to live"}
	textForwarded = [...]string{"the write is carried out", "the write, with a time to live, is carried out"}
	textLate      = [...]string{"the write that was given up is carried out", "the write that was given up, with a time to live, is carried out"}
)

// serve has the owner carry out the first request on a proxy's tracking connection. An expired key is deleted by who asks for it; this one is told
// behind his reply, by old servers before it.
func (m *steps) serve(i int) {
	p := m.from.proxies[i]
	k := p.frames[p.ready].kind
	answer := func(t *state, val uint8) {
		q := &t.proxies[i]
		q.frames[q.ready].val = val
		q.ready++
		if k == pttl || k == get {
			q.listed = q.tracks
		}
	}
	t := m.from
	switch k {
	case track:
		t.proxies[i].tracks = true
		answer(&t, 1)
		m.then(i, "CLIENT TRACKING ON is carried out", t)
		if t := m.from; m.refused {
			answer(&t, 0)
			m.then(i, "CLIENT TRACKING ON is refused", t)
		}
	case ping:
		answer(&t, 0)
		m.then(i, "PING is carried out", t)
	case pttl, get:
		val := func(t *state) uint8 {
			if k == pttl {
				return t.lives[t.current]
			}
			return t.current
		}
		what := textAsk[k]
		expired := t.lives[t.current] == 0
		if !m.lapse(&t) {
			return
		}
		answer(&t, val(&t))
		m.then(i, what, t)
		if t := m.from; expired && p.listed {
			t.proxies[i].listed = false
			m.lapse(&t)
			answer(&t, val(&t))
			t.proxies[i].reply(frame{kind: push})
			m.then(i, what, t)
		}
	}
}

var textAsk = [...]string{pttl: "PTTL is carried out", get: "GET on the tracking connection is carried out"}

// node is what happens at the node with copies.
func (m *steps) node() {
	for i := range m.proxies {
		p := m.from.proxies[i]
		if p.copying == none {
			continue
		}
		t := m.from
		t.proxies[i].copying = none
		m.then(i, "its SET of a copy is lost", t)
		if m.is(mutableCopies) {
			t.fixed = p.copying
		} else {
			t.copies |= 1 << p.copying
		}
		m.then(i, "its SET of a copy is carried out", t)
	}
	if t := m.from; t.copies != 0 || t.fixed != none {
		t.copies, t.fixed = 0, none
		m.then(-1, "(the node with copies loses them)", t)
	}
}
