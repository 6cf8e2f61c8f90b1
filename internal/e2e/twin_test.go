package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// The same random commands go to Ringway on three servers and to one server alone; the replies must be the same bytes.
//
// Everything follows from the seed: commands, lengths of the pipelines, and the places where the bytes are cut. Two
// sessions of each protocol run at a time, each with keys of its own, so that each alone is repeatable.
func TestTwins(t *testing.T) {
	twins(t, redistest.Server, number(t, "RINGWAY_TWIN", size(1_000_000, 200_000)))
}

// The same with the servers of another make, which know more commands.
func TestTwinsWithValkey(t *testing.T) {
	twins(t, redistest.Valkey, number(t, "RINGWAY_TWIN", size(1_000_000, 60_000)))
}

func twins(t *testing.T, server func(t testing.TB, args ...string) *redistest.Redis, total int) {
	seed := number(t, "RINGWAY_SEED", 1)
	var nodes []*redistest.Redis
	for range 3 {
		nodes = append(nodes, server(t))
	}
	alone := server(t)
	r := serve(t, pool{nodes: addresses(nodes)})

	teach(t, r.addr(), alone.Addr())

	t.Run("sessions", func(t *testing.T) {
		for _, proto := range []int{2, 3} {
			for i := range 2 {
				t.Run(fmt.Sprintf("RESP%d/%d", proto, i), func(t *testing.T) {
					t.Parallel()
					tw := twin{seed: uint64(4*seed + 2*(proto-2) + i), protocol: proto, commands: total / 4}
					if proto+i > 2 {
						tw.prefix = fmt.Sprintf("%d/%d:", proto, i)
					}
					tw.run(t, r.addr(), alone.Addr())
				})
			}
		}
	})

	if t.Failed() {
		return
	}

	// What is left behind is the same, too, and each key is in one place.
	want := keyspace(t, alone)
	got := make(map[string]int)
	for i, n := range nodes {
		k := keyspace(t, n)
		t.Logf("node %d ends with %d keys", i, len(k))
		if len(k) == 0 {
			t.Errorf("node %d has no keys: this was no test of sharding", i)
		}
		for key := range k {
			if j, twice := got[key]; twice {
				t.Errorf("key %q is on node %d and on node %d", key, j, i)
			}
			if _, wanted := want[key]; !wanted {
				t.Errorf("key %q on node %d does not exist on the server alone", key, i)
			}
			got[key] = i
		}
	}
	for key := range want {
		if _, there := got[key]; !there {
			t.Errorf("key %q exists only on the server alone", key)
		}
	}
}

// Two real servers agree on everything that the generator makes: what differs through Ringway is Ringway's fault.
func TestTwinsOfTwoRealServersAgree(t *testing.T) {
	for name, server := range map[string]func(t testing.TB, args ...string) *redistest.Redis{"Redis": redistest.Server, "Valkey": redistest.Valkey} {
		t.Run(name, func(t *testing.T) {
			a, b := server(t), server(t)
			teach(t, a.Addr(), b.Addr())
			for _, proto := range []int{2, 3} {
				tw := twin{seed: uint64(number(t, "RINGWAY_SEED", 99)), protocol: proto, commands: number(t, "RINGWAY_TWIN", 10_000)}
				tw.run(t, a.Addr(), b.Addr())
			}
		})
	}
}

// teach loads the scripts and functions that the generator relies on.
func teach(t *testing.T, addrs ...string) {
	t.Helper()
	for _, addr := range addrs {
		c := redistest.Dial(t, addr)
		for _, s := range scripts {
			want(t, c, redistest.Bulk(digest(s)), "SCRIPT", "LOAD", s)
		}
		want(t, c, "$5\r\ntwins\r\n", "FUNCTION", "LOAD", library)
	}
}

