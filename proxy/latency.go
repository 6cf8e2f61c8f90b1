package proxy

import (
	"bytes"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// histograms is LATENCY HISTOGRAM [command ...]: how long the requests of each command took, from being read to their whole reply, since the last CONFIG
// RESETSTAT. The shape is Redis': a bound in microseconds, and how many took no longer, for each doubling in which there are some.
func (s *Session) histograms(a *resp.Args) {
	var wanted []*command.Command
	for i := 2; i < a.Len(); i++ {
		wanted = append(wanted, withSubcommands(a.At(i))...)
	}
	if a.Len() == 2 {
		wanted = command.All()
	}
	index := s.pool.shared.index
	sums := make([]*metrics.Histogram, command.Count())
	s.askLoops(func(w *worker) {
		if ps := w.poolAt(index); ps != nil {
			metrics.AddHistograms(sums, ps.stats.Commands)
		}
	}, func() []byte {
		if before := s.pool.shared.forgotten.Load(); before != nil {
			for id, h := range before.latencies {
				if h != nil && sums[id] != nil {
					*sums[id] = sums[id].Since(h)
				}
			}
		}
		n := 0
		var list []byte
		for _, c := range wanted {
			if h := sums[c.ID]; h != nil && h.Count() > 0 {
				list = appendHistogram(resp.AppendBulkString(list, c.Name), h, s.resp3)
				sums[c.ID] = nil // once
				n++
			}
		}
		return append(resp.AppendMap(nil, s.resp3, n), list...)
	})
}

// withSubcommands finds a command by its name, as config or config|get, with its subcommands.
func withSubcommands(name []byte) []*command.Command {
	name, sub, is := bytes.Cut(name, []byte("|"))
	c := command.Lookup(name)
	switch {
	case c == nil:
		return nil
	case is:
		if c = c.Sub(sub); c == nil {
			return nil
		}
		return []*command.Command{c}
	}
	return append([]*command.Command{c}, c.Subcommands()...)
}

func appendHistogram(b []byte, h *metrics.Histogram, resp3 bool) []byte {
	n := 0
	var buckets []byte
	h.Doublings(func(bound, count uint64) {
		buckets = resp.AppendInt(resp.AppendInt(buckets, int64(bound/1000)), int64(count))
		n++
	})
	b = resp.AppendMap(b, resp3, 2)
	b = resp.AppendInt(resp.AppendBulkString(b, "calls"), int64(h.Count()))
	b = resp.AppendMap(resp.AppendBulkString(b, "histogram_usec"), resp3, n)
	return append(b, buckets...)
}
