package pool

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"ringway/internal/loop"
)

// Checking says how nodes are asked whether they live.
type Checking struct {
	Interval  time.Duration
	Timeout   time.Duration // for all of a check: connecting, AUTH and PING
	Failures  int           // in a row, until a node is taken for down
	Successes int           // in a row, until it is taken for up again
}

// Check asks one node again and again whether it lives, on a connection of its own and one for the whole process. What it finds is written in the
// Node, for all loops; they, and whoever decides over the ring, are told of what changes:
//
//	up --Failures in a row--> down --Successes in a row, or a reply on any lane--> up
//
// A failure does not count while the lanes are served well: then it was the check that had no luck. So a node is asked only what clients don't find
// out by themselves: whether it is there while nobody wants anything, or while the only ones who do are those with very much patience.
type Check struct {
	How Checking

	node   *Node
	report Report
	cancel context.CancelFunc

	mu      sync.Mutex // held while a finding is written, so that none is after Stop
	stopped bool

	// What follows belongs to the check's goroutine.
	talk     *talk
	failures int // in a row
	refusal  string
}

// Report is who is told what checks find. The functions are called on the check's goroutine.
type Report struct {
	// Served asks whether a lane of any loop has had a reply since a time of the loops' clock. silent says that the node has not
	// answered rather than refused: then a lane that waits for a script, and has the time, speaks for it too.
	Served func(since int64, silent bool) bool
	// Down says that the node is taken for down, Up that it no longer is. was says that it already was before, by what lanes have found.
	Down func(reason string, was bool)
	Up   func()
	// Answered says that a node that is down has answered a check: lanes should try again.
	Answered func()
	// Refused says that the node answers, but won't have us; once for each reason.
	Refused func(reason string)
}

// StartCheck checks a node until Stop.
func StartCheck(n *Node, how Checking, report Report) *Check {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Check{How: how, node: n, report: report, cancel: cancel}
	n.successes.Store(0)
	go c.run(ctx)
	return c
}

// Stop ends the check, and takes back what it has found.
func (c *Check) Stop() {
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.node.forgetChecks()
}

// run spreads the checks of many nodes, and of many Ringways, over the interval.
func (c *Check) run(ctx context.Context) {
	timer := time.NewTimer(rand.N(c.How.Interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			c.hangUp()
			return
		case begun := <-timer.C:
			c.once(ctx)
			jitter := c.How.Interval / 10
			timer.Reset(max(0, time.Until(begun.Add(c.How.Interval-jitter+rand.N(2*jitter+1)))))
		}
	}
}

// once makes one check and draws the conclusions.
func (c *Check) once(ctx context.Context) {
	address, opt := c.node.Address(), c.node.Options()
	if c.talk != nil && (c.talk.address != address || c.talk.opt != opt) {
		c.hangUp()
		c.failures = 0
	}
	if address == "" {
		return // there is nobody to ask
	}
	begun := loop.Clock()
	err := c.ask(ctx, address, opt)
	if ctx.Err() != nil || c.node.Address() != address {
		return
	}
	if err == nil {
		c.well()
		return
	}
	c.hangUp()
	c.node.failedChecks.Add(1)
	c.node.successes.Store(0)
	if unfit(err) {
		if c.refusal != err.Error() {
			c.refusal = err.Error()
			c.report.Refused(c.refusal)
		}
	} else if c.report.Served(begun-int64(c.How.Interval), err == errSilent) {
		c.failures = 0
		return
	}
	if err == errSilent {
		err = fmt.Errorf("no answer to a health check within %v", c.How.Timeout)
	}
	if c.failures++; c.failures >= c.How.Failures {
		c.down(err.Error())
	}
}

// ask asks once. A connection that the node has closed meanwhile, perhaps for being idle, is made anew.
func (c *Check) ask(ctx context.Context, address string, opt *Options) (err error) {
	deadline := time.Now().Add(c.How.Timeout)
	for {
		old := c.talk != nil
		if !old {
			if c.talk, err = begin(ctx, address, opt, deadline); err != nil {
				c.talk = nil
				return err
			}
		}
		_, err = c.talk.ask(deadline, "PING")
		r, refused := err.(errorReply)
		if refused && alive(r) {
			return nil
		}
		if err == nil || refused || !old || err == errSilent {
			return err
		}
		c.hangUp()
	}
}

// alive reports whether a node that answers PING with this error does its work: it runs a script, can't save, or won't let us ask.
func alive(r errorReply) bool {
	switch r.code() {
	case "BUSY", "MISCONF", "NOPERM":
		return true
	}
	return false
}

// unfit reports whether a node answers, and says itself that it is of no use.
func unfit(err error) bool {
	r, ok := err.(errorReply)
	if !ok {
		return false
	}
	switch r.code() {
	case "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS":
		return true
	case "ERR": // older servers, and those that have no password
		return strings.Contains(string(r), "AUTH") || strings.Contains(string(r), "password")
	}
	return false
}

func (c *Check) well() {
	c.failures, c.refusal = 0, ""
	enough := c.node.successes.Add(1) >= int32(c.How.Successes)
	if c.node.Up() {
		return
	}
	c.report.Answered()
	if enough && c.node.foundUp() {
		c.report.Up()
	}
}

func (c *Check) down(reason string) {
	c.mu.Lock()
	if _, already := c.node.Unfit(); c.stopped || already {
		c.mu.Unlock()
		return
	}
	was := c.node.foundDown(reason)
	c.mu.Unlock()
	c.report.Down(reason, was)
}

func (c *Check) hangUp() {
	if c.talk != nil {
		c.talk.end()
		c.talk = nil
	}
}
