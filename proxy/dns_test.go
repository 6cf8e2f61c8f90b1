package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// names is a resolver whose answers a test decides.
type names struct {
	mu    sync.Mutex
	hosts map[string][]string // nil: it does not answer
}

func (n *names) set(host string, addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[host] = addresses
}

func (n *names) lookup(_ context.Context, host string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.hosts[host]; a != nil {
		return slices.Clone(a), nil
	}
	return nil, errors.New("no answer")
}

// inDNS serves a pool of one name in front of real servers, each at an address of its own, 127.0.0.2 and so on, on one port.
func inDNS(t *testing.T, servers int, change func(*config.Pool)) (*Server, *names) {
	t.Helper()
	port := redistest.FreePort(t)
	for i := range servers {
		forward(t, fmt.Sprintf("127.0.0.%d:%d", i+2, port), redistest.Server(t).Addr())
	}
	n := &names{hosts: map[string][]string{}}
	cfg := config.Default()
	p := config.DefaultPool()
	p.Name, p.Listen, p.DNSInterval = "test", "127.0.0.1:0", 20*time.Millisecond
	p.Backends = []config.Backend{{Name: "cache", Address: fmt.Sprintf("dns://cache.test:%d", port), Weight: 1}}
	change(&p)
	cfg.Pools = []config.Pool{p}
	srv, err := New(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv.lookup = n.lookup
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(0) })
	return srv, n
}

// forward passes connections on.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
}

// Addresses of a name come and go under load: no request in flight is lost, and none fails. A key may be found empty, since its node has changed.
func TestDNSUnderLoad(t *testing.T) {
	for name, single := range map[string]bool{"a node each": false, "one node": true} {
		t.Run(name, func(t *testing.T) {
			srv, dns := inDNS(t, 4, func(p *config.Pool) { p.Backends[0].Single = single })
			first := client(t, srv)
			want(t, "SET before the name was known", first.Do("SET", "early", "x"), "-ERR node 'cache' is down: nobody knows its address yet\r\n")
			if srv.Ready() == nil {
				t.Error("the pool is said to be ready")
			}
			dns.set("cache.test", "127.0.0.2", "127.0.0.3")
			found(t, srv)
			redistest.WaitFor(t, "the loop to have the nodes", func() bool { return first.Do("SET", "early", "x") == "+OK\r\n" })

			var stop atomic.Bool
			var replies atomic.Int64
			var load sync.WaitGroup
			for id := range 16 {
				c := client(t, srv)
				load.Add(1)
				go func() {
					defer load.Done()
					for round := 0; !stop.Load(); round++ {
						for i := range 20 {
							k := fmt.Sprintf("c%d:%d", id, i)
							c.Send("SET", k, fmt.Sprint(k, "=", round))
							c.Send("GET", k)
						}
						c.Flush()
						for i := range 20 {
							k := fmt.Sprintf("c%d:%d", id, i)
							if got := c.Recv(); got != "+OK\r\n" {
								t.Errorf("SET: %q", got)
								return
							}
							if got := c.Recv(); got != "$-1\r\n" && !strings.Contains(got, "\r\n"+k+"=") {
								t.Errorf("GET %s: %q", k, got)
								return
							}
							replies.Add(2)
						}
					}
				}()
			}
			for _, addresses := range [][]string{{"127.0.0.4"}, {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"}, {"127.0.0.5"}, nil, {"127.0.0.2", "127.0.0.5"}} {
				seen := replies.Load()
				dns.set("cache.test", addresses...)
				redistest.WaitFor(t, "the nodes to follow", func() bool {
					var now []string
					onLoop(t, srv, func(w *worker) {
						for _, i := range w.pools[0].topo.order {
							host, _ := splitAddress(w.pools[0].topo.nodes[i].Address())
							now = append(now, host)
						}
					})
					slices.Sort(now)
					return addresses == nil || slices.Equal(now, addresses) || single && len(now) == 1 && slices.Contains(addresses, now[0])
				})
				redistest.WaitFor(t, "replies after it", func() bool { return replies.Load() > seen+16*80 || t.Failed() })
			}
			stop.Store(true)
			load.Wait()
			t.Logf("%d replies checked", replies.Load())
			balanced(t, srv)
		})
	}
}
