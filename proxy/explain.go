package proxy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/resp"
)

// ringway answers RINGWAY and its subcommands, with which one asks the router itself.
func (s *Session) ringway(sub string, c *command.Command, a *resp.Args) (taken bool) {
	switch sub {
	case "explain":
		s.explain(a)
	case "nodes":
		if a.Len() > 2 {
			return s.askNodes(c, a)
		}
		s.tellNodes()
	case "slowlog":
		s.tellSlow(a)
	case "ring":
		s.tellRing()
	case "config":
		text, err := s.pool.shared.cfg.Show()
		if err != nil {
			s.refuse(metrics.BadCommand, "ERR "+err.Error())
			return true
		}
		s.worker.scratch = resp.AppendVerbatim(s.worker.scratch[:0], s.resp3, "txt", text)
		s.answer(s.worker.scratch)
	default:
		s.refuse(metrics.BadCommand, "ERR RINGWAY wants a subcommand: EXPLAIN key [key ...], NODES, RING, CONFIG, SLOWLOG or HELP")
	}
	return true
}

// facts are names with values, as a client gets them: a map.
type facts []fact

type fact struct{ name, value string }

func (f *facts) add(name, value string) { *f = append(*f, fact{name, value}) }

func (f facts) append(b []byte, resp3 bool) []byte {
	b = resp.AppendMap(b, resp3, len(f))
	for _, x := range f {
		b = resp.AppendBulkString(resp.AppendBulkString(b, x.name), x.value)
	}
	return b
}

// explain is RINGWAY EXPLAIN key [key ...]: for each key, what of it is hashed, where that leads, and what is done with the key.
func (s *Session) explain(a *resp.Args) {
	var keys [][]byte
	for i := 2; i < a.Len(); i++ {
		keys = append(keys, slices.Clone(a.At(i)))
	}
	r := &heatReport{index: s.pool.shared.index}
	s.askLoops(r.loop, func() []byte {
		hot := map[string]*HotKey{}
		for _, k := range r.keys(s.pool.topo, s.pool.shared.tally, loop.Clock()) {
			hot[k.Key] = &k
		}
		b := resp.AppendArray(nil, len(keys))
		for _, key := range keys {
			f := facts{{"key", string(key)}}
			s.pool.topo.explain(&f, key)
			if k := hot[string(key)]; k != nil {
				f.add("share-of-requests", strconv.FormatFloat(k.Share, 'f', -1, 64))
				f.add("hot-key-tier", k.Tier)
				if k.Copies > 0 {
					f.add("copied-to", strconv.Itoa(k.Copies))
				}
				if k.Why != "" {
					f.add("not-kept-because", k.Why)
				}
			}
			b = f.append(b, s.resp3)
		}
		return b
	})
}

// explain says where a key is. Of a route the pool that it leads to says the rest.
func (t *topology) explain(f *facts, key []byte) {
	if t.routes != nil {
		r := t.routes.of(key)
		if r == nil {
			f.add("refused", "no route has a prefix of it")
			return
		}
		f.add("route", r.prefix)
		if r.cut > 0 {
			f.add("key-at-the-node", string(key[r.cut:]))
		}
		r.to.explain(f, key[r.cut:])
		return
	}
	f.add("distribution", t.ring.Distribution())
	if tag := t.ring.Tag(key); len(tag) != len(key) {
		f.add("hashed", string(tag))
	}
	if p, ok := t.ring.Partition(key); ok {
		f.add("slot", strconv.Itoa(p))
	}
	if t.ring.Distribution() == "random" {
		f.add("node", "any: the distribution is random")
		return
	}
	i := t.find(key)
	t.tell(f, i)
	if t.slow != nil {
		f.add("slow-start", "nodes that have returned take their keys back by and by")
	}
	if t.moving != nil {
		f.add("migration", "keys are on their way to another ring")
	}
	for _, reader := range t.readersOf(i) {
		if int(reader) != i {
			f.add("read-from", t.name(int(reader)))
		}
	}
}

// readersOf are the nodes that the keys of a node are read from.
func (t *topology) readersOf(node int) []uint16 {
	if node >= len(t.readers) {
		return nil
	}
	return t.readers[node]
}

// tell says of a node how it is.
func (t *topology) tell(f *facts, i int) {
	n := t.nodes[i]
	f.add("node", t.name(i))
	f.add("address", n.Address())
	state := "up"
	switch {
	case slices.Contains(t.ejected, uint16(i)):
		state = "ejected"
	case !n.Up():
		state = "down"
	}
	f.add("state", state)
	if why, is := n.Unfit(); is {
		f.add("why", why)
	}
}