// keyspace returns the keys of all databases, each with its database in front.
func keyspace(t *testing.T, r *redistest.Redis) map[string]int {
	t.Helper()
	c := redistest.Dial(t, r.Addr())
	all := make(map[string]int)
	for db := range 16 {
		c.Do("SELECT", fmt.Sprint(db))
		for _, key := range elements(t, c.Do("KEYS", "*")) {
			_, name, _ := strings.Cut(key, "\r\n")
			all[fmt.Sprintf("%d/%s", db, strings.TrimSuffix(name, "\r\n"))] = db
		}
	}
	return all
}

// elements returns the elements of an array, raw.
func elements(t *testing.T, reply string) []string {
	t.Helper()
	head, rest, _ := strings.Cut(reply, "\r\n")
	if head == "" || !strings.ContainsRune("*~>", rune(head[0])) {
		t.Fatalf("%s is not an array", shorten([]byte(reply)))
	}
	r := bufio.NewReader(strings.NewReader(rest))
	var elems []string
	for {
		e, err := redistest.ReadReply(r, nil)
		if errors.Is(err, io.EOF) {
			return elems
		}
		elems = append(elems, string(e))
	}
}

// twin is one session that leads two connections.
type twin struct {
	seed     uint64
	prefix   string // of the session's keys; only one session may have ""
	protocol int
	commands int
}

func (tw twin) run(t *testing.T, subject, reference string) {
	t.Helper()
	start := time.Now()
	g := newGenerator(tw.seed, tw.prefix, tw.protocol)
	a, b := redistest.Dial(t, subject), redistest.Dial(t, reference)
	for _, c := range []*redistest.Conn{a, b} {
		if tw.protocol == 3 {
			if got := c.Do("HELLO", "3"); !strings.HasPrefix(got, "%") {
				t.Fatalf("HELLO 3: %q", got)
			}
		}
	}
	info := b.Do("INFO", "server")
	g.other = !strings.Contains(info, "redis_version:7.0")
	g.younger = strings.Contains(info, "valkey_version:9.")
	g.dumps = dumps(t, b, tw.prefix)
	g.library = body(b.Do("FUNCTION", "DUMP"))
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d, RESP%d: %s", tw.seed, tw.protocol, fmt.Sprintf(format, args...))
	}
	kinds := make(map[byte]int)
	var gotBuf, wantBuf []byte
	pipelines := 0
	for sent := 0; sent < tw.commands; pipelines++ {
		var batch []command
		var wire []byte
		for n := min(g.pipelineLength(), tw.commands-sent); len(batch) < n; {
			for _, cmd := range g.next() {
				for range cmd.replies {
					batch = append(batch, cmd)
				}
				wire = append(wire, cmd.wire...)
			}
		}
		sent += len(batch)

		written := make(chan error, 2)
		cuts := g.cuts(len(wire))
		go func() { written <- writePieces(a, wire, cuts) }()
		go func() { written <- writePieces(b, wire, nil) }()
		for i, cmd := range batch {
			var err error
			if gotBuf, err = a.TryRecv(gotBuf[:0]); err != nil {
				fail("command %d of a pipeline of %d, no reply: %v\n%s", i+1, len(batch), err, describe(batch, i))
			}
			if wantBuf, err = b.TryRecv(wantBuf[:0]); err != nil {
				fail("command %d of a pipeline of %d, no reply from the server alone: %v\n%s", i+1, len(batch), err, describe(batch, i))
			}
			if !cmd.same(string(gotBuf), string(wantBuf)) {
				fail("command %d of a pipeline of %d, after %d commands\n%s\n got  %s\n want %s",
					i+1, len(batch), sent-len(batch)+i, describe(batch, i), shorten(gotBuf), shorten(wantBuf))
			}
			kinds[wantBuf[0]]++
		}
		for range 2 {
			if err := <-written; err != nil {
				fail("cannot write: %v", err)
			}
		}
	}
	// Nothing may be left over: the next reply is the next command's.
	for _, c := range []*redistest.Conn{a, b} {
		if got := c.Do("ECHO", "the end"); got != redistest.Bulk("the end") {
			fail("after the last reply came one more: %q", got)
		}
	}
	var seen []string
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		seen = append(seen, fmt.Sprintf("%c %d", k, kinds[k]))
	}
	t.Logf("RESP%d, seed %d: %d commands in %d pipelines, %v; replies by type: %s",
		tw.protocol, tw.seed, tw.commands, pipelines, time.Since(start).Round(time.Millisecond), strings.Join(seen, ", "))
	if errs := float64(kinds['-']) / float64(tw.commands); errs > 0.5 {
		t.Errorf("%.0f %% of the replies are errors: the generator has gone astray", 100*errs)
	}
}

