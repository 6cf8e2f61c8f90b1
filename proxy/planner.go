package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// handle takes one request. It returns false if the request can't be taken now: it will be parsed again when the
// reason for it (a full lane, a barrier) is gone.
func (s *Session) handle(scan *resp.RequestScanner, b []byte) bool {
	a := &scan.Args
	st := &s.pool.stats
	c := command.Lookup(a.At(0))
	if s.replies != replyOn {
		s.stepReplyMode()
	}
	if s.pool.prefixes != nil {
		if s.prefix = 0; c != nil && lookups[c.ID] != noLookup && a.Len() > 1 {
			s.prefix = s.pool.prefixOf(a.At(1))
		}
	}
	if c != nil && c.Plan == command.Forward && c.SingleKey && c.CheckArity(a.Len()) && s.plain && (!s.judged || s.mayPlainly(c, a)) && (s.pool.topo.moving == nil || s.stays(c, a.At(1))) {
		node := s.pool.find(a.At(1))
		if node == nowhere {
			return s.handleOther(c, scan, b)
		}
		if s.pool.topo.readers != nil {
			node = s.readFrom(c, node)
		}
		lane := s.set.Lane(node)
		if lane.Busy() {
			return s.handleOther(c, scan, b) // which deals with that
		}
		request := scan.Bytes(b)
		var owner pool.Owner = s
		var writes *writing
		if s.pool.cool--; s.pool.cool < 0 || s.pool.hot != nil {
			if s.overtakes(c) && !s.barrier() {
				return false
			}
			if owner, writes = s.hotOwner(c, node, lane, a, request); owner == nil {
				return true
			}
		}
		if len(s.joins) > 0 {
			s.settle(lane)
		}
		st.Requests[c.ID]++
		s.total++
		s.last = c
		seq := s.tail
		sl := s.open(c)
		sl.writes = writes
		s.inFlight++
		if s.pool.keeps != keepNothing {
			s.keep(sl, c, node, request)
		}
		if len(request) >= adoptFrom && s.giveAway(lane, request) {
			lane.ExpectAs(classes[c.ID], owner, tagOf(seq, 0))
			return true
		}
		lane.SendAs(classes[c.ID], request, owner, tagOf(seq, 0))
		return true
	}
	return s.handleOther(c, scan, b)
}

// adoptFrom is the size from which a request's buffer is handed to the lane rather than copied.
const adoptFrom = 1 << 20

// giveAway hands the input buffer to the lane, if the request is all there is in it.
func (s *Session) giveAway(lane *pool.Lane, request []byte) bool {
	in := s.in[s.off:]
	if len(in) != len(request) || &in[0] != &request[0] || !lane.Adopt(request) {
		return false
	}
	s.in, s.off = nil, 0
	return true
}

