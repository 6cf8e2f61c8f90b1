package proxy

import (
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cespare/xxhash/v2"

	"ringway/hotkey"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// heatUp makes these keys hot for good, whatever is asked for.
func heatUp(t testing.TB, srv *Server, keys ...string) {
	t.Helper()
	set := hotkey.SetOf(xxhash.Sum64, 0, keys...)
	for _, w := range srv.workers {
		redistest.Run(t, w.loop.Post, func() {
			ps := w.pools[0]
			h := &hotKeys{set: set}
			for i := range keys {
				h.keys = append(h.keys, &hotKey{entry: set.Keys[i].Entry})
			}
			ps.hot, ps.heat, ps.cool = h, nil, math.MaxInt
		})
	}
}

// waiters is how many wait for the next joint of a key, on the first loop.
func waiters(t testing.TB, srv *Server, key string) (n int) {
	t.Helper()
	onLoop(t, srv, func(w *worker) {
		h := w.pools[0].hot
		for _, f := range h.keys[h.set.Find(xxhash.Sum64String(key), []byte(key))].forms {
			if f.next != nil {
				n += len(f.next.joiners)
			}
		}
	})
	return n
}

// reset is how a client leaves that does not want its replies.
func reset(c *redistest.Conn) {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func collapsed(srv *Server) uint64 { return metrics.Sum(srv.Stats(0)).Collapsed }

func TestReadsOfAHotKeyThatComeMeanwhileAreOneRequest(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t,
		redistest.Expect("GET k"), redistest.Tell(first), redistest.Pause(reply), redistest.Reply("$2\r\nv1\r\n"),
		redistest.Expect("GET k"), redistest.Reply("$2\r\nv2\r\n"))
	srv := serve(t, nil, node.Addr())
	heatUp(t, srv, "k")
	a, b, c := client(t, srv), client(t, srv), client(t, srv)
	a.Send("GET", "k")
	a.Flush()
	<-first
	b.Send("GET", "k")
	b.Flush()
	for range 3 {
		c.Send("GET", "k")
	}
	c.Flush()
	redistest.WaitFor(t, "the others to wait", func() bool { return waiters(t, srv, "k") == 4 })
	close(reply)
	want(t, "the first", a.Recv(), redistest.Bulk("v1"))
	want(t, "the second", b.Recv(), redistest.Bulk("v2"))
	for range 3 {
		want(t, "the third", c.Recv(), redistest.Bulk("v2"))
	}
	if n := collapsed(srv); n != 3 {
		t.Errorf("%d reads were collapsed, want 3", n)
	}
	balanced(t, srv)
}

// If a reader could join what has been sent already, it would get a value that was gone before it asked.
func TestWhyNobodyJoinsWhatIsUnderWay(t *testing.T) {
	for _, joinsSent := range []bool{false, true} {
		t.Run(fmt.Sprintf("joins_sent=%v", joinsSent), func(t *testing.T) {
			first, reply := make(chan struct{}), make(chan struct{})
			steps := []redistest.Step{
				redistest.Expect("GET k"), redistest.Tell(first), redistest.Pause(reply), redistest.Reply("$3\r\nold\r\n"),
			}
			if !joinsSent {
				steps = append(steps, redistest.Expect("GET k"), redistest.Reply("$3\r\nnew\r\n"))
			}
			srv := serve(t, nil, redistest.Node(t, steps...).Addr())
			heatUp(t, srv, "k")
			onLoop(t, srv, func(w *worker) { w.joinsSent = joinsSent })
			a, b := client(t, srv), client(t, srv)
			a.Send("GET", "k")
			a.Flush()
			<-first // the node has read the key; now somebody else writes "new", and is told OK
			b.Send("GET", "k")
			b.Flush()
			redistest.WaitFor(t, "the second to have asked", func() bool { return metrics.Sum(srv.Stats(0)).BytesIn == 2*20 })
			close(reply)
			a.Recv()
			value := map[bool]string{false: "new", true: "old"}[joinsSent]
			want(t, "who asked after the write", b.Recv(), redistest.Bulk(value))
		})
	}
}

func TestWhatAClientSendsNextDoesNotOvertakeItsHotRead(t *testing.T) {
	for _, next := range []string{"SET k new", "GET other", "MGET k other", "MULTI"} {
		t.Run(next, func(t *testing.T) {
			first, reply := make(chan struct{}), make(chan struct{})
			steps := []redistest.Step{redistest.Expect("GET k"), redistest.Tell(first), redistest.Expect("GET k")}
			if next != "MULTI" {
				steps = append(steps, redistest.Expect(next))
			}
			node := redistest.Node(t, append(steps, redistest.Pause(reply), redistest.Reply("+1\r\n+2\r\n+3\r\n"))...)
			srv := serve(t, nil, node.Addr())
			heatUp(t, srv, "k")
			a, b := client(t, srv), client(t, srv)
			a.Send("GET", "k")
			a.Flush()
			<-first
			b.Send("GET", "k")
			b.Send(strings.Fields(next)...)
			b.Flush()
			// The node gets both, though the first read is not answered: nothing else ends its script.
			close(reply)
			want(t, "the first", a.Recv(), "+1\r\n")
			want(t, "the read", b.Recv(), "+2\r\n")
			if next == "MULTI" {
				want(t, next, b.Recv(), "+OK\r\n")
			} else {
				want(t, next, b.Recv(), "+3\r\n")
			}
		})
	}
}

func TestTwoHotReadsOfAClientKeepTheirOrder(t *testing.T) {
	first := make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET a"), redistest.Tell(first),
		redistest.Expect("GET a"), redistest.Expect("GET b"), redistest.Expect("GET a"), redistest.Reply("+1\r\n+2\r\n+3\r\n+4\r\n"))
	srv := serve(t, nil, node.Addr())
	heatUp(t, srv, "a", "b")
	x, y := client(t, srv), client(t, srv)
	x.Send("GET", "a")
	x.Flush()
	<-first
	for _, k := range []string{"a", "b", "a"} {
		y.Send("GET", k)
	}
	y.Send("SET", "done", "") // puts the last of them on the lane
	y.Flush()
	x.Recv()
	for i := range 3 {
		want(t, "a read", y.Recv(), fmt.Sprintf("+%d\r\n", i+2))
	}
}

