package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// ringwayProcess is a Ringway in a process of its own, with hurried times, that can be killed and frozen. It is this test's own program.
type ringwayProcess struct {
	cmd  *exec.Cmd
	addr string
	file string
}

const processEnv = "RINGWAY_WARM_PROCESS" // file, address, window and the nodes

func startProcess(t testing.TB, nodes []string, n int, window time.Duration) *ringwayProcess {
	t.Helper()
	p := &ringwayProcess{file: filepath.Join(t.TempDir(), "nodes"), addr: fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))}
	p.cmd = exec.Command(os.Args[0], "-test.run=^TestRingwayProcess$")
	p.cmd.Env = append(os.Environ(), processEnv+"="+strings.Join(append([]string{p.file, p.addr, window.String()}, nodes...), " "))
	if os.Getenv("RINGWAY_LOG") != "" {
		p.cmd.Stderr = os.Stderr
	}
	in, err := p.cmd.StdinPipe() // it ends with this process
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(p.file, []byte(strconv.Itoa(n)), 0o600)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	redistest.WaitFor(t, "the other process", func() bool {
		c, err := redistest.Connect(p.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return p
}

func (p *ringwayProcess) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// scale has it read its file again.
func (p *ringwayProcess) scale(n int) {
	os.WriteFile(p.file, []byte(strconv.Itoa(n)), 0o600)
	p.signal(syscall.SIGHUP)
}

// mode is what its record says on a node.
func (p *ringwayProcess) mode(addr string) (m mode) {
	c, err := redistest.Connect(addr)
	if err != nil {
		return m
	}
	defer c.Close()
	reply, err := c.TryDo("HGETALL", registryKey("test"))
	if err != nil {
		return m
	}
	list := elements([]byte(reply))
	for i := 0; i+1 < len(list); i += 2 {
		if strings.Contains(string(text(list[i])), fmt.Sprintf("-%d-", p.cmd.Process.Pid)) {
			var rec record
			json.Unmarshal(text(list[i+1]), &rec)
			return rec.Mode
		}
	}
	return m
}

// TestRingwayProcess is the other process; as a test of its own it has nothing to do.
func TestRingwayProcess(t *testing.T) {
	args := strings.Fields(os.Getenv(processEnv))
	if len(args) == 0 {
		return
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	window, _ := time.ParseDuration(args[2])
	configure := func() *config.Config {
		b, _ := os.ReadFile(args[0])
		n, _ := strconv.Atoi(string(b))
		cfg := config.Default()
		cfg.Threads = 1
		p := config.DefaultPool()
		p.Name, p.Listen, p.Timeout = "test", args[1], 5*time.Second
		p.Migration = config.Migration{Mode: "warm", Window: window}
		for i, a := range args[3:][:n] {
			p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprint("n", i), Address: a, Weight: 1})
		}
		cfg.Pools = []config.Pool{p}
		return &cfg
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	srv, err := New(configure(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	for range hup {
		if err := srv.Reload(configure()); err != nil {
			t.Error(err)
		}
	}
}

// One of two Ringways is frozen, or killed, in each mode of a change, under load on both. The other goes on without it; the frozen one
// acknowledges nothing of what it had in flight, and takes part again. No history breaks.
func TestARingwayFreezesOrDies(t *testing.T) {
	for _, how := range []string{"frozen", "killed"} {
		for _, in := range []warmKind{warmPlain, warmHold, warmWarm, warmDrain} {
			if os.Getenv("RINGWAY_FULL") == "" && (how == "frozen") != (in >= warmWarm) {
				continue // half of them; those take half a minute
			}
			t.Run(how+" in "+in.String(), func(t *testing.T) {
				addresses := nodes(t, 4)
				const window = 3 * time.Second
				a := serve(t, windowOf(window, 0), addresses[:3]...)
				p := startProcess(t, addresses, 3, window)
				inMode(t, warmPlain, a)
				redistest.WaitFor(t, "the process to serve", func() bool { return p.mode(addresses[0]).kind == warmPlain })
				ck := newChecker(t, 5000)
				ck.fill(a.Addr(0))
				ck.mayFail.Store(true)
				ck.gets.Store(&[]string{addresses[3]})
				ck.run(8, a.Addr(0), p.addr)
				defer ck.wg.Wait()
				defer ck.stop.Store(true)
				p.scale(4)
				if in == warmDrain { // it drains, while the other is warm still
					reloadWith(t, a, onPool(func(p *config.Pool) { p.Migration.Window = time.Hour }))
				}
				if in != warmPlain {
					scale(t, addresses, a)
				}
				var at mode
				deadline := time.Now().Add(redistest.Patience)
				for at = p.mode(addresses[0]); at.kind < in; at = p.mode(addresses[0]) {
					if time.Now().After(deadline) {
						t.Fatalf("it is in mode %s", at)
					}
				}
				if how == "frozen" {
					p.signal(syscall.SIGSTOP)
				} else {
					p.cmd.Process.Kill()
				}
				at = p.mode(addresses[0])
				began := time.Now()
				if in == warmPlain {
					scale(t, addresses, a)
				}
				if in == warmDrain {
					redistest.WaitFor(t, "the dead one to be forgotten", func() bool { return a.Stats(0)[0].Migration.Members == 1 })
					reloadWith(t, a, onPool(func(p *config.Pool) { p.Migration.Window = window }))
				}
				onRing(t, 4, a)
				t.Logf("stopped in %s; the other had finished %v later", at, time.Since(began).Round(time.Millisecond))
				if how == "frozen" {
					p.signal(syscall.SIGCONT)
					last := ""
					t.Cleanup(func() {
						if t.Failed() {
							t.Logf("the frozen one said last: %s", last)
						}
					})
					redistest.WaitFor(t, "the frozen one to serve again", func() bool {
						c, err := redistest.Connect(p.addr)
						if err != nil {
							return false
						}
						defer c.Close()
						reply, err := c.TryDo("SET", "after", "it")
						last = fmt.Sprintf("%q, %v, in mode %s", reply, err, p.mode(addresses[0]))
						return err == nil && reply == "+OK\r\n"
					})
					if m := p.mode(addresses[0]); m.kind != warmPlain || m.y != a.open()[0].director.warm.mode.y {
						t.Errorf("it is in mode %s", m)
					}
				}
				before := ck.ops.Load()
				redistest.WaitFor(t, "some more load", func() bool { return ck.ops.Load() > before+2000 })
				ck.end(a)
			})
		}
	}
}

// A node that gives keys dies in the window: what it had is missed, writes of its keys fail, all else goes on. It is back, empty, and the
// change comes to its end.
func TestANodeDiesInTheWindow(t *testing.T) {
	for _, which := range []string{"gives", "gets"} {
		t.Run("one that "+which+" keys", func(t *testing.T) {
			var servers []*redistest.Redis
			var addresses []string
			for range 4 {
				s := redistest.Server(t)
				servers, addresses = append(servers, s), append(addresses, s.Addr())
			}
			a, b := serve(t, windowOf(3*time.Second, 0), addresses[:3]...), serve(t, windowOf(3*time.Second, 0), addresses[:3]...)
			inMode(t, warmPlain, a, b)
			ck := newChecker(t, 5000)
			ck.fill(a.Addr(0))
			ck.run(8, a.Addr(0), b.Addr(0))
			scale(t, addresses, a, b)
			inMode(t, warmWarm, a, b)
			ck.mayFail.Store(true)
			victim := servers[0]
			if which == "gets" {
				victim = servers[3]
			}
			victim.Kill()
			before := ck.ops.Load()
			redistest.WaitFor(t, "load without the node", func() bool { return ck.ops.Load() > before+2000 })
			victim.Restart()
			onRing(t, 4, a, b)
			before = ck.ops.Load()
			redistest.WaitFor(t, "some more load", func() bool { return ck.ops.Load() > before+2000 })
			ck.end(a, b)
		})
	}
}

// FLUSHALL in the window, again and again: what was acknowledged before one is never found behind it.
func TestFlushInTheWindow(t *testing.T) {
	addresses := nodes(t, 4)
	a, b := serve(t, windowOf(time.Hour, 0), addresses[:3]...), serve(t, windowOf(time.Hour, 0), addresses[:3]...)
	inMode(t, warmPlain, a, b)
	c, other := client(t, a), client(t, b)
	for i := range 3000 {
		c.Do("SET", fmt.Sprint("key", i), "old")
	}
	scale(t, addresses, a, b)
	inMode(t, warmWarm, a, b)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() { // reads that move keys, on both
		defer close(done)
		x, _ := redistest.Connect(a.Addr(0))
		y, _ := redistest.Connect(b.Addr(0))
		defer x.Close()
		defer y.Close()
		for i := 0; !stop.Load(); i++ {
			x.TryDo("GET", fmt.Sprint("key", i%3000))
			y.TryDo("INCR", fmt.Sprint("n", i%3000))
		}
	}()
	redistest.WaitFor(t, "some moves", func() bool { return b.Stats(0)[0].Moves[0]+a.Stats(0)[0].Moves[0] > 20 })
	want(t, "FLUSHALL", other.Do("FLUSHALL"), "+OK\r\n")
	for i := range 3000 {
		want(t, "GET behind it", c.Do("GET", fmt.Sprint("key", i)), "$-1\r\n")
	}
	stop.Store(true)
	<-done
	balanced(t, a)
	balanced(t, b)
}

// A request that is in flight to a node that gives keys delays the hold: nothing of before is acknowledged in the window.
func TestHoldWaitsForWhatIsInFlight(t *testing.T) {
	var servers []*redistest.Redis
	var addresses []string
	for range 2 {
		s := redistest.Server(t)
		servers, addresses = append(servers, s), append(addresses, s.Addr())
	}
	srv := serve(t, windowOf(time.Hour, 0), addresses[:1]...)
	inMode(t, warmPlain, srv)
	d := srv.open()[0].director
	c := client(t, srv)
	servers[0].Stop()
	c.Send("SET", "key", "v")
	c.Flush()
	redistest.WaitFor(t, "the request", func() bool { return srv.Stats(0)[0].Nodes[0].Depth == 1 })
	y, z := d.warm.y, *d.warm.y
	z.Nodes = append(z.Nodes[:1:1], specNode{"n1", addresses[1], 1})
	m := mode{warmHold, y.digest(), z.digest()}
	if d.holdStill(m, y, &z, 50*time.Millisecond) {
		t.Error("it holds with a request in flight")
	}
	servers[0].Cont()
	want(t, "SET", c.Recv(), "+OK\r\n")
	if !d.holdStill(m, y, &z, redistest.Patience) {
		t.Error("it does not hold with nothing in flight")
	}
	d.serve(mode{kind: warmPlain, y: y.digest()}, y, nil)
	want(t, "GET", c.Do("GET", "key"), redistest.Bulk("v"))
}
