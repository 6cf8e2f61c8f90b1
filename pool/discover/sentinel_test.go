package discover

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// node returns the node with a name, or an empty one.
func node(u Update, name string) Node {
	for _, n := range u.Nodes {
		if n.Name == name {
			return n
		}
	}
	return Node{}
}

func replicasOf(u Update, name string) []string { return addresses(node(u, name).Replicas) }

func names(u Update) (list []string) {
	for _, n := range u.Nodes {
		list = append(list, n.Name)
	}
	return list
}

func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}

func primaryIs(name, address string) func(Update) bool {
	return func(u Update) bool { return node(u, name).Address == address }
}

func replicasAre(name string, want ...string) func(Update) bool {
	sorted(want...)
	return func(u Update) bool { return slices.Equal(replicasOf(u, name), want) }
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	a1, a2, b1 := redistest.Replica(t, a), redistest.Replica(t, a), redistest.Replica(t, b)
	s := redistest.StartSentinels(t, 3, redistest.Monitored{Name: "b", Primary: b}, redistest.Monitored{Name: "a", Primary: a})

	// The first one only listens: nobody but a sentinel can have told it of a change. Sentinels tell nothing when a replica
	// is in step again, which they find out themselves with the next INFO.
	listening, book := options(t)
	listening.Interval = time.Hour
	listener := follow(t, NewSentinel(s.Addrs(), []string{"a", "b"}, "", "", listening))
	polling, _ := options(t)
	poller := follow(t, NewSentinel(s.Addrs()[:1], []string{"b", "a"}, "", "", polling))
	both := func(what string, ok func(Update) bool) {
		t.Helper()
		listener.await(what+", by listening", ok)
		poller.await(what+", by asking", ok)
	}

	both("the primaries", func(u Update) bool {
		return node(u, "a").Address == a.Addr() && node(u, "b").Address == b.Addr()
	})
	both("the replicas of a", replicasAre("a", a1.Addr(), a2.Addr()))
	both("the replica of b", replicasAre("b", b1.Addr()))
	if got := names(listener.last()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("nodes are %q", got)
	}
	if got := names(poller.last()); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("nodes are %q", got)
	}

	t.Run("a replica that dies is left out, and comes back", func(t *testing.T) {
		a1.Kill()
		both("a without its dead replica", replicasAre("a", a2.Addr()))
		a1.Restart()
		poller.await("a with its replica again", replicasAre("a", a1.Addr(), a2.Addr()))
	})
	t.Run("SENTINEL FAILOVER switches the primary", func(t *testing.T) {
		if now := s.Failover("b"); now != b1.Addr() {
			t.Fatalf("b is now %s", now)
		}
		both("the new primary of b", primaryIs("b", b1.Addr()))
		poller.await("the old primary of b as its replica", replicasAre("b", b.Addr()))
	})
	// A Sentinel that does not hear of a busy machine's primary for half a second may replace it once more: who is the primary then is not asked.
	t.Run("a primary that dies is replaced, and comes back", func(t *testing.T) {
		a.Kill()
		s.FailedOver("a", a.Addr())
		both("another primary", func(u Update) bool { return node(u, "a").Address != a.Addr() })
		poller.await("a without its first primary", func(u Update) bool {
			all := serversOf(u, "a")
			return len(all) == 2 && !slices.Contains(all, a.Addr())
		})
		a.Restart()
		poller.await("all three", func(u Update) bool { return len(serversOf(u, "a")) == 3 })
		if n := book.count(`msg="primary switched" pool=p node=a from=` + a.Addr() + " to="); n == 0 {
			t.Errorf("the switch was not logged:\n%s", book)
		}
	})
}

// serversOf are the addresses of a node's primary and replicas.
func serversOf(u Update, name string) (list []string) {
	n := node(u, name)
	list = append(list, n.Address)
	for _, r := range n.Replicas {
		list = append(list, r.Address)
	}
	return list
}

func TestSentinelsMayDie(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	redistest.Replica(t, primary)
	redistest.Replica(t, primary)
	s := redistest.StartSentinels(t, 3, redistest.Monitored{Name: "m", Primary: primary})
	opt, book := options(t)
	f := follow(t, NewSentinel(s.Addrs()[:1], []string{"m"}, "", "", opt))
	f.await("the primary", primaryIs("m", primary.Addr()))

	s.Node(0).Kill()
	f.await("the failover, from sentinels it was not told of", primaryIs("m", s.Failover("m")))

	s.Node(0).Restart()
	s.Node(1).Stop()
	f.await("the failover, though a sentinel hangs", primaryIs("m", s.Failover("m")))
	s.Node(1).Cont()

	before := f.last()
	for _, node := range s.Nodes {
		node.Kill()
	}
	book.await(t, "no sentinel answers")
	f.source.Nudge()
	s.Node(2).Restart()
	book.await(t, "sentinels answer again")
	f.await("the primary, which has never changed", primaryIs("m", node(before, "m").Address))
	s.Node(1).Restart()
	f.await("the failover after all sentinels were gone", primaryIs("m", s.Failover("m")))
	if n := book.count("no sentinel answers"); n != 1 {
		t.Errorf("the loss of all sentinels was logged %d times", n)
	}
	f.stop()
	for _, u := range f.updates {
		if node(u, "m").Address == "" {
			t.Error("the primary was lost meanwhile")
		}
	}
}

