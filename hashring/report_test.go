package hashring

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// movement is how a ring of n nodes behaves when one more joins, tried with several names, and when one leaves,
// tried with eight at most.
type movement struct {
	space, keys       float64 // max/mean of the hash space, and of 100,000 real keys
	join, worstJoin   float64
	leave, worstLeave float64
}

var newcomers = []string{"node-%d", "a", "zz-spare", "10.0.0.9:6379"}

func measure(t *testing.T, n int, opt Options) movement {
	t.Helper()
	nodes := equalNodes(n)
	ring := mustNew(t, nodes, opt)
	m := movement{space: ring.Imbalance(), keys: imbalanceOfKeys(ring)}
	for i, name := range newcomers {
		if i == 0 {
			name = fmt.Sprintf(name, n)
		}
		moved := Moved(ring, mustNew(t, append(slices.Clone(nodes), Node{name, 1}), opt))
		m.join += moved / float64(len(newcomers))
		m.worstJoin = max(m.worstJoin, moved)
	}
	leavers := min(n, 8)
	for i := range leavers {
		at := i * n / leavers
		moved := Moved(ring, mustNew(t, slices.Delete(slices.Clone(nodes), at, at+1), opt))
		m.leave += moved / float64(leavers)
		m.worstLeave = max(m.worstLeave, moved)
	}
	return m
}

func imbalanceOfKeys(r *Ring) float64 {
	const keys = 100_000
	count := make([]int, r.Len())
	for i := range keys {
		count[r.Find(sampleKey(nil, "key:", i))]++
	}
	return float64(slices.Max(count)) * float64(len(count)) / keys
}

// The bounds are what docs/hashring.md promises, in multiples of the ideal for movement.
func TestReportOfBalanceAndMovement(t *testing.T) {
	var report bytes.Buffer
	report.WriteString("| Distribution | Nodes | Hash space, max/mean | 100,000 keys, max/mean | Joins: moved (worst) | Ideal | Leaves: moved (worst) | Ideal |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		name                   string
		opt                    Options
		balance, joins, leaves float64
	}{
		{"consistent", Options{}, 1.06, 1.4, 1.4},
		{"ketama, fnv1a_64", Options{Distribution: "ketama"}, 1.25, 1.25, 1.25},
		{"ketama, xxhash64", Options{Distribution: "ketama", Hash: "xxhash64"}, 1.25, 1.25, 1.25},
		{"modula, fnv1a_64", Options{Distribution: "modula"}, 1.01, math.Inf(1), math.Inf(1)},
		{"crc16", Options{Distribution: "crc16"}, 1.01, math.Inf(1), math.Inf(1)},
	} {
		for _, n := range []int{3, 8, 32} {
			m := measure(t, n, c.opt)
			joinIdeal, leaveIdeal := 1/float64(n+1), 1/float64(n)
			fmt.Fprintf(&report, "| %s | %d | %.3f | %.3f | %s (%s) | %s | %s (%s) | %s |\n", c.name, n, m.space, m.keys,
				percent(m.join), percent(m.worstJoin), percent(joinIdeal), percent(m.leave), percent(m.worstLeave), percent(leaveIdeal))
			if m.space > c.balance {
				t.Errorf("%s, %d nodes: max/mean is %.3f, want at most %.3f", c.name, n, m.space, c.balance)
			}
			if m.join > c.joins*joinIdeal {
				t.Errorf("%s, %d nodes: a join moves %s, want at most %.2f times %s", c.name, n, percent(m.join), c.joins, percent(joinIdeal))
			}
			if m.leave > c.leaves*leaveIdeal {
				t.Errorf("%s, %d nodes: a leave moves %s, want at most %.2f times %s", c.name, n, percent(m.leave), c.leaves, percent(leaveIdeal))
			}
		}
	}
	checkReport(t, "balance", report.Bytes())
}

func TestReportOfLoadBounds(t *testing.T) {
	var report bytes.Buffer
	report.WriteString("| Load bound | Nodes | Max/mean | Joins: moved | Ideal | Leaves: moved | Ideal |\n|---|---|---|---|---|---|---|\n")
	for _, bound := range []float64{1, 1.05, 1.1, 1.25} {
		for _, n := range []int{8, 32} {
			m := measure(t, n, Options{LoadBound: bound})
			fmt.Fprintf(&report, "| %.2f | %d | %.3f | %s | %s | %s | %s |\n", bound, n, m.space,
				percent(m.join), percent(1/float64(n+1)), percent(m.leave), percent(1/float64(n)))
		}
	}
	checkReport(t, "bounds", report.Bytes())
}

