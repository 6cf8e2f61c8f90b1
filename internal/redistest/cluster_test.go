package redistest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCluster(t *testing.T) {
	for name, start := range map[string]func(testing.TB, int, int, ...string) *Cluster{
		"redis": StartCluster, "valkey": StartValkeyCluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, 3, 1)
			const slot, key = 12182, "foo"
			if from := c.Owner(slot); from != 2 {
				t.Fatalf("slot %d belongs to node %d", slot, from)
			}
			if got := c.Node(2).Do("SET", key, "x"); got != "+OK\r\n" {
				t.Fatalf("SET: %q", got)
			}
			if got := c.Node(0).Do("GET", key); got != fmt.Sprintf("-MOVED %d %s\r\n", slot, c.Node(2).Addr()) {
				t.Fatalf("GET on the wrong node: %q", got)
			}

			c.StartMove(2, 0, slot)
			if got := c.Node(2).Do("GET", "{foo}2"); got != fmt.Sprintf("-ASK %d %s\r\n", slot, c.Node(0).Addr()) {
				t.Errorf("GET of a key that is not there while its slot is moved: %q", got)
			}
			c.MoveKeys(2, 0, slot)
			c.FinishMove(2, 0, slot)
			if got := c.Node(0).Do("GET", key); got != "$1\r\nx\r\n" {
				t.Errorf("GET after the move: %q", got)
			}
			c.MoveSlots(0, 2, slot, 0, 1)
			if got := []int{c.Owner(0), c.Owner(1), c.Owner(2), c.Owner(slot)}; !slices.Equal(got, []int{2, 2, 0, 2}) {
				t.Errorf("owners after MoveSlots: %v", got)
			}

			if got := c.ReplicasOf(0); !slices.Equal(got, []int{3}) {
				t.Fatalf("replicas of node 0: %v", got)
			}
			c.Failover(3)
			if got := c.Owner(2); got != 3 {
				t.Errorf("after the failover slot 2 belongs to node %d", got)
			}
			c.Node(2).Kill()
			c.Settle()
			if got := c.Owner(slot); got != 5 {
				t.Errorf("after its node was killed slot %d belongs to node %d", slot, got)
			}
			c.Node(2).Restart()
			c.Settle()
			if got := c.ReplicasOf(5); !slices.Equal(got, []int{2}) {
				t.Errorf("the node that was killed has not become a replica: %v", got)
			}
			if i := c.AddReplica(3); i != 6 || !slices.Equal(c.ReplicasOf(3), []int{0, 6}) {
				t.Errorf("the new replica is node %d; node 3 has %v", i, c.ReplicasOf(3))
			}
		})
	}
}

func TestSentinels(t *testing.T) {
	a, b := Server(t), Server(t)
	Replica(t, a)
	r := Replica(t, a)
	Replica(t, b)
	s := StartSentinels(t, 3, Monitored{"a", a}, Monitored{"b", b})
	if got := s.Primary("a"); got != a.Addr() {
		t.Fatalf("a is %s, not %s", got, a.Addr())
	}
	now := s.Failover("a")
	if now == a.Addr() {
		t.Error("the failover has changed nothing")
	}
	if b.Kill(); s.FailedOver("b", b.Addr()) == b.Addr() {
		t.Error("a killed primary is still named")
	}
	s.Node(0).Kill()
	if got := s.Primary("a"); got != now {
		t.Errorf("a is %s, not %s", got, now)
	}
	s.Node(0).Restart()
	if got := s.Primary("a"); got != now {
		t.Errorf("a sentinel that was restarted tells %s, not %s", got, now)
	}
	if got := r.Do("ROLE"); !strings.HasPrefix(got, "*") {
		t.Errorf("ROLE: %q", got)
	}
}
