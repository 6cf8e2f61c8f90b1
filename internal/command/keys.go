package command

import (
	"errors"

	"ringway/resp"
)

// KeySpec is one rule for finding keys: where to begin, and which arguments from there on are keys.
type KeySpec struct {
	Notes string
	Flags KeyFlags

	// Where to begin: at argument Index, or, if Keyword is set, behind that word, looked for from argument From
	// to the end, or from the end's From'th towards the start if From is negative. Both empty: unknown, the keys
	// can't be found by rule.
	Index   int
	Keyword string
	From    int

	// Which are keys. ByCount: there is a number at begin+CountAt, the keys start at begin+FirstKey. Otherwise
	// every Step'th from the beginning to LastKey, which counts from the beginning, or from the request's end
	// if negative; with Limit n, only the first n'th of what is left.
	ByCount  bool
	CountAt  int
	FirstKey int
	LastKey  int
	Step     int
	Limit    int
}

// Unknown says that the rule can't find its keys.
func (s *KeySpec) Unknown() bool { return s.Index == 0 && s.Keyword == "" }

// KeyFlags say what a command does with a key.
type KeyFlags uint16

// The key flags, in the order in which COMMAND prints them.
const (
	KeyRO KeyFlags = 1 << iota
	KeyRW
	KeyOW
	KeyRM
	KeyAccess
	KeyUpdate
	KeyInsert
	KeyDelete
	KeyNotKey
	KeyIncomplete
	KeyVariableFlags
)

var keyFlagNames = [...]string{
	"RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
}

// Names returns the names of the flags that are set.
func (f KeyFlags) Names() []string { return names(uint32(f), keyFlagNames[:]) }

// finder is how the keys of a command are found.
type finder uint8

const (
	findNone    finder = iota
	findOne            // argument 1
	findRange          // FirstKey, LastKey, Step
	findSpecs          // KeySpecs
	findSort           // key, and STORE key among options
	findGeo            // key, and STORE or STOREDIST key among options
	findMigrate        // argument 3, or what follows KEYS if that is empty
	findStreams        // the first half of what follows STREAMS
)

// ErrKeys is what Keys returns for a request whose keys can't be told: a count of keys that is no number or
// larger than the request, STREAMS missing, and so on. The server has an error for each of these.
var ErrKeys = errors.New("ERR Invalid arguments specified for command")

// Keys returns the indexes of the keys in the request a, whose command is c and whose arity is right. They are
// in order of the rules that found them, appended to dst[:0]. The indexes are always within the request. With ErrKeys come
// those that were found before the error: PFMERGE with nothing to merge has none of the keys that its second rule wants, and
// still creates its first.
func (c *Command) Keys(dst []int, a *resp.Args) ([]int, error) {
	dst = dst[:0]
	n := a.Len()
	switch c.finder {
	case findNone:
		return dst, nil
	case findOne:
		if n < 2 {
			return dst, ErrKeys
		}
		return append(dst, 1), nil
	case findRange:
		last := c.LastKey
		if last < 0 {
			last += n
		}
		if c.FirstKey > last || last >= n {
			return dst, ErrKeys
		}
		for i := c.FirstKey; i <= last; i += c.Step {
			dst = append(dst, i)
		}
		return dst, nil
	case findSort:
		return sortKeys(dst, a)
	case findGeo:
		return geoKeys(dst, a, c.KeySpecs[1].From)
	case findMigrate:
		return migrateKeys(dst, a)
	case findStreams:
		return streamKeys(dst, a)
	}
	return c.specKeys(dst, a)
}

func (c *Command) specKeys(dst []int, a *resp.Args) ([]int, error) {
	for i := range c.KeySpecs {
		s := &c.KeySpecs[i]
		if s.Flags&KeyNotKey != 0 {
			continue
		}
		first, last, ok := s.find(a)
		if !ok || s.ByCount && first > last && !c.Flags.Has(NoMandatoryKeys) {
			return dst, ErrKeys
		}
		for at := first; at <= last; at += s.Step {
			dst = append(dst, at)
		}
	}
	return dst, nil
}

