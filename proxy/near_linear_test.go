package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"ringway/internal/config"
	"ringway/internal/redistest"
)

// asked is an operation on a hot key, in porcupine's terms: the command, and the reply; "" if none came.
type asked []string

// unanswered is the output of an operation whose client left before its reply: it was carried out, or will be at any time, or never.
const unanswered = ""

// lasting says that it may be carried out at any time.
const lasting = int64(1) << 62

// registers is what keys of one kind do, each by itself: strings with GET, MGET, STRLEN and SET, counters with GET and INCR, hashes with HGET, HGETALL and
// HSET of the fields a and b. A hash's state is the two, with a space between.
var registers = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		next, reply := step(state.(string), input.(asked))
		if output == unanswered {
			return true, next
		}
		return output == reply, next
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%q -> %q", input, output) },
}

// step carries a command out, as Redis does.
func step(state string, c asked) (next, reply string) {
	a, b, _ := strings.Cut(state, " ")
	field := func(name string) *string {
		if name == "a" {
			return &a
		}
		return &b
	}
	switch c[0] {
	case "GET":
		if state == "" {
			return state, "$-1\r\n"
		}
		return state, redistest.Bulk(state)
	case "MGET":
		_, reply := step(state, asked{"GET"})
		return state, "*1\r\n" + reply
	case "STRLEN":
		return state, fmt.Sprintf(":%d\r\n", len(state))
	case "SET":
		return c[2], "+OK\r\n"
	case "INCR":
		n, _ := strconv.Atoi(state)
		return strconv.Itoa(n + 1), fmt.Sprintf(":%d\r\n", n+1)
	case "HGET":
		if v := *field(c[2]); v != "" {
			return state, redistest.Bulk(v)
		}
		return state, "$-1\r\n"
	case "HLEN":
		return state, fmt.Sprintf(":%d\r\n", len(strings.Fields(state)))
	case "HSET":
		news := 0
		for i := 2; i < len(c); i += 2 {
			if f := field(c[i]); *f == "" {
				news++
			}
			*field(c[i]) = c[i+1]
		}
		return a + " " + b, fmt.Sprintf(":%d\r\n", news)
	}
	panic("unknown command " + c[0])
}

// kindOfKey is what is asked of the keys of a kind.
type kindOfKey struct {
	name  string
	reads []asked
	write func(key, value string) asked
}

var kindsOfKeys = []kindOfKey{
	{"register", []asked{{"GET"}, {"MGET"}, {"STRLEN"}}, func(key, v string) asked { return asked{"SET", key, v} }},
	{"counter", []asked{{"GET"}}, func(key, v string) asked { return asked{"INCR", key} }},
	{"hash", []asked{{"HGET", "a"}, {"HGET", "b"}, {"HLEN"}}, func(key, v string) asked {
		return map[bool]asked{true: {"HSET", key, "a", v}, false: {"HSET", key, "a", v, "b", v}}[len(v)%2 == 0]
	}},
}

// history is what clients have asked of one key.
type history struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

// linear has clients of one Ringway read and write hot keys, and leave in the middle of it, and returns what porcupine makes of it. Each round has keys of its own, so
// that a history is no longer than porcupine can deal with. left is how many operations were given up.
type linear struct {
	t     *testing.T
	begin time.Time
	ops   atomic.Int64
	left  atomic.Int64
}

func (l *linear) ask(c *redistest.Conn, h *history, id int, args asked) error {
	op := porcupine.Operation{ClientId: id, Input: args, Call: int64(time.Since(l.begin))}
	reply, err := c.TryDo(args...)
	if err != nil {
		return err
	}
	if reply[0] == '-' {
		return fmt.Errorf("%q: %s", args, reply)
	}
	op.Output, op.Return = reply, int64(time.Since(l.begin))
	h.mu.Lock()
	h.ops = append(h.ops, op)
	h.mu.Unlock()
	l.ops.Add(1)
	return nil
}

// abandon sends a write on a connection of its own and leaves.
func (l *linear) abandon(addr string, h *history, id int, args asked) error {
	c, err := redistest.Connect(addr)
	if err != nil {
		return err
	}
	op := porcupine.Operation{ClientId: id, Input: args, Output: unanswered, Call: int64(time.Since(l.begin)), Return: lasting}
	c.Send(args...)
	err = c.TryFlush()
	reset(c)
	h.mu.Lock()
	h.ops = append(h.ops, op)
	h.mu.Unlock()
	l.left.Add(1)
	return err
}

