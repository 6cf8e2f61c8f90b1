package hotmodel

import (
	"fmt"
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
	invalidate    = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
	invalidateAll = ">2\r\n$10\r\ninvalidate\r\n_\r\n"
)

// bench is a server, a tracking connection and that of everybody else.
type bench struct {
	t               testing.TB
	tracker, others *redistest.Conn
}

func (b *bench) expect(got, want string) {
	b.t.Helper()
	if got != want {
		b.t.Fatalf("got %q, want %q", got, want)
	}
}

// told checks which invalidations the tracking connection has: what came before the answer to a PING.
func (b *bench) told(want ...string) {
	b.t.Helper()
	for _, w := range want {
		b.expect(b.tracker.Recv(), w)
	}
	b.expect(b.tracker.Do("PING"), "+PONG\r\n")
}

// TestWhatTheProofTakesFromServers asks real servers for what the proof relies on.
func TestWhatTheProofTakesFromServers(t *testing.T) {
	for _, s := range []struct {
		name  string
		start func(testing.TB, ...string) *redistest.Redis
	}{{"redis", redistest.Server}, {"valkey", redistest.Valkey}} {
		srv := s.start(t, "--enable-debug-command", "yes")
		for _, c := range []struct {
			name string
			f    func(b *bench)
		}{
			{"PTTL puts a connection on the list, once", func(b *bench) {
				b.expect(b.tracker.Do("PTTL", "k"), ":-1\r\n")
				b.others.Do("SET", "k", "v1")
				b.others.Do("SET", "k", "v2")
				b.told(invalidate)
			}},
			{"GET does so, too", func(b *bench) {
				b.expect(b.tracker.Do("GET", "k"), redistest.Bulk("v"))
				b.others.Do("SET", "k", "v1")
				b.told(invalidate)
			}},
			{"PTTL of a key that is not there does, too", func(b *bench) {
				b.others.Do("DEL", "k")
				b.expect(b.tracker.Do("PTTL", "k"), ":-2\r\n")
				b.others.Do("SET", "k", "v1")
				b.told(invalidate)
			}},
			{"a read on another connection changes nothing", func(b *bench) {
				b.tracker.Do("PTTL", "k")
				b.others.Do("GET", "k")
				b.told()
				b.others.Do("SET", "k", "v1")
				b.told(invalidate)
			}},
			{"whatever changes the key, its value or its time to live", everyChange},
			{"a reply that knows of a write is behind its invalidation", races},
			{"nobody is told that a key has expired until it is deleted", lateDeletion},
			{"FLUSHALL is told to all, also of another database", func(b *bench) {
				b.others.Do("SELECT", "1")
				b.others.Do("FLUSHDB")
				b.told(invalidateAll)
			}},
			{"SWAPDB is told to nobody", func(b *bench) {
				b.tracker.Do("PTTL", "k")
				b.expect(b.others.Do("SWAPDB", "0", "1"), "+OK\r\n")
				b.told()
				b.expect(b.tracker.Do("GET", "k"), "_\r\n")
			}},
			{"a connection that doesn't track is told nothing", func(b *bench) {
				b.tracker.Do("CLIENT", "TRACKING", "OFF")
				b.tracker.Do("PTTL", "k")
				b.others.Do("SET", "k", "v1")
				b.told()
			}},
		} {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				b := &bench{t: t, tracker: redistest.Dial(t, srv.Addr()), others: redistest.Dial(t, srv.Addr())}
				b.others.Do("FLUSHALL")
				b.others.Do("SET", "k", "v")
				b.tracker.Do("HELLO", "3")
				b.expect(b.tracker.Do("CLIENT", "TRACKING", "ON"), "+OK\r\n")
				c.f(b)
			})
		}
	}
}

