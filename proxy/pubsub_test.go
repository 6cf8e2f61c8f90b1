package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// confirmation is the answer to a subscription or its end; n is how many there are now.
func confirmation(kind string, n int, words ...string) string {
	b := fmt.Sprintf("%s%d\r\n", kind, len(words)+1)
	for _, w := range words {
		b += redistest.Bulk(w)
	}
	return b + fmt.Sprintf(":%d\r\n", n)
}

func message(channel, text string) string {
	return "*3\r\n" + redistest.Bulk("message") + redistest.Bulk(channel) + redistest.Bulk(text)
}

// silent fails the test if the client is sent anything before the reply to its next PING.
func silent(t testing.TB, c *redistest.Conn) {
	t.Helper()
	want(t, "nothing but PONG", c.Do("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n")
}

func TestSubscribingInOnePipeline(t *testing.T) {
	srv := serve(t, nil, nodes(t, 3)...)
	other := client(t, srv)
	for _, proto := range []string{"2", "3"} {
		kind := map[string]string{"2": "*", "3": ">"}[proto]
		c := client(t, srv)
		c.Do("HELLO", proto)
		for range 20 {
			c.Send("SET", "k", "v")
			c.Send("SUBSCRIBE", "a", "b", "a")
			c.Send("PSUBSCRIBE", "p*")
			c.Send("UNSUBSCRIBE", "a")
			c.Send("SUBSCRIBE", "a")
			c.Send("UNSUBSCRIBE", "a", "b")
			c.Send("PUNSUBSCRIBE")
			c.Send("GET", "k")
		}
		c.Flush()
		for range 20 {
			for _, reply := range []string{
				"+OK\r\n", confirmation(kind, 1, "subscribe", "a"), confirmation(kind, 2, "subscribe", "b"), confirmation(kind, 2, "subscribe", "a"), confirmation(kind, 3, "psubscribe", "p*"),
				confirmation(kind, 2, "unsubscribe", "a"), confirmation(kind, 3, "subscribe", "a"), confirmation(kind, 2, "unsubscribe", "a"), confirmation(kind, 1, "unsubscribe", "b"),
				confirmation(kind, 0, "punsubscribe", "p*"), "$1\r\nv\r\n",
			} {
				want(t, "a reply", c.Recv(), reply)
			}
		}
		want(t, "PUBLISH when all have left", other.Do("PUBLISH", "a", "x"), ":0\r\n")
	}
	balanced(t, srv)
}

// Who wants no replies still hears of subscriptions, as from a server.
func TestSubscriptionsAreConfirmedWithoutReplies(t *testing.T) {
	scripts := []string{
		"CLIENT REPLY OFF; SUBSCRIBE a; SUBSCRIBE a; PSUBSCRIBE b* c*; SSUBSCRIBE d; SUNSUBSCRIBE; PUNSUBSCRIBE b* c*; UNSUBSCRIBE none; UNSUBSCRIBE a; UNSUBSCRIBE; PING; CLIENT REPLY ON",
		"CLIENT REPLY SKIP; SUBSCRIBE a b; UNSUBSCRIBE a b", "CLIENT REPLY SKIP; PING; PSUBSCRIBE a; PUNSUBSCRIBE", "CLIENT REPLY SKIP; UNSUBSCRIBE; PING",
		"SUBSCRIBE a; UNSUBSCRIBE; SET k v; CLIENT REPLY SKIP; UNSUBSCRIBE a; GET k; DEL k",
		"CLIENT REPLY OFF; SUBSCRIBE; GET a; SUBSCRIBE a; GET a; PING; UNSUBSCRIBE; CLIENT REPLY ON",
	}
	for _, script := range slices.Clone(scripts) {
		scripts = append(scripts, "HELLO 3; "+script)
	}
	srv := serve(t, nil, nodes(t, 3)...)
	compare(t, scripts, redistest.Server(t), srv)
	balanced(t, srv)
	c, other := client(t, srv), client(t, srv)
	c.Send("CLIENT", "REPLY", "OFF")
	want(t, "a confirmation", c.Do("SUBSCRIBE", "a"), confirmation("*", 1, "subscribe", "a"))
	want(t, "PUBLISH", other.Do("PUBLISH", "a", "x"), ":1\r\n")
	want(t, "a message", c.Recv(), message("a", "x"))
}

func TestSubscriberOfRESP2MayDoLittleElse(t *testing.T) {
	srv := serve(t, nil, nodes(t, 2)...)
	direct := redistest.Dial(t, redistest.Server(t).Addr())
	c := client(t, srv)
	for _, line := range []string{
		"SUBSCRIBE a", "GET a", "PING", "PING x", "MULTI", "SELECT 1", "HELLO 3", "CLIENT ID", "NOSUCH", "SUBSCRIBE", "UNSUBSCRIBE none", "SSUBSCRIBE s", "SUNSUBSCRIBE", "UNSUBSCRIBE", "PING", "GET a",
		"UNSUBSCRIBE", "PUNSUBSCRIBE x", "SUBSCRIBE a", "RESET", "GET a", "PING",
	} {
		args := strings.Fields(line)
		want(t, line, c.Do(args...), direct.Do(args...))
	}
}

// A node that refuses a subscription: whoever asked for it is told, others are not concerned.
func TestRefusedSubscription(t *testing.T) {
	r := redistest.Server(t)
	direct := redistest.Dial(t, r.Addr())
	direct.Do("ACL", "SETUSER", "default", "resetchannels", "&open*")
	srv := serve(t, nil, r.Addr())
	c := client(t, srv)
	if got := c.Do("SUBSCRIBE", "open", "shut"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("SUBSCRIBE of a channel that is shut: %q", got)
	}
	want(t, "GET: nothing is subscribed to", c.Do("GET", "k"), "$-1\r\n")
	want(t, "SUBSCRIBE of an open one", c.Do("SUBSCRIBE", "open"), confirmation("*", 1, "subscribe", "open"))
	if got := c.Do("SUBSCRIBE", "open", "open2", "shut"); !strings.HasPrefix(got, "-NOPERM") {
		t.Errorf("SUBSCRIBE of a channel that is shut: %q", got)
	}
	want(t, "PUBLISH to the one that was open before", direct.Do("PUBLISH", "open", "x"), ":1\r\n")
	want(t, "the message", c.Recv(), message("open", "x"))
	redistest.WaitFor(t, "the one asked for with it to be left", func() bool { return direct.Do("PUBLISH", "open2", "x") == ":0\r\n" })
	silent(t, c)
	balanced(t, srv)
}

// The confirmation of a subscription that was given up does not count for the next one: between the two, nobody listens.
func TestConfirmationOfAnEarlierSubscriptionDoesNotCount(t *testing.T) {
	first, again, confirm, confirmed := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	node := redistest.Node(t,
		redistest.Expect("subscribe a"), redistest.Tell(first),
		redistest.Expect("unsubscribe a"), redistest.Expect("subscribe a"), redistest.Tell(again), redistest.Pause(confirm),
		redistest.Reply(confirmation("*", 1, "subscribe", "a")+confirmation("*", 0, "unsubscribe", "a")), redistest.Pause(confirmed),
		redistest.Reply(confirmation("*", 1, "subscribe", "a")))
	srv := serve(t, nil, node.Addr())
	c, d, admin := client(t, srv), client(t, srv), client(t, srv)
	id := strings.TrimSpace(c.Do("CLIENT", "ID")[1:])
	c.Send("SUBSCRIBE", "a")
	c.Flush()
	<-first
	want(t, "CLIENT KILL", admin.Do("CLIENT", "KILL", "ID", id), ":1\r\n")
	d.Send("SUBSCRIBE", "a")
	d.Flush()
	<-again
	close(confirm)
	redistest.WaitFor(t, "the first confirmation", func() (heard bool) {
		onLoop(t, srv, func(w *worker) {
			heard = w.pools[0].pubsub.lines[0].lane.Usable() && len(w.pools[0].pubsub.lines[0].said) == 1
		})
		return heard
	})
	onLoop(t, srv, func(w *worker) {
		if tp := w.pools[0].pubsub.topics[channelTopic]["a"]; len(tp.confirmed) != 0 {
			t.Error("the subscription counts as confirmed")
		}
	})
	close(confirmed)
	want(t, "SUBSCRIBE", d.Recv(), confirmation("*", 1, "subscribe", "a"))
}

// What a publisher was told is published reaches who leaves only then: UNSUBSCRIBE is answered behind what the node had sent.
func TestMessagesComeBeforeTheEndOfTheSubscription(t *testing.T) {
	node := redistest.Node(t,
		redistest.Expect("subscribe a"), redistest.Reply(confirmation("*", 1, "subscribe", "a")),
		redistest.Expect("PING"), redistest.Reply(message("a", "x")+"*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
		redistest.Expect("unsubscribe a"), redistest.Expect("PING"), redistest.Reply(confirmation("*", 0, "unsubscribe", "a")+"+PONG\r\n"),
		redistest.Expect("subscribe a"), redistest.Reply(confirmation("*", 1, "subscribe", "a")),
		redistest.Expect("PING"), redistest.Reply("-BUSY running a script\r\n"),
		redistest.Expect("unsubscribe a"), redistest.Expect("PING"), redistest.Reply(confirmation("*", 0, "unsubscribe", "a")+"-BUSY running a script\r\n"),
		redistest.Expect("subscribe a"), redistest.Reply(confirmation("*", 1, "subscribe", "a")),
		redistest.Expect("PING"), redistest.Hang())
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 500 * time.Millisecond }), node.Addr())
	c := client(t, srv)
	c.Send("SUBSCRIBE", "a")
	c.Send("UNSUBSCRIBE", "a")
	c.Send("PING")
	c.Flush()
	want(t, "SUBSCRIBE", c.Recv(), confirmation("*", 1, "subscribe", "a"))
	want(t, "the message", c.Recv(), message("a", "x"))
	want(t, "UNSUBSCRIBE", c.Recv(), confirmation("*", 0, "unsubscribe", "a"))
	want(t, "PING", c.Recv(), "+PONG\r\n")
	want(t, "UNSUBSCRIBE of nothing", c.Do("UNSUBSCRIBE", "a"), confirmation("*", 0, "unsubscribe", "a"))
	c.Do("SUBSCRIBE", "a")
	want(t, "UNSUBSCRIBE at a node that is busy", c.Do("UNSUBSCRIBE", "a"), confirmation("*", 0, "unsubscribe", "a"))
	c.Do("SUBSCRIBE", "a")
	want(t, "UNSUBSCRIBE at a node that hangs", c.Do("UNSUBSCRIBE"), confirmation("*", 0, "unsubscribe", "a"))
	balanced(t, srv)
}

