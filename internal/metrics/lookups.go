package metrics

import "slices"

// Lookups counts keys and fields that clients asked for, by whether they were there.
type Lookups struct{ Hits, Misses uint64 }

// Add counts one.
func (l *Lookups) Add(hit bool) {
	if hit {
		l.Hits++
	} else {
		l.Misses++
	}
}

// AddAll counts all of o.
func (l *Lookups) AddAll(o Lookups) {
	l.Hits += o.Hits
	l.Misses += o.Misses
}

// addPrefixes adds what another loop has counted, which may not have the same prefixes yet, or no more: a reload comes to one after the other.
func (p *Pool) addPrefixes(q *Pool) {
	for i, name := range q.Prefixes {
		at := slices.Index(p.Prefixes, name)
		if at < 0 {
			at = len(p.Prefixes)
			p.Prefixes, p.PrefixLookups = append(p.Prefixes[:at:at], name), append(p.PrefixLookups, Lookups{})
		}
		p.PrefixLookups[at].AddAll(q.PrefixLookups[i])
	}
}

func (l Lookups) put(put put, labels ...string) {
	put(float64(l.Hits), append(labels, "hit")...)
	put(float64(l.Misses), append(labels, "miss")...)
}

func putPrefixes(p *Pool, put put) {
	for i, name := range p.Prefixes {
		p.PrefixLookups[i].put(put, valid(name))
	}
}
