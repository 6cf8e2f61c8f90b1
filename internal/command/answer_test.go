package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// The servers tell subcommands in any order and lack those of later releases, so containers are compared piece
// by piece; all else must be the same bytes.

func TestCommandInfoSaysWhatAServerSays(t *testing.T) {
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		for _, row := range All() {
			if row.Source != generated {
				continue
			}
			want, got := c.Do("COMMAND", "INFO", row.Name), answer(resp3, "COMMAND", "INFO", row.Name)
			if row.Container() {
				want, got = elements(t, want)[0], elements(t, got)[0]
				sameContainer(t, row.Name, elements(t, want), elements(t, got))
				continue
			}
			if got != want {
				t.Errorf("COMMAND INFO %s:\n got %q\nwant %q", row.Name, got, want)
			}
		}
	})
}

// sameContainer compares two descriptions of a container: all but the last element, and by name what the last,
// the subcommands, has.
func sameContainer(t *testing.T, name string, want, got []string) {
	t.Helper()
	last := len(want) - 1
	if len(got) != len(want) || !slices.Equal(got[:last], want[:last]) {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		return
	}
	have := map[string]bool{}
	for _, e := range elements(t, got[last]) {
		have[e] = true
	}
	for _, e := range elements(t, want[last]) {
		if !have[e] {
			t.Errorf("%s: this is missing among the subcommands, or different: %q", name, e)
		}
	}
}

func TestCommandDocsSaysWhatAServerSays(t *testing.T) {
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		for _, row := range All() {
			if row.Source != generated {
				continue
			}
			want, got := c.Do("COMMAND", "DOCS", row.Name), answer(resp3, "COMMAND", "DOCS", row.Name)
			if row.Container() {
				sameContainer(t, row.Name, elements(t, elements(t, want)[1]), elements(t, elements(t, got)[1]))
				continue
			}
			if got != want {
				t.Errorf("COMMAND DOCS %s:\n got %q\nwant %q", row.Name, got, want)
			}
		}
	})
}

func TestTheWholeTableIsAnswered(t *testing.T) {
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		got := elements(t, answer(resp3, "COMMAND"))
		if count := answer(resp3, "COMMAND", "COUNT"); count != fmt.Sprintf(":%d\r\n", len(got)) {
			t.Errorf("COMMAND COUNT says %q, COMMAND has %d", count, len(got))
		}
		have := map[string]bool{}
		for _, e := range got {
			have[text(elements(t, e)[0])] = true
		}
		for _, e := range elements(t, c.Do("COMMAND")) {
			if name := text(elements(t, e)[0]); !have[name] {
				t.Errorf("COMMAND lacks %s", name)
			}
		}
		docs := elements(t, answer(resp3, "COMMAND", "DOCS"))
		if len(docs) != 2*len(got) {
			t.Errorf("COMMAND DOCS has %d elements for %d commands", len(docs), len(got))
		}
		for i := 0; i < len(docs); i += 2 {
			for _, field := range []string{"summary", "since", "group"} {
				if !strings.Contains(docs[i+1], field) {
					t.Errorf("COMMAND DOCS has no %s of %s", field, text(docs[i]))
				}
			}
		}
	})
}

func TestCommandListIsFilteredAsAServerDoes(t *testing.T) {
	tests := []string{
		"", "FILTERBY PATTERN *", "FILTERBY PATTERN x*", "FILTERBY PATTERN X?e*", "FILTERBY PATTERN *|help",
		"FILTERBY PATTERN [a-c]*", "FILTERBY PATTERN [^a-m]*s", `FILTERBY PATTERN \x*`, "FILTERBY PATTERN [xyz", "FILTERBY PATTERN z[r-",
		"FILTERBY PATTERN **get**", "FILTERBY PATTERN client|*", "FILTERBY PATTERN get", "FILTERBY PATTERN ?", `FILTERBY PATTERN [\x]*`,
		"FILTERBY ACLCAT read", "filterby aclcat SCRIPTING", "FILTERBY ACLCAT dangerous", "FILTERBY ACLCAT @read",
		"FILTERBY ACLCAT nosuch", "FILTERBY MODULE nosuch", "FILTERBY", "FILTERBY PATTERN", "FILTERBY NOSUCH x",
		"PATTERN x", "FILTERBY PATTERN a b",
	}
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		for _, test := range tests {
			args := append([]string{"COMMAND", "LIST"}, strings.Fields(test)...)
			want, got := c.Do(args...), answer(resp3, args...)
			if want[0] == '-' || got[0] == '-' {
				if got != want {
					t.Errorf("%s: got %q, want %q", args, got, want)
				}
				continue
			}
			names := slices.DeleteFunc(texts(t, got), func(n string) bool { return !strings.HasPrefix(Named([]byte(n)).Source, generated) })
			wanted := texts(t, want)
			slices.Sort(names)
			slices.Sort(wanted)
			if !slices.Equal(names, wanted) {
				t.Errorf("%s: got %q, want %q", args, names, wanted)
			}
		}
	})
}

func TestUnknownNamesAreAnsweredAsAServerDoes(t *testing.T) {
	tests := [][]string{
		{"COMMAND", "INFO", "nosuch"}, {"COMMAND", "INFO", "GET", "nosuch", "client|id", "get|x", "client|nosuch", "", "|", "client|"},
		{"COMMAND", "DOCS", "nosuch"}, {"COMMAND", "DOCS", "client|id", "nosuch", "SET", "set"},
		{"COMMAND", "INFO", "CLIENT|ID"}, {"COMMAND", "HELP"}, {"COMMAND", "INFO", "get", "get"},
	}
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		for _, args := range tests {
			if want, got := c.Do(args...), answer(resp3, args...); got != want {
				t.Errorf("%q:\n got %q\nwant %q", args, got, want)
			}
		}
	})
}

func TestHelpIsAServersOwn(t *testing.T) {
	versions(t, func(t *testing.T, c *redistest.Conn, _ bool) {
		for _, row := range All() {
			if !row.Container() {
				continue
			}
			got := string(AppendHelp(nil, row))
			if len(elements(t, got)) < 3 {
				t.Errorf("%s HELP: %q", row.Name, got)
			}
			// A server without cluster mode has no CLUSTER HELP.
			if want := c.Do(row.Name, "HELP"); row.Source == generated && row.Name != "cluster" && got != want {
				t.Errorf("%s HELP:\n got %q\nwant %q", row.Name, got, want)
			}
		}
	})
}

func TestACLCatSaysWhatAServerSays(t *testing.T) {
	say := func(args ...string) string { return string(AppendCategories(nil, request(args...))) }
	versions(t, func(t *testing.T, c *redistest.Conn, resp3 bool) {
		categories := elements(t, c.Do("ACL", "CAT"))
		if got := elements(t, say("ACL", "CAT")); !slices.Equal(got[:len(categories)], categories) {
			t.Errorf("ACL CAT: %q, want %q and those of modules", got, categories)
		}
		for _, category := range categories {
			want := elements(t, c.Do("ACL", "CAT", text(category)))
			got := elements(t, say("ACL", "CAT", text(category)))
			got = slices.DeleteFunc(got, func(name string) bool { return !strings.HasPrefix(Named([]byte(text(name))).Source, generated) })
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("ACL CAT %s:\n got %q\nwant %q", text(category), got, want)
			}
		}
		if got, want := say("ACL", "CAT", "nosuch"), c.Do("ACL", "CAT", "nosuch"); got != want {
			t.Errorf("ACL CAT nosuch: %q, want %q", got, want)
		}
	})
}