func TestOneFailureFailsAllWhoWait(t *testing.T) {
	first := make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET k"), redistest.Tell(first), redistest.Hang())
	srv := serve(t, onPool(func(p *config.Pool) { p.Timeout = 100 * time.Millisecond }), node.Addr())
	heatUp(t, srv, "k")
	a, b, c := client(t, srv), client(t, srv), client(t, srv)
	a.Send("GET", "k")
	a.Flush()
	<-first
	for _, x := range []*redistest.Conn{b, c} {
		x.Send("GET", "k")
		x.Flush()
	}
	for _, x := range []*redistest.Conn{a, b, c} {
		if got := x.Recv(); !strings.HasPrefix(got, "-ERR node 'n0' ") {
			t.Errorf("got %q", got)
		}
	}
	balanced(t, srv)
}

func TestReadsThatWaitAreSentAgainWhenTheirNodeIsLost(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET k"), redistest.Tell(first), redistest.Pause(reply), redistest.Reset(),
		redistest.Answer(func(args []string) string { return redistest.Bulk("value") }))
	srv := serve(t, onPool(func(p *config.Pool) { p.ReadRetries = 100 }), node.Addr())
	heatUp(t, srv, "k")
	a, b, c := client(t, srv), client(t, srv), client(t, srv)
	a.Send("GET", "k")
	a.Flush()
	<-first
	for _, x := range []*redistest.Conn{b, c} {
		x.Send("GET", "k")
		x.Flush()
	}
	redistest.WaitFor(t, "the others to wait", func() bool { return waiters(t, srv, "k") == 2 })
	close(reply)
	for _, x := range []*redistest.Conn{a, b, c} {
		want(t, "the read", x.Recv(), redistest.Bulk("value"))
	}
	balanced(t, srv)
}

