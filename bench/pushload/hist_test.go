package main

import (
	"math"
	"testing"
)

func TestQuantilesAreExactTo2Percent(t *testing.T) {
	for _, unit := range []int64{1, 1e3, 1e6} {
		var h hist
		for i := range int64(1000) {
			h.add((i + 1) * unit)
		}
		for _, q := range []float64{.01, .5, .99} {
			want := (q*1000 + 1) * float64(unit) / 1e6
			if got := h.ms(q); math.Abs(got-want) > want*.02 {
				t.Errorf("unit %d: quantile %g is %g ms, want %g", unit, q, got, want)
			}
		}
	}
}

func TestHistogramTakesAnything(t *testing.T) {
	var h hist
	for _, v := range []int64{-5, 0, math.MaxInt64} {
		h.add(v)
	}
	if h.n != 3 || h.ms(0) != 0 {
		t.Errorf("%d values, smallest %g", h.n, h.ms(0))
	}
}
