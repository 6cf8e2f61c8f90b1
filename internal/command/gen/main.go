// Gen writes the table of package command: table_gen.go, and docs_gen.txt, which holds what COMMAND DOCS says.
//
// It asks a redis-server for its commands and joins to them the rows of later.txt and the routing of plan.txt,
// which stand beside this file. Run it with go generate in internal/command. REDIS_SERVER names another server
// than the redis-server of the PATH; the version must be 7.0.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"path/filepath"
	"sort"
)

func main() {
	log.SetFlags(0)
	if err := run("gen", "."); err != nil {
		log.Fatalf("gen: %v", err)
	}
}

// run writes the files of the package to dir; from is where later.txt and plan.txt are.
func run(from, dir string) error {
	rows, err := readServer()
	if err != nil {
		return err
	}
	later, err := readLater(filepath.Join(from, "later.txt"), rows)
	if err != nil {
		return err
	}
	if rows, err = join(rows, later); err != nil {
		return err
	}
	if err := readPlans(filepath.Join(from, "plan.txt"), rows); err != nil {
		return err
	}
	docs := writeDocs(rows)
	if err := os.WriteFile(filepath.Join(dir, "docs_gen.txt"), docs, 0o644); err != nil {
		return err
	}
	var b bytes.Buffer
	writeTable(&b, rows)
	code, err := format.Source(b.Bytes())
	if err != nil {
		return fmt.Errorf("table_gen.go: %v\n%s", err, b.Bytes())
	}
	return os.WriteFile(filepath.Join(dir, "table_gen.go"), code, 0o644)
}

// join adds the later rows to those of the server and puts all in order: by name, subcommands behind their
// container.
func join(rows, later []*row) ([]*row, error) {
	byName := map[string]*row{}
	for _, r := range append(rows, later...) {
		if byName[r.name] != nil {
			return nil, fmt.Errorf("%s is there twice", r.name)
		}
		byName[r.name] = r
	}
	var all []*row
	for _, r := range byName {
		if c := r.container(); c != "" {
			if byName[c] == nil {
				return nil, fmt.Errorf("%s has no container", r.name)
			}
			byName[c].subs++
		}
		all = append(all, r)
	}
	// '|' sorts behind every letter, so a container's name is made to end in the smallest byte.
	key := func(r *row) string {
		if c := r.container(); c != "" {
			return c + "\x00" + r.name
		}
		return r.name + "\x00"
	}
	sort.Slice(all, func(i, j int) bool { return key(all[i]) < key(all[j]) })
	for i, r := range all {
		r.id = i
	}
	return all, nil
}
