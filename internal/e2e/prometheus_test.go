//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"

	"ringway/internal/redistest"
)

const (
	prometheusExample = "../../examples/prometheus"
	dashboardFile     = "../../examples/grafana/ringway.json"
)

// tool runs a program of Prometheus' in the folder of the example. `make servers` puts them there.
func tool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Fatalf("%v: run make servers", err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = prometheusExample
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestPrometheusFilesAreGood(t *testing.T) {
	for _, args := range [][]string{
		{"promtool", "check", "config", "prometheus.yml"}, {"promtool", "check", "rules", "ringway.rules.yml"}, {"promtool", "test", "rules", "ringway.rules_test.yml"},
		{"amtool", "check-config", "alertmanager.yml"},
	} {
		if out, err := tool(t, args...); err != nil {
			t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	for severity, want := range map[string]string{"critical": "pagerduty,slack", "warning": "slack", "info": "email", "other": "email"} {
		out, err := tool(t, "amtool", "config", "routes", "test", "--config.file=alertmanager.yml", "severity="+severity)
		if got := strings.Split(strings.TrimSpace(out), "\n"); err != nil || got[len(got)-1] != want { // a warning may come first
			t.Errorf("what is %s goes to %v, want %s (%v)", severity, got, want, err)
		}
	}
}

type ruleFile struct {
	Groups []struct {
		Rules []struct{ Alert, Expr string }
	}
}

func rules(t *testing.T) (all ruleFile) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(prometheusExample, "ringway.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// An alert whose test would pass without it is not tested: each is taken away in turn.
func TestEveryAlertIsTested(t *testing.T) {
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			dir := t.TempDir()
			for _, file := range []string{"ringway.rules.yml", "ringway.rules_test.yml"} {
				text, err := os.ReadFile(filepath.Join(prometheusExample, file))
				if err != nil {
					t.Fatal(err)
				}
				if file == "ringway.rules.yml" {
					text = regexp.MustCompile(`alert: `+r.Alert+`\n`).ReplaceAll(text, []byte("alert: Another\n"))
				}
				if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := tool(t, "promtool", "test", "rules", filepath.Join(dir, "ringway.rules_test.yml")); err == nil {
				t.Errorf("without %s the tests pass: %s", r.Alert, out)
			}
		}
	}
}

// panel is what the test knows of a panel of the dashboard.
type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	Targets     []struct{ Expr, RefID string }
}

type dashboard struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || len(d.Panels) < 40 {
		t.Errorf("%q, %q, with %d panels", d.UID, d.Title, len(d.Panels))
	}
	ids, places := map[int]string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("%s and %s have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, taken := places[at]; taken || at[0] >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge", p.Title, other)
				}
				places[at] = p.Title
			}
		}
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.UID != "${datasource}") {
			t.Errorf("%s asks nothing, or somebody else", p.Title)
		}
	}
}

// query is one that must have an answer.
type query struct{ who, text string }

