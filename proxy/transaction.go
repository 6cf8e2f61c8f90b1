package proxy

import (
	"bytes"

	"ringway/internal/acl"
	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// transaction is what lies between MULTI and EXEC. Requests are kept here, and sent as one contiguous batch, MULTI and EXEC
// around them, so that a shared lane can carry it: Redis runs the batch without anybody in between.
type transaction struct {
	batch      []byte
	digests    [][]byte // of the scripts that EVALSHA names
	count      int
	class      pool.Class // of the most patient of them, for EXEC has the replies of all
	node       int        // of the keys and channels; -1 while there were none
	group      int        // what they have in common: the node, or the slot
	topo       *topology  // by which that is so
	channels   bool       // there were channels
	dirty      bool       // a request was refused: EXEC will be too
	guard      *guard     // by which it was judged
	user       *acl.User  // likewise
	changes    []uint64   // hashes of the keys that it may change, in a pool that looks for hot keys
	changesAll bool       // it may change any key
}

const (
	maxTransaction = 64 << 20 // bytes

	errNestedMulti     = "ERR MULTI calls can not be nested"
	errWatchInMulti    = "ERR WATCH inside MULTI is not allowed"
	errNotInMulti      = "ERR Command not allowed inside a transaction"
	errExecAlone       = "ERR EXEC without MULTI"
	errDiscardAlone    = "ERR DISCARD without MULTI"
	errExecAbort       = "EXECABORT Transaction discarded because of previous errors."
	errExecArity       = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
	errTransactionSize = "ERR transaction is longer than 64 MiB"

	errCrossSlotChannel = "CROSSSLOT Keys and channels in a transaction don't hash to the same slot: give them a hash tag in common, or send PUBLISH after EXEC"
)

var (
	multiRequest = []byte("*1\r\n$5\r\nMULTI\r\n")
	execRequest  = []byte("*1\r\n$4\r\nEXEC\r\n")
)

// nobody takes the replies that no client waits for.
type nobody struct{}

func (nobody) Reply(uint64, byte, []byte, bool) {}
func (nobody) Fail(uint64, string, bool)        {}

func (s *Session) multi() {
	if s.tx != nil {
		s.refuse(metrics.BadCommand, errNestedMulti)
		return
	}
	s.tx = &transaction{node: -1, topo: s.pool.topo, guard: s.pool.shared.guard, user: s.user}
	s.update()
	s.answerOK()
}

func (s *Session) discard() {
	if s.tx == nil {
		s.refuse(metrics.BadCommand, errDiscardAlone)
		return
	}
	s.endTransaction()
	s.unwatch()
	s.answerOK()
}

func (s *Session) endTransaction() {
	s.tx = nil
	s.update()
}

// refuseQueued refuses a request; inside a transaction that spoils it.
func (s *Session) refuseQueued(k metrics.Kind, message string) {
	if s.tx != nil {
		s.tx.dirty = true
	}
	s.refuse(k, message)
}

// queue keeps a request for EXEC. What is wrong with it is said now, as Redis does.
func (s *Session) queue(c *command.Command, scan *resp.RequestScanner, b []byte) {
	tx, a := s.tx, &scan.Args
	if why := s.unfitForMulti(c); why != "" {
		s.refuseQueued(metrics.BadCommand, why)
		return
	}
	if tx.topo != s.pool.topo && tx.node >= 0 && !s.findAgain(tx) {
		s.refuseQueued(metrics.CrossSlot, errCrossSlot)
		return
	}
	node, keyed, ok := s.ownerOf(c, a)
	group := node
	if s.pool.topo.slots {
		keyed = keyed && (c.Name != "publish" || s.pool.topo.routes != nil) // a cluster's nodes pass it on to all
		group = s.slotOf(c, a)
	}
	if !ok || keyed && tx.node >= 0 && group != tx.group {
		why := errCrossSlot
		if ok && (publishes(c) || tx.channels) {
			why = errCrossSlotChannel
		}
		s.refuseQueued(metrics.CrossSlot, why)
		return
	}
	if keyed {
		tx.node, tx.group = node, group
		tx.channels = tx.channels || publishes(c)
	}
	if len(tx.batch)+len(b) > maxTransaction && len(tx.batch)+len(scan.Bytes(b)) > maxTransaction {
		s.refuseQueued(metrics.BadCommand, errTransactionSize)
		return
	}
	if s.worker.server.memory.short.Load() {
		s.refuseQueued(metrics.OutOfMemory, errOutOfMemory)
		return
	}
	if runsDigest(c) {
		tx.digests = append(tx.digests, bytes.Clone(a.At(1)))
	}
	tx.batch = append(tx.batch, scan.Bytes(b)...)
	tx.class = max(tx.class, classes[c.ID])
	if s.pool.heat != nil {
		tx.queuesWrite(c, a, s.worker)
	}
	tx.count++
	s.answer([]byte("+QUEUED\r\n"))
}

// slotOf is the slot of a request's first key or channel, or what stands for it in a pool with routes.
func (s *Session) slotOf(c *command.Command, a *resp.Args) (slot int) {
	if keys, _ := c.Keys(s.worker.keys[:0], a); len(keys) > 0 {
		s.worker.keys = keys[:0]
		_, slot = s.pool.place(a.At(keys[0]))
	} else if c.RouteArg > 0 && c.RouteArg < a.Len() {
		_, slot = s.pool.topo.placeName(a.At(c.RouteArg))
	}
	return slot
}

// publishes says whether a command has a channel for a key. In a transaction it can't go elsewhere: on the keys' node it would reach
// pattern subscribers only, for who listens to a channel does so at the channel's node, and sent there later it would reach those twice.
func publishes(c *command.Command) bool { return c.RouteArg > 0 }

// unfitForMulti says why a command can't be part of a transaction, "" if it can.
func (s *Session) unfitForMulti(c *command.Command) string {
	switch {
	case c.Flags.Has(command.NoMulti):
		return errNotInMulti
	case c.Plan == command.Refuse:
		return c.Refusal
	case c.Plan == command.Session && c.Name != "ping" && c.Name != "echo":
		return "ERR '" + c.Name + "' can't be part of a transaction through Ringway: send it before MULTI"
	case (c.Plan == command.Broadcast || c.Plan == command.Private && c.Group == "scripting") && s.pool.size() > 1:
		return "ERR '" + c.Name + "' concerns all nodes and can't be part of a transaction"
	case c.Plan == command.Private && c.Flags.Has(command.PubSub):
		return "ERR '" + c.Name + "' can't be part of a transaction through Ringway"
	}
	return ""
}

// exec sends the transaction. It returns false if it must wait.
func (s *Session) exec(c *command.Command) bool {
	tx := s.tx
	if tx == nil {
		s.refuse(metrics.BadCommand, errExecAlone)
		return true
	}
	if tx.dirty {
		s.endTransaction()
		s.unwatch()
		s.refuse(metrics.BadCommand, errExecAbort)
		return true
	}
	if !s.stillAllowed(tx) {
		s.endTransaction()
		s.unwatch()
		s.refuse(metrics.Denied, errRulesChanged)
		return true
	}
	if tx.topo != s.pool.topo {
		if !s.findAgain(tx) {
			s.endTransaction()
			s.unwatch()
			s.refuse(metrics.CrossSlot, errExecAbort)
			return true
		}
	}
	if s.watch.lane != nil {
		return s.execWatched(c)
	}
	node := tx.node
	if node < 0 {
		node = s.pool.first()
	}
	if tx.count == 0 {
		s.endTransaction()
		s.answer([]byte("*0\r\n"))
		return true
	}
	lane := s.set.Lane(node)
	if lane.Overloaded() {
		s.endTransaction()
		s.shed(lane, "EXECABORT Transaction discarded because of: ")
		return true
	}
	if lane.Full() {
		return s.waitFor(lane)
	}
	seq := s.tail
	sl := s.open(c)
	s.inFlight++
	s.sendBatch(tx, lane, sl, s, tagOf(seq, 0))
	s.endTransaction()
	return true
}

// findAgain looks for the node of a transaction's keys when these may have moved since they were queued. It returns false if they are
// not on one node any more.
func (s *Session) findAgain(tx *transaction) bool {
	node, keyed, ok := s.pool.ownerOfAll(tx.batch)
	if !keyed {
		node = -1
	}
	tx.topo, tx.node = s.pool.topo, node
	if !tx.topo.slots { // a key's slot stays the same
		tx.group = node
	}
	return ok
}
