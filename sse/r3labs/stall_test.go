package r3labs_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	r3sse "github.com/r3labs/sse/v2"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse/r3labs"
)

const stallEvents = 4000

// deepHub keeps as many events as the stall needs: a reader is then told of no
// gap, however the scheduler treats it.
func deepHub() *push.Hub {
	rule := push.Rule{Pattern: "**", Retention: push.Retention{Count: 2 * stallEvents, Bytes: -1}}
	return push.NewHub(push.NewMemory(push.Rules(rule)))
}

// Their server: see BenchmarkStalledSubscriber.
func TestStalledSubscriberDoesNotStopTheStream(t *testing.T) {
	s, url := adapter(t, deepHub())
	if n, _ := healthyBesideStalled(t, s, url, 2<<10, 0); n != stallEvents {
		t.Errorf("the healthy subscriber got %d of %d events", n, stallEvents)
	}
}

// BenchmarkStalledSubscriber counts what a healthy subscriber gets while
// another one, whose connection stays open, does not read. Run it with
// -benchtime 1x.
func BenchmarkStalledSubscriber(b *testing.B) {
	for name, start := range bothServers {
		for _, size := range []int{1 << 10, 8 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				for range b.N {
					s := start()
					n, published := healthyBesideStalled(b, s, listen(b, s), size, 5*time.Second)
					b.ReportMetric(float64(n), "received")
					b.ReportMetric(float64(published), "published")
				}
			})
		}
	}
}

var bothServers = map[string]func() server{
	"r3labs":   func() server { return r3sse.New() },
	"dualpush": func() server { return r3labs.New(deepHub()) },
}

// healthyBesideStalled publishes 4000 events to a stream with two subscribers,
// of which one never reads. It returns how many the other one got before
// nothing came for patience (0: for ever), and how many were published by then.
func healthyBesideStalled(tb testing.TB, s server, url string, size int, patience time.Duration) (n, published int) {
	tb.Helper()
	s.CreateStream("messages")
	ctx, cancel := context.WithCancel(tb.Context())
	stall(ctx, tb, url+"?stream=messages")
	r := read(tb, url, "messages", "")
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range stallEvents {
			s.Publish("messages", event("", fmt.Sprintf("%0*d", size, i)))
			count.Add(1)
		}
	}()
	var tooLong <-chan time.Time
	for waiting := true; waiting && n < stallEvents; {
		if patience > 0 {
			tooLong = time.After(patience)
		}
		select {
		case <-r.next:
			n++
		case <-tooLong:
			waiting = false
		}
	}
	published = int(count.Load())
	cancel() // the stalled one leaves, so that a publisher that waits for it can end
	r.stop()
	<-done
	return n, published
}

// stall subscribes with a small receive buffer and reads only the head.
func stall(ctx context.Context, tb testing.TB, url string) {
	tb.Helper()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}
	tr := &http.Transport{DialContext: dial, ReadBufferSize: 1}
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	context.AfterFunc(ctx, func() { _ = resp.Body.Close(); tr.CloseIdleConnections() })
}

// BenchmarkLog says what a server holds after 50,000 events of 1 KiB that
// nobody read, AutoReplay being on as it is by default. Run it with
// -benchtime 1x.
func BenchmarkLog(b *testing.B) {
	const events = 50_000
	data := strings.Repeat("x", 1<<10)
	start := map[string]func() server{
		"r3labs":   func() server { return r3sse.New() },
		"dualpush": func() server { return r3labs.New(push.New()) },
	}
	for name, start := range start {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				before := heap()
				s := start()
				s.CreateStream("messages")
				for range events {
					s.Publish("messages", event("", data))
				}
				b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-held")
				s.(interface{ Close() }).Close() // without subscribers theirs can be
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
