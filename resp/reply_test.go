package resp

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/corpus"
)

// replySamples are streams of replies, right and wrong, for every test that reads such.
var replySamples = []struct{ name, in string }{
	{"a simple string", "+OK\r\n"},
	{"an empty simple string", "+\r\n"},
	{"an error", "-ERR no\r\n"},
	{"integers", ":0\r\n:12\r\n:-9223372036854775808\r\n"},
	{"a bulk string", "$3\r\nabc\r\n"},
	{"an empty bulk string", "$0\r\n\r\n"},
	{"a bulk string that looks like replies", "$12\r\n\r\n$-1\r\n+OK\r\n\r\n"},
	{"a long bulk string", string(AppendBulkString(nil, text(3000)))},
	{"the nulls of RESP2", "$-1\r\n*-1\r\n"},
	{"the null of RESP3", "_\r\n"},
	{"booleans", "#t\r\n#f\r\n"},
	{"doubles", ",1.5\r\n,-inf\r\n,nan\r\n,1e+20\r\n"},
	{"a big number", "(3492890328409238509324850943850943825024385\r\n"},
	{"an error of several lines", "!10\r\nERR a\r\nbcd\r\n"},
	{"a verbatim string", "=15\r\ntxt:Some string\r\n"},
	{"an array", "*3\r\n$1\r\na\r\n:1\r\n+b\r\n"},
	{"empty aggregates", "*0\r\n~0\r\n%0\r\n>0\r\n"},
	{"nested arrays", "*2\r\n*2\r\n*0\r\n*1\r\n:1\r\n*2\r\n$-1\r\n*-1\r\n"},
	{"many elements", string(AppendCommand(nil, many("a", 100)...))},
	{"deep arrays", strings.Repeat("*1\r\n", 500) + ":1\r\n"},
	{"a map", "%2\r\n+a\r\n:1\r\n+b\r\n%1\r\n+c\r\n*0\r\n"},
	{"a set", "~2\r\n+a\r\n~1\r\n:1\r\n"},
	{"a push before a reply", ">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n+OK\r\n"},
	{"an attribute", "|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n:1\r\n"},
	{"an empty attribute", "|0\r\n:1\r\n"},
	{"attributes one after the other", "|1\r\n+a\r\n:1\r\n|2\r\n+b\r\n:2\r\n+c\r\n:3\r\n*1\r\n:4\r\n"},
	{"an attribute of an element", "*3\r\n:1\r\n|1\r\n+a\r\n%1\r\n+b\r\n:2\r\n:3\r\n:4\r\n"},
	{"an attribute within an attribute", "|1\r\n|1\r\n+a\r\n:1\r\n+b\r\n:2\r\n-ERR x\r\n"},
	{"an attribute of a push", "|1\r\n+a\r\n:1\r\n>1\r\n+message\r\n"},
	{"a pipeline", "+OK\r\n:1\r\n$3\r\nabc\r\n$-1\r\n*1\r\n+x\r\n_\r\n-ERR y\r\n"},
	{"CR or LF within a line", "+a\rb\nc\r\r\n:1\r\n"},

	{"no type", "abc\r\n"},
	{"no type within an array", "*2\r\n:1\r\nabc\r\n"},
	{"only a line end", "\r\n"},
	{"an end of a stream", ".\r\n"},
	{"a streamed string", "$?\r\n;1\r\na\r\n;0\r\n"},
	{"a streamed array", "*?\r\n:1\r\n.\r\n"},
	{"no length", "$\r\nabc\r\n"},
	{"a length that is no number", "$3x\r\nabc\r\n"},
	{"a length with a plus", "$+3\r\nabc\r\n"},
	{"a length with a leading zero", "$03\r\nabc\r\n"},
	{"a length of minus two", "$-2\r\n"},
	{"a length of minus zero", "*-0\r\n"},
	{"a length of minus eleven", "*-11\r\n"},
	{"a length of minus one with a leading zero", "*-01\r\n"},
	{"a length of two minuses", "*--1\r\n"},
	{"a length of only a minus", "*-\r\n"},
	{"a null map", "%-1\r\n"},
	{"a null push", ">-1\r\n"},
	{"a length that ends with LF", "$3\nabc\r\n"},
	{"a length that ends with CR", "$3\rabc\r\n"},
	{"the greatest length", "$4294967296\r\nabc"},
	{"a length over the greatest", "$4294967297\r\nabc"},
	{"a length over 64 bits", "*99999999999999999999999\r\n"},
	{"a negative length over 64 bits", "*-99999999999999999999999\r\n"},
	{"a string longer than its length", "$3\r\nabcd\r\n"},
	{"a string shorter than its length", "$3\r\nab\r\n+OK\r\n"},
	{"a string that ends with CR alone", "$3\r\nabc\rx"},
	{"an empty string that ends with LF", "$0\r\n\n+OK\r\n"},
	{"incomplete", "*3\r\n:1\r\n$100\r\nabc"},
	{"nothing", ""},
}

