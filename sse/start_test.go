package sse_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

// overTCP is a world on the loopback interface whose streams are started.
type overTCP struct {
	*world
	ts       *httptest.Server
	returned chan struct{}                                 // a handler returned
	around   func(http.ResponseWriter) http.ResponseWriter // if not nil
	before   func(*http.Request, *push.Subscription)       // if not nil
	ctx      func(context.Context) context.Context         // if not nil, the request's
	listener func(net.Listener) net.Listener               // if not nil
	serve    func(http.ResponseWriter, *http.Request, *push.Subscription, *sse.Options, func(error)) error
}

func newTCP(t *testing.T) *overTCP {
	t.Helper()
	w := &overTCP{
		world:    &world{t: t, hub: push.New(push.WithDrainWindow(time.Millisecond)), ended: make(chan error, 10000)},
		returned: make(chan struct{}, 10000), serve: sse.Start,
	}
	w.ts = httptest.NewUnstartedServer(w)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.hub.Shutdown(ctx)
		w.ts.Close()
	})
	return w
}

func (w *overTCP) start() *overTCP {
	if w.listener != nil {
		w.ts.Listener = w.listener(w.ts.Listener)
	}
	w.ts.Start()
	w.client = w.ts.Client()
	return w
}

func (w *overTCP) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	defer func() { w.returned <- struct{}{} }()
	if w.ctx != nil {
		r = r.WithContext(w.ctx(r.Context()))
	}
	sub, err := w.hub.Subscribe(r.Context(), []string{"t"}, push.AfterCursor(sse.Cursor(r)), w.subOpt...)
	if err != nil {
		w.t.Error(err)
		return
	}
	if w.before != nil {
		w.before(r, sub)
	}
	if w.around != nil {
		rw = w.around(rw)
	}
	err = w.serve(rw, r, sub, w.opts, func(err error) {
		sub.Close()
		w.ended <- err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// open connects; cursor may be empty.
func (w *overTCP) open(cursor string) *stream {
	w.t.Helper()
	req, _ := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.ts.URL, nil)
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

// raw sends a request over a connection with a small buffer for reading.
func (w *overTCP) raw(request string) *net.TCPConn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.ts.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	_, _ = io.WriteString(c, request)
	return c.(*net.TCPConn)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func (w *overTCP) end() error {
	w.t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(20 * time.Second):
		w.t.Fatal("the stream does not end")
		return nil
	}
}

// smallBuffers has the server's sockets take little.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return c, err
}

func small(l net.Listener) net.Listener { return smallBuffers{l} }

// wrapped has connections that are not the system's own.
type wrapped struct{ net.Listener }

func (l wrapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return struct{ net.Conn }{c}, err
}

// eachWriter runs a test over every way to write a stream.
func eachWriter(t *testing.T, f func(t *testing.T, w *overTCP)) {
	t.Run("hub", func(t *testing.T) { f(t, newTCP(t)) })
	t.Run("wrapped connection", func(t *testing.T) {
		w := newTCP(t)
		w.listener = func(l net.Listener) net.Listener { return wrapped{l} }
		f(t, w)
	})
	t.Run("handler", func(t *testing.T) {
		w := newTCP(t)
		w.serve = func(rw http.ResponseWriter, r *http.Request, sub *push.Subscription, o *sse.Options, ended func(error)) error {
			ended(sse.Serve(rw, r, sub, o))
			return nil
		}
		f(t, w)
	})
}

func TestEveryWriterOpensResumesAndTellsGaps(t *testing.T) {
	eachWriter(t, func(t *testing.T, w *overTCP) {
		s := w.start().open("")
		s.want(wire.Open, "*")
		w.publishText("1", "2")
		s.want("message", "1")
		cursor := s.want("message", "2").ID
		_ = s.Body.Close()
		_ = w.end()
		w.publishText("3")
		s = w.open(cursor)
		if open := s.want(wire.Open, "*"); open.ID != cursor {
			t.Errorf("push.open has id %q, not %q", open.ID, cursor)
		}
		s.want("message", "3")
		s = w.open("17")
		s.want(wire.Open, "*")
		s.want(wire.Gap, "*")
		s.want("message", "1")
	})
}

func TestEveryWriterHeartbeats(t *testing.T) {
	eachWriter(t, func(t *testing.T, w *overTCP) {
		w.subOpt = []push.SubscribeOption{push.WithHeartbeat(10 * time.Millisecond)}
		s := w.start().open("")
		s.want(wire.Open, "*")
		s.want(wire.Heartbeat, "")
		_, _ = w.hub.Publish(t.Context(), push.Event{Topic: "other"})
		head, _ := w.hub.Head(t.Context())
		for s.want(wire.Heartbeat, "").ID != head.String() {
		}
	})
}