var (
	anyRange   = regexp.MustCompile(`\[(\d+[smhd]|\$__rate_interval)\]`)
	comparison = regexp.MustCompile(`\s+(==|!=|<=|>=|<|>)\s+[\d.]+$`)
	and        = regexp.MustCompile(`\s+and\s+(on \([^)]*\)\s+)?`)
	labels     = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

// queries are all of the dashboard's, and what stands in the alerts in front of the threshold: that must be there for an alert to fire.
func queries(t *testing.T) (all []query) {
	t.Helper()
	add := func(who, text string) {
		text = regexp.MustCompile(`=~"\$\w+"`).ReplaceAllString(text, `=~".*"`)
		all = append(all, query{who, anyRange.ReplaceAllString(text, "[1m]")})
	}
	d := readDashboard(t)
	for _, a := range d.Annotations.List { // first: what they tell of is soon over
		add("annotation "+a.Name, a.Expr)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			add("panel "+p.Title+" "+target.RefID, target.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if text, ok := v.Query.(map[string]any); ok {
			m := labels.FindStringSubmatch(text["query"].(string))
			if m == nil {
				t.Fatalf("variable %s: %v", v.Name, text)
			}
			add("variable "+v.Name, fmt.Sprintf("count by (%s) (%s)", m[2], m[1]))
		}
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			for _, part := range and.Split(r.Expr, -1) {
				add("alert "+r.Alert, comparison.ReplaceAllString(strings.TrimSpace(part), ""))
			}
		}
	}
	return all
}

// prometheus is a running one.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus runs the example, but for the times, and where Ringway is.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"prometheus.yml", "ringway.rules.yml"} {
		text, err := os.ReadFile(filepath.Join(prometheusExample, file))
		if err != nil {
			t.Fatal(err)
		}
		new := strings.NewReplacer("_interval: 15s", "_interval: 1s", "127.0.0.1:9121", target, "127.0.0.1:9093", fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))).Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, file), []byte(new), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	redistest.Start(t, "prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--web.listen-address="+address, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.console.templates="+dir, "--web.console.libraries="+dir, "--log.level=error")
	p := &prometheus{t, "http://" + address}
	redistest.WaitFor(t, "Prometheus", func() bool {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// get asks the API.
func (p *prometheus) get(path string, into any) error {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	return json.Unmarshal(text, into)
}

// numbers are the values that a query has now, but for those that are none, as 0/0.
func (p *prometheus) numbers(query string) (list []float64, err error) {
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := p.get("/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
		return nil, err
	}
	for _, r := range answer.Data.Result {
		if v, err := strconv.ParseFloat(r.Value[1].(string), 64); err == nil && !math.IsNaN(v) {
			list = append(list, v)
		}
	}
	return list, nil
}

// states are those of the alerts, and what is wrong with rules.
func (p *prometheus) states() (states map[string]string, wrong []string) {
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, State, Health, LastError string }
			}
		}
	}
	if err := p.get("/api/v1/rules", &answer); err != nil {
		return nil, []string{err.Error()}
	}
	states = map[string]string{}
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			states[r.Name] = r.State
			if r.Health == "err" {
				wrong = append(wrong, r.Name+": "+r.LastError)
			}
		}
	}
	return states, wrong
}

// The dashboard and the alerts ask for what there is: a real Prometheus scrapes a Ringway under load that has lost a node, has a node that is full and one that has
// a replica, and was given a configuration that it could not take over. Each query has an answer, and the alerts for that are on their way.
func TestEveryQueryHasAnAnswer(t *testing.T) {
	authority := redistest.NewAuthority(t)
	own := authority.Issue(redistest.Issue{Name: "ringway"})
	full := redistest.Server(t, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
	primary, victim := redistest.Server(t), redistest.Server(t)
	replica := redistest.Replica(t, primary)
	secure := redistest.Server(t)
	config := filepath.Join(t.TempDir(), "proxy.yml")
	pools := []pool{
		{name: "cache", options: map[string]string{
			"node_info": "1s", "hit_prefixes": `["user:", "none:"]`, "on_failure": "eject", "failure_limit": "1", "read_policy": "prefer-replica", "timeout": "2s",
		}, source: fmt.Sprintf(`    backends:
      - {name: full, address: %q}
      - {name: primary, address: %q, replicas: [%q]}
      - {name: victim, address: %q}
`, full.Addr(), primary.Addr(), replica.Addr(), victim.Addr())},
		{name: "secure", nodes: []string{secure.Addr()}, options: map[string]string{"tls": fmt.Sprintf("{cert: %s, key: %s}", own.Cert, own.Key)}},
	}
	r := serveWith(t, setup{threads: 2, config: config}, pools...)
	prom := startPrometheus(t, strings.TrimPrefix(r.admin, "http://"))

	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		readAndWrite(t, r.addr(), &stop)
	}()
	defer func() { stop.Store(true); <-done }()
	redistest.DialTLS(t, r.addrs[1], authority.Trust(nil)).Do("SET", "a", "1")

	ask := func(what, query string) {
		t.Helper()
		redistest.WaitFor(t, what, func() bool {
			got, err := prom.numbers(query)
			if err != nil {
				t.Fatal(err)
			}
			return len(got) > 0
		})
	}
	ask("keys to be evicted", `ringway_node_evicted_keys_total{node="full"} > 0`)
	ask("a key to be hot", `ringway_hot_key_share > 0`)
	ask("reads of all nodes", `count(ringway_node_requests_total{pool="cache"} > 0) == 4`)
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	reload(strings.Replace(string(good), "failure_limit: 1", "failure_limit: 2", 1))
	ask("the reload", `ringway_config_reloads_total{result="done"} > 0`)
	reload(string(good) + "nonsense: true\n")
	ask("the reload that fails", `ringway_config_last_reload_successful == 0`)
	victim.Kill()
	ask("the node to be down", `ringway_node_ejected{node="victim"} == 1`)

	for _, q := range queries(t) {
		ask(q.who+" to have an answer: "+q.text, q.text)
	}
	redistest.WaitFor(t, "the alerts", func() bool {
		states, wrong := prom.states()
		for _, w := range wrong {
			t.Error(w)
		}
		return !slices.ContainsFunc([]string{"RingwayNodeDown", "RingwayNodeEjected", "RingwayReloadFailed", "RingwayNodeEvicting", "RingwayHotKey",
			"RingwayCertificateExpires"}, func(name string) bool { return states[name] == "inactive" || states[name] == "" })
	})
}

