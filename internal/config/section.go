package config

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Options that are not one value: maps, lists, and lists of maps. Each kind of map has a table of options, as the pool
// has one, and is read, written and compared by it.

// kind says about a map what its options don't.
type kind[O any] struct {
	what     string // in problems: backend, route
	expected string // in problems: how to write one
	options  []option[O]
	usual    O        // what holds for the options that are left out
	needs    []string // the options that can't be left out
	shown    []string // those that are written though they are as usual
	word     bool     // one that has its first option only may be written without a map
	words    []string // that may stand for one: on for one as usual, off for none
	line     func(o *O) *int
	check    func(r *reader, o *O, given map[string]entry) // of what has no other problem; nil: nothing
}

// words is a list of texts.
func words[O any](name, one string, parse func(string) (string, error), field func(*O) *[]string) option[O] {
	return option[O]{
		name: name,
		read: func(r *reader, e entry, o *O) {
			var lines map[string]int
			for _, n := range r.items(e, one) {
				s, ok := r.scalar(entry{e.name, n, follow(n)})
				if !ok {
					continue
				}
				w, err := parse(s)
				if err != nil {
					r.fail(n.Line, "%s: %s", e.name, strings.TrimPrefix(err.Error(), "is "))
				} else if first, ok := claim(&lines, w, n.Line); !ok {
					r.fail(n.Line, "%s: %s is on line %d already; keep one", e.name, quote(w), first)
				} else {
					*field(o) = append(*field(o), w)
				}
			}
		},
		text: func(o *O) string { return join(*field(o)) },
		node: func(o *O) *yaml.Node {
			if len(*field(o)) == 0 {
				return nil
			}
			n := flow(&yaml.Node{Kind: yaml.SequenceNode})
			for _, w := range *field(o) {
				n.Content = append(n.Content, plain(w))
			}
			return n
		},
	}
}

// list is a list of maps.
func list[O, I any](name string, k kind[I], field func(*O) *[]I) option[O] {
	return option[O]{
		name: name,
		read: func(r *reader, e entry, o *O) {
			for _, n := range r.items(e, k.expected) {
				if item, ok := k.item(r, name, n); ok {
					*field(o) = append(*field(o), item)
				}
			}
		},
		text: func(o *O) string {
			var items []string
			for i := range *field(o) {
				items = append(items, k.text(&(*field(o))[i]))
			}
			return join(items)
		},
		node: func(o *O) *yaml.Node {
			if len(*field(o)) == 0 {
				return nil
			}
			n := &yaml.Node{Kind: yaml.SequenceNode}
			for i := range *field(o) {
				n.Content = append(n.Content, k.node(&(*field(o))[i]))
			}
			return n
		},
		inner: func() []string { return optionNames(k.options) },
	}
}

// group is a map that a pool always has. The words that short takes stand for one.
func group[I any](name string, options []option[I], short func(*I, string) error, field func(*Pool) *I) option[Pool] {
	usual := func() *I {
		p := DefaultPool()
		return field(&p)
	}
	return option[Pool]{
		name: name,
		read: func(r *reader, e entry, p *Pool) {
			r.within(name+": ", func() {
				switch e.value.Kind {
				case yaml.MappingNode:
					readMap(r, r.entries(e.value), options, "", "", field(p))
				case yaml.ScalarNode:
					if err := short(field(p), e.value.Value); err != nil {
						r.fail(e.value.Line, "%s", err)
					}
				default:
					r.fail(e.value.Line, "found %s; expected a map", describeNode(e.value))
				}
			})
		},
		text: func(p *Pool) string {
			var parts []string
			for _, o := range options {
				switch value := o.text(field(p)); {
				case o.node == nil:
					parts = append(parts, o.name+": "+value)
				case value != "":
					parts = append(parts, o.name+": ["+value+"]")
				}
			}
			return "{" + join(parts) + "}"
		},
		node: func(p *Pool) *yaml.Node {
			n := flow(mapping())
			for _, o := range options {
				value := o.text(field(p))
				switch {
				case value == o.text(usual()):
				case o.node != nil:
					put(n, o.name, o.node(field(p)))
				default:
					put(n, o.name, o.scalarNode(value))
				}
			}
			if len(n.Content) == 0 {
				return nil
			}
			return n
		},
		inner: func() []string { return optionNames(options) },
		parts: func(p *Pool) []setting { return settings(name, options, field(p)) },
	}
}

// part is a map that a pool may have.
func part[I any](name string, k kind[I], field func(*Pool) **I) option[Pool] {
	return option[Pool]{
		name: name,
		read: func(r *reader, e entry, p *Pool) { k.maybe(r, e, field(p)) },
		text: func(p *Pool) string {
			if i := *field(p); i != nil {
				return k.text(i)
			}
			return ""
		},
		node: func(p *Pool) *yaml.Node {
			if i := *field(p); i != nil {
				return k.node(i)
			}
			return nil
		},
		inner: func() []string { return optionNames(k.options) },
		parts: func(p *Pool) []setting {
			if i := *field(p); i != nil {
				return settings(name, k.options, i)
			}
			return nil
		},
	}
}

