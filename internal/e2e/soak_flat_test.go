//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/internal/bench/chart"
)

// sample is what one process held at a time.
type sample struct {
	at                     time.Duration // from the start of the soak
	process                int           // 0: the first
	rss, goroutines, files float64
	answered               int64 // by all so far
	what                   string
}

// figure is one that has to stay flat. It may grow by a part of itself, which is what a collector and the weather of the load do, and by a
// few besides.
type figure struct {
	name      string
	of        func(s *sample) float64
	part, few float64
}

var figures = []figure{
	{"MiB resident", func(s *sample) float64 { return s.rss / mib }, 0.10, 6},
	{"goroutines", func(s *sample) float64 { return s.goroutines }, 0.05, 8},
	{"descriptors", func(s *sample) float64 { return s.files }, 0.05, 12},
}

// growth compares the median of the last quarter of a process' life with that of the second.
//
// The first quarter doesn't count: buffers find their size in it, lanes and private connections are opened, Go's heap settles. Medians,
// since each fault makes a peak (a node that is stopped fills queues), and the peaks are as many in one quarter as in the other, for the
// faults go round. Half of the life lies between the two quarters: what leaks r a second has grown by r × life / 2. So the least leak that
// is seen is (part × figure + few) / (life / 2), a hundredth as much in half an hour as in twenty seconds.
func growth(list []float64) (second, last float64) {
	quarter := len(list) / 4
	return median(list[quarter : 2*quarter]), median(list[len(list)-quarter:])
}

func (f *figure) flat(second, last float64) bool { return last <= second*(1+f.part)+f.few }

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)/2]
}

// judge looks at each process that lived for long enough.
func judge(t *testing.T, samples []sample) {
	t.Helper()
	for len(samples) > 0 {
		n := slices.IndexFunc(samples, func(s sample) bool { return s.process != samples[0].process })
		if n < 0 {
			n = len(samples)
		}
		life := samples[:n]
		samples = samples[n:]
		length := life[n-1].at - life[0].at
		if n < 16 {
			t.Logf("process %d lived for %v only: not judged", life[0].process, length.Round(time.Second))
			continue
		}
		for _, f := range figures {
			var list []float64
			for i := range life {
				list = append(list, f.of(&life[i]))
			}
			second, last := growth(list)
			words := fmt.Sprintf("process %d, %v: %s %.1f in the second quarter, %.1f in the last, %.1f at most", life[0].process, length.Round(time.Second), f.name, second, last, slices.Max(list))
			if f.flat(second, last) {
				t.Logf("%s; a leak of %.3g a minute would have shown", words, (second*f.part+f.few)/(length.Minutes()/2))
			} else {
				t.Errorf("%s: it grows", words)
			}
		}
	}
}

// What is flat, and what isn't.
func TestGrowth(t *testing.T) {
	f := figure{name: "figure", part: 0.05, few: 4}
	curve := func(of func(i int) float64) (list []float64) {
		for i := range 400 {
			list = append(list, of(i))
		}
		return list
	}
	for _, tt := range []struct {
		name string
		of   func(i int) float64
		flat bool
	}{
		{"a constant", func(i int) float64 { return 100 }, true},
		{"growth while it warms up", func(i int) float64 { return min(100, float64(i)) }, true},
		{"a collector's saw", func(i int) float64 { return 100 + float64(i%40) }, true},
		{"peaks", func(i int) float64 { return 100 + 900*float64(max(0, i%10-8)) }, true},
		{"a peak at the end", func(i int) float64 { return 100 + 900*float64(max(0, i-398)) }, true},
		{"a decline", func(i int) float64 { return 1000 - float64(i) }, true},
		{"a leak", func(i int) float64 { return 100 + float64(i)/15 }, false},
		{"a leak below a saw", func(i int) float64 { return 100 + float64(i%40) + float64(i)/10 }, false},
		{"a step", func(i int) float64 { return 100 + 20*float64(i/250) }, false},
	} {
		if second, last := growth(curve(tt.of)); f.flat(second, last) != tt.flat {
			t.Errorf("%s: from %.1f to %.1f, taken for flat: %v", tt.name, second, last, !tt.flat)
		}
	}
}

// write puts the samples and their picture into a folder.
func writeSoak(t *testing.T, dir string, samples []sample, subtitle string) {
	t.Helper()
	var csv strings.Builder
	csv.WriteString("second,process,rss_bytes,goroutines,descriptors,replies,events\n")
	picture := chart.Lines{Title: "A soak: what Ringway held", Subtitle: subtitle, Length: samples[len(samples)-1].at.Seconds()}
	for _, f := range figures {
		picture.Panels = append(picture.Panels, chart.Panel{Name: f.name})
	}
	for i := range samples {
		s := &samples[i]
		fmt.Fprintf(&csv, "%.1f,%d,%.0f,%.0f,%.0f,%d,%s\n", s.at.Seconds(), s.process, s.rss, s.goroutines, s.files, s.answered, s.what)
		for j, f := range figures {
			p := &picture.Panels[j]
			p.Points = append(p.Points, chart.Point{Second: s.at.Seconds(), Value: f.of(s)})
		}
		if i > 0 && s.process != samples[i-1].process {
			picture.Marks = append(picture.Marks, chart.Mark{Second: s.at.Seconds(), Name: "another process took over"})
		}
	}
	for name, text := range map[string]string{"soak.csv": csv.String(), "soak.svg": picture.SVG()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}
