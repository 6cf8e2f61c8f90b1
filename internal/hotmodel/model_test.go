package hotmodel

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/explore"
)

// full asks for the larger searches, which take minutes and gigabytes.
var full = os.Getenv("RINGWAY_FULL") != ""

func search(t *testing.T, m machine) explore.Outcome {
	t.Helper()
	begin := time.Now()
	out := explore.Search(&m, 80e6)
	t.Logf("%v; %v", out, time.Since(begin).Round(time.Millisecond))
	return out
}

func TestNothingIsServedThatIsTooOld(t *testing.T) {
	for _, c := range []struct {
		name string
		machine
		full bool
	}{
		{"forms, local writers only", machine{proxies: 1, reads: 2, forms: 1, writes: 2, asks: 1, versions: 3, lease: 1,
			strict: true, split: true, losses: true, refused: true}, false},
		{"forms, all writers", machine{proxies: 1, reads: 1, forms: 2, writes: 1, asks: 2, versions: 3, lease: 1,
			direct: true, split: true, losses: true, lanes: true, crashes: true}, false},
		{"forms, all writers, and times to live", machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 1, versions: 3, lease: 1, life: 1,
			direct: true, losses: true}, false},
		{"forms, times to live longer than the lease", machine{proxies: 1, reads: 1, forms: 1, asks: 2, versions: 2, lease: 1, life: 2,
			direct: true, losses: true, split: true}, false},
		{"forms, replaced without an invalidation", machine{proxies: 1, reads: 1, forms: 2, asks: 2, versions: 3, lease: 1, age: 2,
			direct: true, silent: true, losses: true}, false},
		{"copies, all writers", machine{proxies: 1, reads: 1, writes: 1, asks: 1, versions: 3, lease: 1,
			copies: true, direct: true, split: true, losses: true, lanes: true, crashes: true}, false},
		{"copies and a form, all writers", machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 1, versions: 3, lease: 1,
			copies: true, direct: true, split: true}, false},
		{"copies and a form, local writers only", machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 1, versions: 3, lease: 1,
			copies: true, strict: true, split: true}, false},
		{"a form, and two reads of one client", machine{proxies: 1, reads: 2, forms: 1, writes: 1, asks: 1, versions: 3, lease: 1,
			piped: true, direct: true, losses: true}, false},
		{"copies, and two reads of one client", machine{proxies: 1, reads: 2, writes: 1, asks: 1, versions: 3, lease: 1,
			copies: true, piped: true, direct: true}, false},
		{"copies of two proxies", machine{proxies: 2, reads: 1, asks: 1, versions: 2, lease: 1, copies: true, direct: true}, false},

		{"a form of a key that is hot by times", machine{proxies: 1, reads: 2, forms: 1, writes: 2, asks: 1, versions: 3, lease: 1,
			strict: true, split: true, heats: true}, true},
		{"forms, local writers only, more at once", machine{proxies: 1, reads: 2, forms: 2, writes: 2, asks: 2, versions: 3, lease: 1,
			strict: true, split: true, losses: true, refused: true}, true},
		{"forms, all writers, more at once", machine{proxies: 1, reads: 2, forms: 2, writes: 1, asks: 2, versions: 3, lease: 1,
			direct: true, split: true, losses: true, lanes: true, crashes: true}, true},
		{"forms, four versions", machine{proxies: 1, reads: 2, forms: 2, writes: 1, asks: 1, versions: 4, lease: 1,
			direct: true, losses: true}, true},
		{"forms, times to live, finer time", machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 2, versions: 3, lease: 2, life: 3,
			direct: true, losses: true, split: true}, true},
		{"copies, all writers, more at once", machine{proxies: 1, reads: 2, writes: 1, asks: 2, versions: 3, lease: 1,
			copies: true, direct: true, split: true, losses: true, lanes: true, crashes: true}, true},
		{"copies and forms, all writers", machine{proxies: 1, reads: 1, forms: 2, writes: 1, asks: 2, versions: 3, lease: 1,
			copies: true, direct: true, split: true, losses: true}, true},
		{"copies of two proxies, and connections lost", machine{proxies: 2, reads: 1, asks: 1, versions: 2, lease: 1,
			copies: true, direct: true, losses: true}, true},
		{"copies of two proxies that write", machine{proxies: 2, reads: 1, writes: 1, asks: 1, versions: 2, lease: 1, copies: true}, true},
		{"copies of two proxies, and forms", machine{proxies: 2, reads: 1, forms: 1, asks: 1, versions: 2,
			copies: true, direct: true}, true},
		{"copies of two proxies, three versions", machine{proxies: 2, reads: 1, asks: 1, versions: 3, copies: true, direct: true}, true},
	} {
		if c.full && !full {
			continue // minutes
		}
		t.Run(c.name, func(t *testing.T) {
			if out := search(t, c.machine); out.Broken != "" || out.Cut {
				t.Error("a promise is not kept, or the search was cut short")
			}
		})
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	form := machine{proxies: 1, reads: 1, forms: 1, asks: 1, versions: 2, lease: 1, direct: true}
	forms := form
	forms.forms = 2
	local := machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 1, versions: 2, lease: 1, strict: true}
	copies := machine{proxies: 1, reads: 1, writes: 1, asks: 1, versions: 2, lease: 1, copies: true, split: true}
	heats := local
	heats.heats, heats.writes, heats.strict = true, 2, false
	piped, pipedCopies := form, copies
	piped.piped, piped.reads = true, 2
	pipedCopies.piped, pipedCopies.reads, pipedCopies.split = true, 2, false
	mortal, split, refused, losses := form, form, form, form
	mortal.life, split.split, refused.refused, losses.losses = 1, true, true, true
	for _, c := range []struct {
		rule    string
		fault   fault
		machine machine
		broken  promise
	}{
		{"a copy's name says what it holds", mutableCopies,
			machine{proxies: 2, reads: 1, asks: 1, versions: 2, copies: true, direct: true}, caughtUp},
		{"nothing is published when the generation has moved on", noGeneration, copies, own},
		{"no watch is armed beside a local writer", armBeside, copies, own},
		{"who arms notes the generation first", writersFirst, copies, own},
		{"a write is counted first", bumpFirst, copies, own},
		{"a write moves the generation on", noBump, local, own},
		{"a write counts until its reply is in", leftEarly, local, own},
		{"a lease runs out", noLease, form, bounded},
		{"who serves looks at the generation last", generationFirst, split, bounded},
		{"who serves reads the clock", oldClock, form, bounded},
		{"a form is served behind a barrier", noBarrier, forms, own},
		{"a form is served behind a barrier, times to live", noBarrier, mortal, expiry},
		{"the barrier counts from the reply", barrierAtSend, forms, own},
		{"a form's read was sent after the watch was published", earlyRead, form, caughtUp},
		{"a form is what the owner itself has answered", fromReplica, form, caughtUp},
		{"a watch ends with the key's time to live", noDeadline, mortal, expiry},
		{"the greatest age counts from PTTL", ageOfReply,
			machine{proxies: 1, reads: 1, forms: 1, asks: 1, versions: 2, lease: 1, age: 1, silent: true}, unnoticed},
		{"a connection that doesn't track is none", untracked, refused, caughtUp},
		{"a watch ends with its connection", keepWatch, losses, caughtUp},
		{"a client is served in its turn", outOfTurn, piped, inOrder},
		{"a read that misses is answered with what the copy held", missToOwner, pipedCopies, inOrder},
		{"a new entry waits for what was sent before it", unsettled, heats, own},
		{"a watch ends before loops forget the key", noFarewell, heats, own},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if out := search(t, c.machine); out.Broken != "" || out.Cut {
				t.Error("it isn't kept even with the rule")
			}
			c.machine.faults = c.fault
			if out := search(t, c.machine); !strings.Contains(out.Broken, fmt.Sprintf("%q", c.broken)) {
				t.Errorf("promise %q is kept without the rule", c.broken)
			}
		})
	}
}

