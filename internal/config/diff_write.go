package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// Write prints a Diff for a person.
func (d *Diff) Write(w io.Writer) {
	fmt.Fprintf(w, "%s -> %s\n", d.Old, d.New)
	if d.Empty() {
		fmt.Fprintf(w, "\nNothing changes.\n")
		return
	}
	if len(d.Changes) > 0 {
		fmt.Fprintln(w)
	}
	for _, c := range d.Changes {
		fmt.Fprintln(w, c)
	}
	for i := range d.Pools {
		fmt.Fprintln(w)
		d.Pools[i].write(w)
	}
	if len(d.Restart) == 0 {
		fmt.Fprintf(w, "\nA running process can take this by reload.\n")
	} else {
		fmt.Fprintf(w, "\nA running process can't take this by reload; a restart is needed for %s.\n", join(d.Restart))
	}
}

// Lines gives the changes one by one, each in one line, for a log.
func (d *Diff) Lines() []string {
	var lines []string
	for _, c := range d.Changes {
		lines = append(lines, c.String())
	}
	for _, p := range d.Pools {
		in := "pool " + p.Name + ": "
		if p.Kind != "changed" {
			lines = append(lines, in+p.Kind)
		}
		for _, c := range p.Changes {
			lines = append(lines, in+c.String())
		}
		for _, n := range p.Nodes {
			lines = append(lines, in+n.String())
		}
		if p.Moves != nil {
			lines = append(lines, in+p.Moves.String())
		}
	}
	return lines
}

// String is the sum of the moves in a sentence without its point.
func (m *Moves) String() string {
	switch {
	case m.Total == 0 && m.Exact:
		return "no key moves"
	case m.Total == 0:
		return "no key of a sample of 100,000 moves"
	}
	how := "in a sample of 100,000"
	if m.Exact {
		how = "counted exactly"
	}
	return fmt.Sprintf("%s of the keys move, %s; the ideal, for even shares, is %s", percentText(m.Total), how, percentText(m.Ideal))
}

// largest gives the moves that a person is shown, and the share of the others.
func (m *Moves) largest() (list []Move, rest float64) {
	const most = 50
	if len(m.List) <= most {
		return m.List, 0
	}
	list = slices.Clone(m.List)
	slices.SortStableFunc(list, func(a, b Move) int { return cmp.Compare(b.Share, a.Share) })
	for _, move := range list[most:] {
		rest += move.Share
	}
	return list[:most], rest
}

func (p *PoolDiff) write(w io.Writer) {
	fmt.Fprintf(w, "pool %s", p.Name)
	if p.Kind != "changed" {
		fmt.Fprintf(w, ": %s%s", p.Kind, when(p.Listen != "", ", on "+p.Listen))
	}
	fmt.Fprintln(w)
	for _, c := range p.Changes {
		fmt.Fprintf(w, "  %s\n", c)
	}
	for _, n := range p.Nodes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	if m := p.Moves; m != nil {
		if len(m.List) > 0 {
			tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintf(tw, "\n  FROM\tTO\tSHARE\n")
			list, rest := m.largest()
			for _, move := range list {
				fmt.Fprintf(tw, "  %s\t%s\t%s\n", move.From, move.To, percentText(move.Share))
			}
			if rest > 0 {
				fmt.Fprintf(tw, "  %s more\t\t%s\n", strconv.Itoa(len(m.List)-len(list)), percentText(rest))
			}
			_ = tw.Flush()
		}
		fmt.Fprintf(w, "\n  %s.\n", capital(m.String()))
	}
	for _, note := range p.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

func capital(s string) string {
	if s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
