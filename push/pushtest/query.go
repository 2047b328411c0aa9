package pushtest

import (
	"cmp"
	"slices"

	"github.com/dualpush-go/dualpush/push"
)

var queryChecks = []check{
	{name: "History/ascending", run: historyAscending,
		says: "History returns a page of events, ascending.\n" +
			"Query asks History for events.\nPage is what History returns."},
	{name: "Query/topics", run: queryTopics,
		says: sayTopics},
	{name: "Query/several_matches", run: querySeveralMatches,
		says: sayTopics},
	{name: "Query/after", run: queryAfter,
		says: "only events after it; zero: from the oldest"},
	{name: "Query/before", run: queryBefore, says: sayBefore},
	{name: "Query/before_of_other_epoch", run: queryBeforeOtherEpoch, says: sayBefore},
	{name: "Query/before_is_not_verified", run: queryBeforeNotVerified, says: sayBefore},
	{name: "Query/limit", run: queryLimit,
		says: "at most so many events are returned; ≤ 0: DefaultLimit"},
	{name: "Query/default_limit", run: queryDefaultLimit,
		says: "at most so many events are returned; ≤ 0: DefaultLimit"},
	{name: "Query/latest", run: queryLatest,
		says: "the newest Limit events rather than the oldest"},
}

const (
	sayTopics = "topics and patterns; an event that matches several comes once; none: nothing matches"
	sayBefore = "if not zero, only events of that epoch with a smaller sequence: none if it is not the log's; else not verified"
)

// mixed publishes events of several topics.
func (b *subject) mixed() []push.Event {
	b.Helper()
	return b.publish(ev("a", "0"), ev("b", "1"), ev("a/x", "2"), ev("a", "3"), ev("a/x/y", "4"), ev("b", "5"),
		ev("c", "6"), ev("a", "7"))
}

func of(events []push.Event, topics ...string) []push.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e push.Event) bool { return !matches(topics, e) })
}

func historyAscending(t *env) {
	b := t.open()
	events := b.mixed()
	for _, topics := range [][]string{{"**"}, {"b", "a"}, {"c", "a/**", "b"}, {"*", "a/x", "*/x/y"}} {
		for _, latest := range []bool{false, true} {
			p := b.page(push.Query{Topics: topics, Latest: latest})
			if !slices.IsSortedFunc(p.Events, func(a, b push.Event) int { return cmp.Compare(a.ID.Seq, b.ID.Seq) }) {
				t.Errorf("History of %q, latest %v: %s", topics, latest, show(p.Events))
			}
			if len(p.Events) != len(of(events, topics...)) {
				t.Errorf("History of %q: %s", topics, show(p.Events))
			}
		}
	}
}

func queryTopics(t *env) {
	b := t.open()
	events := b.mixed()
	for _, topics := range [][]string{{"a"}, {"b"}, {"none"}, {}, {"a", "c"}, {"*"}, {"a/*"}, {"a/**"}, {"*/x"}, {"**"}, {"a/x/y/**", "none/**", "b"}} {
		same(t, "History", b.page(push.Query{Topics: topics}).Events, of(events, topics...))
	}
}

func querySeveralMatches(t *env) {
	b := t.open()
	events := b.mixed()
	for _, topics := range [][]string{{"a", "*"}, {"*", "**"}, {"a/x", "a/*", "a/**"}, {"a", "a"}, {"**", "b", "**"}} {
		for limit := range 5 {
			want := of(events, topics...)
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			same(t, "History", b.page(push.Query{Topics: topics, Limit: limit}).Events, want)
		}
	}
}

func queryAfter(t *env) {
	b := t.open()
	events := b.mixed()
	same(t, "History after the zero ID", b.page(push.Query{Topics: []string{"**"}}).Events, events)
	for i, e := range events {
		for _, topic := range []string{"**", "a", "b"} {
			p := b.page(push.Query{Topics: []string{topic}, After: e.ID})
			same(t, "History of "+topic, p.Events, of(events[i+1:], topic))
		}
	}
}

func queryBefore(t *env) {
	b := t.open()
	events := b.mixed()
	for i, e := range events {
		same(t, "History before", b.page(push.Query{Topics: []string{"**"}, Before: e.ID}).Events, events[:i])
		p := b.page(push.Query{Topics: []string{"**"}, Before: e.ID, Limit: 2, Latest: true})
		same(t, "the newest 2 before", p.Events, events[max(i-2, 0):i])
		if i >= 2 {
			p := b.page(push.Query{Topics: []string{"**"}, After: events[1].ID, Before: e.ID})
			same(t, "History between", p.Events, events[2:i])
		}
	}
}

func queryBeforeOtherEpoch(t *env) {
	b := t.open()
	events := b.mixed()
	before := push.ID{Epoch: another(events[0].ID.Epoch), Seq: events[5].ID.Seq}
	for _, q := range []push.Query{{Before: before}, {Before: before, Latest: true}, {Before: before, After: events[2].ID}} {
		q.Topics = []string{"**"}
		p := b.page(q)
		same(t, "History before a position of another epoch", p.Events, nil)
		if p.Upto.Epoch != events[0].ID.Epoch || p.Upto.Seq > q.After.Seq {
			t.Errorf("History after %+v and before a position of another epoch has nothing, but Upto is %+v", q.After, p.Upto)
		}
	}
}

func queryBeforeNotVerified(t *env) {
	b := t.open()
	events := b.mixed()
	before := events[3].ID
	before.Check = another(before.Check)
	p := b.page(push.Query{Topics: []string{"**"}, Before: before})
	same(t, "History before a position with another check", p.Events, events[:3])
	before = events[7].ID
	before.Seq += 1000
	p = b.page(push.Query{Topics: []string{"**"}, Before: before})
	same(t, "History before a position beyond the head", p.Events, events)
	if p.Gap != nil {
		t.Errorf("History before a position beyond the head has the gap %+v", p.Gap)
	}
}

func queryLimit(t *env) {
	b := t.open()
	events := b.mixed()
	for limit := 1; limit < 10; limit++ {
		p := b.page(push.Query{Topics: []string{"**"}, Limit: limit})
		same(t, "History with a limit", p.Events, events[:min(limit, len(events))])
		a := of(events, "a")
		p = b.page(push.Query{Topics: []string{"a"}, Limit: limit})
		same(t, "History of one topic with a limit", p.Events, a[:min(limit, len(a))])
	}
}

func queryDefaultLimit(t *env) {
	b := t.open()
	events := b.publish(series("a", push.DefaultLimit+5)...)
	for _, limit := range []int{0, -1} {
		p := b.page(push.Query{Topics: []string{"a"}, Limit: limit})
		same(t, "History without a limit", p.Events, events[:push.DefaultLimit])
		p = b.page(push.Query{Topics: []string{"a"}, Limit: limit, Latest: true})
		same(t, "the newest without a limit", p.Events, events[5:])
	}
}

func queryLatest(t *env) {
	b := t.open()
	events := b.mixed()
	for limit := 1; limit < 10; limit++ {
		for _, topic := range []string{"**", "a", "a/**", "none"} {
			want := of(events, topic)
			p := b.page(push.Query{Topics: []string{topic}, Limit: limit, Latest: true})
			same(t, "the newest of "+topic, p.Events, want[max(len(want)-limit, 0):])
			want = of(events[3:], topic)
			p = b.page(push.Query{Topics: []string{topic}, Limit: limit, Latest: true, After: events[2].ID})
			same(t, "the newest after a position of "+topic, p.Events, want[max(len(want)-limit, 0):])
		}
	}
}
