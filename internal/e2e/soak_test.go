//go:build linux

package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// A soak: every kind of client under faults of every kind that never end, and in the end the process holds no more than it did, and nobody was
// told anything wrong. SOAK says for how long, and SOAK_OUT into which folder the samples and their picture go: `make soak` sets both.
//
// What is checked of replies: a value is its key's own and not older than one that was acknowledged before it was asked for; a write that has
// failed may be carried out once, until a while later; what was acknowledged vanishes only with its server, as a whole. An error must
// come of a fault that is, or was a short while ago.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	s.startLoad()
	s.run()
	s.end()
}

const (
	stray   = 30 * time.Second   // a failed write may be carried out until then
	excuse  = redistest.Patience // for so long a fault explains errors
	timeout = time.Second
)

type soak struct {
	t         *testing.T
	length    time.Duration
	pace      time.Duration // between two faults
	nodes     []*redistest.Redis
	epochs    []atomic.Int64 // by node: odd while it is killed
	main      pool
	moving    pool
	r         *router
	running   *redistest.Process
	process   int
	began     time.Time
	samples   []sample
	happening []string // since the last sample

	owner     map[string]int
	verified  *verified
	stop      atomic.Bool
	clients   sync.WaitGroup
	problem   chan error
	replies   atomic.Int64
	failed    atomic.Int64
	slow      atomic.Int64 // of them, timeouts of a node that no fault has befallen
	handovers atomic.Int64 // odd while two processes serve

	mu      sync.Mutex
	excused map[string]time.Time // until when a fault is an excuse, by node, or "cut" for lost connections
}

func soakLength(t *testing.T) time.Duration {
	text := os.Getenv("SOAK")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 20*time.Second {
		t.Fatalf("SOAK=%q: want 20s or more, as 30m", text)
	}
	return d
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, length: soakLength(t), pace: 500 * time.Millisecond, nodes: servers(t, 4), problem: make(chan error, 100), excused: map[string]time.Time{}}
	if s.long() {
		s.pace = 2 * time.Second
	}
	s.epochs = make([]atomic.Int64, len(s.nodes))
	s.main = pool{name: "main", nodes: addresses(s.nodes), options: map[string]string{
		"timeout": timeout.String(), "connect_timeout": timeout.String(), "hot_keys": "near", "reuseport": "true",
	}}
	s.moving = pool{name: "moving", nodes: addresses(s.nodes), options: map[string]string{"timeout": timeout.String(), "connect_timeout": timeout.String(), "reuseport": "true"}}
	s.r = serveWith(t, setup{config: filepath.Join(t.TempDir(), "proxy.yml"), threads: 2, top: soakTop}, s.main, s.moving)
	s.main.listen, s.moving.listen = s.r.addrs[0], s.r.addrs[1]
	s.running = s.r.Process
	s.owner = owners(t, s.r.addr(), s.nodes, append(verifiedKeys(32), soakKeys()...))
	return s
}

const soakTop = "shutdown: {drain_delay: 50ms, drain_timeout: 20s}\n"

// long tells a soak from its short form in CI, which leaves the machine something.
func (s *soak) long() bool { return s.length >= time.Minute }

func (s *soak) wrong(text string, args ...any) {
	select {
	case s.problem <- fmt.Errorf("%v after the start: %w", time.Since(s.began).Round(time.Millisecond), fmt.Errorf(text, args...)):
	default: // a hundred are enough
	}
}

func (s *soak) excuse(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.excused[who] = time.Now().Add(excuse)
}

// mayFail looks whether an error, or the loss of a connection, comes of a fault.
func (s *soak) mayFail(what, failed string) {
	s.failed.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, until := range s.excused {
		if time.Now().Before(until) && (strings.Contains(failed, "'"+who+"'") || who == "cut" && strings.HasPrefix(failed, "-lost")) {
			return
		}
	}
	if strings.Contains(failed, "did not answer within") { // that a busy machine explains as well
		s.slow.Add(1)
		return
	}
	s.wrong("%s: an error that no fault explains: %q", what, failed)
}

