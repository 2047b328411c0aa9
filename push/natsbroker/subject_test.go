package natsbroker

import (
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

func testBroker() *Broker { return &Broker{cfg: Config{}.withDefaults()} }

// FuzzSubject: every topic has a subject of its own, which NATS takes and from
// which the topic comes back.
func FuzzSubject(f *testing.F) {
	for _, t := range []string{"a", "a/b", "a.b", "ä/b c/€", "a>b", ">", "$presence/x", "a\u00a0b", "..a", "a/.b"} {
		f.Add(t)
	}
	b := testBroker()
	f.Fuzz(func(t *testing.T, topic string) {
		if push.CheckTopic(strings.TrimPrefix(topic, "$")) != nil {
			return
		}
		s := b.subject(topic)
		for token := range strings.SplitSeq(s, ".") {
			if token == "" || strings.ContainsAny(token, "*> \t\r\n\f") {
				t.Fatalf("the topic %q has the subject %q with the token %q", topic, s, token)
			}
		}
		if got, ok := b.topic(s); !ok || got != topic {
			t.Fatalf("the topic %q has the subject %q, which is the topic %q", topic, s, got)
		}
	})
}

// TestFiltersAreReduced: a filter within another would be read twice.
func TestFiltersAreReduced(t *testing.T) {
	for _, c := range []struct{ topics, want []string }{
		{[]string{"a"}, []string{"push.e.a"}},
		{[]string{"a/b", "a/*"}, []string{"push.e.a.*"}},
		{[]string{"a", "a"}, []string{"push.e.a"}},
		{[]string{"a/**"}, []string{"push.e.a", "push.e.a.>"}},
		{[]string{"a/b", "**"}, []string{"push.e.>"}},
		{[]string{"*/**"}, []string{"push.e.*", "push.e.*.>"}},
		{[]string{"a.b/*", "c"}, []string{"push.e.a%2Eb.*", "push.e.c"}},
		{nil, nil},
	} {
		if got := testBroker().filters(c.topics); !slices.Equal(got, c.want) {
			t.Errorf("filters of %q: %q, want %q", c.topics, got, c.want)
		}
	}
}
