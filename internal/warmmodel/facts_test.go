package warmmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestMain(m *testing.M) {
	if dir, err := os.UserCacheDir(); err == nil { // where `make servers` puts what no distribution has
		os.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(dir, "ringway", "bin"))
	}
	os.Exit(m.Run())
}

const (
	key    = "k"
	marker = "__ringway:move:k"
)

// bench is a server and two connections: a mover's, and that of everybody else.
type bench struct {
	t             testing.TB
	mover, others *redistest.Conn
	payload       string // of the value "old"
}

func (b *bench) expect(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Fatalf("got %q, want %q", got, want)
	}
}

// begin is the mover's first step, and its look: the marker is there, the key is not.
func (b *bench) begin(life string) {
	b.t.Helper()
	b.expect(b.mover.Do("SET", marker, "1", "NX", "PX", life), "+OK\r\n")
	b.expect(b.mover.Do("WATCH", marker), "+OK\r\n")
	b.expect(b.mover.Do("EXISTS", marker), ":1\r\n")
	b.expect(b.mover.Do("EXISTS", key), ":0\r\n")
}

// end is the mover's last step.
func (b *bench) end() string {
	b.t.Helper()
	b.mover.Do("MULTI")
	b.mover.Do("RESTORE", key, "0", b.payload)
	b.mover.Do("UNLINK", marker)
	return b.mover.Do("EXEC")
}

// TestWhatTheProofTakesFromServers asks real servers for what the proof relies on.
func TestWhatTheProofTakesFromServers(t *testing.T) {
	for _, s := range []struct {
		name  string
		start func(testing.TB, ...string) *redistest.Redis
	}{{"redis", redistest.Server}, {"valkey", redistest.Valkey}} {
		srv := s.start(t, "--enable-debug-command", "yes", "--maxmemory-policy", "allkeys-random")
		for _, c := range []struct {
			name string
			f    func(b *bench)
		}{
			{"an untouched marker lets the restore through", restoreGoesThrough},
			{"an unlinked marker stops the restore", restoreStops(func(b *bench) { b.expect(b.others.Do("UNLINK", marker), ":1\r\n") })},
			{"a marker unlinked and set again stops the restore", restoreStops(func(b *bench) {
				b.expect(b.others.Do("UNLINK", marker), ":1\r\n")
				b.expect(b.others.Do("SET", marker, "1", "NX", "PX", "60000"), "+OK\r\n")
			})},
			{"an expired marker stops the restore", expiredMarkerStops},
			{"an evicted marker stops the restore", restoreStops(func(b *bench) {
				b.expect(b.others.Do("CONFIG", "SET", "maxmemory", "1"), "+OK\r\n")
				b.others.Do("PING")
				b.expect(b.others.Do("CONFIG", "SET", "maxmemory", "0"), "+OK\r\n")
				b.expect(b.others.Do("EXISTS", marker), ":0\r\n")
			})},
			{"FLUSHALL stops the restore", restoreStops(func(b *bench) { b.expect(b.others.Do("FLUSHALL"), "+OK\r\n") })},
			{"a write that is evicted again stops the restore", restoreStops(func(b *bench) {
				b.others.Send("UNLINK", marker)
				b.others.Send("SET", key, "new")
				b.others.Send("DEL", key)
				b.others.Flush()
				b.expect(b.others.Recv()+b.others.Recv()+b.others.Recv(), ":1\r\n+OK\r\n:1\r\n")
			})},
			{"without a marker nothing stops it", func(b *bench) { // hence the look: DEL and FLUSHALL of what is not there touch nothing
				b.mover.Do("WATCH", marker, key)
				b.others.Do("UNLINK", marker, key)
				b.others.Do("FLUSHALL")
				b.expect(b.end(), "*2\r\n+OK\r\n:0\r\n")
			}},
			{"a restore does not overwrite", func(b *bench) {
				b.begin("60000")
				b.expect(b.others.Do("SET", key, "new"), "+OK\r\n")
				if got := b.end(); !strings.HasPrefix(got, "*2\r\n-BUSYKEY") {
					b.t.Fatalf("got %q, want BUSYKEY", got)
				}
				b.expect(b.others.Do("GET", key), "$3\r\nnew\r\n")
				b.expect(b.others.Do("EXISTS", marker), ":0\r\n")
			}},
			{"type and time to live come along", typeComesAlong},
			{"a claim and the look at the others are one step", func(b *bench) {
				b.others.Do("HSET", "registry", "other", "old")
				b.mover.Do("MULTI")
				b.mover.Do("HGETALL", "registry")
				b.mover.Do("HSET", "registry", "me", "warm")
				b.expect(b.mover.Do("EXEC"), "*2\r\n*2\r\n"+redistest.Bulk("other")+redistest.Bulk("old")+":1\r\n")
			}},
		} {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				b := &bench{t: t, mover: redistest.Dial(t, srv.Addr()), others: redistest.Dial(t, srv.Addr())}
				b.others.Do("FLUSHALL")
				b.others.Do("SET", key, "old")
				b.payload = unbulk(b.others.Do("DUMP", key))
				b.others.Do("DEL", key)
				c.f(b)
			})
		}
	}
}

func restoreGoesThrough(b *bench) {
	b.begin("60000")
	b.expect(b.others.Do("UNLINK", "another"), ":0\r\n")
	b.expect(b.end(), "*2\r\n+OK\r\n:1\r\n")
	b.expect(b.others.Do("GET", key), "$3\r\nold\r\n")
}

func restoreStops(by func(b *bench)) func(b *bench) {
	return func(b *bench) {
		b.begin("60000")
		by(b)
		b.expect(b.end(), "*-1\r\n")
		b.expect(b.others.Do("EXISTS", key), ":0\r\n")
	}
}

// expiredMarkerStops has the server not look for expired keys by itself: the marker is past its time and still there. Before redis#9194, of
// July 2021, such a marker let the restore through.
func expiredMarkerStops(b *bench) {
	b.expect(b.others.Do("DEBUG", "SET-ACTIVE-EXPIRE", "0"), "+OK\r\n")
	defer b.others.Do("DEBUG", "SET-ACTIVE-EXPIRE", "1")
	b.begin("30")
	time.Sleep(60 * time.Millisecond)
	b.expect(b.end(), "*-1\r\n")
}

func typeComesAlong(b *bench) {
	b.others.Do("HSET", "h", "field", "value")
	b.others.Do("PEXPIRE", "h", "50000")
	b.others.Do("MULTI")
	b.others.Do("PTTL", "h")
	b.others.Do("DUMP", "h")
	b.others.Do("UNLINK", "h")
	got := strings.TrimSuffix(b.others.Do("EXEC"), ":1\r\n")
	ttl, dump, _ := strings.Cut(strings.TrimPrefix(got, "*3\r\n:"), "\r\n")
	if len(ttl) != 5 {
		b.t.Fatalf("PTTL is %q", ttl)
	}
	b.expect(b.mover.Do("RESTORE", key, ttl, unbulk(dump)), "+OK\r\n")
	b.expect(b.others.Do("HGET", key, "field"), "$5\r\nvalue\r\n")
	if got := b.others.Do("PTTL", key); len(got) != len(":49999\r\n") {
		b.t.Fatalf("PTTL of the moved key is %q", got)
	}
}

// unbulk takes a bulk string out of its frame.
func unbulk(reply string) string {
	_, body, _ := strings.Cut(reply, "\r\n")
	return strings.TrimSuffix(body, "\r\n")
}
