package push_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

func TestAnAddedTopicStartsAtThePosition(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		publish(t, h, "b", "old")
		publish(t, h, "a", "1")
		synctest.Wait()
		next(t, s)
		at, err := s.Update([]string{"b", "c/*", "b"}, []string{"nobody"}, "asked")
		if err != nil || at != s.Position() || at.Seq != 2 {
			t.Fatalf("Update returned %v, %v; the position is %v", at, err, s.Position())
		}
		b := next(t, s)
		want := []push.Control{{Name: "push.subscriptions", Data: push.SubscriptionsData{Topics: []string{"a", "b", "c/*"}, Reason: "asked"}}}
		if !reflect.DeepEqual(b.Controls, want) || b.From != at || b.Upto != at || b.Messages != nil {
			t.Errorf("the change was told as %+v from %v", b.Controls, b.From)
		}
		publish(t, h, "b", "2")
		publish(t, h, "c/x", "3")
		publish(t, h, "d", "4")
		synctest.Wait()
		if got := texts(next(t, s)); !slices.Equal(got, []string{"2", "3"}) {
			t.Errorf("got %q", got)
		}
		if _, err := s.Update(nil, []string{"a", "c/*"}, ""); err != nil {
			t.Fatal(err)
		}
		publish(t, h, "a", "5")
		publish(t, h, "b", "6")
		synctest.Wait()
		if data, _ := drain(t, s); !slices.Equal(data, []string{"6"}) || !slices.Equal(s.Topics(), []string{"b"}) {
			t.Errorf("after the removal: %q of %q", data, s.Topics())
		}
	})
}

// A gap that was told speaks for the topics of its time.
func TestAnAddedTopicTellsItsOwnGap(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(keep("once/*", push.Retention{Count: 1})), push.WithWindow(2, 1<<20))
		s := subscribe(t, h, push.FromHead(), []string{"once/a", "quiet"})
		for range 600 {
			publish(t, h, "once/b", "b")
			publish(t, h, "once/a", "a")
			publish(t, h, "quiet", "q")
		}
		synctest.Wait()
		first := next(t, s)
		at, err := s.Update([]string{"once/b"}, nil, "")
		if err != nil || first.Gap == nil || first.Gap.To.Seq <= at.Seq {
			t.Fatalf("the first gap is %v, the position %v, %v", first.Gap, at, err)
		}
		next(t, s) // push.subscriptions
		if b := next(t, s); b.Gap == nil || b.Gap.From != at || !slices.Equal(b.Topics, []string{"once/a", "quiet", "once/b"}) {
			t.Errorf("the added topic, whose events after %d are gone, came as %s of %q", at.Seq, show(b)[:60], b.Topics)
		}
	})
}

func TestAnUpdateIsAllOrNothing(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	many := func(prefix string, n int) (topics []string) {
		for i := range n {
			topics = append(topics, fmt.Sprint(prefix, i))
		}
		return topics
	}
	s := subscribe(t, h, push.FromHead(), many("a", push.MaxSubscriptionTopics))
	before := h.State()
	for what, c := range map[string]struct {
		add, remove []string
		want        error
	}{
		"one too many":  {[]string{"b"}, nil, push.ErrTooLarge},
		"a flood":       {many("b", push.MaxSubscriptionTopics+1), s.Topics(), push.ErrTooLarge},
		"a bad pattern": {[]string{"x/**/y"}, []string{"a0"}, push.ErrInvalid},
	} {
		if _, err := s.Update(c.add, c.remove, ""); !errors.Is(err, c.want) || h.State() != before {
			t.Errorf("%s: %v, the log went from %+v to %+v", what, err, before, h.State())
		}
	}
	if _, err := s.Update([]string{"a1", "b"}, []string{"a0", "a0"}, ""); err != nil || len(s.Topics()) != push.MaxSubscriptionTopics {
		t.Errorf("replacing a topic of a full subscription: %v, %d topics", err, len(s.Topics()))
	}
	if _, err := s.Update(many("b", 1000), s.Topics(), ""); err != nil || !slices.Equal(s.Topics(), many("b", 1000)) {
		t.Errorf("replacing all topics: %v", err)
	}
	s.Close()
	if _, err := s.Update([]string{"c"}, nil, ""); !errors.Is(err, push.ErrClosed) || h.State().Topics != 0 {
		t.Errorf("Update after Close: %v; the log holds %+v", err, h.State())
	}
}

// Failure 26 stops at the mount; here the subscription itself is bounded.
func TestSubscribeRefusesWhatIsNoTopic(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	for what, c := range map[string]struct {
		topics []string
		want   error
	}{
		"empty":    {[]string{""}, push.ErrInvalid},
		"wildcard": {[]string{"ok", "a/b*"}, push.ErrInvalid},
		"too many": {make([]string, push.MaxSubscriptionTopics+1), push.ErrTooLarge},
	} {
		if _, err := h.Subscribe(t.Context(), c.topics, push.FromHead()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if h.Subscriptions() != 0 || h.State().Topics != 0 {
		t.Errorf("%d subscriptions, %+v left", h.Subscriptions(), h.State())
	}
}

func TestASubscriptionWithoutTopicsIsAlive(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), nil, push.WithHeartbeat(time.Second))
		publish(t, h, "a", "1")
		start := time.Now()
		if b, err := s.Next(t.Context()); err != nil || !heartbeat(b) || b.Upto.Seq != 1 || time.Since(start) != time.Second {
			t.Errorf("after %v: %s, %v; want a heartbeat at 1", time.Since(start), show(b), err)
		}
		p := startNext(t.Context(), s)
		synctest.Wait()
		if _, err := s.Update([]string{"a"}, nil, ""); err != nil {
			t.Fatal(err)
		}
		if got := <-p; got.err != nil || len(got.batch.Controls) != 1 {
			t.Errorf("after Update: %s, %v", show(got.batch), got.err)
		}
		publish(t, h, "a", "2")
		synctest.Wait()
		if got := texts(next(t, s)); !slices.Equal(got, []string{"2"}) {
			t.Errorf("got %q", got)
		}
		if _, err := s.Update(nil, []string{"a"}, ""); err != nil {
			t.Fatal(err)
		}
		next(t, s)
		p = startNext(t.Context(), s)
		synctest.Wait()
		other := subscribe(t, h, push.FromHead(), nil)
		nothing(t, other)
		other.Close()
		if n := h.State().Parked; n != 1 {
			t.Errorf("%d readers wait, want 1", n)
		}
		kill(h)
		if got := <-p; got.err == nil {
			t.Errorf("the hub went, and Next returned %s", show(got.batch))
		}
	})
}