// PUBSUB counts clients and patterns, not what Ringway makes of them.
func TestPubsubCountsClients(t *testing.T) {
	a := redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, a.Addr(), redistest.Server(t).Addr(), redistest.Server(t).Addr())
	admin := client(t, srv)
	for i := range 5 {
		c := client(t, srv)
		c.Do("SUBSCRIBE", "a")
		c.Do("SUBSCRIBE", "__keyevent@0__:set")
		c.Do("SSUBSCRIBE", "a")
		c.Do("PSUBSCRIBE", "p*")
		if i == 0 {
			c.Do("PSUBSCRIBE", "q*")
			c.Do("SUBSCRIBE", "b")
		}
	}
	direct := redistest.Dial(t, a.Addr())
	direct.Do("SUBSCRIBE", "direct")
	want(t, "NUMSUB", admin.Do("PUBSUB", "NUMSUB", "b", "a", "none", "__keyevent@0__:set", "direct"),
		"*10\r\n$1\r\nb\r\n:1\r\n$1\r\na\r\n:5\r\n$4\r\nnone\r\n:0\r\n$18\r\n__keyevent@0__:set\r\n:5\r\n$6\r\ndirect\r\n:1\r\n")
	want(t, "NUMSUB of nothing", admin.Do("PUBSUB", "NUMSUB"), "*0\r\n")
	want(t, "SHARDNUMSUB", admin.Do("PUBSUB", "SHARDNUMSUB", "a", "b"), "*4\r\n$1\r\na\r\n:5\r\n$1\r\nb\r\n:0\r\n")
	want(t, "NUMPAT", admin.Do("PUBSUB", "NUMPAT"), ":2\r\n")
	want(t, "CHANNELS", admin.Do("PUBSUB", "CHANNELS", "__key*"), "*1\r\n$18\r\n__keyevent@0__:set\r\n")
	if got := elements([]byte(admin.Do("PUBSUB", "CHANNELS"))); len(got) != 4 {
		t.Errorf("CHANNELS: %q", got)
	}
	balanced(t, srv)
}

