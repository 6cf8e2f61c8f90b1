package hashring

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// predixyKeys are the keys of testdata/predixy.txt.
func predixyKeys() []string {
	keys := []string{"", "-", "+", "+5", "-7", "--5", "+-5", "007", "9223372036854775807", "9223372036854775808",
		"18446744073709551616", "99999999999999999999999", "-9223372036854775808", "-99999999999999999999999", "12ab", "a12", "{}", "{}1",
		"{5}6", "5{6}7", "{{8}}", "}{9}", "\xff\x80", "{\xe9}x", "3.7", " 4", "{", "4{", "{-3}", "-{3}"}
	for i := range 120 {
		keys = append(keys, fmt.Sprint("user:", i*7919), fmt.Sprint(i*7919, ":cart"), fmt.Sprint("-", i*104729), fmt.Sprintf("a{%d}b%d", i*31, i))
	}
	return keys
}

// Each line of testdata/predixy.txt has a hash, a hash tag or none, and a number of groups, and then the group of each key, one digit
// each. A C++ program wrote it that was linked with predixy's own HashFunc.cpp and Crc16.cpp (g++, x86-64), and computed of each key
// what StandaloneServerPool::getServer does: long idx = hash.hash(key, len, tag); idx %= groups, a size_t.
func TestListPlacesKeysWherePredixyDoes(t *testing.T) {
	data, err := os.ReadFile("testdata/predixy.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys, lines := predixyKeys(), 0
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		groups, err := strconv.Atoi(f[2])
		if err != nil || len(f[3]) != len(keys) {
			t.Fatalf("%d groups of %d keys, %v", len(f[3]), len(keys), err)
		}
		lines++
		r := mustNew(t, upsideDown(groups), Options{Distribution: "list", Hash: f[0], HashTag: strings.Replace(f[1], "none", "", 1)})
		for i, key := range keys {
			if got := r.Find([]byte(key)); got != int(f[3][i]-'0') {
				t.Errorf("%s, hash tag %s, %d groups: %q is in group %d, and in predixy's %c", f[0], f[1], groups, key, got, f[3][i])
			}
		}
	}
	if lines != 24 {
		t.Errorf("%d lines, want 24", lines)
	}
}

// upsideDown are nodes whose names are in no order that a ring could bring them into.
func upsideDown(n int) (list []Node) {
	for i := range n {
		list = append(list, Node{fmt.Sprint("shard", (i*7+5)%11), 1})
	}
	return list
}

func TestListCountsWeightsInTheOrderOfTheList(t *testing.T) {
	r := mustNew(t, nodeList("z", 2, "a", 1, "m", 3), Options{Distribution: "list", Hash: hashAtol})
	var got []string
	for i := range 8 {
		got = append(got, r.Node(r.Find([]byte(strconv.Itoa(i)))).Name)
	}
	if want := "z z a m m m z z"; strings.Join(got, " ") != want {
		t.Errorf("keys 0 to 7 are on %v, want %s", got, want)
	}
}

// What would be lost keys elsewhere is none: of atol, a sample has to be of numbers.
func TestFlowsOfAListThatIsTurnedRound(t *testing.T) {
	for _, hash := range []string{"crc16", hashAtol} {
		a := mustNew(t, nodeList("a", 1, "b", 1), Options{Distribution: "list", Hash: hash})
		b := mustNew(t, nodeList("b", 1, "a", 1), Options{Distribution: "list", Hash: hash})
		if moved := Moved(a, b); moved != 1 {
			t.Errorf("%s: %.3f of the keys move, want all", hash, moved)
		}
		c := mustNew(t, nodeList("a", 1, "b", 1, "c", 1), Options{Distribution: "list", Hash: hash})
		if moved := Moved(a, c); moved < 0.6 || moved > 0.7 {
			t.Errorf("%s: with a third node %.3f of the keys move, want two in three", hash, moved)
		}
	}
}
