package pushtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var tailChecks = []check{
	{name: "Tail/all_after", run: tailAllAfter, says: sayTail},
	{name: "Tail/zero", run: tailZero,
		says: "The zero ID starts at the oldest event without a TailGap."},
	{name: "Tail/batches_not_empty", run: tailBatches, says: sayTail},
	{name: "Tail/waits", run: tailWaits, says: sayTail},
	{name: "Tail/context", run: tailContext, says: sayTail},
	{name: "Tail/one_at_a_time", run: tailOneAtATime, says: sayDeliver},
	{name: "Tail/not_after_return", run: tailNotAfterReturn, says: sayDeliver},
	{name: "Tail/events_are_kept", run: tailEventsKept, says: sayDeliver},
	{name: "Tail/deliver_error", run: tailDeliverError,
		says: "An error of deliver ends Tail with that error."},
	{name: "Tail/gap_at_start", run: tailGapAtStart, says: sayTailGap},
	{name: "Tail/gap_while_slow", run: tailGapWhileSlow, says: sayTailGap},
	{name: "Tail/gap_goes_on", run: tailGapGoesOn,
		says: "The caller goes on with Tail(ctx, To, …).\n" +
			"TailGap ends a Tail whose broker removed events before they could be delivered.\n" +
			"Events in (From, To] may be gone; those that survive are reached with History only."},
	{name: "Tail/other_epoch", run: tailOtherEpoch, says: sayTailGap},
}

const (
	sayTail = "Tail calls deliver for all events after a position, ordered, each once, in batches that are not empty, and waits " +
		"for more until ctx ends; then it returns ctx's error."
	sayDeliver = "deliver is called by one goroutine at a time and not after Tail returned; it may keep the events but not the slice."
	sayTailGap = "Tail never skips silently: events that were removed before they were delivered end it with a *TailGap whose From " +
		"is the last position it delivered (or where it began), and a position of another epoch ends it with ErrEpoch, also " +
		"when the epoch changes while it runs."
)

func tailAllAfter(t *env) {
	b := t.open()
	events := b.publish(series("a", 5)...)
	events = append(events, b.publish(series("b", 5)...)...)
	running := []*tailing{b.tail(events[1].ID), b.tail(events[6].ID), b.tail(events[9].ID)}
	for i := range 30 {
		events = append(events, b.publish(series(strconv.Itoa(i%3), 1+i%4)...)...)
	}
	last := events[len(events)-1].ID
	for i, from := range []int{2, 7, 10} {
		same(t, "Tail", running[i].until(last), events[from:])
	}
}

func tailZero(t *env) {
	b := t.open(keep(4))
	empty := b.tail(push.ID{})
	first := b.publish(ev("a", "first"))
	same(t, "Tail from the zero ID of an empty log", empty.until(first[0].ID), first)
	_ = empty.stop()
	b.publish(ev("b", "quiet"))
	b.overflow("a")
	kept := b.all("**")
	r := b.tail(push.ID{})
	next := b.publish(ev("c", "next"))
	got := r.until(next[0].ID)
	if b.mode.name == "raw" { // a window may have events that the broker removed
		same(t, "Tail from the zero ID", got, append(kept, next...))
	}
	for _, e := range kept {
		if !slices.ContainsFunc(got, func(g push.Event) bool { return sameEvent(g, e) }) {
			t.Errorf("Tail from the zero ID did not deliver %s", show([]push.Event{e}))
		}
	}
}

func tailBatches(t *env) {
	b := t.open()
	events := b.publish(series("a", 3)...)
	for _, after := range []push.ID{{}, events[1].ID, events[2].ID} {
		r := b.tail(after)
		for range 3 {
			r.until(b.publish(ev("b", ""))[0].ID)
		}
		_ = r.stop()
		if r.empty > 0 {
			t.Errorf("Tail delivered %d empty batches", r.empty)
		}
	}
}

// tailWaits: Tail outlives the silence after the head.
func tailWaits(t *env) {
	b := t.open()
	for _, after := range []push.ID{{}, b.head()} {
		r := b.tail(after)
		for range 3 {
			e := b.publish(ev("a", ""))
			r.until(e[0].ID)
			t.settle()
			if t.harness.Synctest {
				t.pause(time.Hour)
			}
			if r.ended() {
				t.Fatalf("Tail returned %v at the head of the log instead of waiting", r.err)
			}
		}
	}
}

func tailContext(t *env) {
	b := t.open()
	r := b.tail(b.head())
	r.until(b.publish(ev("a", ""))[0].ID)
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Tail returned %v when its context was cancelled", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := b.Tail(ctx, b.head(), func([]push.Event) error { return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Tail returned %v when the deadline of its context had passed", err)
	}
}

// hold returns a deliver whose first call waits for release.
func (t *env) hold() (deliver func([]push.Event) error, entered chan struct{}, release func()) {
	entered = make(chan struct{}, 1)
	released := make(chan struct{})
	return func([]push.Event) error {
		select {
		case entered <- struct{}{}:
			select {
			case <-released:
			case <-t.Context().Done():
			}
		default:
		}
		return nil
	}, entered, func() { close(released) }
}

// entry waits until a deliver that holds was called.
func (t *env) entry(entered chan struct{}) {
	t.Helper()
	t.eventually("Tail calls deliver", func() bool { return len(entered) == 1 })
}