func TestReportOfWeights(t *testing.T) {
	third := func(i int) int { return 1 + i%3 }
	apart := func(i int) int { return 10 + i*7%31 }
	var report bytes.Buffer
	report.WriteString("| Change | Worst load before, after | Moved | Ideal |\n|---|---|---|---|\n")
	for _, c := range []struct {
		name          string
		before, after []Node
		most          float64 // times the ideal
	}{
		{"1, 1, 1 to 1, 1, 2", nodeList("a", 1, "b", 1, "c", 1), nodeList("a", 1, "b", 1, "c", 2), 1.3},
		{"1, 1, 2 to 1, 2, 2", nodeList("a", 1, "b", 1, "c", 2), nodeList("a", 1, "b", 2, "c", 2), 1.3},
		{"100, 100, 100 to 100, 100, 101", nodeList("a", 100, "b", 100, "c", 100), nodeList("a", 100, "b", 100, "c", 101), 1.5},
		{"1, 1, 2: a fourth of weight 1", nodeList("a", 1, "b", 1, "c", 2), nodeList("a", 1, "b", 1, "c", 2, "d", 1), 1.3},
		{"1, 1, 2: a fourth of weight 4", nodeList("a", 1, "b", 1, "c", 2), nodeList("a", 1, "b", 1, "c", 2, "d", 4), 1.3},
		{"1, 1, 1, 10: a fifth of weight 1", nodeList("a", 1, "b", 1, "c", 1, "d", 10), nodeList("a", 1, "b", 1, "c", 1, "d", 10, "e", 1), 1.6},
		{"8 of weights 1 to 3: a ninth of 3", weighted(8, third), weighted(9, third), 1.5},
		{"32 of weights 1 to 3: one more of 3", weighted(32, third), weighted(33, third), 1.5},
		{"8 of different weights: a ninth", weighted(8, apart), weighted(9, apart), 1.5},
		{"31 of 31 different weights: one more", weighted(31, apart), weighted(32, apart), 1.6},
	} {
		a, b := mustNew(t, c.before, Options{}), mustNew(t, c.after, Options{})
		moved, ideal := Moved(a, b), leastMoved(c.before, c.after)
		fmt.Fprintf(&report, "| %s | %.3f, %.3f | %s | %s |\n", c.name, a.Imbalance(), b.Imbalance(), percent(moved), percent(ideal))
		if worst := max(a.Imbalance(), b.Imbalance()); worst > 1.06 {
			t.Errorf("%s: a node has %.3f of its share, want at most 1.06", c.name, worst)
		}
		if moved > c.most*ideal {
			t.Errorf("%s: %s move, want at most %.1f times %s", c.name, percent(moved), c.most, percent(ideal))
		}
	}
	checkReport(t, "weights", report.Bytes())
}

// leastMoved is what must move so that every node has its fair share after as before.
func leastMoved(before, after []Node) float64 {
	fair := func(nodes []Node) map[string]float64 {
		total := 0.0
		for _, n := range nodes {
			total += float64(n.Weight)
		}
		shares := make(map[string]float64)
		for _, n := range nodes {
			shares[n.Name] = float64(n.Weight) / total
		}
		return shares
	}
	had, least := fair(before), 0.0
	for name, share := range fair(after) {
		least += max(0, share-had[name])
	}
	return least
}

func TestMovedIsWhatASampleOfKeysShows(t *testing.T) {
	for _, opt := range []Options{{}, {Distribution: "crc16"}, {Distribution: "ketama", Hash: "xxhash64"}} {
		a, b := mustNew(t, equalNodes(5), opt), mustNew(t, equalNodes(6), opt)
		moved, keys := 0, 0
		sample(a, b, func(from, to int, n uint64) {
			keys++
			if a.Node(from).Name != b.Node(to).Name {
				moved++
			}
		})
		if exact, sample := Moved(a, b), float64(moved)/float64(keys); math.Abs(exact-sample) > 0.01 {
			t.Errorf("%+v: moved %.4f, in a sample %.4f", opt, exact, sample)
		}
		if Moved(a, a) != 0 {
			t.Errorf("%+v: %v of the keys move between a ring and itself", opt, Moved(a, a))
		}
	}
}

func TestFlowsAddUpToTheSharesOfBothRings(t *testing.T) {
	for _, d := range []string{"consistent", "crc16", "ketama", "modula"} {
		opt := Options{Distribution: d}
		a, b := mustNew(t, nodeList("a", 1, "b", 2, "c", 4), opt), mustNew(t, nodeList("c", 4, "d", 3, "a", 1), opt)
		flows, exact := Flows(a, b)
		if exact != (d != "modula") {
			t.Errorf("%s: exact is %v", d, exact)
		}
		from, to := make([]float64, 3), make([]float64, 3)
		for _, f := range flows {
			from[f.From] += f.Share
			to[f.To] += f.Share
		}
		for i := range 3 {
			if math.Abs(from[i]-a.Shares()[i]) > 0.01 || math.Abs(to[i]-b.Shares()[i]) > 0.01 {
				t.Errorf("%s: flows from %.3f to %.3f, shares %.3f and %.3f", d, from, to, a.Shares(), b.Shares())
			}
		}
	}
}

func TestSharesAreWhatASampleOfKeysShows(t *testing.T) {
	for _, d := range Distributions() {
		opt := Options{Distribution: d}
		if d == "ketama" || d == "modula" {
			opt.Hash = "xxhash64"
		}
		r := mustNew(t, nodeList("a", 1, "b", 2, "c", 4, "d", 3), opt)
		count, sum := make([]float64, 4), 0.0
		for i := range 200_000 {
			count[r.Find(sampleKey(nil, "key:", i))] += 1.0 / 200_000
		}
		for i, share := range r.Shares() {
			sum += share
			if math.Abs(share-count[i]) > 0.005 {
				t.Errorf("%s: node %d has a share of %.4f, but %.4f of the keys", d, i, share, count[i])
			}
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: the shares add up to %v", d, sum)
		}
	}
}

func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// checkReport compares what was measured with the part of docs/hashring.md between two marks, or writes it there.
func checkReport(t *testing.T, part string, got []byte) {
	t.Helper()
	const file = "../docs/hashring.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Appendf(nil, "<!-- measured: %s -->\n", part), []byte("<!-- end -->\n")
	before, rest, ok := bytes.Cut(doc, begin)
	want, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part between %q and %q", file, begin, end)
	}
	switch {
	case bytes.Equal(got, want):
	case *update:
		if err := os.WriteFile(file, slices.Concat(before, begin, got, end, after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: the part %q is not what was measured now:\n%s\n(go test ./hashring -run Report -update writes it)", file, part, got)
	}
}
