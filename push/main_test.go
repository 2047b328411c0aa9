package push_test

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bothHubs runs f over a memory broker's own log, and over a hub that keeps a
// window onto a broker which it cannot look into.
func bothHubs(t *testing.T, f func(t *testing.T, newHub hubMaker)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, memoryHub) })
	})
	t.Run("window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, windowHub) })
	})
}

// hubMaker returns a hub over b that is shut down at the end of the test.
type hubMaker func(t *testing.T, b *push.Memory, opts ...push.HubOption) *push.Hub

func memoryHub(t *testing.T, b *push.Memory, opts ...push.HubOption) *push.Hub {
	h := push.NewHub(b, opts...)
	t.Cleanup(func() { kill(h) })
	return h
}

// windowHub must be called in a bubble.
func windowHub(t *testing.T, b *push.Memory, opts ...push.HubOption) *push.Hub {
	h := push.NewHub(struct{ push.Broker }{b}, opts...)
	t.Cleanup(func() { kill(h) })
	synctest.Wait()
	if err := h.Ready(); err != nil {
		t.Fatalf("hub over a broker that is up: %v", err)
	}
	return h
}

// kill shuts a hub down without waiting for its readers.
func kill(h *push.Hub) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Shutdown(ctx)
}

func publish(t testing.TB, h *push.Hub, topic string, data ...string) []push.ID {
	t.Helper()
	events := make([]push.Event, len(data))
	for i, d := range data {
		events[i] = push.Event{Topic: topic, Data: []byte(d)}
	}
	ids, err := h.Publish(context.Background(), events...)
	if err != nil {
		t.Fatalf("publish to %s: %v", topic, err)
	}
	return ids
}

// publishN publishes "0", "1", … one by one.
func publishN(t testing.TB, h *push.Hub, topic string, n int) []push.ID {
	t.Helper()
	ids := make([]push.ID, n)
	for i := range n {
		ids[i] = publish(t, h, topic, strconv.Itoa(i))[0]
	}
	return ids
}

func subscribe(t testing.TB, h *push.Hub, from push.Start, topics []string, opts ...push.SubscribeOption) *push.Subscription {
	t.Helper()
	s, err := h.Subscribe(context.Background(), topics, from, opts...)
	if err != nil {
		t.Fatalf("subscribe to %q: %v", topics, err)
	}
	t.Cleanup(s.Close)
	return s
}

// next returns what sub has now; it fails if there is nothing. It must be
// called in a bubble.
func next(t testing.TB, s *push.Subscription) push.Batch {
	t.Helper()
	b, err := tryNext(s)
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return b
}

// nothing fails if sub has something now.
func nothing(t testing.TB, s *push.Subscription) {
	t.Helper()
	if b, err := tryNext(s); err == nil {
		t.Fatalf("Next returned %s, want nothing", show(b))
	} else if err != context.Canceled {
		t.Fatalf("Next: %v", err)
	}
}

// tryNext returns what Next returns without time passing, or Canceled.
func tryNext(s *push.Subscription) (push.Batch, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p := startNext(ctx, s)
	synctest.Wait()
	cancel()
	got := <-p
	return got.batch, got.err
}

type nextResult struct {
	batch push.Batch
	err   error
}

func startNext(ctx context.Context, s *push.Subscription) <-chan nextResult {
	p := make(chan nextResult, 1)
	go func() {
		b, err := s.Next(ctx)
		p <- nextResult{b, err}
	}()
	return p
}

// drain returns the data of all events that sub has now, and the gaps.
func drain(t testing.TB, s *push.Subscription) (data []string, gaps []push.Gap) {
	t.Helper()
	for {
		b, err := tryNext(s)
		if err == context.Canceled {
			return data, gaps
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if b.Gap != nil {
			gaps = append(gaps, *b.Gap)
		}
		data = append(data, texts(b)...)
	}
}

func texts(b push.Batch) (data []string) {
	for _, m := range b.Messages {
		data = append(data, string(m.Data))
	}
	return data
}
