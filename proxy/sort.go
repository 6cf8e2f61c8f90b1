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

// SORT with BY and GET names keys that may be on any node. The elements are asked of the node of the sorted key; if all that is to be looked
// up is there, too, that node gets the request as it came. Else the lookups are made here, and the sorting. That is not atomic.

// sorting is such a SORT under way.
type sorting struct {
	session *Session
	seq     uint32
	request []byte // as it came
	key     []byte

	by         []byte // nil if the node has sorted: by the elements themselves, or not at all
	gets       [][]byte
	desc       bool
	alpha      bool
	from, most int // LIMIT; most is -1 for all
	store      bool

	elements [][]byte
	replies  [][]byte
	size     int // of all replies
	pending  int
	failure  []byte
	then     func() // goes on when nothing is pending
}

const (
	maxLookups  = 100000
	sortAway    = 4096 // elements from which they are sorted away from the loop
	errLookups  = "ERR SORT would look up more than 100000 keys on different nodes: give them a common hash tag"
	errSortable = "ERR One or more scores can't be converted into double"
)

// sort is SORT and SORT_RO.
func (s *Session) sort(c *command.Command, scan *resp.RequestScanner, b []byte) (taken bool) {
	a := &scan.Args
	node, _, ok := s.ownerOf(c, a)
	so := &sorting{session: s, seq: s.tail, most: -1}
	if !ok || s.pool.size() == 1 || !so.parse(c, a) {
		return s.forward(c, scan, b)
	}
	if lane := s.set.Lane(node); lane.Busy() {
		return s.putOff(lane)
	}
	so.request, so.key = bytes.Clone(scan.Bytes(b)), bytes.Clone(a.At(1))
	s.open(c)
	s.inFlight++
	s.stall(metrics.StallBarrier) // what the client sends behind it must not change what is looked up
	so.ask([]gatherRequest{{so.key, so.elementsRequest(a)}}, so.look)
	return true
}

// parse reads the options. It returns false for what any one node can answer: a request without patterns, or a malformed one.
func (so *sorting) parse(c *command.Command, a *resp.Args) (lookups bool) {
	for i := 2; i < a.Len(); i++ {
		more := a.Len() - 1 - i
		switch option := strings.ToLower(string(a.At(i))); {
		case option == "asc":
			so.desc = false
		case option == "desc":
			so.desc = true
		case option == "alpha":
			so.alpha = true
		case option == "limit" && more >= 2:
			from, err1 := strconv.Atoi(string(a.At(i + 1)))
			most, err2 := strconv.Atoi(string(a.At(i + 2)))
			if err1 != nil || err2 != nil {
				return false
			}
			so.from, so.most = max(from, 0), most
			i += 2
		case option == "store" && more >= 1 && c.Name == "sort":
			so.store = true
			i++
		case option == "by" && more >= 1:
			so.by = nil
			if i++; bytes.IndexByte(a.At(i), '*') >= 0 {
				so.by = bytes.Clone(a.At(i))
			}
		case option == "get" && more >= 1:
			i++
			so.gets = append(so.gets, bytes.Clone(a.At(i)))
		default:
			return false
		}
	}
	return so.by != nil || slices.ContainsFunc(so.gets, func(p []byte) bool { return bytes.IndexByte(p, '*') >= 0 })
}

// elementsRequest asks the key's node for the elements, in their order if they are not sorted by a pattern.
func (so *sorting) elementsRequest(a *resp.Args) []byte {
	if so.by != nil {
		return resp.AppendCommand(nil, string(a.At(0)), string(a.At(1)), "BY", "nosort", "GET", "#")
	}
	args := []string{string(a.At(0)), string(a.At(1))}
	for i := 2; i < a.Len(); i++ {
		if equalFold(a.At(i), "get") || equalFold(a.At(i), "store") {
			i++
			continue
		}
		args = append(args, string(a.At(i)))
		if equalFold(a.At(i), "by") {
			i++
			args = append(args, string(a.At(i)))
		}
	}
	return resp.AppendCommand(nil, args...)
}

// look takes the elements and looks up what they are sorted by.
func (so *sorting) look() {
	so.elements = elements(so.replies[0])
	for i, e := range so.elements {
		so.elements[i] = bytes.Clone(text(e))
	}
	s, home := so.session, so.session.pool.find(so.key)
	away, lookups := false, 0
	for _, p := range append([][]byte{so.by}, so.gets...) {
		for _, e := range so.elements {
			if key, _, ok := lookedUp(p, e); ok {
				lookups++
				away = away || s.pool.find(key) != home
			}
		}
	}
	switch {
	case !away: // as on one server, whatever the size
		so.size = math.MinInt
		so.ask([]gatherRequest{{so.key, so.request}}, func() { so.answer(so.replies[0]) })
	case so.store:
		so.answer(resp.AppendError(nil, errCrossSlot))
	case lookups > maxLookups:
		so.answer(resp.AppendError(nil, errLookups))
	case so.by == nil:
		so.fetch()
	default:
		var list []gatherRequest
		for _, e := range so.elements {
			list = append(list, lookup(so.by, e))
		}
		so.ask(list, so.order)
	}
}

// lookedUp is the key, and the hash field if there is one, that a pattern names for an element. "#" and patterns without a star name none.
func lookedUp(pattern, element []byte) (key, field []byte, ok bool) {
	star := bytes.IndexByte(pattern, '*')
	if star < 0 {
		return nil, nil, false
	}
	behind := pattern[star+1:]
	if arrow := bytes.Index(behind, []byte("->")); arrow >= 0 && arrow+2 < len(behind) {
		behind, field = behind[:arrow], behind[arrow+2:]
	}
	return slices.Concat(pattern[:star], element, behind), field, true
}

