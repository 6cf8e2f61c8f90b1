package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// checkPatience gives a silent node up. How long it may be silent is said by the class of the first request: the others are not its turn
// yet. That can change with each reply, so it is looked at as often as the least patient class wants.
func (la *Lane) checkPatience() {
	if la.conn.Closed() || la.state == connecting {
		return
	}
	if la.listener != nil && la.greets == 0 {
		la.heartbeat()
		return
	}
	limit, again := la.opt.Timeout, time.Duration(math.MaxInt64)
	since := la.lastRead
	if la.greets > 0 {
		if la.opt.ConnectTimeout > 0 {
			limit = la.opt.ConnectTimeout
		}
		since = la.met // however busily it talks
	} else {
		if la.waiting.len() == 0 || la.tick == 0 || la.Patient {
			return
		}
		limit, again = la.opt.timeout(la.waiting.first().class()), la.tick
		since = max(since, la.waiting.first().since)
	}
	if la.conn.Unsent() > 0 {
		since = max(since, la.conn.LastWrite())
	}
	left := time.Duration(since-la.loop.Now()) + limit
	if limit == 0 {
		left = again
	}
	if left > 0 {
		la.loop.SetTimer(la.patience, min(left, again))
		return
	}
	la.stats.Timeouts++
	la.conn.Close()
	la.fallAfterLoss(fmt.Sprintf("did not answer within %v", limit))
}

// Reroute hands back what waits for the connection, and has not been sent.
func (la *Lane) Reroute() {
	if la.state != ready && la.state != idle && la.waiting.len() > 0 {
		la.failAll(la.down(), false)
	}
}

// Hurry has a private lane wait for its reply no longer than others do, from now on.
func (la *Lane) Hurry() {
	la.Patient = false
	if la.state == ready && la.waiting.len() > 0 && la.opt.Timeout > 0 {
		la.waiting.first().since = la.loop.Now()
		la.loop.SetTimer(la.patience, la.opt.Timeout)
	}
}

// lose gives the connection up. Whatever was sent and not answered fails: it may have been carried out, so it is never sent
// again. A lane that was working is connected again at once.
func (la *Lane) lose(reason string) {
	la.conn.Close()
	la.scan.Reset()
	la.torn = nil
	la.tellListener(reason)
	if la.state == ready && la.attempt == 0 {
		la.stats.Losses++
		if la.leaving == nil {
			la.countFailure()
		}
		la.attempt++
		la.state = connecting
		la.failAll(fmt.Sprintf("ERR node %s %s", la.label(), reason), true)
		if la.state == connecting && la.leaving == nil {
			la.connect()
		}
		return
	}
	la.fallAfterLoss(reason)
}

func (la *Lane) countFailure() {
	times := la.Node.fail(la.loop.Now())
	if la.opt.OnFailure != nil {
		la.opt.OnFailure(la.Node, times)
	}
}

// praise forgets past failures: the node has answered.
func (la *Lane) praise() {
	la.attempt, la.praised, la.torn = 0, true, la.torn[:0]
	if la.Node.Up() && la.Node.failures.Load() == 0 || la.Moved() { // where the node was nobody knows how it is
		return
	}
	if la.Node.revive() && la.opt.OnChange != nil {
		la.opt.OnChange(la.Node, true, "")
	}
	la.Node.Forgive()
}

func (la *Lane) fallAfterLoss(reason string) {
	la.stats.Losses++
	la.fall(reason)
}

// fall marks the node and the lane as down.
func (la *Lane) fall(reason string) {
	was, news := la.state, false
	if la.leaving == nil {
		la.countFailure()
		news = !la.Node.lostDown()
	}
	la.rest(reason)
	if news && la.opt.OnChange != nil {
		la.opt.OnChange(la.Node, false, reason)
	}
	la.failOrHope(was)
}

// Abandon gives the connection up because the node was found to be down in another way than by this lane.
func (la *Lane) Abandon(reason string) {
	switch la.state {
	case idle, down:
		return // it will find out, or has
	case ready, greeting:
		la.conn.Close()
		la.stats.Losses++
	}
	la.fall(reason)
}

// Retry has a lane that is down try to come back now.
func (la *Lane) Retry() {
	if la.state == down && la.greets == 0 && la.leaving == nil {
		la.loop.StopTimer(la.retry)
		la.connect()
	}
}

// Served reports whether the node has answered on this lane since a time, or is given the time for a script that it may be busy with.
func (la *Lane) Served(since int64, silent bool) bool {
	if la.state != ready {
		return false
	}
	if la.praised && la.lastRead >= since {
		return true
	}
	if !silent || la.waiting.len() == 0 || la.waiting.first().class() != Script {
		return false
	}
	limit := la.opt.timeout(Script)
	return limit == 0 || time.Duration(la.loop.Now()-max(la.lastRead, la.waiting.first().since)) < limit
}

