package e2e

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	table "ringway/internal/command"
)

// fitForMulti says whether Ringway takes a command inside a transaction, as docs/commands.md has it.
func fitForMulti(template string) bool {
	c := commandOf(template)
	switch {
	case c == nil || c.Container():
		return true // an error, and that is fine
	case c.Plan == table.Session:
		return c.Name == "ping" || c.Name == "echo"
	case c.Plan == table.Private:
		return c.Flags.Has(table.Blocking)
	}
	return c.Plan != table.Broadcast && c.Name != "migrate"
}

// commandOf returns the row of the table that a template is about, nil if there is none.
func commandOf(template string) *table.Command {
	for more := true; more; {
		_, template, more = cutMark(template)
	}
	words := strings.Fields(template)
	c := table.Lookup([]byte(words[0]))
	if c != nil && c.Container() && len(words) > 1 {
		if sub := c.Sub([]byte(words[1])); sub != nil {
			return sub
		}
	}
	return c
}

// notTwins are the commands that the twin test leaves out, with the reason and, mostly, the test that has them.
var notTwins = map[string]string{
	"quit":                "ends the connection: TestSessionCommands, TestProtocolErrors",
	"command|count":       "Ringway knows later commands as well: TestCommandCommand, and those of internal/command",
	"command|list":        "Ringway knows later commands as well: the tests of internal/command",
	"client|info":         "tells of Ringway's clients: TestClientListTellsOfOurClients",
	"client|list":         "tells of Ringway's clients: TestClientListTellsOfOurClients",
	"client|kill":         "concerns other clients: the tests of proxy",
	"client|pause":        "concerns all clients: the tests of proxy",
	"client|unpause":      "concerns all clients: the tests of proxy",
	"client|unblock":      "concerns another client: the tests of proxy",
	"client|tracking":     "concerns what other clients do: the tests of proxy",
	"client|trackinginfo": "goes with CLIENT TRACKING: the tests of proxy",
	"client|caching":      "goes with CLIENT TRACKING: the tests of proxy",
	"client|getredir":     "goes with CLIENT TRACKING: the tests of proxy",
	"monitor":             "a stream of what all clients send: the tests of proxy",
	"asking":              "taken without cluster_mode too, for clients that send it unasked: the tests of proxy",
	"readonly":            "see asking",
	"readwrite":           "see asking",
	"acl|cat":             "Ringway knows later commands as well: TestACLCatSaysWhatAServerSays",
	"acl|genpass":         "is a matter of chance: TestGenPass",
	"acl|list":            "users are of a pool: TestUsersAreThoseOfRedis of proxy",
	"acl|users":           "see acl|list",
	"acl|getuser":         "see acl|list",
	"acl|dryrun":          "see acl|list",
	"acl|log":             "see acl|list",
	"acl|load":            "see acl|list",
	"debug":               "the nodes' own configuration decides: TestDebug of proxy",
	"replicaof":           "refused but for NO ONE: the tests of proxy",
	"slaveof":             "as replicaof",
	"cluster|help":        "refused by a server that is no cluster: the tests of proxy",
	"cluster|myshardid":   "see cluster|help",
}

// commandsOfValkey are the names of the commands that Valkey 9.1 has.
func commandsOfValkey(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../command/testdata/valkey-9.1.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, " ")
		names[name] = true
	}
	return names
}

// Every command of Redis 7 and of Valkey 9.1 that is not refused is compared with a real server's, or it is said why not.
func TestTwinsCoverTheTable(t *testing.T) {
	covered := make(map[string]bool)
	for _, template := range slices.Concat(slices.Concat(families...), slices.Concat(youngerFamilies...), sequences, youngerSequences, redisSequences, subscriberSequences) {
		for part := range strings.SplitSeq(template, "; ") {
			if c := commandOf(part); c != nil {
				covered[c.Name] = true
			}
		}
	}
	for _, line := range wholePool {
		if c := commandOf(line); c != nil {
			covered[c.Name] = true
		}
	}
	covered["scan"] = true // TestWholePoolIsLikeOneServer walks
	valkey := commandsOfValkey(t)
	left := maps.Clone(notTwins)
	n := 0
	for _, c := range table.All() {
		if c.Container() || c.Plan == table.Refuse || !strings.HasPrefix(c.Source, "redis 7.0") && !valkey[c.Name] {
			continue
		}
		reason, excused := notTwins[c.Name]
		switch {
		case excused && covered[c.Name]:
			t.Errorf("%s is compared after all: take it off the list of those that are not (%s)", c.Name, reason)
		case covered[c.Name]:
			n++
		case !excused:
			t.Errorf("%s, plan %v, is not compared with a real server's", c.Name, c.Plan)
		}
		delete(left, c.Name)
	}
	for name := range left {
		t.Errorf("%s is on the list of commands that are not compared, and is no command of Redis 7 or Valkey 9.1 that Ringway takes", name)
	}
	t.Logf("%d commands are compared", n)
}
