package config

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The format of a predixy.conf: lines of a key and a value, some of which open a scope with { for the lines up to a line with }. What
// follows # is a comment, but not in quotes. Include puts another file in its place.

// predixyNode is one line, with those of its scope.
type predixyNode struct {
	file     string
	line     int
	key, val string
	scope    bool
	spaced   bool // the value has spaces in it, and no quotes around it
	sub      []*predixyNode
}

// is compares keys as predixy does, whatever their case.
func (n *predixyNode) is(key string) bool { return strings.EqualFold(n.key, key) }

// predixyPools are the lines of which a predixy.conf has one.
var predixyPools = []string{"ClusterServerPool", "SentinelServerPool", "StandaloneServerPool"}

// isPredixy tells a predixy.conf, which is no YAML, from the other files: it opens the scope of a pool somewhere, or begins with one of its keys.
func isPredixy(data []byte) bool {
	first := true
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		key, val, opens, err := parsePredixyLine(line)
		if err != nil || key == "" {
			continue
		}
		if opens && slices.ContainsFunc(predixyPools, func(pool string) bool { return strings.EqualFold(key, pool) }) {
			return true
		}
		if first && val != "" && !strings.HasPrefix(val, ":") && findPredixyOption(key) != nil {
			return true
		}
		first = false
	}
	return false
}

// mostIncludes bounds how deep files include each other, and deepestScope how deep scopes are nested.
const (
	mostIncludes  = 16
	deepestScope  = 8
	mostPredixies = 1 << 16 // lines of all files
)

// predixyReader puts the lines of a file, and of those that it includes, into scopes.
type predixyReader struct {
	*reader
	root  predixyNode
	open  []*predixyNode // the scopes that the next line is in
	files []string       // that are being read, each included by the one before
	lines int
}

// predixyNodes gives the lines at the top. Whatever is wrong with the form is told.
func (r *reader) predixyNodes(data []byte) []*predixyNode {
	p := &predixyReader{reader: r}
	p.open = []*predixyNode{&p.root}
	p.read(r.file, data)
	if n := p.open[len(p.open)-1]; len(p.open) > 1 && len(r.problems) == 0 {
		r.failAt(n, "the scope of %s is not closed; expected a line with }", n.key)
	}
	return p.root.sub
}

func (p *predixyReader) read(file string, data []byte) {
	p.files = append(p.files, file)
	defer func() { p.files = p.files[:len(p.files)-1] }()
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		number++
		n := &predixyNode{file: file, line: number}
		if p.lines++; p.lines > mostPredixies {
			p.failAt(n, "more than %d lines in all", mostPredixies)
			return
		}
		if !utf8.ValidString(line) {
			p.failAt(n, "bytes that are not UTF-8; expected text")
			continue
		}
		var err error
		if n.key, n.val, n.scope, err = parsePredixyLine(line); err != nil {
			p.failAt(n, "%s", err)
			continue
		}
		n.spaced = strings.ContainsAny(n.val, " \t") && !strings.Contains(line, `"`)
		scope := p.open[len(p.open)-1]
		switch {
		case n.key == "":
		case n.key == "}" && n.val == "" && !n.scope:
			if len(p.open) == 1 {
				p.failAt(n, "} closes no scope; remove it")
				continue
			}
			p.open = p.open[:len(p.open)-1]
		case n.is("Include") && !n.scope:
			p.include(n)
		default:
			scope.sub = append(scope.sub, n)
			if n.scope {
				if len(p.open) > deepestScope {
					p.failAt(n, "scopes are nested more than %d deep", deepestScope)
					return
				}
				p.open = append(p.open, n)
			}
		}
	}
}

// include reads a file that is named as seen from the one that names it.
func (p *predixyReader) include(n *predixyNode) {
	path := n.val
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(n.file), path)
	}
	switch {
	case n.val == "":
		p.failAt(n, "Include names no file")
	case p.readFile == nil:
		p.failAt(n, "Include %s can't be followed, since this configuration is not in a file", quote(n.val))
	case slices.Contains(p.files, path) || len(p.files) == mostIncludes:
		p.failAt(n, "Include %s leads back to a file that is being read; remove one", quote(n.val))
	default:
		data, err := p.readFile(path)
		if err != nil {
			p.failAt(n, "cannot read what Include names: %s", err)
			return
		}
		p.read(path, data)
	}
}

// failAt is fail for a line that may be in an included file.
func (r *reader) failAt(n *predixyNode, format string, args ...any) {
	r.inFile(n.file, func() { r.fail(n.line, format, args...) })
}

func (r *reader) warnAt(n *predixyNode, format string, args ...any) {
	r.inFile(n.file, func() { r.warn(n.line, format, args...) })
}

func (r *reader) inFile(file string, do func()) {
	before := r.file
	r.file = file
	do()
	r.file = before
}

var (
	errAfterQuotes = errors.New("something follows the closing quote; expected a {, or nothing")
	errNoQuote     = errors.New("a quote that is never closed")
)

// parsePredixyLine takes a line apart. The key is empty if there is nothing on it, and } alone closes a scope.
func parsePredixyLine(line string) (key, val string, scope bool, err error) {
	line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t\r")
	end := strings.IndexAny(line, " \t#")
	if end < 0 {
		return line, "", false, nil
	}
	key = line[:end]
	if line[end] == '#' {
		return key, "", false, nil
	}
	rest := strings.TrimLeft(line[end:], " \t\r")
	if strings.HasPrefix(rest, `"`) {
		if val, rest, err = parsePredixyQuoted(rest[1:]); err != nil {
			return "", "", false, err
		}
		rest, _, _ = strings.Cut(rest, "#")
		switch strings.Trim(rest, " \t\r") {
		case "":
			return key, val, false, nil
		case "{":
			return key, val, true, nil
		}
		return "", "", false, errAfterQuotes
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest = strings.TrimRight(rest, " \t\r")
	if before, ok := strings.CutSuffix(rest, "{"); ok {
		return key, strings.TrimRight(before, " \t\r"), true, nil
	}
	return key, rest, false, nil
}

// parsePredixyQuoted reads up to the closing quote; \" is a quote, and \\ a backslash.
func parsePredixyQuoted(s string) (val, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errNoQuote
}
