package sse_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

// sink counts flushes: one for each delivery while events come one by one.
type sink struct {
	header  http.Header
	flushes *counter
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      { s.flushes.add() }

type counter struct {
	n, want atomic.Int64
	reached chan struct{}
}

func (c *counter) add() {
	if c.n.Add(1) == c.want.Load() {
		c.reached <- struct{}{}
	}
}

// after runs f and waits until it led to n more flushes.
func (c *counter) after(n int64, f func()) {
	c.want.Add(n)
	f()
	<-c.reached
}

// readers serves n streams of the topic t into sinks until the test ends.
func readers(tb testing.TB, hub *push.Hub, n int) *counter {
	tb.Helper()
	var wg sync.WaitGroup
	flushes := &counter{reached: make(chan struct{})}
	ctx, cancel := context.WithCancel(tb.Context())
	tb.Cleanup(func() { cancel(); wg.Wait() })
	flushes.after(int64(n), func() { // push.open
		for range n {
			sub, err := hub.Subscribe(ctx, []string{"t"}, push.FromHead())
			if err != nil {
				tb.Fatal(err)
			}
			wg.Go(func() {
				defer sub.Close()
				_ = sse.Serve(&sink{http.Header{}, flushes}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil), sub, nil)
			})
		}
	})
	return flushes
}

func TestDeliveryDoesNotAllocate(t *testing.T) {
	const subs, events = 50, 200
	hub := push.New()
	flushes := readers(t, hub, subs)
	e := push.Event{Topic: "t", Data: make([]byte, 128)}
	deliver := func(n int) {
		for range n {
			flushes.after(subs, func() { _, _ = hub.Publish(t.Context(), e) })
		}
	}
	deliver(10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	deliver(events)
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / (subs * events); n > poolLosses+0.4 { // those of the events, shared by all
		t.Errorf("%.2f allocations a delivery", n)
	}
}
