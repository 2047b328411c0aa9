package natsbroker_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
)

const megabyte = 1 << 20

// heap returns what is live, and what is not collected yet.
func heap() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	return heap()
}

// publishMany publishes n events to the topics that name gives them.
func publishMany(t *testing.T, b push.Broker, n int, name func(i int) string) {
	t.Helper()
	events := make([]push.Event, 2000)
	for at := 0; at < n; at += len(events) {
		events = events[:min(len(events), n-at)]
		for i := range events {
			events[i] = push.Event{Topic: name(at + i), Data: payload}
		}
		if _, err := b.Publish(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
}

// A replay is paged from the server: it never is in memory.
func TestReplayNeedsLittleMemory(t *testing.T) {
	n := 20_000
	if *long {
		n = 1_000_000
	}
	s := ownServer(t)
	b := natsbroker.NewWithConfig(connect(t, s.url()), natsbroker.Config{Count: -1})
	publishMany(t, b, n, func(int) string { return "a" })
	hub := push.NewHub(b, push.WithDrainWindow(0))
	t.Cleanup(func() { _ = hub.Shutdown(context.Background()) })
	site := &site{T: t, server: s, hub: hub}
	site.untilReady()
	before := liveHeap()
	site.subscribe(push.FromOldest())
	var peak int64
	for got, batches := 0, 0; got < n; batches++ {
		batch := site.next()
		if batch.Gap != nil {
			t.Fatalf("gap %+v", batch.Gap)
		}
		got += len(batch.Messages)
		peak = max(peak, heap()-before)
	}
	t.Logf("a replay of %d events needs %.1f MB", n, float64(peak)/megabyte)
	if peak > 32*megabyte {
		t.Errorf("a replay of %d events needs %d bytes", n, peak)
	}
}

// Topics that nobody uses any more leave nothing behind: neither in the stream nor
// in a node, which told its readers of them all.
func TestManyTopicsLeaveOnlyTheFloor(t *testing.T) {
	n := 20_000
	if *long {
		n = 1_000_000
	}
	s := &site{T: t, server: ownServer(t), cfg: natsbroker.Config{Age: 2 * time.Second, Count: 100}}
	s.js = connect(t, s.server.url())
	s.broker = natsbroker.NewWithConfig(s.js, s.cfg)
	s.hub = push.NewHub(s.broker, push.WithDrainWindow(0), push.WithWindow(1, megabyte))
	t.Cleanup(func() { _ = s.hub.Shutdown(context.Background()) })
	s.untilReady()
	start := s.publish(1)[0]
	before := liveHeap()
	publishMany(t, s.broker, n, func(i int) string { return fmt.Sprint("visitors/", i) })
	head, err := s.hub.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the stream has nothing but ticks", func() bool {
		stream, err := s.js.Stream(t.Context(), "PUSH")
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		return state.NumSubjects <= 1 && state.Msgs <= 4
	})
	if now, err := s.hub.Head(t.Context()); err != nil || now != head {
		t.Errorf("the head was %v and is %v, error %v", head, now, err)
	}
	s.subscribe(push.After(start))
	if g := s.gap(push.ReasonTrimmed); g.To.Seq < head.Seq {
		t.Errorf("the gap of a reader from before ends at %v, the head is %v", g.To, head)
	}
	grown := liveHeap() - before
	t.Logf("%d topics later the node has %.1f MB more", n, float64(grown)/megabyte)
	if grown > 8*megabyte {
		t.Errorf("%d topics leave %d bytes behind", n, grown)
	}
}
