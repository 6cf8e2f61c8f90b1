package pool

import "ringway/internal/metrics"

// Clock is what the lanes of one loop and pool know of time: see metrics.Phases. In turns with few replies each of them is counted. A busy loop counts
// those of one turn in eight, for eight.
type Clock struct {
	Nodes    []*metrics.Phases // by the index of the node
	Lane     *Lane             // whose answers are being handed over; nil: none's
	Replying int               // the node whose replies are being handed over, counted from 1; 0: none's
	Weight   uint8             // for how many a reply is to be counted that is handed over now; 0: not at all

	each    uint8 // 1 while replies are counted at all
	turn    int64
	turns   uint64
	replies int   // handed over in this turn
	sample  uint8 // Weight of this turn
}

const (
	busyTurn = 64 // replies, from which on the next turn may be passed over
	sampled  = 8
)

// Count has replies counted, or not. Without it lanes know when requests were written, and no more is done about it.
func (c *Clock) Count(on bool) {
	c.each = 0
	if on {
		c.each = 1
	}
	c.Weight, c.turn = c.each, 0
}

// Follow makes room for more nodes.
func (c *Clock) Follow(nodes int) {
	for len(c.Nodes) < nodes {
		c.Nodes = append(c.Nodes, &metrics.Phases{})
	}
}

// begin is called when a node has sent something in the turn of that time.
func (c *Clock) begin(node int, turn int64) {
	if turn != c.turn {
		c.sample = c.each
		if c.replies >= busyTurn {
			if c.turns++; c.turns%sampled == 0 {
				c.sample = sampled * c.each
			} else {
				c.sample = 0
			}
		}
		c.turn, c.replies = turn, 0
	}
	c.Replying, c.Weight = node+1, c.sample
}

// done is called behind the last of so many replies.
func (c *Clock) done(replies int) {
	c.replies += replies
	c.Replying, c.Weight = 0, c.each
}

// flights knows when the requests of a lane were written. A lane is written for many requests at once, and what is remembered is one mark for each write:
//
//	requests   1 2 3 | 4 5 6 7 8 | 9 10
//	marks           3,at        8,at      the last two have not been written yet
type flights struct {
	marks []mark // marks[first:] in order
	first int
}

type mark struct {
	upTo uint64 // the number of the last request
	end  uint64 // of the lane's bytes, behind that request
	at   int64  // when the node had taken all that; 0: not yet
}

// mostMarks bounds what is remembered. Beyond it the last mark stands for later requests as well: these seem to have been at the node for longer.
const mostMarks = 512

// written notes a write: put bytes were put on the lane until now, for so many requests, and the node has not taken all of them.
func (f *flights) written(requests, put uint64, unsent int, now int64) {
	n := len(f.marks)
	if n == f.first || f.marks[n-1].upTo < requests {
		switch {
		case n-f.first >= mostMarks:
			f.marks[n-1].upTo, f.marks[n-1].end = requests, put
		case n == cap(f.marks) && f.first > n/2:
			f.marks = append(f.marks[:copy(f.marks, f.marks[f.first:])], mark{upTo: requests, end: put})
			f.first = 0
		default:
			f.marks = append(f.marks, mark{upTo: requests, end: put})
		}
	}
	taken := put - uint64(unsent)
	for i := len(f.marks) - 1; i >= f.first && f.marks[i].at == 0; i-- {
		if f.marks[i].end <= taken {
			f.marks[i].at = now
		}
	}
}

// when says when a request was written. Requests are asked for in order. If that is not known, its reply is here all the same.
func (f *flights) when(request uint64, now int64) int64 {
	for f.first < len(f.marks) && f.marks[f.first].upTo < request {
		f.first++
	}
	if f.first == len(f.marks) {
		f.forget()
		return now
	}
	if at := f.marks[f.first].at; at != 0 {
		return at
	}
	return now
}

// forget is called when the connection is lost, with all that was on it.
func (f *flights) forget() { f.marks, f.first = f.marks[:0], 0 }

func (la *Lane) time(c *Clock) {
	if la.clock = c; c != nil {
		la.phases = c.Nodes[la.Index]
	}
	la.flights.forget()
}

// Written says when the request whose answer is being handed over was written to the node; now if it was not, or nobody knows.
func (la *Lane) Written() int64 { return la.flights.when(la.answers(), la.loop.Now()) }

// answering has the clock know whose answers are handed over from now on, and returns who is to be told of the end.
func (la *Lane) answering() (before *Lane) {
	if c := la.clock; c != nil {
		before, c.Lane = c.Lane, la
	}
	return before
}

func (la *Lane) answeredAll(before *Lane) {
	if c := la.clock; c != nil {
		c.Lane = before
	}
}

// answered counts the request whose reply is here, before it leaves the queue.
func (la *Lane) answered(w *waiting, n uint64) {
	now := la.loop.Now()
	at := la.flights.when(la.answers()+1, now)
	p := la.phases
	p.Queued.Observe(at-w.since, n)
	p.AtNode.Observe(now-at, n)
}
