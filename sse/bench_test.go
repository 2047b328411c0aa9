package sse_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

// One operation is an event to 100 readers, which handlers serve.
func BenchmarkDelivery(b *testing.B) {
	hub := push.New()
	flushes := readers(b, hub, 100)
	e := push.Event{Topic: "t", Data: make([]byte, 128)}
	b.ReportAllocs()
	for b.Loop() {
		flushes.after(100, func() { _, _ = hub.Publish(b.Context(), e) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/delivery")
}

// One operation is the wire form of an event of 128 bytes.
func BenchmarkEncode(b *testing.B) {
	text := strings.Repeat("x", 128)
	for _, kind := range []struct {
		name string
		push.Event
	}{
		{"text", push.Event{Data: []byte(text)}},
		{"lines", push.Event{Data: []byte(strings.Repeat("0123456\n", 16))}},
		{"json", push.Event{ContentType: "application/json", Data: []byte(`"` + text[2:] + `"`)}},
		{"binary", push.Event{ContentType: "application/octet-stream", Data: []byte(text)}},
	} {
		e := kind.Event
		e.ID, e.Topic, e.Name = testID, "t", "post"
		for _, enc := range []*push.Encoding{sse.Raw, sse.Envelope, sse.NDJSON} {
			b.Run("as="+enc.String()+"/kind="+kind.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					push.NewMessage(e).Encoded(enc)
				}
			})
		}
	}
}

// BenchmarkWriteDeadline is what a deadline costs that is set with each write.
func BenchmarkWriteDeadline(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for b.Loop() {
		_ = c.SetWriteDeadline(time.Now().Add(30 * time.Second))
	}
}