// TestEitherOfTwoLooksIsEnoughForForms is about who arms a watch, and who sends a read that may become a form: both look whether there are local writers.
func TestEitherOfTwoLooksIsEnoughForForms(t *testing.T) {
	for _, m := range []machine{
		{proxies: 1, reads: 1, forms: 1, writes: 2, asks: 2, versions: 3, lease: 1, strict: true, split: true},
		{proxies: 1, reads: 1, forms: 2, writes: 1, asks: 1, versions: 3, lease: 1, direct: true, split: true},
	} {
		for f, kept := range map[fault]bool{armBeside: true, sendBeside: true, armBeside | sendBeside: false} {
			m.faults = f
			if out := search(t, m); kept != (out.Broken == "") || out.Cut {
				t.Errorf("faults %b: kept is not %v", f, kept)
			}
		}
	}
}

// TestWhatIsNotPromised shows that the exceptions in the record are some: where clients also know what reads have told them that went to the
// owner, what is served may be older for a moment.
func TestWhatIsNotPromised(t *testing.T) {
	local := machine{proxies: 1, reads: 1, forms: 1, writes: 1, asks: 1, versions: 2, lease: 1, strict: true}
	for _, c := range []struct {
		name string
		with func(*machine)
	}{
		{"beside writes past the proxy", func(m *machine) { m.direct = true }},
		{"after a write whose connection was lost", func(m *machine) { m.lanes = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := local
			c.with(&m)
			if out := search(t, m); !strings.Contains(out.Broken, fmt.Sprintf("%q", own)) {
				t.Error("it is kept, and the record can promise more")
			}
		})
	}
}
