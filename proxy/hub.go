package proxy

import (
	"slices"
	"strings"

	"ringway/internal/loop"
	"ringway/pool"
	"ringway/resp"
)

// hub returns the pool's hub on this worker.
func (ps *poolState) hub() *hub {
	if ps.pubsub == nil {
		ps.pubsub = &hub{pool: ps, lines: make([]*line, len(ps.topo.nodes))}
		for k := range ps.pubsub.topics {
			ps.pubsub.topics[k] = map[string]*topic{}
		}
	}
	return ps.pubsub
}

// join adds a session to a topic, and subscribes to it if nobody had.
func (h *hub) join(s *Session, k topicKind, name string) *topic {
	t := h.topics[k][name]
	if t == nil {
		t = &topic{kind: k, name: name, asked: map[int]uint64{}, confirmed: map[int]bool{}, sessions: map[*Session]struct{}{}}
		t.nodes = h.nodesOf(k, name)
		h.topics[k][name] = t
		for _, n := range t.nodes {
			h.say(n, t, true)
		}
	}
	t.sessions[s] = struct{}{}
	return t
}

// nodesOf says where a topic has to be listened to.
func (h *hub) nodesOf(k topicKind, name string) []int { return h.pool.topo.speakers(k, name) }

// speakers are the nodes that have to be listened to for a topic. There are none if its route was removed after it was asked for.
func (t *topology) speakers(k topicKind, name string) (nodes []int) {
	switch {
	case !onAllNodes(k, name):
		if node := t.findName([]byte(name)); node != nowhere {
			nodes = append(nodes, node)
		}
		return nodes
	case t.routes != nil:
		return t.routes.speakers(k, name)
	case t.slots && k == patternTopic && !strings.HasPrefix(name, "__key"):
		return append(nodes, t.find([]byte(name))) // a cluster's nodes pass on what is published, but not what happens to keys
	}
	for _, node := range t.order {
		nodes = append(nodes, int(node))
	}
	return nodes
}

// onAllNodes tells the topics that any node may speak on.
func onAllNodes(k topicKind, name string) bool {
	return k == patternTopic || k == channelTopic && (strings.HasPrefix(name, "__keyspace@") || strings.HasPrefix(name, "__keyevent@"))
}

// leave takes a session off a topic; the last one ends the subscription.
func (h *hub) leave(s *Session, t *topic) {
	delete(t.sessions, s)
	if len(t.sessions) > 0 {
		return
	}
	delete(h.topics[t.kind], t.name)
	for _, n := range t.nodes {
		h.say(n, t, false)
	}
}

// follow has the topics go where the ring says they belong now, and the connections where the nodes are.
func (h *hub) follow() {
	for len(h.lines) < len(h.pool.topo.nodes) {
		h.lines = append(h.lines, nil)
	}
	h.followTopics()
	for node, li := range h.lines {
		switch {
		case li == nil:
		case !h.pool.topo.used[node]:
			h.drop(node)
		case li.lane.Stale():
			li.lane.Move()
		}
	}
}

// drop closes the connection to a node. Who waits for what it has still to say waits no longer.
func (h *hub) drop(node int) {
	li := h.lines[node]
	h.lines[node] = nil
	h.pool.set(pool.Key{}).Discard(li.lane)
	li.excuse(li.said)
}

// excuse goes on with what waited for answers that will not come.
func (li *line) excuse(said []saying) {
	for _, x := range said {
		if x.then != nil {
			x.then()
		}
	}
}

func (h *hub) followTopics() {
	for k := range h.topics {
		for name, t := range h.topics[k] {
			before := t.nodes
			t.nodes = h.nodesOf(topicKind(k), name)
			for _, n := range before {
				if !slices.Contains(t.nodes, n) {
					delete(t.confirmed, n)
					h.say(n, t, false)
				}
			}
			for _, n := range t.nodes {
				if !slices.Contains(before, n) {
					h.say(n, t, true)
				}
			}
			if len(t.confirmed) == len(t.nodes) {
				t.confirmAll()
			}
		}
	}
}

