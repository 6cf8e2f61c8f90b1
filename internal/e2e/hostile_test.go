//go:build linux

package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	random "math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// hostile is what some clients do. They call ready when they are at it, and end when stop is closed, or with what they did not expect.
type hostile struct {
	name string
	do   deed
}

type deed func(t *testing.T, addr string, ready func(), stop <-chan struct{}) error

// opened is a crowd of connections, each of which has sent something.
func opened(t *testing.T, addr string, n int, text func(i int) string) ([]net.Conn, error) {
	conns := make([]net.Conn, 0, n)
	for i := range n {
		c, err := dialFrom(t, i, addr)
		if err != nil {
			return conns, fmt.Errorf("client %d: %w", i, err)
		}
		conns = append(conns, c.Conn)
		if _, err := io.WriteString(c.Conn, text(i)); err != nil {
			return conns, fmt.Errorf("client %d: %w", i, err)
		}
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// held opens a crowd that sends text each, and nothing more.
func held(n int, text string) deed {
	return func(t *testing.T, addr string, ready func(), stop <-chan struct{}) error {
		conns, err := opened(t, addr, n, func(int) string { return text })
		defer closeAll(conns)
		if err == nil {
			ready()
			<-stop
		}
		return err
	}
}

// refused has clients send text, again and again, each of which reads one of these answers and is closed.
func refused(text string, answers ...string) deed {
	return repeated(1000, func(c net.Conn) error {
		io.WriteString(c, text) // it may be closed before all is sent
		b, err := io.ReadAll(c)
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			return fmt.Errorf("%.40q is not closed; its answer is %.100q", text, b)
		} else if err == nil && !slices.Contains(answers, string(b)) { // what is not read when a connection closes can cost the peer the answer
			return fmt.Errorf("%.40q is answered with %.100q", text, b)
		}
		return nil
	})
}

// repeated opens connections for do, so many in a second if they can be had.
func repeated(rate int, do func(c net.Conn) error) deed {
	return func(_ *testing.T, addr string, ready func(), stop <-chan struct{}) error {
		ready()
		pace := metronome{each: time.Second / time.Duration(rate)}
		var wait sync.WaitGroup
		failed := make(chan error, 8)
		for part := range cap(failed) {
			wait.Go(func() {
				from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(part+1))}, Timeout: redistest.Patience}
				for {
					select {
					case <-stop:
						return
					default:
					}
					pace.wait()
					c, err := from.Dial("tcp", addr)
					if err == nil {
						c.SetDeadline(time.Now().Add(redistest.Patience))
						err = do(c)
						c.(*net.TCPConn).SetLinger(0) // no port stays behind
						c.Close()
					}
					if err != nil {
						failed <- err
						return
					}
				}
			})
		}
		wait.Wait()
		select {
		case err := <-failed:
			return err
		default:
			return nil
		}
	}
}

// metronome lets so many go on in a second.
type metronome struct {
	each time.Duration
	mu   sync.Mutex
	next time.Time
}

func (m *metronome) wait() {
	m.mu.Lock()
	now := time.Now()
	if m.next.Before(now.Add(-100 * time.Millisecond)) { // nobody came for a while, or too few: that is not made up for
		m.next = now
	}
	m.next = m.next.Add(m.each)
	until := m.next
	m.mu.Unlock()
	time.Sleep(time.Until(until))
}

