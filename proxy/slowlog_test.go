package proxy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/redistest"
	"ringway/resp"
)

// slowFrom has the slow log begin at a duration, and gives it room.
func slowFrom(d time.Duration) func(*config.Config) {
	return onPool(func(p *config.Pool) { p.SlowThreshold, p.SlowLength = d, 10000 })
}

// texts are the elements of a list, as texts.
func texts(reply []byte) (list []string) {
	for _, e := range elements(reply) {
		list = append(list, string(text(e)))
	}
	return list
}

// slowArgs returns what SLOWLOG has of all requests, the first one first.
func slowArgs(c *redistest.Conn) (list []string) {
	for _, e := range elements([]byte(c.Do("SLOWLOG", "GET", "-1"))) {
		list = append(list, strings.Join(texts(elements(e)[3]), " "))
	}
	slices.Reverse(list)
	return list
}

// tellsOf returns the entry of RINGWAY SLOWLOG for a request, by name; nil if there is none.
func tellsOf(c *redistest.Conn, request string) map[string]string {
	for _, e := range elements([]byte(c.Do("RINGWAY", "SLOWLOG", "-1"))) {
		fields := elements(e)
		entry := map[string]string{}
		for i := 0; i < len(fields); i += 2 {
			name := string(text(fields[i]))
			switch fields[i+1][0] {
			case '*':
				entry[name] = strings.Join(texts(fields[i+1]), " ")
			case ':':
				entry[name] = strconv.FormatInt(intOf(fields[i+1]), 10)
			default:
				entry[name] = string(text(fields[i+1]))
			}
		}
		if entry["arguments"] == request {
			return entry
		}
	}
	return nil
}

// lasted fails the test unless a field of an entry is that long at least.
func lasted(t *testing.T, entry map[string]string, field string, atLeast int64) {
	t.Helper()
	if n, err := strconv.ParseInt(entry[field], 10, 64); err != nil || n*1000 < atLeast-1000 {
		t.Errorf("%s is %q, want %v at least", field, entry[field], time.Duration(atLeast))
	}
}

func TestSlowRequestsAreToldWithWhereTheyWereSlow(t *testing.T) {
	slow := redistest.Server(t)
	srv := serve(t, slowFrom(time.Duration(aWhile)), slow.Addr(), redistest.Server(t).Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c, resp3 := client(t, srv), client(t, srv)
	resp3.Do("HELLO", "3")
	c.Do("CLIENT", "SETNAME", "me")
	c.Do("MGET", mine, other)
	slow.Stop()
	c.Send("SET", mine, "a b")
	c.Send("GET", other)
	c.Send("MGET", other, mine)
	c.Flush()
	redistest.WaitFor(t, "the requests to be at the nodes", func() bool {
		n := counted(srv)
		return n.Nodes[0].Depth == 2 && n.Nodes[1].Requests == 3 && n.Nodes[1].Depth == 0
	})
	pass(t)
	slow.Cont()
	for range 3 {
		c.Recv()
	}
	var set map[string]string
	redistest.WaitFor(t, "the reply to be written", func() bool {
		set = tellsOf(c, "SET "+mine+" a b")
		return set != nil && set["writing-microseconds"] != "-1"
	})
	for _, field := range []string{"microseconds", "at-node-microseconds"} {
		lasted(t, set, field, aWhile)
	}
	want(t, "the node", set["node"], "n0")
	want(t, "the client's name", set["client-name"], "me")
	if at, _ := strconv.ParseInt(set["time"], 10, 64); time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		t.Errorf("the time is %q", set["time"])
	}
	if mget := tellsOf(resp3, "MGET "+other+" "+mine); mget["node"] != "n0" || mget["client"] != set["client"] {
		t.Errorf("a request in parts: %v; the client is %s", mget, set["client"])
	}
	entry := elements(elements([]byte(c.Do("SLOWLOG", "GET", "1")))[0])
	if len(entry) != 6 {
		t.Errorf("an entry of SLOWLOG GET has %d fields, which some clients take for the next entry", len(entry))
	}
	if n := counted(srv).Slow; n < 2 {
		t.Errorf("%d slow requests are counted", n)
	}
	balanced(t, srv)
}

