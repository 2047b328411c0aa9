// Command micro measures in process, without a transport, what a publish and
// each further reader cost, and prints JSON lines like pushload's. With -growth
// it measures instead how that grows with topics, patterns and subscribers.
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
)

type line struct {
	Key    string  `json:"key"`
	Name   string  `json:"name"`
	Ns     float64 `json:"ns_per_op"`
	Allocs float64 `json:"allocs_per_op"`
	Bytes  float64 `json:"bytes_per_op"`
	OpenNs float64 `json:"open_ns,omitempty"` // to subscribe one
}

const readers = 100

func main() {
	testing.Init()
	d := flag.Duration("benchtime", time.Second, "time for each measurement")
	grow := flag.Bool("growth", false, "measure growth instead; needs 4 GB")
	flag.Parse()
	must(flag.Set("test.benchtime", d.String()))

	out := json.NewEncoder(os.Stdout)
	emit := func(l line) { must(out.Encode(l)) }
	if *grow {
		growth(emit)
		return
	}
	emit(perOp("micro", "publish", func(b *testing.B) { publish(b, "") }))
	emit(perOp("micro", "publish-json", func(b *testing.B) { publish(b, "application/json") }))
	one := perOp("", "", func(b *testing.B) { fanout(b, 1) })
	many := perOp("micro", "next-reader", func(b *testing.B) { fanout(b, 1+readers) })
	emit(many.minus(one, readers))
}

// minus returns what each of the n more costs that l has over less.
func (l line) minus(less line, n float64) line {
	l.Ns, l.Allocs = hundredths((l.Ns-less.Ns)/n), hundredths((l.Allocs-less.Allocs)/n)
	l.Bytes, l.OpenNs = hundredths((l.Bytes-less.Bytes)/n), hundredths((l.OpenNs-less.OpenNs)/n)
	return l
}

func perOp(key, name string, f func(*testing.B)) line {
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		f(b)
	})
	n := float64(r.N)
	l := line{Key: key, Name: name, Ns: float64(r.T.Nanoseconds()) / n, Allocs: float64(r.MemAllocs) / n, Bytes: float64(r.MemBytes) / n}
	return l.minus(line{}, 1)
}

// hundredths rounds away what the collector and the pools do now and then.
func hundredths(v float64) float64 { return math.Round(v*100) / 100 }

// publish publishes to a topic with history and without readers.
func publish(b *testing.B, contentType string) {
	hub, e := push.New(), event()
	e.ContentType = contentType
	for b.Loop() {
		publishOne(context.Background(), hub, e)
	}
}

// fanout publishes an event and has n subscriptions take and encode it.
func fanout(b *testing.B, n int) {
	ctx, hub, e := context.Background(), push.New(), event()
	subs := make([]*push.Subscription, n)
	for i := range subs {
		subs[i] = subscribe(hub, e.Topic)
		defer subs[i].Close()
	}
	for b.Loop() {
		publishOne(ctx, hub, e)
		for _, sub := range subs {
			take(ctx, sub, 1)
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
