package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"ringway/internal/acl"
	"ringway/internal/config"
	"ringway/internal/redistest"
)

// someUsers are users of a pool, and of a real server beside it.
var someUsers = []struct{ name, rules string }{
	{"reader", "~a* %R~r* &news:* +@read +@connection +subscribe +psubscribe +publish +multi +exec +discard"},
	{"writer", "~a* %W~w* +@all -@dangerous -@scripting (+get +mget ~s) (+publish &p)"},
	{"admin", "~* &* +@all"},
	{"sorter", "~a* +@all &*"},
}

// guarded is a server with those users, whose password is "pw", and a real one that has them as well.
func guarded(t *testing.T, change func(*config.Pool)) (*Server, *redistest.Redis) {
	t.Helper()
	real := redistest.Server(t)
	c := redistest.Dial(t, real.Addr())
	var users []config.User
	for _, u := range someUsers {
		users = append(users, config.User{Name: u.name, Passwords: []config.Secret{"pw", "other"}, Rules: u.rules})
		want(t, "ACL SETUSER", c.Do(append([]string{"ACL", "SETUSER", u.name, "on", ">pw", ">other"}, strings.Fields(u.rules)...)...), "+OK\r\n")
	}
	users = append(users, config.User{Name: "gone", Passwords: []config.Secret{"pw"}, Rules: "off +@all ~*"})
	c.Do("ACL", "SETUSER", "gone", "off", ">pw", "+@all", "~*")
	c.Do("ACL", "SETUSER", "default", "off", "resetpass")
	users = append(users, config.User{Name: "default", Rules: "off ~* &* +@all"})
	return serve(t, onPool(func(p *config.Pool) {
		p.Users = users
		if change != nil {
			change(p)
		}
	}), nodes(t, 1)...), real
}