func TestSlowRequestsThatFailAreToldToo(t *testing.T) {
	slow := redistest.Server(t)
	srv := serve(t, func(c *config.Config) {
		slowFrom(time.Duration(aWhile))(c)
		c.Pools[0].Timeout, c.Pools[0].ReadRetries = 2*time.Duration(aWhile), 0
	}, slow.Addr())
	c, watch := client(t, srv), client(t, srv)
	c.Do("GET", "k")
	slow.Stop()
	defer slow.Cont()
	if got := c.Do("SET", "k", "v"); got[0] != '-' {
		t.Fatalf("a frozen node: %q", got)
	}
	e := tellsOf(watch, "SET k v")
	lasted(t, e, "at-node-microseconds", aWhile)
	want(t, "the node", e["node"], "n0")
}

// What is in the slow log is what a server has there, word by word.
func TestSlowlogHasTheArgumentsOfARealOne(t *testing.T) {
	srv, one := serve(t, slowFrom(0), nodes(t, 3)...), redistest.Server(t)
	through, direct := client(t, srv), redistest.Dial(t, one.Addr())
	direct.Do("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "10000")
	direct.Do("SLOWLOG", "RESET")
	mset, mget := []string{"MSET"}, []string{"MGET"}
	for i := range 50 {
		mset, mget = append(mset, fmt.Sprint("{k}", i), strings.Repeat("v", i*4)), append(mget, fmt.Sprint("{k}", i))
	}
	requests := [][]string{
		{"SET", "k", "v"}, {"get", "k"}, {"SET", "k", ""}, {"SET", "binary", "a\r\nb\x00\xff"},
		{"SET", "long", strings.Repeat("x", 128)}, {"SET", "longer", strings.Repeat("x", 129)}, {"SET", "longest", strings.Repeat("x", 100_000)},
		{"SET", "huge", strings.Repeat("y", 2<<20)}, {"MSET", "a", "1", "b", "2", "c", "3"}, {"MGET", "a", "b", "c"}, mset, mget, {"EVAL", "return ARGV[1]", "1", "k", "x"},
		{"RPUSH", "l", "1", "2"}, {"LRANGE", "l", "0", "-1"}, {"KEYS", "*"}, {"SORT", "l"}, {"DEL", "a", "b", "c"}, {"CONFIG", "SET", "hz", "10", "maxmemory-samples", "5"},
	}
	for _, pipelined := range []bool{false, true} {
		for _, c := range []*redistest.Conn{through, direct} {
			for _, r := range requests {
				if c.Send(r...); !pipelined {
					c.Flush()
					c.Recv()
				}
			}
			c.Flush()
			for i := 0; pipelined && i < len(requests); i++ {
				c.Recv()
			}
		}
	}
	isReset := func(s string) bool { return strings.HasPrefix(s, "SLOWLOG") }
	got, wanted := slices.DeleteFunc(slowArgs(through), isReset), slices.DeleteFunc(slowArgs(direct), isReset)
	slices.Sort(got) // replies may come from one node before another
	slices.Sort(wanted)
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("%d entries, a server has %d; at %d: %.300q, a server's %.300q", len(got), len(wanted), i, got[min(i, len(got)-1)], wanted[min(i, len(wanted)-1)])
		}
	}
	for request, words := range map[string]string{"SLOWLOG GET -2": "", "SLOWLOG GET x": "", "SLOWLOG GET 1 2": "", "SLOWLOG LEN 1": "", "SLOWLOG NONSENSE": ""} {
		words = direct.Do(strings.Fields(request)...)
		want(t, request, through.Do(strings.Fields(request)...), words)
	}
	balanced(t, srv)
}

// However the requests come, and whatever is in flight before them, what is told are the arguments of the right one.
func TestArgumentsAreThoseOfTheSlowRequest(t *testing.T) {
	srv := serve(t, slowFrom(0), nodes(t, 3)...)
	c := client(t, srv)
	var wanted []string
	n := 0
	request := func(size int) []byte {
		args := []string{"SET", fmt.Sprint("key:", n), strings.Repeat("v", size)}
		n++
		if size > mostCutBytes {
			wanted = append(wanted, fmt.Sprintf("SET %s %s... (%d more bytes)", args[1], args[2][:mostCutBytes], size-mostCutBytes))
		} else {
			wanted = append(wanted, strings.Join(args, " "))
		}
		return redistest.AppendCommand(nil, args...)
	}
	ask := func(name string, replies int, pieces ...[]byte) {
		t.Helper()
		for _, p := range pieces {
			c.SendRaw(string(p))
			c.Flush()
		}
		for range replies {
			want(t, name, c.Recv(), "+OK\r\n")
		}
		got := slices.DeleteFunc(slowArgs(c), func(s string) bool { return !strings.HasPrefix(s, "SET") })
		want(t, name+": replies", fmt.Sprint(len(got)), fmt.Sprint(len(wanted)))
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Fatalf("%s: got %.500q, want %.500q", name, got, wanted)
		}
		c.Do("SLOWLOG", "RESET")
		wanted = nil
	}
	var bytewise [][]byte
	for _, b := range request(3) {
		bytewise = append(bytewise, []byte{b})
	}
	ask("byte by byte", 1, bytewise...)
	ask("inline", 1, func() []byte { wanted = append(wanted, "SET inline 1"); return []byte("SET inline 1\r\n") }())
	var small, mixed []byte
	for range 200 {
		small = append(small, request(10)...)
	}
	ask("many at once", 200, small)
	ask("many in two pieces", 200, func() [][]byte {
		small = nil
		for range 200 {
			small = append(small, request(10)...)
		}
		return [][]byte{small[:len(small)/2+3], small[len(small)/2+3:]}
	}()...)
	for i := range 60 {
		mixed = append(mixed, request(i*i)...)
		mixed = append(append(mixed, "PING\r\n"[:0]...), request(1)...)
	}
	ask("small and large ones", 120, mixed)
	balanced(t, srv)
}

