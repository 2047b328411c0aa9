// Package results reads the JSON lines of pushload and takes medians.
package results

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
)

// Run is one JSON line. Fields that are 0 may be missing.
type Run map[string]any

// Number returns a field, 0 if it is missing or no number.
func (r Run) Number(field string) float64 {
	v, _ := r[field].(float64)
	return v
}

// Text returns a field, "" if it is missing or no string.
func (r Run) Text(field string) string {
	s, _ := r[field].(string)
	return s
}

type key struct{ test, name string }

// Set holds the runs of one file, by test and server.
type Set struct {
	runs  map[key][]Run
	tests []string
	names map[string][]string // by test
}

// Read reads JSON lines; other lines are passed over. The test of a run is its
// key, else its test.
func Read(r io.Reader) (*Set, error) {
	s := &Set{runs: map[key][]Run{}, names: map[string][]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var run Run
		if json.Unmarshal(lines.Bytes(), &run) == nil {
			s.add(run)
		}
	}
	return s, lines.Err()
}

func (s *Set) add(run Run) {
	k := key{run.Text("key"), run.Text("name")}
	if k.test == "" {
		k.test = run.Text("test")
	}
	if _, ok := s.names[k.test]; !ok {
		s.tests = append(s.tests, k.test)
	}
	if _, ok := s.runs[k]; !ok {
		s.names[k.test] = append(s.names[k.test], k.name)
	}
	s.runs[k] = append(s.runs[k], run)
}

// Tests returns the tests in the order in which they first came.
func (s *Set) Tests() []string { return s.tests }

// Names returns the servers of a test in the order in which they first came.
func (s *Set) Names(test string) []string { return s.names[test] }

// Runs returns the rounds of a server in a test.
func (s *Set) Runs(test, name string) []Run { return s.runs[key{test, name}] }

// values returns a field of all rounds, ascending.
func (s *Set) values(test, name, field string) []float64 {
	runs := s.Runs(test, name)
	v := make([]float64, 0, len(runs))
	for _, r := range runs {
		v = append(v, r.Number(field))
	}
	slices.Sort(v)
	return v
}

// Median returns the median of a field, 0 without a round.
func (s *Set) Median(test, name, field string) float64 {
	v := s.values(test, name, field)
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Most returns the largest value of a field, 0 without a round.
func (s *Set) Most(test, name, field string) float64 {
	v := s.values(test, name, field)
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1]
}

// Least returns the smallest value of a field, 0 without a round.
func (s *Set) Least(test, name, field string) float64 {
	v := s.values(test, name, field)
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

// Spread returns how far the rounds lie apart: (largest - smallest) / median.
func (s *Set) Spread(test, name, field string) float64 {
	m := s.Median(test, name, field)
	if m == 0 {
		return 0
	}
	return (s.Most(test, name, field) - s.Least(test, name, field)) / m
}

// Failed reports whether a round ended without a result.
func (s *Set) Failed(test, name string) bool {
	return slices.ContainsFunc(s.Runs(test, name), func(r Run) bool { return r.Text("error") != "" })
}

// Of is a field of a server in a test.
type Of struct{ Test, Name, Field string }

// Ratio returns the median of a over that of b. It is false unless both were
// measured in every round.
func (s *Set) Ratio(a, b Of) (float64, bool) {
	if s.Failed(a.Test, a.Name) || s.Failed(b.Test, b.Name) {
		return 0, false
	}
	x, y := s.Median(a.Test, a.Name, a.Field), s.Median(b.Test, b.Name, b.Field)
	if x <= 0 || y <= 0 {
		return 0, false
	}
	return x / y, true
}
