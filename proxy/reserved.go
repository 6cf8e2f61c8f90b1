package proxy

import (
	"bytes"
	"math/rand/v2"

	"ringway/internal/command"
	"ringway/resp"
)

// Keys that begin with reservedPrefix are Ringway's own: the registry on each node, the markers of moves, copies of hot keys. In pools with warm scaling,
// and in the database of copies, they are left out of what clients are shown of the keyspace.

func isReserved(elem []byte) bool { return bytes.HasPrefix(text(elem), []byte(reservedPrefix)) }

// withoutReserved leaves reserved keys out of a list of elements.
func withoutReserved(list [][]byte) [][]byte {
	kept := list[:0]
	for _, e := range list {
		if !isReserved(e) {
			kept = append(kept, e)
		}
	}
	return kept
}

// hides reports whether the nodes may have reserved keys in the session's database.
func (s *Session) hides() bool { return s.pool.warm || s.amongCopies }

// keysWithoutReserved is KEYS, DBSIZE or RANDOMKEY. dealt is false for other commands.
func (s *Session) keysWithoutReserved(c *command.Command, request []byte) (dealt, taken bool) {
	switch c.Name {
	case "keys":
		return true, s.survey(c, request, strict(func(replies [][]byte) []byte {
			var list [][]byte
			for _, r := range replies {
				list = append(list, withoutReserved(elements(r))...)
			}
			return appendAll(nil, list)
		}))
	case "dbsize":
		own := int64(0)
		if s.pool.warm && s.db == 0 {
			own = 1 // the registry of each
		}
		return true, s.survey(c, request, strict(func(replies [][]byte) []byte {
			sum := int64(0)
			for _, r := range replies {
				sum += max(intOf(r)-own, 0)
			}
			return resp.AppendInt(nil, sum)
		}))
	case "randomkey":
		rk := &randomKey{s: s, seq: s.tail, c: c, request: bytes.Clone(request), left: 32}
		s.open(c)
		s.inFlight++
		rk.ask()
		return true, true
	}
	return false, true
}

// randomKey is a RANDOMKEY under way. A node that names a reserved key is as good as one that has none; if all do, they are asked again.
type randomKey struct {
	s       *Session
	seq     uint32
	c       *command.Command
	request []byte
	left    int
	pending int
	found   [][]byte
	again   bool
	failure []byte
	replies [][]byte
}

func (rk *randomKey) ask() {
	n := rk.s.pool.size()
	rk.left--
	rk.pending, rk.again, rk.replies = n, false, make([][]byte, n)
	for i := range n {
		rk.s.set.Lane(rk.s.pool.nth(i)).Send(rk.request, rk, uint64(i))
	}
}

func (rk *randomKey) Reply(tag uint64, kind byte, b []byte, done bool) {
	rk.replies[tag] = append(rk.replies[tag], b...)
	if !done {
		return
	}
	switch r := rk.replies[tag]; {
	case kind == '-':
		rk.failure = r
	case isNull(r):
	case isReserved(r):
		rk.again = true
	default:
		rk.found = append(rk.found, r)
	}
	rk.oneDone()
}

func (rk *randomKey) Fail(_ uint64, reason string, _ bool) {
	rk.failure = resp.AppendError(nil, reason)
	rk.oneDone()
}

func (rk *randomKey) oneDone() {
	if rk.pending--; rk.pending > 0 || rk.s.conn.Closed() {
		return
	}
	switch {
	case len(rk.found) > 0:
		rk.s.answerSlot(rk.seq, rk.found[rand.IntN(len(rk.found))])
	case rk.again && rk.left > 0:
		rk.ask()
	case rk.failure != nil && !rk.again:
		rk.s.answerSlot(rk.seq, rk.failure)
	default:
		rk.s.answerSlot(rk.seq, resp.AppendNull(nil, rk.s.resp3))
	}
}
