package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A report is all that a run found out. Its JSON is results.json.
type report struct {
	Date     string   `json:"date"`
	Machine  []string `json:"machine"`
	Versions []string `json:"versions"`
	Rounds   int      `json:"rounds"`
	Notes    []string `json:"notes,omitempty"`
	TLS      bool     `json:"tls,omitempty"`
	Results  []result `json:"scenarios"`
	Targets  []target `json:"targets,omitempty"`
}

// A result is one scenario's table.
type result struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Command string `json:"command"`
	Rows    []row  `json:"contenders"`

	scenario scenario
	peer     string
}

// A row is one contender's line; a figure it cannot have is left out.
type row struct {
	Name     string  `json:"name"`
	Threads  int     `json:"threads,omitempty"`
	Failed   string  `json:"failed,omitempty"`
	RPS      spread  `json:"requests_per_second"`
	P50      spread  `json:"p50_ms"`
	P99      spread  `json:"p99_ms"`
	CPU      *spread `json:"cpu_us_per_request,omitempty"`
	Ratio    *spread `json:"cpu_to_twemproxy,omitempty"`
	RedisCPU spread  `json:"redis_cpu_us_per_request"`
	Resident *spread `json:"rss_mib,omitempty"`

	kind    string
	samples []sample
}

// name is that of the files.
func (r *report) name() string {
	if r.TLS {
		return "tls"
	}
	return "results"
}

// peer is who the others are compared with.
func (r *report) peer() string {
	if r.TLS {
		return "haproxy+twemproxy"
	}
	return "twemproxy"
}

func (r *report) add(s scenario, bouts []*bout) {
	res := result{ID: s.ID, Title: s.Title, Command: s.String(), peer: r.peer(), scenario: s}
	var base []sample
	for _, b := range bouts {
		if b.who.name == r.peer() && b.err == nil {
			base = b.samples
		}
	}
	for _, b := range bouts {
		line := row{Name: b.who.name, kind: b.who.kind.name}
		if b.who.kind.configure != nil {
			line.Threads = 1
			if b.who.kind.threads {
				line.Threads = s.Threads
			}
		}
		if b.err != nil {
			line.Failed = b.err.Error()
			res.Rows = append(res.Rows, line)
			continue
		}
		line.samples = b.samples
		line.RPS = figures(b.samples, func(s sample) float64 { return s.rps })
		line.P50 = figures(b.samples, func(s sample) float64 { return s.p50 })
		line.P99 = figures(b.samples, tail)
		line.RedisCPU = figures(b.samples, func(s sample) float64 { return s.redisCPU })
		if b.proc != nil {
			line.CPU = ptr(figures(b.samples, cost))
			line.Resident = ptr(figures(b.samples, func(s sample) float64 { return s.resident }))
			if list := ratios(b.samples, base, cost); list != nil {
				line.Ratio = ptr(spreadOf(list))
			}
		}
		res.Rows = append(res.Rows, line)
	}
	r.Results = append(r.Results, res)
}

func cost(s sample) float64 { return s.cpu }
func tail(s sample) float64 { return s.p99 }

func ptr[T any](v T) *T { return &v }

// A target is something that Ringway wants to be true, and whether it is.
type target struct {
	Scenario string  `json:"scenario"`
	Claim    string  `json:"claim"`
	Found    spread  `json:"found"`
	Limit    float64 `json:"limit"`
	Met      bool    `json:"met"`
	Relay    *spread `json:"relay,omitempty"` // haproxy's ratio to the same peer: of a proxy that copies bytes and reads none
}

// checkTargets compares every build of Ringway with the limits of each scenario and with the peers it wants to beat.
// The median decides. A peer that did not finish gives no target; failure reports it.
func checkTargets(rep *report) []target {
	var list []target
	for _, res := range rep.Results {
		find := func(name string) []sample {
			for _, line := range res.Rows {
				if line.Name == name && line.Failed == "" {
					return line.samples
				}
			}
			return nil
		}
		for _, own := range res.Rows {
			if own.kind != "ringway" || own.Failed != "" {
				continue
			}
			add := func(what, peer string, figure func(sample) float64, limit float64, strict bool) {
				found := ratios(own.samples, find(peer), figure)
				if limit == 0 || found == nil {
					return
				}
				t := target{Scenario: res.Title, Found: spreadOf(found), Limit: limit}
				sign := "at most"
				t.Met = t.Found.Median <= limit
				if strict {
					sign, t.Met = "below", t.Found.Median < limit
				}
				t.Claim = fmt.Sprintf("%s of %s to %s: %s %s", what, own.Name, peer, sign, decimals(limit, 2))
				if what == "CPU" && peer == rep.peer() {
					t.Relay = relay(res.Rows)
				}
				list = append(list, t)
			}
			add("CPU", rep.peer(), cost, res.scenario.Ratio, rep.TLS)
			add("p99", "twemproxy", tail, res.scenario.TailRatio, false)
			add("CPU", "envoy", cost, 1, true)
			add("CPU", "predixy", cost, 1, true)
		}
	}
	return list
}