// fault is a thing that is done to Ringway, its nodes or its clients. It returns what undoes it, nil if nothing.
type soakFault struct {
	name  string
	do    func(n int) (undo func())
	lasts time.Duration
}

// faults are done in turn, so that each quarter of the time has its share of all.
func (s *soak) faults() []soakFault {
	return []soakFault{
		{"reload", func(n int) func() { s.reload(n); return nil }, 0},
		{"kill", s.kill, s.pace / 2},
		{"scrape", func(int) func() { s.scrape(); return nil }, 0},
		{"stop", s.freeze, timeout * 3 / 2},
		{"cut", func(n int) func() { s.cut(n); return nil }, 0},
	}
}

func (s *soak) kill(n int) func() {
	i := n / 5 % len(s.nodes)
	s.excuse(fmt.Sprint("n", i))
	s.epochs[i].Add(1)
	s.nodes[i].Kill()
	s.epochs[i].Add(1)
	return func() {
		s.nodes[i].Restart()
		s.excuse(fmt.Sprint("n", i))
	}
}

func (s *soak) freeze(n int) func() {
	i := (n/5 + 2) % len(s.nodes)
	s.excuse(fmt.Sprint("n", i))
	s.nodes[i].Stop()
	return func() {
		s.nodes[i].Cont()
		s.excuse(fmt.Sprint("n", i))
	}
}

// cut ends half of the clients, or those that listen.
func (s *soak) cut(n int) {
	s.excuse("cut")
	defer s.excuse("cut")
	c := redistest.Dial(s.t, s.r.addr())
	defer c.Close()
	if n/5%2 == 0 {
		c.Do("CLIENT", "KILL", "TYPE", "pubsub")
		return
	}
	own := c.Do("CLIENT", "ID")
	for line := range strings.Lines(c.Do("CLIENT", "LIST", "TYPE", "normal")) {
		_, rest, _ := strings.Cut(line, "id=")
		id, _, _ := strings.Cut(rest, " ")
		if number, err := strconv.Atoi(id); err == nil && number/2%2 == n/10%2 && own != ":"+id+"\r\n" {
			c.Do("CLIENT", "KILL", "ID", id)
		}
	}
}

// reload has the process read another configuration. The nodes of the main pool stay, so that its keys do.
func (s *soak) reload(n int) {
	n /= 5
	main, moving := s.main, s.moving
	main.options = maps.Clone(main.options)
	main.options["timeout"] = []string{"1s", "1100ms"}[n%2]
	main.options["hot_keys"] = []string{"near", "auto", "collapse", "near", "off"}[n%5]
	moving.source = "    backends:\n"
	for i, a := range moving.nodes {
		if i != n%len(s.nodes) {
			moving.source += fmt.Sprintf("      - {name: n%d, address: %q, weight: %d}\n", i, a, 1+(n+i)%3)
		}
	}
	pools := []pool{main, moving}
	if n%3 > 0 {
		pools = append(pools, pool{name: fmt.Sprint("extra", n), listen: "127.0.0.1:0", source: moving.source})
	}
	text := fmt.Sprintf("# %d\n%s%s", n, soakTop, s.r.describe(pools))
	before := s.r.metric(s.t, "ringway_config_reloads_total")
	if err := os.WriteFile(s.r.config+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.r.config+".new", s.r.config); err != nil {
		s.t.Fatal(err)
	}
	s.running.Signal(syscall.SIGHUP)
	redistest.WaitFor(s.t, "the new configuration", func() bool { return s.r.metric(s.t, "ringway_config_reloads_total") > before })
}