// say subscribes to a topic at a node, or ends that. If there is no connection it need not be said: what is listened to is said
// when there is one.
func (h *hub) say(node int, t *topic, join bool) {
	li := h.lines[node]
	if li == nil {
		li = &line{lane: h.pool.set(pool.Key{}).NewLane(node)}
		li.lane.Listen(pool.Listener{
			Push: func(b []byte) { h.receive(node, b) },
			Ping: func() { li.ping(nil) },
			Up:   func() { h.renew(node) },
			Down: func(reason string) { h.down(node, reason) },
		})
		h.lines[node] = li
		li.lane.Open()
		return
	}
	if li.lane.Usable() {
		li.say(node, t, join)
	} else if reason, down := li.lane.Down(); down && join {
		h.pool.worker.loop.Defer(func() { h.failJoining(node, reason) })
	}
}

func (li *line) say(node int, t *topic, join bool) {
	li.count++
	verb := topicUnverbs[t.kind]
	if join {
		verb = topicVerbs[t.kind]
		t.asked[node] = li.count
	}
	li.said = append(li.said, saying{topic: t, number: li.count, join: join})
	li.lane.Append(resp.AppendCommand(nil, verb, t.name))
}

// ping asks for an answer, be it an error: it has its place among the others. then is called with it, or when the node is lost.
func (li *line) ping(then func()) {
	li.said = append(li.said, saying{then: then})
	li.lane.Append(pingRequest)
}

// fence calls then when the node has sent all that it had to say until now, or is lost. It returns false if there is no connection to it.
func (h *hub) fence(node int, then func()) bool {
	li := h.lines[node]
	if li == nil || !li.lane.Usable() {
		return false
	}
	li.ping(then)
	return true
}

// renew says all that is listened to at a node.
func (h *hub) renew(node int) {
	for k := range h.topics {
		for _, t := range h.topics[k] {
			if slices.Contains(t.nodes, node) {
				h.lines[node].say(node, t, true)
			}
		}
	}
}

// receive takes what a node says: a message, a confirmation, the answer to a PING, or an error in the place of one.
func (h *hub) receive(node int, b []byte) {
	if resp.IsError(b) {
		if said := h.lines[node].ponged(); said.join && !h.stray(node, said, string(text(b))) {
			said.topic.fail(string(text(b)))
		}
		return
	}
	n, rest, err := resp.ArrayLen(b)
	if err != nil || n < 3 { // PONG: a list of two while there are subscriptions
		h.lines[node].ponged()
		return
	}
	word, rest, err := resp.Element(rest)
	if err != nil {
		return
	}
	first, _, err := resp.Element(rest)
	if err != nil {
		return
	}
	verb, name := string(text(word)), text(first)
	for k := range topicKinds {
		switch verb {
		case topicMessages[k]:
			if t := h.topics[k][string(name)]; t != nil && (!h.pool.topo.slots || slices.Contains(t.nodes, node)) {
				for s := range t.sessions {
					s.deliver(b)
				}
			}
			return
		case topicVerbs[k], topicUnverbs[k]:
			if verb == topicUnverbs[k] && !h.lines[node].leaves(k, string(name)) {
				h.ended(node, h.topics[k][string(name)])
				return
			}
			if said, ok := h.lines[node].answered(); ok && said.join && said.number == said.topic.asked[node] {
				said.topic.confirm(node)
			}
			return
		}
	}
}

// leaves reports whether the first thing that the node has not answered is the end of a subscription.
func (li *line) leaves(k topicKind, name string) bool {
	return len(li.said) > 0 && !li.said[0].join && li.said[0].topic != nil && li.said[0].topic.kind == k && li.said[0].topic.name == name
}

// ended is called when a node has ended a subscription by itself, since its slot is another node's now. It is asked once more, to say whose.
func (h *hub) ended(node int, t *topic) {
	if t == nil || !slices.Contains(t.nodes, node) {
		return
	}
	delete(t.confirmed, node)
	h.say(node, t, true)
}