func everyChange(b *bench) {
	for _, change := range []string{"SET k v", "APPEND k x", "PEXPIRE k 60000", "PERSIST k", "COPY k other REPLACE", "RENAME k other", "RENAME other k",
		"EVAL redis.call('set','k','v') 0", "MOVE k 1", "RPUSH k a", "UNLINK k", "SETRANGE k 1 x", "GETDEL k"} {
		b.tracker.Do("PTTL", "k")
		args := strings.Fields(change)
		if got := b.others.Do(args...); got[0] == '-' {
			b.t.Fatalf("%s: %q", change, got)
		}
		if args[0] == "COPY" { // changes another
			b.told()
			continue
		}
		b.told(invalidate)
	}
	b.others.Do("SET", "k", "v")
	b.tracker.Do("PTTL", "k")
	b.others.Do("MULTI")
	b.others.Do("SET", "k", "v1")
	b.others.Do("SET", "k", "v2")
	b.others.Do("EXEC")
	b.told(invalidate)
}

// races has a GET on the tracking connection race with a write: the server takes them in either order.
func races(b *bench) {
	behind := 0
	for i := range 2000 {
		b.tracker.Do("PTTL", "k")
		value := fmt.Sprint(i)
		b.tracker.Send("GET", "k")
		b.others.Send("SET", "k", value)
		if i%2 == 0 {
			b.tracker.Flush()
			b.others.Flush()
		} else {
			b.others.Flush()
			b.tracker.Flush()
		}
		switch got := b.tracker.Recv(); got {
		case invalidate:
			behind++
			b.expect(b.tracker.Recv(), redistest.Bulk(value))
		case redistest.Bulk(value):
			b.t.Fatal("the reply is ahead of the invalidation")
		default:
			b.expect(b.tracker.Recv(), invalidate)
		}
		b.others.Recv()
	}
	if b.told(); behind == 0 {
		b.t.Fatal("the write never came first")
	}
}

// lateDeletion has the server not look for expired keys by itself. Who finds one is told, too, though behind his own reply.
func lateDeletion(b *bench) {
	b.others.Do("DEBUG", "SET-ACTIVE-EXPIRE", "0")
	defer b.others.Do("DEBUG", "SET-ACTIVE-EXPIRE", "1")
	b.others.Do("SET", "k", "v", "PX", "100")
	b.tracker.Do("PTTL", "k")
	for end := time.Now().Add(110 * time.Millisecond); time.Now().Before(end); {
		b.told()
	}
	b.expect(b.tracker.Do("PTTL", "k"), ":-2\r\n")
	b.others.Do("SET", "k", "v1")
	b.told(invalidate, invalidate)
}

// A slot that moves takes its keys off the list, each with an invalidation.
func TestASlotThatMovesIsTold(t *testing.T) {
	for _, s := range []struct {
		name  string
		start func(t testing.TB, primaries, replicas int, args ...string) *redistest.Cluster
		move  func(cl *redistest.Cluster, from, slot int)
	}{
		{"MIGRATE, redis", redistest.StartCluster, func(cl *redistest.Cluster, from, slot int) { cl.MoveSlots(from, 1-from, slot) }},
		{"MIGRATE, valkey", redistest.StartValkeyCluster, func(cl *redistest.Cluster, from, slot int) { cl.MoveSlots(from, 1-from, slot) }},
		{"MIGRATESLOTS, valkey", redistest.StartValkeyCluster, func(cl *redistest.Cluster, from, slot int) {
			cl.Node(from).Do("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", fmt.Sprint(slot), fmt.Sprint(slot), "NODE", cl.ID(1-from))
			redistest.WaitFor(t, "the slot to move", func() bool { return cl.Owner(slot) == 1-from })
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			cl := s.start(t, 2, 0)
			var slot int
			fmt.Sscanf(cl.Node(0).Do("CLUSTER", "KEYSLOT", "k"), ":%d", &slot)
			from := cl.Owner(slot)
			cl.Node(from).Do("SET", "k", "v")
			b := &bench{t: t, tracker: redistest.Dial(t, cl.Node(from).Addr())}
			b.tracker.Do("HELLO", "3")
			b.expect(b.tracker.Do("CLIENT", "TRACKING", "ON"), "+OK\r\n")
			b.expect(b.tracker.Do("PTTL", "k"), ":-1\r\n")
			s.move(cl, from, slot)
			b.expect(b.tracker.Recv(), invalidate)
			if got := b.tracker.Do("EXISTS", "k"); !strings.HasPrefix(got, "-MOVED") {
				t.Errorf("EXISTS at the old node: %q", got)
			}
			b.told()
		})
	}
}
