package proxy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// What is answered here reads, byte for byte, as a real server would have it. Each line is one pipeline on a connection of
// its own; words are split as redis-cli does without quotes.
func TestLocalAnswersAreThoseOfRedis(t *testing.T) {
	common := []string{
		"PING", "PING hello", "PING a b", "ECHO hello", "ECHO", "ECHO a b", "ping", "PiNg X",
		"SELECT 1; SELECT 0", "SELECT 15", "SELECT 16", "SELECT -1", "SELECT x", "SELECT 1.0", "SELECT +1", "SELECT 01", "SELECT", "SELECT 1 2",
		"SELECT 99999999999999999999", "SELECT 4294967297",
		"SELECT 3; SET a 3; SELECT 4; GET a; SELECT 3; GET a; DEL a",
		"HELLO 4", "HELLO 1", "HELLO x", "HELLO 3x", "HELLO +3", "HELLO 99999999999999999999",
		"HELLO 3 SETNAME", "HELLO 3 AUTH", "HELLO 3 AUTH default", "HELLO 2 SETNAME a\tb", "HELLO 3 WHAT", "HELLO 2 AUTH nobody x", "HELLO 2 AUTH default x SETNAME y z",
		"HELLO 2 SETNAME bob; CLIENT GETNAME", "HELLO 3 SETNAME bob; CLIENT GETNAME; RESET; CLIENT GETNAME",
		"CLIENT GETNAME", "CLIENT SETNAME bob; CLIENT GETNAME; CLIENT SETNAME \"\"; CLIENT GETNAME", "CLIENT SETNAME a\tb", "CLIENT SETNAME", "CLIENT SETNAME é",
		"HELLO 3; CLIENT GETNAME; GET nothing; HGETALL nothing; HELLO 2; HGETALL nothing; GET nothing",
		"CLIENT NO-EVICT on", "CLIENT NO-EVICT OFF", "CLIENT NO-EVICT maybe", "CLIENT NO-EVICT", "CLIENT NO-EVICT on off",
		"CLIENT REPLY ON", "CLIENT REPLY maybe", "CLIENT REPLY", "CLIENT REPLY ON ON",
		"CLIENT REPLY SKIP; PING 1; PING 2", "CLIENT REPLY SKIP; SET a 1; GET a; DEL a", "CLIENT REPLY SKIP; CLIENT REPLY SKIP; PING 1; PING 2; PING 3",
		"CLIENT REPLY OFF; PING 1; SET a 1; NOSUCH; CLIENT REPLY SKIP; PING 2; CLIENT REPLY ON; PING 3; DEL a",
		"CLIENT REPLY SKIP; CLIENT REPLY ON; PING", "CLIENT REPLY OFF; PING 1; RESET; PING 2", "CLIENT REPLY SKIP; NOSUCH; PING 2",
		"CLIENT REPLY SKIP; SELECT x; PING", "CLIENT REPLY SKIP; CLIENT REPLY maybe; PING 1; PING 2", "CLIENT REPLY SKIP; MGET a b c; MGET a b",
		"SET a 1; CLIENT REPLY SKIP; HELLO 3; GET nothing; DEL a",
		"CLIENT ID x", "CLIENT", "CLIENT NOSUCH", "CLIENT NOSUCH a b", "CLIENT LIST NOSUCH", "CLIENT LIST TYPE nosuch", "CLIENT LIST ID x", "CLIENT LIST ID", "CLIENT LIST TYPE", "CLIENT LIST TYPE master",
		"CLIENT LIST ID 0", "CLIENT LIST ID 999999999", "CLIENT INFO x", "CLIENT LIST TYPE normal x",
		"AUTH x", "AUTH default x", "AUTH nobody x", "AUTH", "AUTH a b c", "AUTH default",
		"RESET", "RESET x", "SELECT 5; RESET; GET a", "HELLO 3; RESET; GET nothing",
		"NOSUCH", "NOSUCH a b", "nosuch 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 x",
		"GET", "GET a b", "MSET a", "MSET a 1 b", "MSET", "MGET", "DEL", "EXISTS", "COMMAND NOSUCH", "COMMAND COUNT x", "COMMAND GETKEYS GET a", "COMMAND GETKEYS GET",
		"COMMAND INFO nosuch", "COMMAND INFO get", "COMMAND LIST FILTERBY MODULE x", "COMMAND DOCS get",
		"ACL WHOAMI", "ACL WHOAMI x", "ACL CAT nosuch", "ACL CAT read x", "ACL GENPASS 0", "ACL GENPASS -1", "ACL GENPASS 4097", "ACL GENPASS x", "ACL GENPASS 8 8", "ACL NOSUCH", "ACL",
		"MSET a 1 b 2 c 3; MGET a b c nothing a; EXISTS a b c a; TOUCH a b nothing; UNLINK a b; DEL a b c",
		"MGET a", "LPUSH l 1; MGET a l b; GET l; DEL l",
		"QUIT", "quit; PING", "SET a 1; QUIT; DEL a", "QUIT now",
	}
	locked := []string{
		"PING", "GET a", "AUTH x", "AUTH secret; PING", "AUTH default secret; GET a", "AUTH default x", "AUTH nobody secret", "AUTH a b c", "AUTH",
		"HELLO", "HELLO 3", "HELLO 4", "HELLO 2 AUTH default x", "HELLO 3 AUTH default secret; PING; GET a", "HELLO 2 SETNAME bob; CLIENT GETNAME",
		"NOSUCH", "GET", "CLIENT NOSUCH", "CLIENT ID", "SELECT 1", "ECHO a", "RESET; PING", "AUTH secret; RESET; PING", "QUIT", "COMMAND COUNT x", "MGET a b",
		"AUTH secret; AUTH x; PING", "CLIENT REPLY OFF; AUTH secret; CLIENT REPLY ON",
	}
	t.Run("without a password", func(t *testing.T) {
		compare(t, common, redistest.Server(t), serve(t, nil, nodes(t, 3)...))
	})
	t.Run("with a password", func(t *testing.T) {
		real := redistest.Server(t)
		redistest.Dial(t, real.Addr()).Do("CONFIG", "SET", "requirepass", "secret")
		compare(t, locked, real, serve(t, onPool(func(p *config.Pool) { p.RequirePass = "secret" }), nodes(t, 2)...))
	})
}

