package tracing

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

var begin = time.Unix(1000, 0)

func after(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }

// theRequest has taken 1 ms here, 5 ms at the node, and 3 ms until it was sent.
var theRequest = Request{
	Command: "get", Key: "k\xff", Pool: "p", Node: "n1", Address: "127.0.0.1:7001", Client: "127.0.0.1:5000", Failed: true,
	Read: begin, Written: after(1), Replied: after(6), Sent: after(9),
}

// describe writes spans as lines: what they are, from when to when, in ms.
func describe(spans []*otlp.Span) (lines []string) {
	names := map[string]string{"": "-"}
	for _, s := range spans {
		names[string(s.SpanId)] = s.Name
	}
	for _, s := range spans {
		var of []string
		for _, a := range s.Attributes {
			v := a.Value.GetStringValue()
			if v == "" {
				v = fmt.Sprint(a.Value.GetIntValue())
			}
			of = append(of, a.Key+"="+v)
		}
		slices.Sort(of)
		ms := func(ns uint64) int64 { return time.Unix(0, int64(ns)).Sub(begin).Milliseconds() }
		lines = append(lines, fmt.Sprintf("%s in %s, %d to %d, %s, %s: %s", s.Name, names[string(s.ParentSpanId)], ms(s.StartTimeUnixNano), ms(s.EndTimeUnixNano),
			strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")), strings.ToLower(strings.TrimPrefix(s.Status.GetCode().String(), "STATUS_CODE_")), strings.Join(of, " ")))
	}
	slices.Sort(lines)
	return lines
}

var wanted = []string{
	"at node in get, 1 to 6, client, unset: db.system=redis ringway.node=n1 server.address=127.0.0.1 server.port=7001",
	"get in -, 0 to 9, server, error: client.address=127.0.0.1 client.port=5000 db.operation.name=get db.system=redis ringway.key=k\ufffd ringway.node=n1 ringway.pool=p",
	"queued in get, 0 to 1, internal, unset: ",
	"writing in get, 6 to 9, internal, unset: ",
}

func spansOf(r *collector.ExportTraceServiceRequest) (spans []*otlp.Span) {
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	return spans
}

// tell sends one request through a tracer and closes it.
func tell(t *testing.T, opt Options, r Request) {
	t.Helper()
	opt.Log, opt.Version = slog.New(slog.DiscardHandler), "1.2.3"
	tr, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	if !tr.Offer(r) {
		t.Error("there is no room for the first request")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}

func TestARequestIsASpanWithItsParts(t *testing.T) {
	var got collector.ExportTraceServiceRequest
	var path string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		path = r.URL.Path
		if err := proto.Unmarshal(b, &got); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	for prefix, wantPath := range map[string]string{"": "/v1/traces", "/": "/v1/traces", "/otlp": "/otlp/v1/traces"} {
		tell(t, Options{Endpoint: srv.URL + prefix, Protocol: "http"}, theRequest)
		if lines := describe(spansOf(&got)); !slices.Equal(lines, wanted) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wanted, "\n"))
		}
		if path != wantPath {
			t.Errorf("sent to %s, want %s", path, wantPath)
		}
	}
	name := got.ResourceSpans[0].Resource.Attributes
	if len(name) != 2 || name[0].Value.GetStringValue() != "ringway" || name[1].Value.GetStringValue() != "1.2.3" {
		t.Errorf("it is of %v", name)
	}
	tell(t, Options{Endpoint: srv.URL, Protocol: "http"}, Request{Command: "set", Pool: "p", Client: "/run/socket", Read: begin, Written: after(2), Replied: after(2)})
	if lines, want := describe(spansOf(&got)), []string{
		"queued in set, 0 to 2, internal, unset: ", "set in -, 0 to 2, server, unset: client.address=/run/socket db.operation.name=set db.system=redis ringway.pool=p",
	}; !slices.Equal(lines, want) {
		t.Errorf("of which little is known: %q", lines)
	}
}

type service struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s service) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

func TestTracesOverGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := service{got: make(chan *collector.ExportTraceServiceRequest, 1)}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, s)
	go g.Serve(l)
	defer g.Stop()
	tell(t, Options{Endpoint: "http://" + l.Addr().String(), Protocol: "grpc"}, theRequest)
	if lines := describe(spansOf(<-s.got)); !slices.Equal(lines, wanted) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(wanted, "\n"))
	}
}

// A collector that takes nothing holds nobody up: what there is no room for is refused at once.
func TestASlowCollectorHoldsNobodyUp(t *testing.T) {
	hold := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer srv.Close()
	tr, err := New(Options{Endpoint: srv.URL, Protocol: "http", Log: slog.New(slog.DiscardHandler), Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	dropped := false
	for i := 0; i < 100*room && !dropped; i++ {
		dropped = !tr.Offer(theRequest)
	}
	if !dropped {
		t.Error("there is room without end")
	}
	close(hold)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tr.Close(ctx)
}