func TestSubscriptionsAreRenewed(t *testing.T) {
	r := redistest.Server(t)
	well := redistest.Server(t)
	srv := serve(t, nil, r.Addr(), well.Addr())
	name, live := keyOf(t, srv, 0, "dead"), keyOf(t, srv, 1, "live")
	c, d, p := client(t, srv), client(t, srv), client(t, srv)
	c.Do("SUBSCRIBE", name)
	c.Do("PSUBSCRIBE", "*"+name[1:])
	d.Do("SUBSCRIBE", live)
	r.Kill()
	if got := d.Do("SUBSCRIBE", live, name, "x"); !strings.HasPrefix(got, "-ERR node 'n0'") {
		t.Errorf("SUBSCRIBE at a node that is down: %q", got)
	}
	if got := d.Do("PSUBSCRIBE", "*"); !strings.HasPrefix(got, "-ERR node 'n0'") {
		t.Errorf("PSUBSCRIBE with a node down: %q", got)
	}
	p.Do("PUBLISH", live, "1")
	want(t, "what was subscribed to before", d.Recv(), message(live, "1"))
	silent(t, d)
	for range 2 {
		r.Restart()
		redistest.WaitFor(t, "the subscriptions to be renewed", func() bool { return p.Do("PUBLISH", name, "2") == ":2\r\n" })
		want(t, "the message", c.Recv(), message(name, "2"))
		want(t, "the pattern's message", c.Recv(), "*4\r\n$8\r\npmessage\r\n"+redistest.Bulk("*"+name[1:])+redistest.Bulk(name)+redistest.Bulk("2"))
		silent(t, c)
		r.Kill()
	}
	c.Close()
	r.Restart()
	want(t, "SUBSCRIBE", d.Do("SUBSCRIBE", live), confirmation("*", 1, "subscribe", live))
	balanced(t, srv)
}

