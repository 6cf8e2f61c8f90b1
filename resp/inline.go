package resp

// splitInline splits an inline request into arguments, by the rules of Redis (and of redis-cli): blanks part them;
// within double quotes \n \r \t \b \a \xHH and \c for any other character c are escapes, within single quotes only \'
// is; a closing quote must end its argument. The arguments' bytes are appended to text one after the other and their
// places in it to spans. It returns false if a quote is left open or closes in the middle of an argument.
func splitInline(text []byte, spans []Span, line []byte) ([]byte, []Span, bool) {
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return text, spans, true
		}
		start := len(text)
		var ok bool
		if text, i, ok = appendInlineArg(text, line, i); !ok {
			return text, spans, false
		}
		spans = append(spans, Span{int32(start), int32(len(text) - start)})
	}
}

// appendInlineArg appends the argument that begins at line[i] to text and returns the offset of what follows it.
func appendInlineArg(text, line []byte, i int) ([]byte, int, bool) {
	for i < len(line) {
		switch c := line[i]; c {
		case ' ', '\n', '\r', '\t':
			return text, i + 1, true
		case '"', '\'':
			var end int
			if c == '"' {
				text, end = appendDoubleQuoted(text, line, i+1)
			} else {
				text, end = appendSingleQuoted(text, line, i+1)
			}
			closed := end < len(line)
			if !closed || end+1 < len(line) && !isSpace(line[end+1]) {
				return text, end, false
			}
			return text, end + 1, true
		default:
			text = append(text, c)
			i++
		}
	}
	return text, i, true
}

// appendDoubleQuoted appends what stands between line[i] and the closing quote, whose offset it returns; len(line) if
// there is none.
func appendDoubleQuoted(text, line []byte, i int) ([]byte, int) {
	for ; i < len(line) && line[i] != '"'; i++ {
		c := line[i]
		if c == '\\' && i+1 < len(line) {
			if i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]) {
				text = append(text, hexValue(line[i+2])<<4|hexValue(line[i+3]))
				i += 3
				continue
			}
			i++
			c = unescape(line[i])
		}
		text = append(text, c)
	}
	return text, i
}

// appendSingleQuoted is appendDoubleQuoted for single quotes.
func appendSingleQuoted(text, line []byte, i int) ([]byte, int) {
	for ; i < len(line) && line[i] != '\''; i++ {
		if line[i] == '\\' && i+1 < len(line) && line[i+1] == '\'' {
			i++
		}
		text = append(text, line[i])
	}
	return text, i
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
