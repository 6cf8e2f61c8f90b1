package acl

import (
	"bytes"
	"strings"

	"ringway/internal/command"
	"ringway/resp"
)

// Reason says why a request is not allowed.
type Reason uint8

// A larger reason goes before a smaller one when the selectors of a user have several.
const (
	Allowed    Reason = iota
	NoCommand         // the command
	NoKey             // one of its keys
	NoChannel         // one of its channels
	NoPatterns        // BY or GET of SORT, which may read any key
)

// Verdict is the judgement of a request.
type Verdict struct {
	Reason Reason
	Arg    int // of the request: the key, channel or option that is not allowed
}

// Refusal is what the client hears of it, in Redis's words.
func (v Verdict) Refusal(c *command.Command, a *resp.Args) string {
	switch v.Reason {
	case NoKey:
		return "NOPERM this user has no permissions to access one of the keys used as arguments"
	case NoChannel:
		return "NOPERM this user has no permissions to access one of the channels used as arguments"
	case NoPatterns:
		return "ERR " + strings.ToUpper(string(a.At(v.Arg))) + " option of SORT denied due to insufficient ACL permissions."
	}
	return "NOPERM this user has no permissions to run the '" + c.Name + "' command"
}

// Explain is what ACL DRYRUN says of it.
func (v Verdict) Explain(c *command.Command, a *resp.Args) string {
	switch v.Reason {
	case NoKey:
		return "This user has no permissions to access the '" + text(a.At(v.Arg)) + "' key"
	case NoChannel:
		return "This user has no permissions to access the '" + text(a.At(v.Arg)) + "' channel"
	}
	return "This user has no permissions to run the '" + c.Name + "' command"
}

// text is what Redis prints of an argument: what comes before a zero byte.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// Judge says whether the user may send the request a, whose command is c and whose arity is right. Keys is scratch memory, which it
// may grow.
func (u *User) Judge(c *command.Command, a *resp.Args, keys *[]int) Verdict {
	if u.unlimited {
		return Verdict{}
	}
	found := false
	worst := Verdict{Reason: NoCommand}
	for _, s := range u.selectors {
		v := Verdict{}
		if v.Reason = s.judgeCommand(c, a); v.Reason == Allowed && !s.allKeys && len(c.KeySpecs) > 0 {
			if !found {
				*keys, _ = c.Keys((*keys)[:0], a)
				found = true
			}
			v = s.judgeKeys(c, a, *keys)
		}
		if v.Reason == Allowed && !s.allChannels {
			v = s.judgeChannels(c, a)
		}
		if v.Reason == Allowed {
			return v
		}
		if v.Reason > worst.Reason || v.Reason == worst.Reason && v.Arg > worst.Arg {
			worst = v
		}
	}
	return worst
}

// JudgePlain says whether a request with the one key that its command always has is allowed for certain; Judge knows the others. Most are
// allowed by the first selector.
func (u *User) JudgePlain(c *command.Command, a *resp.Args) bool {
	s := u.selectors[0]
	return s.allowed.Has(c.ID) && (s.allKeys || s.fits(a.At(1), useOf(c.UseOf(a, 0, 1))))
}

// Reaches reports whether the user may listen to a channel, or to a pattern of channels.
func (u *User) Reaches(channel []byte, isPattern bool) bool {
	for _, s := range u.selectors {
		if s.allChannels || s.hears(channel, isPattern) {
			return true
		}
	}
	return false
}

func (s *selector) judgeCommand(c *command.Command, a *resp.Args) Reason {
	if s.allowed.Has(c.ID) || c.Flags.Has(command.NoAuth) {
		return Allowed
	}
	if a.Len() > 1 {
		for _, arg := range s.args[c.ID] {
			if arg == lower(string(a.At(1))) {
				return Allowed
			}
		}
	}
	return NoCommand
}

func (s *selector) judgeKeys(c *command.Command, a *resp.Args, keys []int) Verdict {
	for i, k := range keys {
		if !s.fits(a.At(k), useOf(c.UseOf(a, i, k))) {
			return Verdict{NoKey, k}
		}
	}
	return Verdict{}
}

// fits says whether one pattern allows all that is done with a key.
func (s *selector) fits(key []byte, does use) bool {
	for i := range s.keys {
		if p := &s.keys[i]; p.use&does == does && p.fits(key) {
			return true
		}
	}
	return false
}

func (s *selector) judgeChannels(c *command.Command, a *resp.Args) Verdict {
	ch := channelsOf[c.ID]
	if ch.first == 0 {
		return Verdict{}
	}
	last := ch.first
	if ch.toEnd {
		last = a.Len() - 1
	}
	for i := ch.first; i <= last; i++ {
		if !s.hears(a.At(i), ch.patterns) {
			return Verdict{NoChannel, i}
		}
	}
	return Verdict{}
}

// hears says whether a channel fits. A pattern of channels must be one that is allowed, word for word.
func (s *selector) hears(channel []byte, isPattern bool) bool {
	for i := range s.channels {
		if p := &s.channels[i]; isPattern && p.text == string(channel) || !isPattern && p.fits(channel) {
			return true
		}
	}
	return false
}

// channels says which arguments of a command are channels.
type channels struct {
	first    int // 0: none
	toEnd    bool
	patterns bool
}

// channelsOf is by the ID of the command. What ends a subscription needs no permission.
var channelsOf = func() []channels {
	list := make([]channels, command.Count())
	for name, ch := range map[string]channels{
		"subscribe":  {first: 1, toEnd: true},
		"ssubscribe": {first: 1, toEnd: true},
		"psubscribe": {first: 1, toEnd: true, patterns: true},
		"publish":    {first: 1},
		"spublish":   {first: 1},
	} {
		list[command.Lookup([]byte(name)).ID] = ch
	}
	return list
}()

// JudgePatterns says whether the user may send a SORT or SORT_RO with its BY and GET: who may not read every key may have no patterns
// that name others. Redis finds that out when it carries the request out.
func (u *User) JudgePatterns(c *command.Command, a *resp.Args, keys *[]int) Verdict {
	if c.Name != "sort" && c.Name != "sort_ro" {
		return Verdict{}
	}
	at := 0
	for i := 2; i < a.Len() && at == 0; i++ {
		left := a.Len() - i - 1
		switch arg := a.At(i); {
		case bytes.EqualFold(arg, []byte("limit")) && left >= 2:
			i += 2
		case bytes.EqualFold(arg, []byte("store")) && left >= 1:
			i++
		case bytes.EqualFold(arg, []byte("get")) && left >= 1:
			at = i
		case bytes.EqualFold(arg, []byte("by")) && left >= 1:
			if bytes.IndexByte(a.At(i+1), '*') >= 0 {
				at = i
			}
			i++
		}
	}
	if at == 0 || u.readsAll(c, a, keys) {
		return Verdict{}
	}
	return Verdict{NoPatterns, at}
}

// readsAll says whether a selector that allows the request allows to read every key as well.
func (u *User) readsAll(c *command.Command, a *resp.Args, keys *[]int) bool {
	for _, s := range u.selectors {
		all := s.allKeys
		for i := range s.keys {
			all = all || s.keys[i].shape == anything && s.keys[i].use&reads != 0
		}
		if !all || s.judgeCommand(c, a) != Allowed {
			continue
		}
		if *keys, _ = c.Keys((*keys)[:0], a); s.allKeys || s.judgeKeys(c, a, *keys).Reason == Allowed {
			return true
		}
	}
	return false
}
