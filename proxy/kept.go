package proxy

import (
	"ringway/internal/command"
	"ringway/internal/config"
)

// Requests that may have to be sent again (retry.go) are kept until they are answered. Nearly all of them are answered, so keeping has to
// be cheap: a session keeps its own one behind the other in one buffer, and forgets them by moving on. Only a request that really is sent
// again, or is large, gets a buffer of its own (again).
//
//	 head's request            the last one's
//	      |                         |
//	[xxxx][....][...][.........][...][      ]
//	  ^ answered: makes room when room is needed
type keptRequests struct {
	b    []byte // lent by the loop
	base uint32 // the place of b[0]; places count on without end
}

// keeps says which requests are kept.
type keeps uint8

const (
	keepNothing keeps = iota
	keepReads
	keepAll
)

func keepsOf(cfg *config.Pool) keeps {
	switch {
	case cfg.Cluster != nil || cfg.Sentinel != nil:
		return keepAll
	case cfg.RetryShare() > 0 || cfg.ReadPolicy != "primary":
		return keepReads
	}
	return keepNothing
}

// follows reports whether the nodes' own redirections are followed.
func (ps *poolState) follows() bool { return ps.keeps == keepAll }

// keptInline is the largest request that is kept with the others.
const keptInline = 16 << 10

// keep keeps a copy of a request if it may have to be sent again.
func (s *Session) keep(sl *slot, c *command.Command, node int, request []byte) {
	if s.pool.keeps == keepReads && !c.Flags.Has(command.ReadOnly) {
		return
	}
	if len(request) > keptInline {
		sl.again = s.keepApart(node, request)
		return
	}
	k := &s.keptRequests
	if len(k.b)+len(request) > cap(k.b) {
		s.roomToKeep(len(request))
	}
	sl.keptAt, sl.keptLen, sl.keptNode = k.base+uint32(len(k.b)), uint32(len(request)), uint16(node)
	k.b = append(k.b, request...)
}

// roomToKeep drops what is answered, and makes the buffer larger if that does not help much.
func (s *Session) roomToKeep(n int) {
	k := &s.keptRequests
	first := k.base + uint32(len(k.b))
	for i := s.head; i != s.tail; i++ {
		if sl := s.slot(i); sl.keptLen > 0 {
			first = sl.keptAt
			break
		}
	}
	if dropped := int(first - k.base); dropped > 0 {
		k.b = k.b[:copy(k.b, k.b[dropped:])]
		k.base = first
	}
	if len(k.b)+n > cap(k.b)/2 {
		k.b = s.worker.loop.Grow(k.b, max(n, cap(k.b)))
	}
}

// forgetKept gives the buffer back. Nothing may be in flight.
func (s *Session) forgetKept() {
	k := &s.keptRequests
	k.base += uint32(len(k.b))
	s.worker.loop.Release(k.b)
	k.b = nil
}

// kept returns the request of a slot or of its part if it was kept, in a buffer of its own; nil if it was not.
func (s *Session) kept(tag uint64, sl *slot) *again {
	if sl.split != nil {
		return sl.split.parts[tag>>32].again
	}
	if sl.keptLen > 0 {
		k := &s.keptRequests
		at := sl.keptAt - k.base
		sl.again = s.keepApart(int(sl.keptNode), k.b[at:at+sl.keptLen])
		sl.keptLen = 0
	}
	return sl.again
}

// unkeep forgets the request of a slot or part that is about to be answered by us.
func (s *Session) unkeep(tag uint64, sl *slot) {
	if sl.split == nil {
		sl.keptLen = 0
	}
	s.worker.forgetAgain(s.unkept(tag, sl))
}

// unkept takes the buffer of a request away from its slot or part; nil if it has none.
func (s *Session) unkept(tag uint64, sl *slot) (ag *again) {
	of := &sl.again
	if sl.split != nil {
		of = &sl.split.parts[tag>>32].again
	}
	ag, *of = *of, nil
	return ag
}

// keepApart keeps a copy of a request in a buffer of its own.
func (s *Session) keepApart(node int, request []byte) *again {
	ag := s.worker.takeAgain()
	ag.request = s.worker.loop.Append(nil, request)
	ag.node, ag.to = node, -1
	return ag
}

// keepPart keeps a part's buffer until the part is answered, or gives it back.
func (s *Session) keepPart(c *command.Command, p *part) *again {
	if s.pool.keeps == keepNothing || s.pool.keeps == keepReads && !c.Flags.Has(command.ReadOnly) {
		s.worker.loop.Release(p.out)
		return nil
	}
	ag := s.worker.takeAgain()
	ag.request, ag.node, ag.to = p.out, p.node, -1
	return ag
}

func (w *worker) takeAgain() *again {
	if n := len(w.freeAgain); n > 0 {
		ag := w.freeAgain[n-1]
		w.freeAgain = w.freeAgain[:n-1]
		return ag
	}
	return new(again)
}

// forgetAgain gives a kept request back. Nil is allowed.
func (w *worker) forgetAgain(ag *again) {
	if ag == nil {
		return
	}
	w.loop.Release(ag.request)
	*ag = again{}
	if len(w.freeAgain) < 4096 {
		w.freeAgain = append(w.freeAgain, ag)
	}
}
