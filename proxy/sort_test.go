package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// TestSortOverNodes compares SORT whose patterns name keys on three nodes with one server that has them all.
func TestSortOverNodes(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	one := redistest.Server(t)
	for _, proto := range []string{"2", "3"} {
		through, direct := client(t, srv), redistest.Dial(t, one.Addr())
		both := func(args ...string) {
			t.Helper()
			want(t, "RESP"+proto+" "+strings.Join(args, " "), through.Do(args...), direct.Do(args...))
		}
		through.Do("HELLO", proto)
		direct.Do("HELLO", proto)
		both("FLUSHALL")
		r := rand.New(rand.NewPCG(5, 5))
		for i, n := range r.Perm(40) {
			both("RPUSH", "list", fmt.Sprint(n))
			both("SADD", "set", fmt.Sprint(n))
			both("ZADD", "zset", fmt.Sprint(i), fmt.Sprint(n))
			both("SET", fmt.Sprint("name_", n), fmt.Sprintf("%04d", r.IntN(1000)*40+n))
			both("HSET", fmt.Sprint("object_", n), "weight", fmt.Sprint(r.IntN(9)-4), "text", fmt.Sprint("t", n))
			if i%4 != 0 { // some are missing, many are alike
				both("SET", fmt.Sprint("weight_", n), fmt.Sprintf("%.1f", float64(r.IntN(8))/2-1))
			}
		}
		both("HSET", "name_7x", "f", "v")
		both("RPUSH", "odd", "1", "7x", "2")
		both("RPUSH", "weight_5x", "x")
		both("RPUSH", "typed", "1", "5x", "3")
		both("SET", "weight_bad", "1x")
		both("RPUSH", "bad", "1", "bad")
		both("RPUSH", "words", "b", "a")
		by := [][]string{nil, {"BY", "weight_*"}, {"BY", "object_*->weight"}, {"BY", "name_*", "ALPHA"}, {"BY", "object_*->text", "ALPHA"}, {"BY", "object_*->none"}, {"BY", "weight_*->"}, {"by", "none_*"}}
		limits := [][]string{nil, {"LIMIT", "3", "7"}, {"LIMIT", "0", "0"}, {"LIMIT", "-2", "4"}, {"LIMIT", "35", "100"}, {"LIMIT", "100", "5"}, {"limit", "5", "-1"}}
		gets := [][]string{nil, {"GET", "name_*"}, {"GET", "#", "GET", "object_*->text", "GET", "weight_*"}, {"GET", "name_*->x", "get", "plain"}, {"GET", "#"}}
		for range 300 {
			args := append([]string{[]string{"SORT", "SORT_RO"}[r.IntN(2)], []string{"list", "set", "zset"}[r.IntN(3)]}, by[r.IntN(len(by))]...)
			args = append(args, limits[r.IntN(len(limits))]...)
			args = append(args, gets[r.IntN(len(gets))]...)
			if r.IntN(2) == 0 {
				args = append(args, "DESC")
			}
			both(args...)
		}
		for _, line := range []string{
			"SORT list BY nosort GET name_*", "SORT zset BY nosort GET name_* DESC LIMIT 2 5", "SORT odd GET name_* BY nosort", "SORT odd BY object_* GET name_*->f", "SORT typed BY weight_* GET weight_* GET #", "SORT bad BY weight_*",
			"SORT bad BY weight_* ALPHA", "SORT none BY weight_*", "SORT name_1 BY weight_*", "SORT words GET name_*", "SORT list BY weight_* LIMIT x 1", "SORT list BY weight_* NONSENSE", "SORT list BY", "SORT_RO list BY weight_* STORE x", "SORT",
		} {
			both(strings.Fields(line)...)
		}
	}
	balanced(t, srv)
}

func TestSortThatNeedsOneNode(t *testing.T) {
	b := redistest.Server(t)
	srv := serve(t, nil, redistest.Server(t).Addr(), b.Addr())
	c := client(t, srv)
	key := keyOf(t, srv, 0, "list")
	c.Do("RPUSH", key, "1", "2", "3", "4", "5")
	for i := range 5 {
		c.Do("SET", fmt.Sprintf("w%d", i+1), fmt.Sprint(9-i))
		c.Do("SET", fmt.Sprintf("{%s}w%d", key, i+1), fmt.Sprint(9-i))
	}
	want(t, "SORT STORE with all on one node", c.Do("SORT", key, "BY", "{"+key+"}w*", "STORE", "{"+key+"}sorted"), ":5\r\n")
	want(t, "what is stored", c.Do("LRANGE", "{"+key+"}sorted", "0", "1"), "*2\r\n$1\r\n5\r\n$1\r\n4\r\n")
	want(t, "SORT STORE of what is looked up elsewhere", c.Do("SORT", key, "BY", "w*", "STORE", "{"+key+"}other"), "-"+errCrossSlot+"\r\n")
	want(t, "SORT STORE elsewhere", c.Do("SORT", key, "STORE", keyOf(t, srv, 1, "other")), "-"+errCrossSlot+"\r\n")

	c.Send("SORT", key, "BY", "w*", "LIMIT", "0", "1")
	c.Send("DEL", "w5", key)
	c.Flush()
	want(t, "what is sent behind it does not change it", c.Recv(), "*1\r\n$1\r\n5\r\n")
	want(t, "DEL", c.Recv(), ":2\r\n")

	many := []string{"RPUSH", key}
	for i := range 40000 {
		many = append(many, fmt.Sprint(i))
	}
	c.Do(many...)
	want(t, "too many to look up", c.Do("SORT", key, "BY", "w*", "GET", "x*", "GET", "y*"), "-"+errLookups+"\r\n")
	if got := elements([]byte(c.Do("SORT", key, "BY", "{"+key+"}w*", "GET", "{"+key+"}x*", "GET", "{"+key+"}y*"))); len(got) != 80000 {
		t.Errorf("as many on one node: %d", len(got))
	}
	if got := elements([]byte(c.Do("SORT", key, "BY", "w*", "DESC"))); len(got) != 40000 || string(text(got[1])) != "2" {
		t.Errorf("many: %d, %.40q", len(got), got[:min(len(got), 2)])
	}
	c.Send("SORT", key, "BY", "w*")
	c.Send("PING")
	c.Flush()
	c.Close() // who leaves in the middle leaves nothing behind
	b.Kill()
	c = client(t, srv)
	if got := c.Do("SORT", key, "BY", "w*"); !strings.HasPrefix(got, "-ERR node 'n1'") {
		t.Errorf("SORT with a node down: %.100q", got)
	}
	want(t, "PING", c.Do("PING"), "+PONG\r\n")
}
