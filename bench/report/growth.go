package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"pushbench/internal/results"
)

// family is a row of tests that differ in one number, which ends their names.
type family struct {
	prefix string
	title  string // of the table
	short  string // of the plot
	field  string
	log    bool // the plot's upright scale
	format func(float64) string
}

var families = []family{
	{"conns", "server CPU for a delivery, µs, by connections; bursts of 100", "CPU µs a delivery, by connections", cpu, false, digits3},
	{"topics=", "a publish in process, ns, by topics that all have a full history", "ns a publish, by topics", "ns_per_op", true, nanoseconds},
	{"patterns=", "a publish in process, ns, by patterns that have a reader each", "ns a publish, by patterns", "ns_per_op", true, nanoseconds},
	{"subscribers=", "memory of a subscriber in process without its connection, bytes", "bytes a subscriber, by subscribers", "bytes_per_op", false, nanoseconds},
	{"subscribers=", "a delivery in process to connections that cost nothing, ns", "ns a delivery, by subscribers", "ns_per_op", false, nanoseconds},
}

func nanoseconds(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// sample is a server's medians over the numbers of a family.
type sample struct {
	name   string
	points []point // x ascending
}

// number returns the number of a test of the family.
func (f *family) number(test string) (n float64, ok bool) {
	text, ok := strings.CutPrefix(test, f.prefix)
	text, thousands := strings.CutSuffix(text, "k")
	n, err := strconv.ParseFloat(text, 64)
	if thousands {
		n *= 1000
	}
	return n, ok && err == nil
}

// samples returns what was measured, in the order of the run.
func (f *family) samples(set *results.Set) (samples []sample) {
	for _, test := range set.Tests() {
		n, ok := f.number(test)
		if !ok {
			continue
		}
		for _, name := range set.Names(test) {
			v := set.Median(test, name, f.field)
			if v == 0 || set.Failed(test, name) {
				continue
			}
			i := slices.IndexFunc(samples, func(s sample) bool { return s.name == name })
			if i < 0 {
				i = len(samples)
				samples = append(samples, sample{name: name})
			}
			samples[i].points = append(samples[i].points, point{n, v})
		}
	}
	for _, s := range samples {
		slices.SortFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	}
	return samples
}

// numbers returns all numbers of some samples, ascending.
func numbers(samples []sample) (ns []float64) {
	for _, s := range samples {
		for _, p := range s.points {
			if !slices.Contains(ns, p.x) {
				ns = append(ns, p.x)
			}
		}
	}
	slices.Sort(ns)
	return ns
}

func (s *sample) value(x float64) float64 {
	for _, p := range s.points {
		if p.x == x {
			return p.y
		}
	}
	return 0
}

// writeGrowth writes a table for each family of which there are several
// numbers: servers down, numbers across.
func writeGrowth(w io.Writer, set *results.Set) {
	for _, f := range families {
		samples := f.samples(set)
		ns := numbers(samples)
		if len(ns) < 2 {
			continue
		}
		fmt.Fprintf(w, "\n### growth: %s\n\n", f.title)
		head := []string{""}
		for _, n := range ns {
			head = append(head, grouped(n))
		}
		rows := [][]string{append(head, "last / first")}
		for _, s := range samples {
			cells := []string{s.name}
			for _, n := range ns {
				cells = append(cells, f.format(s.value(n)))
			}
			rows = append(rows, append(cells, digits3(s.points[len(s.points)-1].y/s.points[0].y)))
		}
		writeRows(w, rows)
	}
}

// grouped writes a whole number with a comma every three digits.
func grouped(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// inFamily reports whether a test is of one of the families in process, which
// have no table of their own.
func inFamily(test string) bool { return strings.Contains(test, "=") }
