package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// drawing is an SVG that is readable on light and on dark ground. Colours are
// classes: whoever looks decides which set holds.
type drawing struct {
	strings.Builder
	width, height float64
}

const style = `text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#1f2328;stroke:none}` +
	`.title{font-size:15px;font-weight:600}.small{font-size:11px;fill:#59636e}.ours{font-weight:600}.end{text-anchor:end}.mid{text-anchor:middle}` +
	`.grid{stroke:#8b949e;stroke-opacity:.25}` +
	`.c0{color:#0969da}.c1{color:#bc4c00}.c2{color:#1a7f37}.c3{color:#818b98}` +
	`path.c0,path.c1,path.c2,path.c3,circle{stroke:currentColor;fill:currentColor;stroke-width:1.5}` +
	`path.line,circle.ring{fill:none}.dash{stroke-dasharray:5 3}` +
	`@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}` +
	`.c0{color:#4493f8}.c1{color:#f0883e}.c2{color:#3fb950}.c3{color:#9198a1}}`

func (d *drawing) textf(x, y float64, class, format string, args ...any) {
	fmt.Fprintf(d, "<text x=%q y=%q class=%q>%s</text>\n", px(x), px(y), class, html.EscapeString(fmt.Sprintf(format, args...)))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(d, "<path d=\"M%s %sL%s %s\" class=%q/>\n", px(x1), px(y1), px(x2), px(y2), class)
}

func (d *drawing) dot(x, y, r float64, class string) {
	fmt.Fprintf(d, "<circle cx=%q cy=%q r=%q class=%q/>\n", px(x), px(y), px(r), class)
}

// point is a place in a drawing.
type point struct{ x, y float64 }

func (d *drawing) curve(points []point, class string) {
	var path strings.Builder
	for i, p := range points {
		fmt.Fprintf(&path, "%c%s %s", "ML"[min(i, 1)], px(p.x), px(p.y))
	}
	fmt.Fprintf(d, "<path d=%q class=\"line %s\"/>\n", path.String(), class)
}

// writeTo writes the whole, for somebody who cannot see it with a title.
func (d *drawing) writeTo(w io.Writer, title string) error {
	const open = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]s %[2]s" width=%[1]q height=%[2]q role="img">`
	_, err := fmt.Fprintf(w, open+"\n<title>%[3]s</title>\n<style>%[4]s</style>\n%[5]s</svg>\n",
		px(d.width), px(d.height), html.EscapeString(title), style, d.String())
	return err
}

// px keeps a tenth of a pixel, so that a drawing changes only if it looks
// different.
func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// scale maps values to pixels.
type scale struct {
	low, high float64 // values
	from, to  float64 // pixels
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// ticks returns where a scale has lines: powers of ten, or about four round
// numbers.
func (s scale) ticks() (at []float64) {
	if s.log {
		for e := math.Floor(math.Log10(s.low)); e <= math.Ceil(math.Log10(s.high)); e++ {
			if v := math.Pow(10, e); v >= s.low*0.999 && v <= s.high*1.001 {
				at = append(at, v)
			}
		}
		return at
	}
	step := roundUp((s.high - s.low) / 4)
	for i := 0.0; s.low+i*step <= s.high*1.001; i++ {
		at = append(at, s.low+i*step)
	}
	return at
}

// roundUp returns the next of 1, 2, 5, 10 and so on.
func roundUp(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if v <= f*p*1.0001 {
			return f * p
		}
	}
	return 10 * p
}
