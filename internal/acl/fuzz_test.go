package acl

import (
	"strings"
	"testing"

	"ringway/internal/command"
	"ringway/internal/corpus"
)

// FuzzRules looks for rules that panic, that show a password when they are refused, or that make another user when they are told and
// read again: one who is told otherwise, or may do something else.
func FuzzRules(f *testing.F) {
	corpus.Add(f)
	for _, x := range twinTests {
		first, _, _ := strings.Cut(x.requests, "\n")
		f.Add(x.rules, first)
	}
	f.Add("on >hunter2 #"+strings.Repeat("0a", 32)+" %R~a* &b (~c* +@read -get) +select|0", "GET a")
	f.Fuzz(func(t *testing.T, rules, line string) {
		if len(rules) > 1<<10 {
			return // longer is slower, not different
		}
		u := NewUser("u")
		if err := u.ApplyAll(strings.Fields(rules)); err != nil {
			for _, word := range strings.Fields(err.Error()) {
				word = strings.TrimPrefix(word, "'")
				if inside, is := strings.CutPrefix(word, "("); is {
					word = strings.TrimLeft(inside, `"'(`)
				}
				if IsSecret(word) && len(word) > 8 && !strings.HasPrefix(word[1:], "<secret>") {
					t.Errorf("%q shows a password: %v", rules, err)
				}
			}
			return
		}
		for _, p := range u.Permissions()[1:] {
			if strings.Contains(p.Keys+p.Channels, ")") {
				return // it ends the selector when it is read again, in Redis too
			}
		}
		users, err := ParseFile("f", []byte("user u "+u.String()+"\n"))
		if err != nil {
			t.Fatalf("%q is told as %s, which is refused: %v", rules, u, err)
		}
		again := users[0]
		if again.String() != u.String() {
			t.Errorf("%q is told as\n%s, and that as\n%s", rules, u, again)
		}
		if _, err := NewUsers(u); err != nil {
			t.Fatal(err)
		}
		if _, err := NewUsers(again); err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			return
		}
		a := request(words)
		c, _ := command.Resolve(a)
		if c == nil {
			return
		}
		var keys []int
		v := u.Judge(c, a, &keys)
		if w := again.Judge(c, a, &keys); w != v {
			t.Errorf("%q: %s is judged %v, and %v by the same rules as they are told", rules, line, v, w)
		}
		if v.Reason != Allowed && (v.Arg >= a.Len() || v.Refusal(c, a) == "" || v.Explain(c, a) == "") {
			t.Errorf("%q: %s: verdict %v", rules, line, v)
		}
		if c.SingleKey && u.JudgePlain(c, a) && v.Reason != Allowed {
			t.Errorf("%q: %s is allowed at first sight, and not at the second: %v", rules, line, v)
		}
		u.JudgePatterns(c, a, &keys)
	})
}
