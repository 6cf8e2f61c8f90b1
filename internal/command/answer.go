package command

import (
	"bytes"
	"math/bits"

	"ringway/resp"
)

// Answer appends the reply to the request a, a COMMAND or COMMAND subcommand whose arity is right: the router
// answers for the table it has, in the form in which a server does.
func Answer(dst []byte, resp3 bool, a *resp.Args) []byte {
	if a.Len() == 1 {
		return appendInfos(dst, resp3, nil)
	}
	names := &resp.Args{Buf: a.Buf, Spans: a.Spans[2:]}
	switch sub := a.At(1); {
	case sameFold("count", sub):
		return resp.AppendInt(dst, int64(topLevel))
	case sameFold("info", sub):
		return appendInfos(dst, resp3, names)
	case sameFold("docs", sub):
		return appendDocs(dst, resp3, names)
	case sameFold("list", sub):
		return appendList(dst, names)
	case sameFold("getkeys", sub):
		return appendGetKeys(dst, resp3, names, false)
	case sameFold("getkeysandflags", sub):
		return appendGetKeys(dst, resp3, names, true)
	case sameFold("help", sub):
		return AppendHelp(dst, Lookup([]byte("command")))
	}
	return resp.AppendError(dst, UnknownSubcommand(Lookup([]byte("command")), a))
}

// Named finds a command by its full name in any case, "get" or "client|setname"; nil if there is none.
func Named(name []byte) *Command {
	container, sub, ok := bytes.Cut(name, []byte("|"))
	c := Lookup(container)
	if c == nil || !ok {
		return c
	}
	return c.Sub(sub)
}

// appendInfos appends what COMMAND INFO says of the commands named, of all if none is.
func appendInfos(dst []byte, resp3 bool, names *resp.Args) []byte {
	if names == nil || names.Len() == 0 {
		dst = resp.AppendArray(dst, topLevel)
		for _, c := range All() {
			if c.parent < 0 {
				dst = AppendInfo(dst, resp3, c)
			}
		}
		return dst
	}
	dst = resp.AppendArray(dst, names.Len())
	for i := range names.Len() {
		dst = AppendInfo(dst, resp3, Named(names.At(i)))
	}
	return dst
}

// AppendInfo appends c as COMMAND INFO shows it; a null if c is nil.
func AppendInfo(dst []byte, resp3 bool, c *Command) []byte {
	if c == nil {
		return resp.AppendNull(dst, resp3)
	}
	dst = resp.AppendArray(dst, 10)
	dst = resp.AppendBulkString(dst, c.Name)
	dst = resp.AppendInt(dst, int64(c.Arity))
	dst = appendNames(dst, resp3, "", uint32(c.Flags), flagNames[:])
	dst = resp.AppendInt(dst, int64(c.FirstKey))
	dst = resp.AppendInt(dst, int64(c.LastKey))
	dst = resp.AppendInt(dst, int64(c.Step))
	dst = appendNames(dst, resp3, "@", uint32(c.Categories), categoryNames[:])
	dst = resp.AppendSet(dst, resp3, len(c.Tips))
	for _, t := range c.Tips {
		dst = resp.AppendBulkString(dst, t)
	}
	dst = resp.AppendSet(dst, resp3, len(c.KeySpecs))
	for i := range c.KeySpecs {
		dst = appendSpec(dst, resp3, &c.KeySpecs[i])
	}
	dst = resp.AppendSet(dst, resp3, int(c.subCount))
	for _, s := range c.Subcommands() {
		dst = AppendInfo(dst, resp3, s)
	}
	return dst
}

func appendSpec(dst []byte, resp3 bool, s *KeySpec) []byte {
	str, num := resp.AppendBulkString, resp.AppendInt
	if s.Notes == "" {
		dst = resp.AppendMap(dst, resp3, 3)
	} else {
		dst = resp.AppendMap(dst, resp3, 4)
		dst = str(str(dst, "notes"), s.Notes)
	}
	dst = appendNames(str(dst, "flags"), resp3, "", uint32(s.Flags), keyFlagNames[:])

	dst = resp.AppendMap(str(dst, "begin_search"), resp3, 2)
	switch dst = str(dst, "type"); {
	case s.Keyword != "":
		dst = resp.AppendMap(str(str(dst, "keyword"), "spec"), resp3, 2)
		dst = str(str(dst, "keyword"), s.Keyword)
		dst = num(str(dst, "startfrom"), int64(s.From))
	case s.Index > 0:
		dst = resp.AppendMap(str(str(dst, "index"), "spec"), resp3, 1)
		dst = num(str(dst, "index"), int64(s.Index))
	default:
		dst = resp.AppendMap(str(str(dst, "unknown"), "spec"), resp3, 0)
	}

	dst = resp.AppendMap(str(dst, "find_keys"), resp3, 2)
	switch dst = str(dst, "type"); {
	case s.Unknown():
		dst = resp.AppendMap(str(str(dst, "unknown"), "spec"), resp3, 0)
	case s.ByCount:
		dst = resp.AppendMap(str(str(dst, "keynum"), "spec"), resp3, 3)
		dst = num(str(dst, "keynumidx"), int64(s.CountAt))
		dst = num(str(dst, "firstkey"), int64(s.FirstKey))
		dst = num(str(dst, "keystep"), int64(s.Step))
	default:
		dst = resp.AppendMap(str(str(dst, "range"), "spec"), resp3, 3)
		dst = num(str(dst, "lastkey"), int64(s.LastKey))
		dst = num(str(dst, "keystep"), int64(s.Step))
		dst = num(str(dst, "limit"), int64(s.Limit))
	}
	return dst
}

