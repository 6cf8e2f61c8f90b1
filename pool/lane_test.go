package pool

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/metrics"
	"ringway/internal/redistest"
	"ringway/resp"
)

// wire is a stream of replies of every shape, and the replies one by one.
var wire = []string{
	"+OK\r\n", "$5\r\nhello\r\n", "$-1\r\n", ":12\r\n", "-ERR no\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "$0\r\n\r\n",
	"%1\r\n+k\r\n_\r\n", "|1\r\n+ttl\r\n:1\r\n+v\r\n", "=7\r\ntxt:abc\r\n",
}

func TestLaneGivesEachRequestItsReply(t *testing.T) {
	requests := make([][]string, len(wire))
	script := []redistest.Step{}
	for i := range wire {
		requests[i] = get(fmt.Sprint("k", i))
		script = append(script, redistest.Expect(requests[i]...))
	}
	f := newLane(t, redistest.Node(t, append(script, redistest.Reply(strings.Join(wire, "")))...).Addr(), nil)
	c := newCaller(t)
	f.send(c, 0, requests...)
	c.wait(len(wire))
	for i, r := range wire {
		c.gets(uint64(i), r)
	}
	if !slices.IsSorted(c.order) {
		t.Errorf("the order is %v", c.order)
	}
	if c.kind[8] != '+' || c.kind[4] != '-' {
		t.Errorf("the types are %c and %c", c.kind[8], c.kind[4])
	}
	f.do(func() {
		if f.lane.Depth() != 0 {
			t.Errorf("%d replies are awaited", f.lane.Depth())
		}
		var n metrics.Node
		f.lane.AddTo(&n)
		if n.Requests != uint64(len(wire)) || n.Lanes != 1 || n.Connects != 1 || n.BytesIn != uint64(len(strings.Join(wire, ""))) {
			t.Errorf("the counters are %+v", n)
		}
	})
}

// The pieces of the stream come as the loop would read them, cut at each byte; the loan is overwritten after each call.
func TestLaneTakesRepliesCutAnywhere(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(t, redistest.Node(t, redistest.Pause(held)).Addr(), nil)
	f.open()
	stream := strings.Join(wire, "")
	for size := range len(stream) {
		cuts := []int{size}
		if size == 0 {
			cuts = nil
			for i := range stream {
				cuts = append(cuts, i) // a byte at a time
			}
		}
		c := newCaller(t)
		f.do(func() {
			for i := range wire {
				f.lane.Expect(c, uint64(i))
			}
			from := 0
			for _, cut := range append(cuts, len(stream)) {
				loan, giveBack := redistest.Lend([]byte(stream[from:cut]))
				f.lane.Data(loan)
				giveBack()
				from = cut
			}
		})
		for i, r := range wire {
			c.gets(uint64(i), r)
		}
	}
}

func TestLaneSkipsPushes(t *testing.T) {
	pushes := ">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n"
	f := newLane(t, redistest.Node(t, redistest.Reply(pushes), redistest.Expect("GET a"), redistest.Expect("GET b"), redistest.Reply("+a\r\n"+pushes+pushes+"+b\r\n"+pushes)).Addr(),
		nil)
	f.open()
	c := newCaller(t)
	f.send(c, 0, get("a"), get("b"))
	c.wait(2)
	c.gets(0, "+a\r\n")
	c.gets(1, "+b\r\n")
}

