package hotmodel

// connection is what happens on a proxy's tracking connection.
func (m *steps) connection(i int) {
	p := &m.from.proxies[i]
	if p.link == down {
		t := m.from
		q := &t.proxies[i]
		q.link = greeting
		q.ask(track)
		m.then(i, "connects, and sends CLIENT TRACKING ON", t)
		return
	}
	if p.ready > 0 {
		m.handle(i)
	}
	if p.lost {
		m.noticeLoss(i)
		return
	}
	if p.ready < p.queued {
		m.serve(i)
	}
	if m.losses {
		for n := range p.ready + 1 {
			t := m.from
			q := &t.proxies[i]
			q.keep(n)
			q.lost, q.tracks, q.listed = true, false, false
			m.thenWith(i, int(n), "the tracking connection is lost, all but the first %d frames on their way to it", t)
		}
	}
	if p.link != tracking {
		return
	}
	if p.outstanding() < m.asks {
		t := m.from
		t.proxies[i].ask(ping)
		m.then(i, "sends PING", t)
	}
}

// noticeLoss is a proxy's that has been told that its tracking connection is lost.
func (m *steps) noticeLoss(i int) {
	t := m.from
	p := &t.proxies[i]
	p.disconnected()
	if !m.is(keepWatch) {
		p.lease = m.machine.lease + 1
		p.void()
	}
	m.then(i, "notices that the tracking connection is lost", t)
}

// handle takes the next frame from the tracking connection.
func (m *steps) handle(i int) {
	t := m.from
	p := &t.proxies[i]
	f := p.take()
	switch f.kind {
	case push:
		if m.is(mutableCopies) && p.digest != none {
			t.fixed = none // its DEL of the copy takes no time
		}
		p.void()
		m.then(i, "handles the invalidation", t)
		return
	case track:
		if f.val == 0 && !m.is(untracked) {
			p.disconnected()
			m.then(i, "closes the connection that does not track", t)
			return
		}
		p.link = tracking
		m.then(i, "has the answer to CLIENT TRACKING ON", t)
		return
	}
	p.lease = min(f.age, m.machine.lease+1)
	for j := range p.forms {
		if w := &p.forms[j].wait; *w > 0 {
			*w--
		}
	}
	for j := range p.reads {
		if w := &p.reads[j].wait; *w > 0 {
			*w--
		}
	}
	switch f.kind {
	case ping:
		m.then(i, "has the answer to PING", t)
	case pttl:
		p.arming = idle
		good := p.armed || m.is(noGeneration)
		p.armed = false
		left := f.val
		if m.age > 0 && !m.is(ageOfReply) {
			left = min(left, m.age)
		}
		if left != endless {
			left -= min(left, f.age)
		}
		if good && (left > 0 || m.is(noDeadline)) {
			p.watch, p.left = true, left
			m.then(i, "has the answer to PTTL, and publishes the watch", t)
			return
		}
		m.then(i, "has the answer to PTTL, in vain", t)
	case get:
		p.getting = false
		good, left := p.gettable, p.getLeft
		if m.is(noGeneration) && p.watch {
			good, left = true, p.left
		}
		p.gettable, p.getLeft = false, 0
		if good {
			p.digest, p.digLeft, p.fresh = f.val, left, 0
			m.then(i, "has the answer to GET, and publishes the digest", t)
			return
		}
		m.then(i, "has the answer to GET, in vain", t)
	}
}

// watching is what a proxy does to have a watch, and copies.
func (m *steps) watching(i int) {
	p := &m.from.proxies[i]
	if p.link == tracking && !p.lost {
		if m.arm(i); m.copies && p.watch && !p.getting && p.outstanding() < m.asks {
			t := m.from
			q := &t.proxies[i]
			q.getting, q.gettable, q.getLeft = true, true, q.left
			q.ask(get)
			m.then(i, "sends GET on the tracking connection", t)
		}
	}
	if t := m.from; p.digest != none && p.copying == none {
		t.proxies[i].copying = p.digest
		m.thenWith(i, int(p.digest), "sends SET of a copy of version %d", t)
	}
}

