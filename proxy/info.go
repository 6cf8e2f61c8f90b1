package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// INFO tells of the pool that the client is connected to, as if it were one server: what concerns connections is Ringway's own,
// what concerns data is summed over the nodes.

// infoSection is a section of INFO. nodes is the section of the nodes that it needs, "" if none.
type infoSection struct {
	name   string
	title  string
	nodes  string
	hidden bool // only on request, and with "all" or "everything"
	write  func(*infoReport)
}

var infoSections = []infoSection{
	{name: "server", title: "Server", write: (*infoReport).server},
	{name: "clients", title: "Clients", write: (*infoReport).clients},
	{name: "memory", title: "Memory", nodes: "memory", write: (*infoReport).memory},
	{name: "persistence", title: "Persistence", nodes: "persistence", write: (*infoReport).persistence},
	{name: "stats", title: "Stats", nodes: "stats", write: (*infoReport).stats},
	{name: "replication", title: "Replication", write: (*infoReport).replication},
	{name: "cpu", title: "CPU", write: (*infoReport).cpu},
	{name: "modules", title: "Modules", nodes: "modules", write: (*infoReport).modules},
	{name: "commandstats", title: "Commandstats", nodes: "commandstats", hidden: true, write: (*infoReport).commandstats},
	{name: "errorstats", title: "Errorstats", nodes: "errorstats", write: (*infoReport).errorstats},
	{name: "latencystats", title: "Latencystats", hidden: true, write: func(*infoReport) {}}, // percentiles can't be summed
	{name: "cluster", title: "Cluster", write: func(r *infoReport) { r.add("cluster_enabled", 0) }},
	{name: "keyspace", title: "Keyspace", nodes: "keyspace", write: (*infoReport).keyspace},
	{name: "hotkeys", title: "Hotkeys", write: (*infoReport).hotkeys},
	{name: "ringway", title: "Ringway", nodes: "server", write: (*infoReport).ringway},
}

// wantedSections reads the arguments of INFO.
func wantedSections(a *resp.Args) map[string]bool {
	want := map[string]bool{}
	add := func(hidden bool) {
		for _, sec := range infoSections {
			if hidden || !sec.hidden {
				want[sec.name] = true
			}
		}
	}
	if a.Len() == 1 {
		add(false)
	}
	for i := 1; i < a.Len(); i++ {
		switch name := strings.ToLower(string(a.At(i))); name {
		case "default":
			add(false)
		case "all", "everything":
			add(true)
		default:
			want[name] = true
		}
	}
	return want
}

// info is INFO [section...].
func (s *Session) info(c *command.Command, a *resp.Args) (taken bool) {
	r := &infoReport{session: s, pool: s.pool.shared.index, want: wantedSections(a), heat: heatReport{index: s.pool.shared.index}}
	var ask []string
	for _, sec := range infoSections {
		if r.want[sec.name] && sec.nodes != "" {
			ask = append(ask, sec.nodes)
		}
	}
	switch len(ask) {
	case 0:
		s.askLoops(r.loop, func() []byte { return r.reply(nil) })
		return true
	case 1:
	default: // servers before 7.0 take no more than one
		ask = []string{"all"}
	}
	request := resp.AppendCommand(s.worker.scratch[:0], "INFO", ask[0])
	s.worker.scratch = request
	return s.surveyAnd(c, request, r.loop, r.reply)
}

// infoReport is an INFO under way.
type infoReport struct {
	session *Session
	pool    int // its index: what else is known of it belongs to the session's loop
	want    map[string]bool

	// Of Ringway, gathered loop by loop.
	shards                         []metrics.Pool
	blocked, subscribers, watching int
	tracked                        int
	heat                           heatReport
	loops                          int

	// Of the nodes, in their order; an entry is empty for a node that is down.
	figures []map[string]string
	lines   []string // of all the nodes, for sections whose names differ from node to node
	answers []nodeAnswer

	out bytes.Buffer
}

// loop gathers what a loop knows. It runs on that loop.
func (r *infoReport) loop(w *worker) {
	r.loops++
	ps := w.poolAt(r.pool)
	if ps == nil {
		return
	}
	r.shards = append(r.shards, ps.snapshot())
	r.heat.loop(w)
	for x := w.sessions; x != nil; x = x.next {
		if x.pool != ps {
			continue
		}
		if _, paused := w.taps.waiting[x]; paused || x.blocked != nil {
			r.blocked++
		}
		if x.subs != nil {
			r.subscribers++
		}
		if x.tracking != nil {
			r.tracked++
		}
		if x.watch.lane != nil {
			r.watching++
		}
	}
}

// reply writes the report. It runs on the client's loop.
func (r *infoReport) reply(answers []nodeAnswer) []byte {
	r.answers = answers
	for i := range answers {
		figures := map[string]string{}
		if a := &answers[i]; a.down == "" && !resp.IsError(a.reply) {
			for line := range strings.Lines(string(text(a.reply))) {
				name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
				if ok && !strings.HasPrefix(name, "#") {
					figures[name] = value
					r.lines = append(r.lines, name+":"+value)
				}
			}
		}
		r.figures = append(r.figures, figures)
	}
	for _, sec := range infoSections {
		if r.want[sec.name] {
			if r.out.Len() > 0 {
				r.out.WriteString("\r\n")
			}
			r.out.WriteString("# " + sec.title + "\r\n")
			sec.write(r)
		}
	}
	return resp.AppendVerbatim(nil, r.session.resp3, "txt", r.out.String())
}

func (r *infoReport) add(name string, value any) { fmt.Fprintf(&r.out, "%s:%v\r\n", name, value) }

// addBytes writes a size twice, for programs and for people.
func (r *infoReport) addBytes(name string, n int64) {
	r.add(name, n)
	r.add(name+"_human", humanBytes(n))
}

// sum adds a figure of the nodes up.
func (r *infoReport) sum(name string) (total int64) {
	for _, f := range r.figures {
		n, _ := strconv.ParseInt(f[name], 10, 64)
		total += n
	}
	return total
}

func (r *infoReport) addSums(names ...string) {
	for _, name := range names {
		r.add(name, r.sum(name))
	}
}

// most is the largest of a figure of the nodes, 0 if none has it; it may be -1 for what has not happened yet.
func (r *infoReport) most(name string) (largest int64) {
	known := false
	for _, f := range r.figures {
		if n, err := strconv.ParseInt(f[name], 10, 64); err == nil {
			if !known || n > largest {
				largest = n
			}
			known = true
		}
	}
	return largest
}

// oneOf is a word of the nodes: the first that is not the usual one.
func (r *infoReport) oneOf(name, usual string) string {
	for _, f := range r.figures {
		if v := f[name]; v != "" && v != usual {
			return v
		}
	}
	return usual
}
