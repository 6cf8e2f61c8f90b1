package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// transaction is what lies between MULTI and EXEC. Requests are kept here, and sent as one contiguous batch, MULTI and EXEC
// around them, so that a shared lane can carry it: Redis runs the batch without anybody in between.
type transaction struct {
	batch   []byte
	digests [][]byte // of the scripts that EVALSHA names
	count   int
	class   pool.Class // of the most patient of them, for EXEC has the replies of all
	node    int        // of the keys; -1 while there were none
	topo    *topology  // by which that is so
	dirty   bool       // a request was refused: EXEC will be too
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
	s.tx = &transaction{node: -1, topo: s.pool.topo}
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
	node, keyed, ok := s.ownerOf(c, a)
	if !ok || keyed && tx.node >= 0 && node != tx.node {
		s.refuseQueued(metrics.CrossSlot, errCrossSlot)
		return
	}
	if keyed {
		tx.node = node
	}
	if len(tx.batch)+len(b) > maxTransaction && len(tx.batch)+len(scan.Bytes(b)) > maxTransaction {
		s.refuseQueued(metrics.BadCommand, errTransactionSize)
		return
	}
	if runsDigest(c) {
		tx.digests = append(tx.digests, bytes.Clone(a.At(1)))
	}
	tx.batch = append(tx.batch, scan.Bytes(b)...)
	tx.class = max(tx.class, classes[c.ID])
	tx.count++
	s.answer([]byte("+QUEUED\r\n"))
}

// unfitForMulti says why a command can't be part of a transaction, "" if it can.
func (s *Session) unfitForMulti(c *command.Command) string {
	switch {
	case c.Flags.Has(command.NoMulti):
		return errNotInMulti
	case c.Plan == command.Refuse:
		return c.Refusal
	case c.Plan == command.Session && c.Name != "ping" && c.Name != "echo":
		return "ERR '" + c.Name + "' can't be part of a transaction through Ringway: send it before MULTI"
	case c.Plan == command.Broadcast && s.pool.size() > 1:
		return "ERR '" + c.Name + "' concerns all nodes and can't be part of a transaction"
	case c.Plan == command.Private && c.Flags.Has(command.PubSub):
		return "ERR '" + c.Name + "' can't be part of a transaction through Ringway"
	}
	return ""
}

// findAgain looks for the node of a transaction's keys when the ring has changed since they were queued. It returns false if they are not
// on one node any more.
func (s *Session) findAgain(tx *transaction) bool {
	tx.topo, tx.node = s.pool.topo, -1
	scan := s.worker.takeScanner(s.pool.shared.limits)
	defer s.worker.giveScanner(scan)
	for rest := tx.batch; len(rest) > 0; {
		n, err := scan.Scan(rest)
		if err != nil || n == 0 {
			return false
		}
		c := command.Lookup(scan.Args.At(0))
		if c.Container() && scan.Args.Len() > 1 {
			c = c.Sub(scan.Args.At(1))
		}
		node, keyed, ok := s.ownerOf(c, &scan.Args)
		if !ok || keyed && tx.node >= 0 && node != tx.node {
			return false
		}
		if keyed {
			tx.node = node
		}
		rest = rest[n:]
	}
	return true
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
	if tx.topo != s.pool.topo && !s.findAgain(tx) {
		s.endTransaction()
		s.unwatch()
		s.refuse(metrics.CrossSlot, errExecAbort)
		return true
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
	s.open(c)
	s.inFlight++
	tx.send(&s.worker.server.scripts, lane, s, tagOf(seq, 0))
	s.endTransaction()
	return true
}
