package e2e

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// What is malformed gets the very bytes that a server sends, and the same end.
func TestProtocolErrors(t *testing.T) {
	alone := redistest.Server(t)
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	for name, bytes := range map[string]string{
		"array length is no number":            "*x\r\n",
		"array length is too long":             "*" + strings.Repeat("1", 40) + "\r\n",
		"array header without end":             "*" + strings.Repeat("1", 70_000),
		"array length beyond any":              "*99999999999\r\n",
		"no bulk string":                       "*1\r\n:1\r\n",
		"a letter for a dollar":                "*1\r\nPING\r\n",
		"bulk length is no number":             "*1\r\n$x\r\n",
		"bulk length is negative":              "*1\r\n$-1\r\n",
		"bulk length beyond the limit":         "*2\r\n$3\r\nGET\r\n$536870913\r\n",
		"bulk header without end":              "*1\r\n$" + strings.Repeat("1", 70_000),
		"inline without end":                   strings.Repeat("a", 70_000),
		"unbalanced double quote":              "GET \"a\r\n",
		"unbalanced single quote":              "GET 'a\r\n",
		"quote followed by a letter":           "GET \"a\"b\r\n",
		"after good requests":                  "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n*1\r\n$oops\r\n*1\r\n$4\r\nPING\r\n",
		"after good requests for all nodes":    "SET a 1\r\nSET b 2\r\nSET c 3\r\nMGET a b c d\r\n*q\r\nPING\r\n",
		"QUIT in the middle":                   "SET a 1\r\nGET a\r\nQUIT\r\nGET a\r\n",
		"nothing wrong: empty and nil arrays":  "*0\r\n*-1\r\n*-7\r\nPING\r\nQUIT\r\n",
		"nothing wrong: blank lines":           "\r\n\r\n\n*1\r\n$4\r\nPING\r\n\r\n\r\nPING\nQUIT\r\n",
		"nothing wrong: spaces and quotes":     "  ECHO   \"\\x41\\n\\\"'\"  \r\nECHO 'it\\'s \\x41'\r\nECHO \"\"\r\n   \r\nQUIT\r\n",
		"nothing wrong: inline ends in LF":     "PING\nECHO a\nQUIT\n",
		"nothing wrong: bulk ends unlike CRLF": "*2\r\n$4\r\nECHO\r\n$3\r\nabcXY*1\r\n$4\r\nPING\r\nQUIT\r\n",
		"nothing wrong: plus sign in lengths":  "*+1\r\n$4\r\nPING\r\nQUIT\r\n",
		"nothing wrong: leading zero":          "*01\r\n$4\r\nPING\r\nQUIT\r\n",
		"a browser":                            "GET / HTTP/1.1\r\nHost: x\r\n\r\nPING\r\n",
		"a browser's form":                     "POST / HTTP/1.1\r\nPING\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			want, err := talk(alone.Addr(), bytes)
			if err != nil {
				t.Fatalf("the server alone: %v after %q", err, want)
			}
			got, err := talk(r.addr(), bytes)
			if err != nil {
				t.Errorf("%v after %q", err, got)
			}
			if got != want {
				t.Errorf("sent %q\ngot  %q\nwant %q", shorten([]byte(bytes)), got, want)
			}
		})
	}
	if got := redistest.Dial(t, r.addr()).Do("PING"); got != "+PONG\r\n" {
		t.Errorf("another client, after all this: %q", got)
	}
}

