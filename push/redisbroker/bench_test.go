package redisbroker_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/pushtest/fleet"
	"github.com/dualpush-go/dualpush/push/redisbroker"
)

// Each benchmark does the same with the bare client and with the broker, turn by
// turn in one run, and reports the ratio.

var payload = make([]byte, 128)

func benchTopic(i int) string { return "room/" + strconv.Itoa(i%16) }

// bare makes the writes that the broker makes, in MULTI, as one does who uses the
// client alone. It knows the sequence without asking.
type bare struct {
	rdb  *redis.Client
	name string
	seq  atomic.Int64
}

func newBare(b *testing.B, s *server) *bare {
	b.Helper()
	return &bare{rdb: s.open(b), name: "{" + unique() + "}:"}
}

func (r *bare) publish(b *testing.B, n int) {
	b.Helper()
	_, err := r.rdb.TxPipelined(b.Context(), func(p redis.Pipeliner) error {
		var seq int64
		for i := range n {
			seq = r.seq.Add(1)
			topic := benchTopic(i)
			id := strconv.FormatInt(seq, 10) + "-3000000000"
			p.XAdd(b.Context(), &redis.XAddArgs{
				Stream: r.name + "feed", MaxLen: 10_000, Approx: true, ID: id, Values: []any{"p", 3_000_000_000, "n", topic, "t", 1_795_596_919_141, "d", payload},
			})
			p.XAdd(b.Context(), &redis.XAddArgs{
				Stream: r.name + "t:" + topic, MaxLen: push.DefaultCount + 1, ID: id, Values: []any{"t", 1_795_596_919_141, "d", payload},
			})
			p.ZAdd(b.Context(), r.name+"topics", redis.Z{Score: float64(seq), Member: topic})
		}
		p.HSet(b.Context(), r.name+"state", "q", seq, "c", 3_000_000_000, "f", 0)
		p.Set(b.Context(), r.name+"w:0123456789abcdef", "1 1", 10*time.Minute)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func brokerPublish(b *testing.B, broker push.Broker, n int) {
	b.Helper()
	events := make([]push.Event, n)
	for i := range events {
		events[i] = push.Event{Topic: benchTopic(i), Data: payload}
	}
	if _, err := broker.Publish(b.Context(), events...); err != nil {
		b.Fatal(err)
	}
}

// openLog returns a broker over a log of its own.
func openLog(b *testing.B, s *server, name string) *redisbroker.Broker {
	b.Helper()
	broker := redisbroker.NewWithConfig(s.open(b), redisbroker.Config{Name: name})
	b.Cleanup(func() { _ = broker.Close(context.Background()) })
	return broker
}

func took(do func()) time.Duration {
	begun := time.Now()
	do()
	return time.Since(begun)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// compare does both, turn by turn, and reports ours, of n events, and the ratio.
func compare(b *testing.B, n int, theirs, ours func()) {
	b.Helper()
	theirs()
	ours()
	var t, o []time.Duration
	for b.Loop() {
		t = append(t, took(theirs))
		o = append(o, took(ours))
	}
	b.ReportMetric(float64(n)/median(o).Seconds(), "events/s")
	b.ReportMetric(median(t).Seconds()/median(o).Seconds(), "of_the_bare_client")
}

// durabilities are the settings for which figures are promised.
var durabilities = map[string][]string{"always": always, "everysec": everysec}

// One operation is 4096 events, in batches, both ways: ≥ 0.8 is promised.
func BenchmarkPublish(b *testing.B) {
	for name, args := range durabilities {
		b.Run(name, func(b *testing.B) {
			s := startServer(b, args...)
			r, broker := newBare(b, s), openLog(b, s, unique())
			const n, batch = 4096, 256
			compare(b, n, func() {
				for range n / batch {
					r.publish(b, batch)
				}
			}, func() { brokerPublish(b, broker, n) })
		})
	}
}

// One operation is 4096 events by 256 publishers, one by one, both ways: ≥ 1 is
// promised.
func BenchmarkPublishers(b *testing.B) {
	for name, args := range durabilities {
		b.Run(name, func(b *testing.B) {
			s := startServer(b, args...)
			r, broker := newBare(b, s), openLog(b, s, unique())
			const publishers, each = 256, 16
			all := func(one func()) func() {
				return func() {
					var work sync.WaitGroup
					for range publishers {
						work.Go(func() {
							for range each {
								one()
							}
						})
					}
					work.Wait()
				}
			}
			compare(b, publishers*each, all(func() { r.publishAny(b) }), all(func() { brokerPublish(b, broker, 1) }))
		})
	}
}

// publishAny is publish of one event for many at a time: the server numbers it,
// since explicit numbers would have to arrive in order.
func (r *bare) publishAny(b *testing.B) {
	_, err := r.rdb.TxPipelined(b.Context(), func(p redis.Pipeliner) error {
		p.XAdd(b.Context(), &redis.XAddArgs{
			Stream: r.name + "feed", MaxLen: 10_000, Approx: true, Values: []any{"p", 3_000_000_000, "n", "a", "t", 1_795_596_919_141, "d", payload},
		})
		p.XAdd(b.Context(), &redis.XAddArgs{
			Stream: r.name + "t:a", MaxLen: push.DefaultCount + 1, Values: []any{"t", 1_795_596_919_141, "d", payload},
		})
		p.ZAdd(b.Context(), r.name+"topics", redis.Z{Score: float64(r.seq.Add(1)), Member: "a"})
		p.HSet(b.Context(), r.name+"state", "q", 1, "c", 3_000_000_000, "f", 0)
		return nil
	})
	if err != nil {
		b.Error(err)
	}
}

// One operation is one event from one connection to another, both ways: ≤ 1.5 of
// the bare client's p50 is promised.
func BenchmarkHop(b *testing.B) {
	for name, args := range durabilities {
		b.Run(name, func(b *testing.B) {
			s := startServer(b, args...)
			hopBare, hopOurs := bareHop(b, s), brokerHop(b, s)
			hopBare()
			hopOurs()
			var theirs, ours []time.Duration
			for b.Loop() {
				theirs = append(theirs, took(hopBare))
				ours = append(ours, took(hopOurs))
			}
			b.ReportMetric(float64(median(ours).Microseconds()), "p50-µs")
			b.ReportMetric(median(ours).Seconds()/median(theirs).Seconds(), "of_the_bare_client")
		})
	}
}

func bareHop(b *testing.B, s *server) func() {
	b.Helper()
	r, reader := newBare(b, s), s.open(b)
	came, ctx := make(chan struct{}, 1), b.Context()
	go func() {
		for at := "0"; ctx.Err() == nil; {
			streams, err := reader.XRead(ctx, &redis.XReadArgs{Streams: []string{r.name + "feed", at}, Block: time.Second}).Result()
			if err == nil {
				at = streams[0].Messages[len(streams[0].Messages)-1].ID
				came <- struct{}{}
			}
		}
	}()
	return func() {
		r.publish(b, 1)
		<-came
	}
}

func brokerHop(b *testing.B, s *server) func() {
	b.Helper()
	name := unique()
	from, to := openLog(b, s, name), openLog(b, s, name)
	head, err := to.Head(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	came := make(chan struct{}, 1)
	go func() {
		err := to.Tail(b.Context(), head, func(events []push.Event) error {
			for range events {
				came <- struct{}{}
			}
			return nil
		})
		if b.Context().Err() == nil {
			panic(fmt.Sprint("Tail ended: ", err))
		}
	}()
	return func() {
		brokerPublish(b, from, 1)
		<-came
	}
}

// Of a node's processor time a delivery ≤ 1.1 of what it takes over the memory broker
// is promised.
func BenchmarkNode(b *testing.B) {
	fleet.CompareNodes(b,
		func(b *testing.B) *exec.Cmd { return nodeCommand(startServer(b, everysec...).socket()) },
		func(*testing.B) *exec.Cmd { return nodeCommand(inMemory) })
}