var ids = regexp.MustCompile(`(\$2\r\nid\r\n):\d+`)

// compare plays each script to both and compares all that comes back until PING is answered or the connection ends.
func compare(t *testing.T, scripts []string, real *redistest.Redis, srv *Server) {
	t.Helper()
	for _, script := range scripts {
		answers := func(addr string) (all []string) {
			c := redistest.Dial(t, addr)
			defer c.Close()
			for line := range strings.SplitSeq(script, ";") {
				args := strings.Fields(line)
				if strings.Contains(line, "\t") { // one argument with a tab in it
					args = strings.Split(strings.TrimSpace(line), " ")
				}
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], `""`, "")
				}
				c.Send(args...)
			}
			c.Send("ECHO", "the end")
			c.Flush()
			for {
				b, err := c.TryRecv(nil)
				if err != nil {
					return append(all, "closed")
				}
				if all = append(all, ids.ReplaceAllString(string(b), "$1")); string(b) == "$7\r\nthe end\r\n" || len(all) > 30 || strings.HasPrefix(string(b), "-NOAUTH") && len(all) > strings.Count(script, ";")+1 {
					return all
				}
			}
		}
		if got, want := fmt.Sprintf("%q", answers(srv.Addr(0))), fmt.Sprintf("%q", answers(real.Addr())); got != want {
			t.Errorf("%s\n got %s\nwant %s", script, got, want)
		}
	}
}

func TestCommandCountIsOurOwn(t *testing.T) {
	srv := serve(t, nil, redistest.Server(t).Addr())
	c := client(t, srv)
	var n int
	if _, err := fmt.Sscanf(c.Do("COMMAND", "COUNT"), ":%d\r\n", &n); err != nil || n < 240 {
		t.Errorf("%d commands, %v", n, err)
	}
}

