package pushtest

import (
	"runtime"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

const (
	megabyte   = 1 << 20
	replayHeap = 32 * megabyte
)

// heap returns the bytes that are live, and those that are not collected yet.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// LiveHeap collects garbage and returns the bytes of this process's heap that are
// live.
func LiveHeap() int64 {
	runtime.GC()
	runtime.GC()
	return heap()
}

// PublishMany publishes, in batches, the n events that event returns.
func PublishMany(tb testing.TB, b push.Broker, n int, event func(i int) push.Event) {
	tb.Helper()
	events := make([]push.Event, 2000)
	for at := 0; at < n; at += len(events) {
		events = events[:min(len(events), n-at)]
		for i := range events {
			events[i] = event(at + i)
		}
		if _, err := b.Publish(tb.Context(), events...); err != nil {
			tb.Fatal(err)
		}
	}
}

// Replay publishes events to a topic of b, which must keep them all, and has a
// reader begin with the oldest: 1,000,000 of 128 bytes if it is long, else 20,000 of
// 2 KB, which are more than the bound as well. It fails if the reader is told a gap,
// or if the heap of this process, garbage and all, is ever 32 MB higher than before:
// a replay must be paged from the engine. Nothing else may run in this process
// meanwhile. It takes b over.
func Replay(tb testing.TB, b push.Broker, long bool) {
	tb.Helper()
	n, data := 20_000, make([]byte, 2<<10)
	if long {
		n, data = 1_000_000, make([]byte, 128)
	}
	PublishMany(tb, b, n, func(int) push.Event { return push.Event{Topic: "a", Data: data} })
	s := NewSite(tb, b)
	s.UntilReady()
	before := LiveHeap()
	s.Subscribe(push.FromOldest())
	var peak int64
	for got := 0; got < n; {
		batch := s.Next()
		if batch.Gap != nil {
			tb.Fatalf("gap %+v", batch.Gap)
		}
		got += len(batch.Messages)
		peak = max(peak, heap()-before)
	}
	tb.Logf("a replay of %d events needs %.1f MB", n, float64(peak)/megabyte)
	if peak > replayHeap {
		tb.Errorf("a replay of %d events needs %d bytes", n, peak)
	}
}
