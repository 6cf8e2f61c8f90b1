package proxy

import (
	"fmt"
	"slices"

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

// subscribe is SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE. The confirmation comes when the nodes have confirmed. Where others listen already it comes behind
// all that the nodes had sent when it was asked for: nobody hears what was published before.
func (s *Session) subscribe(c *command.Command, k topicKind, a *resp.Args) bool {
	if !s.barrier() {
		return false
	}
	var names []string
	for i := 1; i < a.Len(); i++ {
		names = append(names, string(a.At(i)))
	}
	nodes := s.heardFrom(k, names)
	if len(nodes) == 0 {
		wait := s.joinTopics(k, names)
		if wait.missing == 0 {
			s.confirm(wait.answer)
			return true
		}
		wait.seq = s.openConfirmation(c)
		return true
	}
	seq := s.openConfirmation(c)
	s.behind(nodes, func(late int) {
		if late >= 0 {
			s.Fail(tagOf(seq, 0), fmt.Sprintf("ERR node %s did not answer within %s", s.pool.topo.nodes[late].Label(), s.pool.shared.cfg.Timeout), false)
			return
		}
		wait := s.joinTopics(k, names)
		if wait.seq = seq; wait.missing == 0 {
			s.answerSlot(seq, wait.answer)
		}
	})
	return true
}

// heardFrom returns the nodes that speak already on topics which the session is about to join.
func (s *Session) heardFrom(k topicKind, names []string) (nodes []int) {
	if s.pool.pubsub == nil {
		return nil
	}
	for _, name := range names {
		if t := s.pool.pubsub.topics[k][name]; t != nil && (s.subs == nil || s.subs.topics[k][name] == nil) {
			nodes = append(nodes, t.nodes...)
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// openConfirmation takes the place of a reply and stops the parser until it is there. It is told to clients that want no replies, too.
func (s *Session) openConfirmation(c *command.Command) (seq uint32) {
	seq = s.tail
	s.open(c).mute = false
	s.inFlight++
	s.stall(metrics.StallBarrier)
	return seq
}

// joinTopics subscribes the session. Until all that it says is missing is confirmed messages are kept back.
func (s *Session) joinTopics(k topicKind, names []string) *subscribing {
	if s.subs == nil {
		s.subs = &subscriptions{}
		for i := range s.subs.topics {
			s.subs.topics[i] = map[string]*topic{}
		}
	}
	h := s.pool.hub()
	wait := &subscribing{}
	for _, name := range names {
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
	s.subs.joining = wait.missing > 0
	s.update()
	return wait
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
	seq := s.openConfirmation(c)
	s.behind(nodes, func(int) {
		b := s.endTopics(k, names)
		s.behind(nodes, func(int) { s.answerSlot(seq, b) })
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
// or hangs holds nobody up for longer than a reply may take: then late is one that hangs, and -1 otherwise. If the session ends meanwhile, then
// is not called.
func (s *Session) behind(nodes []int, then func(late int)) {
	l, late := s.worker.loop, []int(nil)
	var timeout *loop.Timer
	done := func() {
		l.StopTimer(timeout)
		if s.conn.Closed() {
			return
		}
		if len(late) > 0 {
			then(late[0])
		} else {
			then(-1)
		}
	}
	over := false
	timeout = loop.NewTimer(func() { over = true; done() })
	for _, n := range nodes {
		waits := s.pool.hub().fence(n, func() {
			late = slices.DeleteFunc(late, func(x int) bool { return x == n })
			if len(late) == 0 && !over {
				done()
			}
		})
		if waits {
			late = append(late, n)
		}
	}
	if len(late) == 0 {
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
		ps := w.poolAt(pool)
		if ps == nil || ps.pubsub == nil {
			return
		}
		for i, name := range names {
			if t := ps.pubsub.topics[k][name]; t != nil {
				counts[i] += int64(len(t.sessions) - len(t.confirmed))
			}
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
