package proxy

import (
	"bytes"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/corpus"
	"ringway/internal/redistest"
)

// FuzzLogin looks for arguments of AUTH, HELLO and ACL by which a client becomes a user whose name and password are not among them, that are
// answered with anything but one reply, or that make the connection unusable.
func FuzzLogin(f *testing.F) {
	corpus.Add(f)
	passwords := map[string]string{"default": "main", "alice": "secret", "bob": "hidden"}
	srv := serve(f, withUsers(
		config.User{Name: "default", Passwords: []config.Secret{"main"}, Rules: "+@all ~* &*"},
		config.User{Name: "alice", Passwords: []config.Secret{"secret"}, Rules: "+acl ~a*"},
		config.User{Name: "bob", Passwords: []config.Secret{"hidden"}, Rules: "+acl|whoami"},
		config.User{Name: "off", Passwords: []config.Secret{"secret"}, Rules: "off +@all"},
	), "127.0.0.1:1")
	for _, line := range []string{
		"AUTH main", "AUTH alice secret", "AUTH alice main", "AUTH off secret", "AUTH", "AUTH a b c", "HELLO 3 AUTH bob hidden", "HELLO 2 AUTH bob hidden AUTH alice no",
		"HELLO AUTH alice secret", "HELLO 3 SETNAME AUTH AUTH alice secret SETNAME x", "hello 3 auth alice secret", "ACL WHOAMI", "ACL LOG", "ACL DRYRUN alice GET a", "ACL GETUSER alice", "RESET",
	} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"), "")
		f.Add("AUTH\x00alice\x00secret", strings.ReplaceAll(line, " ", "\x00"))
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		c := redistest.Dial(t, srv.Addr(0))
		given := map[string]bool{}
		for _, line := range []string{first, second} {
			args := strings.Split(line, "\x00")
			if len(args) > 9 || len(line) > 16<<10 {
				return // who has not logged in is closed over more
			}
			switch strings.ToLower(args[0]) {
			case "auth", "hello", "acl", "reset":
			default:
				args = append([]string{"HELLO"}, args...)
			}
			if strings.EqualFold(args[0], "acl") && len(args) > 1 && strings.EqualFold(args[1], "load") {
				return // it waits for nothing here, and is about no argument
			}
			for i, a := range args {
				for name, password := range passwords {
					if i+1 < len(args) && a == name && args[i+1] == password || name == "default" && a == password {
						given[name] = true
					}
				}
			}
			if reply := c.Do(args...); reply == "" || !strings.ContainsAny(reply[:1], "+-:$*%~_") {
				t.Fatalf("%q: %q", args, reply)
			}
		}
		who := c.Do("ACL", "WHOAMI")
		if who == "-"+errNoAuth+"\r\n" {
			return
		}
		name := string(text([]byte(who)))
		if _, is := passwords[name]; !is || !given[name] {
			t.Errorf("%q, %q: it is %q now", first, second, who)
		}
		if reply := c.Do("GET", "b"); name != "default" && !bytes.HasPrefix([]byte(reply), []byte("-NOPERM ")) {
			t.Errorf("%q, %q: %s may GET b: %q", first, second, name, reply)
		}
	})
}
