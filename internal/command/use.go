package command

import "ringway/resp"

// UseOf says what the request a does with the key at argument k, the i'th that Keys found.
func (c *Command) UseOf(a *resp.Args, i, k int) KeyFlags {
	switch c.finder {
	case findOne:
		return c.useOfOne(a)
	case findSort, findGeo:
		if i > 0 {
			return KeyOW | KeyUpdate
		}
		return KeyRO | KeyAccess
	case findMigrate:
		return KeyRW | KeyAccess | KeyDelete
	}
	for j := range c.KeySpecs {
		s := &c.KeySpecs[j]
		if s.Flags&KeyNotKey != 0 {
			continue
		}
		if first, last, ok := s.find(a); ok && first <= k && k <= last {
			return s.Flags
		}
	}
	return c.KeySpecs[0].Flags
}

// useOfOne is UseOf for a command of one key. What SET and BITFIELD do with it depends on the request.
func (c *Command) useOfOne(a *resp.Args) KeyFlags {
	flags := c.KeySpecs[0].Flags
	switch {
	case flags&KeyVariableFlags == 0:
		return flags
	case c.Name == "bitfield":
		if bitfieldReads(a) {
			return KeyRO | KeyAccess
		}
		return KeyRW | KeyAccess | KeyUpdate
	}
	for i := 3; i < a.Len(); i++ { // SET
		if sameFold("get", a.At(i)) {
			return KeyRW | KeyAccess | KeyUpdate
		}
	}
	return KeyOW | KeyUpdate
}

// bitfieldReads says whether a BITFIELD does nothing but GET.
func bitfieldReads(a *resp.Args) bool {
	for i := 2; i < a.Len(); {
		left := a.Len() - i - 1
		switch arg := a.At(i); {
		case sameFold("get", arg) && left >= 2:
			i += 3
		case sameFold("overflow", arg) && left >= 1:
			i += 2
		default:
			return false
		}
	}
	return true
}
