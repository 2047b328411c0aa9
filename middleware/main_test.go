package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/memnet"
	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/push/wire"
	"github.com/dualpush-go/dualpush/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is an Echo app that runs.
type app struct {
	*httptest.Server
	t      testing.TB
	echo   *echo.Echo
	hub    *push.Hub
	log    *logBuffer
	opened chan bool // for a test's OnOpen
}

var everything = middleware.Public(push.Sub("**"), push.Pub("**"))

// newApp returns an app without routes that is not started.
func newApp(t testing.TB) *app {
	a := &app{t: t, echo: echo.New(), hub: push.New(), log: &logBuffer{}, opened: make(chan bool, 100)}
	a.echo.HideBanner, a.echo.HidePort = true, true
	a.echo.Logger.SetOutput(a.log)
	return a
}

// config is for a mount where everybody may do everything.
func (a *app) config() middleware.Config {
	return middleware.Config{Auth: everything, Logger: slog.New(slog.NewTextHandler(a.log, nil))}
}

func (a *app) live() middleware.LiveConfig {
	return middleware.LiveConfig{Hub: a.hub, Logger: slog.New(slog.NewTextHandler(a.log, nil))}
}

// mount mounts the hub at /push and starts the app.
func mount(t testing.TB, middlewares ...echo.MiddlewareFunc) *app {
	t.Helper()
	a := newApp(t)
	a.echo.Use(middlewares...)
	middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
	return a.start()
}

func (a *app) start() *app {
	a.Server = httptest.NewUnstartedServer(a.echo)
	a.Config.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(a.log, nil), slog.LevelError)
	a.Start()
	return a.started()
}

// startInMemory starts the app without a network, for a synctest bubble.
func (a *app) startInMemory(server *http.Server) *app {
	l := memnet.New()
	server.Handler = a.echo
	a.Server = &httptest.Server{Listener: l, Config: server}
	a.Start()
	a.Client().Transport.(*http.Transport).DialContext = l.Dial
	return a.started()
}

func (a *app) started() *app {
	a.Client().Transport.(*http.Transport).DisableCompression = true
	a.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.hub.Shutdown(ctx)
		a.Client().CloseIdleConnections()
		a.Close()
	})
	return a
}

func (a *app) publish(topic string, data ...string) (ids []push.ID) {
	a.t.Helper()
	for _, d := range data {
		id, err := a.hub.Publish(context.Background(), push.Event{Topic: topic, Data: []byte(d)})
		if err != nil {
			a.t.Fatal(err)
		}
		ids = append(ids, id...)
	}
	return ids
}

const patience = 60 * time.Second // a bubble's minute passes at once

func (a *app) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	a.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.URL+path, r)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req
}

// answer is a whole response.
type answer struct {
	*http.Response
	body string
	what string
}

func (a *app) do(method, path, body string, headers ...string) answer {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := a.Client().Do(a.request(ctx, method, path, body, headers...))
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{res, string(b), fmt.Sprintf("%s %s %v", method, path, headers)}
}

// get asks for JSON.
func (a *app) get(path string, headers ...string) answer {
	a.t.Helper()
	return a.do(http.MethodGet, path, "", append([]string{"Accept: application/json"}, headers...)...)
}

func (a *app) expect(status int, got answer) answer {
	a.t.Helper()
	if got.StatusCode != status {
		a.t.Fatalf("%s: status %d, want %d\n%s", got.what, got.StatusCode, status, got.body)
	}
	return got
}

func (a *app) decode(got answer, v any) {
	a.t.Helper()
	if err := json.Unmarshal([]byte(got.body), v); err != nil {
		a.t.Fatalf("%s: %v in %q", got.what, err, got.body)
	}
}

// eventSource is an SSE stream.
type eventSource struct {
	*http.Response
	t     testing.TB
	dec   *sse.Decoder
	close func()
}

// follow opens an SSE stream and reads its push.open.
func (a *app) follow(path string, headers ...string) *eventSource {
	a.t.Helper()
	es := a.open(path, headers...)
	if es.StatusCode != http.StatusOK || es.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(io.LimitReader(es.Body, 1000))
		a.t.Fatalf("GET %s: %s %v\n%s", path, es.Status, es.Header, b)
	}
	es.expect("push.open")
	return es
}

// open asks for an SSE stream.
func (a *app) open(path string, headers ...string) *eventSource {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	res, err := a.Client().Do(a.request(ctx, http.MethodGet, path, "", append([]string{"Accept: text/event-stream"}, headers...)...))
	if err != nil {
		cancel()
		a.t.Fatalf("GET %s: %v", path, err)
	}
	es := &eventSource{Response: res, t: a.t, dec: sse.NewDecoder(res.Body, 0), close: func() { cancel(); _ = res.Body.Close() }}
	a.t.Cleanup(es.close)
	return es
}

func (es *eventSource) expect(name string) sse.Event {
	es.t.Helper()
	e, err := es.dec.Next()
	if err != nil {
		es.t.Fatalf("reading the stream: %v, want a %s", err, name)
	}
	if e.Name != name {
		es.t.Fatalf("event %s %s, want a %s", e.Name, e.Data, name)
	}
	e.Data = bytes.Clone(e.Data)
	return e
}

func (es *eventSource) messages(want ...string) (last sse.Event) {
	es.t.Helper()
	for _, w := range want {
		if last = es.expect("message"); string(last.Data) != w {
			es.t.Fatalf("message %s, want %s", last.Data, w)
		}
	}
	return last
}

func (es *eventSource) ended() {
	es.t.Helper()
	if e, err := es.dec.Next(); err == nil {
		es.t.Fatalf("the stream goes on with %s %s", e.Name, e.Data)
	}
}

// socket is a WebSocket of a client.
type socket struct {
	*websocket.Conn
	t   testing.TB
	ctx context.Context
}

// dial opens a WebSocket, or returns the answer that refused it.
func (a *app) dial(path, subprotocol string, headers ...string) (*socket, *http.Response) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	a.t.Cleanup(cancel)
	opts := &websocket.DialOptions{HTTPClient: a.Client(), HTTPHeader: http.Header{}}
	if subprotocol != "" {
		opts.Subprotocols = []string{subprotocol}
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			opts.Host = value
			continue
		}
		opts.HTTPHeader.Add(name, value)
	}
	c, res, err := websocket.Dial(ctx, a.URL+path, opts)
	if err != nil {
		if res == nil {
			a.t.Fatalf("WebSocket to %s: %v", path, err)
		}
		return nil, res
	}
	a.t.Cleanup(func() { _ = c.CloseNow() })
	return &socket{c, a.t, ctx}, res
}

func (c *socket) expect(event string) wire.Envelope {
	c.t.Helper()
	_, b, err := c.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("reading the WebSocket: %v, want a %s", err, event)
	}
	var env wire.Envelope
	if err := json.Unmarshal(b, &env); err != nil || env.Event != event {
		c.t.Fatalf("message %s, want a %s", b, event)
	}
	return env
}

// closed reads until the connection ends, and returns the code.
func (c *socket) closed() int {
	c.t.Helper()
	for {
		if _, _, err := c.Read(c.ctx); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// logBuffer is a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
