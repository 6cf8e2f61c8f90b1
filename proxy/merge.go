package proxy

import (
	"ringway/internal/command"
	"ringway/resp"
)

// appendMerged appends the one reply that the parts' replies make. Any error is the whole answer, the first in the order of
// the keys: a client that is told "OK" or given a nil must be able to believe it.
func (sp *split) appendMerged(dst []byte) []byte {
	if sp.failed {
		for i := range sp.parts {
			if resp.IsError(sp.parts[i].reply) {
				return append(dst, sp.parts[i].reply...)
			}
		}
	}
	switch sp.merge {
	case command.MergeArray:
		return sp.appendArray(dst)
	case command.MergeSum:
		return sp.appendSum(dst)
	default:
		return append(dst, sp.parts[0].reply...)
	}
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
		elem, rest, err := resp.Element(p.rest)
		if err != nil {
			return resp.AppendError(dst[:whole], errMergedReply)
		}
		dst = append(dst, elem...)
		p.rest = rest
	}
	return dst
}

// appendSum adds integers up.
func (sp *split) appendSum(dst []byte) []byte {
	var sum int64
	for i := range sp.parts {
		n, err := resp.Int(sp.parts[i].reply)
		if err != nil {
			return resp.AppendError(dst, errMergedReply)
		}
		sum += n
	}
	return resp.AppendInt(dst, sum)
}
