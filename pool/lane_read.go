package pool

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
)

// Readable reads replies and hands each to the head of the queue.
func (la *Lane) Readable() {
	b := la.loop.ReadBuffer()
	n, err := la.conn.Read(b)
	if err != nil {
		if la.state == ready && la.waiting.len() == 0 && la.listener == nil && (la.praised || la.requests == la.unused) { // a node closes what it thinks is idle: no harm done
			la.conn.Close()
			la.scan.Reset()
			la.stats.Losses++
			la.scripts = nil
			la.state = idle
		} else if err == io.EOF && len(la.torn) > 0 {
			la.lose(refusal + trimLine(la.torn))
		} else if err == io.EOF {
			la.lose("closed the connection" + la.suspicion())
		} else if err == syscall.ECONNRESET {
			la.lose("lost the connection: " + err.Error() + la.suspicion())
		} else {
			la.lose("lost the connection: " + err.Error())
		}
		return
	}
	if n > 0 {
		la.before, la.lastRead = la.lastRead, la.loop.Now()
		if la.opt.Valid != nil && la.waiting.len() > 0 && !la.opt.Valid() {
			la.GiveUp("was not believed: this router had lost touch with the others of the pool")
		} else {
			la.Data(b[:n])
		}
	}
	if la.leaving != nil {
		la.leaveWhenDone()
	}
}

// Data takes bytes that came from the node.
func (la *Lane) Data(b []byte) {
	replies, weight := false, uint64(0)
	if c := la.clock; c != nil {
		c.begin(la.Index, la.loop.Now())
		if !la.Patient {
			weight = uint64(c.Weight)
		}
		first, before := la.answers(), la.answering()
		defer func() {
			c.done(int(la.answers() - first))
			c.Lane = before
		}()
	}
	for len(b) > 0 && !la.conn.Closed() {
		n, done, err := la.scan.Scan(b)
		if err != nil {
			la.stats.Garbage++
			la.lose("sent something that is not RESP: " + err.Error())
			return
		}
		kind := la.scan.Kind()
		if (!done || la.size > 0) && !la.goesOn(kind, n, done) {
			return
		}
		switch {
		case kind == '>' && la.listener == nil: // out of band: no request waits for it
			if done {
				la.stats.Pushes++
			}
			if !replies && n == len(b) {
				la.lastRead = la.before // a node that only pushes is silent for those who wait
			}
			b = b[n:]
			continue
		case la.listener != nil && la.greets == 0:
			la.push(b[:n], done)
		case la.greets > 0:
			if !la.greeted(kind, b[:n], done) {
				return
			}
		case la.waiting.len() == 0:
			if !la.unasked(kind, b[:n], done) {
				return
			}
		default:
			w := *la.waiting.first()
			if done {
				if weight > 0 {
					la.answered(&w, weight)
				}
				if la.waiting.sizes != nil {
					la.waiting.unweigh()
				}
				la.waiting.pop()
				if kind != '-' {
					la.praise()
				} else if !la.praised {
					la.torn = append(la.torn[:0], b[:n]...) // perhaps its parting words
				}
			}
			w.owner.Reply(w.tag, kind, b[:n], done)
		}
		replies = true
		b = b[n:]
	}
}

// maxGreeting bounds a reply of the handshake. That of HELLO is the longest.
const maxGreeting = 64 << 10

// goesOn does the books of a reply that comes in pieces. It returns false if the lane is lost over it.
func (la *Lane) goesOn(kind byte, n int, done bool) bool {
	if kind == '>' && la.nameless && la.size > 0 && la.listener == nil { // the pieces before have gone to somebody as part of a reply
		la.stats.Garbage++
		la.lose("sent an attribute of a push where a reply was due")
		return false
	}
	limit := la.opt.ReplyLimit
	if la.greets > 0 {
		limit = maxGreeting
	}
	if la.size += n; limit > 0 && la.size > limit {
		la.stats.Garbage++
		la.lose(fmt.Sprintf("sent a reply of over %d bytes", limit))
		return false
	}
	if la.nameless = kind == 0; done {
		la.size = 0
	}
	return true
}

// greeted takes a reply of the handshake. It returns false if the lane is lost over it.
func (la *Lane) greeted(kind byte, b []byte, done bool) bool {
	if kind == '-' {
		la.torn = append(la.torn, b...)
	}
	if !done {
		return true
	}
	if kind == '-' && !la.onlyBusy() {
		la.refused(refusal + trimLine(la.torn))
		return false
	}
	la.greets--
	if la.greets == 0 {
		la.praise()
		la.begin()
	}
	return true
}

// suspicion is why a node may have closed a connection that had just been made.
func (la *Lane) suspicion() string {
	if why := la.conn.TLS().Suspect(); why != "" && !la.praised {
		return " (" + why + ")"
	}
	return ""
}

// refusal is what a node's own words are told behind.
const refusal = "refused the connection: "

// onlyBusy tells of a node that runs a script for too long and answers everything with that, the PING of the handshake too: it is alive, and
// says so to whoever asks. But a lane to another database than the first is of no use until it can be selected.
func (la *Lane) onlyBusy() bool {
	return la.key == Key{} && la.opt.Password == "" && bytes.HasPrefix(la.torn, []byte("-BUSY "))
}

// unasked takes a reply that no request waits for: the node's parting words, or a node gone mad. It returns false if the
// lane is lost over it.
func (la *Lane) unasked(kind byte, b []byte, done bool) bool {
	if kind == '-' && len(la.torn)+len(b) < 1024 {
		la.torn = append(la.torn, b...)
		if !done {
			return true
		}
		la.stats.Garbage++
		la.lose(refusal + trimLine(la.torn))
		return false
	}
	la.stats.Garbage++
	la.lose("sent a reply that nothing had asked for")
	return false
}

func trimLine(b []byte) string {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == '\r' || b[len(b)-1] == '\n') {
		b = b[:len(b)-1]
	}
	return string(b)
}
