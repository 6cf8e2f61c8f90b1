package pool

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/loop"
	"ringway/internal/redistest"
)

const (
	silence = "<silence>"
	theEnd  = "<the end>"
)

// patient is a node that is asked whether it lives, and what is told of it.
type patient struct {
	t    testing.TB
	node *Node

	mu     sync.Mutex
	answer func(n int, args []string) string
	asked  int
	told   []string
	served bool
}

// examine checks a node that answers its n-th question with what answer returns.
func examine(t testing.TB, how Checking, opt *Options, answer func(n int, args []string) string) (*patient, *Check) {
	t.Helper()
	p := &patient{t: t, answer: answer}
	p.node = NewNode("n", p.listen(), opt)
	return p, p.check(how)
}

func (p *patient) listen() string {
	return redistest.Accept(p.t, func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			args, err := redistest.ReadCommand(r)
			if err != nil {
				return
			}
			p.mu.Lock()
			reply := p.answer(p.asked, args)
			p.asked++
			p.mu.Unlock()
			if reply == silence {
				r.ReadByte()
				return
			}
			reply, ends := strings.CutSuffix(reply, theEnd)
			fmt.Fprint(c, reply)
			if ends {
				return
			}
		}
	})
}

func (p *patient) check(how Checking) *Check {
	tell := func(s string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, s)
	}
	c := StartCheck(p.node, how, Report{
		Served: func(int64, bool) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.served
		},
		Down:     func(reason string, _ bool) { tell("down: " + reason) },
		Up:       func() { tell("up") },
		Answered: func() { tell("answered") },
		Refused:  func(reason string) { tell("refused: " + reason) },
	})
	p.t.Cleanup(c.Stop)
	return c
}

// saw returns what was told, and how many questions were asked.
func (p *patient) saw() ([]string, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told), p.asked
}

func (p *patient) wait(what string, ok func(told []string, asked int) bool) {
	p.t.Helper()
	redistest.WaitFor(p.t, what, func() bool { return ok(p.saw()) })
}

var often = Checking{Interval: 2 * time.Millisecond, Timeout: 5 * time.Second, Failures: 3, Successes: 2}

// Each letter is the answer to a check: + is good, - is not.
func TestNodeIsDownAndUpAfterSoManyChecksInARow(t *testing.T) {
	cases := []struct {
		answers string
		want    []string
	}{
		{"+++", nil},
		{"--+--+--+", nil},
		{"---", []string{"down: x"}},
		{"+--+---+-+-", []string{"down: x", "answered"}},
		{"------++++", []string{"down: x", "answered", "answered", "up"}},
		{"---+++---++", []string{"down: x", "answered", "answered", "up", "down: x", "answered", "answered", "up"}},
	}
	for _, c := range cases {
		t.Run(c.answers, func(t *testing.T) {
			p, check := examine(t, often, &Options{}, func(n int, _ []string) string {
				if c.answers[min(n, len(c.answers)-1)] == '+' {
					return "+PONG\r\n"
				}
				return "-DENIED\r\n"
			})
			p.wait("the checks", func(_ []string, asked int) bool { return asked >= len(c.answers)+2 })
			told, _ := p.saw()
			for i := range told {
				told[i] = strings.Replace(told[i], "DENIED", "x", 1)
			}
			if len(told) < len(c.want) || !slices.Equal(told[:len(c.want)], c.want) || c.want == nil && told != nil {
				t.Errorf("told %q, want %q", told, c.want)
			}
			check.Stop()
			if !p.node.Up() {
				t.Error("it is down though nobody says so any more")
			}
		})
	}
}