func TestLaneIsLostOver(t *testing.T) {
	cases := []struct {
		name  string
		step  []redistest.Step
		fails string
	}{
		{"garbage", []redistest.Step{redistest.Reply("+a\r\nHTTP/1.1 400\r\n")}, "sent something that is not RESP: "},
		{"the end of the connection", []redistest.Step{redistest.Reply("+a\r\n"), redistest.Close()}, "closed the connection"},
		{"the end in the middle of a reply", []redistest.Step{redistest.Reply("+a\r\n$5\r\nhe"), redistest.Close()}, "closed the connection"},
		{"a reset", []redistest.Step{redistest.Reply("+a\r\n"), redistest.Reset()}, "lost the connection: connection reset by peer"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			script := append([]redistest.Step{redistest.Expect("GET a"), redistest.Expect("GET b"), redistest.Expect("GET c")}, c.step...)
			if !strings.HasPrefix(c.name, "the end") && c.name != "a reset" {
				script = append(script, redistest.Hang())
			}
			script = append(script, redistest.Expect("GET d"), redistest.Reply("+d\r\n"))
			n := redistest.Node(t, script...)
			f := newLane(t, n.Addr(), nil)
			own := newCaller(t)
			f.send(own, 0, get("a"), get("b"), get("c"))
			own.wait(3)
			own.gets(0, "+a\r\n")
			for tag := range uint64(2) {
				if got := own.failure[tag+1]; !strings.HasPrefix(got, "ERR node 'n' ("+n.Addr()+") "+c.fails) {
					t.Errorf("request %d fails with %q", tag+1, got)
				}
			}
			f.send(own, 3, get("d")) // the lane comes back by itself, and what failed is not sent again
			own.wait(4)
			own.gets(3, "+d\r\n")
			if told := f.told(); len(told) != 0 {
				t.Errorf("one loss was told as %q", told)
			}
		})
	}
}

// A node that talks without end is no node.
func TestLaneBoundsReplies(t *testing.T) {
	endless := func(head, more string) redistest.Step {
		return redistest.Stream(head, more)
	}
	cases := []struct {
		name, fails string
		change      func(*Options, *Key)
		steps       []redistest.Step
	}{
		{"a bulk", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless("$4294967296\r\n", strings.Repeat("x", 1000))}},
		{"a status", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless("+", strings.Repeat("x", 1000))}},
		{"an array", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless("*1000000000\r\n", strings.Repeat(":1\r\n", 1000))}},
		{"arrays in arrays", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless("", strings.Repeat("*1\r\n", 1000))}},
		{"attributes", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless("", strings.Repeat("|1\r\n+a\r\n+b\r\n", 1000))}},
		{"a push", "sent a reply of over 100000 bytes", nil, []redistest.Step{redistest.Expect("GET a"), endless(">1000000000\r\n", strings.Repeat("+x\r\n", 1000))}},
		{"pushes, one after the other", "did not answer within 300ms", nil, []redistest.Step{redistest.Expect("GET a"), endless("", strings.Repeat(">1\r\n+x\r\n", 100))}},
		{"an answer to AUTH", "sent a reply of over 65536 bytes", func(o *Options, _ *Key) { o.Password = "p" }, []redistest.Step{redistest.Expect("AUTH p"), endless("-", strings.Repeat("x", 1000))}},
		{"pushes instead of an answer to AUTH", "did not answer within 300ms", func(o *Options, _ *Key) { o.Password = "p" },
			[]redistest.Step{redistest.Expect("AUTH p"), endless("", strings.Repeat(">1\r\n+x\r\n", 100))}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newLane(t, redistest.Node(t, c.steps...).Addr(), func(o *Options, k *Key) {
				o.ReplyLimit, o.Timeout, o.ConnectTimeout = 100_000, 300*time.Millisecond, 300*time.Millisecond
				if c.change != nil {
					c.change(o, k)
				}
			})
			own := newCaller(t)
			f.send(own, 0, get("a"))
			own.wait(1)
			if got := own.failure[0]; !strings.Contains(got, c.fails) {
				t.Errorf("it fails with %q", got)
			}
			f.do(func() {
				if f.lane.stats.Losses == 0 || strings.HasPrefix(c.fails, "sent") != (f.lane.stats.Garbage > 0) {
					t.Errorf("counted are %+v", f.lane.stats)
				}
			})
		})
	}
}

