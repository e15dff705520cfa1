package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// bar is one system in a plot.
type bar struct {
	name             string
	middle, low, top float64
	label            string
}

// The measures of a plot, in pixels.
const (
	plotWidth, plotHead, plotRow = 760, 56, 26
	plotLeft, plotRight          = 120, 110
)

// plot draws horizontal bars on a logarithmic scale, with lines from the smallest to the largest value.
func plot(title, axis string, bars []bar) string {
	low, top := math.Inf(1), math.Inf(-1)
	for _, b := range bars {
		low, top = min(low, b.low), max(top, b.top)
	}
	low, top = math.Floor(math.Log10(low)), math.Ceil(math.Log10(top))
	if top == low {
		top++
	}
	x := func(v float64) float64 {
		return plotLeft + (math.Log10(v)-low)/(top-low)*(plotWidth-plotLeft-plotRight)
	}
	height := plotHead + plotRow*len(bars) + 24
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`, plotWidth, height)
	fmt.Fprintf(&b, "\n<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n<text x=\"8\" y=\"18\" font-size=\"14\">%s</text>\n", plotWidth, height, html.EscapeString(title))
	fmt.Fprintf(&b, "<text x=\"8\" y=\"38\" fill=\"#555\">%s, logarithmic; lines from the smallest to the largest round</text>\n", html.EscapeString(axis))
	for e := low; e <= top; e++ {
		at := x(math.Pow(10, e))
		fmt.Fprintf(&b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#ddd\"/>\n", at, at, plotHead-8, height-20)
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" fill=\"#555\" text-anchor=\"middle\">%g</text>\n", at, height-6, math.Pow(10, e))
	}
	for i, one := range bars {
		y := plotHead + plotRow*i
		color := "#9aa5b1"
		if i == 0 { // ours
			color = "#2f6f9f"
		}
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", plotLeft-8, y+13, html.EscapeString(one.name))
		fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"16\" fill=\"%s\"/>\n", plotLeft, y, max(1, x(one.middle)-plotLeft), color)
		fmt.Fprintf(&b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"black\"/>\n", x(one.low), x(one.top), y+8, y+8)
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", x(one.top)+6, y+13, html.EscapeString(one.label))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
