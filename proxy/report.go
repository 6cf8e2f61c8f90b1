package proxy

import (
	"cmp"
	"slices"
	"strconv"

	"ringway/internal/command"
	"ringway/resp"
)

// Reports of the nodes are merged into the shape that one server's report has, for client libraries take it apart. What can be
// added up is; lists become one list.

// report returns how the nodes' answers to a command become one, nil if the command is none of these.
func (s *Session) report(c *command.Command, a *resp.Args) func([]nodeAnswer) []byte {
	resp3 := s.resp3
	switch c.Name {
	case "commandlog|get":
		limit := 10
		if a.Len() > 2 {
			n, err := strconv.Atoi(string(a.At(2)))
			if err == nil {
				limit = n
			}
		}
		return strict(func(replies [][]byte) []byte { return mergeSlowlogs(replies, limit) })
	case "latency|latest":
		return strict(mergeLatest)
	case "latency|history":
		return strict(mergeHistories)
	case "memory|stats":
		return strict(func(replies [][]byte) []byte { return mergeMaps(replies, resp3) })
	case "lastsave":
		return strict(mergeSmallest)
	case "latency|graph":
		return s.mergeGraphs
	case "config|get":
		return s.mergeConfigs
	case "module|list":
		return strict(mergeModules)
	}
	return nil
}

// mergeModules lists the modules that all nodes have, in the first one's words: a command of any other works for some keys only.
func mergeModules(replies [][]byte) []byte {
	have := map[string]int{}
	for _, reply := range replies {
		for _, module := range elements(reply) {
			have[moduleName(module)]++
		}
	}
	return appendAll(nil, slices.DeleteFunc(elements(replies[0]), func(module []byte) bool {
		return have[moduleName(module)] < len(replies)
	}))
}

// moduleName finds the name in a module's pairs of names and values.
func moduleName(module []byte) string {
	pairs := elements(module)
	for i := 0; i+1 < len(pairs); i += 2 {
		if string(text(pairs[i])) == "name" {
			return string(text(pairs[i+1]))
		}
	}
	return ""
}

// mergeGraphs shows the graphs of the nodes that have seen the event.
func (s *Session) mergeGraphs(answers []nodeAnswer) []byte {
	if _, e := good(answers); e != nil {
		return e
	}
	var all []byte
	for i := range answers {
		if a := &answers[i]; a.down == "" && !resp.IsError(a.reply) {
			all = append(all, "# node "+s.pool.topo.name(a.node)+"\r\n"...)
			all = append(append(all, text(a.reply)...), "\r\n"...)
		}
	}
	return resp.AppendVerbatim(nil, s.resp3, "txt", string(all))
}

// strict makes a merge of replies one that any error, or a node that is down, spoils.
func strict(merge func([][]byte) []byte) func([]nodeAnswer) []byte {
	return func(answers []nodeAnswer) []byte {
		if e := refusal(answers, true); e != nil {
			return e
		}
		var replies [][]byte
		for i := range answers {
			replies = append(replies, answers[i].reply)
		}
		return merge(replies)
	}
}

// intOf returns the number that a reply is, 0 if it is none.
func intOf(b []byte) int64 {
	n, _ := resp.Int(b)
	return n
}

// appendAll appends an array of replies.
func appendAll(dst []byte, list [][]byte) []byte {
	dst = resp.AppendArray(dst, len(list))
	for _, e := range list {
		dst = append(dst, e...)
	}
	return dst
}

// mergeSlowlogs puts the nodes' entries in one list, the youngest first; of one second those first that have more before them at their node. An
// entry begins with its number and its time; the number is made to differ from those of the other nodes.
func mergeSlowlogs(replies [][]byte, limit int) []byte {
	type entry struct {
		at    int64
		after int // its place at its node, from the oldest on
		body  []byte
	}
	var list []entry
	for i, reply := range replies {
		all := elements(reply)
		for k, e := range all {
			fields := elements(e)
			if len(fields) < 2 {
				continue
			}
			fields[0] = resp.AppendInt(nil, intOf(fields[0])*int64(len(replies))+int64(i))
			list = append(list, entry{intOf(fields[1]), len(all) - k, appendAll(nil, fields)})
		}
	}
	slices.SortStableFunc(list, func(x, y entry) int { return cmp.Or(cmp.Compare(y.at, x.at), cmp.Compare(y.after, x.after)) })
	if limit >= 0 && len(list) > limit {
		list = list[:limit]
	}
	b := resp.AppendArray(nil, len(list))
	for _, e := range list {
		b = append(b, e.body...)
	}
	return b
}

