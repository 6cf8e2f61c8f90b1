package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// serveThrough serves two real servers that let in the router, alice, who may use a:*, and bob, who may use b:*, and nobody else. The connections to them are of
// somebody who may do everything.
func serveThrough(t *testing.T, change func(*config.Pool)) (srv *Server, watch []*redistest.Conn, log *logged) {
	t.Helper()
	var addresses []string
	for range 2 {
		r := redistest.Server(t)
		c := redistest.Dial(t, r.Addr())
		for _, rules := range []string{
			"router on >r ~* &* +@all", "alice on >a ~a:* &* +@all -@dangerous", "bob on >b ~b:* &* +@all -@dangerous -ping", "default off resetpass",
		} {
			want(t, "ACL SETUSER", c.Do(append([]string{"ACL", "SETUSER"}, strings.Fields(rules)...)...), "+OK\r\n")
		}
		addresses, watch = append(addresses, r.Addr()), append(watch, c)
	}
	srv, log = serveLogged(t, onPool(func(p *config.Pool) {
		p.Passthrough = true
		p.Identity = config.Identity{Username: "router", Password: "r"}
		if change != nil {
			change(p)
		}
	}), addresses...)
	return srv, watch, log
}

// connections counts those that a server has of a user.
func connections(c *redistest.Conn, user string) int {
	return strings.Count(c.Do("CLIENT", "LIST"), " user="+user+" ")
}

func loggedIn(t *testing.T, srv *Server, user, password string) *redistest.Conn {
	t.Helper()
	c := client(t, srv)
	want(t, "AUTH", c.Do("AUTH", user, password), "+OK\r\n")
	return c
}

func denied(t *testing.T, what, got, code string) {
	t.Helper()
	if !strings.HasPrefix(got, "-"+code+" ") {
		t.Errorf("%s: %q, expected %s", what, got, code)
	}
}

