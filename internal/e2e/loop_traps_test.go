//go:build linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// The traps of an event loop, each as a client would fall into it.

func TestHalfClose(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	for _, n := range []int{1, 100, 5000} {
		t.Run(fmt.Sprintf("all replies of a pipeline of %d, then the end", n), func(t *testing.T) {
			c := redistest.Dial(t, r.addr())
			for i := range n {
				c.Send("SET", fmt.Sprintf("half:%d", i), "x")
				c.Send("ECHO", strconv.Itoa(i))
			}
			c.Flush()
			c.HalfClose()
			for i := range n {
				if got := c.Recv(); got != "+OK\r\n" {
					t.Fatalf("SET %d: %q", i, got)
				}
				if got := c.Recv(); got != redistest.Bulk(strconv.Itoa(i)) {
					t.Fatalf("ECHO %d: %q", i, got)
				}
			}
			c.RecvEOF()
		})
	}
	t.Run("an unfinished request is dropped", func(t *testing.T) {
		c := redistest.Dial(t, r.addr())
		c.SendRaw("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$5\r\nab")
		c.Flush()
		c.HalfClose()
		if got := c.Recv(); got != "+PONG\r\n" {
			t.Errorf("PING: %q", got)
		}
		c.RecvEOF()
	})
	t.Run("before the first request", func(t *testing.T) {
		c := redistest.Dial(t, r.addr())
		c.HalfClose()
		c.RecvEOF()
	})
	t.Run("replies larger than the socket buffers", func(t *testing.T) {
		c := redistest.Dial(t, r.addr())
		big := strings.Repeat("b", 1<<20)
		c.Do("SET", "half:big", big)
		for range 20 {
			c.Send("GET", "half:big")
		}
		c.Flush()
		c.HalfClose()
		for i := range 20 {
			if got := c.Recv(); got != redistest.Bulk(big) {
				t.Fatalf("reply %d: %s", i, shorten([]byte(got)))
			}
		}
		c.RecvEOF()
	})
}

// Out of files, the router keeps its clients, takes no new ones, does not spin, and goes on when files are free again.
func TestOutOfFiles(t *testing.T) {
	const limit, clients = 100, 200
	nodes := servers(t, 3)
	r := serveWith(t, setup{under: []string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, limit), "sh"}},
		pool{nodes: addresses(nodes), options: map[string]string{"max_clients": "0"}})
	warm(t, r.addr())

	// More clients than files: the kernel completes the connections, the router can't accept them all.
	var conns []*redistest.Conn
	for range clients {
		c := redistest.Dial(t, r.addr())
		c.Send("PING")
		c.Flush()
		conns = append(conns, c)
	}
	redistest.WaitFor(t, "the router to run out of files", func() bool { return openFiles(t, r.Pid()) >= limit-2 })
	idleCPU(t, r.Pid(), "out of files")
	if !r.Running() {
		t.Fatalf("out of files, it ended:\n%s", r.Output())
	}
	for i, c := range conns[:20] {
		if got := c.Recv(); got != "+PONG\r\n" {
			t.Fatalf("client %d, accepted before: %q", i, got)
		}
		if got := c.Do("SET", fmt.Sprintf("files:%d", i), "x"); got != "+OK\r\n" {
			t.Errorf("client %d, accepted before: %q", i, got)
		}
	}
	// The first ones leave; all others are served, a hundred at a time.
	for i, c := range conns {
		if i >= 20 {
			if got := c.Recv(); got != "+PONG\r\n" {
				t.Fatalf("client %d: %q", i, got)
			}
		}
		c.Close()
	}
	if got := redistest.Dial(t, r.addr()).Do("PING"); got != "+PONG\r\n" {
		t.Errorf("a new client afterwards: %q", got)
	}
}

// A file number that is closed and given to another connection within one turn must not lead a reply to a stranger.
func TestConnectionsThatComeAndGo(t *testing.T) {
	nodes := servers(t, 3)
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprintf("threads=%d", threads), func(t *testing.T) {
			r := serveWith(t, setup{threads: threads}, pool{nodes: addresses(nodes)})
			comeAndGo(t, r.addr(), size(2000, 200))
		})
	}
}

func comeAndGo(t *testing.T, addr string, rounds int) {
	t.Helper()
	eachClient(t, 16, func(id int) error {
		rnd := rand.New(rand.NewPCG(3, uint64(id)))
		for n := range rounds {
			c, err := redistest.Connect(addr)
			if err != nil {
				return err
			}
			mine := fmt.Sprintf("secret of %d in round %d", id, n)
			key := fmt.Sprintf("come:%d", id)
			switch rnd.IntN(3) {
			case 0: // leaves at once, with replies on their way
				for range 50 {
					c.Send("SET", key, mine)
					c.Send("GET", key)
				}
				if err := c.TryFlush(); err != nil {
					return err
				}
				if rnd.IntN(2) == 0 {
					c.Conn.(*net.TCPConn).SetLinger(0)
				}
			default: // stays for its replies: they must be its own
				c.Send("ECHO", mine)
				c.Send("SET", key, mine)
				c.Send("GET", key)
				if err := c.TryFlush(); err != nil {
					return err
				}
				for _, want := range []string{redistest.Bulk(mine), "+OK\r\n", redistest.Bulk(mine)} {
					b, err := c.TryRecv(nil)
					if err != nil {
						return fmt.Errorf("round %d: %w", n, err)
					}
					if string(b) != want && !(want != "+OK\r\n" && strings.Contains(string(b), fmt.Sprintf("secret of %d in", id))) {
						return fmt.Errorf("round %d: got %q, want %q", n, b, want)
					}
				}
			}
			c.Close()
		}
		return nil
	})
}

