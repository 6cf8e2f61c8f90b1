package proxy

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// Each limit has a test here that shows what a client meets at it, and the metric that tells of it.

// metric returns a value as it is scraped, of the labels that are given as name, value, name, value.
func metric(t testing.TB, srv *Server, name string, labels ...string) float64 {
	t.Helper()
	families, err := metrics.NewRegistry(srv, "test").Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			fits := true
			for i := 0; i < len(labels); i += 2 {
				has := false
				for _, l := range m.Label {
					has = has || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
				}
				fits = fits && has
			}
			if fits {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s%v", name, labels)
	return 0
}

// errorsOf is the metric of most limits.
func errorsOf(t testing.TB, srv *Server, kind string) float64 {
	t.Helper()
	return metric(t, srv, "ringway_errors_total", "kind", kind)
}

// counts fails the test unless the metric of a limit comes to a number.
func counts(t testing.TB, srv *Server, kind string, wanted int) {
	t.Helper()
	if got := errorsOf(t, srv, kind); got != float64(wanted) {
		t.Errorf("ringway_errors_total{kind=%q} is %v, want %d", kind, got, wanted)
	}
}

// comeIn connects and waits until the server has let the client in, or has not.
func comeIn(t testing.TB, srv *Server, from string) (c *redistest.Conn, in bool) {
	t.Helper()
	before := counted(srv)
	nc, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", srv.Addr(0))
	if err != nil {
		t.Fatal(err)
	}
	c = redistest.NewConn(t, nc)
	t.Cleanup(func() { c.Close() })
	redistest.WaitFor(t, "the server to look at the client", func() bool {
		n := counted(srv)
		in = n.Accepted > before.Accepted
		return in || n.Errors != before.Errors
	})
	return c, in
}

func TestLimitOfClients(t *testing.T) {
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.MaxClients = 2 }), nodes(t, 1)...)
	a, _ := comeIn(t, srv, "127.0.0.1")
	comeIn(t, srv, "127.0.0.1")
	c, _ := comeIn(t, srv, "127.0.0.2")
	want(t, "one too many", c.Recv(), "-ERR max number of clients reached\r\n")
	c.RecvEOF()
	counts(t, srv, "too_many_clients", 1)
	if !log.has(`"client refused"`, "pool=test", "client=127.0.0.2:", "reason=too_many_clients") {
		t.Errorf("not in the log:\n%s", log)
	}
	a.Close()
	redistest.WaitFor(t, "a client to be gone", func() bool { return clientsOf(srv) == 1 })
	if d, in := comeIn(t, srv, "127.0.0.1"); !in || d.Do("PING") != "+PONG\r\n" {
		t.Error("nobody can come in when one has left")
	}
}

func TestLimitOfClientsFromOneAddress(t *testing.T) {
	srv, log := serveLogged(t, func(c *config.Config) { c.Threads, c.Pools[0].MaxPerAddress = 2, 2 }, nodes(t, 1)...)
	a, _ := comeIn(t, srv, "127.0.0.1")
	comeIn(t, srv, "127.0.0.1")
	for range 2 {
		c, _ := comeIn(t, srv, "127.0.0.1")
		want(t, "one too many", c.Recv(), "-ERR max number of clients from this address reached\r\n")
		c.RecvEOF()
	}
	if d, in := comeIn(t, srv, "127.0.0.2"); !in || d.Do("PING") != "+PONG\r\n" {
		t.Error("a client from another address can't come in")
	}
	counts(t, srv, "too_many_from_address", 2)
	if !log.has(`"client refused"`, "client=127.0.0.1:", "reason=too_many_from_address") {
		t.Errorf("not in the log:\n%s", log)
	}
	a.Close()
	redistest.WaitFor(t, "a client to be gone", func() bool { return clientsOf(srv) == 2 })
	if d, in := comeIn(t, srv, "127.0.0.1"); !in || d.Do("PING") != "+PONG\r\n" {
		t.Error("nobody can come in when one has left")
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.MaxPerAddress = 3 }))
	if _, in := comeIn(t, srv, "127.0.0.1"); !in {
		t.Error("nobody more can come in with a higher limit")
	}
	if _, in := comeIn(t, srv, "127.0.0.1"); in {
		t.Error("those from before the reload are not counted any more")
	}
}