// talk sends bytes and returns all that comes until the other side ends the connection.
func talk(addr, bytes string) (string, error) {
	c, err := redistest.Connect(addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SendRaw(bytes)
	if err := c.TryFlush(); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, err := io.ReadAll(c.Conn)
	if err != nil && strings.Contains(err.Error(), "connection reset") {
		err = nil // closed with bytes unread, which is no different to a client
	}
	return string(b), err
}

// What a session answers itself is what a server answers, in both protocols, to the byte; only HELLO's map, which tells of
// the server, is reduced to its protocol.
func TestSessionCommands(t *testing.T) {
	alone := redistest.Server(t)
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	for _, script := range []struct{ name, commands string }{
		{"ping and echo", "PING; PING hello; PING a b; ECHO x; ECHO; ECHO a b; HELLO 3; PING; PING hello; ECHO x"},
		{"databases", "SET k 0; SELECT 1; GET k; SET k 1; SELECT 2; SET k 2; SELECT 1; GET k; SELECT 0; GET k; " +
			"SELECT 16; SELECT -1; SELECT x; SELECT; GET k; MGET k k2 k3; SELECT 2; MGET k k2 k3; DEL k k2 k3; SELECT 0; EXISTS k"},
		{"client names", "CLIENT GETNAME; CLIENT SETNAME me; CLIENT GETNAME; CLIENT SETNAME 'a b'; CLIENT GETNAME; CLIENT SETNAME ''; " +
			"CLIENT GETNAME; HELLO 3; CLIENT GETNAME; CLIENT SETNAME; CLIENT GETNAME x"},
		{"client subcommands", "CLIENT; CLIENT NOSUCH; CLIENT NO-EVICT on; CLIENT NO-EVICT off; CLIENT NO-EVICT maybe; " +
			"CLIENT REPLY ON; CLIENT REPLY x; CLIENT ID x"},
		{"hello", "HELLO x; HELLO 4; HELLO 1; HELLO 3 SETNAME; HELLO 3 NOSUCH; HELLO 3 SETNAME 'a b'; HELLO 2 AUTH default; GET none; " +
			"HELLO; HELLO 3 SETNAME me; HELLO; CLIENT GETNAME; HELLO 2; HELLO"},
		{"protocols", "GET none; HELLO 3; GET none; MGET none none2; HSET h a 1; HGETALL h; ZADD z 1.5 m; ZSCORE z m; SMEMBERS none; " +
			"HELLO 2; GET none; HGETALL h; ZSCORE z m"},
		{"reset", "HELLO 3 SETNAME me; SELECT 1; GET none; RESET; GET none; CLIENT GETNAME; SET reset 0; SELECT 1; EXISTS reset; RESET x"},
		{"replies switched off", "CLIENT REPLY SKIP; PING; ECHO 1; CLIENT REPLY OFF; PING; SET off 1; GET off; MGET off off2; NOSUCH; " +
			"CLIENT REPLY SKIP; PING; CLIENT REPLY ON; GET off; ECHO 2; CLIENT REPLY SKIP; GET off; GET off; CLIENT REPLY SKIP; MGET off off2; ECHO 3"},
		{"mistakes", "NOSUCH; nosuch a b c; GET; GET a b; SET a; MSET a; MSET a b c; mset; del; OBJECT; OBJECT NOSUCH k; XGROUP; " +
			"XGROUP NOSUCH; COMMAND NOSUCH; COMMAND COUNT x"},
		{"auth where there is no password", "AUTH x; AUTH default x; AUTH a b c; HELLO 3 AUTH nobody x; PING"},
		{"leaving", "SET q 1; GET q; QUIT; GET q"},
	} {
		t.Run(script.name, func(t *testing.T) {
			for _, n := range append(nodes, alone) {
				redistest.Dial(t, n.Addr()).Do("FLUSHALL")
			}
			lines := strings.ReplaceAll(script.commands, "; ", "\r\n") + "\r\nQUIT\r\n"
			got, want := replies(t, r.addr(), lines), replies(t, alone.Addr(), lines)
			if !slices.Equal(got, want) {
				t.Errorf("%s\ngot  %q\nwant %q", script.commands, got, want)
			}
		})
	}
}

// replies sends lines and returns all replies until the connection ends.
func replies(t *testing.T, addr, lines string) []string {
	t.Helper()
	c := redistest.Dial(t, addr)
	c.SendRaw(lines)
	c.Flush()
	var all []string
	for {
		b, err := c.TryRecv(nil)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%s, after %q: %v", addr, all, err)
		}
		s := string(b)
		if _, after, ok := strings.Cut(s, "$5\r\nproto\r\n:"); ok && strings.Contains(s, "$6\r\nserver\r\n") {
			s = fmt.Sprintf("%c hello %c", s[0], after[0])
		}
		all = append(all, s)
	}
}

