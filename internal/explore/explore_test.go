package explore

import (
	"fmt"
	"slices"
	"testing"
)

// jugs is two jugs, of three and of five litres, that can be filled, emptied and poured into each other. Four litres are what is wrong.
type jugs struct{ wrong uint8 }

type litres struct{ three, five uint8 }

func (jugs) Start() litres         { return litres{} }
func (jugs) Canon(s litres) litres { return s }
func (jugs) Name(e Event) string   { return fmt.Sprintf(e.What, e.Arg) }
func (j jugs) Broken(s litres) string {
	if s.five == j.wrong {
		return "measured"
	}
	return ""
}

func (jugs) Steps(s litres, visit func(Event, litres)) {
	visit(Event{Arg: 3, What: "fill %d"}, litres{3, s.five})
	visit(Event{Arg: 5, What: "fill %d"}, litres{s.three, 5})
	visit(Event{Arg: 3, What: "empty %d"}, litres{0, s.five})
	visit(Event{Arg: 5, What: "empty %d"}, litres{s.three, 0})
	n := min(s.three, 5-s.five)
	visit(Event{Arg: 3, What: "pour %d"}, litres{s.three - n, s.five + n})
	n = min(s.five, 3-s.three)
	visit(Event{Arg: 5, What: "pour %d"}, litres{s.three + n, s.five - n})
}

func TestSearchFindsTheShortestWay(t *testing.T) {
	want := []string{"fill 5", "pour 5", "empty 3", "pour 5", "fill 5", "pour 5"}
	if out := Search(jugs{4}, 100); out.Broken != "measured" || !slices.Equal(out.Trace, want) {
		t.Errorf("%v", out)
	}
}

func TestSearchVisitsAllStates(t *testing.T) {
	if out := Search(jugs{6}, 100); out.Broken != "" || out.Cut || out.States != 16 {
		t.Errorf("%v", out)
	}
	if out := Search(jugs{6}, 10); !out.Cut {
		t.Errorf("not cut: %v", out)
	}
}

func TestSetGrows(t *testing.T) {
	s := newSet()
	for round := range 2 {
		for h := range uint64(100_000) {
			if s.add(h*0x9e3779b97f4a7c15+1) != (round == 0) {
				t.Fatalf("round %d: add %d", round, h)
			}
		}
	}
}