func TestOriginOfAClient(t *testing.T) {
	for peer, wanted := range map[string]string{
		"10.0.0.1:5000": "10.0.0.1", "[::ffff:10.0.0.1]:5000": "10.0.0.1", "[2001:db8:1:2:3::4]:5000": "2001:db8:1:2::", "[fe80::1%eth0]:1": "fe80::", "/run/ringway.sock:0": "",
	} {
		from, ok := origin(peer)
		if got := from.String(); ok != (wanted != "") || ok && got != wanted {
			t.Errorf("%s counts for %s, %v; want %q", peer, got, ok, wanted)
		}
	}
}

func TestLimitOfNewConnections(t *testing.T) {
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.ConnectionRate = 1 }), nodes(t, 1)...)
	began, let, refused := time.Now(), 0, 0
	for let < 2 || refused < 3 {
		c, in := comeIn(t, srv, "127.0.0.1")
		if in {
			let++
			want(t, "PING", c.Do("PING"), "+PONG\r\n")
			continue
		}
		refused++
		want(t, "one too many", c.Recv(), "-ERR too many new connections; try again later\r\n")
		c.RecvEOF()
	}
	if most := 2 + int(time.Since(began)/time.Second); let > most {
		t.Errorf("%d were let in, of which there should be %d at most", let, most)
	}
	counts(t, srv, "connection_rate", refused)
	if !log.has(`"client refused"`, "client=127.0.0.1:", "reason=connection_rate") {
		t.Errorf("not in the log:\n%s", log)
	}
}

// Whoever connects again and again can't fill the log.
func TestRefusedClientsDoNotFillTheLog(t *testing.T) {
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.MaxClients = 1 }), nodes(t, 1)...)
	comeIn(t, srv, "127.0.0.1")
	began := time.Now()
	for range 200 {
		nc, err := net.Dial("tcp", srv.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	redistest.WaitFor(t, "all to be refused", func() bool { return counted(srv).Errors[metrics.TooManyClients] == 200 })
	if n, most := strings.Count(log.String(), "client refused"), auditBurst+2+int(time.Since(began)/time.Second); n < auditBurst || n > most {
		t.Errorf("%d lines, of which there should be %d to %d", n, auditBurst, most)
	}
}

func TestLimitOfTheHandshake(t *testing.T) {
	a := redistest.NewAuthority(t)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) {
		p.TLS = forClients(a.Issue(redistest.Issue{}))
		p.TLS.HandshakeTimeout = 100 * time.Millisecond
	}), nodes(t, 1)...)
	c := redistest.Dial(t, srv.Addr(0))
	c.RecvEOF()
	redistest.WaitFor(t, "the handshake to be counted", func() bool { return metric(t, srv, "ringway_tls_handshakes_total", "result", "timeout") == 1 })
	if !log.has("TLS handshake failed", "it did not finish in time") {
		t.Errorf("not in the log:\n%s", log)
	}
	redistest.WaitFor(t, "the client to be gone", func() bool { return clientsOf(srv) == 0 })
	as := srv.open()[0].addresses
	as.mu.Lock()
	defer as.mu.Unlock()
	if n := len(as.clients); n != 0 {
		t.Errorf("%d addresses are counted", n)
	}
}

func TestLimitOfTimeToLogIn(t *testing.T) {
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.RequirePass, p.LoginTimeout = "pw", 0 }), nodes(t, 1)...)
	a, resets, b := client(t, srv), client(t, srv), client(t, srv)
	for _, c := range []*redistest.Conn{a, resets} {
		want(t, "AUTH", c.Do("AUTH", "pw"), "+OK\r\n")
	}
	want(t, "PING of a stranger", b.Do("PING"), "-NOAUTH Authentication required.\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.LoginTimeout = 50 * time.Millisecond }))
	b.RecvEOF()
	counts(t, srv, "login_timeout", 1)
	if !log.has(`"client closed"`, "pool=test", "client=127.0.0.1:", "it has not logged in within 50ms") {
		t.Errorf("not in the log:\n%s", log)
	}
	want(t, "PING of who has logged in", a.Do("PING"), "+PONG\r\n")
	want(t, "RESET", resets.Do("RESET"), "+RESET\r\n")
	resets.RecvEOF()
	counts(t, srv, "login_timeout", 2)
	want(t, "PING of who has logged in", a.Do("PING"), "+PONG\r\n")
	balanced(t, srv)
}

