package resp

import (
	"bytes"
	"math"
)

// Limits bound what one request may be. A limit of 0 stands for its default.
type Limits struct {
	MaxInline  int // bytes of an inline request or of a header line, its end not counted
	MaxArgs    int // arguments of one array; Redis 7 has no limit of its own here, versions before it had this one
	MaxBulk    int // bytes of one argument (proto-max-bulk-len)
	MaxRequest int // bytes of one array as sent; below 2 GiB (client-query-buffer-limit)
}

// DefaultLimits returns the limits of a Redis server that nobody configured.
func DefaultLimits() Limits {
	return Limits{MaxInline: 64 << 10, MaxArgs: 1 << 20, MaxBulk: 512 << 20, MaxRequest: 1 << 30}
}

// filled returns l with defaults in place of what is not set, and nothing that a Span cannot hold.
func (l Limits) filled() Limits {
	fill := func(limit *int, otherwise int) {
		if *limit <= 0 {
			*limit = otherwise
		}
		*limit = min(*limit, math.MaxInt32)
	}
	d := DefaultLimits()
	fill(&l.MaxInline, d.MaxInline)
	fill(&l.MaxArgs, d.MaxArgs)
	fill(&l.MaxBulk, d.MaxBulk)
	fill(&l.MaxRequest, d.MaxRequest)
	return l
}

// What a scanner keeps between requests: enough for every ordinary one, little enough for ten thousand idle clients.
const (
	firstSpans = 8
	keepSpans  = 1024
	keepText   = 1024
)

// smallestArg is the length of an empty argument with its header: "$0\r\n\r\n".
const smallestArg = 6

// RequestScanner finds requests, arrays of bulks or inline ones, in the bytes of one client, and goes on where it
// stopped when more arrive. It takes what Redis takes and refuses what Redis refuses, with the same words, and like
// Redis it forgives wrong bytes where there can be no doubt: the LF after a header's CR and the CRLF after a bulk.
//
// It differs from Redis in this. A NUL in a header or an inline request is a byte like any other; Redis stops reading
// there and never answers. A line is too long at a certain byte; with Redis it depends on how the line arrives. There is
// a limit to the number of arguments; Redis 7 has practically none. And a request over MaxRequest is told so; Redis
// closes without a word.
//
// The zero value is ready and has the default limits.
type RequestScanner struct {
	// Args are the arguments of the request last found. The next Scan reuses Args.Spans.
	Args Args

	// Limits are read by the first Scan.
	Limits Limits

	state scanState
	form  requestForm
	n     int // length of the request last found

	// Of an unfinished request. Bytes before pos are understood; pos is where a header or, with bulk >= 0, the payload
	// of an argument begins. No line end was found before seen.
	pos, seen int
	want      int // see Want
	total     int // arguments announced; Args.Spans has those that are complete
	bulk      int

	text   []byte // an inline or odd request as an array, at text[textAt:]
	textAt int

	err *ProtocolError
}

type scanState uint8

const (
	stateNew    scanState = iota // limits not yet read
	stateReady                   // at the first byte of a request
	stateHeader                  // within the first line
	stateArgs                    // within the arguments
	stateFailed
)

type requestForm uint8

const (
	formPlain  requestForm = iota // an array, to be forwarded as it is
	formOdd                       // an array that Redis takes but a stricter server might not
	formInline                    // text holds it as an array
)

// Scan looks for a request at the beginning of b. b must start at the first byte of the request; while that is
// unfinished, each call must bring the same bytes again and more, at the same address or another.
//
// If n > 0 the request is b[:n] and s.Args is valid until the next Scan or Reset; without arguments (a blank line, *0,
// *-1) there is nothing to do or to answer. If n is 0 and err is nil the request is incomplete, and Scan has noted how
// far it got, so that a long request costs linear time however it is cut. An error is a *ProtocolError and final: answer
// it, close the client.
func (s *RequestScanner) Scan(b []byte) (n int, err error) {
	if s.state != stateReady || s.form != formPlain || cap(s.Args.Spans) > keepSpans ||
		len(b) < 4 || b[0] != '*' || b[1]-'1' > 8 || b[2] != '\r' || b[3] != '\n' || int(b[1]-'0') > s.Limits.MaxArgs {
		return s.scanHeader(b)
	}
	return s.scanArgs(b, 4, 0, int(b[1]-'0'))
}

