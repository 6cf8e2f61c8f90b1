package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ringway/internal/config"
)

// pages returns the documents of the repository with their texts, by their paths from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("git", "-C", "../..", "ls-files", "-co", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatalf("cannot list the documents: %v", err)
	}
	list := map[string]string{}
	for _, name := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		list[name] = string(text)
	}
	if len(list) < 10 {
		t.Fatalf("only %d documents were found", len(list))
	}
	return list
}

var (
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	unwanted = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchor is what a heading is called in links.
func anchor(heading string) string {
	return strings.ReplaceAll(unwanted.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
}

// A link within the repository leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	n := 0
	for name, text := range all {
		for _, m := range links.FindAllStringSubmatch(text, -1) {
			target, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			n++
			path := name
			if target != "" {
				path = filepath.Join(filepath.Dir(name), target)
				if _, err := os.Stat(filepath.Join("../..", path)); err != nil {
					t.Errorf("%s: the link to %s leads nowhere", name, m[1])
					continue
				}
			}
			if fragment == "" {
				continue
			}
			found := false
			for _, h := range headings.FindAllStringSubmatch(all[path], -1) {
				found = found || anchor(h[1]) == fragment
			}
			if !found {
				t.Errorf("%s: %s has no heading #%s", name, path, fragment)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d links were found", n)
	}
}

var (
	commands = regexp.MustCompile("(?m)^(?: {4}|\t)?\\$? ?(?:bin/)?ringway +([^#\n]*)|`(?:bin/)?ringway +([a-z-][^`]*)`")
	makes    = regexp.MustCompile("(?m)^    make ([a-z-]+)|`make ([a-z-]+)[^`]*`")
	tests    = regexp.MustCompile(`go (?:test|run) (\./[\w/.]+)`)
)

// What the documents say to type is there: commands with their flags, targets of make, packages.
func TestCommandsOfTheDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	counted := [3]int{}
	for name, text := range pages(t) {
		for _, m := range commands.FindAllStringSubmatch(text, -1) {
			line := strings.TrimSpace(m[1] + m[2])
			line, _, _ = strings.Cut(line, " > ")
			counted[0]++
			if err := understood(strings.Fields(line), m[1] != ""); err != nil {
				t.Errorf("%s: ringway %s: %v", name, line, err)
			}
		}
		for _, m := range makes.FindAllStringSubmatch(text, -1) {
			counted[1]++
			if target := m[1] + m[2]; !strings.Contains("\n"+string(makefile), "\n"+target+":") {
				t.Errorf("%s: make %s: there is no such target", name, target)
			}
		}
		for _, m := range tests.FindAllStringSubmatch(text, -1) {
			counted[2]++
			_, err := os.Stat(filepath.Join("../..", m[1]))
			_, beside := os.Stat(filepath.Join("../..", filepath.Dir(name), m[1]))
			if err != nil && beside != nil && !strings.HasSuffix(m[1], "/...") {
				t.Errorf("%s: there is no package %s", name, m[1])
			}
		}
	}
	for i, n := range counted {
		if n < 5 {
			t.Errorf("of the %d. kind only %d were found", i+1, n)
		}
	}
}

// understood says whether the command line takes it, without running it. What is named in a sentence, and no line to type, only has to be a command.
func understood(args []string, whole bool) error {
	c, rest, err := root().Find(args)
	if err != nil || !whole {
		return err
	}
	c.InitDefaultHelpFlag()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SetInterspersed(true)
	flags.AddFlagSet(c.Flags())
	flags.AddFlagSet(c.InheritedFlags())
	flags.AddFlagSet(c.PersistentFlags())
	flags.Usage = func() {}
	if err := flags.Parse(rest); err != nil {
		return err
	}
	if c.Args == nil {
		return nil
	}
	return c.Args(&cobra.Command{Use: c.Use}, flags.Args())
}

var yamls = regexp.MustCompile("(?s)```ya?ml\n(.*?)```")

// A whole configuration in the documents is one that Ringway takes.
func TestConfigurationsOfTheDocumentsAreTaken(t *testing.T) {
	n := 0
	for name, text := range pages(t) {
		for _, m := range yamls.FindAllStringSubmatch(text, -1) {
			if !strings.HasPrefix(m[1], "pools:") {
				continue
			}
			n++
			if _, err := config.Parse(name, []byte(m[1])); err != nil {
				t.Errorf("%v\n%s", err, m[1])
			}
		}
	}
	if n == 0 {
		t.Error("none was found")
	}
}
