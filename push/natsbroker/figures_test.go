package natsbroker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/pushtest"
)

const megabyte = 1 << 20

// A replay is paged from the server: it never is in memory.
func TestReplayNeedsLittleMemory(t *testing.T) {
	pushtest.Replay(t, natsbroker.NewWithConfig(connect(t, ownServer(t).url()), natsbroker.Config{Count: -1}), *long)
}

// Topics that nobody uses any more leave nothing behind: neither in the stream nor
// in a node, which told its readers of them all.
func TestManyTopicsLeaveOnlyTheFloor(t *testing.T) {
	n := 20_000
	if *long {
		n = 1_000_000
	}
	js := connect(t, ownServer(t).url())
	b := natsbroker.NewWithConfig(js, natsbroker.Config{Age: 2 * time.Second, Count: 100})
	s := pushtest.NewSite(t, b, push.WithWindow(1, megabyte))
	s.UntilReady()
	start := s.Publish(1)[0]
	before := pushtest.LiveHeap()
	pushtest.PublishMany(t, b, n, func(i int) push.Event {
		return push.Event{Topic: fmt.Sprint("visitors/", i), Data: payload}
	})
	head, err := s.Hub.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Eventually("the stream has nothing but ticks", func() bool {
		stream, err := js.Stream(t.Context(), "PUSH")
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		return state.NumSubjects <= 1 && state.Msgs <= 4
	})
	if now, err := s.Hub.Head(t.Context()); err != nil || now != head {
		t.Errorf("the head was %v and is %v, error %v", head, now, err)
	}
	s.Subscribe(push.After(start))
	if g := s.Gap(push.ReasonTrimmed); g.To.Seq < head.Seq {
		t.Errorf("the gap of a reader from before ends at %v, the head is %v", g.To, head)
	}
	grown := pushtest.LiveHeap() - before
	t.Logf("%d topics later the node has %.1f MB more", n, float64(grown)/megabyte)
	if grown > 8*megabyte {
		t.Errorf("%d topics leave %d bytes behind", n, grown)
	}
}
