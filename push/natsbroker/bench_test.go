package natsbroker_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/natsbroker"
	"github.com/dualpush-go/dualpush/push/pushtest/fleet"
)

// Each benchmark does the same with the bare client and with the broker, turn by
// turn in one run, and reports the ratio.

var payload = make([]byte, 128)

// bare is a stream as one makes it who uses the client alone.
func bare(b *testing.B, s *server) (jetstream.JetStream, string) {
	b.Helper()
	js := connect(b, s.url())
	name := fmt.Sprint("BARE", streams.Add(1))
	subject := strings.ToLower(name) + ".a"
	_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, MaxMsgsPerSubject: push.DefaultCount + 1, AllowDirect: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	return js, subject
}

func barePublish(b *testing.B, js jetstream.JetStream, subject string, n int) time.Duration {
	b.Helper()
	begun := time.Now()
	acks := make([]jetstream.PubAckFuture, n)
	for i := range acks {
		var err error
		if acks[i], err = js.PublishAsync(subject, payload); err != nil {
			b.Fatal(err)
		}
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			b.Fatal(err)
		}
	}
	return time.Since(begun)
}

func brokerPublish(b *testing.B, broker push.Broker, events []push.Event) time.Duration {
	b.Helper()
	begun := time.Now()
	if _, err := broker.Publish(b.Context(), events...); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

// One operation is 4000 events, pipelined, both ways: ≥ 0.8 is promised.
func BenchmarkPublish(b *testing.B) {
	s := ownServer(b)
	js, subject := bare(b, s)
	broker := natsbroker.NewWithConfig(connect(b, s.url()), fresh())
	defer func() { _ = broker.Close(context.Background()) }()
	const n = 4000
	var theirs, ours []time.Duration
	events := slices.Repeat([]push.Event{{Topic: "a", Data: payload}}, n)
	barePublish(b, js, subject, n)
	brokerPublish(b, broker, events)
	for b.Loop() {
		theirs = append(theirs, barePublish(b, js, subject, n))
		ours = append(ours, brokerPublish(b, broker, events))
	}
	b.ReportMetric(n/median(ours).Seconds(), "events/s")
	b.ReportMetric(median(theirs).Seconds()/median(ours).Seconds(), "of_the_bare_client")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// One operation is one event from one connection to another, both ways: ≤ 1.5 of
// the bare client's p50 is promised.
func BenchmarkHop(b *testing.B) {
	s := ownServer(b)
	hopBare, hopOurs := bareHop(b, s), brokerHop(b, s)
	hopBare()
	hopOurs()
	var theirs, ours []time.Duration
	for b.Loop() {
		theirs = append(theirs, hopBare())
		ours = append(ours, hopOurs())
	}
	b.ReportMetric(float64(median(ours).Microseconds()), "p50-µs")
	b.ReportMetric(median(ours).Seconds()/median(theirs).Seconds(), "of_the_bare_client")
}

func bareHop(b *testing.B, s *server) func() time.Duration {
	b.Helper()
	js, subject := bare(b, s)
	c, err := connect(b, s.url()).OrderedConsumer(b.Context(), strings.ToUpper(strings.TrimSuffix(subject, ".a")), jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	came := make(chan struct{}, 1)
	run, err := c.Consume(func(jetstream.Msg) { came <- struct{}{} })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { run.Stop(); <-run.Closed() })
	return func() time.Duration {
		begun := time.Now()
		if _, err := js.Publish(b.Context(), subject, payload); err != nil {
			b.Fatal(err)
		}
		<-came
		return time.Since(begun)
	}
}

func brokerHop(b *testing.B, s *server) func() time.Duration {
	b.Helper()
	cfg := fresh()
	from := natsbroker.NewWithConfig(connect(b, s.url()), cfg)
	to := natsbroker.NewWithConfig(connect(b, s.url()), cfg)
	head, err := to.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	came, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		_ = to.Tail(context.Background(), head, func(events []push.Event) error {
			for range events {
				came <- struct{}{}
			}
			return nil
		})
	}()
	b.Cleanup(func() { _ = to.Close(context.Background()); _ = from.Close(context.Background()); <-ended })
	return func() time.Duration {
		begun := time.Now()
		if _, err := from.Publish(b.Context(), push.Event{Topic: "a", Data: payload}); err != nil {
			b.Fatal(err)
		}
		<-came
		return time.Since(begun)
	}
}

// Of a node's processor time a delivery ≤ 1.1 of what it takes over the memory broker
// is promised.
func BenchmarkNode(b *testing.B) {
	fleet.CompareNodes(b,
		func(b *testing.B) *exec.Cmd { return nodeCommand(1, ownServer(b).url()) },
		func(*testing.B) *exec.Cmd { return nodeCommand(1, inMemory) })
}