// round has clients ask so many operations each of a few keys.
func (l *linear) round(addr string, number, clients, operations int) (result porcupine.CheckResult) {
	histories := map[string]*history{}
	for _, k := range kindsOfKeys {
		histories[k.name] = &history{}
	}
	var wg sync.WaitGroup
	for id := range clients {
		rnd := rand.New(rand.NewPCG(uint64(number), uint64(id)))
		wg.Go(func() {
			c, err := redistest.Connect(addr)
			if err != nil {
				l.t.Error(err)
				return
			}
			defer c.Close()
			c.SetTimeout(20 * time.Second)
			for i := range operations {
				k := kindsOfKeys[rnd.IntN(len(kindsOfKeys))]
				key, h := fmt.Sprint(k.name, number), histories[k.name]
				value := fmt.Sprintf("%d.%d", id, i)
				switch n := rnd.IntN(1000); {
				case n < 2:
					err = l.abandon(addr, h, clients+id*operations+i, k.write(key, value))
				case n < 40:
					err = l.ask(c, h, id, k.write(key, value))
				default:
					args := k.reads[rnd.IntN(len(k.reads))]
					err = l.ask(c, h, id, slices.Concat(args[:1], asked{key}, args[1:]))
				}
				if err != nil {
					l.t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	result = porcupine.Ok
	for name, h := range histories {
		if r := porcupine.CheckOperationsTimeout(registers, h.ops, time.Minute); r != porcupine.Ok {
			l.t.Logf("round %d, %s: %s of %d operations", number, name, r, len(h.ops))
			result = r
		}
	}
	return result
}

// pinned has the keys of all rounds hot from when they are seen.
func pinned(h *config.HotKeys) { h.Pin = []string{"register*", "counter*", "hash*"} }

// What clients of one Ringway ask of hot keys is as if it had been carried out one after the other.
func TestHotKeysOfOneRingwayAreLinearizable(t *testing.T) {
	inKeepingModes(t, func(t *testing.T, mode string) {
		const clients, operations = 8, 500
		srv := serve(t, keeping(t, mode, pinned), nodes(t, 1)...)
		l := &linear{t: t, begin: time.Now()}
		for n := range sized(1_000_000, 20_000) / (clients * operations) {
			if result := l.round(srv.Addr(0), n, clients, operations); result != porcupine.Ok {
				t.Fatalf("a history is %s", result)
			}
		}
		t.Logf("%d operations, %d writes that were given up, %d reads answered with what is kept, %d together", l.ops.Load(), l.left.Load(), keptReads(srv), collapsed(srv))
		if keptReads(srv) < uint64(l.ops.Load()/20) {
			t.Errorf("of %d operations %d were answered with what is kept", l.ops.Load(), keptReads(srv))
		}
		if l.left.Load() == 0 {
			t.Error("nobody has left")
		}
		balanced(t, srv)
	})
}

// The same in front of a node that gets requests a little later, and whose replies and news of changes come a little later, now and then. Then it matters that
// a write makes what is kept void before it is sent, and that a reply is kept under the watch under which it was asked for.
func TestHotKeysOfASlowNodeAreLinearizable(t *testing.T) {
	const ms = time.Millisecond
	inEachKeepingMode(t, func(t *testing.T, mode string) {
		for _, c := range []struct {
			without                 string
			requests, replies, news time.Duration // how late one in eight of them is
		}{
			{"", 0, 10 * ms, 0},
			{"", 10 * ms, 0, 3 * ms},
			{"the watch of the request", 0, 10 * ms, 0},
			{"writes", 0, 0, 3 * ms},
		} {
			if c.without == "the watch of the request" && mode != "near" {
				continue // what is copied is no reply
			}
			t.Run("without="+c.without, func(t *testing.T) {
				if c.without == "writes" {
					before := mayChange
					mayChange = make([]bool, len(before))
					t.Cleanup(func() { mayChange = before })
				}
				r := newRelay(t, nodes(t, 1)[0])
				late := func(by time.Duration) func([]byte) []byte {
					return func(frame []byte) []byte { seldom(by); return frame }
				}
				r.late.Store(int64(c.requests))
				r.data.edits(late(c.replies))
				r.tracking.edits(late(c.news))
				srv := serve(t, keeping(t, mode, pinned), r.Addr())
				for _, w := range srv.workers {
					redistest.Run(t, w.loop.Post, func() { w.adoptsLate = c.without == "the watch of the request" })
				}
				l := &linear{t: t, begin: time.Now()}
				result := porcupine.Ok
				for n := 0; n < sized(50, 3) && c.without == "" || n < 50 && c.without != "" && result == porcupine.Ok; n++ {
					if result = l.round(srv.Addr(0), n, 8, 200); result != porcupine.Ok && c.without == "" {
						t.Fatalf("a history is %s", result)
					}
				}
				t.Logf("%d operations, %d reads answered with what is kept: %s", l.ops.Load(), keptReads(srv), result)
				if c.without != "" && result != porcupine.Illegal {
					t.Errorf("without %s histories are %s: the test is no good", c.without, result)
				}
			})
		}
	})
}