// A channel goes with the ring: to another node when its own is ejected, and back when that returns.
// What UNSUBSCRIBE waits for when its node is lost does not count for the connection that follows: there each answer finds its own question.
func TestNodeIsLostDuringUnsubscribe(t *testing.T) {
	var lost atomic.Bool
	node := redistest.Answering(t, func(args []string) string {
		if args[0] == "PING" && !lost.Swap(true) {
			return redistest.HangUp
		}
		if args[0] == "PING" {
			return "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
		}
		return confirmation("*", 1, strings.ToLower(args[0]), args[1])
	})
	srv := serve(t, nil, node)
	stays, c := client(t, srv), client(t, srv)
	want(t, "SUBSCRIBE", stays.Do("SUBSCRIBE", "other"), confirmation("*", 1, "subscribe", "other"))
	want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	want(t, "UNSUBSCRIBE", c.Do("UNSUBSCRIBE", "news"), confirmation("*", 0, "unsubscribe", "news"))
	redistest.WaitFor(t, "the next connection", func() (up bool) {
		onLoop(t, srv, func(w *worker) { up = w.pools[0].pubsub.lines[0].lane.Usable() })
		return up
	})
	want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	balanced(t, srv)
}

// Whoever waits for the answer of a node that leaves the pool does not wait any longer, even where nodes have all the time they like.
func TestNodeLeavesDuringUnsubscribe(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	node := redistest.Answering(t, func(args []string) string {
		if args[0] == "PING" {
			<-hang
			return redistest.HangUp
		}
		return confirmation("*", 1, strings.ToLower(args[0]), args[1])
	})
	other := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 0 }), node)
	c := client(t, srv)
	want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	c.Send("UNSUBSCRIBE", "news")
	c.Flush()
	redistest.WaitFor(t, "UNSUBSCRIBE", func() (waits bool) {
		onLoop(t, srv, func(w *worker) { waits = len(w.pools[0].pubsub.lines[0].said) == 1 })
		return waits
	})
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Backends[0] = config.Backend{Name: "other", Address: other.Addr(), Weight: 1} }))
	want(t, "UNSUBSCRIBE", c.Recv(), confirmation("*", 0, "unsubscribe", "news"))
	balanced(t, srv)
}

