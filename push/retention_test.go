package push_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

func keep(pattern string, r push.Retention) push.MemoryOption {
	return push.Rules(push.Rule{Pattern: pattern, Retention: r})
}

// history returns the data of what is retained of topics.
func history(t testing.TB, b push.Broker, topics ...string) (data []string) {
	t.Helper()
	p, err := b.History(context.Background(), push.Query{Topics: topics, Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.Events {
		data = append(data, string(e.Data))
	}
	return data
}

func TestATopicKeepsNoMoreThanItsCountAndBytes(t *testing.T) {
	b := push.NewMemory(push.Rules(
		push.Rule{Pattern: "three/*", Retention: push.Retention{Count: 3}},
		push.Rule{Pattern: "bytes", Retention: push.Retention{Bytes: 2000}},
		push.Rule{Pattern: "three/unlimited", Retention: push.Retention{Count: -1}}, // the first rule holds
	))
	h := memoryHub(t, b)
	for _, topic := range []string{"three/a", "three/unlimited", "bytes", "default"} {
		for i := range 1200 {
			publish(t, h, topic, fmt.Sprintf("%0100d", i))
		}
	}
	for topic, want := range map[string]int{"three/a": 3, "three/unlimited": 3, "bytes": 2000 / 360, "default": push.DefaultCount} {
		got := history(t, b, topic)
		if len(got) != want || got[want-1] != fmt.Sprintf("%0100d", 1199) {
			t.Errorf("%s keeps %d events, want the newest %d", topic, len(got), want)
		}
	}
	publish(t, h, "bytes", strings.Repeat("x", 5000))
	if got := history(t, b, "bytes"); len(got) != 1 {
		t.Errorf("an event above the topic's bytes: %d events are kept, want it alone", len(got))
	}
}

// Failure 43 and I9: over all topics memory is bounded, oldest first.
func TestTheLogKeepsNoMoreThanMaxBytes(t *testing.T) {
	b := push.NewMemory(push.MaxBytes(100 << 10))
	h := memoryHub(t, b)
	for i := range 2000 {
		publish(t, h, fmt.Sprint("topic/", i%700), strings.Repeat("x", i%1000))
	}
	if s := h.State(); s.Bytes > 100<<10 || s.Bytes < 90<<10 || s.Topics > s.Events {
		t.Errorf("the log holds %+v, its bound are 102400 bytes", s)
	}
	p, err := b.History(t.Context(), push.Query{Topics: []string{"**"}, Limit: 5000})
	if err != nil || p.Events[len(p.Events)-1].ID.Seq != 2000 || len(p.Events) != int(2000-p.Events[0].ID.Seq+1) {
		t.Errorf("not the newest events are kept: %d, %v", len(p.Events), err)
	}
	_, err = h.Publish(t.Context(), push.Event{Topic: "a", Data: make([]byte, 101<<10)})
	if !errors.Is(err, push.ErrTooLarge) {
		t.Errorf("an event above MaxBytes: %v, want ErrTooLarge", err)
	}
}

func TestEventsGoWhenTheyReachTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := push.NewMemory(keep("old/**", push.Retention{Age: time.Minute}))
		h := memoryHub(t, b)
		publish(t, h, "old/a", "1")
		publish(t, h, "young", "young")
		time.Sleep(40 * time.Second)
		publish(t, h, "old/a", "2")
		publish(t, h, "old/b", "3")
		for _, step := range []struct {
			after time.Duration
			want  []string
		}{
			{19 * time.Second, []string{"1", "2", "3"}},
			{2 * time.Second, []string{"2", "3"}},
			{38 * time.Second, []string{"2", "3"}},
			{2 * time.Second, nil},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			if got := history(t, b, "old/**"); !slices.Equal(got, step.want) {
				t.Errorf("retained are %q, want %q", got, step.want)
			}
		}
		if s := h.State(); s.Topics != 1 || s.Aging != 1 {
			t.Errorf("the log holds %+v, want one topic, young", s)
		}
		time.Sleep(25 * time.Hour)
		if got := history(t, b, "**"); got != nil {
			t.Errorf("retained after a day: %q", got)
		}
	})
}

