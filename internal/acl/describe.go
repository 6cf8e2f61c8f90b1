package acl

import (
	"slices"
	"strings"
)

// Permissions is a selector as ACL GETUSER tells of it.
type Permissions struct{ Commands, Keys, Channels string }

// Flags returns what is said of the user beside passwords and permissions, in the order in which Redis tells it.
func (u *User) Flags() (flags []string) {
	state := "off"
	if u.on {
		state = "on"
	}
	flags = append(flags, state)
	if u.nopass {
		flags = append(flags, "nopass")
	}
	switch u.sanitize {
	case sanitizeSkip:
		flags = append(flags, "skip-sanitize-payload")
	case sanitizeDo:
		flags = append(flags, "sanitize-payload")
	}
	return flags
}

// Digests returns the digests of the user's passwords.
func (u *User) Digests() []string { return slices.Clone(u.passwords) }

// Permissions returns the user's selectors. The first is that of the rules outside of parentheses.
func (u *User) Permissions() (all []Permissions) {
	for _, s := range u.selectors {
		all = append(all, Permissions{s.commandText(), s.keyText(), s.channelText()})
	}
	return all
}

// String describes the user in rules that make the same one. It has the digests of the passwords in it.
func (u *User) String() string {
	parts := u.Flags()
	for _, p := range u.passwords {
		parts = append(parts, "#"+p)
	}
	for i, s := range u.selectors {
		channels := s.channelText()
		if !s.allChannels {
			channels = strings.TrimSpace("resetchannels " + channels)
		}
		text := strings.TrimSpace(s.keyText() + " " + channels + " " + s.commandText())
		if i > 0 {
			text = "(" + text + ")"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// commandText applies the rules that are left once more: one may have lost its effect with one before it.
func (s *selector) commandText() string {
	var again selector
	for _, rule := range s.rules {
		if err := again.apply(rule); err != nil {
			panic(err) // it was applied before
		}
	}
	if again.rules == nil || again.rules[0] != "+@all" {
		return strings.Join(append([]string{"-@all"}, again.rules...), " ")
	}
	return strings.Join(again.rules, " ")
}

func (s *selector) keyText() string {
	if s.allKeys {
		return "~*"
	}
	return list(s.keys, func(p *pattern) string {
		switch {
		case p.use == reads:
			return "%R~" + p.text
		case p.use == writes:
			return "%W~" + p.text
		case p.text == "*": // not the same as ~*, which forbids others beside it
			return "%RW~*"
		}
		return "~" + p.text
	})
}

func (s *selector) channelText() string {
	if s.allChannels {
		return "&*"
	}
	return list(s.channels, func(p *pattern) string { return "&" + p.text })
}

func list(patterns []pattern, text func(*pattern) string) string {
	var words []string
	for i := range patterns {
		words = append(words, text(&patterns[i]))
	}
	return strings.Join(words, " ")
}
