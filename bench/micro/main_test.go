package main

import (
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCostOfOneMore(t *testing.T) {
	one := line{Key: "micro", Ns: 1000, Allocs: 4.001, Bytes: 300}
	many := line{Key: "micro", Name: "more", Ns: 11000, Allocs: 4.3, Bytes: 800}
	if got, want := many.minus(one, 100), (line{Key: "micro", Name: "more", Ns: 100, Bytes: 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A growth that goes to some of the topics only would look like a cache's.
func TestScatteredGoesEverywhere(t *testing.T) {
	for _, n := range decades(1, 10_000) {
		seen := map[int]bool{}
		next := scattered(n)
		for range n {
			seen[next()] = true
		}
		if len(seen) != n {
			t.Errorf("%d of %d", len(seen), n)
		}
	}
	if got := decades(1, 1000); !slices.Equal(got, []int{1, 10, 100, 1000}) {
		t.Error(got)
	}
}

func TestACrowdIsHeardAndMeasured(t *testing.T) {
	topics := map[string]func(int) string{
		"one topic":    func(int) string { return "t" },
		"a topic each": func(i int) string { return fmt.Sprint("t/", i) },
	}
	for name, topic := range topics {
		l := crowd("k", name, 2000, topic)
		if l.Bytes < 100 || l.Bytes > 20_000 || l.OpenNs <= 0 || (l.Ns > 0) != (name == "one topic") {
			t.Errorf("a stream of %s: %+v", name, l)
		}
	}
}
