package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware"
)

// guarded is an app whose live route refuses in many ways.
func guarded(t *testing.T) *app {
	a := newApp(t)
	a.echo.Use(recoverer)
	a.echo.GET("/orders/:how", func(c echo.Context) error {
		h := c.Response().Header()
		switch c.Param("how") {
		case "error401":
			h.Set("WWW-Authenticate", `Basic realm="orders"`)
			return echo.ErrUnauthorized
		case "json403":
			h.Set("X-Why", "not yours")
			return c.JSON(http.StatusForbidden, map[string]string{"why": "not yours"})
		case "error404":
			return echo.NewHTTPError(http.StatusNotFound, "no such order")
		case "redirect":
			c.SetCookie(&http.Cookie{Name: "next", Value: "/orders"})
			return c.Redirect(http.StatusFound, "/login")
		case "error":
			return errors.New("pq: connection refused")
		case "panic":
			panic("route")
		case "long":
			return c.String(http.StatusForbidden, strings.Repeat("no ", 100_000))
		}
		return c.NoContent(http.StatusNoContent)
	}, middleware.LiveWithConfig(a.live()))
	return a.start()
}

func TestRoutesOwnAnswerIsTheAnswerIfItRefuses(t *testing.T) {
	a := guarded(t)
	for how, status := range map[string]int{"error401": 401, "json403": 403, "error404": 404, "redirect": 302, "error": 500, "panic": 500, "long": 403} {
		plain := a.expect(status, a.do(http.MethodGet, "/orders/"+how, ""))
		stream := a.expect(status, a.do(http.MethodGet, "/orders/"+how, "", "Accept: text/event-stream"))
		poll := a.expect(status, a.do(http.MethodGet, "/orders/"+how+"?after=0", "", "Prefer: wait=5"))
		c, upgrade := a.dial("/orders/"+how, "push.v1")
		if c != nil || upgrade.StatusCode != status {
			t.Errorf("%s: WebSocket %s, want %d", how, upgrade.Status, status)
		}
		for _, got := range []answer{stream, poll, {Response: upgrade, body: plain.body}} {
			if how != "long" && got.body != plain.body {
				t.Errorf("%s: %s, a plain GET gets %s", got.what, got.body, plain.body)
			}
			for _, name := range []string{"WWW-Authenticate", "X-Why", "Location", "Set-Cookie", "Content-Type"} {
				if g, w := got.Header.Values(name), plain.Header.Values(name); !slices.Equal(g, w) && how != "long" {
					t.Errorf("%s: %s: %q, a plain GET gets %q", got.what, name, g, w)
				}
			}
		}
	}
	if n := a.hub.Subscriptions(); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	a.follow("/orders/fine")
}

func TestGuardsBeforeAndAfterLiveCount(t *testing.T) {
	basic := echomw.BasicAuth(func(user, _ string, _ echo.Context) (bool, error) { return user == "ann", nil })
	a := newApp(t)
	live := middleware.LiveWithConfig(a.live())
	a.echo.GET("/after/:id", showOrder, live, basic)
	a.echo.GET("/before/:id", showOrder, basic, live)
	a.start()
	for _, path := range []string{"/after/1", "/before/1"} {
		got := a.expect(http.StatusUnauthorized, a.do(http.MethodGet, path, "", "Accept: text/event-stream"))
		if got.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: a 401 without WWW-Authenticate", path)
		}
		if c, res := a.dial(path, ""); c != nil || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: WebSocket %s", path, res.Status)
		}
		a.follow(path, "Authorization: Basic YW5uOg==").close()
	}
}