// A write that a node refuses is sent again, and so is the read behind it, though that had not even been sent when the refusal came.
func TestHotReadsBehindARefusedWriteAreRepeated(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET k"), redistest.Tell(first), redistest.Expect("SET k new"), redistest.Pause(reply),
		redistest.Reply("$3\r\nold\r\n-READONLY You can't write against a read only replica.\r\n"),
		redistest.Expect("GET k"), redistest.Reply("$3\r\nold\r\n"),
		redistest.Expect("SET k new"), redistest.Expect("GET k"), redistest.Reply("+OK\r\n$3\r\nnew\r\n"))
	srv := serve(t, onPool(func(p *config.Pool) { p.FailoverWait = 5 * time.Second }), node.Addr())
	onLoop(t, srv, func(w *worker) { w.pools[0].keeps = keepAll })
	heatUp(t, srv, "k")
	x, y := client(t, srv), client(t, srv)
	x.Send("GET", "k")
	x.Flush()
	<-first
	y.Send("SET", "k", "new")
	y.Send("GET", "k")
	y.Flush()
	redistest.WaitFor(t, "the read to wait", func() bool { return waiters(t, srv, "k") == 1 })
	close(reply)
	want(t, "the first", x.Recv(), redistest.Bulk("old"))
	want(t, "the write", y.Recv(), "+OK\r\n")
	want(t, "the read behind it", y.Recv(), redistest.Bulk("new"))
	balanced(t, srv)
}

func TestWhoLeavesOrWantsNoReplyDoesNotDisturbTheOthers(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t,
		redistest.Expect("GET k"), redistest.Tell(first), redistest.Pause(reply), redistest.Reply("$2\r\nv1\r\n"),
		redistest.Expect("GET k"), redistest.Reply("$2\r\nv2\r\n"))
	srv := serve(t, nil, node.Addr())
	heatUp(t, srv, "k")
	a, leaves, muted, stays := client(t, srv), client(t, srv), client(t, srv), client(t, srv)
	a.Send("GET", "k")
	a.Flush()
	<-first
	leaves.Send("GET", "k")
	leaves.Flush()
	muted.Send("CLIENT", "REPLY", "OFF")
	muted.Send("GET", "k")
	muted.Send("GET", "k")
	muted.Flush()
	stays.Send("GET", "k")
	stays.Flush()
	redistest.WaitFor(t, "all to wait", func() bool { return waiters(t, srv, "k") == 4 })
	reset(leaves)
	redistest.WaitFor(t, "one to leave", func() bool { return metrics.Sum(srv.Stats(0)).Clients == 3 })
	close(reply)
	want(t, "the first", a.Recv(), redistest.Bulk("v1"))
	want(t, "the last", stays.Recv(), redistest.Bulk("v2"))
	muted.Send("CLIENT", "REPLY", "ON")
	muted.Flush()
	want(t, "the muted one", muted.Recv(), "+OK\r\n")
	balanced(t, srv)
}

func TestNothingIsSentWhenAllWhoWaitHaveLeft(t *testing.T) {
	first, reply := make(chan struct{}), make(chan struct{})
	node := redistest.Node(t, redistest.Expect("GET k"), redistest.Tell(first), redistest.Pause(reply), redistest.Reply("+1\r\n"),
		redistest.Expect("GET other"), redistest.Reply("+2\r\n"))
	srv := serve(t, nil, node.Addr())
	heatUp(t, srv, "k")
	a, b := client(t, srv), client(t, srv)
	a.Send("GET", "k")
	a.Flush()
	<-first
	b.Send("GET", "k")
	b.Flush()
	redistest.WaitFor(t, "the other to wait", func() bool { return waiters(t, srv, "k") == 1 })
	reset(b)
	redistest.WaitFor(t, "it to leave", func() bool { return metrics.Sum(srv.Stats(0)).Clients == 1 })
	close(reply)
	want(t, "the first", a.Recv(), "+1\r\n")
	want(t, "another key", a.Do("GET", "other"), "+2\r\n")
}

