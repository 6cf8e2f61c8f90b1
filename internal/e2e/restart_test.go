package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// start runs ringway with the same configuration once more, and returns when it accepts clients.
func (r *router) startAnother(t *testing.T) *redistest.Process {
	t.Helper()
	p := redistest.Start(t, program, "--config", r.config)
	redistest.WaitFor(t, "the new process to accept", func() bool { return !p.Running() || strings.Contains(p.Output(), "pool open") })
	if !p.Running() {
		t.Fatalf("the new process ended:\n%s", p.Output())
	}
	return p
}

// stopsWell tells a process to stop, and waits until it has, with exit code 0 and nobody cut off.
func stopsWell(t *testing.T, p *redistest.Process, limit time.Duration) {
	t.Helper()
	begin := time.Now()
	p.Signal(syscall.SIGTERM)
	<-p.Exited()
	if code := p.ExitCode(); code != 0 || !strings.Contains(p.Output(), "msg=stopped cut_off=0") {
		t.Errorf("exit code %d:\n%s", code, p.Output())
	}
	if took := time.Since(begin); took > limit {
		t.Errorf("it took %v to stop", took)
	}
	if strings.Contains(p.Output(), "cannot hand new clients over") {
		t.Error(p.Output())
	}
}

// A new process takes over from an old one on the same address, again and again, under load. Clients that have connected are let go between two requests, and
// send once more what was not answered, even INCR; clients that come, ask one thing and leave notice nothing at all.
func TestRestartUnderLoad(t *testing.T) {
	nodes := addresses(servers(t, 3))
	dir := t.TempDir()
	r := serveWith(t, setup{config: filepath.Join(dir, "proxy.yml"), threads: 2, top: "start: {require: all}\nshutdown: {drain_delay: 50ms, drain_timeout: 20s}\n"},
		pool{nodes: nodes, options: map[string]string{"reuseport": "true"}})
	l := load(t, r.addr(), verifiedOptions{clients: 16, depth: 8, mix: "sgmMdit", again: true})
	v := visitors(t, r.addr(), 8)
	running := r.Process
	for range size(30, 4) {
		next := r.startAnother(t)
		before, seen := l.answered.Load(), v.served.Load()
		stopsWell(t, running, 20*time.Second)
		redistest.WaitFor(t, "the load to go on", func() bool { return l.answered.Load() > before+500 && v.served.Load() > seen+100 || l.stop.Load() })
		running = next
	}
	all := l.finish()
	v.finish(t)
	if failed := failures(all); len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %s; the first: %v", len(failed), len(all), kinds(failed), failed[0])
	}
	t.Logf("%d requests were answered; clients had to connect again %d times; %d visitors noticed nothing", len(all), l.moved.Load(), v.served.Load())
	if l.moved.Load() == 0 {
		t.Error("nobody was let go: the test shows nothing")
	}
}

// visitor connects, asks for one thing and leaves.
type visitorLoad struct {
	stop   atomic.Bool
	served atomic.Int64
	wg     sync.WaitGroup
	wrong  chan error
}

func visitors(t *testing.T, addr string, n int) *visitorLoad {
	v := &visitorLoad{wrong: make(chan error, n)}
	for id := range n {
		v.wg.Go(func() {
			for i := 0; !v.stop.Load(); i++ {
				if err := visit(addr, fmt.Sprint("visitor:", id), fmt.Sprint(i)); err != nil {
					v.wrong <- fmt.Errorf("visitor %d, visit %d: %w", id, i, err)
					return
				}
				v.served.Add(1)
			}
		})
	}
	t.Cleanup(func() { v.stop.Store(true); v.wg.Wait() })
	return v
}

