package sse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memNet is a network in memory, for bubbles of synctest. A write blocks until
// the other side reads.
type memNet struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemNet() *memNet { return &memNet{conns: make(chan net.Conn), done: make(chan struct{})} }

func (n *memNet) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *memNet) Close() error {
	n.once.Do(func() { close(n.done) })
	return nil
}

func (n *memNet) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (n *memNet) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-n.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// world is a hub behind a server in memory.
type world struct {
	t      testing.TB
	hub    *push.Hub
	net    *memNet
	server *http.Server
	client *http.Client
	ended  chan error // what Serve returned, of each stream
	opts   *sse.Options
	subOpt []push.SubscribeOption
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{t: tb, hub: push.New(), net: newMemNet(), ended: make(chan error, 10000)}
	w.server = &http.Server{Handler: w}
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.net.dial(ctx) }}
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
	c, err := w.net.dial(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_, _ = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: memory\r\n\r\n")
	return c
}
