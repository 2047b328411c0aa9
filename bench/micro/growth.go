package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"

	"pushbench/peers/kit"
)

// growth prints what a publish costs with more and more topics and patterns,
// and what a subscriber costs. The key of a line is family=number.
func growth(emit func(line)) {
	for _, n := range decades(1, 1_000_000) {
		key := fmt.Sprint("topics=", n)
		emit(perOp(key, "no reader", func(b *testing.B) { publishToTopics(b, n, false) }))
		emit(perOp(key, "one reader each", func(b *testing.B) { publishToTopics(b, n, true) }))
	}
	for _, n := range decades(1, 100_000) {
		key := fmt.Sprint("patterns=", n)
		emit(perOp(key, "one matches", func(b *testing.B) { publishToPatterns(b, n, "users/%d/inbox") }))
		emit(perOp(key, "none matches", func(b *testing.B) { publishToPatterns(b, n, "users/%d/x/y/z/outbox") }))
	}
	for _, n := range decades(1000, 1_000_000) {
		key := fmt.Sprint("subscribers=", n)
		emit(crowd(key, "of one topic", n, func(int) string { return "t" }))
		emit(crowd(key, "of a topic each", n, func(i int) string { return fmt.Sprint("t/", i) }))
	}
}

func decades(from, to int) (ns []int) {
	for n := from; n <= to; n *= 10 {
		ns = append(ns, n)
	}
	return ns
}

// scattered goes through 0 to n-1 in an order that no cache guesses.
func scattered(n int) func() int {
	i := 0
	return func() int {
		i = (i + 1) % n
		return int(uint64(i) * 0x9E3779B1 % uint64(n))
	}
}

// publishToTopics publishes to n topics in turn, all of which have a history
// that is full.
func publishToTopics(b *testing.B, n int, readers bool) {
	hub := push.NewHub(push.NewMemory(push.MaxBytes(0), push.Rules(push.Rule{Pattern: "**", Retention: push.Retention{Count: 1}})))
	names, subs := make([]string, n), make([]*push.Subscription, n)
	for i := range names {
		names[i] = fmt.Sprint("topics/", i)
		if readers {
			subs[i] = subscribe(hub, names[i])
		}
	}
	publishTo(b, hub, names, subs)
}

// publishToPatterns publishes to at most 1000 topics beside n patterns that have
// a reader each. The topics match one of them each, if any.
func publishToPatterns(b *testing.B, n int, topic string) {
	hub := push.New()
	var names []string
	var subs []*push.Subscription
	for i := range n {
		pattern, name := fmt.Sprintf("users/%d/*", i), fmt.Sprintf(topic, i)
		sub := subscribe(hub, pattern)
		defer sub.Close()
		if i%max(1, n/1000) != 0 {
			continue
		}
		if !push.Match(pattern, name) {
			sub = nil
		}
		names, subs = append(names, name), append(subs, sub)
	}
	publishTo(b, hub, names, subs)
}

// publishTo publishes to topics whose readers, if they have one, read at once.
// It closes them.
func publishTo(b *testing.B, hub *push.Hub, names []string, subs []*push.Subscription) {
	ctx, e := context.Background(), event()
	next := scattered(len(names))
	one := func() {
		i := next()
		e.Topic = names[i]
		publishOne(ctx, hub, e)
		if subs[i] != nil {
			take(ctx, subs[i], 1)
		}
	}
	for range 3 * len(names) { // what a topic and a reader need once is not what grows
		one()
	}
	runtime.GC()
	for b.Loop() {
		one()
	}
	for _, sub := range subs {
		if sub != nil {
			sub.Close()
		}
	}
}

// crowd has n streams written by the hub to connections that take everything
// and cost nothing, and measures what a stream keeps and, if all are of one
// topic, what a delivery costs.
func crowd(key, name string, n int, topic func(i int) string) line {
	conn := &nowhere{all: make(chan struct{}, 1)}
	hub := push.New(push.WithDrainWindow(0))
	defer func() { must(hub.Shutdown(context.Background())) }() // all of it: the next measurement starts from nothing
	before := inUse()
	conn.expect(n)
	start := time.Now()
	for i := range n {
		sub := subscribe(hub, topic(i), push.WithHeartbeat(25*time.Second)) // as the middleware has it
		sub.NewStream(conn, wire.Frames{Framer: sse.FormatRaw}, func(error) { sub.Close() }).Start()
	}
	<-conn.all // all have their push.open
	opened := time.Since(start)
	l := line{Key: key, Name: name, Bytes: float64(inUse()-before) / float64(n), OpenNs: float64(opened.Nanoseconds()) / float64(n)}
	e := event()
	if e.Topic = topic(0); topic(1) == e.Topic {
		l.Ns = median(5, func() float64 {
			conn.expect(n)
			start := time.Now()
			publishOne(context.Background(), hub, e)
			<-conn.all
			return float64(time.Since(start).Nanoseconds()) / float64(n)
		})
	}
	return l.minus(line{}, 1)
}

// nowhere is a connection that takes everything at once, and counts.
type nowhere struct {
	left atomic.Int64
	all  chan struct{} // gets one when left writes have come
}

func (c *nowhere) expect(n int) { c.left.Store(int64(n)) }

func (c *nowhere) TryWrite(b []byte) (int, error) {
	if c.left.Add(-1) == 0 {
		c.all <- struct{}{}
	}
	return len(b), nil
}

func (c *nowhere) Write(b []byte) (int, error) { return len(b), nil }

func median(rounds int, f func() float64) float64 {
	v := make([]float64, rounds)
	for i := range v {
		v[i] = f()
	}
	slices.Sort(v)
	return v[rounds/2]
}

func publishOne(ctx context.Context, hub *push.Hub, e push.Event) {
	_, err := hub.Publish(ctx, e)
	must(err)
}

func subscribe(hub *push.Hub, topic string, opts ...push.SubscribeOption) *push.Subscription {
	sub, err := hub.Subscribe(context.Background(), []string{topic}, push.FromHead(), opts...)
	must(err)
	return sub
}

// take has a subscription read and encode n events, and wait for the next.
func take(ctx context.Context, sub *push.Subscription, n int) {
	batch, err := sub.Next(ctx)
	must(err)
	if len(batch.Messages) != n {
		panic(fmt.Sprintf("%d events instead of %d", len(batch.Messages), n))
	}
	for _, m := range batch.Messages {
		m.Encoded(sse.Raw)
	}
}

func event() push.Event { return push.Event{Topic: "0", Data: kit.Payload(128, 0)} }

// inUse is what the process holds in heap and stacks, in bytes.
func inUse() int64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink a step at a time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
