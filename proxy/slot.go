package proxy

import (
	"math/bits"

	"ringway/internal/command"
)

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
	start      int64 // when the request was read
	buf        []byte
	split      *split           // a request in parts, nil for others
	command    *command.Command // nil for what is answered here
	again      *again           // the request, if it may have to be sent once more
	writes     *writing         // the hot keys that it may change, nil: none
	keptAt     uint32           // its place in keptRequests
	keptLen    uint32           // 0: it is not there
	keptNode   uint16
	answeredBy uint16 // see phases.go; start is then when the reply came
	at         uint32 // of the request, in what the session remembers: see recall.go
	state      slotState
	weight     uint8 // of the reply, see pool.Clock
	prefix     uint8 // of the key that is looked up, see prefixOf
	mute       bool  // CLIENT REPLY OFF or SKIP: the reply is awaited and dropped
	private    bool  // the reply comes on a private lane
	begun      bool  // part of the reply is in the client's output already
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
	sl.prefix = s.prefix
	sl.at = s.at
	return sl
}

// moreSlots moves to a larger ring: at once to one of the size that was last needed.
func (s *Session) moreSlots() {
	old := s.slots
	s.slots = s.worker.takeSlots(max(nextRing(len(old)), int(s.ring)))
	for i := s.head; i != s.tail; i++ {
		s.slots[i&uint32(len(s.slots)-1)] = old[i&uint32(len(old)-1)]
	}
	clear(old) // it will be used again
	s.worker.giveSlots(old)
}

// fewerSlots gives a big ring back once it is empty.
func (s *Session) fewerSlots() {
	if s.head == s.tail && len(s.slots) > fewSlots {
		s.ring = uint16(min(len(s.slots), largestRing))
		s.worker.giveSlots(s.slots)
		s.slots = s.few[:]
	}
}

// Rings have 4, 16, 64, 256 or 1024 slots, and double beyond. Free ones of the sizes between are kept, so many of each.
const largestRing = 1024

var keptRings = [...]int{1024, 512, 128, 8}

func nextRing(n int) int {
	if n >= largestRing {
		return 2 * n
	}
	return 4 * n
}

// ringClass is 1 for rings of 16, 2 for those of 64, and so on.
func ringClass(n int) int { return (bits.Len(uint(n)) - bits.Len(fewSlots)) / 2 }

// takeSlots lends a ring of n slots, all vacant.
func (w *worker) takeSlots(n int) []slot {
	if n <= largestRing {
		if free := &w.freeSlots[ringClass(n)-1]; len(*free) > 0 {
			last := len(*free) - 1
			r := (*free)[last]
			*free = (*free)[:last]
			return r
		}
	}
	return make([]slot, n)
}

// giveSlots takes a ring back whose slots are all vacant, unless it is the one inside the session.
func (w *worker) giveSlots(r []slot) {
	if len(r) <= fewSlots || len(r) > largestRing {
		return
	}
	class := ringClass(len(r)) - 1
	if free := &w.freeSlots[class]; len(*free) < keptRings[class] {
		*free = append(*free, r)
	}
}
