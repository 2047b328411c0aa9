package sse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a hub behind a server in memory.
type world struct {
	t      testing.TB
	hub    *push.Hub
	net    *memnet.Net
	server *http.Server
	client *http.Client
	ended  chan error // what Serve returned, of each stream
	opts   *sse.Options
	subOpt []push.SubscribeOption
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{t: tb, hub: push.New(), net: memnet.New(), ended: make(chan error, 10000)}
	w.server = &http.Server{Handler: w}
	tr := &http.Transport{DialContext: w.net.Dial}
	w.client = &http.Client{Transport: tr}
	tb.Cleanup(func() {
		_ = w.server.Close()
		tr.CloseIdleConnections()
	})
	return w
}

// start lets the server run, once it is configured.
func (w *world) start() *world {
	go func() { _ = w.server.Serve(w.net) }()
	return w
}

// ServeHTTP streams the topic t.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	sub, err := w.hub.Subscribe(r.Context(), []string{"t"}, push.AfterCursor(sse.Cursor(r)), w.subOpt...)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer sub.Close()
	w.ended <- sse.Serve(rw, r, sub, w.opts)
}

func (w *world) publish(events ...push.Event) []push.ID {
	w.t.Helper()
	for i := range events {
		events[i].Topic = "t"
	}
	ids, err := w.hub.Publish(context.Background(), events...)
	if err != nil {
		w.t.Fatal(err)
	}
	return ids
}

func (w *world) publishText(texts ...string) []push.ID {
	w.t.Helper()
	events := make([]push.Event, len(texts))
	for i, s := range texts {
		events[i].Data = []byte(s)
	}
	return w.publish(events...)
}

// stream is one connection of a client that reads bytes.
type stream struct {
	*http.Response
	dec *sse.Decoder
	t   testing.TB
}

// open connects; cursor may be empty.
func (w *world) open(cursor string) *stream {
	w.t.Helper()
	req, _ := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://memory/", nil)
	if cursor != "" {
		req.Header.Set("Last-Event-ID", cursor)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	return &stream{resp, sse.NewDecoder(resp.Body, 16<<20), w.t}
}

func (s *stream) next() sse.Event {
	s.t.Helper()
	ev, err := s.dec.Next()
	if err != nil {
		s.t.Fatal("Next: ", err)
	}
	return ev
}

func (s *stream) want(name, data string) sse.Event {
	s.t.Helper()
	ev := s.next()
	if ev.Name != name || data != "*" && string(ev.Data) != data {
		s.t.Fatalf("got event %q with data %.200q, want %q with %q", ev.Name, ev.Data, name, data)
	}
	return ev
}

// rawOpen sends a request over a connection of its own and reads nothing.
func (w *world) rawOpen() net.Conn {
	w.t.Helper()
	c, err := w.net.Dial(w.t.Context(), "", "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: memory\r\n\r\n")
	return c
}
