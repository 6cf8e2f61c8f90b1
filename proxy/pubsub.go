package proxy

import (
	"slices"
	"strings"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// In front of a Redis Cluster a shard channel follows its slot: a node that has given the slot away ends the subscription by itself
// (sunsubscribe), and one that does not have it answers MOVED.
//
// Pub/sub: all clients of a loop that listen to a channel share one subscription at the node to which the channel's name
// hashes, on one connection per node. Patterns, and the channels of keyspace notifications, are listened to on all nodes, since
// they may speak on any. When a node comes back its subscriptions are renewed; what was published meanwhile is lost, as it is
// for any client of Redis that has to connect again.
type hub struct {
	pool   *poolState
	topics [topicKinds]map[string]*topic
	lines  []*line // by node, nil until needed
}

// line is a hub's connection to a node.
type line struct {
	lane  *pool.Lane
	said  []saying // what the node has not answered yet, in the order in which it was said
	count uint64   // of all that was said
}

// saying is a subscription to a topic, or its end, or a PING behind which then is called, if it is not nil.
type saying struct {
	topic  *topic
	number uint64
	join   bool
	then   func()
}

type topicKind uint8

const (
	channelTopic topicKind = iota
	patternTopic
	shardTopic
	topicKinds
)

// Redis's words for the three kinds: the verb of subscribing, and what a message is called.
var (
	topicVerbs    = [topicKinds]string{"subscribe", "psubscribe", "ssubscribe"}
	topicUnverbs  = [topicKinds]string{"unsubscribe", "punsubscribe", "sunsubscribe"}
	topicMessages = [topicKinds]string{"message", "pmessage", "smessage"}
)

// topic is one channel or pattern that somebody listens to.
type topic struct {
	kind      topicKind
	name      string
	nodes     []int
	asked     map[int]uint64 // by node, the number of the saying whose confirmation counts: a topic can be left and joined again meanwhile
	confirmed map[int]bool   // nodes that have said so
	sessions  map[*Session]struct{}
	joining   []joining // who waits for the confirmation
	strays    int       // how often in a row it was not found where it was looked for
	strayedAt int64     // the first time of these
}

// joining is a session whose SUBSCRIBE is answered when all its topics are confirmed.
type joining struct {
	session *Session
	wait    *subscribing
}

type subscribing struct {
	seq     uint32
	missing int      // topics not confirmed yet
	joined  []*topic // those that the session did not listen to before
	answer  []byte
	over    bool
}

// subscriptions is what one session listens to.
type subscriptions struct {
	topics  [topicKinds]map[string]*topic
	pending []byte // messages that came in the middle of a long reply, or before the confirmation
	joining bool   // a confirmation is awaited
}

// maxPushed is how much a subscriber may owe us a read of; it is closed beyond, as Redis closes at its pubsub output limit.
const maxPushed = 32 << 20

// count is what Redis puts into its confirmations: channels and patterns together, shard channels by themselves.
func (sub *subscriptions) count(k topicKind) int {
	if k == shardTopic {
		return len(sub.topics[shardTopic])
	}
	return len(sub.topics[channelTopic]) + len(sub.topics[patternTopic])
}

// subscribe is SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE. The confirmation comes when the nodes have confirmed.
func (s *Session) subscribe(c *command.Command, k topicKind, a *resp.Args) bool {
	if !s.barrier() {
		return false
	}
	if s.subs == nil {
		s.subs = &subscriptions{}
		for i := range s.subs.topics {
			s.subs.topics[i] = map[string]*topic{}
		}
	}
	h := s.pool.hub()
	wait := &subscribing{seq: s.tail}
	for i := 1; i < a.Len(); i++ {
		name := string(a.At(i))
		t := h.join(s, k, name)
		if s.subs.topics[k][name] == nil {
			s.subs.topics[k][name] = t
			wait.joined = append(wait.joined, t)
		}
		wait.answer = s.appendSubscription(wait.answer, topicVerbs[k], []byte(name), s.subs.count(k))
		if len(t.confirmed) < len(t.nodes) {
			t.joining = append(t.joining, joining{s, wait})
			wait.missing++
		}
	}
	s.update()
	if wait.missing == 0 {
		s.confirm(wait.answer)
		return true
	}
	s.subs.joining = true
	s.open(c).mute = false
	s.inFlight++
	s.stall(metrics.StallBarrier)
	return true
}

// unsubscribe is UNSUBSCRIBE, PUNSUBSCRIBE and SUNSUBSCRIBE, of the topics named or of all. The confirmation comes behind all that the
// nodes had sent when it was asked for, and when they have taken the subscription off: whoever knows of a message that was published gets it
// before he leaves, and nobody is counted who has left.
func (s *Session) unsubscribe(c *command.Command, k topicKind, a *resp.Args) bool {
	if !s.barrier() {
		return false
	}
	var names []string
	for i := 1; i < a.Len(); i++ {
		names = append(names, string(a.At(i)))
	}
	if a.Len() == 1 && s.subs != nil {
		for name := range s.subs.topics[k] {
			names = append(names, name)
		}
	}
	var nodes []int
	for _, name := range names {
		if s.subs != nil && s.subs.topics[k][name] != nil {
			nodes = append(nodes, s.subs.topics[k][name].nodes...)
		}
	}
	if len(nodes) == 0 {
		s.confirm(s.endTopics(k, names))
		return true
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	seq := s.tail
	s.open(c).mute = false
	s.inFlight++
	s.stall(metrics.StallBarrier)
	s.behind(nodes, func() {
		b := s.endTopics(k, names)
		s.behind(nodes, func() { s.answerSlot(seq, b) })
	})
	return true
}

// confirm is answer for what is told to clients that want no replies, too: that a subscription holds, or has ended.
func (s *Session) confirm(b []byte) {
	if s.head == s.tail {
		s.conn.Append(b)
		return
	}
	s.answer(b)
	s.slot(s.tail - 1).mute = false
}

// behind calls then when nodes have done all that the hub has told them, and what they had to say has been delivered. A node that is lost
// or hangs holds nobody up for longer than a reply may take. If the session ends meanwhile, then is not called.
func (s *Session) behind(nodes []int, then func()) {
	l, pending := s.worker.loop, 0
	var timeout *loop.Timer
	done := func() {
		l.StopTimer(timeout)
		if !s.conn.Closed() {
			then()
		}
	}
	timeout = loop.NewTimer(func() { pending = 0; done() })
	for _, n := range nodes {
		waits := s.pool.hub().fence(n, func() {
			if pending--; pending == 0 {
				done()
			}
		})
		if waits {
			pending++
		}
	}
	if pending == 0 {
		l.Defer(done)
	} else if t := s.pool.shared.cfg.Timeout; t > 0 {
		l.SetTimer(timeout, t)
	}
}

// endTopics takes the session off topics and returns the confirmation.
func (s *Session) endTopics(k topicKind, names []string) (b []byte) {
	for _, name := range names {
		s.leave(k, name)
		b = s.appendSubscription(b, topicUnverbs[k], []byte(name), s.subscribed(k))
	}
	if len(names) == 0 {
		b = s.appendSubscription(b, topicUnverbs[k], nil, s.subscribed(k))
	}
	s.endSubscriptions()
	return b
}

func (s *Session) subscribed(k topicKind) int {
	if s.subs == nil {
		return 0
	}
	return s.subs.count(k)
}

func (s *Session) leave(k topicKind, name string) {
	if s.subs == nil {
		return
	}
	if t := s.subs.topics[k][name]; t != nil {
		delete(s.subs.topics[k], name)
		s.pool.hub().leave(s, t)
	}
}

// leaveAll ends all subscriptions, silently.
func (s *Session) leaveAll() {
	if s.subs == nil {
		return
	}
	for k := range s.subs.topics {
		for name := range s.subs.topics[k] {
			s.leave(topicKind(k), name)
		}
	}
	s.endSubscriptions()
}

// endSubscriptions makes the session an ordinary one again if it listens to nothing.
func (s *Session) endSubscriptions() {
	if s.subs != nil && s.subs.count(channelTopic)+s.subs.count(shardTopic) == 0 && len(s.subs.pending) == 0 {
		s.subs = nil
		s.update()
	}
}

// appendSubscription appends the confirmation of a subscription or its end: a push in RESP3, an array in RESP2.
func (s *Session) appendSubscription(dst []byte, verb string, name []byte, count int) []byte {
	if s.resp3 {
		dst = resp.AppendPush(dst, 3)
	} else {
		dst = resp.AppendArray(dst, 3)
	}
	dst = resp.AppendBulkString(dst, verb)
	if name == nil {
		dst = resp.AppendNull(dst, s.resp3)
	} else {
		dst = resp.AppendBulk(dst, name)
	}
	return resp.AppendInt(dst, int64(count))
}

// numsub is PUBSUB NUMSUB and SHARDNUMSUB. The nodes count a subscription of each loop that stands for all its clients, so these are counted
// instead.
func (s *Session) numsub(c *command.Command, a *resp.Args) (taken bool) {
	k, pool := channelTopic, s.pool.shared.index
	if c.Name == "pubsub|shardnumsub" {
		k = shardTopic
	}
	var names []string
	for i := 2; i < a.Len(); i++ {
		names = append(names, string(a.At(i)))
	}
	counts := make([]int64, len(names))
	ours := func(w *worker) {
		h := w.pools[pool].pubsub
		for i, name := range names {
			if h == nil || h.topics[k][name] == nil {
				continue
			}
			t := h.topics[k][name]
			counts[i] += int64(len(t.sessions) - len(t.confirmed))
		}
	}
	return s.surveyAnd(c, s.requestOf(a), ours, strict(func(replies [][]byte) []byte {
		b := resp.AppendArray(nil, 2*len(names))
		for i, name := range names {
			for _, r := range replies {
				if list := elements(r); len(list) == 2*len(names) {
					counts[i] += intOf(list[2*i+1])
				}
			}
			b = resp.AppendInt(resp.AppendBulkString(b, name), max(counts[i], 0))
		}
		return b
	}))
}

// unfitForSubscriber says why a RESP2 client that listens can't send a command, "" if it can.
func (s *Session) unfitForSubscriber(c *command.Command) string {
	if s.subs == nil || s.resp3 {
		return ""
	}
	switch c.Name {
	case "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "ping", "quit", "reset":
		return ""
	}
	return "ERR Can't execute '" + c.Name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
}

// deliver hands a message to the client. b is the node's array; a RESP3 client gets it as a push.
func (s *Session) deliver(b []byte) {
	if s.conn.Closed() {
		return
	}
	if s.conn.Unsent()+len(s.subs.pending)+len(b) > maxPushed {
		s.pool.stats.Errors[metrics.Stalled]++
		s.worker.log.Info("client closed", "pool", s.pool.shared.cfg.Name, "client", s.peer, "reason", "it does not keep up with its subscriptions")
		s.worker.loop.Defer(s.drop)
		return
	}
	if s.subs.joining || s.head != s.tail && s.slot(s.head).begun {
		s.subs.pending = s.appendMessage(s.subs.pending, b)
		return
	}
	s.conn.Commit(s.appendMessage(s.conn.Extend(len(b)), b))
}

func (s *Session) appendMessage(dst, b []byte) []byte {
	at := len(dst)
	dst = append(dst, b...)
	if s.resp3 {
		dst[at] = '>'
	}
	return dst
}

// sendPending sends the messages that had to wait for the end of a reply.
func (s *Session) sendPending() {
	if s.subs != nil && len(s.subs.pending) > 0 && !s.subs.joining && (s.head == s.tail || !s.slot(s.head).begun) {
		s.conn.Append(s.subs.pending)
		s.subs.pending = nil
		s.endSubscriptions()
	}
}

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
