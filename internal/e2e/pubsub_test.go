//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"ringway/internal/redistest"
)

func message(channel, text string) string {
	return "*3\r\n$7\r\nmessage\r\n" + redistest.Bulk(channel) + redistest.Bulk(text)
}

// Thousands of clients listen to one channel: the node has one subscription of each loop, and all hear everything in order,
// from whichever Ringway it was published through.
func TestManySubscribersOfOneChannel(t *testing.T) {
	const loops = 2
	n, messages := size(10_000, 1000), 20
	nodes := servers(t, 3)
	r := serveWith(t, setup{threads: loops}, pool{nodes: addresses(nodes), options: map[string]string{"max_clients": "0"}})
	other := serve(t, pool{nodes: addresses(nodes)})
	goroutines := r.metric(t, "go_goroutines")
	conns := make([]*redistest.Conn, n)
	for i := range conns {
		conns[i] = redistest.Dial(t, r.addr())
		if i%2 == 1 {
			conns[i].Send("HELLO", "3")
		}
		conns[i].Send("SUBSCRIBE", "news")
		conns[i].Flush()
	}
	kind := func(i int) string { return []string{"*", ">"}[i%2] }
	for i, c := range conns {
		if i%2 == 1 {
			c.Recv()
		}
		if got := c.Recv(); got != kind(i)+"3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n" {
			t.Fatalf("client %d: %q", i, got)
		}
	}
	subscriptions := 0
	for _, d := range askDirectly(t, nodes) {
		var one int
		fmt.Sscanf(elements(t, d.Do("PUBSUB", "NUMSUB", "news"))[1], ":%d", &one)
		subscriptions += one
	}
	if subscriptions != loops {
		t.Errorf("for %d clients on %d loops the nodes count %d subscriptions", n, loops, subscriptions)
	}
	publishers := []*redistest.Conn{redistest.Dial(t, r.addr()), redistest.Dial(t, other.addr())}
	for i := range messages {
		want(t, publishers[i%2], fmt.Sprintf(":%d\r\n", loops), "PUBLISH", "news", fmt.Sprint("message ", i))
	}
	eachClient(t, n, func(id int) error {
		for i := range messages {
			got, err := conns[id].TryRecv(nil)
			if err != nil {
				return err
			}
			if err := expect(string(got), kind(id)+message("news", fmt.Sprint("message ", i))[1:], "message", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("%d clients, %d messages each; %s", n, messages, inMiB(rss(t, r.Pid())))
	for i, c := range conns {
		if i%3 == 0 {
			c.Send("UNSUBSCRIBE")
			c.Flush()
			c.Recv()
		}
		c.Close()
	}
	redistest.WaitFor(t, "the subscriptions to end", func() bool { return publishers[1].Do("PUBLISH", "news", "x") == ":0\r\n" })
	redistest.WaitFor(t, "the goroutines to end", func() bool { return r.metric(t, "go_goroutines") <= goroutines+8 })
}

// A RESP3 client goes on with its commands while messages come in between the replies, never inside one.
func TestMessagesBetweenReplies(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	c := redistest.Dial(t, r.addr())
	c.Do("HELLO", "3")
	big := strings.Repeat("big value ", 30_000)
	want(t, c, "+OK\r\n", "MSET", "{a}big", big, "b", "1", "c", "2", "d", "3")
	want(t, c, ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", "SUBSCRIBE", "news")

	var stop atomic.Bool
	published := make(chan int, 1)
	go func() {
		p, err := redistest.Connect(r.addr())
		n := 0
		for err == nil && !stop.Load() {
			var got string
			if got, err = p.TryDo("PUBLISH", "news", fmt.Sprint(n)); got == ":1\r\n" {
				n++
			}
		}
		published <- n
	}()
	heard := 0
	next := func() string {
		for {
			got := c.Recv()
			if got[0] != '>' {
				return got
			}
			if got != ">"+message("news", fmt.Sprint(heard))[1:] {
				t.Fatalf("message %d: %s", heard, shorten([]byte(got)))
			}
			heard++
		}
	}
	for round := range size(2000, 300) {
		c.Send("GET", "{a}big")
		c.Send("MGET", "b", "c", "d")
		c.Send("INCR", "n")
		c.Send("PING")
		c.Send("MULTI")
		c.Send("GET", "b")
		c.Send("EXEC")
		c.Send("KEYS", "nosuch*")
		c.Flush()
		for i, want := range []string{
			redistest.Bulk(big), "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n", fmt.Sprintf(":%d\r\n", round+1), "+PONG\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\n1\r\n", "*0\r\n",
		} {
			if got := next(); got != want {
				t.Fatalf("reply %d of round %d: %s, want %s", i, round, shorten([]byte(got)), shorten([]byte(want)))
			}
		}
	}
	stop.Store(true)
	all := <-published
	for heard < all {
		c.Send("PING")
		c.Flush()
		next()
	}
	t.Logf("%d messages between the replies", heard)
	if heard < 100 {
		t.Errorf("only %d messages came: this was no test", heard)
	}
}

// In RESP2 a client that listens may do little else, and hears everything in order with what it does.
func TestRESP2Subscriber(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	c, p := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
	c.Do("SUBSCRIBE", "news")
	for i := range 200 {
		want(t, p, ":1\r\n", "PUBLISH", "news", fmt.Sprint(i))
	}
	for i := range 200 {
		if got := c.Recv(); got != message("news", fmt.Sprint(i)) {
			t.Fatalf("message %d: %q", i, got)
		}
	}
	want(t, c, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING")
	want(t, c, "*2\r\n$4\r\npong\r\n$1\r\nx\r\n", "PING", "x")
	wantError(t, c, "ERR Can't execute 'get'", "GET", "a")
	want(t, c, "*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n", "UNSUBSCRIBE")
	want(t, c, "$-1\r\n", "GET", "a")
	want(t, p, ":0\r\n", "PUBLISH", "news", "x")
}

// Patterns, and the channels of keyspace notifications, are heard from every node, once.
func TestPatternsAndNotifications(t *testing.T) {
	s := newSpread(t, 1, setup{})
	for _, d := range askDirectly(t, s.nodes) {
		want(t, d, "+OK\r\n", "CONFIG", "SET", "notify-keyspace-events", "KEA")
	}
	pattern, events, space := redistest.Dial(t, s.addr()), redistest.Dial(t, s.addr()), redistest.Dial(t, s.addr())
	pattern.Do("PSUBSCRIBE", "news.*")
	events.Do("SUBSCRIBE", "__keyevent@0__:set")
	space.Do("PSUBSCRIBE", "__keyspace@0__:*")
	for i, keys := range s.keys {
		k := keys[0]
		channel := "news." + k
		want(t, s.Conn, ":1\r\n", "PUBLISH", channel, fmt.Sprint(i))
		if got := pattern.Recv(); got != "*4\r\n$8\r\npmessage\r\n$6\r\nnews.*\r\n"+redistest.Bulk(channel)+redistest.Bulk(fmt.Sprint(i)) {
			t.Errorf("message %d of a pattern: %q", i, got)
		}
		s.Do("SET", k, "x")
		if got := events.Recv(); got != message("__keyevent@0__:set", k) {
			t.Errorf("notification of a key of node %d: %q", i, got)
		}
		if got := space.Recv(); !strings.Contains(got, "__keyspace@0__:"+k) {
			t.Errorf("notification of a key of node %d: %q", i, got)
		}
	}
}

// A subscriber that does not read is closed at a limit; those who read miss nothing.
func TestSlowSubscriberIsClosed(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 2)), options: map[string]string{"client_stall_timeout": "0"}})
	slow, quick, p := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
	slow.Do("SUBSCRIBE", "news")
	quick.Do("SUBSCRIBE", "news")
	before := rss(t, r.Pid())
	highest := peak(t, r.Pid())
	text := strings.Repeat("x", mib)
	clients := func() int { return int(r.metric(t, "ringway_clients")) }
	sent := 0
	for ; sent < 200 && clients() == 3; sent++ {
		want(t, p, ":1\r\n", "PUBLISH", "news", text)
		if got := quick.Recv(); got != message("news", text) {
			t.Fatalf("message %d: %s", sent, shorten([]byte(got)))
		}
	}
	took := highest() - before
	t.Logf("closed after %d MiB; it took %s", sent, inMiB(took))
	if clients() != 2 || sent < 16 || took > 128*mib {
		t.Errorf("after %d messages of 1 MiB that one of two subscribers did not read: %d clients, %s taken", sent, clients(), inMiB(took))
	}
	// It sees the end of the connection, after what was on its way.
	for read := 0; ; read++ {
		if _, err := slow.TryRecv(nil); err != nil {
			if read >= sent {
				t.Errorf("the slow one got %d messages of %d and then %v", read, sent, err)
			}
			break
		}
	}
	want(t, p, ":1\r\n", "PUBLISH", "news", "still here")
	if got := quick.Recv(); got != message("news", "still here") {
		t.Errorf("afterwards: %q", got)
	}
}
