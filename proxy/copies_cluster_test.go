package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// copying is a change of the only pool to one in front of a Redis Cluster, with a key copied as often as it changes.
func copying(t testing.TB, cl *redistest.Cluster, more func(h *config.HotKeys)) func(*config.Config) {
	return func(c *config.Config) {
		keeping(t, "near", more)(c)
		c.Pools[0].HotKeys.Mode = "copies"
		inCluster(cl.Addrs()...)(c)
	}
}

// copiesOn returns the names of copies that a node of a cluster has.
func copiesOn(node *redistest.Redis) (names []string) {
	for _, k := range strings.Split(node.Do("KEYS", copyPrefix+"*"), "\r\n") {
		if strings.HasPrefix(k, copyPrefix) {
			names = append(names, k)
		}
	}
	return names
}

// gets is how many GETs nodes have answered since CONFIG RESETSTAT.
func gets(cl *redistest.Cluster) (list []int, all int) {
	for _, node := range cl.Nodes {
		n := numberIn(node.Do("INFO", "commandstats"), "cmdstat_get:calls=")
		list, all = append(list, n), all+n
	}
	return list, all
}

func TestReadsOfAHotKeyAreSpreadOverACluster(t *testing.T) {
	cl := redistest.StartCluster(t, 3, 0)
	srv := serve(t, copying(t, cl, nil))
	found(t, srv)
	a, b := client(t, srv), client(t, srv)
	b.Do("HELLO", "3")
	a.Do("SET", "hot", "first")
	untilCopied(t, a, "hot", 3)
	for _, node := range cl.Nodes {
		node.Do("CONFIG", "RESETSTAT")
	}
	redistest.WaitFor(t, "each node to have a good part of the reads", func() bool { // those that had more before have less now
		for range 1000 {
			a.Send("GET", "hot")
		}
		a.Flush()
		for range 1000 {
			want(t, "GET", a.Recv(), redistest.Bulk("first"))
		}
		list, all := gets(cl)
		t.Logf("GETs of the nodes: %v", list)
		return slices.Min(list) > all/4
	})
	for i := range 200 {
		v := strings.Repeat(fmt.Sprint(i), 1+i*10)
		want(t, "SET", a.Do("SET", "hot", v), "+OK\r\n")
		for range 10 {
			want(t, "GET by the one who wrote", a.Do("GET", "hot"), redistest.Bulk(v))
			want(t, "GET by another", b.Do("GET", "hot"), redistest.Bulk(v))
			want(t, "STRLEN", b.Do("STRLEN", "hot"), fmt.Sprintf(":%d\r\n", len(v)))
		}
	}
	direct := redistest.Dial(t, cl.Node(cl.Owner(clusterSlot([]byte("hot")))).Addr())
	want(t, "SET past the router", direct.Do("SET", "hot", "direct"), "+OK\r\n")
	redistest.WaitFor(t, "a write past the router to be seen", func() bool { return a.Do("GET", "hot") == redistest.Bulk("direct") })
	untilCopied(t, a, "hot", 3)
	owner := cl.Owner(clusterSlot([]byte("hot")))
	from := (owner + 1) % 3
	cl.MoveSlots(from, owner, clusterSlot([]byte(tagAt(t, srv, cl.Node(from).Addr()))))
	redistest.WaitFor(t, "a copy under another name", func() bool {
		tag := tagAt(t, srv, cl.Node(from).Addr())
		untilCopied(t, a, "hot", 3)
		return slices.ContainsFunc(copiesOn(cl.Node(from)), func(name string) bool {
			return strings.Contains(name, "{"+tag+"}") && cl.Owner(clusterSlot([]byte(tag))) == from
		})
	})
	for _, node := range cl.Nodes {
		for _, name := range copiesOn(node) {
			want(t, "DEL of a copy", node.Do("DEL", name), ":1\r\n")
		}
	}
	want(t, "GET when copies are gone", b.Do("GET", "hot"), redistest.Bulk("direct"))
	want(t, "STRLEN when copies are gone", b.Do("STRLEN", "hot"), ":6\r\n")
	a.Do("DEL", "hot")
	want(t, "GET of what is deleted", b.Do("GET", "hot"), "_\r\n")
	balanced(t, srv)
}

