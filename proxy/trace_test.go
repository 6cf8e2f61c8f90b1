package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// traces is a collector.
type traces struct {
	mu    sync.Mutex
	spans []span1
}

// span1 is what a test wants to know of a span.
type span1 struct {
	name, parent, trace, node, key string
	took                           int64
}

func (c *traces) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	var got collector.ExportTraceServiceRequest
	if proto.Unmarshal(b, &got) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range got.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				x := span1{name: s.Name, parent: string(s.ParentSpanId), trace: string(s.TraceId), took: int64(s.EndTimeUnixNano - s.StartTimeUnixNano)}
				for _, a := range s.Attributes {
					switch a.Key {
					case "ringway.node":
						x.node = a.Value.GetStringValue()
					case "ringway.key":
						x.key = a.Value.GetStringValue()
					}
				}
				c.spans = append(c.spans, x)
			}
		}
	}
}

// traced serves with a collector, and returns what it was sent when the server has ended.
func traced(t *testing.T, change func(*config.Config), use func(srv *Server), addresses ...string) []span1 {
	t.Helper()
	c := &traces{}
	h := httptest.NewServer(c)
	defer h.Close()
	srv := serve(t, func(cfg *config.Config) {
		cfg.Tracing.Endpoint, cfg.Tracing.Sample = h.URL, 1
		if change != nil {
			change(cfg)
		}
	}, addresses...)
	use(srv)
	srv.Shutdown(0)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spans
}

func TestRequestsAreTracedWithTheirParts(t *testing.T) {
	slow := redistest.Server(t)
	spans := traced(t, func(c *config.Config) { c.Tracing.Keys, c.Pools[0].SlowThreshold = true, config.NoSlowlog }, func(srv *Server) {
		c := client(t, srv)
		c.Do("SET", "k", "v")
		slow.Stop()
		c.Send("GET", "k")
		c.Flush()
		redistest.WaitFor(t, "the request to be at the node", func() bool { return counted(srv).Nodes[0].Depth == 1 })
		pass(t)
		slow.Cont()
		want(t, "GET", c.Recv(), redistest.Bulk("v"))
		want(t, "PING", c.Do("PING"), "+PONG\r\n")
		want(t, "SLOWLOG", c.Do("SLOWLOG", "LEN"), ":0\r\n")
		redistest.WaitFor(t, "both to be taken", func() bool { return counted(srv).Traces == [2]uint64{2, 0} })
	}, slow.Addr())
	found := map[string]int{}
	for _, s := range spans {
		found[s.name]++
		if s.name != "get" {
			continue
		}
		want(t, "the node", s.node, "n0")
		want(t, "the key", s.key, "k")
		for _, part := range spans {
			if part.trace == s.trace && part.name == "at node" && part.took < aWhile {
				t.Errorf("at the node for %d of %d ns", part.took, s.took)
			}
		}
	}
	want(t, "spans", fmt.Sprint(found), "map[at node:2 get:1 queued:2 set:1 writing:2]")
}

func TestASampleIsTraced(t *testing.T) {
	const n = 4000
	taken := uint64(0)
	spans := traced(t, func(c *config.Config) { c.Tracing.Sample = 0.01 }, func(srv *Server) {
		c := client(t, srv)
		for range n / 100 {
			for i := range 100 {
				c.Send("SET", fmt.Sprint("k", i), "v")
			}
			c.Flush()
			for range 100 {
				c.Recv()
			}
		}
		balanced(t, srv)
		taken = counted(srv).Traces[0]
	}, nodes(t, 1)...)
	if taken < n/200 || taken > n/50 {
		t.Errorf("%d of %d requests were told, want about %d", taken, n, n/100)
	}
	roots := uint64(0)
	for _, s := range spans {
		if s.parent == "" {
			roots++
		}
		if s.key != "" {
			t.Errorf("the key %q is told", s.key)
		}
	}
	if roots != taken {
		t.Errorf("%d of %d arrived", roots, taken)
	}
}
