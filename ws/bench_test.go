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
			hub := push.New()
			ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sub, err := hub.Subscribe(r.Context(), []string{"a"}, push.FromHead(), push.WithHeartbeat(25*time.Second))
				if err != nil {
					b.Error(err)
					return
				}
				defer sub.Close()
				_ = ws.Serve(w, r, sub, nil)
			}))
			defer ts.Close()
			defer kill(hub)
			const conns = 2000
			for b.Loop() {
				before := inUse()
				open := make([]net.Conn, conns)
				for i := range open {
					open[i] = rawDial(b, ts.Listener.Addr().String(), protocol)
				}
				for hub.Subscriptions() < conns {
					runtime.Gosched()
				}
				b.ReportMetric(float64(inUse()-before)/conns, "B/conn")
				for _, c := range open {
					_ = c.Close()
				}
				for hub.Subscriptions() > 0 {
					runtime.Gosched()
				}
			}
		})
	}
}

func inUse() int64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink a step at a time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func rawDial(b *testing.B, addr, protocol string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	_, _ = fmt.Fprintf(c, handshake, "", "Sec-WebSocket-Protocol: "+protocol+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatal(resp, err)
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
