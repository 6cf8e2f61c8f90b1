package proxy

import (
	"bytes"
	"math/rand/v2"

	"ringway/internal/command"
	"ringway/resp"
)

// appendMerged appends the one reply that the parts' replies make. Any error is the whole answer, the first in the order of
// the keys or nodes: a client that is told "OK" or given a nil must be able to believe it.
func (sp *split) appendMerged(dst []byte) []byte {
	if sp.failed && sp.merge != command.MergeAny {
		return append(dst, sp.firstError()...)
	}
	switch sp.merge {
	case command.MergeArray:
		return sp.appendArray(dst)
	case command.MergeSum:
		return sp.appendFold(dst, func(x, y int64) int64 { return x + y })
	case command.MergeMost:
		return sp.appendFold(dst, func(x, y int64) int64 { return max(x, y) })
	case mergeLeast:
		return sp.appendFold(dst, func(x, y int64) int64 { return min(x, y) })
	case command.MergeMin, mergeLeastEach:
		return sp.appendEach(dst, func(_ int, x, y int64) int64 { return min(x, y) })
	case command.MergeConcat:
		return sp.appendConcat(dst)
	case command.MergeUnion:
		return sp.appendUnion(dst)
	case command.MergeAny:
		return sp.appendAny(dst)
	case command.MergeText:
		return sp.appendText(dst)
	default:
		return append(dst, sp.parts[0].reply...)
	}
}

func (sp *split) firstError() []byte {
	for i := range sp.parts {
		if resp.IsError(sp.parts[i].reply) {
			return sp.parts[i].reply
		}
	}
	return nil
}

// appendArray puts each element at its key's place.
func (sp *split) appendArray(dst []byte) []byte {
	whole := len(dst)
	for i := range sp.parts {
		p := &sp.parts[i]
		n, rest, err := resp.ArrayLen(p.reply)
		if err != nil || n != p.count {
			return resp.AppendError(dst, errMergedReply)
		}
		p.rest = rest
	}
	dst = resp.AppendArray(dst, len(sp.owners))
	for _, o := range sp.owners {
		p := &sp.parts[o]
		if n := bulkLen(p.rest); n > 0 {
			dst = append(dst, p.rest[:n]...)
			p.rest = p.rest[n:]
			continue
		}
		elem, rest, err := resp.Element(p.rest)
		if err != nil {
			return resp.AppendError(dst[:whole], errMergedReply)
		}
		dst = append(dst, elem...)
		p.rest = rest
	}
	return dst
}

// bulkLen returns the length of a short bulk string at the beginning of b, 0 if something else is there: the one element that MGET
// has a hundred of.
func bulkLen(b []byte) int {
	if len(b) < 5 || b[0] != '$' {
		return 0
	}
	size := int(b[1]) - '0'
	if uint(size) > 9 {
		return 0
	}
	for i := 2; i < min(len(b)-1, 7) && uint(size) < 1e6; i++ {
		if b[i] == '\r' {
			if n := i + 2 + size + 2; n <= len(b) {
				return n
			}
			return 0
		}
		digit := int(b[i]) - '0'
		if uint(digit) > 9 {
			return 0
		}
		size = size*10 + digit
	}
	return 0
}

// appendFold makes one integer of all.
func (sp *split) appendFold(dst []byte, fold func(x, y int64) int64) []byte {
	var sum int64
	for i := range sp.parts {
		n, err := resp.Int(sp.parts[i].reply)
		if err != nil {
			return resp.AppendError(dst, errMergedReply)
		}
		if i == 0 {
			sum = n
		} else {
			sum = fold(sum, n)
		}
	}
	return resp.AppendInt(dst, sum)
}

// appendEach walks arrays of the same length side by side: integers are folded, everything else is the same at all nodes.
func (sp *split) appendEach(dst []byte, fold func(i int, x, y int64) int64) []byte {
	whole, length := len(dst), 0
	for i := range sp.parts {
		n, rest, err := resp.ArrayLen(sp.parts[i].reply)
		if err != nil || i > 0 && n != length {
			return resp.AppendError(dst, errMergedReply)
		}
		sp.parts[i].rest, length = rest, n
	}
	dst = resp.AppendArray(dst, length)
	for e := range length {
		var sum int64
		for i := range sp.parts {
			elem, rest, err := resp.Element(sp.parts[i].rest)
			if err != nil {
				return resp.AppendError(dst[:whole], errMergedReply)
			}
			sp.parts[i].rest = rest
			n, err := resp.Int(elem)
			switch {
			case err != nil && i == 0:
				dst = append(dst, elem...)
			case err == nil && i == 0:
				sum = n
			case err == nil:
				sum = fold(e, sum, n)
			}
			if err == nil && i == len(sp.parts)-1 {
				dst = resp.AppendInt(dst, sum)
			}
		}
	}
	return dst
}

// appendConcat puts arrays, sets or maps one behind the other.
func (sp *split) appendConcat(dst []byte) []byte {
	total := 0
	for i := range sp.parts {
		n, rest, err := resp.ArrayLen(sp.parts[i].reply)
		if err != nil {
			return resp.AppendError(dst, errMergedReply)
		}
		sp.parts[i].rest = rest
		total += max(n, 0)
	}
	switch sp.parts[0].reply[0] {
	case '%':
		if total%2 != 0 {
			return resp.AppendError(dst, errMergedReply)
		}
		dst = resp.AppendMap(dst, true, total/2)
	case '~':
		dst = resp.AppendSet(dst, true, total)
	default:
		dst = resp.AppendArray(dst, total)
	}
	for i := range sp.parts {
		dst = append(dst, sp.parts[i].rest...)
	}
	return dst
}

// appendUnion puts arrays one behind the other, without what was there already.
func (sp *split) appendUnion(dst []byte) []byte {
	seen := map[string]bool{}
	var list [][]byte
	for i := range sp.parts {
		for _, e := range elements(sp.parts[i].reply) {
			if !seen[string(e)] {
				seen[string(e)] = true
				list = append(list, e)
			}
		}
	}
	return append(dst, appendAll(nil, list)...)
}

// appendAny picks a success at random, or an answer that is not nil; the first error if there is no success.
func (sp *split) appendAny(dst []byte) []byte {
	best := -1
	from := rand.IntN(len(sp.parts))
	for k := range sp.parts {
		i := (from + k) % len(sp.parts)
		r := sp.parts[i].reply
		switch {
		case resp.IsError(r):
		case r[0] == '_' || bytes.HasPrefix(r, []byte("$-1")):
			if best < 0 {
				best = i
			}
		default:
			return append(dst, r...)
		}
	}
	if best < 0 {
		return append(dst, sp.firstError()...)
	}
	return append(dst, sp.parts[best].reply...)
}

// appendText puts texts one below the other, each under its node's name.
func (sp *split) appendText(dst []byte) []byte {
	var all []byte
	for i := range sp.parts {
		all = append(all, "# node "+sp.name(i)+"\r\n"...)
		all = append(all, text(sp.parts[i].reply)...)
		all = append(all, "\r\n"...)
	}
	return resp.AppendVerbatim(dst, sp.resp3, "txt", string(all))
}

func (sp *split) name(i int) string { return sp.topo.name(sp.parts[i].node) }

// text returns what a simple, bulk or verbatim string says.
func text(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	end := bytes.IndexByte(b, '\n')
	body := b[1:max(1, end-1)]
	switch b[0] {
	case '$', '=':
		body = b[end+1 : max(end+1, len(b)-2)]
		if b[0] == '=' && len(body) >= 4 {
			body = body[4:]
		}
	}
	return body
}
