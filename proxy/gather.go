package proxy

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// Some commands that only read can be answered when their keys are on different nodes: what each key holds is fetched, and the
// answer is made here. It is not atomic: the keys are read one after the other. With all keys on one node the request is
// forwarded as ever, and the node does the work.

// gathering is a request that is answered from what several small requests bring. Each of these is a part.
type gathering struct {
	requests []gatherRequest
	// finish appends the answer. The replies are in the order of the requests, and none is an error.
	finish func(dst []byte, replies [][]byte) []byte
}

type gatherRequest struct {
	key     []byte
	request []byte
}

const (
	maxGathered  = 64 << 20  // bytes
	gatherAway   = 256 << 10 // bytes from which the answer is made away from the loop
	errGathered  = "ERR what these keys hold together is more than 64 MiB, too much to bring together from different nodes: give them a common hash tag"
	errNumKeys   = "ERR at least 1 input key is needed for '%s' command"
	errNotFloat  = "ERR weight value is not a float"
	errLimitSign = "ERR LIMIT can't be negative"
)

// gatherFor plans a command whose keys are on different nodes; nil if it can't be answered like this. The message is an error in
// the request itself.
func (s *Session) gatherFor(c *command.Command, a *resp.Args) (g *gathering, message string) {
	switch c.Name {
	case "sinter", "sunion", "sdiff":
		return gatherSets(c.Name, argsOf(a, 1, a.Len()), -1), ""
	case "sintercard":
		return gatherCard(a, false)
	case "zunion", "zinter", "zdiff":
		return s.gatherSorted(c.Name, a)
	case "zintercard":
		return gatherCard(a, true)
	case "xread":
		return s.gatherStreams(a), ""
	}
	return nil, ""
}

func argsOf(a *resp.Args, from, to int) (keys [][]byte) {
	for i := from; i < to; i++ {
		keys = append(keys, bytes.Clone(a.At(i)))
	}
	return keys
}

// gather sends the requests of g and keeps their replies until all are in.
func (s *Session) gather(c *command.Command, g *gathering) bool {
	at := make([]int, len(g.requests))
	for i, r := range g.requests {
		at[i] = s.pool.find(r.key)
	}
	return s.gatherAt(c, g, at)
}

// gatherAt does the same with the nodes for each request.
func (s *Session) gatherAt(c *command.Command, g *gathering, at []int) bool {
	sp := s.worker.takeSplit()
	sp.gather, sp.weight = g, 1
	for _, node := range at {
		if lane := s.set.Lane(node); lane.Busy() {
			sp.release(s.worker)
			return s.putOff(lane)
		}
		sp.parts = append(sp.parts, part{node: node})
	}
	seq := s.tail
	sl := s.open(c)
	sl.split, sp.topo = sp, s.pool.topo
	sp.pending = len(sp.parts)
	s.inFlight++
	s.pool.stats.FanOut(len(sp.parts))
	mv := s.pool.topo.moving
	for i := range sp.parts {
		p, r := &sp.parts[i], g.requests[i]
		if mv != nil && mv.kind >= warmWarm && mv.moves(r.key) {
			o, _ := s.newOp(mv, command.Lookup(firstArg(r.request)), tagOf(seq, i), p.node, s.worker.loop.Append(nil, r.request))
			s.ops = append(s.ops, o)
			continue
		}
		if s.pool.follows() || s.pool.keeps == keepReads && c.Flags.Has(command.ReadOnly) {
			p.again = s.keepApart(p.node, r.request)
		}
		s.set.Lane(p.node).SendAs(classes[c.ID], s.outgoing(r.request), s, tagOf(seq, i))
	}
	if len(s.ops) > 0 {
		s.pump()
	}
	return true
}

// firstArg is the name of the command in a request that was made here.
func firstArg(request []byte) []byte {
	_, rest, _ := resp.ArrayLen(request)
	elem, _, _ := resp.Element(rest)
	return text(elem)
}

// finishGather makes the answer of a gathering whose replies are all in; a large one away from the loop.
func (s *Session) finishGather(seq uint32, sl *slot) {
	sp := sl.split
	sl.split = nil
	var replies [][]byte
	size := 0
	for i := range sp.parts {
		replies = append(replies, sp.parts[i].reply)
		size += len(sp.parts[i].reply)
		sp.parts[i].reply = nil // not to be lent to anybody else
	}
	failed, lost, finish := sp.failed, sp.lost, sp.gather.finish
	sp.release(s.worker)
	s.held -= size
	if failed {
		i := slices.IndexFunc(replies, resp.IsError)
		kind := byte('-')
		if lost {
			kind = 0
		}
		s.Reply(tagOf(seq, 0), kind, replies[i], true)
		return
	}
	if size < gatherAway {
		b := finish(nil, replies)
		s.Reply(tagOf(seq, 0), b[0], b, true)
		return
	}
	w := s.worker
	go func() {
		b := finish(nil, replies)
		w.loop.Post(func() { s.Reply(tagOf(seq, 0), b[0], b, true) })
	}()
}