// What comes before a push belongs to it, and to nobody who waits.
func TestLaneTakesNoAttributeOfAPush(t *testing.T) {
	for _, c := range []struct{ name, first, then, want string }{
		{"in one piece", "|1\r\n+a\r\n+b\r\n>1\r\n+x\r\n+mine\r\n", "", "+mine\r\n"},
		{"in two pieces", "|1\r\n+a\r\n", "+b\r\n>1\r\n+x\r\n+mine\r\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newLane(t, redistest.Node(t, redistest.Hang()).Addr(), nil)
			own := newCaller(t)
			f.open()
			f.send(own, 0, get("a"))
			f.do(func() {
				f.lane.Data([]byte(c.first))
				f.lane.Data([]byte(c.then))
			})
			own.wait(1)
			if c.want != "" {
				own.gets(0, c.want)
			} else if got := own.failure[0]; !strings.Contains(got, "sent an attribute of a push") {
				t.Errorf("it fails with %q", got)
			}
		})
	}
}

func TestLaneRefusesAReplyThatNothingHasAskedFor(t *testing.T) {
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Reply("+a\r\n+b\r\n"), redistest.Hang(), redistest.Expect("GET c"), redistest.Reply("+c\r\n"))
	f := newLane(t, n.Addr(), nil)
	c := newCaller(t)
	f.send(c, 0, get("a"))
	c.wait(1)
	c.gets(0, "+a\r\n")
	redistest.WaitFor(t, "the loss", func() bool {
		losses := uint64(0)
		f.do(func() { losses = f.lane.stats.Losses })
		return losses == 1
	})
	f.send(c, 1, get("c"))
	c.wait(2)
	c.gets(1, "+c\r\n")
}

// A lane that its node closes because it was idle (Redis's option timeout) is no failure: the node is well.
func TestIdleLaneClosedByItsNodeIsNoFailure(t *testing.T) {
	addr := redistest.Accept(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			args, err := redistest.ReadCommand(r)
			if err != nil {
				return
			}
			fmt.Fprint(c, redistest.Bulk(args[1]))
		}
	})
	f := newLane(t, addr, nil)
	c := newCaller(t)
	for i := range uint64(12) {
		f.send(c, i, get("a"))
		c.wait(int(i + 1))
		if strings.Contains(c.failure[i], "is down") {
			t.Errorf("request %d: %s", i, c.failure[i])
		}
		time.Sleep(20 * time.Millisecond) // three times as long as the node's patience
	}
	if told := f.told(); len(told) != 0 || !f.node.Up() {
		t.Errorf("it was told: %q; up: %v", told, f.node.Up())
	}
}

func TestSilentNode(t *testing.T) {
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Expect("GET b"), redistest.Reply("+a\r\n"), redistest.Hang(), redistest.Expect("PING"), redistest.Reply("+PONG\r\n"), redistest.Expect("GET c"), redistest.Reply("+c\r\n"))
	f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.Timeout = 60 * time.Millisecond })
	c := newCaller(t)
	f.send(c, 0, get("a"), get("b"))
	c.wait(2)
	c.gets(0, "+a\r\n")
	c.fails(1, "ERR node 'n' ("+n.Addr()+") is down: did not answer within 60ms")
	f.await(ready)
	f.send(c, 2, get("c"))
	c.wait(3)
	c.gets(2, "+c\r\n")
	if got, want := f.told(), []string{"down: did not answer within 60ms", "up"}; !slices.Equal(got, want) {
		t.Errorf("it was told: %q, want %q", got, want)
	}
}

func TestLateReplyAfterTimeoutIsNeverDelivered(t *testing.T) {
	late := make(chan struct{})
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Pause(late), redistest.Reply("+late\r\n"), redistest.Hang(), redistest.Expect("PING"), redistest.Reply("+PONG\r\n"), redistest.Expect("GET b"), redistest.Reply("+b\r\n"))
	f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.Timeout = 40 * time.Millisecond })
	c := newCaller(t)
	f.send(c, 0, get("a"))
	c.wait(1)
	close(late)
	f.await(ready)
	f.send(c, 1, get("b"))
	c.wait(2)
	c.gets(1, "+b\r\n")
	if c.reply[0] != "" {
		t.Errorf("the late reply was delivered: %q", c.reply[0])
	}
}