func TestLimitOfIdleTime(t *testing.T) {
	node := redistest.Server(t)
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.Timeout = 0 }), node.Addr())
	idle, blocked, listens := client(t, srv), client(t, srv), client(t, srv)
	listens.Do("SUBSCRIBE", "news")
	blocked.Send("BLPOP", "list", "0")
	blocked.Flush()
	direct := redistest.Dial(t, node.Addr())
	redistest.WaitFor(t, "the client to block", func() bool { return strings.Contains(direct.Do("INFO", "clients"), "blocked_clients:1") })
	want(t, "PING", idle.Do("PING"), "+PONG\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.IdleTimeout = 50 * time.Millisecond }))
	idle.RecvEOF()
	counts(t, srv, "idle", 1)
	if !log.has(`"client closed"`, "it was idle for 50ms") {
		t.Errorf("not in the log:\n%s", log)
	}
	direct.Do("PUBLISH", "news", "good")
	want(t, "a message", listens.Recv(), "*3\r\n"+redistest.Bulk("message")+redistest.Bulk("news")+redistest.Bulk("good"))
	direct.Do("RPUSH", "list", "x")
	want(t, "BLPOP", blocked.Recv(), "*2\r\n"+redistest.Bulk("list")+redistest.Bulk("x"))
	blocked.RecvEOF() // it waits for nothing any more
	counts(t, srv, "idle", 2)

	node.Stop()
	var waits *redistest.Conn
	for asks := false; !asks; { // before it is idle for too long
		closed := errorsOf(t, srv, "idle")
		waits = client(t, srv)
		waits.Send("GET", "k")
		waits.TryFlush()
		redistest.WaitFor(t, "the client to ask, or to be closed", func() bool {
			asks = counted(srv).Nodes[0].Depth > 0
			return asks || errorsOf(t, srv, "idle") > closed
		})
	}
	client(t, srv).RecvEOF()
	node.Cont()
	want(t, "GET of who had to wait", waits.Recv(), "$-1\r\n")
	waits.RecvEOF()
}

func TestLimitOfRequestSize(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.MaxRequestSize, p.ClientInputLimit, p.MaxArguments = 1<<10, 4<<10, 16 }), nodes(t, 1)...)
	arguments := func(n, size int) []string {
		return slices.Concat([]string{"DEL"}, slices.Repeat([]string{strings.Repeat("k", size)}, n-1))
	}
	for i, x := range []struct {
		what, kind string
		fits, not  []string
		hears      string
		before     int
	}{
		{"max_request_size", "request_too_big", arguments(2, 1<<10), arguments(2, 1<<10+1), "invalid bulk length", 0},
		{"client_input_limit", "request_too_big", arguments(4, 1000), arguments(6, 1000), "too big request", 1},
		{"max_arguments", "too_many_arguments", arguments(16, 3), arguments(17, 3), "invalid multibulk length", 0},
	} {
		c := client(t, srv)
		want(t, x.what+": what fits", c.Do(x.fits...), ":0\r\n")
		c.Send(x.not...)
		c.Flush()
		want(t, x.what+": what does not", c.Recv(), "-ERR Protocol error: "+x.hears+"\r\n")
		c.RecvEOF()
		counts(t, srv, x.kind, x.before+1)
		want(t, fmt.Sprint("others meanwhile, ", i), client(t, srv).Do("PING"), "+PONG\r\n")
	}
	counts(t, srv, "protocol", 0)
	c := client(t, srv)
	c.SendRaw("*-x\r\n")
	c.Flush()
	want(t, "what is no request", c.Recv(), "-ERR Protocol error: invalid multibulk length\r\n")
	counts(t, srv, "protocol", 1)
}

