package pushtest

import (
	"slices"

	"github.com/dualpush-go/dualpush/push"
)

// history is the model of a broker: what was published to it, in order.
type history struct {
	events []push.Event
	floor  uint64 // the gaps of positions below it need not be exact
}

// passage is what a reader got of the log between two positions of one epoch.
type passage struct {
	topics      []string
	after, upto push.ID
	owed        uint64 // what was removed up to here needs no gap
	events      []push.Event
	gaps        []push.Gap
}

// pagePassage returns a page as a passage.
func pagePassage(q push.Query, p push.Page) passage {
	r := passage{topics: q.Topics, after: q.After, upto: p.Upto, events: p.Events}
	if p.Gap != nil {
		r.gaps = []push.Gap{*p.Gap}
	}
	if q.Latest && len(p.Events) == limitOf(q) { // older events were left out
		r.after, r.events = p.Events[0].ID, p.Events[1:]
	}
	if q.After.IsZero() {
		r.owed = r.upto.Seq
		if len(p.Events) > 0 {
			r.owed = p.Events[0].ID.Seq
		}
	}
	return r
}

// judge holds a page against the model. kept is what was retained afterwards.
func (h *history) judge(t tester, q push.Query, p push.Page, kept []push.Event) {
	t.Helper()
	r := pagePassage(q, p)
	h.ordered(t, "History", r)
	h.noSilentHole(t, "History", r)
	h.exactGaps(t, "History", r, kept)
	h.survivors(t, "History", r, kept)
	if len(p.Events) > limitOf(q) {
		t.Fatalf("History with the limit %d returned %s", limitOf(q), show(p.Events))
	}
}

func limitOf(q push.Query) int {
	if q.Limit <= 0 {
		return push.DefaultLimit
	}
	return q.Limit
}

func matches(topics []string, e push.Event) bool {
	return slices.ContainsFunc(topics, func(p string) bool { return push.Match(p, e.Topic) })
}

func (p *passage) has(e push.Event) bool {
	return slices.ContainsFunc(p.events, func(g push.Event) bool { return g.ID.Seq == e.ID.Seq })
}

func covers(g push.Gap, e push.Event) bool { return g.From.Seq < e.ID.Seq && e.ID.Seq <= g.To.Seq }

// ordered fails unless the events of p ascend, each once, are what was
// published, match, and lie after the beginning.
func (h *history) ordered(t tester, what string, p passage) {
	t.Helper()
	last := p.after.Seq
	for _, e := range p.events {
		i := slices.IndexFunc(h.events, func(g push.Event) bool { return g.ID == e.ID })
		switch {
		case i < 0:
			t.Fatalf("%s: nobody published #%d: %s", what, e.ID.Seq, show(p.events))
		case !sameEvent(h.events[i], e):
			t.Fatalf("%s: %s was published, %s came back", what, show(h.events[i:i+1]), show([]push.Event{e}))
		case e.ID.Seq <= last:
			t.Fatalf("%s after #%d: #%d comes after #%d: %s", what, p.after.Seq, e.ID.Seq, last, show(p.events))
		case !matches(p.topics, e):
			t.Fatalf("%s of %q: %s does not match", what, p.topics, show([]push.Event{e}))
		}
		last = e.ID.Seq
	}
}

// span yields the events that a reader of p is owed.
func (h *history) span(p passage) func(func(push.Event) bool) {
	return func(yield func(push.Event) bool) {
		for _, e := range h.events {
			if e.ID.Seq > p.after.Seq && e.ID.Seq <= p.upto.Seq && matches(p.topics, e) && !yield(e) {
				return
			}
		}
	}
}

// noSilentHole fails unless every event of the span was delivered or lies in a
// gap.
func (h *history) noSilentHole(t tester, what string, p passage) {
	t.Helper()
	for e := range h.span(p) {
		if e.ID.Seq > p.owed && !p.has(e) && !slices.ContainsFunc(p.gaps, func(g push.Gap) bool { return covers(g, e) }) {
			t.Fatalf("%s of %q in (#%d, #%d]: %s is a silent hole; events %s, gaps %v", what, p.topics,
				p.after.Seq, p.upto.Seq, show([]push.Event{e}), show(p.events), showGaps(p.gaps))
		}
	}
}

// exactGaps fails unless each gap covers an event that matches and is not
// among those that are kept.
func (h *history) exactGaps(t tester, what string, p passage, kept []push.Event) {
	t.Helper()
	for _, g := range p.gaps {
		gone := func(e push.Event) bool { return matches(p.topics, e) && covers(g, e) && !contains(kept, e) }
		if g.From.Seq >= h.floor && !slices.ContainsFunc(h.events, gone) {
			t.Fatalf("%s of %q after #%d: the gap %v covers nothing that is gone; kept %s", what, p.topics,
				p.after.Seq, showGaps([]push.Gap{g}), show(kept))
		}
	}
}

// survivors fails unless the events of the span that are kept were delivered.
func (h *history) survivors(t tester, what string, p passage, kept []push.Event) {
	t.Helper()
	for e := range h.span(p) {
		if contains(kept, e) && !p.has(e) {
			t.Fatalf("%s of %q in (#%d, #%d]: %s is kept, but was not delivered; events %s, gaps %v", what, p.topics,
				p.after.Seq, p.upto.Seq, show([]push.Event{e}), show(p.events), showGaps(p.gaps))
		}
	}
}

func contains(events []push.Event, e push.Event) bool {
	return slices.ContainsFunc(events, func(g push.Event) bool { return g.ID == e.ID })
}

func showGaps(gaps []push.Gap) [][2]uint64 {
	list := make([][2]uint64, len(gaps))
	for i, g := range gaps {
		list[i] = [2]uint64{g.From.Seq, g.To.Seq}
	}
	return list
}
