package acl

import (
	"testing"

	"ringway/internal/command"
	"ringway/resp"
)

// request makes the arguments of a request.
func request(words []string) *resp.Args {
	a := &resp.Args{}
	for _, w := range words {
		a.Spans = append(a.Spans, resp.Span{Off: int32(len(a.Buf)), Len: int32(len(w))})
		a.Buf = append(a.Buf, w...)
	}
	return a
}

// user makes one of a set, or fails the test.
func user(t testing.TB, rules ...string) *User {
	t.Helper()
	u := NewUser("u")
	if err := u.ApplyAll(rules); err != nil {
		t.Fatalf("%q: %v", rules, err)
	}
	if _, err := NewUsers(u); err != nil {
		t.Fatal(err)
	}
	return u
}

// dryRun is what ACL DRYRUN says, as a raw reply.
func dryRun(u *User, words []string) string {
	a := request(words)
	c, sentence := command.Resolve(a)
	if c == nil {
		return "-" + sentence + "\r\n"
	}
	var keys []int
	v := u.Judge(c, a, &keys)
	if v.Reason == Allowed {
		return "+OK\r\n"
	}
	return string(resp.AppendBulkString(nil, v.Explain(c, a)))
}
