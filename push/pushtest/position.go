package pushtest

import (
	"errors"
	"slices"

	"github.com/dualpush-go/dualpush/push"
)

var positionChecks = []check{
	{name: "Position/increases", run: positionIncreases,
		says: "Sequences strictly increase within an epoch, in one total order over all topics; they may have holes."},
	{name: "Position/other_epoch", run: positionOtherEpoch, says: sayVerified},
	{name: "Position/beyond_head", run: positionBeyondHead, says: sayVerified},
	{name: "Position/other_check", run: positionOtherCheck, says: sayVerified},
	{name: "Position/unknown_check", run: positionUnknownCheck, says: sayVerified},
	{name: "Position/gone", run: positionGone,
		says: "If the event that it names is gone, the epoch decides, unless the broker still knows its check."},
	{name: "Position/zero", run: positionZero,
		says: `The zero ID is no position but "before the oldest event that is retained": what was removed below that makes no gap.`},
	{name: "Position/before_first", run: positionBeforeFirst,
		says: "Head returns the position of the newest event, or one with Seq 0 and the log's epoch while there is none."},
}

const sayVerified = "A position is verified wherever it is given: when its epoch is not the log's, its sequence lies beyond the head, " +
	"or its check (unless 0, unknown) differs from that of the event it names, the position is of another epoch."

func positionIncreases(t *env) {
	b := t.open()
	all := make([]push.Event, 0, 20)
	for range 5 {
		all = append(all, b.publish(ev("a", ""), ev("b", ""), ev("a/b", ""), ev("b", ""))...)
	}
	for i, e := range all[1:] {
		if last := all[i].ID; e.ID.Epoch != last.Epoch || e.ID.Seq <= last.Seq {
			t.Errorf("an event published after %v has the position %v", last, e.ID)
		}
	}
	same(t, "History of all topics", b.all("**"), all)
	same(t, "Tail", b.tail(push.ID{}).until(all[len(all)-1].ID), all)
}

// foreign fails unless History and Tail take id for one of another epoch. Only
// a hub that has not noticed yet may still deliver what it has of that epoch.
func foreign(b *subject, id push.ID) {
	b.Helper()
	p := b.page(push.Query{Topics: []string{"**"}, After: id})
	if p.Gap == nil || p.Gap.Reason != push.ReasonEpoch {
		b.Errorf("History after %+v, in a log whose head is %+v: the gap is %+v, want reason epoch", id, b.head(), p.Gap)
	}
	b.settle()
	r := b.tail(id)
	r.mark(b)
	err, got := r.end(), r.got()
	if !errors.Is(err, push.ErrEpoch) || len(got) > 0 && got[len(got)-1].ID.Epoch != id.Epoch {
		b.Errorf("Tail after %+v, in a log whose head is %+v: delivered %s, returned %v", id, b.head(), show(got), err)
	}
}

// mark publishes an event and waits until Tail delivered it or ended.
func (r *tailing) mark(b *subject) {
	b.Helper()
	r.reaches(b.publish(ev("mark", ""))[0].ID)
	if !r.ended() {
		r.settle()
		r.cancel()
	}
}

// known fails unless History and Tail take id for one of this log that lies
// after all of want.
func known(b *subject, id push.ID, want ...push.Event) {
	b.Helper()
	p := b.page(push.Query{Topics: []string{"**"}, After: id})
	if p.Gap != nil {
		b.Errorf("History after %+v has the gap %+v", id, p.Gap)
	}
	same(b, "History", p.Events, want)
	if len(want) > 0 {
		same(b, "Tail", b.tail(id).until(want[len(want)-1].ID), want)
	}
}

func positionOtherEpoch(t *env) {
	b := t.open()
	events := b.publish(series("a", 3)...)
	for _, id := range []push.ID{events[1].ID, events[2].ID, {Seq: 0}} {
		id.Epoch = another(events[0].ID.Epoch)
		foreign(b, id)
		id.Check = 0
		foreign(b, id)
	}
}

func positionBeyondHead(t *env) {
	b := t.open()
	foreign(b, push.ID{Epoch: b.head().Epoch, Seq: 1 << 40})
	b.publish(series("a", 3)...)
	id := b.head()
	id.Seq += 1000
	foreign(b, id)
	id.Seq = 1<<64 - 1
	foreign(b, id)
}

func positionOtherCheck(t *env) {
	b := t.open()
	events := b.publish(series("a", 3)...)
	for _, e := range slices.Backward(events) { // a window may still have the newest
		id := e.ID
		id.Check = another(id.Check)
		foreign(b, id)
	}
}

func positionUnknownCheck(t *env) {
	b := t.open()
	events := b.publish(series("a", 3)...)
	for i, e := range events {
		known(b, e.ID, events[i+1:]...)
		known(b, push.ID{Epoch: e.ID.Epoch, Seq: e.ID.Seq}, events[i+1:]...)
	}
}

func positionGone(t *env) {
	b := t.open(keep(4))
	published, _ := b.overflow("a")
	for _, id := range []push.ID{published[0].ID, {Epoch: published[0].ID.Epoch, Seq: published[0].ID.Seq}} {
		p := b.page(push.Query{Topics: []string{"a"}, After: id})
		if p.Gap != nil && p.Gap.Reason == push.ReasonEpoch {
			t.Errorf("History after %+v, whose event is gone: gap %+v", id, p.Gap)
		}
		r := b.tail(id)
		r.mark(b)
		if err := r.end(); errors.Is(err, push.ErrEpoch) {
			t.Errorf("Tail after %+v, whose event is gone: %v", id, err)
		}
	}
}

func positionZero(t *env) {
	b := t.open(keep(4))
	_, kept := b.overflow("a")
	p := b.page(push.Query{Topics: []string{"a"}, Limit: 1000})
	if p.Gap != nil {
		t.Errorf("History after the zero ID has the gap %+v", p.Gap)
	}
	same(t, "History after the zero ID", p.Events, kept)
	r := b.tail(push.ID{})
	if got := r.until(kept[len(kept)-1].ID); len(got) < len(kept) || r.ended() {
		t.Errorf("Tail after the zero ID delivered %s of %s and returned %v", show(got), show(kept), r.err)
	}
}

func positionBeforeFirst(t *env) {
	b := t.open(keep(4))
	start := b.head()
	if start.Epoch == 0 || start.Seq != 0 {
		t.Errorf("the head of an empty log is %+v", start)
	}
	first := b.publish(ev("a", "1"))
	known(b, start, first...)
	b.overflow("a")
	if p := b.page(push.Query{Topics: []string{"a"}, After: start}); p.Gap == nil {
		t.Errorf("no gap after the head that the log had while it was empty, though events were removed since")
	}
}
