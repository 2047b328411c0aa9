package poll_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

var wall = []string{"wall"}

func TestPagingForthCoversEveryEventOnce(t *testing.T) {
	hub := newHub(t, push.Retention{})
	publish(t, hub, "wall", 0, 250)
	publish(t, hub, "other", 0, 3) // the head is not the last of the wall
	for _, limit := range []int{1, 7, 100, 249, 250, 251, 1000} {
		var got []string
		after, pages := "0", 0
		for more := true; more && pages <= 250; pages++ {
			p := read(t, hub, poll.Query{Topics: wall, After: after, Limit: limit})
			if p.Gap != nil {
				t.Fatalf("limit %d: gap %+v in a log that lost nothing", limit, p.Gap)
			}
			if len(p.Items) > limit {
				t.Fatalf("limit %d: %d items", limit, len(p.Items))
			}
			got = append(got, texts(p)...)
			more, after = p.More, p.Last.String()
		}
		if !slices.Equal(got, numbers(0, 250)) {
			t.Errorf("limit %d: %d items on %d pages, want each of 250 once, in order", limit, len(got), pages)
		}
	}
}

func TestPagingBackCoversEveryEventOnce(t *testing.T) {
	hub := newHub(t, push.Retention{})
	publish(t, hub, "wall", 0, 250)
	publish(t, hub, "other", 0, 3)
	for _, limit := range []int{1, 7, 100, 250, 1000} {
		p := read(t, hub, poll.Query{Topics: wall, Limit: limit})
		got := texts(p)
		for len(p.Items) > 0 && len(got) <= 250 {
			p = read(t, hub, poll.Query{Topics: wall, Before: p.First.String(), Limit: limit})
			got = append(texts(p), got...)
		}
		if !slices.Equal(got, numbers(0, 250)) {
			t.Errorf("limit %d: %d items, want each of 250 once, in order", limit, len(got))
		}
	}
}

func TestMoreIsFalseOnTheLastPage(t *testing.T) {
	hub := newHub(t, push.Retention{})
	ids := publish(t, hub, "wall", 0, 10)
	for _, q := range []poll.Query{
		{After: "0", Limit: 10},
		{After: "0", Limit: 11},
		{After: ids[4].String(), Limit: 5},
		{After: ids[9].String(), Limit: 5},
		{After: "0", Limit: 3, Before: ids[3].String()},
		{Limit: 3}, // newest pages lead back, not on
	} {
		q.Topics = wall
		if p := read(t, hub, q); p.More {
			t.Errorf("%+v: More, but %v are all there is", q, texts(p))
		}
	}
	if p := read(t, hub, poll.Query{Topics: wall, After: "0", Limit: 9}); !p.More {
		t.Error("9 of 10 read: More is false")
	}
}

func TestPageOfLargeEventsSaysThatThereIsMore(t *testing.T) {
	hub := newHub(t, push.Retention{Bytes: -1})
	const n = 40
	for i := range n {
		big := bytes.Repeat([]byte{byte('a' + i%26)}, 60<<10)
		if _, err := hub.Publish(context.Background(), push.Event{Topic: "wall", Data: big}); err != nil {
			t.Fatal(err)
		}
	}
	items, after := 0, "0"
	for more := true; more && items <= n; {
		p := read(t, hub, poll.Query{Topics: wall, After: after})
		if items == 0 && len(p.Items) >= n {
			t.Fatalf("a page of %d × 60 KiB: it is not bounded", len(p.Items))
		}
		items, more, after = items+len(p.Items), p.More, p.Last.String()
	}
	if items != n {
		t.Errorf("following More shows %d of %d events: the rest is lost to whoever follows Link next", items, n)
	}
}

func TestEmptyPageHasAPositionToGoOnFrom(t *testing.T) {
	hub := newHub(t, push.Retention{})
	fresh := read(t, hub, poll.Query{Topics: wall})
	publish(t, hub, "other", 0, 3)
	moved := read(t, hub, poll.Query{Topics: wall})
	if fresh.Last == moved.Last {
		t.Error("last did not move past other topics' events: an idle poller's cursor would age out of the log")
	}
	for name, p := range map[string]*poll.Page{"of a fresh log": fresh, "of a busy log": moved} {
		if len(p.Items) != 0 || p.First != p.Last || p.Gap != nil || p.More {
			t.Errorf("empty page %s: %+v", name, p)
		}
		w := decode(t, p.AppendJSON(nil))
		if w.Items == nil || w.First == "" || w.Last == "" {
			t.Errorf("empty page %s on the wire: %+v", name, w)
		}
	}
	publish(t, hub, "wall", 7, 8)
	for name, p := range map[string]*poll.Page{"fresh": fresh, "moved": moved} {
		if got := texts(read(t, hub, poll.Query{Topics: wall, After: p.Last.String()})); !slices.Equal(got, []string{"7"}) {
			t.Errorf("after the %s empty page: %v, want 7", name, got)
		}
	}
}

