package resp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/internal/corpus"
)

// requestSamples are streams of requests, right and wrong, for every test that reads such.
var requestSamples = []struct{ name, in string }{
	{"GET", "*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n"},
	{"a name alone", "*1\r\n$4\r\nPING\r\n"},
	{"an empty argument", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n"},
	{"line ends within an argument", "*2\r\n$4\r\nECHO\r\n$6\r\n\r\n$1\r\n\r\n"},
	{"ten arguments", string(AppendCommand(nil, many("MGET", 9)...))},
	{"thousands of arguments", string(AppendCommand(nil, many("MGET", 2500)...))},
	{"lengths of two and three digits", string(AppendCommand(nil, "SET", text(10), text(99), text(100), text(2000)))},
	{"a pipeline", strings.Repeat("*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n", 3)},
	{"a long line before short arrays", "0000000000\n*1\r\n$4\r\n0000\r\n*1\r\n$1\r\na\r\n*1\r\n0"},
	{"a length as long as the low limits have it", "*1\r00000000000000000000000000"},
	{"nothing to do", "\r\n\n*0\r\n*-1\r\n*-9000000000\r\n  \t \r\n*1\r\n$4\r\nPING\r\n"},
	{"inline", "PING\r\n"},
	{"inline with LF alone", "PING\nECHO a\n"},
	{"inline with many blanks", "  SET \t k\v  v \f \r\r\n"},
	{"inline in double quotes", `ECHO "a \"b\" \x41\x0a\x7F\xZZ \n\r\t\b\a \q \\"` + "\r\n"},
	{"inline in single quotes", `ECHO 'a \'b\' "c" \x41 \n \\'` + "\r\n"},
	{"inline with quotes within a word", `ECHO ab"c d" 'e'` + "\t" + `""` + "\r\n"},
	{"inline before an array", "ECHO a\r\n*2\r\n$4\r\nECHO\r\n$1\r\nb\r\nECHO c\n"},
	{"inline that looks like a bulk", "$3\r\nfoo\r\n"},
	{"inline that is not ASCII", "ECHO \xff\x80\x01 \xc3\xa4\r\n"},
	{"inline with a NUL", "ECHO a\x00b\r\n"},
	{"a quote left open", "ECHO \"a\r\nPING\r\n"},
	{"a single quote left open", "ECHO 'a\\'\r\n"},
	{"a quote that closes within a word", "ECHO \"a\"b\r\n"},
	{"a single quote that closes within a word", "ECHO 'a'b\r\n"},
	{"a backslash at the end", "ECHO \"a\\\r\n"},
	{"an inline request without end", text(65537)},
	{"an inline request as long as can be", "ECHO " + text(65530) + "\r\nPING\r\n"},

	{"no LF after the count", "*1\rX$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n"},
	{"no LF after a length", "*2\r\n$4\rXECHO\r\n$1\rYa\r\n*1\r\n$4\r\nPING\r\n"},
	{"no line end after a bulk", "*2\r\n$4\r\nECHOxx$1\r\nayy*1\r\n$4\r\nPING\r\n"},
	{"a bulk longer than announced", "*2\r\n$4\r\nECHO\r\n$1\r\nabcd\r\n"},
	{"LF alone after the count", "*1\n$4\nPING\n\r\n"},

	{"a count that is no number", "*blabla\r\n"},
	{"no count", "*\r\n"},
	{"a count with a plus", "*+1\r\n$4\r\nPING\r\n"},
	{"a count with a leading zero", "*01\r\n$4\r\nPING\r\n"},
	{"a count of minus zero", "*-0\r\n"},
	{"a count that is only a minus", "*-\r\n"},
	{"a count with a blank", "*1 \r\n$4\r\nPING\r\n"},
	{"a count beyond 32 bits", "*3000000000\r\n"},
	{"a count beyond 64 bits", "*18446744073709551617\r\n"},
	{"a count at the end of 64 bits", "*-9223372036854775808\r\nPING\r\n"},
	{"a count below 64 bits", "*-9223372036854775809\r\n"},
	{"a count without end", "*" + text(65537)},
	{"a count as long as can be", "*" + text(65535) + "\r\n"},
	{"not a bulk", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"},
	{"an integer for a bulk", "*1\r\n:1\r\n"},
	{"an empty line for a bulk", "*1\r\n\r\n\r\n"},
	{"a line feed for a bulk", "*1\r\n\nabc\r\n"},
	{"a byte above ASCII for a bulk", "*1\r\n\xff\r\n"},
	{"not a bulk and not yet a line", "*1\r\nPING"},
	{"a length that is no number", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n"},
	{"a negative length", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n"},
	{"a length with a leading zero", "*1\r\n$04\r\nPING\r\n"},
	{"a length of two zeros", "*1\r\n$00\r\n\r\n"},
	{"no length", "*1\r\n$\r\n"},
	{"a length over the limit", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$2000000000\r\n"},
	{"a length beyond 64 bits", "*1\r\n$99999999999999999999\r\n"},
	{"a length without end", "*1\r\n$" + text(65537)},
	{"a length as long as can be", "*1\r\n$" + text(65535) + "\r\n"},
	{"the first of two faults", "*2\r\n$x\r\n$y\r\n"},
	{"incomplete", "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100\r\nabc"},
	{"nothing", ""},
}

// found is what a reader got out of a stream: the requests, and how it ended.
type found struct {
	requests [][]string
	bytes    int // in the requests
	verdict  string
}

func (f found) String() string {
	s := fmt.Sprintf("%d requests in %d bytes, then %q:", len(f.requests), f.bytes, f.verdict)
	for _, args := range f.requests {
		s += fmt.Sprintf(" %.200q", args)
	}
	return s
}

func equalFound(a, b found) bool {
	return a.bytes == b.bytes && a.verdict == b.verdict && slices.EqualFunc(a.requests, b.requests, slices.Equal)
}

// readSlowly is what must come out.
func readSlowly(in []byte, l Limits) found {
	var f found
	for {
		args, n, verdict := slowRequest(in[f.bytes:], l)
		if verdict != "" {
			f.verdict = verdict
			return f
		}
		f.requests = append(f.requests, args)
		f.bytes += n
	}
}

// readPieces gives a scanner a stream piece by piece. Each call gets the unfinished request in a fresh buffer, which is
// overwritten after the call. next says how long the next piece is.
func readPieces(t testing.TB, s *RequestScanner, in []byte, next func() int) found {
	t.Helper()
	var f found
	loan := []byte{}
	given := 0 // of in
	for {
		n, err := s.Scan(loan)
		switch {
		case err != nil:
			var protocol *ProtocolError
			if !errors.As(err, &protocol) || err.Error() != "ERR Protocol error: "+protocol.Reason() {
				t.Fatalf("unexpected error %#v", err)
			}
			if _, again := s.Scan(loan); again != err {
				t.Fatalf("an error is not final: %v, then %v", err, again)
			}
			f.verdict = err.Error()
			return f
		case n > 0:
			f.requests = append(f.requests, checkedArgs(t, s, loan, n))
			f.bytes += n
		case given == len(in):
			f.verdict = more
			return f
		default:
			if s.Want() <= len(loan) {
				t.Fatalf("wants %d bytes and has %d", s.Want(), len(loan))
			}
			given = min(len(in), given+next())
		}
		for i := range loan {
			loan[i] = "*\r$\n7"[i%5]
		}
		loan = bytes.Clone(in[f.bytes:given])
	}
}

// checkedArgs returns a copy of the arguments just found, having checked that Bytes says the same, in the one way there
// is to write it.
func checkedArgs(t testing.TB, s *RequestScanner, b []byte, n int) []string {
	t.Helper()
	args := copyArgs(&s.Args)
	if len(args) == 0 {
		return nil
	}
	canonical := AppendCommand(nil, args...)
	forward := s.Bytes(b)
	if !bytes.Equal(forward, canonical) {
		t.Fatalf("%.200q is forwarded as %.200q", b[:n], forward)
	}
	if !slices.Equal(copyArgs(&s.Args), args) {
		t.Fatalf("after Bytes the arguments %.200q are %.200q", args, copyArgs(&s.Args))
	}
	if bytes.Equal(b[:n], canonical) && &forward[0] != &b[0] {
		t.Fatalf("%.200q was copied", b[:n])
	}
	return args
}

func copyArgs(a *Args) []string {
	var args []string
	for i := range a.Len() {
		args = append(args, string(a.At(i)))
	}
	return args
}

func TestRequest(t *testing.T) {
	tests := []struct {
		in   string
		want []string // of the first request
		err  string
	}{
		{in: "*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n", want: []string{"GET", "foo"}},
		{in: "*0\r\n", want: []string{}},
		{in: "*-1\r\n", want: []string{}},
		{in: "\r\n", want: []string{}},
		{in: `set k "\x41\n'" '\'"'` + "\n", want: []string{"set", "k", "A\n'", "'\""}},
		{in: "*2\r\n$4\r\nECHOxx$1\r\nayy", want: []string{"ECHO", "a"}},
		{in: "*x\r\n", err: "ERR Protocol error: invalid multibulk length"},
		{in: "*1048577\r\n", err: "ERR Protocol error: invalid multibulk length"},
		{in: "*1\r\n$x\r\n", err: "ERR Protocol error: invalid bulk length"},
		{in: "*1\r\n$536870913\r\n", err: "ERR Protocol error: invalid bulk length"},
		{in: "*1\r\nx\r\n", err: "ERR Protocol error: expected '$', got 'x'"},
		{in: "*1\r\n\r\n", err: "ERR Protocol error: expected '$', got ' '"},
		{in: "GET 'a\r\n", err: "ERR Protocol error: unbalanced quotes in request"},
		{in: "ECHO " + text(65531) + "\r\n", err: "ERR Protocol error: too big inline request"},
		{in: text(65537), err: "ERR Protocol error: too big inline request"},
		{in: "*" + text(65536), err: "ERR Protocol error: too big mbulk count string"},
		{in: "*1\r\n$" + text(65536), err: "ERR Protocol error: too big bulk count string"},
		{in: "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%.40q", test.in), func(t *testing.T) {
			var s RequestScanner
			n, err := s.Scan([]byte(test.in))
			switch {
			case test.err != "":
				if n != 0 || err == nil || err.Error() != test.err {
					t.Fatalf("got %d, %v, want error %q", n, err, test.err)
				}
			case test.want == nil:
				if n != 0 || err != nil {
					t.Fatalf("got %d, %v, want neither", n, err)
				}
			case n != len(test.in) || err != nil || !slices.Equal(copyArgs(&s.Args), test.want):
				t.Fatalf("got %d, %v, %q, want %q", n, err, copyArgs(&s.Args), test.want)
			}
		})
	}
}

func TestRequestAgreesWithTheSlowReader(t *testing.T) {
	for _, sample := range requestSamples {
		t.Run(sample.name, func(t *testing.T) {
			in := []byte(sample.in)
			want := readSlowly(in, DefaultLimits())
			check := func(how string, next func() int) {
				t.Helper()
				var s RequestScanner
				if got := readPieces(t, &s, in, next); !equalFound(got, want) {
					t.Fatalf("%s\ngot  %v\nwant %v", how, got, want)
				}
			}
			check("whole", func() int { return len(in) })
			// Cut once, at every byte of a short stream and at enough of a long one.
			step := 1 + len(in)/3000*100
			for cut := 0; cut < len(in); cut += step {
				first := true
				check(fmt.Sprintf("cut at byte %d", cut), func() int {
					if first && cut > 0 {
						first = false
						return cut
					}
					return len(in)
				})
			}
			// Cut everywhere, into pieces of one size.
			for _, size := range []int{1, 2, 3, 5, 7, 4096} {
				if len(in) > 3000 && size < 4096 {
					size *= 100
				}
				check(fmt.Sprintf("in pieces of %d", size), func() int { return size })
			}
		})
	}
}

func TestRequestWithLowLimitsAgreesWithTheSlowReader(t *testing.T) {
	limits := []Limits{
		{MaxInline: 1, MaxArgs: 1, MaxBulk: 1, MaxRequest: 1},
		{MaxInline: 6, MaxArgs: 2, MaxBulk: 4, MaxRequest: 23},
		{MaxInline: 24, MaxArgs: 5, MaxBulk: 30, MaxRequest: 70},
		{MaxInline: 40, MaxArgs: 9, MaxBulk: 99, MaxRequest: 400},
	}
	for _, l := range limits {
		for _, sample := range requestSamples {
			if len(sample.in) > 3000 {
				continue
			}
			in := []byte(sample.in)
			want := readSlowly(in, l)
			for _, size := range []int{1, 2, 3, 11, len(in) + 1} {
				s := RequestScanner{Limits: l}
				if got := readPieces(t, &s, in, func() int { return size }); !equalFound(got, want) {
					t.Fatalf("%s, %+v, in pieces of %d\ngot  %v\nwant %v", sample.name, l, size, got, want)
				}
			}
		}
	}
}

func TestRequestOverTheLimitIsRefusedByItsHeader(t *testing.T) {
	s := RequestScanner{Limits: Limits{MaxBulk: 1000, MaxRequest: 2000}}
	in := AppendArray(nil, 4)
	in = AppendBulkString(in, text(1000))
	in = AppendBulkString(in, text(500))
	in = append(in, "$600\r\n"...)
	if n, err := s.Scan(in); n != 0 || err == nil || err.Error() != "ERR Protocol error: too big request" {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestRequestLimitsStayWithinASpan(t *testing.T) {
	s := RequestScanner{Limits: Limits{MaxInline: 1 << 40, MaxArgs: 1 << 40, MaxBulk: 1 << 62, MaxRequest: 1 << 62}}
	if n, err := s.Scan([]byte("*2\r\n$3\r\nGET\r\n$4611686018427387900\r\nxx")); n != 0 || err != errBulkTooBig {
		t.Fatalf("got %d, %v", n, err)
	}
	s.Reset()
	if n, err := s.Scan([]byte("*2\r\n$3\r\nGET\r\n$2147483640\r\nxx")); n != 0 || err != errRequestTooBig {
		t.Fatalf("got %d, %v", n, err)
	}
}

// A long value arrives in pieces. What was given before is overwritten, save the four bytes of the request's header,
// so a scanner that looked at anything twice would go wrong.
func TestRequestOfManyPiecesIsReadOnce(t *testing.T) {
	const piece, size = 64 << 10, 100 << 20
	head := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$104857600\r\n"
	in := make([]byte, len(head)+size+2)
	copy(in, head)
	copy(in[len(head)+size:], "\r\n")
	var s RequestScanner
	calls := 0
	for given := piece; given < len(in); given += piece {
		calls++
		if n, err := s.Scan(in[:given]); n != 0 || err != nil {
			t.Fatalf("%d bytes: got %d, %v", given, n, err)
		}
		if s.Want() != len(in) {
			t.Fatalf("wants %d, not %d", s.Want(), len(in))
		}
		for i := max(len("*3\r\n"), given-piece); i < given; i++ {
			in[i] = '\r'
		}
	}
	if n, err := s.Scan(in); n != len(in) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if want := []Span{{8, 3}, {17, 1}, {int32(len(head)), size}}; !slices.Equal(s.Args.Spans, want) {
		t.Fatalf("got %v, want %v", s.Args.Spans, want)
	}
	if calls != len(in)/piece {
		t.Fatalf("%d calls", calls)
	}
}

// The same for many small arguments and for lines that come byte by byte.
func TestRequestOfManyArgumentsIsReadOnce(t *testing.T) {
	in := AppendCommand(nil, many("MGET", 1000)...)
	var s RequestScanner
	for given := range in {
		if n, err := s.Scan(in[:given]); n != 0 || err != nil {
			t.Fatalf("%d bytes: got %d, %v", given, n, err)
		}
		if s.state == stateArgs {
			understood := s.pos
			if s.bulk >= 0 {
				understood = given
			}
			for i := len("*1001\r\n"); i < understood; i++ {
				in[i] = '\r'
			}
		}
	}
	if n, err := s.Scan(in); n != len(in) || err != nil || s.Args.Len() != 1001 {
		t.Fatalf("got %d, %v", n, err)
	}
}

func TestLineIsSearchedOnce(t *testing.T) {
	for _, start := range []string{"", "*", "*1\r\n$"} {
		in := []byte(start + strings.Repeat("1", 65000))
		var s RequestScanner
		for given := range len(in) {
			if n, err := s.Scan(in[:given]); n != 0 || err != nil {
				t.Fatalf("%q, %d bytes: got %d, %v", start, given, n, err)
			}
			if given > len(start) && s.seen < given-1 {
				t.Fatalf("%q: of %d bytes %d are known to have no line end", start, given, s.seen)
			}
		}
	}
}

func TestHeaderAloneTakesNoMemory(t *testing.T) {
	var s RequestScanner
	in := []byte("*1000000\r\n$3\r\nSET\r\n$1\r\n")
	if n, err := s.Scan(in); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if cap(s.Args.Spans) > 2*firstSpans {
		t.Fatalf("room for %d arguments after one", cap(s.Args.Spans))
	}
}

func TestMemoryOfABigRequestIsGivenBack(t *testing.T) {
	big := AppendCommand(nil, many("MGET", 100_000)...)
	inline := []byte("ECHO " + text(50_000) + "\r\n")
	odd := []byte("*2\r\n$4\r\nECHO\r\n$50000\r\n" + text(50_000) + "xx")
	small := AppendCommand(nil, "GET", "a")
	then := map[string]func(*RequestScanner){
		"Reset":             (*RequestScanner).Reset,
		"the next request":  func(s *RequestScanner) { s.Scan(small) },
		"a line":            func(s *RequestScanner) { s.Scan([]byte("PING\r\n")) },
		"an unfinished one": func(s *RequestScanner) { s.Scan(small[:9]) },
	}
	for name, next := range then {
		for _, in := range [][]byte{big, inline, odd} {
			var s RequestScanner
			if n, err := s.Scan(in); n != len(in) || err != nil {
				t.Fatal(n, err)
			}
			s.Bytes(in)
			next(&s)
			if cap(s.Args.Spans) > keepSpans || cap(s.text) > keepText {
				t.Errorf("after %.10q and %s: %d spans, %d bytes of text", in, name, cap(s.Args.Spans), cap(s.text))
			}
		}
	}
}

func TestResetForgetsAnUnfinishedRequest(t *testing.T) {
	get := AppendCommand(nil, "GET", "foo")
	for _, sample := range requestSamples {
		for cut := 0; cut <= len(sample.in); cut += 1 + len(sample.in)/300 {
			var s RequestScanner
			s.Scan([]byte(sample.in[:cut]))
			s.Reset()
			if n, err := s.Scan(get); n != len(get) || err != nil || !slices.Equal(copyArgs(&s.Args), []string{"GET", "foo"}) {
				t.Fatalf("%s, %d bytes: got %d, %v, %q", sample.name, cut, n, err, copyArgs(&s.Args))
			}
		}
	}
}

func TestRequestsAreReadWithoutAllocating(t *testing.T) {
	requests := map[string][]byte{
		"GET":        AppendCommand(nil, "GET", "foo"),
		"SET":        AppendCommand(nil, "SET", "foo", text(4096)),
		"MGET":       AppendCommand(nil, many("MGET", 10)...),
		"MGET 1000":  AppendCommand(nil, many("MGET", 1000)...),
		"MGET 10000": AppendCommand(nil, many("MGET", 10_000)...),
		"inline":     []byte("SET foo \"bar\"\r\n"),
		"odd":        []byte("*2\r\n$4\r\nECHOxx$1\r\nayy"),
		"blank":      []byte("\r\n"),
	}
	for name, in := range requests {
		var s RequestScanner
		s.Scan(in)
		if s.Want() != 0 {
			t.Errorf("%s: wants %d between requests", name, s.Want())
		}
		allocs := testing.AllocsPerRun(100, func() {
			s.Scan(in[:len(in)/2])
			n, _ := s.Scan(in)
			if n != len(in) || len(s.Bytes(in)) == 0 {
				t.Fatal(name, n)
			}
			s.Scan(in)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func FuzzRequest(f *testing.F) {
	corpus.Add(f)
	for i, sample := range requestSamples {
		if len(sample.in) < 1000 {
			f.Add([]byte(sample.in), uint64(i))
		}
	}
	f.Add([]byte("*2\r\n$4\r\n0000\r\n$1\r\n0\r\n*1\r\n$4\r\n0000\r\n*6\r\n$"), uint64(166)) // one argument too many, on the short way
	limits := []Limits{
		DefaultLimits(),
		{MaxInline: 24, MaxArgs: 5, MaxBulk: 30, MaxRequest: 70},
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		longest := 1 + random.IntN(40)
		for _, l := range limits {
			want := readSlowly(in, l)
			whole := RequestScanner{Limits: l}
			if got := readPieces(t, &whole, in, func() int { return len(in) }); !equalFound(got, want) {
				t.Fatalf("whole\ngot  %v\nwant %v", got, want)
			}
			cut := RequestScanner{Limits: l}
			got := readPieces(t, &cut, in, func() int { return 1 + random.IntN(longest) })
			if !equalFound(got, want) {
				t.Fatalf("in pieces\ngot  %v\nwant %v", got, want)
			}
		}
	})
}
