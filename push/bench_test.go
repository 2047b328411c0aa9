package push_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

// The names are for benchstat, which compares by them: see bench/README.md.

var payload = make([]byte, 128)

// One operation is one event, or a batch, to a topic with a full history and
// without readers.
func BenchmarkPublish(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) { benchPublish(b, batch, "") })
	}
	b.Run("type=json", func(b *testing.B) { benchPublish(b, 1, "application/json") })
}

func benchPublish(b *testing.B, batch int, contentType string) {
	h := push.New()
	defer kill(h)
	publishN(b, h, "a", 2*push.DefaultCount)
	events := make([]push.Event, batch)
	for i := range events {
		events[i] = push.Event{Topic: "a", ContentType: contentType, Data: []byte(`{"text":"` + strings.Repeat("x", 117) + `"}`)}
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Publish(ctx, events...); err != nil {
			b.Fatal(err)
		}
	}
}

// One operation is a burst to 1000 subscriptions, which all read it with Next.
func BenchmarkFanOut(b *testing.B) {
	for _, burst := range []int{1, 100} {
		b.Run(fmt.Sprint("readers=1000/burst=", burst), func(b *testing.B) { benchReaders(b, 1000, burst) })
	}
}

func benchReaders(b *testing.B, readers, burst int) {
	h, ended := push.New(), canceled()
	defer kill(h)
	subs := make([]*push.Subscription, readers)
	for i := range subs {
		subs[i] = subscribe(b, h, push.FromHead(), []string{"a"})
		read(ended, subs[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		publishBurst(b, h, "a", burst)
		for _, s := range subs {
			if read(ended, s) != burst {
				b.Fatal("events are missing")
			}
		}
	}
	perDelivery(b, readers*burst)
}

// One operation is a burst to 1000 streams that the hub writes, to connections
// that take everything: of one topic, or one event to each of 1000 topics.
func BenchmarkStreams(b *testing.B) {
	for _, burst := range []int{1, 100} {
		b.Run(fmt.Sprint("streams=1000/topics=1/burst=", burst), func(b *testing.B) { benchStreams(b, 1000, 1, burst) })
	}
	b.Run("streams=1000/topics=1000/burst=1", func(b *testing.B) { benchStreams(b, 1000, 1000, 1) })
}

func benchStreams(b *testing.B, streams, topics, burst int) {
	h := push.New()
	into := &meter{full: make(chan struct{}, 1)}
	names := make([]string, topics)
	for i := range names {
		names[i] = fmt.Sprint("t/", i)
	}
	for i := range streams {
		sub := subscribe(b, h, push.FromHead(), names[i%topics:i%topics+1])
		sub.NewStream(into, plainFrames{}, func(error) { sub.Close() }).Start()
	}
	b.ReportAllocs()
	for b.Loop() {
		into.expect(streams * burst * len(payload))
		for _, topic := range names {
			publishBurst(b, h, topic, burst)
		}
		<-into.full
	}
	perDelivery(b, streams*burst)
	h.Disconnect(func(*push.Subscription) bool { return true }, nil)
	if err := h.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// meter is a connection that takes everything and tells when it has enough.
type meter struct {
	left atomic.Int64
	full chan struct{}
}

func (m *meter) expect(n int) { m.left.Store(int64(n)) }

func (m *meter) TryWrite(b []byte) (int, error) {
	if len(b) > 0 && m.left.Add(-int64(len(b))) == 0 {
		m.full <- struct{}{}
	}
	return len(b), nil
}

func (m *meter) Write(b []byte) (int, error) { return m.TryWrite(b) }

// plainFrames are payloads and nothing else.
type plainFrames struct{}

func (plainFrames) Encoding() *push.Encoding { return testEncoding }
func (plainFrames) AppendOpen(dst []byte, _ *push.Subscription) ([]byte, error) {
	return dst, nil
}
func (plainFrames) AppendBatch(dst []byte, _ *push.Subscription, _ *push.Batch) ([]byte, error) {
	return dst, nil
}

// One operation is an event of each of ten topics to one reader of all of them.
func BenchmarkMerge(b *testing.B) {
	topics := make([]string, 10)
	for i := range topics {
		topics[i] = fmt.Sprint("t", i)
	}
	b.Run("topics=10", func(b *testing.B) { benchMerge(b, topics, topics, 10) })
	b.Run("patterns=10", func(b *testing.B) {
		patterns := make([]string, len(topics))
		for i, topic := range topics {
			patterns[i] = topic + "/**" // zero segments match, too
		}
		benchMerge(b, topics, patterns, 10)
	})
}

func benchMerge(b *testing.B, topics, patterns []string, want int) {
	h, ended := push.New(), canceled()
	defer kill(h)
	s := subscribe(b, h, push.FromHead(), patterns)
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range topics {
			publishBurst(b, h, t, 1)
		}
		if read(ended, s) != want {
			b.Fatal("events are missing")
		}
	}
}

// One operation is a reader that comes back so many events behind, and reads
// them.
func BenchmarkResume(b *testing.B) {
	for _, missed := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint("missed=", missed), func(b *testing.B) { benchResume(b, missed) })
	}
}

func benchResume(b *testing.B, missed int) {
	h, ended := push.New(), canceled()
	defer kill(h)
	ids := publishN(b, h, "a", 1001)
	cursor := push.After(ids[1000-missed])
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.Subscribe(context.Background(), []string{"a"}, cursor)
		if err != nil {
			b.Fatal(err)
		}
		if read(ended, s) != missed {
			b.Fatal("events are missing")
		}
		s.Close()
	}
}

func publishBurst(b *testing.B, h *push.Hub, topic string, n int) {
	for range n {
		if _, err := h.Publish(context.Background(), push.Event{Topic: topic, Data: payload}); err != nil {
			b.Fatal(err)
		}
	}
}

// read reads and encodes what s has, and parks it.
func read(ended context.Context, s *push.Subscription) (n int) {
	for {
		batch, err := s.Next(ended)
		if err != nil {
			return n
		}
		for _, m := range batch.Messages {
			m.Encoded(testEncoding)
		}
		n += len(batch.Messages)
	}
}

func perDelivery(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/delivery")
}
