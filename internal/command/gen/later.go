package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// readLater reads the rows that are written by hand, and widens those of rows whose arity a later release has
// changed.
func readLater(name string, rows []*row) ([]*row, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var later []*row
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if wider, ok := strings.CutPrefix(line, "widen "); ok {
			err = widen(wider, rows)
		} else {
			var r *row
			r, err = parseLater(line)
			later = append(later, r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return later, in.Err()
}

// widen gives one of rows another arity: "zrank -3 | redis 7.2.0".
func widen(line string, rows []*row) error {
	what, source, _ := strings.Cut(line, " | ")
	words := strings.Fields(what)
	arity, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.name == words[0] {
			r.arity, r.source = arity, r.source+", arity of "+strings.TrimSpace(source)
			return nil
		}
	}
	return fmt.Errorf("unknown command %q", words[0])
}

func parseLater(line string) (*row, error) {
	cols := strings.Split(line, " | ")
	if len(cols) != 5 {
		return nil, fmt.Errorf("%d columns, not 5", len(cols))
	}
	for i := range cols {
		cols[i] = strings.TrimSpace(cols[i])
	}
	words := strings.Fields(cols[0])
	arity, err := strconv.Atoi(words[1])
	if err != nil {
		return nil, err
	}
	r := &row{name: words[0], arity: arity, flags: words[2:], group: cols[2], source: cols[3]}
	if cols[1] != "-" {
		for _, k := range strings.Split(cols[1], ",") {
			s, err := parseKeys(strings.Fields(k))
			if err != nil {
				return nil, err
			}
			r.specs = append(r.specs, s)
			if s.byCount {
				r.flags = append(r.flags, "movablekeys")
			}
		}
	}
	r.setTriple()
	if r.categories, err = r.derive(); err != nil {
		return nil, err
	}
	release, _, _ := strings.Cut(r.source, ",")
	_, since, _ := strings.Cut(release, " ")
	for _, d := range [][2]string{{"summary", cols[4]}, {"since", since}, {"group", r.group}} {
		r.docs = append(r.docs, field{d[0], value{kind: '$', text: d[1]}})
	}
	return r, nil
}

// parseKeys reads one rule for finding keys: "1 RW update", "1..-1/2 RO access", "#1 RW".
func parseKeys(words []string) (spec, error) {
	s := spec{flags: words[1:], step: 1}
	where, step, ok := strings.Cut(words[0], "/")
	if ok {
		n, err := strconv.Atoi(step)
		if err != nil {
			return s, err
		}
		s.step = n
	}
	var err error
	if count, ok := strings.CutPrefix(where, "#"); ok {
		s.byCount, s.firstKey = true, 1
		s.index, err = strconv.Atoi(count)
		return s, err
	}
	first, last, ok := strings.Cut(where, "..")
	if s.index, err = strconv.Atoi(first); err == nil && ok {
		s.lastKey, err = strconv.Atoi(last)
	}
	return s, err
}

// setTriple gives the key positions in the old form, as the server works them out: from the rules that are
// ranges at a fixed place and follow each other without a gap.
func (r *row) setTriple() {
	for _, s := range r.specs {
		switch {
		case s.byCount:
			if r.first == 0 {
				return
			}
		case r.first == 0:
			r.first, r.last, r.step = s.index, s.lastKey, s.step
			if s.lastKey >= 0 {
				r.last += s.index
			}
		case s.index == r.last+1 && s.lastKey == 0:
			r.last++
		}
	}
}

// groupCategory is the ACL category of a group; the others have none.
var groupCategory = map[string]string{
	"hash": "hash", "string": "string", "stream": "stream", "vectorset": "vectorset", "json": "json", "bf": "bloom",
	"cf": "cuckoo", "cms": "cms", "topk": "topk", "tdigest": "tdigest", "timeseries": "timeseries",
	"search": "search", "suggestion": "search", "scripting": "scripting", "connection": "connection", "list": "list",
	"set": "set", "sorted-set": "sortedset", "array": "array", "generic": "keyspace", "cluster": "", "server": "",
}

// derive gives the categories that follow from flags and group.
func (r *row) derive() ([]string, error) {
	group, ok := groupCategory[r.group]
	if !ok {
		return nil, fmt.Errorf("unknown group %q", r.group)
	}
	var all []string
	add := func(if_ bool, name string) {
		if if_ && name != "" {
			all = append(all, name)
		}
	}
	add(r.has("readonly"), "read")
	add(r.has("write"), "write")
	add(true, group)
	add(r.has("admin"), "admin")
	add(r.has("fast"), "fast")
	add(!r.has("fast"), "slow")
	add(r.has("blocking"), "blocking")
	add(r.has("admin"), "dangerous")
	return all, nil
}
