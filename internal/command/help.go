package command

import (
	"strings"

	"ringway/resp"
)

// AppendHelp appends what the HELP subcommand of the container c says: a server's own words where it was asked
// for them, otherwise the subcommands and their summaries.
func AppendHelp(dst []byte, c *Command) []byte {
	lines := c.help()
	dst = resp.AppendArray(dst, len(lines))
	for _, l := range lines {
		dst = resp.AppendSimple(dst, l)
	}
	return dst
}

func (c *Command) help() []string {
	if h := c.Sub([]byte("help")); h != nil && h.helpEnd > h.docEnd {
		return strings.Split(strings.TrimSuffix(docs[h.docEnd:h.helpEnd], "\n"), "\n")
	}
	lines := []string{strings.ToUpper(c.Name) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"}
	for _, s := range c.Subcommands() {
		name := strings.ToUpper(s.Name[len(c.Name)+1:])
		if name != "HELP" {
			lines = append(lines, name, "    "+s.Docs().Summary+".")
		}
	}
	return append(lines, "HELP", "    Print this help.")
}
