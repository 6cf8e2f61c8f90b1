package warmmodel

import (
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/explore"
)

// full asks for the larger searches, which take minutes and gigabytes.
var full = os.Getenv("RINGWAY_FULL") != ""

func searchKey(t *testing.T, ops []kind, lapses uint8, warm bool, f fault) explore.Outcome {
	t.Helper()
	begin := time.Now()
	m := &keyMachine{ops: ops, lapses: lapses, warm: warm, faults: f, lib: newLibrary()}
	out := explore.Search(m, 100e6)
	t.Logf("%v; %v", out, time.Since(begin).Round(time.Millisecond))
	return out
}

func TestNoReadReturnsAnOlderVersion(t *testing.T) {
	for _, c := range []struct {
		name   string
		ops    []kind
		lapses uint8
		warm   bool
		full   bool
	}{
		{"one write", []kind{write, read, read}, 1, false, false},
		{"a write and a modification", []kind{write, modify, read}, 1, false, false},
		{"a removal and a modification", []kind{remove, modify, read}, 1, false, false},
		{"a flush and a write", []kind{flush, write, read}, 1, false, false},
		{"a flush and a modification", []kind{flush, modify, read}, 1, false, false},
		{"a late write of an earlier time", []kind{ghost, write, read}, 1, false, false},
		{"leases that run out three times", []kind{write, read}, 3, false, false},
		{"warm, a late write under the old ring", []kind{echo, write, read, read}, 0, true, false},
		{"warm, a late write under the old ring and a modification", []kind{echo, modify, read, read}, 0, true, false},
		{"warm, and more at once", []kind{write, modify, read, read}, 0, true, false},
		{"two writes", []kind{write, write, read, read}, 0, false, true},
		{"two modifications", []kind{modify, modify, read, read}, 0, false, true},
		{"three reads", []kind{write, read, read, read}, 1, false, true},
		{"leases that run out twice", []kind{write, modify, read}, 2, false, true},
		{"warm, with late writes and all", []kind{echo, write, modify, read, read}, 0, true, true},
	} {
		if c.full && !full {
			continue // minutes
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out := searchKey(t, c.ops, c.lapses, c.warm, 0); out.Broken != "" || out.Cut {
				t.Error("the promise is not kept, or the search was cut short")
			}
		})
	}
}

func TestEveryStepForAKeyIsNeeded(t *testing.T) {
	for _, c := range []struct {
		without string
		fault   fault
		ops     []kind
	}{
		{"the barrier", noBarrier, []kind{write, read, read}},
		{"waiting for what is in flight", noWait, []kind{write, read, read}},
		{"the fence", noFence, []kind{write, read, read}},
		{"voiding", noVoid, []kind{write, read, read}},
		{"voiding first", voidLast, []kind{write, read, read}},
		{"the marker", noMarker, []kind{write, read, read}},
		{"removing the marker", keepMarker, []kind{write, read, read}},
		{"looking whether the marker is there", noLook, []kind{write, read, read}},
		{"a marker that expires", markerForEver, []kind{write, read, read}},
		{"taking, not copying", copyOnly, []kind{echo, modify, read, read}},
		{"reading behind the restore", readOld, []kind{echo, read, read, read}},
		{"the sweep", noSweep, []kind{write, read}},
		{"waiting before the sweep", earlySweep, []kind{ghost, read, read}},
		{"the drain", noDrain, []kind{write, read, read}},
		{"writing down what is in force", noForce, []kind{write, read}},
		{"the second flush", oneFlush, []kind{flush, read, read}},
	} {
		t.Run("without "+c.without, func(t *testing.T) {
			t.Parallel()
			if out := searchKey(t, c.ops, 1, c.fault == copyOnly || c.fault == readOld, c.fault); !strings.HasPrefix(out.Broken, "no order") {
				t.Error("nothing is wrong without it")
			}
		})
	}
}