// handleOther is for everything but the plain command with one key.
func (s *Session) handleOther(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	a := &scan.Args
	st := &s.pool.stats
	if len(s.joins) > 0 {
		s.settle(nil)
	}
	if c == nil {
		st.Unknown++
		if fromBrowser(a.At(0)) {
			s.speaksHTTP()
			return true
		}
		if helloOfTLS(a.At(0)) && s.head == s.tail {
			s.speaksTLS()
			return true
		}
		s.refuseQueued(metrics.BadCommand, command.UnknownCommand(a))
		return true
	}
	if c.Container() && a.Len() > 1 {
		sub := c.Sub(a.At(1))
		if sub == nil {
			st.Requests[c.ID]++
			s.refuseQueued(metrics.BadCommand, command.UnknownSubcommand(c, a))
			return true
		}
		c = sub
	}
	if !c.CheckArity(a.Len()) {
		st.Requests[c.ID]++
		if c.Name == "exec" { // Redis ends the transaction over it
			s.endTransaction()
			s.unwatch()
			s.refuse(metrics.BadCommand, errExecArity)
			return true
		}
		s.refuseQueued(metrics.BadCommand, command.WrongArity(c))
		return true
	}
	if !s.authed && !c.Flags.Has(command.NoAuth) {
		st.Requests[c.ID]++
		if c.Name == "exec" {
			s.refuse(metrics.Unauthorized, errExecDenied+errNoAuth)
			return true
		}
		s.refuse(metrics.Unauthorized, errNoAuth)
		return true
	}
	if s.judged && s.judge(c, a) || s.far && s.tooFar(c, a) {
		st.Requests[c.ID]++
		return true
	}
	if why := s.unfitForSubscriber(c); why != "" {
		s.refuse(metrics.BadCommand, why)
		return true
	}
	if s.worker.watched {
		if stop, taken := s.gate(c, a); stop {
			return taken
		}
	}
	if s.pool.extras.faults {
		if stop, taken := s.suffer(c); stop {
			if taken {
				st.Requests[c.ID]++
			}
			return taken
		}
	}
	if s.pool.extras.strays {
		if key, is := s.stray(c, a); is {
			st.Requests[c.ID]++
			s.fate = undecided
			s.refuseQueued(metrics.NoRoute, errNoRoute(key))
			return true
		}
	}
	taken, tx, before := true, s.tx, s.inFlight
	plan := c.For(a)
	var writes *writing
	if s.overtakes(c) && !s.barrier() {
		return false
	}
	if s.pool.hot != nil && (s.tx == nil || c.Name == "exec") {
		writes = s.writesAny(c, a)
	}
	if mv := s.pool.topo.moving; mv != nil && (s.tx == nil || controlsTransaction(c)) {
		dealt, take := s.whileMoving(mv, c, plan, scan, b)
		if dealt && !take {
			s.noteWrites(writes, false)
			return false
		}
		if dealt {
			plan = queued
		}
	}
	if s.tx != nil && !controlsTransaction(c) {
		s.queue(c, scan, b)
		plan = queued
	}
	if c.Group == "scripting" {
		s.noteScript(c, a)
	}
	if s.pool.extras.strips && plan == command.Forward && collapsible[c.ID] && s.collapseStripped(c, a, scan.Bytes(b)) {
		return true
	}
	switch plan {
	case queued:
	case command.Forward:
		taken = s.forward(c, scan, b)
	case command.Split:
		taken = s.split(c, scan, b)
	case command.Broadcast:
		taken = s.broadcast(c, scan, b)
	case command.Session:
		authed := s.authed
		if taken = s.local(c, a); s.authed != authed {
			scan.Limits = *s.limits() // of what comes in the same breath
		}
	case command.Refuse:
		s.refuse(metrics.BadCommand, c.Refusal)
	case command.Private:
		taken = s.private(c, scan, b)
	default:
		s.refuse(metrics.BadCommand, notYet(c))
	}
	if s.inFlight > before && s.pool.hot != nil {
		s.seenHot, s.sentHot = s.pool.hot, s.tail
	}
	s.noteWrites(writes, s.inFlight > before)
	if taken {
		st.Requests[c.ID]++
		s.total++
		s.last = c
		s.fate = undecided
		if m := s.pool.mirror; m != nil && s.inFlight > before { // it went to nodes
			if c.Name != "exec" {
				m.copyRequest(s, c, plan, a, scan.Bytes(b))
			} else if tx != nil && s.watch.lane == nil {
				m.copyTransaction(s, tx)
			}
		}
		if s.worker.watched || s.tracking != nil {
			s.tapped(c, a)
		}
	}
	return taken
}

// queued is the plan of a request that waits for EXEC.
const queued = command.Plan(0)

// controlsTransaction tells the commands that are carried out between MULTI and EXEC, not queued.
func controlsTransaction(c *command.Command) bool {
	switch c.Name {
	case "multi", "exec", "discard", "watch", "quit", "reset":
		return true
	}
	return false
}

// notYet is the answer to commands that need more than a shared lane.
func notYet(c *command.Command) string {
	return "ERR '" + c.Name + "' is not supported through Ringway yet: send it to a node directly"
}