func TestEveryWriterTellsTheHubsEnd(t *testing.T) {
	for name, end := range map[string]func(*push.Hub){
		"disconnect": func(h *push.Hub) {
			h.Disconnect(func(*push.Subscription) bool { return true }, &push.CloseError{Code: push.CloseDrain, Reason: "bye"})
		},
		"drain": func(h *push.Hub) { _ = h.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			eachWriter(t, func(t *testing.T, w *overTCP) {
				s := w.start().open("")
				s.want(wire.Open, "*")
				end(w.hub)
				s.want(wire.Close, "*")
				if _, err := s.dec.Next(); !errors.Is(err, io.EOF) {
					t.Error("after push.close: ", err)
				}
				if why, ok := errors.AsType[*push.CloseError](w.end()); !ok || why.Code != push.CloseDrain {
					t.Error(why)
				}
			})
		})
	}
}

func TestEveryWriterEndsWhenTheClientLeaves(t *testing.T) {
	eachWriter(t, func(t *testing.T, w *overTCP) {
		s := w.start().open("")
		s.want(wire.Open, "*")
		_ = s.Body.Close()
		if err := w.end(); !errors.Is(err, push.ErrGone) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if n := len(w.ended); n > 0 || w.hub.Subscriptions() > 0 {
			t.Error("ended again, or not closed")
		}
	})
}

func TestHalfCloseCountsAsGone(t *testing.T) {
	w := newTCP(t).start()
	c := w.raw(get)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.CloseWrite()
	if err := w.end(); !errors.Is(err, push.ErrGone) {
		t.Error(err)
	}
}

// hooked is a framework's response: its head has hooks.
type hooked struct {
	http.ResponseWriter
	heads *int
}

func (h hooked) WriteHeader(status int) {
	*h.heads++
	h.Header().Set("X-Hook", "ran")
	h.ResponseWriter.WriteHeader(status)
}
func (h hooked) Unwrap() http.ResponseWriter { return h.ResponseWriter }

func TestHeadOfATakenConnection(t *testing.T) {
	for version, request := range map[string]string{
		"1.1": get, "1.0": "GET / HTTP/1.0\r\n\r\n",
		"keep-alive": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"early":      get + "GET /early HTTP/1.1\r\n",
	} {
		t.Run(version, func(t *testing.T) {
			w, heads := newTCP(t), 0
			w.around = func(rw http.ResponseWriter) http.ResponseWriter { return hooked{rw, &heads} }
			c := w.start().raw(request)
			<-w.returned // at once
			br := bufio.NewReader(c)
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK || heads != 1 || resp.Header.Get("X-Hook") != "ran" || !resp.Close ||
				resp.ContentLength != -1 || len(resp.TransferEncoding) > 0 || resp.Header.Get("Transfer-Encoding") != "" {
				t.Errorf("%d heads, %+v", heads, resp)
			}
			dec := sse.NewDecoder(resp.Body, 1<<20)
			w.publishText("1")
			if ev, err := dec.Next(); err != nil || ev.Name != wire.Open || ev.Retry == 0 {
				t.Error(ev, err)
			}
			if ev, err := dec.Next(); err != nil || string(ev.Data) != "1" {
				t.Error(ev, err)
			}
			_ = c.Close()
			if err := w.end(); !errors.Is(err, push.ErrGone) {
				t.Error(err)
			}
		})
	}
}

// What cannot be taken over blocks, and works.
func TestHandlerWritesWhatCannotBeTakenOver(t *testing.T) {
	for name, request := range map[string]string{
		"body":   "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"chunks": "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newTCP(t).start()
			c := w.raw(request)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if ev, err := sse.NewDecoder(resp.Body, 1<<20).Next(); err != nil || ev.Name != wire.Open {
				t.Error(ev, err)
			}
			if len(w.returned) > 0 {
				t.Error("the handler returned")
			}
			_ = c.Close()
			_ = w.end()
		})
	}
	t.Run("HEAD", func(t *testing.T) {
		w := newTCP(t).start()
		resp, err := w.client.Head(w.ts.URL)
		if err != nil || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp, err)
		}
		if err := w.end(); err != nil {
			t.Error(err)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		w := newTCP(t)
		w.ts.StartTLS()
		w.client = w.ts.Client()
		s := w.open("")
		s.want(wire.Open, "*")
		if len(w.returned) > 0 {
			t.Error("the handler returned")
		}
		_ = s.Body.Close()
		_ = w.end()
	})
}

// A stream over a wrapped connection is its handler's: a middleware may end it,
// also while the client does not read.
func TestContextEndsAStreamOverAWrappedConnection(t *testing.T) {
	w, why := newTCP(t), errors.New("revoked")
	w.listener = func(l net.Listener) net.Listener { return wrapped{smallBuffers{l}} }
	ctx, cancel := context.WithCancelCause(t.Context())
	w.ctx = func(context.Context) context.Context { return ctx }
	c := w.start().raw(get)
	w.publishText(strings.Repeat("x", 16<<20))
	if _, err := io.ReadFull(c, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}
	cancel(why)
	if err := w.end(); !errors.Is(err, why) {
		t.Error(err)
	}
}
