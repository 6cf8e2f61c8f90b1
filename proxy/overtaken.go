package proxy

import (
	"bytes"
	"cmp"
	"slices"

	"ringway/internal/command"
	"ringway/resp"
)

// When a request is to be sent again, and all that its client had in flight behind it is back, it is known what was carried out behind it:
//
//	GET a  (lost)        SET a 1 (READONLY)     SET a 1 (TRYAGAIN)
//	SET a 2 (carried     GET a   (answered)     SET b 2 (carried out)
//	         out?)
//	not sent again       both sent again,       SET a sent again
//	                     in order
//
// A write behind it to one of its keys that was carried out, or may have been, can't be undone: the request is answered with what the node
// has said. A read behind a write that has to be repeated has read too early: its answer is held back until then, and it is repeated too.

// holdBack keeps the last bytes of a read's answer while something before it has to be sent again.
func (s *Session) holdBack(tag uint64, kind byte, b []byte) {
	s.held += len(b)
	s.retrying.queue = append(s.retrying.queue, retry{tag: tag, kind: kind, words: bytes.Clone(b), held: true})
	s.retrySoon()
}

// holdsBack reports whether an answer must be held back.
func (s *Session) holdsBack(sl *slot) bool {
	return s.retrying != nil && s.pool.follows() && sl.command.Flags.Has(command.ReadOnly) && !sl.begun && !sl.private
}

// carriedOut notes a write that was carried out, or may have been, while something before it is to be sent again. Where answers are not held
// back, that is a read too: a script before it comes too late then. The kept request is the list's from now on.
func (s *Session) carriedOut(tag uint64, sl *slot, ag *again) {
	if s.retrying != nil {
		s.retrySoon()
	}
	reads := sl.command != nil && sl.command.Flags.Has(command.ReadOnly)
	if s.retrying == nil || sl.command == nil || reads && s.pool.follows() {
		s.worker.forgetAgain(ag)
		return
	}
	s.retrying.done = append(s.retrying.done, carried{uint32(tag), ag, reads})
}

type carried struct {
	seq   uint32
	ag    *again // nil: nobody knows its keys
	reads bool
}

// tooLate says which of the queue can't be sent again, because a write behind them to one of their keys has been carried out.
func (s *Session) tooLate() []bool {
	re := s.retrying
	late := make([]bool, len(re.queue))
	if len(re.done) == 0 {
		return late
	}
	done := slices.Clone(re.done)
	slices.SortFunc(done, func(a, b carried) int { return cmp.Compare(int32(b.seq-s.head), int32(a.seq-s.head)) })
	used, any := map[string]access{}, untouched // of each key, and of keys that are not known
	for i := len(re.queue) - 1; i >= 0; i-- {
		seq := uint32(re.queue[i].tag)
		for len(done) > 0 && int32(done[0].seq-seq) > 0 {
			how := written
			if done[0].reads {
				how = read
			}
			if done[0].ag == nil {
				any = max(any, how)
			} else {
				s.eachKey(done[0].ag.request, func(key []byte) { used[string(key)] = max(used[string(key)], how) })
			}
			done = done[1:]
		}
		if re.queue[i].held {
			continue
		}
		sl, bound := s.slot(seq), read // what may not have happened to its keys
		if sl.command.Flags.Has(command.ReadOnly) {
			bound = written
		}
		if late[i] = any >= bound; !late[i] && len(used) > 0 {
			s.eachKey(s.kept(re.queue[i].tag, sl).request, func(key []byte) { late[i] = late[i] || used[string(key)] >= bound })
		}
	}
	return late
}

// access is what has been done to a key.
type access uint8

const (
	untouched access = iota
	read
	written
)

// tooEarly says which of the answers that are held back were given before a write that should have come first.
func (s *Session) tooEarly(late []bool) []bool {
	re := s.retrying
	early := make([]bool, len(re.queue))
	written := map[string]bool{}
	for i, r := range re.queue {
		sl := s.slot(uint32(r.tag))
		request := s.kept(r.tag, sl).request
		switch {
		case r.held:
			s.eachKey(request, func(key []byte) { early[i] = early[i] || written[string(key)] })
		case !late[i] && !sl.command.Flags.Has(command.ReadOnly) && i+1 < len(re.queue):
			s.eachKey(request, func(key []byte) { written[string(key)] = true })
		}
	}
	return early
}

// eachKey calls f with the keys of one or more requests.
func (s *Session) eachKey(requests []byte, f func(key []byte)) {
	s.pool.eachRequest(requests, func(c *command.Command, a *resp.Args) bool {
		keys, _ := c.Keys(s.worker.keys[:0], a)
		for _, k := range keys {
			f(a.At(k))
		}
		if len(keys) > 0 {
			s.worker.keys = keys[:0]
		}
		return true
	})
}