// elements returns the elements of an array, set or map reply.
func elements(reply []byte) (list [][]byte) {
	n, rest, err := resp.ArrayLen(reply)
	if err != nil {
		return nil
	}
	for range n {
		elem, after, err := resp.Element(rest)
		if err != nil {
			return nil
		}
		list = append(list, elem)
		rest = after
	}
	return list
}

// gatherSets answers SINTER, SUNION and SDIFF. limit is SINTERCARD's, -1 for the members themselves, 0 for all.
func gatherSets(name string, keys [][]byte, limit int) *gathering {
	g := &gathering{}
	for _, k := range keys {
		g.requests = append(g.requests, gatherRequest{k, resp.AppendCommand(nil, "SMEMBERS", string(k))})
	}
	g.finish = func(dst []byte, replies [][]byte) []byte {
		first := replies[0][0]
		var order []string
		count := map[string]int{} // in how many of the sets, one after the other
		for i, r := range replies {
			for _, e := range elements(r) {
				m := string(text(e))
				n := count[m]
				switch {
				case name == "sunion" && n == 0, i == 0:
					order = append(order, m)
					count[m] = 1
				case name == "sinter" && n == i:
					count[m] = i + 1
				case name == "sdiff" && n > 0:
					count[m] = -1
				}
			}
		}
		var members []string
		for _, m := range order {
			n := count[m]
			if name == "sunion" || name == "sdiff" && n == 1 || name == "sinter" && n == len(replies) {
				members = append(members, m)
			}
		}
		if limit >= 0 {
			return resp.AppendInt(dst, int64(limited(len(members), limit)))
		}
		dst = resp.AppendSet(dst, first == '~', len(members))
		for _, m := range members {
			dst = resp.AppendBulkString(dst, m)
		}
		return dst
	}
	return g
}

func limited(n, limit int) int {
	if limit > 0 {
		return min(n, limit)
	}
	return n
}

// gatherCard answers SINTERCARD and ZINTERCARD.
func gatherCard(a *resp.Args, sorted bool) (*gathering, string) {
	n, err := strconv.Atoi(string(a.At(1)))
	if err != nil || n < 1 || 2+n > a.Len() {
		return nil, ""
	}
	limit := 0
	for i := 2 + n; i < a.Len(); i += 2 {
		if !strings.EqualFold(string(a.At(i)), "limit") || i+1 == a.Len() {
			return nil, errSyntax
		}
		if limit, err = strconv.Atoi(string(a.At(i + 1))); err != nil || limit < 0 {
			return nil, errLimitSign
		}
	}
	keys := argsOf(a, 2, 2+n)
	if !sorted {
		return gatherSets("sinter", keys, limit), ""
	}
	g := &gathering{requests: scoreRequests(keys)}
	g.finish = func(dst []byte, replies [][]byte) []byte {
		z := combine("zinter", replies, nil, "sum")
		return resp.AppendInt(dst, int64(limited(len(z), limit)))
	}
	return g, ""
}

// scoreRequests fetches members with their scores. ZUNION of one key takes a set too, as ZUNION of several does.
func scoreRequests(keys [][]byte) (list []gatherRequest) {
	for _, k := range keys {
		list = append(list, gatherRequest{k, resp.AppendCommand(nil, "ZUNION", "1", string(k), "WITHSCORES")})
	}
	return list
}

// gatherSorted answers ZUNION, ZINTER and ZDIFF.
func (s *Session) gatherSorted(name string, a *resp.Args) (*gathering, string) {
	n, err := strconv.Atoi(string(a.At(1)))
	if err != nil || n < 1 || 2+n > a.Len() {
		return nil, ""
	}
	var weights []float64
	aggregate, withScores := "sum", false
	for i := 2 + n; i < a.Len(); i++ {
		switch option := strings.ToLower(string(a.At(i))); {
		case option == "withscores":
			withScores = true
		case option == "weights" && name != "zdiff" && i+n < a.Len():
			for k := range n {
				w, err := strconv.ParseFloat(string(a.At(i+1+k)), 64)
				if err != nil || math.IsNaN(w) {
					return nil, errNotFloat
				}
				weights = append(weights, w)
			}
			i += n
		case option == "aggregate" && name != "zdiff" && i+1 < a.Len():
			aggregate = strings.ToLower(string(a.At(i + 1)))
			if aggregate != "sum" && aggregate != "min" && aggregate != "max" {
				return nil, errSyntax
			}
			i++
		default:
			return nil, errSyntax
		}
	}
	g := &gathering{requests: scoreRequests(argsOf(a, 2, 2+n))}
	resp3 := s.resp3
	g.finish = func(dst []byte, replies [][]byte) []byte {
		return appendScored(dst, combine(name, replies, weights, aggregate), withScores, resp3)
	}
	return g, ""
}

type scored struct {
	member string
	score  float64
	in     int
}

