package push_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/dualpush-go/dualpush/push"
)

func TestWhatIsATopicAndWhatIsAPattern(t *testing.T) {
	const topic, pattern, neither = 2, 1, 0 // a topic is a pattern, too
	for s, want := range map[string]int{
		"a": topic, "wall": topic, "a/b/c": topic, "users/ann@example.org": topic, "ünï/日本": topic, "a b/c:d": topic,
		"...": topic, "a..b": topic, "x$": topic, "a/$": topic, "\U0001f600": topic, "a?b#c&d=e": topic,
		strings.Repeat("a", 200): topic, strings.Repeat("a/", 15) + "a": topic,
		"*": pattern, "**": pattern, "a/*": pattern, "a/**": pattern, "*/b": pattern, "*/*/**": pattern, "$presence/a": pattern,
		"": neither, "/": neither, "a/": neither, "/a": neither, "a//b": neither, ".": neither, "..": neither, "a/../b": neither,
		"a/./b": neither, "a%2Fb": neither, `a\b`: neither, "{a}": neither, "a\x00b": neither, "a\nb": neither, "a\u0085b": neither,
		"a\u200bb": neither, "a\u202eb": neither, "a\ufeff": neither, "a\u2028": neither, "a\u2029": neither, "a\xffb": neither, "\xed\xa0\x80": neither,
		strings.Repeat("a", 201): neither, strings.Repeat("a/", 16) + "a": neither,
		"**/a": neither, "a/**/b": neither, "a*": neither, "*a": neither, "***": neither, "a/b*/c": neither, "a/***": neither,
	} {
		if err := push.CheckTopic(s); (err == nil) != (want == topic) || err != nil && !errors.Is(err, push.ErrInvalid) {
			t.Errorf("CheckTopic(%.40q): %v", s, err)
		}
		if err := push.CheckPattern(s); (err == nil) != (want != neither) || err != nil && !errors.Is(err, push.ErrInvalid) {
			t.Errorf("CheckPattern(%.40q): %v", s, err)
		}
		if got := push.IsPattern(s); want != neither && got != strings.Contains(s, "*") {
			t.Errorf("IsPattern(%.40q) = %v", s, got)
		}
	}
}

func TestWhichTopicsMatchAPattern(t *testing.T) {
	for pattern, topics := range map[string]map[string]bool{
		"a":       {"a": true, "b": false, "a/b": false, "A": false},
		"a/b":     {"a/b": true, "a": false, "a/b/c": false},
		"*":       {"a": true, "a/b": false, "$a": false},
		"**":      {"a": true, "a/b": true, "a/b/c": true, "$a": false, "$a/b": false},
		"a/*":     {"a/b": true, "a": false, "a/b/c": false, "b/a": false, "a/$b": true},
		"a/**":    {"a": true, "a/b": true, "a/b/c": true, "b": false, "ab": false, "b/a": false},
		"*/b":     {"a/b": true, "b": false, "a/c": false, "$a/b": false},
		"a/*/c":   {"a/b/c": true, "a/c": false, "a/b/b/c": false},
		"*/**":    {"a": true, "a/b": true, "a/b/c": true, "$a": false},
		"a/*/**":  {"a": false, "a/b": true, "a/b/c/d": true},
		"$p/**":   {"$p": true, "$p/a": true, "p/a": false},
		"日本/*":    {"日本/x": true, "日/x": false},
		"a/b/*/*": {"a/b/c/d": true, "a/b/c": false},
	} {
		for topic, want := range topics {
			if got := push.Match(pattern, topic); got != want {
				t.Errorf("Match(%q, %q) = %v", pattern, topic, got)
			}
		}
	}
}

// A grant must cover every topic that a pattern can match (I8).
func TestWhichPatternsCoverAPattern(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"**", "**", true}, {"**", "a/**", true}, {"**", "*", true}, {"**", "$p/a", false}, {"**", "$p/**", false},
		{"a/**", "a/**", true}, {"a/**", "a", true}, {"a/**", "a/*", true}, {"a/**", "a/b/**", true}, {"a/**", "**", false}, {"a/**", "*", false},
		{"a/*", "a/*", true}, {"a/*", "a/b", true}, {"a/*", "a/**", false}, {"a/*", "*/*", false}, {"a/*", "a/*/*", false},
		{"*", "*", true}, {"*", "**", false}, {"*/b", "*/b", true}, {"*/b", "*/*", false}, {"*/*", "a/b", true}, {"*/*", "*/b", true},
		{"a/*/**", "a/**", false}, {"a/**", "a/*/**", true}, {"a", "a/**", false}, {"users/ann/**", "users/*/**", false}, {"users/ann", "**", false},
		{"", "a", false}, {"a", "", false},
	} {
		if got := push.Covers(c.outer, c.inner); got != c.want {
			t.Errorf("Covers(%q, %q) = %v", c.outer, c.inner, got)
		}
	}
	g := push.Sub("a/**")
	if !g.Allows(push.ActionSub, "a/*") || g.Allows(push.ActionPub, "a/b") || g.Allows(push.ActionSub, "**") || !push.Pub("b").Allows(push.ActionPub, "b") {
		t.Error("a grant allows what it should not, or the other way round")
	}
}