func TestUsersAreThoseOfRedis(t *testing.T) {
	srv, real := guarded(t, nil)
	login := func(as string) []string { return []string{"AUTH " + as + " pw; ", "HELLO 3 AUTH " + as + " pw; "} }
	var scripts []string
	for as, lines := range map[string][]string{
		"reader": {
			"ACL WHOAMI", "GET a", "GET ab", "GET r1", "GET x", "SET a 1", "MGET a r1", "MGET a x", "HGETALL a", "EXISTS r", "TYPE r", "GETEX a", "GETEX r",
			"SUBSCRIBE news:1; QUIT", "PUBLISH news:1 m", "PUBLISH other m", "MULTI; GET a; EXEC", "MULTI; GET a; GET x; GET a; EXEC", "MULTI; SET a 1; DISCARD", "MULTI; DEL a; EXEC",
			"EVAL return 0", "EVAL s 0", "KEYS *", "FLUSHALL", "SHUTDOWN", "CONFIG GET port", "CLIENT ID x", "NOSUCH", "GET", "CONFIG NOSUCH", "ACL LIST",
			"AUTH writer pw; SET a 1; GET x; DEL a", "AUTH writer no; GET a; SET a 1", "AUTH other; GET a", "AUTH gone pw", "AUTH nobody pw", "AUTH reader other; GET a",
			"WATCH a", "UNWATCH", "COMMAND COUNT x", "SELECT 1; GET a", "RESET; GET a", "HELLO 3; GET a", "HELLO 2 AUTH reader no; GET a", "SORT_RO a", "SORT a",
			"PSUBSCRIBE news:*x", "SUBSCRIBE other", "SUBSCRIBE news:1 other", "SSUBSCRIBE news:1", "EXEC", "DISCARD", "MULTI; EXEC a; EXEC", "HELLO 4",
		},
		"writer": {
			"SET a 1; GET a; DEL a", "SET w1 1", "GET w1", "SET w1 1 GET", "DEL w1", "COPY a w2", "COPY w2 a", "GET s", "MGET s", "MGET s a", "SET s 1", "MSET a 1 w 2; DEL a w", "MSET a 1 x 2",
			"LPUSH w 1; DEL w", "LMOVE a w LEFT LEFT", "RENAME a w", "SINTERSTORE w a a2", "ZUNIONSTORE w 2 a b", "ZUNIONSTORE w 2 a a2", "XADD w * f", "BLPOP w 0.01", "BLPOP a x 1",
			"EVAL s 0", "FLUSHALL", "KEYS a", "CONFIG SET a b", "CLIENT SETNAME x; CLIENT GETNAME", "CLIENT KILL x", "PUBLISH p m", "PUBLISH q m", "SUBSCRIBE p", "ACL WHOAMI",
			"MULTI; SET a 1; SET w 2; EXEC; DEL a w", "MULTI; SET a 1; SET x 2; EXEC; GET a", "WATCH a; MULTI; SET a 1; EXEC; DEL a", "WATCH x; MULTI; SET a 1; EXEC; DEL a", "MULTI; PUBLISH q m; EXEC",
			"XREAD STREAMS a 0", "XREAD STREAMS a w 0 0", "XREAD BLOCK 1 STREAMS w 0", "SORT a", "OBJECT ENCODING w", "OBJECT ENCODING x", "SCAN 0 MATCH nosuch*", "DBSIZE x", "TOUCH a x", "UNLINK a w",
			"CLIENT REPLY OFF; SET x 1; SET a 1; CLIENT REPLY ON; GET a; DEL a", "PFMERGE w a", "BITOP AND w a a",
		},
		"sorter": {"SORT a BY w_*", "SORT a BY nosort", "SORT a GET x_*", "SORT a GET #", "SORT_RO a LIMIT 0 1 BY w_* GET #", "SORT a STORE a2"},
		"admin": {
			"ACL USERS", "ACL GETUSER sorter", "ACL GETUSER default", "ACL GETUSER gone", "ACL GETUSER nobody", "ACL GETUSER", "ACL GETUSER a b", "ACL USERS x", "ACL LIST x",
			"ACL DRYRUN reader GET a", "ACL DRYRUN reader GET x", "ACL DRYRUN reader SET a 1", "ACL DRYRUN nobody GET a", "ACL DRYRUN reader NOSUCH a", "ACL DRYRUN reader GET",
			"ACL DRYRUN reader PUBLISH a b", "ACL DRYRUN reader CONFIG NOSUCH", "ACL DRYRUN reader CONFIG", "ACL DRYRUN reader CONFIG GET a", "ACL DRYRUN reader", "ACL DRYRUN reader ACL WHOAMI x",
			"ACL DRYRUN admin FLUSHALL", "ACL LOG x", "ACL LOG RESET x", "ACL LOG 1 2", "ACL LOG -1", "CLIENT KILL USER nobody", "CLIENT KILL USER reader", "CLIENT KILL USER", "ACL HELP",
			"ACL WHOAMI; AUTH reader pw; ACL USERS; AUTH admin pw; ACL USERS",
		},
	} {
		for _, line := range lines {
			for _, in := range login(as) {
				scripts = append(scripts, in+line)
			}
		}
	}
	scripts = append(scripts, "GET a", "AUTH pw", "AUTH default pw", "HELLO 3", "HELLO 3 AUTH reader no", "HELLO 3 AUTH gone pw", "AUTH reader", "AUTH reader no; GET a", "PING", "RESET; GET a",
		"HELLO 2 AUTH reader pw SETNAME x; CLIENT GETNAME", "AUTH reader pw x", "AUTH", "EXEC", "MULTI", "QUIT")
	compare(t, scripts, real, srv)
}

var clientInfo = regexp.MustCompile(`id=\d+ addr=\S+ .*? (db=\d+) .*? (multi=-?\d+) .*? (cmd=\S+ user=\S+) .*`)