// As long as something comes, a node that is slow is not given up.
func TestSlowNodeIsNotGivenUp(t *testing.T) {
	n := redistest.Node(t, redistest.Answer(func(args []string) string { time.Sleep(20 * time.Millisecond); return redistest.Bulk(args[1]) }))
	f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.Timeout = 150 * time.Millisecond })
	c := newCaller(t)
	for i := range uint64(12) {
		f.send(c, i, get(fmt.Sprint(i)))
	}
	c.wait(12)
	for i := range uint64(12) {
		c.gets(i, redistest.Bulk(fmt.Sprint(i)))
	}
}

func TestNodeThatIsDown(t *testing.T) {
	port := redistest.FreePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	f := newLane(t, addr, nil)
	c := newCaller(t)
	down := "ERR node 'n' (" + addr + ") is down: connection refused"
	f.send(c, 0, get("a"), get("b")) // these wait for the connection
	c.wait(2)
	c.fails(0, down)
	c.fails(1, down)
	if f.node.Up() {
		t.Error("the node is said to be up")
	}
	begin := time.Now()
	for i := range uint64(100) { // these fail at once, but not before Send has returned
		f.do(func() {
			f.lane.Send(resp.AppendCommand(nil, "GET", "c"), c, 2+i)
			if c.ended() != int(2+i) {
				t.Error("a request fails while it is being sent")
			}
		})
		c.wait(int(3 + i))
		c.fails(2+i, down)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("100 requests took %v to fail", took)
	}
	t.Run("is tried less and less often", func(t *testing.T) {
		attempts := uint64(0)
		time.Sleep(300 * time.Millisecond)
		f.do(func() { attempts = f.lane.stats.ConnectErrors })
		if attempts < 2 || attempts > 8 {
			t.Errorf("%d attempts in 300 ms", attempts)
		}
	})
	t.Run("is found again", func(t *testing.T) {
		r := serverOn(t, port)
		f.await(ready)
		f.send(c, 200, get("a"))
		redistest.WaitFor(t, "the reply", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.over[200] })
		c.gets(200, "$-1\r\n")
		if got, want := f.told(), []string{"down: connection refused", "up"}; !slices.Equal(got, want) || !f.node.Up() {
			t.Errorf("it was told: %q, want %q; up: %v", got, want, f.node.Up())
		}
		_ = r
	})
}

// serverOn starts a real server on a port.
func serverOn(t testing.TB, port int) *redistest.Process {
	t.Helper()
	return redistest.Start(t, "redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
}

func TestHandshake(t *testing.T) {
	hello := "%1\r\n+proto\r\n:3\r\n"
	cases := []struct {
		name   string
		key    Key
		user   string
		secret string
		script []redistest.Step
	}{
		{"nothing to say", Key{}, "", "", nil},
		{"a database", Key{Database: 5}, "", "", []redistest.Step{redistest.Expect("SELECT 5"), redistest.Reply("+OK\r\n")}},
		{"a password", Key{}, "", "x y", []redistest.Step{redistest.Expect("AUTH", "x y"), redistest.Reply("+OK\r\n")}},
		{"a user", Key{}, "me", "x", []redistest.Step{redistest.Expect("AUTH me x"), redistest.Reply("+OK\r\n")}},
		{"RESP3", Key{RESP3: true}, "", "", []redistest.Step{redistest.Expect("HELLO 3"), redistest.Reply(hello)}},
		{"RESP3 with a password", Key{RESP3: true}, "", "x", []redistest.Step{redistest.Expect("HELLO 3 AUTH default x"), redistest.Reply(hello)}},
		{"everything", Key{RESP3: true, Database: 2}, "me", "x",
			[]redistest.Step{redistest.Expect("HELLO 3 AUTH me x"), redistest.Expect("SELECT 2"), redistest.Reply(hello[:7]), redistest.Reply(hello[7:] + ">1\r\n+x\r\n+OK\r\n")}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			script := append(slices.Clone(c.script), redistest.Expect("GET a"), redistest.Expect("GET b"), redistest.Expect("GET c"), redistest.Reply("+a\r\n+b\r\n+c\r\n"))
			f := newLane(t, redistest.Node(t, script...).Addr(), func(o *Options, k *Key) { *k, o.Username, o.Password = c.key, c.user, c.secret })
			own := newCaller(t)
			f.send(own, 0, get("a"), get("b"))
			f.send(own, 2, get("c"))
			own.wait(3)
			for i, r := range []string{"+a\r\n", "+b\r\n", "+c\r\n"} {
				own.gets(uint64(i), r)
			}
		})
	}
}

