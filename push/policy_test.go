package push_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
)

func TestPolicyTellTellsASlowReaderWhatItLost(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(keep("**", push.Retention{Count: 10})), push.WithWindow(5, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		first := publish(t, h, "a", "first")[0]
		synctest.Wait()
		next(t, s)
		publishN(t, h, "a", 20)
		synctest.Wait()
		b := next(t, s)
		want := push.Gap{From: first, To: push.ID{Epoch: first.Epoch, Seq: 11}, Reason: push.ReasonLagged}
		if b.Gap == nil || b.Gap.From != first || b.Gap.To.Seq != 11 || b.Gap.Reason != want.Reason || b.From != b.Gap.To {
			t.Errorf("gap %+v from %v, want %+v and From at its end", b.Gap, b.From, want)
		}
		if got := texts(b); len(got) != 10 || got[0] != "10" {
			t.Errorf("after the gap came %q", got)
		}
		data, gaps := drain(t, subscribe(t, h, push.After(first), []string{"a"}))
		if len(gaps) != 1 || gaps[0].Reason != push.ReasonTrimmed || len(data) != 10 {
			t.Errorf("who comes back gets %d events, gaps %v", len(data), gaps)
		}
	})
}

// A gap comes once, though a reader goes on to be slow inside it.
func TestAGapIsToldOnce(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(keep("noisy", push.Retention{Count: 1})), push.WithWindow(2, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"noisy", "quiet"})
		for range 600 {
			publish(t, h, "noisy", "n")
			publish(t, h, "quiet", "q")
		}
		synctest.Wait()
		if data, gaps := drain(t, s); len(gaps) != 1 || len(data) != 601 {
			t.Errorf("%d events and the gaps %v, want 601 and one gap", len(data), gaps)
		}
	})
}

func TestPolicyLatestHandsOutTheNewestOfEachKey(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 2000}))
		h := newHub(t, b, push.WithPolicy("pos/**", push.Latest), push.WithWindow(2000, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"pos/*", "pos/x", "plain"})
		put := func(topic, key, data string) {
			if _, err := h.Publish(t.Context(), push.Event{Topic: topic, Key: key, Data: []byte(data)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			put("pos/x", fmt.Sprint("car", i%3), fmt.Sprint("x", i))
			put("pos/y", "car0", fmt.Sprint("y", i))
			put("pos/y", "", fmt.Sprint("none", i))
		}
		put("plain", "k", "p1")
		put("plain", "k", "p2")
		synctest.Wait()
		want := []string{"x997", "x998", "x999", "y999", "none999", "p1", "p2"}
		batch := next(t, s)
		if got := texts(batch); !slices.Equal(got, want) || batch.Gap != nil {
			t.Errorf("got %q, gap %v; want %q", got, batch.Gap, want)
		}
		head, _ := h.Head(t.Context())
		if batch.Upto != head {
			t.Errorf("the position is %v, the head %v", batch.Upto, head)
		}
		put("pos/x", "car1", "again")
		synctest.Wait()
		if got := texts(next(t, s)); !slices.Equal(got, []string{"again"}) {
			t.Errorf("then it got %q", got)
		}
	})
}

func TestPolicyLatestTellsNothingOfWhatWasLost(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 2}))
		h := newHub(t, b, push.WithPolicy("pos/*", push.Latest), push.WithWindow(1, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"pos/x"})
		publishN(t, h, "pos/x", 10)
		synctest.Wait()
		if b := next(t, s); b.Gap != nil || !slices.Equal(texts(b), []string{"9"}) {
			t.Errorf("got %s", show(b))
		}
	})
}

func TestPolicyDisconnectEndsASlowReaderWhichThenResumes(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(keep("**", push.Retention{Count: 3})),
			push.WithPolicy("jobs", push.Disconnect), push.WithWindow(3, 1<<20))
		old := publish(t, h, "jobs", "old")[0]
		publishN(t, h, "jobs", 5)
		synctest.Wait()
		s := subscribe(t, h, push.After(old), []string{"jobs"})
		if b := next(t, s); b.Gap == nil || len(b.Messages) != 3 {
			t.Fatalf("who comes back late is told so: %s", show(b))
		}
		fast := subscribe(t, h, push.FromHead(), []string{"jobs"})
		for range 20 {
			publish(t, h, "jobs", "x")
			synctest.Wait()
			next(t, fast)
		}
		var end *push.CloseError
		if b, err := tryNext(s); !errors.As(err, &end) || end.Code != push.CloseOverload {
			t.Fatalf("the slow reader got %s, %v, want CloseOverload", show(b), err)
		}
		cursor := s.Position()
		s.Close()
		data, gaps := drain(t, subscribe(t, h, push.After(cursor), []string{"jobs"}))
		if len(data) != 3 || len(gaps) != 1 || gaps[0].From != cursor {
			t.Errorf("back again it got %q, gaps %v", data, gaps)
		}
	})
}

func TestTheFirstPolicyThatCoversATopicHolds(t *testing.T) {
	h := memoryHub(t, push.NewMemory(),
		push.WithPolicy("a/b", push.Tell), push.WithPolicy("a/*", push.Latest), push.WithPolicy("**", push.Tell))
	for topic, want := range map[string]int{"a/b": 2, "a/c": 1, "a/*": 1, "a/**": 3, "z": 0} {
		s := subscribe(t, h, push.FromHead(), []string{topic})
		publish(t, h, "a/b", "1", "2")
		publish(t, h, "a/c", "3")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		b, _ := s.Next(ctx)
		if topic == "a/*" {
			want = 2 // one of each topic
		}
		if len(b.Messages) != want {
			t.Errorf("a reader of %s got %q, want %d events", topic, texts(b), want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("WithPolicy took a bad pattern")
		}
	}()
	push.WithPolicy("a//b", push.Tell)
}

// Streams whose policy is Latest are conflated, each from its own position, also
// where many follow one topic.
func TestPolicyLatestHoldsForStreams(t *testing.T) {
	oneShard(t)
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(), push.WithPolicy("a", push.Latest))
		var socks [3]socket
		for i := range socks {
			prepared(t, h, &socks[i], push.FromHead()).Start()
		}
		synctest.Wait()
		for range 2 {
			publish(t, h, "a", "1", "2", "3", "4", "5")
			synctest.Wait()
		}
		for i := range socks {
			if got, _ := events(socks[i].bytes()); !slices.Equal(got, []string{"5", "10"}) {
				t.Errorf("stream %d got %v", i, got)
			}
		}
	})
}