func visit(addr, key, value string) error {
	c, err := redistest.Connect(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.Send("SET", key, value)
	c.Send("GET", key)
	if err := c.TryFlush(); err != nil {
		return err
	}
	for _, want := range []string{"+OK\r\n", redistest.Bulk(value)} {
		if got, err := c.TryRecv(nil); err != nil || string(got) != want {
			return fmt.Errorf("got %q, %v", got, err)
		}
	}
	return nil
}

func (v *visitorLoad) finish(t *testing.T) {
	t.Helper()
	v.stop.Store(true)
	v.wg.Wait()
	close(v.wrong)
	for err := range v.wrong {
		t.Error(err)
	}
}

// The life of a process, seen by those who watch it.
func TestLifeCycle(t *testing.T) {
	node := redistest.Server(t)
	get := func(r *router, path string) string {
		resp, err := http.Get(r.admin + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(b)))
	}
	t.Run("ready, serving while it is about to stop, and ending when all is answered", func(t *testing.T) {
		r := serveWith(t, setup{top: "shutdown: {drain_delay: 1m}\n"}, pool{nodes: []string{node.Addr()}})
		c := redistest.Dial(t, r.addr())
		c.Do("SET", "a", "1")
		r.Signal(syscall.SIGTERM)
		redistest.WaitFor(t, "/readyz to say no", func() bool { return get(r, "/readyz") == "503 shutting down" })
		if got := get(r, "/livez"); got != "200 ok" {
			t.Errorf("/livez: %s", got)
		}
		late := redistest.Dial(t, r.addr())
		if got := late.Do("GET", "a") + c.Do("GET", "a"); got != "$1\r\n1\r\n$1\r\n1\r\n" {
			t.Errorf("while it waits: %q", got)
		}
		t.Run("a second signal ends it at once", func(t *testing.T) {
			r.Signal(syscall.SIGTERM)
			<-r.Exited()
			if code := r.ExitCode(); code != 1 || !strings.Contains(r.Output(), "ending at once") {
				t.Errorf("exit code %d:\n%s", code, r.Output())
			}
		})
	})
	t.Run("a transaction is let end, and a blocked client gets its reply", func(t *testing.T) {
		r := serveWith(t, setup{top: "shutdown: {drain_timeout: 1m}\n"}, pool{nodes: []string{node.Addr()}})
		idle, tx, blocked, direct := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr()), redistest.Dial(t, node.Addr())
		idle.Do("PING")
		tx.Do("MULTI")
		tx.Do("INCR", "counted")
		blocked.Send("BLPOP", "list", "0")
		blocked.Flush()
		redistest.WaitFor(t, "the client to block", func() bool { return strings.Contains(direct.Do("INFO", "clients"), "blocked_clients:1") })
		r.Signal(syscall.SIGTERM)
		idle.RecvEOF()
		if got := tx.Do("EXEC"); got != "*1\r\n:1\r\n" {
			t.Errorf("EXEC: %q", got)
		}
		tx.RecvEOF()
		direct.Do("RPUSH", "list", "x")
		if got := blocked.Recv(); got != "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n" {
			t.Errorf("BLPOP: %q", got)
		}
		blocked.RecvEOF()
		for _, c := range []*redistest.Conn{idle, tx, blocked} {
			c.Close()
		}
		<-r.Exited()
		if code := r.ExitCode(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, r.Output())
		}
	})
	t.Run("it ends within drain_timeout whatever happens", func(t *testing.T) {
		r := serveWith(t, setup{top: "shutdown: {drain_timeout: 200ms}\n"}, pool{nodes: []string{node.Addr()}})
		blocked, tx := redistest.Dial(t, r.addr()), redistest.Dial(t, r.addr())
		blocked.Send("BLPOP", "nothing", "0")
		blocked.Flush()
		tx.Do("MULTI")
		stop := time.Now()
		r.Signal(syscall.SIGTERM)
		<-r.Exited()
		if code := r.ExitCode(); code != 0 || !strings.Contains(r.Output(), "cut_off=2") {
			t.Errorf("exit code %d:\n%s", code, r.Output())
		}
		t.Logf("it took %v", time.Since(stop))
	})
	t.Run("not ready while none of its nodes is up", func(t *testing.T) {
		other := redistest.Server(t)
		r := serve(t, pool{name: "main", nodes: []string{other.Addr()}, options: map[string]string{"health_check": "{interval: 20ms, timeout: 1s, failures: 2, successes: 1}"}})
		other.Kill()
		redistest.WaitFor(t, "/readyz to say no", func() bool { return get(r, "/readyz") == "503 pool main: none of its 1 nodes is up" })
		other.Restart()
		redistest.WaitFor(t, "/readyz to say yes", func() bool { return get(r, "/readyz") == "200 ok" })
	})
}