// naiveMatch is what section 2 of the design says, word by word.
func naiveMatch(pattern, topic string) bool {
	p, t := strings.Split(pattern, "/"), strings.Split(topic, "/")
	if strings.HasPrefix(topic, "$") && strings.HasPrefix(pattern, "*") {
		return false
	}
	if p[len(p)-1] == "**" {
		p = p[:len(p)-1]
		if len(t) < len(p) {
			return false
		}
		t = t[:len(p)]
	}
	if len(p) != len(t) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != t[i] {
			return false
		}
	}
	return true
}

// naiveTopic is the same for topics.
func naiveTopic(s string) bool {
	segs := strings.Split(s, "/")
	if len(s) > 200 || len(segs) > 16 || !utf8.ValidString(s) || strings.ContainsAny(s, "%*\\{}") || strings.HasPrefix(s, "$") {
		return false
	}
	for _, seg := range segs {
		if seg == "" || seg == "." || seg == ".." {
			return false
		}
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return false
		}
	}
	return true
}

// Failure 59: the rules hold for whatever bytes come.
func FuzzTopic(f *testing.F) {
	for _, s := range []string{"a", "a/b", "**", "a/*/c", "$p/x", "a//b", "a/../b", "a%2fb", "a\u202eb", "\xff", strings.Repeat("a/", 16)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := push.CheckTopic(s) == nil; got != naiveTopic(s) {
			t.Fatalf("CheckTopic(%q) says %v", s, got)
		}
		segs := strings.Split(s, "/")
		for i, seg := range segs { // each wildcard stands for a segment
			if seg == "*" || seg == "**" && i == len(segs)-1 {
				segs[i] = "a"
			}
		}
		topic := strings.Join(segs, "/")
		if s != "" && s[0] == '$' {
			topic = "x" + topic[1:]
		}
		if got := push.CheckPattern(s) == nil; got != (naiveTopic(topic) && len(s) <= 200) {
			t.Fatalf("CheckPattern(%q) says %v, though as a topic it is %q", s, got, topic)
		}
	})
}

// Whoever is granted outer never sees more with inner: what Covers says holds
// for every topic.
func FuzzMatch(f *testing.F) {
	f.Add("a/**", "a/*/b", uint64(1))
	f.Add("**", "$a/*", uint64(2))
	f.Add("*/**", "**", uint64(3))
	f.Fuzz(func(t *testing.T, outer, inner string, seed uint64) {
		if push.CheckPattern(outer) != nil || push.CheckPattern(inner) != nil {
			return
		}
		covers := push.Covers(outer, inner)
		rnd := rand.New(rand.NewPCG(seed, 0))
		segments := append(strings.FieldsFunc(outer+"/"+inner, func(r rune) bool { return r == '/' || r == '*' }), "a", "$b")
		for range 50 {
			topic := segments[rnd.IntN(len(segments))]
			for range rnd.IntN(5) {
				topic += "/" + segments[rnd.IntN(len(segments))]
			}
			if rnd.IntN(2) == 0 { // a topic that matches inner
				topic = strings.ReplaceAll(strings.Replace(inner, "**", topic, 1), "*", "x")
			}
			in, out := push.Match(inner, topic), push.Match(outer, topic)
			if in != naiveMatch(inner, topic) || out != naiveMatch(outer, topic) {
				t.Fatalf("Match of %q: %q %v, %q %v", topic, inner, in, outer, out)
			}
			if covers && in && !out {
				t.Fatalf("Covers(%q, %q), but %q matches the inner one only", outer, inner, topic)
			}
			if topic == inner && covers != out {
				t.Fatalf("Covers(%q, %q) = %v for a topic", outer, inner, covers)
			}
		}
	})
}
