package proxy

import (
	"bytes"
	"strings"

	"ringway/internal/metrics"
)

const errStillMoving = "TRYAGAIN The slot of the request is moving, and its nodes still send it to and fro"

// refused is called with a whole error reply of a request that is kept. It returns true if the request is sent once more, or has its answer.
// A client never hears where a slot has moved: it can't be meant to go there.
func (s *Session) refused(tag uint64, sl *slot, before, b []byte) bool {
	ag := s.kept(tag, sl)
	message := b
	if len(before) > 0 { // the error came in pieces
		message = append(bytes.Clone(before), b...)
	}
	if ag.tx != nil && ag.tx.cause != nil && bytes.HasPrefix(message, []byte("-EXECABORT")) {
		message = ag.tx.cause
		ag.tx.cause = nil
	}
	if ag.script && bytes.HasPrefix(message, []byte("-NOSCRIPT")) {
		return s.tryScript(tag, sl, ag, message)
	}
	if !s.pool.follows() || ag.final {
		return false
	}
	word, rest, _ := strings.Cut(strings.TrimSuffix(string(message[1:]), "\r\n"), " ")
	if sl.private && refusals[word] && s.watchRefused(tag) {
		return true
	}
	pause := pauseOf(ag.tries)
	why := metrics.RetryWait
	switch word {
	case "MOVED", "ASK":
		_, address, _ := strings.Cut(rest, " ")
		if ag.to = s.pool.nodeAt(ag.node, address); ag.to >= 0 && ag.tries < 3 {
			pause = 0
		}
		why = metrics.RetryMoved
		if ag.asking = word == "ASK"; ag.asking {
			why = metrics.RetryAsk
			if ag.to < 0 || ag.tx != nil { // ASKING holds for one command only
				ag.asking, ag.to, pause = false, -1, pauseOf(ag.tries)
			}
		}
		if word == "MOVED" {
			s.pool.shared.director.nudge()
		}
	case "READONLY", "CLUSTERDOWN":
		s.pool.shared.director.nudge()
	case "UNBLOCKED":
		if !sl.private || !ag.moved && !strings.Contains(rest, "instance state changed") { // then somebody has asked for it
			return false
		}
		ag.moved = false
	default:
		if !refusals[word] {
			return false
		}
	}
	if s.retryLater(retry{tag: tag, words: bytes.Clone(message)}, sl, ag, pause, why) {
		return true
	}
	if word == "MOVED" || word == "ASK" {
		s.failNow(tag, errStillMoving)
		return true
	}
	return false
}

// refusals are the words of a node that has not carried a request out, and may yet, or knows who will.
var refusals = map[string]bool{
	"MOVED": true, "ASK": true, "TRYAGAIN": true, "CLUSTERDOWN": true, "READONLY": true, "LOADING": true, "MASTERDOWN": true,
}

// nodeAt returns the node that another node calls by an address, -1 if none is known there. An address without a host is on the
// host of the node that has said it.
func (ps *poolState) nodeAt(said int, address string) int {
	if strings.HasPrefix(address, ":") {
		host, _ := splitAddress(ps.topo.nodes[said].Address())
		address = joinAddress(host, address[1:])
	}
	for _, i := range ps.topo.order {
		if n := ps.topo.nodes[i]; n.Address() == address && n.Options().Pool == ps.topo.nodes[said].Options().Pool {
			return int(i)
		}
	}
	return -1
}

func joinAddress(host, port string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}