// Who has not logged in can announce as little as with Redis, and hears the same.
func TestLimitsOfStrangers(t *testing.T) {
	real := redistest.Server(t, "--requirepass", "pw")
	srv := serve(t, onPool(func(p *config.Pool) { p.RequirePass = "pw" }), nodes(t, 1)...)
	const headOfBig, headOfMany = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n", "*12\r\n"
	big := headOfBig + strings.Repeat("x", 20000) + "\r\n"
	many := headOfMany + "$4\r\nMGET\r\n" + strings.Repeat("$1\r\nk\r\n", 11)
	fits := string(redistest.AppendCommand(nil, "MGET", "a", "b", "c", "d", "e", "f", "g", "h", strings.Repeat("i", 16<<10)))
	for what, request := range map[string]string{"a big one": headOfBig, "one with many": headOfMany, "one that fits": fits} {
		theirs, ours := redistest.Dial(t, real.Addr()), client(t, srv)
		for _, c := range []*redistest.Conn{theirs, ours} {
			c.SendRaw(request)
			c.Flush()
		}
		want(t, what, ours.Recv(), theirs.Recv())
	}
	c := client(t, srv)
	c.Send("AUTH", "pw")
	c.SendRaw(big + many)
	c.Flush()
	want(t, "AUTH", c.Recv(), "+OK\r\n")
	want(t, "big, in the same breath", c.Recv(), "+OK\r\n")
	if got := c.Recv(); !strings.HasPrefix(got, "*11\r\n$20000\r\n") {
		t.Errorf("many, in the same breath: %.40q", got)
	}
	want(t, "RESET", c.Do("RESET"), "+RESET\r\n")
	c.SendRaw(many)
	c.Flush()
	want(t, "many, when logged out", c.Recv(), "-ERR Protocol error: unauthenticated multibulk length\r\n")
	c.RecvEOF()
	counts(t, srv, "request_too_big", 1)
	counts(t, srv, "too_many_arguments", 2)
}

func TestLimitOfKeyLength(t *testing.T) {
	srv := serve(t, onPool(func(p *config.Pool) { p.MaxKeyLength = 8 }), nodes(t, 2)...)
	c := client(t, srv)
	long := strings.Repeat("k", 9)
	refusal := "-ERR a key of 9 bytes is longer than max_key_length, 8 bytes\r\n"
	for _, x := range []struct{ request, wanted string }{
		{"SET 12345678 " + long, "+OK\r\n"}, {"GET 12345678", redistest.Bulk(long)},
		{"GET " + long, refusal}, {"MGET a " + long, refusal}, {"MSET a 1 b 2 " + long + " 3", refusal}, {"EXISTS a b", ":0\r\n"},
		{"EVAL return(1) 1 " + long, refusal}, {"SORT a STORE " + long, refusal}, {"PUBLISH " + long + " m", ":0\r\n"},
		{"MULTI", "+OK\r\n"}, {"SET a 1", "+QUEUED\r\n"}, {"SET " + long + " 1", refusal},
		{"EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n"}, {"GET a", "$-1\r\n"},
	} {
		want(t, x.request, c.Do(strings.Fields(x.request)...), x.wanted)
	}
	counts(t, srv, "key_too_long", 6)
	balanced(t, srv)
}

func TestLimitOfPipelines(t *testing.T) {
	node := redistest.Server(t)
	srv := serve(t, onPool(func(p *config.Pool) { p.Window, p.Timeout = 8, 0 }), node.Addr())
	c := client(t, srv)
	c.Do("SET", "k0", "v")
	node.Stop()
	for i := range 100 {
		c.Send("SET", fmt.Sprint("k", i), "v")
		c.Send("GET", fmt.Sprint("k", i))
	}
	c.Flush()
	redistest.WaitFor(t, "the client to have to wait", func() bool { return metric(t, srv, "ringway_client_stalls_total", "reason", "window") == 1 })
	if n := counted(srv).Nodes[0].Depth; n != 8 {
		t.Errorf("%d requests are in flight, want 8", n)
	}
	node.Cont()
	for i := range 100 {
		want(t, fmt.Sprint("SET ", i), c.Recv(), "+OK\r\n")
		want(t, fmt.Sprint("GET ", i), c.Recv(), "$1\r\nv\r\n")
	}
	balanced(t, srv)
}

func TestLimitOfUnreadReplies(t *testing.T) {
	srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.ClientOutputLimit, p.ClientStall = 16<<10, 0 }), nodes(t, 1)...)
	c, d := client(t, srv), client(t, srv)
	const size, requests = 256 << 10, 200
	c.Do("SET", "k", strings.Repeat("x", size))
	for range requests {
		c.Send("GET", "k")
	}
	c.Flush()
	stalled := func() bool { return metric(t, srv, "ringway_client_stalls_total", "reason", "output") > 0 }
	redistest.WaitFor(t, "the client to have to wait", stalled)
	want(t, "others meanwhile", d.Do("GET", "none"), "$-1\r\n")
	for i := range requests / 2 { // nothing was lost
		if got := c.Recv(); len(got) != len(redistest.Bulk(strings.Repeat("x", size))) {
			t.Fatalf("reply %d has %d bytes", i, len(got))
		}
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.ClientStall = 50 * time.Millisecond }))
	for range requests {
		c.Send("GET", "k")
	}
	c.Flush()
	redistest.WaitFor(t, "the client to be closed", func() bool { return errorsOf(t, srv, "client_stalled") == 1 })
	if !log.has(`"client closed"`, "it has not read its replies for 50ms") {
		t.Errorf("not in the log:\n%s", log)
	}
	want(t, "others after that", d.Do("GET", "none"), "$-1\r\n")
}

