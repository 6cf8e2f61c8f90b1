package acl

import (
	"fmt"
	"strings"
)

// ParseFile reads users from a file in the syntax of Redis' aclfile: a line for each, "user name rule ...". Empty lines, and lines that
// begin with #, say nothing. The name is only used to say where mistakes are; all of them are told, a line each.
func ParseFile(name string, data []byte) ([]*User, error) {
	var users []*User
	var problems []string
	fail := func(line int, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s:%d: ", name, line)+fmt.Sprintf(format, args...))
	}
	lines := map[string]int{}
	number := 0
	for text := range strings.Lines(string(data)) {
		number++
		fields := strings.Fields(text)
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
			continue
		case fields[0] != "user" || len(fields) < 2:
			fail(number, "found no user; expected: user NAME RULE...") // the line is not shown: it may have a password
			continue
		}
		u := NewUser(fields[1])
		if err := CheckName(u.name); err != nil {
			fail(number, "%s", err)
			continue
		}
		if first, ok := lines[u.name]; ok {
			fail(number, "user %q is on line %d already; keep one", u.name, first)
			continue
		}
		lines[u.name] = number
		if err := u.ApplyAll(fields[2:]); err != nil {
			fail(number, "user %q: %s", u.name, err)
			continue
		}
		users = append(users, u)
	}
	if len(problems) > 0 {
		return nil, &FileError{problems}
	}
	return users, nil
}

// FileError is all that is wrong with a file.
type FileError struct{ Problems []string }

func (e *FileError) Error() string { return strings.Join(e.Problems, "\n") }
