package hashring

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A golden file that changes moves the keys of everyone who upgrades. Write them anew only for a new case:
//
//	go test ./hashring -run 'Golden|Report' -update
var update = flag.Bool("update", false, "write golden files and the report of docs/hashring.md anew")

func TestPlacementIsTheGoldenFiles(t *testing.T) {
	for name, ring := range map[string]struct {
		nodes []Node
		opt   Options
	}{
		"consistent-3":              {equalNodes(3), Options{}},
		"consistent-12":             {equalNodes(12), Options{}},
		"consistent-weights-1-2-4":  {nodeList("small", 1, "medium", 2, "large", 4), Options{}},
		"consistent-weights-many":   {weighted(9, func(i int) int { return 10 + i*i%7 }), Options{}},
		"consistent-40-points-1.25": {equalNodes(5), Options{VirtualNodes: 40, LoadBound: 1.25}},
		"crc16-3":                   {equalNodes(3), Options{Distribution: "crc16"}},
		"crc16-weights":             {nodeList("b", 3, "a", 1, "aa", 2), Options{Distribution: "crc16"}},
		"ketama-weights":            {nodeList("server1", 1, "server2", 2, "10.0.0.3:6379", 1), Options{Distribution: "ketama"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustNew(t, ring.nodes, ring.opt)
			var b bytes.Buffer
			for _, n := range r.order {
				fmt.Fprintf(&b, "%c %s weight %d\n", letter(r, int(n)), r.nodes[n].Name, r.nodes[n].Weight)
			}
			switch r.kind {
			case kindConsistent:
				writePartitions(&b, r)
			case kindCRC16:
				writeRanges(&b, r)
			case kindKetama:
				for _, p := range r.Points() {
					fmt.Fprintf(&b, "%10d %c\n", p.Value, letter(r, p.Node))
				}
			}
			golden(t, name, b.Bytes())
		})
	}
}

// One line a hash and distribution: the owners of the same keys.
func TestKeysAreOnTheNodesOfTheGoldenFile(t *testing.T) {
	keys := wildKeys(64)
	nodes := nodeList("node-0", 1, "node-1", 2, "node-2", 1, "node-3", 1, "spare", 1)
	var b bytes.Buffer
	for _, d := range []string{"consistent", "crc16", "ketama", "modula"} {
		for _, h := range Hashes() {
			if d == "crc16" && h != "crc16" {
				continue
			}
			r := mustNew(t, nodes, Options{Distribution: d, Hash: h, HashTag: "{}"})
			fmt.Fprintf(&b, "%-10s %-13s ", d, h)
			for _, key := range keys {
				fmt.Fprint(&b, r.Find(key))
			}
			b.WriteByte('\n')
		}
	}
	golden(t, "keys", b.Bytes())
}

// letter names a node by its place in the ring's own order, which is independent of the list's.
func letter(r *Ring, node int) byte {
	for i, n := range r.order {
		if int(n) == node {
			return "abcdefghijklmnopqrstuvwxyz"[i]
		}
	}
	return '?'
}

// writePartitions writes a letter a partition, 64 a line.
func writePartitions(b *bytes.Buffer, r *Ring) {
	for p, n := range r.table {
		if p%64 == 0 {
			fmt.Fprintf(b, "\n%5d ", p)
		}
		b.WriteByte(letter(r, int(n)))
	}
	b.WriteByte('\n')
}

func writeRanges(b *bytes.Buffer, r *Ring) {
	for begin, p := 0, 1; p <= Partitions; p++ {
		if p == Partitions || r.table[p] != r.table[begin] {
			fmt.Fprintf(b, "%d-%d %c\n", begin, p-1, letter(r, int(r.table[begin])))
			begin = p
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d: the placement has changed\n got %s\nwant %s", file, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(g), len(w))
}
