package resp

import (
	"math"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	tests := []struct {
		got  []byte
		want string
	}{
		{AppendArray(nil, 0), "*0\r\n"},
		{AppendArray([]byte("x"), 9), "x*9\r\n"},
		{AppendArray(nil, 10), "*10\r\n"},
		{AppendArray(nil, 1234567), "*1234567\r\n"},
		{AppendMap(nil, false, 2), "*4\r\n"},
		{AppendMap(nil, true, 2), "%2\r\n"},
		{AppendSet(nil, false, 2), "*2\r\n"},
		{AppendSet(nil, true, 2), "~2\r\n"},
		{AppendPush(nil, 3), ">3\r\n"},
		{AppendBulk(nil, nil), "$0\r\n\r\n"},
		{AppendBulk([]byte("x"), []byte("a\r\nb")), "x$4\r\na\r\nb\r\n"},
		{AppendBulkString(nil, text(12)), "$12\r\n" + text(12) + "\r\n"},
		{AppendInt(nil, math.MinInt64), ":-9223372036854775808\r\n"},
		{AppendSimple(nil, "OK"), "+OK\r\n"},
		{AppendSimple(nil, "a\nb"), "+a b\r\n"},
		{AppendError([]byte("\r\n"), "ERR a\r\nb\n"), "\r\n-ERR a  b \r\n"},
		{AppendNull(nil, false), "$-1\r\n"},
		{AppendNull(nil, true), "_\r\n"},
		{AppendNullArray(nil, false), "*-1\r\n"},
		{AppendNullArray(nil, true), "_\r\n"},
		{AppendBool(nil, false, true), ":1\r\n"},
		{AppendBool(nil, false, false), ":0\r\n"},
		{AppendBool(nil, true, true), "#t\r\n"},
		{AppendBool(nil, true, false), "#f\r\n"},
		{AppendDouble(nil, false, 3.141), "$5\r\n3.141\r\n"},
		{AppendDouble(nil, true, 3.141), ",3.141\r\n"},
		{AppendDouble(nil, true, 0.1), ",0.10000000000000001\r\n"},
		{AppendDouble(nil, true, 1e6), ",1000000\r\n"},
		{AppendDouble(nil, true, 1e20), ",1e+20\r\n"},
		{AppendDouble(nil, true, math.Inf(-1)), ",-inf\r\n"},
		{AppendDouble(nil, true, math.Inf(1)), ",inf\r\n"},
		{AppendDouble(nil, false, math.NaN()), "$3\r\nnan\r\n"},
		{AppendVerbatim(nil, false, "txt", "a b"), "$3\r\na b\r\n"},
		{AppendVerbatim(nil, true, "txt", "a b"), "=7\r\ntxt:a b\r\n"},
		{AppendCommand(nil, "GET", ""), "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"},
	}
	for _, test := range tests {
		if string(test.got) != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
		reply := strings.TrimPrefix(strings.TrimPrefix(test.want, "x"), "\r\n")
		var s ReplyScanner
		if n, _, err := s.Scan([]byte(reply)); n != len(reply) || err != nil {
			t.Errorf("%q is read as %d bytes, %v", reply, n, err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 1024)
	allocs := testing.AllocsPerRun(100, func() {
		b := AppendArray(dst, 1000)
		b = AppendBulk(b, dst)
		b = AppendError(b, "ERR x")
		b = AppendDouble(b, false, 1.5)
		AppendInt(b, 123)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestParseIntTakesWhatRedisTakes(t *testing.T) {
	for _, s := range []string{
		"", "-", "0", "-0", "00", "01", "-01", "+1", "1", "-1", "12a", "a", " 1", "1 ", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999", "1\x00",
	} {
		want, wantOK := slowNumber(s)
		if got, ok := parseInt([]byte(s)); ok != wantOK || ok && got != want {
			t.Errorf("%q: got %d, %v", s, got, ok)
		}
	}
}
