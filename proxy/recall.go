package proxy

import (
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/resp"
)

// What a request has said is asked for when it turns out to have been slow, and by then it has long been sent. So a session remembers what its parser
// has gone through, one copy a read, until all of it is answered; a slot knows where in it its request begins:
//
//	           head                tail
//	            |                   |
//	[1: done] [2: at 31] [3: at 62] [ ]
//	            |          |
//	[*2 $3 GET..][*2 $3 GET..][*3 $3 SET..]
//
// Where requests are large they are remembered one by one, cut short. docs/decisions/0008-slow-log.md says what else was thought of.
type recall struct {
	b    []byte // lent by the loop; nil while nothing is remembered
	base uint32 // the place of b[0]. Places count on without end; that of a slot is one more, so that 0 is none.
}

const (
	largeRequest = 256      // bytes, on average of those that were read together: larger ones are cut
	mostRecalled = 32 << 10 // bytes that are remembered of a client
	cutMark      = '='      // begins what was cut: the number of arguments, the length of all as two bytes, and these as bulks
)

// recallPlace is where what is about to be parsed will be remembered.
func (s *Session) recallPlace() uint32 {
	r := &s.recall
	if s.head == s.tail && len(r.b) > 0 {
		r.base += uint32(len(r.b))
		r.b = r.b[:0]
	}
	return r.base + uint32(len(r.b)) + 1
}

// remember keeps b, which was parsed from the slot first on, if anything of it is not answered.
func (s *Session) remember(b []byte, first, place uint32) {
	if s.head == s.tail || !s.pool.remembers {
		return
	}
	r := &s.recall
	if len(r.b)+len(b) > mostRecalled {
		s.forgetAnswered()
	}
	if len(b) <= largeRequest*int(s.tail-first) && len(r.b)+len(b) <= mostRecalled {
		r.b = s.worker.loop.Append(r.b, b)
		return
	}
	s.rememberEach(b, first, place)
}

// rememberEach keeps the requests of b one by one, cut short, as far as there is room. What finds none has no place.
func (s *Session) rememberEach(b []byte, first, place uint32) {
	r := &s.recall
	scan := s.worker.takeScanner(s.limits())
	defer s.worker.giveScanner(scan)
	for seq := first; seq != s.tail; seq++ {
		if int32(seq-s.head) < 0 {
			continue
		}
		sl := s.slot(seq)
		at := sl.at - place
		if sl.at = 0; sl.state != awaited || sl.command == nil || len(r.b) > mostRecalled {
			continue
		}
		if n, err := scan.Scan(b[at:]); err != nil || n == 0 {
			scan.Reset()
			continue
		}
		begin := len(r.b)
		cut, n := appendCut(append(s.worker.scratch[:0], cutMark, 0, 0, 0), sl.command, &scan.Args)
		cut[1], cut[2], cut[3] = byte(n), byte(len(cut)-4), byte((len(cut)-4)>>8)
		s.worker.scratch = cut
		r.b = s.worker.loop.Append(r.b, cut)
		sl.at = r.base + uint32(begin) + 1
	}
}

// forgetAnswered makes room in front of the first request that is not answered.
func (s *Session) forgetAnswered() {
	r := &s.recall
	n := uint32(len(r.b))
	for seq := s.head; seq != s.tail; seq++ {
		if sl := s.slot(seq); sl.at != 0 {
			n = min(n, sl.at-1-r.base)
			break
		}
	}
	r.b = r.b[:copy(r.b, r.b[n:])]
	r.base += n
}

// forgetRequests gives the memory back.
func (s *Session) forgetRequests() {
	r := &s.recall
	r.base += uint32(len(r.b))
	s.worker.loop.Release(r.b)
	r.b = nil
}

// recalled appends the arguments of a slot's request, cut short, as bulks, and says how many there are; 0 if they were not remembered.
func (s *Session) recalled(dst []byte, sl *slot) ([]byte, int) {
	r := &s.recall
	at := sl.at - 1 - r.base
	if sl.at == 0 || at >= uint32(len(r.b)) {
		return dst, 0
	}
	b := r.b[at:]
	if b[0] == cutMark {
		return append(dst, b[4:4+int(b[2])+int(b[3])<<8]...), int(b[1])
	}
	scan := s.worker.takeScanner(s.limits())
	defer s.worker.giveScanner(scan)
	if n, err := scan.Scan(b); err != nil || n == 0 {
		scan.Reset()
		return dst, 0
	}
	return appendCut(dst, sl.command, &scan.Args)
}

// As in Redis' slow log.
const (
	mostCutArgs  = 32
	mostCutBytes = 128
	redacted     = "(redacted)"
)

// appendCut appends the arguments of a request as Redis' slow log has them, and says how many these are: at most 32 of 128 bytes, with words for what
// is left out, and without passwords.
func appendCut(dst []byte, c *command.Command, a *resp.Args) ([]byte, int) {
	var words [48]byte
	n := min(a.Len(), mostCutArgs)
	secret := secretArgs(c, a)
	for i := range n {
		arg := a.At(i)
		switch {
		case i == n-1 && n < a.Len():
			dst = resp.AppendBulk(dst, more(words[:0], a.Len()-n+1, " more arguments)"))
		case i >= secret.from && i < secret.to || c.Name == "config|set" && i%2 == 1 && i > 1 && secretSettings[strings.ToLower(string(a.At(i-1)))]:
			dst = resp.AppendBulkString(dst, redacted)
		case len(arg) > mostCutBytes:
			tail := more(words[:0], len(arg)-mostCutBytes, " more bytes)")
			dst = strconv.AppendInt(append(dst, '$'), int64(mostCutBytes+len(tail)), 10)
			dst = append(append(append(append(dst, "\r\n"...), arg[:mostCutBytes]...), tail...), "\r\n"...)
		default:
			dst = resp.AppendBulk(dst, arg)
		}
	}
	return dst, n
}

func more(dst []byte, n int, of string) []byte {
	return append(strconv.AppendInt(append(dst, "... ("...), int64(n), 10), of...)
}

// secretSettings are those of a server's settings that are passwords.
var secretSettings = map[string]bool{
	"requirepass": true, "masterauth": true, "masteruser": true, "tls-key-file-pass": true, "tls-client-key-file-pass": true, "primaryauth": true, "primaryuser": true,
}

// forgetPlaces is called when requests begin to be remembered: nobody knows those that are in flight.
func (s *Session) forgetPlaces() {
	for seq := s.head; seq != s.tail; seq++ {
		s.slot(seq).at = 0
	}
}