// tailOneAtATime holds one call of deliver while there is more to deliver.
func tailOneAtATime(t *env) {
	b := t.open()
	deliver, entered, release := t.hold()
	held := b.tailWith(b.head(), deliver)
	free := b.tail(b.head())
	events := b.publish(ev("a", "1"))
	t.entry(entered)
	for range 10 {
		events = append(events, b.publish(series("a", 5)...)...)
	}
	last := events[len(events)-1].ID
	free.until(last)
	t.settle()
	release()
	held.until(last)
	if most := held.mostAtOnce(); most > 1 {
		t.Errorf("deliver was called by %d goroutines at a time", most)
	}
}

// tailNotAfterReturn publishes on after Tail returned for each reason.
func tailNotAfterReturn(t *env) {
	b := t.open()
	stopped := b.tail(push.ID{})
	stopped.until(b.publish(ev("a", ""))[0].ID)
	refused := b.tailWith(b.head(), func([]push.Event) error { return errRefused })
	witness := b.tail(b.head())
	b.publish(ev("a", ""))
	_ = stopped.stop()
	_ = refused.end()
	witness.until(b.publish(series("a", 20)...)[19].ID)
	t.settle()
	if n := stopped.lateCalls() + refused.lateCalls(); n > 0 {
		t.Errorf("deliver was called %d times after Tail had returned", n)
	}
}

var errRefused = errors.New("pushtest: deliver refuses")

// tailEventsKept keeps events while more is delivered.
func tailEventsKept(t *env) {
	b := t.open()
	r := b.tail(b.head())
	var want []push.Event
	for i := range 20 {
		e := b.publish(push.Event{Topic: "a", Data: fmt.Appendf(nil, "%04d", i), Meta: map[string]string{"i": strconv.Itoa(i)}})
		r.until(e[0].ID)
		want = append(want, e...)
	}
	same(t, "the events that deliver kept", r.got(), want)
}

func tailDeliverError(t *env) {
	b := t.open()
	for _, n := range []int{1, 3} {
		count := 0
		r := b.tailWith(b.head(), func([]push.Event) error {
			if count++; count == n {
				return errRefused
			}
			return nil
		})
		for range n {
			r.reaches(b.publish(ev("a", ""))[0].ID)
		}
		r.mark(b)
		if err := r.end(); !errors.Is(err, errRefused) {
			t.Errorf("Tail returned %v when deliver had returned an error", err)
		}
		if count > n {
			t.Errorf("deliver was called again after it had returned an error")
		}
	}
}

func tailGapAtStart(t *env) {
	b := t.open(keep(4))
	start := b.head()
	published, kept := b.overflow("a")
	h := history{events: published}
	for _, after := range []push.ID{start, published[0].ID} {
		p := b.follow(after, published[len(published)-1].ID)
		h.ordered(t, "Tail", p)
		h.noSilentHole(t, "Tail", p)
		h.exactGaps(t, "Tail", p, kept)
	}
	b.tail(kept[0].ID).until(kept[len(kept)-1].ID)
}

// tailGapWhileSlow removes events while deliver runs.
func tailGapWhileSlow(t *env) {
	b := t.open(keep(4))
	start := b.head()
	deliver, entered, release := t.hold()
	r := b.tailWith(start, deliver)
	published := b.publish(ev("a", "0"))
	t.entry(entered)
	more, _ := b.overflow("a")
	release()
	h := history{events: append(published, more...)}
	p := b.followOn(r, passage{after: start, upto: more[len(more)-1].ID})
	h.ordered(t, "Tail", p)
	h.noSilentHole(t, "Tail", p)
	if len(p.gaps) > 0 {
		if got, want := p.gaps[0].From, r.got(); got != want[len(want)-1].ID {
			t.Errorf("TailGap.From is %+v after %s", got, show(want))
		}
	}
}

// tailGapGoesOn: what survives in a TailGap is in History, what comes after it
// in the next Tail.
func tailGapGoesOn(t *env) {
	b := t.open(keep(4))
	b.publish(ev("quiet", "survives"))
	start := b.head()
	between := b.publish(ev("quiet", "survives, too"))
	published, kept := b.overflow("a")
	r := b.tail(start)
	r.mark(b)
	var gap *push.TailGap
	if !errors.As(r.end(), &gap) {
		switch got := r.got(); {
		case b.mode.name != "raw":
		case t.harness.Backlog:
			same(t, "Tail of an engine with a backlog", got, append(append(between, published...), b.all("mark")...))
		default:
			t.Errorf("Tail returned %v, though events after its position were removed", r.err)
		}
		return
	}
	from := start
	if got := r.got(); len(got) > 0 {
		from = got[len(got)-1].ID
	}
	if gone := newestGone(published, kept); gap.From.Seq != from.Seq || gap.To.Seq < gone.Seq {
		t.Errorf("Tail, at #%d, returned %+v; #%d was removed", from.Seq, gap, gone.Seq)
	}
	left := func(events []push.Event, after uint64) []push.Event {
		return slices.DeleteFunc(slices.Clone(events), func(e push.Event) bool { return e.ID.Seq <= after })
	}
	p := b.page(push.Query{Topics: []string{"quiet"}, After: gap.From})
	same(t, "the survivors in History", p.Events, left(between, gap.From.Seq))
	mark := b.all("mark")
	got := b.tail(gap.To).until(mark[0].ID)
	same(t, "Tail after TailGap.To", got, left(append(kept, mark...), gap.To.Seq))
}

func tailOtherEpoch(t *env) {
	b := t.open()
	id := b.publish(series("a", 3)...)[0].ID
	id.Epoch = another(id.Epoch)
	r := b.tail(id)
	r.mark(b)
	if err := r.end(); !errors.Is(err, push.ErrEpoch) {
		t.Errorf("Tail after a position of another epoch returned %v", err)
	}
}