func TestAnswersToChecks(t *testing.T) {
	cases := []struct {
		reply string
		up    bool
		told  []string
	}{
		{"+PONG\r\n", true, nil},
		{"-BUSY Redis is busy running a script.\r\n", true, nil},
		{"-MISCONF Errors writing to the AOF file\r\n", true, nil},
		{"-NOPERM this user has no permissions\r\n", true, nil},
		{"+PONG\r\n" + theEnd, true, nil}, // it closes what has been idle for a moment
		{"-LOADING Redis is loading\r\n", false, []string{"refused: LOADING Redis is loading", "down: LOADING Redis is loading"}},
		{"-MASTERDOWN Link with MASTER is down\r\n", false, []string{"refused: MASTERDOWN Link with MASTER is down", "down: MASTERDOWN Link with MASTER is down"}},
		{"-NOAUTH Authentication required.\r\n", false, []string{"refused: NOAUTH Authentication required.", "down: NOAUTH Authentication required."}},
		{"-ERR max number of clients reached\r\n" + theEnd, false, []string{"down: ERR max number of clients reached"}},
		{silence, false, []string{"down: no answer to a health check within 50ms"}},
		{theEnd, false, []string{"down: it closed the connection"}},
		{"+PO" + theEnd, false, []string{"down: it closed the connection"}},
		{"HTTP/1.1 400 Bad Request\r\n", false, []string{`down: it answered PING with "HTTP/1.1 400 Bad Request"`}},
	}
	for _, c := range cases {
		t.Run(strings.TrimSpace(c.reply), func(t *testing.T) {
			how := often
			how.Timeout = 50 * time.Millisecond
			if c.up {
				how.Timeout = 5 * time.Second
			}
			p, _ := examine(t, how, &Options{}, func(int, []string) string { return c.reply })
			p.wait("some checks", func(told []string, asked int) bool { return asked >= 8 || len(told) >= len(c.told) && len(c.told) > 0 })
			if told, _ := p.saw(); !slices.Equal(told, c.told) || p.node.Up() != c.up {
				t.Errorf("told %q, want %q; up: %v", told, c.told, p.node.Up())
			}
			if c.up && (p.node.FailedChecks() != 0 || p.node.Successes() == 0) {
				t.Errorf("%d checks failed, %d went well", p.node.FailedChecks(), p.node.Successes())
			}
		})
	}
}

func TestCheckOfNobody(t *testing.T) {
	p := &patient{t: t, node: NewNode("n", closed(t), &Options{})}
	p.check(often)
	p.wait("the verdict", func(told []string, _ int) bool { return slices.Equal(told, []string{"down: connection refused"}) })
}

func TestChecksGreetAsLanesDo(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  Options
		want []string
	}{
		{"a password", Options{Password: "x y"}, []string{"AUTH", "x y"}},
		{"a user", Options{Username: "me", Password: "x"}, []string{"AUTH", "me", "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var first []string
			p, _ := examine(t, often, &c.opt, func(n int, args []string) string {
				if n == 0 {
					first = args
					return "+OK\r\n"
				}
				return "+PONG\r\n"
			})
			p.wait("some checks", func(_ []string, asked int) bool { return asked > 3 })
			if told, _ := p.saw(); told != nil || !slices.Equal(first, c.want) {
				t.Errorf("first %q, want %q; told %q", first, c.want, told)
			}
		})
	}
	t.Run("a wrong password", func(t *testing.T) {
		p, _ := examine(t, often, &Options{Password: "x"}, func(int, []string) string { return "-WRONGPASS no\r\n" })
		p.wait("some checks", func(_ []string, asked int) bool { return asked > 5 })
		if told, _ := p.saw(); !slices.Equal(told, []string{"refused: WRONGPASS no", "down: WRONGPASS no"}) {
			t.Errorf("told %q", told)
		}
	})
}

// A check that fails while clients are served is bad luck; a node that says itself that it is of no use is believed.
func TestNodeThatServesIsNotTakenDown(t *testing.T) {
	reply := "-DENIED\r\n"
	p, _ := examine(t, often, &Options{}, func(int, []string) string { return reply })
	p.mu.Lock()
	p.served = true
	p.mu.Unlock()
	p.wait("many checks", func(_ []string, asked int) bool { return asked > 20 })
	if told, _ := p.saw(); told != nil || !p.node.Up() || p.node.FailedChecks() == 0 {
		t.Errorf("told %q; up: %v; %d failed", told, p.node.Up(), p.node.FailedChecks())
	}
	p.mu.Lock()
	reply = "-LOADING\r\n"
	p.mu.Unlock()
	p.wait("the verdict", func(told []string, _ int) bool {
		return slices.Equal(told, []string{"refused: LOADING", "down: LOADING"})
	})
}

