package command

// globFold says whether name, which is lower case, fits the pattern in any case, by the rules of KEYS: '*', '?',
// [abc], [^a], [a-z], and '\' before what is meant as it is.
func globFold(pattern []byte, name string) bool {
	for len(pattern) > 0 {
		switch pattern[0] {
		case '*':
			for len(pattern) > 1 && pattern[1] == '*' {
				pattern = pattern[1:]
			}
			if len(pattern) == 1 {
				return true
			}
			for ; name != ""; name = name[1:] {
				if globFold(pattern[1:], name) {
					return true
				}
			}
			return false
		case '?':
			if name == "" {
				return false
			}
			pattern = pattern[1:]
		case '[':
			var in bool
			if name == "" {
				return false
			}
			if in, pattern = inClass(pattern[1:], name[0]); !in {
				return false
			}
		default:
			if pattern[0] == '\\' && len(pattern) > 1 {
				pattern = pattern[1:]
			}
			if name == "" || lower(pattern[0]) != lower(name[0]) {
				return false
			}
			pattern = pattern[1:]
		}
		name = name[1:]
		if name == "" {
			for len(pattern) > 0 && pattern[0] == '*' {
				pattern = pattern[1:]
			}
			break
		}
	}
	return len(pattern) == 0 && name == ""
}

// inClass says whether c is in the class that p begins with, behind its '['. A class that doesn't end goes to
// the end of the pattern.
func inClass(p []byte, c byte) (in bool, rest []byte) {
	not := len(p) > 0 && p[0] == '^'
	if not {
		p = p[1:]
	}
	for {
		switch {
		case len(p) == 0:
			return in != not, p
		case p[0] == '\\' && len(p) >= 2:
			p = p[1:]
			in = in || p[0] == c
		case p[0] == ']':
			return in != not, p[1:]
		case len(p) >= 3 && p[1] == '-':
			lo, hi := lower(p[0]), lower(p[2])
			in = in || min(lo, hi) <= lower(c) && lower(c) <= max(lo, hi)
			p = p[2:]
		default:
			in = in || lower(p[0]) == lower(c)
		}
		p = p[1:]
	}
}
