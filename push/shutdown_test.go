package push_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

// reader reads until its stream ends, closes it then, and notes when and why.
type reader struct {
	done chan struct{} // the rest is there when it is closed
	end  *push.CloseError
	err  error
	at   time.Duration
}

func startReader(t testing.TB, h *push.Hub, topic string) *reader {
	r, s := &reader{done: make(chan struct{})}, subscribe(t, h, push.FromHead(), []string{topic})
	start := time.Now()
	go func() {
		defer close(r.done)
		defer s.Close()
		for r.err == nil {
			_, r.err = s.Next(t.Context())
		}
		r.at = time.Since(start)
		errors.As(r.err, &r.end)
	}()
	return r
}

func (r *reader) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Failure 33: a shutdown spreads the ends of streams and the times to come
// back over the window, so that nobody meets a herd.
func TestShutdownPacesTheEndsOfStreams(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(), push.WithDrainWindow(10*time.Second))
		readers := make([]*reader, 100)
		for i := range readers {
			readers[i] = startReader(t, h, "a")
		}
		synctest.Wait()
		start := time.Now()
		if err := h.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("the shutdown took %v, want about 10s", took)
		}
		var ends, retries []time.Duration
		for _, r := range readers {
			<-r.done
			if r.end == nil || r.end.Code != push.CloseDrain {
				t.Fatalf("a stream ended with %v", r.err)
			}
			ends, retries = append(ends, r.at), append(retries, r.end.Retry)
		}
		evenly(t, "ends", ends, 0, 10*time.Second)
		evenly(t, "times to come back", retries, time.Second, 11*time.Second)
	})
}

// evenly fails unless the times are spread over [from, to].
func evenly(t *testing.T, what string, times []time.Duration, from, to time.Duration) {
	t.Helper()
	slices.Sort(times)
	n := len(times)
	if times[0] < from || times[n-1] > to {
		t.Errorf("%s from %v to %v, want from %v to %v", what, times[0], times[n-1], from, to)
	}
	for i := 1; i < 4; i++ {
		if at, want := times[i*n/4], from+(to-from)*time.Duration(i)/4; (at - want).Abs() > (to-from)/5 {
			t.Errorf("%s: %d/4 of them until %v, want about %v", what, i, at, want)
		}
	}
}

func TestWhileItShutsDownAHubRefusesReadersAndTakesEvents(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(), push.WithDrainWindow(10*time.Second))
		first, last := startReader(t, h, "a"), startReader(t, h, "a")
		done := make(chan error)
		go func() { done <- h.Shutdown(context.Background()) }()
		time.Sleep(time.Second)
		synctest.Wait()
		var end *push.CloseError
		if _, err := h.Subscribe(t.Context(), []string{"a"}, push.FromHead()); !errors.As(err, &end) || end.Code != push.CloseDrain {
			t.Errorf("Subscribe during a shutdown: %v", err)
		}
		if err := h.Ready(); !errors.As(err, &end) {
			t.Errorf("Ready during a shutdown: %v", err)
		}
		publish(t, h, "a", "late")
		synctest.Wait()
		if first.ended() == last.ended() || h.Subscriptions() != 1 {
			t.Errorf("after a tenth of the window %d streams are left", h.Subscriptions())
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := h.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, push.ErrClosed) {
			t.Errorf("Publish after the shutdown: %v, want ErrClosed", err) // failure 32
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Errorf("a second shutdown: %v", err)
		}
	})
}

func TestAShutdownWaitsForStreamsToClose(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(), push.WithDrainWindow(time.Second))
		stuck := subscribe(t, h, push.FromHead(), []string{"a"})
		time.AfterFunc(5*time.Second, stuck.Close)
		start := time.Now()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("Shutdown returned %v after %v, the last stream closed after 5s", err, time.Since(start))
		}
	})
}

func TestAShutdownEndsWithItsContext(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory(), push.WithDrainWindow(time.Minute))
		readers := []*reader{startReader(t, h, "a"), startReader(t, h, "a"), startReader(t, h, "a"), startReader(t, h, "a")}
		stuck := subscribe(t, h, push.FromHead(), []string{"a"})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("Shutdown returned %v after %v", err, time.Since(start))
		}
		for _, r := range readers {
			<-r.done
			if r.end == nil || r.at > 8*time.Second {
				t.Errorf("a stream ended after %v with %v, want CloseDrain within 4/5 of the time that was left", r.at, r.err)
			}
		}
		var end *push.CloseError
		if _, err := tryNext(stuck); !errors.As(err, &end) || end.Code != push.CloseDrain {
			t.Errorf("the stream that was left ends with %v", err)
		}
	})
}

// Nobody is left: there is nothing to wait for, whatever the context says.
func TestAShutdownDoesNotWaitForNobody(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		for range 20 { // a coin would be tossed otherwise
			h := newHub(t, push.NewMemory())
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := h.Shutdown(ctx); err != nil {
				t.Fatalf("Shutdown of a hub without streams: %v", err)
			}
		}
		h := newHub(t, push.NewMemory(), push.WithDrainWindow(time.Minute))
		subs := make([]*push.Subscription, 10)
		for i := range subs {
			subs[i] = subscribe(t, h, push.FromHead(), []string{"a"})
		}
		time.AfterFunc(time.Second, func() {
			for _, s := range subs {
				s.Close()
			}
		})
		start := time.Now()
		if err := h.Shutdown(t.Context()); err != nil || time.Since(start) != time.Second {
			t.Errorf("Shutdown returned %v after %v, all streams closed after 1s", err, time.Since(start))
		}
	})
}

// A broker that cannot close cleanly does not leave readers hanging.
func TestAShutdownEndsStreamsThoughTheBrokerFailsToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := errors.New("cannot close")
		h := push.NewHub(failsToClose{push.NewMemory(), failed}, push.WithDrainWindow(0))
		synctest.Wait()
		s := subscribe(t, h, push.FromHead(), []string{"a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown with a stream left: %v", err)
		}
		if _, err := s.Update([]string{"b"}, nil, ""); err != nil {
			t.Errorf("Update of a stream that was left: %v", err)
		}
		if _, err := h.Subscribe(t.Context(), []string{"a"}, push.FromHead()); err == nil {
			t.Error("Subscribe after Shutdown worked")
		}
		s.Close()
		if err := h.Shutdown(t.Context()); !errors.Is(err, failed) {
			t.Errorf("Shutdown of a broker that cannot close: %v", err)
		}
	})
}

type failsToClose struct {
	push.Broker
	err error
}

func (b failsToClose) Close(ctx context.Context) error { return b.err }
