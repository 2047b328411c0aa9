package results

import (
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, text string) *Set {
	s, err := Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const rounds = `{"key":"single","test":"broadcast","name":"a","cpu":3,"lost":0}
{"key":"single","test":"broadcast","name":"b","cpu":10}
not JSON
{"key":"single","test":"broadcast","name":"a","cpu":1,"lost":5}
{"key":"single","test":"broadcast","name":"b","cpu":20}
{"key":"single","test":"broadcast","name":"a","cpu":2,"lost":0}
{"test":"idle","name":"a","cpu":7}
{"key":"idle","name":"b","error":"did not listen"}
`

func TestMediansAreOfAllRounds(t *testing.T) {
	s := read(t, rounds)
	for _, test := range []struct {
		what      string
		got, want float64
	}{
		{"median of three", s.Median("single", "a", "cpu"), 2},
		{"median of two", s.Median("single", "b", "cpu"), 15},
		{"median of a missing field", s.Median("single", "b", "lost"), 0},
		{"median of no round", s.Median("single", "c", "cpu"), 0},
		{"least", s.Least("single", "a", "cpu"), 1},
		{"most, which a median would hide", s.Most("single", "a", "lost"), 5},
		{"spread", s.Spread("single", "a", "cpu"), 1},
		{"a line without key counts for its test", s.Median("idle", "a", "cpu"), 7},
	} {
		if test.got != test.want {
			t.Errorf("%s: %g, want %g", test.what, test.got, test.want)
		}
	}
}

func TestOrderIsThatOfTheRun(t *testing.T) {
	s := read(t, rounds)
	if got := s.Tests(); !slices.Equal(got, []string{"single", "idle"}) {
		t.Errorf("tests %q", got)
	}
	if got := s.Names("single"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("names %q", got)
	}
}

// What was not measured must not look like a good ratio.
func TestRatioNeedsBothSides(t *testing.T) {
	s := read(t, rounds)
	if r, ok := s.Ratio(Of{"single", "b", "cpu"}, Of{"single", "a", "cpu"}); !ok || r != 7.5 {
		t.Errorf("ratio %g, %v; want 7.5", r, ok)
	}
	for _, over := range [][2]string{{"single", "c"}, {"other", "a"}, {"idle", "b"}} {
		if r, ok := s.Ratio(Of{"single", "a", "cpu"}, Of{over[0], over[1], "cpu"}); ok {
			t.Errorf("over %v, which was not measured, the ratio is %g", over, r)
		}
	}
	if !s.Failed("idle", "b") || s.Failed("idle", "a") {
		t.Error("the round that failed is not told from the others")
	}
}
