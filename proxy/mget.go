package proxy

import (
	"bytes"

	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/resp"
)

// A part of MGET that has one key, and that is hot, is as good as GET of the key: it is answered with what is kept, or joins those who ask the same, as the
// reads of others do (collapse.go, near.go). In front of a Redis Cluster, whose parts are by slot, that is nearly every hot key.
//
//	MGET a hot b --> part a  --> node 0             *1 a
//	                 part hot -> form GET hot   ->     hot    --> *3 a hot b
//	                 part b  --> node 2             *1 b
//
// A part of several keys goes to its node as it is: it is atomic there, and what is kept of one of the keys would be of another moment. Such keys are counted.

var (
	mgetID     = command.Lookup([]byte("mget")).ID
	getCommand = command.Lookup([]byte("get"))
)

// lookAtParts shows the keys of a request that is about to be split to the detector, and finds the parts that ask for one hot key and nothing else. It reports whether
// there are any.
func (s *Session) lookAtParts(c *command.Command, sp *split, a *resp.Args, step int) (found bool) {
	ps := s.pool
	if ps.heat == nil {
		return false
	}
	hot := ps.hot
	if c.ID != mgetID || ps.topo.moving != nil || !s.sharesReplies() {
		hot = nil
	}
	if n := len(sp.owners); hot == nil && ps.cool >= n {
		ps.cool -= n
		return false
	}
	for i, o := range sp.owners {
		key := a.At(1 + i*step)
		looked := ps.lookAt(c, key)
		p := &sp.parts[o]
		if hot == nil || p.count > 1 {
			continue
		}
		if at := hot.set.Find(xxhash.Sum64(key), key); at >= 0 {
			p.form, p.looked = s.formOfGet(hot.keys[at], p.node, key), looked
			found = found || p.form != nil
		}
	}
	return found
}

// formOfGet returns the form of GET of a hot key, nil if it can't have one.
func (s *Session) formOfGet(k *hotKey, node int, key []byte) *form {
	w := s.worker
	w.scratch = resp.AppendBulk(append(w.scratch[:0], "*2\r\n$3\r\nGET\r\n"...), s.pool.topo.seenAs(key))
	if len(w.scratch) > longestForm {
		return nil
	}
	return s.formOf(k, s.set.Lane(node), getCommand, w.scratch)
}

// askForms has the parts answered that have a form, when all others are on their lanes. inTurn is what Session.inTurn has said before.
func (s *Session) askForms(seq uint32, sl *slot, inTurn bool) {
	sp := sl.split
	told := 0
	for i := range sp.parts {
		p := &sp.parts[i]
		f := p.form
		if f == nil {
			continue
		}
		if value := s.toldOfKey(f, inTurn); value != nil {
			if p.looked {
				s.pool.heat.detector.Kept()
				s.pool.heat.detector.AddBytes(f.key.hash, len(value))
			}
			s.worker.forgetAgain(p.again)
			p.again = nil
			p.reply = s.worker.loop.Append(p.reply, s.asOfMGet(p, value[0], value))
			s.held += len(p.reply)
			told++
			continue
		}
		if f.keeps {
			s.pool.wants(f.key)
		}
		s.join(f, tagOf(seq, i), p.looked)
	}
	for range told { // the last may be the end of the request
		s.partDone(seq, sl)
	}
}

// toldOfKey returns what GET is to be answered with now, nil if its node has to be asked: what is kept, or the value of which copies are made.
func (s *Session) toldOfKey(f *form, inTurn bool) []byte {
	ps, k := s.pool, f.key
	if !f.keeps || !inTurn || s.watch.lane != nil {
		return nil
	}
	holds := func(w *hotkey.Watch, readAt int64) bool {
		return ps.heat.hears(f.lane.Index, w.Lease) && k.entry.Holds(w, readAt, loop.Clock(), &ps.heat.near.bounds)
	}
	var value []byte
	switch v := k.entry.Version(); {
	case f.near.reply != nil && holds(f.near.watch, f.near.readAt):
		value = f.near.reply
	case v != nil && v.Kind == hotkey.String && holds(v.Watch, v.ReadAt):
		value = v.Value
		v.Used.Store(loop.Clock())
	default:
		return nil
	}
	k.near++
	k.reads++
	ps.stats.Near++
	return value
}

// asOfMGet puts the beginning of a reply to GET in the place of one to MGET with one key. Errors stay, and so does a reply to MGET itself, which has been sent
// again.
func (s *Session) asOfMGet(p *part, kind byte, b []byte) []byte {
	if len(p.reply) > 0 || kind == '*' || kind == '-' || kind == '!' {
		return b
	}
	s.worker.scratch = append(append(s.worker.scratch[:0], "*1\r\n"...), b...)
	return s.worker.scratch
}

// nullIfWrongType makes a part's reply that of MGET, for which a key that is no string is as one that is not there.
func (s *Session) nullIfWrongType(p *part, kind byte) byte {
	if kind != '-' || !bytes.HasPrefix(p.reply, []byte("-WRONGTYPE")) {
		return kind
	}
	s.held -= len(p.reply)
	p.reply = resp.AppendNull(append(s.worker.emptied(p.reply), "*1\r\n"...), s.resp3)
	s.held += len(p.reply)
	return '*'
}
