package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringway/internal/metrics"
)

// source is one pool of one node, with one client.
type source struct{}

func (source) LoopStats() []metrics.Loop                   { return []metrics.Loop{{Turns: 7}} }
func (source) Memory() metrics.Memory                      { return metrics.Memory{} }
func (source) Certificates() ([]metrics.Certificate, bool) { return nil, true }
func (source) Reloads() metrics.Reloads                    { return metrics.Reloads{} }
func (source) Pools() []metrics.PoolShards {
	p := metrics.NewPool(1)
	p.Clients = 1
	return []metrics.PoolShards{{Name: "cache", Nodes: []string{"redis-0"}, Shards: []metrics.Pool{p}}}
}
func registryOf(s metrics.Source) *prometheus.Registry { return metrics.NewRegistry(s, "1.2.3") }

// start serves opt on a free port until the test ends.
func start(t *testing.T, opt Options) *Server {
	t.Helper()
	opt.Listen = "127.0.0.1:0"
	opt.Log = slog.New(slog.DiscardHandler)
	s := New(opt)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s
}

func get(t *testing.T, s *Server, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return do(t, s, http.MethodGet, path, header...)
}

func do(t *testing.T, s *Server, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestMetricsAreServedInBothFormats(t *testing.T) {
	s := start(t, Options{Registry: registryOf(source{})})
	for accept, end := range map[string]string{
		"text/plain": "\n",
		"application/openmetrics-text; version=1.0.0": "# EOF\n",
	} {
		res, body := get(t, s, "/metrics", "Accept", accept)
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), accept) {
			t.Errorf("%s: %s, %s", accept, res.Status, res.Header.Get("Content-Type"))
		}
		for _, want := range []string{
			"\nringway_clients{pool=\"cache\"} 1",
			"\nringway_node_up{node=\"redis-0\",pool=\"cache\"} 0",
			"\nringway_loop_turns_total{loop=\"0\"} 7",
			"\nringway_request_duration_seconds_bucket{pool=\"cache\",le=\"+Inf\"} 0",
			"\ngo_goroutines ",
			"\nprocess_start_time_seconds ",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q", accept, want[1:])
			}
		}
		if !strings.HasSuffix(body, end) {
			t.Errorf("%s: it ends in %q", accept, body[len(body)-20:])
		}
	}
}

func TestProbesSayOkOrWhy(t *testing.T) {
	var mu sync.Mutex
	var ill error
	check := func() error { mu.Lock(); defer mu.Unlock(); return ill }
	s := start(t, Options{Live: check, Ready: check})
	for _, reason := range []string{"", "shutting down", "event loop 3 does not turn", ""} {
		mu.Lock()
		if ill = nil; reason != "" {
			ill = errors.New(reason)
		}
		mu.Unlock()
		status, text := http.StatusOK, "ok\n"
		if reason != "" {
			status, text = http.StatusServiceUnavailable, reason+"\n"
		}
		for _, path := range []string{"/livez", "/readyz"} {
			res, body := get(t, s, path)
			if res.StatusCode != status || body != text {
				t.Errorf("%s: %s, %q; want %d, %q", path, res.Status, body, status, text)
			}
			if res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s may be cached", path)
			}
			if res, _ := do(t, s, http.MethodHead, path); res.StatusCode != status {
				t.Errorf("HEAD %s: %s", path, res.Status)
			}
		}
	}
}

func TestLiveAndReadyAreAskedApart(t *testing.T) {
	s := start(t, Options{Ready: func() error { return errors.New("shutting down") }})
	if res, _ := get(t, s, "/livez"); res.StatusCode != http.StatusOK {
		t.Errorf("/livez: %s", res.Status)
	}
	if res, _ := get(t, s, "/readyz"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %s", res.Status)
	}
}

func TestEveryLinkOfTheIndexLeadsSomewhere(t *testing.T) {
	for _, pprof := range []bool{false, true} {
		s := start(t, Options{Registry: registryOf(source{}), Pprof: pprof})
		res, body := get(t, s, "/")
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s, %s", res.Status, res.Header.Get("Content-Type"))
		}
		links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(body, -1)
		if want := map[bool]int{false: 3, true: 4}[pprof]; len(links) != want {
			t.Errorf("%d links, want %d", len(links), want)
		}
		for _, link := range links {
			if res, _ := get(t, s, link[1]); res.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", link[1], res.Status)
			}
		}
	}
}

