package chart

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

// A line's ends are where its scale has them, and the picture is well-formed whatever its words.
func TestLines(t *testing.T) {
	l := Lines{
		Title: "a < b", Length: 100, Marks: []Mark{{50, "half & half"}},
		Panels: []Panel{{Name: "memory", Unit: "MiB", Points: []Point{{0, 0}, {100, 40}}}, {Name: "nothing"}},
	}
	svg := l.SVG()
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{`points="72.0,230.0 876.0,96.0"`, ">40 MiB<", "a &lt; b", "half &amp; half"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in\n%s", want, svg)
		}
	}
}

func TestTickStep(t *testing.T) {
	for highest, want := range map[float64]float64{0: 1, 1: 0.5, 9: 2, 10: 5, 40: 10, 61: 20, 199: 50, 200: 100} {
		if got := tickStep(highest); got != want {
			t.Errorf("%v: %v, want %v", highest, got, want)
		}
	}
}
