//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// warm makes a fresh router do everything once, so that the pages of its program and its lanes are part of the baseline.
func warm(t testing.TB, addr string) {
	t.Helper()
	c := redistest.Dial(t, addr)
	for range 20 {
		for i := range 100 {
			c.Send("SET", fmt.Sprintf("warm:%d", i), "x")
			c.Send("GET", fmt.Sprintf("warm:%d", i))
		}
		c.Flush()
		for range 200 {
			c.Recv()
		}
	}
	c.Close()
}

// dialFrom connects from another loopback address for each few thousand clients, lest the ports run out.
func dialFrom(t testing.TB, n int, addr string) (*redistest.Conn, error) {
	from := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n/4000))},
		Timeout:   redistest.Patience,
	}
	nc, err := from.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return redistest.NewConn(t, nc), nil
}

func TestIdleClientsCostLittle(t *testing.T) {
	const clients = 10_000
	for _, tt := range []struct {
		name     string
		requests int
		limit    int
	}{
		{"after one request each", 1, 2 * kib},
		{"after one pipeline of 100 each", 100, 4 * kib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := serve(t, pool{nodes: addresses(servers(t, 3)), options: map[string]string{"max_clients": "0"}})
			warm(t, r.addr())
			baseline := rss(t, r.Pid())
			conns := make([]*redistest.Conn, clients)
			for i := range conns {
				c, err := dialFrom(t, i, r.addr())
				if err != nil {
					t.Fatalf("cannot open client %d (%d files allowed? see ulimit -n): %v", i, clients+100, err)
				}
				defer c.Close()
				conns[i] = c
				for n := range tt.requests {
					c.Send("GET", fmt.Sprintf("key:%d:%d", i, n))
				}
				c.Flush()
				for range tt.requests {
					if b, err := c.TryRecv(nil); err != nil || string(b) != "$-1\r\n" {
						t.Fatalf("client %d: %q, %v", i, b, err)
					}
				}
			}
			cost := func() int { return (rss(t, r.Pid()) - baseline) / clients }
			atOnce := cost()
			// The process gives memory back in its own time; what counts is what an idle client keeps.
			deadline := time.Now().Add(10 * time.Second)
			for cost() > tt.limit && time.Now().Before(deadline) {
				time.Sleep(100 * time.Millisecond)
			}
			settled := cost()
			t.Logf("baseline %s; each of %d clients costs %d bytes at once, %d settled", inMiB(baseline), clients, atOnce, settled)
			if settled > tt.limit {
				t.Errorf("an idle client costs %d bytes, want at most %d", settled, tt.limit)
			}
			// They are all still served.
			for i := 0; i < clients; i += 997 {
				if got, err := conns[i].TryDo("PING"); err != nil || got != "+PONG\r\n" {
					t.Errorf("client %d, afterwards: %q, %v", i, got, err)
				}
			}
		})
	}
}

