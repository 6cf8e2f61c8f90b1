package proxy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

func TestMonitor(t *testing.T) {
	for _, threads := range []int{1, 3} {
		srv := serve(t, func(c *config.Config) { c.Threads = threads }, nodes(t, 2)...)
		m, m2 := client(t, srv), client(t, srv)
		want(t, "MONITOR", m.Do("MONITOR"), "+OK\r\n")
		m2.Do("HELLO", "3")
		m.Recv()
		want(t, "MONITOR in RESP3", m2.Do("MONITOR"), "+OK\r\n")

		t.Run("shows what every client of every loop sends", func(t *testing.T) {
			for i := range 4 {
				c := client(t, srv)
				c.Do("SELECT", "3")
				c.Do("SET", fmt.Sprint("k", i), "a\n\x01\"\\\xff")
				c.Do("MGET", "a", "b")
				c.Do("CONFIG", "GET", "save") // administration is not shown
				c.Do("AUTH", "default", "secret")
				for _, mon := range []*redistest.Conn{m, m2} {
					for _, wanted := range []string{
						`\[0 %s\] "SELECT" "3"`,
						fmt.Sprintf(`\[3 %%s\] "SET" "k%d" "a\\n\\x01\\"\\\\\\xff"`, i),
						`\[3 %s\] "MGET" "a" "b"`,
						`\[3 %s\] "AUTH" "\(redacted\)" "\(redacted\)"`,
					} {
						if strings.Contains(wanted, "SELECT") {
							wanted = strings.Replace(wanted, "[0", "[[03]", 1) // the database is named after the command has run
						}
						re := regexp.MustCompile(`^\+\d{10}\.\d{6} ` + fmt.Sprintf(wanted, regexp.QuoteMeta(c.LocalAddr().String())) + "\r\n$")
						if got := mon.Recv(); !re.MatchString(got) {
							t.Errorf("got %q, want %s", got, re)
						}
					}
				}
			}
		})
		t.Run("may not touch keys", func(t *testing.T) {
			want(t, "GET", m.Do("GET", "a"), "-ERR Replica can't interact with the keyspace\r\n")
		})
		t.Run("ends with RESET and when the client leaves", func(t *testing.T) {
			c := client(t, srv)
			m2.Close()
			want(t, "RESET", m.Do("RESET"), "+RESET\r\n")
			redistest.WaitFor(t, "nobody to watch", func() bool {
				c.Do("GET", "a")
				watched := false
				srv.onLoops(func(w *worker) { watched = watched || w.watched })
				return !watched
			})
			for got := m.Do("GET", "none"); got != "$-1\r\n"; got = m.Recv() {
				if got[0] != '+' {
					t.Fatalf("after RESET: %q", got)
				}
			}
			srv.onLoops(func(w *worker) {
				for x := w.sessions; x != nil; x = x.next {
					if !x.plain {
						t.Errorf("client %d is not plain", x.id)
					}
				}
			})
		})
	}
}

func TestMonitorThatDoesNotReadIsClosed(t *testing.T) {
	srv := serve(t, func(c *config.Config) { c.Threads = 2; c.Pools[0].ClientStall = 0 }, redistest.Server(t).Addr())
	m, c := client(t, srv), client(t, srv)
	want(t, "MONITOR", m.Do("MONITOR"), "+OK\r\n")
	value := strings.Repeat("x", 1<<20)
	for range 60 {
		want(t, "SET", c.Do("SET", "a", value), "+OK\r\n")
	}
	redistest.WaitFor(t, "the monitor to be closed", func() bool {
		c.Do("SET", "a", value)
		left := 0
		srv.onLoops(func(w *worker) { left += len(w.taps.monitors) })
		return left == 0
	})
}

func TestQuoted(t *testing.T) {
	for in, wanted := range map[string]string{
		"":                        `""`,
		"plain":                   `"plain"`,
		"a\"b\\c":                 `"a\"b\\c"`,
		"\n\r\t\a\b\x00\x1f~\x7f": `"\n\r\t\a\b\x00\x1f~\x7f"`,
		"é":                       `"\xc3\xa9"`,
	} {
		want(t, in, string(appendQuoted(nil, []byte(in))), wanted)
	}
}
