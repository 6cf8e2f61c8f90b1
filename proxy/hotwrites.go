package proxy

import (
	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/command"
	"ringway/pool"
	"ringway/resp"
)

// What loops keep of a hot key is of no use from before a write is put on a lane until its reply is in, on all loops: hotkey.Entry counts the
// writes that are under way. The slot of a request remembers which keys it may change, whatever way it takes: split, in a transaction, on a
// private lane, sent again.

// writing is the hot keys that a request may change.
type writing struct {
	entries []*hotkey.Entry
}

// mayChange says, by the ID of a command, whether it may change its keys. PFCOUNT, which is a read otherwise, may write what it has counted.
var mayChange = func() []bool {
	list := make([]bool, command.Count())
	for _, c := range command.All() {
		list[c.ID] = !c.Flags.Has(command.ReadOnly) && !c.Flags.Has(command.PubSub) && c.Name != "watch" || c.Name == "pfcount"
	}
	return list
}()

// writesAny notes which hot keys a command that does not take the short way may change, before it is sent. It returns nil if none of its keys is hot.
func (s *Session) writesAny(c *command.Command, a *resp.Args) (wr *writing) {
	hot := s.pool.hot
	if !mayChange[c.ID] {
		return nil
	}
	if c.Name == "exec" {
		if s.tx == nil {
			return nil
		}
		for _, hash := range s.tx.changes {
			for i := range hot.set.Keys {
				if hot.set.Keys[i].Hash == hash|1 {
					wr = s.addWrite(wr, hot.keys[i])
				}
			}
		}
		if s.tx.changesAll {
			wr = s.addAll(wr)
		}
		return wr
	}
	keys, _ := c.Keys(s.worker.keys[:0], a)
	s.worker.keys = keys[:0]
	if len(keys) == 0 && writesEverywhere(c) {
		return s.addAll(nil)
	}
	for _, at := range keys {
		key := a.At(at)
		if i := hot.set.Find(xxhash.Sum64(key), key); i >= 0 {
			wr = s.addWrite(wr, hot.keys[i])
		}
	}
	return wr
}

// noteWrites gives what a request may change to its slot, if it was sent.
func (s *Session) noteWrites(wr *writing, sent bool) {
	if wr == nil {
		return
	}
	if sent {
		if sl := s.slot(s.tail - 1); sl.state == awaited && sl.writes == nil {
			sl.writes = wr
			return
		}
	}
	s.worker.written(wr)
}

// writesEverywhere tells of commands that change keys which they don't name: FLUSHALL, SWAPDB.
func writesEverywhere(c *command.Command) bool {
	return c.Flags.Has(command.Write) && c.Group != "scripting"
}

// addWrite notes that a request may change a hot key, before it is sent. wr is nil for the first.
func (s *Session) addWrite(wr *writing, k *hotKey) *writing {
	if wr == nil {
		wr = s.worker.takeWriting()
	}
	wr.add(k.entry)
	return wr
}

func (s *Session) addAll(wr *writing) *writing {
	for _, k := range s.pool.hot.keys {
		wr = s.addWrite(wr, k)
	}
	return wr
}

func (wr *writing) add(e *hotkey.Entry) {
	e.Write()
	wr.entries = append(wr.entries, e)
}

// queuesWrite notes what a request in a transaction may change. Which keys are hot is asked when it is sent.
func (tx *transaction) queuesWrite(c *command.Command, a *resp.Args, w *worker) {
	if !mayChange[c.ID] {
		return
	}
	keys, _ := c.Keys(w.keys[:0], a)
	w.keys = keys[:0]
	for _, at := range keys {
		tx.changes = append(tx.changes, xxhash.Sum64(a.At(at)))
	}
	tx.changesAll = tx.changesAll || len(keys) == 0 && writesEverywhere(c)
}

// written is called when a request's reply is in, or it gets none.
func (w *worker) written(wr *writing) {
	for i, e := range wr.entries {
		e.Written()
		wr.entries[i] = nil
	}
	wr.entries = wr.entries[:0]
	if len(w.freeWritings) < 256 {
		w.freeWritings = append(w.freeWritings, wr)
	}
}

func (w *worker) takeWriting() *writing {
	if n := len(w.freeWritings); n > 0 {
		wr := w.freeWritings[n-1]
		w.freeWritings = w.freeWritings[:n-1]
		return wr
	}
	return &writing{}
}

// abandonWrites is called for a client that has left. What it has sent may be carried out yet: a PING behind it tells when that is over. For that a lane
// on which it has sent EXEC after WATCH stays open.
func (s *Session) abandonWrites(wr *writing) {
	var own *pool.Lane
	if s.watch.ending {
		own = s.watch.lane
		s.watch = watch{}
	}
	for _, e := range wr.entries {
		s.pool.behindAll(e.Name, own, e.Written)
	}
	wr.entries = wr.entries[:0]
	s.worker.written(wr)
	if own != nil {
		set, ps := s.set, s.pool
		f := &behind{left: 1, then: func() {
			set.DiscardLater(own)
			ps.privates--
		}}
		f.wait(own)
		f.done()
	}
}

// behindAll has then run when all that this loop has put on its lanes to the node of a key, and on one more if there is one, is answered, or never will
// be.
func (ps *poolState) behindAll(key []byte, more *pool.Lane, then func()) {
	f := &behind{left: 1, then: then}
	f.wait(more)
	if node := ps.find(key); node != nowhere {
		for _, set := range ps.sets {
			f.wait(set.Present(node))
		}
		for s := ps.worker.sessions; s != nil; s = s.next {
			if s.pool == ps && s.watch.lane != nil && s.watch.lane.Index == node {
				f.wait(s.watch.lane)
			}
		}
	}
	f.done()
}

// behind waits for PINGs on several lanes.
type behind struct {
	left int
	then func()
}

func (f *behind) wait(la *pool.Lane) {
	if la != nil && la.Depth() > 0 {
		f.left++
		la.Send(pingRequest, f, 0)
	}
}

func (f *behind) done() {
	if f.left--; f.left == 0 {
		f.then()
	}
}

// Reply is part of pool.Owner.
func (f *behind) Reply(_ uint64, _ byte, _ []byte, done bool) {
	if done {
		f.done()
	}
}

// Fail is part of pool.Owner.
func (f *behind) Fail(uint64, string, bool) { f.done() }

// getToKnow is called with keys that have become hot: this loop counts their writes from now on, and waits for those that it had sent before. What a
// client has asked for and is not sent yet, because it is to be sent again or its keys are moving, counts as if it had come after.
func (ps *poolState) getToKnow(e *hotkey.Entry) {
	for s := ps.worker.sessions; s != nil; s = s.next {
		switch {
		case s.pool != ps:
		case string(s.awaits) == string(e.Name): // it blocks for the key: nobody knows when it takes an element
			s.mayWrite(s.slot(s.head), e)
		case s.retrying != nil || len(s.ops) > 0:
			for i := s.head; i != s.tail; i++ {
				if sl := s.slot(i); sl.state == awaited && sl.command != nil && mayChange[sl.command.ID] {
					s.mayWrite(sl, e)
				}
			}
		}
	}
	ps.behindAll(e.Name, nil, e.Known)
}

// mayWrite notes that a request under way may change a key.
func (s *Session) mayWrite(sl *slot, e *hotkey.Entry) {
	if sl.writes == nil {
		sl.writes = s.worker.takeWriting()
	}
	sl.writes.add(e)
}
