package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// watched is two masters with two replicas each, three sentinels, and Ringway in front.
type watched struct {
	t         *testing.T
	servers   map[string]*redistest.Redis // by address
	sentinels *redistest.Sentinels
	router    *router
	owner     map[string]int // the number of each key's master
}

func newWatched(t *testing.T, options map[string]string) *watched {
	t.Helper()
	w := &watched{t: t, servers: map[string]*redistest.Redis{}, owner: map[string]int{}}
	var masters []redistest.Monitored
	for i := range 2 {
		primary := redistest.Server(t)
		w.servers[primary.Addr()] = primary
		for range 2 {
			replica := redistest.Replica(t, primary)
			w.servers[replica.Addr()] = replica
		}
		masters = append(masters, redistest.Monitored{Name: fmt.Sprintf("m%d", i), Primary: primary})
	}
	w.sentinels = redistest.StartSentinels(t, 3, masters...)
	for _, node := range w.sentinels.Nodes { // a machine that is busy with other things is no reason to fail over
		for _, m := range masters {
			node.Do("SENTINEL", "SET", m.Name, "down-after-milliseconds", "1000")
		}
	}
	if options == nil {
		options = map[string]string{}
	}
	for k, v := range map[string]string{"timeout": "400ms", "connect_timeout": "300ms", "failover_wait": "10s"} {
		if options[k] == "" {
			options[k] = v
		}
	}
	w.router = serve(t, pool{
		options: options,
		source:  fmt.Sprintf("    sentinel:\n      addresses: [%s]\n      masters: [m0, m1]\n", strings.Join(w.sentinels.Addrs(), ", ")),
	})
	nodes := []*redistest.Redis{masters[0].Primary, masters[1].Primary}
	w.owner = owners(t, w.router.addr(), nodes, verifiedKeys(32))
	return w
}

// primary is the server that a master is now.
func (w *watched) primary(master int) *redistest.Redis {
	w.t.Helper()
	return w.servers[w.sentinels.Primary(fmt.Sprintf("m%d", master))]
}

// followed returns when the router has a primary at an address. One that is back before that, and empty, would be written to.
func (w *watched) followed(address string) {
	redistest.WaitFor(w.t, "the router to follow", func() bool { return strings.Contains(w.router.Output(), " to="+address+"\n") })
}

// Failovers under load of clients that check every reply. A request that was sent to the old primary and not answered fails, for it may
// have been carried out; all others wait for the new primary. What was acknowledged is lost only as far as the old primary had not passed it on.
func TestSentinelFailoverUnderLoad(t *testing.T) {
	w := newWatched(t, nil)
	name := func(m int) string { return fmt.Sprintf("m%d", m) }
	for round, f := range []struct {
		what string
		do   func(m int) // has master m fail over, and returns when it has
		lone bool        // one sentinel is dead meanwhile
	}{
		{what: "kill", do: func(m int) {
			old := w.primary(m)
			old.Kill()
			w.followed(w.sentinels.FailedOver(name(m), old.Addr()))
			old.Restart()
		}},
		{what: "SIGSTOP", do: func(m int) {
			old := w.primary(m)
			old.Stop()
			w.followed(w.sentinels.FailedOver(name(m), old.Addr()))
			old.Cont()
		}},
		{what: "SENTINEL FAILOVER", do: func(m int) { w.sentinels.Failover(name(m)) }},
		{what: "kill with a sentinel dead", lone: true, do: func(m int) {
			w.sentinels.Node(0).Kill()
			old := w.primary(m)
			old.Kill()
			w.followed(w.sentinels.FailedOver(name(m), old.Addr()))
			old.Restart()
			w.sentinels.Node(0).Restart()
		}},
	} {
		t.Run(f.what, func(t *testing.T) {
			m := round % 2
			v := load(t, w.router.addr(), verifiedOptions{mix: "sssMMdiiitegbw", lossy: true, mayLose: m, group: func(key string) int { return w.owner[key] }})
			v.letRun(size(3*time.Second, time.Second))
			began := v.now()
			f.do(m)
			told := v.now()
			v.letRun(size(5*time.Second, 2*time.Second))
			all := v.finish()
			failed := failures(all)
			unsent, byClient := 0, map[string][]happened{}
			for _, h := range failed {
				client, _, _ := strings.Cut(h.what[strings.IndexByte(h.what, 'c'):], ":")
				byClient[client] = append(byClient[client], h)
				switch {
				case !h.touches(m):
					t.Fatalf("a request for the other master failed: %v", h)
				case h.at < began:
					t.Fatalf("failed before the failover at %v: %v", began, h)
				case strings.Contains(h.failed, "did not answer within 400ms") && f.what == "SIGSTOP": // it was sent
				case strings.Contains(h.failed, "lost the connection") || strings.Contains(h.failed, "closed the connection"): // it was sent
				default:
					unsent++
					t.Errorf("it had not been sent: %v", h)
				}
			}
			on := only(all, func(h happened) bool { return h.touches(m) && h.failed == "" })
			longest := quantile(during(on, began, told+5*time.Second), 1)
			t.Logf("%d requests; %d clients of 32 saw an error, %d errors (%s); the sentinels were done after %v, the longest request took %v; %d acknowledged writes lost",
				len(all), len(byClient), len(failed), kinds(failed), (told - began).Round(time.Millisecond), longest.Round(time.Millisecond), v.lost.Load())
			for client, list := range byClient {
				if len(list) > 1 {
					t.Errorf("client %s saw %d errors, and only one request of it can have been in flight: %v", client, len(list), list)
				}
			}
			others := only(all, func(h happened) bool { return !h.touches(m) })
			within(t, "the other master", quantile(during(others, began, told), 0.99), quantile(during(others, 0, began), 0.99), 2)
		})
	}
	t.Run("two sentinels dead", func(t *testing.T) {
		w.sentinels.Node(0).Kill()
		w.sentinels.Node(1).Kill()
		v := load(t, w.router.addr(), verifiedOptions{mix: "ssgMdi", group: func(key string) int { return w.owner[key] }})
		v.letRun(size(5*time.Second, time.Second))
		if failed := failures(v.finish()); len(failed) > 0 {
			t.Errorf("%d errors: %s", len(failed), kinds(failed))
		}
		w.sentinels.Node(0).Restart()
		w.sentinels.Node(1).Restart()
	})
	t.Run("a primary that was demoted behind the sentinels' backs", func(t *testing.T) {
		old := w.primary(0)
		v := load(t, w.router.addr(), verifiedOptions{depth: 6, mix: "sssgggMdim", lossy: true, mayLose: 0, group: func(key string) int { return w.owner[key] }})
		v.letRun(500 * time.Millisecond)
		var other *redistest.Redis
		for _, s := range w.servers {
			if s != old && strings.Contains(s.Do("INFO", "replication"), fmt.Sprintf("master_port:%d\r\n", old.Port())) {
				other = s
			}
		}
		// It refuses writes until the sentinels see to it, and goes on to answer reads.
		old.Do("REPLICAOF", "127.0.0.1", fmt.Sprint(other.Port()))
		v.letRun(200 * time.Millisecond)
		w.sentinels.Failover("m0")
		v.letRun(2 * time.Second)
		all := v.finish()
		t.Logf("%d requests, errors: %s; longest %v, %d acknowledged writes lost", len(all), kinds(failures(all)), quantile(all, 1).Round(time.Millisecond), v.lost.Load())
		for _, h := range failures(all) {
			if !strings.Contains(h.failed, "lost the connection") && !strings.Contains(h.failed, "closed the connection") {
				t.Fatalf("%v", h)
			}
		}
	})
}
