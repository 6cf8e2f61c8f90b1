package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// colours of the contenders' bars: Ringway's stands out, the others are calm, and all can be told apart on the light
// as on the dark ground. Further builds take the spare ones.
var (
	colours = map[string]string{
		"ringway": "#2f7df6", "twemproxy": "#e8a33d", "envoy": "#b57bdc", "predixy": "#4fae7c", "haproxy": "#8d98a5",
	}
	spareColours = []string{"#16b3c4", "#e2688f", "#b3a13c", "#7f8cf0"}
)

const (
	chartWidth  = 900
	labelWidth  = 232 // left of the bars
	valueWidth  = 52  // right of the longest bar
	barHeight   = 11
	barGap      = 2
	groupGap    = 16
	headHeight  = 96
	footHeight  = 40
	chartBorder = 24
)

// A bar is one contender's figure in one scenario.
type bar struct {
	name  string
	value float64
}

// chart draws CPU time per request, a group of bars a scenario, on a scale of powers of ten: the figures differ by
// more than a thousand between the cheapest and the dearest. It has its own ground, light or dark as the reader's
// system is, and is light where the viewer does not know.
func chart(r *report) string {
	var names []string
	groups := make([][]bar, len(r.Results))
	lowest, highest := math.Inf(1), math.Inf(-1)
	for i, res := range r.Results {
		for _, l := range res.Rows {
			if l.CPU == nil || l.CPU.Median <= 0 {
				continue
			}
			groups[i] = append(groups[i], bar{l.Name, l.CPU.Median})
			lowest, highest = min(lowest, l.CPU.Median), max(highest, l.CPU.Median)
			if !slices.Contains(names, l.Name) {
				names = append(names, l.Name)
			}
		}
	}
	if len(names) == 0 {
		lowest, highest = 1, 10
	}
	// Bars begin a little below the least figure, so that the shortest is seen. The start of a logarithmic scale is
	// arbitrary; the lines and the figures are what to read.
	from := math.Pow(10, math.Floor(math.Log10(lowest)*2-0.2)/2)
	to := highest * 1.15
	plot := float64(chartWidth - labelWidth - valueWidth - chartBorder)
	x := func(v float64) float64 {
		return labelWidth + plot*(math.Log(v)-math.Log(from))/(math.Log(to)-math.Log(from))
	}
	height := headHeight + footHeight
	for _, g := range groups {
		height += len(g)*(barHeight+barGap) + groupGap
	}
	colour := chooseColours(names)

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">
<title id="title">CPU time per request of each proxy</title>
<desc id="desc">%[3]s</desc>
<style>
 .ground { fill: #ffffff; stroke: #d9dee5 }
 text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2730 }
 .soft { fill: #5b6673 }
 .line { stroke: #e3e7ec } .line.ten { stroke: #c3cad3 }
 .head { font-size: 18px; font-weight: 600 } .small { font-size: 12px } .name { font-size: 13px } .value { font-size: 10px; stroke: #ffffff; stroke-width: 3px; paint-order: stroke }
 .own { font-weight: 700 }
 @media (prefers-color-scheme: dark) {
  .ground { fill: #12171d; stroke: #2c3540 }
  text { fill: #e6ebf1 }
  .soft { fill: #9aa7b5 } .value { stroke: #12171d }
  .line { stroke: #212933 } .line.ten { stroke: #36414d }
 }
</style>
<rect class="ground" x="0.5" y="0.5" width="%[4]d" height="%[5]d" rx="8"/>
<text class="head" x="%[6]d" y="34">CPU time per request</text>
<text class="small soft" x="%[6]d" y="54">microseconds of the proxy process; shorter is better; logarithmic scale</text>
`, chartWidth, height, html.EscapeString(describeChart(r)), chartWidth-1, height-1, chartBorder)

	legend(&b, names, colour)

	top, bottom := headHeight-8, height-footHeight
	for tick := math.Pow(10, math.Floor(math.Log10(from))); tick <= to; tick *= 10 {
		for _, step := range []float64{1, 2, 5} {
			v := tick * step
			if v < from*0.999 || v > to {
				continue
			}
			class := "line"
			if step == 1 {
				class = "line ten"
			}
			fmt.Fprintf(&b, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", class, x(v), x(v), top, bottom)
			fmt.Fprintf(&b, "<text class=\"small soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x(v), bottom+18, tickText(v))
		}
	}

	y := headHeight
	for i, res := range r.Results {
		g := groups[i]
		what, how, _ := strings.Cut(res.Title, ", ")
		if strings.HasPrefix(how, "GET, ") { // "2 threads, GET, ..." reads better as the GET it is
			what, how = "GET, "+what, strings.TrimPrefix(how, "GET, ")
		}
		middle := y + len(g)*(barHeight+barGap)/2
		fmt.Fprintf(&b, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>\n", chartBorder, middle-3, html.EscapeString(what))
		fmt.Fprintf(&b, "<text class=\"small soft\" x=\"%d\" y=\"%d\">%s</text>\n", chartBorder, middle+12, html.EscapeString(how))
		for _, one := range g {
			own := ""
			if one.name == "ringway" {
				own = " own"
			}
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" fill=\"%s\"><title>%s: %s us</title></rect>\n",
				labelWidth, y, x(one.value)-labelWidth, barHeight, colour[one.name], html.EscapeString(one.name), significant(one.value))
			fmt.Fprintf(&b, "<text class=\"value%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", own, x(one.value)+5, y+barHeight-2, significant(one.value))
			y += barHeight + barGap
		}
		y += groupGap
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// legend writes the names beside their colours, above the bars.
func legend(b *strings.Builder, names []string, colour map[string]string) {
	x := labelWidth
	for _, name := range names {
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"67\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/>\n", x, colour[name])
		fmt.Fprintf(b, "<text class=\"small\" x=\"%d\" y=\"77\">%s</text>\n", x+16, html.EscapeString(name))
		x += 38 + 7*len(name)
	}
}

func chooseColours(names []string) map[string]string {
	chosen := map[string]string{}
	spare := 0
	for _, name := range names {
		if c, ok := colours[name]; ok {
			chosen[name] = c
			continue
		}
		chosen[name] = spareColours[spare%len(spareColours)]
		spare++
	}
	return chosen
}

// describeChart says the figures in words, for who cannot see the bars.
func describeChart(r *report) string {
	var all []string
	for _, res := range r.Results {
		var list []string
		for _, l := range res.Rows {
			if l.CPU != nil {
				list = append(list, l.Name+" "+significant(l.CPU.Median))
			}
		}
		all = append(all, res.Title+": "+strings.Join(list, ", "))
	}
	return strings.Join(all, "; ")
}

func tickText(v float64) string {
	text := fmt.Sprintf("%.3f", v)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