// foundReplies is what a reader got out of a stream: the lengths and types of the replies, and how it ended.
type foundReplies struct {
	lengths []int
	kinds   string
	verdict string // "" at a boundary, more within a reply, "wrong"
}

func (f foundReplies) String() string {
	return fmt.Sprintf("replies of %v bytes, types %q, then %q", f.lengths, f.kinds, f.verdict)
}

func equalReplies(a, b foundReplies) bool {
	return slices.Equal(a.lengths, b.lengths) && a.kinds == b.kinds && a.verdict == b.verdict
}

func readRepliesSlowly(in []byte) foundReplies {
	var f foundReplies
	for len(in) > 0 {
		n, kind, verdict := slowReply(in)
		switch verdict {
		case "":
		case more:
			f.verdict = more
			return f
		default:
			f.verdict = "wrong"
			return f
		}
		f.lengths = append(f.lengths, n)
		f.kinds += string(rune(kind))
		in = in[n:]
	}
	return f
}

// readReplyPieces gives a scanner a stream piece by piece; each piece is overwritten after the scanner had it.
func readReplyPieces(t testing.TB, s *ReplyScanner, in []byte, next func() int) foundReplies {
	t.Helper()
	var f foundReplies
	length := 0
	for len(in) > 0 {
		loan := bytes.Clone(in[:min(next(), len(in))])
		in = in[len(loan):]
		for rest := loan; len(rest) > 0; {
			if s.Idle() != (length == 0) {
				t.Fatalf("idle is %v after %d bytes of a reply", s.Idle(), length)
			}
			n, done, err := s.Scan(rest)
			if err != nil {
				if _, _, again := s.Scan(rest); again != err {
					t.Fatalf("an error is not final: %v, then %v", err, again)
				}
				f.verdict = "wrong"
				return f
			}
			if !done && n != len(rest) || n == 0 {
				t.Fatalf("%d of %d bytes were taken, done %v", n, len(rest), done)
			}
			length += n
			if done {
				f.lengths = append(f.lengths, length)
				f.kinds += string(rune(s.Kind()))
				length = 0
			}
			rest = rest[n:]
		}
		for i := range loan {
			loan[i] = 'x'
		}
	}
	if length > 0 {
		f.verdict = more
	}
	return f
}

func TestReplyAgreesWithTheSlowReader(t *testing.T) {
	for _, sample := range replySamples {
		t.Run(sample.name, func(t *testing.T) {
			in := []byte(sample.in)
			want := readRepliesSlowly(in)
			check := func(how string, next func() int) {
				t.Helper()
				var s ReplyScanner
				if got := readReplyPieces(t, &s, in, next); !equalReplies(got, want) {
					t.Fatalf("%s\ngot  %v\nwant %v", how, got, want)
				}
			}
			check("whole", func() int { return len(in) })
			for cut := 1; cut < len(in); cut++ {
				first := true
				check(fmt.Sprintf("cut at byte %d", cut), func() int {
					if first {
						first = false
						return cut
					}
					return len(in)
				})
			}
			for _, size := range []int{1, 2, 3, 5, 7} {
				check(fmt.Sprintf("in pieces of %d", size), func() int { return size })
			}
		})
	}
}

// Every prefix of a reply is incomplete, never an error; and the type is known as soon as it has come.
func TestEveryPrefixOfAReplyIsIncomplete(t *testing.T) {
	for _, sample := range replySamples {
		n, kind, verdict := slowReply([]byte(sample.in))
		if verdict != "" {
			continue
		}
		for cut := range n {
			var s ReplyScanner
			got, done, err := s.Scan([]byte(sample.in[:cut]))
			if got != cut || done || err != nil {
				t.Fatalf("%q: got %d, %v, %v", sample.in[:cut], got, done, err)
			}
			want := kind
			if cut == 0 || sample.in[0] == '|' && s.Kind() == 0 {
				want = 0
			}
			if s.Kind() != want {
				t.Fatalf("%q: the type is %q, not %q", sample.in[:cut], s.Kind(), want)
			}
			if _, _, err := Element([]byte(sample.in[:cut])); err != ErrIncomplete {
				t.Fatalf("%q: Element says %v", sample.in[:cut], err)
			}
		}
	}
}

func TestKindIsThatOfTheReplyNotOfItsAttribute(t *testing.T) {
	var s ReplyScanner
	steps := []struct {
		in   string
		kind byte
		done bool
	}{
		{"+OK\r\n", '+', true},
		{"|1\r\n", 0, false},
		{"*1\r\n:1\r", 0, false},
		{"\n-x\r\n", 0, false},
		{"%1\r\n", '%', false},
		{"|1\r\n:1\r\n:2\r\n", '%', false},
		{"_\r\n#t\r\n", '%', true},
		{"!", '!', false},
	}
	for _, step := range steps {
		n, done, err := s.Scan([]byte(step.in))
		if n != len(step.in) || done != step.done || err != nil || s.Kind() != step.kind {
			t.Fatalf("%q: got %d, %v, %v, %q", step.in, n, done, err, s.Kind())
		}
	}
	s.Reset()
	if !s.Idle() || s.Kind() != 0 {
		t.Fatal("not idle after Reset")
	}
}