// readAndWrite reads and writes until it is told to stop. Errors are expected: a node dies.
func readAndWrite(t *testing.T, address string, stop *atomic.Bool) {
	value := strings.Repeat("x", 4000)
	eachClient(t, 4, func(id int) error {
		c := redistest.Dial(t, address)
		for n := id; !stop.Load(); n++ {
			k := fmt.Sprint("user:", n%3000)
			for _, request := range [][]string{
				{"SET", k, value}, {"GET", k}, {"GET", "front-page"}, {"GET", "front-page"}, {"GET", "front-page"}, {"GET", "front-page"},
				{"GET", "none:" + k}, {"MGET", k, "a", "b", "c", "d"}, {"SET", "expires", "1", "PX", "1"}, {"HGET", "hash:" + k, "f"},
			} {
				c.Send(request...)
			}
			if err := c.TryFlush(); err != nil {
				return err
			}
			for range 10 {
				if _, err := c.TryRecv(nil); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Whatever clients send, there are no more time series after it than before: but for one that counts what is unknown, which is there from its first time.
func TestClientsMakeNoTimeSeries(t *testing.T) {
	r := serve(t, pool{nodes: addresses(servers(t, 2)), options: map[string]string{"hit_prefixes": `["user:"]`}})
	c := redistest.Dial(t, r.addr())
	ask := func(i int) {
		for _, request := range [][]string{
			{fmt.Sprint("command", i), "a"}, {"GET", fmt.Sprint("user:", i)}, {"CLIENT", fmt.Sprint("sub", i)}, {"CLIENT", "SETNAME", fmt.Sprint("name", i)}, {"AUTH", fmt.Sprint("user", i), "x"},
			{"SELECT", strconv.Itoa(i % 16)}, {"SUBSCRIBE", fmt.Sprint("channel", i)}, {"UNSUBSCRIBE"}, {"EVAL", fmt.Sprint("return ", i), "0"}, {"MGET", "a", "b", fmt.Sprint(i)},
		} {
			c.Do(request...)
		}
	}
	names := func() (list []string) {
		resp, err := http.Get(r.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "ringway_") {
				list = append(list, line[:strings.LastIndexByte(line, ' ')])
			}
		}
		return list
	}
	ask(0)
	before := names()
	for i := range 500 {
		ask(i)
	}
	if after := names(); !slices.Equal(after, before) {
		t.Errorf("there were %d, and are %d", len(before), len(after))
	}
}
