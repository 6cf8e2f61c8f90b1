package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var (
	plans  = []string{"", "forward", "split", "broadcast", "session", "private", "refuse"}
	merges = []string{"", "array", "ok", "sum", "sumpairs", "concat", "min", "first", "any", "cursor", "most", "union", "sorted", "text"}
)

// readPlans reads plan.txt and sets the plan of each row. A row without one is an error, and so is a name
// without a row.
func readPlans(name string, rows []*row) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	byName := map[string]*row{}
	for _, r := range rows {
		byName[r.name] = r
	}
	var block row // the heading that is in force
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] != ' ' {
			block, err = parseHeading(line)
		} else {
			err = block.give(line, byName)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	for _, r := range rows {
		if r.plan == "" && r.container() != "" {
			c := byName[r.container()]
			r.plan, r.merge, r.routeArg, r.refusal = c.plan, c.merge, c.routeArg, c.refusal
		}
		if r.plan == "" {
			return fmt.Errorf("%s: %s has no plan", name, r.name)
		}
	}
	return nil
}

func parseHeading(line string) (row, error) {
	words := strings.Fields(line)
	r := row{plan: words[0]}
	if place(plans, r.plan) <= 0 {
		return r, fmt.Errorf("unknown plan %q", r.plan)
	}
	switch {
	case len(words) == 3 && words[1] == "by":
		n, err := strconv.Atoi(words[2])
		r.routeArg = n
		return r, err
	case len(words) == 5 && strings.HasPrefix(line, "private if block from "):
		n, err := strconv.Atoi(words[4])
		r.blockFrom = n
		return r, err
	case len(words) == 2 && place(merges, words[1]) > 0:
		r.merge = words[1]
	case len(words) > 1:
		return r, fmt.Errorf("unknown merge %q", line)
	}
	return r, nil
}

// give gives the plan of the block to the commands of a line.
func (b *row) give(line string, byName map[string]*row) error {
	names, refusal, ok := strings.Cut(line, ": ")
	if ok != (b.plan == "refuse") {
		return fmt.Errorf("what is refused, and only that, has a sentence")
	}
	for _, name := range strings.Fields(names) {
		r := byName[name]
		switch {
		case r == nil:
			return fmt.Errorf("unknown command %q", name)
		case r.plan != "":
			return fmt.Errorf("%s has two plans", name)
		}
		r.plan, r.merge, r.routeArg, r.blockFrom = b.plan, b.merge, b.routeArg, b.blockFrom
		if ok {
			r.refusal = refuse(name, refusal)
		}
	}
	return nil
}

// refuse makes the whole sentence. It begins with the command, unless it does so already.
func refuse(name, why string) string {
	shown := strings.ToUpper(strings.ReplaceAll(name, "|", " "))
	if !strings.HasPrefix(why, shown) {
		why = shown + " is refused: " + why
	}
	return "ERR " + why
}

func place(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}