func hostiles(crowd int, came *atomic.Int64) []hostile {
	pace := metronome{each: time.Second / 10_000}
	return []hostile{
		{"slowloris", func(t *testing.T, addr string, ready func(), stop <-chan struct{}) error {
			request := redistest.AppendCommand(nil, "SET", "slow", strings.Repeat("v", 4000))
			conns, err := opened(t, addr, crowd, func(i int) string { return string(request[:1+i%40]) })
			defer closeAll(conns)
			if err == nil {
				ready()
			}
			for at := 0; err == nil; at++ { // each goes on by a byte now and then
				for i, c := range conns {
					pace.wait()
					select {
					case <-stop:
						return nil
					default:
					}
					if n := 1 + i%40 + at; err == nil && n < len(request)-1 {
						_, err = c.Write(request[n : n+1])
					}
				}
			}
			return err
		}},
		{"one byte at a time", func(t *testing.T, addr string, ready func(), stop <-chan struct{}) error {
			c, err := redistest.Connect(addr)
			if err != nil {
				return err
			}
			defer c.Close()
			ready()
			request := redistest.AppendCommand(nil, "ECHO", "byte by byte")
			for {
				for i := range request {
					if _, err := c.Conn.Write(request[i : i+1]); err != nil {
						return err
					}
				}
				b, err := c.TryRecv(nil)
				if err := errors.Join(err, expect(string(b), redistest.Bulk("byte by byte"), "ECHO")); err != nil {
					return err
				}
				select {
				case <-stop:
					return nil
				default:
				}
			}
		}},
		{"half-open connections", held(crowd, "")},
		{"connections that close at once", repeated(10_000, func(net.Conn) error { came.Add(1); return nil })},
		{"a million arguments, announced", held(crowd, "*1000000\r\n$3\r\nSET\r\n")},
		{"more arguments than there may be", refused("*1000000000\r\n", "-ERR Protocol error: invalid multibulk length\r\n")},
		{"an argument of 512 MiB, announced", held(crowd, "*2\r\n$3\r\nGET\r\n$536870912\r\n")},
		{"an argument of more", refused("*2\r\n$3\r\nGET\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n")},
		{"a line without end", refused(strings.Repeat("x", 256<<10), "-ERR Protocol error: too big inline request\r\n")},
		{"arrays in arrays", refused("*1\r\n"+strings.Repeat("*1\r\n", 10_000), "-ERR Protocol error: expected '$', got '*'\r\n")},
		{"attributes", refused("|1\r\n+a\r\n+b\r\n*1\r\n$4\r\nQUIT\r\n", "-ERR unknown command '|1', with args beginning with: \r\n-ERR unknown command '+a', with args beginning with: \r\n-ERR unknown command '+b', with args beginning with: \r\n+OK\r\n")},
		{"POST", refused("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET hacked by-a-page\r\n", "")},
		{"GET with a Host", refused("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "-ERR wrong number of arguments for 'get' command\r\n", "")},
		{"TLS", refused("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("\x00", 500), "\x15\x03\x01\x00\x02\x02\x28")},
		{"noise", repeated(1000, func(c net.Conn) error {
			noise := make([]byte, 1+random.IntN(4096)) // some is one wrong request, some is none, or many
			rand.Read(noise)
			c.Write(noise)
			c.(*net.TCPConn).CloseWrite()
			_, err := io.Copy(io.Discard, c)
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				return fmt.Errorf("it hangs: %w", err)
			}
			return nil
		})},
	}
}

// beside is p99 while somebody is hostile to whoever is at an address.
func (nb *neighbours) beside(t *testing.T, h hostile, addr string, pid int, came *atomic.Int64, meanwhile func()) (p99 time.Duration, err error) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan error, 1)
	atIt := make(chan struct{})
	go func() { ended <- h.do(t, addr, sync.OnceFunc(func() { close(atIt) }), stop) }()
	select {
	case <-atIt:
	case err := <-ended:
		t.Fatalf("it ended before it had begun: %v", err)
	}
	begun, from, used := time.Now(), came.Load(), cpuTime(t, pid)
	p99 = nb.p99(t, size(5*time.Second, 300*time.Millisecond))
	took, busy := time.Since(begun), cpuTime(t, pid)-used
	meanwhile()
	close(stop)
	if n := came.Load() - from; n > 0 {
		t.Logf("%.0f times a second", float64(n)/took.Seconds())
	}
	t.Logf("Ringway takes %.0f %% of a core", 100*busy.Seconds()/took.Seconds())
	return p99, <-ended
}

// Whatever bytes clients send or withhold, the router's memory is bounded, and others are served as before.
func TestHostileClients(t *testing.T) {
	crowd := size(10_000, 500)
	nodes := servers(t, 2)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"max_clients": "0"}})
	warm(t, r.addr())
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("key:%d", i))
	}
	nb := newNeighbours(t, r.addr(), 20, keys)
	var came atomic.Int64
	for _, h := range hostiles(crowd, &came) {
		t.Run(h.name, func(t *testing.T) {
			alone := nb.p99(t, size(5*time.Second, 100*time.Millisecond))
			var elsewhere time.Duration
			if full() { // what it costs to have such neighbours at all: they are at a server that has nothing to do with Ringway
				var err error
				elsewhere, err = nb.beside(t, h, redistest.Server(t, "--maxclients", "20000", "--protected-mode", "no").Addr(), r.Pid(), &came, func() {})
				t.Logf("at another server: p99 %v (%v)", elsewhere.Round(time.Microsecond), err)
			}
			clients, files := r.metric(t, "ringway_clients"), openFiles(t, r.Pid())
			before, highest := rss(t, r.Pid()), peak(t, r.Pid())
			held, holds := r.metric(t, "ringway_memory_held_bytes"), 0.0
			disturbed, err := nb.beside(t, h, r.addr(), r.Pid(), &came, func() { holds = r.metric(t, "ringway_memory_held_bytes") })
			if err != nil {
				t.Error(err)
			}
			grown := highest() - before
			t.Logf("memory grew by %s", inMiB(grown))
			if limit := size(128, 24) * mib; grown > limit {
				t.Errorf("memory grew by %s, want at most %s", inMiB(grown), inMiB(limit))
			}
			if grown := int(holds - held); grown > size(128, 24)*mib { // of what nobody has written to yet the system knows nothing
				t.Errorf("Ringway holds %s more", inMiB(grown))
			}
			t.Logf("others: p99 %v, alone %v: %.2f times", disturbed.Round(time.Microsecond), alone.Round(time.Microsecond), float64(disturbed)/float64(alone))
			if limit := max(2*alone, elsewhere); full() && disturbed > limit || disturbed > time.Second {
				t.Errorf("others' p99 is %v, want at most twice what it is alone (%v), or what it is while this is done to another server (%v)", disturbed, alone, elsewhere)
			}
			redistest.WaitFor(t, "them to be forgotten", func() bool { return r.metric(t, "ringway_clients") <= clients })
			redistest.WaitFor(t, "their connections to be closed", func() bool { return openFiles(t, r.Pid()) <= files+4 }) // the metrics are asked for by some
		})
	}
	if got := redistest.Dial(t, nodes[0].Addr()).Do("EXISTS", "hacked"); got != ":0\r\n" {
		t.Error("a page has written a key")
	}
	if log := r.Output(); strings.Contains(log, "hacked") || !strings.Contains(log, "it speaks HTTP") {
		t.Errorf("the log shows what clients have sent, or does not say that some speak HTTP:\n%s", log)
	}
}