// Copies in a cluster lie among the clients' keys, and nobody sees them, or names them.
func TestCopiesInAClusterAreHidden(t *testing.T) {
	cl := redistest.StartCluster(t, 3, 0)
	srv := serve(t, copying(t, cl, nil))
	found(t, srv)
	c := client(t, srv)
	keys := []string{"hot"}
	for i := range 30 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	for _, k := range keys {
		c.Do("SET", k, "v")
	}
	for round := range 20 { // a copy of each value
		c.Do("SET", "hot", fmt.Sprint(round))
		untilCopied(t, c, "hot", 3)
	}
	for _, node := range cl.Nodes {
		if n := len(copiesOn(node)); n < 10 {
			t.Errorf("a node has %d copies", n)
		}
	}
	hidden(t, c, keys)
	name := copiesOn(cl.Node(0))[0]
	for _, request := range []string{"GET %s", "SET %s wrong", "DEL k1 %s", "MSET k1 v %s wrong", "RENAME k1 %s", "EVAL x 1 %s", "EXISTS %s"} {
		want(t, request, c.Do(strings.Fields(fmt.Sprintf(request, name))...), "-"+errNamesCopy+"\r\n")
	}
	c.Do("FLUSHALL")
	want(t, "DBSIZE after FLUSHALL", c.Do("DBSIZE"), ":0\r\n")
	balanced(t, srv)
}

// hidden fails the test unless a client sees these keys and no others.
func hidden(t testing.TB, c *redistest.Conn, keys []string) {
	t.Helper()
	want(t, "DBSIZE", c.Do("DBSIZE"), fmt.Sprintf(":%d\r\n", len(keys)))
	slices.Sort(keys)
	var shown []string
	for _, k := range elements([]byte(c.Do("KEYS", "*"))) {
		shown = append(shown, string(text(k)))
	}
	if slices.Sort(shown); !slices.Equal(shown, keys) {
		t.Errorf("KEYS: %q", shown)
	}
	list := slices.Sorted(maps.Keys(scanned(t, c, "COUNT", "7")))
	if !slices.Equal(list, keys) {
		t.Errorf("SCAN: %q", list)
	}
	for range 100 {
		if k := string(text([]byte(c.Do("RANDOMKEY")))); !slices.Contains(keys, k) {
			t.Errorf("RANDOMKEY: %q", k)
		}
	}
}

// What clients of one Ringway ask of hot keys of a cluster is as if it had been carried out one after the other, while the slots of the keys move, and those of
// their copies.
func TestHotKeysOfAClusterAreLinearizable(t *testing.T) {
	cl := redistest.StartCluster(t, 3, 0)
	srv := serve(t, copying(t, cl, pinned))
	found(t, srv)
	const clients, operations = 8, 400
	l := &linear{t: t, begin: time.Now()}
	moves := 0
	for n := range sized(100, 4) {
		done := make(chan porcupine.CheckResult, 1)
		go func() { done <- l.round(srv.Addr(0), n, clients, operations) }()
		over := func() bool { return len(done) > 0 }
		for i := 0; !over(); i++ {
			slot := clusterSlot([]byte(fmt.Sprint(kindsOfKeys[i%len(kindsOfKeys)].name, n)))
			if i%2 == 1 {
				slot = clusterSlot([]byte(tagAt(t, srv, cl.Node(i%3).Addr())))
			}
			from := cl.Owner(slot)
			cl.MoveSlots(from, (from+1+i%2)%3, slot)
			moves++
			kept := keptReads(srv)
			redistest.WaitFor(t, "reads to be answered with what is kept", func() bool { return over() || keptReads(srv) > kept+100 })
		}
		if result := <-done; result != porcupine.Ok {
			t.Fatalf("a history is %s", result)
		}
	}
	t.Logf("%d operations, %d slots moved, %d reads answered with what is kept", l.ops.Load(), moves, keptReads(srv))
	if moves == 0 || keptReads(srv) == 0 {
		t.Error("that is no test")
	}
	balanced(t, srv)
}
