package pushtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

var publishChecks = []check{
	{name: "Publish/order", run: publishOrder,
		says: "Publish appends events in the order given and returns their IDs in that order."},
	{name: "Publish/fields", run: publishFields,
		says: "Broker is an ordered, append-only log of events: all that a driver for an engine implements."},
	{name: "Publish/visible", run: publishVisible,
		says: "When it returns nil, the events are in the log: a History or Tail that begins then sees them."},
	{name: "Publish/copies_data", run: publishCopiesData,
		says: "It copies Data and Meta; the caller may reuse both."},
	{name: "Publish/copies_meta", run: publishCopiesMeta,
		says: "It copies Data and Meta; the caller may reuse both."},
	{name: "Publish/time", run: publishTime,
		says: "A zero Time is set to now."},
	{name: "Publish/idem", run: publishIdem,
		says: sayIdem},
	{name: "Publish/idem_of_gone", run: publishIdemOfGone,
		says: sayIdem},
	{name: "Publish/idem_window", run: publishIdemWindow,
		says: sayIdem},
	{name: "Publish/error", run: publishError,
		says: "On error the IDs that are known are returned, each at its event's index and zero for the others, or fewer; the " +
			"outcome of the other events is unknown: try again with Idem."},
	{name: "Publish/ended_context", run: publishEndedContext,
		says: "A context that has ended already appends nothing, and its error is returned."},
	{name: "Publish/nothing", run: publishNothing,
		says: "Publishing no events does nothing."},
}

const sayIdem = "An event whose Topic and non-empty Idem equal those of one that was published within IdemWindow is not appended " +
	"again; its ID is that of the first, also when that is gone."

func publishOrder(t *env) {
	b := t.open()
	want := b.publish(ev("a", "1"), ev("b", "2"), ev("a", "3"), ev("c/d", "4"))
	want = append(want, b.publish(ev("b", "5"))...)
	same(t, "History", b.all("**"), want)
	same(t, "Tail", b.tail(push.ID{}).until(want[4].ID), want)
}

// publishFields has every field come back as it was, and stay.
func publishFields(t *env) {
	b := t.open()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := b.publish(
		push.Event{Topic: "a", Name: "n", ContentType: "application/octet-stream", Key: "k", Idem: "i", Data: every,
			Time: time.Date(2020, 1, 2, 3, 4, 5, 678e6, time.UTC), Meta: map[string]string{"x": "y", "": "é\n"}},
		push.Event{Topic: "ä/b c/€/😀", Data: []byte("line\r\nbreaks\n")},
		push.Event{Topic: "a"},
	)
	for i := range 2 {
		same(t, "History", b.all("**"), want)
		same(t, "Tail", b.tail(push.ID{}).until(want[2+i].ID), want)
		want = append(want, b.publish(ev("z", "later"))...)
	}
	if got := b.all("a")[0].Idem; got != "i" && got != "" {
		t.Errorf("Idem came back as %q", got)
	}
}

func publishVisible(t *env) {
	b := t.open()
	after := b.head()
	for i := range 20 {
		want := b.publish(ev("a", strconv.Itoa(i)))
		same(t, "History", b.page(push.Query{Topics: []string{"a"}, After: after}).Events, want)
		if i%5 == 0 {
			same(t, "Tail", b.tail(after).until(want[0].ID), want)
		}
		after = want[0].ID
	}
}

func publishCopiesData(t *env) {
	b := t.open()
	running := b.tail(push.ID{})
	data := []byte("before")
	e := b.publish(push.Event{Topic: "a", Data: data})
	copy(data, "after!")
	for from, got := range map[string][]push.Event{
		"History": b.all("a"), "Tail": b.tail(push.ID{}).until(e[0].ID), "running Tail": running.until(e[0].ID),
	} {
		if !bytes.Equal(got[0].Data, []byte("before")) {
			t.Errorf("%s sees %q, to which the publisher changed its Data after Publish returned", from, got[0].Data)
		}
	}
}

func publishCopiesMeta(t *env) {
	b := t.open()
	running := b.tail(push.ID{})
	meta := map[string]string{"k": "before", "gone": "1"}
	want := maps.Clone(meta)
	e := b.publish(push.Event{Topic: "a", Meta: meta})
	meta["k"], meta["new"] = "after", "1"
	delete(meta, "gone")
	for from, got := range map[string][]push.Event{
		"History": b.all("a"), "Tail": b.tail(push.ID{}).until(e[0].ID), "running Tail": running.until(e[0].ID),
	} {
		if !maps.Equal(got[0].Meta, want) {
			t.Errorf("%s sees %v, to which the publisher changed its Meta after Publish returned", from, got[0].Meta)
		}
	}
}

