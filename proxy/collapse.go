package proxy

import (
	"bytes"
	"slices"

	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/pool"
	"ringway/resp"
)

// The same read of a hot key by many clients of a loop is one request to the node. While one is under way, all that ask for the same
// wait for the next, a joint, which is put on the lane when the reply to the one before is in:
//
//	client A  --GET k--> joint 1 --put--> node                    <-- reply 1: to A
//	client B      --GET k--> joint 2      .                       --put--> node   <-- reply 2: to B and C
//	client C           --GET k--> joint 2 .
//
// B must not be answered with reply 1: the node may have read the key before B had even asked, and since then a write may have been
// carried out and acknowledged that B knows of. A joint is closed to others as soon as it is put on the lane, so the node reads after
// every one of them has asked. That is all that it takes for the reads to be as good as if each had been sent by itself.
//
// What one client sends to a node is carried out in the order in which it was sent. A joint that waits has no place on the lane yet, so
// before one who has joined it puts anything else on that lane, the joint is put there first (settle), whatever is under way.
//
// The reply, or the failure, of a joint goes to each session as its own would, to its own slot. Where requests are kept each session keeps
// its own, and they are sent again one by one, as retry.go has it.

// form is a request for a hot key, byte for byte, on one lane.
type form struct {
	key     *hotKey
	lane    *pool.Lane
	class   pool.Class
	request []byte
	flights int    // how many of it are at the node
	next    *joint // who waits for the next; nil: nobody
	size    int    // of the last reply

	sent *joint // the last that was put on the lane, while it is under way

	keeps  bool // replies may be kept
	fields bool // of a hash
	near   near
	used   int64 // when it was last asked for

	spread, misses uint32 // how often it was sent to a copy, and it seemed that there was none
}

// joint is a request that several sessions wait for.
type joint struct {
	form    *form
	pool    *poolState
	serial  uint32 // another as soon as it is closed to others
	joiners []joiner
	looked  int           // how many of them the detector was shown
	told    int           // how many of them have been handed what has come of the reply
	size    int           // of the reply until now
	watch   *hotkey.Watch // under which it was put on the lane, if its reply is to be kept
	kept    []byte        // of the reply, until now
}

type joiner struct {
	session *Session
	tag     uint64
}

// join is a session's note of a joint that it waits for. It is void when the joint has another serial number.
type join struct {
	joint  *joint
	serial uint32
}

const (
	mostForms   = 32      // of a key, on one loop
	longestForm = 4 << 10 // a longer request is sent by itself
	mostJoiners = 256
	mostJoined  = 4 << 20  // bytes of a joint's replies, if they are as large as the last was
	anySize     = 64 << 10 // what is taken for the size of the first
)

// collapsible says, by the ID of a command, whether two who ask the same at the same time can be given one reply: it reads one key,
// and what it answers follows from what the key holds alone, not from chance or the time.
var collapsible = func() []bool {
	list := make([]bool, command.Count())
	for _, name := range []string{
		"get", "strlen", "getrange", "substr", "getbit", "bitcount", "bitpos", "bitfield_ro",
		"hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hexists", "hstrlen",
		"lrange", "lindex", "llen", "lpos",
		"smembers", "sismember", "smismember", "scard",
		"zrange", "zrangebyscore", "zrangebylex", "zrevrange", "zrevrangebyscore", "zrevrangebylex",
		"zscore", "zmscore", "zrank", "zrevrank", "zcard", "zcount", "zlexcount",
		"geopos", "geodist", "geohash", "geosearch",
		"xrange", "xrevrange", "xlen", "type",
	} {
		list[command.Lookup([]byte(name)).ID] = true
	}
	return list
}()

