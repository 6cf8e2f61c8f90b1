package hashring

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What the test against twemproxy needs of the world: processes, and a few words of the Redis protocol. It is kept
// apart from the other packages' test helpers on purpose, for nothing of Ringway but the ring may be on trial.

// process is a server to start: ready is asked until it says nil.
type process struct {
	program, install string
	args             func() []string
	ready            func() error
}

// start runs p until the test ends. A port may be taken by another process in the instant before it is used, so a
// process that ends at once is started again, a few times.
func start(t *testing.T, p process) {
	t.Helper()
	path, err := exec.LookPath(p.program)
	if err != nil {
		t.Fatalf("this test needs a real %s: %s", p.program, p.install)
	}
	for attempt := 1; ; attempt++ {
		var output bytes.Buffer
		cmd := exec.Command(path, p.args()...)
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatalf("cannot start %s: %v", p.program, err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		if await(ended, p.ready) {
			t.Cleanup(func() { cmd.Process.Kill(); <-ended })
			return
		}
		cmd.Process.Kill()
		<-ended
		if attempt == 3 {
			t.Fatalf("%s does not come up; it says:\n%s", p.program, output.Bytes())
		}
	}
}

// await asks ready until it says nil, the process has ended, or ten seconds are over.
func await(ended <-chan struct{}, ready func() error) bool {
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ready() != nil {
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}

type redisServer struct {
	addr string // host:port, for nutcracker
	sock string // unix socket
}

func startRedis(t *testing.T, dir string, i int) *redisServer {
	t.Helper()
	r := &redisServer{sock: filepath.Join(dir, fmt.Sprintf("redis%d.sock", i))}
	start(t, process{
		program: "redis-server",
		install: "apt-get install redis-server",
		args: func() []string {
			port := freePort(t)
			r.addr = "127.0.0.1:" + port
			return []string{"--port", port, "--bind", "127.0.0.1", "--unixsocket", r.sock, "--save", "", "--dir", dir}
		},
		ready: func() error { return ping(r.sock) },
	})
	return r
}

// socketDir is a directory with a short name: a unix socket's path has 107 bytes at most.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ring")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func ping(sock string) error {
	c, err := net.Dial("unix", sock)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, "*1\r\n$4\r\nPING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("PING: %q", line)
	}
	return err
}

// wire is a connection that knows requests, and the replies to SET, GET, MSET, MGET and FLUSHALL.
type wire struct {
	name string
	r    *bufio.Reader
	w    *bufio.Writer
}

func dial(t *testing.T, sock string) *wire {
	t.Helper()
	c, err := net.Dial("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	return &wire{filepath.Base(sock), bufio.NewReaderSize(c, 1<<16), bufio.NewWriterSize(c, 1<<16)}
}

// send queues a request; the next reply flushes.
func (c *wire) send(args ...[]byte) {
	fmt.Fprintf(c.w, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(c.w, "$%d\r\n", len(a))
		c.w.Write(a)
		c.w.WriteString("\r\n")
	}
}

var errReply = errors.New("the reply is")

// reply reads a status or a bulk string; anything else is an errReply.
func (c *wire) reply() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	n, number := strconv.Atoi(string(line[1:]))
	switch {
	case line[0] == '+':
		return bytes.Clone(line[1:]), nil
	case line[0] == '$' && number == nil && n >= 0:
		b := make([]byte, n+2)
		_, err := io.ReadFull(c.r, b)
		return b[:n], err
	default:
		return nil, fmt.Errorf("%w %q", errReply, line)
	}
}

func (c *wire) wantArray(t *testing.T, n int) {
	t.Helper()
	line, err := c.line()
	if err != nil || string(line) != fmt.Sprintf("*%d", n) {
		t.Fatalf("%s: got %q, %v; want an array of %d", c.name, line, err, n)
	}
}

func (c *wire) line() ([]byte, error) {
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("a reply of %q", line)
	}
	return line[:len(line)-2], nil
}