// More than is remembered is in flight: then it is said that the arguments are not known, and none are told that are another request's.
func TestArgumentsThatWereNotKeptAreSaidToBe(t *testing.T) {
	slow := redistest.Server(t)
	srv := serve(t, slowFrom(0), slow.Addr())
	c := client(t, srv)
	const requests = 250
	value := strings.Repeat("v", 160)
	for round := range 3 {
		for i := range 2 * requests { // the window opens
			c.Send("SET", fmt.Sprint("open:", i), "v")
		}
		c.Flush()
		for range 2 * requests {
			c.Recv()
		}
		c.Do("SLOWLOG", "RESET")
		slow.Stop()
		for i := range requests {
			c.Send("SET", fmt.Sprint("k:", round, ":", i), value)
		}
		c.Flush()
		redistest.WaitFor(t, "all to be in flight", func() bool { return counted(srv).Nodes[0].Depth == requests })
		slow.Cont()
		for range requests {
			c.Recv()
		}
		unknown := 0
		got := slowArgs(c)
		got = got[len(got)-requests:]
		for i, args := range got {
			switch args {
			case "set " + notRemembered:
				unknown++
			case fmt.Sprintf("SET k:%d:%d %s... (%d more bytes)", round, i, value[:mostCutBytes], len(value)-mostCutBytes):
			default:
				t.Fatalf("request %d: %q", i, args)
			}
		}
		if unknown == 0 || unknown == requests {
			t.Errorf("the arguments of %d of %d are not known", unknown, requests)
		}
	}
	balanced(t, srv)
}

func TestPasswordsAreNotInTheSlowLog(t *testing.T) {
	for request, wanted := range map[string]string{
		"AUTH user secret":                             "AUTH (redacted) (redacted)",
		"HELLO 3 AUTH user secret SETNAME me":          "HELLO 3 AUTH (redacted) (redacted) SETNAME me",
		"MIGRATE host 1 k 0 1 AUTH secret":             "MIGRATE host 1 k 0 1 AUTH (redacted)",
		"MIGRATE host 1 k 0 1 AUTH2 user secret":       "MIGRATE host 1 k 0 1 AUTH2 (redacted) (redacted)",
		"ACL SETUSER me on >secret":                    "ACL SETUSER (redacted) (redacted) (redacted)",
		"CONFIG SET requirepass secret hz 10":          "CONFIG SET requirepass (redacted) hz 10",
		"CONFIG SET hz 10 MasterAuth secret":           "CONFIG SET hz 10 MasterAuth (redacted)",
		"CONFIG SET tls-key-file-pass secret port 123": "CONFIG SET tls-key-file-pass (redacted) port 123",
		"SET requirepass secret":                       "SET requirepass secret",
	} {
		var scan resp.RequestScanner
		if n, err := scan.Scan([]byte(request + "\r\n")); n == 0 || err != nil {
			t.Fatal(request, err)
		}
		c := command.Lookup(scan.Args.At(0))
		if c.Container() {
			c = c.Sub(scan.Args.At(1))
		}
		b, n := appendCut(nil, c, &scan.Args)
		want(t, request, strings.Join(texts(append(resp.AppendArray(nil, n), b...)), " "), wanted)
	}
}

// clientsOnAllLoops returns as many clients as it takes for each loop to have one.
func clientsOnAllLoops(t *testing.T, srv *Server) (all []*redistest.Conn) {
	for loops := map[*worker]bool{}; len(loops) < len(srv.workers); {
		all = append(all, client(t, srv))
		all[len(all)-1].Do("PING")
		for _, w := range srv.workers {
			redistest.Run(t, w.loop.Post, func() {
				if w.count > 0 {
					loops[w] = true
				}
			})
		}
	}
	return all
}

