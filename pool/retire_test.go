package pool

import (
	"bufio"
	"net"
	"testing"

	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

// Connections to the address that a node had are lost sooner or later. That is no failure of the node, which is elsewhere.
func TestLossAtAnOldAddressIsNoFailure(t *testing.T) {
	lose := make(chan struct{})
	old := redistest.Accept(t, func(c net.Conn) {
		redistest.ReadCommand(bufio.NewReader(c))
		<-lose
	})
	failures := 0
	opt := &Options{OutputLimit: 1 << 20, OnFailure: func(*Node, int) { failures++ }}
	node, l, c := NewNode("n", old, opt), runLoop(t), newCaller(t)
	s := NewSet(l, []*Node{node}, Key{}, func(int) *metrics.Node { return &metrics.Node{} }, func(int) *Load { return &Load{} })
	do := func(f func()) { redistest.Run(t, l.Post, f) }
	do(func() { s.Lane(0).Send([]byte("*1\r\n$4\r\nPING\r\n"), c, 0) })
	redistest.WaitFor(t, "the connection", func() (up bool) {
		do(func() { up = s.Lane(0).Usable() })
		return up
	})
	node.SetAddress(redistest.Server(t).Addr())
	do(func() { s.Follow([]*Node{node}) })
	close(lose)
	c.wait(1)
	c.fails(0, "ERR node 'n' ("+old+") closed the connection")
	do(func() {
		if failures != 0 || !node.Up() {
			t.Errorf("%d failures, up is %v", failures, node.Up())
		}
	})
}

// Nor does a late reply from there say that the node is well.
func TestReplyFromAnOldAddressIsNoSignOfLife(t *testing.T) {
	answer := make(chan struct{})
	old := redistest.Answering(t, func([]string) string { <-answer; return "+PONG\r\n" })
	node, l, c := NewNode("n", old, &Options{OutputLimit: 1 << 20}), runLoop(t), newCaller(t)
	s := NewSet(l, []*Node{node}, Key{}, func(int) *metrics.Node { return &metrics.Node{} }, func(int) *Load { return &Load{} })
	do := func(f func()) { redistest.Run(t, l.Post, f) }
	do(func() { s.Lane(0).Send([]byte("*1\r\n$4\r\nPING\r\n"), c, 0) })
	redistest.WaitFor(t, "the connection", func() (up bool) {
		do(func() { up = s.Lane(0).Usable() })
		return up
	})
	node.SetAddress("127.0.0.1:1")
	do(func() { s.Follow([]*Node{node}) })
	node.foundDown("connection refused")
	node.fail(1)
	close(answer)
	c.wait(1)
	c.gets(0, "+PONG\r\n")
	if node.Up() || node.failures.Load() != 1 {
		t.Errorf("up is %v, after %d failures", node.Up(), node.failures.Load())
	}
}