func TestNotifyKeepsTheNewestOfEachName(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		at := publish(t, h, "a", "x")[0]
		synctest.Wait()
		for i := range 1000 {
			s.Notify(push.Control{Name: "push.expiring", Data: i})
			s.Notify(push.Control{Name: "push.other", Data: i})
		}
		b := next(t, s)
		if want := []push.Control{{"push.expiring", 999}, {"push.other", 999}}; !reflect.DeepEqual(b.Controls, want) || b.Upto.Seq >= at.Seq {
			t.Errorf("got %v up to %v, want %v before the event", b.Controls, b.Upto, want)
		}
		if got := texts(next(t, s)); !slices.Equal(got, []string{"x"}) {
			t.Errorf("the event after it: %q", got)
		}
		p := startNext(t.Context(), s)
		synctest.Wait()
		s.Notify(push.Control{Name: "push.expiring"})
		if got := <-p; got.err != nil || len(got.batch.Controls) != 1 {
			t.Errorf("a waiting Next returned %s, %v", show(got.batch), got.err)
		}
	})
}

// Failure 58: a revoked subject's streams stop at once, the others go on.
func TestDisconnectEndsWhomItMatches(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		ann := subscribe(t, h, push.FromHead(), []string{"a"}, push.WithSubject("ann"), push.WithID("one"))
		bob := subscribe(t, h, push.FromHead(), []string{"a"}, push.WithSubject("bob"))
		waiting := startNext(t.Context(), ann)
		synctest.Wait()
		isAnn := func(s *push.Subscription) bool {
			return s.Subject() == "ann" && s.ID() == "one" && s.Topics()[0] == "a"
		}
		if n := h.Disconnect(isAnn, nil); n != 1 {
			t.Errorf("%d were disconnected", n)
		}
		publish(t, h, "a", "secret")
		synctest.Wait()
		var end *push.CloseError
		if got := <-waiting; !errors.As(got.err, &end) || end.Code != push.CloseForbidden {
			t.Errorf("the stream ended with %v after %s", got.err, show(got.batch))
		}
		if b, err := tryNext(ann); !errors.As(err, &end) {
			t.Errorf("after the end it got %s, %v", show(b), err)
		}
		if got := texts(next(t, bob)); !slices.Equal(got, []string{"secret"}) {
			t.Errorf("the other one got %q", got)
		}
		why := &push.CloseError{Code: push.CloseUnauthorized, Reason: "log in again"}
		h.Disconnect(func(*push.Subscription) bool { return true }, why)
		if _, err := tryNext(bob); err != why {
			t.Errorf("the stream ended with %v, want %v", err, why)
		}
		if _, err := tryNext(ann); !errors.As(err, &end) || end.Code != push.CloseForbidden {
			t.Errorf("the first reason was replaced: %v", err)
		}
	})
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Next returned %v", err)
		}
		publish(t, h, "a", "1")
		synctest.Wait()
		if got := texts(next(t, s)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("after a Next that was given up: %q", got)
		}
		p := startNext(t.Context(), s)
		synctest.Wait()
		s.Close()
		s.Close()
		if got := <-p; !errors.Is(got.err, push.ErrClosed) {
			t.Errorf("Close ended Next with %v", got.err)
		}
		if s := h.State(); h.Subscriptions() != 0 || s.Parked > 1 { // the window's feed may wait
			t.Errorf("%d subscriptions, %+v left", h.Subscriptions(), s)
		}
	})
}

// r3labs 192: one stalled subscriber freezes nobody, and no publisher.
func TestAStoppedReaderHoldsUpNobody(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory(keep("**", push.Retention{Count: 100}))
		h := newHub(t, b)
		stopped := subscribe(t, h, push.FromHead(), []string{"a", "**"})
		publish(t, h, "a", "first")
		synctest.Wait()
		next(t, stopped)
		healthy := subscribe(t, h, push.FromHead(), []string{"a"})
		start, got := time.Now(), 0
		for i := range 4000 {
			publish(t, h, "a", fmt.Sprint(i))
			if i%50 == 49 {
				synctest.Wait()
				batch := next(t, healthy)
				if got += len(batch.Messages); batch.Gap != nil {
					t.Fatalf("the healthy reader has %s", show(batch))
				}
			}
		}
		if got != 4000 || time.Since(start) != 0 {
			t.Errorf("the healthy reader got %d of 4000 events, publishing took %v", got, time.Since(start))
		}
		if s := h.State(); s.Events > 1000 {
			t.Errorf("the log holds %+v", s)
		}
		if data, gaps := drain(t, stopped); len(gaps) > 1 || len(data) > 1000 || data[len(data)-1] != "3999" {
			t.Errorf("the stopped one, back again, got %d events, gaps %v", len(data), gaps)
		}
	})
}