// maybe reads one that there may be.
func (k *kind[O]) maybe(r *reader, e entry, to **O) {
	if e.value.Kind == yaml.ScalarNode && slices.Contains(k.words, e.value.Value) {
		if *to = nil; e.value.Value == "on" {
			o := k.usual
			*k.line(&o) = e.key.Line
			*to = &o
		}
		return
	}
	if e.value.Kind != yaml.MappingNode {
		r.fail(e.key.Line, "%s is %s; expected %s", e.name, describeNode(e.value), k.expected)
		return
	}
	r.within(e.name+": ", func() {
		before := len(r.problems)
		o := k.usual
		k.fill(r, &o, e.key.Line, r.entries(e.value), "", "")
		if len(r.problems) == before {
			*to = &o
		}
	})
}

// items gives what a list has.
func (r *reader) items(e entry, one string) []*yaml.Node {
	if e.value.Kind != yaml.SequenceNode {
		r.fail(e.key.Line, "%s is %s; expected a list of %s", e.name, describeNode(e.value), one)
		return nil
	}
	if len(e.value.Content) == 0 {
		r.fail(e.key.Line, "%s is an empty list; expected at least one %s", e.name, one)
	}
	return e.value.Content
}

// item reads one map of a list called name.
func (k *kind[O]) item(r *reader, name string, n *yaml.Node) (o O, ok bool) {
	line := n.Line
	n = follow(n)
	before := len(r.problems)
	o = k.usual
	switch {
	case n.Kind == yaml.MappingNode:
		k.fill(r, &o, line, r.entries(n), k.what+" ", name+": ")
	case k.word && n.Kind == yaml.ScalarNode && n.Tag != "!!null":
		*k.line(&o) = line
		if err := k.options[0].set(&o, n.Value); err != nil {
			r.fail(line, "%s %s", k.what, err)
		}
	default:
		r.fail(line, "a %s is %s; expected %s", k.what, describeNode(n), k.expected)
	}
	return o, len(r.problems) == before
}

func (k *kind[O]) fill(r *reader, o *O, line int, es []entry, what, where string) {
	before := len(r.problems)
	*k.line(o) = line
	given := readMap(r, es, k.options, what, where, o)
	for _, name := range k.needs {
		if _, ok := given[name]; !ok && len(r.problems) == before {
			if what == "" {
				r.fail(line, "no %s; expected %s", name, k.expected)
			} else {
				r.fail(line, "a %swithout %s; expected %s", what, article(name), k.expected)
			}
		}
	}
	if k.check != nil && len(r.problems) == before {
		k.check(r, o, given)
	}
}

// readMap reads the lines of a map. A problem with a value begins with what, one with the name of an option with where.
func readMap[O any](r *reader, es []entry, options []option[O], what, where string, to *O) map[string]entry {
	given := map[string]entry{}
	for _, e := range es {
		given[e.name] = e
		i := slices.IndexFunc(options, func(o option[O]) bool { return o.name == e.name })
		if i < 0 {
			r.within(where, func() { r.unknown(e, optionNames(options)) })
		} else if options[i].read != nil {
			options[i].read(r, e, to)
		} else if s, ok := r.scalar(e); ok {
			if err := options[i].set(to, s); err != nil {
				r.fail(e.value.Line, "%s%s", what, err)
			}
		}
	}
	return given
}

// node writes one, without what is as usual.
func (k *kind[O]) node(o *O) *yaml.Node {
	n := flow(mapping())
	usual := k.usual
	for _, opt := range k.options {
		if value := opt.text(o); value != opt.text(&usual) || slices.Contains(k.needs, opt.name) || slices.Contains(k.shown, opt.name) {
			if opt.node != nil {
				put(n, opt.name, flow(opt.node(o)))
			} else {
				put(n, opt.name, opt.scalarNode(value))
			}
		}
	}
	if k.word && len(n.Content) == 2 {
		return n.Content[1]
	}
	if len(n.Content) == 0 && slices.Contains(k.words, "on") {
		return plain("on")
	}
	return n
}

// text shows one to a person, in one line and without its passwords.
func (k *kind[O]) text(o *O) string {
	var parts []string
	usual := k.usual
	for _, opt := range k.options {
		value := opt.text(o)
		if value == opt.text(&usual) && !slices.Contains(k.needs, opt.name) {
			continue
		}
		switch {
		case opt.secret:
			value = hidden
		case opt.free:
			value = fmt.Sprintf("%q", value)
		case opt.node != nil:
			value = "[" + value + "]"
		}
		parts = append(parts, opt.name+": "+value)
	}
	if first := k.options[0].name + ": "; k.word && len(parts) == 1 && strings.HasPrefix(parts[0], first) {
		return strings.TrimPrefix(parts[0], first)
	}
	if len(parts) == 0 && slices.Contains(k.words, "on") {
		return "on"
	}
	return "{" + join(parts) + "}"
}

func optionNames[O any](options []option[O]) []string {
	var names []string
	for _, o := range options {
		names = append(names, o.name)
	}
	return names
}

func article(word string) string {
	if strings.ContainsAny(word[:1], "aeio") {
		return "an " + word
	}
	return "a " + word
}
