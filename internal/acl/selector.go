package acl

import (
	"strings"

	"ringway/internal/command"
)

// Commands is a set of commands, a bit for each row of the command table.
type Commands [(tableSize + 63) / 64]uint64

// tableSize is at least command.Count(), which is no constant; a test compares them.
const tableSize = 640

// Has says whether the command with this ID is in the set.
func (cs *Commands) Has(id int) bool { return cs[uint(id)/64]>>(uint(id)%64)&1 != 0 }

// Set adds a command, or takes it out; its subcommands with it.
func (cs *Commands) Set(c *command.Command, in bool) {
	cs.Put(c.ID, in)
	for _, sub := range c.Subcommands() {
		cs.Put(sub.ID, in)
	}
}

// Put adds the command with this ID alone, or takes it out.
func (cs *Commands) Put(id int, in bool) {
	cs[id/64] &^= 1 << (id % 64)
	if in {
		cs[id/64] |= 1 << (id % 64)
	}
}

// Empty reports whether there is no command in the set.
func (cs *Commands) Empty() bool { return *cs == Commands{} }

// selector is a set of permissions that belong together. A request is allowed if one of the user's selectors allows it as a
// whole; the first is that of the rules outside of parentheses.
type selector struct {
	allowed     Commands
	everything  bool // also commands that the table does not know yet
	args        map[int][]string
	allKeys     bool
	keys        []pattern
	allChannels bool
	channels    []pattern
	rules       []string // about commands, as they are told
}

// use is what a command does with a key.
type use uint8

const (
	reads use = 1 << iota
	writes
)

// useOf says what permission a key needs: none, for a command that only looks whether it is there.
func useOf(f command.KeyFlags) (u use) {
	if f&command.KeyAccess != 0 {
		u |= reads
	}
	if f&(command.KeyInsert|command.KeyDelete|command.KeyUpdate) != 0 {
		u |= writes
	}
	return u
}

// pattern is a pattern of keys or channels, and what may be done with those that fit. Most are a name, or the beginning of names, and
// need no search.
type pattern struct {
	text  string
	use   use
	shape shape
	fixed string // the name, or its beginning
	glob  []byte
}

type shape uint8

const (
	anything  shape = iota // *
	beginning              // name*
	whole                  // name
	globbing
)

func newPattern(text string, use use) pattern {
	p := pattern{text: text, use: use, glob: []byte(text), shape: globbing}
	switch body, star := strings.CutSuffix(text, "*"); {
	case strings.ContainsAny(body, `*?[\`):
	case !star:
		p.shape, p.fixed = whole, text
	case body == "":
		p.shape = anything
	default:
		p.shape, p.fixed = beginning, body
	}
	return p
}

// fits says whether a name fits. As in Redis an empty one fits an empty pattern alone.
func (p *pattern) fits(name []byte) bool {
	if len(name) == 0 {
		return p.text == ""
	}
	switch p.shape {
	case anything:
		return true
	case beginning:
		return len(name) >= len(p.fixed) && string(name[:len(p.fixed)]) == p.fixed
	case whole:
		return string(name) == p.fixed
	}
	return command.Glob(p.glob, name)
}

func (s *selector) unlimited() bool {
	return s.everything && s.allKeys && s.allChannels
}

// all is +@all or -@all.
func (s *selector) all(allow bool) {
	s.allowed, s.args, s.rules = Commands{}, nil, nil
	if s.everything = allow; allow {
		for i := range s.allowed {
			s.allowed[i] = ^uint64(0)
		}
		s.rules = append(s.rules, "+@all")
	}
}

// set allows commands or forbids them, and their subcommands with them. What is how a rule calls them.
func (s *selector) set(what string, allow bool, list ...*command.Command) {
	before, changed := s.allowed, false
	for _, c := range list {
		s.allowed.Set(c, allow)
		changed = changed || s.args[c.ID] != nil
		delete(s.args, c.ID)
	}
	if changed || s.allowed != before {
		s.everything = s.everything && allow
		s.remember(what, allow)
	}
}

// allowArg allows a command that may be forbidden otherwise if arg is its first argument.
func (s *selector) allowArg(c *command.Command, arg string) {
	if s.args == nil {
		s.args = map[int][]string{}
	}
	for _, a := range s.args[c.ID] {
		if a == arg {
			return
		}
	}
	s.args[c.ID] = append(s.args[c.ID], arg)
	s.remember(c.Name+"|"+arg, true)
}

// remember notes a rule that has an effect, to be told again. Those before it about the same have none any more.
func (s *selector) remember(what string, allow bool) {
	kept := s.rules[:0]
	for _, r := range s.rules {
		if of := r[1:]; of != what && !strings.HasPrefix(of, what+"|") {
			kept = append(kept, r)
		}
	}
	sign := "-"
	if allow {
		sign = "+"
	}
	s.rules = append(kept, sign+what)
}
