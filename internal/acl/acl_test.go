package acl

import (
	"strings"
	"testing"

	"ringway/internal/command"
)

func TestTheBitmapHasRoomForTheTable(t *testing.T) {
	if command.Count() > tableSize {
		t.Errorf("%d commands; raise tableSize", command.Count())
	}
}

// Redis carries PFMERGE with one key out, though its rule for keys can't be followed, and does not ask who may do that.
func TestKeysOfMalformedRequestsAreJudged(t *testing.T) {
	u := user(t, "+@all", "~mine")
	for _, line := range []string{"PFMERGE other", "ZUNIONSTORE other 5 mine"} {
		if got := dryRun(u, strings.Fields(line)); got == "+OK\r\n" {
			t.Errorf("%s is allowed", line)
		}
	}
}

func TestUnlimited(t *testing.T) {
	for rules, want := range map[string]bool{
		"+@all ~* &*": true, "+@all ~* &* on >x": true, "+@all ~*": false, "+@all &*": false, "~* &* +@read": false, "+@all ~* &* -get": false,
		"+@all %RW~* &*": false, "(+@all ~* &*)": false, "+@all ~* &* (+get ~a)": true,
	} {
		if got := user(t, strings.Fields(rules)...).Unlimited(); got != want {
			t.Errorf("%s: %v", rules, got)
		}
	}
	if !NewDefault("").Unlimited() {
		us, _ := NewUsers()
		if !us.Default().Unlimited() {
			t.Error("default is limited")
		}
	}
}

func TestLogIn(t *testing.T) {
	on := NewUser("on")
	off := NewUser("off")
	open := NewUser("open")
	for u, rules := range map[*User]string{on: "on >one >two", off: ">one", open: "on nopass"} {
		if err := u.ApplyAll(strings.Fields(rules)); err != nil {
			t.Fatal(err)
		}
	}
	us, err := NewUsers(on, off, open, NewDefault("main"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, password string
		ok             bool
	}{
		{"on", "one", true}, {"on", "two", true}, {"on", "three", false}, {"on", "", false}, {"On", "one", false}, {"off", "one", false}, {"open", "any", true},
		{"open", "", true}, {"default", "main", true}, {"default", "one", false}, {"nobody", "one", false}, {"", "", false},
	} {
		u, digest := us.LogIn([]byte(x.name), []byte(x.password))
		if (u != nil) != x.ok || x.ok && u.Name() != x.name {
			t.Errorf("%s with %q: %v", x.name, x.password, u)
		}
		if u == open && digest != "" || u == on && !on.Takes(digest) {
			t.Errorf("%s: digest %q", x.name, digest)
		}
	}
	if _, err := NewUsers(on, NewUser("on")); err == nil {
		t.Error("two of a name")
	}
}

func TestSortNeedsAllKeysForPatterns(t *testing.T) {
	for _, x := range []struct {
		rules, request, says string
	}{
		{"+@all ~k", "SORT k BY w_*", "ERR BY option of SORT denied due to insufficient ACL permissions."},
		{"+@all ~k", "SORT k BY nosort", ""},
		{"+@all ~k", "SORT_RO k LIMIT 0 get get #", "ERR GET option of SORT denied due to insufficient ACL permissions."},
		{"+@all ~k", "SORT k STORE get", ""},
		{"+@all %R~* %W~k", "SORT k BY w_* GET x_*", ""},
		{"+@all %W~* %R~k", "SORT k BY w_*", "ERR BY option of SORT denied due to insufficient ACL permissions."},
		{"+@all ~k (~* +get)", "SORT k BY w_*", "ERR BY option of SORT denied due to insufficient ACL permissions."},
		{"+@all ~k (~* +sort)", "SORT k BY w_*", ""},
	} {
		a := request(strings.Fields(x.request))
		c, _ := command.Resolve(a)
		var keys []int
		says := ""
		if v := user(t, strings.Fields(x.rules)...).JudgePatterns(c, a, &keys); v.Reason != Allowed {
			says = v.Refusal(c, a)
		}
		if says != x.says {
			t.Errorf("%s | %s: %q, want %q", x.rules, x.request, says, x.says)
		}
	}
}

func TestParseFile(t *testing.T) {
	users, err := ParseFile("users.acl", []byte("user default off\r\n\n# a comment\nuser alice on >pw ~a* ( +get\t~b )  +@read\n  user bob\n"))
	if err != nil || len(users) != 3 {
		t.Fatal(users, err)
	}
	if got := users[1].String(); got != "on #"+Digest([]byte("pw"))+" ~a* resetchannels -@all +@read (~b resetchannels -@all +get)" {
		t.Error(got)
	}
	_, err = ParseFile("users.acl", []byte("user a on\nusr b hunter2\nuser a off\nuser c +nosuch\nuser d #hunter2\nuser e (~a\nuser\nuser f <hunter2"))
	want := `users.acl:2: found no user; expected: user NAME RULE...
users.acl:3: user "a" is on line 1 already; keep one
users.acl:4: user "c": rule '+nosuch': Unknown command or category name in ACL
users.acl:5: user "d": rule '#<secret>': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters
users.acl:6: user "e": Unmatched parenthesis in acl selector starting at '(~a'.
users.acl:7: found no user; expected: user NAME RULE...
users.acl:8: user "f": rule '<<secret>': The password you are trying to remove from the user does not exist`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestJudgingAllocatesNothing(t *testing.T) {
	u := user(t, "on", "nopass", "~a:*", "~b*c", "&x*", "+@read", "+@write", "-@dangerous", "(+@all ~z)")
	a, b := request([]string{"GET", "a:1"}), request([]string{"MGET", "a:1", "bbbc", "a:2"})
	get, mget := command.Lookup([]byte("get")), command.Lookup([]byte("mget"))
	keys := make([]int, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		if !u.JudgePlain(get, a) || u.Judge(mget, b, &keys).Reason != Allowed {
			t.Fatal("denied")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
