package proxy

import (
	"strings"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// DEBUG: what looks at a key goes to the key's node, what the test suites of clients need to all nodes or to the first; what stops,
// reloads or breaks a server is refused. Whether any of it is allowed the nodes say themselves (enable-debug-command); mind that
// a node which allows it to local clients takes a router on its own machine for one.
//
// https://redis.io/docs/latest/commands/debug/
const errDebug = "ERR DEBUG %s could stop or break a node behind the router; connect to the node itself"

func (s *Session) debug(c *command.Command, a *resp.Args) (taken bool) {
	switch sub := strings.ToLower(string(a.At(1))); sub {
	case "object", "listpack", "quicklist", "sdslen", "htstats-key", "stringmatch-len":
		if a.Len() > 2 && sub != "stringmatch-len" {
			node := s.pool.find(a.At(2))
			if node == nowhere { // the table does not know that this is a key
				s.refuse(metrics.NoRoute, errNoRoute(a.At(2)))
				return true
			}
			return s.send(c, node, s.requestOf(a))
		}
		return s.send(c, s.pool.first(), s.requestOf(a))
	case "error", "protocol", "help", "digest-value":
		return s.send(c, s.pool.first(), s.requestOf(a))
	case "sleep", "set-active-expire", "quicklist-packed-threshold", "set-disable-deny-scripts", "jmap", "client-eviction", "pause-cron", "dict-resizing":
		return s.survey(c, s.requestOf(a), strict(func(replies [][]byte) []byte { return replies[0] }))
	default:
		s.refuse(metrics.BadCommand, strings.Replace(errDebug, "%s", strings.ToUpper(printableWord(sub)), 1))
		return true
	}
}

// printableWord is a word of a client's fit for an error reply.
func printableWord(word string) string {
	word = word[:min(len(word), 32)]
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, word)
}