// The servers say who may log in, and each request is judged by them as that user's.
func TestPassthrough(t *testing.T) {
	srv, _, log := serveThrough(t, nil)
	c := client(t, srv)
	denied(t, "GET of nobody", c.Do("GET", "a:1"), "NOAUTH")
	denied(t, "a wrong password", c.Do("AUTH", "alice", "b"), "WRONGPASS")
	denied(t, "no such user", c.Do("AUTH", "carol", "a"), "WRONGPASS")
	denied(t, "a user without a name", c.Do("AUTH", "", "r"), "WRONGPASS")
	denied(t, "the user default, who is off", c.Do("AUTH", "a"), "WRONGPASS")
	denied(t, "GET after that", c.Do("GET", "a:1"), "NOAUTH")

	for _, r := range [][]string{{"AUTH", "alice", "a"}, {"SET", "a:1", "x"}, {"GET", "a:1"}, {"AUTH", "alice", "no"}, {"GET", "a:1"}} { // in one go
		c.Send(r...)
	}
	c.Flush()
	for _, reply := range []string{"+OK\r\n", "+OK\r\n", redistest.Bulk("x")} {
		want(t, "in one go", c.Recv(), reply)
	}
	denied(t, "in one go, a wrong password", c.Recv(), "WRONGPASS")
	want(t, "who fails to log in stays who he was", c.Recv(), redistest.Bulk("x"))
	want(t, "WHOAMI", c.Do("ACL", "WHOAMI"), redistest.Bulk("alice"))

	want(t, "MSET", c.Do("MSET", "a:2", "2", "a:3", "3", "a:4", "4", "a:5", "5"), "+OK\r\n")
	want(t, "MGET", c.Do("MGET", "a:2", "a:5"), "*2\r\n"+redistest.Bulk("2")+redistest.Bulk("5"))
	denied(t, "a key of others", c.Do("GET", "b:1"), "NOPERM")
	denied(t, "keys of others", c.Do("MGET", "a:1", "b:1", "b:2", "b:3"), "NOPERM")
	denied(t, "KEYS", c.Do("KEYS", "*"), "NOPERM")
	for _, r := range [][]string{{"MONITOR"}, {"SUBSCRIBE", "c"}, {"PSUBSCRIBE", "c"}, {"SSUBSCRIBE", "c"}, {"CLIENT", "LIST"}, {"CLIENT", "KILL", "ID", "1"}, {"CONFIG", "GET", "*"}, {"SCRIPT", "KILL"}, {"RINGWAY", "NODES"}} {
		denied(t, strings.Join(r, " "), c.Do(r...), "NOPERM")
	}
	want(t, "a script", c.Do("EVAL", "return redis.call('get', KEYS[1])", "1", "a:1"), redistest.Bulk("x"))
	if got := c.Do("EVAL", "return redis.call('get', 'b:1')", "1", "a:1"); !strings.Contains(got, "can't access") {
		t.Errorf("a script that reads a key of others: %q", got)
	}

	// Private lanes are a user's own as well.
	want(t, "WATCH", c.Do("WATCH", "a:1"), "+OK\r\n")
	denied(t, "AUTH between WATCH and EXEC", c.Do("AUTH", "bob", "b"), "ERR")
	want(t, "MULTI", c.Do("MULTI"), "+OK\r\n")
	want(t, "INCR", c.Do("INCR", "a:2"), "+QUEUED\r\n")
	want(t, "EXEC", c.Do("EXEC"), "*1\r\n:3\r\n")
	c.Do("RPUSH", "a:list", "e")
	want(t, "BLPOP", c.Do("BLPOP", "a:list", "1"), "*2\r\n"+redistest.Bulk("a:list")+redistest.Bulk("e"))

	if got := c.Do("HELLO", "3", "AUTH", "bob", "b"); got[0] != '%' { // to whom PING is denied
		t.Errorf("HELLO 3 AUTH: %q", got)
	}
	want(t, "WHOAMI after HELLO", c.Do("ACL", "WHOAMI"), redistest.Bulk("bob"))
	denied(t, "a key of the user before", c.Do("GET", "a:1"), "NOPERM")
	want(t, "SET of bob", c.Do("SET", "b:1", "y"), "+OK\r\n")
	want(t, "HELLO without AUTH", c.Do("HELLO", "2")[:1], "*")
	want(t, "SELECT", c.Do("SELECT", "3"), "+OK\r\n")
	want(t, "another database", c.Do("GET", "b:1"), "$-1\r\n")
	want(t, "RESET", c.Do("RESET"), "+RESET\r\n")
	denied(t, "GET after RESET", c.Do("GET", "b:1"), "NOAUTH")
	denied(t, "HELLO AUTH with a wrong password", c.Do("HELLO", "3", "AUTH", "bob", "a"), "WRONGPASS")
	balanced(t, srv)
	onLoop(t, srv, func(w *worker) {
		for _, n := range w.pools[0].topo.nodes {
			if !n.Up() {
				t.Errorf("wrong passwords have made %s one that is down", n.Name)
			}
		}
	})
	if !log.has("login refused", "user=alice", "a server has refused it") || !log.has("login refused", "user=bob") || log.has("level=WARN", "node=") {
		t.Errorf("the log does not say who could not log in, or says that a node is to blame:\n%s", log.String())
	}
}

// However hot a key is, what one user has read is not told to another: each reply is the server's own, to that user.
func TestPassthroughSharesNothingBetweenUsers(t *testing.T) {
	srv, _, _ := serveThrough(t, func(p *config.Pool) { p.HotKeys.Pin = []string{"a:hot"} })
	alice, bob := loggedIn(t, srv, "alice", "a"), loggedIn(t, srv, "bob", "b")
	alice.Do("SET", "a:hot", "secret")
	for range 300 {
		for range 10 {
			alice.Send("GET", "a:hot")
		}
		bob.Send("GET", "a:hot")
		alice.Flush()
		bob.Flush()
		for range 10 {
			want(t, "GET of alice", alice.Recv(), redistest.Bulk("secret"))
		}
		denied(t, "GET of bob", bob.Recv(), "NOPERM")
	}
	onLoop(t, srv, func(w *worker) {
		if w.pools[0].heat != nil {
			t.Error("hot keys are looked for")
		}
	})
	balanced(t, srv)
}

