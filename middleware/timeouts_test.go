package middleware_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// inBubble runs f with an app in memory, where time passes at once. The app
// has a mount at /push and a live route at /orders/:id.
func inBubble(t *testing.T, server *http.Server, f func(t *testing.T, a *app), middlewares ...echo.MiddlewareFunc) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t)
		a.echo.Use(middlewares...)
		middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
		a.echo.GET("/orders/:id", func(c echo.Context) error { return c.String(http.StatusOK, "order "+c.Param("id")) }, middleware.LiveWithConfig(a.live()))
		f(t, a.startInMemory(server))
	})
}

// streams are a stream of a mount and a live route, with their topics.
var streams = map[string]string{"/push/topics/wall": "wall", "/orders/42": "orders/42"}

func TestWriteTimeoutOfTheServerDoesNotCutStreams(t *testing.T) {
	for path, topic := range streams {
		inBubble(t, &http.Server{WriteTimeout: 2 * time.Second}, func(t *testing.T, a *app) {
			es := a.follow(path)
			for range 2 {
				time.AfterFunc(15*time.Second, func() { a.publish(topic, "x") })
				es.messages("x")
			}
		}, echomw.Gzip(), recoverer)
	}
}

func TestContextTimeoutIsAPlannedRotationThatLosesNothing(t *testing.T) {
	for path, topic := range streams {
		inBubble(t, &http.Server{}, func(t *testing.T, a *app) {
			at, start := "", time.Now()
			for i := range 4 {
				es := a.follow(path, "Last-Event-ID: "+at)
				if i > 0 {
					es.messages("between")
				}
				time.AfterFunc(3*time.Second, func() { a.publish(topic, "during") })
				es.messages("during")
				end := es.expect("push.close")
				if !strings.Contains(string(end.Data), "1012") || es.dec.Retry() > 100*time.Millisecond {
					t.Errorf("%s: push.close %s, retry %v: want 1012 and at once", path, end.Data, es.dec.Retry())
				}
				es.ended()
				at = end.ID
				a.publish(topic, "between")
			}
			if d := time.Since(start); d < 20*time.Second || d >= 40*time.Second {
				t.Errorf("%s: four streams under a ContextTimeout of 10 s took %v", path, d)
			}
			if log := a.log.String(); strings.Contains(log, "ERROR") {
				t.Errorf("%s: a rotation is no error: %s", path, log)
			}
		}, echomw.ContextTimeout(10*time.Second))
	}
}

func TestContextTimeoutRotatesWebSockets(t *testing.T) {
	for path := range streams {
		inBubble(t, &http.Server{}, func(t *testing.T, a *app) {
			for subprotocol, start := range map[string]time.Time{"push.v1": time.Now(), "": time.Now()} {
				c, _ := a.dial(path, subprotocol)
				if code := c.closed(); code != push.CloseDrain || time.Since(start) >= 20*time.Second {
					t.Errorf("%s %q closed with %d after %v", path, subprotocol, code, time.Since(start))
				}
			}
		}, echomw.ContextTimeout(10*time.Second))
	}
}

func TestContextTimeoutShortensLongPolls(t *testing.T) {
	for path := range streams {
		inBubble(t, &http.Server{}, func(t *testing.T, a *app) {
			start := time.Now()
			got := a.expect(http.StatusOK, a.get(path+"?after="+a.hub.Position().String(), "Prefer: wait=25"))
			if d := time.Since(start); d < 5*time.Second || d >= 10*time.Second || got.Header.Get("Preference-Applied") != "wait=9" {
				t.Errorf("%s: answered after %v, applied %q", path, d, got.Header.Get("Preference-Applied"))
			}
		}, echomw.ContextTimeout(10*time.Second))
	}
}

func TestRateLimiterAnswersBeforeTheStream(t *testing.T) {
	limited := echomw.RateLimiterWithConfig(echomw.RateLimiterConfig{
		Store:               echomw.NewRateLimiterMemoryStoreWithConfig(echomw.RateLimiterMemoryStoreConfig{Rate: 1, Burst: 1}),
		IdentifierExtractor: func(echo.Context) (string, error) { return "all", nil },
	})
	inBubble(t, &http.Server{}, func(t *testing.T, a *app) {
		a.follow("/push/topics/wall")
		a.expect(http.StatusTooManyRequests, a.get("/push/topics/wall"))
		time.Sleep(2 * time.Second)
		a.expect(http.StatusOK, a.get("/push/topics/wall"))
	}, limited)
}
