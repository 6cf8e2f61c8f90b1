//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ringway/internal/redistest"
)

const soakGroups = 2 // of hot keys, queues and channels, each with its clients

// startLoad starts all clients.
func (s *soak) startLoad() {
	opt := verifiedOptions{
		clients: 8, depth: 8, mix: "sssgggmMdiitteEbw", cut: true, stray: stray,
		group: func(key string) int { return s.owner[key] }, groups: len(s.nodes), epoch: func(n int) int64 { return s.epochs[n].Load() },
		tell: func(h happened) {
			if h.failed != "" {
				s.mayFail(h.what, h.failed)
			}
		},
	}
	readers, comers := 2, 2
	if s.long() {
		opt.clients, opt.pause, readers, comers = 32, 200*time.Microsecond, 6, 8
	}
	s.verified = load(s.t, s.r.addr(), opt)
	s.t.Cleanup(func() { s.stop.Store(true); s.clients.Wait() })
	for g := range soakGroups {
		s.shareHotKey(g, readers)
		s.shareQueue(g)
		s.shareChannel(g)
	}
	for id := range comers {
		s.each("comer", id, func(r *rand.Rand) error { return s.comeAndGo(id, r) })
	}
	for id := range 2 {
		s.each("client of the moving pool", id, func(r *rand.Rand) error { return s.move(id) })
	}
}

// each has a client do something again and again.
func (s *soak) each(kind string, id int, do func(r *rand.Rand) error) {
	r := rand.New(rand.NewPCG(uint64(id), 5))
	s.clients.Go(func() {
		for !s.stop.Load() {
			if err := do(r); err != nil {
				s.wrong("%s %d: %w", kind, id, err)
				return
			}
		}
	})
}

// caller is a client that connects again when it is cut off.
type caller struct {
	s    *soak
	addr string
	c    *redistest.Conn
}

func (s *soak) caller() *caller { return &caller{s: s, addr: s.main.listen} }

// call sends requests, all at once, and returns the replies; "-lost" for each that came not. An error is one that can't be.
func (c *caller) call(requests ...[]string) (replies []string, err error) {
	if c.c == nil {
		if c.c, err = redistest.Connect(c.addr); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				c.s.mayFail("connect", "-lost: "+err.Error())
				err = nil
			}
			return c.lost(nil, requests), err
		}
	}
	for _, r := range requests {
		c.c.Send(r...)
	}
	c.c.TryFlush()
	for range requests {
		b, err := c.c.TryRecv(nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("%q: no reply", requests[len(replies)])
		}
		if err != nil {
			c.leave()
			c.s.mayFail(requests[len(replies)][0], "-lost: "+err.Error())
			return c.lost(replies, requests), nil
		}
		c.s.replies.Add(1)
		if replies = append(replies, string(b)); b[0] == '-' {
			c.s.mayFail(strings.Join(requests[len(replies)-1], " "), string(b))
		}
	}
	return replies, nil
}

func (c *caller) lost(replies []string, requests [][]string) []string {
	for len(replies) < len(requests) {
		replies = append(replies, "-lost")
	}
	return replies
}

func (c *caller) leave() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

// hotState is a key that one client writes and many read. After a write that failed, and may yet be carried out, the writer goes on with
// another key, and so it does after a handover, for in those two processes have copies.
type hotState struct {
	key     string
	born    int64 // handovers until then
	epoch   int64 // of its node
	written atomic.Int64
	acked   atomic.Int64
}

