package proxy

import (
	"strconv"
	"strings"
	"time"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// CLIENT UNBLOCK is passed on to the node at which the client is blocked, for only the node knows whether it has an element for the
// client already. To name the client there, its private lane has to know what the node calls it.

var clientIDRequest = []byte("*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n")

// askNumber asks the node how it calls the client that a private lane is to it.
func askNumber(la *pool.Lane) {
	if la.Number == 0 {
		la.Send(clientIDRequest, laneNumber{la}, 0)
	}
}

// laneNumber takes the answer.
type laneNumber struct{ lane *pool.Lane }

func (n laneNumber) Reply(_ uint64, _ byte, b []byte, done bool) {
	if id, err := resp.Int(b); err == nil && done {
		n.lane.Number = id
	}
}

func (n laneNumber) Fail(uint64, string, bool) {}

// unblocking is a CLIENT UNBLOCK under way. It lives on the loop of the client that is blocked.
type unblocking struct {
	asker   *Session // nil if the key has moved to another node
	seq     uint32
	blocked *Session
	lane    *pool.Lane // on which it was blocked when the key moved
	reason  string
	tries   int
	pending int
	done    bool
}

// A client may have been seen to be blocked here before the node knows of it: then it is tried again for a moment.
const (
	unblockTries = 20
	unblockPause = 2 * time.Millisecond
)

// unblock is CLIENT UNBLOCK id [TIMEOUT|ERROR].
func (s *Session) unblock(a *resp.Args) {
	reason := "TIMEOUT"
	if a.Len() > 4 {
		s.refuse(metrics.BadCommand, "ERR unknown subcommand or wrong number of arguments for 'unblock'. Try CLIENT HELP.")
		return
	}
	if a.Len() == 4 {
		reason = strings.ToUpper(string(a.At(3)))
	}
	id, err := strconv.ParseInt(string(a.At(2)), 10, 64)
	switch {
	case reason != "TIMEOUT" && reason != "ERROR":
		s.refuse(metrics.BadCommand, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	case err != nil:
		s.refuse(metrics.BadCommand, errNotInteger)
		return
	}
	u := &unblocking{asker: s, seq: s.openAlone(), reason: reason}
	found := false
	s.worker.visit(func(w *worker) {
		for x := w.sessions; x != nil && !found; x = x.next {
			if x.id == uint64(id) && x.blocked != nil {
				found = true
				u.blocked = x
				u.try()
			}
		}
	}, func() {
		if !found {
			u.answer(0)
		}
	})
}

// try asks the nodes to unblock the client.
func (u *unblocking) try() {
	x := u.blocked
	if x.conn.Closed() || x.blocked == nil || u.asker == nil && x.blocked[0] != u.lane { // it has gone on meanwhile
		u.finish(0)
		return
	}
	u.tries++
	u.pending = 1
	for _, la := range x.blocked {
		if la.Number > 0 && !la.Moved() { // who has its node's place does not know the number
			u.pending++
			request := resp.AppendCommand(nil, "CLIENT", "UNBLOCK", strconv.FormatInt(la.Number, 10), u.reason)
			if x.pool.topo.used[la.Index] {
				x.set.Lane(la.Index).Send(request, u, 0)
			} else {
				sendAlone(x.set, la.Index, request, u, 0)
			}
			la.Spent = true // it may be answered before UNBLOCK arrives, and must not serve another client then
		}
	}
	u.oneDone(0)
}

// Reply takes a node's answer.
func (u *unblocking) Reply(_ uint64, _ byte, b []byte, done bool) {
	if done {
		n, _ := resp.Int(b)
		u.oneDone(n)
	}
}

// Fail takes the reason why a node does not answer.
func (u *unblocking) Fail(uint64, string, bool) { u.oneDone(0) }

func (u *unblocking) oneDone(n int64) {
	if n > 0 {
		u.finish(n)
	}
	if u.pending--; u.pending > 0 || u.done {
		return
	}
	if u.tries == unblockTries {
		u.finish(0)
		return
	}
	u.blocked.worker.loop.SetTimer(loop.NewTimer(u.try), unblockPause)
}

// finish answers on the loop of the client that has asked.
func (u *unblocking) finish(n int64) {
	if !u.done && u.asker == nil {
		u.done = true // the ring has moved
	}
	if !u.done {
		u.done = true
		u.asker.worker.loop.Post(func() { u.answer(n) })
	}
}

func (u *unblocking) answer(n int64) {
	if !u.asker.conn.Closed() {
		u.asker.answerSlot(u.seq, resp.AppendInt(nil, n))
	}
}