// A topic that nobody wrote to for long has no gap because others had to go.
func TestAQuietTopicHasNoGapThoughTheFloorRises(t *testing.T) {
	b := push.NewMemory()
	h := memoryHub(t, b)
	quiet := publish(t, h, "quiet", "1", "2", "3")
	publish(t, h, "gone", "x")
	if err := b.Purge(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	p, err := b.History(t.Context(), push.Query{Topics: []string{"quiet"}, After: quiet[0]})
	if err != nil || p.Gap != nil || len(p.Events) != 2 {
		t.Errorf("History has the gap %v and %d events (%v), want all that it missed", p.Gap, len(p.Events), err)
	}
	p, err = b.History(t.Context(), push.Query{Topics: []string{"quiet", "gone"}, After: quiet[0]})
	if err != nil || p.Gap == nil || p.Gap.To.Seq < 4 {
		t.Errorf("History with the purged topic has the gap %v (%v), want one up to 4", p.Gap, err)
	}
}

func TestAPurgeIsToldToWhoHadNotSeenAll(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		h := newHub(t, b)
		behind := subscribe(t, h, push.FromHead(), []string{"a"})
		ahead := subscribe(t, h, push.FromHead(), []string{"a"})
		ids := publishN(t, h, "a", 3)
		synctest.Wait()
		drain(t, ahead)
		if err := b.Purge(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		publish(t, h, "a", "next")
		synctest.Wait()
		if data, gaps := drain(t, ahead); len(gaps) != 0 || !slices.Equal(data, []string{"next"}) {
			t.Errorf("a reader that had seen all: %q, gaps %v", data, gaps)
		}
		resumed := subscribe(t, h, push.After(push.ID{Epoch: ids[0].Epoch}), []string{"a"})
		for _, s := range []*push.Subscription{behind, resumed} {
			data, gaps := drain(t, s)
			if len(gaps) == 0 && len(data) == 4 {
				continue // from the window, which still had it
			}
			if len(gaps) != 1 || gaps[0].To != ids[2] || !slices.Equal(data, []string{"next"}) {
				t.Errorf("a reader that was behind: %q, gaps %v, want one up to %v", data, gaps, ids[2])
			}
		}
	})
}

// Ephemeral events are for who is there: never replayed, never a gap.
func TestEphemeralEventsAreNeitherReplayedNorMissed(t *testing.T) {
	b := push.NewMemory(keep("typing/**", push.Retention{Ephemeral: true}))
	h := memoryHub(t, b)
	start := publish(t, h, "typing/a", "old")[0]
	s := subscribe(t, h, push.FromHead(), []string{"typing/a"})
	publishN(t, h, "typing/a", 2)
	publish(t, h, "other", "x")
	if err := b.Purge(t.Context(), "other"); err != nil { // raises the floor
		t.Fatal(err)
	}
	if batch, err := s.Next(t.Context()); err != nil || batch.Gap != nil || len(batch.Messages) != 2 {
		t.Errorf("who keeps up gets %s, %v", show(batch), err)
	}
	publishN(t, h, "typing/a", 300)
	if batch, err := s.Next(t.Context()); err != nil || batch.Gap != nil || texts(batch)[len(batch.Messages)-1] != "299" {
		t.Errorf("who is slow gets %s, %v", show(batch), err)
	}
	again := subscribe(t, h, push.After(start), []string{"typing/a"})
	publish(t, h, "typing/a", "now")
	if batch, err := again.Next(t.Context()); err != nil || batch.Gap != nil || !slices.Equal(texts(batch), []string{"now"}) {
		t.Errorf("who comes back gets %s, %v", show(batch), err)
	}
	if got := history(t, b, "typing/*"); got != nil {
		t.Errorf("history has %q", got)
	}
}

func TestIdempotencyKeysAreBounded(t *testing.T) {
	h := push.NewHub(push.NewMemory(push.MaxBytes(1 << 20)))
	defer kill(h)
	topic, filler := strings.Repeat("t", push.MaxTopicLen), strings.Repeat("k", push.MaxKeyLen-8)
	publish := func(i int) push.ID {
		ids, err := h.Publish(t.Context(), push.Event{Topic: topic, Idem: fmt.Sprintf("%08d%s", i, filler)})
		if err != nil {
			t.Fatal(err)
		}
		return ids[0]
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	const n = 200_000 // of 400 bytes and more each
	first, last := publish(0), push.ID{}
	for i := range n {
		last = publish(1 + i)
	}
	if grown := max(heap(), before) - before; grown > 64<<20 {
		t.Errorf("%d idempotency keys hold %d MiB", n, grown>>20)
	}
	if publish(n) != last {
		t.Error("the newest key is forgotten")
	}
	if publish(0) == first {
		t.Error("the oldest key is remembered: nothing was bounded")
	}
}

func TestAnIdempotencyKeyIsGoodForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := push.NewMemory()
		h := memoryHub(t, b)
		put := func(topic, key string) push.ID {
			ids, err := h.Publish(t.Context(), push.Event{Topic: topic, Idem: key, Data: []byte("x")})
			if err != nil {
				t.Fatal(err)
			}
			return ids[0]
		}
		first := put("a", "k")
		none := put("a", "")
		if put("b", "k") == first || put("a", "other") == first || put("a", "") == none {
			t.Error("another topic or key, or none, is the same event")
		}
		if put("a", "k") != first {
			t.Error("the same key is another event at once")
		}
		if err := b.Purge(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(push.IdemWindow - 1)
		if put("a", "k") != first {
			t.Error("the same key is another event at the end of the window")
		}
		time.Sleep(time.Nanosecond)
		if put("a", "k") == first {
			t.Error("the same key is still the same event after the window")
		}
	})
}
