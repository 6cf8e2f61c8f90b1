package resp

import (
	"slices"
	"testing"
)

func TestElementWalksAnArray(t *testing.T) {
	reply := []byte("*4\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n|1\r\n+x\r\n+y\r\n$-1\r\n#t\r\n+next\r\n")
	n, rest, err := ArrayLen(reply)
	if n != 4 || err != nil {
		t.Fatal(n, err)
	}
	var got []string
	for range n {
		var elem []byte
		if elem, rest, err = Element(rest); err != nil {
			t.Fatal(err)
		}
		if cap(elem) != len(elem) {
			t.Fatal("an append to an element would overwrite the next")
		}
		got = append(got, string(elem))
	}
	want := []string{"$1\r\na\r\n", "*2\r\n:1\r\n:2\r\n", "|1\r\n+x\r\n+y\r\n$-1\r\n", "#t\r\n"}
	if !slices.Equal(got, want) || string(rest) != "+next\r\n" {
		t.Fatalf("got %q and %q", got, rest)
	}
}

func TestArrayLen(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		rest string
		err  string
	}{
		{in: "*0\r\n", n: 0},
		{in: "*12\r\n:1\r\n", n: 12, rest: ":1\r\n"},
		{in: "~2\r\nx", n: 2, rest: "x"},
		{in: ">3\r\nx", n: 3, rest: "x"},
		{in: "%4\r\nx", n: 8, rest: "x"},
		{in: "*-1\r\nx", n: -1, rest: "x"},
		{in: "_\r\nx", n: -1, rest: "x"},
		{in: "|1\r\n+a\r\n*1\r\n:1\r\n*2\r\nx", n: 2, rest: "x"},
		{in: "", err: "resp: the reply is incomplete"},
		{in: "*1\r", err: "resp: the reply is incomplete"},
		{in: "*1\n", err: `resp: "*1\n" is no header`},
		{in: "%-1\r\n", err: `resp: "%-1" has no length`},
		{in: "*x\r\n", err: `resp: "*x" has no length`},
		{in: "|1\r\n+a\r\n", err: "resp: the reply is incomplete"},
		{in: "$1\r\na\r\n", err: "resp: expected an array, got a '$'"},
		{in: "-ERR x\r\n", err: "resp: expected an array, got a '-'"},
	}
	for _, test := range tests {
		n, rest, err := ArrayLen([]byte(test.in))
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%q: got %v, want %s", test.in, err, test.err)
			}
			continue
		}
		if n != test.n || string(rest) != test.rest || err != nil {
			t.Errorf("%q: got %d, %q, %v", test.in, n, rest, err)
		}
	}
}

func TestInt(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		err  string
	}{
		{in: ":0\r\n"},
		{in: ":-12\r\n", want: -12},
		{in: ":9223372036854775807\r\n", want: 1<<63 - 1},
		{in: ":-9223372036854775808\r\n", want: -1 << 63},
		{in: "|1\r\n+a\r\n:1\r\n:7\r\n", want: 7},
		{in: ":9223372036854775808\r\n", err: `resp: "9223372036854775808" is no integer`},
		{in: ":1x\r\n", err: `resp: "1x" is no integer`},
		{in: ":1", err: "resp: the reply is incomplete"},
		{in: "", err: "resp: the reply is incomplete"},
		{in: "+1\r\n", err: "resp: expected an integer, got a '+'"},
	}
	for _, test := range tests {
		n, err := Int([]byte(test.in))
		if test.err != "" {
			if err == nil || err.Error() != test.err {
				t.Errorf("%q: got %v, want %s", test.in, err, test.err)
			}
			continue
		}
		if n != test.want || err != nil {
			t.Errorf("%q: got %d, %v", test.in, n, err)
		}
	}
}

func TestIsError(t *testing.T) {
	for in, want := range map[string]bool{
		"-ERR x\r\n": true, "!3\r\nERR\r\n": true, "|1\r\n+a\r\n:1\r\n-ERR\r\n": true,
		"+OK\r\n": false, "$4\r\n-ERR\r\n": false, "*1\r\n-ERR\r\n": false, "|1\r\n-a\r\n:1\r\n:2\r\n": false, "": false,
	} {
		if got := IsError([]byte(in)); got != want {
			t.Errorf("%q: got %v", in, got)
		}
	}
}
