package proxy

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// churned is a pool of pods as a StatefulSet has them: each is known by a name that stays, and is at whatever address DNS says.
type churned struct {
	srv   *Server
	dns   *names
	port  int
	next  int                // the last byte of the next pod's address
	pods  []*redistest.Redis // who serves under each name
	birth []atomic.Int64     // how often there was another
}

func podName(i int) string { return fmt.Sprintf("redis-%d.redis", i) }

func startPods(t *testing.T, n int) *churned {
	t.Helper()
	ch := &churned{dns: &names{hosts: map[string][]string{}}, port: redistest.FreePort(t), next: 2, pods: make([]*redistest.Redis, n), birth: make([]atomic.Int64, n)}
	cfg := config.Default()
	p := config.DefaultPool()
	p.Name, p.Listen, p.DNSInterval = "test", "127.0.0.1:0", 20*time.Millisecond
	for i := range n {
		p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprint("redis-", i), Address: fmt.Sprintf("dns://%s:%d", podName(i), ch.port), Single: true, Weight: 1})
		ch.create(t, i)
	}
	cfg.Pools = []config.Pool{p}
	srv, err := New(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv.lookup = ch.dns.lookup
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(0) })
	ch.srv = srv
	found(t, srv)
	return ch
}

// create has a new and empty server under a name, at an address that nobody had before.
func (ch *churned) create(t *testing.T, i int) {
	t.Helper()
	ch.pods[i] = redistest.Server(t)
	address := fmt.Sprintf("127.0.0.%d", ch.next)
	ch.next++
	forward(t, fmt.Sprintf("%s:%d", address, ch.port), ch.pods[i].Addr())
	ch.dns.set(podName(i), address)
}

// podClient is a client whose keys are its own, so that it knows what each may hold.
type podClient struct {
	id    int
	keys  []string
	owner []int // the pod of each
	acked []int // the version that was last acknowledged; 0: none
	tried []int // that was last written, acknowledged or not
	born  []int64

	failed   map[int]int // errors by pod
	lost     int         // values that went with their pod
	replies  *atomic.Int64
	answered []atomic.Int64 // writes by pod
}

// turn reads and writes all keys in one pipeline, and says what was wrong.
func (pc *podClient) turn(ch *churned, c *redistest.Conn) error {
	for i, k := range pc.keys {
		c.Send("GET", k)
		c.Send("SET", k, fmt.Sprint(k, "=", pc.tried[i]+1))
	}
	if err := c.TryFlush(); err != nil {
		return err
	}
	for i, k := range pc.keys {
		get, err := c.TryRecv(nil)
		if err != nil {
			return fmt.Errorf("GET %s: %w", k, err)
		}
		if err := pc.saw(i, string(get), ch.birth[pc.owner[i]].Load()); err != nil {
			return err
		}
		set, err := c.TryRecv(nil)
		if err != nil {
			return fmt.Errorf("SET %s: %w", k, err)
		}
		pod := pc.owner[i]
		pc.tried[i]++
		switch {
		case string(set) == "+OK\r\n":
			pc.acked[i] = pc.tried[i]
			pc.answered[pod].Add(1)
		case set[0] == '-':
			pc.failed[pod]++
		default:
			return fmt.Errorf("SET %s: %q", k, set)
		}
		pc.replies.Add(2)
	}
	return nil
}

// saw takes what was read of a key. The value may have gone only if its pod is another one since the last time that it was read.
func (pc *podClient) saw(i int, reply string, born int64) error {
	k := pc.keys[i]
	if reply[0] == '-' {
		pc.failed[pc.owner[i]]++
		return nil
	}
	other := born != pc.born[i]
	pc.born[i] = born
	if reply == "$-1\r\n" && (other || pc.acked[i] == 0) {
		if pc.acked[i] > 0 {
			pc.lost++
		}
		pc.acked[i] = 0
		return nil
	}
	_, body, _ := strings.Cut(reply, "\r\n")
	text, mine := strings.CutPrefix(body, k+"=")
	version, err := strconv.Atoi(strings.TrimSuffix(text, "\r\n"))
	if !mine || err != nil || version < pc.acked[i] || version > pc.tried[i] {
		return fmt.Errorf("GET %s: %q, after version %d of %d was acknowledged", k, reply, pc.acked[i], pc.tried[i])
	}
	return nil
}

// Pods are deleted under load, one after the other, and come back under the same name at another address, empty. What clients of the others ask is
// answered as if nothing were, no key moves, and who asks for a key of the one that is away gets an error until it is back.
func TestPodsThatChangeTheirAddress(t *testing.T) {
	const pods, clients = 3, 8
	ch := startPods(t, pods)
	first := client(t, ch.srv)
	redistest.WaitFor(t, "the loops to have the nodes", func() bool { return strings.HasPrefix(first.Do("DBSIZE"), ":") })

	var stop atomic.Bool
	var replies atomic.Int64
	var load sync.WaitGroup
	all := make([]*podClient, clients)
	for id := range all {
		pc := &podClient{id: id, failed: map[int]int{}, replies: &replies, answered: make([]atomic.Int64, pods)}
		for pod := range pods {
			for n := range 5 {
				pc.keys = append(pc.keys, keyOf(t, ch.srv, pod, fmt.Sprintf("c%d:%d:", id, n)))
				pc.owner = append(pc.owner, pod)
			}
		}
		pc.acked, pc.tried, pc.born = make([]int, len(pc.keys)), make([]int, len(pc.keys)), make([]int64, len(pc.keys))
		all[id] = pc
		c := client(t, ch.srv)
		load.Go(func() {
			for !stop.Load() {
				if err := pc.turn(ch, c); err != nil {
					t.Errorf("client %d: %v", pc.id, err)
					return
				}
			}
		})
	}
	defer func() { stop.Store(true); load.Wait() }()
	written := func(pod int) (sum int64) {
		for _, pc := range all {
			sum += pc.answered[pod].Load()
		}
		return sum
	}
	churn := func(pod int) {
		t.Helper()
		before := written((pod + 1) % pods)
		ch.pods[pod].Kill()
		redistest.WaitFor(t, "the others to be written to meanwhile", func() bool { return written((pod+1)%pods) > before+200 || t.Failed() })
		ch.birth[pod].Add(1) // before it can be read
		ch.create(t, pod)
		seen := written(pod)
		redistest.WaitFor(t, "its keys to be written to at its new address", func() bool { return written(pod) > seen+200 || t.Failed() })
	}
	for _, pc := range all {
		redistest.WaitFor(t, "each client to have something to lose", func() bool { return pc.answered[pods-1].Load() > 5 || t.Failed() })
	}
	for range 3 {
		for _, pod := range []int{0, 2} { // and never 1
			churn(pod)
		}
	}
	stop.Store(true)
	load.Wait()

	failed, lost := 0, 0
	for _, pc := range all {
		if n := pc.failed[1]; n > 0 {
			t.Errorf("client %d: %d requests failed for a pod that was there all the time", pc.id, n)
		}
		failed, lost = failed+pc.failed[0]+pc.failed[2], lost+pc.lost
		for i, k := range pc.keys {
			for pod, r := range ch.pods {
				if got := r.Do("EXISTS", k); got != fmt.Sprintf(":%d\r\n", btoi(pod == pc.owner[i])) {
					t.Errorf("key %s of pod %d at pod %d: EXISTS says %q", k, pc.owner[i], pod, got)
				}
			}
		}
	}
	t.Logf("%d replies checked; %d were errors while a pod was away; %d values went with their pods", replies.Load(), failed, lost)
	balanced(t, ch.srv)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