func TestHotKeysAreShownAsJSON(t *testing.T) {
	type key struct {
		Key   string  `json:"key"`
		Share float64 `json:"share"`
	}
	s := start(t, Options{HotKeys: func() any { return []key{{"user:1\xff", 0.5}} }})
	res, body := get(t, s, "/hotkeys")
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %s", res.Status, res.Header.Get("Content-Type"))
	}
	var got struct {
		Pools []key `json:"pools"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || len(got.Pools) != 1 || got.Pools[0] != (key{"user:1\ufffd", 0.5}) {
		t.Errorf("%s: %v", body, err)
	}
	if res, body := get(t, s, "/"); res.StatusCode != http.StatusOK || !strings.Contains(body, `href="/hotkeys"`) {
		t.Errorf("the index does not lead there: %s", body)
	}
	if res, _ := get(t, start(t, Options{}), "/hotkeys"); res.StatusCode != http.StatusNotFound {
		t.Errorf("where there is nothing to show: %s", res.Status)
	}
}

func TestOtherPathsAndMethodsAreRefused(t *testing.T) {
	s := start(t, Options{Registry: registryOf(source{})})
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing", 404},
		{"GET", "/metrics/", 404},
		{"GET", "/debug/pprof/", 404},
		{"GET", "/debug/pprof/cmdline", 404},
		{"POST", "/", 405},
		{"POST", "/readyz", 405},
		{"DELETE", "/metrics", 405},
	} {
		if res, _ := do(t, s, c.method, c.path); res.StatusCode != c.want {
			t.Errorf("%s %s: %s, want %d", c.method, c.path, res.Status, c.want)
		}
	}
}

func TestPprofIsServedOnlyWhenAskedFor(t *testing.T) {
	s := start(t, Options{Pprof: true})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"} {
		if res, _ := get(t, s, path); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for listen, want := range map[string]string{
		taken.Addr().String(): `address already in use (is another ringway running? Choose another port with admin: {listen: ...}, or off)`,
		"192.0.2.1:9121":      `cannot assign requested address (this machine does not have that address; choose one it has with admin: {listen: ...}, or :PORT for all)`,
		"127.0.0.1:ninety":    `(set admin: {listen: ...} to an address and port of this machine, or to off)`,
	} {
		s := New(Options{Listen: listen})
		err := s.Start()
		if err == nil || !strings.HasPrefix(err.Error(), "cannot listen on admin address "+listen+": ") || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", listen, err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("%s: shutting down what does not run: %v", listen, err)
		}
	}
}

func TestShutdownClosesThePort(t *testing.T) {
	s := start(t, Options{})
	get(t, s, "/livez")
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("it still accepts")
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestShutdownWaitsForAnswersOnlyAsLongAsItMay(t *testing.T) {
	asked, answer := make(chan bool), make(chan bool)
	s := start(t, Options{Live: func() error { asked <- true; <-answer; return nil }})
	gone := make(chan error)
	go func() {
		res, err := http.Get("http://" + s.Addr() + "/livez")
		if err == nil {
			res.Body.Close()
		}
		gone <- err
	}()
	<-asked
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown says %v", err)
	}
	if err := <-gone; err == nil {
		t.Error("the request was answered")
	}
	close(answer)
}

// stuck is a source whose loops don't answer until they are let go.
type stuck struct {
	source
	asked, free chan bool
}

func (s stuck) Pools() []metrics.PoolShards {
	s.asked <- true
	<-s.free
	return s.source.Pools()
}

func TestScrapesDontPileUpBehindAStuckLoop(t *testing.T) {
	src := stuck{asked: make(chan bool), free: make(chan bool)}
	s := start(t, Options{Registry: registryOf(src)})
	var done sync.WaitGroup
	for range scrapes {
		done.Go(func() {
			res, err := http.Get("http://" + s.Addr() + "/metrics")
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("a scrape that waited: %s", res.Status)
			}
		})
		<-src.asked
	}
	if res, _ := get(t, s, "/metrics"); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one scrape too many: %s", res.Status)
	}
	if res, _ := get(t, s, "/readyz"); res.StatusCode != http.StatusOK {
		t.Errorf("meanwhile /readyz: %s", res.Status)
	}
	close(src.free)
	done.Wait()
}