func TestChannelsOfAnEjectedNode(t *testing.T) {
	r, well := redistest.Server(t), redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) {
		p.OnFailure, p.FailureLimit, p.RetryTimeout = "eject", 1, 50*time.Millisecond
	}), r.Addr(), well.Addr())
	name := keyOf(t, srv, 0, "a")
	c, p := client(t, srv), client(t, srv)
	c.Do("SUBSCRIBE", name)
	c.Do("PSUBSCRIBE", "none*")
	c.Do("SUBSCRIBE", "__keyspace@0__:k")
	ejected := func() (is bool) {
		onLoop(t, srv, func(w *worker) { is = w.pools[0].size() == 1 })
		return is
	}
	for range 2 {
		r.Kill()
		redistest.WaitFor(t, "the ejection", func() bool { p.TryDo("GET", name); return ejected() })
		redistest.WaitFor(t, "the message to reach its subscriber", func() bool { return p.Do("PUBLISH", name, "x") == ":1\r\n" })
		want(t, "the message", c.Recv(), message(name, "x"))
		d := client(t, srv)
		want(t, "SUBSCRIBE of another", d.Do("SUBSCRIBE", name), confirmation("*", 1, "subscribe", name))
		d.Close()
		r.Restart()
		redistest.WaitFor(t, "the return", func() bool { return !ejected() })
		redistest.WaitFor(t, "the message to reach its subscriber", func() bool { return p.Do("PUBLISH", name, "y") == ":1\r\n" })
		want(t, "the message", c.Recv(), message(name, "y"))
		silent(t, c)
		direct := redistest.Dial(t, well.Addr())
		redistest.WaitFor(t, "the other node to be left", func() bool { return direct.Do("PUBLISH", name, "z") == ":0\r\n" })
	}
	balanced(t, srv)
}

// A connection that only listens is asked for a sign of life when it is silent, which no client notices; one to a node that hangs is
// given up, and made again when the node goes on.
func TestSilentSubscriptionsAreChecked(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 10 * time.Millisecond }), r.Addr()) // less than the least
	direct := redistest.Dial(t, r.Addr())
	c := client(t, srv)
	c.Do("SUBSCRIBE", "a")
	losses := func() (n uint64) {
		onLoop(t, srv, func(w *worker) {
			var of metrics.Node
			w.pools[0].pubsub.lines[0].lane.AddTo(&of)
			n = of.Losses
		})
		return n
	}
	pinged := func(kind string) {
		t.Helper()
		redistest.WaitFor(t, "a PING", func() bool { return strings.Contains(direct.Do("CLIENT", "LIST", "TYPE", kind), " cmd=ping ") })
	}
	pinged("pubsub")
	want(t, "PUBLISH", direct.Do("PUBLISH", "a", "1"), ":1\r\n")
	want(t, "the message", c.Recv(), message("a", "1"))

	want(t, "UNSUBSCRIBE", c.Do("UNSUBSCRIBE", "a"), confirmation("*", 0, "unsubscribe", "a"))
	pinged("normal") // which is answered otherwise
	want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "a"), confirmation("*", 1, "subscribe", "a"))

	direct.Do("ACL", "SETUSER", "default", "-ping")
	redistest.WaitFor(t, "a PING that is refused", func() bool { return strings.Contains(direct.Do("ACL", "LOG"), "ping") })
	want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "b"), confirmation("*", 2, "subscribe", "b"))
	direct.Do("ACL", "SETUSER", "default", "+ping")

	before := losses()
	r.Stop()
	redistest.WaitFor(t, "the hung node to be given up", func() bool { return losses() > before })
	d := client(t, srv)
	if got := d.Do("SUBSCRIBE", "x"); !strings.HasPrefix(got, "-ERR node 'n0' ("+r.Addr()+") is down: did not answer within ") {
		t.Errorf("SUBSCRIBE: %q", got)
	}
	r.Cont()
	heard := make(chan string, 1)
	go func() {
		b, _ := c.TryRecv(nil)
		heard <- string(b)
	}()
	redistest.WaitFor(t, "a message after the node has gone on", func() bool {
		direct.Do("PUBLISH", "b", "2")
		select {
		case m := <-heard:
			want(t, "the message", m, message("b", "2"))
			return true
		default:
			return false
		}
	})
	balanced(t, srv)
}

// Who joins others hears nothing that was published before, though it is still on its way to them.
func TestLatecomersHearNothingOld(t *testing.T) {
	line := make(chan net.Conn, 1)
	asked := make(chan struct{})
	addr := redistest.Accept(t, func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			args, err := redistest.ReadCommand(r)
			switch {
			case err != nil:
				return
			case strings.EqualFold(args[0], "subscribe"):
				select {
				case line <- c:
				default:
				}
				io.WriteString(c, confirmation("*", 1, "subscribe", args[1]))
			case args[0] == "PING":
				asked <- struct{}{}
			default:
				io.WriteString(c, "+OK\r\n")
			}
		}
	})
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout, p.Health = 0, config.Health{} }), addr)
	first, late := client(t, srv), client(t, srv)
	want(t, "the first", first.Do("SUBSCRIBE", "news"), confirmation("*", 1, "subscribe", "news"))
	node := <-line
	want(t, "SUBSCRIBE of another channel", late.Do("SUBSCRIBE", "other"), confirmation("*", 1, "subscribe", "other"))
	late.Send("SUBSCRIBE", "news")
	late.Flush()
	<-asked
	io.WriteString(node, message("news", "old"))
	want(t, "what the first hears", first.Recv(), message("news", "old"))
	io.WriteString(node, "*2\r\n$4\r\npong\r\n$0\r\n\r\n"+message("news", "new"))
	want(t, "what the first hears then", first.Recv(), message("news", "new"))
	want(t, "the other's SUBSCRIBE", late.Recv(), confirmation("*", 2, "subscribe", "news"))
	want(t, "what it hears", late.Recv(), message("news", "new"))
	balanced(t, srv)
}