// A client that sends without end to a node that does not answer is held; its bytes do not pile up.
func TestStreamToStoppedNode(t *testing.T) {
	total := size(2<<30, 256<<20)
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "0"}})
	on, off := keysOf(t, r.addr(), nodes, 1, 50)
	warm(t, r.addr())
	nb := newNeighbours(t, r.addr(), 20, off)
	alone := nb.p99(t, size(3*time.Second, time.Second))
	baseline := rss(t, r.Pid())

	nodes[1].Stop()
	defer nodes[1].Cont()
	highest := peak(t, r.Pid())
	hog := redistest.Dial(t, r.addr())
	value := strings.Repeat("v", 4096)
	var unit []byte
	for _, k := range on {
		unit = redistest.AppendCommand(unit, "SET", k, value)
	}
	times := total / len(unit)
	var sent counter
	wrote := make(chan error, 1)
	go func() {
		hog.SetWriteDeadline(time.Time{})
		for range times {
			if err := sent.write(hog.Conn, unit); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	sent.settle(t)
	disturbed := nb.p99(t, size(5*time.Second, time.Second))
	held := sent.n.Load()
	grown := highest() - baseline
	t.Logf("the client got rid of %s of %s; memory grew by %s", inMiB(int(held)), inMiB(total), inMiB(grown))
	if grown > 64*mib {
		t.Errorf("memory grew by %s, want at most 64 MiB", inMiB(grown))
	}
	if int(held) >= total {
		t.Errorf("the whole stream was swallowed: %s", inMiB(total))
	}
	within(t, "neighbours of a client that streams to a stopped node", disturbed, alone, 2)
	idleCPU(t, r.Pid(), "a client held back by a stopped node")

	// And when the node goes on, every request has its reply.
	highest = peak(t, r.Pid())
	nodes[1].Cont()
	countReplies(t, hog, times*len(on), "+OK\r\n")
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if grown := highest() - baseline; grown > 64*mib {
		t.Errorf("memory grew by %s while the stream went on, want at most 64 MiB", inMiB(grown))
	}
}

// The same with a timeout: all requests end in errors, which the client reads as fast as they come.
func TestStreamToStoppedNodeWithTimeout(t *testing.T) {
	total := size(2<<30, 64<<20)
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "200ms", "connect_timeout": "200ms"}})
	on, off := keysOf(t, r.addr(), nodes, 1, 50)
	warm(t, r.addr())
	baseline := rss(t, r.Pid())
	nodes[1].Stop()
	defer nodes[1].Cont()
	highest := peak(t, r.Pid())
	hog := redistest.Dial(t, r.addr())
	var unit []byte
	for _, k := range on {
		unit = redistest.AppendCommand(unit, "SET", k, strings.Repeat("v", 4096))
	}
	wrote := make(chan error, 1)
	limit := time.Now().Add(size(60*time.Second, 4*time.Second))
	var requests, answered int
	go func() {
		hog.SetWriteDeadline(time.Time{})
		for n := 0; n < total && time.Now().Before(limit); n += len(unit) {
			if _, err := hog.Conn.Write(unit); err != nil {
				wrote <- err
				return
			}
			requests += len(on)
		}
		hog.HalfClose()
		wrote <- nil
	}()
	var b []byte
	for {
		var err error
		if b, err = hog.TryRecv(b[:0]); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("after %d replies: %v", answered, err)
		}
		if b[0] != '-' || !bytes.Contains(b, []byte("n1")) {
			t.Fatalf("a SET on a stopped node: %q", b)
		}
		answered++
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	grown := highest() - baseline
	t.Logf("%d requests of 4 KiB, %d errors; memory grew by %s", requests, answered, inMiB(grown))
	if requests != answered {
		t.Errorf("%d requests had %d replies", requests, answered)
	}
	if grown > 64*mib {
		t.Errorf("memory grew by %s, want at most 64 MiB", inMiB(grown))
	}
	nodes[1].Cont()
	c := redistest.Dial(t, r.addr())
	redistest.WaitFor(t, "the node to be used again", func() bool { return c.Do("SET", on[0], "x") == "+OK\r\n" })
	for _, k := range off {
		if got := c.Do("SET", k, k); got != "+OK\r\n" {
			t.Errorf("SET %s: %q", k, got)
		}
	}
}

