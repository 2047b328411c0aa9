// Command micro measures in process, without a transport, what a publish and
// each further reader cost, and prints JSON lines like pushload's.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"

	"pushbench/peers/kit"
)

type line struct {
	Key    string  `json:"key"`
	Name   string  `json:"name"`
	Ns     float64 `json:"ns_per_op"`
	Allocs float64 `json:"allocs_per_op"`
	Bytes  float64 `json:"bytes_per_op"`
}

const readers = 100

func main() {
	testing.Init()
	d := flag.Duration("benchtime", time.Second, "time for each measurement")
	flag.Parse()
	must(flag.Set("test.benchtime", d.String()))

	out := json.NewEncoder(os.Stdout)
	must(out.Encode(perOp("publish", publish).minus(line{}, 1)))
	one := perOp("", func(b *testing.B) { fanout(b, 1) })
	many := perOp("next-reader", func(b *testing.B) { fanout(b, 1+readers) })
	must(out.Encode(many.minus(one, readers)))
}

// minus returns what each of the n more costs that l has over less.
func (l line) minus(less line, n float64) line {
	return line{l.Key, l.Name, hundredths((l.Ns - less.Ns) / n), hundredths((l.Allocs - less.Allocs) / n), hundredths((l.Bytes - less.Bytes) / n)}
}

func perOp(name string, f func(*testing.B)) line {
	r := testing.Benchmark(f)
	n := float64(r.N)
	return line{"micro", name, float64(r.T.Nanoseconds()) / n, float64(r.MemAllocs) / n, float64(r.MemBytes) / n}
}

// hundredths rounds away what the collector and the pools do now and then.
func hundredths(v float64) float64 { return math.Round(v*100) / 100 }

func event() push.Event {
	return push.Event{Topic: "0", ContentType: "application/json", Data: kit.Payload(128, 0)}
}

// publish publishes to a topic with history and without readers.
func publish(b *testing.B) {
	b.ReportAllocs()
	hub, e := push.New(), event()
	for b.Loop() {
		_, err := hub.Publish(context.Background(), e)
		must(err)
	}
}

// fanout publishes an event and has n subscriptions take and encode it.
func fanout(b *testing.B, n int) {
	b.ReportAllocs()
	ctx, hub, e := context.Background(), push.New(), event()
	subs := make([]*push.Subscription, n)
	for i := range subs {
		sub, err := hub.Subscribe(ctx, []string{"0"}, push.FromHead())
		must(err)
		defer sub.Close()
		subs[i] = sub
	}
	for b.Loop() {
		_, err := hub.Publish(ctx, e)
		must(err)
		for _, sub := range subs {
			batch, err := sub.Next(ctx)
			must(err)
			for _, m := range batch.Messages {
				m.Encoded(sse.Raw)
			}
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
