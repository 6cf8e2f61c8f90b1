package proxy

import (
	"bytes"
	"time"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
)

// blocking is a blocking command on its private lane, in a pool with warm scaling: a client that is freed for a hold is told nothing, and
// blocks again afterwards.
type blocking struct {
	s       *Session
	seq     uint32
	request []byte
	freed   bool
}

// sendBlocking is sendPrivate for a blocking command.
func (s *Session) sendBlocking(c *command.Command, lane *pool.Lane, request []byte) {
	bl := &blocking{s: s, seq: s.tail, request: bytes.Clone(request)}
	s.open(c).private = true
	s.inFlight++
	s.blocks = bl
	lane.Send(request, bl, 0)
	s.stall(metrics.StallBarrier)
}

func (bl *blocking) Reply(_ uint64, kind byte, b []byte, done bool) {
	s := bl.s
	if done && s.blocks == bl {
		s.blocks = nil
	}
	if !bl.freed || !done || s.conn.Closed() || !bytes.HasPrefix(b, []byte("-UNBLOCKED")) {
		s.Reply(tagOf(bl.seq, 0), kind, b, done)
		return
	}
	s.privateDone(kind)
	*s.slot(bl.seq) = slot{} // the last one: the parser stands still behind it
	s.tail--
	s.inFlight--
	in := s.worker.loop.Append(nil, bl.request)
	if s.scan != nil {
		s.scan.Reset()
		s.worker.giveScanner(s.scan)
		s.scan = nil
	}
	in = s.worker.loop.Append(in, s.in[s.off:])
	s.worker.loop.Release(s.in)
	s.in, s.off = in, 0
	s.stall(metrics.StallMigration)
	s.relieve(metrics.StallBarrier)
	if mv := s.pool.topo.moving; mv == nil || mv.kind > warmHold {
		s.relieve(metrics.StallMigration)
	}
}

func (bl *blocking) Fail(_ uint64, reason string, sent bool) {
	if bl.s.blocks == bl {
		bl.s.blocks = nil
	}
	bl.s.Fail(tagOf(bl.seq, 0), reason, sent)
}

// emptying is the wait until nothing is in flight to the nodes that give keys.
type emptying struct {
	ps      *poolState
	mv      *moving
	pending int // PINGs
	then    func()
	timer   *loop.Timer
}

// emptyOut calls then when nothing that was sent before a hold is in flight any more. If the hold ends before, it does not.
func (ps *poolState) emptyOut(then func()) {
	e := &emptying{ps: ps, mv: ps.topo.moving, then: then}
	if e.mv == nil || e.mv.kind != warmHold {
		return
	}
	e.timer = loop.NewTimer(e.look)
	gives := map[int]bool{}
	for _, n := range e.mv.oldNodes {
		gives[int(n)] = true
	}
	for _, set := range ps.sets {
		set.Each(func(la *pool.Lane) {
			if gives[la.Index] && la.Depth() > 0 {
				e.pending++
				la.Send(pingRequest, e, 0)
			}
		})
	}
	for s := ps.worker.sessions; s != nil; s = s.next {
		if s.pool == ps && s.awaits != nil && len(s.blocked) == 1 && gives[s.blocked[0].Index] {
			if s.blocks != nil {
				s.blocks.freed = true
			}
			(&unblocking{blocked: s, lane: s.blocked[0], reason: "ERROR"}).try()
		}
	}
	e.look()
}

func (e *emptying) Reply(_ uint64, _ byte, _ []byte, done bool) {
	if done {
		e.pending--
	}
}

func (e *emptying) Fail(uint64, string, bool) { e.pending-- }

// look asks every millisecond: some of what is awaited tells nobody when it is over.
func (e *emptying) look() {
	if e.ps.topo.moving != e.mv && (e.ps.topo.moving == nil || e.ps.topo.moving.kind != warmHold) {
		return
	}
	busy := e.pending > 0
	for s := e.ps.worker.sessions; s != nil && !busy; s = s.next {
		if s.pool == e.ps {
			busy = s.awaits != nil && s.blocked != nil || s.watch.ending || len(s.ops) > 0
		}
	}
	if !busy {
		e.then()
		return
	}
	e.ps.worker.loop.SetTimer(e.timer, time.Millisecond)
}
