package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// Sixty-four clients, pipelines of a thousand, every reply checked. Each key belongs to one client, and each value says
// whose it is: key, client and round. A reply that is missing, doubled or in another's place can't go unseen.
func TestReplyOrder(t *testing.T) {
	for _, threads := range []int{1, 2} {
		t.Run(fmt.Sprintf("threads=%d", threads), func(t *testing.T) { testReplyOrder(t, threads) })
	}
}

func testReplyOrder(t *testing.T, threads int) {
	const clients = 64
	nodes := servers(t, 3)
	r := serveWith(t, setup{threads: threads}, pool{nodes: addresses(nodes), options: map[string]string{"timeout": "20s"}})
	owner := owners(t, r.addr(), nodes, allKeys(clients))

	t.Run("no reply missing, doubled or out of order", func(t *testing.T) {
		rounds := size(20, 3)
		start := time.Now()
		var tally orderTally
		eachClient(t, clients, func(id int) error {
			c := newOrderClient(id, owner, -1, &tally)
			return c.run(r.addr(), func(round int) bool { return round < rounds })
		})
		took := time.Since(start)
		n := tally.replies.Load()
		t.Logf("%d clients, %d replies checked in %v: %.0f a second", clients, n, took.Round(time.Millisecond), float64(n)/took.Seconds())
		if want := int64(clients * rounds * 1000); n != want {
			t.Errorf("%d replies, want %d", n, want)
		}
		if n := tally.failed.Load(); n != 0 {
			t.Errorf("%d errors while all nodes were up", n)
		}
	})

	t.Run("the same while a node is killed and restarted every second", func(t *testing.T) {
		const victim = 1
		kills := size(20, 3)
		var stop atomic.Bool
		var tally orderTally
		var chaos sync.WaitGroup
		chaos.Add(1)
		go func() {
			defer chaos.Done()
			defer stop.Store(true)
			for range kills {
				time.Sleep(500 * time.Millisecond)
				nodes[victim].Kill()
				time.Sleep(500 * time.Millisecond)
				nodes[victim].Restart()
			}
		}()
		eachClient(t, clients, func(id int) error {
			c := newOrderClient(id, owner, victim, &tally)
			return c.run(r.addr(), func(int) bool { return !stop.Load() })
		})
		chaos.Wait()
		t.Logf("%d kills, %d replies checked, %d errors for keys of the killed node, %d keys found empty after it",
			kills, tally.replies.Load(), tally.failed.Load(), tally.lost.Load())
		if tally.failed.Load() == 0 {
			t.Error("no request failed: the kills were no test")
		}

		c := redistest.Dial(t, r.addr())
		redistest.WaitFor(t, "the restarted node to be used again", func() bool {
			for k, n := range owner {
				if n == victim && c.Do("SET", k, "back") != "+OK\r\n" {
					return false
				}
			}
			return true
		})
	})
}

const keysEach = 50

func orderKey(client, i int) string { return fmt.Sprintf("c%d:k%d", client, i) }

func allKeys(clients int) []string {
	var keys []string
	for c := range clients {
		for i := range keysEach {
			keys = append(keys, orderKey(c, i))
		}
	}
	return keys
}

// eachClient runs f for every client at the same time and reports the first few failures.
func eachClient(t *testing.T, clients int, f func(id int) error) {
	t.Helper()
	failed := make(chan error, clients)
	var wg sync.WaitGroup
	for id := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(id); err != nil {
				failed <- fmt.Errorf("client %d: %w", id, err)
			}
		}()
	}
	wg.Wait()
	close(failed)
	shown := 0
	for err := range failed {
		if shown++; shown <= 3 {
			t.Error(err)
		}
	}
	if shown > 3 {
		t.Errorf("and %d more clients failed", shown-3)
	}
}

type orderTally struct{ replies, failed, lost atomic.Int64 }

// orderClient is one client, which knows what each of its keys may hold.
type orderClient struct {
	*rand.Rand
	id       int
	owner    map[string]int
	victim   int // node that may fail, -1 for none
	tally    *orderTally
	versions [keysEach]int // number of the last write to each key
	asked    int           // number of the last ECHO
}

func newOrderClient(id int, owner map[string]int, victim int, tally *orderTally) *orderClient {
	return &orderClient{Rand: rand.New(rand.NewPCG(7, uint64(id))), id: id, owner: owner, victim: victim, tally: tally}
}

func (o *orderClient) mayFail(i int) bool { return o.owner[orderKey(o.id, i)] == o.victim }

func (o *orderClient) value(i, version int) string {
	return fmt.Sprintf("%s=v%d=%s", orderKey(o.id, i), version, strings.Repeat("x", i))
}

