// Package corpus keeps what fuzzing has found worth keeping: one file for each fuzz test, testdata/corpus/NAME, of one input in each line, in
// the words of Go's own files of inputs. Each `go test` runs all of them, and fuzzing begins with them.
//
// `make corpora` adds what the fuzzing on a machine has found since.
package corpus

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Add has f begin with the inputs that are kept of it.
func Add(f *testing.F) {
	f.Helper()
	name := "testdata/corpus/" + f.Name()
	file, err := os.Open(name)
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		n++
		input, err := Parse(lines.Text())
		if err != nil {
			f.Fatalf("%s:%d: %v", name, n, err)
		}
		f.Add(input...)
	}
	if err := lines.Err(); err != nil || n == 0 {
		f.Fatalf("%s has %d inputs (%v); make corpora writes them", name, n, err)
	}
}

// Parse reads a line: Go's conversions of what a fuzz test takes, with tabs between them.
func Parse(line string) (input []any, err error) {
	for _, text := range strings.Split(line, "\t") {
		kind, value, ok := strings.Cut(strings.TrimSuffix(text, ")"), "(")
		if !ok {
			return nil, fmt.Errorf("%q is no conversion", text)
		}
		var v any
		switch kind {
		case "string":
			v, err = strconv.Unquote(value)
		case "[]byte":
			var s string
			s, err = strconv.Unquote(value)
			v = []byte(s)
		case "byte":
			var r rune
			r, _, _, err = strconv.UnquoteChar(strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'"), '\'')
			v = byte(r)
		case "uint64":
			v, err = strconv.ParseUint(value, 10, 64)
		default:
			err = fmt.Errorf("no fuzz test takes a %s", kind)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		input = append(input, v)
	}
	return input, nil
}