// rateOf sends requests until some have been refused, and checks that no more were let through than may be.
func rateOf(t *testing.T, srv *Server, c *redistest.Conn, burst int, refusal string) (refused int) {
	t.Helper()
	began, let := time.Now(), 0
	for range 30 {
		c.Send("GET", "k")
	}
	c.Flush()
	for range 30 {
		switch got := c.Recv(); got {
		case "$-1\r\n":
			let++
		case refusal:
			refused++
		default:
			t.Fatalf("GET: %q", got)
		}
	}
	if most := burst + 1 + int(time.Since(began)/time.Second); let > most {
		t.Errorf("%d were let through, of which there should be %d at most", let, most)
	}
	if refused == 0 {
		t.Error("none was refused")
	}
	return refused
}

func TestLimitOfRequestsOfAPool(t *testing.T) {
	node := redistest.Server(t)
	srv, log := serveLogged(t, func(c *config.Config) { c.Threads, c.Pools[0].RequestRate, c.Pools[0].RequestBurst = 2, 1, 10 }, node.Addr())
	clients := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
	refusal := "-RATELIMIT this pool has had its 1 requests a second; try again later\r\n"
	refused := rateOf(t, srv, clients[0], 10, refusal) + rateOf(t, srv, clients[1], 0, refusal)
	counts(t, srv, "rate_limited", refused)
	if sent := callsOf(t, node, "get"); sent != 60-refused {
		t.Errorf("%d of 60 requests were refused, and %d sent to the node", refused, sent)
	}
	if !log.has(`"request refused"`, "user=default", "command=get", "this pool is beyond max_request_rate") {
		t.Errorf("not in the log:\n%s", log)
	}
	want(t, "RESET", clients[0].Do("RESET"), "+RESET\r\n") // never refused
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.RequestRate, p.RequestBurst = 0, 0 }))
	want(t, "GET without a limit", clients[1].Do("GET", "k"), "$-1\r\n")
	balanced(t, srv)
}

func TestLimitOfRequestsOfAUser(t *testing.T) {
	srv := serve(t, func(c *config.Config) {
		c.Threads = 2
		c.Pools[0].RequestRate = 100_000
		c.Pools[0].Users = []config.User{
			{Name: "default", Rules: "off"},
			{Name: "few", NoPassword: true, Rules: "~* +@all", RequestRate: 1, RequestBurst: 10},
			{Name: "many", NoPassword: true, Rules: "~* +@all"},
		}
	}, nodes(t, 1)...)
	few := []*redistest.Conn{client(t, srv), client(t, srv)} // one on each loop
	many := client(t, srv)
	for _, c := range few {
		want(t, "AUTH", c.Do("AUTH", "few", "x"), "+OK\r\n")
	}
	want(t, "AUTH", many.Do("AUTH", "many", "x"), "+OK\r\n")
	refusal := "-RATELIMIT user 'few' has had its 1 requests a second; try again later\r\n"
	refused := rateOf(t, srv, few[0], 10, refusal) + rateOf(t, srv, few[1], 0, refusal)
	for range 100 {
		want(t, "GET of another user", many.Do("GET", "k"), "$-1\r\n")
	}
	want(t, "EXEC", few[0].Do("EXEC"), "-EXECABORT Transaction discarded because of: "+refusal[1:])
	counts(t, srv, "rate_limited", refused+1)
	want(t, "AUTH as another user", few[0].Do("AUTH", "many", "x"), "+OK\r\n")
	want(t, "GET as another user", few[0].Do("GET", "k"), "$-1\r\n")
	// A reload that changes nothing of it gives no new burst.
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Window = 99 }))
	rateOf(t, srv, few[1], 0, refusal)
	// Nor does one that changes it, but for what it adds.
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.Users = slices.Clone(p.Users); p.Users[1].RequestBurst = 12 }))
	rateOf(t, srv, few[1], 2, refusal)
	balanced(t, srv)
}