// What start.require demands.
func TestStart(t *testing.T) {
	up, down := redistest.Server(t), fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	begin := func(top string, nodes ...string) *router {
		r := &router{threads: 1, admin: fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(t)), config: filepath.Join(t.TempDir(), "proxy.yml")}
		p := pool{name: "main", listen: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t)), nodes: nodes}
		r.addrs = []string{p.listen}
		if err := os.WriteFile(r.config, []byte(top+r.describe([]pool{p})), 0o600); err != nil {
			t.Fatal(err)
		}
		r.Process = redistest.Start(t, program, "--config", r.config)
		return r
	}
	fails := func(r *router, want string) {
		t.Helper()
		<-r.Exited()
		if code := r.ExitCode(); code != 1 || !strings.Contains(r.Output(), want) {
			t.Errorf("exit code %d, want %q in\n%s", code, want, r.Output())
		}
	}
	refused := `pool "main": 1 of 2 nodes do not answer: 'n1' (` + down + `): connection refused`
	fails(begin("start: {require: all, wait: 0}\n", up.Addr(), down), refused)
	fails(begin("start: {require: all, wait: 300ms}\n", up.Addr(), down), refused)
	fails(begin("start: {require: some, wait: 0}\n", down), `pool "main": 1 of 1 nodes do not answer: 'n0' (`+down+`): connection refused`)
	r := begin("start: {require: some, wait: 0}\n", up.Addr(), down)
	redistest.WaitFor(t, "it to be ready", r.ready)

	t.Run("waits for nodes, and refuses clients meanwhile", func(t *testing.T) {
		late := redistest.Server(t)
		late.Kill()
		r := begin("start: {require: all, wait: 5m}\n", up.Addr(), late.Addr())
		redistest.WaitFor(t, "it to wait", func() bool { return strings.Contains(r.Output(), "waiting for nodes") })
		if r.ready() {
			t.Error("it says it is ready")
		}
		if c, err := redistest.Connect(r.addr()); err == nil {
			c.Close()
			t.Error("it accepts clients")
		}
		late.Restart()
		redistest.WaitFor(t, "it to be ready", r.ready)
		redistest.Dial(t, r.addr()).Do("PING")
	})
	t.Run("can be told to stop while it waits", func(t *testing.T) {
		r := begin("start: {require: all, wait: 5m}\n", down)
		redistest.WaitFor(t, "it to wait", func() bool { return strings.Contains(r.Output(), "waiting for nodes") })
		r.Signal(syscall.SIGTERM)
		<-r.Exited()
		if code := r.ExitCode(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, r.Output())
		}
	})
	t.Run("says that an address is in use", func(t *testing.T) {
		taken := up.Addr()
		r := &router{threads: 1, admin: fmt.Sprintf("http://127.0.0.1:%d", redistest.FreePort(t)), config: filepath.Join(t.TempDir(), "proxy.yml")}
		if err := os.WriteFile(r.config, []byte(r.describe([]pool{{name: "main", listen: taken, nodes: []string{up.Addr()}}})), 0o600); err != nil {
			t.Fatal(err)
		}
		r.Process = redistest.Start(t, program, "--config", r.config)
		fails(r, "address already in use (is another ringway or redis running there? choose another `listen`)")
	})
}
