package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
	"ringway/resp"
)

// TestGatheredCommands compares commands whose keys are on three nodes with one server that has them all. Members of sets
// come in any order, so they are compared sorted.
func TestGatheredCommands(t *testing.T) {
	srv := serve(t, nil, redistest.Server(t).Addr(), redistest.Server(t).Addr(), redistest.Server(t).Addr())
	one := redistest.Server(t)
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			through, direct := client(t, srv), redistest.Dial(t, one.Addr())
			for _, c := range []*redistest.Conn{through, direct} {
				c.Do("HELLO", proto)
			}
			both := func(args ...string) (string, string) { return through.Do(args...), direct.Do(args...) }
			r := rand.New(rand.NewPCG(7, 7))
			keys := func(prefix string) (list []string) {
				for range 2 + r.IntN(5) {
					list = append(list, fmt.Sprintf("%s%d", prefix, r.IntN(12)))
				}
				return list
			}
			for i := range 12 {
				for range r.IntN(30) {
					both("SADD", fmt.Sprint("s", i), fmt.Sprint("m", r.IntN(25)))
					both("ZADD", fmt.Sprint("z", i), fmt.Sprintf("%.2f", r.Float64()*10-5), fmt.Sprint("m", r.IntN(25)))
				}
				both("XADD", fmt.Sprint("x", i), fmt.Sprint(1+i, "-1"), "f", "v")
			}
			both("ZADD", "z0", "inf", "top", "-inf", "bottom")
			both("ZADD", "z1", "-inf", "top", "inf", "bottom")
			both("SET", "text", "x")
			for range 150 {
				s, z := keys("s"), keys("z")
				n := fmt.Sprint(len(z))
				counted := append([]string{n}, z...)
				for _, args := range [][]string{
					append([]string{"SINTER"}, s...),
					append([]string{"SUNION"}, s...),
					append([]string{"SDIFF"}, s...),
				} {
					got, wanted := both(args...)
					want(t, strings.Join(args, " "), sorted(t, got), sorted(t, wanted))
				}
				weights := []string{"WEIGHTS"}
				for range z {
					weights = append(weights, fmt.Sprintf("%.1f", r.Float64()*4-2))
				}
				for _, args := range [][]string{
					append(append([]string{"SINTERCARD", fmt.Sprint(len(s))}, s...), "LIMIT", fmt.Sprint(r.IntN(4))),
					append([]string{"ZUNION"}, counted...),
					append(append([]string{"ZUNION"}, counted...), "WITHSCORES"),
					append(append(append([]string{"ZUNION"}, counted...), weights...), "AGGREGATE", "MAX", "WITHSCORES"),
					append(append(append([]string{"ZINTER"}, counted...), weights...), "WITHSCORES"),
					append(append([]string{"ZINTER"}, counted...), "AGGREGATE", "MIN", "WITHSCORES"),
					append(append([]string{"ZDIFF"}, counted...), "WITHSCORES"),
					append([]string{"ZINTERCARD"}, counted...),
					{"ZUNION", "3", z[0], s[0], z[1], "WITHSCORES"},
					{"ZUNION", "3", z[0], "text", z[1]},
					{"ZUNION", "2", z[0], z[1], "WEIGHTS", "1", "x"},
					{"ZUNION", "2", z[0], z[1], "AGGREGATE", "AVG"},
					{"SINTERCARD", "2", s[0], s[1], "LIMIT", "-1"},
					{"XREAD", "COUNT", "2", "STREAMS", "x1", "x2", "x3", "none", "0", "0-1", "9", "0"},
					{"XREAD", "STREAMS", "x1", "x2", "99", "99"},
				} {
					got, wanted := both(args...)
					want(t, strings.Join(args, " "), got, wanted)
				}
			}
		})
	}
}

// TestGatheringIsBounded fills keys with more than can be brought together.
func TestGatheringIsBounded(t *testing.T) {
	srv := serve(t, nil, redistest.Server(t).Addr(), redistest.Server(t).Addr(), redistest.Server(t).Addr())
	c := client(t, srv)
	big := strings.Repeat("x", 9<<20)
	for i := range 8 {
		c.Do("SADD", fmt.Sprint("k", i), big+fmt.Sprint(i))
	}
	want(t, "SUNION", c.Do("SUNION", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"), "-"+errGathered+"\r\n")
	want(t, "the next request", c.Do("PING"), "+PONG\r\n")
}

// sorted returns a reply with the elements of its array or set in order.
func sorted(t *testing.T, reply string) string {
	t.Helper()
	list := elements([]byte(reply))
	if list == nil {
		return reply
	}
	slices.SortFunc(list, func(x, y []byte) int { return strings.Compare(string(x), string(y)) })
	b := resp.AppendArray(nil, len(list))
	b[0] = reply[0]
	for _, e := range list {
		b = append(b, e...)
	}
	return string(b)
}
