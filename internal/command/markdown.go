package command

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Difference is something that is not as on one server. Each has a test, named here, that shows it.
type Difference struct {
	Commands string
	Text     string
	Test     string
}

// WriteMarkdown prints the table for people: docs/commands.md.
func WriteMarkdown(w io.Writer) {
	fmt.Fprint(w, `# Commands

Printed from the command table by `+"`go test ./internal/command -run Markdown -update`"+`; a test keeps it true.

Each command has a plan:

| plan | what happens |
|---|---|
| forward | the request goes as it came to the node that has all its keys; keys on different nodes: `+"`-CROSSSLOT`"+`. Without keys it goes to the pool's first node by name, or to where its channel hashes |
| split | each node gets the part that concerns its keys, the answers are merged in the caller's order; an error of one node is the whole answer |
| broadcast | every node is asked, and the answers are merged as named; an error of one node is the whole answer |
| session | answered by Ringway: it concerns the connection or the router |
| private | runs on a connection of its own, for it blocks, watches or subscribes |
| refuse | answered with an error that says why and what to do |

`)
	writeDifferences(w)
	groups := map[string][]*Command{}
	for _, c := range All() {
		if c.Container() {
			continue
		}
		groups[c.Group] = append(groups[c.Group], c)
	}
	var names []string
	for g := range groups {
		names = append(names, g)
	}
	slices.Sort(names)
	for _, g := range names {
		fmt.Fprintf(w, "\n## %s\n\n| command | plan | notes |\n|---|---|---|\n", g)
		for _, c := range groups[g] {
			fmt.Fprintf(w, "| %s | %s | %s |\n", strings.ToUpper(strings.ReplaceAll(c.Name, "|", " ")), c.planText(), c.notes())
		}
	}
}

func writeDifferences(w io.Writer) {
	fmt.Fprint(w, "## What differs from one server\n\n| commands | difference | shown by |\n|---|---|---|\n")
	for _, d := range differences {
		fmt.Fprintf(w, "| %s | %s | `%s` |\n", d.Commands, d.Text, d.Test)
	}
}

func (c *Command) planText() string {
	if c.Merge != MergeNone && c.Plan != Forward {
		return fmt.Sprintf("%v, %v", c.Plan, c.Merge)
	}
	if c.blockFrom > 0 {
		return "private with BLOCK, else forward"
	}
	return c.Plan.String()
}

func (c *Command) notes() string {
	var notes []string
	if c.Plan == Refuse {
		notes = append(notes, strings.ReplaceAll(strings.TrimPrefix(c.Refusal, "ERR "), "|", "\\|"))
	}
	if !strings.HasPrefix(c.Source, "redis 7.0") {
		notes = append(notes, "since "+c.Source)
	}
	return strings.Join(notes, "; ")
}