func TestReadsOfDifferentDatabasesAndProtocolsAreNotOne(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	heatUp(t, srv, "h")
	plain, other, resp3 := client(t, srv), client(t, srv), client(t, srv)
	plain.Do("HSET", "h", "f", "zero")
	other.Do("SELECT", "1")
	other.Do("HSET", "h", "f", "one")
	resp3.Do("HELLO", "3")
	for range 200 {
		for _, c := range []*redistest.Conn{plain, other, resp3} {
			c.Send("HGETALL", "h")
			c.Flush()
		}
		want(t, "RESP2", plain.Recv(), "*2\r\n$1\r\nf\r\n$4\r\nzero\r\n")
		want(t, "database 1", other.Recv(), "*2\r\n$1\r\nf\r\n$3\r\none\r\n")
		want(t, "RESP3", resp3.Recv(), "%1\r\n$1\r\nf\r\n$4\r\nzero\r\n")
	}
}

// What is given to many at once has a bound.
func TestBigRepliesAreNotGivenToManyAtOnce(t *testing.T) {
	srv := serve(t, nil, nodes(t, 1)...)
	heatUp(t, srv, "k")
	value := strings.Repeat("x", mostJoined/4)
	c := client(t, srv)
	c.Do("SET", "k", value)
	c.Do("GET", "k")
	var all []*redistest.Conn
	for range 32 {
		all = append(all, client(t, srv))
	}
	most := 0
	for range 5 {
		for _, c := range all {
			c.Send("GET", "k")
			c.Flush()
		}
		most = max(most, waiters(t, srv, "k"))
		for _, c := range all {
			want(t, "the length", strconv.Itoa(len(c.Recv())), strconv.Itoa(len(redistest.Bulk(value))))
		}
	}
	if most > 4 {
		t.Errorf("%d waited for one reply of %d bytes", most, len(value))
	}
	balanced(t, srv)
}

// A client's own writes and reads, pipelined in any way, are seen in their order while others read the same.
func TestAClientSeesItsOwnWritesToAHotKeyInOrder(t *testing.T) {
	srv := serve(t, nil, slowly(t, nodes(t, 1)[0], 200*time.Microsecond))
	heatUp(t, srv, "k")
	writer := client(t, srv)
	writer.Do("SET", "k", "0")
	var readers sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		c := client(t, srv)
		readers.Go(func() {
			last := 0
			for !stop.Load() {
				reply, err := c.TryDo("GET", "k")
				n, err2 := strconv.Atoi(string(text([]byte(reply))))
				if err != nil || err2 != nil || n < last {
					t.Errorf("a reader got %q after %d: %v", reply, last, err)
					return
				}
				last = n
			}
		})
	}
	for n := 1; n <= 500; n++ {
		for range n % 3 {
			writer.Send("GET", "k")
		}
		writer.Send("SET", "k", strconv.Itoa(n))
		for range n % 4 {
			writer.Send("GET", "k")
		}
		writer.Flush()
		for range n % 3 {
			want(t, "before its write", writer.Recv(), redistest.Bulk(strconv.Itoa(n-1)))
		}
		want(t, "SET", writer.Recv(), "+OK\r\n")
		for range n % 4 {
			want(t, "after its write", writer.Recv(), redistest.Bulk(strconv.Itoa(n)))
		}
	}
	stop.Store(true)
	readers.Wait()
	if n := collapsed(srv); n == 0 {
		t.Error("nothing was collapsed")
	}
	balanced(t, srv)
}

