package proxy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"ringway/pool"
)

const (
	// askTime is how long a node may take to answer before it is asked once more.
	askTime = time.Second
	// askEvery is how long after an answer that was no good.
	askEvery = 200 * time.Millisecond
)

// Await waits until the nodes that the configuration requires for a start have answered, and says which are missing when the time for it is over. The
// server must run. tell is told what it waits for.
func (srv *Server) Await(ctx context.Context, tell func(why string)) error {
	start := srv.Config().Start
	if start.Require == "none" {
		return nil
	}
	told := ""
	for begin := time.Now(); ; {
		why := srv.lacking(ctx, start.Require == "all")
		switch {
		case why == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(begin) >= start.Wait:
			return fmt.Errorf("cannot start, for start.require is %s: after %v %w", start.Require, time.Since(begin).Round(100*time.Millisecond), why)
		}
		if text := why.Error(); text != told {
			srv.log.Info("waiting for nodes", "reason", text)
			tell("waiting: " + text)
			told = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(askEvery, start.Wait)):
		}
	}
}

// lacking asks all nodes at once, and says which did not answer; if not all are required, only where none did.
func (srv *Server) lacking(ctx context.Context, all bool) error {
	var errs []error
	for _, sp := range srv.open() {
		if why := sp.director.missing(); why != "" {
			errs = append(errs, errors.New(why))
			continue
		}
		nodes := sp.director.nodesAsked()
		missing := ask(ctx, nodes)
		if len(missing) > 0 && (all || len(missing) == len(nodes)) {
			errs = append(errs, fmt.Errorf("pool %q: %d of %d nodes do not answer: %s", sp.cfg.Name, len(missing), len(nodes), strings.Join(missing, "; ")))
		}
	}
	return errors.Join(errs...)
}

// ask sends each node a PING and says, in their order, which did not answer and why.
func ask(ctx context.Context, nodes []*pool.Node) (missing []string) {
	failures := make([]error, len(nodes))
	var asked sync.WaitGroup
	for i, n := range nodes {
		asked.Go(func() { failures[i] = pool.Ping(ctx, n, time.Now().Add(askTime)) })
	}
	asked.Wait()
	for i, n := range nodes {
		if failures[i] != nil {
			missing = append(missing, fmt.Sprintf("%s: %v", n.Label(), failures[i]))
		}
	}
	return missing
}

// nodesAsked are the members that have an address, or should have.
func (d *director) nodesAsked() (list []*pool.Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.members {
		if n := d.nodes[m.node]; n.Refusal == "" {
			list = append(list, n)
		}
	}
	return list
}
