package proxy

import (
	"bytes"
	"math/rand/v2"
	"slices"

	"ringway/internal/command"
	"ringway/resp"
)

// With strip_prefix the servers see keys without their prefix. Everything here works with the keys as the client has them, and requests are
// rewritten at the last moment, as they are put on a lane:
//
//	client  BLPOP user:a user:b 0      user:a x
//	              |                      ^
//	           outgoing               restorer
//	              v                      |
//	server  BLPOP a b 0                  a x
//
// What names keys in replies gets their prefix back: pops that tell the key, XREAD, KEYS, SCAN and RANDOMKEY. Names that commands take from
// elsewhere than their keys, as scripts do, are the servers' own.

// outgoing returns requests as the servers are to see them. The bytes are lent until the next call.
func (s *Session) outgoing(requests []byte) []byte {
	if !s.pool.extras.strips {
		return requests
	}
	w, r := s.worker, s.pool.topo.routes
	scan := w.takeScanner(s.pool.shared.limits)
	defer w.giveScanner(scan)
	out := w.stripped[:0]
	for rest := requests; len(rest) > 0; {
		n, err := scan.Scan(rest)
		if err != nil || n == 0 { // it was read once already
			scan.Reset()
			return requests
		}
		c, _ := command.Resolve(&scan.Args) // it was taken once, so it has a row
		out = r.appendStripped(out, c, &scan.Args, rest[:n], w)
		rest = rest[n:]
	}
	if w.stripped = out; cap(out) > 1<<20 {
		w.stripped = nil
	}
	return out
}

// appendStripped appends a request with its keys stripped.
func (r *routing) appendStripped(dst []byte, c *command.Command, a *resp.Args, request []byte, w *worker) []byte {
	keys, _ := c.Keys(w.keys[:0], a)
	w.keys = keys[:0]
	from := 0
	strip := func(i, cut int) {
		dst = append(dst, request[from:end(a, i-1)]...)
		dst = resp.AppendBulk(dst, a.At(i)[cut:])
		from = end(a, i)
	}
	if c.Name == "sort" || c.Name == "sort_ro" {
		r.stripSort(a, strip)
		return append(dst, request[from:]...)
	}
	if !slices.IsSorted(keys) {
		slices.Sort(keys)
	}
	for _, i := range keys {
		if rt := r.of(a.At(i)); rt != nil && rt.cut > 0 {
			strip(i, rt.cut)
		}
	}
	return append(dst, request[from:]...)
}

// stripSort strips the keys of SORT, and the patterns behind BY and GET as the keys that begin like them.
func (r *routing) stripSort(a *resp.Args, strip func(i, cut int)) {
	stripKey := func(i, end int) {
		if rt := r.of(a.At(i)[:end]); rt != nil && rt.cut > 0 {
			strip(i, rt.cut)
		}
	}
	stripKey(1, len(a.At(1)))
	for i := 2; i+1 < a.Len(); i++ {
		switch arg := a.At(i); {
		case equalFold(arg, "limit"):
			i += 2
		case equalFold(arg, "by"), equalFold(arg, "get"):
			i++
			if star := bytes.IndexByte(a.At(i), '*'); star >= 0 {
				stripKey(i, star)
			}
		case equalFold(arg, "store"):
			i++
			stripKey(i, len(a.At(i)))
		}
	}
}

// restorer appends a reply with the names that the client has for the keys in it.
type restorer func(dst, reply []byte) []byte