// find returns the range of arguments that s names; first > last if there are none.
func (s *KeySpec) find(a *resp.Args) (first, last int, ok bool) {
	n := a.Len()
	first = s.Index
	if s.Keyword != "" {
		if first = s.findKeyword(a); first == 0 {
			return 1, 0, true
		}
	}
	if first == 0 || first >= n {
		return 0, 0, false
	}
	if s.ByCount {
		if first+s.CountAt >= n {
			return 0, 0, false
		}
		count, ok := number(a.At(first + s.CountAt))
		first += s.FirstKey
		if !ok || count > n {
			return 0, 0, false
		}
		if last = first + (count-1)*s.Step; count == 0 {
			last = first - 1
		}
		return first, last, last < n
	}
	switch {
	case s.LastKey >= 0:
		last = first + s.LastKey
	case s.Limit == 0:
		last = n + s.LastKey
	default:
		last = first + (n-first)/s.Limit + s.LastKey
	}
	return first, last, first <= last && last < n
}

// findKeyword returns the index behind the keyword, 0 if it isn't there or is the last argument.
func (s *KeySpec) findKeyword(a *resp.Args) int {
	n := a.Len()
	if s.From > 0 {
		for i := s.From; i < n-1; i++ {
			if sameFoldBoth(s.Keyword, a.At(i)) {
				return i + 1
			}
		}
		return 0
	}
	for i := min(n+s.From, n-2); i > 1; i-- {
		if sameFoldBoth(s.Keyword, a.At(i)) {
			return i + 1
		}
	}
	return 0
}

// sortKeys: SORT key [BY pattern] [LIMIT offset count] [GET pattern]... [ASC|DESC] [ALPHA] [STORE key]. The
// last STORE counts. BY and GET may read other keys, which no rule can tell.
func sortKeys(dst []int, a *resp.Args) ([]int, error) {
	store, n := 0, a.Len()
	if n < 2 {
		return dst, ErrKeys
	}
	for i := 2; i < n; i++ {
		switch arg := a.At(i); {
		case sameFold("limit", arg):
			i += 2
		case sameFold("get", arg), sameFold("by", arg):
			i++
		case sameFold("store", arg) && i+1 < n:
			i++
			store = i
		}
	}
	dst = append(dst, 1)
	if store > 0 {
		dst = append(dst, store)
	}
	return dst, nil
}

// geoKeys: GEORADIUS key ... [COUNT count [ANY]] [STORE key] [STOREDIST key] ..., its options from argument
// from on.
func geoKeys(dst []int, a *resp.Args, from int) ([]int, error) {
	n := a.Len()
	if n < 2 {
		return dst, ErrKeys
	}
	dst = append(dst, 1)
	for i := from; i < n; i++ {
		switch arg := a.At(i); {
		case sameFold("count", arg):
			i++
		case (sameFold("store", arg) || sameFold("storedist", arg)) && i+1 < n:
			i++
			dst = append(dst, i)
		}
	}
	return dst, nil
}

// migrateKeys: MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password] [AUTH2 user password]
// [KEYS key ...].
func migrateKeys(dst []int, a *resp.Args) ([]int, error) {
	n := a.Len()
	if n < 4 {
		return dst, ErrKeys
	}
	single := len(a.At(3)) > 0
	for i := 6; i < n; i++ {
		switch arg := a.At(i); {
		case sameFold("auth", arg):
			i++
		case sameFold("auth2", arg):
			i += 2
		case sameFold("keys", arg) && single && i+1 < n:
			return dst[:0], ErrKeys
		case sameFold("keys", arg):
			for i++; i < n; i++ {
				dst = append(dst, i)
			}
		}
	}
	if len(dst) == 0 {
		return append(dst, 3), nil
	}
	return dst, nil
}

// streamKeys: XREAD [COUNT n] [BLOCK ms] STREAMS key ... id ..., XREADGROUP GROUP group consumer the same. A
// group may be called "streams", so the options are walked, not searched.
func streamKeys(dst []int, a *resp.Args) ([]int, error) {
	n := a.Len()
	for i := 1; i < n; i++ {
		switch arg := a.At(i); {
		case sameFold("count", arg), sameFold("block", arg), sameFold("claim", arg):
			i++
		case sameFold("group", arg):
			i += 2
		case sameFold("streams", arg):
			count := (n - i - 1) / 2
			if count == 0 {
				return dst, ErrKeys
			}
			for k := 1; k <= count; k++ {
				dst = append(dst, i+k)
			}
			return dst, nil
		}
	}
	return dst, ErrKeys
}

// number reads a count as the server does: digits, no sign, no leading zero.
func number(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	v := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

// sameFoldBoth is sameFold for a word that is not lower case.
func sameFoldBoth(s string, b []byte) bool {
	if len(s) != len(b) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}
