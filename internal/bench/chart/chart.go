// Package chart draws the figures of a benchmark as SVG: groups of horizontal bars. A picture has its own ground, light or dark as the reader's
// system is, and is light where the viewer does not know.
package chart

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// spare are the colours of what has none of its own: all can be told apart on the light as on the dark ground.
var spare = []string{"#16b3c4", "#e2688f", "#b3a13c", "#7f8cf0"}

// Sizes of a picture, for who looks into one.
const (
	Width      = 900
	LabelWidth = 232 // left of the bars
	ValueWidth = 52  // right of the longest bar
	BarHeight  = 11
	HeadHeight = 96

	barGap     = 2
	groupGap   = 16
	footHeight = 40
	border     = 24
)

// Chart is a picture.
type Chart struct {
	Title       string // in the head
	Name        string // of the picture, for who cannot see it; Title if it is empty
	Subtitle    string
	Description string // the figures in words, likewise; made if it is empty
	Unit        string // in what pops up over a bar
	Logarithmic bool
	Groups      []Group
	Colours     map[string]string // by name of a bar
	Own         string            // the bar whose figure is written bold
	Figure      func(float64) string
}

// Group is bars that belong together.
type Group struct {
	Name, Note string
	Bars       []Bar
}

// Bar is one figure.
type Bar struct {
	Name  string
	Value float64
}

// SVG draws it.
func (c *Chart) SVG() string {
	var names []string
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, g := range c.Groups {
		for _, b := range g.Bars {
			lowest, highest = min(lowest, b.Value), max(highest, b.Value)
			if !slices.Contains(names, b.Name) {
				names = append(names, b.Name)
			}
		}
	}
	if len(names) == 0 {
		lowest, highest = 1, 10
	}
	a := newAxis(c.Logarithmic, lowest, highest)
	height := HeadHeight + footHeight
	for _, g := range c.Groups {
		height += groupHeight(g) + groupGap
	}
	colour := c.chooseColours(names)

	var b strings.Builder
	name := c.Name
	if name == "" {
		name = c.Title
	}
	description := c.Description
	if description == "" {
		description = c.describe()
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">
<title id="title">%[9]s</title>
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
<text class="head" x="%[6]d" y="34">%[7]s</text>
<text class="small soft" x="%[6]d" y="54">%[8]s</text>
`, Width, height, html.EscapeString(description), Width-1, height-1, border, html.EscapeString(c.Title), html.EscapeString(c.Subtitle), html.EscapeString(name))

	legend(&b, names, colour)
	a.draw(&b, HeadHeight-8, height-footHeight)
	y := HeadHeight
	for _, g := range c.Groups {
		middle := y + groupHeight(g)/2
		if g.Note == "" {
			middle += 8
		}
		fmt.Fprintf(&b, "<text class=\"name\" x=\"%d\" y=\"%d\">%s</text>\n", border, middle-3, html.EscapeString(g.Name))
		if g.Note != "" {
			fmt.Fprintf(&b, "<text class=\"small soft\" x=\"%d\" y=\"%d\">%s</text>\n", border, middle+12, html.EscapeString(g.Note))
		}
		for _, one := range g.Bars {
			own := ""
			if one.Name == c.Own {
				own = " own"
			}
			fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1.5\" fill=\"%s\"><title>%s: %s %s</title></rect>\n",
				LabelWidth, y, a.x(one.Value)-LabelWidth, BarHeight, colour[one.Name], html.EscapeString(one.Name), c.Figure(one.Value), html.EscapeString(c.Unit))
			fmt.Fprintf(&b, "<text class=\"value%s\" x=\"%.1f\" y=\"%d\">%s</text>\n", own, a.x(one.Value)+5, y+BarHeight-2, c.Figure(one.Value))
			y += BarHeight + barGap
		}
		y += groupGap
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func groupHeight(g Group) int { return len(g.Bars) * (BarHeight + barGap) }

// legend writes the names beside their colours, above the bars.
func legend(b *strings.Builder, names []string, colour map[string]string) {
	x := LabelWidth
	for _, name := range names {
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"67\" width=\"11\" height=\"11\" rx=\"2\" fill=\"%s\"/>\n", x, colour[name])
		fmt.Fprintf(b, "<text class=\"small\" x=\"%d\" y=\"77\">%s</text>\n", x+16, html.EscapeString(name))
		x += 38 + 7*len(name)
	}
}

func (c *Chart) chooseColours(names []string) map[string]string {
	chosen := map[string]string{}
	next := 0
	for _, name := range names {
		if colour, ok := c.Colours[name]; ok {
			chosen[name] = colour
			continue
		}
		chosen[name] = spare[next%len(spare)]
		next++
	}
	return chosen
}

// describe says the figures in words.
func (c *Chart) describe() string {
	var all []string
	for _, g := range c.Groups {
		var list []string
		for _, b := range g.Bars {
			list = append(list, b.Name+" "+c.Figure(b.Value))
		}
		all = append(all, g.Name+": "+strings.Join(list, ", "))
	}
	return strings.Join(all, "; ")
}