// What differs from the real server, since it is about this connection.
func TestClientDescribesItsConnection(t *testing.T) {
	srv := serve(t, nil, redistest.Server(t).Addr())
	c := client(t, srv)
	id := strings.Trim(c.Do("CLIENT", "ID"), ":\r\n")
	want(t, "SETINFO", c.Do("CLIENT", "SETINFO", "lib-name", "mine"), "+OK\r\n")
	want(t, "SETINFO", c.Do("CLIENT", "SETINFO", "LIB-VER", "1.2"), "+OK\r\n")
	want(t, "SETINFO of something else", c.Do("CLIENT", "SETINFO", "color", "red"), "-ERR Unrecognized option 'color'\r\n")
	want(t, "SETINFO with a space", c.Do("CLIENT", "SETINFO", "lib-name", "a b"), "-ERR lib-name cannot contain spaces, newlines or special characters.\r\n")
	c.Do("CLIENT", "SETNAME", "bob")
	c.Do("SELECT", "2")
	c.Do("HELLO", "3")
	info := c.Do("CLIENT", "INFO")
	if !strings.HasPrefix(info, "=") || !strings.Contains(info, "\r\ntxt:id="+id+" addr="+c.LocalAddr().String()+" laddr="+srv.Addr(0)) {
		t.Errorf("CLIENT INFO: %q", info)
	}
	for _, field := range []string{" name=bob ", " db=2 ", " resp=3 ", " lib-name=mine ", " lib-ver=1.2 ", " cmd=client|info ", " flags=N ", " multi=-1 "} {
		if !strings.Contains(info, field) {
			t.Errorf("CLIENT INFO has no %q: %q", field, info)
		}
	}
	if list := c.Do("CLIENT", "LIST", "ID", "0", id); strings.Count(list, "\n") != 3 {
		t.Errorf("CLIENT LIST ID: %q", list)
	}
}

// Who has no master, as ROLE says, is told so again with no harm done.
func TestReplicaOfNoOne(t *testing.T) {
	c := client(t, serve(t, nil, redistest.Server(t).Addr()))
	for _, name := range []string{"REPLICAOF", "slaveof"} {
		want(t, name+" no one", c.Do(name, "no", "ONE"), "+OK\r\n")
		want(t, name+" another", c.Do(name, "127.0.0.1", "1"), "-"+errReplicaOf+"\r\n")
	}
}

// Clients take CLIENT LIST and CLIENT INFO apart: all that a server tells is there, in its order, and the command is the one that asks.
func TestClientInfoHasTheFieldsOfAServer(t *testing.T) {
	direct, c := redistest.Dial(t, redistest.Server(t).Addr()), client(t, serve(t, nil, redistest.Server(t).Addr()))
	for _, sub := range []string{"INFO", "LIST"} {
		server := strings.Fields(string(text([]byte(direct.Do("CLIENT", sub)))))
		values := map[string]string{}
		var names, have []string
		for _, field := range server {
			name, value, _ := strings.Cut(field, "=")
			names = append(names, name)
			values[name] = value
		}
		for _, field := range strings.Fields(string(text([]byte(c.Do("CLIENT", sub))))) {
			name, value, _ := strings.Cut(field, "=")
			if _, known := values[name]; !known {
				continue
			}
			have = append(have, name)
			switch name {
			case "name", "flags", "db", "sub", "psub", "ssub", "multi", "qbuf", "multi-mem", "obl", "oll", "omem", "events", "cmd", "user", "redir", "resp":
				want(t, "CLIENT "+sub+": "+name, value, values[name])
			}
		}
		want(t, "the fields of CLIENT "+sub, strings.Join(have, " "), strings.Join(names, " "))
	}
}

func TestClientListTellsOfAllLoops(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 3 }, redistest.Server(t).Addr())
	const n = 7
	var clients []*redistest.Conn
	for i := range n {
		c := client(t, srv)
		c.Do("CLIENT", "SETNAME", fmt.Sprint("client-", i))
		clients = append(clients, c)
	}
	loops := map[*worker]bool{}
	for _, w := range srv.workers {
		done := make(chan struct{})
		w.loop.Post(func() { loops[w] = w.count > 0; close(done) })
		<-done
	}
	if len(loops) != 3 {
		t.Errorf("the clients are on %d loops", len(loops))
	}
	for _, c := range clients {
		c.Send("SET", "a", "1")
		c.Send("CLIENT", "LIST")
		c.Send("GET", "a")
		c.Flush()
	}
	for _, c := range clients {
		want(t, "before CLIENT LIST", c.Recv(), "+OK\r\n")
		list := c.Recv()
		for i := range n {
			if strings.Count(list, fmt.Sprintf(" name=client-%d ", i)) != 1 {
				t.Errorf("client-%d is not in %q", i, list)
			}
		}
		want(t, "after CLIENT LIST", c.Recv(), "$1\r\n1\r\n")
	}
	c := clients[0]
	c.Send("CLIENT", "LIST") // who asks may leave before the answer
	c.Flush()
	c.Close()
	redistest.WaitFor(t, "it to be forgotten", func() bool {
		return !strings.Contains(clients[1].Do("CLIENT", "LIST"), "client-0")
	})
	balanced(t, srv)
}
