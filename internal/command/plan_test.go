package command

import (
	"strings"
	"testing"
)

func TestEveryCommandHasAPlanThatFitsIt(t *testing.T) {
	for _, c := range All() {
		many := c.Plan == Split || c.Plan == Broadcast
		switch {
		case c.Plan < Forward || c.Plan > Refuse:
			t.Errorf("%s has no plan", c.Name)
		case (c.Plan == Refuse) != (c.Refusal != ""):
			t.Errorf("%s: plan %v, refusal %q", c.Name, c.Plan, c.Refusal)
		case many != (c.Merge != MergeNone):
			t.Errorf("%s: plan %v, merge %q", c.Name, c.Plan, c.Merge)
		case c.Plan == Split && c.Merge != MergeSorted && c.finder != findRange && c.finder != findOne:
			t.Errorf("%s can't be split: its keys have no fixed place", c.Name)
		case c.SingleKey != (c.finder == findOne):
			t.Errorf("%s: SingleKey is %v", c.Name, c.SingleKey)
		case c.Source == "":
			t.Errorf("%s has no source", c.Name)
		}
	}
}

func TestARefusalSaysWhatToDoInstead(t *testing.T) {
	for _, c := range All() {
		if c.Refusal == "" {
			continue
		}
		name := strings.ToUpper(strings.ReplaceAll(c.Name, "|", " "))
		if !strings.HasPrefix(c.Refusal, "ERR "+name+" ") || !strings.Contains(c.Refusal, "; ") && !strings.Contains(c.Refusal, " use ") {
			t.Errorf("%s: %q", c.Name, c.Refusal)
		}
	}
}

func TestABlockingReadIsPrivateAndAnotherIsNot(t *testing.T) {
	tests := map[string]Plan{
		"XREAD STREAMS block 0":                                  Forward,
		"XREAD COUNT 5 STREAMS a 0":                              Forward,
		"XREAD BLOCK 0 STREAMS a 0":                              Private,
		"XREAD COUNT 1 block 10 STREAMS a 0":                     Private,
		"XREADGROUP GROUP block block STREAMS a >":               Forward,
		"XREADGROUP GROUP g c NOACK COUNT 1 BLOCK 5 STREAMS a >": Private,
		"XREADGROUP GROUP g c CLAIM 5 BLOCK 5 STREAMS a >":       Private,
		"TS.READ block 0":                                        Forward,
		"TS.READ a 0 BLOCK 10 1":                                 Private,
		"BLPOP a 0":                                              Private,
		"WATCH a":                                                Private,
		"GET a":                                                  Forward,
		"MGET a b":                                               Split,
		"SCAN 0":                                                 Broadcast,
		"PING":                                                   Session,
		"SHUTDOWN":                                               Refuse,
	}
	for line, want := range tests {
		a := request(strings.Fields(line)...)
		c, sentence := Resolve(a)
		if c == nil {
			t.Errorf("%s: %s", line, sentence)
		} else if got := c.For(a); got != want {
			t.Errorf("%s: the plan is %v, want %v", line, got, want)
		}
	}
}
