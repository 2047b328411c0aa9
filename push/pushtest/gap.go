package pushtest

import (
	"sync"

	"github.com/dualpush-go/dualpush/push"
)

var gapChecks = []check{
	{name: "Gap/span", run: gapSpan,
		says: "Gap is a hole: events in (From, To] that match may be gone.\nremoved before the reader came back"},
	{name: "Gap/survivors", run: gapSurvivors,
		says: "Those in that span that are left are delivered after it."},
	{name: "Gap/again_on_the_next_page", run: gapAgain,
		says: "To may lie beyond the page; then the next page has the rest as a gap again."},
	{name: "Gap/never_silent", run: gapNeverSilent, says: sayGap},
	{name: "Gap/of_latest", run: gapOfLatest, says: sayGap},
	{name: "Gap/exact", run: gapExact, says: sayGap},
	{name: "Gap/judged_after_the_page", run: gapJudgedAfter,
		says: "It is judged after the page was read, so that it covers what was removed meanwhile."},
	{name: "Gap/epoch", run: gapEpoch, says: sayGapEpoch},
	{name: "Gap/epoch_and_trimmed", run: gapEpochTrimmed, says: sayGapEpoch},
}

const (
	sayGap      = "A gap is never silent and, above the broker's floor, exact: it covers at least one event that matched and is gone."
	sayGapEpoch = "A position of another epoch makes a gap with ReasonEpoch; the page then starts at the oldest event, To is of the " +
		"new epoch and at or above every matching event that was removed."
)

func gapSpan(t *env) {
	b := t.open(keep(4))
	after := b.publish(ev("a", "seen"))[0].ID
	published, kept := b.overflow("a")
	g := b.page(push.Query{Topics: []string{"a"}, After: after}).Gap
	if g == nil {
		t.Fatalf("no gap")
	}
	gone := newestGone(published, kept)
	if g.Reason != push.ReasonTrimmed || g.From != after || g.To.Epoch != gone.Epoch || g.To.Seq < gone.Seq || g.To.Seq > b.head().Seq {
		t.Errorf("after %+v events up to %+v were removed; the gap is %+v", after, gone, g)
	}
}

// gapSurvivors: a quiet topic's events within a noisy topic's gap.
func gapSurvivors(t *env) {
	b := t.open(keep(4))
	start := b.head()
	h, kept := b.noisyAndQuiet()
	for limit := 1; limit < 20; limit++ {
		p := b.judge(h, kept, push.Query{Topics: []string{"**"}, After: start, Limit: limit})
		same(t, "what survives", p.Events, kept[:min(limit, len(kept))])
	}
}

func gapAgain(t *env) {
	b := t.open(keep(4))
	start := b.head()
	_, kept := b.noisyAndQuiet()
	first := b.page(push.Query{Topics: []string{"**"}, After: start, Limit: 1})
	second := b.page(push.Query{Topics: []string{"**"}, After: first.Upto, Limit: 1})
	if first.Gap == nil || second.Gap == nil || first.Gap.To.Seq <= first.Upto.Seq {
		t.Fatalf("the gaps of two pages of one event: %+v up to #%d, %+v", first.Gap, first.Upto.Seq, second.Gap)
	}
	if second.Gap.From != first.Upto {
		t.Errorf("the second gap is from %+v, the first page ended at %+v", second.Gap.From, first.Upto)
	}
	same(t, "both pages", append(first.Events, second.Events...), kept[:2])
}

func gapNeverSilent(t *env) {
	b := t.open(keep(4))
	start := b.head()
	h := &history{}
	n := 0
	for i := range 6 {
		more, _ := b.overflow([]string{"a", "b", "c"}[i%3])
		h.events = append(h.events, more...)
		kept := b.all("**")
		for _, after := range append(ids(h.events)[max(len(h.events)-20, 0):], start) {
			for _, topics := range [][]string{{"a"}, {"b", "c"}, {"*"}} {
				if n++; t.skips(n) {
					continue
				}
				b.judge(h, kept, push.Query{Topics: topics, After: after, Limit: 3})
			}
		}
	}
}

// gapOfLatest: a page of the newest events has a gap for what is gone after
// the first of them, and none for what is gone before.
func gapOfLatest(t *env) {
	b := t.open(keep(4))
	start := b.head()
	published, kept := b.overflow("noisy")
	p := b.page(push.Query{Topics: []string{"noisy"}, After: start, Limit: 100, Latest: true})
	if p.Gap == nil || p.Gap.To.Seq < newestGone(published, kept).Seq {
		t.Errorf("the newest after #%d, all of what is left, have the gap %+v", start.Seq, p.Gap)
	}
	if p := b.page(push.Query{Topics: []string{"noisy"}, After: start, Limit: 2, Latest: true}); p.Gap != nil {
		t.Errorf("the newest 2 have the gap %+v, which lies before them", p.Gap)
	}
	quiet := b.publish(series("quiet", 3)...)
	published, kept = b.overflow("noisy")
	p = b.page(push.Query{Topics: []string{"*"}, After: start, Limit: len(kept) + 2, Latest: true})
	if p.Gap == nil || p.Gap.To.Seq < newestGone(published, kept).Seq {
		t.Errorf("the newest from #%d on, of which those up to #%d were removed, have the gap %+v", quiet[1].ID.Seq,
			newestGone(published, kept).Seq, p.Gap)
	}
}