func TestTheOnlySentinelThatHasAnsweredIsRemembered(t *testing.T) {
	t.Parallel()
	opt, _ := options(t)
	s := NewSentinel([]string{"a"}, nil, "", "", opt).(*sentinel)
	s.follow([]*testimony{{address: "c", others: []string{"a", "b"}}}, nil)
	s.current = "" // all are lost
	if got := s.candidates(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("will ask %q", got)
	}
}

func TestAStaleSentinelIsNotBelieved(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	replica := redistest.Replica(t, primary)
	s := redistest.StartSentinels(t, 3, redistest.Monitored{Name: "m", Primary: primary})
	opt, book := options(t)
	opt.Timeout = 300 * time.Millisecond
	f := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "", "", opt))
	f.await("the primary", primaryIs("m", primary.Addr()))

	// Sentinel 2 is not there for the failover, and when it comes back, nobody is left to tell it.
	s.Node(2).Kill()
	s.Failover("m")
	f.await("the failover", primaryIs("m", replica.Addr()))
	count := f.count()
	s.Node(0).Kill()
	s.Node(1).Kill()
	s.Node(2).Restart()
	book.await(t, "sentinels tell of an older configuration")
	if got := s.Primary("m"); got != primary.Addr() {
		t.Fatalf("the sentinel is not stale at all, it tells %s", got)
	}
	f.source.Nudge()
	s.Node(0).Restart()
	s.Node(1).Restart()
	s.FailedOver("m", primary.Addr())
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.updates[count:] {
		if got := node(u, "m").Address; got != replica.Addr() {
			t.Errorf("%s was published after %s", got, replica.Addr())
		}
	}
	if n := book.count("sentinels tell of an older configuration"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// monitor makes a sentinel begin anew with a primary, at epoch 0.
func monitor(t *testing.T, sentinel *redistest.Redis, name, host string, port int) {
	t.Helper()
	sentinel.TryDo("SENTINEL", "REMOVE", name)
	if got := sentinel.Do("SENTINEL", "MONITOR", name, host, strconv.Itoa(port), "1"); got != "+OK\r\n" {
		t.Fatalf("SENTINEL MONITOR: %q", got)
	}
}

func TestSentinelsThatBeginAnewAreBelievedAfterAWhile(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	redistest.Replica(t, primary)
	s := redistest.StartSentinels(t, 1, redistest.Monitored{Name: "m", Primary: primary})
	opt, book := options(t)
	patient := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "", "", opt))
	hasty := NewSentinel(s.Addrs(), []string{"m"}, "", "", opt)
	hasty.(*sentinel).patience = 300 * time.Millisecond
	f := follow(t, hasty)

	now := s.Failover("m")
	f.await("the failover", primaryIs("m", now))
	patient.await("the failover", primaryIs("m", now))
	other := redistest.Server(t)
	monitor(t, s.Node(0), "m", "127.0.0.1", other.Port())
	f.await("what the sentinel has been told", primaryIs("m", other.Addr()))
	book.await(t, "sentinels tell of an older configuration")
	if got := node(patient.last(), "m").Address; got != now {
		t.Errorf("%s was published at once", got)
	}
}

func TestAPrimaryThatSaysItIsNone(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	replica := redistest.Replica(t, primary)
	s := redistest.StartSentinels(t, 1, redistest.Monitored{Name: "m", Primary: replica})
	opt, book := options(t)
	opt.Interval = 200 * time.Millisecond

	f := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "", "", opt))
	book.await(t, `msg="primary says it is none" pool=p node=m`)
	if u := f.last(); len(u.Nodes) != 0 && u.Nodes[0].Address != "" {
		t.Errorf("%s was published", u.Nodes[0].Address)
	}
	f.await("a node without address", func(u Update) bool { return slices.Equal(names(u), []string{"m"}) })

	monitor(t, s.Node(0), "m", "127.0.0.1", primary.Port())
	f.await("a real primary", primaryIs("m", primary.Addr()))
	count := f.count()
	monitor(t, s.Node(0), "m", "127.0.0.1", replica.Port())
	redistest.WaitFor(t, "the primary to be asked again", func() bool { return book.count("primary says it is none") == 2 })
	if f.count() != count || f.last().Nodes[0].Address != primary.Addr() {
		t.Errorf("the last known primary was not kept: %+v", f.last().Nodes)
	}
	replica.Do("REPLICAOF", "NO", "ONE")
	f.await("the replica, now that it is a primary", primaryIs("m", replica.Addr()))
}

