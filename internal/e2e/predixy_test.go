package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// A predixy.conf is served as it is: keys are in the groups that its arithmetic says, and clients may do what its Authority says.
func TestAPredixyConfIsServed(t *testing.T) {
	nodes := servers(t, 3)
	dir, port := t.TempDir(), redistest.FreePort(t)
	groups := ""
	for i, name := range []string{"zebra", "ant", "bee"} { // not in the order of names
		groups += fmt.Sprintf("    Group %s {\n        + %s\n    }\n", name, nodes[i].Addr())
	}
	for name, text := range map[string]string{
		"predixy.conf": fmt.Sprintf("Bind 127.0.0.1:%d\nInclude auth.conf\nInclude servers.conf\n", port),
		"servers.conf": "StandaloneServerPool {\n    Hash atol\n    Distribution modula\n    RefreshMethod fixed\n" + groups + "}\n",
		"auth.conf": `Authority {
    Auth {
        Mode read
    }
    Auth boss {
        Mode admin
    }
    Auth keeper {
        Mode write
        ReadKeyPrefix "1 2"
        WriteKeyPrefix 1
    }
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := redistest.Start(t, program, "--config", filepath.Join(dir, "predixy.conf"))
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	redistest.WaitFor(t, "ringway to listen", func() bool {
		c, err := redistest.Connect(addr)
		if err != nil {
			return !p.Running()
		}
		c.Close()
		return true
	})

	boss := redistest.Dial(t, addr)
	if got := boss.Do("AUTH", "auth1", "boss"); got != "+OK\r\n" {
		t.Fatalf("AUTH of the admin: %q", got)
	}
	for i := range 60 {
		key := fmt.Sprintf("%d:key", i)
		if got := boss.Do("SET", key, "x"); got != "+OK\r\n" {
			t.Fatalf("SET %s: %q", key, got)
		}
		if got := nodes[i%3].Do("EXISTS", key); got != ":1\r\n" {
			t.Errorf("%s is not in group %d", key, i%3)
		}
	}

	anyone, keeper := redistest.Dial(t, addr), redistest.Dial(t, addr)
	keeper.Do("AUTH", "auth2", "keeper")
	for _, c := range []struct {
		who     *redistest.Conn
		command string
		refused bool
	}{
		{anyone, "GET 1:key", false},
		{anyone, "MGET 1:key 2:key", false},
		{anyone, "PING", false},
		{anyone, "SELECT 0", false},
		{anyone, "SET 1:key x", true},
		{anyone, "EVAL return(1) 0", true},
		{boss, "EVAL return(1) 1 1:key", false},
		{boss, "FLUSHALL", true},
		{boss, "KEYS *", true},
		{boss, "CONFIG GET maxmemory", true},
		{boss, "RINGWAY CONFIG", false},
		{keeper, "SET 1:key x", false},
		{keeper, "GET 1:key", false},
		{keeper, "INCR 10", false},
		{keeper, "GET 2:key", false},
		{keeper, "SET 2:key x", true},
		{keeper, "GET 3:key", true},
		{keeper, "DEL 1:key 3:key", true},
		{keeper, "CONFIG GET maxmemory", true},
		{keeper, "PUBLISH 1:news x", false},
		{keeper, "PUBLISH 2:news x", true},
	} {
		got := c.who.Do(strings.Fields(c.command)...)
		if refused := strings.HasPrefix(got, "-NOPERM"); refused != c.refused || !refused && strings.HasPrefix(got, "-") {
			t.Errorf("%s: %q, want it refused: %v", c.command, got, c.refused)
		}
	}
}
