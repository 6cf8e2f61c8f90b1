package proxy

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringway/internal/metrics"
	"ringway/pool/discover"
)

// nodeInfo asks a pool's nodes and replicas for INFO, each on one connection of the process, and keeps what they said for the next scrape.
type nodeInfo struct {
	d        *director
	interval time.Duration
	opt      discover.Options
	end      context.CancelFunc

	mu   sync.Mutex
	said []metrics.NodeInfo // by node
}

// askNodes has nodes asked as the configuration says. The mutex is held.
func (d *director) askNodes() {
	interval := d.pool.cfg.NodeInfo
	if !d.running || d.stopped {
		interval = 0
	}
	if d.infos != nil && d.infos.interval != interval {
		d.infos.end()
		d.infos = nil
	}
	if d.infos == nil && interval > 0 {
		ctx, end := context.WithCancel(context.Background())
		d.infos = &nodeInfo{d: d, interval: interval, opt: d.asking(), end: end}
		d.infos.opt.Timeout = min(interval, 2*time.Second)
		go d.infos.run(ctx)
	}
}

// nodeInfos returns what the nodes have said of themselves, by their indexes.
func (d *director) nodeInfos() []metrics.NodeInfo {
	d.mu.Lock()
	of := d.infos
	d.mu.Unlock()
	if of == nil {
		return nil
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.said // replaced as a whole
}

func (ni *nodeInfo) run(ctx context.Context) {
	conns := map[int]*watched{}
	tick := time.NewTicker(ni.interval)
	defer tick.Stop()
	for {
		said := ni.round(ctx, conns)
		ni.mu.Lock()
		ni.said = said
		ni.mu.Unlock()
		select {
		case <-ctx.Done():
			for _, c := range conns {
				c.hangUp()
			}
			return
		case <-tick.C:
		}
	}
}

// round asks all nodes that are in use at the same time.
func (ni *nodeInfo) round(ctx context.Context, conns map[int]*watched) []metrics.NodeInfo {
	ni.d.mu.Lock()
	nodes, used := ni.d.nodes, ni.d.present.used
	ni.d.mu.Unlock()
	said := make([]metrics.NodeInfo, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		if i >= len(used) || !used[i] || n.Refusal != "" || n.Address() == "" {
			if c := conns[i]; c != nil {
				c.hangUp()
				delete(conns, i)
			}
			continue
		}
		c := conns[i]
		if c == nil {
			c = &watched{}
			conns[i] = c
		}
		all.Add(1)
		go func() {
			defer all.Done()
			said[i] = ni.ask(ctx, c, n.Address())
		}()
	}
	all.Wait()
	return said
}

func (ni *nodeInfo) ask(ctx context.Context, c *watched, address string) (said metrics.NodeInfo) {
	said.Asked = true
	if c.address != address {
		c.hangUp()
		c.address = address
	}
	var err error
	if c.conn == nil {
		if c.conn, err = discover.Connect(ctx, ni.opt, address); err != nil {
			c.conn = nil
			return said
		}
	}
	text, err := c.conn.Ask("INFO")
	if err != nil {
		c.hangUp()
		return said
	}
	said = parseInfo(text)
	said.Asked, said.Answered = true, true
	return said
}

// parseInfo reads the lines of INFO. What a server does not tell is 0.
func parseInfo(text string) (n metrics.NodeInfo) {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	whole := func(name string) uint64 {
		v, _ := strconv.ParseUint(fields[name], 10, 64) // of what is negative nothing is
		return v
	}
	n.Uptime = whole("uptime_in_seconds")
	n.MemoryUsed, n.MemoryMax = whole("used_memory"), whole("maxmemory")
	n.Fragmentation, _ = strconv.ParseFloat(fields["mem_fragmentation_ratio"], 64)
	n.Evicted, n.Expired = whole("evicted_keys"), whole("expired_keys")
	n.Clients, n.Commands = whole("connected_clients"), whole("total_commands_processed")
	n.Hits, n.Misses = whole("keyspace_hits"), whole("keyspace_misses")
	if fields["role"] == "slave" {
		n.Replica, n.LinkUp = true, fields["master_link_status"] == "up"
		if n.LagSeconds = float64(whole("master_last_io_seconds_ago")); !n.LinkUp {
			n.LagSeconds = float64(whole("master_link_down_since_seconds"))
		}
	}
	offset := whole("master_repl_offset")
	for name, value := range fields {
		switch {
		case isNumbered(name, "db"):
			n.Keys += inner(value, "keys")
		case isNumbered(name, "slave"):
			n.Replicas++
			if at := inner(value, "offset"); at < offset {
				n.LagBytes = max(n.LagBytes, offset-at)
			}
			n.LagSeconds = max(n.LagSeconds, float64(inner(value, "lag")))
		}
	}
	return n
}

// isNumbered tells names such as db0.
func isNumbered(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// inner returns one number of a value such as keys=1,expires=0.
func inner(value, name string) uint64 {
	for part := range strings.SplitSeq(value, ",") {
		if text, ok := strings.CutPrefix(part, name+"="); ok {
			v, _ := strconv.ParseUint(text, 10, 64)
			return v
		}
	}
	return 0
}
