package proxy

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"ringway/internal/loop"
	"ringway/internal/release"
	"ringway/internal/tracing"
	"ringway/resp"
)

// Traces: of so many requests one is told to an OpenTelemetry collector. While there is one every request whose reply is here is looked at (poolState.slowFrom
// is 0 then); without, nothing is done for it. Which one it is, is a matter of chance: it is 1 to 2n-1 requests after the last, so that no pattern of a client's meets it.

// samples is the loop's countdown to the next request that is told.
type samples struct {
	tracer *tracing.Tracer // nil: none is
	left   int
	every  int // of how many one is, on average
	keys   bool
}

func (sm *samples) next() bool {
	if sm.left--; sm.left > 0 {
		return false
	}
	sm.left = 1 + rand.IntN(2*sm.every-1)
	return true
}

// lookAt is called with each request that may be slow, or told, when its reply is here.
func (s *Session) lookAt(sl *slot, kind byte, took int64) {
	w := s.worker
	if sl.command == nil {
		return
	}
	var traced *tracing.Request
	if w.samples.tracer != nil && w.samples.next() {
		traced = s.trace(sl, kind)
	}
	t := tardy{at: w.loop.Now(), traced: traced}
	if took >= s.pool.slowest {
		if t.entry = s.slow(sl, took); t.entry != nil {
			t.id = t.entry.id
		}
	}
	if t.entry == nil && traced == nil {
		return
	}
	for seq := s.head; seq != s.tail && !sl.mute && len(s.tardies) < mostTardies; seq++ {
		if s.slot(seq) == sl {
			t.seq = seq
			s.tardies = append(s.tardies, t)
			return
		}
	}
	if traced != nil {
		s.told(traced)
	}
}

// mostTardies bounds what is remembered of a client that does not read.
const mostTardies = 1024

// trace notes what is known of a request whose reply is here.
func (s *Session) trace(sl *slot, kind byte) *tracing.Request {
	w, ps, c := s.worker, s.pool, sl.command
	now, clock := time.Now(), loop.Clock()
	at := func(t int64) time.Time { return now.Add(time.Duration(t - clock)) }
	r := &tracing.Request{
		Command: c.Name, Pool: ps.shared.cfg.Name, Client: s.peer, Failed: kind == '-' || kind == '!' || kind == 0,
		Read: at(sl.start), Written: at(w.loop.Now()), Replied: at(w.loop.Now()),
	}
	if la := ps.clock.Lane; la != nil {
		r.Node, r.Address, r.Written = la.Node.Name, la.Node.Address(), at(max(la.Written(), sl.start))
	}
	if w.samples.keys {
		b, n := s.recalled(w.scratch[:0], sl)
		w.scratch = b
		r.Key = firstKey(c, append(resp.AppendArray(nil, n), b...))
	}
	return r
}

// told is called when the reply to a request that is told was written, or never will be.
func (s *Session) told(r *tracing.Request) {
	if s.worker.samples.tracer.Offer(*r) {
		s.pool.stats.Traces[0]++
	} else {
		s.pool.stats.Traces[1]++
	}
}

// openTracer has the loops tell of requests, if that is wanted.
func (srv *Server) openTracer() (err error) {
	cfg := &srv.cfg.Tracing
	if cfg.Endpoint == "" {
		return nil
	}
	if srv.tracer, err = tracing.New(tracing.Options{Endpoint: cfg.Endpoint, Protocol: cfg.Protocol, Version: release.Version(), Log: srv.log}); err != nil {
		return err
	}
	for _, w := range srv.workers {
		w.samples = samples{tracer: srv.tracer, every: int(math.Round(1 / cfg.Sample)), keys: cfg.Keys}
		w.samples.next()
	}
	return nil
}

// closeTracer sends what there is, if a collector takes it soon. The loops have ended.
func (srv *Server) closeTracer() {
	if srv.tracer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		srv.tracer.Close(ctx)
	}
}
