package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of testdata/plan have the old configuration, the new one below ->, and the plan below ----.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			both, _, _ := strings.Cut(string(data), "----\n")
			was, is, _ := strings.Cut(both, "->\n")
			var b bytes.Buffer
			Compare(mustParseAs(t, "old.yml", was), mustParseAs(t, "new.yml", is)).Write(&b)
			golden(t, f, both+"----\n"+b.String())
		})
	}
}

func mustParseAs(t *testing.T, name, text string) *Config {
	t.Helper()
	c, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAPlanForTheSameFileIsEmpty(t *testing.T) {
	for _, f := range []string{"../../proxy.yml", "testdata/full.yml", "testdata/nutcracker.yml"} {
		d := Compare(mustLoad(t, f), mustLoad(t, f))
		if !d.Empty() || len(d.Restart) > 0 || len(d.Lines()) > 0 {
			t.Errorf("%s: %+v", f, d)
		}
	}
}

// What import writes is what was read.
func TestNothingChangesWithAnImport(t *testing.T) {
	text, err := os.ReadFile("testdata/nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, strings.Replace(string(text), "7001:1 b", "7002:1 b", 1))
	var b bytes.Buffer
	if err := WriteYAML(&b, c); err != nil {
		t.Fatal(err)
	}
	if d := Compare(c, mustParse(t, b.String())); !d.Empty() {
		t.Errorf("%q", d.Lines())
	}
}

func TestLinesOfADiffAreForALog(t *testing.T) {
	old := mustParse(t, "pools:\n  - {name: a, listen: \"h:1\", requirepass: x, backends: [{name: a, address: \"h:2\"}]}\n")
	next := mustParse(t, "log: {level: warn}\npools:\n"+
		"  - {name: a, listen: \"h:1\", requirepass: y, migration: warm, backends: [{name: b, address: \"h:3\"}]}\n"+
		"  - {name: b, listen: \"h:4\", backends: [{address: \"h:5\"}]}\n")
	equals(t, "lines", strings.Join(Compare(old, next).Lines(), "\n"), `log.level: info -> warn
pool a: migration.mode: off -> warm
pool a: requirepass: changed
pool a: node b: added, h:3, weight 1
pool a: node a: removed, h:2, weight 1
pool a: 100.0 % of the keys move, counted exactly; the ideal, for even shares, is 100.0 %
pool b: added`)
}

// The order of a list places the keys; of other distributions it is nothing.
func TestAnotherOrder(t *testing.T) {
	const pool = "pools:\n  - {name: a, listen: \"h:1\", distribution: %s, backends: [%s]}\n"
	const ab, ba = `{name: a, address: "h:2"}, {name: b, address: "h:3"}`, `{name: b, address: "h:3"}, {name: a, address: "h:2"}`
	for distribution, want := range map[string]string{
		"modula": "",
		"list": `pool a: order of the nodes: a, b -> b, a
pool a: 100.0 % of the keys move, in a sample of 100,000; the ideal, for even shares, is 0.0 %`,
	} {
		old, next := mustParse(t, fmt.Sprintf(pool, distribution, ab)), mustParse(t, fmt.Sprintf(pool, distribution, ba))
		equals(t, distribution, strings.Join(Compare(old, next).Lines(), "\n"), want)
	}
}

func TestNoSecretIsInADiff(t *testing.T) {
	secret := func(s string) *Config {
		return mustParse(t, strings.ReplaceAll(`pools:
  - {name: a, listen: "h:1", username: u, password: hunter, requirepass: hunter, backends: [{address: "h:2"}]}
  - {name: b, listen: "h:3", sentinel: {addresses: ["h:4"], masters: [m], password: hunter}}
`, "hunter", s))
	}
	without := mustParse(t, `pools:
  - {name: a, listen: "h:1", backends: [{address: "h:2"}]}
  - {name: b, listen: "h:3", backends: [{address: "h:2"}]}
`)
	for _, d := range []*Diff{Compare(secret("hunter2"), secret("hunter3")), Compare(without, secret("hunter2")), Compare(secret("hunter2"), without)} {
		var b bytes.Buffer
		d.Write(&b)
		asJSON, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{b.String(), string(asJSON), strings.Join(d.Lines(), "\n")} {
			if strings.Contains(text, "hunter") || !strings.Contains(text, "requirepass") {
				t.Errorf("it shows too much, or too little: %s", text)
			}
		}
	}
}

func TestNeedsRestart(t *testing.T) {
	base := onePool()
	tests := []struct{ name, next, want string }{
		{"nothing", base, ""},
		{"level of the log", "log: {level: warn}\n" + base, ""},
		{"process", "threads: 2\nadmin: {listen: off, pprof: true}\nlog: {format: json}\n" + base, "threads, admin.listen, admin.pprof, log.format"},
		{"stats", "stats_compat: {listen: \"127.0.0.1:22222\"}\n" + base, "stats_compat.listen"},
		{"another address", strings.Replace(onePool("backlog: 1"), ":6380", ":6381", 1), ""},
		{"socket", onePool("backlog: 1", "reuseport: true", "timeout: 3s"), `pool "cache": backlog, pool "cache": reuseport`},
		{"another pool", strings.Replace(onePool("backlog: 1"), "cache", "other", 1), ""},
	}
	for _, test := range tests {
		if got := join(NeedsRestart(mustParse(t, base), mustParse(t, test.next))); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
