package main

import (
	"bytes"
	"slices"
	"testing"
)

func stream(seqs ...uint32) []byte {
	var b bytes.Buffer
	for _, s := range seqs {
		b.WriteString("id: ~P~ ~~PL\ndata: ")
		b.Write(payload(100, s))
		b.WriteString("\n\n")
	}
	return b.Bytes()
}

// A marker that a read cuts in two must count once, wherever the cut is.
func TestMarkersCutAnywhereCountOnce(t *testing.T) {
	text := stream(0, 1, 2)
	for size := 1; size <= len(text); size++ {
		l := &loader{cfg: &config{}}
		c := &conn{st: stLive}
		for part := range slices.Chunk(text, size) {
			l.data(c, part)
		}
		if l.deliveries != 3 || l.dups != 0 || l.ooo != 0 || c.mark.lost(3) != 0 {
			t.Fatalf("reads of %d bytes: %d deliveries, %d doubled, %d late, %d lost", size, l.deliveries, l.dups, l.ooo, c.mark.lost(3))
		}
	}
}

func TestLostDoubledAndLateAreTold(t *testing.T) {
	for _, test := range []struct {
		name            string
		seqs            []uint32
		dups, ooo, lost uint64
	}{
		{"all in order", []uint32{0, 1, 2, 3, 4, 5}, 0, 0, 0},
		{"one lost", []uint32{0, 1, 3, 4, 5}, 0, 0, 1},
		{"the first lost", []uint32{2, 3, 4, 5}, 0, 0, 2},
		{"the last lost", []uint32{0, 1, 2, 3}, 0, 0, 2},
		{"one doubled", []uint32{0, 1, 1, 2, 3, 4, 5}, 1, 0, 0},
		{"one late", []uint32{0, 2, 1, 3, 4, 5}, 0, 1, 0},
		{"the middle of a hole is late", []uint32{0, 5, 3}, 0, 1, 3},
		{"late and doubled", []uint32{0, 2, 1, 1, 3, 4, 5}, 1, 1, 0},
		{"nothing", nil, 0, 0, 6},
	} {
		l := &loader{cfg: &config{}}
		c := &conn{st: stLive}
		l.data(c, stream(test.seqs...))
		if l.dups != test.dups || l.ooo != test.ooo || c.mark.lost(6) != test.lost {
			t.Errorf("%s: %d doubled, %d late, %d lost; want %d, %d, %d", test.name, l.dups, l.ooo, c.mark.lost(6), test.dups, test.ooo, test.lost)
		}
		if got := l.deliveries + c.mark.lost(6); got != 6 {
			t.Errorf("%s: %d deliveries and %d lost are not the 6 published", test.name, l.deliveries, c.mark.lost(6))
		}
	}
}

func TestForgetDropsWhatWarmingUpLost(t *testing.T) {
	l := &loader{cfg: &config{}}
	c := &conn{st: stLive}
	l.data(c, stream(0, 3))
	c.mark.forget(5)
	l.data(c, stream(5, 6))
	if n := c.mark.lost(7); n != 0 {
		t.Errorf("%d lost, want 0", n)
	}
}
