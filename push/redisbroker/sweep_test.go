package redisbroker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// Row 41: topics that come and go leave nothing behind but the floor, below which
// every cursor is told a gap.
func TestManyTopicsLeaveNothing(t *testing.T) {
	s := startServer(t)
	rdb := s.open(t)
	topics, age := 10_000, 2*time.Second
	if *long {
		topics = 1_000_000
	}
	b := redisbroker.NewWithConfig(rdb, redisbroker.Config{
		Feed: 100, Rules: []push.Rule{{Pattern: "stays", Retention: push.Retention{Age: -1}}, {Pattern: "**", Retention: push.Retention{Age: age}}},
	})
	defer func() { _ = b.Close(t.Context()) }()
	publish := func(events ...push.Event) push.ID {
		ids, err := b.Publish(t.Context(), events...)
		if err != nil {
			t.Fatal(err)
		}
		return ids[len(ids)-1]
	}
	first := publish(push.Event{Topic: "stays"})
	events := make([]push.Event, topics)
	for i := range events {
		events[i].Topic = fmt.Sprint("room/", i)
	}
	publish(events...)
	last := publish(push.Event{Topic: "room/0"})
	eventually(t, "all topics are gone but one", func() bool {
		if err := b.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		n, err := rdb.ZCard(t.Context(), "{push}:topics").Result()
		return err == nil && n == 2 // with the index's own mark
	})
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	if keys = slices.DeleteFunc(keys, func(k string) bool { return strings.HasPrefix(k, "{push}:w:") }); len(keys) > 5 {
		t.Errorf("%d topics have left the keys %q", topics, keys) // state, feed, index, stays; sweeper
	}
	p, err := b.History(t.Context(), push.Query{Topics: []string{"room/7"}, After: first})
	if err != nil || p.Gap == nil || p.Gap.To.Seq < last.Seq {
		t.Errorf("below the floor, which is #%d, the gap is %+v, error %v", last.Seq, p.Gap, err)
	}
	next := publish(push.Event{Topic: "room/7"})
	p, err = b.History(t.Context(), push.Query{Topics: []string{"room/7"}, After: last})
	if err != nil || p.Gap != nil || len(p.Events) != 1 || p.Events[0].ID != next {
		t.Errorf("from the floor on: %d events, gap %+v, error %v", len(p.Events), p.Gap, err)
	}
}

// Redis counts in milliseconds, where 0 is no bound.
func TestLessThanAMillisecondIsNotForEver(t *testing.T) {
	b := redisbroker.NewWithConfig(startServer(t).open(t), redisbroker.Config{
		Rules: []push.Rule{{Pattern: "**", Retention: push.Retention{Age: time.Microsecond}}},
	})
	defer func() { _ = b.Close(t.Context()) }()
	if _, err := b.Publish(t.Context(), push.Event{Topic: "brief"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the event is too old", func() bool {
		p, err := b.History(t.Context(), push.Query{Topics: []string{"brief"}})
		return err == nil && len(p.Events) == 0
	})
}
