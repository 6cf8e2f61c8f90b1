package resp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The slow, obvious readers of this file are what the scanners must agree with. They know nothing of resuming, are
// given all bytes at once, and copy what they find.

// more is the verdict on bytes that end too early.
const more = "more"

// slowRequest reads one request. verdict is "" for a request, more, or the error sentence.
func slowRequest(b []byte, l Limits) (args []string, n int, verdict string) {
	const protocol = "ERR Protocol error: "
	if len(b) == 0 {
		return nil, 0, more
	}
	if b[0] != '*' {
		line, n, verdict := slowLine(b, "\n", l.MaxInline)
		switch verdict {
		case "":
			args, ok := slowWords(strings.TrimSuffix(line, "\r"))
			if !ok {
				return nil, 0, protocol + "unbalanced quotes in request"
			}
			return args, n, ""
		case more:
			return nil, 0, more
		}
		return nil, 0, protocol + "too big inline request"
	}
	line, n, verdict := slowLine(b, "\r", l.MaxInline)
	if verdict == more {
		return nil, 0, more
	}
	if verdict != "" {
		return nil, 0, protocol + "too big mbulk count string"
	}
	count, ok := slowNumber(line[1:])
	if !ok || count > int64(l.MaxArgs) {
		return nil, 0, protocol + "invalid multibulk length"
	}
	for range count {
		line, skip, verdict := slowLine(b[n:], "\r", l.MaxInline)
		if verdict == more {
			return nil, 0, more
		}
		if verdict != "" {
			return nil, 0, protocol + "too big bulk count string"
		}
		if b[n] != '$' {
			return nil, 0, protocol + "expected '$', got '" + strings.NewReplacer("\r", " ", "\n", " ").Replace(string(b[n:n+1])) + "'"
		}
		size, ok := slowNumber(line[1:])
		if !ok || size < 0 || size > int64(l.MaxBulk) {
			return nil, 0, protocol + "invalid bulk length"
		}
		n += skip
		if n+int(size)+2 > l.MaxRequest {
			return nil, 0, protocol + "too big request"
		}
		if len(b) < n+int(size)+2 {
			return nil, 0, more
		}
		args = append(args, string(b[n:n+int(size)]))
		n += int(size) + 2
	}
	return args, n, ""
}

// slowLine reads a line that ends with an LF, or with a CR and any byte after it.
func slowLine(b []byte, end string, limit int) (line string, n int, verdict string) {
	i := strings.Index(string(b), end)
	switch {
	case i > limit || i < 0 && len(b) > limit:
		return "", 0, "too long"
	case i < 0:
		return "", 0, more
	case end == "\n":
		return string(b[:i]), i + 1, ""
	case i+2 > len(b):
		return "", 0, more
	}
	return string(b[:i]), i + 2, ""
}

// slowNumber takes a number only as it would be printed.
func slowNumber(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == s
}

// slowWords splits an inline request.
func slowWords(line string) (words []string, ok bool) {
	const blanks = " \t\n\v\f\r"
	for {
		if line = strings.TrimLeft(line, blanks); line == "" {
			return words, true
		}
		word, quote := "", ""
		for ended := false; !ended; {
			take := func(prefix string) (found bool) {
				line, found = strings.CutPrefix(line, prefix)
				return found
			}
			switch {
			case line == "" && quote != "":
				return nil, false
			case line == "":
				ended = true
			case quote == "" && strings.ContainsAny(line[:1], " \t\n\r"):
				ended = true
			case quote == "" && take(`"`):
				quote = `"`
			case quote == "" && take(`'`):
				quote = `'`
			case quote != "" && take(quote):
				if line != "" && !strings.ContainsAny(line[:1], blanks) {
					return nil, false
				}
				ended = true
			case quote == `'` && take(`\'`):
				word += `'`
			case quote == `"` && len(line) > 3 && line[:2] == `\x` && slowHex(line[2:4]) >= 0:
				word += string([]byte{byte(slowHex(line[2:4]))})
				line = line[4:]
			case quote == `"` && len(line) > 1 && line[0] == '\\':
				escaped := line[1:2]
				if i := strings.Index("nrtba", escaped); i >= 0 {
					escaped = "\n\r\t\b\a"[i : i+1]
				}
				word += escaped
				line = line[2:]
			default:
				word += line[:1]
				line = line[1:]
			}
		}
		words = append(words, word)
	}
}

func slowHex(s string) int {
	if strings.ContainsAny(s, "+-_") {
		return -1
	}
	n, err := strconv.ParseUint(s, 16, 8)
	if err != nil {
		return -1
	}
	return int(n)
}

// slowReply reads one reply, recursively. kind is the type that follows its attributes. verdict is "" for a reply,
// more, or what is wrong with it.
func slowReply(b []byte) (n int, kind byte, verdict string) {
	if len(b) == 0 {
		return 0, 0, more
	}
	kind = b[0]
	if strings.IndexByte("+-:_#,(", kind) >= 0 {
		i := bytes.Index(b, []byte("\r\n"))
		if i < 0 {
			return 0, kind, more
		}
		return i + 2, kind, ""
	}
	if strings.IndexByte("$!=*~>%|", kind) < 0 {
		return 0, 0, fmt.Sprintf("type %q", kind)
	}
	size, n, verdict := slowLength(b)
	if verdict != "" {
		return 0, kind, verdict
	}
	count := int64(0)
	switch kind {
	case '$', '!', '=':
		if size < 0 {
			return n, kind, ""
		}
		rest := b[n:]
		if int64(len(rest)) <= size {
			return 0, kind, more
		}
		end := rest[size:min(int64(len(rest)), size+2)]
		if end[0] != '\r' || len(end) == 2 && end[1] != '\n' {
			return 0, kind, "no line end after a payload"
		}
		if len(end) < 2 {
			return 0, kind, more
		}
		return n + int(size) + 2, kind, ""
	case '*', '~', '>':
		count = size
	case '%', '|':
		count = 2 * size
	}
	for range count {
		skip, _, verdict := slowReply(b[n:])
		if verdict != "" {
			return 0, kind, verdict
		}
		n += skip
	}
	if kind == '|' {
		skip, after, verdict := slowReply(b[n:])
		return n + skip, after, verdict
	}
	return n, kind, ""
}

// slowLength reads a type byte and a length. Wrong bytes are wrong as soon as they are there.
func slowLength(b []byte) (size int64, n int, verdict string) {
	for i := 1; i <= len(b); i++ {
		if i > 2 && b[i-2] == '\r' {
			if b[i-1] != '\n' {
				return 0, 0, "no LF after a length"
			}
			size, _ = slowNumber(string(b[1 : i-2]))
			return size, i, ""
		}
		seen := string(b[1:i])
		if digits, complete := strings.CutSuffix(seen, "\r"); complete {
			size, ok := slowNumber(digits)
			if null := size == -1 && (b[0] == '$' || b[0] == '*'); !ok || size < 0 && !null {
				return 0, 0, "length " + digits
			}
		} else if seen != "" && seen != "-" {
			size, ok := slowNumber(seen)
			if !ok && seen != "-0" || size > maxLength || size < -maxLength {
				return 0, 0, "length " + seen
			}
		}
	}
	return 0, 0, more
}