func TestSlowlogOfAllLoops(t *testing.T) {
	srv := serve(t, func(c *config.Config) {
		c.Threads = 2
		onPool(func(p *config.Pool) { p.SlowThreshold, p.SlowLength = 0, 5 })(c)
	}, nodes(t, 1)...)
	all := clientsOnAllLoops(t, srv)
	for i := range 8 {
		for _, c := range all {
			c.Do("SET", fmt.Sprint("k", i), "v")
		}
	}
	c := all[0]
	entries := elements([]byte(c.Do("SLOWLOG", "GET", "-1")))
	want(t, "LEN", c.Do("SLOWLOG", "LEN"), ":5\r\n")
	last := int64(8*len(all) - 1)
	for i, e := range entries {
		if id := firstInt(e); id != last-int64(i) {
			t.Errorf("entry %d has the number %d, want %d", i, id, last-int64(i))
		}
	}
	want(t, "GET 2", fmt.Sprint(len(elements([]byte(c.Do("SLOWLOG", "GET", "2"))))), "2")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.SlowLength = 3 }))
	want(t, "the latest stay", string(elements([]byte(c.Do("SLOWLOG", "GET", "-1")))[2]), string(entries[2]))
	want(t, "LEN of a shorter one", c.Do("SLOWLOG", "LEN"), ":3\r\n")
	want(t, "RESET", c.Do("SLOWLOG", "RESET"), "+OK\r\n")
	want(t, "LEN after it", c.Do("SLOWLOG", "LEN"), ":0\r\n")
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.SlowThreshold = config.NoSlowlog }))
	c.Do("SET", "k", "v")
	want(t, "LEN without one", c.Do("SLOWLOG", "LEN"), ":0\r\n")
}

func TestWhatBlocksIsNotSlow(t *testing.T) {
	srv := serve(t, slowFrom(time.Duration(aWhile)/4), nodes(t, 1)...)
	c := client(t, srv)
	want(t, "BLPOP", c.Do("BLPOP", "nothing", "0.05"), "*-1\r\n")
	if e := tellsOf(c, "BLPOP nothing 0.05"); e != nil {
		t.Errorf("BLPOP is told: %v", e)
	}
}

func TestNodesTellTheirSlowLogs(t *testing.T) {
	a, b := redistest.Server(t), redistest.Server(t)
	srv := serve(t, slowFrom(time.Hour), a.Addr(), b.Addr())
	c := client(t, srv)
	for _, node := range []*redistest.Redis{a, b} {
		want(t, "all is slow there", redistest.Dial(t, node.Addr()).Do("CONFIG", "SET", "slowlog-log-slower-than", "0"), "+OK\r\n")
	}
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c.Do("GET", mine)
	c.Do("GET", other)
	all := c.Do("RINGWAY", "NODES", "SLOWLOG", "GET", "-1")
	if !strings.Contains(all, redistest.Bulk(mine)) || !strings.Contains(all, redistest.Bulk(other)) {
		t.Errorf("the nodes tell %q", all)
	}
	want(t, "two of them", fmt.Sprint(len(elements([]byte(c.Do("RINGWAY", "NODES", "SLOWLOG", "GET", "2"))))), "2")
	want(t, "our own", c.Do("SLOWLOG", "LEN"), ":0\r\n")
	if n := intOf([]byte(c.Do("RINGWAY", "NODES", "slowlog", "len"))); n < 4 {
		t.Errorf("RINGWAY NODES SLOWLOG LEN: %d", n)
	}
	c.Do("CONFIG", "SET", "slowlog-log-slower-than", "-1")
	want(t, "RESET", c.Do("RINGWAY", "NODES", "SLOWLOG", "RESET"), "+OK\r\n")
	want(t, "LEN after it", c.Do("RINGWAY", "NODES", "SLOWLOG", "LEN"), ":0\r\n")
	if got := c.Do("RINGWAY", "NODES", "FLUSHALL"); !strings.HasPrefix(got, "-ERR RINGWAY NODES asks ") {
		t.Errorf("RINGWAY NODES FLUSHALL: %q", got)
	}
	if got := c.Do("RINGWAY", "NODES", "LATENCY", "HISTOGRAM", "get"); !strings.Contains(got, "histogram_usec") {
		t.Errorf("RINGWAY NODES LATENCY HISTOGRAM: %q", got)
	}
}