// arm is the way to a new watch, where there is none, or one with a deadline.
func (m *steps) arm(i int) {
	t := m.from
	p := &t.proxies[i]
	switch {
	case p.entry == absent:
		return
	case p.arming == idle && (!p.watch || p.left != endless):
		if m.is(writersFirst) {
			if m.holds(p) == 0 {
				p.arming = looked
				m.then(i, "sees no hold, to arm a watch", t)
			}
			return
		}
		p.arming, p.armed = looked, true
		if m.split {
			m.then(i, "notes the generation, to arm a watch", t)
			return
		}
	case p.arming == looked:
	default:
		return
	}
	switch {
	case m.is(writersFirst):
		p.armed = true
	case m.holds(p) > 0 && !m.is(armBeside):
		p.arming, p.armed = idle, false
		m.then(i, "sees a hold, and arms no watch", t)
		return
	}
	if p.outstanding() < m.asks {
		p.arming = asked
		p.ask(pttl)
		m.then(i, textAsks[m.one()], t)
	}
}

// one is 1 where nobody acts between two looks.
func (m *machine) one() int {
	if m.split {
		return 0
	}
	return 1
}

var textAsks = [...]string{"sees no hold, and sends PTTL", "notes the generation, sees no hold, and sends PTTL"}

// write is what becomes of a proxy's write j.
func (m *steps) write(i, j int) {
	t := m.from
	p := &t.proxies[i]
	w := &p.writes[j]
	switch w.course {
	case quiet:
		if m.from.current+1 == m.versions || j > 0 && p.writes[0].course == quiet && !m.heats {
			return // none can be carried out now; or of two, the first goes first
		}
		if p.loops[j] == unaware {
			*w = write{course: forwarded, blind: true}
			m.thenWith(i, j, "a write comes to loop %d, which does not know that the key is hot, and is forwarded", t)
			return
		}
		if w.course = counted; m.is(bumpFirst) {
			w.course = bumped
			p.void()
			m.then(i, "a write comes: the generation moves on", t)
			return
		}
		m.then(i, "a write comes: one hold more", t)
	case counted:
		if w.course = forwarded; !m.is(noBump) {
			p.void()
		}
		m.then(i, "the generation moves on, and the write is forwarded", t)
	case bumped:
		w.course = forwarded
		m.then(i, "one hold more, and the write is forwarded", t)
	case forwarded:
		m.written(m.from, func(t state) {
			w := &t.proxies[i].writes[j]
			w.course, w.val = written, t.current
			m.then(i, textForwarded[lives(&t)], t)
		})
		if m.is(leftEarly) {
			*w = write{course: late}
			m.then(i, "the writer leaves, one hold less", t)
			return
		}
		if m.lanes {
			*w = write{course: late}
			m.then(i, "the write's connection is lost; its client gets an error", t)
		}
	case written:
		v := w.val
		*w = write{}
		m.then(i, "the write's reply comes, and its client has left; or the connection is lost", t)
		p.known = max(p.known, v)
		m.thenWith(i, int(v), "the write is acknowledged: version %d", t)
	case late:
		m.written(m.from, func(t state) {
			t.proxies[i].writes[j] = write{}
			m.then(i, textLate[lives(&t)], t)
		})
		*w = write{}
		m.then(i, "the write that was given up is never carried out", t)
	}
}

// heat is the way of an entry.
func (m *steps) heat(i int) {
	t := m.from
	p := &t.proxies[i]
	switch p.entry {
	case absent:
		p.entry = present
		for j := range p.writes {
			if w := &p.writes[j]; w.course == forwarded || w.course == written {
				w.blind = true // nobody has counted it here
			}
		}
		m.then(i, "the key is hot: there is an entry", t)
	case present:
		if p.entry = leaving; m.is(noFarewell) {
			p.entry = gone
			m.then(i, "the key is not hot any more", t)
			break
		}
		m.then(i, "the key is not hot any more: one hold more", t)
	case leaving:
		p.entry = gone
		p.void()
		m.then(i, "the key is not hot any more: the generation moves on", t)
	}
	for j := range m.from.proxies[i].loops {
		m.learn(i, j)
	}
}

// learn is what a loop is told of the entry.
func (m *steps) learn(i, j int) {
	t := m.from
	p := &t.proxies[i]
	knows := &p.loops[j]
	w, r := p.writes[j], p.reads[j]
	switch {
	case p.entry == present && *knows == unaware:
		*knows = aware
		m.thenWith(i, j, "loop %d knows that the key is hot", t)
	case p.entry == present && *knows == aware && !w.blind:
		*knows = settled
		m.thenWith(i, j, "what loop %d had sent before is over", t)
	case p.entry == gone && *knows != unaware && w.course != counted && r.stage != near && r.stage != apart:
		*knows = unaware
		if p.loops == [2]view{} {
			p.entry = absent
			p.void()
		}
		m.thenWith(i, j, "loop %d knows that the key is not hot any more", t)
	}
}
