package chart

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Lines is a picture of figures over time, a panel for each.
type Lines struct {
	Title, Subtitle string
	Panels          []Panel
	Length          float64 // seconds
	Marks           []Mark
}

// Panel is one line, over its own scale from zero.
type Panel struct {
	Name, Unit string
	Points     []Point
}

// Point is a figure at a time.
type Point struct{ Second, Value float64 }

// Mark is something that happened, drawn through all panels.
type Mark struct {
	Second float64
	Name   string
}

const (
	panelHeight = 150
	panelHead   = 26
	panelLeft   = 72
)

// SVG draws it.
func (l *Lines) SVG() string {
	height := 70 + len(l.Panels)*(panelHead+panelHeight) + footHeight
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title">
<title id="title">%[3]s</title>
<style>
 .ground { fill: #ffffff; stroke: #d9dee5 }
 text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1f2730 }
 .soft { fill: #5b6673 } .head { font-size: 18px; font-weight: 600 } .name { font-size: 13px; font-weight: 600 }
 .line { stroke: #e3e7ec } .mark { stroke: #e8a33d; stroke-dasharray: 3 3 } .figure { stroke: #2f7df6; fill: none; stroke-width: 1.5 }
 @media (prefers-color-scheme: dark) {
  .ground { fill: #12171d; stroke: #2c3540 }
  text { fill: #e6ebf1 }
  .soft { fill: #9aa7b5 }
  .line { stroke: #212933 }
 }
</style>
<rect class="ground" x="0.5" y="0.5" width="%[4]d" height="%[5]d" rx="8"/>
<text class="head" x="%[6]d" y="34">%[3]s</text>
<text class="soft" x="%[6]d" y="54">%[7]s</text>
`, Width, height, html.EscapeString(l.Title), Width-1, height-1, border, html.EscapeString(l.Subtitle))
	top := 70
	for _, p := range l.Panels {
		l.draw(&b, p, top+panelHead)
		top += panelHead + panelHeight
	}
	for i := range 11 {
		second := l.Length * float64(i) / 10
		fmt.Fprintf(&b, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s s</text>\n", l.x(second), top+22, tickText(math.Round(second)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (l *Lines) x(second float64) float64 {
	return panelLeft + second/max(l.Length, 1)*(Width-panelLeft-border)
}

// draw writes a panel whose scale ends at top.
func (l *Lines) draw(b *strings.Builder, p Panel, top int) {
	const room = panelHeight - 16
	highest := 0.0
	for _, at := range p.Points {
		highest = max(highest, at.Value)
	}
	step := tickStep(highest)
	scale := math.Max(1, math.Ceil(highest/step)) * step
	y := func(v float64) float64 { return float64(top) + room*(1-v/scale) }
	fmt.Fprintf(b, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>\n", panelLeft, top-8, html.EscapeString(p.Name))
	for i := 0.0; i*step <= scale; i++ {
		fmt.Fprintf(b, "<line class=\"line\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>\n", panelLeft, Width-border, y(i*step), y(i*step))
		fmt.Fprintf(b, "<text class=\"soft\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", panelLeft-8, y(i*step)+4, strings.TrimSpace(tickText(i*step)+" "+p.Unit))
	}
	for _, m := range l.Marks {
		fmt.Fprintf(b, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"><title>%s</title></line>\n", l.x(m.Second), l.x(m.Second), top, top+room, html.EscapeString(m.Name))
	}
	b.WriteString("<polyline class=\"figure\" points=\"")
	for i, at := range p.Points {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(b, "%.1f,%.1f", l.x(at.Second), y(at.Value))
	}
	b.WriteString("\"/>\n")
}

// tickStep is a round distance of two to five lines below a figure.
func tickStep(highest float64) float64 {
	if highest <= 0 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(highest)))
	for highest/step < 2 {
		step /= 2
	}
	if highest/step > 5 {
		step *= 2
	}
	return step
}
