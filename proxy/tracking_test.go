package proxy

import (
	"testing"

	"ringway/internal/redistest"
)

func invalidation(keys ...string) string {
	s := ">2\r\n$10\r\ninvalidate\r\n" + string(redistest.AppendCommand(nil, keys...))
	return s
}

func TestTrackingInvalidatesWhatWasRead(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	c := client(t, srv)
	c.Do("HELLO", "3")
	c.Do("MSET", "a", "1", "b", "2", "c", "3")

	t.Run("behind each read, and behind EXEC", func(t *testing.T) {
		want(t, "TRACKING", c.Do("CLIENT", "TRACKING", "ON"), "+OK\r\n")
		c.Send("GET", "a")
		c.Send("MGET", "a", "b", "c")
		c.Send("SET", "a", "1")
		c.Send("MULTI")
		c.Send("GET", "b")
		c.Send("EXEC")
		c.Send("PING")
		c.Flush()
		for _, wanted := range []string{
			"$1\r\n1\r\n", invalidation("a"),
			"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n", invalidation("a", "b", "c"),
			"+OK\r\n",
			"+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\n2\r\n", invalidation("b"),
			"+PONG\r\n",
		} {
			want(t, "reply", c.Recv(), wanted)
		}
		want(t, "GETREDIR", c.Do("CLIENT", "GETREDIR"), ":0\r\n")
		want(t, "OFF", c.Do("CLIENT", "TRACKING", "OFF"), "+OK\r\n")
		want(t, "GETREDIR", c.Do("CLIENT", "GETREDIR"), ":-1\r\n")
		want(t, "GET", c.Do("GET", "a"), "$1\r\n1\r\n")
		want(t, "PING", c.Do("PING"), "+PONG\r\n")
	})
	t.Run("with OPTIN only after CACHING YES", func(t *testing.T) {
		want(t, "TRACKING", c.Do("CLIENT", "TRACKING", "ON", "OPTIN"), "+OK\r\n")
		c.Send("GET", "a")
		c.Send("CLIENT", "CACHING", "YES")
		c.Send("GET", "b")
		c.Send("GET", "a")
		c.Send("CLIENT", "CACHING", "YES")
		c.Send("MULTI")
		c.Send("GET", "a")
		c.Send("GET", "a")
		c.Send("EXEC")
		c.Send("GET", "a")
		c.Send("CLIENT", "TRACKINGINFO")
		c.Flush()
		for _, wanted := range []string{
			"$1\r\n1\r\n",
			"+OK\r\n", "$1\r\n2\r\n", invalidation("b"),
			"$1\r\n1\r\n",
			"+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n", invalidation("a", "a"),
			"$1\r\n1\r\n",
			"%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$5\r\noptin\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*0\r\n",
		} {
			want(t, "reply", c.Recv(), wanted)
		}
		want(t, "another mode", c.Do("CLIENT", "TRACKING", "ON"), "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.\r\n")
		want(t, "CACHING NO", c.Do("CLIENT", "CACHING", "NO"), "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n")
		want(t, "RESET", c.Do("RESET"), "+RESET\r\n")
		want(t, "CACHING", c.Do("CLIENT", "CACHING", "YES"), "-"+errNotTracking+"\r\n")
	})
	t.Run("what promises to tell of writes is refused", func(t *testing.T) {
		for _, option := range [][]string{{"BCAST"}, {"BCAST", "PREFIX", "a"}, {"REDIRECT", "1"}} {
			want(t, option[0], c.Do(append([]string{"CLIENT", "TRACKING", "ON"}, option...)...), "-"+errTracking+"\r\n")
		}
	})
	balanced(t, srv)
}