// relay is the ratio of haproxy, which a benchmark with TLS has under another name.
func relay(rows []row) *spread {
	for _, line := range rows {
		if line.kind == "haproxy" {
			return line.Ratio
		}
	}
	return nil
}

// failure says who did not finish, for the exit status.
func (r *report) failure() error {
	var failed []string
	for _, res := range r.Results {
		for _, line := range res.Rows {
			if line.Failed != "" {
				failed = append(failed, fmt.Sprintf("%s failed at %q: %s", line.Name, res.Title, line.Failed))
			}
		}
	}
	if failed == nil {
		return nil
	}
	return errors.New(strings.Join(failed, "\n       "))
}

func (r *report) writeText(w io.Writer) {
	for _, res := range r.Results {
		fmt.Fprintf(w, "\n%s\n\n%s", res.Title, res.table())
	}
	if len(r.Targets) > 0 {
		fmt.Fprintf(w, "\nTargets\n\n%s", r.targetTable())
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", note)
	}
	fmt.Fprintln(w)
}

// spreadLines finds a spread in indented JSON, to be put on one line.
var spreadLines = regexp.MustCompile(`\{\s+("median": [^\s,]+),\s+("min": [^\s,]+),\s+("max": [^\s,]+)\s+\}`)

func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r.rounded(), "", " ")
	if err != nil {
		return err
	}
	data = spreadLines.ReplaceAll(data, []byte(`{$1, $2, $3}`))
	for name, text := range map[string]string{
		r.name() + ".md": r.markdown(), r.name() + ".svg": draw(r), r.name() + ".json": string(data) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("cannot write the results: %w", err)
		}
	}
	return nil
}

// rounded gives the report with no more digits than were measured.
func (r *report) rounded() *report {
	short := func(s spread) spread {
		for _, v := range []*float64{&s.Median, &s.Min, &s.Max} {
			*v, _ = strconv.ParseFloat(strconv.FormatFloat(*v, 'g', 4, 64), 64)
		}
		return s
	}
	maybe := func(s *spread) *spread {
		if s == nil {
			return nil
		}
		return ptr(short(*s))
	}
	c := *r
	c.Results, c.Targets = nil, nil
	for _, res := range r.Results {
		rows := res.Rows
		res.Rows = nil
		for _, l := range rows {
			l.RPS, l.P50, l.P99, l.RedisCPU = short(l.RPS), short(l.P50), short(l.P99), short(l.RedisCPU)
			l.CPU, l.Ratio, l.Resident = maybe(l.CPU), maybe(l.Ratio), maybe(l.Resident)
			res.Rows = append(res.Rows, l)
		}
		c.Results = append(c.Results, res)
	}
	for _, t := range r.Targets {
		t.Found, t.Relay = short(t.Found), maybe(t.Relay)
		c.Targets = append(c.Targets, t)
	}
	return &c
}

const introduction = "# Ringway beside its peers\n\nWritten by `make bench`; run it to get the figures of your own machine.\n\n" +
	"![CPU time per request of each proxy](results.svg)\n\n## What was measured\n\n"

const method = `
Clients, proxies and servers share the machine and talk over loopback. Each proxy stands in front of the same three
redis-servers, runs one thread unless the scenario says otherwise, and has its defaults but for what makes the work
equal: keys are placed by a ring (twemproxy: ketama with fnv1a_64; Envoy: ring hash; Ringway: consistent) and hash tags are
on. predixy has no ring and places keys by modula of CRC16. haproxy relays TCP to one server a connection and parses nothing.
"direct" is one redis-server with no proxy. 100,000 keys drawn at random (10,000 for 4 KiB), values of 3 bytes unless said.

In each of %d rounds every contender runs once, in an order that turns by one each round; a run lasts about 1.5 s after a
warm-up. A scenario begins with fresh proxies. Figures are medians over the rounds, with the least and the greatest in
brackets.

- **CPU us/request**: user and system time of the proxy process, by the kernel's clock of that process, divided by the requests.
- **to twemproxy**: that figure divided by twemproxy's of the same round. The machine's other load changes from
  minute to minute, so this is the column to read.
- **p50, p99**: as the clients saw them; with pipelines, of a whole pipeline.
- **haproxy**, among the targets: its ratio to twemproxy. It copies bytes from a client to one server and back, and neither
  reads, routes nor splits them, so that nearly all of it is the kernel's work for TCP.
- **Redis us/request**: CPU time of the three servers together. A proxy that sends them bigger batches lowers it.
- A contender that answers an error, or whose servers did not do the work asked for, is reported as failed.
`

