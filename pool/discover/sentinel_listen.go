package discover

import (
	"context"
	"errors"
	"sync"
	"time"
)

// events are the reasons to look that sentinels tell by themselves. A replica is promoted a second or more before the switch, which waits until
// the others follow it; in that time the old primary, if it lives, takes writes that will be lost.
var events = []string{
	"+switch-master", "+promoted-slave", "+sdown", "-sdown", "+odown", "-odown", "+slave", "-slave", "+slave-reconf-done", "+reboot",
	"+convert-to-slave", "+sentinel",
}

// ear listens to one sentinel, on a connection and a goroutine of its own.
type ear struct {
	address string
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has gone deaf
	err     error         // why; read after done is closed
}

// listen sees to it that there is an ear on the current sentinel. One that goes deaf is replaced at the next look.
func (s *sentinel) listen(ctx context.Context, ears *sync.WaitGroup) {
	if s.ear != nil {
		select {
		case <-s.ear.done:
			if err := s.ear.err; !s.deaf && ctx.Err() == nil && s.ear.address == s.current {
				s.deaf = true
				s.opt.Log.Warn("sentinel cannot be listened to", "sentinel", s.ear.address, "error", err)
			}
		default:
			if s.ear.address == s.current {
				return
			}
		}
		s.ear.cancel()
		s.ear = nil
	}
	if s.current == "" {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &ear{address: s.current, cancel: cancel, done: make(chan struct{})}
	s.ear = e
	ears.Go(func() {
		defer close(e.done)
		e.err = s.hearken(ctx, e.address)
	})
}

// hearken rings the bell for every event until the connection or ctx ends. There is no deadline for the next event: a
// sentinel that is silent for good is found out by the next look, and another one becomes current.
func (s *sentinel) hearken(ctx context.Context, address string) error {
	c, err := connect(ctx, &s.opt, address, s.username, s.password)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.send(append([]string{"SUBSCRIBE"}, events...)); err != nil {
		return err
	}
	c.conn.SetReadDeadline(time.Now().Add(s.opt.Timeout))
	for range events {
		v, err := c.next()
		if err != nil {
			return err
		}
		if v.elem(0).text != "subscribe" {
			return errors.New("SUBSCRIBE: " + v.text)
		}
	}
	c.conn.SetReadDeadline(time.Time{})
	ring(s.nudges) // for what has happened between the last look and now
	for {
		v, err := c.next()
		if err != nil {
			return err
		}
		if v.elem(0).text != "message" {
			continue
		}
		if event := v.elem(1).text; event == "+switch-master" || event == "+promoted-slave" {
			ring(s.alarms)
		} else {
			ring(s.nudges)
		}
	}
}