// Nodes that answer without end lose their connections at max_reply_size, and what was kept of their answers is given back.
func TestNodesThatAnswerWithoutEnd(t *testing.T) {
	for name, words := range map[string][2]string{
		"a bulk":             {"$4294967296\r\n", strings.Repeat("x", 64<<10)},
		"an array":           {"*1000000000\r\n", strings.Repeat(":1\r\n", 16<<10)},
		"arrays in arrays":   {"", strings.Repeat("*1\r\n", 16<<10)},
		"attributes":         {"", strings.Repeat("|1\r\n+a\r\n:1\r\n", 8<<10)},
		"a line":             {"+", strings.Repeat("x", 64<<10)},
		"pushes, and no end": {"", strings.Repeat(">1\r\n+x\r\n", 8<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			good := redistest.Server(t)
			r := serve(t, pool{nodes: []string{endless(t, words), endless(t, words), good.Addr()}, options: map[string]string{
				"max_reply_size": "16mb", "health_check": "off", "read_retry": "0%", "timeout": "1s",
			}})
			other := redistest.Dial(t, r.addr())
			var there []string // keys of the one that is all right
			for i := 0; len(there) < 20; i++ {
				if key := fmt.Sprintf("key:%d", i); strings.Contains(other.Do("RINGWAY", "EXPLAIN", key), good.Addr()) {
					want(t, other, "+OK\r\n", "SET", key, "value of "+key)
					there = append(there, key)
				}
			}
			before, highest := rss(t, r.Pid()), peak(t, r.Pid())
			c := redistest.Dial(t, r.addr())
			request := []string{"MGET"}
			for i := range 50 {
				request = append(request, fmt.Sprintf("many:%d", i))
			}
			for range size(50, 5) {
				if got := c.Do(request...); !strings.HasPrefix(got, "-ERR node 'n") {
					t.Errorf("MGET: %q", shorten([]byte(got)))
				}
				for _, key := range there {
					if got := other.Do("GET", key); got != redistest.Bulk("value of "+key) {
						t.Errorf("GET %s: %q", key, shorten([]byte(got)))
					}
				}
			}
			if grown := highest() - before; grown > 160*mib { // two replies, buffers that double, and garbage
				t.Errorf("memory grew by %s", inMiB(grown))
			}
			metric := "ringway_node_garbage_total"
			if name == "pushes, and no end" {
				metric = "ringway_node_timeouts_total"
			}
			if r.metric(t, metric) == 0 {
				t.Errorf("%s is 0", metric)
			}
		})
	}
}

// endless is a node that answers the first bytes of each connection with words[0], and then words[1] again and again.
func endless(t *testing.T, words [2]string) string {
	return redistest.Accept(t, func(c net.Conn) {
		_, err := c.Read(make([]byte, 1024))
		for text := words[0]; err == nil; text = words[1] {
			_, err = io.WriteString(c, text)
		}
	})
}
