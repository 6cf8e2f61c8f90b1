package hotkey

import (
	"fmt"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// reportOf is a loop's report of keys, each seen so often among a thousand samples.
func reportOf(nodes int, weight float64, keys map[string]uint32) *Report {
	r := &Report{Nodes: nodes, Total: 1000, AtNodes: 1000, Recent: 256, Weight: weight, Rate: 1000}
	for k, n := range keys {
		r.Keys = append(r.Keys, Seen{Hash: hashOf(k), Key: []byte(k), Count: n, Sure: n})
	}
	return r
}

func hashOf(k string) uint64 {
	h := uint64(1)
	for i := range len(k) {
		h = mix(h ^ uint64(k[i]))
	}
	return h | 1
}

func names(s *Set) (list string) {
	for _, k := range s.Keys {
		list += string(k.Name)
	}
	return list
}

func TestLoopsAreAddedUp(t *testing.T) {
	tally := NewTally(3, nil)
	tally.Add(0, 0, reportOf(1, 1, map[string]uint32{"a": 250, "b": 50, "c": 120}))
	if got := names(tally.Set()); got != "ac" {
		t.Errorf("of one loop's %q are hot", got)
	}
	tally = NewTally(3, nil)
	tally.Add(0, 0, reportOf(1, 0, map[string]uint32{}))
	tally.Add(0, 1, reportOf(1, 1, map[string]uint32{"a": 250, "b": 50}))
	if got := names(tally.Set()); got != "a" {
		t.Errorf("%q are hot", got)
	}
	// This loop has ten times the commands: what is much on the other is little of all.
	tally.Add(0, 2, reportOf(1, 10, map[string]uint32{"b": 120}))
	if got := names(tally.Set()); got != "ab" {
		t.Errorf("%q are hot, want the one that a busy loop brings as well", got)
	}
	tally.Add(int64(coolAfter)+1, 2, reportOf(1, 10, map[string]uint32{"b": 120}))
	if got := names(tally.Set()); got != "b" {
		t.Errorf("%q are hot; a has too little of all", got)
	}
	if tally.Promotions() != 2 || tally.Demotions() != 1 {
		t.Errorf("%d promotions, %d demotions", tally.Promotions(), tally.Demotions())
	}
}

func TestExcludedKeysAreNeverHot(t *testing.T) {
	not := func(key []byte) bool { return string(key) == "a" }
	tally := NewTally(1, not)
	r := func() *Report { return reportOf(1, 1, map[string]uint32{"a": 300, "b": 300}) }
	tally.Add(0, 0, r())
	if got := names(tally.Set()); got != "b" {
		t.Errorf("%q are hot", got)
	}
	tally.Exclude(nil)
	tally.Add(1, 0, r())
	if got := names(tally.Set()); got != "ba" {
		t.Errorf("%q are hot", got)
	}
	tally.Exclude(not)
	tally.Add(2, 0, r())
	if got := names(tally.Set()); got != "b" {
		t.Errorf("%q are hot, an excluded one at once no more", got)
	}
}

func TestASetFindsItsKeys(t *testing.T) {
	var keys []Key
	for i := range 300 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26))
		keys = append(keys, Key{Hash: hashOf(name) &^ 0xff00, Name: []byte(name)}) // all begin their search at the same place
	}
	s := newSet(keys)
	for i, k := range keys {
		if got := s.Find(k.Hash, k.Name); got != i {
			t.Fatalf("key %d is found as %d", i, got)
		}
	}
	if s.Find(keys[0].Hash, []byte("other")) != -1 || s.Find(12345, keys[0].Name) != -1 || (&Set{}).Find(1, nil) != -1 {
		t.Error("found what is not there")
	}
}

// A key may be the hottest of what the nodes get, and little beside one whose reads they are spared.
func TestWhatIsAnsweredWithoutTheNodesHidesNoOtherKey(t *testing.T) {
	for _, kept := range []bool{false, true} {
		d, tally, r := NewDetector(1, 0), NewTally(1, nil), &Report{}
		d.SetNodes(8)
		for i := range int64(32000) { // four seconds
			now := i * int64(125*time.Microsecond)
			key := fmt.Sprint("other:", i)
			switch {
			case i%10 != 0:
				key = "storm"
			case i%140 == 0: // a fourteenth of the rest
				key = "next"
			}
			d.Sample(now, xxhash.Sum64String(key), []byte(key), false)
			if key == "storm" && kept {
				d.Kept()
			}
			if i%800 == 0 {
				d.Report(now, r)
				tally.Add(now, 0, r)
			}
		}
		set := tally.Set()
		if set.Find(xxhash.Sum64String("storm"), []byte("storm")) < 0 {
			t.Error("the storm is not hot")
		}
		if hot := set.Find(xxhash.Sum64String("next"), []byte("next")) >= 0; hot != kept {
			t.Errorf("the storm's reads are kept: %v; the next key is hot: %v", kept, hot)
		}
	}
}
