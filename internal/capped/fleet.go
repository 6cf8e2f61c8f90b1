package capped

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"ringway/resp"
)

// Options are those of all nodes of a fleet.
type Options struct {
	Rate   float64       // commands a second that each node takes
	Tick   time.Duration // how often it is looked at what is finished; 0: every millisecond
	Filler []byte        // what each key of database 0 holds that was never written or removed; nil: nothing
}

// Fleet is nodes that were started together.
type Fleet struct {
	Nodes []*Node
	tick  time.Duration
	stop  chan struct{}
	gone  sync.WaitGroup
	birth time.Time // nanoseconds are counted from here
}

// Node is one server.
type Node struct {
	fleet *Fleet
	l     net.Listener
	each  int64 // nanoseconds that a command takes

	received, done atomic.Uint64

	mu     sync.Mutex
	queue  []pending // queue[next:] is not carried out yet
	next   int
	conns  map[*conn]bool
	closed bool

	// These belong to the goroutine of the ticks.
	free  int64 // when the last command was finished
	state keyspace
	scan  resp.RequestScanner
	dirty []*conn
}

// pending is a command that has come.
type pending struct {
	from    *conn
	at      int64
	request []byte
}

// conn is one connection. What it has said of itself, and out, belong to the goroutine of the ticks.
type conn struct {
	net.Conn
	node     *Node
	resp3    bool
	tracking bool
	closing  bool
	dirty    bool // there is something to be written at the end of the tick
	db       int
	out      []byte
	pushes   []byte // that go behind the reply that is being made
}

// Start starts n nodes on free ports of loopback.
func Start(n int, opt Options) (*Fleet, error) {
	if opt.Rate <= 0 {
		return nil, errors.New("a node must take some commands a second")
	}
	if opt.Tick <= 0 {
		opt.Tick = time.Millisecond
	}
	f := &Fleet{tick: opt.Tick, stop: make(chan struct{}), birth: time.Now()}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot listen on loopback: %w", err)
		}
		node := &Node{fleet: f, l: l, each: int64(1e9 / opt.Rate), conns: map[*conn]bool{}}
		node.state.init(opt.Filler)
		f.Nodes = append(f.Nodes, node)
		f.gone.Go(node.accept)
	}
	f.gone.Go(f.run)
	return f, nil
}

// Close ends all nodes and their connections.
func (f *Fleet) Close() {
	close(f.stop)
	for _, n := range f.Nodes {
		n.l.Close()
		n.mu.Lock()
		n.closed = true
		for c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
	}
	f.gone.Wait()
}

// Received counts the commands that each node was sent.
func (f *Fleet) Received() []uint64 {
	list := make([]uint64, len(f.Nodes))
	for i, n := range f.Nodes {
		list[i] = n.received.Load()
	}
	return list
}

// Addr returns the address, "127.0.0.1:port".
func (n *Node) Addr() string { return n.l.Addr().String() }

// Done counts the commands that were carried out.
func (n *Node) Done() uint64 { return n.done.Load() }

// Connections counts those that are open.
func (n *Node) Connections() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.conns)
}

func (f *Fleet) now() int64 { return int64(time.Since(f.birth)) }

func (f *Fleet) run() {
	t := time.NewTicker(f.tick)
	defer t.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-t.C:
		}
		for _, n := range f.Nodes {
			n.carryOut(f.now())
		}
	}
}

func (n *Node) accept() {
	for {
		nc, err := n.l.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: nc, node: n}
		n.mu.Lock()
		if n.closed {
			nc.Close()
		} else {
			n.conns[c] = true
			n.fleet.gone.Go(c.read)
		}
		n.mu.Unlock()
	}
}

// read queues what comes on a connection.
func (c *conn) read() {
	n := c.node
	var scan resp.RequestScanner
	buf, used := make([]byte, 16<<10), 0
	var batch []pending
	for {
		if used == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		got, err := c.Read(buf[used:])
		used += got
		if err != nil {
			break
		}
		at, now := 0, n.fleet.now()
		batch = batch[:0]
		for at < used {
			size, err := scan.Scan(buf[at:used])
			if err != nil {
				used = at // it will not be understood any more
				break
			}
			if size == 0 {
				break
			}
			if scan.Args.Len() > 0 {
				batch = append(batch, pending{c, now, bytes.Clone(scan.Bytes(buf[at:used]))})
			}
			at += size
		}
		used = copy(buf, buf[at:used])
		n.received.Add(uint64(len(batch)))
		n.mu.Lock()
		n.queue = append(n.queue, batch...)
		n.mu.Unlock()
	}
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	c.Close()
}

// carryOut does what is finished by now, and sends the replies.
func (n *Node) carryOut(now int64) {
	for {
		p, ok := n.take(now)
		if !ok {
			break
		}
		c := p.from
		c.soil()
		n.scan.Reset()
		n.scan.Scan(p.request)
		n.state.do(c, &n.scan.Args, n.free)
		n.done.Add(1)
	}
	n.state.expireSome(now)
	for i, c := range n.dirty {
		c.Write(c.out) // who does not read holds all of the fleet up
		c.out, c.dirty = c.out[:0], false
		if c.closing {
			c.Close()
		}
		n.dirty[i] = nil
	}
	n.dirty = n.dirty[:0]
}

// soil has a connection written to at the end of the tick.
func (c *conn) soil() {
	if !c.dirty {
		c.dirty = true
		c.node.dirty = append(c.node.dirty, c)
	}
}

// take returns the next command, if it is finished by now.
func (n *Node) take(now int64) (pending, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next == len(n.queue) {
		n.queue, n.next = n.queue[:0], 0
		return pending{}, false
	}
	p := n.queue[n.next]
	finished := max(n.free, p.at) + n.each
	if finished > now {
		if n.next > 4096 {
			n.queue = n.queue[:copy(n.queue, n.queue[n.next:])]
			n.next = 0
		}
		return pending{}, false
	}
	n.queue[n.next] = pending{}
	n.next++
	n.free = finished
	return p, true
}