func TestLimitIsBounded(t *testing.T) {
	hub := newHub(t, push.Retention{Count: 2000})
	publish(t, hub, "wall", 0, 1100)
	for limit, want := range map[int]int{0: 100, -5: 100, 1: 1, 1000: 1000, 5000: 1000, 1 << 40: 1000} {
		p := read(t, hub, poll.Query{Topics: wall, Limit: limit})
		if len(p.Items) != want {
			t.Errorf("limit %d: %d items, want %d", limit, len(p.Items), want)
		}
		if last := string(p.Items[len(p.Items)-1].Data); last != "1099" {
			t.Errorf("limit %d: the newest page ends with %s", limit, last)
		}
	}
}

func TestStaleCursorIsToldItsGapAndGoesOn(t *testing.T) {
	hub := newHub(t, push.Retention{Count: 3})
	ids := publish(t, hub, "wall", 0, 10)
	p := read(t, hub, poll.Query{Topics: wall, After: ids[1].String()})
	if p.Gap == nil || p.Gap.From != ids[1] || p.Gap.Reason != push.ReasonTrimmed {
		t.Fatalf("gap %+v, want one from %v", p.Gap, ids[1])
	}
	if p.Gap.To.Seq < ids[5].Seq || p.Gap.To.Seq > ids[6].Seq {
		t.Errorf("gap to %d: events up to %d are gone", p.Gap.To.Seq, ids[6].Seq)
	}
	if got := texts(p); !slices.Equal(got, numbers(7, 10)) {
		t.Errorf("after the gap: %v, want 7 8 9", got)
	}
	w := decode(t, p.AppendJSON(nil))
	if w.Gap == nil || w.Gap.From != ids[1].String() || w.Gap.To != p.Gap.To.String() || w.Gap.Reason != "trimmed" || !slices.Equal(w.Gap.Topics, wall) {
		t.Errorf("gap on the wire: %+v", w.Gap)
	}
	if again := read(t, hub, poll.Query{Topics: wall, After: p.Last.String()}); again.Gap != nil {
		t.Errorf("the gap is told twice: %+v", again.Gap)
	}
}

func TestForgedCursorIsAGapEpochNeverAnError(t *testing.T) {
	hub := newHub(t, push.Retention{})
	ids := publish(t, hub, "wall", 0, 3)
	beyond, other, check := ids[2], ids[2], ids[2]
	beyond.Seq++
	other.Epoch++
	check.Check++
	for _, cursor := range []string{
		"x", "-1", "00", "a1", strings.Repeat("9", 65), strings.Repeat("a", 5000), "a\x00b", "\xff\xfe", "a1.\n", " ", "1e9",
		beyond.String(), other.String(), check.String(), push.ID{}.String(),
	} {
		p := read(t, hub, poll.Query{Topics: wall, After: cursor})
		if p.Gap == nil || p.Gap.Reason != push.ReasonEpoch {
			t.Errorf("after %.20q: gap %+v, want one with reason epoch", cursor, p.Gap)
			continue
		}
		if got := texts(p); !slices.Equal(got, numbers(0, 3)) {
			t.Errorf("after %.20q: %v, want all that is left", cursor, got)
		}
		if p.Gap.To.Epoch != ids[0].Epoch || p.Last != ids[2] {
			t.Errorf("after %.20q: gap to %v, last %v: there is no going on from it", cursor, p.Gap.To, p.Last)
		}
	}
}

func TestNothingIsBeforeAForgedCursor(t *testing.T) {
	hub := newHub(t, push.Retention{})
	ids := publish(t, hub, "wall", 0, 3)
	for _, before := range []string{"0", "x", push.ID{Epoch: ids[0].Epoch + 1, Seq: 3}.String(), ids[0].String()} {
		if got := texts(read(t, hub, poll.Query{Topics: wall, Before: before})); len(got) != 0 {
			t.Errorf("before %q: %v, want nothing", before, got)
		}
	}
	if got := texts(read(t, hub, poll.Query{Topics: wall, Before: ids[2].String()})); !slices.Equal(got, numbers(0, 2)) {
		t.Errorf("before the third: %v", got)
	}
}

func TestPageOfManyTopicsIsInOrderAndEachEventComesOnce(t *testing.T) {
	hub := newHub(t, push.Retention{})
	for i := range 10 {
		publish(t, hub, []string{"a/x", "a/y", "b"}[i%3], i, i+1)
	}
	p := read(t, hub, poll.Query{Topics: []string{"a/*", "a/x", "**"}, After: "0"})
	if got := texts(p); !slices.Equal(got, numbers(0, 10)) {
		t.Errorf("patterns that overlap: %v, want 0 to 9 once each", got)
	}
}

func TestBadTopicIsTheClientsError(t *testing.T) {
	_, err := poll.ReadPage(context.Background(), newHub(t, push.Retention{}), poll.Query{Topics: []string{"a//b"}})
	if !errors.Is(err, push.ErrInvalid) {
		t.Errorf("topic a//b: %v, want ErrInvalid", err)
	}
}
