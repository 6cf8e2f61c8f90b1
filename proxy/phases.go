package proxy

import "ringway/internal/metrics"

// When a reply was written to its client. Replies come, and are written, many at a time: what is remembered are runs of those that one node
// has answered in one turn.
//
//	reply comes --count--> slot.answeredBy, and its start is when it came --note--> unwritten --Flushed--> Phases.Write
type run struct {
	at   int64  // when the replies came
	end  uint64 // of the client's bytes, behind the last of them; 0: no write has come yet
	n    uint32
	node uint16 // as slot.answeredBy
}

// Of a reply that was counted, slot.answeredBy is its node's index plus manyNodes plus one.
const (
	notCounted = iota // it is Ringway's own
	manyNodes         // or none: it was put together, or kept
)

// mostRuns bounds what is remembered of a client that does not read. Later replies are counted with the last run, as soon as these.
const mostRuns = 256

// note remembers a reply that is in the client's output now.
func (s *Session) note(sl *slot) {
	n := len(s.unwritten)
	if n > 0 {
		if last := &s.unwritten[n-1]; last.end == 0 && last.at == sl.start && last.node == sl.answeredBy || n == mostRuns {
			last.n += uint32(sl.weight)
			return
		}
	} else if s.unwritten == nil {
		s.unwritten = s.worker.takeRuns()
	}
	s.unwritten = append(s.unwritten, run{at: sl.start, n: uint32(sl.weight), node: sl.answeredBy})
}

// written counts the replies that the client's system has taken.
func (s *Session) written(unsent int) {
	taken, now := s.conn.BytesOut, s.worker.loop.WriteTime()
	done := 0
	for i := range s.unwritten {
		r := &s.unwritten[i]
		if r.end == 0 {
			r.end = taken + uint64(unsent)
		}
		if r.end > taken {
			continue // and all that come after it, but for their ends
		}
		s.pool.write(r.node).Observe(now-r.at, uint64(r.n))
		done++
	}
	if done == len(s.unwritten) {
		s.forgetRuns()
		return
	}
	s.unwritten = s.unwritten[:copy(s.unwritten, s.unwritten[done:])]
}

// write is where the time of a node's replies is counted.
func (ps *poolState) write(node uint16) *metrics.Phase {
	if node == manyNodes {
		return &ps.stats.Write
	}
	return &ps.clock.Nodes[node-manyNodes-1].Write
}

// forgetRuns gives the list of runs back.
func (s *Session) forgetRuns() {
	if w := s.worker; s.unwritten != nil && len(w.freeRuns) < 256 && cap(s.unwritten) <= mostRuns {
		w.freeRuns = append(w.freeRuns, s.unwritten[:0])
	}
	s.unwritten = nil
}

func (w *worker) takeRuns() []run {
	n := len(w.freeRuns)
	if n == 0 {
		return make([]run, 0, 4)
	}
	r := w.freeRuns[n-1]
	w.freeRuns = w.freeRuns[:n-1]
	return r
}