// Clients that are the same user share one lane to a server, which is closed when the last of them has gone.
func TestPassthroughLanesAreOfUsers(t *testing.T) {
	srv, watch, _ := serveThrough(t, nil)
	var clients []*redistest.Conn
	for range 20 {
		c := loggedIn(t, srv, "alice", "a")
		for node := range watch {
			want(t, "SET", c.Do("SET", keyOf(t, srv, node, "a:"), "v"), "+OK\r\n")
		}
		clients = append(clients, c)
	}
	bob := loggedIn(t, srv, "bob", "b")
	bob.Do("GET", "b:1")
	for i, c := range watch {
		redistest.WaitFor(t, "the proofs' connections to end", func() bool { return connections(c, "alice") <= 1 })
		if n := connections(c, "alice"); n != 1 {
			t.Errorf("server %d has %d connections of alice", i, n)
		}
	}
	for _, c := range clients {
		c.Close()
	}
	of := func(user string) (sessions, sets int) {
		onLoop(t, srv, func(w *worker) {
			ps := w.pools[0]
			ps.forgetPersons(0)
			for _, who := range ps.persons.known {
				if who.name == user {
					sessions += who.sessions
				}
			}
			for key := range ps.sets {
				if key.User == user {
					sets++
				}
			}
		})
		return sessions, sets
	}
	redistest.WaitFor(t, "alice to be forgotten", func() bool { sessions, sets := of("alice"); return sessions == 0 && sets == 0 })
	for _, c := range watch {
		redistest.WaitFor(t, "the lanes of alice to end", func() bool { return connections(c, "alice") == 0 })
	}
	if sessions, sets := of("bob"); sessions != 1 || sets != 1 {
		t.Errorf("bob has %d sessions and %d sets of lanes", sessions, sets)
	}
	denied(t, "bob is as before", bob.Do("GET", "a:1"), "NOPERM")
	want(t, "alice comes back", loggedIn(t, srv, "alice", "a").Do("SET", "a:1", "v"), "+OK\r\n")
}

// A user whom the servers don't let in any more has errors, and nobody else has.
func TestPassthroughOfUserWhoIsGone(t *testing.T) {
	srv, watch, _ := serveThrough(t, nil)
	alice, bob := loggedIn(t, srv, "alice", "a"), loggedIn(t, srv, "bob", "b")
	want(t, "SET of alice", alice.Do("SET", "a:1", "x"), "+OK\r\n")
	want(t, "SET of bob", bob.Do("SET", "b:1", "x"), "+OK\r\n")
	for _, c := range watch {
		want(t, "ACL DELUSER", c.Do("ACL", "DELUSER", "alice"), ":1\r\n")
	}
	redistest.WaitFor(t, "alice to be refused", func() bool { return strings.Contains(alice.Do("GET", "a:1"), "WRONGPASS") })
	for i := range 20 {
		want(t, "SET of bob", bob.Do("SET", fmt.Sprintf("b:%d", i), "x"), "+OK\r\n")
	}
	denied(t, "alice logs in", client(t, srv).Do("AUTH", "alice", "a"), "WRONGPASS")
}

// A reload leaves clients as they are, unless it takes passthrough away, or brings it.
func TestPassthroughAndReload(t *testing.T) {
	srv, _, _ := serveThrough(t, nil)
	alice := loggedIn(t, srv, "alice", "a")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Window = 77 }))
	want(t, "SET after a reload", alice.Do("SET", "a:1", "x"), "+OK\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Passthrough, p.Window = false, 77 }))
	if reply, err := alice.TryDo("GET", "a:1"); err == nil {
		t.Errorf("GET without passthrough: %q", reply)
	}
	c := client(t, srv)
	want(t, "GET in the name of the pool", c.Do("GET", "a:1"), redistest.Bulk("x"))
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Passthrough = true }))
	if reply, err := c.TryDo("GET", "a:1"); err == nil {
		t.Errorf("GET of a client who has not logged in, with passthrough: %q", reply)
	}
}