// collapse has a read of a hot key answered together with others of the same. It returns false if the request has to be sent by itself.
// looked says that the detector has been shown it.
func (s *Session) collapse(k *hotKey, c *command.Command, node int, lane *pool.Lane, a *resp.Args, request []byte, looked bool) bool {
	ps := s.pool
	if len(request) > longestForm {
		return false
	}
	f := s.formOf(k, lane, c, s.outgoing(request))
	if f == nil {
		return false
	}
	if f.near.reply != nil && s.watch.lane == nil && s.inTurn() && s.tellNear(k, f, c, looked) {
		return true
	}
	if f.keeps {
		if spreads[c.ID] != 0 && s.spreadRead(k, f, c, node, a, request) {
			return true
		}
		ps.wants(k)
	}
	s.sendsHot()
	ps.stats.Requests[c.ID]++
	s.total++
	s.last = c
	seq := s.tail
	sl := s.open(c)
	s.inFlight++
	if ps.keeps != keepNothing {
		s.keep(sl, c, node, request)
	}
	s.join(f, tagOf(seq, 0), looked)
	return true
}

// join has a request of the session wait for the next joint of a form.
func (s *Session) join(f *form, tag uint64, looked bool) {
	j := f.next
	if j == nil && s.worker.joinsSent {
		j = f.sent
	}
	if j != nil && j.full() {
		j.put()
		j = nil
	}
	in := s.settleBefore(f.lane, j)
	if j == nil {
		j = s.worker.takeJoint()
		j.form, j.pool = f, s.pool
		f.next = j
		if f.flights == 0 {
			s.worker.putLater(j)
		}
	}
	if !in {
		s.joins = append(s.joins, join{j, j.serial})
	}
	j.joiners = append(j.joiners, joiner{s, tag})
	if looked {
		j.looked++
	}
}

// sharesReplies reports whether what the session asks without taking the short way may be answered with the reply to another's.
func (s *Session) sharesReplies() bool {
	return s.subs == nil && s.tracking == nil && !s.worker.watched && !s.pool.extras.mirrors && !s.pool.extras.faults
}

// collapseStripped is collapse where the servers have keys without their prefix: a form is as they see it. It returns false if the request has to be sent
// by itself.
func (s *Session) collapseStripped(c *command.Command, a *resp.Args, request []byte) bool {
	ps, key := s.pool, a.At(1)
	if ps.hot == nil || !s.sharesReplies() {
		return false
	}
	hash := xxhash.Sum64(key)
	i := ps.hot.set.Find(hash, key)
	if i < 0 {
		return false
	}
	node := ps.find(key)
	if ps.topo.readers != nil {
		node = s.readFrom(c, node)
	}
	lane := s.set.Lane(node)
	if lane.Busy() {
		return false
	}
	ps.cool--
	return s.collapse(ps.hot.keys[i], c, node, lane, a, request, ps.cool < 0 && ps.look(hash, key, c))
}

// formOf returns the form of a request. It is nil if there are too many others that are under way.
func (s *Session) formOf(k *hotKey, lane *pool.Lane, c *command.Command, request []byte) *form {
	var free *form
	now := s.worker.loop.Now()
	for _, f := range k.forms {
		if f.lane == lane && bytes.Equal(f.request, request) {
			f.used = now
			return f
		}
		if f.flights == 0 && f.next == nil && (free == nil || f.used < free.used) {
			free = f
		}
	}
	if len(k.forms) < mostForms {
		free = &form{key: k}
		k.forms = append(k.forms, free)
	}
	if free != nil {
		s.pool.dropNear(free)
		free.lane, free.class, free.request, free.size = lane, classes[c.ID], append(free.request[:0], request...), anySize
		free.used, free.keeps, free.fields = now, s.pool.keepsFor(k, lane), c.Group == "hash"
		free.spread, free.misses = 0, 0
	}
	return free
}

// full says that no more may join: what all of them are given at once must have a bound. A value that grows by much from one reply to the
// next is handed to mostJoiners at most.
func (j *joint) full() bool {
	n := len(j.joiners)
	return n >= mostJoiners || (n+1)*j.form.size > mostJoined
}

// settle puts the joints that the session waits for, and that have no place on the lane yet, there: what it sends next to the node
// must not overtake them. Without a lane it does so for all.
func (s *Session) settle(lane *pool.Lane) {
	kept := s.joins[:0]
	for _, in := range s.joins {
		switch {
		case in.joint.serial != in.serial:
		case lane == nil || in.joint.form.lane == lane:
			in.joint.put()
		default:
			kept = append(kept, in)
		}
	}
	clear(s.joins[len(kept):])
	s.joins = kept
}

