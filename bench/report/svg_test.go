package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pushbench/internal/results"
)

// element is what the tests look at of an SVG.
type element struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []element  `xml:",any"`
}

func (e *element) attr(name string) string {
	i := slices.IndexFunc(e.Attrs, func(a xml.Attr) bool { return a.Name.Local == name })
	if i < 0 {
		return ""
	}
	return e.Attrs[i].Value
}

func (e *element) number(t *testing.T, name string) float64 {
	v, err := strconv.ParseFloat(e.attr(name), 64)
	if err != nil {
		t.Fatalf("%s=%q of a %s", name, e.attr(name), e.XMLName.Local)
	}
	return v
}

// drawn draws twice, which must give the same, and checks that all of it is
// well formed and inside.
func drawn(t *testing.T, draw func(io.Writer, *results.Set) error, s *results.Set) *element {
	t.Helper()
	var one, two strings.Builder
	if err := draw(&one, s); err != nil {
		t.Fatal(err)
	}
	if err := draw(&two, s); err != nil || one.String() != two.String() {
		t.Errorf("drawn twice, the drawing differs (%v)", err)
	}
	root := new(element)
	if err := xml.Unmarshal([]byte(one.String()), root); err != nil {
		t.Fatalf("%v in\n%s", err, one.String())
	}
	width, height := root.number(t, "width"), root.number(t, "height")
	coordinates := regexp.MustCompile(`(-?[\d.]+) (-?[\d.]+)`)
	for _, e := range root.Nodes {
		places := [][]string{{"", e.attr("cx") + e.attr("x"), e.attr("cy") + e.attr("y")}}
		if d := e.attr("d"); d != "" {
			places = coordinates.FindAllStringSubmatch(d, -1)
		}
		for _, p := range places {
			if e.XMLName.Local == "title" || e.XMLName.Local == "style" {
				continue
			}
			x, errX := strconv.ParseFloat(p[1], 64)
			y, errY := strconv.ParseFloat(p[2], 64)
			if errX != nil || errY != nil || x < 0 || x > width || y < 0 || y > height {
				t.Errorf("a %s at %q, %q is not inside %g × %g", e.XMLName.Local, p[1], p[2], width, height)
			}
		}
	}
	if !strings.Contains(one.String(), "prefers-color-scheme:dark") {
		t.Error("it cannot be read on dark ground")
	}
	return root
}

// dots returns the places of the circles of a class, in order.
func (e *element) dots(t *testing.T, class, along string) (at []float64) {
	for _, n := range e.Nodes {
		if n.XMLName.Local == "circle" && n.attr("class") == class && n.number(t, "cy") > 60 {
			at = append(at, n.number(t, along))
		}
	}
	return at
}

func TestDrawingOfDeliveries(t *testing.T) {
	s := set(t,
		line("broadcast", "gws", fields{cpu: 10.0}), line("single", "gws", fields{cpu: 10.0}),
		line("broadcast", "dualpush-sse", fields{cpu: 0.1}), line("single", "dualpush-sse", fields{cpu: 1.0}),
		line("broadcast", "floor-<raw>", fields{cpu: 1.0, "lost": 3}), line("single", "floor-<raw>", fields{cpu: 5.0}),
		line("broadcast", "broken", nil), line("single", "broken", fields{"error": "did not listen"}),
		line("broadcast", "half", nil),
	)
	svg := drawn(t, drawDeliveries, s)
	ours, floor, peer := svg.dots(t, "c0", "cx"), svg.dots(t, "c3", "cx"), svg.dots(t, "c1", "cx")
	if len(ours) != 1 || len(floor) != 1 || len(peer) != 1 {
		t.Fatalf("bursts drawn: ours %v, floor %v, peer %v", ours, floor, peer)
	}
	if a, b := ours[0]-floor[0], floor[0]-peer[0]; a <= 0 || math.Abs(a-b) > 0.2 {
		t.Errorf("on a log scale ten times as fast is always as far: %g, %g", a, b)
	}
	if single := svg.dots(t, "c0 ring", "cx"); len(single) != 1 || single[0] != floor[0] {
		t.Errorf("one event at a time at %v, want %v as the floor's bursts, which cost the same", single, floor)
	}
	var texts []string
	for _, n := range svg.Nodes {
		texts = append(texts, n.Text)
	}
	for _, want := range []string{"10 M", "100 k", "floor-<raw> †", "† lost events"} {
		if !slices.Contains(texts, want) {
			t.Errorf("%q is missing in %q", want, texts)
		}
	}
	if slices.Contains(texts, "broken") || slices.Contains(texts, "half") {
		t.Error("what failed, or was not measured, is drawn")
	}
}

func TestDrawingOfGrowth(t *testing.T) {
	var b strings.Builder
	for i, n := range []string{"100", "1k", "19k"} {
		b.WriteString(line("conns"+n, ourSSE, fields{cpu: 0.1 * float64(1+i)}))
		b.WriteString(line("conns"+n, hijack, fields{cpu: 0.2}))
		b.WriteString(line(fmt.Sprint("topics=", 1+i*1000), "no reader", fields{"ns_per_op": 300}))
	}
	s := set(t, b.String())
	svg := drawn(t, drawGrowth, s)
	up, flat := svg.dots(t, "c0", "cy"), svg.dots(t, "c3", "cy")
	if len(up) != 6 || len(flat) != 3 {
		t.Fatalf("ours at %v, the floor at %v", up, flat)
	}
	if a, b := up[0]-up[1], up[1]-up[2]; a <= 0 || math.Abs(a-b) > 0.2 || flat[0] != flat[1] || flat[1] != up[1] {
		t.Errorf("0.1, 0.2, 0.3 at %v, 0.2 at %v", up[:3], flat)
	}
	var out strings.Builder
	writeGrowth(&out, s)
	want := `
### growth: server CPU for a delivery, µs, by connections; bursts of 100

|                   | 100 | 1,000 | 19,000 | last / first |
| ----------------- | --: | ----: | -----: | -----------: |
| dualpush-sse      | 0.1 |   0.2 |    0.3 |            3 |
| floor-hijackqueue | 0.2 |   0.2 |    0.2 |            1 |
`
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got%s\nwant%s", out.String(), want)
	}
}

// A run of some tests only must not end without its tables.
func TestDrawingsOfNothing(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "in.jsonl")
	if err := os.WriteFile(input, []byte(line("idle", ourSSE, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := command([]string{"-svg", filepath.Join(dir, "a.svg"), "-growth", filepath.Join(dir, "b.svg"), input}, &out)
	if err != nil || !strings.Contains(out.String(), "### idle") {
		t.Errorf("%v, %q", err, out.String())
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.svg")); len(files) != 0 {
		t.Errorf("%q were drawn of nothing: they would replace good ones", files)
	}
}
