package warmmodel

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/explore"
)

// searchRegistry looks at twenty million states at most.
func searchRegistry(t *testing.T, members, nodes int, forget uint8, f registryFault) explore.Outcome {
	t.Helper()
	begin := time.Now()
	m := &registryMachine{members: members, nodes: nodes, forget: forget, faults: f}
	out := explore.Search(m, 20e6)
	t.Logf("%v; %v", out, time.Since(begin).Round(time.Millisecond))
	return out
}

func TestNoTwoServeUnderRingsThatExcludeEachOther(t *testing.T) {
	for _, c := range []struct {
		name           string
		members, nodes int
		forget         uint8
		full           bool
	}{
		{"two members, one node", 2, 1, 9, false},
		{"three members, one node", 3, 1, 2, false},
		{"two members, two nodes", 2, 2, 1, false},
		{"two members, two nodes that forget again and again", 2, 2, 4, true},
		{"three members, two nodes, not to the end", 3, 2, 1, true},
	} {
		if c.full && !full {
			continue // minutes
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out := searchRegistry(t, c.members, c.nodes, c.forget, 0); out.Broken != "" || out.Cut && c.members*c.nodes < 6 {
				t.Error("two exclude each other, or the search was cut short")
			}
		})
	}
}

func TestEveryStepOfTheRegistryIsNeeded(t *testing.T) {
	for _, c := range []struct {
		without string
		fault   registryFault
	}{
		{"reading in the transaction that claims", checkThenClaim},
		{"watching a node that has forgotten", noQuarantine},
		{"claiming on every node", anyNode},
		{"looking at every node first", noLookRound},
		{"a limit to an attempt", slowAttempt},
		{"claiming anew after a lapse", resume},
		{"stopping before the record says so", claimBeforeStop},
	} {
		t.Run("without "+c.without, func(t *testing.T) {
			t.Parallel()
			if out := searchRegistry(t, 2, 2, 2, c.fault); !strings.Contains(out.Broken, "serves under") {
				t.Error("nothing is wrong without it")
			}
		})
	}
}