// combine is the arithmetic of ZUNION, ZINTER and ZDIFF: sorted by score, then by member. Like Redis it begins with the smallest
// set, which decides how sums are rounded.
func combine(name string, replies [][]byte, weights []float64, aggregate string) []scored {
	all := map[string]*scored{}
	for i, at := range bySize(name, replies) {
		weight := 1.0
		if weights != nil {
			weight = weights[at]
		}
		eachScore(replies[at], func(member string, score float64) {
			score *= weight
			if math.IsNaN(score) { // as Redis: 0 * inf is 0
				score = 0
			}
			have := all[member]
			switch {
			case have == nil:
				if name == "zunion" || i == 0 {
					all[member] = &scored{member, score, 1}
				}
			case name == "zdiff":
				have.in = -1
			default:
				have.score = fold(aggregate, have.score, score)
				have.in++
			}
		})
	}
	var list []scored
	for _, z := range all {
		if name == "zunion" || name == "zdiff" && z.in == 1 || name == "zinter" && z.in == len(replies) {
			list = append(list, *z)
		}
	}
	slices.SortFunc(list, func(x, y scored) int {
		return cmp.Or(cmp.Compare(x.score, y.score), strings.Compare(x.member, y.member))
	})
	return list
}

// bySize returns the places of the replies, the smallest set first; for ZDIFF in their own order, which means something there.
func bySize(name string, replies [][]byte) (order []int) {
	sizes := make([]int, len(replies))
	for i, r := range replies {
		sizes[i], _, _ = resp.ArrayLen(r)
		order = append(order, i)
	}
	if name != "zdiff" {
		slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(sizes[x], sizes[y]) })
	}
	return order
}

func fold(aggregate string, x, y float64) float64 {
	switch aggregate {
	case "min": // not min and max, which tell 0 from -0
		if y < x {
			return y
		}
		return x
	case "max":
		if y > x {
			return y
		}
		return x
	}
	if sum := x + y; !math.IsNaN(sum) {
		return sum
	}
	return 0 // inf and -inf
}

// eachScore walks a WITHSCORES reply: flat in RESP2, pairs in RESP3.
func eachScore(reply []byte, f func(member string, score float64)) {
	list := elements(reply)
	if len(list) > 0 && list[0][0] == '*' {
		var flat [][]byte
		for _, pair := range list {
			flat = append(flat, elements(pair)...)
		}
		list = flat
	}
	for i := 0; i+1 < len(list); i += 2 {
		score, _ := strconv.ParseFloat(string(text(list[i+1])), 64)
		f(string(text(list[i])), score)
	}
}

func appendScored(dst []byte, list []scored, withScores, resp3 bool) []byte {
	n := len(list)
	if withScores && !resp3 {
		n *= 2
	}
	dst = resp.AppendArray(dst, n)
	for _, z := range list {
		if withScores && resp3 {
			dst = resp.AppendArray(dst, 2)
		}
		dst = resp.AppendBulkString(dst, z.member)
		if withScores {
			dst = resp.AppendDouble(dst, resp3, z.score)
		}
	}
	return dst
}

// gatherStreams answers XREAD of streams on several nodes: one request a stream, the answers in the order of the streams.
func (s *Session) gatherStreams(a *resp.Args) *gathering {
	at := 0
	for i := 1; i < a.Len() && at == 0; i++ {
		if strings.EqualFold(string(a.At(i)), "streams") {
			at = i
		}
	}
	n := (a.Len() - 1 - at) / 2
	if at == 0 || n < 1 || (a.Len()-1-at)%2 != 0 {
		return nil
	}
	g := &gathering{}
	for k := range n {
		b := resp.AppendArray(nil, at+3)
		for i := range at + 1 {
			b = resp.AppendBulk(b, a.At(i))
		}
		key := bytes.Clone(a.At(at + 1 + k))
		b = resp.AppendBulk(resp.AppendBulk(b, key), a.At(at+1+n+k))
		g.requests = append(g.requests, gatherRequest{key, b})
	}
	resp3, each := s.resp3, 1 // what there is of one stream: a pair in an array, or in a map
	if resp3 {
		each = 2
	}
	g.finish = func(dst []byte, replies [][]byte) []byte {
		var found []byte
		total := 0
		for _, r := range replies {
			n, rest, err := resp.ArrayLen(r)
			if err != nil || n > 0 && n != each {
				return resp.AppendError(dst, errMergedReply)
			}
			if n > 0 {
				found = append(found, rest...)
				total++
			}
		}
		switch {
		case total == 0:
			return resp.AppendNullArray(dst, resp3)
		case resp3:
			dst = resp.AppendMap(dst, true, total)
		default:
			dst = resp.AppendArray(dst, total)
		}
		return append(dst, found...)
	}
	return g
}

// crossSlot answers a request whose keys are on different nodes: by gathering if that can be done, else with CROSSSLOT.
func (s *Session) crossSlot(c *command.Command, a *resp.Args) bool {
	g, message := s.gatherFor(c, a)
	switch {
	case message != "":
		s.refuse(metrics.BadCommand, message)
	case g == nil:
		s.refuse(metrics.CrossSlot, errCrossSlot)
	default:
		if s.pool.extras.strips && c.Name == "xread" {
			s.restoreParts(g)
		}
		return s.gather(c, g)
	}
	return true
}
