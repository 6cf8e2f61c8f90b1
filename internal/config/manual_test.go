package config

import (
	"regexp"
	"slices"
	"strings"
)

// manual is what proxy.yml says, taken apart.
type manual struct {
	known    map[string]bool // names of options
	intro    []string
	sections []*manualSection
}

type manualSection struct {
	title   string
	text    []string
	entries []*manualEntry
}

// manualEntry is one option, or a few that are told of together.
type manualEntry struct {
	names []string
	text  []string
	code  []string
}

var (
	manualTitle  = regexp.MustCompile(`^\s*# ---- (.*?) ?----$`)
	manualOption = regexp.MustCompile(`^\s*(?:# )?(?:- )?([a-z_]+):(?: |$)`)
	manualCode   = regexp.MustCompile(`^(\s*- |\s*[a-z_]+:|\s+\S)`)
)

// readManual goes by blank lines: what stands between two of them is about one thing.
func readManual(text string) *manual {
	m := &manual{known: map[string]bool{}}
	for _, name := range slices.Concat(poolOptionNames(), topOptions, adminOptions, logOptions, reloadOptions,
		optionNames(startOptions), optionNames(shutdownOptions), optionNames(tracingOptions)) {
		m.known[name] = true
	}
	within := ""
	m.sections = []*manualSection{{title: "A pool"}}
	for i, block := range regexp.MustCompile(`\n\s*\n`).Split(text, -1) {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		if i == 0 || i == 1 && strings.HasPrefix(lines[0], "#") {
			for _, l := range lines {
				m.intro = append(m.intro, uncommented(l))
			}
			m.intro = append(m.intro, "")
			continue
		}
		if strings.HasPrefix(lines[0], "# Event loops") {
			m.sections = append(m.sections, &manualSection{title: "The process"})
		}
		m.block(lines, &within)
	}
	return m
}

// block reads what stands between two blank lines. within is the map at the top that the last one was in.
func (m *manual) block(lines []string, within *string) {
	var e manualEntry
	s := m.sections[len(m.sections)-1]
	end := func() {
		switch {
		case len(e.names) > 0:
			entry := e
			s.entries = append(s.entries, &entry)
		default:
			s.text = append(append(s.text, e.text...), "")
		}
		e = manualEntry{}
	}
	for _, l := range lines {
		if title := manualTitle.FindStringSubmatch(l); title != nil {
			s = &manualSection{title: strings.TrimSuffix(strings.SplitN(title[1], ". ", 2)[0], ".")}
			if _, more, ok := strings.Cut(title[1], ". "); ok {
				s.text = append(s.text, more)
			} else if before, more, ok := strings.Cut(title[1], ": "); ok {
				s.title, s.text = before, append(s.text, strings.ToUpper(more[:1])+more[1:])
			}
			m.sections = append(m.sections, s)
			continue
		}
		option := manualOption.FindStringSubmatch(l)
		nested := strings.HasPrefix(l, "  ") && *within != "" && *within != "pools"
		switch {
		case option != nil && m.known[option[1]] && e.complete() && (len(e.code) == 0 || nested || indentOf(l) <= indentOf(e.code[0])):
			name := option[1]
			if !strings.HasPrefix(l, " ") && !strings.HasPrefix(l, "#") {
				*within = name
				if strings.TrimSpace(l) == name+":" {
					if name != "pools" {
						e.names = []string{name}
						end()
					}
					continue
				}
			}
			if nested {
				if len(e.names) > 0 { // the next option of the map, right behind the one before it
					end()
				}
				name = *within + ": " + name
				e.code = append(e.code, *within+":")
				if code, remark, ok := strings.Cut(strings.TrimLeft(l, " #"), "  # "); ok {
					l, e.text = "  "+code, append(e.text, remark)
				}
			}
			if !slices.Contains(e.names, name) {
				e.names = append(e.names, name)
			}
			e.code = append(e.code, strings.TrimRight(l, " "))
		case len(e.names) > 0:
			e.code = append(e.code, l)
		default:
			e.text = append(e.text, uncommented(l))
		}
	}
	end()
}

// uncommented is a line of a comment without what makes it one.
func uncommented(l string) string {
	l = strings.TrimLeft(l, " ")
	return strings.TrimPrefix(strings.TrimPrefix(l, "#"), " ")
}

// complete tells an option that is commented out from a line of prose that looks like one.
func (e *manualEntry) complete() bool {
	return len(e.text) == 0 || strings.HasSuffix(e.text[len(e.text)-1], ".")
}

func indentOf(l string) int { return len(l) - len(strings.TrimLeft(l, " ")) }
