package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a file, or one warning.
type Problem struct {
	File string
	Line int
	Text string // what was found, then what is expected
}

func (p Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Problems is every mistake that was found in a file and in what it includes, in the order of their lines.
type Problems []Problem

// mostProblems bounds what is printed: with more mistakes than that, the first ones explain the others.
const mostProblems = 20

func (ps Problems) Error() string {
	lines := make([]string, 0, len(ps))
	for i, p := range ps {
		if i == mostProblems {
			lines = append(lines, fmt.Sprintf("... and %d more", len(ps)-i))
			break
		}
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// reader collects what is wrong with one file while it is read, so that all of it can be told at once.
type reader struct {
	file     string
	readFile func(path string) ([]byte, error) // what a file includes; nil: nothing can be
	ringless bool                              // rings are known to be right, and cost time
	where    string                            // the pool that is being read, as `pool "cache": `
	problems Problems
	warnings Problems
}

func (r *reader) fail(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.file, line, r.where + fmt.Sprintf(format, args...)})
}

func (r *reader) warn(line int, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{r.file, line, r.where + fmt.Sprintf(format, args...)})
}

func (r *reader) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	sortByLine(r.problems)
	return r.problems
}

func (r *reader) warningTexts() []string {
	sortByLine(r.warnings)
	var texts []string
	for _, w := range r.warnings {
		texts = append(texts, w.Error())
	}
	return texts
}

func sortByLine(ps Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line) })
}