// A node that is too full to take a connection is asked again and again, but not in a storm.
func TestHubIsNotStormed(t *testing.T) {
	var connections atomic.Int64
	addr := redistest.Accept(t, func(c net.Conn) {
		connections.Add(1)
		io.WriteString(c, "-ERR max number of clients reached\r\n")
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
	})
	srv := serve(t, nil, addr)
	c := client(t, srv)
	start := time.Now()
	for time.Since(start) < 400*time.Millisecond {
		if got := c.Do("SUBSCRIBE", "a"); got[0] != '-' {
			t.Fatalf("SUBSCRIBE: %q", got)
		}
	}
	if n := connections.Load(); n > 20 {
		t.Errorf("%d connections within %v", n, time.Since(start))
	}
	balanced(t, srv)
}

func TestMessagesBetweenLongReplies(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 20 * time.Second }), nodes(t, 2)...)
	c, p := client(t, srv), client(t, srv)
	value := strings.Repeat("v", 3<<20) // all of them are less than a subscriber may be behind
	c.Do("HELLO", "3")
	c.Do("SET", "k", value)
	c.Do("SUBSCRIBE", "a")
	done := make(chan int)
	stop := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
				p.TryDo("PUBLISH", "a", fmt.Sprint(n))
			}
		}
	}()
	for range 9 {
		c.Send("GET", "k")
	}
	c.Flush()
	heard := 0
	take := func(b string) {
		want(t, "a message", b, ">"+message("a", fmt.Sprint(heard))[1:])
		heard++
	}
	for replies := 0; replies < 9; {
		b, err := c.TryRecv(nil)
		if err != nil {
			t.Fatal(err)
		}
		if b[0] == '>' {
			take(string(b))
		} else if replies++; string(b) != redistest.Bulk(value) {
			t.Fatalf("GET: %.60q, %d bytes", b, len(b))
		}
	}
	close(stop)
	for sent := <-done; heard < sent; {
		take(c.Recv())
	}
	balanced(t, srv)
}

func TestSubscriberThatDoesNotReadIsClosed(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	slow, well, p := client(t, srv), client(t, srv), client(t, srv)
	slow.Do("SUBSCRIBE", "a")
	well.Do("SUBSCRIBE", "a")
	text := strings.Repeat("x", 1<<20)
	for range 48 {
		p.Do("PUBLISH", "a", text)
		if got := well.Recv(); len(got) < 1<<20 {
			t.Fatalf("a message: %.60q", got)
		}
	}
	redistest.WaitFor(t, "the slow one to be closed", func() (closed bool) {
		onLoop(t, srv, func(w *worker) { closed = w.count == 2 })
		return closed
	})
	onLoop(t, srv, func(w *worker) {
		if n := len(w.pools[0].pubsub.topics[channelTopic]["a"].sessions); n != 1 {
			t.Errorf("%d sessions listen", n)
		}
	})
}

func TestSubscribersOfSeveralLoops(t *testing.T) {
	r := redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 3 }, r.Addr())
	var all []*redistest.Conn
	for range 9 {
		c := client(t, srv)
		want(t, "SUBSCRIBE", c.Do("SUBSCRIBE", "a"), confirmation("*", 1, "subscribe", "a"))
		all = append(all, c)
	}
	p := client(t, srv)
	want(t, "PUBLISH: one subscription a loop", p.Do("PUBLISH", "a", "x"), ":3\r\n")
	for _, c := range all {
		want(t, "the message", c.Recv(), message("a", "x"))
		c.Close()
	}
	redistest.WaitFor(t, "the subscriptions to end", func() bool { return p.Do("PUBLISH", "a", "x") == ":0\r\n" })
}
