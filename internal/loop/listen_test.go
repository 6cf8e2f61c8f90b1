package loop

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen is serve with options and any address.
func listen(t testing.TB, l *Loop, addr string, opt ListenOptions) *Listener {
	t.Helper()
	ln, err := Listen(addr, opt)
	if err != nil {
		t.Fatal(err)
	}
	do(t, l, func() {
		err = ln.Start(l, func(fd int, _ string) {
			p := &peer{loop: l}
			echo(p)
			p.conn.Init(l, fd, p)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, l, ln.Close) })
	return ln
}

func TestListen(t *testing.T) {
	l := run(t)
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", ":0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			ln := listen(t, l, addr, ListenOptions{Backlog: 5, ReusePort: addr == ":0"})
			_, port, err := net.SplitHostPort(ln.Addr())
			if err != nil || port == "0" {
				t.Fatalf("the address is %q", ln.Addr())
			}
			host := "127.0.0.1"
			if strings.HasPrefix(addr, "[") {
				host = "::1"
			}
			asks(t, connect(t, net.JoinHostPort(host, port)), "hello")
		})
	}
	t.Run("the peer is named", func(t *testing.T) {
		ln, err := Listen("127.0.0.1:0", ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		named := make(chan string, 1)
		do(t, l, func() {
			ln.Start(l, func(fd int, peer string) {
				named <- peer + " " + LocalAddr(fd)
				unix.Close(fd)
			})
		})
		c := connect(t, ln.Addr())
		if got, want := <-named, c.LocalAddr().String()+" "+ln.Addr(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		do(t, l, ln.Close)
		if c, err := net.Dial("tcp", ln.Addr()); err == nil {
			c.Close()
			t.Error("a closed listener accepts")
		}
	})
}

func TestListenRefuses(t *testing.T) {
	taken, err := Listen("127.0.0.1:0", ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, addr, want string }{
		{"a port in use", taken.Addr(), "cannot listen on " + taken.Addr() + ": bind: address already in use"},
		{"an address of another machine", "192.0.2.1:7000", "cannot listen on 192.0.2.1:7000: bind: cannot assign requested address"},
		{"no port", "127.0.0.1", "cannot listen on 127.0.0.1: address 127.0.0.1: missing port in address"},
		{"a path that is a file", "unix://" + file, "cannot listen on unix://" + file + ": " + file + " exists and is not a socket"},
		{"a path without a folder", "unix:///no/such/folder/s", "cannot listen on unix:///no/such/folder/s: bind: no such file or directory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ln, err := Listen(c.addr, ListenOptions{})
			if err == nil {
				ln.Close()
				t.Fatal("it listens")
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestUnixSocket(t *testing.T) {
	l := run(t)
	path := filepath.Join(t.TempDir(), "s")
	ln := listen(t, l, "unix://"+path, ListenOptions{Mode: 0o620})
	c := connect(t, ln.Addr())
	asks(t, c, "hello")
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o620 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	t.Run("that somebody listens on is left alone", func(t *testing.T) {
		_, err := Listen("unix://"+path, ListenOptions{})
		if err == nil || !strings.HasSuffix(err.Error(), "another process listens there: address already in use") {
			t.Errorf("got %v", err)
		}
		asks(t, connect(t, ln.Addr()), "hello")
	})
	t.Run("that somebody listens on is left alone even when its backlog is full", func(t *testing.T) {
		busy := filepath.Join(t.TempDir(), "busy")
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: busy}); err != nil {
			t.Fatal(err)
		}
		unix.Listen(fd, 0)
		var waiting []int
		defer func() {
			for _, c := range waiting {
				unix.Close(c)
			}
		}()
		for {
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, c)
			if err := unix.Connect(c, &unix.SockaddrUnix{Name: busy}); err == unix.EAGAIN {
				break
			}
		}
		if ln, err := Listen("unix://"+busy, ListenOptions{}); err == nil {
			ln.Close()
			t.Error("it was taken over")
		}
	})
	t.Run("that nobody listens on any more is replaced", func(t *testing.T) {
		old := filepath.Join(t.TempDir(), "old")
		left, err := net.ListenUnix("unix", &net.UnixAddr{Name: old, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		left.SetUnlinkOnClose(false)
		left.Close()
		asks(t, connect(t, listen(t, l, "unix://"+old, ListenOptions{}).Addr()), "hello")
	})
	t.Run("is removed by Close", func(t *testing.T) {
		do(t, l, ln.Close)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the socket is still there: %v", err)
		}
		asks(t, c, "who is connected stays so")
	})
}

const fewDescriptors = "RINGWAY_TEST_FEW_DESCRIPTORS"

// A process without free descriptors keeps serving the clients it has, and accepts again as soon as it can.
func TestListenerOutlivesRunningOutOfDescriptors(t *testing.T) {
	if os.Getenv(fewDescriptors) != "" {
		serveWithFewDescriptors(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), fewDescriptors+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	lines.Scan()
	addr := lines.Text()
	first := connect(t, addr)
	asks(t, first, "hello")
	var served, unserved []net.Conn
	for range 60 { // the kernel takes them all; the process can't
		unserved = append(unserved, connect(t, addr))
	}
	fmt.Fprintln(in, "refused?")
	lines.Scan()
	if lines.Text() != "refused" {
		t.Fatalf("the server says %q", lines.Text())
	}
	asks(t, first, "still here")
	for _, c := range unserved[:40] {
		c.Close()
	}
	served = unserved[40:]
	for _, c := range served {
		asks(t, c, "served in the end")
	}
	fmt.Fprintln(in, "end")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// serveWithFewDescriptors is the other process: an echo server that says when it has refused a client.
func serveWithFewDescriptors(t *testing.T) {
	l := run(t)
	ln := listen(t, l, "127.0.0.1:0", ListenOptions{})
	<-time.After(time.Millisecond) // the runtime opens its own poller now, not when no descriptor is left
	limit := unix.Rlimit{Cur: 40, Max: 40}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println(ln.Addr())
	in := bufio.NewScanner(os.Stdin)
	in.Scan()
	eventually(t, l, "a refusal", func() bool { return ln.Refused() > 0 })
	fmt.Println("refused")
	in.Scan()
	do(t, l, func() {
		if n := ln.Refused(); n > 100 {
			t.Errorf("%d attempts to accept without a descriptor: it spins", n)
		}
	})
}