// A client that asks for much and reads nothing is held, and has all its replies when it reads at last.
func TestUnreadReplies(t *testing.T) {
	const valueSize = 100 << 10
	gets := size(2<<30, 256<<20) / valueSize
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"client_stall_timeout": "0"}})
	warm(t, r.addr())
	c := redistest.Dial(t, r.addr())
	var keys []string
	want := make(map[string]string)
	for i := range 20 {
		k := fmt.Sprintf("big:%d", i)
		keys = append(keys, k)
		want[k] = strings.Repeat(string(rune('a'+i)), valueSize)
		if got := c.Do("SET", k, want[k]); got != "+OK\r\n" {
			t.Fatalf("SET: %q", got)
		}
	}
	nb := newNeighbours(t, r.addr(), 20, []string{"small:1", "small:2", "small:3", "small:4"})
	alone := nb.p99(t, size(3*time.Second, time.Second))
	baseline := rss(t, r.Pid())
	highest := peak(t, r.Pid())

	hog := redistest.Dial(t, r.addr())
	wrote := make(chan error, 1)
	var sent counter
	go func() {
		hog.SetWriteDeadline(time.Time{})
		for i := range gets {
			if err := sent.write(hog.Conn, redistest.AppendCommand(nil, "GET", keys[i%len(keys)])); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	}()
	sent.settle(t)
	disturbed := nb.p99(t, size(5*time.Second, time.Second))
	grown := highest() - baseline
	t.Logf("%d GETs of 100 KiB and nothing read: memory grew by %s", gets, inMiB(grown))
	if grown > 64*mib {
		t.Errorf("memory grew by %s, want at most 64 MiB", inMiB(grown))
	}
	within(t, "neighbours of a client that reads nothing", disturbed, alone, 2)
	idleCPU(t, r.Pid(), "a client that reads nothing")

	var b []byte
	for i := range gets {
		var err error
		if b, err = hog.TryRecv(b[:0]); err != nil {
			t.Fatalf("reading at last, reply %d: %v", i, err)
		}
		if string(b) != redistest.Bulk(want[keys[i%len(keys)]]) {
			t.Fatalf("reading at last, reply %d is %s", i, shorten(b))
		}
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// A client that has not read for longer than client_stall_timeout is closed.
func TestClientThatNeverReadsIsClosed(t *testing.T) {
	// The connections of a health check and of a hot key, opened at their own time, would be among the files.
	r := serve(t, pool{nodes: addresses(servers(t, 1)), options: map[string]string{"client_stall_timeout": "300ms", "health_check": "off", "hot_keys": "'off'"}})
	c := redistest.Dial(t, r.addr())
	c.Do("SET", "big", strings.Repeat("x", mib))
	files := openFiles(t, r.Pid())
	hog := redistest.Dial(t, r.addr())
	for range 100 {
		hog.Send("GET", "big")
	}
	hog.Flush()
	redistest.WaitFor(t, "the client to be served", func() bool { return openFiles(t, r.Pid()) > files })
	redistest.WaitFor(t, "the client to be closed", func() bool { return openFiles(t, r.Pid()) <= files })
	if got := c.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("another client: %q", got)
	}
}

// redis-cli --pipe sends without reading in between, ends with a blank line and an ECHO, and prints a report.
func TestMassInsertion(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Fatal("cannot find redis-cli on the PATH; install it: apt-get install redis-tools, or run make test")
	}
	total := size(1<<30, 64<<20)
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	warm(t, r.addr())
	baseline := rss(t, r.Pid())
	highest := peak(t, r.Pid())
	host, port, _ := net.SplitHostPort(r.addr())
	cli := exec.Command("redis-cli", "-h", host, "-p", port, "--pipe")
	in, err := cli.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	go func() {
		defer in.Close()
		w := bufio.NewWriterSize(in, mib)
		defer w.Flush()
		var b []byte
		for sent := 0; sent < total; sent += len(b) {
			// Few keys: the servers shall not grow to a gigabyte.
			b = redistest.AppendCommand(b[:0], "SET", fmt.Sprintf("mass:%d", commands%10_000), strings.Repeat("m", 100))
			if _, err := w.Write(b); err != nil {
				return
			}
			commands++
		}
	}()
	start := time.Now()
	out, err := cli.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		t.Fatalf("redis-cli --pipe: %v\n%s", err, out)
	}
	grown := highest() - baseline
	t.Logf("%s in %v, %d commands; memory grew by %s", inMiB(total), took.Round(time.Millisecond), commands, inMiB(grown))
	if want := fmt.Sprintf("errors: 0, replies: %d", commands); !strings.Contains(string(out), want) {
		t.Errorf("redis-cli --pipe does not report %q:\n%s", want, out)
	}
	if grown > 64*mib {
		t.Errorf("memory grew by %s, want at most 64 MiB", inMiB(grown))
	}
}

