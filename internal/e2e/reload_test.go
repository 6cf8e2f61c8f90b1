package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
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

// Fifty new configurations, told in every way there is, under load: no connection is dropped, no reply is missing, wrong or an error. A key may
// be found empty, since its node has changed.
func TestReloadsUnderLoad(t *testing.T) {
	nodes := addresses(servers(t, 4))
	dir := t.TempDir()
	config := filepath.Join(dir, "proxy.yml")
	main := pool{name: "main", nodes: nodes[:3]}
	r := serveWith(t, setup{threads: 2, config: config}, main)
	main.listen = r.addr()
	extra := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	change := func(n int) string {
		p := main
		p.nodes, p.source = nil, "    backends:\n"
		for i, a := range nodes {
			if i == 0 || rand.IntN(4) > 0 {
				p.source += fmt.Sprintf("      - {name: n%d, address: %q, weight: %d}\n", i, a, 1+rand.IntN(3))
			}
		}
		pools := []pool{p}
		if n%2 == 0 {
			pools = append(pools, pool{name: fmt.Sprint("extra", n), listen: extra, source: p.source})
		}
		return fmt.Sprintf("# %d\n", n) + r.describe(pools)
	}
	done := func() float64 { return r.metric(t, "ringway_config_reloads_total") }
	rename := func(text string) {
		t.Helper()
		if err := os.WriteFile(config+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(config+".new", config); err != nil {
			t.Fatal(err)
		}
	}
	ways := []func(text string){
		rename,
		func(text string) { rename(text); r.Signal(syscall.SIGHUP) },
		func(text string) {
			rename(text)
			resp, err := http.Post(r.admin+"/-/reload", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
				t.Errorf("POST /-/reload: %s %s", resp.Status, b)
			}
		},
	}
	l := loadForReloads(t, r.addr(), 32)
	count := size(50, 20)
	for n := range count {
		before, seen := done(), l.replies.Load()
		ways[n%len(ways)](change(n))
		redistest.WaitFor(t, "the new configuration", func() bool { return done() > before })
		redistest.WaitFor(t, "replies after it", func() bool { return l.replies.Load() > seen+32*150 || l.stop.Load() })
	}
	l.finish(t)
	t.Logf("%d replies checked over %d configurations", l.replies.Load(), count)

	t.Run("a broken file changes nothing", func(t *testing.T) {
		l := loadForReloads(t, r.addr(), 8)
		good, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		rename(string(good) + "nonsense: true\n")
		redistest.WaitFor(t, "the metric to say so", func() bool { return r.metric(t, "ringway_config_last_reload_successful") == 0 })
		if want := fmt.Sprintf("%s:%d:", config, strings.Count(string(good), "\n")+1); !strings.Contains(r.Output(), want) {
			t.Errorf("the log does not name %s", want)
		}
		resp, err := http.Post(r.admin+"/-/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK || !strings.Contains(string(b), "nonsense") {
			t.Errorf("POST /-/reload of a broken file: %s %q", resp.Status, b)
		}
		rename(string(good))
		redistest.WaitFor(t, "the metric to be 1 again", func() bool { return r.metric(t, "ringway_config_last_reload_successful") == 1 })
		l.finish(t)
	})
}

// Kubernetes mounts a ConfigMap as links to ..data, a link that it exchanges.
func TestReloadOfAConfigMap(t *testing.T) {
	nodes := addresses(servers(t, 2))
	dir := t.TempDir()
	config := filepath.Join(dir, "proxy.yml")
	put := func(version, text string) {
		t.Helper()
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.Mkdir(filepath.Join(dir, ".."+version), 0o755))
		must(os.WriteFile(filepath.Join(dir, ".."+version, "proxy.yml"), []byte(text), 0o600))
		must(os.Symlink(".."+version, filepath.Join(dir, "..tmp")))
		must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	put("0", "")
	if err := os.Symlink(filepath.Join("..data", "proxy.yml"), config); err != nil {
		t.Fatal(err)
	}
	main := pool{name: "main", nodes: nodes}
	r := serveWith(t, setup{config: config}, main)
	main.listen = r.addr()
	l := loadForReloads(t, r.addr(), 16)
	for n := range size(20, 5) {
		before := r.metric(t, "ringway_config_reloads_total")
		main.nodes = nodes[:1+n%2]
		put(fmt.Sprint(n+1), r.describe([]pool{main}))
		redistest.WaitFor(t, "the new configuration", func() bool { return r.metric(t, "ringway_config_reloads_total") > before })
	}
	l.finish(t)
}

// reloadLoad is a load of pipelines whose keys may change their nodes: a value is a key's own, or it is none.
type reloadLoad struct {
	stop    atomic.Bool
	replies atomic.Int64
	wg      sync.WaitGroup
	wrong   chan error
}

func loadForReloads(t *testing.T, addr string, clients int) *reloadLoad {
	return loadBy(t, func() (*redistest.Conn, error) { return redistest.Connect(addr) }, clients)
}

// loadBy is loadForReloads for clients that connect in some way.
func loadBy(t *testing.T, connect func() (*redistest.Conn, error), clients int) *reloadLoad {
	l := &reloadLoad{wrong: make(chan error, clients)}
	for id := range clients {
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			if err := l.run(connect, id); err != nil {
				l.wrong <- fmt.Errorf("client %d: %w", id, err)
				l.stop.Store(true)
			}
		}()
	}
	t.Cleanup(func() { l.stop.Store(true); l.wg.Wait() })
	return l
}

func (l *reloadLoad) run(connect func() (*redistest.Conn, error), id int) error {
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.Close()
	key := func(i int) string { return fmt.Sprintf("c%d:%d", id, i%50) }
	fits := func(reply, key string) bool { return reply == "$-1\r\n" || strings.Contains(reply, "\r\n"+key+"=") }
	for round := 0; !l.stop.Load(); round++ {
		for i := range 50 {
			c.Send("SET", key(i), fmt.Sprint(key(i), "=", round))
			c.Send("GET", key(i))
			c.Send("MGET", key(i), key(i+1))
		}
		if err := c.TryFlush(); err != nil {
			return err
		}
		for i := range 50 {
			var got [3]string
			for j := range got {
				b, err := c.TryRecv(nil)
				if err != nil {
					return err
				}
				got[j] = string(b)
			}
			elems, err := elementsOf(got[2])
			if got[0] != "+OK\r\n" || !fits(got[1], key(i)) || err != nil || len(elems) != 2 || !fits(elems[0], key(i)) || !fits(elems[1], key(i+1)) {
				return fmt.Errorf("%s: %q", key(i), got)
			}
			l.replies.Add(3)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func (l *reloadLoad) finish(t *testing.T) {
	t.Helper()
	l.stop.Store(true)
	l.wg.Wait()
	close(l.wrong)
	for err := range l.wrong {
		t.Error(err)
	}
}
