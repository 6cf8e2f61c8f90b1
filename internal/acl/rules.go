//lint:file-ignore ST1005 errors are in the words of Redis

package acl

import (
	"errors"
	"strings"

	"ringway/internal/command"
)

// What can be wrong with a rule, in Redis's words.
var (
	errUnknown        = errors.New("Unknown command or category name in ACL")
	errRuleSyntax     = errors.New("Syntax error")
	errAfterAllKeys   = errors.New("Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns")
	errAfterAllChans  = errors.New("Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels")
	errNoSuchPassword = errors.New("The password you are trying to remove from the user does not exist")
	errDigest         = errors.New("The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters")
	errArgOfSub       = errors.New("Allowing first-arg of a subcommand is not supported")
)

// RuleError is a rule that can't be applied. Its text does not show a password.
type RuleError struct {
	Rule string
	Err  error
}

func (e *RuleError) Error() string { return "rule '" + Redact(e.Rule) + "': " + e.Err.Error() }

func (e *RuleError) Unwrap() error { return e.Err }

// UnmatchedError is a selector without an end.
type UnmatchedError struct{ Rule string }

func (e *UnmatchedError) Error() string {
	return "Unmatched parenthesis in acl selector starting at '" + Redact(e.Rule) + "'."
}

// Redact returns a rule to be shown: what may be a password or its digest is left out.
func Redact(rule string) string {
	if IsSecret(rule) {
		return rule[:1] + "<secret>"
	}
	if inside, is := strings.CutPrefix(rule, "("); is { // where no password belongs, which is why this is shown
		list := strings.Fields(inside)
		for i, r := range list {
			list[i] = Redact(strings.TrimLeft(r, `"'`))
		}
		return "(" + strings.Join(list, " ")
	}
	return rule
}

// IsSecret reports whether a rule has a password in it, or a digest of one.
func IsSecret(rule string) bool { return rule != "" && strings.Contains("><#!", rule[:1]) }

// ApplyAll applies rules in their order. A selector, in parentheses, may be spread over several. The first rule that is wrong ends it.
func (u *User) ApplyAll(rules []string) error {
	rules, err := joinSelectors(rules)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if err := u.Apply(rule); err != nil {
			return err
		}
	}
	return nil
}

// joinSelectors puts together what begins with ( and ends, some rules later, with ).
func joinSelectors(rules []string) (joined []string, err error) {
	open := -1
	for i, rule := range rules {
		switch {
		case strings.HasPrefix(rule, "(") && !strings.HasSuffix(rule, ")"):
			open = i
		case open < 0:
			joined = append(joined, rule)
		case strings.HasSuffix(rule, ")"):
			joined = append(joined, strings.Join(rules[open:i+1], " "))
			open = -1
		}
	}
	if open >= 0 {
		return nil, &UnmatchedError{rules[open]}
	}
	return joined, nil
}

// Apply applies one rule, or an empty text, which changes nothing.
func (u *User) Apply(rule string) error {
	if rule == "" {
		return nil
	}
	if err := u.apply(rule); err != nil {
		var inner *RuleError
		if errors.As(err, &inner) { // of a selector: told with the whole of it
			err = inner.Err
		}
		return &RuleError{rule, err}
	}
	return nil
}

func (u *User) apply(rule string) error {
	switch lower(rule) {
	case "on":
		u.on = true
		return nil
	case "off":
		u.on = false
		return nil
	case "nopass":
		u.nopass, u.passwords = true, nil
		return nil
	case "resetpass":
		u.nopass, u.passwords = false, nil
		return nil
	case "skip-sanitize-payload":
		u.sanitize = sanitizeSkip
		return nil
	case "sanitize-payload":
		u.sanitize = sanitizeDo
		return nil
	case "clearselectors":
		u.selectors = u.selectors[:1]
		return nil
	case "reset":
		*u = *NewUser(u.name)
		u.sanitize = sanitizeDo
		return nil
	}
	rest := rule[1:]
	switch rule[0] {
	case '>':
		u.addPassword(Digest([]byte(rest)))
		return nil
	case '<':
		return u.removePassword(Digest([]byte(rest)))
	case '#', '!':
		if !IsDigest(rest) {
			return errDigest
		}
		if rule[0] == '!' {
			return u.removePassword(rest)
		}
		u.addPassword(rest)
		return nil
	case '(':
		if strings.HasSuffix(rest, ")") {
			return u.addSelector(rest[:len(rest)-1])
		}
	}
	return u.selectors[0].apply(rule)
}

func (u *User) addSelector(rules string) error {
	words, ok := words(rules)
	if !ok {
		return errRuleSyntax
	}
	s := &selector{}
	for _, rule := range words {
		if err := s.apply(rule); err != nil {
			return err
		}
	}
	u.selectors = append(u.selectors, s)
	return nil
}

