package push_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/dualpush-go/dualpush/push"
)

var payload = make([]byte, 128)

func BenchmarkPublish(b *testing.B) {
	h := push.New()
	defer kill(h)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.Publish(ctx, push.Event{Topic: "a", Data: payload})
	}
}

// One operation is one event to 1000 subscribers in this process.
func BenchmarkFanOut(b *testing.B) {
	benchReaders(b, 1000, []string{"a"}, 1)
}

// One operation is a hundred events, published and read in one go.
func BenchmarkFanOutInBursts(b *testing.B) {
	benchReaders(b, 1000, []string{"a"}, 100)
}

// One operation is ten events of ten topics to one reader of all of them.
func BenchmarkMergeTenTopics(b *testing.B) {
	topics := make([]string, 10)
	for i := range topics {
		topics[i] = fmt.Sprint("t", i)
	}
	h, ended := push.New(), canceled()
	defer kill(h)
	s := subscribe(b, h, push.FromHead(), topics)
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range topics {
			_, _ = h.Publish(context.Background(), push.Event{Topic: t, Data: payload})
		}
		if read(ended, s) != 10 {
			b.Fatal("events are missing")
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

func benchReaders(b *testing.B, readers int, topics []string, burst int) {
	h, ended := push.New(), canceled()
	defer kill(h)
	subs := make([]*push.Subscription, readers)
	for i := range subs {
		subs[i] = subscribe(b, h, push.FromHead(), topics)
		read(ended, subs[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		for range burst {
			_, _ = h.Publish(context.Background(), push.Event{Topic: "a", Data: payload})
		}
		for _, s := range subs {
			if read(ended, s) != burst {
				b.Fatal("events are missing")
			}
		}
	}
	b.ReportMetric(float64(b.N*readers*burst)/b.Elapsed().Seconds(), "deliveries/s")
}

// One operation is a reader that comes back 100 events behind, and reads them.
func BenchmarkResume(b *testing.B) {
	h, ended := push.New(), canceled()
	defer kill(h)
	ids := publishN(b, h, "a", 1000)
	cursor := push.After(ids[899])
	b.ReportAllocs()
	for b.Loop() {
		s, err := h.Subscribe(context.Background(), []string{"a"}, cursor)
		if err != nil {
			b.Fatal(err)
		}
		if read(ended, s) != 100 {
			b.Fatal("events are missing")
		}
		s.Close()
	}
}