// shareHotKey starts a writer and the readers of a hot key. What a reader gets is never older than what had been acknowledged when it asked, or
// than what it has got before.
func (s *soak) shareHotKey(g, readers int) {
	tag := fmt.Sprintf("{h%d}", g)
	epoch := func() int64 { return s.epochs[s.owner[tag]].Load() }
	eras := 0
	fresh := func() *hotState {
		eras++
		return &hotState{key: fmt.Sprint(tag, eras), born: s.handovers.Load(), epoch: epoch()}
	}
	var now atomic.Pointer[hotState]
	now.Store(fresh())
	writer := s.caller()
	s.each("hot key's writer", g, func(r *rand.Rand) error {
		h := now.Load()
		n := h.written.Add(1)
		got, err := writer.call([]string{"SET", h.key, fmt.Sprint(h.key, "=", n), "EX", "60"})
		switch {
		case err != nil:
			return err
		case got[0] == "+OK\r\n":
			h.acked.Store(n)
		case got[0][0] != '-':
			return fmt.Errorf("SET: %q", got)
		}
		if got[0][0] == '-' || h.born != s.handovers.Load() || h.epoch != epoch() {
			now.Store(fresh())
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	for id := range readers {
		c := s.caller()
		last, of := int64(0), ""
		s.each("hot key's reader", 100*g+id, func(r *rand.Rand) error {
			h := now.Load()
			if of != h.key {
				last, of = 0, h.key
			}
			least := max(last, h.acked.Load())
			requests := make([][]string, 1+r.IntN(8))
			for i := range requests {
				requests[i] = []string{"GET", h.key}
			}
			got, err := c.call(requests...)
			if err != nil {
				return err
			}
			for _, reply := range got {
				if reply[0] == '-' {
					continue
				}
				n := int64(0)
				if reply != "$-1\r\n" {
					_, body, _ := strings.Cut(reply, "\r\n")
					value, ok := strings.CutPrefix(strings.TrimSuffix(body, "\r\n"), h.key+"=")
					if n, err = strconv.ParseInt(value, 10, 64); !ok || err != nil || n > h.written.Load() {
						return fmt.Errorf("GET %s: %q", h.key, reply)
					}
				}
				if n < least && h.born == s.handovers.Load() && (n > 0 || h.epoch == epoch()) {
					return fmt.Errorf("GET %s: %q, after %d", h.key, reply, least)
				}
				least = max(least, n)
			}
			last = least
			return nil
		})
	}
}

// shareQueue has one client push numbers, and one take them, for which it blocks: each comes once, and in order. The queue is another one
// after a push that failed.
func (s *soak) shareQueue(g int) {
	eras := 0
	fresh := func() *string { eras++; name := fmt.Sprintf("{q%d}%d", g, eras); return &name }
	var now atomic.Pointer[string]
	now.Store(fresh())
	n := 0
	producer := s.caller()
	s.each("producer", g, func(r *rand.Rand) error {
		queue := *now.Load()
		n++
		got, err := producer.call([]string{"RPUSH", queue, fmt.Sprint(queue, "=", n)})
		if err != nil {
			return err
		}
		if got[0][0] == '-' {
			now.Store(fresh())
		}
		if length, _ := strconv.Atoi(strings.TrimSpace(got[0][1:])); length > 100 || r.IntN(50) == 0 {
			time.Sleep(30 * time.Millisecond) // now and then the other one blocks
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	consumer := s.caller()
	last, of := 0, ""
	s.each("consumer", g, func(r *rand.Rand) error {
		queue := *now.Load()
		if queue != of {
			last, of = 0, queue
		}
		got, err := consumer.call([]string{"BLPOP", queue, "0.3"})
		if err != nil || got[0][0] == '-' || got[0] == "*-1\r\n" {
			return err
		}
		list, err := elementsOf(got[0])
		if err != nil || len(list) != 2 || list[0] != redistest.Bulk(queue) {
			return fmt.Errorf("BLPOP %s: %q", queue, got)
		}
		_, body, _ := strings.Cut(list[1], "\r\n")
		value, ok := strings.CutPrefix(strings.TrimSuffix(body, "\r\n"), queue+"=")
		number, err := strconv.Atoi(value)
		if !ok || err != nil || number <= last {
			return fmt.Errorf("BLPOP %s: %q, after %d", queue, got, last)
		}
		last = number
		return nil
	})
}

// shareChannel has one client publish numbers, and three listen: what they hear is their channel's, and in order. With each publication that failed, and may
// yet be heard, another row of numbers begins.
func (s *soak) shareChannel(g int) {
	channel := fmt.Sprint("channel:", g)
	era, n := 0, 0
	publisher := s.caller()
	s.each("publisher", g, func(r *rand.Rand) error {
		n++
		got, err := publisher.call([]string{"PUBLISH", channel, fmt.Sprintf("%s %d %d", channel, era, n)})
		if err != nil {
			return err
		}
		if got[0][0] == '-' {
			era, n = era+1, 0
		}
		time.Sleep(2 * time.Millisecond)
		return nil
	})
	for id := range 3 {
		heard := map[int]int{} // the last number of each row
		s.each("subscriber", 100*g+id, func(r *rand.Rand) error { return s.listen(channel, id%2 == 1, heard) })
	}
}

// listen is a subscriber until it has heard so much, or is cut off. What it heard it never hears again, when it comes back neither.
func (s *soak) listen(channel string, resp3 bool, heard map[int]int) error {
	c, err := redistest.Connect(s.main.listen)
	if err != nil {
		s.mayFail("connect", "-lost: "+err.Error())
		return nil
	}
	defer c.Close()
	kind := "*"
	if resp3 {
		c.Send("HELLO", "3")
		kind = ">"
	}
	c.Send("SUBSCRIBE", channel)
	c.TryFlush()
	for i := 0; i < 500 && !s.stop.Load(); i++ {
		c.SetTimeout(time.Second)
		b, err := c.TryRecv(nil)
		for silent := 0; errors.Is(err, os.ErrDeadlineExceeded) && len(b) == 0; b, err = c.TryRecv(nil) {
			if silent++; silent > 30 {
				return fmt.Errorf("heard nothing on %s for %d s", channel, silent)
			}
			if s.stop.Load() {
				return nil
			}
		}
		if err != nil {
			s.mayFail("SUBSCRIBE", "-lost: "+err.Error())
			return nil
		}
		s.replies.Add(1)
		text := string(b)
		switch {
		case text[0] == '-':
			s.mayFail("SUBSCRIBE", text)
			return nil
		case resp3 && i == 0 || strings.HasPrefix(text, kind+"3\r\n$9\r\nsubscribe\r\n"+redistest.Bulk(channel)):
			continue
		}
		rest, ok := strings.CutPrefix(text, kind+"3\r\n$7\r\nmessage\r\n"+redistest.Bulk(channel))
		_, body, _ := strings.Cut(rest, "\r\n")
		var era, n int
		if _, err := fmt.Sscanf(body, channel+" %d %d\r\n", &era, &n); !ok || err != nil {
			return fmt.Errorf("heard %q on %s", text, channel)
		}
		if last, known := heard[era]; known && n <= last {
			return fmt.Errorf("heard %d on %s after %d", n, channel, last)
		}
		heard[era] = n
		delete(heard, era-100)
	}
	return nil
}

// comeAndGo is a client that connects and leaves, now and then without hearing what it asked for.
func (s *soak) comeAndGo(id int, r *rand.Rand) error {
	c := s.caller()
	defer c.leave()
	key, value := fmt.Sprintf("comer:%d", id), strconv.Itoa(r.Int())
	if r.IntN(2) == 0 {
		nc, err := redistest.Connect(c.addr)
		if err != nil {
			s.mayFail("connect", "-lost: "+err.Error())
			return nil
		}
		for range 20 {
			nc.Send("MGET", "{h0}1", "{h1}1", key, "{q0}", "{q1}")
		}
		nc.Send("BLPOP", "nothing", "1")
		nc.TryFlush()
		nc.Conn.(*net.TCPConn).SetLinger(0)
		nc.Close()
		time.Sleep(10 * time.Millisecond)
		return nil
	}
	// Each client of the soak has a key of its own per visit: what a cut left behind is no one else's.
	key += ":" + value
	got, err := c.call([]string{"SET", key, value, "PX", "5000"}, []string{"GET", key}, []string{"PING"})
	if err != nil {
		return err
	}
	if got[0] == "+OK\r\n" && got[1][0] != '-' && got[1] != redistest.Bulk(value) && got[1] != "$-1\r\n" || got[2] != "+PONG\r\n" && got[2][0] != '-' {
		return fmt.Errorf("SET, GET of %s and PING: %q", key, got)
	}
	if c.c != nil {
		c.c.Conn.(*net.TCPConn).SetLinger(0) // no ports wait
	}
	time.Sleep(10 * time.Millisecond)
	return nil
}

// move is a client of the pool whose nodes change: a value is its key's own, or there is none.
func (s *soak) move(id int) error {
	c := &caller{s: s, addr: s.moving.listen}
	defer c.leave()
	for round := 0; round < 100 && !s.stop.Load(); round++ {
		key := func(i int) string { return fmt.Sprintf("m%d:%d", id, i%20) }
		var requests [][]string
		for i := range 20 {
			requests = append(requests, []string{"SET", key(i), key(i) + "=" + strconv.Itoa(round)}, []string{"GET", key(i + 1)})
		}
		got, err := c.call(requests...)
		if err != nil {
			return err
		}
		for i := range 20 {
			set, get := got[2*i], got[2*i+1]
			if set != "+OK\r\n" && set[0] != '-' || get != "$-1\r\n" && get[0] != '-' && !strings.Contains(get, "\r\n"+key(i+1)+"=") {
				return fmt.Errorf("%s: %q %q", key(i), set, get)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}