// slowly listens in front of a node and hands its replies on that much later.
func slowly(t testing.TB, addr string, late time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	type chunk struct {
		b   []byte
		due time.Time
	}
	serve := func(in net.Conn) {
		defer in.Close()
		out, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		go func() { io.Copy(out, in); out.Close() }()
		queue := make(chan chunk, 10000)
		go func() {
			for b := make([]byte, 64<<10); ; {
				n, err := out.Read(b)
				if n > 0 {
					queue <- chunk{append([]byte(nil), b[:n]...), time.Now().Add(late)}
				}
				if err != nil {
					close(queue)
					return
				}
			}
		}()
		for c := range queue {
			time.Sleep(time.Until(c.due))
			if _, err := in.Write(c.b); err != nil {
				out.Close()
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go serve(in)
		}
	}()
	return l.Addr().String()
}

// register is what a single key does, in porcupine's terms: an operation writes a value, or reads one if that is "".
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		if write := input.(string); write != "" {
			return true, write
		}
		return output.(string) == state.(string), state
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v -> %v", input, output) },
}

// Reads and writes of a hot key, through the Ringway in which it is hot, through another, and directly, are as if they had been carried
// out one after the other, each at a moment between its request and its reply. They would not be if reads could join what has been sent.
func TestCollapsedReadsAreLinearizable(t *testing.T) {
	if result := checkCollapsed(t, false); result != porcupine.Ok {
		t.Errorf("the history is %s", result)
	}
	for range 10 {
		if checkCollapsed(t, true) == porcupine.Illegal {
			return
		}
	}
	t.Error("reads that join what was sent look linearizable: the test is no good")
}

func checkCollapsed(t *testing.T, joinsSent bool) porcupine.CheckResult {
	node := nodes(t, 1)[0]
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, slowly(t, node, 2*time.Millisecond))
	other := serve(t, nil, node)
	heatUp(t, srv, "k")
	for _, w := range srv.workers {
		redistest.Run(t, w.loop.Post, func() { w.joinsSent = joinsSent })
	}
	var mu sync.Mutex
	var history []porcupine.Operation
	begin := time.Now()
	var all sync.WaitGroup
	ask := func(id, operations int, addr string, write func(i int) bool) {
		c := redistest.Dial(t, addr)
		all.Go(func() {
			for i := range operations {
				args, input := []string{"GET", "k"}, ""
				if write(i) {
					input = fmt.Sprintf("%d.%d", id, i)
					args = []string{"SET", "k", input}
				}
				call := time.Since(begin)
				reply, err := c.TryDo(args...)
				done := time.Since(begin)
				if err != nil || reply[0] == '-' {
					t.Errorf("%q: %q, %v", args, reply, err)
					return
				}
				output := ""
				if reply != "$-1\r\n" {
					output = string(text([]byte(reply)))
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: id, Input: input, Call: int64(call), Output: output, Return: int64(done)})
				mu.Unlock()
			}
		})
	}
	for id := range 8 {
		ask(id, 200, srv.Addr(0), func(int) bool { return false })
	}
	ask(8, 200, srv.Addr(0), func(i int) bool { return i%2 == 0 })
	ask(9, 200, srv.Addr(0), func(i int) bool { return i%3 == 0 })
	ask(10, 1000, other.Addr(0), func(i int) bool { return i%4 == 0 })
	ask(11, 1000, node, func(i int) bool { return i%4 == 0 })
	all.Wait()
	result := porcupine.CheckOperationsTimeout(register, history, time.Minute)
	saved := collapsed(srv)
	t.Logf("joins what was sent: %v: %d operations, %d reads collapsed: %s", joinsSent, len(history), saved, result)
	if saved == 0 {
		t.Error("nothing was collapsed")
	}
	return result
}