// mergeLatest lists each event once: the latest time with what it took, the largest maximum, and what follows (newer servers
// have sums there) added up.
func mergeLatest(replies [][]byte) []byte {
	byEvent := map[string][][]byte{}
	var order []string
	for _, reply := range replies {
		for _, e := range elements(reply) {
			fields := elements(e)
			if len(fields) < 4 {
				continue
			}
			event := string(text(fields[0]))
			have := byEvent[event]
			if have == nil {
				byEvent[event] = fields
				order = append(order, event)
				continue
			}
			if intOf(fields[1]) > intOf(have[1]) {
				have[1], have[2] = fields[1], fields[2]
			}
			have[3] = resp.AppendInt(nil, max(intOf(have[3]), intOf(fields[3])))
			for i := 4; i < min(len(have), len(fields)); i++ {
				have[i] = resp.AppendInt(nil, intOf(have[i])+intOf(fields[i]))
			}
		}
	}
	b := resp.AppendArray(nil, len(order))
	for _, event := range order {
		b = appendAll(b, byEvent[event])
	}
	return b
}

// mergeHistories puts the nodes' samples in one list, in the order of time.
func mergeHistories(replies [][]byte) []byte {
	var list [][]byte
	for _, reply := range replies {
		list = append(list, elements(reply)...)
	}
	slices.SortStableFunc(list, func(x, y []byte) int { return cmp.Compare(firstInt(x), firstInt(y)) })
	return appendAll(nil, list)
}

func firstInt(array []byte) int64 {
	if list := elements(array); len(list) > 0 {
		return intOf(list[0])
	}
	return 0
}

// mergeSmallest is for LASTSAVE: all nodes' data has been saved since then.
func mergeSmallest(replies [][]byte) []byte {
	smallest := intOf(replies[0])
	for _, r := range replies[1:] {
		smallest = min(smallest, intOf(r))
	}
	return resp.AppendInt(nil, smallest)
}

// mergeHistograms adds up LATENCY HISTOGRAM by command. A bucket counts all that took no longer, so the count of a node at a bound
// that it does not have is the one at its next lower bound.
func mergeHistograms(replies [][]byte, resp3 bool) []byte {
	type histogram struct {
		calls   int64
		buckets [][][]byte // of each node: bound, count, bound, count
	}
	byCommand := map[string]*histogram{}
	var order []string
	for _, reply := range replies {
		list := elements(reply)
		for i := 0; i+1 < len(list); i += 2 {
			name := string(text(list[i]))
			h := byCommand[name]
			if h == nil {
				h = &histogram{}
				byCommand[name] = h
				order = append(order, name)
			}
			if fields := elements(list[i+1]); len(fields) == 4 {
				h.calls += intOf(fields[1])
				h.buckets = append(h.buckets, elements(fields[3]))
			}
		}
	}
	b := resp.AppendMap(nil, resp3, len(order))
	for _, name := range order {
		h := byCommand[name]
		var bounds []int64
		for _, buckets := range h.buckets {
			for i := 0; i < len(buckets); i += 2 {
				bounds = append(bounds, intOf(buckets[i]))
			}
		}
		slices.Sort(bounds)
		bounds = slices.Compact(bounds)
		b = resp.AppendMap(resp.AppendBulkString(b, name), resp3, 2)
		b = resp.AppendInt(resp.AppendBulkString(b, "calls"), h.calls)
		b = resp.AppendMap(resp.AppendBulkString(b, "histogram_usec"), resp3, len(bounds))
		for _, bound := range bounds {
			var total int64
			for _, buckets := range h.buckets {
				total += countUpTo(buckets, bound)
			}
			b = resp.AppendInt(resp.AppendInt(b, bound), total)
		}
	}
	return b
}

// countUpTo is a histogram's count at the largest of its bounds that is not above the given one.
func countUpTo(buckets [][]byte, bound int64) (count int64) {
	for i := 0; i+1 < len(buckets) && intOf(buckets[i]) <= bound; i += 2 {
		count = intOf(buckets[i+1])
	}
	return count
}

// mergeMaps merges maps of figures by name: numbers are added up, but for ratios and averages, of which the mean is taken; maps
// inside likewise; of anything else the first stays.
func mergeMaps(replies [][]byte, resp3 bool) []byte {
	byName := map[string][][]byte{}
	var order []string
	for _, reply := range replies {
		list := elements(reply)
		for i := 0; i+1 < len(list); i += 2 {
			name := string(text(list[i]))
			if byName[name] == nil {
				order = append(order, name)
			}
			byName[name] = append(byName[name], list[i+1])
		}
	}
	b := resp.AppendMap(nil, resp3, len(order))
	for _, name := range order {
		b = append(resp.AppendBulkString(b, name), mergeFigures(name, byName[name], resp3)...)
	}
	return b
}

func mergeFigures(name string, values [][]byte, resp3 bool) []byte {
	switch values[0][0] {
	case ':':
		var sum int64
		for _, v := range values {
			sum += intOf(v)
		}
		if name == "keys.bytes-per-key" {
			sum /= int64(len(values))
		}
		return resp.AppendInt(nil, sum)
	case '%', '*':
		return mergeMaps(values, resp3)
	}
	sum := 0.0
	for _, v := range values {
		f, err := strconv.ParseFloat(string(text(v)), 64)
		if err != nil {
			return values[0]
		}
		sum += f
	}
	mean := sum / float64(len(values))
	return resp.AppendDouble(nil, resp3, mean)
}