func TestRefusedHandshake(t *testing.T) {
	cases := []struct {
		name   string
		script []redistest.Step
		reason string
	}{
		{"a wrong password", []redistest.Step{redistest.Expect("AUTH x"), redistest.Expect("SELECT 5"), redistest.Reply("-WRONGPASS no\r\n")}, "refused the connection: WRONGPASS no"},
		{"a torn refusal", []redistest.Step{redistest.Expect("AUTH x"), redistest.Expect("SELECT 5"), redistest.Reply("-WRONG"), pause(20), redistest.Reply("PASS no\r\n")}, "refused the connection: WRONGPASS no"},
		{"no such database", []redistest.Step{redistest.Expect("AUTH x"), redistest.Expect("SELECT 5"), redistest.Reply("+OK\r\n-ERR DB index is out of range\r\n")},
			"refused the connection: ERR DB index is out of range"},
		{"too many clients", []redistest.Step{redistest.Reply("-ERR max number of clients reached\r\n")}, "refused the connection: ERR max number of clients reached"},
		{"garbage", []redistest.Step{redistest.Reply("HTTP/1.1 400 Bad Request\r\n")}, "sent something that is not RESP: "},
		{"a hang-up", []redistest.Step{redistest.Expect("AUTH x"), redistest.Close()}, "closed the connection"},
		{"silence", []redistest.Step{redistest.Expect("AUTH x")}, "did not answer within 50ms"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			script := c.script
			if c.name != "a hang-up" {
				script = append(script, redistest.Hang())
			}
			script = append(script, redistest.Expect("AUTH x"), redistest.Expect("SELECT 5"), redistest.Reply("+OK\r\n+OK\r\n"), redistest.Expect("GET c"), redistest.Reply("+c\r\n"))
			n := redistest.Node(t, script...)
			f := newLane(t, n.Addr(), func(o *Options, k *Key) {
				k.Database, o.Password, o.ConnectTimeout = 5, "x", 50*time.Millisecond
			})
			own := newCaller(t)
			f.send(own, 0, get("a"), get("b"))
			own.wait(2)
			for tag := range uint64(2) {
				if got := own.failure[tag]; !strings.HasPrefix(got, "ERR node 'n' ("+n.Addr()+") is down: "+c.reason) {
					t.Errorf("request %d: got %q, reply %q", tag, got, own.reply[tag])
				}
			}
			f.await(ready)
			f.send(own, 2, get("c"))
			own.wait(3)
			own.gets(2, "+c\r\n")
		})
	}
}

// pause is a short rest between two writes, so that they arrive as two.
func pause(ms time.Duration) redistest.Step {
	until := make(chan struct{})
	time.AfterFunc(ms*time.Millisecond, func() { close(until) })
	return redistest.Pause(until)
}

// A node that turns each connection away with an error is not asked again and again without a rest.
func TestNodeWithTooManyClientsIsNotStormed(t *testing.T) {
	var connections atomic.Int64
	addr := redistest.Accept(t, func(c net.Conn) {
		connections.Add(1)
		redistest.ReadCommand(bufio.NewReader(c))
		fmt.Fprint(c, "-ERR max number of clients reached\r\n")
	})
	f := newLane(t, addr, nil)
	c := newCaller(t)
	for i := range uint64(200) {
		f.send(c, i, get("a"))
		c.wait(int(i + 1))
		if got := c.failure[i] + c.reply[i]; !strings.Contains(got, "ERR max number of clients reached") {
			t.Fatalf("request %d: %q", i, got)
		}
		time.Sleep(time.Millisecond)
	}
	if n := connections.Load(); n > 20 {
		t.Errorf("%d connections for 200 requests in 200 ms", n)
	}
}