// scanArgs reads the arguments from number k on, whose header is at b[p], until there are total of them.
func (s *RequestScanner) scanArgs(b []byte, p, k, total int) (int, error) {
	spans := s.Args.Spans[:cap(s.Args.Spans)]
	all := b
	b = b[:min(len(b), s.Limits.MaxRequest)]
	for k < total {
		if k == len(spans) {
			spans = s.grow(k, total)
		}
		size, q, ok := plainBulk(b, p)
		if !ok || b[p] != '$' || size > s.Limits.MaxBulk {
			s.Args.Spans = spans[:k]
			var err error
			if size, q, err = s.scanBulk(all, p, total); q == 0 {
				return 0, err
			}
		}
		spans[k] = Span{int32(q), int32(size)}
		k++
		p = q + size + 2
	}
	s.Args.Buf = all
	s.Args.Spans = s.Args.Spans[:total]
	s.n = p
	return p, nil
}

// plainBulk returns the length and the offset of the argument whose header is at b[p], if it is wholly in b and nothing
// about it is unusual.
func plainBulk(b []byte, p int) (size, q int, ok bool) {
	if len(b)-p < smallestArg {
		return 0, 0, false
	}
	size = int(b[p+1] - '0')
	if size > 9 {
		return 0, 0, false
	}
	q = p + 2
	if b[q] != '\r' {
		if size == 0 {
			return 0, 0, false
		}
		for {
			d := b[q] - '0'
			if d > 9 {
				break
			}
			size = size*10 + int(d)
			q++
			if q == len(b) || q-p > 10 {
				return 0, 0, false
			}
		}
	}
	end := q + 2 + size
	if len(b)-2 < end || b[q] != '\r' || b[q+1] != '\n' || b[end] != '\r' || b[end+1] != '\n' {
		return 0, 0, false
	}
	return size, q + 2, true
}

// grow gives Args.Spans room for more than the k it has: twice as many, not all that a header announces, for a header
// is cheap to send.
func (s *RequestScanner) grow(k, total int) []Span {
	spans := make([]Span, min(total, max(2*k, firstSpans)))
	copy(spans, s.Args.Spans[:cap(s.Args.Spans)][:k])
	s.Args.Spans = spans
	return spans
}

// scanHeader begins a request, or goes on with an unfinished one.
func (s *RequestScanner) scanHeader(b []byte) (int, error) {
	switch s.state {
	case stateFailed:
		return 0, s.err
	case stateArgs:
		return s.resume(b)
	case stateNew:
		s.Limits = s.Limits.filled()
		s.state = stateReady
	}
	if s.state == stateReady {
		s.form = formPlain
		s.Args.Buf = nil
		s.pos, s.seen, s.want, s.bulk = 0, 0, 0, -1
		s.state = stateHeader
	}
	if len(b) == 0 {
		return s.incomplete(1)
	}
	if b[0] != '*' {
		return s.scanInline(b)
	}
	cr, err := s.line(b, '\r', errMultibulkTooLong)
	if cr < 0 {
		return 0, err
	}
	total, ok := parseInt(b[1:cr])
	if !ok {
		return s.fail(errMultibulkLength)
	}
	if total > int64(s.Limits.MaxArgs) {
		return s.fail(errTooManyArgs)
	}
	if b[cr+1] != '\n' {
		s.form = formOdd
	}
	s.state = stateReady
	s.keep(int(total))
	if total <= 0 {
		s.Args.Spans = s.Args.Spans[:0]
		s.n = cr + 2
		return s.n, nil
	}
	return s.scanArgs(b, cr+2, 0, int(total))
}

// line returns the offset of the end of the line at s.pos, which is a CR with any byte after it, or an LF. It returns
// -1 if the line is incomplete, or too long, which is the given error.
func (s *RequestScanner) line(b []byte, end byte, tooLong *ProtocolError) (int, error) {
	limit := min(len(b), s.pos+s.Limits.MaxInline+1)
	s.seen = max(s.seen, s.pos)
	i := bytes.IndexByte(b[s.seen:limit], end)
	if i < 0 {
		s.seen = limit
		if len(b)-s.pos > s.Limits.MaxInline {
			_, err := s.fail(tooLong)
			return -1, err
		}
		missing := 1
		if end == '\r' {
			missing = 2
		}
		s.want = min(len(b)+missing, s.pos+s.Limits.MaxInline+1)
		return -1, nil
	}
	i += s.seen
	if end == '\r' && i+1 == len(b) {
		s.seen = i
		s.want = len(b) + 1
		return -1, nil
	}
	s.seen = 0
	return i, nil
}

// resume goes on with the arguments of an unfinished request.
func (s *RequestScanner) resume(b []byte) (int, error) {
	if len(b) < s.want {
		return 0, nil
	}
	s.state = stateReady
	size, q, err := s.scanBulk(b, s.pos, s.total)
	if q == 0 {
		return 0, err
	}
	s.Args.Spans = append(s.Args.Spans, Span{int32(q), int32(size)})
	return s.scanArgs(b, q+size+2, len(s.Args.Spans), s.total)
}

