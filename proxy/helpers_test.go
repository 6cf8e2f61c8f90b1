package proxy

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// serve starts a server in this process on a loopback port, in front of the given addresses, and returns it. The nodes are
// named n0, n1 and so on. Cleanup shuts it down.
func serve(t testing.TB, change func(*config.Config), addresses ...string) *Server {
	t.Helper()
	cfg := config.Default()
	cfg.Threads = 1
	p := config.DefaultPool()
	p.Name, p.Listen = "test", "127.0.0.1:0"
	for i, a := range addresses {
		p.Backends = append(p.Backends, config.Backend{Name: fmt.Sprintf("n%d", i), Address: a, Weight: 1})
	}
	cfg.Pools = []config.Pool{p}
	if change != nil {
		change(&cfg)
	}
	srv, err := New(&cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(0) })
	return srv
}

// onPool is a change of serve's only pool.
func onPool(f func(*config.Pool)) func(*config.Config) {
	return func(c *config.Config) { f(&c.Pools[0]) }
}

// client connects to a server's first pool.
func client(t testing.TB, srv *Server) *redistest.Conn {
	t.Helper()
	return redistest.Dial(t, srv.Addr(0))
}

// want fails the test unless the reply is this one.
func want(t testing.TB, what, got, wanted string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %q, want %q", what, got, wanted)
	}
}

// onLoop runs f on the first loop and waits.
func onLoop(t testing.TB, srv *Server, f func(w *worker)) {
	t.Helper()
	done := make(chan struct{})
	if !srv.workers[0].loop.Post(func() { f(srv.workers[0]); close(done) }) {
		t.Fatal("the loop has stopped")
	}
	<-done
}

// keyOf returns a key that belongs to node i.
func keyOf(t testing.TB, srv *Server, i int, prefix string) string {
	t.Helper()
	for n := range 10000 {
		k := fmt.Sprintf("%s%d", prefix, n)
		if srv.Ring(0).Find([]byte(k)) == i {
			return k
		}
	}
	t.Fatalf("node %d owns no key", i)
	return ""
}

// echoNode is a fake node that answers GET with the key, SET with OK, MGET with the keys, and the rest with its name.
func echoNode(t testing.TB) *redistest.FakeNode {
	steps := []redistest.Step{}
	for range 50 {
		steps = append(steps, redistest.Answer(answerEcho))
	}
	return redistest.Node(t, steps...)
}

func answerEcho(args []string) string {
	switch strings.ToUpper(args[0]) {
	case "GET":
		return redistest.Bulk(args[1])
	case "SET", "MSET":
		return "+OK\r\n"
	case "PING":
		return "+PONG\r\n"
	case "DEL":
		return fmt.Sprintf(":%d\r\n", len(args)-1)
	case "MGET":
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(args)-1)
		for _, a := range args[1:] {
			b.WriteString(redistest.Bulk(a))
		}
		return b.String()
	}
	return redistest.Bulk(strings.Join(args, " "))
}
