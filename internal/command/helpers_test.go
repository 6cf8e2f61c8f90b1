package command

import (
	"strings"
	"testing"

	"ringway/internal/redistest"
	"ringway/resp"
)

// generated is the source of the rows that gen read from a server.
const generated = "redis 7.0.15"

// request makes the arguments of a request.
func request(args ...string) *resp.Args {
	a := &resp.Args{}
	for _, s := range args {
		a.Spans = append(a.Spans, resp.Span{Off: int32(len(a.Buf)), Len: int32(len(s))})
		a.Buf = append(a.Buf, s...)
	}
	return a
}

// versions runs a test in both versions of the protocol against one server.
func versions(t *testing.T, f func(t *testing.T, c *redistest.Conn, resp3 bool)) {
	s := redistest.Server(t)
	for _, version := range []string{"2", "3"} {
		t.Run("resp"+version, func(t *testing.T) {
			c := redistest.Dial(t, s.Addr())
			c.Do("HELLO", version)
			f(t, c, version == "3")
		})
	}
}

// elements returns the elements of an aggregate, a map's keys and values one after the other.
func elements(t *testing.T, reply string) []string {
	t.Helper()
	n, rest, err := resp.ArrayLen([]byte(reply))
	if err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	var all []string
	for range n {
		var e []byte
		if e, rest, err = resp.Element(rest); err != nil {
			t.Fatalf("%q: %v", reply, err)
		}
		all = append(all, string(e))
	}
	if len(rest) > 0 {
		t.Fatalf("%q: %q is left", reply, rest)
	}
	return all
}

// text returns what a simple or a bulk string says.
func text(reply string) string {
	if reply[0] == '$' {
		_, reply, _ = strings.Cut(reply, "\r\n")
		return strings.TrimSuffix(reply, "\r\n")
	}
	return strings.TrimSuffix(reply[1:], "\r\n")
}

// texts returns what the elements of an aggregate say.
func texts(t *testing.T, reply string) []string {
	t.Helper()
	all := elements(t, reply)
	for i := range all {
		all[i] = text(all[i])
	}
	return all
}

// answer is the router's reply to a request of the COMMAND family.
func answer(resp3 bool, args ...string) string {
	return string(Answer(nil, resp3, request(args...)))
}