// lower is for ASCII alone, as Redis compares.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] |= 0x20
		}
	}
	return string(b)
}

// words splits the inside of a selector as Redis splits a line: it may have quotes in it.
func words(text string) (list []string, ok bool) {
	for {
		text = strings.TrimLeft(text, " \t\n\v\f\r")
		if text == "" {
			return list, true
		}
		var word []byte
		quote := byte(0)
		i := 0
		for ; i < len(text); i++ {
			c := text[i]
			switch {
			case c == 0:
				return nil, false
			case quote == 0 && isSpaceOrNull(rune(c)):
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			case quote != 0 && c == quote:
				if i+1 < len(text) && !isSpaceOrNull(rune(text[i+1])) {
					return nil, false
				}
				quote = 0
				continue
			case quote != 0 && c == '\\':
				return nil, false // nothing that a pattern needs; what it would stand for is not worth a mistake
			default:
				word = append(word, c)
				continue
			}
			break
		}
		if quote != 0 {
			return nil, false
		}
		list, text = append(list, string(word)), text[i:]
	}
}

// apply applies a rule about commands, keys or channels.
func (s *selector) apply(rule string) error {
	switch lower(rule) {
	case "allkeys", "~*":
		s.allKeys, s.keys = true, nil
		return nil
	case "resetkeys":
		s.allKeys, s.keys = false, nil
		return nil
	case "allchannels", "&*":
		s.allChannels, s.channels = true, nil
		return nil
	case "resetchannels":
		s.allChannels, s.channels = false, nil
		return nil
	case "allcommands", "+@all":
		s.all(true)
		return nil
	case "nocommands", "-@all":
		s.all(false)
		return nil
	case "":
		return errRuleSyntax
	}
	rest := rule[1:]
	switch rule[0] {
	case '~':
		return s.addKeys(rest, reads|writes)
	case '%':
		use, pattern, ok := usesOf(rest)
		if !ok {
			return errRuleSyntax
		}
		return s.addKeys(pattern, use)
	case '&':
		return s.addChannels(rest)
	case '+', '-':
		if strings.HasPrefix(rest, "@") {
			return s.category(rest[1:], rule[0] == '+')
		}
		return s.command(rest, rule[0] == '+')
	}
	return errRuleSyntax
}

// usesOf reads what stands between % and ~. Redis takes it without a ~ for the empty pattern.
func usesOf(rest string) (use use, pattern string, ok bool) {
	for i := range len(rest) {
		switch c := rest[i] | 0x20; {
		case c == 'r' && use&reads == 0:
			use |= reads
		case c == 'w' && use&writes == 0:
			use |= writes
		case rest[i] == '~' && use != 0:
			return use, rest[i+1:], true
		default:
			return 0, "", false
		}
	}
	return use, "", use != 0
}

func (s *selector) addKeys(text string, use use) error {
	switch {
	case s.allKeys:
		return errAfterAllKeys
	case strings.ContainsFunc(text, isSpaceOrNull):
		return errRuleSyntax
	}
	for i := range s.keys {
		if s.keys[i].text == text {
			s.keys[i].use |= use
			return nil
		}
	}
	s.keys = append(s.keys, newPattern(text, use))
	return nil
}

func (s *selector) addChannels(text string) error {
	switch {
	case s.allChannels:
		return errAfterAllChans
	case strings.ContainsFunc(text, isSpaceOrNull):
		return errRuleSyntax
	}
	for i := range s.channels {
		if s.channels[i].text == text {
			return nil
		}
	}
	s.channels = append(s.channels, newPattern(text, 0))
	return nil
}

// category is +@name or -@name.
func (s *selector) category(name string, allow bool) error {
	of := command.CategoryNamed([]byte(name))
	if of == 0 {
		return errUnknown
	}
	var list []*command.Command
	for _, c := range command.All() {
		if c.Categories.Has(of) {
			list = append(list, c)
		}
	}
	s.set("@"+lower(name), allow, list...)
	return nil
}

// command is +name, -name, +container|subcommand or the like, and +name|argument for a command without subcommands: allowed if that is
// its first argument.
func (s *selector) command(name string, allow bool) error {
	if bar := strings.LastIndexByte(name, '|'); allow && bar >= 0 {
		c, arg := command.Named([]byte(name[:bar])), name[bar+1:]
		switch {
		case c == nil:
			return errUnknown
		case c.Parent() != nil:
			return errArgOfSub
		case arg == "":
			return errRuleSyntax
		case !c.Container():
			s.allowArg(c, lower(arg))
			return nil
		}
	}
	c := command.Named([]byte(name))
	if c == nil {
		return errUnknown
	}
	s.set(c.Name, allow, c)
	return nil
}
