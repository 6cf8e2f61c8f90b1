package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// predixyAuth is one Auth: what who has the password may do.
type predixyAuth struct {
	*predixyNode
	rules string
}

// users makes users of the passwords. predixy knows a client by its password alone; here AUTH with nothing but a password is the user
// default, and all other rights need a name.
func (v *predixy) users() {
	if v.authority == nil {
		return
	}
	var auths []predixyAuth
	for _, n := range v.authority.sub {
		if !n.is("Auth") {
			v.unknownKey(n, []string{"Auth"})
			continue
		}
		v.spaces(n)
		auths = slices.DeleteFunc(auths, func(a predixyAuth) bool { return a.val == n.val }) // the last one counts
		auths = append(auths, predixyAuth{n, v.rules(n)})
	}
	if len(auths) == 0 {
		v.failAt(v.authority, "Authority has no Auth; add one, or remove it")
		return
	}
	first := slices.IndexFunc(auths, func(a predixyAuth) bool { return a.val == "" })
	first = max(first, 0)
	usual := User{Name: defaultUser, Rules: auths[first].rules, NoPassword: auths[first].val == "", Line: auths[first].line}
	var others []User
	for _, a := range auths {
		switch {
		case a.rules == usual.Rules && usual.NoPassword: // any password does
		case a.rules == usual.Rules:
			usual.Passwords = append(usual.Passwords, Secret(a.val))
		default:
			u := User{Name: "auth" + strconv.Itoa(len(others)+1), Passwords: []Secret{Secret(a.val)}, Rules: a.rules, Line: a.line}
			if i := slices.IndexFunc(others, func(o User) bool { return o.Rules == u.Rules }); i >= 0 {
				others[i].Passwords = append(others[i].Passwords, u.Passwords...)
				u.Name = others[i].Name
			} else {
				others = append(others, u)
			}
			v.warnAt(a.predixyNode, "clients with this password have to say AUTH %s and the password: with the password alone they are the user default, who may do other things", u.Name)
		}
	}
	v.pool.Users = append([]User{usual}, others...)
}

// rules are those of an Auth. Its prefixes for reading hold for commands that read, and those for writing for all others.
func (v *predixy) rules(n *predixyNode) string {
	mode := ""
	var keys, reads, writes []string
	for _, o := range n.sub {
		switch {
		case o.is("Mode"):
			mode = strings.ToLower(o.val)
			if mode != "read" && mode != "write" && mode != "admin" {
				v.failAt(o, "unknown Mode %s (known: read, write, admin)", quote(o.val))
			}
		case o.is("KeyPrefix"):
			keys = append(keys, v.prefixes(o)...)
		case o.is("ReadKeyPrefix"):
			reads = append(reads, v.prefixes(o)...)
		case o.is("WriteKeyPrefix"):
			writes = append(writes, v.prefixes(o)...)
		default:
			v.unknownKey(o, []string{"Mode", "KeyPrefix", "ReadKeyPrefix", "WriteKeyPrefix"})
		}
	}
	if mode == "" {
		v.failAt(n, "Auth has no Mode; expected read, write or admin")
	}
	if len(reads) == 0 {
		reads = keys
	}
	if len(writes) == 0 {
		writes = keys
	}
	patterns := func(sign string, prefixes []string) string {
		if len(prefixes) == 0 {
			return sign + "*"
		}
		var list []string
		for _, prefix := range prefixes {
			list = append(list, sign+globQuote(prefix)+"*")
		}
		return strings.Join(list, " ")
	}
	if mode == "admin" {
		v.warnAt(n, "Mode admin is like write here: CONFIG would be that of the servers, which predixy lets nobody see; RINGWAY CONFIG shows Ringway's own")
	}
	switch {
	case mode == "read":
		return patterns("~", reads) + " " + predixyReads
	case slices.Equal(reads, writes):
		return patterns("~", writes) + " " + patterns("&", writes) + " " + predixyWrites
	}
	return fmt.Sprintf("%s %s -@read -@write (%s %s -@read) (%s +@read)", patterns("&", writes), predixyWrites,
		patterns("~", writes), predixyWrites, patterns("%R~", reads))
}

// prefixes takes a list apart, which may not hold what can't stand in a rule.
func (v *predixy) prefixes(n *predixyNode) []string {
	v.spaces(n)
	list := strings.Fields(n.val)
	for _, prefix := range list {
		if strings.ContainsAny(prefix, "()") || strings.ContainsFunc(prefix, isControl) {
			v.failAt(n, "%s: %s can't stand in the rules of a user; write the user by hand", n.key, quote(prefix))
		}
	}
	return list
}

// globQuote makes a pattern that fits nothing but s.
func globQuote(s string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(s)
}