// callsOf is how often a node has carried out a command.
func callsOf(t testing.TB, node *redistest.Redis, command string) (n int) {
	t.Helper()
	_, after, _ := strings.Cut(redistest.Dial(t, node.Addr()).Do("INFO", "commandstats"), "cmdstat_"+command+":calls=")
	fmt.Sscanf(after, "%d", &n)
	return n
}

// However the loops share it, and whatever their clocks say, no more is let through than a bucket has.
func TestBucket(t *testing.T) {
	for _, x := range []struct{ rate, burst, loops int }{{1, 1, 1}, {3, 10, 2}, {1000, 1000, 4}, {100_000, 500, 4}, {2_000_000, 100, 8}, {70_000_000, 1, 2}} {
		t.Run(fmt.Sprintf("rate=%d/burst=%d/loops=%d", x.rate, x.burst, x.loops), func(t *testing.T) {
			b := newBucket("", x.rate, x.burst, nil)
			meters := make([]meter, x.loops)
			for i := range meters {
				meters[i].of = b
			}
			now, let := int64(time.Hour), 0
			began := now
			for turn := range 2000 {
				m := &meters[turn%x.loops]
				for m.take(now - int64(turn%3)) {
					let++
				}
				now += int64(turn % 7 * 1e6)
			}
			due := float64(now-began) / 1e9 * float64(x.rate)
			least, most := 0.998*due, 1.002*due+float64(x.burst)+float64(x.loops)*float64(b.chunk)
			if x.burst < x.rate/100 { // then what comes while nobody asks is lost
				least = 0
			}
			if float64(let) < least-1 || float64(let) > most+1 {
				t.Errorf("%d were let through in %v; want %.0f to %.0f", let, time.Duration(now-began), least, most)
			}
		})
	}
}

// While memory is short nothing big begins, and who holds much is closed, the newest first; others are served, and all is well when it is over.
func TestLimitOfMemory(t *testing.T) {
	const room = 160 << 20
	runtime.GC()
	limit := int(newGauge().read()) + room
	srv, log := serveLogged(t, func(c *config.Config) { c.MaxMemory = limit }, nodes(t, 1)...)
	if got := metric(t, srv, "ringway_memory_limit_bytes"); got != float64(limit) {
		t.Errorf("ringway_memory_limit_bytes is %v, want %d", got, limit)
	}
	small, queues := client(t, srv), client(t, srv)
	want(t, "SET", small.Do("SET", "k", "v"), "+OK\r\n")
	queues.Do("MULTI")
	chunk := strings.Repeat("x", 1<<20)
	upload := func(announced, megabytes int) *redistest.Conn {
		c := client(t, srv)
		c.SendRaw(fmt.Sprintf("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$%d\r\n", announced<<20))
		for range megabytes {
			c.SendRaw(chunk)
			c.TryFlush() // it may be closed in the middle of it
		}
		return c
	}
	held := func(megabytes int) func() bool {
		return func() bool {
			n := 0
			onLoop(t, srv, func(w *worker) {
				for s := w.sessions; s != nil; s = s.next {
					n += len(s.in)
				}
			})
			return n >= megabytes<<20
		}
	}
	first := upload(60, 55)
	redistest.WaitFor(t, "the first to be read", held(55))
	if srv.memory.short.Load() {
		t.Fatal("memory is short already")
	}
	second := upload(300, 80) // enough to be believed, and given a buffer for all of it
	want(t, "what the one hears whose request needs the memory", second.Recv(), "-"+errOutOfMemory+"\r\n")
	second.RecvEOF()
	if !log.has("memory is short", "max_memory=") || !log.has(`"client closed"`, "max_memory") {
		t.Errorf("not in the log:\n%s", log)
	}
	if n := errorsOf(t, srv, "out_of_memory"); n < 1 {
		t.Errorf("%v are counted", n)
	}
	for range 5 {
		first.SendRaw(chunk)
	}
	first.SendRaw("\r\n")
	first.Flush()
	want(t, "the older one", first.Recv(), "+OK\r\n")
	redistest.WaitFor(t, "there to be enough memory again", func() bool { return metric(t, srv, "ringway_memory_short") == 0 })
	want(t, "GET of a client from before", small.Do("GET", "k"), "$1\r\nv\r\n")

	// Held short, it shows what else is refused.
	reloadWith(t, srv, func(c *config.Config) { c.MaxMemory = 64 << 20 })
	ballast := make([]byte, 64<<20)
	ballast[0] = 1
	redistest.WaitFor(t, "memory to be short", func() bool { return metric(t, srv, "ringway_memory_short") == 1 })
	c, _ := comeIn(t, srv, "127.0.0.1")
	want(t, "a new client", c.Recv(), "-"+errOutOfMemory+"\r\n")
	c.RecvEOF()
	want(t, "a request for a transaction", queues.Do("SET", "k", "v"), "-"+errOutOfMemory+"\r\n")
	want(t, "EXEC", queues.Do("EXEC"), "-EXECABORT Transaction discarded because of previous errors.\r\n")
	want(t, "GET of a client from before", small.Do("GET", "k"), "$1\r\nv\r\n")
	if held, limit := metric(t, srv, "ringway_memory_held_bytes"), metric(t, srv, "ringway_memory_limit_bytes"); held <= limit {
		t.Errorf("%v bytes are held, of %v", held, limit)
	}
	ballast[1] = ballast[0]
	reloadWith(t, srv, func(c *config.Config) { c.MaxMemory = 0 })
	want(t, "a request for a transaction", queues.Do("MULTI"), "+OK\r\n")
	if d, in := comeIn(t, srv, "127.0.0.1"); !in || d.Do("PING") != "+PONG\r\n" {
		t.Error("nobody can come in without a limit")
	}
}