func lookup(pattern, element []byte) gatherRequest {
	key, field, _ := lookedUp(pattern, element)
	if field != nil {
		return gatherRequest{key, resp.AppendCommand(nil, "HGET", string(key), string(field))}
	}
	return gatherRequest{key, resp.AppendCommand(nil, "GET", string(key))}
}

// order sorts the elements by what was looked up, many of them away from the loop.
func (so *sorting) order() {
	weights := so.replies
	if len(so.elements) < sortAway {
		so.sortBy(weights)
		so.fetch()
		return
	}
	go func() {
		so.sortBy(weights)
		so.session.worker.loop.Post(so.fetch)
	}()
}

func (so *sorting) sortBy(weights [][]byte) {
	type weighed struct {
		element, text []byte // the text is nil if there is nothing
		score         float64
	}
	var list []weighed
	for i, e := range so.elements {
		w := weighed{element: e}
		if r := weights[i]; !isNull(r) && !resp.IsError(r) {
			w.text = append([]byte{}, text(r)...)
			if !so.alpha {
				f, ok := double(w.text)
				if !ok {
					so.failure = resp.AppendError(nil, errSortable)
					return
				}
				w.score = f
			}
		}
		list = append(list, w)
	}
	slices.SortStableFunc(list, func(x, y weighed) int {
		var order int
		switch {
		case !so.alpha:
			order = cmp.Or(cmp.Compare(x.score, y.score), bytes.Compare(x.element, y.element))
		case x.text == nil || y.text == nil:
			order = cmp.Compare(len(x.text), len(y.text))
			if (x.text == nil) != (y.text == nil) && order == 0 { // nothing comes before an empty text
				order = 1
				if x.text == nil {
					order = -1
				}
			}
		default:
			order = bytes.Compare(x.text, y.text)
		}
		if so.desc {
			return -order
		}
		return order
	})
	from := min(so.from, len(list))
	list = list[from:]
	if so.most >= 0 {
		list = list[:min(so.most, len(list))]
	}
	so.elements = so.elements[:len(list)]
	for i := range list {
		so.elements[i] = list[i].element
	}
}

// double reads a number as strtod does, that all of the text must be.
func double(b []byte) (float64, bool) {
	t := strings.TrimLeft(string(b), " \t\n\v\f\r")
	if t == "" {
		return 0, len(b) == 0
	}
	f, err := strconv.ParseFloat(t, 64)
	return f, err == nil && !math.IsNaN(f) && !strings.Contains(t, "_")
}

func isNull(reply []byte) bool { return reply[0] == '_' || bytes.HasPrefix(reply, []byte("$-1")) }

// fetch looks up what GET wants, and answers.
func (so *sorting) fetch() {
	if so.failure != nil {
		so.answer(so.failure)
		return
	}
	var list []gatherRequest
	for _, e := range so.elements {
		for _, p := range so.gets {
			if _, _, ok := lookedUp(p, e); ok {
				list = append(list, lookup(p, e))
			}
		}
	}
	so.ask(list, func() {
		found := so.replies
		b := resp.AppendArray(nil, len(so.elements)*max(len(so.gets), 1))
		for _, e := range so.elements {
			if len(so.gets) == 0 {
				b = resp.AppendBulk(b, e)
			}
			for _, p := range so.gets {
				_, _, ok := lookedUp(p, e)
				switch {
				case string(p) == "#":
					b = resp.AppendBulk(b, e)
				case !ok:
					b = resp.AppendNull(b, so.session.resp3)
				default:
					if resp.IsError(found[0]) {
						b = resp.AppendNull(b, so.session.resp3)
					} else {
						b = append(b, found[0]...)
					}
					found = found[1:]
				}
			}
		}
		so.answer(b)
	})
}

// ask sends requests to the nodes of their keys, and goes on when all are answered.
func (so *sorting) ask(list []gatherRequest, then func()) {
	s := so.session
	if s.pool.topo.moving != nil {
		so.answer(resp.AppendError(nil, errMoving))
		return
	}
	so.replies, so.pending, so.then = make([][]byte, len(list)), len(list)+1, then
	s.pool.stats.FanOut(len(list))
	for i, r := range list {
		if node := s.pool.find(r.key); node != nowhere {
			s.set.Lane(node).Send(s.outgoing(r.request), so, uint64(i))
		} else {
			so.Fail(uint64(i), errNoRoute(r.key), false)
		}
	}
	so.oneDone()
}

// Reply takes the next bytes of an answer. What is of another type than a lookup needs is as good as nothing there; SORT itself says so for
// its own key.
func (so *sorting) Reply(tag uint64, _ byte, b []byte, done bool) {
	if so.size += len(b); so.size > maxGathered {
		so.failure = resp.AppendError(nil, errGathered)
	} else {
		so.replies[tag] = append(so.replies[tag], b...)
	}
	if !done {
		return
	}
	if r := so.replies[tag]; resp.IsError(r) && so.failure == nil && (so.elements == nil || !bytes.HasPrefix(r, []byte("-WRONGTYPE"))) {
		so.failure = r
	}
	so.oneDone()
}

// Fail takes the reason why a node does not answer.
func (so *sorting) Fail(tag uint64, reason string, _ bool) {
	so.replies[tag] = resp.AppendError(nil, reason)
	so.failure = so.replies[tag]
	so.oneDone()
}

func (so *sorting) oneDone() {
	if so.pending--; so.pending > 0 || so.session.conn.Closed() {
		return
	}
	if so.failure != nil {
		so.answer(so.failure)
		return
	}
	so.then()
}

func (so *sorting) answer(b []byte) {
	if !so.session.conn.Closed() {
		so.session.answerSlot(so.seq, b)
	}
}
