package config

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ringway/internal/corpus"
)

// FuzzParse looks for a file that makes the reader panic, that is refused without a line, or that loads and is
// another one after it was written, for DeepEqual or for a plan.
func FuzzParse(f *testing.F) {
	corpus.Add(f)
	for _, pattern := range []string{"../../proxy.yml", "testdata/*.yml", "testdata/predixy/*.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 16<<10 {
			return // larger is slower, not different
		}
		c, err := Parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("no file and line: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := WriteYAML(&b, c); err != nil {
			if !strings.Contains(err.Error(), "is that of the backend on line") {
				t.Errorf("cannot be written: %v", err)
			}
			return
		}
		again, err := Parse("f", b.Bytes())
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, b.Bytes())
		}
		if d := Compare(c, again); !d.Empty() {
			t.Errorf("what was written is a change: %q", d.Lines())
		}
		c.Describe(io.Discard)
		if got, want := unplaced(again), unplaced(c); !reflect.DeepEqual(got, want) {
			t.Errorf("what was written loads to\n%#v\nnot to\n%#v\n%s", got, want, b.Bytes())
		}
	})
}