// Limits of users of a file, and of those whom the nodes know, stand by themselves.
func TestLimitOfRequestsByName(t *testing.T) {
	refusal := "-RATELIMIT user 'few' has had its 1 requests a second; try again later\r\n"
	limits := []config.UserLimit{{User: "few", RequestRate: 1, RequestBurst: 10}, {User: "nobody", RequestRate: 1}}
	t.Run("of a file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "users.acl")
		if err := os.WriteFile(file, []byte("user default off\nuser few on nopass ~* +@all\nuser many on nopass ~* +@all"), 0o600); err != nil {
			t.Fatal(err)
		}
		srv, log := serveLogged(t, onPool(func(p *config.Pool) { p.UsersFile, p.UserLimits = file, limits }), nodes(t, 1)...)
		few, many := client(t, srv), client(t, srv)
		want(t, "AUTH", few.Do("AUTH", "few", "x"), "+OK\r\n")
		want(t, "AUTH", many.Do("AUTH", "many", "x"), "+OK\r\n")
		counts(t, srv, "rate_limited", rateOf(t, srv, few, 10, refusal))
		for range 20 {
			want(t, "GET of another user", many.Do("GET", "k"), "$-1\r\n")
		}
		if !log.has("user_limits is about a user who is not in the file", "user=nobody") || log.has("not in the file", "user=few") {
			t.Errorf("the log:\n%s", log)
		}
		// The file is read again, and the limit counts on; without a limit there is none.
		want(t, "ACL LOAD", many.Do("ACL", "LOAD"), "+OK\r\n")
		rateOf(t, srv, few, 0, refusal)
		reloadWith(t, srv, onPool(func(p *config.Pool) { p.UserLimits = nil }))
		for range 20 {
			want(t, "GET without a limit", few.Do("GET", "k"), "$-1\r\n")
		}
		balanced(t, srv)
	})
	t.Run("with passthrough", func(t *testing.T) {
		srv, watch, _ := serveThrough(t, func(p *config.Pool) { p.UserLimits = limits })
		for _, w := range watch {
			want(t, "ACL SETUSER", w.Do("ACL", "SETUSER", "few", "on", ">f", "~*", "+@all"), "+OK\r\n")
		}
		rateOf(t, srv, loggedIn(t, srv, "few", "f"), 10, refusal)
		rateOf(t, srv, loggedIn(t, srv, "few", "f"), 0, refusal)
		alice := loggedIn(t, srv, "alice", "a")
		for range 20 {
			want(t, "GET of another user", alice.Do("GET", "a:1"), "$-1\r\n")
		}
	})
	t.Run("of the only user", func(t *testing.T) {
		srv := serve(t, onPool(func(p *config.Pool) {
			p.UserLimits = []config.UserLimit{{User: "default", RequestRate: 1, RequestBurst: 10}}
		}), nodes(t, 1)...)
		rateOf(t, srv, client(t, srv), 10, strings.Replace(refusal, "few", "default", 1))
	})
}