// stray deals with the refusal of a subscription by a node that does not have the channel's slot, or not now. It returns false if that is
// for the clients to hear.
func (h *hub) stray(node int, said saying, message string) bool {
	t, now := said.topic, h.pool.worker.loop.Now()
	word, rest, _ := strings.Cut(message, " ")
	if !h.pool.follows() || !refusals[word] {
		return false
	}
	if said.number != t.asked[node] || len(t.sessions) == 0 || !slices.Contains(t.nodes, node) {
		return true // it has gone elsewhere, or nobody listens any more
	}
	h.pool.shared.director.nudge()
	if t.strays++; t.strays == 1 {
		t.strayedAt = now
	}
	if len(t.joining) > 0 && now-t.strayedAt > int64(h.pool.shared.traits.patience) {
		t.strays = 0
		return false
	}
	if _, address, _ := strings.Cut(rest, " "); word == "MOVED" && t.strays < 3 {
		if to := h.pool.nodeAt(node, address); to >= 0 && to != node {
			t.nodes = []int{to}
			h.say(to, t, true)
			return true
		}
	}
	h.pool.worker.loop.SetTimer(loop.NewTimer(func() {
		if h.topics[t.kind][t.name] != t || h.pool.left {
			return
		}
		before := t.nodes
		if t.nodes = h.nodesOf(t.kind, t.name); !slices.Equal(before, t.nodes) || !t.confirmed[t.nodes[0]] {
			h.say(t.nodes[0], t, true)
		}
	}), pauseOf(t.strays))
	return true
}

// answered takes off what the node has answered.
func (li *line) answered() (first saying, ok bool) {
	if len(li.said) == 0 {
		return saying{}, false
	}
	first = li.said[0]
	li.said[0] = saying{}
	li.said = li.said[1:]
	return first, true
}

// ponged takes off what the node has answered with PONG or an error, and goes on with what waited for that.
func (li *line) ponged() saying {
	said, _ := li.answered()
	if said.then != nil {
		said.then()
	}
	return said
}

func (t *topic) confirm(node int) {
	if slices.Contains(t.nodes, node) && !t.confirmed[node] {
		t.strays = 0
		t.confirmed[node] = true
		if len(t.confirmed) == len(t.nodes) {
			t.confirmAll()
		}
	}
}

// confirmAll answers those whose SUBSCRIBE waited for this topic and now waits for nothing more.
func (t *topic) confirmAll() {
	list := t.joining
	t.joining = nil
	for _, j := range list {
		if j.wait.missing--; j.wait.missing == 0 && !j.wait.over {
			j.wait.over = true
			if j.session.subs != nil {
				j.session.subs.joining = false
			}
			j.session.Reply(tagOf(j.wait.seq, 0), '*', j.wait.answer, true)
		}
	}
}

// down is called when the connection to a node is lost, and again when it can't be made. Who waits for the node is told, and is not
// subscribed to what was asked for; who listens already goes on when it is back. Without a reason the node has only moved.
func (h *hub) down(node int, reason string) {
	said := h.lines[node].said
	h.lines[node].said = nil
	for k := range h.topics {
		for _, t := range h.topics[k] {
			delete(t.confirmed, node)
		}
	}
	if reason != "" {
		h.failJoining(node, reason)
	}
	h.lines[node].excuse(said)
}

// failJoining fails those who wait for a node that is down.
func (h *hub) failJoining(node int, reason string) {
	for k := range h.topics {
		for _, t := range h.topics[k] {
			if len(t.joining) > 0 && slices.Contains(t.nodes, node) && !t.confirmed[node] && !h.mayWait(t) {
				t.fail("ERR node " + h.pool.topo.nodes[node].Label() + " is down: " + reason)
			}
		}
	}
}

// mayWait reports whether those who wait for a topic wait on for its node to come back or be replaced, as requests do. The lane tells of each
// attempt to reach it.
func (h *hub) mayWait(t *topic) bool {
	if !h.pool.follows() {
		return false
	}
	for _, j := range t.joining {
		if !j.wait.over && !j.session.conn.Closed() {
			return h.pool.worker.loop.Now()-j.session.slot(j.wait.seq).start < int64(h.pool.shared.traits.patience)
		}
	}
	return false
}

// fail answers those who wait for this topic with an error; they are not subscribed to anything that they asked for with it.
func (t *topic) fail(message string) {
	list := t.joining
	t.joining = nil
	for _, j := range list {
		if j.wait.over {
			continue
		}
		j.wait.over = true
		for _, asked := range j.wait.joined {
			j.session.leave(asked.kind, asked.name)
		}
		if j.session.subs != nil {
			j.session.subs.joining = false
		}
		j.session.Fail(tagOf(j.wait.seq, 0), message, false)
		j.session.endSubscriptions()
	}
}
