package middleware_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware"
)

// seen is what a middleware around the mount sees of an answer.
type seen struct {
	status    int
	size      int64
	committed bool
	err       error
}

// watch tells what a middleware around the mount sees, once the answer ended.
func watch(to chan<- seen) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			err := next(c)
			to <- seen{c.Response().Status, c.Response().Size, c.Response().Committed, err}
			return err
		}
	}
}

// decorate sets what applications set: headers, cookies, and both in hooks.
func decorate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("X-App", "1")
		c.SetCookie(&http.Cookie{Name: "session", Value: "s"})
		c.Response().Before(func() {
			c.Response().Header().Set("X-Hook", "2")
			c.SetCookie(&http.Cookie{Name: "late", Value: "l"})
		})
		return next(c)
	}
}

func TestWhatAppsSetSurvivesOnStreams(t *testing.T) {
	ends := make(chan seen, 10)
	a := newApp(t)
	a.echo.Use(watch(ends), echomw.RequestID(), echomw.Secure(), echomw.Gzip(), decorate,
		echomw.CORSWithConfig(echomw.CORSConfig{AllowOrigins: []string{"https://app.example.com"}, AllowCredentials: true}))
	cfg := a.config()
	cfg.Origins = []string{"https://app.example.com"}
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	es := a.follow("/push/topics/wall", "Origin: https://app.example.com", "X-Request-Id: r1", "Accept-Encoding: gzip")
	c, upgrade := a.dial("/push/topics/wall", "push.v1", "Origin: "+a.URL, "X-Request-Id: r1")
	if c == nil {
		t.Fatal(upgrade.Status)
	}
	page := a.get("/push/topics/wall", "Origin: https://app.example.com", "X-Request-Id: r1")
	for what, res := range map[string]*http.Response{"SSE": es.Response, "WebSocket": upgrade, "page": page.Response} {
		for name, want := range map[string]string{"X-App": "1", "X-Hook": "2", "X-Request-Id": "r1", "X-Frame-Options": "SAMEORIGIN"} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", what, name, got, want)
			}
		}
		var cookies []string
		for _, cookie := range res.Cookies() {
			cookies = append(cookies, cookie.Name)
		}
		if !slices.Contains(cookies, "session") || !slices.Contains(cookies, "late") {
			t.Errorf("%s: cookies %v", what, cookies)
		}
		if what != "WebSocket" && (res.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" ||
			res.Header.Get("Access-Control-Allow-Credentials") != "true") {
			t.Errorf("%s: the app's CORS is gone: %v", what, res.Header)
		}
	}
	es.close()
	_ = c.CloseNow()
	for range 3 {
		if end := <-ends; !end.committed || end.err != nil || end.status != http.StatusOK && end.status != http.StatusSwitchingProtocols ||
			end.status == http.StatusOK && end.size == 0 {
			t.Errorf("a middleware outside saw %+v", end)
		}
	}
}

func TestRefusalsAreSeenByAccessLogs(t *testing.T) {
	ends := make(chan seen, 10)
	a := newApp(t)
	a.echo.Use(watch(ends))
	cfg := a.config()
	cfg.Auth = middleware.Public()
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	a.expect(http.StatusForbidden, a.get("/push/topics/wall"))
	if end := <-ends; !end.committed || end.status != http.StatusForbidden {
		t.Errorf("a middleware outside saw %+v", end)
	}
}

func TestPagesMayBeCompressedAndStreamsAreNot(t *testing.T) {
	a := mount(t, echomw.Gzip())
	a.publish("wall", strings.Repeat("x", 10_000))
	page := a.expect(http.StatusOK, a.get("/push/topics/wall", "Accept-Encoding: gzip"))
	if page.Header.Get("Content-Encoding") != "gzip" || len(page.body) > 2000 {
		t.Errorf("page: %q, %d bytes", page.Header.Get("Content-Encoding"), len(page.body))
	}
	z, err := gzip.NewReader(strings.NewReader(page.body))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(z); err != nil || !bytes.Contains(b, []byte(`"items":[`)) {
		t.Errorf("%.100q %v", b, err)
	}
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		res, err := a.Client().Do(a.request(t.Context(), http.MethodGet, "/push/topics/wall?after=0", "", "Accept: "+accept, "Accept-Encoding: gzip"))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 12_000)
		n, err := io.ReadAtLeast(res.Body, b, 10_000)
		res.Body.Close()
		if res.Header.Get("Content-Encoding") != "" || err != nil || !bytes.Contains(b[:n], []byte("push.open")) {
			t.Errorf("%s: %v, %d bytes, %v", accept, res.Header, n, err)
		}
	}
	a.expect(http.StatusNotModified, a.get("/push/topics/wall", "Accept-Encoding: gzip", "If-None-Match: "+page.Header.Get("Etag")))
}

func TestRefusedStreamUnderGzipIsReadable(t *testing.T) {
	a := mount(t, echomw.Gzip())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = a.hub.Shutdown(ctx)
	es := a.open("/push/topics/wall", "Accept-Encoding: gzip")
	if es.Header.Get("Content-Encoding") != "" {
		t.Errorf("%v", es.Header)
	}
	es.expect("push.close")
	es.ended()
}

