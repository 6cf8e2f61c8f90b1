package main

import (
	"strings"

	"ringway/internal/bench/chart"
)

// colours of the contenders' bars: Ringway's stands out, the others are calm.
var colours = map[string]string{
	"ringway": "#2f7df6", "twemproxy": "#e8a33d", "envoy": "#b57bdc", "predixy": "#4fae7c", "haproxy": "#8d98a5",
}

// draw draws CPU time per request, a group of bars a scenario, on a scale of powers of ten: the figures differ by more than a thousand between
// the cheapest and the dearest.
func draw(r *report) string {
	c := chart.Chart{
		Title: "CPU time per request", Name: "CPU time per request of each proxy",
		Subtitle:    "microseconds of the proxy process; shorter is better; logarithmic scale",
		Description: describeChart(r), Unit: "us", Logarithmic: true, Colours: colours, Own: "ringway", Figure: significant,
	}
	for _, res := range r.Results {
		what, how, _ := strings.Cut(res.Title, ", ")
		if strings.HasPrefix(how, "GET, ") { // "2 threads, GET, ..." reads better as the GET it is
			what, how = "GET, "+what, strings.TrimPrefix(how, "GET, ")
		}
		g := chart.Group{Name: what, Note: how}
		for _, l := range res.Rows {
			if l.CPU != nil && l.CPU.Median > 0 {
				g.Bars = append(g.Bars, chart.Bar{Name: l.Name, Value: l.CPU.Median})
			}
		}
		c.Groups = append(c.Groups, g)
	}
	return c.SVG()
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
