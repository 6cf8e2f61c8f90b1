package main

import "strings"

// row is one command while it is gathered.
type row struct {
	id          int
	name        string
	arity       int
	flags       []string
	first, last int
	step        int
	categories  []string
	tips        []string
	specs       []spec
	group       string
	source      string
	docs        []field
	help        []string // the lines of a HELP subcommand
	subs        int

	plan      string
	merge     string
	routeArg  int
	blockFrom int
	refusal   string

	docFirst, docEnd, helpEnd int // its piece of docs_gen.txt
}

// spec is one rule for finding keys. Exactly one of index and keyword is set, or none if the keys can't be found.
type spec struct {
	notes                string
	flags                []string
	index                int
	keyword              string
	from                 int
	byCount              bool
	countAt, firstKey    int
	lastKey, step, limit int
}

// field is one field of COMMAND DOCS.
type field struct {
	name  string
	value value
}

func (r *row) container() string {
	c, _, ok := strings.Cut(r.name, "|")
	if !ok {
		return ""
	}
	return c
}

func (r *row) has(flag string) bool {
	for _, f := range r.flags {
		if f == flag {
			return true
		}
	}
	return false
}