// Each client of the router is told of itself.
func TestClientInfo(t *testing.T) {
	r := serveWith(t, setup{threads: 2}, pool{nodes: addresses(servers(t, 1))})
	a, b := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
	idA, idB := a.Do("CLIENT", "ID"), b.Do("CLIENT", "ID")
	if idA == idB || idA[0] != ':' {
		t.Errorf("two clients have the ids %q and %q", idA, idB)
	}
	a.Do("CLIENT", "SETNAME", "the-first")
	a.Do("SELECT", "3")
	for _, args := range [][]string{{"LIB-NAME", "go-redis"}, {"LIB-VER", "9.1"}} {
		if got := a.Do("CLIENT", "SETINFO", args[0], args[1]); got != "+OK\r\n" {
			t.Errorf("CLIENT SETINFO %q: %q", args, got)
		}
	}
	info := a.Do("CLIENT", "INFO")
	for _, want := range []string{
		"id=" + strings.TrimSpace(idA[1:]) + " ", "addr=" + a.LocalAddr().String() + " ", "name=the-first ", "db=3 ", "lib-name=go-redis ", "lib-ver=9.1",
	} {
		if !strings.Contains(info, want) {
			t.Errorf("CLIENT INFO lacks %q: %q", want, info)
		}
	}
	list := b.Do("CLIENT", "LIST")
	for _, want := range []string{"addr=" + a.LocalAddr().String(), "addr=" + b.LocalAddr().String()} {
		if !strings.Contains(list, want) {
			t.Errorf("CLIENT LIST lacks %q: %q", want, list)
		}
	}
	if got := a.Do("CLIENT", "NO-TOUCH", "on"); got != "+OK\r\n" {
		t.Errorf("CLIENT NO-TOUCH: %q", got)
	}
}

// COMMAND describes what the router knows, in the shape that clients parse.
func TestCommandCommand(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 1))})
	alone := redistest.Dial(t, redistest.Server(t).Addr())
	c := redistest.Dial(t, r.addr())
	for _, args := range [][]string{
		{"COMMAND", "INFO", "get", "nosuch", "mset"},
		{"COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"},
		{"COMMAND", "GETKEYS", "EVAL", "return 1", "2", "a", "b", "c"},
		{"COMMAND", "GETKEYS", "PING"},
		{"COMMAND", "GETKEYSANDFLAGS", "SET", "a", "1"},
		{"COMMAND", "DOCS", "get"},
	} {
		got, want := c.Do(args...), alone.Do(args...)
		if sorted(got) != sorted(want) {
			t.Errorf("%s\ngot  %q\nwant %q", strings.Join(args, " "), got, want)
		}
	}
	if got := c.Do("COMMAND", "COUNT"); !strings.HasPrefix(got, ":") || len(got) < 6 {
		t.Errorf("COMMAND COUNT: %q", got)
	}
	if got := c.Do("COMMAND"); len(got) < 10_000 {
		t.Errorf("COMMAND: %s", shorten([]byte(got)))
	}
}

func TestKeysOnDifferentNodes(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	on, off := keysOf(t, r.addr(), nodes, 0, 1)
	c := redistest.Dial(t, r.addr())
	for _, args := range [][]string{
		{"RENAME", on[0], off[0]},
		{"SUNIONSTORE", on[0], off[0]},
		{"MSETNX", on[0], "1", off[0], "2"},
		{"ZUNIONSTORE", "{" + on[0] + "}", "2", on[0], off[0]},
		{"EVAL", "return 1", "2", on[0], off[0]},
		{"XREAD", "BLOCK", "1", "STREAMS", on[0], off[0], "0", "0"},
		{"BITOP", "AND", on[0], off[0]},
	} {
		if got := c.Do(args...); got != crossSlot {
			t.Errorf("%s: %q", strings.Join(args, " "), got)
		}
	}
	for _, args := range [][]string{
		{"SUNION", "{x}a", "{x}b"},
		{"SUNION", on[0], "{" + on[0] + "}b"},
		{"MSETNX", on[0], "1", "{" + on[0] + "}x", "2"},
	} {
		if got := c.Do(args...); got[0] == '-' {
			t.Errorf("%s, one tag: %q", strings.Join(args, " "), got)
		}
	}
}

// Commands that the router does not serve yet, or never will, get an error; the connection stays.
func TestRefusals(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	c := redistest.Dial(t, r.addr())
	for _, args := range [][]string{
		{"SHUTDOWN"}, {"REPLICAOF", "a", "1"}, {"DEBUG", "SEGFAULT"}, {"SYNC"}, {"CLUSTER", "RESET"},
	} {
		if got := c.Do(args...); got[0] != '-' {
			t.Errorf("%s: %q", strings.Join(args, " "), got)
		}
		if got := c.Do("PING"); got != "+PONG\r\n" {
			t.Errorf("PING after %s: %q", strings.Join(args, " "), got)
		}
	}
}