// There is a bound to how many users have lanes, and those whose clients have gone make room.
func TestPassthroughIsBounded(t *testing.T) {
	srv, _, _ := serveThrough(t, nil)
	onLoop(t, srv, func(w *worker) {
		w.pools[0].persons.known = map[[2]string]*person{}
		for i := range mostPersons {
			w.pools[0].persons.known[[2]string{fmt.Sprint(i)}] = &person{name: fmt.Sprint(i), sessions: 1}
		}
	})
	c := client(t, srv)
	denied(t, "one too many", c.Do("AUTH", "alice", "a"), "ERR")
	denied(t, "GET", c.Do("GET", "a:1"), "NOAUTH")
	onLoop(t, srv, func(w *worker) { w.pools[0].persons.known[[2]string{"7"}].sessions = 0 })
	want(t, "one has gone", c.Do("AUTH", "alice", "a"), "+OK\r\n")
}

// A server that is away when a client logs in is no reason to believe, or to refuse, a password.
func TestPassthroughWithoutServers(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Passthrough = true }), r.Addr())
	r.Kill()
	c := client(t, srv)
	denied(t, "AUTH", c.Do("AUTH", "alice", "a"), "ERR")
	denied(t, "GET", c.Do("GET", "a:1"), "NOAUTH")
	gone := client(t, srv) // one that does not wait for the answer
	gone.Send("AUTH", "alice", "a")
	gone.Flush()
	gone.Close()
	r.Restart()
	redistest.WaitFor(t, "a login", func() bool { return c.Do("AUTH", "default", "any") == "+OK\r\n" })
	want(t, "SET", c.Do("SET", "k", "v"), "+OK\r\n")
	balanced(t, srv)
	onLoop(t, srv, func(w *worker) {
		if n := w.pools[0].privates; n != 0 {
			t.Errorf("%d connections of proofs are left", n)
		}
	})
}

// What concerns everybody is for the users that the servers let do it, wherever their clients are, unless it is denied. The user default is whoever knows the servers' one
// password, and has no rules.
func TestPassthroughDangerousCommands(t *testing.T) {
	for _, c := range []struct {
		mode, user, password string
		refusal              string // of KEYS from afar, by whom: "" for nobody
	}{
		{"local", "carol", "c", ""},
		{"local", "alice", "a", "has no permissions"}, // says the server
		{"local", "default", "d", "is for clients on Ringway's own machine"},
		{"allow", "default", "d", ""},
		{"deny", "carol", "c", "is denied to all clients of this pool"},
	} {
		t.Run(c.mode+" "+c.user, func(t *testing.T) {
			srv, watch, _ := serveThrough(t, func(p *config.Pool) { p.Dangerous = c.mode })
			for _, w := range watch {
				want(t, "ACL SETUSER", w.Do("ACL", "SETUSER", "carol", "on", ">c", "~*", "+@all"), "+OK\r\n")
				want(t, "ACL SETUSER", w.Do("ACL", "SETUSER", "default", "on", ">d", "~*", "+@all"), "+OK\r\n")
			}
			cl := loggedIn(t, srv, c.user, c.password)
			fromAfar(t, srv)
			got := strings.ToLower(cl.Do("KEYS", "*"))
			if c.refusal == "" {
				want(t, "KEYS", got, "*0\r\n")
			} else if !strings.HasPrefix(got, "-noperm") || !strings.Contains(got, strings.ToLower(c.refusal)) {
				t.Errorf("KEYS: %q, expected %s", got, c.refusal)
			}
		})
	}
}
