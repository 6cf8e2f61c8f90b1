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
		k := &scriptKill{sv, set.NewLane(node)}
		k.lane.Send(request, k, uint64(i))
	}
	return true
}

// scriptKill is the part of one node.
type scriptKill struct {
	survey *survey
	lane   *pool.Lane
}

// Reply takes the next bytes of the node's answer.
func (k *scriptKill) Reply(tag uint64, kind byte, b []byte, done bool) {
	k.survey.Reply(tag, kind, b, done)
	if done {
		k.close()
	}
}

// Fail takes the reason why the node does not answer.
func (k *scriptKill) Fail(tag uint64, reason string, sent bool) {
	k.survey.Fail(tag, reason, sent)
	k.close()
}

// close gives the lane up when it has returned from handing the answer over.
func (k *scriptKill) close() { k.survey.session.worker.loop.Defer(k.lane.Close) }

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
