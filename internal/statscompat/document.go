package statscompat

import (
	"encoding/json"
	"strconv"
	"time"

	"ringway/internal/metrics"
)

// poolFigures and serverFigures are twemproxy's, in its order, each with what it is here.
var (
	poolFigures = []struct {
		name string
		of   func(p *metrics.Pool) int64
	}{
		{"client_eof", func(p *metrics.Pool) int64 { return max(0, int64(p.Accepted)-int64(p.Clients)-closed(p)) }},
		{"client_err", closed},
		{"client_connections", func(p *metrics.Pool) int64 { return int64(p.Clients) }},
		{"server_ejects", func(p *metrics.Pool) (n int64) {
			for i := range p.Nodes {
				for _, times := range p.Nodes[i].Ejections {
					n += int64(times)
				}
			}
			return n
		}},
		{"forward_error", func(p *metrics.Pool) int64 { return int64(p.Errors[metrics.NodeDown] + p.Errors[metrics.Shed]) }},
		{"fragments", func(p *metrics.Pool) int64 { return int64(p.Parts) }},
	}
	serverFigures = []struct {
		name string
		of   func(n *metrics.Node) int64
	}{
		{"server_eof", func(n *metrics.Node) int64 { return max(0, int64(n.Losses)-int64(n.Timeouts)) }}, // a timeout is a loss as well
		{"server_err", func(n *metrics.Node) int64 { return int64(n.ConnectErrors + n.Garbage) }},
		{"server_timedout", func(n *metrics.Node) int64 { return int64(n.Timeouts) }},
		{"server_connections", func(n *metrics.Node) int64 { return int64(n.Lanes) }},
		{"server_ejected_at", func(n *metrics.Node) int64 { return int64(n.EjectedAt) }},
		{"requests", func(n *metrics.Node) int64 { return int64(n.Requests) }},
		{"request_bytes", func(n *metrics.Node) int64 { return int64(n.BytesOut) }},
		{"responses", func(n *metrics.Node) int64 { return max(0, int64(n.Requests)-int64(n.Depth)) }},
		{"response_bytes", func(n *metrics.Node) int64 { return int64(n.BytesIn) }},
		{"in_queue", func(*metrics.Node) int64 { return 0 }}, // of what waits, how many are sent already is not counted
		{"in_queue_bytes", func(n *metrics.Node) int64 { return int64(n.Unsent) }},
		{"out_queue", func(n *metrics.Node) int64 { return int64(n.Depth) }},
		{"out_queue_bytes", func(*metrics.Node) int64 { return 0 }}, // what is sent is not kept
	}
)

// closed counts the clients that were let go because of what they did.
func closed(p *metrics.Pool) (n int64) {
	for _, k := range []metrics.Kind{metrics.Protocol, metrics.Stalled, metrics.Idle, metrics.LoginTimeout, metrics.RequestTooBig, metrics.TooManyArguments} {
		n += int64(p.Errors[k])
	}
	return n
}

// document is what a client gets. Fields are in twemproxy's order, for there are readers that go by it.
func (s *Server) document(now time.Time) []byte {
	total, current := int64(0), int64(0)
	var pools object
	for _, p := range s.opt.Source.Pools() {
		sum := metrics.Sum(p.Shards)
		if sum == nil {
			continue
		}
		total += int64(sum.Accepted)
		current += int64(sum.Clients)
		var pool object
		for _, f := range poolFigures {
			pool.number(f.name, f.of(sum))
		}
		for i, name := range p.Nodes[:min(len(p.Nodes), len(sum.Nodes))] {
			if name == "" {
				continue
			}
			n := &sum.Nodes[i]
			total += int64(n.Connects)
			current += int64(n.Lanes)
			var server object
			for _, f := range serverFigures {
				server.number(f.name, f.of(n))
			}
			pool.put(name, server.end())
		}
		pools.put(p.Name, pool.end())
	}
	var all object
	all.text("service", "nutcracker") // what readers of such documents look for
	all.text("source", s.host)
	all.text("version", s.opt.Version)
	all.number("uptime", int64(now.Sub(s.started)/time.Second))
	all.number("timestamp", now.Unix())
	all.number("total_connections", total)
	all.number("curr_connections", current)
	if len(pools) > 0 {
		all = append(append(all, ','), pools[1:]...)
	}
	return append(all.end(), '\n')
}

// object is a JSON object that keeps the order of its fields.
type object []byte

func (o *object) put(name string, value []byte) {
	separator := byte(',')
	if len(*o) == 0 {
		separator = '{'
	}
	*o = append(append(*o, separator), quoted(name)...)
	*o = append(append(*o, ':'), value...)
}

func (o *object) text(name, value string) { o.put(name, quoted(value)) }

func (o *object) number(name string, value int64) { o.put(name, strconv.AppendInt(nil, value, 10)) }

func (o object) end() []byte {
	if len(o) == 0 {
		return []byte("{}")
	}
	return append(o, '}')
}

func quoted(s string) []byte {
	b, _ := json.Marshal(s) // a string always can be
	return b
}
