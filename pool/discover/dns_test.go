package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// zone is a name server in a map.
type zone struct {
	mu    sync.Mutex
	hosts map[string][]string
	asked int
}

func (z *zone) set(host string, addresses ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hosts[host] = addresses
}

func (z *zone) lookup(_ context.Context, host string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	addresses, ok := z.hosts[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	return addresses, nil
}

func (z *zone) looks() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked
}

func text(u Update) (lines []string) {
	for _, n := range u.Nodes {
		lines = append(lines, fmt.Sprintf("%s = %s x%d %v", n.Name, n.Address, n.Weight, n.Replicas))
	}
	return lines
}

func awaitText(f *follower, want ...string) {
	f.t.Helper()
	f.await(fmt.Sprintf("%q", want), func(u Update) bool { return slices.Equal(text(u), want) })
}

func TestDNS(t *testing.T) {
	t.Run("plain addresses are published once, as configured", func(t *testing.T) {
		opt, _ := options(t)
		source := NewDNS([]DNSBackend{
			{Name: "z", Address: "10.0.0.2:1", Weight: 3, Replicas: []Replica{{"b:1", "eu"}, {"a:1", ""}}},
			{Address: "unix:///tmp/a.sock"},
		}, new(zone).lookup, opt)
		f := follow(t, source)
		source.Nudge()
		awaitText(f, "z = 10.0.0.2:1 x3 [{a:1 } {b:1 eu}]", "unix:///tmp/a.sock = unix:///tmp/a.sock x1 []")
		f.stop()
		if n := f.count(); n != 1 {
			t.Errorf("%d updates", n)
		}
	})
	t.Run("each address of a name is a node", func(t *testing.T) {
		opt, _ := options(t)
		z := &zone{hosts: map[string][]string{"h": {"10.0.0.10", "10.0.0.9", "fd00::1"}, "g": {"fd00::2"}}}
		f := follow(t, NewDNS([]DNSBackend{
			{Name: "z", Address: "10.0.0.1:1"}, {Address: "dns://h:1", Weight: 2}, {Name: "g", Address: "dns://g:2"}, {Name: "a", Address: "10.0.0.2:1"},
		}, z.lookup, opt))
		awaitText(f,
			"z = 10.0.0.1:1 x1 []",
			"10.0.0.10:1 = 10.0.0.10:1 x2 []", "10.0.0.9:1 = 10.0.0.9:1 x2 []",
			"g-[fd00::2]:2 = [fd00::2]:2 x1 []",
			"a = 10.0.0.2:1 x1 []")
		z.set("h", "10.0.0.9", "10.0.0.3")
		z.set("g")
		awaitText(f,
			"z = 10.0.0.1:1 x1 []",
			"10.0.0.3:1 = 10.0.0.3:1 x2 []", "10.0.0.9:1 = 10.0.0.9:1 x2 []",
			"g-[fd00::2]:2 = [fd00::2]:2 x1 []",
			"a = 10.0.0.2:1 x1 []")
	})
	t.Run("a single node keeps its address as long as the name has it", func(t *testing.T) {
		opt, _ := options(t)
		z := &zone{hosts: map[string][]string{}}
		f := follow(t, NewDNS([]DNSBackend{
			{Name: "n", Address: "dns://h:1", Single: true, Replicas: []Replica{{"r:1", "eu"}}}, {Address: "dns://h:2", Single: true},
		}, z.lookup, opt))
		awaitText(f, "n =  x1 [{r:1 eu}]", "h:2 =  x1 []")
		z.set("h", "10.0.0.5", "10.0.0.4")
		awaitText(f, "n = 10.0.0.4:1 x1 [{r:1 eu}]", "h:2 = 10.0.0.4:2 x1 []")
		z.set("h", "10.0.0.3", "10.0.0.4")
		seen := z.looks()
		redistest.WaitFor(t, "two more looks", func() bool { return z.looks() > seen+1 })
		if got := f.last().Nodes[0].Address; got != "10.0.0.4:1" {
			t.Errorf("the node has moved to %s", got)
		}
		z.set("h", "10.0.0.3", "10.0.0.2")
		awaitText(f, "n = 10.0.0.2:1 x1 [{r:1 eu}]", "h:2 = 10.0.0.2:2 x1 []")
	})
	t.Run("what can't be looked up keeps its addresses, and that is logged once", func(t *testing.T) {
		for name, spoil := range map[string]func(*zone){
			"error":        func(z *zone) { z.mu.Lock(); delete(z.hosts, "h"); z.mu.Unlock() },
			"empty answer": func(z *zone) { z.set("h") },
			"no address":   func(z *zone) { z.set("h", "rubbish") },
		} {
			t.Run(name, func(t *testing.T) {
				opt, book := options(t)
				opt.Interval = 5 * time.Millisecond
				z := &zone{hosts: map[string][]string{"h": {"10.0.0.4"}}}
				f := follow(t, NewDNS([]DNSBackend{{Address: "dns://h:1"}}, z.lookup, opt))
				awaitText(f, "10.0.0.4:1 = 10.0.0.4:1 x1 []")
				spoil(z)
				seen := z.looks()
				redistest.WaitFor(t, "some looks", func() bool { return z.looks() > seen+5 })
				if n := book.count("name cannot be looked up"); n != 1 || f.count() != 1 {
					t.Errorf("logged %d times, %d updates", n, f.count())
				}
				z.set("h", "10.0.0.5")
				awaitText(f, "10.0.0.5:1 = 10.0.0.5:1 x1 []")
				if n := book.count("name can be looked up again"); n != 1 {
					t.Errorf("the end is logged %d times", n)
				}
			})
		}
	})
	t.Run("of two nodes with one name the first stays", func(t *testing.T) {
		opt, book := options(t)
		z := &zone{hosts: map[string][]string{"g": {"10.0.0.1"}, "h": {"10.0.0.1"}}}
		f := follow(t, NewDNS([]DNSBackend{{Address: "dns://g:1"}, {Address: "dns://h:1", Weight: 5}}, z.lookup, opt))
		awaitText(f, "10.0.0.1:1 = 10.0.0.1:1 x1 []")
		book.await(t, "two nodes with one name")
	})
	t.Run("a nudge is a look, and many are few", func(t *testing.T) {
		opt, _ := options(t)
		opt.Interval = time.Hour
		z := &zone{hosts: map[string][]string{"h": {"10.0.0.1"}}}
		source := NewDNS([]DNSBackend{{Address: "dns://h:1"}}, z.lookup, opt)
		f := follow(t, source)
		awaitText(f, "10.0.0.1:1 = 10.0.0.1:1 x1 []")
		z.set("h", "10.0.0.2")
		begin := time.Now()
		source.Nudge()
		awaitText(f, "10.0.0.2:1 = 10.0.0.2:1 x1 []")
		redistest.WaitFor(t, "five more looks", func() bool { source.Nudge(); return z.looks() >= 7 })
		if took := time.Since(begin); took < 5*gap {
			t.Errorf("six looks within %v", took)
		}
	})
	t.Run("the system's resolver knows localhost", func(t *testing.T) {
		opt, _ := options(t)
		f := follow(t, NewDNS([]DNSBackend{{Address: "dns://localhost:1"}}, nil, opt))
		awaitText(f, "127.0.0.1:1 = 127.0.0.1:1 x1 []")
	})
	t.Run("a name server that hangs holds nothing up when ctx ends", func(t *testing.T) {
		opt, _ := options(t)
		opt.Timeout = time.Hour
		called := make(chan struct{})
		f := follow(t, NewDNS([]DNSBackend{{Address: "dns://h:1"}}, func(ctx context.Context, _ string) ([]string, error) {
			close(called)
			<-ctx.Done()
			return nil, ctx.Err()
		}, opt))
		<-called
		f.stop()
		if f.count() != 0 {
			t.Error("an update after the end")
		}
	})
}
