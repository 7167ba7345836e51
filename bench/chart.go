package main

import (
	"fmt"
	"html"
	"os"
	"strings"

	"github.com/bearerkit/bearerkit/bench/paired"
)

// chart draws how results compare to the first of them, which is 1: a bar for
// the median of each, and a line from quartile to quartile. It looks right on
// light and on dark pages: what is drawn in has no background, and its colours
// follow the reader's.
func chart(title string, results []paired.Result) string {
	const left, unit, row, top = 200, 150, 26, 40
	most := 0.0
	for _, r := range results {
		most = max(most, r.Ratio.Q3)
	}
	width, height := left+int(most*unit)+70, top+row*len(results)+14
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label=%q>
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.bar { fill: #8c959f } .kit { fill: #1a7f5a } .range { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .bar { fill: #6e7681 } .kit { fill: #3fb98a } .range { stroke: #e6edf3 }
}
</style>
<text class="title" x="0" y="18">%s</text>
`, width, height, width, height, html.EscapeString(title), html.EscapeString(title))
	for i, r := range results {
		y := top + i*row
		class := "bar"
		if r.Name == kitName {
			class = "bar kit"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-10, y+13, html.EscapeString(r.Name))
		fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="18" rx="2"/>`, class, left, y, r.Ratio.Median*unit)
		fmt.Fprintf(&b, `<line class="range" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, left+r.Ratio.Q1*unit, left+r.Ratio.Q3*unit, y+9, y+9)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.2f</text>`, left+r.Ratio.Q3*unit+8, y+13, r.Ratio.Median)
		b.WriteString("\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw writes the chart of the first algorithm, if one is asked for.
func (r *report) draw(results map[string][]paired.Result) error {
	if r.chart == "" {
		return nil
	}
	a := r.algorithms[0]
	title := "What a token never seen costs, " + a + ": to the bare hash and signature check"
	return os.WriteFile(r.chart, []byte(chart(title, results[a])), 0o644)
}
