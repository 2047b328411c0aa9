package pushtest

import (
	"slices"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var retentionChecks = []check{
	{name: "Retention/oldest_first", run: retentionOldestFirst,
		says: "A broker may remove events at any time, of each topic the oldest first."},
	{name: "Retention/evidence", run: retentionEvidence,
		says: "It keeps evidence of what it removed: see Page.Gap."},
	{name: "Retention/count", run: retentionCount, optOut: func(h *Harness) bool { return h.Approximate },
		says: "Retention says how much of a topic's history a broker keeps.\n" + sayDefault + "\nevents; default 1000"},
	{name: "Retention/unlimited", run: retentionUnlimited, says: sayDefault},
	{name: "Retention/rules", run: retentionRules, optOut: func(h *Harness) bool { return h.NoRules },
		says: "Rule is a Retention for all topics that match a pattern."},
	{name: "Retention/bytes", run: retentionBytes, optOut: func(h *Harness) bool { return h.NoBytes },
		says: "Whatever limit is reached first holds; the newest event is kept even if it is larger than Bytes."},
	{name: "Retention/default_bytes", run: retentionDefaultBytes, optOut: func(h *Harness) bool { return h.NoBytes },
		says: "payload plus about 256 bytes an event; default 16 MiB"},
	{name: "Retention/age", run: retentionAge, optOut: func(h *Harness) bool { return h.NoAge },
		says: "Whatever limit is reached first holds; the newest event is kept even if it is larger than Bytes."},
	{name: "Retention/default_age", run: retentionDefaultAge, optOut: func(h *Harness) bool { return h.NoAge },
		says: "default 24 h"},
	{name: "Retention/ephemeral", run: retentionEphemeral, optOut: func(h *Harness) bool { return h.NoEphemeral },
		says: "Events of topics that its rules call ephemeral are seen by Tail only, never by History.\n" + sayEphemeral},
	{name: "Retention/ephemeral_makes_no_gap", run: retentionEphemeralGap, optOut: func(h *Harness) bool { return h.NoEphemeral },
		says: sayEphemeral},
}

const (
	sayDefault   = "Zero fields take the default; a negative one means no limit."
	sayEphemeral = "for typing indicators and the like: only readers that keep up see the events; never in History, never a gap"
)

func retentionOldestFirst(t *env) {
	b := t.open(keep(4))
	var published []push.Event
	for range 4 {
		for _, topic := range []string{"a", "b"} {
			more, _ := b.overflow(topic)
			published = append(published, more...)
		}
	}
	for _, topic := range []string{"a", "b"} {
		kept := b.all(topic)
		mine := slices.DeleteFunc(slices.Clone(published), func(e push.Event) bool { return e.Topic != topic })
		same(t, "what is left of "+topic, kept, mine[len(mine)-len(kept):])
	}
}

// retentionEvidence asks from every position after events were removed.
func retentionEvidence(t *env) {
	b := t.open(keep(4))
	start := b.head()
	published, kept := b.overflow("a")
	gone := newestGone(published, kept)
	for _, after := range append([]push.ID{start}, ids(published)...) {
		p := b.page(push.Query{Topics: []string{"a"}, After: after, Limit: 1000})
		if hole := after.Seq < gone.Seq; hole != (p.Gap != nil) {
			t.Errorf("events up to #%d were removed: History after #%d has the gap %+v", gone.Seq, after.Seq, p.Gap)
		}
	}
}

func ids(events []push.Event) []push.ID {
	list := make([]push.ID, len(events))
	for i, e := range events {
		list[i] = e.ID
	}
	return list
}

// retentionCount: whatever was published, the newest Count are there.
func retentionCount(t *env) {
	b := t.open(keep(4))
	other := b.publish(ev("b", "quiet"))
	var published []push.Event
	for i := range 12 {
		published = append(published, b.publish(series("a", 1+i%3)...)...)
		same(t, "with Count 4", b.all("a"), published[max(len(published)-4, 0):])
	}
	same(t, "another topic", b.all("b"), other)

	b = t.open()
	published = b.publish(series("a", push.DefaultCount+1)...)
	same(t, "with the default count", b.all("a"), published[1:])
}

func retentionUnlimited(t *env) {
	b := t.open(keep(-1))
	published := b.publish(series("a", push.DefaultCount+10)...)
	same(t, "without a limit", b.all("a"), published)
}

// retentionRules: of the rules that match, the first holds.
func retentionRules(t *env) {
	rule := func(pattern string, n int) push.Rule {
		return push.Rule{Pattern: pattern, Retention: push.Retention{Count: n}}
	}
	b := t.open(rule("a/b", 8), rule("a/*", 2), rule("**", 5))
	for topic, n := range map[string]int{"a/b": 8, "a/c": 2, "a/b/c": 5} {
		published := b.publish(series(topic, 20)...)
		kept := b.all(topic)
		if len(kept) < n || !t.harness.Approximate && len(kept) > n {
			t.Errorf("of topic %s the broker keeps %d events, its rule says %d", topic, len(kept), n)
		}
		same(t, topic, kept, published[len(published)-len(kept):])
	}
}

func retentionBytes(t *env) {
	const limit, size = 64 << 10, 4 << 10
	b := t.open(push.Rule{Pattern: "**", Retention: push.Retention{Bytes: limit}})
	quiet := b.publish(ev("quiet", "1"))
	data := strings.Repeat("x", size)
	published := make([]push.Event, 0, 4*limit/size)
	for range cap(published) {
		published = append(published, b.publish(ev("noisy", data))...)
	}
	kept := b.all("noisy")
	if n := len(kept); n*size > limit || n*size < limit/2 {
		t.Errorf("a topic with a limit of %d bytes holds %d events of %d bytes", limit, n, size)
	}
	same(t, "what is left", kept, published[len(published)-len(kept):])
	same(t, "another topic", b.all("quiet"), quiet)
	huge := b.publish(ev("noisy", strings.Repeat("y", 2*limit)))
	same(t, "an event above the limit", b.all("noisy"), huge)
}

func retentionDefaultBytes(t *env) {
	b := t.open()
	data := strings.Repeat("x", 256<<10)
	published := make([]push.Event, 0, push.DefaultBytes/len(data)+4)
	for range cap(published) {
		published = append(published, b.publish(ev("a", data))...)
	}
	kept := b.all("a")
	if n := len(kept); n*len(data) > push.DefaultBytes || n*len(data) < push.DefaultBytes/2 {
		t.Errorf("a topic holds %d events of %d bytes, the default is %d bytes", n, len(data), push.DefaultBytes)
	}
	same(t, "what is left", kept, published[len(published)-len(kept):])
}

func retentionDefaultAge(t *env) {
	if !t.harness.Synctest {
		t.Skipf("DefaultAge is %v: only with Harness.Synctest", push.DefaultAge)
	}
	b := t.open()
	published := b.publish(series("a", 3)...)
	t.pause(push.DefaultAge - time.Second)
	same(t, "a second before the default age", b.all("a"), published)
	t.pause(2 * time.Second)
	same(t, "a second after the default age", b.all("a"), nil)
}

func retentionAge(t *env) {
	age := 2 * time.Second
	if t.harness.Synctest {
		age = time.Hour
	}
	b := t.open(push.Rule{Pattern: "**", Retention: push.Retention{Age: age}})
	published := b.publish(series("a", 3)...)
	if t.harness.Synctest {
		t.pause(age - time.Second)
		same(t, "a second before their age", b.all("a"), published)
	}
	t.pause(2 * time.Second)
	t.eventually("events are removed when they reach their age", func() bool { return len(b.all("a")) == 0 })
	if p := b.page(push.Query{Topics: []string{"a"}, After: published[0].ID}); p.Gap == nil {
		t.Errorf("no gap after a position whose next events were removed for their age")
	}
	if head := b.head(); head != published[2].ID {
		t.Errorf("the head moved from %v to %v when the newest event was removed", published[2].ID, head)
	}
	same(t, "the next event", b.publish(ev("a", "next")), b.all("a"))
}

var ephemeral = push.Rule{Pattern: "typing/**", Retention: push.Retention{Ephemeral: true}}

func retentionEphemeral(t *env) {
	b := t.open(ephemeral)
	r := b.tail(b.head())
	events := b.publish(ev("a", "0"))
	r.until(events[0].ID) // readers that come later see none
	events = append(events, b.publish(ev("typing/x", "1"), ev("a", "2"), ev("typing/x", "3"), ev("typists", "4"))...)
	same(t, "Tail", r.until(events[4].ID), events)
	for limit := range 5 {
		for _, latest := range []bool{false, true} {
			p := b.page(push.Query{Topics: []string{"**", "typing/x"}, Limit: limit, Latest: latest})
			for _, e := range p.Events {
				if e.Topic == "typing/x" {
					t.Errorf("History has the ephemeral event %s", show([]push.Event{e}))
				}
			}
		}
	}
	same(t, "History", b.all("**"), []push.Event{events[0], events[2], events[4]})
}

func retentionEphemeralGap(t *env) {
	b := t.open(ephemeral)
	first := b.publish(ev("a", "1"), ev("typing/x", "2"))
	for range 20 {
		b.publish(series("typing/x", 20)...)
	}
	last := b.publish(ev("a", "3"))
	for _, topics := range [][]string{{"**"}, {"typing/x", "a"}, {"a", "typing/*"}} {
		p := b.page(push.Query{Topics: topics, After: first[0].ID})
		if p.Gap != nil {
			t.Errorf("History of %v has the gap %+v, though only ephemeral events were removed", topics, p.Gap)
		}
		same(t, "History", p.Events, last)
	}
}
