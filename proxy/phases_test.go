package proxy

import (
	"testing"
	"time"

	"ringway/internal/loop"
	"ringway/internal/metrics"
	"ringway/internal/redistest"
)

const aWhile = int64(30 * time.Millisecond)

// pass returns when the loops' clock has gone on by a while.
func pass(t *testing.T) {
	t.Helper()
	from := loop.Clock()
	redistest.WaitFor(t, "time to pass", func() bool { return loop.Clock()-from >= aWhile })
}

func took(t *testing.T, what string, p metrics.Phase, count uint64, atLeast int64) {
	t.Helper()
	n := uint64(0)
	for _, of := range p.Buckets {
		n += of
	}
	if n != count || p.Sum < uint64(atLeast) {
		t.Errorf("%s: %d took %v, want %d and %v at least", what, n, time.Duration(p.Sum), count, time.Duration(atLeast))
	}
}

func TestTimeAtANodeAndTimeBehindItAreToldApart(t *testing.T) {
	slow := redistest.Server(t)
	srv := serve(t, nil, slow.Addr(), redistest.Server(t).Addr())
	mine, other := keyOf(t, srv, 0, "k"), keyOf(t, srv, 1, "k")
	c := client(t, srv)
	c.Do("MGET", mine, other) // both lanes are open
	before := counted(srv)
	slow.Stop()
	c.Send("GET", mine)
	c.Send("GET", other)
	c.Flush()
	redistest.WaitFor(t, "the other's reply", func() bool {
		n := counted(srv)
		return n.Nodes[0].Depth == 1 && n.Nodes[1].Requests == 2 && n.Nodes[1].Depth == 0
	})
	pass(t)
	slow.Cont()
	want(t, "the slow one", c.Recv(), "$-1\r\n")
	want(t, "the other", c.Recv(), "$-1\r\n")
	if n := before; n.Nodes[0].Phases.Write != (metrics.Phase{}) || n.Nodes[1].Phases.Write != (metrics.Phase{}) {
		t.Error("the reply to MGET was written by a node alone")
	}
	var n *metrics.Pool
	redistest.WaitFor(t, "both to be counted", func() bool {
		n = counted(srv)
		return n.Nodes[1].Phases.Write.Sum > 0
	})
	took(t, "the reply to MGET", n.Write, 1, 0)
	took(t, "queued for the slow one", n.Nodes[0].Phases.Queued, 2, 0)
	took(t, "at the slow one", n.Nodes[0].Phases.AtNode, 2, aWhile)
	took(t, "written for the slow one", n.Nodes[0].Phases.Write, 1, 0)
	took(t, "at the other", n.Nodes[1].Phases.AtNode, 2, 0)
	took(t, "written for the other", n.Nodes[1].Phases.Write, 1, aWhile)
	whole := n.Latency.Sum - before.Latency.Sum // both were read in one turn, and answered in the same
	if at := n.Nodes[0].Phases.AtNode.Sum - before.Nodes[0].Phases.AtNode.Sum; at > whole {
		t.Errorf("at the slow one %v of %v in all", time.Duration(at), time.Duration(whole))
	}
}

func TestTimeBeforeANodeTakesARequestIsQueued(t *testing.T) {
	greeted, asked := make(chan struct{}), make(chan struct{})
	n := redistest.Node(t, redistest.Expect("HELLO 3"), redistest.Tell(asked), redistest.Pause(greeted), redistest.Reply("%0\r\n"),
		redistest.Expect("GET a"), redistest.Reply("$1\r\n1\r\n"))
	srv := serve(t, nil, n.Addr())
	c := client(t, srv)
	c.Do("HELLO", "3")
	c.Send("GET", "a")
	c.Flush()
	<-asked
	pass(t)
	close(greeted)
	want(t, "GET", c.Recv(), "$1\r\n1\r\n")
	st := counted(srv).Nodes[0].Phases
	took(t, "queued", st.Queued, 1, aWhile)
	took(t, "at the node", st.AtNode, 1, 0)
}
