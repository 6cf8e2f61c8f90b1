package config

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const docsFile = "../../docs/configuration.md"

// docs/configuration.md is proxy.yml for who reads rather than edits: an index, links, and the same words.
//
//	RINGWAY_GOLDEN=1 go test ./internal/config -run Docs
func TestDocsAreTheManual(t *testing.T) {
	data, err := os.ReadFile("../../proxy.yml")
	if err != nil {
		t.Fatal(err)
	}
	m := readManual(string(data))
	documented := map[string]bool{}
	for _, s := range m.sections {
		for _, e := range s.entries {
			for _, name := range e.names {
				documented[name] = true
			}
		}
	}
	for _, name := range slices.Concat(poolOptionNames(), topOptions) {
		if !documented[name] && name != "pools" {
			t.Errorf("%s has no place of its own in proxy.yml: a blank line, what it is, and its line", name)
		}
	}
	want := m.markdown()
	had, err := os.ReadFile(docsFile)
	switch {
	case err == nil && bytes.Equal(had, want):
	case os.Getenv("RINGWAY_GOLDEN") == "1":
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what proxy.yml says (RINGWAY_GOLDEN=1 go test ./internal/config -run Docs writes it)", docsFile)
	}
}

func (m *manual) markdown() []byte {
	var b bytes.Buffer
	b.WriteString("# Configuration\n\n<!-- from proxy.yml, by: RINGWAY_GOLDEN=1 go test ./internal/config -run Docs -->\n\n")
	b.WriteString("[proxy.yml](../proxy.yml), the manual of every option, as a page to read and to link to.\n\n")
	b.WriteString(strings.TrimRight(m.prose(m.intro[1:]), "\n") + "\n")
	b.WriteString("\n| | |\n|---|---|\n")
	for _, s := range m.sections {
		var links []string
		for _, e := range s.entries {
			for _, name := range e.names {
				if len(e.text)+len(e.code) == 0 {
					continue
				}
				links = append(links, fmt.Sprintf("[`%s`](#%s)", name, anchor(e.heading())))
			}
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", s.title, anchor(s.title), strings.Join(links, ", "))
	}
	for _, s := range m.sections {
		fmt.Fprintf(&b, "\n## %s\n", s.title)
		if text := m.prose(s.text); strings.TrimSpace(text) != "" {
			b.WriteString("\n" + strings.TrimRight(text, "\n") + "\n")
		}
		for _, e := range s.entries {
			if len(e.text)+len(e.code) == 0 { // all there is to say is said of what is in it
				continue
			}
			fmt.Fprintf(&b, "\n### %s\n", e.heading())
			if text := m.prose(e.text); strings.TrimSpace(text) != "" {
				b.WriteString("\n" + strings.TrimRight(text, "\n") + "\n")
			}
			if len(e.code) > 0 {
				fmt.Fprintf(&b, "\n```yaml\n%s\n```\n", e.example())
			}
		}
	}
	return b.Bytes()
}

func (e *manualEntry) heading() string { return strings.Join(e.names, ", ") }

// anchor is what GitHub makes of a heading.
func anchor(heading string) string {
	heading = strings.ReplaceAll(strings.ToLower(heading), " ", "-")
	return regexp.MustCompile(`[^a-z0-9_-]`).ReplaceAllString(heading, "")
}

// example is the option's lines, moved to the left; those that are comments in proxy.yml are not, here.
func (e *manualEntry) example() string {
	var lines []string
	for _, l := range e.code {
		if text := strings.TrimLeft(l, " "); strings.HasPrefix(text, "# ") {
			if text = text[2:]; manualCode.MatchString(text) {
				l = strings.Repeat(" ", indentOf(l)) + text
			}
		}
		lines = append(lines, l)
	}
	least := indentOf(lines[0])
	for i, l := range lines {
		lines[i] = l[min(least, indentOf(l)):]
	}
	return strings.Join(lines, "\n")
}

var (
	manualItem     = regexp.MustCompile(`^(\S+(?:, \S+)*)\s{2,}(\S.*)$`)
	manualItemOnly = regexp.MustCompile(`^([a-z_0-9]+(?:, [a-z_0-9]+)*)$`)
)

// prose makes Markdown of a comment. What stands in columns, a word and what it means, is a list, and so is what stands in columns there.
func (m *manual) prose(lines []string) string {
	var b strings.Builder
	var paragraph []string
	list := false
	end := func() {
		if len(paragraph) > 0 {
			if list {
				b.WriteByte('\n')
			}
			list = false
			b.WriteString(m.marked(strings.Join(paragraph, "\n")) + "\n")
			paragraph = nil
		}
	}
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if strings.TrimSpace(l) == "" {
			if end(); b.Len() > 0 && !strings.HasSuffix(b.String(), "\n\n") {
				b.WriteByte('\n')
			}
			continue
		}
		indent := indentOf(l)
		deeper := func(j int) bool { return j < len(lines) && indentOf(lines[j]) > indent+1 }
		item := manualItem.FindStringSubmatch(l[indent:])
		column := 0
		var inner []string
		switch only := manualItemOnly.FindStringSubmatch(l[indent:]); {
		case item != nil:
			column = len(l) - len(item[2])
			inner = append(inner, item[2])
		case only != nil && deeper(i+1):
			item, column = only, indentOf(lines[i+1])
		default:
			paragraph = append(paragraph, strings.TrimSpace(l))
			continue
		}
		if end(); !list && b.Len() > 0 && !strings.HasSuffix(b.String(), "\n\n") {
			b.WriteByte('\n')
		}
		for ; deeper(i + 1); i++ {
			next := lines[i+1]
			inner = append(inner, next[min(column, indentOf(next)):])
		}
		text := strings.Split(strings.TrimRight(m.prose(inner), "\n"), "\n")
		fmt.Fprintf(&b, "- `%s`:", strings.ReplaceAll(item[1], ", ", "`, `"))
		if !strings.HasPrefix(text[0], "- ") { // else a list by itself
			b.WriteString(" " + text[0])
			text = text[1:]
		}
		b.WriteByte('\n')
		for _, l := range text {
			if l != "" {
				l = "  " + l
			}
			b.WriteString(l + "\n")
		}
		list = true
	}
	end()
	return b.String()
}

var manualWord = regexp.MustCompile("`[^`\n]*`|\\b[a-z]+(?:_[a-z]+)+\\b|[*<>|~]|\\b__|\"[^\"\n]*\"")

// marked links the names of options, and keeps Markdown from taking signs for its own.
func (m *manual) marked(text string) string {
	return manualWord.ReplaceAllStringFunc(text, func(w string) string {
		switch {
		case w[0] == '`':
			return w
		case w[0] == '"':
			return "`" + w + "`"
		case m.known[w]:
			return fmt.Sprintf("[`%s`](#%s)", w, m.anchorOf(w))
		case len(w) <= 2:
			return `\` + strings.Join(strings.Split(w, ""), `\`)
		}
		return "`" + w + "`"
	})
}

func (m *manual) anchorOf(name string) string {
	for _, s := range m.sections {
		for _, e := range s.entries {
			for _, n := range e.names {
				if n == name || strings.HasSuffix(n, ": "+name) {
					return anchor(e.heading())
				}
			}
		}
	}
	return anchor(name)
}