// gapExact: no gap where nothing is missing.
func gapExact(t *env) {
	b := t.open(keep(4))
	quiet := b.publish(ev("quiet", "0"))
	published, kept := b.overflow("noisy")
	quiet = append(quiet, b.publish(ev("quiet", "1"))...)
	for what, q := range map[string]push.Query{
		"a quiet topic":           {Topics: []string{"quiet"}, After: quiet[0].ID},
		"a topic without events":  {Topics: []string{"none", "none/**"}, After: quiet[0].ID},
		"no topic":                {After: quiet[0].ID},
		"what is right after":     {Topics: []string{"noisy"}, After: newestGone(published, kept)},
		"what is left":            {Topics: []string{"*"}, After: kept[0].ID, Limit: 1},
		"the end":                 {Topics: []string{"*"}, After: b.head()},
		"the newest":              {Topics: []string{"*"}, Limit: 1, Latest: true},
		"the newest after a hole": {Topics: []string{"noisy"}, After: newestGone(published, kept), Latest: true},
	} {
		if p := b.page(q); p.Gap != nil {
			t.Errorf("History of %s has the gap %v; kept %s", what, showGaps([]push.Gap{*p.Gap}), show(kept))
		}
	}
}

// gapJudgedAfter publishes while each page is read: every turn the publisher
// starts with the reader, so that some of its events fall into the reading.
func gapJudgedAfter(t *env) {
	b := t.open(keep(4))
	h := &history{events: b.publish(ev("a", "start"))}
	q := push.Query{Topics: []string{"a"}, After: h.events[0].ID, Limit: 2}
	turns, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for range turns {
			events := series("a", 6)
			ids, err := b.Publish(b.Context(), events...)
			if err != nil || len(ids) != len(events) {
				t.Errorf("Publish of %d events: %d IDs, error %v", len(events), len(ids), err)
				continue
			}
			for i := range ids {
				events[i].ID = ids[i]
			}
			h.events = append(h.events, events...)
		}
	}()
	stop := sync.OnceFunc(func() { close(turns); <-done })
	b.Cleanup(stop)
	var pages []passage
	read := func() (moved bool) {
		p := b.page(q)
		pages = append(pages, pagePassage(q, p))
		moved = p.Upto != q.After
		q.After = p.Upto
		return moved
	}
	for range 100 {
		turns <- struct{}{}
		read()
	}
	stop()
	for head := b.head(); q.After != head; {
		if !read() {
			t.Fatalf("History stands still at %+v, the head is %+v", q.After, head)
		}
	}
	for _, p := range pages {
		h.ordered(t, "History", p)
		h.noSilentHole(t, "History", p)
	}
}

func gapEpoch(t *env) {
	b := t.open()
	events := b.mixed()
	cursor := push.ID{Epoch: another(events[0].ID.Epoch), Seq: events[4].ID.Seq, Check: 7}
	p := b.page(push.Query{Topics: []string{"a", "b"}, After: cursor})
	if g := p.Gap; g == nil || g.Reason != push.ReasonEpoch || g.From != cursor || g.To.Epoch != events[0].ID.Epoch {
		t.Errorf("History after %+v has the gap %+v", cursor, p.Gap)
	}
	same(t, "the page starts at the oldest event", p.Events, of(events, "a", "b"))
	if p.Upto != b.head() {
		t.Errorf("Upto is %+v, the head %+v", p.Upto, b.head())
	}
	p = b.page(push.Query{Topics: []string{"a", "b"}, After: cursor, Limit: 2})
	same(t, "the page starts at the oldest event", p.Events, of(events, "a", "b")[:2])
}

func gapEpochTrimmed(t *env) {
	b := t.open(keep(4))
	published, kept := b.overflow("a")
	gone := newestGone(published, kept)
	for _, seq := range []uint64{0, gone.Seq, gone.Seq + 100} {
		cursor := push.ID{Epoch: another(gone.Epoch), Seq: seq}
		p := b.page(push.Query{Topics: []string{"a"}, After: cursor})
		if g := p.Gap; g == nil || g.To.Epoch != gone.Epoch || g.To.Seq < gone.Seq || g.To.Seq > b.head().Seq {
			t.Errorf("events up to %+v were removed; the gap after %+v is %+v", gone, cursor, p.Gap)
		}
		same(t, "the page starts at the oldest event", p.Events, kept)
	}
}
