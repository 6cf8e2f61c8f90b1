package proxy

import (
	"ringway/pool"
	"ringway/resp"
)

// look is the beginning of a read.
func (o *op) look() {
	o.state = opBegun
	lane := o.set.Lane(o.node)
	if !o.warm() {
		o.again = true
	} else if o.class == opRead {
		lane.Send(resp.AppendCommand(nil, append([]string{"EXISTS"}, o.keys...)...), o, opLooks)
	}
	lane.Send(o.request, o, opAnswers)
}

// bring has the keys moved, and the read done again.
func (o *op) bring() {
	if !o.warm() {
		o.readAgain()
		return
	}
	o.pending = len(o.keys)
	for i := range o.keys {
		o.s.pool.bring(o, i)
	}
}

func (o *op) readAgain() {
	o.again, o.head = true, nil
	o.set.Lane(o.node).Send(o.request, o, opAnswers)
}

// prepare is the beginning of a write: the old node is voided, or the key brought.
func (o *op) prepare() {
	o.state = opBegun
	o.pending = len(o.keys)
	if o.gone == nil {
		o.gone = make([]bool, len(o.keys))
	}
	if o.pending == 0 {
		o.state = opReady
		return
	}
	for i, k := range o.keys {
		if o.class == opModify && o.warm() {
			o.set.Lane(o.node).Send(resp.AppendCommand(nil, "EXISTS", k), o, opHas|uint64(i))
		} else {
			o.void(i)
		}
	}
}

// void removes what the old node has.
func (o *op) void(i int) {
	o.s.pool.stats.Voids++
	k := o.keys[i]
	o.set.Lane(o.mv.from([]byte(k))).Send(resp.AppendCommand(nil, "UNLINK", k), o, opVoids|uint64(i))
}

// moved is told what has become of the key i, which was to be moved.
func (o *op) moved(i, result int, reason string) {
	if o.state == opDone {
		return
	}
	if o.reads {
		if o.pending--; o.pending == 0 {
			o.readAgain()
		}
		return
	}
	if cur := o.s.pool.topo.moving; result < 0 && !o.warm() && (cur == nil || cur.kind == warmDrain) {
		o.void(i)
		return
	}
	if result < 0 && o.failed == "" {
		o.failed = reason
	}
	o.oneDone()
}

func (o *op) oneDone() {
	if o.pending--; o.pending > 0 || o.state != opBegun {
		return
	}
	if o.failed != "" {
		o.fail(o.failed)
		return
	}
	o.state = opReady
	o.s.worker.loop.Defer(o.s.pump)
}

// unmark removes the markers of the keys: whoever holds an older value of one in his hand drops it.
func (o *op) unmark(lane *pool.Lane) {
	b := resp.AppendArray(o.s.worker.scratch[:0], 1+len(o.keys))
	b = resp.AppendBulkString(b, "UNLINK")
	for _, k := range o.keys {
		b = resp.AppendBulkString(b, markerOf(k))
	}
	o.s.worker.scratch = b
	lane.Send(b, nobody{}, 0)
}

// send sends a write to its new node.
func (o *op) send() {
	o.state = opSent
	switch {
	case o.launch != nil && o.s.conn.Closed():
		if o.undo != nil {
			o.undo()
		}
		o.finish()
	case o.launch != nil:
		o.undo = nil
		o.launch()
	case o.class == opDel:
		lane := o.set.Lane(o.node)
		o.unmark(lane)
		o.pending = len(o.keys)
		for i, k := range o.keys {
			lane.Send(resp.AppendCommand(nil, o.c.Name, k), o, opDeletes|uint64(i))
		}
	default:
		lane := o.set.Lane(o.node)
		o.unmark(lane)
		lane.Send(o.request, o, opAnswers)
	}
}

// Reply takes the next bytes of a reply.
func (o *op) Reply(tag uint64, kind byte, b []byte, done bool) {
	i := int(uint32(tag))
	if what := tag >> 32 << 32; what == opAnswers {
		o.answer(kind, b, done)
		return
	} else if !done || o.state == opDone {
		return
	} else {
		n, err := resp.Int(b)
		if err != nil && what != opLooks && o.failed == "" {
			o.failed = trimmed(b)
		}
		switch what {
		case opLooks:
			o.short = err == nil && n < int64(len(o.keys))
		case opVoids:
			o.gone[i] = n > 0
			o.oneDone()
		case opHas:
			switch {
			case n > 0 || err != nil:
				o.oneDone()
			case o.warm():
				o.s.pool.bring(o, i)
			default:
				o.void(i)
			}
		case opDeletes:
			if n > 0 || o.gone[i] {
				o.count++
			}
			o.deleted()
		}
	}
}

// deleted counts the keys of a DEL.
func (o *op) deleted() {
	if o.pending--; o.pending > 0 {
		return
	}
	switch {
	case o.s.conn.Closed():
	case o.failed != "":
		o.s.Reply(o.tag, '-', resp.AppendError(nil, o.failed), true)
	default:
		b := resp.AppendInt(nil, o.count)
		o.s.Reply(o.tag, ':', b, true)
	}
	o.finish()
}

// answer takes the next bytes of the reply that the client may get.
func (o *op) answer(kind byte, b []byte, done bool) {
	if o.reads && !o.again {
		switch {
		case o.class == opRead && o.short:
			if done {
				o.bring()
			}
			return
		case o.class == opGet && !o.decided:
			o.head = append(o.head, b...)
			if len(o.head) < 2 && !done {
				return
			}
			if isNil(o.head) {
				if done {
					o.bring()
				}
				return
			}
			o.decided, b = true, o.head
		}
	}
	o.s.Reply(o.tag, kind, b, done)
	if done {
		o.finish()
	}
}

func isNil(head []byte) bool {
	return head[0] == '_' || head[0] == '$' && len(head) > 1 && head[1] == '-'
}

// Fail says that there is no reply.
func (o *op) Fail(tag uint64, reason string, sent bool) {
	if o.state == opDone {
		return
	}
	switch what := tag >> 32 << 32; what {
	case opLooks:
	case opAnswers:
		o.s.Fail(o.tag, reason, sent)
		o.finish()
	case opDeletes:
		if o.failed == "" {
			o.failed = reason
		}
		o.deleted()
	default:
		if o.failed == "" {
			o.failed = reason
		}
		o.oneDone()
	}
}
