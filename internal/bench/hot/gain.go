package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ringway/internal/bench/process"
)

// A sample is one workload in front of nodes for a while.
type sample struct {
	Rate     float64   // requests answered, a second
	P50, P99 float64   // ms
	Errors   uint64    // replies that were errors
	Loads    []float64 // commands that each node was sent, a second
	Router   float64   // processors that Ringway was running on
	Rest     float64   // and this process: the clients, and nodes that are capped
}

// unevenness is what the fullest node was sent over the mean.
func (s *sample) unevenness() float64 {
	return slices.Max(s.Loads) / (sum(s.Loads) / float64(len(s.Loads)))
}

// sent is how many commands went to nodes for each request.
func (s *sample) sent() float64 { return sum(s.Loads) / s.Rate }

func sum(list []float64) (n float64) {
	for _, v := range list {
		n += v
	}
	return n
}

// A row is what was measured of a workload, a number of nodes and a mode, in all rounds.
type row struct {
	servers  string // "capped" or "redis"
	nodes    int
	workload workload
	mode     string
	samples  []sample
	gains    []float64 // over the first mode in the same round, which had the same keys
}

func (r *row) of(f func(*sample) float64) float64 {
	var list []float64
	for i := range r.samples {
		list = append(list, f(&r.samples[i]))
	}
	return median(list)
}

func (r *row) rate() float64 { return r.of(func(s *sample) float64 { return s.Rate }) }
func (r *row) unevenness() float64 {
	return r.of((*sample).unevenness)
}

// gain measures throughput and balance in front of capped nodes.
func (b *bench) gain() error {
	var rows []*row
	for _, n := range b.opt.nodes {
		for _, w := range b.opt.workloads {
			var of []*row
			for _, mode := range b.opt.modes {
				of = append(of, &row{servers: "capped", nodes: n, workload: w, mode: mode})
			}
			for round := range b.opt.rounds {
				for _, r := range of {
					s, err := b.capped(r, round)
					if err != nil {
						return fmt.Errorf("%d nodes, %s, %s: %w", n, w.name, r.mode, err)
					}
					r.samples = append(r.samples, s)
					r.gains = append(r.gains, s.Rate/of[0].samples[round].Rate)
					b.say("%d nodes, %s, %s: %.0f requests/s, %.2f of %s, max/mean %.3f, %.2f sent/request, p50 %.1f p99 %.1f ms, processors %.2f + %.2f",
						n, w.name, r.mode, s.Rate, r.gains[round], of[0].mode, s.unevenness(), s.sent(), s.P50, s.P99, s.Router, s.Rest)
				}
			}
			rows = append(rows, of...)
		}
	}
	b.table(rows)
	return b.write(rows)
}

// capped is a round of a row.
func (b *bench) capped(r *row, round int) (s sample, err error) {
	f, err := startCapped(r.nodes)
	if err != nil {
		return s, err
	}
	defer f.close()
	return b.once(r, round, f, b.opt.conns*r.nodes, b.opt.window)
}

// real measures balance in front of redis-servers.
func (b *bench) real() error {
	const n = 8
	var rows []*row
	f, err := b.startReal(n)
	if err != nil {
		return err
	}
	defer f.close()
	if err := b.fill(f.addrs()); err != nil {
		return err
	}
	for _, w := range b.opt.workloads {
		for _, mode := range b.opt.modes {
			r := &row{servers: "redis", nodes: n, workload: w, mode: mode}
			s, err := b.once(r, 0, f, 64, 8)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", w.name, mode, err)
			}
			r.samples = append(r.samples, s)
			rows = append(rows, r)
			b.say("8 redis-servers, %s, %s: %.0f requests/s, max/mean %.3f, %.2f sent/request", w.name, mode, s.Rate, s.unevenness(), s.sent())
		}
	}
	b.table(rows)
	return nil
}

