package ws_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/ws"
)

// BenchmarkIdleConnection reports what an idle connection costs in heap and
// stacks, everything below Serve included: net/http, the subscription, and
// about 0.5 KB for the client's end in the same process.
func BenchmarkIdleConnection(b *testing.B) {
	for _, protocol := range []string{"push.v1", "push.raw"} {
		b.Run("protocol="+protocol, func(b *testing.B) {
			addr, hub := serveIdle(b)
			for b.Loop() {
				heap, stack := costOfIdle(b, addr, hub, protocol, 2000)
				b.ReportMetric(float64(heap+stack), "B/conn")
			}
		})
	}
}

// A connection whose handler stays holds none of net/http's buffers, of 4 KB each.
func TestAllocOfAnIdleConnection(t *testing.T) {
	addr, hub := serveIdle(t)
	costOfIdle(t, addr, hub, "push.v1", 1) // what is made once
	if heap, _ := costOfIdle(t, addr, hub, "push.v1", 200); heap > 11<<10 {
		t.Errorf("an idle connection holds %d bytes, want 9 KB", heap)
	}
}

func serveIdle(tb testing.TB) (addr string, hub *push.Hub) {
	hub = push.New()
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sub, err := hub.Subscribe(r.Context(), []string{"a"}, push.FromHead(), push.WithHeartbeat(25*time.Second))
		if err != nil {
			tb.Error(err)
			return
		}
		defer sub.Close()
		_ = ws.Serve(w, r, sub, nil)
	}))
	tb.Cleanup(ts.Close)
	tb.Cleanup(func() { kill(hub) })
	return ts.Listener.Addr().String(), hub
}

// costOfIdle returns the bytes that each of n connections takes.
func costOfIdle(tb testing.TB, addr string, hub *push.Hub, protocol string, n int) (heap, stack int64) {
	heap0, stack0 := inUse()
	open := make([]net.Conn, n)
	for i := range open {
		open[i] = rawDial(tb, addr, protocol)
	}
	for hub.Subscriptions() < n {
		runtime.Gosched()
	}
	heap, stack = inUse()
	for _, c := range open {
		_ = c.Close()
	}
	for hub.Subscriptions() > 0 {
		runtime.Gosched()
	}
	return (heap - heap0) / int64(n), (stack - stack0) / int64(n)
}

func inUse() (heap, stack int64) {
	var m runtime.MemStats
	for range 3 { // stacks shrink a step at a time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}

func rawDial(tb testing.TB, addr, protocol string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	_, _ = fmt.Fprintf(c, handshake, "", "Sec-WebSocket-Protocol: "+protocol+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		tb.Fatal(resp, err)
	}
	return c
}

// BenchmarkDelivery is what one more connection costs the server for an event,
// the client reading: frames are made once, so nothing is to be allocated.
func BenchmarkDelivery(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprint("burst=", batch), func(b *testing.B) {
			hub := push.New()
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sub, _ := hub.Subscribe(r.Context(), []string{"a"}, push.FromHead())
				defer sub.Close()
				_ = ws.Serve(w, r, sub, nil)
			}))
			defer ts.Close()
			defer kill(hub)
			c := rawDial(b, ts.Listener.Addr().String(), "push.raw")
			defer func() { _ = c.Close() }()
			for hub.Subscriptions() < 1 {
				runtime.Gosched()
			}
			events := make([]push.Event, batch)
			for i := range events {
				events[i] = push.Event{Topic: "a", Data: make([]byte, 126)}
			}
			buf := make([]byte, 64<<10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := hub.Publish(b.Context(), events...); err != nil {
					b.Fatal(err)
				}
				for left := batch * 130; left > 0; {
					n, err := c.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
		})
	}
}