// opaque is a wrapper that hides what it wraps.
type opaque struct{ w http.ResponseWriter }

func (o opaque) Header() http.Header         { return o.w.Header() }
func (o opaque) Write(b []byte) (int, error) { return o.w.Write(b) }
func (o opaque) WriteHeader(status int)      { o.w.WriteHeader(status) }

// honest is a wrapper that says what it wraps.
type honest struct{ opaque }

func (h honest) Unwrap() http.ResponseWriter { return h.w }

// wrap puts a wrapper around Echo's writer, as middlewares do.
func wrap(f func(http.ResponseWriter) http.ResponseWriter) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.Response().Writer = f(c.Response().Writer)
			return next(c)
		}
	}
}

func TestWrapperThatHidesTheConnectionIsNamed(t *testing.T) {
	a := mount(t, wrap(func(w http.ResponseWriter) http.ResponseWriter { return opaque{w} }))
	es := a.open("/push/topics/wall")
	if es.StatusCode != http.StatusInternalServerError || es.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("SSE: %s %v", es.Status, es.Header)
	}
	if c, res := a.dial("/push/topics/wall", "push.v1"); c != nil || res.StatusCode != http.StatusNotImplemented {
		t.Errorf("WebSocket: %s", res.Status)
	}
	if log := a.log.String(); !strings.Contains(log, "middleware_test.opaque") || !strings.Contains(log, "Flusher") ||
		!strings.Contains(log, "Hijacker") || !strings.Contains(log, "Unwrap") {
		t.Errorf("the log names neither what is in the way nor the fix: %s", log)
	}
	if a.hub.Subscriptions() != 0 {
		t.Errorf("%d subscriptions are left", a.hub.Subscriptions())
	}
	a.expect(http.StatusOK, a.get("/push/topics/wall"))
	a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "x"))
}

func TestWrapperWithUnwrapIsPassedBy(t *testing.T) {
	mount(t, wrap(func(w http.ResponseWriter) http.ResponseWriter { return honest{opaque{w}} })).roundTrip()
}

func TestEncodingThatAMiddlewareAnnouncedIsTakenBack(t *testing.T) {
	a := mount(t, wrap(func(w http.ResponseWriter) http.ResponseWriter {
		w.Header().Set("Content-Encoding", "br")
		return honest{opaque{w}}
	}))
	if got := a.follow("/push/topics/wall").Header.Get("Content-Encoding"); got != "" {
		t.Errorf("a stream that passes the compressor by says that it is %s", got)
	}
}

// roundTrip reads a stream and a WebSocket.
func (a *app) roundTrip() {
	a.t.Helper()
	a.publish("wall", "first")
	es := a.follow("/push/topics/wall?after=0")
	es.messages("first")
	c, res := a.dial("/push/topics/wall?after=0", "push.v1")
	if c == nil {
		a.t.Fatal(res.Status)
	}
	c.expect("push.open")
	c.expect("message")
	es.close()
	_ = c.CloseNow()
}

func TestBodyAboveEchosOwnLimitIs413(t *testing.T) {
	a := mount(t, echomw.BodyLimit("1K"))
	a.expect(http.StatusRequestEntityTooLarge, a.do(http.MethodPost, "/push/topics/wall", strings.Repeat("x", 2000)))
	req := a.request(t.Context(), http.MethodPost, "/push/topics/wall", "")
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(strings.Repeat("x", 2000))), -1
	res, err := a.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("in chunks: %s", res.Status)
	}
}

func TestDecompressedBodyIsTakenOrRefusedNeverMistaken(t *testing.T) {
	a := mount(t, echomw.Decompress())
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("hi"))
	_ = z.Close()
	got := a.do(http.MethodPost, "/push/topics/wall", zipped.String(), "Content-Encoding: gzip")
	if got.StatusCode == http.StatusCreated {
		if page := a.get("/push/topics/wall"); !strings.Contains(page.body, `"data":"hi"`) {
			t.Errorf("published as %s", page.body)
		}
		return
	}
	a.expect(http.StatusUnsupportedMediaType, got)
}

func TestCompressionBombIsCapped(t *testing.T) {
	a := mount(t, echomw.Decompress())
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 4 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	got := a.do(http.MethodPost, "/push/topics/wall", bomb.String(), "Content-Encoding: gzip")
	if got.StatusCode != http.StatusUnsupportedMediaType && got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s", got.Status)
	}
}

func TestErrorHandlerThatAnswersIsNotAnsweredAgain(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	cfg.Auth = middleware.AuthFunc(func(*http.Request) (*middleware.Principal, error) { return nil, errors.New("down") })
	cfg.ErrorHandler = func(_ error, c echo.Context) error { return c.NoContent(http.StatusTeapot) }
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	if got := a.expect(http.StatusTeapot, a.get("/push/topics/wall")); got.body != "" {
		t.Errorf("%q", got.body)
	}
}
