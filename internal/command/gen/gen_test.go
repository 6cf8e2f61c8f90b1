package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheCheckedInFilesAreCurrent(t *testing.T) {
	dir := t.TempDir()
	if err := run(".", dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"table_gen.go", "docs_gen.txt"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what gen writes; run go generate in internal/command", name)
		}
	}
}

func TestAMistakeInThePlansIsNamed(t *testing.T) {
	tests := map[string]string{
		"forward\n  get\n  get\n":           "plan.txt:3: get has two plans",
		"forward\n  nosuch\n":               `plan.txt:2: unknown command "nosuch"`,
		"forwards\n  get\n":                 `plan.txt:1: unknown plan "forwards"`,
		"split everything\n  get\n":         `plan.txt:1: unknown merge "split everything"`,
		"refuse\n  get\n":                   "plan.txt:2: what is refused, and only that, has a sentence",
		"forward\n  get: it is too quick\n": "plan.txt:2: what is refused, and only that, has a sentence",
		"forward\n  get\n":                  "plan.txt: set has no plan",
	}
	for text, want := range tests {
		name := filepath.Join(t.TempDir(), "plan.txt")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := readPlans(name, []*row{{name: "get"}, {name: "set"}})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
