package discover

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// cluster finds the primaries of a Redis Cluster, their replicas and their slots.
//
// The nodes of a cluster gossip, so that each has a view of its own, and while slots move or a replica is promoted several
// are about. One node is asked every Interval; a nudge moves on to the next one, since the node that was asked may be the
// one that is behind, and for a while the views are asked for more often. A view of an older epoch (the cluster's
// currentEpoch, which grows with each promotion and with each node that takes a slot over) never replaces a newer one, and
// the view of a node that is cut off from the others (cluster_state:fail) is taken only if there is none better.
type cluster struct {
	bell
	opt      Options
	seeds    []string
	patience time.Duration

	order       []string // of the nodes and seeds; the first is asked next
	link        *client  // to the node that was asked last
	epoch       int      // of the last view that was ok
	behindSince time.Time
	known       map[string]string // names of the nodes published, and their addresses
	complaint   string            // what is wrong, as it was logged
}

const (
	// asks is how many nodes one look asks, at the most.
	asks = 8
	// haste is how many looks after a nudge come ten times as soon: it is a while until a replica is promoted.
	haste = 20
)

// NewCluster makes a source of the shards of the Redis Cluster that the seeds belong to. A node's name is the id of the
// primary, so a promoted replica is another node, which has the slots of the one before. Weights are 1. There is no update
// before a view has been had. A primary without slots is a node, too, unless the cluster takes it for dead.
func NewCluster(seeds []string, opt Options) Source {
	return &cluster{
		bell: newBell(), opt: opt.filled(5 * time.Second), seeds: slices.Clone(seeds), order: slices.Clone(seeds), patience: patience,
	}
}

func (c *cluster) Run(ctx context.Context, publish func(Update)) {
	out := outlet{publish: publish}
	defer c.hangUp()
	for nudged, hurry := false, 0; ; {
		v := c.look(ctx, nudged || hurry > 0)
		if ctx.Err() != nil {
			return
		}
		if v != nil && out.put(v.update) {
			c.tell(v)
		}
		d := c.opt.Interval
		switch {
		case hurry > 0:
			hurry--
			d /= 10
		case v == nil || !v.ok || v.ailing:
			d /= 10
		}
		if nudged = c.wait(ctx, jitter(d)); ctx.Err() != nil {
			return
		}
		if nudged {
			hurry = haste
		}
	}
}

// look returns the view to be taken now, nil for none. elsewhere is to ask another node than last time.
func (c *cluster) look(ctx context.Context, elsewhere bool) *clusterView {
	if elsewhere {
		c.next()
	}
	var best *clusterView
	var reason error
	for range min(asks, len(c.order)) {
		v, err := c.ask(ctx, c.order[0])
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			reason = err
			c.next()
			continue
		}
		if best == nil || v.better(best) {
			best = v
		}
		if best.ok && best.epoch >= c.epoch {
			break
		}
		c.next()
	}
	switch {
	case best == nil:
		c.complain("no node of the cluster answers", "error", reason)
		return nil
	case best.epoch < c.epoch && !c.renewed(best):
		c.complain("nodes tell of an older configuration", "asked", best.asked, "epoch", best.epoch, "known_epoch", c.epoch)
		return nil
	}
	if best.ok {
		c.epoch = best.epoch
		if c.complaint != "" {
			c.complaint = ""
			c.opt.Log.Info("cluster answers well again", "asked", best.asked)
		}
	} else { // its epoch does not count: one that is cut off may have called any number of elections
		c.complain("cluster is not ok", "asked", best.asked)
	}
	c.behindSince = time.Time{}
	c.learn(best)
	return best
}

// renewed tells whether an older epoch is the one that counts now, the cluster having been set up anew: that is when for a
// long while all nodes that could be asked have told it, and find themselves in a cluster that works.
func (c *cluster) renewed(v *clusterView) bool {
	if !v.ok {
		c.behindSince = time.Time{}
		return false
	}
	if c.behindSince.IsZero() {
		c.behindSince = time.Now()
	}
	return time.Since(c.behindSince) >= c.patience
}

// next moves on to the next node.
func (c *cluster) next() {
	if len(c.order) > 1 {
		c.order = append(c.order[1:], c.order[0])
	}
}

// learn puts the nodes of a view into the order, behind those that are there already, and takes out those that are gone. The
// seeds stay: when all else is lost they are where to begin.
func (c *cluster) learn(v *clusterView) {
	all := slices.Clone(c.seeds)
	for _, n := range v.update.Nodes {
		if n.Address != "" {
			all = append(all, n.Address)
		}
	}
	for _, n := range v.update.Nodes {
		all = append(all, addresses(n.Replicas)...)
	}
	order := slices.DeleteFunc(c.order, func(a string) bool { return !slices.Contains(all, a) })
	for _, a := range all {
		if !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	c.order = order
}

// ask asks a node for its view.
func (c *cluster) ask(ctx context.Context, address string) (*clusterView, error) {
	if c.link != nil && c.link.address == address {
		v, err := askCluster(c.link)
		if err == nil {
			return v, nil
		}
		if c.hangUp(); timedOut(err) {
			return nil, err
		}
	}
	c.hangUp()
	link, err := connectTo(ctx, &c.opt, address)
	if err != nil {
		return nil, err
	}
	c.link = link
	v, err := askCluster(link)
	if err != nil {
		c.hangUp()
		return nil, err
	}
	return v, nil
}

func (c *cluster) hangUp() {
	if c.link != nil {
		c.link.close()
		c.link = nil
	}
}

func (c *cluster) complain(msg string, args ...any) {
	if c.complaint != msg {
		c.complaint = msg
		c.opt.Log.Warn(msg, args...)
	}
}

// tell logs what has changed.
func (c *cluster) tell(v *clusterView) {
	known := make(map[string]string)
	for _, n := range v.update.Nodes {
		known[n.Name] = n.Address
		if old, ok := c.known[n.Name]; !ok {
			c.opt.Log.Info("node found", "node", n.Name, "address", n.Address)
		} else if old != n.Address {
			c.opt.Log.Info("node moved", "node", n.Name, "from", old, "to", n.Address)
		}
	}
	for name, address := range c.known {
		if _, ok := known[name]; !ok {
			c.opt.Log.Info("node gone", "node", name, "address", address)
		}
	}
	c.known = known
	c.opt.Log.Info("cluster changed", "asked", v.asked, "epoch", v.epoch, "nodes", len(v.update.Nodes), "slots", v.served)
}

// better tells which of two views is to be preferred.
func (v *clusterView) better(than *clusterView) bool {
	if v.ok != than.ok {
		return v.ok
	}
	return cmp.Compare(v.epoch, than.epoch) > 0
}
