package command

import (
	_ "embed"
	"strconv"
	"strings"

	"ringway/resp"
)

// docs is what COMMAND DOCS says of each command, in order of the table. It stays in the binary's read-only
// pages and is only looked at when somebody asks. A line is a value in preorder: its RESP3 type, and its text or
// the number of its elements; a map counts pairs.
//
//go:embed docs_gen.txt
var docs string

// Docs is what is known of a command for people.
type Docs struct {
	Summary, Since, Complexity string
}

// Docs returns what is known of c for people.
func (c *Command) Docs() Docs {
	var d Docs
	lines := docs[c.docFirst:c.docEnd]
	_, lines = cutLine(lines) // the number of fields
	for lines != "" {
		var name, v string
		name, lines = cutLine(lines)
		v, lines = cutLine(lines)
		switch name {
		case "$summary":
			d.Summary = v[1:]
		case "$since":
			d.Since = v[1:]
		case "$complexity":
			d.Complexity = v[1:]
		case "$group", "$doc_flags", "$deprecated_since", "$replaced_by":
		default: // history and arguments are the last, and more than a line
			return d
		}
		if v[0] == '~' || v[0] == '*' {
			n, _ := strconv.Atoi(v[1:])
			for ; n > 0; n-- {
				_, lines = cutLine(lines)
			}
		}
	}
	return d
}

func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return line, rest
}

// appendDocs appends the reply to COMMAND DOCS for the commands named, for all if none is. Unknown ones are
// left out.
func appendDocs(dst []byte, resp3 bool, names *resp.Args) []byte {
	var of []*Command
	for i := range names.Len() {
		if c := Named(names.At(i)); c != nil {
			of = append(of, c)
		}
	}
	if names.Len() == 0 {
		for _, c := range All() {
			if c.parent < 0 {
				of = append(of, c)
			}
		}
	}
	dst = resp.AppendMap(dst, resp3, len(of))
	for _, c := range of {
		dst = resp.AppendBulkString(dst, c.Name)
		dst = AppendDocs(dst, resp3, c)
	}
	return dst
}

// AppendDocs appends what COMMAND DOCS says of c: a map, which for a container has its subcommands.
func AppendDocs(dst []byte, resp3 bool, c *Command) []byte {
	head, lines := cutLine(docs[c.docFirst:c.docEnd])
	fields, _ := strconv.Atoi(head[1:])
	if c.Container() {
		fields++
	}
	dst = resp.AppendMap(dst, resp3, fields)
	dst = appendLines(dst, resp3, lines)
	if c.Container() {
		dst = resp.AppendBulkString(dst, "subcommands")
		dst = resp.AppendMap(dst, resp3, int(c.subCount))
		for _, s := range c.Subcommands() {
			dst = resp.AppendBulkString(dst, s.Name)
			dst = AppendDocs(dst, resp3, s)
		}
	}
	return dst
}

func appendLines(dst []byte, resp3 bool, lines string) []byte {
	for lines != "" {
		var line string
		line, lines = cutLine(lines)
		text := line[1:]
		switch line[0] {
		case '$':
			dst = resp.AppendBulkString(dst, text)
		case '+', ':':
			dst = append(append(dst, line...), "\r\n"...)
		default:
			n, _ := strconv.Atoi(text)
			switch line[0] {
			case '*':
				dst = resp.AppendArray(dst, n)
			case '~':
				dst = resp.AppendSet(dst, resp3, n)
			case '%':
				dst = resp.AppendMap(dst, resp3, n)
			}
		}
	}
	return dst
}