// tellNodes is RINGWAY NODES.
func (s *Session) tellNodes() {
	index, t := s.pool.shared.index, s.pool.topo
	var shards []metrics.Pool
	s.askLoops(func(w *worker) {
		if ps := w.poolAt(index); ps != nil {
			shards = append(shards, ps.snapshot())
		}
	}, func() []byte {
		sum, l := metrics.Sum(shards), t.layout()
		var list []facts
		for i, n := range l.Nodes {
			if n.Name == "" || sum == nil || i >= len(sum.Nodes) {
				continue
			}
			var f facts
			t.tell(&f, i)
			if n.Primary != "" {
				f.add("replica-of", n.Primary)
			}
			c := &sum.Nodes[i]
			f.add("share-of-keys", percentage(n.Share))
			f.add("requests", strconv.FormatUint(c.Requests, 10))
			f.add("in-flight", strconv.Itoa(c.Depth))
			f.add("unsent-bytes", strconv.Itoa(c.Unsent))
			f.add("connections", strconv.Itoa(c.Lanes))
			f.add("connections-lost", strconv.FormatUint(c.Losses, 10))
			f.add("timeouts", strconv.FormatUint(c.Timeouts, 10))
			list = append(list, f)
		}
		b := resp.AppendArray(nil, len(list))
		for _, f := range list {
			b = f.append(b, s.resp3)
		}
		return b
	})
}

// askNodes is RINGWAY NODES with what Ringway would answer itself: the nodes' answers, put together.
func (s *Session) askNodes(c *command.Command, a *resp.Args) (taken bool) {
	var words []string
	for i := 2; i < a.Len(); i++ {
		words = append(words, string(a.At(i)))
	}
	merge := s.ofNodes(words)
	if merge == nil {
		s.refuse(metrics.BadCommand, "ERR RINGWAY NODES asks the nodes for SLOWLOG GET [count], SLOWLOG LEN, SLOWLOG RESET or LATENCY HISTOGRAM [command ...]")
		return true
	}
	s.worker.scratch = resp.AppendCommand(s.worker.scratch[:0], words...)
	return s.survey(c, s.worker.scratch, strict(merge))
}

// ofNodes says how the nodes' answers to a request become one; nil: it is none of these.
func (s *Session) ofNodes(words []string) func(replies [][]byte) []byte {
	limit := 10
	if len(words) < 2 {
		return nil
	}
	switch resp3, what := s.resp3, strings.ToLower(words[0]+" "+words[1]); {
	case what == "slowlog get" && len(words) <= 3:
		if len(words) == 3 {
			if n, err := strconv.Atoi(words[2]); err == nil {
				limit = n
			}
		}
		return func(replies [][]byte) []byte { return mergeSlowlogs(replies, limit) }
	case what == "slowlog len" && len(words) == 2:
		return func(replies [][]byte) []byte {
			n := int64(0)
			for _, r := range replies {
				n += intOf(r)
			}
			return resp.AppendInt(nil, n)
		}
	case what == "slowlog reset" && len(words) == 2:
		return func(replies [][]byte) []byte { return replies[0] }
	case what == "latency histogram":
		return func(replies [][]byte) []byte { return mergeHistograms(replies, resp3) }
	}
	return nil
}

// tellRing is RINGWAY RING.
func (s *Session) tellRing() {
	t := s.pool.topo
	var f facts
	if t.routes != nil {
		f.add("distribution", "routes")
		for _, r := range t.routes.routes {
			f.add("route "+strconv.Quote(r.prefix), strconv.Itoa(len(r.to.order))+" nodes, "+r.to.ring.Distribution())
		}
	} else {
		cfg := s.pool.shared.cfg
		f.add("distribution", t.ring.Distribution())
		f.add("hash", t.ring.Hash())
		f.add("hash-tag", cfg.HashTag)
		f.add("imbalance", strconv.FormatFloat(math.Round(t.ring.Imbalance()*1e4)/1e4, 'f', -1, 64))
		for _, n := range t.layout().Nodes {
			if n.Share > 0 {
				f.add("share of "+n.Name, percentage(n.Share))
			}
		}
	}
	s.worker.scratch = f.append(s.worker.scratch[:0], s.resp3)
	s.answer(s.worker.scratch)
}

func percentage(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) + "%" }
