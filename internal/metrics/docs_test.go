package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/metrics.md anew")

const docsFile = "../../docs/metrics.md"

// The tables of docs/metrics.md come from the table of the metrics:
//
//	go test ./internal/metrics -run Docs -update
func TestDocsListEveryMetric(t *testing.T) {
	doc, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []byte("<!-- from the table -->\n"), []byte("<!-- end -->\n")
	before, rest, ok := bytes.Cut(doc, begin)
	had, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part between %q and %q", docsFile, begin, end)
	}
	want := describe()
	switch {
	case bytes.Equal(had, want):
	case *update:
		if err := os.WriteFile(docsFile, slices.Concat(before, begin, want, end, after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the table says:\n%s\n(go test ./internal/metrics -run Docs -update writes it)", docsFile, want)
	}
}

func describe() []byte {
	var b bytes.Buffer
	for _, s := range table {
		fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n", s.title)
		for _, f := range s.families {
			labels := strings.Join(f.labelsOf(), "`, `")
			if labels != "" {
				labels = "`" + labels + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.typeName(), labels, f.help)
		}
		for _, f := range s.families {
			if len(f.values) == 0 || f.labels[0] == "direction" {
				continue // the help says what there is to say
			}
			fmt.Fprintf(&b, "\n| `%s` of `%s` | Meaning |\n|---|---|\n", f.labels[0], f.name)
			for _, v := range f.values {
				fmt.Fprintf(&b, "| `%s` | %s |\n", v.name, v.meaning)
			}
		}
		for _, f := range s.families {
			if f.latency != nil {
				fmt.Fprintf(&b, "\nThe buckets of `%s` end at %s.\n", f.name, strings.Join(boundTexts(), ", "))
			}
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func boundTexts() (texts []string) {
	for _, i := range classicBounds {
		ns := float64(Bound(i))
		unit, per := "µs", 1e3
		switch {
		case ns >= 1e9:
			unit, per = "s", 1e9
		case ns >= 1e6:
			unit, per = "ms", 1e6
		}
		texts = append(texts, strconv.FormatFloat(ns/per, 'g', 3, 64)+" "+unit)
	}
	return texts
}

// Queries of the prose must not ask for what is not there.
func TestDocsNameNoOtherMetric(t *testing.T) {
	doc, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, s := range table {
		for _, f := range s.families {
			known[f.name] = true
			if f.histogram() {
				known[f.name+"_bucket"], known[f.name+"_sum"], known[f.name+"_count"] = true, true, true
			}
		}
	}
	for _, name := range regexp.MustCompile(`\bringway_\w+`).FindAllString(string(doc), -1) {
		if !known[name] {
			t.Errorf("%s speaks of %s", docsFile, name)
		}
	}
}

func TestHelpIsASentence(t *testing.T) {
	for _, s := range table {
		for _, f := range s.families {
			if !strings.HasSuffix(f.help, ".") || strings.Contains(f.help, "|") {
				t.Errorf("%s: %q", f.name, f.help)
			}
		}
	}
}
