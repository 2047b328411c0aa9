package main

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strings"

	"pushbench/internal/results"
)

// server is a row of the drawing: deliveries a second of one core's time, in
// bursts and one event at a time.
type server struct {
	name          string
	burst, single float64
	lost          bool
}

func (s *server) class() string {
	switch {
	case strings.HasPrefix(s.name, "dualpush-"):
		return "c0"
	case isFloor(s.name):
		return "c3"
	}
	return "c1"
}

func isFloor(name string) bool { return strings.HasPrefix(name, "floor-") }

// perCore returns the servers of which both were measured, fastest first.
func perCore(set *results.Set) (servers []server) {
	for _, name := range set.Names("broadcast") {
		s := server{name: name}
		for test, v := range map[string]*float64{"broadcast": &s.burst, "single": &s.single} {
			if us := set.Median(test, name, cpu); us > 0 && !set.Failed(test, name) {
				*v = 1e6 / us
			}
			s.lost = s.lost || set.Most(test, name, "lost") > 0
		}
		if s.burst > 0 && s.single > 0 {
			servers = append(servers, s)
		}
	}
	slices.SortFunc(servers, func(a, b server) int {
		return cmp.Or(cmp.Compare(b.burst, a.burst), cmp.Compare(a.name, b.name))
	})
	return servers
}

// drawDeliveries draws what one core delivers, by server.
func drawDeliveries(w io.Writer, set *results.Set) error {
	const rowHeight, top, bottom = 20, 78, 26
	servers := perCore(set)
	if len(servers) == 0 {
		return errNothing
	}
	d := &drawing{width: 760, height: top + rowHeight*float64(len(servers)) + bottom}
	x := scale{from: 260, to: 712, log: true}
	x.low, x.high = span(servers)
	d.textf(8, 20, "title", "Deliveries per second of one core")
	d.textf(8, 38, "small", "1000 subscribers of one topic, 128 bytes; log scale; server CPU, the kernel's work for TCP included")
	legend(d)
	foot := d.height - bottom
	for _, v := range x.ticks() {
		d.line(x.at(v), top-6, x.at(v), foot, "grid")
		d.textf(x.at(v), foot+14, "small mid", "%s", tick(v))
	}
	lossy := false
	for i, s := range servers {
		row(d, x, &s, top+rowHeight*float64(i)+7)
		lossy = lossy || s.lost
	}
	if lossy {
		d.textf(8, foot+14, "small", "† lost events")
	}
	return d.writeTo(w, "Deliveries per second of one core, by server")
}

// span returns the ends of a scale that holds all and leaves room for numbers.
func span(servers []server) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, s := range servers {
		low, high = min(low, s.burst, s.single), max(high, s.burst, s.single)
	}
	return low / 1.8, high * 1.8
}

func legend(d *drawing) {
	x := 8.0
	for _, l := range []struct{ class, text string }{{"c0", "dualpush"}, {"c3", "floors: what the machine can do"}, {"c1", "peers"}} {
		d.dot(x+5, 54, 4, l.class)
		d.textf(x+14, 58, "", "%s", l.text)
		x += 32 + 6.2*float64(len(l.text))
	}
	d.dot(x+25, 54, 4, "c3")
	d.textf(x+34, 58, "", "bursts of 100")
	d.dot(x+137, 54, 4, "c3 ring")
	d.textf(x+146, 58, "", "one event at a time")
}

func row(d *drawing, x scale, s *server, y float64) {
	class, name := "end", s.name
	if s.class() == "c0" {
		class += " ours"
	}
	if s.lost {
		name += " †"
	}
	d.textf(204, y+4, class, "%s", name)
	low, high := min(s.single, s.burst), max(s.single, s.burst)
	if x.at(high)-x.at(low) > 10 {
		d.line(x.at(low)+5, y, x.at(high)-5, y, s.class())
	}
	d.dot(x.at(s.burst), y, 4, s.class())
	d.dot(x.at(s.single), y, 4, s.class()+" ring")
	d.textf(x.at(high)+9, y+4, "small", "%s", tick(high))
	d.textf(x.at(low)-9, y+4, "small end", "%s", tick(low))
}
