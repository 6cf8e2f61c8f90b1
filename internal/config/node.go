package config

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// entry is one line of a map: an option and its value, aliases followed.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// document gives the top map of the file, or nil when there is none to read.
func (r *reader) document(data []byte) *yaml.Node {
	const expected = "expected a map with threads, admin, log and pools (a commented example is proxy.yml)"
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if err == io.EOF || err == nil && isNull(doc.Content) {
		r.fail(1, "the file is empty; %s", expected)
		return nil
	}
	if err == nil {
		if err = dec.Decode(&more); err == nil {
			r.fail(more.Line, "a second YAML document begins here; expected one in a file")
			return nil
		}
	}
	if err != io.EOF {
		r.fail(syntaxError(data, err))
		return nil
	}
	root := follow(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		r.fail(root.Line, "found %s; %s", describeNode(root), expected)
		return nil
	}
	if len(root.Content) == 0 {
		r.fail(root.Line, "the file is empty; %s", expected)
		return nil
	}
	return root
}

func isNull(content []*yaml.Node) bool {
	return len(content) == 0 || content[0].Kind == yaml.ScalarNode && content[0].Tag == "!!null"
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntaxError puts a message of the YAML library on the right line. Its own lines are those of the construct around
// the mistake, one less than that, or none.
//
// The line is the last one that the mistake needs: with all before it the file reads differently. Found by reading
// ever shorter beginnings of the file, which is slow, and quick enough for a file that someone wrote by hand.
func syntaxError(data []byte, err error) (line int, format string, text string) {
	text = yamlPrefix.ReplaceAllString(err.Error(), "")
	lines := bytes.SplitAfter(data, []byte("\n"))
	if len(lines[len(lines)-1]) == 0 {
		lines = lines[:len(lines)-1]
	}
	if strings.Contains(text, "cannot start any token") || strings.Contains(text, "tab character") {
		indent := func(l []byte) bool {
			white := l[:len(l)-len(bytes.TrimLeft(l, " \t"))]
			return bytes.IndexByte(white, '\t') >= 0
		}
		if i := slices.IndexFunc(lines, indent); i >= 0 {
			return i + 1, "%s", "a tab in the indentation; YAML wants spaces"
		}
	}
	const slowest = 1 << 18
	line = len(lines)
	if len(data) < slowest {
		size := len(data)
		for line > 1 {
			size -= len(lines[line-1])
			if yamlText(data[:size]) != text {
				break
			}
			line--
		}
	}
	return line, "not YAML: %s", explain(text)
}

// explanations says what a message of the YAML library comes from when a person meets it.
var explanations = []struct{ says, means string }{
	{"did not find expected key", "the indentation fits no line above; expected options of one map in one column"},
	{"did not find expected '-' indicator", "the indentation fits no line above; expected options of one map in one column"},
	{"mapping values are not allowed", `a colon too many, or a line indented too far; put text with ": " in it in quotes`},
	{"could not find expected ':'", "a line without a colon; expected option: value"},
	{"found unexpected end of stream", "a quote that is never closed"},
	{"did not find expected ',' or ']'", "a [ that is never closed, or a comma missing after it"},
	{"did not find expected ',' or '}'", "a { that is never closed, or a comma missing after it"},
	{"found character that cannot start any token", "a value begins with a character that has a meaning in YAML; put it in quotes"},
	{"control characters are not allowed", "control characters; expected text"},
	{"UTF-8", "bytes that are not UTF-8; expected text"},
	// The name is not shown: it may be what was meant as a password.
	{"unknown anchor", "an alias without its anchor; put a value that begins with * in quotes"},
}

func explain(text string) string {
	for _, e := range explanations {
		if strings.Contains(text, e.says) {
			return e.means
		}
	}
	return text
}

// yamlText is what the YAML library says about data, without a line.
func yamlText(data []byte) string {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case err == io.EOF:
			return ""
		case err != nil:
			return yamlPrefix.ReplaceAllString(err.Error(), "")
		}
	}
}

// follow steps from an alias to what it stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func describeNode(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return "the text " + quote(n.Value)
}

// entries lists a map. Doubled options are refused here. A merge (<<: *other) gives the options that the map itself
// does not have; one level deep, so that a small file stays a small configuration.
func (r *reader) entries(n *yaml.Node) []entry {
	var own, merged []entry
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], follow(n.Content[i+1])
		if key.Tag == "!!merge" {
			merged = append(merged, r.mergeEntries(key, value)...)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			r.fail(key.Line, "found %s as the name of an option; expected a word", describeNode(follow(key)))
			continue
		}
		if first, ok := seen[key.Value]; ok {
			r.fail(key.Line, "%s is given twice, first on line %d; keep one", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
		own = append(own, entry{key.Value, key, value})
	}
	for _, e := range merged {
		if _, ok := seen[e.name]; !ok {
			seen[e.name] = e.key.Line
			own = append(own, e)
		}
	}
	return own
}

func (r *reader) mergeEntries(key, value *yaml.Node) []entry {
	sources := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sources = value.Content
	}
	var all []entry
	for _, s := range sources {
		s = follow(s)
		if s.Kind != yaml.MappingNode {
			r.fail(key.Line, "<< merges %s; expected a map", describeNode(s))
			continue
		}
		for i := 0; i+1 < len(s.Content); i += 2 {
			k := s.Content[i]
			switch {
			case k.Tag == "!!merge":
				r.fail(k.Line, "a merge inside of a merge; write the options out")
			case k.Kind == yaml.ScalarNode:
				all = append(all, entry{k.Value, k, follow(s.Content[i+1])})
			}
		}
	}
	return all
}

// scalar gives the text of a value as it stands in the file, so that 0123 and true are what they look like.
func (r *reader) scalar(e entry) (string, bool) {
	n := e.value
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) == 0 && n.Style == yaml.FlowStyle:
		r.fail(n.Line, `%s is an empty YAML map; put it in quotes: %s: "{}"`, e.name, e.name)
	case n.Kind != yaml.ScalarNode:
		r.fail(n.Line, "%s is %s; expected one value", e.name, describeNode(n))
	case n.Tag == "!!null":
		r.fail(e.key.Line, "%s has no value; give it one, or remove the line for its default", e.name)
	case n.Tag == "!!binary" || !strings.HasPrefix(n.Tag, "!!"): // not shown: it may be what was meant as a password
		r.fail(n.Line, "%s has a YAML tag; write plain text, in quotes if it begins with !", e.name)
	default:
		return n.Value, true
	}
	return "", false
}