// A value of 200 MB goes in and comes out again, whole.
func TestHugeValue(t *testing.T) {
	const bytesEach = 200_000_000
	r := serve(t, pool{nodes: addresses(servers(t, 3)), options: map[string]string{"timeout": "60s"}})
	warm(t, r.addr())
	baseline := rss(t, r.Pid())
	highest := peak(t, r.Pid())
	const pattern = "0123456789\r\n:1\r\n$-1\r\n*abcdef+ghij"
	value := bytes.Repeat([]byte(pattern), bytesEach/len(pattern)+1)[:bytesEach]
	c := redistest.Dial(t, r.addr())
	c.SetTimeout(time.Minute)
	start := time.Now()
	fmt.Fprintf(c.Conn, "*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$%d\r\n", len(value))
	c.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := c.Conn.Write(value); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c.Conn, "\r\n")
	if got := c.Recv(); got != "+OK\r\n" {
		t.Fatalf("SET of 200 MB: %q", got)
	}
	set := time.Since(start)
	start = time.Now()
	c.Send("GET", "huge")
	c.Send("PING")
	c.Flush()
	got, err := c.TryRecv(nil)
	if err != nil {
		t.Fatalf("GET of 200 MB: %v after %d bytes", err, len(got))
	}
	get := time.Since(start)
	head := fmt.Sprintf("$%d\r\n", bytesEach)
	if !bytes.HasPrefix(got, []byte(head)) || !bytes.Equal(got[len(head):len(got)-2], value) {
		t.Error("the value came back changed")
	}
	if got := c.Recv(); got != "+PONG\r\n" {
		t.Errorf("PING after it: %q", got)
	}
	t.Logf("in %v, out %v, memory at most %s above the baseline", set.Round(time.Millisecond), get.Round(time.Millisecond), inMiB(highest()-baseline))
}

// One client streams pipelines of 10,000; fifty others send one request at a time.
func TestFairness(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	warm(t, r.addr())
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("fair:%d", i))
	}
	nb := newNeighbours(t, r.addr(), 50, keys)
	alone := nb.p99(t, size(5*time.Second, time.Second))

	hog := redistest.Dial(t, r.addr())
	var pipeline []byte
	for i := range 10_000 {
		pipeline = redistest.AppendCommand(pipeline, "GET", keys[i%len(keys)])
	}
	stop := make(chan struct{})
	hogged := make(chan error, 1)
	pipelines := 0
	go func() {
		for {
			select {
			case <-stop:
				hogged <- nil
				return
			default:
			}
			wrote := make(chan error, 1)
			go func() { wrote <- sendAll(hog.Conn, pipeline) }()
			var b []byte
			for i := range 10_000 {
				var err error
				if b, err = hog.TryRecv(b[:0]); err != nil {
					hogged <- fmt.Errorf("reply %d of pipeline %d: %w", i, pipelines, err)
					return
				}
				if k := keys[i%len(keys)]; string(b) != redistest.Bulk("value of "+k) {
					hogged <- fmt.Errorf("reply %d of pipeline %d: GET %s is %q", i, pipelines, k, b)
					return
				}
			}
			if err := <-wrote; err != nil {
				hogged <- err
				return
			}
			pipelines++
		}
	}()
	disturbed := nb.p99(t, size(10*time.Second, 2*time.Second))
	close(stop)
	if err := <-hogged; err != nil {
		t.Error(err)
	}
	t.Logf("meanwhile the other client had %d pipelines of 10,000 answered", pipelines)
	if pipelines == 0 {
		t.Error("the client with long pipelines starved")
	}
	within(t, "50 clients beside pipelines of 10,000", disturbed, alone, 3)
}
