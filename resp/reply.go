package resp

import (
	"bytes"
	"fmt"
)

// ReplyScanner finds where the replies of a server end, in RESP2 and RESP3, for one who passes them on and need not
// know what they say. It has no depth: an aggregate adds its elements to a count of those still to come. It keeps no
// bytes: what it was given is consumed, and a reply may be cut anywhere. Streamed strings and aggregates ("$?", "*?"),
// which no server sends, are errors.
//
// The zero value is ready.
type ReplyScanner struct {
	left   int64 // elements still to come, the present one included; 0 between replies
	n      int64 // the length being read, or what is left of a payload
	phase  replyPhase
	kind   byte // type of the reply
	typ    byte // type of the present element
	digits uint8
	minus  bool // of a length
	cr     bool // the byte before was a CR, in a line
	err    error
}

type replyPhase uint8

const (
	atType    replyPhase = iota // at the first byte of an element
	inLine                      // within a line that ends with CRLF
	inLength                    // within a length
	atLF                        // at the LF after it
	inPayload                   // within a payload, of which n bytes are to come
	atEndCR                     // at the CR after it
	atEndLF                     // at the LF after that
)

// shape is what follows a type byte.
type shape uint8

const (
	unknown shape = iota
	line
	payload
	elements
	pairs
	attribute
)

var shapes = [256]shape{
	'+': line, '-': line, ':': line, '_': line, '#': line, ',': line, '(': line,
	'$': payload, '!': payload, '=': payload,
	'*': elements, '~': elements, '>': elements, '%': pairs, '|': attribute,
}

const (
	maxLength = 4 << 30 // of a payload in bytes, or of an aggregate in elements
	maxLeft   = 1 << 60 // elements to come, in all
)

// nullBulk is what RESP2 says for "no value", the second most common reply of a cache.
const nullBulk = "$-1\r\n"

// Scan goes on in the reply that earlier calls began, or begins one. n bytes of b belong to it; that is all of b unless
// it is done. Once it is done, the next Scan begins the next reply. An attribute belongs to the reply it precedes. An
// error says that b is not RESP, and is final.
func (s *ReplyScanner) Scan(b []byte) (n int, done bool, err error) {
	if s.left == 0 && len(b) > 3 {
		switch shapes[b[0]] {
		case payload:
			if size, q, ok := plainBulk(b, 0); ok {
				s.kind = b[0]
				return q + size + 2, true, nil
			}
			if len(b) >= len(nullBulk) && string(b[:len(nullBulk)]) == nullBulk {
				s.kind = '$'
				return len(nullBulk), true, nil
			}
		case line:
			if end := plainLine(b, 0); end > 0 {
				s.kind = b[0]
				return end, true, nil
			}
		}
	}
	return s.scan(b)
}

// plainLine returns the offset after the line that begins at b[p], or 0 if its first LF is not its end.
func plainLine(b []byte, p int) int {
	i := bytes.IndexByte(b[p:], '\n')
	if i < 2 || b[p+i-1] != '\r' {
		return 0
	}
	return p + i + 1
}

func (s *ReplyScanner) scan(b []byte) (int, bool, error) {
	if s.err != nil {
		return 0, false, s.err
	}
	for p := 0; p < len(b); {
		switch s.phase {
		case atType:
			if s.left == 0 {
				s.left, s.kind = 1, 0
			}
			c := b[p]
			// Within an attribute at least the element it precedes is to come as well.
			if s.left == 1 && s.kind == 0 && c != '|' {
				s.kind = c
			}
			s.typ = c
			switch shapes[c] {
			case unknown:
				return s.fail("a reply or element begins with %q, which is no type", c)
			case line:
				if end := plainLine(b, p); end > 0 {
					p = end
					if s.left--; s.left == 0 {
						return p, true, nil
					}
					continue
				}
				s.phase, s.cr = inLine, false
			case payload:
				if size, q, ok := plainBulk(b, p); ok {
					p = q + size + 2
					if s.left--; s.left == 0 {
						return p, true, nil
					}
					continue
				}
				fallthrough
			default:
				s.phase, s.n, s.digits, s.minus = inLength, 0, 0, false
			}
			p++

		case inLine:
			i := bytes.IndexByte(b[p:], '\n')
			if i < 0 {
				s.cr = b[len(b)-1] == '\r'
				return len(b), false, nil
			}
			ends := s.cr
			if i > 0 {
				ends = b[p+i-1] == '\r'
			}
			p += i + 1
			s.cr = false
			if ends {
				s.phase = atType
				if s.left--; s.left == 0 {
					return p, true, nil
				}
			}

		case inLength:
			c := b[p]
			p++
			switch {
			case c == '\r' && s.lengthValid():
				s.phase = atLF
			case c == '-' && s.digits == 0 && !s.minus:
				s.minus = true
			case c-'0' <= 9 && !(s.digits > 0 && s.n == 0):
				s.n = s.n*10 + int64(c-'0')
				s.digits++
				if s.n > maxLength {
					return s.fail("the length of a %q is over %d", s.typ, int64(maxLength))
				}
			default:
				return s.fail("the length of a %q has %q where it does not belong", s.typ, c)
			}

		case atLF:
			if b[p] != '\n' {
				return s.fail("the length of a %q ends with %q, not with a line end", s.typ, b[p])
			}
			p++
			if err := s.enter(); err != nil {
				return 0, false, err
			}
			if s.left == 0 {
				return p, true, nil
			}

		case inPayload:
			skip := min(s.n, int64(len(b)-p))
			p += int(skip)
			if s.n -= skip; s.n == 0 {
				s.phase = atEndCR
			}

		case atEndCR:
			if b[p] != '\r' {
				return s.fail("a %q is followed by %q, not by a line end", s.typ, b[p])
			}
			p++
			s.phase = atEndLF

		case atEndLF:
			if b[p] != '\n' {
				return s.fail("a %q is followed by %q, not by a line end", s.typ, b[p])
			}
			p++
			s.phase = atType
			if s.left--; s.left == 0 {
				return p, true, nil
			}
		}
	}
	return len(b), false, nil
}

// lengthValid tells whether the digits read are a length: a number, or -1 for the nulls of RESP2.
func (s *ReplyScanner) lengthValid() bool {
	if s.minus {
		return s.digits == 1 && s.n == 1 && (s.typ == '$' || s.typ == '*')
	}
	return s.digits > 0
}

// enter begins what a length announced.
func (s *ReplyScanner) enter() error {
	s.phase = atType
	if s.minus {
		s.left--
		return nil
	}
	switch shapes[s.typ] {
	case payload:
		s.phase = inPayload
		if s.n == 0 {
			s.phase = atEndCR
		}
	case elements:
		s.left += s.n - 1
	case pairs:
		s.left += 2*s.n - 1
	case attribute:
		s.left += 2 * s.n
	}
	if s.left > maxLeft {
		_, _, err := s.fail("more elements are announced than can ever come")
		return err
	}
	return nil
}

// Kind returns the type byte of the present reply, or of the last one between replies: '-' or '>', say. It is 0 as long
// as only an attribute of the reply has come.
func (s *ReplyScanner) Kind() byte { return s.kind }

// Idle tells whether the scanner stands between two replies.
func (s *ReplyScanner) Idle() bool { return s.left == 0 }

// Reset forgets an unfinished reply and an error.
func (s *ReplyScanner) Reset() { *s = ReplyScanner{} }

func (s *ReplyScanner) fail(format string, args ...any) (int, bool, error) {
	s.err = fmt.Errorf("not RESP: "+format, args...)
	return 0, false, s.err
}