func TestRouteSeesAPlainGet(t *testing.T) {
	a := newApp(t)
	var seen []*http.Request
	a.echo.GET("/orders/:id", func(c echo.Context) error {
		seen = append(seen, c.Request().Clone(t.Context()))
		return showOrder(c)
	}, middleware.LiveWithConfig(a.live()))
	a.start()
	headers := []string{"Cookie: session=ann", "Authorization: Bearer x", "Last-Event-ID: x", "If-None-Match: W/\"x\"",
		"If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT", "Range: bytes=0-1", "X-Own: 1"}
	a.follow("/orders/42?q=1", headers...)
	if c, res := a.dial("/orders/42?q=1", "push.v1", headers...); c == nil {
		t.Fatal(res.Status)
	}
	a.expect(http.StatusOK, a.get("/orders/42?q=1&after=0", append(headers, "Prefer: wait=1")...))
	for i, r := range seen[:3] {
		for _, name := range []string{
			"Upgrade", "Connection", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions",
			"Last-Event-Id", "Prefer", "Range", "If-None-Match", "If-Modified-Since",
		} {
			if r.Header.Get(name) != "" {
				t.Errorf("%d: the guarding route saw %s: %s", i, name, r.Header.Get(name))
			}
		}
		if r.Method != http.MethodGet || strings.Contains(r.Header.Get("Accept"), "event-stream") ||
			!strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("q") != "1" {
			t.Errorf("%d: the guarding route saw %s %s Accept: %s", i, r.Method, r.URL, r.Header.Get("Accept"))
		}
		if r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("X-Own") != "1" || !strings.Contains(r.Header.Get("Cookie"), "session=ann") {
			t.Errorf("%d: the guarding route did not see who it is: %v", i, r.Header)
		}
	}
	if last := seen[len(seen)-1]; last.Header.Get("If-None-Match") == "" {
		t.Error("the answer to a long poll is not the request's own: If-None-Match is gone")
	}
}

func TestCookiesOfTheRouteAreSetOnce(t *testing.T) {
	a := newApp(t)
	a.echo.GET("/orders/:id", func(c echo.Context) error {
		c.SetCookie(&http.Cookie{Name: "session", Value: "fresh"})
		return showOrder(c)
	}, middleware.LiveWithConfig(a.live()))
	a.start()
	c, upgrade := a.dial("/orders/42", "push.v1")
	if c == nil {
		t.Fatal(upgrade.Status)
	}
	for what, res := range map[string]*http.Response{
		"plain": a.get("/orders/42").Response, "SSE": a.follow("/orders/42").Response, "WebSocket": upgrade,
		"long poll": a.get("/orders/42?after=x", "Prefer: wait=1").Response,
	} {
		if got := res.Header.Values("Set-Cookie"); !slices.Equal(got, []string{"session=fresh"}) {
			t.Errorf("%s: Set-Cookie %q", what, got)
		}
	}
}

func TestWhatOuterMiddlewaresSetIsNotLostByAGuard(t *testing.T) {
	a := newApp(t)
	a.echo.Use(echomw.RequestID(), func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.SetCookie(&http.Cookie{Name: "outer", Value: "o"})
			return next(c)
		}
	})
	var id string
	a.echo.GET("/orders/:id", func(c echo.Context) error {
		id = c.Response().Header().Get("X-Request-Id")
		c.SetCookie(&http.Cookie{Name: "inner", Value: "i"})
		if c.Param("id") == "none" {
			return c.NoContent(http.StatusNotFound)
		}
		return showOrder(c)
	}, middleware.LiveWithConfig(a.live()))
	a.start()
	stream, refusal := a.follow("/orders/42", "X-Request-Id: r1"), a.open("/orders/none", "X-Request-Id: r1")
	for what, h := range map[string]http.Header{"stream": stream.Header, "refusal": refusal.Header} {
		if got := h.Values("Set-Cookie"); !slices.Equal(got, []string{"outer=o", "inner=i"}) || h.Get("X-Request-Id") != "r1" || id != "r1" {
			t.Errorf("%s: Set-Cookie %q, X-Request-Id %q, the route saw %q", what, got, h.Get("X-Request-Id"), id)
		}
	}
}

func TestWhatTheRouteWouldHaveShownIsNotKept(t *testing.T) {
	a := newApp(t)
	chunk := make([]byte, 1<<20)
	a.echo.GET("/orders/:id", func(c echo.Context) error {
		c.Response().WriteHeader(map[string]int{"ok": 200, "no": 403}[c.Param("id")])
		for range 64 {
			if n, err := c.Response().Write(chunk); n != len(chunk) || err != nil {
				t.Errorf("the route's write: %d %v", n, err)
			}
			c.Response().Flush()
		}
		return nil
	}, middleware.LiveWithConfig(a.live()))
	a.start()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	a.follow("/orders/ok").close()
	a.expect(http.StatusForbidden, a.do(http.MethodGet, "/orders/no", "", "Accept: text/event-stream"))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("two answers of 64 MiB took %d MiB", n>>20)
	}
}

