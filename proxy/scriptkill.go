package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/pool"
	"ringway/resp"
)

// SCRIPT KILL and FUNCTION KILL: the lanes that all share are held up by the very script that is to be killed, so every node gets a
// connection of its own for it.

// killScripts asks all nodes to end the script that runs there.
func (s *Session) killScripts(c *command.Command, request []byte) bool {
	n := s.pool.size()
	sv := &survey{session: s, seq: s.tail, answers: make([]nodeAnswer, n), pending: n, merge: mergeKills}
	set := s.pool.set(pool.Key{})
	s.open(c)
	s.inFlight++
	for i := range n {
		node := s.pool.nth(i)
		sv.answers[i].node = node
		sendAlone(set, node, request, sv, uint64(i))
	}
	return true
}

// mergeKills is a success if a node has ended a script; otherwise why one could not, and only then that nothing runs.
func mergeKills(answers []nodeAnswer) (best []byte) {
	for i := range answers {
		a := &answers[i]
		if a.down != "" {
			a.reply = resp.AppendError(nil, a.down)
		}
		if !resp.IsError(a.reply) {
			return a.reply
		}
		if best == nil || bytes.HasPrefix(best, []byte("-NOTBUSY")) {
			best = a.reply
		}
	}
	return best
}