func TestSentinelPassesHostNamesOn(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	s := redistest.StartSentinels(t, 1, redistest.Monitored{Name: "x", Primary: primary})
	for _, option := range []string{"resolve-hostnames", "announce-hostnames"} {
		if got := s.Node(0).Do("SENTINEL", "CONFIG", "SET", option, "yes"); got != "+OK\r\n" {
			t.Fatalf("%s: %q", option, got)
		}
	}
	monitor(t, s.Node(0), "m", "localhost", primary.Port())
	opt, _ := options(t)
	f := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "", "", opt))
	f.await("the host name", primaryIs("m", net.JoinHostPort("localhost", strconv.Itoa(primary.Port()))))
}

func TestSentinelPasswords(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	s := redistest.StartSentinels(t, 1, redistest.Monitored{Name: "m", Primary: primary})
	s.Node(0).Do("ACL", "SETUSER", "watcher", "on", ">sesame", "+@all", "allchannels")
	primary.Do("ACL", "SETUSER", "router", "on", ">secret", "+role")
	opt, book := options(t)
	opt.Username, opt.Password = "router", "secret"
	roles := func() int {
		_, after, _ := strings.Cut(primary.Do("INFO", "commandstats"), "cmdstat_role:calls=")
		return value{text: strings.SplitN(after, ",", 2)[0]}.number()
	}
	before := roles()
	f := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "watcher", "sesame", opt))
	f.await("the primary", primaryIs("m", primary.Addr()))
	if roles() != before+1 {
		t.Error("the node was not asked for its role")
	}
	if got := s.Node(0).Do("CLIENT", "LIST"); strings.Count(got, "user=watcher") != 2 {
		t.Errorf("not two connections of the watcher: %s", got)
	}

	wrong := follow(t, NewSentinel(s.Addrs(), []string{"m"}, "watcher", "hush", opt))
	book.await(t, "no sentinel answers")
	wrong.await("a node without address", func(u Update) bool { return slices.Equal(names(u), []string{"m"}) })
	if strings.Contains(book.String(), "hush") || !strings.Contains(book.String(), "WRONGPASS") {
		t.Errorf("log: %s", book)
	}
}

func TestSentinelMayForbidListening(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	redistest.Replica(t, primary)
	s := redistest.StartSentinels(t, 1, redistest.Monitored{Name: "m", Primary: primary})
	s.Node(0).Do("ACL", "SETUSER", "watcher", "on", ">sesame", "+sentinel")
	opt, book := options(t)
	f := follow(t, NewSentinel(s.Addrs(), []string{"m", "unknown"}, "watcher", "sesame", opt))
	f.await("the primary", primaryIs("m", primary.Addr()))
	f.await("the failover", primaryIs("m", s.Failover("m")))
	book.await(t, `msg="sentinel cannot be listened to"`)
	book.await(t, `msg="no sentinel knows the master" pool=p node=unknown`)
	for _, text := range []string{"sentinel cannot be listened to", "no sentinel knows the master"} {
		if n := book.count(text); n != 1 {
			t.Errorf("%q is logged %d times", text, n)
		}
	}
	if u := f.last(); len(u.Nodes) != 2 || u.Nodes[1].Address != "" {
		t.Errorf("nodes: %+v", u.Nodes)
	}
}

func TestSentinelSurvivesWhatIsNone(t *testing.T) {
	t.Parallel()
	primary := redistest.Server(t)
	rubbish := redistest.Node(t, redistest.Answer(func([]string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }))
	opt, book := options(t)
	opt.Timeout = 100 * time.Millisecond
	f := follow(t, NewSentinel([]string{rubbish.Addr(), primary.Addr(), "127.0.0.1:1"}, []string{"m"}, "", "", opt))
	book.await(t, "no sentinel answers")
	f.await("a node without address", func(u Update) bool { return slices.Equal(names(u), []string{"m"}) })
	for _, reason := range []string{"not RESP", "unknown command", "connection refused"} {
		if !strings.Contains(book.String(), reason) {
			t.Errorf("the log does not tell of %q: %s", reason, book)
		}
	}
}
