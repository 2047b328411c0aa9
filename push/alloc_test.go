package push_test

import (
	"context"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

var testEncoding = push.NewEncoding("test", func(dst []byte, e *push.Event) []byte { return append(dst, e.Data...) })

// Encode once: what a further subscriber costs is its reading, which allocates
// nothing.
func TestAFurtherSubscriberAllocatesNothing(t *testing.T) {
	ctx, ended := context.Background(), canceled()
	for _, topics := range [][]string{{"a"}, {"*"}, {"a", "b", "c", "d", "e", "f", "*", "nobody"}} {
		got := 0
		measure := func(n int) float64 {
			h := memoryHub(t, push.NewMemory())
			subs := make([]*push.Subscription, n)
			for i := range subs {
				subs[i] = subscribe(t, h, push.FromHead(), topics)
			}
			data := make([]byte, 128)
			return testing.AllocsPerRun(100, func() {
				for _, topic := range []string{"a", "b", "c", "d", "e", "f", "a"} {
					_, _ = h.Publish(ctx, push.Event{Topic: topic, Data: data})
				}
				for _, s := range subs {
					got += read(ended, s)
				}
			})
		}
		one, many := measure(1), measure(101)
		if got < 101*2*102 {
			t.Fatalf("%q: only %d messages were read", topics, got)
		}
		if further := (many - one) / 100; further > allocSlack {
			t.Errorf("%q: %v allocations with one subscriber, %v with 101: %v for each further one", topics, one, many, further)
		}
	}
}

// What is gathered for a cohort is gathered once: a publish to 1000 streams that
// have caught up allocates what one to a single stream does, and the wire form
// that the turns share (its bytes and their holder).
func TestAPublishToACohortAllocatesWhatOneToAStreamDoes(t *testing.T) {
	oneShard(t) // each shard has something of its own
	data := make([]byte, 128)
	measure := func(n int) float64 {
		h := push.New()
		defer kill(h)
		publishN(t, h, "a", 3000) // its history is full
		into := &meter{full: make(chan struct{}, 1)}
		for range n {
			sub := subscribe(t, h, push.FromHead(), []string{"a"})
			sub.NewStream(into, plainFrames{}, func(error) { sub.Close() }).Start()
		}
		round := func() {
			into.expect(n * len(data))
			_, _ = h.Publish(context.Background(), push.Event{Topic: "a", Data: data})
			<-into.full
		}
		round() // then all of them have caught up
		defer h.Disconnect(func(*push.Subscription) bool { return true }, nil)
		return testing.AllocsPerRun(500, round)
	}
	one, many := measure(1), measure(1000)
	if many > one+2+32*allocSlack { // a batch for each of 32 cohorts comes from a pool
		t.Errorf("%v allocations with one stream, %v with 1000", one, many)
	}
}

func TestAPublishAllocatesAtMostThreeTimes(t *testing.T) {
	h := memoryHub(t, push.NewMemory())
	data := make([]byte, 128)
	publishN(t, h, "a", 3000) // its history is full
	n := testing.AllocsPerRun(1000, func() {
		_, _ = h.Publish(context.Background(), push.Event{Topic: "a", Name: "post", Data: data})
	})
	if n > 3 {
		t.Errorf("a publish allocates %v times, want ≤ 3", n)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