// settleBefore is settle before the session joins j, if that is not the one that it has joined already.
func (s *Session) settleBefore(lane *pool.Lane, j *joint) (in bool) {
	for _, x := range s.joins {
		if x.joint == j && x.serial == j.serial {
			return true // and everything else on the lane was settled when it joined
		}
	}
	s.settle(lane)
	return false
}

// put puts a joint on the lane, and closes it to others.
func (j *joint) put() {
	f := j.form
	f.next = nil
	j.serial++
	if !slices.ContainsFunc(j.joiners, func(x joiner) bool { return !x.session.conn.Closed() }) {
		j.pool.worker.giveJoint(j)
		return
	}
	saved := uint64(len(j.joiners) - 1)
	f.key.saved += saved
	j.pool.stats.Collapsed += saved
	f.flights++
	f.sent = j
	j.adopts()
	f.lane.SendAs(f.class, f.request, j, 0)
}

// putAll puts what waits for a key's replies on the lanes.
func (k *hotKey) putAll() {
	for _, f := range k.forms {
		if f.next != nil {
			f.next.put()
		}
	}
}

// putAll does so for all keys. Lanes are about to be taken out of use.
func (ps *poolState) putAll() {
	if ps.hot != nil {
		for _, k := range ps.hot.keys {
			k.putAll()
		}
	}
}

// Reply hands the reply to all.
func (j *joint) Reply(_ uint64, kind byte, b []byte, done bool) {
	if done {
		defer j.finish()
	}
	j.size += len(b)
	if j.watch != nil {
		j.gather(kind, b)
	}
	for j.told = 0; j.told < len(j.joiners); {
		x := &j.joiners[j.told]
		j.told++ // first: one that panics is not asked again
		x.session.Reply(x.tag, kind, b, done)
	}
}

// Fail tells all that there is no reply.
func (j *joint) Fail(_ uint64, reason string, sent bool) {
	j.watch = nil
	defer j.finish()
	for j.told = 0; j.told < len(j.joiners); {
		x := &j.joiners[j.told]
		j.told++
		x.session.Fail(x.tag, reason, sent)
	}
}

// finish is called when a joint's reply is in. Who has asked meanwhile is next, at the end of the turn.
func (j *joint) finish() {
	for j.told < len(j.joiners) { // after a panic
		x := &j.joiners[j.told]
		j.told++
		x.session.Fail(x.tag, "ERR internal error", true)
	}
	f, w := j.form, j.pool.worker
	f.size = j.size
	if h := j.pool.heat; h != nil && j.looked > 0 {
		h.detector.AddBytes(f.key.hash, j.size*j.looked)
	}
	if j.watch != nil {
		f.keep(j)
	}
	f.flights--
	if f.sent == j {
		f.sent = nil
	}
	w.giveJoint(j)
	if f.flights == 0 && f.next != nil {
		w.putLater(f.next)
	}
}

// putLater has a joint put on its lane at the end of the turn, so that all who ask for it in this turn can join.
func (w *worker) putLater(j *joint) {
	if len(w.joints) == 0 {
		w.loop.Defer(w.runJoints)
	}
	w.joints = append(w.joints, join{j, j.serial})
}

func (w *worker) putJoints() {
	for i, due := range w.joints {
		if due.joint.serial == due.serial {
			due.joint.put()
		}
		w.joints[i] = join{}
	}
	w.joints = w.joints[:0]
}

func (w *worker) takeJoint() *joint {
	if n := len(w.freeJoints); n > 0 {
		j := w.freeJoints[n-1]
		w.freeJoints = w.freeJoints[:n-1]
		return j
	}
	return &joint{}
}

func (w *worker) giveJoint(j *joint) {
	clear(j.joiners)
	w.loop.Release(j.kept)
	*j = joint{serial: j.serial + 1, joiners: j.joiners[:0]}
	if len(w.freeJoints) < 256 {
		w.freeJoints = append(w.freeJoints, j)
	}
}
