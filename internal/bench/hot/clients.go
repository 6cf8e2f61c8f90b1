package main

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ringway/resp"
)

// load is clients that ask for keys. Each keeps so many requests in flight on its connection, and sends another for each reply: it stands
// for as many clients that wait for each reply.
type load struct {
	keys    *popularity
	seed    int
	value   []byte
	hot     atomic.Pointer[hotKey] // nil: none
	clients []*client
	left    atomic.Int64 // requests that may be sent yet
	noting  atomic.Bool  // latencies are noted
	running sync.WaitGroup
	failed  atomic.Pointer[error]
}

// hotKey is one more key that is asked for.
type hotKey struct {
	name          []byte
	share, writes float64 // of the requests; of its requests
}

type client struct {
	load   *load
	conn   net.Conn
	rng    *rand.Rand
	window int
	out    []byte
	key    []byte
	began  []atomic.Int64 // of the requests in flight, a ring
	sent   uint64
	got    uint64
	done   atomic.Uint64
	errors atomic.Uint64
	times  [buckets]atomic.Uint32
}

// newLoad connects clients, in turn to each address.
func newLoad(addrs []string, clients, window int, keys *popularity, seed int, value []byte) (*load, error) {
	l := &load{keys: keys, seed: seed, value: value}
	for i := range clients {
		nc, err := net.DialTimeout("tcp", addrs[i%len(addrs)], 5*time.Second)
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, &client{
			load: l, conn: nc, window: window, began: make([]atomic.Int64, window), rng: rand.New(rand.NewPCG(uint64(i), uint64(seed))),
		})
	}
	return l, nil
}

func (l *load) close() {
	l.left.Store(0)
	for _, c := range l.clients {
		c.conn.Close()
	}
	l.running.Wait()
}

// start has the clients send until stop.
func (l *load) start() { l.send(math.MaxInt64 / 2) }

func (l *load) send(n int64) {
	l.left.Store(n)
	for _, c := range l.clients {
		l.running.Go(func() { l.fails(c.run()) })
	}
}

// stop waits until all replies are in.
func (l *load) stop() error {
	l.left.Store(0)
	return l.wait()
}

func (l *load) wait() error {
	l.running.Wait()
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *load) fails(err error) {
	if err != nil {
		l.failed.CompareAndSwap(nil, &err)
	}
}

// run is a client. It returns when nothing may be sent and all replies are in.
func (c *client) run() error {
	buf := make([]byte, 64<<10)
	var scan resp.ReplyScanner
	c.sent, c.got = 0, 0
	for {
		for c.sent-c.got < uint64(c.window) && c.load.left.Add(-1) >= 0 {
			c.add()
		}
		if c.sent == c.got {
			return nil
		}
		if err := c.flush(); err != nil {
			return err
		}
		n, err := c.conn.Read(buf)
		if err != nil {
			return fmt.Errorf("a client's connection: %w", err)
		}
		if err := c.take(&scan, buf[:n]); err != nil {
			return err
		}
	}
}

// add makes the next request.
func (c *client) add() {
	l := c.load
	write := false
	if h := l.hot.Load(); h != nil && c.rng.Float64() < h.share {
		c.key = append(c.key[:0], h.name...)
		write = h.writes > 0 && c.rng.Float64() < h.writes
	} else {
		c.key = appendKey(c.key[:0], l.seed, l.keys.draw(c.rng))
	}
	if write {
		c.out = append(c.out, "*3\r\n$3\r\nSET\r\n"...)
		c.out = resp.AppendBulk(resp.AppendBulk(c.out, c.key), l.value)
	} else {
		c.out = resp.AppendBulk(append(c.out, "*2\r\n$3\r\nGET\r\n"...), c.key)
	}
	c.began[c.sent%uint64(len(c.began))].Store(time.Now().UnixNano())
	c.sent++
}

func (c *client) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// take counts replies.
func (c *client) take(scan *resp.ReplyScanner, b []byte) error {
	now, noting, had := time.Now().UnixNano(), c.load.noting.Load(), c.got
	for len(b) > 0 {
		n, done, err := scan.Scan(b)
		if err != nil {
			return fmt.Errorf("a client was sent %q: %w", b[:min(len(b), 100)], err)
		}
		if done {
			if scan.Kind() == '-' {
				c.errors.Add(1)
				if c.errors.Load() == 1 {
					c.load.fails(fmt.Errorf("a client was sent an error: %q", b[:n]))
				}
			}
			if noting {
				c.times[bucketOf(now-c.began[c.got%uint64(len(c.began))].Load())].Add(1)
			}
			c.got++
		}
		b = b[n:]
	}
	c.done.Add(c.got - had)
	return nil
}

// pace has clients send so many requests a second in all, at random times, whatever the replies: but no client has more than window in flight.
func (l *load) pace(rate float64) {
	l.left.Store(1)
	each := rate / float64(len(l.clients))
	for _, c := range l.clients {
		c.sent, c.got = 0, 0
		var got atomic.Uint64
		l.running.Go(func() {
			due := time.Now()
			for l.left.Load() > 0 {
				for now := time.Now(); !due.After(now); due = due.Add(time.Duration(c.rng.ExpFloat64() / each * 1e9)) {
					if c.sent-got.Load() < uint64(c.window) {
						c.add()
					}
				}
				if err := c.flush(); err != nil {
					l.fails(err)
					return
				}
				time.Sleep(time.Until(due))
			}
			c.conn.Close()
		})
		go func() {
			buf := make([]byte, 64<<10)
			var scan resp.ReplyScanner
			for {
				n, err := c.conn.Read(buf)
				if err != nil || c.take(&scan, buf[:n]) != nil {
					return
				}
				got.Store(c.got)
			}
		}()
	}
}

// done and errors count the replies of all clients.
func (l *load) done() (n uint64) {
	for _, c := range l.clients {
		n += c.done.Load()
	}
	return n
}

func (l *load) errors() (n uint64) {
	for _, c := range l.clients {
		n += c.errors.Load()
	}
	return n
}

// Latencies are counted in buckets, of which each power of two of microseconds has eight.
const buckets = 8 * 30

func bucketOf(ns int64) int {
	us := uint64(max(ns/1000, 1))
	power := bits.Len64(us) - 1
	return min(power*8+int(us<<3>>power&7), buckets-1)
}

// upTo is the longest latency of a bucket, in milliseconds.
func upTo(bucket int) float64 {
	return math.Ldexp(1+float64(bucket%8+1)/8, bucket/8) / 1000
}

// latency returns a quantile of what was noted, in milliseconds.
func (l *load) latency(q float64) float64 {
	var sum [buckets]uint64
	total := uint64(0)
	for _, c := range l.clients {
		for i := range c.times {
			n := uint64(c.times[i].Load())
			sum[i] += n
			total += n
		}
	}
	seen := uint64(0)
	for i, n := range sum {
		if seen += n; total > 0 && float64(seen) >= q*float64(total) {
			return upTo(i)
		}
	}
	return 0
}

// median of a list; NaN if it is empty.
func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	n := len(s)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

func format(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }
