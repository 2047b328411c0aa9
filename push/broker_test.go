package push_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

func faultyHub(t *testing.T, b *faultBroker, opts ...push.HubOption) *push.Hub {
	h := push.NewHub(b, opts...)
	t.Cleanup(func() { kill(h) })
	synctest.Wait()
	return h
}

// Failure 44: with its broker down at the start a hub says that it is not
// ready, keeps trying, and is ready soon after the broker came up.
func TestABrokerThatIsDownAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		b.setDown(true)
		h := faultyHub(t, b)
		for range 100 {
			if err := h.Ready(); !errors.Is(err, push.ErrNotReady) {
				t.Fatalf("Ready: %v", err)
			}
			if _, err := h.Subscribe(t.Context(), []string{"a"}, push.FromHead()); !errors.Is(err, push.ErrNotReady) {
				t.Fatalf("Subscribe: %v", err)
			}
			if _, err := h.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, errDown) {
				t.Fatalf("Publish: %v", err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		b.setDown(false)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		publish(t, h, "a", "1")
		synctest.Wait()
		if got := texts(next(t, s)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q", got)
		}
	})
}

// Failure 45: when the broker dies under a stream its clients stay, have their
// heartbeats, and get what they missed.
func TestABrokerThatDiesUnderAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b)
		s := subscribe(t, h, push.FromHead(), []string{"a"}, push.WithHeartbeat(25*time.Second))
		below := subscribe(t, h, push.After(push.ID{Epoch: 42}), []string{"a"}, push.WithHeartbeat(25*time.Second)) // needs History
		publish(t, h, "a", "1")
		synctest.Wait()
		next(t, s)
		b.setDown(true)
		synctest.Wait()
		if err := h.Ready(); !errors.Is(err, push.ErrNotReady) || !errors.Is(err, errDown) {
			t.Errorf("Ready: %v", err)
		}
		for _, r := range []*push.Subscription{s, below} {
			for range 3 {
				start := time.Now()
				if batch, err := r.Next(t.Context()); err != nil || !heartbeat(batch) || time.Since(start) > 25*time.Second {
					t.Fatalf("after %v: %s, %v; want a heartbeat within 25s", time.Since(start), show(batch), err)
				}
			}
		}
		if _, err := b.memory().Publish(t.Context(), push.Event{Topic: "a", Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		b.setDown(false)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if data, gaps := drain(t, s); !slices.Equal(data, []string{"2"}) || gaps != nil {
			t.Errorf("after the fault: %q, gaps %v", data, gaps)
		}
		if data, gaps := drain(t, below); !slices.Equal(data, []string{"1", "2"}) || len(gaps) != 1 {
			t.Errorf("below the window, after the fault: %q, gaps %v", data, gaps)
		}
	})
}

// Events that the broker removed before a slow hub saw them are a gap for
// those whom they concern, and for nobody else.
func TestEventsTrimmedBeforeTheHubSawThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker(keep("noisy", push.Retention{Count: 3}))
		h := faultyHub(t, b)
		noisy := subscribe(t, h, push.FromHead(), []string{"noisy"})
		quiet := subscribe(t, h, push.FromHead(), []string{"quiet"})
		waiting := startNext(t.Context(), noisy)
		b.hold(true)
		publish(t, h, "quiet", "q1")
		publishN(t, h, "noisy", 10)
		publish(t, h, "quiet", "q2")
		synctest.Wait()
		b.hold(false)
		time.Sleep(time.Second)
		synctest.Wait()
		got := <-waiting
		// What the feed had delivered before it stalled comes first.
		data := texts(got.batch) // a batch is valid until the next
		more, gaps := drain(t, noisy)
		data, told := append(data, more...), len(gaps)
		if got.batch.Gap != nil {
			told++
		}
		if got.err != nil || told != 1 || len(data) < 3 || !slices.Equal(data[len(data)-3:], []string{"7", "8", "9"}) {
			t.Errorf("noisy: %v, %q, %d gaps: %v, %v", got.err, data, told, got.batch.Gap, gaps)
		}
		if data, gaps := drain(t, quiet); gaps != nil || !slices.Equal(data, []string{"q1", "q2"}) {
			t.Errorf("quiet: %q, gaps %v", data, gaps)
		}
	})
}

// Failures 46 and 51: a log that was lost is noticed under a stream and at a
// resume, and never looks like a successful one.
func TestALostLogIsAGapOfReasonEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b)
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		idle := subscribe(t, h, push.FromHead(), []string{"idle"})
		unread := subscribe(t, h, push.FromOldest(), []string{"a"})
		old := publishN(t, h, "a", 5)
		synctest.Wait()
		next(t, s)
		waiting := startNext(t.Context(), idle)
		synctest.Wait()
		b.lose()
		publish(t, h, "a", "new")
		time.Sleep(time.Second)
		synctest.Wait()
		if got := <-waiting; got.err != nil || got.batch.Gap == nil || got.batch.Gap.Reason != push.ReasonEpoch {
			t.Errorf("an idle reader got %s, %v", show(got.batch), got.err)
		}
		for what, r := range map[string]*push.Subscription{
			"the stream":            s,
			"who had read nothing":  unread,
			"a resume":              subscribe(t, h, push.After(old[4]), []string{"a"}),
			"a resume at the start": subscribe(t, h, push.After(old[0]), []string{"a"}),
		} {
			batch := next(t, r)
			if batch.Gap == nil || batch.Gap.Reason != push.ReasonEpoch || batch.Gap.From.Epoch != old[0].Epoch || !slices.Equal(texts(batch), []string{"new"}) {
				t.Errorf("%s got %s", what, show(batch))
			}
			if at := r.Position(); at.Epoch == old[0].Epoch || at != batch.Upto {
				t.Errorf("%s: the position is %v, Upto %v", what, at, batch.Upto)
			}
		}
	})
}

// A cursor that is only ahead of this node's window is not foreign: the reader
// waits until the window has caught up, and gets nothing twice.
func TestACursorAheadOfALaggingWindowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b)
		b.hold(true)
		ids := publishN(t, h, "a", 5) // seen on another node
		s := subscribe(t, h, push.After(ids[2]), []string{"a"})
		if data, gaps := drain(t, s); gaps != nil || !slices.Equal(data, []string{"3", "4"}) {
			t.Errorf("from the broker: %q, gaps %v", data, gaps)
		}
		b.hold(false)
		time.Sleep(time.Second)
		publish(t, h, "a", "5")
		synctest.Wait()
		if data, gaps := drain(t, s); gaps != nil || !slices.Equal(data, []string{"5"}) {
			t.Errorf("when the window is there: %q, gaps %v", data, gaps)
		}
	})
}

// Who is at the head is served from the window, also after the window had to
// be moved: no reader asks the broker again and again.
func TestAReaderAtTheHeadAsksTheBrokerForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker(keep("noisy", push.Retention{Count: 3}))
		h := faultyHub(t, b, push.WithWindow(3, 1<<20))
		publishN(t, h, "a", 50)
		synctest.Wait()
		s := subscribe(t, h, push.FromHead(), []string{"a", "noisy", "*"})
		for what, f := range map[string]func(){
			"publishes": func() { publishN(t, h, "a", 3) },
			"lagging":   func() { b.hold(true); publishN(t, h, "noisy", 20); b.hold(false) },
			"losing the log": func() {
				publishN(t, h, "a", 100)
				synctest.Wait()
				b.lose()
				publishN(t, h, "a", 3)
			},
			"breaking": func() { b.breakTails(errDown); publishN(t, h, "a", 3) },
		} {
			f()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			drain(t, s)
			asked := b.asked.Load()
			waiting := startNext(t.Context(), s)
			time.Sleep(time.Hour)
			publish(t, h, "a", "now")
			if got := <-waiting; got.err != nil || !slices.Equal(texts(got.batch), []string{"now"}) {
				t.Errorf("after %s: %s, %v", what, show(got.batch), got.err)
			}
			if n := b.asked.Load() - asked; n != 0 {
				t.Errorf("after %s an idle reader asked for History %d times in an hour", what, n)
			}
			if err := h.CheckLog(); err != nil {
				t.Errorf("after %s: %v", what, err)
			}
		}
	})
}

// An answer of History that is under way when the topics change is of the old
// topics: it moves nobody past the events of the new ones.
func TestTopicsThatChangeWhileAPageIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		for _, topic := range []string{"a", "b", "a", "b"} {
			if _, err := b.Publish(t.Context(), push.Event{Topic: topic, Data: []byte(topic)}); err != nil {
				t.Fatal(err)
			}
		}
		h := faultyHub(t, b)
		s := subscribe(t, h, push.FromOldest(), []string{"a"})
		b.holdHistory(true)
		waiting := startNext(t.Context(), s)
		synctest.Wait()
		if at, err := s.Update([]string{"b"}, nil, ""); err != nil || at.Seq != 0 {
			t.Fatalf("Update at %v: %v", at, err)
		}
		b.holdHistory(false)
		if got := <-waiting; got.err != nil || len(got.batch.Controls) != 1 {
			t.Fatalf("first came %s, %v", show(got.batch), got.err)
		}
		if data, gaps := drain(t, s); gaps != nil || !slices.Equal(data, []string{"a", "b", "a", "b"}) {
			t.Errorf("then came %q, gaps %v", data, gaps)
		}
	})
}

func TestABrokerThatIsClosedUnderItsHub(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		b := push.NewMemory()
		h := newHub(t, b)
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		waiting := startNext(t.Context(), s)
		synctest.Wait()
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := <-waiting; !errors.Is(got.err, push.ErrClosed) {
			t.Errorf("Next returned %s, %v", show(got.batch), got.err)
		}
		if err := h.Ready(); !errors.Is(err, push.ErrClosed) {
			t.Errorf("Ready: %v", err)
		}
		if _, err := h.Subscribe(t.Context(), []string{"a"}, push.FromHead()); !errors.Is(err, push.ErrClosed) {
			t.Errorf("Subscribe: %v", err)
		}
		if _, err := h.History(t.Context(), push.Query{}); !errors.Is(err, push.ErrClosed) {
			t.Errorf("History: %v", err)
		}
	})
}

// Failure 49: a feed that doubles or reorders breaks no reader.
func TestAFeedThatDoublesIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &doubling{Broker: push.NewMemory()}
		h := push.NewHub(b)
		t.Cleanup(func() { kill(h) })
		synctest.Wait()
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		publishN(t, h, "a", 3)
		synctest.Wait()
		publishN(t, h, "a", 3)
		synctest.Wait()
		if data, gaps := drain(t, s); gaps != nil || !slices.Equal(data, []string{"0", "1", "2", "0", "1", "2"}) {
			t.Errorf("got %q, gaps %v", data, gaps)
		}
	})
}
