package pushtest

import (
	"context"
	"errors"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var engineChecks = []check{
	{name: "Purge/gap", run: purgeGap, says: sayGap},
	{name: "Purge/head", run: purgeHead, says: sayHead},
	{name: "Purge/tail", run: purgeTail, says: sayTailGap},
	{name: "Lose/new_epoch", run: loseNewEpoch,
		says: "An epoch that was replaced never comes back."},
	{name: "Lose/positions", run: losePositions, says: sayVerified},
	{name: "Lose/tail", run: loseTail, says: sayTailGap},
	{name: "Rewind/positions", run: rewindPositions, says: sayVerified + "\nthe cursor is not of this log"},
	{name: "Rewind/tail", run: rewindTail, says: sayTailGap},
	{name: "Restart/keeps", run: restartKeeps, alone: true,
		says: "When it returns nil, the events are in the log: a History or Tail that begins then sees them."},
	{name: "Restart/tail", run: restartTail, alone: true,
		says: "Any other error says that it cannot go on for now: call it again, after the last event that it delivered."},
	{name: "Reopen/same_log", run: reopenSameLog,
		says: "Sequences strictly increase within an epoch, in one total order over all topics; they may have holes."},
	{name: "Reopen/idem", run: reopenIdem, says: sayIdem},
	{name: "Reopen/store", run: reopenStore,
		says: "All processes over the log share it."},
	{name: "Reopen/close", run: reopenClose, says: sayClose},
}

// purge, lose, rewind, restart and reopen do what the Instance can do, or skip the check.
func (b *subject) purge(topic string) {
	b.Helper()
	if b.engine.Purge == nil {
		b.Skipf("Instance.Purge is nil")
	}
	if err := b.engine.Purge(b.Context(), topic); err != nil {
		b.Fatalf("Purge of %q: %v", topic, err)
	}
}

func (b *subject) lose() {
	b.Helper()
	if b.engine.Lose == nil {
		b.Skipf("Instance.Lose is nil")
	}
	if err := b.engine.Lose(b.Context()); err != nil {
		b.Fatalf("Lose: %v", err)
	}
}

func (b *subject) rewind(n int) {
	b.Helper()
	if b.engine.Rewind == nil {
		b.Skipf("Instance.Rewind is nil")
	}
	if err := b.engine.Rewind(b.Context(), n); err != nil {
		b.Fatalf("Rewind by %d: %v", n, err)
	}
}

func (b *subject) restart() {
	b.Helper()
	if !b.alone {
		b.Fatalf("pushtest: a check that restarts the engine must say that it runs alone")
	}
	if b.engine.Restart == nil {
		b.Skipf("Instance.Restart is nil")
	}
	if err := b.engine.Restart(b.Context()); err != nil {
		b.Fatalf("Restart: %v", err)
	}
}

func (b *subject) reopen() *subject {
	b.Helper()
	if b.engine.Reopen == nil {
		b.Skipf("Instance.Reopen is nil")
	}
	other, err := b.engine.Reopen(b.Context())
	if err != nil {
		b.Fatalf("Reopen: %v", err)
	}
	return b.again(other)
}

// resume publishes an event, as soon as the broker is back.
func (b *subject) resume(topic string) push.Event {
	b.Helper()
	e := idem(topic, "resumed", push.NewConnectionID())
	var ids []push.ID
	b.eventually("Publish works again", func() (ok bool) {
		var err error
		ids, err = b.Publish(b.Context(), e)
		return err == nil
	})
	e.ID, e.Idem = ids[0], ""
	return e
}

func purgeGap(t *env) {
	b := t.open()
	events := b.mixed()
	b.purge("a")
	left := of(events, "b", "c", "a/**")
	left = of(left, "b", "c", "a/x", "a/x/y")
	same(t, "History", b.all("**"), left)
	p := b.page(push.Query{Topics: []string{"a"}, After: events[1].ID})
	if p.Gap == nil || p.Gap.To.Seq < events[7].ID.Seq || len(p.Events) > 0 {
		t.Errorf("topic a was purged, events up to #%d: History after #%d has the gap %+v and %s", events[7].ID.Seq,
			events[1].ID.Seq, p.Gap, show(p.Events))
	}
	next := b.publish(ev("a", "next"))
	p = b.page(push.Query{Topics: []string{"a"}, After: events[1].ID})
	same(t, "what came after the purge", p.Events, next)
	if p.Gap == nil {
		t.Errorf("the gap is gone after the next event")
	}
	if p := b.page(push.Query{Topics: []string{"a"}, After: next[0].ID}); p.Gap != nil {
		t.Errorf("History after the first event since the purge has the gap %+v", p.Gap)
	}
}

func purgeHead(t *env) {
	b := t.open()
	b.publish(series("a", 5)...)
	before := b.head()
	b.purge("a")
	if after := b.head(); after != before {
		t.Errorf("a purge moved the head from %+v to %+v", before, after)
	}
	if next := b.publish(ev("a", ""))[0]; next.ID.Epoch != before.Epoch || next.ID.Seq <= before.Seq {
		t.Errorf("the head was %+v before the purge, the next event is %+v", before, next.ID)
	}
}

// purgeTail purges what a Tail has not delivered yet.
func purgeTail(t *env) {
	b := t.open()
	start := b.head()
	deliver, entered, release := t.hold()
	r := b.tailWith(start, deliver)
	events := b.publish(ev("a", "first"))
	t.entry(entered)
	events = append(events, b.publish(series("a", 5)...)...)
	b.purge("a")
	events = append(events, b.publish(ev("b", "last"))...)
	release()
	h := history{events: events}
	p := b.followOn(r, passage{after: start, upto: events[6].ID})
	h.ordered(t, "Tail", p)
	h.noSilentHole(t, "Tail", p)
}

func loseNewEpoch(t *env) {
	b := t.open()
	epochs := map[uint64]bool{}
	for i := range 3 {
		b.publish(series("a", 3)...)
		if id := b.head(); id.Epoch == 0 || epochs[id.Epoch] {
			t.Errorf("after the log was lost %d times the epoch is %d; there were %v", i, id.Epoch, epochs)
		} else {
			epochs[id.Epoch] = true
		}
		b.lose()
		b.resume("a")
	}
}

// losePositions: nothing of the lost log is taken for a position of the new
// one, though the new one has the same sequences.
func losePositions(t *env) {
	b := t.open()
	lost := b.mixed()
	b.lose()
	first := b.resume("a")
	b.publish(series("a", 10)...)
	for _, e := range lost {
		foreign(b, e.ID)
	}
	if p := b.page(push.Query{Topics: []string{"a"}, After: lost[7].ID, Limit: 1}); p.Events[0].ID != first.ID {
		t.Errorf("after a position of the lost log History starts with %s", show(p.Events))
	}
}

func loseTail(t *env) {
	b := t.open()
	r := b.tailOn(push.ID{})
	lost := b.mixed()
	r.until(lost[7].ID)
	b.lose()
	b.resume("a")
	if err := r.end(); !errors.Is(err, push.ErrEpoch) {
		t.Errorf("Tail returned %v when the log was lost", err)
	}
	same(t, "Tail", r.got(), lost)
}

func rewindPositions(t *env) {
	b := t.open()
	events := b.mixed()
	b.rewind(3)
	b.resume("z")
	b.publish(series("z", 10)...)
	for _, e := range events[5:] {
		foreign(b, e.ID)
	}
}

// rewindTail: a Tail that had delivered what was lost must not go on as if
// nothing had happened.
func rewindTail(t *env) {
	b := t.open()
	r := b.tailOn(push.ID{})
	events := b.mixed()
	r.until(events[7].ID)
	b.rewind(3)
	b.resume("z")
	b.publish(series("z", 10)...)
	if err := r.end(); !errors.Is(err, push.ErrEpoch) {
		t.Errorf("Tail returned %v when the log had lost its newest events", err)
	}
	same(t, "Tail", r.got(), events)
}

func restartKeeps(t *env) {
	b := t.open()
	events := b.mixed()
	b.restart()
	events = append(events, b.resume("a"))
	same(t, "History", b.all("**"), events)
	known(b, events[2].ID, events[3:]...)
}

// restartTail: whatever a Tail says when the engine restarts, who calls it again
// misses nothing and gets nothing twice.
func restartTail(t *env) {
	b := t.open()
	r := b.tailOn(push.ID{})
	events := b.mixed()
	for range 3 {
		b.restart()
		b.settle() // what is published now is for the next Tail
		events = append(events, b.resume("a"))
		same(t, "Tail", r.until(events[len(events)-1].ID), events)
	}
}

func reopenSameLog(t *env) {
	one := t.open()
	other := one.reopen()
	tails := []*tailing{one.tail(push.ID{}), other.tail(push.ID{})}
	events := make([]push.Event, 0, 20)
	for range 5 {
		events = append(events, one.publish(ev("a", "1"), ev("b", "2"))...)
		events = append(events, other.publish(ev("a", "3"), ev("b", "4"))...)
		same(t, "History of one", one.all("**"), events)
		same(t, "History of the other", other.all("**"), events)
	}
	for _, r := range tails {
		same(t, "Tail", r.until(events[19].ID), events)
	}
	if a, b := one.head(), other.head(); a != b {
		t.Errorf("two brokers over one log have the heads %+v and %+v", a, b)
	}
	for i, e := range events[:5] {
		known(other, e.ID, events[i+1:]...)
	}
}

func reopenIdem(t *env) {
	one := t.open()
	other := one.reopen()
	first := one.publish(idem("a", "first", "k"))[0]
	if again := other.publish(idem("a", "again", "k"))[0]; again.ID != first.ID {
		t.Errorf("the same Idem through another broker: ID %v, the first has %v", again.ID, first.ID)
	}
}

func reopenStore(t *env) {
	b := t.open()
	if err := b.Store().Set(t.Context(), "key", []byte("value"), time.Hour); err != nil {
		t.Fatalf("Set: %v", err)
	}
	wantStored(t, b.reopen())
}

// reopenClose: what is closed is the broker, not the log.
func reopenClose(t *env) {
	one := t.open()
	other := one.reopen()
	events := one.publish(series("a", 3)...)
	r := other.tail(push.ID{})
	if err := one.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatalf("Close: %v", err)
	}
	events = append(events, other.publish(ev("a", "next"))...)
	same(t, "Tail", r.until(events[3].ID), events)
	same(t, "History", other.all("a"), events)
}