// One byte of urgent data must neither be taken for a request nor keep the loop busy.
func TestOutOfBandByte(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 1))})
	c := redistest.Dial(t, r.addr())
	c.Do("PING")
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if err := syscall.Sendto(int(fd), []byte("!"), syscall.MSG_OOB, nil); err != nil {
			t.Error(err)
		}
	})
	idleCPU(t, r.Pid(), "after an out-of-band byte")
	if got := c.Do("SET", "oob", "x"); got != "+OK\r\n" {
		t.Errorf("the same client afterwards: %q", got)
	}
	idleCPU(t, r.Pid(), "after the next request")
	if got := redistest.Dial(t, r.addr()).Do("PING"); got != "+PONG\r\n" {
		t.Errorf("another client: %q", got)
	}
}

// Fifty clients wait for room in the same lane; each must be woken, again and again, whoever is woken before it.
func TestManyClientsOverOneNodesLimit(t *testing.T) {
	const clients, requests = 50, 3000
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"backend_output_limit": "64kb", "timeout": "30s"}})
	on, _ := keysOf(t, r.addr(), nodes, 1, 50)
	for _, tt := range []struct {
		name  string
		pause time.Duration
	}{{"while the node is slow", 500 * time.Millisecond}, {"while the node is fast", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.pause > 0 {
				nodes[1].Stop()
				timer := time.AfterFunc(tt.pause, nodes[1].Cont)
				defer func() { timer.Stop(); nodes[1].Cont() }()
			}
			start := time.Now()
			eachClient(t, clients, func(id int) error {
				c, err := redistest.Connect(r.addr())
				if err != nil {
					return err
				}
				defer c.Close()
				c.SetTimeout(30 * time.Second)
				for n := range requests {
					c.Send("SET", on[id], fmt.Sprintf("%d:%d:%s", id, n, strings.Repeat("w", 1024)))
				}
				c.Send("GET", on[id])
				wrote := make(chan error, 1)
				go func() { wrote <- c.TryFlush() }()
				for n := range requests {
					b, err := c.TryRecv(nil)
					if err == nil {
						err = expect(string(b), "+OK\r\n", "SET")
					}
					if err != nil {
						return fmt.Errorf("reply %d: %w", n, err)
					}
				}
				b, err := c.TryRecv(nil)
				if err != nil {
					return err
				}
				if want := fmt.Sprintf("\r\n%d:%d:", id, requests-1); !strings.Contains(string(b), want) {
					return fmt.Errorf("GET: %s, want %q", shorten(b), want)
				}
				return <-wrote
			})
			t.Logf("%d clients x %d SETs of 1 KiB to one node in %v", clients, requests, time.Since(start).Round(time.Millisecond))
		})
	}
}