func (r *report) markdown() string {
	var b strings.Builder
	if r.TLS {
		b.WriteString(tlsIntroduction)
	} else {
		b.WriteString(introduction)
	}
	fmt.Fprintf(&b, "- Date: %s\n", r.Date)
	for _, line := range r.Machine {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	fmt.Fprintf(&b, "- %s\n", strings.Join(r.Versions, ", "))
	if r.TLS {
		fmt.Fprintf(&b, tlsMethod, r.Rounds)
	} else {
		fmt.Fprintf(&b, method, r.Rounds)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	if len(r.Targets) > 0 {
		fmt.Fprintf(&b, "\n## Targets\n\n%s", r.targetTable())
	}
	b.WriteString("\n## Scenarios\n")
	for _, res := range r.Results {
		fmt.Fprintf(&b, "\n### %s\n\n    %s\n\n%s", res.Title, res.Command, res.table())
	}
	return b.String()
}

func (res *result) table() string {
	rows := [][]string{{"contender", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "to " + res.peer, "RSS MiB", "Redis us/request"}}
	var failed []string
	for _, l := range res.Rows {
		name := l.Name
		if l.Threads > 0 && l.Threads != res.scenario.Threads {
			name += fmt.Sprintf(" (%d thread)", l.Threads)
		}
		if l.Failed != "" {
			rows = append(rows, []string{name, "failed", "-", "-", "-", "-", "-", "-"})
			failed = append(failed, fmt.Sprintf("%s failed: %s\n", name, l.Failed))
			continue
		}
		cells := []string{name, decimals(l.RPS.Median, 0), decimals(l.P50.Median, 2), ranged(l.P99, 2), "-", "-", "-", significant(l.RedisCPU.Median)}
		if l.CPU != nil {
			cells[4] = significant(l.CPU.Median)
		}
		if l.Ratio != nil {
			cells[5] = ranged(*l.Ratio, 3)
		}
		if l.Resident != nil {
			cells[6] = decimals(l.Resident.Median, 1)
		}
		rows = append(rows, cells)
	}
	text := table(rows)
	for _, line := range failed {
		text += "\n" + line
	}
	return text
}

func (r *report) targetTable() string {
	rows := [][]string{{"scenario", "target", "found", "verdict"}}
	if !r.TLS {
		rows[0] = append(rows[0], "haproxy")
	}
	for _, t := range r.Targets {
		verdict, haproxy := "met", ""
		if !t.Met {
			verdict = "MISSED"
		}
		if t.Relay != nil {
			haproxy = ranged(*t.Relay, 3)
		}
		rows = append(rows, []string{t.Scenario, t.Claim, ranged(t.Found, 3), verdict, haproxy}[:len(rows[0])])
	}
	return table(rows)
}

// table lays rows out as Markdown that also reads well as plain text: names to the left, figures to the right.
func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	right := func(i int) bool {
		return rows[0][i] != "contender" && rows[0][i] != "scenario" && rows[0][i] != "target" && rows[0][i] != "verdict"
	}
	var b strings.Builder
	for n, cells := range rows {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if right(i) {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			for i := range cells {
				line := strings.Repeat("-", width[i]+2)
				if right(i) {
					line = line[1:] + ":"
				}
				b.WriteString("|" + line)
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// ranged writes a median with its bounds, unless these say nothing more.
func ranged(s spread, digits int) string {
	least, greatest := decimals(s.Min, digits), decimals(s.Max, digits)
	if least == greatest {
		return least
	}
	return fmt.Sprintf("%s (%s-%s)", decimals(s.Median, digits), least, greatest)
}

// decimals writes a figure with so many digits after the point, and commas between thousands.
func decimals(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return whole
}

// significant writes a figure that may be 0.05 as well as 50, with about three digits that mean something.
func significant(v float64) string {
	switch {
	case v >= 100:
		return decimals(v, 0)
	case v >= 10:
		return decimals(v, 1)
	case v >= 1:
		return decimals(v, 2)
	}
	return decimals(v, 3)
}