// What was denied is told as Redis tells it, but for what is about the connection.
func TestDenialsAreToldAsByRedis(t *testing.T) {
	srv, real := guarded(t, nil)
	tell := func(addr string) string {
		c := redistest.Dial(t, addr)
		for _, line := range []string{
			"AUTH reader no", "AUTH reader no", "HELLO 3 AUTH nobody x", "auth gone pw", "AUTH reader pw", "SET a 1", "SET b 1", "GET x", "GET x", "GET y", "GET x", "CONFIG SET a b",
			"PUBLISH secret m", "MULTI", "GET x", "SET a 1", "EXEC", "AUTH admin pw",
		} {
			c.Do(strings.Fields(line)...)
		}
		var all []string
		for _, args := range [][]string{{"ACL", "LOG"}, {"ACL", "LOG", "3"}, {"ACL", "LOG", "0"}, {"HELLO", "3"}, {"ACL", "LOG", "1"}, {"ACL", "LOG", "RESET"}, {"ACL", "LOG"}} {
			reply := c.Do(args...)
			if args[0] == "HELLO" {
				continue
			}
			reply = regexp.MustCompile(`(age-seconds\r\n)(,[^\r]*|\$\d+\r\n[^\r]*)`).ReplaceAllString(reply, "${1}0")
			reply = regexp.MustCompile(`(client-info\r\n)\$\d+\r\n`).ReplaceAllString(reply, "$1")
			var lines []string
			for _, l := range strings.Split(reply, "\r\n") {
				lines = append(lines, clientInfo.ReplaceAllString(l, "$1 $2 $3"))
			}
			all = append(all, strings.Join(lines, "\n"))
		}
		return strings.Join(all, "\n")
	}
	if got, want := tell(srv.Addr(0)), tell(real.Addr()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Without users ACL tells of the one that everybody is.
func TestTheDefaultUserIsTold(t *testing.T) {
	c := client(t, serve(t, nil, nodes(t, 1)...))
	want(t, "ACL LIST", c.Do("ACL", "LIST"), "*1\r\n$36\r\nuser default on nopass ~* &* +@all\r\n"[:4]+redistest.Bulk("user default on nopass ~* &* +@all"))
	want(t, "ACL LOAD", c.Do("ACL", "LOAD"), "-"+errNoACLFile+"\r\n")
	want(t, "ACL SETUSER", c.Do("ACL", "SETUSER", "x"), "-ERR ACL SETUSER is refused: users are in the router's configuration, or the users_file that it names; edit that, and reload it\r\n")
	c = client(t, serve(t, onPool(func(p *config.Pool) { p.RequirePass = "pw" }), nodes(t, 1)...))
	c.Do("AUTH", "pw")
	want(t, "ACL LIST", c.Do("ACL", "LIST"), "*1\r\n"+redistest.Bulk("user default on #"+acl.Digest([]byte("pw"))+" ~* &* +@all"))
}

func TestClientsAreToldWithTheirUsers(t *testing.T) {
	srv, _ := guarded(t, func(p *config.Pool) {})
	admin, reader, other := client(t, srv), client(t, srv), client(t, srv)
	want(t, "AUTH", admin.Do("AUTH", "admin", "pw"), "+OK\r\n")
	want(t, "AUTH", reader.Do("AUTH", "reader", "pw"), "+OK\r\n")
	if list := admin.Do("CLIENT", "LIST"); strings.Count(list, "user=reader ") != 1 || strings.Count(list, "user=admin ") != 1 || strings.Count(list, "user=default ") != 1 {
		t.Errorf("CLIENT LIST: %q", list)
	}
	want(t, "CLIENT KILL USER", admin.Do("CLIENT", "KILL", "USER", "reader"), ":1\r\n")
	reader.RecvEOF()
	want(t, "another's", other.Do("PING"), "-"+errNoAuth+"\r\n")
}

// deny_commands holds for everybody, with users and without, on the short way and on others.
func TestDeniedCommands(t *testing.T) {
	says := func(name string) string { return "-NOPERM '" + name + "' is denied to all clients of this pool\r\n" }
	denied := onPool(func(p *config.Pool) {
		p.DenyCommands = []string{"@dangerous", "incr", "client|setname", "mget"}
		p.AllowCommands = []string{"info", "@connection"}
	})
	srv := serve(t, denied, nodes(t, 2)...)
	c := client(t, srv)
	for _, name := range []string{"flushall", "keys", "incr", "mget", "config|get"} {
		args := append(strings.Split(name, "|"), "a", "b")[:map[string]int{"flushall": 1, "config|get": 3}[name]+map[bool]int{true: 2}[name != "flushall" && name != "config|get"]]
		want(t, name, c.Do(args...), says(name))
	}
	want(t, "SET", c.Do("SET", "a", "1"), "+OK\r\n")
	want(t, "GET", c.Do("GET", "a"), "$1\r\n1\r\n")
	want(t, "CLIENT SETNAME", c.Do("CLIENT", "SETNAME", "x"), "+OK\r\n")
	if reply := c.Do("INFO", "server"); !strings.HasPrefix(reply, "$") {
		t.Errorf("INFO: %q", reply)
	}
	want(t, "MULTI", c.Do("MULTI"), "+OK\r\n")
	want(t, "INCR in it", c.Do("INCR", "a"), says("incr"))
	want(t, "EXEC", c.Do("EXEC"), "-"+errExecAbort+"\r\n")
	want(t, "ACL DRYRUN", c.Do("ACL", "DRYRUN", "default", "INCR", "a"), says("acl|dryrun"))

	srv = serve(t, onPool(func(p *config.Pool) {
		p.DenyCommands, p.AllowCommands = []string{"@all"}, []string{"get", "acl|dryrun"}
	}), nodes(t, 1)...)
	c = client(t, srv)
	want(t, "GET", c.Do("GET", "a"), "$-1\r\n")
	want(t, "SET", c.Do("SET", "a", "1"), says("set"))
	want(t, "PING", c.Do("PING"), says("ping"))
	want(t, "AUTH", c.Do("AUTH", "default", "x"), "+OK\r\n")
	want(t, "ACL DRYRUN", c.Do("ACL", "DRYRUN", "default", "SET", "a", "1"), redistest.Bulk("This user has no permissions to run the 'set' command"))
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.DenyCommands, p.AllowCommands = nil, nil }))
	redistest.WaitFor(t, "the reload", func() bool { return c.Do("SET", "a", "1") == "+OK\r\n" })
}

