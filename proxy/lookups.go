package proxy

import (
	"slices"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/pool"
	"ringway/resp"
)

// Hits and misses, told by the replies that clients get: also by those that are kept, or are another's. A reply that is an error is neither, nor is one
// to a transaction, or to a script.

// lookupRule says what kind of reply tells that nothing was found.
type lookupRule uint8

const (
	noLookup   lookupRule = iota
	nilMisses             // nil
	nilEach               // of the elements each that is nil
	noneMisses            // empty
)

var lookups = func() []lookupRule {
	list := make([]lookupRule, command.Count())
	for name, l := range map[string]lookupRule{
		"get": nilMisses, "getex": nilMisses, "getdel": nilMisses, "hget": nilMisses, "mget": nilEach, "hmget": nilEach, "hgetall": noneMisses, "smembers": noneMisses,
	} {
		list[command.Lookup([]byte(name)).ID] = l
	}
	return list
}()

// findCounts takes over what the configuration says is to be counted. What has been counted of a prefix stays as long as it is counted.
func (ps *poolState) findCounts() {
	cfg := ps.shared.cfg
	timed := cfg.RequestPhases || ps.lanesTell()
	ps.clock.Count(cfg.RequestPhases)
	if ps.timed != timed {
		ps.timed = timed
		for _, set := range ps.sets {
			set.Time(ps.timer())
		}
	}
	if slices.Equal(ps.prefixes, cfg.HitPrefixes) {
		return
	}
	counts := make([]metrics.Lookups, len(cfg.HitPrefixes))
	for i, p := range cfg.HitPrefixes {
		if was := slices.Index(ps.prefixes, p); was >= 0 {
			counts[i] = ps.stats.PrefixLookups[was]
		}
	}
	ps.prefixes, ps.stats.Prefixes, ps.stats.PrefixLookups = cfg.HitPrefixes, cfg.HitPrefixes, counts
}

// timer is what lanes tell of time.
func (ps *poolState) timer() *pool.Clock {
	if ps.timed {
		return &ps.clock
	}
	return nil
}

// prefixOf returns the place of the prefix that a key has, counted from 1; 0: it has none.
func (ps *poolState) prefixOf(key []byte) uint8 {
	for i, p := range ps.prefixes {
		if len(key) >= len(p) && string(key[:len(p)]) == p {
			return uint8(i + 1)
		}
	}
	return 0
}

// lookedUp counts a whole reply.
func (s *Session) lookedUp(sl *slot, kind byte, b []byte) {
	if sl.command == nil || len(b) < 3 || b[0] != kind { // an attribute is before it: no server sends one with these
		return
	}
	var n metrics.Lookups
	switch lookups[sl.command.ID] {
	case noLookup:
		return
	case nilEach:
		n = lookedUpEach(b)
	case noneMisses:
		n.Add(b[1] != '-' && b[1] != '0' && kind != '_')
	default:
		n.Add(b[1] != '-' && kind != '_')
	}
	if kind == '-' || kind == '!' {
		return
	}
	s.pool.stats.Lookups.AddAll(n)
	if i := int(sl.prefix) - 1; i >= 0 && i < len(s.pool.stats.PrefixLookups) {
		s.pool.stats.PrefixLookups[i].AddAll(n)
	}
}

// lookedUpEach counts the elements of an array of strings.
func lookedUpEach(b []byte) (n metrics.Lookups) {
	if b[0] != '*' {
		return n
	}
	for at := 1 + slices.Index(b, '\n'); at > 0 && at+2 < len(b); {
		switch rest := b[at:]; {
		case rest[0] == '_':
			n.Add(false)
			at += len("_\r\n")
		case rest[0] == '$' && rest[1] == '-':
			n.Add(false)
			at += len("$-1\r\n")
		default:
			size := wholeBulk(rest)
			if size == 0 {
				return n
			}
			n.Add(true)
			at += size
		}
	}
	return n
}

// wholeBulk is bulkLen for strings of any length; 0 for what is none.
func wholeBulk(b []byte) int {
	if n := bulkLen(b); n > 0 {
		return n
	}
	elem, _, err := resp.Element(b)
	if err != nil || b[0] != '$' {
		return 0
	}
	return len(elem)
}