func TestReplyErrorsSayWhatIsWrong(t *testing.T) {
	tests := []struct{ in, want string }{
		{"HTTP/1.1 400\r\n", `not RESP: a reply or element begins with 'H', which is no type`},
		{"$?\r\n", `not RESP: the length of a '$' has '?' where it does not belong`},
		{"*4294967297\r\n", `not RESP: the length of a '*' is over 4294967296`},
		{"$1\rx", `not RESP: the length of a '$' ends with 'x', not with a line end`},
		{"=1\r\nab", `not RESP: a '=' is followed by 'b', not by a line end`},
	}
	for _, test := range tests {
		var s ReplyScanner
		if _, _, err := s.Scan([]byte(test.in)); err == nil || err.Error() != test.want {
			t.Errorf("%q: got %v, want %s", test.in, err, test.want)
		}
	}
}

func TestCountOfElementsCannotOverflow(t *testing.T) {
	s := ReplyScanner{left: maxLeft - 1}
	if _, _, err := s.Scan([]byte("*4294967296\r\n")); err == nil {
		t.Fatal("no error")
	}
}

// A scanner keeps nothing of what it was given, so a long reply costs what its pieces cost: each is looked at once.
func TestReplyOfManyPieces(t *testing.T) {
	const size = 100 << 20
	piece := bytes.Repeat([]byte("$-1\r\n"), 13108)[:64<<10]
	var s ReplyScanner
	if n, done, err := s.Scan([]byte("$104857600\r\n")); n != 12 || done || err != nil {
		t.Fatal(n, done, err)
	}
	for range size / len(piece) {
		if n, done, err := s.Scan(piece); n != len(piece) || done || err != nil {
			t.Fatal(n, done, err)
		}
	}
	if n, done, err := s.Scan([]byte("\r\n+OK\r\n")); n != 2 || !done || err != nil {
		t.Fatal(n, done, err)
	}
}

func TestRepliesAreReadWithoutAllocating(t *testing.T) {
	for _, sample := range replySamples {
		in := []byte(sample.in)
		if _, _, verdict := slowReply(in); verdict != "" {
			continue
		}
		var s ReplyScanner
		allocs := testing.AllocsPerRun(100, func() {
			_, done, err := s.Scan(in[:len(in)/2])
			for at := len(in) / 2; err == nil && !done && at < len(in); {
				var n int
				n, done, err = s.Scan(in[at:])
				at += n
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Reset()
			Element(in)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", sample.name, allocs)
		}
	}
}

// All types, as a real server sends them.
func TestRepliesOfARealServerAreFound(t *testing.T) {
	socket := startRedis(t, "--enable-debug-command", "yes")
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	in := bufio.NewReader(conn)
	types := []string{
		"string", "integer", "double", "null", "array", "set", "map", "attrib", "push", "verbatim", "true", "false", "bignum",
	}
	for version, kinds := range map[string]string{"2": "*$:$$***$-$::$+", "3": "%$:,_*~%$>$=##(+"} {
		want := kinds
		var request []byte
		request = AppendCommand(request, "HELLO", version)
		for _, name := range types {
			request = AppendCommand(request, "DEBUG", "PROTOCOL", name)
		}
		request = AppendCommand(request, "PING")
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		var got string
		var s ReplyScanner
		var stream []byte
		for !strings.HasSuffix(string(stream), "+PONG\r\n") {
			c, err := in.ReadByte()
			if err != nil {
				t.Fatalf("%v after %q", err, stream)
			}
			stream = append(stream, c)
			_, done, err := s.Scan([]byte{c})
			if err != nil {
				t.Fatalf("%v after %q", err, stream)
			}
			if done {
				got += string(rune(s.Kind()))
			}
		}
		if got != want {
			t.Fatalf("RESP%s: types %s, want %s, in %q", version, got, want, stream)
		}
		if whole := readRepliesSlowly(stream); whole.verdict != "" || whole.kinds != got {
			t.Fatalf("the slow reader finds %v", whole)
		}
	}
}

func FuzzReply(f *testing.F) {
	corpus.Add(f)
	for i, sample := range replySamples {
		f.Add([]byte(sample.in), uint64(i))
	}
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		if strings.Count(string(in), "\r\n") > 2000 {
			return // the slow reader is recursive, and quadratic
		}
		want := readRepliesSlowly(in)
		var whole ReplyScanner
		if got := readReplyPieces(t, &whole, in, func() int { return len(in) }); !equalReplies(got, want) {
			t.Fatalf("whole\ngot  %v\nwant %v", got, want)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		longest := 1 + random.IntN(40)
		var cut ReplyScanner
		got := readReplyPieces(t, &cut, in, func() int { return 1 + random.IntN(longest) })
		if !equalReplies(got, want) {
			t.Fatalf("in pieces\ngot  %v\nwant %v", got, want)
		}
	})
}
