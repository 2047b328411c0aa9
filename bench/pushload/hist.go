package main

import "math/bits"

// hist is a log-linear histogram of nanoseconds: 64 linear steps per power of
// two, so every quantile is exact to 1.6 %.
type hist struct {
	b   [64 * 64]uint64
	n   uint64
	max int64
}

func (h *hist) add(ns int64) {
	if ns < 0 {
		ns = 0
	}
	if ns > h.max {
		h.max = ns
	}
	h.n++
	v := uint64(ns)
	if v < 64 {
		h.b[v]++
		return
	}
	e := bits.Len64(v) - 7 // v>>e is in [64,128)
	h.b[(e+1)*64+int(v>>e)-64]++
}

// ms returns the quantile q in milliseconds.
func (h *hist) ms(q float64) float64 {
	if h.n == 0 {
		return 0
	}
	want, cum := uint64(q*float64(h.n)), uint64(0)
	for i, c := range h.b {
		if cum += c; cum > want {
			v := uint64(i)
			if i >= 64 {
				v = uint64(i%64+64) << (i/64 - 1)
			}
			return float64(v) / 1e6
		}
	}
	return float64(h.max) / 1e6
}
