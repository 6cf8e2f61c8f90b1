package pool

import "math"

// Owner is who waits for a reply. The tag is the owner's own, to know its requests by.
type Owner interface {
	// Reply hands over the next bytes of the reply: all of it in most cases. b is lent for the call. kind is the reply's
	// first byte, after attributes. done says that the reply ends with b.
	Reply(tag uint64, kind byte, b []byte, done bool)
	// Fail says that there will be no reply, or no more of it. reason is an error message for a Redis client. sent says that the
	// request may have reached the node: then it may have been carried out.
	Fail(tag uint64, reason string, sent bool)
}

// Waiter is told when a lane that was full has room again.
type Waiter interface{ LaneHasRoom() }

// Class says which of a pool's timeouts a request has.
type Class uint8

const (
	Other Class = iota // neither of these
	Read
	Write
	Script
	Classes
)

type waiting struct {
	owner Owner
	tag   uint64
	since int64 // when it was put on the lane; its class is in the last two bits, for nobody's patience is that exact
}

func (w *waiting) class() Class { return Class(w.since & (1<<classBits - 1)) }

const classBits = 2

// queue is a ring of who is waiting, in the order of the requests.
type queue struct {
	ring       []waiting // a power of two
	sizes      []uint32  // of the requests, in the same places; nil unless there is a bound on their bytes
	bytes      int       // their sum
	head, tail uint32    // count without end; masked when used
}

func (q *queue) len() int { return int(q.tail - q.head) }

func (q *queue) push(w waiting) {
	if int(q.tail-q.head) == len(q.ring) {
		q.resize(max(64, 2*len(q.ring)))
	}
	q.ring[q.tail&uint32(len(q.ring)-1)] = w
	q.tail++
}

// weigh notes the size of the request that was queued last.
func (q *queue) weigh(size int) {
	if len(q.sizes) != len(q.ring) {
		q.sizes = make([]uint32, len(q.ring)) // from now on
	}
	size = min(size, math.MaxUint32)
	q.sizes[(q.tail-1)&uint32(len(q.sizes)-1)] = uint32(size)
	q.bytes += size
}

// unweigh forgets the size of the first, before it is popped.
func (q *queue) unweigh() {
	at := &q.sizes[q.head&uint32(len(q.sizes)-1)]
	q.bytes -= int(*at)
	*at = 0
}

func (q *queue) first() *waiting { return &q.ring[q.head&uint32(len(q.ring)-1)] }

func (q *queue) pop() {
	q.ring[q.head&uint32(len(q.ring)-1)] = waiting{}
	q.head++
	if q.head == q.tail && len(q.ring) > 4096 {
		q.ring, q.sizes = nil, nil // a rush is over: give its memory back
	}
}

func (q *queue) resize(n int) {
	ring := make([]waiting, n)
	count := uint32(q.len())
	for i := range count {
		ring[i] = q.ring[(q.head+i)&uint32(len(q.ring)-1)]
	}
	if q.sizes != nil {
		sizes := make([]uint32, n)
		for i := range count {
			sizes[i] = q.sizes[(q.head+i)&uint32(len(q.sizes)-1)]
		}
		q.sizes = sizes
	}
	q.ring, q.head, q.tail = ring, 0, count
}
