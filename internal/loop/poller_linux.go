package loop

import (
	"errors"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Interest is the set of events asked for.
type Interest uint32

const (
	Readable Interest = unix.EPOLLIN
	Writable Interest = unix.EPOLLOUT
	HangUp   Interest = unix.EPOLLRDHUP // the peer has ended its stream; reported as readable
	None     Interest = 0
)

// poller hides gnet's poller. gnet's Polling reports one event at a time and has no hook for the end of a batch, which is
// where the turn's writes belong. So the descriptors live in an epoll set of our own, and gnet's poller watches that
// set (an epoll descriptor is itself pollable): its callback takes the whole batch, and the turn ends with it.
// docs/decisions/0001-one-write-per-turn.md has the measurements.
type poller struct {
	outer  *netpoll.Poller
	inner  int // epoll set that holds every descriptor of the loop
	timer  int // timerfd, armed for the earliest timer
	bell   int // eventfd, rung by Post
	armed  int64
	events [256]unix.EpollEvent
	ended  bool
	spare  bool // more processors than loops
}

// running counts the loops of the process.
var running atomic.Int32

func openPoller() (*poller, error) {
	p := &poller{}
	var err error
	if p.outer, err = netpoll.OpenPoller(); err != nil {
		return nil, err
	}
	if p.inner, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if p.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, err
	}
	if p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, err
	}
	if err = p.add(p.timer, Readable); err != nil {
		return nil, err
	}
	if err = p.add(p.bell, Readable); err != nil {
		return nil, err
	}
	return p, p.outer.AddRead(&netpoll.PollAttachment{FD: p.inner}, false)
}

func (p *poller) run(l *Loop) error {
	running.Add(1)
	defer running.Add(-1)
	err := p.outer.Polling(func(int, netpoll.IOEvent, netpoll.IOFlags) error {
		p.turns(l)
		if p.ended {
			return errorx.ErrEngineShutdown
		}
		return nil
	})
	unix.Close(p.inner)
	unix.Close(p.timer)
	unix.Close(p.bell)
	p.outer.Close()
	if errors.Is(err, errorx.ErrEngineShutdown) {
		return nil
	}
	return err
}

// linger is how long a busy loop waits in its own epoll set before it goes back to gnet's poller: going back costs three
// more calls of epoll_wait, which a single client that waits for each reply would pay at every request.
const linger = 20 // milliseconds

// turns takes turns until there has been nothing to do for a while.
func (p *poller) turns(l *Loop) {
	wait := 0
	for !p.ended {
		if l.Turns%1024 == 0 || wait == 0 && len(l.held) == 0 { // the number of processors may change
			p.spare = runtime.GOMAXPROCS(0) > int(running.Load())
		}
		n := p.wait(wait)
		if n <= 0 {
			if n == -int(unix.EINTR) {
				continue
			}
			if len(l.held) == 0 && wait == linger {
				return
			}
			if len(l.held) > 0 {
				l.idle()
			}
			wait = linger
			if len(l.held) > 0 {
				wait = 0
			}
			continue
		}
		l.beginTurn()
		for i := range p.events[:n] {
			ev := &p.events[i]
			switch fd := int(ev.Fd); fd {
			case p.timer:
				p.clear(fd)
				p.armed = 0
			case p.bell:
				p.clear(fd)
				l.runPosted()
			default:
				l.event(fd, ev.Events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLRDHUP) != 0, ev.Events&unix.EPOLLOUT != 0,
					ev.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0)
			}
		}
		l.endTurn()
		wait = linger
		if len(l.held) > 0 {
			wait = 0
		}
	}
}

// wait is epoll_wait, in two ways. Without a time-out it cannot block, so the scheduler need not know of it. With one it
// still isn't told as long as there are processors to spare: a blocking call that the scheduler knows of has its processor taken
// away after 20 us, which wakes threads for nothing at every request of a lone client. The garbage collector gets its
// stop all the same: it sends a signal, which ends the wait.
func (p *poller) wait(ms int) int {
	if ms == 0 || p.spare {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.inner),
			uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(ms), 0, 0)
		if errno != 0 {
			return -int(errno)
		}
		return int(n)
	}
	n, err := unix.EpollWait(p.inner, p.events[:], ms)
	if err != nil {
		if errno, ok := err.(unix.Errno); ok {
			return -int(errno)
		}
		return -1
	}
	return n
}

// clear resets a timerfd or eventfd.
func (p *poller) clear(fd int) {
	var b [8]byte
	readFD(fd, b[:])
}

// wake makes the loop turn. It may be called from any goroutine.
func (p *poller) wake() {
	b := [8]byte{1}
	unix.Write(p.bell, b[:])
}

func (p *poller) stop() { p.ended = true }

func (p *poller) add(fd int, want Interest) error {
	return unix.EpollCtl(p.inner, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: uint32(want)})
}

func (p *poller) modify(fd int, want Interest) error {
	return unix.EpollCtl(p.inner, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Fd: int32(fd), Events: uint32(want)})
}

func (p *poller) remove(fd int) {
	unix.EpollCtl(p.inner, unix.EPOLL_CTL_DEL, fd, nil)
}

// arm sets the timerfd to the earliest deadline; 0 means that there is none. A timer that is already set to fire
// earlier is left alone: firing once for nothing is cheaper than a system call a turn.
func (p *poller) arm(at, now int64) {
	if at == 0 || (p.armed != 0 && p.armed <= at) {
		return
	}
	d := max(at-now, int64(time.Microsecond))
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d)}
	if unix.TimerfdSettime(p.timer, 0, &spec, nil) == nil {
		p.armed = at
	}
}
