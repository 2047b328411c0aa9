package pushtest

import (
	"context"
	"errors"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var lifeChecks = []check{
	{name: "Head/newest", run: headNewest,
		says: "Head returns the position of the newest event, or one with Seq 0 and the log's epoch while there is none."},
	{name: "Head/empty", run: headEmpty, says: sayHead},
	{name: "Head/never_back", run: headNeverBack, says: sayHead},
	{name: "Store/same", run: storeSame,
		says: "Store returns the state that goes with the log, always the same one."},
	{name: "Close/methods", run: closeMethods,
		says: "After Close they return an error that is ErrClosed."},
	{name: "Close/tails", run: closeTails, says: sayClose},
	{name: "Close/frees", run: closeFrees, says: sayClose},
	{name: "Close/again", run: closeAgain,
		says: "Closing again does nothing."},
}

const (
	sayHead  = "It never moves back within an epoch, and the epoch is never 0."
	sayClose = "Close ends every Tail with ErrClosed and frees what the broker holds."
)

func headNewest(t *env) {
	b := t.open()
	for i := range 5 {
		events := b.publish(append(series("a", i), ev("b", ""))...)
		if got, want := b.head(), events[i].ID; got != want {
			t.Errorf("the head is %+v, the newest event's ID %+v", got, want)
		}
	}
}

func headEmpty(t *env) {
	b := t.open()
	if id := b.head(); id.Epoch == 0 || id.Seq != 0 {
		t.Errorf("the head of an empty log is %+v", id)
	}
	if id, e := b.head(), b.publish(ev("a", ""))[0]; id.Epoch != e.ID.Epoch {
		t.Errorf("the epoch of the empty log was %d, that of its first event is %d", id.Epoch, e.ID.Epoch)
	}
}

// headNeverBack: not when events are removed either.
func headNeverBack(t *env) {
	b := t.open(keep(4))
	last := b.head()
	forward := func(what string) {
		id := b.head()
		if id.Epoch != last.Epoch || id.Seq < last.Seq {
			t.Errorf("the head moved from %+v to %+v: %s", last, id, what)
		}
		last = id
	}
	for range 3 {
		b.overflow("a")
		forward("events were removed")
		b.publish(series("b", 3)...)
		forward("events were published")
	}
}

func storeSame(t *env) {
	b := t.open()
	if err := b.Store().Set(t.Context(), "key", []byte("value"), time.Hour); err != nil {
		t.Fatalf("Set: %v", err)
	}
	wantStored(t, b)
}

func wantStored(t *env, b *subject) {
	t.Helper()
	if v, ok, err := b.Store().Get(t.Context(), "key"); string(v) != "value" || !ok || err != nil {
		t.Errorf("Get of what was stored: %q, %v, %v", v, ok, err)
	}
}

func closeMethods(t *env) {
	b := t.open()
	b.publish(series("a", 3)...)
	if err := b.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, publish := b.Publish(t.Context(), ev("a", ""))
	_, history := b.History(t.Context(), push.Query{Topics: []string{"a"}})
	_, head := b.Head(t.Context())
	tail := b.tail(push.ID{}).end()
	for method, err := range map[string]error{"Publish": publish, "History": history, "Head": head, "Tail": tail} {
		if !errors.Is(err, push.ErrClosed) {
			t.Errorf("%s after Close: %v", method, err)
		}
	}
}

// closeTails ends Tails that wait and such that have just begun, and nothing
// is delivered after it.
func closeTails(t *env) {
	b := t.open()
	events := b.publish(series("a", 3)...)
	tails := []*tailing{b.tail(push.ID{}), b.tail(events[1].ID), b.tail(events[2].ID)}
	tails[0].until(events[2].ID)
	if err := b.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for _, r := range tails {
		if err := r.end(); !errors.Is(err, push.ErrClosed) {
			t.Errorf("Close ended Tail with %v", err)
		}
	}
	_, _ = b.Publish(t.Context(), ev("a", "after Close"))
	t.settle()
	for _, r := range tails {
		if n := len(r.got()); n > 3 || r.lateCalls() > 0 {
			t.Errorf("deliver was called after Close: %s", show(r.got()))
		}
	}
}

// closeFrees counts the goroutines that the use of a broker started: they
// inherit a label.
func closeFrees(t *env) {
	b := t.open()
	use := push.NewConnectionID()
	pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels("pushtest", use)))
	defer pprof.SetGoroutineLabels(t.Context())
	r := b.tail(push.ID{})
	r.until(b.publish(ev("a", ""))[0].ID)
	b.page(push.Query{Topics: []string{"a"}})
	if err := b.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	r.cancel()
	_ = r.end()
	pprof.SetGoroutineLabels(t.Context())
	t.eventually("the goroutines of a closed broker end", func() bool { return !labelled(use) })
}

// labelled reports whether a goroutine has a label.
func labelled(value string) bool {
	var s strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&s, 1) // with labels
	return strings.Contains(s.String(), value)
}

func closeAgain(t *env) {
	b := t.open()
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	cancel()
}
