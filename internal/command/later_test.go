package command

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A command that is sent on must not be refused here because a younger server takes more arguments, and its keys
// must be where that server has them.
func TestTheTableFitsAYoungerServer(t *testing.T) {
	text, err := os.ReadFile("testdata/valkey-9.1.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' {
			continue
		}
		var name string
		var arity, first, last, step int
		if _, err := fmt.Sscan(line, &name, &arity, &first, &last, &step); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		c := Named([]byte(name))
		if c == nil {
			t.Errorf("%s is not in the table", name)
			continue
		}
		younger := Command{Arity: arity}
		for n := 1; n < 12; n++ {
			if c.Plan != Session && c.Plan != Refuse && younger.CheckArity(n) && !c.CheckArity(n) {
				t.Errorf("%s takes %d arguments, not %d", name, arity, c.Arity)
				break
			}
		}
		if c.FirstKey != first || c.LastKey != last || c.Step != step {
			t.Errorf("%s: the keys are %d..%d/%d, not %d..%d/%d", name, first, last, step, c.FirstKey, c.LastKey, c.Step)
		}
	}
}

func TestRowsByHandLookLikeRowsOfAServer(t *testing.T) {
	for _, c := range All() {
		if strings.HasPrefix(c.Source, generated) {
			continue
		}
		d := c.Docs()
		switch {
		case !strings.HasPrefix(c.Source, "redis ") && !strings.HasPrefix(c.Source, "valkey") && !strings.HasPrefix(c.Source, "ringway "):
			t.Errorf("%s: the source is %q", c.Name, c.Source)
		case d.Summary == "" || d.Since == "":
			t.Errorf("%s: no summary or since: %+v", c.Name, d)
		case c.Categories.Has(CatFast) == c.Categories.Has(CatSlow):
			t.Errorf("%s is fast and slow, or neither: %v", c.Name, c.Categories.Names())
		case c.FirstKey > 0 && c.Step < 1:
			t.Errorf("%s: the step is %d", c.Name, c.Step)
		case len(c.KeySpecs) > 0 && c.finder == findNone && c.Name != "clusterscan":
			t.Errorf("%s has keys that aren't found", c.Name)
		}
	}
}