// run sends pipelines of 1000 and checks every reply, on one connection, as long as more says so.
func (o *orderClient) run(addr string, more func(round int) bool) error {
	c, err := redistest.Connect(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetTimeout(time.Minute)
	// Whatever an earlier client of this number left goes first; a node that was just killed has nothing left.
	for i := range keysEach {
		reply, err := c.TryDo("DEL", orderKey(o.id, i))
		if err == nil {
			err = o.failure(reply, i)
		}
		if err != nil {
			return fmt.Errorf("DEL before the first round: %w", err)
		}
	}
	for round := 0; more(round); round++ {
		checks := make([]func(reply string) error, 0, 1000)
		for range 1000 {
			checks = append(checks, o.request(c))
		}
		wrote := make(chan error, 1)
		go func() { wrote <- c.TryFlush() }()
		var b []byte
		for n, check := range checks {
			if b, err = c.TryRecv(b[:0]); err != nil {
				return fmt.Errorf("round %d, reply %d: %w", round, n, err)
			}
			if err := check(string(b)); err != nil {
				return fmt.Errorf("round %d, reply %d: %w", round, n, err)
			}
			o.tally.replies.Add(1)
		}
		if err := <-wrote; err != nil {
			return err
		}
	}
	if reply, err := c.TryDo("ECHO", "the end"); err != nil || reply != redistest.Bulk("the end") {
		return fmt.Errorf("after the last reply came one more: %q, %v", reply, err)
	}
	return nil
}

// request adds one request to the pipeline and returns the check of its reply. Checks run in the order of the requests.
func (o *orderClient) request(c *redistest.Conn) func(string) error {
	i := o.IntN(keysEach)
	key := orderKey(o.id, i)
	switch o.IntN(8) {
	case 0, 1, 2:
		o.versions[i]++
		v := o.versions[i]
		c.Send("SET", key, o.value(i, v))
		return func(reply string) error {
			if err := o.failure(reply, i); err != nil || reply[0] == '-' {
				return err
			}
			return expect(reply, "+OK\r\n", "SET", key)
		}
	case 3:
		keys := []string{"MGET"}
		var indexes []int
		for range 1 + o.IntN(10) {
			j := o.IntN(keysEach)
			indexes = append(indexes, j)
			keys = append(keys, orderKey(o.id, j))
		}
		want := o.snapshot(indexes)
		c.Send(keys...)
		return func(reply string) error {
			if err := o.failure(reply, indexes...); err != nil || reply[0] == '-' {
				return err
			}
			return o.checkArray(reply, indexes, want)
		}
	case 4:
		o.asked++
		token := fmt.Sprintf("%d/%d", o.id, o.asked)
		c.Send("ECHO", token)
		return func(reply string) error { return expect(reply, redistest.Bulk(token), "ECHO", token) }
	default:
		want := o.snapshot([]int{i})
		c.Send("GET", key)
		return func(reply string) error {
			if err := o.failure(reply, i); err != nil || reply[0] == '-' {
				return err
			}
			return o.checkValue(reply, i, want[0])
		}
	}
}

// snapshot notes which version each key has at this place of the pipeline.
func (o *orderClient) snapshot(indexes []int) []int {
	now := make([]int, len(indexes))
	for n, i := range indexes {
		now[n] = o.versions[i]
	}
	return now
}

// failure says whether an error is one that may be: of a node that is being killed, by its name.
func (o *orderClient) failure(reply string, indexes ...int) error {
	if reply[0] != '-' {
		return nil
	}
	o.tally.failed.Add(1)
	for _, i := range indexes {
		if o.mayFail(i) {
			if name := fmt.Sprintf("n%d", o.victim); !strings.Contains(reply, name) {
				return fmt.Errorf("the error does not name node %s: %q", name, reply)
			}
			return nil
		}
	}
	return fmt.Errorf("a request for keys of healthy nodes failed: %q", reply)
}

// checkValue allows exactly the last version written, or for a node that is being killed an older one or none.
func (o *orderClient) checkValue(reply string, i, version int) error {
	switch {
	case version > 0 && reply == redistest.Bulk(o.value(i, version)):
		return nil
	case version == 0 && reply == "$-1\r\n":
		return nil
	case o.mayFail(i) && reply == "$-1\r\n":
		o.tally.lost.Add(1)
		return nil
	case o.mayFail(i):
		for v := version - 1; v > 0; v-- {
			if reply == redistest.Bulk(o.value(i, v)) {
				return nil
			}
		}
	}
	return fmt.Errorf("GET %s after version %d: wrong value %q", orderKey(o.id, i), version, reply)
}

func (o *orderClient) checkArray(reply string, indexes, want []int) error {
	head, rest, _ := strings.Cut(reply, "\r\n")
	if head != fmt.Sprintf("*%d", len(indexes)) {
		return fmt.Errorf("MGET of %d keys: %q", len(indexes), reply)
	}
	r := bufio.NewReader(strings.NewReader(rest))
	for n, i := range indexes {
		elem, err := redistest.ReadReply(r, nil)
		if err != nil {
			return errors.Join(err, fmt.Errorf("MGET: %q", reply))
		}
		if err := o.checkValue(string(elem), i, want[n]); err != nil {
			return fmt.Errorf("element %d of MGET: %w", n, err)
		}
	}
	return nil
}

func expect(got, want string, request ...string) error {
	if got != want {
		return fmt.Errorf("%s: %q, want %q", strings.Join(request, " "), got, want)
	}
	return nil
}