// What clients say of slow requests with Redis' own settings is of Ringway's slow log, on all loops, and of the nodes'.
func TestClientsSayWhatIsSlow(t *testing.T) {
	node := redistest.Server(t)
	srv := serve(t, func(c *config.Config) { c.Threads = 2 }, node.Addr())
	clients := clientsOnAllLoops(t, srv)
	c := clients[0]
	want(t, "before", c.Do("CONFIG", "GET", "slowlog-log-slower-than"), "*2\r\n"+redistest.Bulk("slowlog-log-slower-than")+redistest.Bulk("10000"))
	want(t, "all is slow", c.Do("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "3"), "+OK\r\n")
	want(t, "after", c.Do("CONFIG", "GET", "slowlog-log-slower-than"), "*2\r\n"+redistest.Bulk("slowlog-log-slower-than")+redistest.Bulk("0"))
	want(t, "at the node", redistest.Dial(t, node.Addr()).Do("CONFIG", "GET", "slowlog-max-len"), "*2\r\n"+redistest.Bulk("slowlog-max-len")+redistest.Bulk("3"))
	for _, c := range clients {
		want(t, "SLOWLOG RESET", c.Do("SLOWLOG", "RESET"), "+OK\r\n")
		c.Do("SET", "a", "1")
		c.Do("SET", "a", "2")
		want(t, "SLOWLOG LEN", c.Do("SLOWLOG", "LEN"), ":2\r\n")
		c.Do("SET", "a", "3")
		c.Do("SET", "a", "4")
		want(t, "of too many", c.Do("SLOWLOG", "LEN"), ":3\r\n")
	}
	for _, value := range []string{"-2", "x", ""} {
		if got := c.Do("CONFIG", "SET", "slowlog-log-slower-than", value); got[0] != '-' {
			t.Errorf("%q: %q", value, got)
		}
	}
	want(t, "still slow", c.Do("CONFIG", "GET", "slowlog-log-slower-than"), "*2\r\n"+redistest.Bulk("slowlog-log-slower-than")+redistest.Bulk("0"))
	for _, off := range [][]string{{"slowlog-max-len", "0"}, {"slowlog-max-len", "3", "slowlog-log-slower-than", "-1"}} {
		want(t, "nothing is slow", c.Do(append([]string{"CONFIG", "SET"}, off...)...), "+OK\r\n")
		c.Do("SET", "a", "5")
		want(t, "SLOWLOG LEN", c.Do("SLOWLOG", "LEN"), ":0\r\n")
	}
	reloadWith(t, srv, onPool(func(p *config.Pool) { p.SlowLength = 7 }))
	want(t, "as the file has it", c.Do("CONFIG", "GET", "slowlog-max-len"), "*2\r\n"+redistest.Bulk("slowlog-max-len")+redistest.Bulk("7"))
}

// When all requests are slow to note each would cost more than to serve it.
func TestNotEachOfManySlowRequestsIsNoted(t *testing.T) {
	l := &slowlog{}
	l.resize(10)
	takes := func(now int64) (n int) {
		for l.takes(now) {
			n++
		}
		return n
	}
	now := int64(time.Hour)
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, slowBurst}, {0, 0}, {10 * time.Millisecond, 100}, {time.Hour, slowBurst}, {50 * time.Microsecond, 0}, {50 * time.Microsecond, 1}} {
		now += int64(tt.after)
		if n := takes(now); n != tt.want {
			t.Errorf("%v later %d are noted, want %d", tt.after, n, tt.want)
		}
	}
	l.resize(5000)
	if n := takes(now + int64(time.Hour)); n != 5000 {
		t.Errorf("%d are noted where there is room for 5000", n)
	}

	const all = 20_000
	srv := serve(t, onPool(func(p *config.Pool) { p.SlowThreshold, p.SlowLength = 0, 100 }), nodes(t, 1)...)
	c := client(t, srv)
	for range all / 100 {
		for range 100 {
			c.Send("GET", "k")
		}
		c.Flush()
		for range 100 {
			c.Recv()
		}
	}
	if n := srv.Stats(0)[0].Slow; n != all {
		t.Errorf("%d of %d are counted", n, all)
	}
	want(t, "SLOWLOG LEN", c.Do("SLOWLOG", "LEN"), ":100\r\n")
	latest := elements([]byte(c.Do("SLOWLOG", "GET", "1")))
	if id := intOf(elements(latest[0])[0]); id < slowBurst || id >= all+10 {
		t.Errorf("the latest entry has the number %d", id)
	}
}
