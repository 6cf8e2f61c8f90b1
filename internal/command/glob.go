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
			if in, pattern = inClass(pattern[1:], name[0], lower); !in {
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

// Glob says whether key fits the pattern of KEYS or SCAN. However many stars there are, it takes no longer than the product of the lengths.
func Glob(pattern, key []byte) bool {
	var behindStar, retry []byte // where to go on when what follows the last star does not fit
	star := false
	for len(key) > 0 {
		switch {
		case len(pattern) > 0 && pattern[0] == '*':
			pattern = pattern[1:]
			star, behindStar, retry = true, pattern, key
			continue
		case len(pattern) > 0:
			if fits, rest := globByte(pattern, key[0]); fits {
				pattern, key = rest, key[1:]
				continue
			}
		}
		if !star {
			return false
		}
		retry = retry[1:]
		pattern, key = behindStar, retry
	}
	for len(pattern) > 0 && pattern[0] == '*' {
		pattern = pattern[1:]
	}
	return len(pattern) == 0
}

// globByte says whether c fits what the pattern begins with, which is no star.
func globByte(pattern []byte, c byte) (fits bool, rest []byte) {
	switch {
	case pattern[0] == '?':
		return true, pattern[1:]
	case pattern[0] == '[':
		return inClass(pattern[1:], c, func(c byte) byte { return c })
	case pattern[0] == '\\' && len(pattern) > 1:
		pattern = pattern[1:]
	}
	return pattern[0] == c, pattern[1:]
}

// inClass says whether c is in the class that p begins with, behind its '['. A class that doesn't end goes to
// the end of the pattern. What fold makes the same is the same.
func inClass(p []byte, c byte, fold func(byte) byte) (in bool, rest []byte) {
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
			lo, hi := fold(p[0]), fold(p[2])
			in = in || min(lo, hi) <= fold(c) && fold(c) <= max(lo, hi)
			p = p[2:]
		default:
			in = in || fold(p[0]) == fold(c)
		}
		p = p[1:]
	}
}