func TestWrappersInsideALiveRouteDoNotHarmIt(t *testing.T) {
	for _, m := range slices.Concat(wrappers, others) {
		a := newApp(t)
		a.echo.GET("/orders/:id", showOrder, middleware.LiveWithConfig(a.live()), m.make())
		a.start()
		es := a.open("/orders/42", append(asAnn, "Accept-Encoding: gzip")...)
		if es.StatusCode != http.StatusOK || es.Header.Get("Content-Encoding") != "" {
			b, _ := io.ReadAll(io.LimitReader(es.Body, 1000))
			t.Errorf("Live outside %s: %s %v %s", m.name, es.Status, es.Header, b)
			continue
		}
		es.expect("push.open")
		a.publish("orders/42", "x")
		es.messages("x")
		es.close()
		if c, res := a.dial("/orders/42", "push.v1", append(asAnn, "Accept-Encoding: gzip")...); c == nil {
			t.Errorf("Live outside %s: WebSocket %s", m.name, res.Status)
		}
	}
}

func TestWrappersOutsideALiveRouteArePassedBy(t *testing.T) {
	for _, m := range slices.Concat(wrappers, others) {
		a := newApp(t)
		a.echo.Use(m.make())
		a.echo.GET("/orders/:id", func(c echo.Context) error { return c.JSON(200, map[string][]int{"items": {}}) }, middleware.LiveWithConfig(a.live()))
		a.publish("orders/42", "first")
		a.start().check("/orders/42?after=0", m)
	}
}

func TestLongPollOfALiveRouteIsItsFreshAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		var state atomic.Value
		state.Store("new")
		a.echo.GET("/orders/:id", func(c echo.Context) error { return c.String(http.StatusOK, state.Load().(string)) }, middleware.LiveWithConfig(a.live()))
		a.startInMemory(&http.Server{})
		first := a.expect(http.StatusOK, a.get("/orders/42"))
		poll := func() (answer, time.Duration) {
			start := time.Now()
			got := a.get("/orders/42?after="+first.Header.Get("Push-Cursor"), "Prefer: wait=25")
			return a.expect(http.StatusOK, got), time.Since(start)
		}
		time.AfterFunc(3*time.Second, func() { a.publish("orders/43", "not mine") })
		time.AfterFunc(7*time.Second, func() {
			state.Store("paid")
			a.publish("orders/42", "paid")
		})
		got, took := poll()
		if got.body != "paid" || took != 7*time.Second || got.Header.Get("Push-Cursor") != a.hub.Position().String() ||
			got.Header.Get("Preference-Applied") != "wait=25" {
			t.Errorf("after %v: %s %v", took, got.body, got.Header)
		}
		if _, took = poll(); took != 0 {
			t.Errorf("with something after the cursor it waited %v", took)
		}
		first = got
		if got, took = poll(); got.body != "paid" || took != 25*time.Second || got.Header.Get("Push-Cursor") == "" {
			t.Errorf("without news: %s after %v", got.body, took)
		}
		if n := a.hub.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

func TestDrainAtALiveRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.echo.GET("/orders/:id", showOrder, middleware.LiveWithConfig(a.live()))
		a.startInMemory(&http.Server{})
		es := a.follow("/orders/42")
		poll := make(chan answer, 1)
		go func() { poll <- a.get("/orders/42?after="+a.hub.Position().String(), "Prefer: wait=50") }()
		done := make(chan error, 1)
		go func() { done <- a.hub.Shutdown(t.Context()) }()
		es.expect("push.close")
		es.ended()
		if got := a.expect(http.StatusServiceUnavailable, <-poll); got.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		a.open("/orders/42").expect("push.close")
		a.expect(http.StatusOK, a.get("/orders/42")) // the route itself goes on
	})
}

func TestErrorHandlerOfALiveRoute(t *testing.T) {
	a := orders(t, func(cfg *middleware.LiveConfig) {
		cfg.ErrorHandler = func(err error, c echo.Context) error {
			if p, ok := errors.AsType[*middleware.Problem](err); !ok || p.Status != http.StatusForbidden {
				t.Errorf("%T %v", err, err)
			}
			return c.NoContent(http.StatusTeapot)
		}
	})
	if c, res := a.dial("/orders/42", "push.v1", "Origin: https://evil.example"); c != nil || res.StatusCode != http.StatusTeapot {
		t.Errorf("%s", res.Status)
	}
}
