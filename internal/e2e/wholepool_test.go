package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// wholePool are commands that concern all nodes, one after the other, in the words of the twin test's templates; what they do
// to one server they do to all together.
var wholePool = []string{
	"DBSIZE", "sorted: KEYS *", "sorted: KEYS key:1*", "KEYS none", "sorted: KEYS *\r\n*", "type: RANDOMKEY", "SELECT 3", "DBSIZE", "RANDOMKEY", "KEYS *", "SET only x", "RANDOMKEY", "DBSIZE", "KEYS on?y",
	"SWAPDB 3 4", "EXISTS only", "SWAPDB 3 99", "SWAPDB x 1", "SELECT 4", "KEYS *", "FLUSHDB", "DBSIZE", "SELECT 0", "DBSIZE", "FLUSHDB NOSUCH", "FLUSHALL SYNC ASYNC", "DBSIZE",
	"SCAN 0 COUNT 0", "SCAN 0 MATCH", "SCAN x", "SCAN 0 NOSUCH 1", "SCAN 0 TYPE",
	"CONFIG GET maxmemory-policy", "CONFIG SET maxmemory-policy allkeys-lru", "sorted: CONFIG GET maxmemory-p* maxmemory", "CONFIG SET maxmemory-policy noeviction", "CONFIG SET maxmemory-policy nosuch",
	"CONFIG SET nosuch x", "CONFIG GET nosuch", "CONFIG SET slowlog-log-slower-than -1 slowlog-max-len 16", "sorted: CONFIG GET slowlog-*", "CONFIG SET a", "CONFIG RESETSTAT", "CONFIG NOSUCH",
	"SLOWLOG RESET", "SLOWLOG LEN", "type: SLOWLOG GET", "type: SLOWLOG GET 5", "SLOWLOG GET x", "LATENCY RESET", "LATENCY RESET nosuch", "type: LATENCY LATEST", "type: LATENCY HISTORY command", "type: LATENCY DOCTOR",
	"LATENCY GRAPH nosuch", "type: LATENCY HISTOGRAM set", "MEMORY PURGE", "type: MEMORY DOCTOR", "type: MEMORY MALLOC-STATS", "type: MEMORY STATS", "MEMORY NOSUCH", "SAVE", "type: BGSAVE", "shape: LASTSAVE",
	"type: BGREWRITEAOF", "type: INFO", "type: ROLE", "type: COMMAND", "type: COMMAND DOCS get", "sorted: COMMAND DOCS ping",
	"SCRIPT LOAD return(1)", "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db x", "SCRIPT FLUSH", "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
	"SCRIPT FLUSH ASYNC", "SCRIPT FLUSH NOSUCH", "FUNCTION LOAD <library>", "FUNCTION DELETE twins", "FUNCTION LIST", "FCALL twin_say 1 x", "FUNCTION LOAD <library>", "FUNCTION FLUSH", "FUNCTION STATS", "FUNCTION FLUSH NOSUCH",
	"FLUSHDB ASYNC", "DBSIZE", "RANDOMKEY", "FLUSHALL", "KEYS *", "PUBSUB CHANNELS", "PUBSUB NUMPAT",
}

func TestWholePoolIsLikeOneServer(t *testing.T) {
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) {
			nodes := servers(t, 3)
			r := serve(t, pool{nodes: addresses(nodes)})
			compareWholePool(t, proto, r.addr(), redistest.Server(t).Addr())
		})
	}
}

func compareWholePool(t *testing.T, proto int, subject, reference string) {
	t.Helper()
	g := newGenerator(1, "", proto)
	a, b := redistest.Dial(t, subject), redistest.Dial(t, reference)
	for _, c := range []*redistest.Conn{a, b} {
		c.Do("HELLO", fmt.Sprint(proto))
		for i := range 300 {
			c.Send("SET", fmt.Sprintf("key:%d", i), "x")
		}
		c.Send("SET", "a\r\nb", "x")
		c.Flush()
		for range 301 {
			c.Recv()
		}
	}
	for _, options := range [][]string{nil, {"COUNT", "7"}, {"MATCH", "key:*1"}, {"TYPE", "string", "COUNT", "1000"}, {"TYPE", "list"}} {
		if got, want := scanAll(t, a, options...), scanAll(t, b, options...); !slices.Equal(got, want) {
			t.Errorf("SCAN %s: %q, want %q", strings.Join(options, " "), got, want)
		}
	}
	for _, line := range wholePool {
		cmd := g.command("fixed: " + line)
		a.SendRaw(cmd.wire)
		b.SendRaw(cmd.wire)
		a.Flush()
		b.Flush()
		if got, want := a.Recv(), b.Recv(); !cmd.same(got, want) {
			t.Errorf("%s: %s, want %s", line, shorten([]byte(got)), shorten([]byte(want)))
		}
	}
}
