package pool

import "testing"

func TestFlightsKnowWhenEachRequestWasWritten(t *testing.T) {
	var f flights
	f.written(3, 300, 0, 10)   // 1 to 3
	f.written(5, 500, 200, 20) // 4 and 5, which the node does not take
	f.written(5, 500, 150, 30) // nor all of it now
	f.written(9, 900, 400, 40) // but now, and nothing of 6 to 9
	f.written(9, 900, 0, 50)
	for _, x := range []struct {
		request uint64
		at      int64
	}{{1, 10}, {2, 10}, {3, 10}, {4, 40}, {5, 40}, {6, 50}, {9, 50}} {
		if at := f.when(x.request, 99); at != x.at {
			t.Errorf("request %d was written at %d, want %d", x.request, at, x.at)
		}
	}
	if at := f.when(10, 99); at != 99 || len(f.marks) != 0 {
		t.Errorf("a reply to what is not known to be written: %d, and %d marks are left", at, len(f.marks))
	}
}

func TestFlightsAreBounded(t *testing.T) {
	var f flights
	for n := range uint64(10 * mostMarks) {
		f.written(n+1, n+1, 0, int64(n+1))
		if n >= 100 {
			if at := f.when(n-99, 0); at > int64(n-99) {
				t.Fatalf("request %d was written at %d", n-99, at)
			}
		}
	}
	if cap(f.marks) > mostMarks {
		t.Errorf("%d marks for 100 writes under way", cap(f.marks))
	}
	f.forget()
	for n := range uint64(10 * mostMarks) {
		f.written(n+1, n+1, 0, int64(n+1))
	}
	if len(f.marks) > mostMarks {
		t.Errorf("%d marks", len(f.marks))
	}
	for _, request := range []uint64{1, mostMarks - 1, 10 * mostMarks} {
		if at := f.when(request, 0); at != int64(min(request, mostMarks)) {
			t.Errorf("request %d was written at %d", request, at)
		}
	}
}

func TestABusyLoopCountsOneTurnInEightForAll(t *testing.T) {
	for _, each := range []int{1, busyTurn - 1, busyTurn, 1000} {
		var c Clock
		c.Count(true)
		counted, looked := 0, 0
		for turn := range int64(1 + 10*sampled) {
			for node := range 2 { // both have sent something
				c.begin(node, turn+1)
				if c.Replying != node+1 {
					t.Fatalf("node %d's replies are handed over as those of %d", node, c.Replying-1)
				}
				if n := each / 2 * int(c.Weight); turn > 0 && n > 0 {
					counted += n
					looked += each / 2
				}
				c.done(each / 2)
			}
			c.replies += each % 2
		}
		if all := 10 * sampled * (each / 2 * 2); counted != all {
			t.Errorf("%d replies a turn: %d of them are counted as %d", each, all, counted)
		} else if busy := each >= busyTurn; busy != (looked < all) {
			t.Errorf("%d replies a turn: %d of %d are looked at", each, looked, all)
		}
	}
}
