package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// TestPopularity adds up the columns of the table, and so has the probabilities exactly.
func TestPopularity(t *testing.T) {
	for _, s := range []float64{0, 0.99, 1.4} {
		p := zipf(s)
		share := make([]float64, allKeys)
		for i := range p.own {
			share[i] += float64(p.own[i]) / allKeys
			share[p.other[i]] += (1 - float64(p.own[i])) / allKeys
		}
		sum := 0.0
		for i := range share {
			sum += math.Pow(float64(i+1), -s)
		}
		for _, i := range []int{0, 1, 2, 9, 999, allKeys - 1} {
			if want := math.Pow(float64(i+1), -s) / sum; math.Abs(share[i]-want) > 1e-3*want {
				t.Errorf("Zipf %g: number %d has %g, want %g", s, i, share[i], want)
			}
		}
	}
	p, rng, first := zipf(1.2), rand.New(rand.NewPCG(1, 1)), 0
	for range 100_000 {
		if p.draw(rng) == 0 {
			first++
		}
	}
	if first < 17_000 || first > 21_000 { // 0.1893 by the sum
		t.Errorf("the first of Zipf 1.2 was drawn %d times of 100000", first)
	}
}

func TestBuckets(t *testing.T) {
	last := 0
	for _, ns := range []int64{0, 1000, 999_000, 1_000_000, 1_500_000, 63_000_000, 5_000_000_000} {
		b := bucketOf(ns)
		ms := float64(ns) / 1e6
		if b < last || ns >= 1000 && (upTo(b) < ms || upTo(b) > 1.13*ms+0.001) {
			t.Errorf("%g ms are in a bucket up to %g ms", ms, upTo(b))
		}
		last = b
	}
}

func TestRelief(t *testing.T) {
	// Two nodes that are sent 10 commands in 10 ms each; the first gets 30 until 150 ms, and from then on 10 again.
	var list []loadsAt
	var sent [2]uint64
	for i := range 100 {
		after := time.Duration(i) * sampleEvery
		list = append(list, loadsAt{after, []uint64{sent[0], sent[1]}})
		sent[1] += 10
		if sent[0] += 10; after < 150*time.Millisecond {
			sent[0] += 20
		}
	}
	// (30k + 10(10-k)) < 1.2 * (mean of that and 100) holds for k < 2.5 of ten: 80 ms after it was over.
	if got := relief(list, 0); got != 230 {
		t.Errorf("relieved after %g ms", got)
	}
	if got := relief(list[:15], 0); !math.IsInf(got, 1) {
		t.Errorf("relieved after %g ms, though it was not", got)
	}
}

func TestRatios(t *testing.T) {
	var list, to []float64
	for i := range 101 {
		to = append(to, float64(i+1))
		list = append(list, float64(i+1)*(1+float64(i-50)/1000))
	}
	mid, low, high := ratios(list, to)
	if mid != 1 || math.Abs(low-0.99) > 1e-9 || math.Abs(high-1.01) > 1e-9 {
		t.Errorf("%g, %g to %g", mid, low, high)
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{"-parts", "all"}, {"-nodes", "1"}, {"-nodes", "8,x"}, {"-workloads", "calm"}, {"x"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	opt, err := parse([]string{"-nodes", "4", "-workloads", "uniform,storm 90 %"}, io.Discard)
	if err != nil || len(opt.workloads) != 2 || opt.nodes[0] != 4 || len(opt.parts) != len(parts) {
		t.Errorf("%+v, %v", opt, err)
	}
}

func TestPictures(t *testing.T) {
	var rows []*row
	for _, n := range []int{8, 32} {
		for _, w := range workloads {
			for i, mode := range []string{"off", "copies", "auto"} {
				loads := make([]float64, n)
				for k := range loads {
					loads[k] = float64(100 * (k + 1) / (i + 1))
				}
				rows = append(rows, &row{nodes: n, workload: w, mode: mode, samples: []sample{{Rate: 1000, Loads: loads}}, gains: []float64{float64(10*i + 1)}})
			}
		}
	}
	files := map[string]string{}
	draw(files, rows)
	for _, name := range []string{"hotkeys-gain-8.svg", "hotkeys-gain-32.svg", "hotkeys-load.svg"} {
		text := files[name]
		bars := strings.Count(text, " times</title>") + strings.Count(text, " commands/s</title>")
		want := 2 * len(workloads)
		if name == "hotkeys-load.svg" {
			want = 2 * 8
		}
		if bars != want || strings.Contains(text, "%!") || strings.Contains(text, "NaN") {
			t.Errorf("%s has %d bars, want %d:\n%s", name, bars, want, text)
		}
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// TestOnce has every way of measuring run for a moment: with capped nodes and with real ones, and storms that are noticed.
func TestOnce(t *testing.T) {
	opt, err := parse([]string{"-nodes", "4", "-modes", "off,copies", "-workloads", "storm 60 %", "-rounds", "1", "-warm", "1s", "-measure", "500ms", "-storms", "1",
		"-threads", "1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("../../..")
	var out strings.Builder
	b, err := newBench(t.Context(), opt, &out, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)

	f, err := startCapped(4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	for _, mode := range opt.modes {
		s, err := b.once(&row{servers: "capped", nodes: 4, workload: opt.workloads[0], mode: mode}, 0, f, 8, 8)
		if err != nil {
			t.Fatal(err)
		}
		if s.Rate == 0 || s.Errors > 0 || s.P50 == 0 || s.P99 < s.P50 || len(s.Loads) != 4 || s.sent() < 0.9 {
			t.Errorf("%s: %+v", mode, s)
		}
	}
	noticed, relieved, err := b.storms(4, "copies", 0.6)
	if err != nil || len(noticed) != 1 || len(relieved) != 1 || relieved[0] < 100 {
		t.Errorf("noticed after %v, relieved after %v, %v", noticed, relieved, err)
	}

	servers, err := b.startReal(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(servers.close)
	before, err := servers.commands()
	if err != nil {
		t.Fatal(err)
	}
	c := redistest.Dial(t, servers.addrs()[1])
	for i := range 7 {
		c.Do("SET", fmt.Sprint(i), "x")
	}
	after, err := servers.commands()
	if err != nil || after["set"]-before["set"] != 7 || after["info"] != 0 {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
	if n, err := servers.connections(); err != nil || n != 1 {
		t.Errorf("%d connections, %v", n, err)
	}
}
