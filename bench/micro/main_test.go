package main

import "testing"

func TestCostOfOneMore(t *testing.T) {
	one := line{Key: "micro", Ns: 1000, Allocs: 4.001, Bytes: 300}
	many := line{Key: "micro", Name: "more", Ns: 11000, Allocs: 4.3, Bytes: 800}
	if got, want := many.minus(one, 100), (line{"micro", "more", 100, 0, 5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
