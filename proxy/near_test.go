package proxy

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// hotField returns a field of what HOTKEYS tells of a key, "" if it does not tell of it.
func hotField(c *redistest.Conn, key, field string) string {
	for _, k := range strings.Split(c.Do("HOTKEYS"), "$3\r\nkey\r\n") {
		if !strings.HasPrefix(k, redistest.Bulk(key)) {
			continue
		}
		_, rest, _ := strings.Cut(k, redistest.Bulk(field))
		lines := strings.SplitN(rest, "\r\n", 3)
		if strings.HasPrefix(rest, ":") {
			return lines[0][1:]
		}
		return lines[1]
	}
	return ""
}

// untilNear reads a key until its replies are kept.
func untilNear(t testing.TB, c *redistest.Conn, key string) {
	t.Helper()
	redistest.WaitFor(t, key+" to be near", func() bool {
		for range 200 {
			c.Send("GET", key)
		}
		c.Flush()
		for range 200 {
			c.Recv()
		}
		return hotField(c, key, "tier") == "near"
	})
}

func TestWhatIsKeptOfAHotKeyIsWhatItsNodeHas(t *testing.T) {
	addresses := nodes(t, 3)
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprint(threads, " loops"), func(t *testing.T) {
			srv := serve(t, func(c *config.Config) { c.Threads = threads }, addresses...)
			a, b := client(t, srv), client(t, srv)
			a.Do("SET", "hot", "0")
			untilNear(t, a, "hot")
			for i := range 300 {
				v := fmt.Sprint(i)
				want(t, "SET", a.Do("SET", "hot", v), "+OK\r\n")
				for range 20 {
					want(t, "GET by the one who wrote", a.Do("GET", "hot"), redistest.Bulk(v))
					want(t, "GET by another", b.Do("GET", "hot"), redistest.Bulk(v))
				}
			}
			untilNear(t, a, "hot")
			direct := redistest.Dial(t, addresses[ringOf(t, srv).Find([]byte("hot"))])
			direct.Do("SET", "hot", "direct")
			redistest.WaitFor(t, "a write past the router to be seen", func() bool { return a.Do("GET", "hot") == redistest.Bulk("direct") })
			t.Log("near", hotField(a, "hot", "reads-near"), "saved", hotField(a, "hot", "reads-saved"), "validations", hotField(a, "hot", "validations"),
				"invalidations", hotField(a, "hot", "invalidations"))
			balanced(t, srv)
		})
	}
}

func TestAPinnedKeyIsHotWhateverItsShare(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.HotKeys.Pin = []string{"config:*"} }), nodes(t, 3)...)
	c := client(t, srv)
	redistest.WaitFor(t, "the pinned key to be kept", func() bool {
		for i := range 2000 { // each of the others has as many requests
			c.Send("GET", fmt.Sprint("other:", i%200))
			if i%200 == 0 {
				c.Send("GET", "config:1")
			}
		}
		c.Flush()
		for range 2010 {
			c.Recv()
		}
		return hotField(c, "config:1", "tier") == "near"
	})
	if tier := hotField(c, "other:1", "tier"); tier == "near" {
		t.Error("another key is hot too")
	}
}