func withUsers(users ...config.User) func(*config.Config) {
	return onPool(func(p *config.Pool) { p.Users = users })
}

// Other rules hold for who is connected. Who may not be any more is closed, and nobody else.
func TestReloadOfUsers(t *testing.T) {
	pw := []config.Secret{"pw"}
	all := []config.User{
		{Name: "same", Passwords: pw, Rules: "~* +@all"}, {Name: "less", Passwords: pw, Rules: "~* &* +@all"}, {Name: "more", Passwords: pw, Rules: "~* +get"}, {Name: "gone", Passwords: pw, Rules: "~* +@all"},
		{Name: "off", Passwords: pw, Rules: "~* +@all"}, {Name: "rotated", Passwords: []config.Secret{"pw", "new"}, Rules: "~* +@all"}, {Name: "deaf", Passwords: pw, Rules: "~* &* +@all"},
		{Name: "hearing", Passwords: pw, Rules: "~* &* +@all"}, {Name: "queuing", Passwords: pw, Rules: "~* +@all"},
	}
	srv := serve(t, func(c *config.Config) {
		c.Threads = 2
		withUsers(all...)(c)
	}, nodes(t, 1)...)
	conns := map[string]*redistest.Conn{}
	in := func(name, user, password string) *redistest.Conn {
		c := client(t, srv)
		want(t, "AUTH of "+name, c.Do("AUTH", user, password), "+OK\r\n")
		conns[name] = c
		return c
	}
	for _, u := range all {
		in(u.Name, u.Name, "pw")
	}
	in("rotated anew", "rotated", "new")
	anybody := client(t, srv)
	conns["deaf"].Do("SUBSCRIBE", "a")
	conns["hearing"].Do("SUBSCRIBE", "b")
	conns["queuing"].Do("MULTI")
	conns["queuing"].Do("SET", "a", "1")
	want(t, "GET of more", conns["more"].Do("GET", "a"), "$-1\r\n")
	want(t, "SET of less", conns["less"].Do("SET", "b", "1"), "+OK\r\n")

	next := []config.User{
		all[0], {Name: "less", Passwords: pw, Rules: "~* +get"}, {Name: "more", Passwords: pw, Rules: "~* +@all"}, {Name: "off", Passwords: pw, Rules: "off ~* +@all"},
		{Name: "rotated", Passwords: []config.Secret{"new", "newer"}, Rules: "~* +@all"}, {Name: "deaf", Passwords: pw, Rules: "~* &b +@all"}, {Name: "hearing", Passwords: pw, Rules: "~* &b +@all"},
		{Name: "queuing", Passwords: pw, Rules: "~* +get +multi +exec"}, {Name: "default", Passwords: pw, Rules: "~* +@all"},
	}
	reloadWith(t, srv, withUsers(next...))
	for _, name := range []string{"gone", "off", "rotated", "deaf"} {
		conns[name].RecvEOF()
	}
	want(t, "same", conns["same"].Do("SET", "b", "1"), "+OK\r\n")
	want(t, "less", conns["less"].Do("SET", "b", "1"), "-NOPERM this user has no permissions to run the 'set' command\r\n")
	want(t, "more", conns["more"].Do("SET", "b", "1"), "+OK\r\n")
	want(t, "rotated anew", conns["rotated anew"].Do("SET", "b", "1"), "+OK\r\n")
	want(t, "hearing", conns["hearing"].Do("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n")
	want(t, "queuing", conns["queuing"].Do("EXEC"), "-"+errRulesChanged+"\r\n")
	want(t, "queuing", conns["queuing"].Do("GET", "a"), "$-1\r\n")
	want(t, "who never logged in", anybody.Do("GET", "a"), "$-1\r\n") // as in Redis
	want(t, "a new one", client(t, srv).Do("GET", "a"), "-"+errNoAuth+"\r\n")

	reloadWith(t, srv, withUsers()) // everybody is default again, and default needs no password
	conns["same"].RecvEOF()
	want(t, "a new one", client(t, srv).Do("GET", "b"), "$1\r\n1\r\n")
}

// A users_file is read with the configuration, and by ACL LOAD. One with a mistake changes nothing.
func TestUsersFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "users.acl")
	write := func(lines ...string) {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("user default off", "user app on >hunter2 ~app:* +@all", "user admin on >hunter2 +acl")
	srv := serve(t, func(c *config.Config) {
		c.File = filepath.Join(dir, "proxy.yml")
		c.Pools[0].UsersFile = "users.acl"
	}, nodes(t, 1)...)
	app, admin := client(t, srv), client(t, srv)
	want(t, "PING", app.Do("PING"), "-"+errNoAuth+"\r\n")
	want(t, "AUTH", app.Do("AUTH", "app", "hunter2"), "+OK\r\n")
	want(t, "AUTH", admin.Do("AUTH", "admin", "hunter2"), "+OK\r\n")
	want(t, "SET", app.Do("SET", "app:1", "1"), "+OK\r\n")

	write("user default off", "user app on >hunter2 ~app:* +get", "user admin on >hunter2 +acl", "user new on >hunter2 +nosuch", "user x #hunter2")
	want(t, "ACL LOAD of mistakes", admin.Do("ACL", "LOAD"), "-ERR "+srv.cfg.File+`:0: pool "test": users_file: `+file+`:4: user "new": rule '+nosuch': Unknown command or category name in ACL `+
		file+`:5: user "x": rule '#<secret>': The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters`+"\r\n")
	want(t, "SET", app.Do("SET", "app:1", "1"), "+OK\r\n")
	write("user default off", "user app on >hunter2 ~app:* +get", "user admin on >hunter2 +acl", "user new on >hunter2 +ping")
	want(t, "ACL LOAD", admin.Do("ACL", "LOAD"), "+OK\r\n")
	want(t, "SET", app.Do("SET", "app:1", "1"), "-NOPERM this user has no permissions to run the 'set' command\r\n")
	want(t, "AUTH", client(t, srv).Do("AUTH", "new", "hunter2"), "+OK\r\n")

	os.Remove(file)
	if err := srv.Reload(srv.Config()); err == nil || !strings.HasSuffix(err.Error(), "cannot read users_file "+file+": no such file or directory") {
		t.Errorf("without the file: %v", err)
	}
	write("user app on >hunter2")
	if err := srv.Reload(changed(t, srv, onPool(func(p *config.Pool) { p.RequirePass = "x" }))); err != nil {
		t.Errorf("requirepass beside a file without default: %v", err)
	}
	write("user default on nopass")
	if err := srv.Reload(srv.Config()); err == nil || !strings.Contains(err.Error(), "keep one") {
		t.Errorf("requirepass beside a file with default: %v", err)
	}
}

