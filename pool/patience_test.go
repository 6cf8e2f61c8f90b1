package pool

import (
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/resp"
)

// How long a silent node is waited for is said by the request whose reply is due.
func TestPatienceIsThatOfTheFirstRequest(t *testing.T) {
	timeouts := func(o *Options, _ *Key) {
		o.Timeouts[Read], o.Timeouts[Script] = 50*time.Millisecond, 400*time.Millisecond
	}
	cases := []struct {
		name    string
		classes []Class
		answer  bool // the first of them
		want    string
	}{
		{"a read", []Class{Read}, false, "did not answer within 50ms"},
		{"a read before a script", []Class{Read, Script}, false, "did not answer within 50ms"},
		{"a read behind a script", []Class{Script, Read}, false, "did not answer within 400ms"},
		{"a read behind a script that was answered", []Class{Script, Read}, true, "did not answer within 50ms"},
		{"a script behind a read that was answered", []Class{Read, Script}, true, "did not answer within 400ms"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var script []redistest.Step
			if c.answer {
				script = append(script, redistest.Expect("GET a"), redistest.Reply("+a\r\n"))
			}
			n := redistest.Node(t, append(script, redistest.Hang())...)
			f := newLane(t, n.Addr(), timeouts)
			own := newCaller(t)
			f.do(func() {
				for i, class := range c.classes {
					f.lane.SendAs(class, resp.AppendCommand(nil, "GET", "a"), own, uint64(i))
				}
			})
			own.wait(len(c.classes))
			last := uint64(len(c.classes) - 1)
			own.fails(last, "ERR node 'n' ("+n.Addr()+") is down: "+c.want)
			if c.answer {
				own.gets(0, "+a\r\n")
			}
		})
	}
}

func TestRequestThatMayTakeAnyTime(t *testing.T) {
	read, release := make(chan struct{}), make(chan struct{})
	n := redistest.Node(t, redistest.Expect("GET a"), redistest.Tell(read), redistest.Pause(release), redistest.Reply("+a\r\n"), redistest.Hang())
	f := newLane(t, n.Addr(), func(o *Options, _ *Key) {
		o.Timeout, o.Timeouts[Write] = 20*time.Millisecond, AnyTime
	})
	own := newCaller(t)
	f.do(func() { f.lane.SendAs(Write, resp.AppendCommand(nil, "GET", "a"), own, 0) })
	<-read
	looks := 0 // the timer has come more often than it would take to give a request of another class up
	redistest.WaitFor(t, "a few looks at the silent node", func() bool {
		f.do(func() {
			if f.lane.patience.Set() {
				f.loop.StopTimer(f.lane.patience)
				f.lane.checkPatience()
				looks++
			}
		})
		return looks > 20
	})
	close(release)
	own.wait(1)
	own.gets(0, "+a\r\n")
	f.send(own, 1, get("b"))
	own.wait(2)
	own.fails(1, "ERR node 'n' ("+n.Addr()+") is down: did not answer within 20ms")
}

func TestTimeoutsOfOptions(t *testing.T) {
	o := Options{Timeout: time.Second}
	o.Timeouts[Read], o.Timeouts[Script] = 2*time.Second, AnyTime
	for c, want := range map[Class]time.Duration{Other: time.Second, Read: 2 * time.Second, Write: time.Second, Script: 0} {
		if got := o.timeout(c); got != want {
			t.Errorf("class %d: %v, want %v", c, got, want)
		}
	}
	if got := o.shortest(); got != time.Second {
		t.Errorf("the shortest is %v", got)
	}
	o.Timeout = 0
	if got := o.shortest(); got != 2*time.Second {
		t.Errorf("the shortest without a timeout is %v", got)
	}
	if got := (&Options{}).shortest(); got != 0 {
		t.Errorf("the shortest of none is %v", got)
	}
}
