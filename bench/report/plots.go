package main

import (
	"io"
	"math"

	"pushbench/internal/results"
)

const (
	panelWidth, panelHeight = 380, 250
	panelsAcross            = 2
)

// drawGrowth draws the families that were measured, a panel each.
func drawGrowth(w io.Writer, set *results.Set) error {
	d := &drawing{width: panelsAcross * panelWidth}
	n := 0
	for _, f := range families {
		samples := f.samples(set)
		if len(numbers(samples)) < 2 {
			continue
		}
		panel(d, &f, samples, float64(n%panelsAcross)*panelWidth, float64(n/panelsAcross)*panelHeight)
		n++
	}
	if n == 0 {
		return errNothing
	}
	d.height = math.Ceil(float64(n)/panelsAcross) * panelHeight
	return d.writeTo(w, "How costs grow with connections, topics, patterns and subscribers")
}

// panel draws a family with its corner at left, top.
func panel(d *drawing, f *family, samples []sample, left, top float64) {
	ns := numbers(samples)
	perLine := 2
	head := 34 + 15*math.Ceil(float64(len(samples))/float64(perLine))
	x := scale{low: ns[0], high: ns[len(ns)-1], from: left + 52, to: left + panelWidth - 24, log: true}
	y := scale{from: top + panelHeight - 34, to: top + head, log: f.log}
	y.low, y.high = reach(samples, f.log)
	d.textf(left+8, top+20, "title", "%s", f.short)
	for i, s := range samples {
		lx, ly := left+8+float64(i%perLine)*180, top+36+15*float64(i/perLine)
		d.line(lx, ly-4, lx+18, ly-4, "line "+curveClass(samples, i))
		d.textf(lx+24, ly, "small", "%s", s.name)
	}
	for _, v := range y.ticks() {
		d.line(x.from, y.at(v), x.to, y.at(v), "grid")
		d.textf(x.from-6, y.at(v)+4, "small end", "%s", tick(v))
	}
	for _, v := range x.ticks() {
		d.line(x.at(v), y.from, x.at(v), y.from+4, "grid")
		d.textf(x.at(v), y.from+18, "small mid", "%s", tick(v))
	}
	for i, s := range samples {
		var at []point
		for _, p := range s.points {
			at = append(at, point{x.at(p.x), y.at(p.y)})
			d.dot(x.at(p.x), y.at(p.y), 2.5, curveClass(samples, i))
		}
		d.curve(at, curveClass(samples, i))
	}
}

// curveClass gives ours the strong colours; the floors are grey, and dashed
// from the second on.
func curveClass(samples []sample, i int) string {
	ours, floors := 0, 0
	for _, s := range samples[:i] {
		if isFloor(s.name) {
			floors++
		} else {
			ours++
		}
	}
	switch {
	case isFloor(samples[i].name) && floors == 0:
		return "c3"
	case isFloor(samples[i].name):
		return "c3 dash"
	}
	return [...]string{"c0", "c1", "c2"}[ours%3]
}

// reach returns the ends of an upright scale: from 0, or whole powers of ten.
func reach(samples []sample, log bool) (low, high float64) {
	low = math.Inf(1)
	for _, s := range samples {
		for _, p := range s.points {
			low, high = min(low, p.y), max(high, p.y)
		}
	}
	if !log {
		step := roundUp(high / 4)
		return 0, math.Ceil(high/step) * step
	}
	return math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high)))
}

// tick writes a round number short.
func tick(v float64) string {
	switch {
	case v >= 1e6:
		return digits3(v/1e6) + " M"
	case v >= 1e4:
		return digits3(v/1e3) + " k"
	case v == 0:
		return "0"
	}
	return digits3(v)
}