func TestUsersThatCanNotBe(t *testing.T) {
	for _, x := range []struct {
		change func(*config.Pool)
		says   string
	}{
		{func(p *config.Pool) { p.Users = []config.User{{Name: "a", Rules: "+nosuch", Line: 7}} }, `f.yml:7: pool "test": user "a": rule '+nosuch': Unknown command or category name in ACL`},
		{func(p *config.Pool) { p.Users = []config.User{{Name: "a", Rules: "(~a", Line: 7}} }, `f.yml:7: pool "test": user "a": Unmatched parenthesis in acl selector starting at '(~a'.`},
		{func(p *config.Pool) { p.DenyCommands = []string{"get", "nosuch"} }, `f.yml:3: pool "test": deny_commands: there is no command called "nosuch"`},
		{func(p *config.Pool) { p.DenyCommands, p.AllowCommands = []string{"@all"}, []string{"@nosuch"} }, `f.yml:3: pool "test": allow_commands: there is no command of the category "@nosuch"`},
	} {
		cfg := config.Default()
		cfg.File = "f.yml"
		p := config.DefaultPool()
		p.Name, p.Line = "test", 3
		x.change(&p)
		cfg.Pools = []config.Pool{p}
		if err := Check(&cfg); err == nil || err.Error() != x.says {
			t.Errorf("got %v, want %s", err, x.says)
		}
	}
}

