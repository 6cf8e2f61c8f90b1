package proxy

import (
	"strings"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// administer answers the commands with which one looks after a server: what Ringway knows by itself, and what it makes of
// the nodes' answers. As local, it returns false if the command must wait.
func (s *Session) administer(c *command.Command, a *resp.Args) (taken bool) {
	container, sub, _ := strings.Cut(c.Name, "|")
	switch {
	case sub == "help":
		s.worker.scratch = command.AppendHelp(s.worker.scratch[:0], c.Parent())
		s.answer(s.worker.scratch)
	case container == "client":
		return s.client(sub, c, a)
	case container == "cluster":
		s.cluster(sub, a)
	case c.Name == "monitor":
		return s.monitor()
	case c.Name == "info":
		return s.info(c, a)
	case c.Name == "hotkeys", c.Name == "hotkeys|get":
		s.hotKeys(a)
	case c.Name == "latency|histogram":
		s.histograms(a)
	case container == "slowlog":
		s.slowlog(sub, a)
	case container == "ringway":
		return s.ringway(sub, c, a)
	case c.Name == "role":
		b := resp.AppendBulkString(resp.AppendArray(s.worker.scratch[:0], 3), "master")
		s.worker.scratch = resp.AppendArray(resp.AppendInt(b, 0), 0)
		s.answer(s.worker.scratch)
	case c.Name == "readonly", c.Name == "readwrite", c.Name == "asking":
		s.answerOK()
	case container == "acl":
		s.acl(sub, a)
	case c.Name == "replicaof", c.Name == "slaveof":
		if !equalFold(a.At(1), "no") || !equalFold(a.At(2), "one") {
			s.refuse(metrics.BadCommand, errReplicaOf)
			return true
		}
		s.answerOK() // ROLE says that it is so
	case c.Name == "debug":
		return s.debug(c, a)
	case c.Name == "config|set":
		return s.configSet(c, a)
	default:
		if merge := s.report(c, a); merge != nil {
			return s.survey(c, s.requestOf(a), merge)
		}
		s.refuse(metrics.BadCommand, notYet(c))
	}
	return true
}
