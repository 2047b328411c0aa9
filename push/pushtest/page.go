package pushtest

import (
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

var pageChecks = []check{
	{name: "Page/complete", run: pageComplete,
		says: sayPage},
	{name: "Page/limit_counts_what_is_returned", run: pageLimit,
		says: "Limit counts what is returned, never what was read."},
	{name: "Page/large_events", run: pageLarge,
		says: "A page of large events may hold fewer than Limit, but one at least."},
	{name: "Page/upto_of_a_cut_page", run: pageUptoCut, says: sayUpto},
	{name: "Page/upto_of_a_whole_page", run: pageUptoWhole, says: sayUpto},
	{name: "Page/upto_before", run: pageUptoBefore, says: sayUpto},
	{name: "Page/upto_not_before_after", run: pageUptoNotBack,
		says: "It is never before After, unless the epoch changed."},
}

const (
	sayPage = "Everything that matches in (After, Upto] is in Events or under Gap; after the zero ID, or where Query.Latest left " +
		"older events out, everything from the first of Events on."
	sayUpto = "Upto is the last event's ID when the page was cut at its end, which it never is with Latest; else it is the head " +
		"as it was when the page was read, or the position just below Before."
)

// noisyAndQuiet has events of a noisy topic removed between those of a quiet
// one.
func (b *subject) noisyAndQuiet() (h *history, kept []push.Event) {
	b.Helper()
	h = &history{events: b.publish(ev("quiet", "0"))}
	for range 3 {
		more, _ := b.overflow("noisy")
		h.events = append(h.events, more...)
		h.events = append(h.events, b.publish(ev("quiet", "1"))...)
	}
	return h, b.all("**")
}

func pageComplete(t *env) {
	b := t.open(keep(4))
	start := b.head()
	h, kept := b.noisyAndQuiet()
	afters := append(ids(h.events), start, push.ID{})
	n := 0
	for _, topics := range [][]string{{"**"}, {"noisy"}, {"quiet"}, {"quiet", "noisy", "*"}} {
		for _, after := range afters {
			for _, limit := range []int{1, 2, 3, 5, 100} {
				for _, latest := range []bool{false, true} {
					if n++; t.skips(n) {
						continue
					}
					b.judge(h, kept, push.Query{Topics: topics, After: after, Limit: limit, Latest: latest})
				}
			}
		}
	}
}

// judge reads a page and holds it against the model.
func (b *subject) judge(h *history, kept []push.Event, q push.Query) push.Page {
	b.Helper()
	p := b.page(q)
	h.judge(b, q, p, kept)
	return p
}

// pageLimit: a page that is cut is full, although what was read had events of
// other topics, removed ones and ephemeral ones.
func pageLimit(t *env) {
	rules := []push.Rule{keep(4)}
	if !t.harness.NoEphemeral {
		rules = []push.Rule{ephemeral, keep(4)}
	}
	b := t.open(rules...)
	start := b.head()
	for i := range 4 {
		b.overflow("noisy")
		b.publish(ev("quiet", ""), ev("other", ""))
		if len(rules) > 1 && i%2 == 0 {
			b.publish(series("typing/x", 3)...)
		}
	}
	for _, topics := range [][]string{{"**"}, {"noisy", "quiet"}, {"quiet"}} {
		for _, after := range []push.ID{start, {}, b.all("quiet")[1].ID} {
			for limit := 1; limit < 8; limit++ {
				b.walk(push.Query{Topics: topics, After: after, Limit: limit})
			}
		}
	}
}

// walk reads page after page; all but the last must be full.
func (b *subject) walk(q push.Query) {
	b.Helper()
	head := b.head()
	for range 1000 {
		p := b.page(q)
		if p.Upto.Seq < head.Seq && len(p.Events) != q.Limit {
			b.Fatalf("History of %q after #%d with the limit %d: %d events up to #%d, the head is #%d", q.Topics, q.After.Seq,
				q.Limit, len(p.Events), p.Upto.Seq, head.Seq)
		}
		if q.After = p.Upto; p.Upto.Seq >= head.Seq {
			return
		}
	}
	b.Fatalf("History, page by page, does not reach the head")
}

func pageLarge(t *env) {
	b := t.open()
	events := make([]push.Event, 0, 12)
	for range 12 {
		events = append(events, b.publish(ev("a", strings.Repeat("x", 256<<10)))...)
	}
	var got []push.Event
	for q := (push.Query{Topics: []string{"a"}}); len(got) < len(events); {
		p := b.page(q)
		if len(p.Events) == 0 {
			t.Fatalf("an empty page after %d of %d events", len(got), len(events))
		}
		got, q.After = append(got, p.Events...), p.Upto
	}
	same(t, "all pages", got, events)
}

func pageUptoCut(t *env) {
	b := t.open()
	events := b.mixed()
	for _, topics := range [][]string{{"**"}, {"a"}} {
		want := of(events, topics...)
		for limit := 1; limit < len(want); limit++ {
			p := b.page(push.Query{Topics: topics, Limit: limit})
			if p.Upto != want[limit-1].ID {
				t.Errorf("History of %q with the limit %d: Upto is %+v, the last event's ID %+v", topics, limit, p.Upto, want[limit-1].ID)
			}
		}
	}
}

// pageUptoWhole: the head, also where the last events do not match.
func pageUptoWhole(t *env) {
	b := t.open()
	if p := b.page(push.Query{Topics: []string{"a"}}); p.Upto != b.head() {
		t.Errorf("of an empty log Upto is %+v, the head %+v", p.Upto, b.head())
	}
	events := b.mixed()
	head := b.head()
	for _, q := range []push.Query{{}, {After: events[2].ID}, {After: head}, {Latest: true}, {Latest: true, Limit: 1}, {Limit: 3}} {
		for _, topic := range []string{"b", "a/x", "none", "**"} {
			if q.Topics = []string{topic}; topic == "**" && q.Limit == 3 {
				continue // cut
			}
			if p := b.page(q); p.Upto != head {
				t.Errorf("History(%+v) of %s: Upto is %+v, the head %+v", q, show(events), p.Upto, head)
			}
		}
	}
}

func pageUptoBefore(t *env) {
	b := t.open()
	events := b.mixed()
	for i, e := range events[1:] {
		p := b.page(push.Query{Topics: []string{"**"}, Before: e.ID})
		if p.Upto.Epoch != e.ID.Epoch || p.Upto.Seq >= e.ID.Seq || p.Upto.Seq < events[i].ID.Seq {
			t.Errorf("History before #%d and after #%d: Upto is %+v", e.ID.Seq, events[i].ID.Seq, p.Upto)
		}
		known(b, p.Upto, events[i+1:]...)
	}
}

func pageUptoNotBack(t *env) {
	b := t.open()
	events := b.mixed()
	for _, after := range []push.ID{events[5].ID, events[7].ID} {
		for _, before := range []push.ID{{}, events[0].ID, events[4].ID} {
			for _, latest := range []bool{false, true} {
				p := b.page(push.Query{Topics: []string{"a"}, After: after, Before: before, Latest: latest})
				if p.Upto.Epoch != after.Epoch || p.Upto.Seq < after.Seq {
					t.Errorf("History after %+v, before %+v: Upto is %+v", after, before, p.Upto)
				}
			}
		}
	}
}
