package proxy

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// scripts remembers the bodies of the scripts that have passed through, by their digest, so that EVALSHA still works on a node
// that lost them (a restart, a failover) or never had them. All loops share it; it is asked only when a script is new to a
// loop, or a node says NOSCRIPT.
type scripts struct {
	mu     sync.Mutex
	bodies map[string]string
	order  []string // digests, the oldest first
	size   int
	epoch  atomic.Uint64 // grows when scripts are flushed: what lanes were told does not hold any more
	losses atomic.Uint64 // grows when a body is forgotten: what loops have seen may have to be remembered again
}

const (
	maxScripts     = 16 << 20 // bytes of bodies that are remembered
	maxSeenScripts = 8192     // hashes that a loop remembers not to hash again
)

func (sc *scripts) remember(body []byte) {
	if len(body) > maxScripts/16 {
		return
	}
	sum := sha1.Sum(body)
	digest := hex.EncodeToString(sum[:])
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if _, known := sc.bodies[digest]; known {
		return
	}
	if sc.bodies == nil {
		sc.bodies = map[string]string{}
	}
	sc.bodies[digest] = string(body)
	sc.order = append(sc.order, digest)
	sc.size += len(body)
	for sc.size > maxScripts {
		sc.losses.Add(1)
		sc.size -= len(sc.bodies[sc.order[0]])
		delete(sc.bodies, sc.order[0])
		sc.order = sc.order[1:]
	}
}

func (sc *scripts) body(digest []byte) (string, bool) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	body, ok := sc.bodies[strings.ToLower(string(digest))]
	return body, ok
}

func (sc *scripts) forget() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.bodies, sc.order, sc.size = nil, nil, 0
	sc.epoch.Add(1)
	sc.losses.Add(1)
}

// noteScript keeps what will be needed if a node does not know a script.
func (s *Session) noteScript(c *command.Command, a *resp.Args) {
	w := s.worker
	var body []byte
	switch {
	case c.Name == "script|flush":
		w.server.scripts.forget()
		return
	case c.Name == "script|load" && a.Len() == 3:
		body = a.At(2)
	case c.Name == "eval" || c.Name == "eval_ro":
		body = a.At(1)
	default:
		return
	}
	h := xxhash.Sum64(body) + w.server.scripts.losses.Load()
	if _, seen := w.seenScripts[h]; seen {
		return
	}
	if w.seenScripts == nil || len(w.seenScripts) >= maxSeenScripts {
		w.seenScripts = map[uint64]struct{}{}
	}
	w.seenScripts[h] = struct{}{}
	w.server.scripts.remember(body)
}

// tell makes sure that the node of a lane knows the script of an EVALSHA that is about to follow: the first time on each
// connection its body is sent ahead, if it has passed through here.
func (sc *scripts) tell(lane *pool.Lane, digest []byte) {
	told := lane.Scripts(sc.epoch.Load())
	if _, ok := told[string(digest)]; ok {
		return
	}
	body, ok := sc.body(digest)
	if !ok {
		return
	}
	if len(told) >= maxSeenScripts {
		clear(told)
	}
	told[string(digest)] = struct{}{}
	lane.SendAs(pool.Script, resp.AppendCommand(nil, "SCRIPT", "LOAD", body), nobody{}, 0)
}

// scriptsExist is SCRIPT EXISTS: 1 for what EVALSHA finds on every node, because they all have it, or because one has and the body can be given
// to the others.
func (s *Session) scriptsExist(c *command.Command, a *resp.Args) (taken bool) {
	var digests [][]byte
	for i := 2; i < a.Len(); i++ {
		digests = append(digests, bytes.Clone(a.At(i)))
	}
	return s.survey(c, s.requestOf(a), strict(func(replies [][]byte) []byte {
		b := resp.AppendArray(nil, len(digests))
		for i, digest := range digests {
			have := 0
			for _, r := range replies {
				if list := elements(r); i < len(list) && intOf(list[i]) == 1 {
					have++
				}
			}
			_, known := s.worker.server.scripts.body(digest)
			exists := int64(0)
			if have == len(replies) || have > 0 && known {
				exists = 1
			}
			b = resp.AppendInt(b, exists)
		}
		return b
	}))
}

// runsDigest tells the commands that name a script by its digest.
func runsDigest(c *command.Command) bool { return c.Name == "evalsha" || c.Name == "evalsha_ro" }

// tryScript sends a request whose script the node does not know, though it was told, once more, as EVAL with the body: somebody has
// flushed the node's scripts directly, or its body has passed through here since. It returns false if the body is not known here either. Redis
// answers NOSCRIPT before it runs anything, so nothing is done twice.
func (s *Session) tryScript(tag uint64, sl *slot, ag *again, message []byte) bool {
	scan := resp.RequestScanner{}
	if n, err := scan.Scan(ag.request); err != nil || n == 0 {
		return false
	}
	body, ok := s.worker.server.scripts.body(scan.Args.At(1))
	if !ok {
		return false
	}
	name := "EVAL"
	if strings.HasSuffix(strings.ToLower(string(scan.Args.At(0))), "_ro") {
		name = "EVAL_RO"
	}
	b := resp.AppendArray(s.worker.loop.Buffer(len(ag.request)+len(body)+64), scan.Args.Len())
	b = resp.AppendBulkString(resp.AppendBulkString(b, name), body)
	b = append(b, ag.request[end(&scan.Args, 1):]...)
	s.worker.loop.Release(ag.request)
	ag.request, ag.script, ag.to = b, false, ag.node
	return s.retryLater(retry{tag: tag, words: bytes.Clone(message)}, sl, ag, 0, metrics.RetryWait)
}