func publishTime(t *env) {
	b := t.open()
	const slack = time.Minute // for an engine's own clock
	before := time.Now().Add(-slack)
	b.publish(ev("a", "now"))
	given := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	b.publish(push.Event{Topic: "a", Time: given})
	got := b.all("a")
	if now := got[0].Time; now.Before(before) || now.After(time.Now().Add(slack)) {
		t.Errorf("a zero Time became %v", now)
	}
	if !got[1].Time.Equal(given) {
		t.Errorf("the Time %v became %v", given, got[1].Time)
	}
}

func publishIdem(t *env) {
	b := t.open()
	first := b.publish(idem("a", "first", "k"))[0]
	events := b.publish(idem("a", "again", "k"), idem("b", "other topic", "k"), idem("a", "x", "k2"), idem("a", "y", "k2"),
		ev("a", "no key"), ev("a", "no key"))
	if events[0].ID != first.ID {
		t.Errorf("the same Idem again: ID %v, the first has %v", events[0].ID, first.ID)
	}
	if events[3].ID != events[2].ID {
		t.Errorf("the same Idem twice in one call: IDs %v and %v", events[2].ID, events[3].ID)
	}
	same(t, "History", b.all("**"), []push.Event{first, events[1], events[2], events[4], events[5]})
}

func publishIdemOfGone(t *env) {
	b := t.open(keep(4))
	first := b.publish(idem("a", "first", "k"))[0]
	_, kept := b.overflow("a")
	if again := b.publish(idem("a", "again", "k"))[0]; again.ID != first.ID {
		t.Errorf("the same Idem again: ID %v, the first had %v", again.ID, first.ID)
	}
	same(t, "History", b.all("a"), kept)
}

func publishIdemWindow(t *env) {
	if !t.harness.Synctest {
		t.Skipf("IdemWindow is %v: only with Harness.Synctest", push.IdemWindow)
	}
	b := t.open()
	first := b.publish(idem("a", "first", "k"))[0]
	t.pause(push.IdemWindow - time.Second)
	if again := b.publish(idem("a", "again", "k"))[0]; again.ID != first.ID {
		t.Errorf("a second before IdemWindow ends: ID %v, the first has %v", again.ID, first.ID)
	}
	t.pause(2 * time.Second)
	if later := b.publish(idem("a", "later", "k"))[0]; later.ID == first.ID {
		t.Errorf("a second after IdemWindow: still ID %v", first.ID)
	}
}

// publishError has contexts end while Publish runs, and tries again.
func publishError(t *env) {
	b := t.open()
	type attempt struct {
		events []push.Event
		ids    []push.ID
	}
	failed := make([]attempt, 0, 40)
	for i := range 40 {
		events := make([]push.Event, 3)
		for j := range events {
			events[j] = idem("a", fmt.Sprint(i, j), fmt.Sprint("key ", i, j))
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { cancel(); close(done) }()
		ids, err := b.Publish(ctx, events...)
		<-done
		if err == nil && len(ids) != len(events) || len(ids) > len(events) {
			t.Fatalf("Publish of %d events: %d IDs, error %v", len(events), len(ids), err)
		}
		failed = append(failed, attempt{events, ids})
	}
	for _, a := range failed {
		again := b.publish(a.events...)
		for i, id := range a.ids {
			if id != (push.ID{}) && id != again[i].ID {
				t.Errorf("the ID of event %d was %v, that of the second attempt is %v", i, id, again[i].ID)
			}
		}
	}
	seen := map[string]int{}
	for _, e := range b.all("a") {
		seen[string(e.Data)]++
	}
	if len(seen) != 120 || slices.Max(slices.Collect(maps.Values(seen))) > 1 {
		t.Errorf("after a second attempt with the same Idem not every event is in the log once: %v", seen)
	}
}

func publishEndedContext(t *env) {
	b := t.open()
	before := b.head()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Publish(ctx, ev("a", "1"), ev("a", "2")); !errors.Is(err, context.Canceled) {
		t.Errorf("Publish with an ended context: %v", err)
	}
	t.settle()
	if after := b.head(); after != before || len(b.all("a")) > 0 {
		t.Errorf("Publish with an ended context moved the head from %v to %v", before, after)
	}
}

func publishNothing(t *env) {
	b := t.open()
	for range 2 {
		before := b.head()
		if ids, err := b.Publish(t.Context()); err != nil || len(ids) > 0 {
			t.Errorf("Publish of no events: %v, %v", ids, err)
		}
		if after := b.head(); after != before {
			t.Errorf("Publish of no events moved the head from %v to %v", before, after)
		}
		b.publish(ev("a", "1"))
	}
}