// lines is a log for a test.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What is denied is written down, but not what was tried: no password, no key, no value. And a client that is denied all the
// time does not fill the log.
func TestDenialsAreLoggedWithinBounds(t *testing.T) {
	srv, _ := guarded(t, nil)
	var log lines
	onLoop(t, srv, func(w *worker) { w.log = slog.New(slog.NewTextHandler(&log, nil)) })
	c := client(t, srv)
	const times = 500
	for range times {
		c.Send("AUTH", "reader", "hunter2")
		c.Send("AUTH", strings.Repeat("n", 5000), "hunter2")
	}
	c.Send("AUTH", "reader", "pw")
	for i := range times {
		c.Send("SET", fmt.Sprint("thekey", i), "thevalue")
		c.Send("GET", fmt.Sprint("thekey", i))
	}
	c.Send("PING")
	c.Flush()
	for range 4*times + 2 {
		c.Recv()
	}
	text := log.String()
	for _, secret := range []string{"hunter2", "thekey", "thevalue"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
	for _, event := range []string{`msg="login refused" pool=test client=`, `user=reader reason="wrong password"`, `reason="no such user"`, `msg="request denied" pool=test`, "user=reader command=set reason=command", "command=get reason=key"} {
		if !strings.Contains(text, event) {
			t.Errorf("the log has no %q", event)
		}
	}
	if n := strings.Count(text, "\n"); n < 3*auditBurst || n > 3*auditBurst+60 {
		t.Errorf("%d lines, %d bytes", n, len(text))
	}
	var list []*denial
	onLoop(t, srv, func(w *worker) { list = w.pools[0].shared.denials.list })
	if len(list) != mostDenials {
		t.Errorf("%d entries of ACL LOG", len(list))
	}
	for _, e := range list {
		if len(e.username) > mostDeniedLen || len(e.object) > mostDeniedLen {
			t.Errorf("an entry has %d bytes", len(e.username)+len(e.object))
		}
	}
	st := srv.Stats(0)[0]
	if got := fmt.Sprint(st.Denials); got != fmt.Sprintf("[%d %d %d 0]", 2*times, times, times) {
		t.Errorf("counted %s", got)
	}
}

// What is kept of a hot key is for those who may read it. Users with limits have it as well as others do.
func TestHotKeysOfUsers(t *testing.T) {
	srv := serve(t, withUsers(
		config.User{Name: "app", Passwords: []config.Secret{"pw"}, Rules: "~hot* +@all"},
		config.User{Name: "other", Passwords: []config.Secret{"pw"}, Rules: "~x* +@all"},
		config.User{Name: "writer", Passwords: []config.Secret{"pw"}, Rules: "%W~hot* +@all"},
	), nodes(t, 2)...)
	app, other, writer := client(t, srv), client(t, srv), client(t, srv)
	app.Do("AUTH", "app", "pw")
	other.Do("AUTH", "other", "pw")
	writer.Do("AUTH", "writer", "pw")
	app.Do("SET", "hot", "1")
	untilNear(t, app, "hot")
	for range 100 {
		want(t, "GET", app.Do("GET", "hot"), "$1\r\n1\r\n")
		want(t, "GET by one who may not", other.Do("GET", "hot"), "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n")
		want(t, "GET by one who may write", writer.Do("GET", "hot"), "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n")
	}
	want(t, "SET", writer.Do("SET", "hot", "2"), "+OK\r\n")
	redistest.WaitFor(t, "the new value", func() bool { return app.Do("GET", "hot") == "$1\r\n2\r\n" })
}
