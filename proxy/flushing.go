package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// flushing is a FLUSHALL or FLUSHDB while keys are moving: all nodes of both rings, and once more when the first have done it, for a move
// may have brought a key from a node that was not flushed yet to one that was.
type flushing struct {
	s       *Session
	seq     uint32
	request []byte
	rounds  int
	pending int
	failure []byte
}

func (s *Session) flushMoving(c *command.Command, request []byte) (taken bool) {
	if !s.barrier() {
		return false
	}
	f := &flushing{s: s, seq: s.tail, request: bytes.Clone(request), rounds: 2}
	s.open(c)
	s.inFlight++
	s.stall(metrics.StallBarrier)
	f.round()
	return true
}

func (f *flushing) round() {
	f.rounds--
	nodes := f.s.pool.topo.order
	f.pending = len(nodes)
	for _, n := range nodes {
		f.s.set.Lane(int(n)).Send(f.request, f, 0)
	}
}

func (f *flushing) Reply(_ uint64, kind byte, b []byte, done bool) {
	if kind == '-' && f.failure == nil {
		f.failure = bytes.Clone(b)
	}
	if done {
		f.oneDone()
	}
}

func (f *flushing) Fail(_ uint64, reason string, _ bool) {
	if f.failure == nil {
		f.failure = resp.AppendError(nil, reason)
	}
	f.oneDone()
}

func (f *flushing) oneDone() {
	if f.pending--; f.pending > 0 || f.s.conn.Closed() {
		return
	}
	switch {
	case f.failure != nil:
		f.s.answerSlot(f.seq, f.failure)
	case f.rounds > 0:
		f.round()
	default:
		f.s.answerSlot(f.seq, []byte("+OK\r\n"))
	}
}
