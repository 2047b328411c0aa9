package poll_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/poll"
	"github.com/dualpush-go/dualpush/push"
)

// answer is what a wait came to.
type answer struct {
	page *poll.Page
	err  error
	took time.Duration
}

// wait subscribes at a cursor and waits; it must be called in a bubble.
func wait(ctx context.Context, t testing.TB, hub *push.Hub, q poll.Query, d time.Duration, opts ...push.SubscribeOption) <-chan answer {
	t.Helper()
	sub, err := hub.Subscribe(context.Background(), q.Topics, push.AfterCursor(q.After), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.Close)
	done, start := make(chan answer, 1), time.Now()
	go func() {
		p, err := poll.Wait(ctx, sub, q, d)
		done <- answer{p, err, time.Since(start)}
	}()
	synctest.Wait()
	return done
}

func TestWaitEndsAtTheNextEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		at := publish(t, hub, "wall", 0, 1)[0]
		done := wait(t.Context(), t, hub, poll.Query{Topics: wall, After: at.String()}, 25*time.Second)
		time.Sleep(10 * time.Second)
		publish(t, hub, "other", 0, 1)
		time.Sleep(time.Second)
		id := publish(t, hub, "wall", 1, 2)[0]
		got := <-done
		if got.err != nil || got.took != 11*time.Second {
			t.Fatalf("after %v: %v, want a page after 11 s", got.took, got.err)
		}
		if !slices.Equal(texts(got.page), []string{"1"}) || got.page.First != id || got.page.Last != id || got.page.Gap != nil {
			t.Errorf("page %+v, want the new event alone", got.page)
		}
	})
}

func TestWaitWithSomethingAfterTheCursorReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		ids := publish(t, hub, "wall", 0, 5)
		got := <-wait(t.Context(), t, hub, poll.Query{Topics: wall, After: ids[1].String(), Limit: 2}, 25*time.Second)
		if got.err != nil || got.took != 0 {
			t.Fatalf("after %v: %v", got.took, got.err)
		}
		if p := got.page; !slices.Equal(texts(p), []string{"2", "3"}) || p.Last != ids[3] || !p.More {
			t.Errorf("page %v last %v more %v, want 2 and 3 of the three that are there", texts(p), p.Last, p.More)
		}
	})
}

func TestWaitThatTimesOutHasNoItemsAndAPositionThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		at := publish(t, hub, "wall", 0, 1)[0]
		done := wait(t.Context(), t, hub, poll.Query{Topics: wall, After: at.String()}, 25*time.Second)
		time.Sleep(time.Second)
		head := publish(t, hub, "other", 0, 3)[2]
		got := <-done
		if got.err != nil || got.took != 25*time.Second {
			t.Fatalf("after %v: %v, want an empty page after 25 s", got.took, got.err)
		}
		if p := got.page; len(p.Items) != 0 || p.Gap != nil || p.Last != head || p.First != head {
			t.Errorf("page %+v, want nothing, at the head %v", p, head)
		}
	})
}

func TestWaitIsAtMostFiftySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		got := <-wait(t.Context(), t, hub, poll.Query{Topics: wall}, time.Hour)
		if got.err != nil || got.took != poll.MaxWait {
			t.Errorf("after %v: %v, want an empty page after %v: proxies cut at 60 s", got.took, got.err, poll.MaxWait)
		}
	})
}

func TestHeartbeatsAndControlEventsDoNotEndAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		var sub *push.Subscription
		hold := func(s *push.Subscription) { sub = s }
		done := wait(t.Context(), t, hub, poll.Query{Topics: wall}, 25*time.Second, push.WithHeartbeat(2*time.Second), hold)
		time.Sleep(5 * time.Second)
		if _, err := sub.Update([]string{"news"}, nil, "test"); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.err != nil || got.took != 25*time.Second || len(got.page.Items) != 0 {
			t.Errorf("after %v: %+v %v, want an empty page after 25 s", got.took, got.page, got.err)
		}
	})
}

func TestGapEndsAWaitAlsoWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		got := <-wait(t.Context(), t, hub, poll.Query{Topics: wall, After: "forged"}, 25*time.Second)
		if got.err != nil || got.took != 0 || got.page.Gap == nil || got.page.Gap.Reason != push.ReasonEpoch {
			t.Fatalf("after %v: %+v %v, want a gap epoch at once", got.took, got.page, got.err)
		}
		if !slices.Equal(decode(t, got.page.AppendJSON(nil)).Gap.Topics, wall) {
			t.Error("the gap does not say which topics")
		}
		again := <-wait(t.Context(), t, hub, poll.Query{Topics: wall, After: got.page.Last.String()}, time.Second)
		if again.err != nil || again.took != time.Second || again.page.Gap != nil {
			t.Errorf("after %v: %+v %v: the gap is told again and again", again.took, again.page, again.err)
		}
	})
}

func TestAgedEventsMakeAGapForAWaitThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{Age: time.Minute})
		at := publish(t, hub, "wall", 0, 2)[0]
		time.Sleep(2 * time.Minute)
		got := <-wait(t.Context(), t, hub, poll.Query{Topics: wall, After: at.String()}, 25*time.Second)
		if got.err != nil || got.page.Gap == nil || got.page.Gap.Reason != push.ReasonTrimmed {
			t.Errorf("%+v %v, want a gap: the second event aged away unseen", got.page, got.err)
		}
	})
}

func TestDrainEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		done := wait(t.Context(), t, hub, poll.Query{Topics: wall}, 25*time.Second)
		hub.Disconnect(func(*push.Subscription) bool { return true }, &push.CloseError{Code: push.CloseDrain, Retry: 3 * time.Second})
		got := <-done
		end, ok := errors.AsType[*push.CloseError](got.err)
		if !ok || end.Code != push.CloseDrain || got.took != 0 {
			t.Errorf("after %v: %v, want the close error at once", got.took, got.err)
		}
	})
}

func TestWaitOfAClientThatLeftEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		ctx, cancel := context.WithCancel(t.Context())
		done := wait(ctx, t, hub, poll.Query{Topics: wall}, 25*time.Second)
		cancel()
		if got := <-done; !errors.Is(got.err, context.Canceled) || got.took != 0 {
			t.Errorf("after %v: %v, want Canceled at once", got.took, got.err)
		}
	})
}

func TestDeadlineOfTheRequestIsNotTakenForATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, push.Retention{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got := <-wait(ctx, t, hub, poll.Query{Topics: wall}, 25*time.Second)
		if !errors.Is(got.err, context.DeadlineExceeded) || got.took != 5*time.Second {
			t.Errorf("after %v: %v, want DeadlineExceeded after 5 s: the answer could not be written any more", got.took, got.err)
		}
	})
}