// One client over its own window, at every length around it.
func TestPipelinesAroundTheWindow(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	c := redistest.Dial(t, r.addr())
	for _, n := range []int{1, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1024, 10_000} {
		for i := range n {
			c.Send("ECHO", strconv.Itoa(i))
			c.Send("SET", fmt.Sprintf("w:%d", i), "x")
			c.Send("MGET", "w:1", "w:2", "w:3", "w:4", "w:5")
		}
		wrote := make(chan error, 1)
		go func() { wrote <- c.TryFlush() }()
		for i := range n {
			if got := c.Recv(); got != redistest.Bulk(strconv.Itoa(i)) {
				t.Fatalf("pipeline of %d, ECHO %d: %q", 3*n, i, got)
			}
			if got := c.Recv(); got != "+OK\r\n" {
				t.Fatalf("pipeline of %d, SET %d: %q", 3*n, i, got)
			}
			if got := c.Recv(); !strings.HasPrefix(got, "*5\r\n") {
				t.Fatalf("pipeline of %d, MGET %d: %q", 3*n, i, got)
			}
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
	}
}

// A split command may have more keys than a window has places.
func TestMoreKeysThanTheWindow(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	c := redistest.Dial(t, r.addr())
	const n = 20_000
	mset, mget, del := []string{"MSET"}, []string{"MGET"}, []string{"DEL"}
	for i := range n {
		k := fmt.Sprintf("many:%d", i)
		mset = append(mset, k, strconv.Itoa(i))
		mget = append(mget, k)
		del = append(del, k)
	}
	if got := c.Do(mset...); got != "+OK\r\n" {
		t.Fatalf("MSET of %d: %q", n, got)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "*%d\r\n", n)
	for i := range n {
		want.WriteString(redistest.Bulk(strconv.Itoa(i)))
	}
	if got := c.Do(mget...); got != want.String() {
		t.Errorf("MGET of %d: %s", n, shorten([]byte(got)))
	}
	if got := c.Do(del...); got != fmt.Sprintf(":%d\r\n", n) {
		t.Errorf("DEL of %d: %q", n, got)
	}
}

// A client that leaves in the middle of things disturbs nobody.
func TestClientsThatLeaveMidway(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes)})
	before := openFiles(t, r.Pid())
	steady := redistest.Dial(t, r.addr())
	big := strings.Repeat("b", 100<<10)
	steady.Do("SET", "big", big)
	for n := range size(300, 60) {
		rude := redistest.Dial(t, r.addr())
		switch n % 4 {
		case 0: // with a thousand replies on their way
			for i := range 1000 {
				rude.Send("SET", fmt.Sprintf("rude:%d", i), "x")
			}
		case 1: // in the middle of a request
			rude.SendRaw("*3\r\n$3\r\nSET\r\n$4\r\nrude\r\n$1000\r\nabc")
		case 2: // with large replies that it will not read
			for range 100 {
				rude.Send("GET", "big")
			}
		case 3: // with a merge half done
			for i := range 200 {
				rude.Send("MGET", fmt.Sprintf("a%d", i), "b", "c", "d", "e")
			}
		}
		rude.Flush()
		if n%2 == 0 {
			rude.Conn.(*net.TCPConn).SetLinger(0)
		}
		rude.Close()
		k := fmt.Sprintf("steady:%d", n)
		if got := steady.Do("SET", k, k); got != "+OK\r\n" {
			t.Fatalf("SET %s: %q", k, got)
		}
		if got := steady.Do("MGET", k, "big", k); got != "*3\r\n"+redistest.Bulk(k)+redistest.Bulk(big)+redistest.Bulk(k) {
			t.Fatalf("MGET %s: %s", k, shorten([]byte(got)))
		}
	}
	steady.Close()
	redistest.WaitFor(t, "the connections of those who left to be closed", func() bool {
		// Lanes stay open, and connections for hot keys for a while: four for each node is plenty.
		return openFiles(t, r.Pid()) <= before+4*len(nodes)
	})
}

// A client that waits for ever with half a request costs nothing and is not closed.
func TestByteByByte(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 3))})
	c := redistest.Dial(t, r.addr())
	wire := redistest.AppendCommand(nil, "SET", "slow", "a\r\nb")
	wire = redistest.AppendCommand(wire, "MGET", "slow", "none", "slow")
	wire = append(wire, "\r\nPING 'x y'\r\n"...)
	for i := range wire {
		if err := sendAll(c.Conn, wire[i:i+1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	for _, want := range []string{"+OK\r\n", "*3\r\n$4\r\na\r\nb\r\n$-1\r\n$4\r\na\r\nb\r\n", "$3\r\nx y\r\n"} {
		if got := c.Recv(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	c.SendRaw("*2\r\n$3\r\nGET\r\n$4\r\nsl")
	c.Flush()
	idleCPU(t, r.Pid(), "waiting for the rest of a request")
	c.SendRaw("ow\r\n")
	c.Flush()
	if got := c.Recv(); got != "$4\r\na\r\nb\r\n" {
		t.Errorf("the rest came later: %q", got)
	}
}

func TestManyPools(t *testing.T) {
	nodes := servers(t, 3)
	var pools []pool
	for i := range 30 {
		pools = append(pools, pool{name: fmt.Sprintf("p%d", i), nodes: addresses(nodes[i%3 : i%3+1])})
	}
	r := serve(t, pools...)
	for i, addr := range r.addrs {
		c := redistest.Dial(t, addr)
		if got := c.Do("SET", fmt.Sprintf("of:%d", i), strconv.Itoa(i)); got != "+OK\r\n" {
			t.Errorf("pool %d: %q", i, got)
		}
	}
	for i := range pools {
		c := redistest.Dial(t, nodes[i%3].Addr())
		if got := c.Do("GET", fmt.Sprintf("of:%d", i)); got != redistest.Bulk(strconv.Itoa(i)) {
			t.Errorf("the key of pool %d is not on its node: %q", i, got)
		}
	}
}

func TestUnixSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "rw") // a short path: a socket's has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	node := redistest.Server(t, "--unixsocket", dir+"/redis")
	r := serveWith(t, setup{threads: 2},
		pool{listen: "unix://" + dir + "/front", nodes: []string{node.Addr()}},
		pool{nodes: []string{"unix://" + dir + "/redis"}})
	for range 10 {
		if got := redistest.Dial(t, r.addrs[0]).Do("SET", "k", "v"); got != "+OK\r\n" {
			t.Errorf("SET through a unix listener: %q", got)
		}
	}
	if got := redistest.Dial(t, r.addrs[1]).Do("GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("GET from a unix backend: %q", got)
	}
}