func TestFullLane(t *testing.T) {
	t.Run("tells who waits when there is room", func(t *testing.T) {
		read := make(chan struct{})
		n := redistest.Node(t, redistest.Expect("GET a"), redistest.Pause(read), redistest.Hang())
		goOn := sync.OnceFunc(func() { close(read) })
		t.Cleanup(goOn)
		f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.OutputLimit = 100_000 })
		f.open()
		c := newCaller(t)
		f.send(c, 0, get("a"))
		w := &hungry{f: f, c: c, request: resp.AppendCommand(nil, "SET", "a", strings.Repeat("x", 50_000)), rounds: 1000}
		f.do(w.LaneHasRoom)
		full := false
		redistest.WaitFor(t, "a full lane", func() bool {
			f.do(func() { full = len(f.lane.full) > 0 }) // Full itself may be over: how much the system takes, and when, is its own affair
			return full
		})
		told := 0
		f.do(func() { told = w.told })
		goOn()
		redistest.WaitFor(t, "room", func() bool {
			done := false
			f.do(func() { done = w.rounds == 0 })
			return done
		})
		f.do(func() {
			if w.told <= told {
				t.Errorf("who waits was told %d times, %d before", w.told, told)
			}
			if len(f.lane.full) > 0 && !f.lane.Full() {
				t.Error("somebody still waits")
			}
		})
	})
	t.Run("tells who waits when it fails", func(t *testing.T) {
		addr := closed(t)
		f := newLane(t, addr, func(o *Options, _ *Key) { o.OutputLimit = 1000 })
		c := newCaller(t)
		told := make(chan struct{})
		f.do(func() {
			f.lane.Send(make([]byte, 2000), c, 0)
			if !f.lane.Full() {
				t.Error("requests that wait for the connection don't count")
			}
			f.lane.WaitForRoom(waiterFunc(func() { close(told) }))
		})
		c.wait(1)
		<-told
		f.do(func() {
			if f.lane.Full() {
				t.Error("it is still full")
			}
		})
	})
	t.Run("tells who waits when the connection has come", func(t *testing.T) {
		n := redistest.Node(t, redistest.Answer(func([]string) string { return "+OK\r\n" }))
		f := newLane(t, n.Addr(), func(o *Options, _ *Key) { o.OutputLimit = 1000 })
		c := newCaller(t)
		told := make(chan struct{})
		f.do(func() {
			f.lane.Send(resp.AppendCommand(nil, "SET", "a", strings.Repeat("x", 2000)), c, 0)
			f.lane.WaitForRoom(waiterFunc(func() { close(told) }))
		})
		<-told
		c.wait(1)
		f.do(f.lane.Close)
	})
}

type waiterFunc func()

func (w waiterFunc) LaneHasRoom() { w() }

// hungry fills the lane whenever it has room, and then waits again.
type hungry struct {
	f       *fixture
	c       *caller
	request []byte
	rounds  int
	told    int
}

func (h *hungry) LaneHasRoom() {
	h.told++
	for h.rounds > 0 {
		if h.f.lane.Full() {
			h.f.lane.WaitForRoom(h)
			return
		}
		h.rounds--
		h.f.lane.Send(h.request, h.c, uint64(1000+h.rounds))
	}
}

// An owner that sends again as soon as its request has failed gets a second failure, not an endless loop.
func TestOwnerMaySendAgainWhenItsRequestFails(t *testing.T) {
	f := newLane(t, closed(t), nil)
	again := &stubborn{f: f, left: 50}
	f.do(func() { f.lane.Send(resp.AppendCommand(nil, "GET", "a"), again, 0) })
	redistest.WaitFor(t, "the last failure", func() bool {
		left := 0
		f.do(func() { left = again.left })
		return left == 0
	})
}

