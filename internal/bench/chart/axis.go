package chart

import (
	"fmt"
	"math"
	"strings"
)

// axis is a scale from left to right.
type axis struct {
	logarithmic bool
	from, to    float64
}

// newAxis makes one for bars from lowest to highest. On a logarithmic one bars begin a little below the least figure, so that the shortest is
// seen: the start of such a scale is arbitrary, the lines and the figures are what to read.
func newAxis(logarithmic bool, lowest, highest float64) *axis {
	a := &axis{logarithmic: logarithmic, to: highest * 1.15}
	if logarithmic {
		a.from = math.Pow(10, math.Floor(math.Log10(lowest)*2-0.2)/2)
	}
	return a
}

func (a *axis) x(v float64) float64 {
	plot := float64(Width - LabelWidth - ValueWidth - border)
	if a.logarithmic {
		return LabelWidth + plot*(math.Log(v)-math.Log(a.from))/(math.Log(a.to)-math.Log(a.from))
	}
	return LabelWidth + plot*v/a.to
}

// draw writes the lines and what stands below them.
func (a *axis) draw(b *strings.Builder, top, bottom int) {
	line := func(v float64, class string) {
		fmt.Fprintf(b, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", class, a.x(v), a.x(v), top, bottom)
		fmt.Fprintf(b, "<text class=\"small soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", a.x(v), bottom+18, tickText(v))
	}
	if !a.logarithmic {
		step := math.Pow(10, math.Floor(math.Log10(a.to)))
		for a.to/step < 4 {
			step /= 2
		}
		for i := 0.0; i*step <= a.to; i++ {
			line(i*step, "line")
		}
		return
	}
	for tick := math.Pow(10, math.Floor(math.Log10(a.from))); tick <= a.to; tick *= 10 {
		for _, step := range []float64{1, 2, 5} {
			v := tick * step
			if v < a.from*0.999 || v > a.to {
				continue
			}
			class := "line"
			if step == 1 {
				class = "line ten"
			}
			line(v, class)
		}
	}
}

func tickText(v float64) string {
	text := fmt.Sprintf("%.3f", v)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