// forward sends a request as it is to the node that has all its keys.
func (s *Session) forward(c *command.Command, scan *resp.RequestScanner, b []byte) bool {
	node, _, ok := s.ownerOf(c, &scan.Args)
	if !ok {
		return s.crossSlot(c, &scan.Args)
	}
	if restore := s.restorerFor(c, &scan.Args); restore != nil {
		return s.gather(c, restored(s.keysOf(c, &scan.Args)[0], scan.Bytes(b), restore))
	}
	if s.pool.topo.readers != nil {
		node = s.readFrom(c, node)
	}
	if c.SingleKey {
		s.pool.lookAt(c, scan.Args.At(1))
	}
	if c.Group == "scripting" && runsDigest(c) {
		s.worker.server.scripts.tell(s.set.Lane(node), scan.Args.At(1))
	}
	return s.send(c, node, scan.Bytes(b))
}

// send puts a request on the lane to node.
func (s *Session) send(c *command.Command, node int, request []byte) bool {
	lane := s.set.Lane(node)
	if lane.Busy() {
		return s.putOff(lane)
	}
	seq := s.tail
	sl := s.open(c)
	if c.Group == "scripting" && runsDigest(c) {
		sl.again = s.keepApart(node, request)
		sl.again.script = true
	} else if s.pool.keeps != keepNothing {
		s.keep(sl, c, node, request)
	}
	s.inFlight++
	lane.SendAs(classes[c.ID], s.outgoing(request), s, tagOf(seq, 0))
	return true
}

// ownerOf finds the node of a request that can't be split, and says whether keys chose it. Without keys it is where the channel or
// index hashes to, or the pool's first node.
func (s *Session) ownerOf(c *command.Command, a *resp.Args) (node int, keyed, ok bool) {
	return s.pool.ownerOf(c, a)
}

func (ps *poolState) ownerOf(c *command.Command, a *resp.Args) (node int, keyed, ok bool) {
	keys, _ := c.Keys(ps.worker.keys[:0], a) // those that were found decide, even if the request is malformed
	if len(keys) == 0 {
		if c.RouteArg > 0 && c.RouteArg < a.Len() {
			node = ps.findName(a.At(c.RouteArg))
			return node, true, node != nowhere
		}
		return ps.first(), false, true
	}
	ps.worker.keys = keys[:0]
	node = ps.find(a.At(keys[0]))
	if ps.topo.slots {
		return node, true, node != nowhere && ps.together(a, keys)
	}
	for _, k := range keys[1:] {
		if ps.find(a.At(k)) != node {
			return 0, true, false
		}
	}
	return node, true, node != nowhere
}

// waitFor stops the parser until the lane has room.
func (s *Session) waitFor(lane *pool.Lane) bool {
	s.stall(metrics.StallNode)
	lane.WaitForRoom(s)
	return false
}

// stepReplyMode moves CLIENT REPLY SKIP on by one request.
func (s *Session) stepReplyMode() {
	switch s.replies {
	case replySkipNext:
		s.replies = replySkip
	case replySkip:
		s.replies = replyOn
	}
}

// fromBrowser recognises an HTTP request, which a web page can have a browser send here: the connection is closed without a
// word, as Redis closes it, before a line of the page's choosing is read as a command.
func fromBrowser(name []byte) bool {
	return bytes.EqualFold(name, []byte("post")) || bytes.EqualFold(name, []byte("host:"))
}

// speaksHTTP lets go of such a client. It is counted, and told once a second: a page can send as many as it likes.
func (s *Session) speaksHTTP() {
	w := s.worker
	s.pool.stats.Errors[metrics.Protocol]++
	if second := w.loop.Now() / 1e9; second != w.browserSecond {
		w.browserSecond = second
		w.log.Warn("client closed", "pool", s.pool.shared.cfg.Name, "client", s.peer,
			"reason", "it speaks HTTP: a web page may be using its reader's browser to send commands here")
	}
	s.closing = true
	w.loop.Defer(s.drop)
}