type stubborn struct {
	f    *fixture
	left int
}

func (s *stubborn) Reply(uint64, byte, []byte, bool) { s.f.t.Error("a reply") }
func (s *stubborn) Fail(uint64, string, bool) {
	if s.left--; s.left > 0 {
		s.f.lane.Send(resp.AppendCommand(nil, "GET", "a"), s, 0)
	}
}

func TestCloseFailsWhatWaits(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Pause(held))
	f := newLane(t, n.Addr(), nil)
	c := newCaller(t)
	f.send(c, 0, get("a"), get("b"))
	f.await(ready)
	f.do(f.lane.Close)
	want := "ERR node 'n' (" + n.Addr() + ") was taken out of the pool"
	c.wait(2)
	c.fails(0, want)
	c.fails(1, want)
	f.do(f.lane.Close)
	f.do(func() {
		if f.lane.Depth() != 0 || f.lane.conn.Unsent() != 0 || !f.lane.conn.Closed() {
			t.Error("something is left")
		}
	})
}

func TestCloseWhileConnecting(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(t, redistest.Node(t, redistest.Pause(held)).Addr(), nil)
	c := newCaller(t)
	f.do(func() {
		f.lane.Send(resp.AppendCommand(nil, "GET", "a"), c, 0)
		f.lane.Close()
	})
	c.wait(1)
	time.Sleep(5 * time.Millisecond) // for the connection that must be dropped
	f.do(func() {
		if f.lane.state != idle || f.lane.Depth() != 0 {
			t.Errorf("state %d, %d replies awaited", f.lane.state, f.lane.Depth())
		}
	})
}

// A node is killed and comes back, over and over, under load: each request ends exactly once, and with its own reply or an error.
func TestEachRequestEndsOnceWhileTheNodeComesAndGoes(t *testing.T) {
	r := redistest.Server(t)
	f := newLane(t, r.Addr(), nil)
	c := newCaller(t)
	sent := uint64(0)
	for range 3 {
		for range 40 {
			var batch [][]string
			for i := range uint64(25) {
				batch = append(batch, []string{"ECHO", fmt.Sprint(sent + i)})
			}
			f.send(c, sent, batch...)
			sent += 25
			if sent%500 == 0 {
				r.Kill()
			}
		}
		c.wait(int(sent))
		r.Restart()
		f.await(ready)
	}
	c.wait(int(sent))
	replies := 0
	for tag := range sent {
		if c.failure[tag] == "" {
			replies++
			c.gets(tag, redistest.Bulk(fmt.Sprint(tag)))
		}
	}
	if replies == 0 || replies == int(sent) {
		t.Errorf("%d of %d requests had replies: nothing was tested", replies, sent)
	}
}

func TestSet(t *testing.T) {
	l := runLoop(t)
	nodes := []*Node{NewNode("a", "127.0.0.1:1", &Options{}), NewNode("127.0.0.1:2", "127.0.0.1:2", &Options{})}
	s := NewSet(l, nodes, Key{}, func(int) *metrics.Node { return &metrics.Node{} }, func(int) *Load { return &Load{} })
	made := 0
	s.Each(func(*Lane) { made++ })
	if made != 0 {
		t.Errorf("%d lanes before any was needed", made)
	}
	if a := s.Lane(1); a != s.Lane(1) || a.Node != nodes[1] || a.Index != 1 {
		t.Error("the lane of a node changes")
	}
	s.Each(func(*Lane) { made++ })
	if made != 1 {
		t.Errorf("%d lanes, want 1", made)
	}
	if got := nodes[0].Label() + nodes[1].Label(); got != "'a' (127.0.0.1:1)'127.0.0.1:2'" {
		t.Errorf("the labels are %s", got)
	}
	if !nodes[0].Up() {
		t.Error("a node that was never tried is down")
	}
}
