package statscompat

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

type figures []metrics.PoolShards

func (f figures) Pools() []metrics.PoolShards { return f }

func serve(t *testing.T, src Source) *Server {
	t.Helper()
	s, err := Start(Options{Listen: "127.0.0.1:0", Source: src, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *Server) string {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTheFiguresOfADocument(t *testing.T) {
	one, two := metrics.NewPool(3), metrics.NewPool(2)
	one.Accepted, one.Clients, one.Parts = 10, 3, 7
	one.Errors[metrics.Stalled], one.Errors[metrics.NodeDown], two.Errors[metrics.Shed] = 1, 4, 1
	two.Accepted, two.Clients = 5, 2
	one.Nodes[0] = metrics.Node{
		Lanes: 1, Depth: 4, Unsent: 100, Requests: 20, BytesIn: 500, BytesOut: 600, Connects: 3, ConnectErrors: 1, Losses: 2, Timeouts: 1, Garbage: 1,
		Ejections: [2]uint64{1, 1}, EjectedAt: 1700000000000000,
	}
	two.Nodes[0] = metrics.Node{Lanes: 1, Requests: 10, Connects: 1}
	got := get(t, serve(t, figures{
		{Name: `say "a"`, Nodes: []string{"first", "", "third"}, Shards: []metrics.Pool{one, two}},
		{Name: "gone"},
	}))

	if !strings.HasSuffix(got, "}}}\n") || strings.Contains(got, "gone") {
		t.Errorf("%s", got)
	}
	if got[:len(`{"service":"nutcracker","source":"`)] != `{"service":"nutcracker","source":"` {
		t.Errorf("it begins with %.40s", got)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	if doc["version"] != "1.2.3" || doc["total_connections"] != 19.0 || doc["curr_connections"] != 7.0 {
		t.Errorf("%v", doc)
	}
	const want = `"say \"a\"":{"client_eof":9,"client_err":1,"client_connections":5,"server_ejects":2,"forward_error":5,"fragments":7,` +
		`"first":{"server_eof":1,"server_err":2,"server_timedout":1,"server_connections":2,"server_ejected_at":1700000000000000,"requests":30,` +
		`"request_bytes":600,"responses":26,"response_bytes":500,"in_queue":0,"in_queue_bytes":100,"out_queue":4,"out_queue_bytes":0},` +
		`"third":{"server_eof":0,`
	if !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestWithoutPools(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal([]byte(get(t, serve(t, figures{}))), &doc); err != nil || len(doc) != 7 {
		t.Errorf("%v, %v", doc, err)
	}
}

// slow is asked, and waits.
type slow struct{ asked, proceed chan struct{} }

func (s slow) Pools() []metrics.PoolShards {
	s.asked <- struct{}{}
	<-s.proceed
	return nil
}

// Clients that are waiting, or read nothing, are a bounded number; the next is answered when one of them is.
func TestNoMoreThanSoManyAtATime(t *testing.T) {
	src := slow{make(chan struct{}, 2*mostClients), make(chan struct{})}
	s := serve(t, src)
	release := sync.OnceFunc(func() { close(src.proceed) })
	t.Cleanup(release) // before the server is closed
	var conns []net.Conn
	for range mostClients + 1 {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	redistest.WaitFor(t, "all places to be taken", func() bool { return len(src.asked) == mostClients })
	src.proceed <- struct{}{}
	redistest.WaitFor(t, "the last client's turn", func() bool { return len(src.asked) == mostClients+1 })
	release()
	for _, c := range conns {
		if b, err := io.ReadAll(c); err != nil || len(b) == 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// large serves a document that sockets don't hold, to a client that has read a byte of it.
func large(t *testing.T, patience time.Duration) (*Server, net.Conn) {
	t.Helper()
	var names []string
	for range 1000 {
		names = append(names, strings.Repeat("n", 20_000))
	}
	s, err := Start(Options{Listen: "127.0.0.1:0", Source: figures{{Name: "p", Nodes: names, Shards: []metrics.Pool{metrics.NewPool(len(names))}}},
		Log: slog.New(slog.DiscardHandler), patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func wholeWasSent(c net.Conn) bool {
	rest, err := io.ReadAll(c)
	return err == nil && strings.HasSuffix(string(rest), "}}}\n")
}

func TestWhoDoesNotReadIsLetGo(t *testing.T) {
	s, c := large(t, 100*time.Millisecond)
	redistest.WaitFor(t, "its place to be free", func() bool { return len(s.free) == 1 })
	if wholeWasSent(c) {
		t.Error("all of it was kept for a client that did not read")
	}
}

func TestClosingLetsGoOfWhoDoesNotRead(t *testing.T) {
	s, c := large(t, 24*time.Hour)
	s.Close()
	if wholeWasSent(c) {
		t.Error("all of it was sent to a client that did not read")
	}
}

func TestAnAddressThatIsTaken(t *testing.T) {
	s := serve(t, figures{})
	if _, err := Start(Options{Listen: s.Addr(), Source: figures{}}); err == nil || !strings.Contains(err.Error(), "cannot listen on stats_compat address "+s.Addr()) {
		t.Errorf("%v", err)
	}
}