// failOrHope deals with what waits on a lane that has just gone down. What was sent fails: only a lane that is ready has sent anything. The
// rest may hope for a while that the node comes back or moves.
func (la *Lane) failOrHope(was state) {
	if was == ready {
		la.failAll(la.down(), true)
	} else if !la.hope.Set() {
		la.failAll(la.down(), false)
	}
}

// despair ends the hope.
func (la *Lane) despair() {
	if la.state != ready {
		la.failAll(la.down(), false)
	}
}

// refused is for a node that answers the handshake with an error: a wrong password, a database that it does not have. It is alive,
// so only this lane is down.
func (la *Lane) refused(reason string) {
	was := la.state
	la.conn.Close()
	la.stats.Losses++
	la.rest(reason)
	if la.key.User != "" { // a matter between the node and that user
		la.failAll(la.down(), false)
		return
	}
	if was != down && la.opt.OnRefusal != nil {
		la.opt.OnRefusal(la.Node, reason)
	}
	la.failOrHope(was)
}

// Refused returns what the node has said to the handshake, if the lane is down for that.
func (la *Lane) Refused() (words string, is bool) {
	if la.state != down {
		return "", false
	}
	return strings.CutPrefix(la.reason, refusal)
}

// rest plans the next attempt.
func (la *Lane) rest(reason string) {
	la.dial++ // what is under way does not count any more
	la.state = down
	la.greets = 0
	la.reason = reason
	la.torn = nil
	la.scan.Reset()
	la.tellListener(reason)
	la.attempt++
	la.loop.StopTimer(la.patience)
	if la.leaving != nil {
		return
	}
	if la.downAt == 0 {
		la.downAt = la.loop.Now()
		if la.opt.FailoverWait > 0 {
			la.loop.SetTimer(la.hope, la.opt.FailoverWait)
		}
	}
	wait := min(firstRetry<<min(la.attempt-1, 10), lastRetry)
	wait = wait/2 + rand.N(wait/2)
	la.loop.SetTimer(la.retry, wait)
}

// down is what a client is told while the node is down: of one that is busy with a script its own words, which clients know.
func (la *Lane) down() string {
	if la.Node.Refusal != "" {
		return la.Node.Refusal
	}
	if words, said := strings.CutPrefix(la.reason, refusal); said && strings.HasPrefix(words, "BUSY ") {
		return words
	}
	return fmt.Sprintf("ERR node %s is down: %s", la.label(), la.reason)
}

// label names the node, with the address at which this lane has it.
func (la *Lane) label() string { return label(la.Node.Name, la.address) }

// failAll fails everything that waits. sent says that it may have reached the node.
func (la *Lane) failAll(message string, sent bool) {
	la.scripts = nil
	la.loop.Release(la.held)
	la.held = nil
	la.put = la.allPut()
	defer la.answeredAll(la.answering())
	for n := la.waiting.len(); n > 0 && la.waiting.len() > 0; n-- { // only those that wait now: an owner may send again, or close the lane
		w := *la.waiting.first()
		if la.waiting.sizes != nil {
			la.waiting.unweigh()
		}
		la.waiting.pop()
		w.owner.Fail(w.tag, message, sent)
	}
	la.flights.forget()
	la.tellRoom()
	if la.leaving != nil {
		la.leaveWhenDone()
	}
}

// GiveUp closes the connection: all that waits fails, and what was sent may have been carried out. The node is not to blame, and the next
// request connects again.
func (la *Lane) GiveUp(reason string) {
	if la.listener != nil {
		return
	}
	sent := la.state == ready
	if sent {
		la.conn.Close()
		la.scan.Reset()
		la.loop.StopTimer(la.patience)
		la.torn = nil
		la.stats.Losses++
		la.state = idle
	}
	la.failAll(fmt.Sprintf("ERR node %s %s", la.label(), reason), sent)
}

// retire has the lane take no more requests. then is called, later in a turn, when all that it carries is answered.
func (la *Lane) retire(then func()) {
	la.leaving = then
	if la.state == down {
		la.failAll(la.down(), false)
	}
	la.leaveWhenDone()
}

func (la *Lane) leaveWhenDone() {
	if then := la.leaving; then != nil && la.waiting.len() == 0 && la.listener == nil {
		la.leaving = func() {} // once
		la.loop.Defer(then)
	}
}

// Close gives the lane up for good.
func (la *Lane) Close() {
	la.dial++
	la.loop.StopTimer(la.retry)
	la.loop.StopTimer(la.patience)
	la.loop.StopTimer(la.hope)
	was := la.state
	if la.state == ready || la.greets > 0 {
		la.conn.CloseNow()
	}
	la.state, la.greets, la.torn = idle, 0, nil
	la.failAll(fmt.Sprintf("ERR node %s was taken out of the pool", la.label()), was == ready)
}
