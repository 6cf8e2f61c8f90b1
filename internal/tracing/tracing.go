// Package tracing hands requests to an OpenTelemetry collector, as one span each with its parts. Whoever has a request to tell decides which, and fills in when what
// happened; here that becomes spans, on a goroutine of its own, and OpenTelemetry's own exporter sends them. Nobody ever waits for it: what there is no room for is dropped.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Request is one that was answered.
type Request struct {
	Command string
	Key     string // the first one; "": none, or it is not to be told
	Pool    string
	Node    string // that has answered, of several the last; "": none, or it is not known
	Address string // of the node
	Client  string
	Failed  bool // its reply is an error

	Read, Written, Replied time.Time // by the client, to the node, by it
	Sent                   time.Time // to the client; zero: it never was
}

// Options say where spans go.
type Options struct {
	Endpoint string // http://host:port or https://host:port
	Protocol string // http or grpc
	Version  string // of this program
	Log      *slog.Logger
	Pause    time.Duration // how long spans are gathered; 0: as OpenTelemetry has it
}

// Tracer takes requests from any goroutine.
type Tracer struct {
	requests chan Request
	provider *trace.TracerProvider
	tracer   oteltrace.Tracer
	done     chan struct{} // closed when run has returned
	end      sync.Once
	stop     chan struct{}
}

// room is for how many requests there is until they are spans.
const room = 1024

// New returns a tracer. It does not ask whether there is a collector.
func New(opt Options) (*Tracer, error) {
	exporter, err := exporterTo(opt)
	if err != nil {
		return nil, fmt.Errorf("cannot send traces to %s: %w", opt.Endpoint, err)
	}
	tellErrors(opt)
	var how []trace.BatchSpanProcessorOption
	if opt.Pause > 0 {
		how = append(how, trace.WithBatchTimeout(opt.Pause))
	}
	provider := trace.NewTracerProvider(
		trace.WithBatcher(exporter, append(how, trace.WithBlocking())...), // then this goroutine waits, and what comes is dropped where it is counted
		trace.WithSampler(trace.AlwaysSample()),
		trace.WithResource(resource.NewSchemaless(attribute.String("service.name", "ringway"), attribute.String("service.version", opt.Version))),
	)
	t := &Tracer{
		requests: make(chan Request, room), provider: provider, tracer: provider.Tracer("ringway"),
		done: make(chan struct{}), stop: make(chan struct{}),
	}
	go t.run()
	return t, nil
}

// exporterTo makes OpenTelemetry's own exporter. What stands in OTEL_EXPORTER_OTLP_HEADERS and its like is its business.
func exporterTo(opt Options) (trace.SpanExporter, error) {
	u, err := url.Parse(opt.Endpoint)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if opt.Protocol == "grpc" {
		how := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(u.Host)}
		if u.Scheme == "http" {
			how = append(how, otlptracegrpc.WithInsecure())
		}
		return otlptrace.New(ctx, otlptracegrpc.NewClient(how...))
	}
	how := []otlptracehttp.Option{otlptracehttp.WithEndpoint(u.Host)}
	if u.Scheme == "http" {
		how = append(how, otlptracehttp.WithInsecure())
	}
	if p := strings.TrimSuffix(u.Path, "/"); p != "" {
		how = append(how, otlptracehttp.WithURLPath(p+"/v1/traces"))
	}
	return otlptrace.New(ctx, otlptracehttp.NewClient(how...))
}

// errorsEvery is how often it is told that spans could not be sent.
const errorsEvery = time.Minute

func tellErrors(opt Options) {
	var mu sync.Mutex
	var last time.Time
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(last) >= errorsEvery {
			last = now
			opt.Log.Warn("traces could not be sent", "endpoint", opt.Endpoint, "error", err)
		}
	}))
}

// Offer takes a request, unless there is no room for it.
func (t *Tracer) Offer(r Request) (taken bool) {
	select {
	case t.requests <- r:
		return true
	default:
		return false
	}
}

func (t *Tracer) run() {
	defer close(t.done)
	for {
		select {
		case r := <-t.requests:
			t.tell(&r)
		case <-t.stop:
			for {
				select {
				case r := <-t.requests:
					t.tell(&r)
				default:
					return
				}
			}
		}
	}
}

// Close sends what there is, for as long as ctx allows.
func (t *Tracer) Close(ctx context.Context) error {
	t.end.Do(func() { close(t.stop) })
	select {
	case <-t.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return t.provider.Shutdown(ctx)
}

// tell makes the spans of a request:
//
//	GET           |------------------------------------------|
//	  queued      |-----|
//	  at node           |-----------------------|
//	  writing                                   |------------|
func (t *Tracer) tell(r *Request) {
	end := r.Sent
	if end.IsZero() {
		end = r.Replied
	}
	of := []attribute.KeyValue{
		attribute.String("db.system", "redis"), attribute.String("db.operation.name", r.Command), attribute.String("ringway.pool", r.Pool),
	}
	of = append(of, addressOf("client", r.Client)...)
	if r.Node != "" {
		of = append(of, attribute.String("ringway.node", r.Node))
	}
	if r.Key != "" {
		of = append(of, attribute.String("ringway.key", strings.ToValidUTF8(r.Key, "\ufffd")))
	}
	ctx, root := t.tracer.Start(context.Background(), r.Command, oteltrace.WithTimestamp(r.Read), oteltrace.WithSpanKind(oteltrace.SpanKindServer), oteltrace.WithAttributes(of...))
	if r.Failed {
		root.SetStatus(codes.Error, "the reply is an error")
	}
	part := func(name string, kind oteltrace.SpanKind, from, to time.Time, of ...attribute.KeyValue) {
		_, s := t.tracer.Start(ctx, name, oteltrace.WithTimestamp(from), oteltrace.WithSpanKind(kind), oteltrace.WithAttributes(of...))
		s.End(oteltrace.WithTimestamp(to))
	}
	part("queued", oteltrace.SpanKindInternal, r.Read, r.Written)
	if r.Node != "" {
		part("at node", oteltrace.SpanKindClient, r.Written, r.Replied, append(addressOf("server", r.Address), attribute.String("db.system", "redis"), attribute.String("ringway.node", r.Node))...)
	}
	if !r.Sent.IsZero() {
		part("writing", oteltrace.SpanKindInternal, r.Replied, r.Sent)
	}
	root.End(oteltrace.WithTimestamp(end))
}

// addressOf has host and port as OpenTelemetry wants them. A unix socket's path has no port.
func addressOf(who, address string) (list []attribute.KeyValue) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return []attribute.KeyValue{attribute.String(who+".address", address)}
	}
	n, _ := strconv.Atoi(port)
	return []attribute.KeyValue{attribute.String(who+".address", host), attribute.Int(who+".port", n)}
}
