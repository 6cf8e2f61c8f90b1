package proxy

import (
	"time"

	"ringway/internal/command"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/pool"
)

// classes says, by the ID of a command, which of the pool's timeouts it has.
var classes = func() []pool.Class {
	list := make([]pool.Class, command.Count())
	for _, c := range command.All() {
		switch {
		case c.Group == "scripting":
			list[c.ID] = pool.Script
		case c.Flags.Has(command.Write):
			list[c.ID] = pool.Write
		case c.Flags.Has(command.ReadOnly):
			list[c.ID] = pool.Read
		}
	}
	return list
}()

// timeoutsOf is a pool's timeouts by class as its lanes have them.
func timeoutsOf(p *config.Pool) (t [pool.Classes]time.Duration) {
	for c, of := range map[pool.Class]time.Duration{pool.Read: p.ReadTimeout, pool.Write: p.WriteTimeout, pool.Script: p.ScriptTimeout} {
		switch of {
		case config.AsTimeout:
		case 0:
			t[c] = pool.AnyTime
		default:
			t[c] = of
		}
	}
	return t
}

// load is what this loop has in flight to a node.
func (ps *poolState) load(node int) *pool.Load {
	for len(ps.loads) <= node {
		ps.loads = append(ps.loads, &pool.Load{})
		ps.bound(len(ps.loads) - 1)
	}
	return ps.loads[node]
}

// bound sets this loop's part of what a node may have in flight.
func (ps *poolState) bound(node int) {
	cfg, loops := ps.configOf(node), len(ps.worker.server.workers)
	ps.loads[node].Bound((cfg.NodeRequests+loops-1)/loops, (cfg.NodeBytes+loops-1)/loops)
}

// putOff deals with a request for a lane that is busy. If the node has as many as it may have, the request is refused. Otherwise the lane is
// full, and the parser stops until it has room: then the result is false.
func (s *Session) putOff(lane *pool.Lane) bool {
	if !lane.Overloaded() {
		return s.waitFor(lane)
	}
	s.shed(lane, "ERR ")
	return true
}

// shed refuses a request, before any of it is sent, whose node has too many. The code is ERR, since client libraries send again by themselves what
// was answered with BUSY, LOADING or TRYAGAIN, and that is the last thing that the node needs.
func (s *Session) shed(lane *pool.Lane, code string) {
	s.pool.stats.Nodes[lane.Index].Sheds++
	s.refuse(metrics.Shed, code+lane.Overload()+"; try again later")
}