// appendNames appends the names of the flags that are set, as a set of simple strings.
func appendNames(dst []byte, resp3 bool, prefix string, set uint32, of []string) []byte {
	set &= 1<<len(of) - 1
	dst = resp.AppendSet(dst, resp3, bits.OnesCount32(set))
	for i, n := range of {
		if set&(1<<i) != 0 {
			dst = append(append(append(dst, '+'), prefix...), n...)
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

// appendList appends the reply to COMMAND LIST: the names of all commands, or of those that a filter lets pass.
func appendList(dst []byte, a *resp.Args) []byte {
	pass := func(*Command) bool { return true }
	switch {
	case a.Len() == 0:
	case a.Len() == 3 && sameFold("filterby", a.At(0)):
		switch by, what := a.At(1), a.At(2); {
		case sameFold("module", by): // none is loaded here
			pass = func(*Command) bool { return false }
		case sameFold("aclcat", by):
			pass = func(c *Command) bool { return c.Categories.Has(CategoryNamed(what)) }
		case sameFold("pattern", by):
			pass = func(c *Command) bool { return globFold(what, c.Name) }
		default:
			return resp.AppendError(dst, errSyntax)
		}
	default:
		return resp.AppendError(dst, errSyntax)
	}
	return appendThose(dst, pass)
}

// AppendCategories appends the reply to ACL CAT [category], whose arity is right: the categories, or the commands of one.
func AppendCategories(dst []byte, a *resp.Args) []byte {
	if a.Len() == 2 {
		dst = resp.AppendArray(dst, len(categoryNames))
		for _, name := range categoryNames {
			dst = resp.AppendBulkString(dst, name)
		}
		return dst
	}
	of := CategoryNamed(a.At(2))
	if of == 0 {
		return resp.AppendError(dst, "ERR Unknown category '"+string(a.At(2))+"'")
	}
	return appendThose(dst, func(c *Command) bool { return c.Categories.Has(of) })
}

// appendThose appends an array of the names of the commands that pass.
func appendThose(dst []byte, pass func(*Command) bool) []byte {
	n := 0
	for _, c := range All() {
		if pass(c) {
			n++
		}
	}
	dst = resp.AppendArray(dst, n)
	for _, c := range All() {
		if pass(c) {
			dst = resp.AppendBulkString(dst, c.Name)
		}
	}
	return dst
}

// CategoryNamed returns the category of a name without the "@", in any case; 0 if there is none.
func CategoryNamed(name []byte) Categories {
	for i, n := range categoryNames {
		if sameFold(n, name) {
			return 1 << i
		}
	}
	return 0
}

// appendGetKeys appends the reply to COMMAND GETKEYS or GETKEYSANDFLAGS, a being the request asked about.
func appendGetKeys(dst []byte, resp3 bool, a *resp.Args, flags bool) []byte {
	c := Lookup(a.At(0))
	if c != nil && c.Container() && a.Len() > 1 {
		c = c.Sub(a.At(1))
	}
	switch {
	case c == nil:
		return resp.AppendError(dst, errNoSuchCommand)
	case c.finder == findNone:
		return resp.AppendError(dst, errNoKeys)
	case !c.CheckArity(a.Len()):
		return resp.AppendError(dst, errArgumentCount)
	}
	keys, err := c.Keys(nil, a)
	if (err != nil || len(keys) == 0) && !c.Flags.Has(NoMandatoryKeys) {
		return resp.AppendError(dst, ErrKeys.Error())
	}
	dst = resp.AppendArray(dst, len(keys))
	for i, k := range keys {
		if flags {
			dst = resp.AppendArray(dst, 2)
		}
		dst = resp.AppendBulk(dst, a.At(k))
		if flags {
			dst = appendNames(dst, resp3, "", uint32(c.UseOf(a, i, k)), keyFlagNames[:])
		}
	}
	return dst
}