func (s *soak) scrape() {
	for _, path := range []string{"/metrics", "/hotkeys", "/", "/api/v1/status", "/readyz"} {
		resp, err := http.Get(s.r.admin + path)
		if err != nil {
			s.t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// handOver has another process take over.
func (s *soak) handOver() {
	s.handovers.Add(1)
	s.excuse("cut")
	next := s.r.startAnother(s.t)
	s.running.Signal(syscall.SIGTERM)
	<-s.running.Exited()
	if code := s.running.ExitCode(); code != 0 {
		s.t.Errorf("exit code %d:\n%s", code, s.running.Output())
	}
	s.running, s.process = next, s.process+1
	s.excuse("cut")
	s.handovers.Add(1)
}

// run does what is done to them, and looks at the process meanwhile, until the time is over. In a long one another process takes over each
// sixth of the time up to the half, so that the last lives for half of it.
func (s *soak) run() {
	s.began = time.Now()
	var undo func()
	var due []soakFault
	nextFault, nextSample, nextTakeover, over := s.pace, time.Duration(0), s.length/6, time.Duration(0)
	between := min(time.Second, s.length/80)
	for n := 0; len(s.problem) == 0 && !s.verified.stop.Load(); {
		now := time.Since(s.began)
		if now >= s.length {
			break
		}
		switch {
		case now >= nextSample:
			s.sample(now)
			nextSample = now + between
		case undo != nil && now >= over:
			undo()
			undo = nil
		case s.long() && undo == nil && now >= nextTakeover && now <= s.length/2+s.pace:
			s.happening = append(s.happening, "takeover")
			s.handOver()
			nextTakeover += s.length / 6
		case undo == nil && now >= nextFault:
			if len(due) == 0 {
				due = s.faults()
			}
			s.happening = append(s.happening, due[0].name)
			undo, over = due[0].do(n), time.Since(s.began)+due[0].lasts
			nextFault = max(now+s.pace, over+s.pace/2)
			due = due[1:]
			n++
		default:
			time.Sleep(5 * time.Millisecond)
		}
	}
	if undo != nil {
		undo()
	}
}

func (s *soak) sample(now time.Duration) {
	pid := s.running.Pid()
	s.samples = append(s.samples, sample{
		at: now, process: s.process, rss: float64(rss(s.t, pid)), files: float64(openFiles(s.t, pid)), goroutines: s.r.metric(s.t, "go_goroutines"),
		answered: s.verified.answered.Load() + s.replies.Load(), what: strings.Join(s.happening, " "),
	})
	s.happening = s.happening[:0]
}

// end stops the clients and says what came of it.
func (s *soak) end() {
	s.stop.Store(true)
	s.verified.finish()
	s.clients.Wait()
	close(s.problem)
	shown := 0
	for err := range s.problem {
		if shown++; shown <= 5 {
			s.t.Error(err)
		}
	}
	all := s.verified.answered.Load() + s.replies.Load()
	words := fmt.Sprintf("%v, %d replies checked, %d errors of faults (%d of a slow machine), %d clients' connections lost", time.Since(s.began).Round(time.Second), all, s.failed.Load(), s.slow.Load(), s.verified.moved.Load())
	s.t.Logf("%s; %d acknowledged values gone with their servers, %d failed writes carried out late", words, s.verified.lost.Load(), s.verified.late.Load())
	if s.failed.Load() == 0 || s.verified.moved.Load() == 0 || s.verified.lost.Load() == 0 {
		s.t.Error("some faults were none")
	}
	if dir := os.Getenv("SOAK_OUT"); dir != "" {
		writeSoak(s.t, dir, s.samples, words)
	}
	judge(s.t, s.samples)
}

// soakKeys are those whose owners are asked for besides verifiedKeys: of one hash tag for each group of clients.
func soakKeys() (keys []string) {
	for i := range soakGroups {
		keys = append(keys, fmt.Sprintf("{h%d}", i), fmt.Sprintf("{q%d}", i))
	}
	return slices.Clip(keys)
}