// restorerFor returns what gives the keys in the reply to a request their prefix back; nil if there are none.
func (s *Session) restorerFor(c *command.Command, a *resp.Args) restorer {
	if !s.pool.extras.strips {
		return nil
	}
	var restore func(dst, reply []byte, names map[string][]byte) []byte
	switch c.Name {
	case "blpop", "brpop", "bzpopmin", "bzpopmax", "lmpop", "blmpop", "zmpop", "bzmpop":
		restore = restorePopped
	case "xread", "xreadgroup":
		restore = restoreStreams
	default:
		return nil
	}
	names := map[string][]byte{}
	for _, k := range s.keysOf(c, a) {
		if rt := s.pool.topo.routes.of(k); rt != nil && rt.cut > 0 {
			if seen := string(k[rt.cut:]); names[seen] == nil {
				names[seen] = bytes.Clone(k)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	return func(dst, reply []byte) []byte { return restore(dst, reply, names) }
}

// restorePopped is for an array that begins with the key.
func restorePopped(dst, reply []byte, names map[string][]byte) []byte {
	n, rest, err := resp.ArrayLen(reply)
	if err != nil || n < 1 {
		return append(dst, reply...)
	}
	return append(appendRestored(resp.AppendArray(dst, n), &rest, names), rest...)
}

// restoreStreams is for what XREAD says: pairs of a key and its entries, in RESP3 a map of them.
func restoreStreams(dst, reply []byte, names map[string][]byte) []byte {
	n, rest, err := resp.ArrayLen(reply)
	if err != nil || n < 1 {
		return append(dst, reply...)
	}
	dst = append(dst, reply[:len(reply)-len(rest)]...)
	if reply[0] == '%' {
		for range n / 2 {
			dst = appendRestored(dst, &rest, names)
			dst = appendElement(dst, &rest)
		}
		return append(dst, rest...)
	}
	for range n {
		_, rest, err = resp.ArrayLen(rest)
		if err != nil {
			return append(dst, rest...)
		}
		dst = appendRestored(resp.AppendArray(dst, 2), &rest, names)
		dst = appendElement(dst, &rest)
	}
	return append(dst, rest...)
}

// appendRestored takes a key off the reply and appends it as the client calls it.
func appendRestored(dst []byte, reply *[]byte, names map[string][]byte) []byte {
	elem, rest, err := resp.Element(*reply)
	if err != nil {
		return dst
	}
	*reply = rest
	if name := names[string(text(elem))]; name != nil {
		return resp.AppendBulk(dst, name)
	}
	return append(dst, elem...)
}

func appendElement(dst []byte, reply *[]byte) []byte {
	elem, rest, err := resp.Element(*reply)
	if err != nil {
		return dst
	}
	*reply = rest
	return append(dst, elem...)
}

// restored makes a gathering of a request that goes to one node whole, so that its reply can be changed.
func restored(key, request []byte, restore restorer) *gathering {
	return &gathering{
		requests: []gatherRequest{{bytes.Clone(key), bytes.Clone(request)}},
		finish:   func(dst []byte, replies [][]byte) []byte { return restore(dst, replies[0]) },
	}
}

// restoreParts has the keys in the replies to the parts of XREAD restored before they are brought together.
func (s *Session) restoreParts(g *gathering) {
	r, finish := s.pool.topo.routes, g.finish
	var names []map[string][]byte
	for _, q := range g.requests {
		rt := r.of(q.key)
		names = append(names, map[string][]byte{string(q.key[rt.cut:]): q.key})
	}
	g.finish = func(dst []byte, replies [][]byte) []byte {
		for i := range replies {
			replies[i] = restoreStreams(nil, replies[i], names[i])
		}
		return finish(dst, replies)
	}
}

// leadTo notes which routes lead to each of so many nodes: those first whose servers have the whole keys.
func (r *routing) leadTo(nodes int) {
	r.leading = make([][]*route, nodes)
	for _, strips := range []bool{false, true} {
		for i := range r.routes {
			rt := &r.routes[i]
			if strips != (rt.cut > 0) {
				continue
			}
			for k, used := range rt.to.used {
				if used {
					r.leading[rt.nodes[k]] = append(r.leading[rt.nodes[k]], rt)
				}
			}
		}
	}
}

// nameOf returns what clients call a key of a node; false if no name leads to it, or it is a copy of a hot key. scratch is where the name may be made.
func (r *routing) nameOf(node int, key, scratch []byte) ([]byte, bool) {
	if isCopy(key) {
		return nil, false
	}
	for _, rt := range r.leading[node] {
		name := key
		if rt.cut > 0 {
			name = append(append(scratch[:0], rt.prefix...), key...)
		}
		if r.of(name) == rt {
			return name, true
		}
	}
	return nil, false
}

// appendNames appends the names of a node's keys that fit a pattern, nil for all, and says how many there are. Keys without a name are left out.
func (r *routing) appendNames(dst []byte, node int, keys []byte, count int, pattern []byte) ([]byte, int) {
	var scratch []byte
	n := 0
	for range count {
		elem, rest, err := resp.Element(keys)
		if err != nil {
			break
		}
		keys = rest
		name, ok := r.nameOf(node, text(elem), scratch)
		if ok && (pattern == nil || command.Glob(pattern, name)) {
			dst = resp.AppendBulk(dst, name)
			n++
		}
	}
	return dst, n
}

// patternAt returns the pattern for a node whose keys' names fit the client's pattern. If it can't be told it is one that fits all.
func (r *routing) patternAt(node int, pattern []byte) []byte {
	if to := r.leading[node]; len(to) == 1 && bytes.HasPrefix(pattern, []byte(to[0].prefix)) && !bytes.ContainsAny(pattern[:to[0].cut], `*?[\`) {
		return pattern[to[0].cut:]
	}
	return []byte("*")
}

// keysByName answers KEYS and RANDOMKEY of a pool that strips.
func (s *Session) keysByName(c *command.Command, a *resp.Args) bool {
	r := s.pool.topo.routes
	g := &gathering{}
	var at []int
	pattern := bytes.Clone(a.At(a.Len() - 1))
	for i := range s.pool.size() {
		node := s.pool.nth(i)
		request := resp.AppendCommand(nil, "RANDOMKEY")
		if c.Name == "keys" {
			request = resp.AppendCommand(nil, "KEYS", string(r.patternAt(node, pattern)))
		}
		g.requests = append(g.requests, gatherRequest{request: request})
		at = append(at, node)
	}
	resp3 := s.resp3
	g.finish = func(dst []byte, replies [][]byte) []byte {
		var found []byte
		total := 0
		for i, reply := range replies {
			count, rest, err := resp.ArrayLen(reply)
			if err == nil {
				var n int
				found, n = r.appendNames(found, at[i], rest, count, pattern)
				total += n
			}
		}
		return append(resp.AppendArray(dst, total), found...)
	}
	if c.Name == "randomkey" {
		g.finish = func(dst []byte, replies [][]byte) []byte {
			for _, i := range rand.Perm(len(replies)) {
				if key := text(replies[i]); replies[i][0] == '$' && replies[i][1] != '-' {
					if name, ok := r.nameOf(at[i], key, nil); ok {
						return resp.AppendBulk(dst, name)
					}
				}
			}
			return resp.AppendNull(dst, resp3)
		}
	}
	return s.gatherAt(c, g, at)
}
