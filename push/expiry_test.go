package push_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dualpush-go/dualpush/push"
)

func wantExpired(t *testing.T, what string, err error) {
	t.Helper()
	if end, ok := errors.AsType[*push.CloseError](err); !ok || end.Code != push.CloseUnauthorized {
		t.Errorf("%s: got %v, want a CloseError with %d", what, err, push.CloseUnauthorized)
	}
}

// Failure 57: what was published before the credentials ran out is not handed
// out after that either.
func TestNoEventAfterTheExpiry(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"a"}, push.WithExpiry(time.Now().Add(time.Minute)))
		publish(t, h, "a", "before")
		time.Sleep(time.Minute - time.Nanosecond)
		synctest.Wait()
		if got := texts(next(t, s)); len(got) != 1 {
			t.Errorf("just before the expiry: got %q", got)
		}
		publish(t, h, "a", "late")
		time.Sleep(time.Nanosecond)
		_, err := tryNext(s)
		wantExpired(t, "at the expiry", err)
		s.SetExpiry(time.Now().Add(time.Minute)) // new credentials in the same moment
		if got := texts(next(t, s)); len(got) != 1 || got[0] != "late" {
			t.Errorf("with a later expiry: got %q", got)
		}
		if got := s.Expiry(); !got.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("Expiry is %v", got)
		}
		s.SetExpiry(time.Time{})
		time.Sleep(time.Hour)
		nothing(t, s)
	})
}

// A broker that takes its time with a page must not carry events past the
// expiry.
func TestNoPageAfterTheExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaultBroker()
		h := faultyHub(t, b, push.WithWindow(1, 1<<20))
		publishN(t, h, "a", 10)
		synctest.Wait()
		s := subscribe(t, h, push.FromOldest(), []string{"a"}, push.WithExpiry(time.Now().Add(time.Minute)))
		b.holdHistory(true)
		p := startNext(context.Background(), s)
		synctest.Wait()
		time.Sleep(time.Minute)
		b.holdHistory(false)
		wantExpired(t, "a page that came late", (<-p).err)
	})
}

// A subscription of the library's own is nobody's to end but the hub's.
func TestInternalSubscriptions(t *testing.T) {
	bothHubs(t, func(t *testing.T, newHub hubMaker) {
		h := newHub(t, push.NewMemory())
		s := subscribe(t, h, push.FromHead(), []string{"$push/x"}, push.Internal())
		if n := h.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are counted", n)
		}
		if n := h.Disconnect(func(*push.Subscription) bool { return true }, nil); n != 0 {
			t.Errorf("Disconnect ended %d", n)
		}
		nothing(t, s)
		p := startNext(context.Background(), s)
		if err := h.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if got := <-p; !errors.Is(got.err, push.ErrClosed) {
			t.Errorf("after Shutdown Next returned %v", got.err)
		}
	})
}