func TestChecksFollowTheirNode(t *testing.T) {
	gone := closed(t)
	p := &patient{t: t, node: NewNode("n", gone, &Options{}), answer: func(int, []string) string { return "+PONG\r\n" }}
	p.check(often)
	p.wait("the verdict", func(told []string, _ int) bool { return len(told) == 1 })
	p.node.SetAddress(p.listen())
	if !p.node.Up() {
		t.Error("the new address is taken for down before it was asked")
	}
	p.wait("checks at the new address", func(_ []string, asked int) bool { return asked > 3 })
	if told, _ := p.saw(); !p.node.Up() || !slices.Equal(told, []string{"down: connection refused"}) {
		t.Errorf("up: %v; told %q", p.node.Up(), told)
	}
}

func TestLanesOfANodeThatWasFoundDown(t *testing.T) {
	block := make(chan struct{})
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Hang(), redistest.Expect("PING"), redistest.Pause(block), redistest.Reply("+PONG\r\n"),
		redistest.Expect("GET c"), redistest.Reply("+c\r\n"))
	f := newLane(t, n.Addr(), nil)
	c := newCaller(t)
	f.send(c, 0, get("a"))
	f.await(ready)
	f.node.foundDown("no answer to a health check")
	f.do(func() { f.lane.Abandon("no answer to a health check") })
	c.wait(1)
	c.fails(0, "ERR node 'n' ("+n.Addr()+") is down: no answer to a health check")
	f.send(c, 1, get("b"))
	c.wait(2)
	c.fails(1, "ERR node 'n' ("+n.Addr()+") is down: no answer to a health check")

	other := NewLane(f.loop, f.node, 0, Key{}) // one that was never connected need not find out
	defer f.do(other.Close)
	own := newCaller(t)
	f.do(func() { other.Send([]byte("*1\r\n$4\r\nPING\r\n"), own, 0) })
	own.wait(1)
	own.fails(0, "ERR node 'n' ("+n.Addr()+") is down: no answer to a health check")
	f.do(other.Close)

	close(block)
	f.await(ready)
	if !f.node.Up() {
		t.Error("a lane had an answer, and the node is down")
	}
	f.send(c, 2, get("c"))
	c.wait(3)
	c.gets(2, "+c\r\n")
	if told := f.told(); !slices.Equal(told, []string{"up"}) { // that it is down was told by whoever found out
		t.Errorf("told %q", told)
	}
}

func TestRetryDoesNotWaitForItsTurn(t *testing.T) {
	f := newLane(t, closed(t), nil)
	c := newCaller(t)
	f.send(c, 0, get("a"))
	c.wait(1)
	f.do(func() { f.loop.SetTimer(f.lane.retry, time.Hour) })
	f.node.SetAddress(redistest.Node(t, redistest.Expect("PING"), redistest.Reply("+PONG\r\n")).Addr())
	f.do(f.lane.Retry)
	f.await(ready)
}

func TestLaneSpeaksForItsNode(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	f := newLane(t, redistest.Node(t, redistest.Expect("GET a"), redistest.Reply("+a\r\n"), redistest.Pause(held)).Addr(),
		func(o *Options, _ *Key) { o.Timeouts[Script] = time.Minute })
	served := func(since int64, silent bool) (is bool) {
		f.do(func() { is = f.lane.Served(since, silent) })
		return is
	}
	if served(0, true) {
		t.Error("a lane that was never used speaks for its node")
	}
	f.open()
	if served(0, true) {
		t.Error("a lane without a reply speaks for its node")
	}
	c := newCaller(t)
	f.send(c, 0, get("a"))
	c.wait(1)
	if !served(0, false) || served(loop.Clock()+int64(time.Second), true) {
		t.Error("a reply is not worth what it should be")
	}
	later := loop.Clock() + int64(time.Second)
	f.do(func() { f.lane.Expect(c, 1) })
	if served(later, true) {
		t.Error("whoever waits for an ordinary request excuses silence")
	}
	f.do(func() { f.lane.Close(); f.lane.SendAs(Script, nil, c, 2) })
	f.await(ready)
	if !served(later, true) || served(later, false) {
		t.Error("a script excuses silence, and nothing else")
	}
}
