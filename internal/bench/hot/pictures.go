package main

import (
	"fmt"
	"slices"

	"ringway/internal/bench/chart"
)

var colours = map[string]string{"off": "#8d98a5", "collapse": "#b3a13c", "near": "#4fae7c", "copies": "#2f7df6", "auto": "#b57bdc"}

// draw adds a picture of the gain for each number of nodes, and of the load of each of the fewest.
func draw(files map[string]string, rows []*row) {
	var counts []int
	for _, r := range rows {
		if !slices.Contains(counts, r.nodes) {
			counts = append(counts, r.nodes)
		}
	}
	for _, n := range counts {
		files[fmt.Sprintf("hotkeys-gain-%d.svg", n)] = gainPicture(rows, n)
	}
	if picture := loadPicture(rows, slices.Min(counts)); picture != "" {
		files["hotkeys-load.svg"] = picture
	}
}

// gainPicture shows throughput by workload, over that of the first mode.
func gainPicture(rows []*row, n int) string {
	c := chart.Chart{
		Title:    fmt.Sprintf("Gain of %d nodes that take %d commands a second, by mode of hot_keys", n, rate),
		Subtitle: "over that with hot_keys: off; longer is better; logarithmic scale",
		Unit:     "times", Logarithmic: true, Colours: colours, Own: "copies", Figure: func(v float64) string { return format(v, 2) },
	}
	for _, r := range rows {
		if r.nodes != n || r.mode == "off" {
			continue
		}
		if k := len(c.Groups); k == 0 || c.Groups[k-1].Name != r.workload.name {
			c.Groups = append(c.Groups, chart.Group{Name: r.workload.name})
		}
		g := &c.Groups[len(c.Groups)-1]
		g.Bars = append(g.Bars, chart.Bar{Name: r.mode, Value: median(r.gains)})
	}
	return c.SVG()
}

// loadPicture shows what each node is sent in a storm, with hot_keys off and with copies. It is "" if that was not measured.
func loadPicture(rows []*row, n int) string {
	const of = "storm 30 %"
	var off, copies *row
	for _, r := range rows {
		switch {
		case r.nodes != n || r.workload.name != of:
		case r.mode == "off":
			off = r
		case r.mode == "copies":
			copies = r
		}
	}
	if off == nil || copies == nil {
		return ""
	}
	c := chart.Chart{
		Title:    fmt.Sprintf("Commands of each of %d nodes, one key gets 30 %% of the requests", n),
		Subtitle: fmt.Sprintf("a second; each can take %d; as many clients as would keep all of them busy", rate),
		Unit:     "commands/s", Colours: colours, Own: "copies", Figure: func(v float64) string { return format(v, 0) },
	}
	for i := range n {
		c.Groups = append(c.Groups, chart.Group{Name: fmt.Sprint("node-", i), Bars: []chart.Bar{
			{Name: "off", Value: off.samples[0].Loads[i]}, {Name: "copies", Value: copies.samples[0].Loads[i]},
		}})
	}
	return c.SVG()
}