// dumps returns serialized values, for RESTORE.
func dumps(t *testing.T, c *redistest.Conn, prefix string) []string {
	t.Helper()
	var all []string
	for _, args := range [][]string{
		{"SET", "", "a string"}, {"RPUSH", "", "1", "b", "\r\n"}, {"ZADD", "", "1", "a", "2.5", "b"}, {"HSET", "", "f", "v"},
	} {
		args[1] = prefix + "to be dumped"
		c.Do(args...)
		_, payload, _ := strings.Cut(c.Do("DUMP", args[1]), "\r\n")
		all = append(all, strings.TrimSuffix(payload, "\r\n"))
		c.Do("DEL", args[1])
	}
	return all
}

// writePieces writes b in the pieces that the cuts make. A piece now and then is given time to arrive alone.
func writePieces(w io.Writer, b []byte, cuts []int) error {
	if c, ok := w.(net.Conn); ok {
		c.SetWriteDeadline(time.Now().Add(time.Minute))
	}
	at := 0
	for i, cut := range append(cuts, len(b)) {
		if cut == at {
			continue
		}
		if _, err := w.Write(b[at:cut]); err != nil {
			return err
		}
		at = cut
		if i%4 == 0 {
			time.Sleep(50 * time.Microsecond)
		}
	}
	return nil
}

func describe(batch []command, i int) string {
	s := fmt.Sprintf(" sent %s", shorten([]byte(batch[i].wire)))
	if i > 0 {
		s += fmt.Sprintf("\n after %s", shorten([]byte(batch[i-1].wire)))
	}
	return s
}

func shorten(b []byte) string {
	if len(b) <= 600 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q ... %q (%d bytes)", b[:300], b[len(b)-200:], len(b))
}

// sameSorted compares replies whose order of elements is a matter of chance, at every depth.
func sameSorted(a, b string) bool { return a == b || sorted(a) == sorted(b) }

// sameShape compares replies whose numbers depend on the time, or on the server's memory: any is as good as another, but -1
// and the like, which mean something.
func sameShape(a, b string) bool {
	return a == b || digits.ReplaceAllString(a, "0") == digits.ReplaceAllString(b, "0")
}

// sameType is for replies that tell of the server itself.
func sameType(a, b string) bool { return a[0] == b[0] && (a[0] != '-' || a == b) }

var digits = regexp.MustCompile(`[0-9]+`)

func sorted(reply string) string {
	head, rest, _ := strings.Cut(reply, "\r\n")
	if head == "" || !strings.ContainsRune("*~%", rune(head[0])) || rest == "" {
		return reply
	}
	r := bufio.NewReader(strings.NewReader(rest))
	var elems []string
	for {
		e, err := redistest.ReadReply(r, nil)
		if errors.Is(err, io.EOF) {
			break
		}
		elem := sorted(string(e))
		if head[0] == '%' { // what belongs to a name stays with it
			e, _ = redistest.ReadReply(r, nil)
			elem += sorted(string(e))
		}
		elems = append(elems, elem)
	}
	slices.Sort(elems)
	return head + "\r\n" + strings.Join(elems, "")
}
