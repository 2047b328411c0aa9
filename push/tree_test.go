package push

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// What a tree finds is what Match says of each topic and pattern in it.
func TestATreeFindsWhatMatches(t *testing.T) {
	segments := []string{"a", "b", "$a", "*", "**"}
	var topics, patterns []string
	var grow func(path string, depth int)
	grow = func(path string, depth int) {
		if path != "" && CheckPattern(path) == nil {
			patterns = append(patterns, path)
			if !IsPattern(path) {
				topics = append(topics, path)
			}
		}
		if depth == 0 {
			return
		}
		for _, s := range segments {
			if path == "" {
				grow(s, depth-1)
			} else {
				grow(path+"/"+s, depth-1)
			}
		}
	}
	grow("", 4)
	rnd := rand.New(rand.NewPCG(1, 2))
	var byTopic, byPattern tree[string]
	for range 10 { // with another part of them each time
		inTopics, inPatterns := pick(rnd, &byTopic, topics), pick(rnd, &byPattern, patterns)
		for _, p := range patterns {
			var want []string
			for _, s := range inTopics {
				if Match(p, s) {
					want = append(want, s)
				}
			}
			same(t, "topics that match "+p, want, func(f func(string)) { byTopic.matching(p, f) })
		}
		for _, s := range topics {
			var want []string
			for _, p := range inPatterns {
				if Match(p, s) {
					want = append(want, p)
				}
			}
			same(t, "patterns that cover "+s, want, func(f func(string)) { byPattern.covering(s, f) })
		}
	}
	for _, s := range topics {
		byTopic.remove(s)
	}
	if len(byTopic.kids) != 0 {
		t.Errorf("when all were removed, %d nodes were left", len(byTopic.kids))
	}
}

// pick has a part of paths in a tree, and no others.
func pick(rnd *rand.Rand, n *tree[string], paths []string) (in []string) {
	for _, p := range paths {
		if rnd.IntN(3) == 0 {
			n.remove(p)
			continue
		}
		n.put(p, p)
		in = append(in, p)
	}
	return in
}

func same(t *testing.T, what string, want []string, find func(func(string))) {
	t.Helper()
	var got []string
	find(func(s string) { got = append(got, s) })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s: found %q, want %q", what, got, want)
	}
}

func BenchmarkTreeMatching(b *testing.B) {
	var byTopic tree[int]
	for i := range 100_000 {
		byTopic.put(fmt.Sprintf("users/%d/inbox", i), i)
	}
	n := 0
	for b.Loop() {
		byTopic.matching("users/777/**", func(int) { n++ })
	}
	if n != b.N {
		b.Fatal(n)
	}
}