// once starts a Ringway in front of nodes, and clients, and measures them when they have been at it for a while.
func (b *bench) once(of *row, round int, f nodes, conns, window int) (s sample, err error) {
	r, err := b.startRingway(of.mode, b.opt.threads, f.addrs())
	if err != nil {
		return s, err
	}
	defer r.Stop()
	if of.servers == "redis" && of.workload.storm > 0 {
		if _, err := ask(r.addr, "SET", stormName(round, 0), value); err != nil {
			return s, err
		}
	}
	l, err := newLoad([]string{r.addr}, conns, window, of.workload.popularity(), round, []byte(value))
	if err != nil {
		return s, err
	}
	defer l.close()
	if of.workload.storm > 0 {
		l.hot.Store(&hotKey{name: []byte(stormName(round, 0)), share: of.workload.storm})
	}
	l.start()
	if err := b.pause(b.opt.warm); err != nil {
		return s, err
	}
	before, err := f.counts()
	if err != nil {
		return s, err
	}
	answered, errors := l.done(), l.errors()
	router, rest, err := cpu(r)
	if err != nil {
		return s, err
	}
	l.noting.Store(true)
	if err := b.pause(b.opt.measure); err != nil {
		return s, err
	}
	after, err := f.counts()
	if err != nil {
		return s, err
	}
	seconds := b.opt.measure.Seconds()
	routerNow, restNow, err := cpu(r)
	if err != nil {
		return s, err
	}
	s.Router, s.Rest = (routerNow-router).Seconds()/seconds, (restNow-rest).Seconds()/seconds
	s.Rate = float64(l.done()-answered) / seconds
	s.Errors = l.errors() - errors
	s.P50, s.P99 = l.latency(0.5), l.latency(0.99)
	for i := range after {
		s.Loads = append(s.Loads, float64(after[i]-before[i])/seconds)
	}
	return s, l.stop()
}

// cpu reads the clocks of a Ringway and of this process.
func cpu(r *ringway) (router, rest time.Duration, err error) {
	if router, err = process.CPUTime(r.Pid()); err == nil {
		rest, err = process.CPUTime(os.Getpid())
	}
	return router, rest, err
}

// stormName is the key of a storm.
func stormName(round, i int) string { return fmt.Sprintf("storm:%d:%d", round, i) }

// table writes what was measured as Markdown.
func (b *bench) table(rows []*row) {
	fmt.Fprintln(b.out, "| nodes | workload | mode | requests/s | gain | max/mean | sent/request | p50 ms | p99 ms | errors |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range rows {
		gain := "-"
		if len(r.gains) > 0 {
			gain = format(median(r.gains), 2)
		}
		fmt.Fprintf(b.out, "| %d %s | %s | %s | %.0f | %s | %.3f | %.2f | %.1f | %.1f | %.0f |\n", r.nodes, r.servers, r.workload.name, r.mode, r.rate(), gain,
			r.unevenness(), r.of((*sample).sent), r.of(func(s *sample) float64 { return s.P50 }), r.of(func(s *sample) float64 { return s.P99 }),
			r.of(func(s *sample) float64 { return float64(s.Errors) }))
	}
	fmt.Fprintln(b.out)
}

// write keeps the rows of capped nodes, each round of them, and the pictures.
func (b *bench) write(rows []*row) error {
	if b.opt.out == "" {
		return nil
	}
	var csv strings.Builder
	csv.WriteString("nodes,workload,mode,round,requests_per_second,gain,max_to_mean,sent_per_request,p50_ms,p99_ms,errors,commands_per_second_of_each_node\n")
	for _, r := range rows {
		for i := range r.samples {
			s := &r.samples[i]
			var loads []string
			for _, n := range s.Loads {
				loads = append(loads, format(n, 0))
			}
			fmt.Fprintf(&csv, "%d,%s,%s,%d,%.0f,%.3f,%.3f,%.3f,%.2f,%.2f,%d,%s\n", r.nodes, r.workload.name, r.mode, i+1, s.Rate, r.gains[i], s.unevenness(), s.sent(),
				s.P50, s.P99, s.Errors, strings.Join(loads, " "))
		}
	}
	files := map[string]string{"hotkeys.csv": csv.String()}
	draw(files, rows)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.opt.out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
