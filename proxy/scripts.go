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

// runsDigest tells the commands that name a script by its digest.
func runsDigest(c *command.Command) bool { return c.Name == "evalsha" || c.Name == "evalsha_ro" }

// again is a request that is kept until it is answered.
type again struct {
	request []byte // lent by the loop
	node    int
}

// keepRequest keeps a copy of EVALSHA in its slot until it is answered.
func (s *Session) keepRequest(sl *slot, node int, request []byte) {
	sl.again = &again{s.worker.loop.Append(nil, request), node}
}

// tryAgain sends a request whose script the node does not know, though it was told, once more, as EVAL with the body: somebody has
// flushed the node's scripts directly. It returns false if the body is not known here either. Redis answers NOSCRIPT before it
// runs anything, so nothing is done twice; but what the client had sent after it on the same lane has been done before.
func (s *Session) tryAgain(sl *slot, tag uint64, reply []byte) bool {
	request, node := sl.again.request, sl.again.node
	defer s.worker.loop.Release(request)
	sl.again = nil
	if !bytes.HasPrefix(reply, []byte("-NOSCRIPT")) {
		return false
	}
	scan := resp.RequestScanner{}
	if n, err := scan.Scan(request); err != nil || n == 0 {
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
	b := resp.AppendArray(nil, scan.Args.Len())
	b = resp.AppendBulkString(resp.AppendBulkString(b, name), body)
	b = append(b, request[end(&scan.Args, 1):]...)
	set := s.set
	s.worker.loop.Defer(func() { // the lane is in the middle of handing the reply over
		if !s.conn.Closed() {
			set.Lane(node).SendAs(pool.Script, b, s, tag)
		}
	})
	return true
}
