package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringway/internal/redistest"
)

// pacedShare is the part of what all nodes could take that clients send while it is measured how soon a storm is relieved: so much that
// one node can't take the storm, and all of them can.
const pacedShare = 0.6

// stormTime is how long a storm lasts, and the calm after it.
const stormTime = 1500 * time.Millisecond

// delay measures how soon a storm is noticed, and how soon the node that has its key is relieved.
func (b *bench) delay() error {
	fmt.Fprintln(b.out, "| nodes | mode | storm | noticed after ms, p50 | p99 | node relieved after ms, p50 | p99 |\n|---|---|---|---|---|---|---|")
	for _, n := range b.opt.nodes {
		for _, mode := range b.opt.modes {
			if mode != "copies" && mode != "auto" {
				continue
			}
			for _, share := range []float64{0.1, 0.3, 0.6} {
				noticed, relieved, err := b.storms(n, mode, share)
				if err != nil {
					return err
				}
				fmt.Fprintf(b.out, "| %d | %s | %.0f %% | %.0f | %.0f | %.0f | %.0f |\n", n, mode, share*100, quantile(noticed, 0.5), quantile(noticed, 0.99),
					quantile(relieved, 0.5), quantile(relieved, 0.99))
			}
		}
	}
	fmt.Fprintln(b.out)
	return nil
}

func quantile(list []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(list))
	return s[int(math.Ceil(q*float64(len(s))))-1]
}

// storms has one after the other, each on a key of its own. What it returns is in milliseconds.
func (b *bench) storms(n int, mode string, share float64) (noticed, relieved []float64, err error) {
	f, err := startCapped(n)
	if err != nil {
		return nil, nil, err
	}
	defer f.close()
	r, err := b.startRingway(mode, b.opt.threads, f.addrs())
	if err != nil {
		return nil, nil, err
	}
	defer r.Stop()
	watcher, err := redistest.Connect(r.addr)
	if err != nil {
		return nil, nil, err
	}
	defer watcher.Close()
	l, err := newLoad([]string{r.addr}, 64, 1024, workload{skew: 0.99}.popularity(), 0, []byte(value))
	if err != nil {
		return nil, nil, err
	}
	defer l.close()
	l.pace(pacedShare * rate * float64(n))
	if err := b.pause(b.opt.warm); err != nil {
		return nil, nil, err
	}
	for i := range b.opt.storms {
		name := stormName(0, i)
		began := time.Now()
		l.hot.Store(&hotKey{name: []byte(name), share: share})
		seen := make(chan seen, 1)
		go func() { seen <- notice(watcher, name, began) }()
		loads := sampleLoads(f, began, stormTime)
		l.hot.Store(nil)
		s := <-seen
		if s.err != nil {
			return nil, nil, s.err
		}
		at := relief(loads, s.node)
		b.say("%d nodes, %s, storm of %.0f %%: noticed after %.0f ms, relieved after %.0f ms", n, mode, share*100, s.after, at)
		noticed, relieved = append(noticed, s.after), append(relieved, at)
		if err := b.pause(stormTime); err != nil {
			return nil, nil, err
		}
	}
	if n := l.errors(); n > 0 {
		return nil, nil, fmt.Errorf("%d replies were errors", n)
	}
	return noticed, relieved, nil
}

type seen struct {
	after float64
	node  int
	err   error
}

// notice asks for HOTKEYS until a key is among those that are hot.
func notice(c *redistest.Conn, name string, began time.Time) seen {
	entry := redistest.Bulk("key") + redistest.Bulk(name)
	for time.Since(began) < 10*time.Second {
		reply, err := c.TryDo("HOTKEYS")
		if err != nil {
			return seen{err: err}
		}
		if _, of, ok := strings.Cut(reply, entry); ok && field(of, "tier") != "none" {
			node, err := strconv.Atoi(strings.TrimPrefix(field(of, "node"), "node-"))
			return seen{float64(time.Since(began)) / 1e6, node, err}
		}
		time.Sleep(time.Millisecond)
	}
	return seen{err: fmt.Errorf("%s was not hot after 10 s", name)}
}

// field returns the bulk string that follows a name in a reply.
func field(reply, name string) string {
	_, rest, _ := strings.Cut(reply, redistest.Bulk(name))
	_, rest, _ = strings.Cut(rest, "\r\n")
	text, _, _ := strings.Cut(rest, "\r\n")
	return text
}

// loadsAt is what nodes have been sent in all.
type loadsAt struct {
	after time.Duration
	sent  []uint64
}

const sampleEvery = 10 * time.Millisecond

func sampleLoads(f nodes, began time.Time, length time.Duration) (list []loadsAt) {
	for next := began; time.Since(began) < length; next = next.Add(sampleEvery) {
		time.Sleep(time.Until(next))
		sent, _ := f.counts()
		list = append(list, loadsAt{time.Since(began), sent})
	}
	return list
}

// relief is the end of the first 100 ms since the beginning of a storm in which a node was sent less than 1.2 times the mean, in milliseconds.
// It is infinite if there are none.
func relief(list []loadsAt, node int) float64 {
	const window = int(100 * time.Millisecond / sampleEvery)
	for i := window; i < len(list); i++ {
		mean := 0.0
		for k := range list[i].sent {
			mean += float64(list[i].sent[k]-list[i-window].sent[k]) / float64(len(list[i].sent))
		}
		if float64(list[i].sent[node]-list[i-window].sent[node]) < 1.2*mean {
			return float64(list[i].after) / 1e6
		}
	}
	return math.Inf(1)
}