// scanBulk is plainBulk for an argument that is incomplete, odd or wrong. It returns q == 0 unless it is complete. If
// s.bulk >= 0 its header was read and p is its payload's offset.
func (s *RequestScanner) scanBulk(b []byte, p, total int) (size, q int, err error) {
	s.pos, s.total = p, total
	if s.bulk < 0 {
		cr, err := s.line(b, '\r', errBulkTooLong)
		if cr < 0 {
			if err == nil {
				s.state = stateArgs
			}
			return 0, 0, err
		}
		if b[p] != '$' {
			_, err = s.fail(errNotBulk(b[p]))
			return 0, 0, err
		}
		n, ok := parseInt(b[p+1 : cr])
		if !ok || n < 0 {
			_, err = s.fail(errBulkLength)
			return 0, 0, err
		}
		if n > int64(s.Limits.MaxBulk) {
			_, err = s.fail(errBulkTooBig)
			return 0, 0, err
		}
		if cr+2+int(n)+2 > s.Limits.MaxRequest {
			_, err = s.fail(errRequestTooBig)
			return 0, 0, err
		}
		if b[cr+1] != '\n' {
			s.form = formOdd
		}
		s.pos, s.bulk = cr+2, int(n)
	}
	q, size = s.pos, s.bulk
	end := q + size
	if len(b) < end+2 {
		s.state, s.want = stateArgs, end+2
		s.Args.Buf = nil
		return 0, 0, nil
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		s.form = formOdd
	}
	s.bulk = -1
	return size, q, nil
}

// scanInline reads a request that is a line of words.
func (s *RequestScanner) scanInline(b []byte) (int, error) {
	lf, err := s.line(b, '\n', errInlineTooBig)
	if lf < 0 {
		return 0, err
	}
	line := b[:lf]
	if lf > 0 && line[lf-1] == '\r' {
		line = line[:lf-1]
	}
	s.keep(0)
	var ok bool
	s.text, s.Args.Spans, ok = splitInline(s.text[:0], s.Args.Spans[:0], line)
	if !ok {
		return s.fail(errQuotes)
	}
	s.encode(s.text)
	s.Args.Buf = s.text[s.textAt:]
	s.state, s.form = stateReady, formInline
	s.n = lf + 1
	return s.n, nil
}

// encode appends the arguments, which lie in buf, to text as an array, and lets the spans point to where they are in
// it. buf may be text itself.
func (s *RequestScanner) encode(buf []byte) {
	s.textAt = len(s.text)
	s.text = AppendArray(s.text, len(s.Args.Spans))
	for i, span := range s.Args.Spans {
		arg := buf[span.Off : span.Off+span.Len]
		s.text = AppendBulk(s.text, arg)
		s.Args.Spans[i].Off = int32(len(s.text) - s.textAt - 2 - len(arg))
	}
}

// Want returns, after an incomplete request, how many bytes b must have before another Scan can get any further: more
// than it had. A caller can size its buffer by it; how far it trusts a client that announces much is its own choice.
// Between requests it is 0.
func (s *RequestScanner) Want() int {
	if s.state <= stateReady {
		return 0
	}
	return s.want
}

// Bytes returns the request just found as an array to be forwarded. That is b[:n] itself, b and n being Scan's, unless
// the request was inline or framed in a way that Redis forgives and another server might not; then it is an array that
// says the same, which belongs to the scanner and lives until the next Scan or Reset.
func (s *RequestScanner) Bytes(b []byte) []byte {
	if s.form == formPlain {
		return b[:s.n:s.n]
	}
	return s.encoded(b)
}

func (s *RequestScanner) encoded(b []byte) []byte {
	if s.form == formOdd {
		s.text = s.text[:0]
		s.encode(b)
		s.Args.Buf, s.form = s.text, formInline
	}
	return s.text[s.textAt:]
}

// Reset forgets an unfinished request, an error, and what a big request took in memory.
func (s *RequestScanner) Reset() {
	if s.state > stateReady {
		s.state = stateReady
	}
	s.seen, s.want, s.bulk, s.err = 0, 0, -1, nil
	s.Args.Buf, s.Args.Spans = nil, s.Args.Spans[:0]
	s.keep(0)
}

// keep gives back the memory of a big request, before one with the given number of arguments.
func (s *RequestScanner) keep(args int) {
	if cap(s.Args.Spans) > keepSpans && args <= keepSpans {
		s.Args.Spans = nil
	}
	if cap(s.text) > keepText {
		s.text = nil
	}
}

func (s *RequestScanner) incomplete(want int) (int, error) {
	s.want = want
	return 0, nil
}

func (s *RequestScanner) fail(err *ProtocolError) (int, error) {
	s.state, s.err = stateFailed, err
	return 0, err
}
