package proxy

import "ringway/internal/command"

// A session's slots are the places of its replies, in the order of its requests. Only the head may be sent: what
// comes in for the others is kept until the head has gone.
//
//	     head                      tail
//	      |                         |
//	[ ]  [1: waiting] [2: done] [3: waiting]  [ ] [ ]
//	      |              |
//	      |              +-- its bytes are kept in the slot
//	      +-- its bytes go straight to the client's output
type slot struct {
	start   int64 // when the request was read
	buf     []byte
	split   *split           // a request in parts, nil for others
	command *command.Command // nil for what is answered here
	again   *again           // an EVALSHA that may have to be sent once more
	state   slotState
	mute    bool // CLIENT REPLY OFF or SKIP: the reply is awaited and dropped
	private bool // the reply comes on a private lane
	begun   bool // part of the reply is in the client's output already
}

type slotState uint8

const (
	vacant slotState = iota
	awaited
	answered
)

const fewSlots = 4 // kept inside the session, enough for clients that wait for each reply

func (s *Session) slot(seq uint32) *slot { return &s.slots[seq&uint32(len(s.slots)-1)] }

// open takes the next slot.
func (s *Session) open(c *command.Command) *slot {
	if int(s.tail-s.head) == len(s.slots) {
		s.moreSlots()
	}
	sl := s.slot(s.tail)
	s.tail++
	sl.start = s.worker.loop.Now()
	sl.command = c
	sl.state = awaited
	sl.mute = s.muted()
	return sl
}

func (s *Session) moreSlots() {
	old := s.slots
	s.slots = s.worker.takeSlots(2 * len(old))
	for i := s.head; i != s.tail; i++ {
		s.slots[i&uint32(len(s.slots)-1)] = old[i&uint32(len(old)-1)]
	}
	clear(old) // the few inside the session will be used again
	s.worker.giveSlots(old)
}

// fewerSlots gives a big ring back once it is empty.
func (s *Session) fewerSlots() {
	if s.head == s.tail && len(s.slots) > fewSlots {
		s.worker.giveSlots(s.slots)
		s.slots = s.few[:]
	}
}

// takeSlots lends a ring of n slots, all vacant.
func (w *worker) takeSlots(n int) []slot {
	for i, r := range w.freeSlots {
		if len(r) == n {
			last := len(w.freeSlots) - 1
			w.freeSlots[i] = w.freeSlots[last]
			w.freeSlots = w.freeSlots[:last]
			return r
		}
	}
	return make([]slot, n)
}

// giveSlots takes a ring back, unless it is the one inside the session. Only so many are kept.
func (w *worker) giveSlots(r []slot) {
	if len(r) > fewSlots {
		clear(r)
		if len(w.freeSlots) < 64 && len(r) <= 1024 {
			w.freeSlots = append(w.freeSlots, r)
		}
	}
}
