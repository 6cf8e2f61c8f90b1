package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/internal/bench/chart"
	"ringway/internal/bench/process"
)

const printed = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"SET key:__rand_int__ xxx","86580.09","0.314","0.080","0.279","0.455","0.927","1.647"
`

func TestParseLoad(t *testing.T) {
	t.Run("reads speed and latency by name", func(t *testing.T) {
		v, err := parseLoad(printed)
		if err != nil || v != (speed{rps: 86580.09, p50: 0.279, p99: 0.927}) {
			t.Fatalf("got %+v, %v", v, err)
		}
	})
	t.Run("does not mind lines before the header", func(t *testing.T) {
		if _, err := parseLoad("some remark\n" + printed); err != nil {
			t.Fatal(err)
		}
	})
	header, _, _ := strings.Cut(printed, "\n")
	for name, text := range map[string]string{
		"nothing":            "",
		"a header alone":     header + "\n",
		"an old release":     "\"GET\",\"86580.09\"\n",
		"a row too short":    header + "\n\"GET\",\"86580.09\"\n",
		"a figure that isnt": strings.Replace(printed, "86580.09", "fast", 1),
		"no p99":             strings.Replace(printed, "p99_latency_ms", "p98_latency_ms", 1),
		"a speed of zero":    strings.Replace(printed, "86580.09", "0.00", 1),
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			if v, err := parseLoad(text); err == nil {
				t.Fatalf("got %+v", v)
			}
		})
	}
}

func TestComplaint(t *testing.T) {
	for _, test := range []struct{ output, want string }{
		{printed, ""},
		{"WARNING: Could not fetch server CONFIG\n" + printed, ""},
		{strings.Replace(printed, "SET key", "SET error", 1), ""},
		{"WARNING: Could not fetch server CONFIG\nError from server: ERR no\n" + printed, "Error from server: ERR no"},
		{"Could not connect to Redis at 127.0.0.1:1: Connection refused\n", "Could not connect to Redis at 127.0.0.1:1: Connection refused"},
		{"Error: Server closed the connection\n", "Error: Server closed the connection"},
	} {
		if got := complaint(test.output); got != test.want {
			t.Errorf("complaint(%q) = %q, want %q", test.output, got, test.want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{nil, spread{}},
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{4, 1, 2}, spread{2, 1, 4}},
		{[]float64{4, 1, 2, 3}, spread{2.5, 1, 4}},
	} {
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("spreadOf(%v) = %v, want %v", test.values, got, test.want)
		}
	}
}

func TestRatios(t *testing.T) {
	a := []sample{{cpu: 1}, {cpu: 3}}
	t.Run("are taken round by round", func(t *testing.T) {
		if got := ratios(a, []sample{{cpu: 2}, {cpu: 4}}, cost); !slices.Equal(got, []float64{0.5, 0.75}) {
			t.Fatalf("got %v", got)
		}
	})
	t.Run("need every round of both", func(t *testing.T) {
		if got := ratios(a, a[:1], cost); got != nil {
			t.Fatalf("got %v", got)
		}
	})
	t.Run("need something to divide by", func(t *testing.T) {
		if got := ratios(a, []sample{{}, {cpu: 1}}, cost); got != nil {
			t.Fatalf("got %v", got)
		}
	})
}

func TestScenarios(t *testing.T) {
	seen := map[string]bool{}
	keys := map[string]int{"mset10-p4": 10, "mget100-p1": 100}
	for _, s := range allScenarios() {
		if seen[s.ID] {
			t.Errorf("%s is there twice", s.ID)
		}
		seen[s.ID] = true
		if want := max(keys[s.ID], 1); s.Keys != want {
			t.Errorf("%s has %d keys a request, want %d", s.ID, s.Keys, want)
		}
		for _, rps := range []float64{10, 60_000, 1_500_000} {
			if n := s.requests(rps, 1); n%(s.Clients*s.Pipeline) != 0 || n == 0 {
				t.Errorf("%s: %d requests are not whole pipelines for all clients", s.ID, n)
			}
		}
		if len(s.String()) > 120 {
			t.Errorf("%s: the command line is too long to print: %s", s.ID, s)
		}
	}
}

func TestChooseContenders(t *testing.T) {
	names := func(list []*contender) string {
		var all []string
		for _, c := range list {
			all = append(all, strings.TrimSuffix(c.name+"="+c.path, "="))
		}
		return strings.Join(all, " ")
	}
	for _, test := range []struct{ list, predixy, want string }{
		{"", "", "ringway=bin/ringway twemproxy envoy haproxy direct"},
		{"", "/p", "ringway=bin/ringway twemproxy envoy predixy=/p haproxy direct"},
		{"ringway, nutcracker", "", "ringway=bin/ringway twemproxy"},
		{"ringway=a,ringway-old=b,envoy=c", "", "ringway=a ringway-old=b envoy=c"},
		{"predixy=x", "", "predixy=x"},
	} {
		list, notes, err := chooseContenders(kinds, test.list, "bin/ringway", test.predixy)
		if got := names(list); err != nil || got != test.want {
			t.Errorf("chooseContenders(%q) = %s, %v, want %s", test.list, got, err, test.want)
		}
		if told := len(notes) > 0; told != (test.list == "" && test.predixy == "") {
			t.Errorf("chooseContenders(%q, predixy %q) notes %v", test.list, test.predixy, notes)
		}
	}
	for _, list := range []string{"redis", "ringway-", "ringway,ringway", "nutcracker,twemproxy", ",", "Envoy"} {
		if got, _, err := chooseContenders(kinds, list, "r", ""); err == nil {
			t.Errorf("chooseContenders(%q) = %s", list, names(got))
		}
	}
}

func TestLocateNamesAllThatIsMissing(t *testing.T) {
	list, _, err := chooseContenders(kinds, "ringway=/nowhere/ringway,predixy", "", "")
	if err != nil {
		t.Fatal(err)
	}
	err = locate(t.Context(), list, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "make build") || !strings.Contains(err.Error(), "PREDIXY") {
		t.Fatalf("got %v", err)
	}
}

func TestOnlyAWholeRunIsKept(t *testing.T) {
	none := func(string) string { return "" }
	for args, want := range map[string]string{
		"": fullOut, "-rounds 9": fullOut, "-ringway x": fullOut, "-quick": "", "-scenarios p16": "",
		"-contenders direct": "", "-requests 0.1": "", "-quick -out here": "here",
	} {
		opt, err := parse(strings.Fields(args), none, io.Discard)
		if err != nil || opt.out != want {
			t.Errorf("%q writes to %q, %v, want %q", args, opt.out, err, want)
		}
	}
	for _, args := range []string{"-rounds 0", "-requests 0", "-scenarios nothing-like-it", "-scenarios (", "stray"} {
		if _, err := parse(strings.Fields(args), none, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// sampleReport is a made-up run in which Ringway misses one target, and Envoy fails once.
func sampleReport(t *testing.T) *report {
	t.Helper()
	rep := &report{Date: "2024-02-03", Machine: []string{"a CPU"}, Versions: []string{"ringway 1.0.0"}, Rounds: 3, Notes: []string{"A note."}}
	at := func(cpu, p99 float64) []sample {
		one := sample{speed: speed{rps: 123456 / cpu, p50: p99 / 2, p99: p99}, cpu: cpu, redisCPU: 2, resident: 3}
		two := one
		two.cpu *= 1.1
		return []sample{one, two, one}
	}
	chosen, _, err := chooseContenders(kinds, "ringway,twemproxy,envoy,predixy,haproxy,direct,ringway-old", "r", "p")
	if err != nil {
		t.Fatal(err)
	}
	proc := &process.Process{}
	for i, s := range allScenarios() {
		twem := 8.0 / float64(i%4+1)
		costs := []float64{twem * 0.2, twem, twem * 2, twem * 0.9, twem * 0.05, 0, twem * 0.7}
		var bouts []*bout
		for j, c := range chosen {
			b := &bout{who: c, samples: at(costs[j], float64(j+1)), proc: proc}
			if c.kind.configure == nil {
				b.proc, b.samples = nil, at(1, 1)
			}
			if i == 3 && c.name == "envoy" {
				b.err = errors.New(`answered <"ERR">`)
			}
			bouts = append(bouts, b)
		}
		rep.add(s, bouts)
	}
	rep.Targets = checkTargets(rep)
	return rep
}

func TestTargets(t *testing.T) {
	rep := sampleReport(t)
	missed, met := map[string]bool{}, map[string]bool{}
	for _, target := range rep.Targets {
		list := met
		if !target.Met {
			list = missed
		}
		list[target.Scenario+": "+target.Claim] = true
	}
	for _, want := range []string{
		"GET, 50 clients, pipeline 1: CPU of ringway to twemproxy: at most 0.80",
		"GET, 50 clients, pipeline 1: CPU of ringway-old to twemproxy: at most 0.80",
		"GET, 1000 clients, pipeline 1: p99 of ringway to twemproxy: at most 1.00",
		"2 threads, GET, 50 clients, pipeline 16: CPU of ringway to envoy: below 1.00",
		"MGET of 100, 50 clients, pipeline 1: CPU of ringway to predixy: below 1.00",
	} {
		if !met[want] {
			t.Errorf("%q is not met", want)
		}
	}
	for _, want := range []string{
		"GET, 50 clients, pipeline 128: CPU of ringway to twemproxy: at most 0.08",
		"GET, 1000 clients, pipeline 1: p99 of ringway-old to twemproxy: at most 1.00",
	} {
		if !missed[want] {
			t.Errorf("%q is not missed", want)
		}
	}
	// A contender that failed is no one's target.
	if name := "SET, 50 clients, pipeline 1: CPU of ringway to envoy: below 1.00"; met[name] || missed[name] {
		t.Errorf("%q is judged, though envoy failed", name)
	}
	if err := rep.failure(); err == nil || !strings.Contains(err.Error(), "envoy failed at \"SET, 50 clients, pipeline 1\"") {
		t.Errorf("failure() = %v", err)
	}
}

func TestReportFiles(t *testing.T) {
	rep := sampleReport(t)
	dir := filepath.Join(t.TempDir(), "docs")
	if err := rep.save(dir); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	t.Run("the text has every scenario and verdict", func(t *testing.T) {
		text := read("results.md")
		for _, s := range allScenarios() {
			if !strings.Contains(text, "### "+s.Title+"\n") {
				t.Errorf("no table of %s", s.Title)
			}
		}
		text = strings.Join(strings.Fields(text), " ") // the columns are padded
		for _, want := range []string{"| MISSED |", "| met |", "A note.", "envoy failed: answered", "| twemproxy (1 thread) |", "| 0.200 |"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q", want)
			}
		}
	})
	t.Run("the JSON reads back", func(t *testing.T) {
		var back report
		text := read("results.json")
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatal(err)
		}
		if len(back.Results) != len(rep.Results) || len(back.Targets) != len(rep.Targets) || back.Results[0].Rows[1].CPU.Median != 8 {
			t.Fatalf("got %+v", back.Results[0])
		}
		if strings.Contains(text, "\"median\": 8,\n") {
			t.Error("a spread takes more than one line")
		}
	})
	t.Run("the chart is well formed and its bars are in the picture", func(t *testing.T) {
		text := read("results.svg")
		d := xml.NewDecoder(strings.NewReader(text))
		bars := 0
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			at := map[string]float64{}
			for _, a := range e.Attr {
				v, err := strconv.ParseFloat(a.Value, 64)
				if slices.Contains([]string{"x", "y", "x1", "x2", "y1", "y2", "width", "height"}, a.Name.Local) && (err != nil || v < 0 || math.IsNaN(v)) {
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
				at[a.Name.Local] = v
			}
			if e.Name.Local == "rect" && at["height"] == chart.BarHeight && at["x"] == chart.LabelWidth && at["y"] >= chart.HeadHeight {
				bars++
				if right := at["x"] + at["width"]; at["width"] < 1 || right > chart.Width-chart.ValueWidth {
					t.Errorf("a bar ends at %v", right)
				}
			}
		}
		if want := len(allScenarios())*6 - 1; bars != want { // all but direct, and the failed one
			t.Errorf("%d bars, want %d", bars, want)
		}
		if strings.Contains(text, "%!") {
			t.Error("a figure is badly formatted")
		}
	})
	t.Run("no file names this machine", func(t *testing.T) {
		host, _ := os.Hostname()
		for _, name := range []string{"results.md", "results.svg", "results.json"} {
			if text := read(name); strings.Contains(text, dir) || len(host) > 3 && strings.Contains(text, host) {
				t.Errorf("%s does", name)
			}
		}
	})
}

func TestDecimals(t *testing.T) {
	for _, test := range []struct {
		v      float64
		digits int
		want   string
	}{{0, 0, "0"}, {999, 0, "999"}, {1234.5, 1, "1,234.5"}, {1234567, 0, "1,234,567"}, {0.08, 2, "0.08"}} {
		if got := decimals(test.v, test.digits); got != test.want {
			t.Errorf("decimals(%v, %d) = %s, want %s", test.v, test.digits, got, test.want)
		}
	}
}

// TestAgainstServers runs the harness's own parts on real servers, without a proxy.
func TestAgainstServers(t *testing.T) {
	dir := t.TempDir()
	servers, ports, err := process.RedisServers(t.Context(), dir, 2, nil)
	t.Cleanup(func() {
		for _, p := range servers {
			p.Stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("one that does not spread keys is found out", func(t *testing.T) {
		if err := verify(ports[0], nil, ports, false); err != nil {
			t.Fatal(err)
		}
		if err := verify(ports[0], nil, ports, true); err == nil || !strings.Contains(err.Error(), "went to server 2 of 2") {
			t.Fatalf("got %v", err)
		}
		if n, err := ask(ports[0], "DBSIZE"); err != nil || n != 0 {
			t.Fatalf("verify leaves %v keys behind, %v", n, err)
		}
	})
	if err := preload(ports); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, s scenario, n int) error {
		before, err := readTally(ports)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := runLoad(ctx, s, ports[0], n, 20*time.Second); err != nil {
			return err
		}
		after, err := readTally(ports)
		if err != nil {
			t.Fatal(err)
		}
		return after.confirm(before, s, n)
	}
	for _, s := range allScenarios() {
		t.Run("the servers confirm "+s.ID, func(t *testing.T) {
			if err := run(t.Context(), s, s.Clients*s.Pipeline); err != nil {
				t.Fatal(err)
			}
		})
	}
	s := allScenarios()[0]
	t.Run("a GET that finds nothing is found out", func(t *testing.T) {
		s := s
		s.Command = []string{"GET", "absent:__rand_int__"}
		if err := run(t.Context(), s, 100); err == nil || !strings.Contains(err.Error(), "missed 100") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("an error reply ends the run", func(t *testing.T) {
		s := s
		s.Command = []string{"LPUSH", benchmarkKey(0), "x"}
		if err := run(t.Context(), s, 100); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("a run without end is cut", func(t *testing.T) {
		if _, err := runLoad(t.Context(), s, ports[0], 1_000_000_000, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no end") {
			t.Fatalf("got %v", err)
		}
	})
}
