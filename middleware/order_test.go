package middleware_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

var recoverer = echomw.RecoverWithConfig(echomw.RecoverConfig{DisablePrintStack: true, LogErrorFunc: func(_ echo.Context, err error,
	_ []byte) error {
	return err
}})

func panicOn(data string) push.InboundFunc {
	return func(_ context.Context, in *push.Inbound) error {
		if string(in.Event.Data) == data {
			panic(data)
		}
		return nil
	}
}

// named is one of Echo's own middlewares.
type named struct {
	name string
	make func() echo.MiddlewareFunc
}

// dumped counts the bytes of streams that BodyDump kept: it would keep all of
// them, as long as the stream lives.
var dumped atomic.Int64

// wrappers are those that put something between a handler and its connection:
// their order matters.
var wrappers = []named{
	{"Gzip", echomw.Gzip},
	{"GzipMinLength", func() echo.MiddlewareFunc { return echomw.GzipWithConfig(echomw.GzipConfig{MinLength: 4096}) }},
	{"BodyDump", func() echo.MiddlewareFunc {
		return echomw.BodyDump(func(c echo.Context, _, res []byte) {
			if strings.HasPrefix(c.Response().Header().Get("Content-Type"), "text/event-stream") {
				dumped.Add(int64(len(res)))
			}
		})
	}},
	{"Timeout", func() echo.MiddlewareFunc {
		return echomw.TimeoutWithConfig(echomw.TimeoutConfig{Timeout: time.Minute})
	}},
	{"ContextTimeout", func() echo.MiddlewareFunc { return echomw.ContextTimeout(time.Minute) }},
	{"Recover", func() echo.MiddlewareFunc { return recoverer }},
	{"Decompress", echomw.Decompress},
	{"BodyLimit", func() echo.MiddlewareFunc { return echomw.BodyLimit("1M") }},
	{"RequestLogger", func() echo.MiddlewareFunc {
		return echomw.RequestLoggerWithConfig(echomw.RequestLoggerConfig{LogStatus: true, LogError: true, HandleError: true,
			LogValuesFunc: func(echo.Context, echomw.RequestLoggerValues) error { return nil }})
	}},
}

// others look at requests or set headers.
var others = []named{
	{"Logger", func() echo.MiddlewareFunc {
		return echomw.LoggerWithConfig(echomw.LoggerConfig{Output: io.Discard})
	}},
	{"CORS", echomw.CORS},
	{"Secure", echomw.Secure},
	{"RequestID", echomw.RequestID},
	{"CSRF", echomw.CSRF},
	{"Rewrite", func() echo.MiddlewareFunc { return echomw.Rewrite(map[string]string{"/old/*": "/push/$1"}) }},
	{"RateLimiter", func() echo.MiddlewareFunc { return echomw.RateLimiter(echomw.NewRateLimiterMemoryStore(10_000)) }},
	{"Static", func() echo.MiddlewareFunc { return echomw.Static("testdata/none") }},
	{"MethodOverride", echomw.MethodOverride},
	{"RemoveTrailingSlash", echomw.RemoveTrailingSlash},
	{"NonWWWRedirect", echomw.NonWWWRedirect},
	{"BasicAuth", func() echo.MiddlewareFunc {
		return echomw.BasicAuth(func(user, _ string, _ echo.Context) (bool, error) { return user == "ann", nil })
	}},
	{"KeyAuth", func() echo.MiddlewareFunc {
		return echomw.KeyAuthWithConfig(echomw.KeyAuthConfig{KeyLookup: "header:Key", Validator: func(key string, _ echo.Context) (bool,
			error) {
			return key == "k", nil
		}})
	}},
}

// asAnn passes BasicAuth and KeyAuth.
var asAnn = []string{"Authorization: Basic YW5uOg==", "Key: k"}

// check reads a stream, a WebSocket and a page at a path: each works, or says
// what is in the way.
func (a *app) check(path string, chain ...named) {
	a.t.Helper()
	names := ""
	for _, m := range chain {
		names += m.name + " "
	}
	if strings.Contains(names, " Timeout ") || strings.HasPrefix(names, "Timeout ") {
		a.checkRefused(path, names)
	} else {
		a.checkStreams(path, names)
	}
	for _, encoding := range []string{"identity", "gzip"} {
		page := a.expect(http.StatusOK, a.get(path, append(asAnn, "Accept-Encoding: "+encoding)...))
		if zipped := page.Header.Get("Content-Encoding") == "gzip"; !zipped && !strings.Contains(page.body, `"items":[`) || zipped && encoding != "gzip" {
			a.t.Errorf("%s: page %v %.100q", names, page.Header, page.body)
		}
	}
}

func (a *app) checkStreams(path, names string) {
	a.t.Helper()
	es := a.open(path, append(asAnn, "Accept-Encoding: gzip")...)
	if es.StatusCode != http.StatusOK || es.Header.Get("Content-Type") != "text/event-stream" || es.Header.Get("Content-Encoding") != "" ||
		es.Header.Get("Cache-Control") != "no-store, no-transform" {
		b, _ := io.ReadAll(io.LimitReader(es.Body, 1000))
		a.t.Fatalf("%s: SSE: %s %v %s", names, es.Status, es.Header, b)
	}
	es.expect("push.open")
	es.messages("first") // and the stream is still open: nothing keeps it back
	es.close()
	c, res := a.dial(path, "push.v1", append(asAnn, "Accept-Encoding: gzip")...)
	if c == nil {
		b, _ := io.ReadAll(res.Body)
		a.t.Fatalf("%s: WebSocket: %s %s", names, res.Status, b)
	}
	c.expect("push.open")
	c.expect("message")
	_ = c.CloseNow()
}

// checkRefused: Flush would panic under Echo's Timeout, and the client would
// get a 200 that never says a word.
func (a *app) checkRefused(path, names string) {
	a.t.Helper()
	es := a.open(path, asAnn...)
	b, _ := io.ReadAll(io.LimitReader(es.Body, 1000))
	if es.StatusCode != http.StatusInternalServerError || !strings.Contains(string(b), "middleware") {
		a.t.Errorf("%s: SSE: %s %s, want a 500 that says it", names, es.Status, b)
	}
	c, res := a.dial(path, "push.v1", asAnn...)
	if c != nil || res.StatusCode != http.StatusNotImplemented {
		a.t.Errorf("%s: WebSocket: %s, want a 501", names, res.Status)
	}
	if log := a.log.String(); !strings.Contains(log, "timeoutWriter") || !strings.Contains(log, "ContextTimeout") {
		a.t.Errorf("%s: the log names neither what is in the way nor the way out: %s", names, log)
	}
}

func TestEveryMiddlewareOutsideAndInside(t *testing.T) {
	for _, m := range slices.Concat(wrappers, others) {
		outside, inside := newApp(t), newApp(t)
		outside.echo.Use(m.make())
		middleware.Mount(outside.echo.Group("/push"), outside.hub, outside.config())
		middleware.Mount(inside.echo.Group("/push", m.make()), inside.hub, inside.config())
		for _, a := range []*app{outside, inside} {
			a.publish("wall", "first")
			a.start().check("/push/topics/wall?after=0", m)
			if m.name != "CSRF" { // which wants its token from a POST, as it should
				a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "x", asAnn...))
			}
		}
	}
}

func TestEveryOrderOfWhatWraps(t *testing.T) {
	a := newApp(t)
	a.publish("wall", "first")
	var chains [][]named
	for _, x := range wrappers {
		for _, y := range wrappers {
			if x.name != y.name {
				chains = append(chains, []named{x, y})
			}
		}
	}
	for _, chain := range chains {
		g := a.echo.Group("/"+strings.Join([]string{chain[0].name, chain[1].name}, "-"), chain[0].make(), chain[1].make())
		middleware.Mount(g, a.hub, a.config())
	}
	a.start()
	for _, chain := range chains {
		a.check("/"+chain[0].name+"-"+chain[1].name+"/topics/wall?after=0", chain...)
	}
	a.Close() // the handlers are done
	if n := dumped.Load(); n > 0 {
		t.Errorf("BodyDump kept %d bytes of streams", n)
	}
}

func TestAllMiddlewaresAtOnce(t *testing.T) {
	var all []named
	for _, m := range slices.Concat(others, wrappers) {
		if m.name != "Timeout" {
			all = append(all, m)
		}
	}
	for range 2 {
		slices.Reverse(all)
		a := newApp(t)
		for _, m := range all {
			a.echo.Use(m.make())
		}
		middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
		a.publish("wall", "first")
		a.start().check("/push/topics/wall?after=0", all...)
	}
}

func TestPreMiddlewares(t *testing.T) {
	a := newApp(t)
	a.echo.Pre(echomw.MethodOverride(), echomw.Rewrite(map[string]string{"/old/*": "/push/$1"}), echomw.RemoveTrailingSlash())
	middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
	a.start()
	for _, path := range []string{"/old/topics/wall", "/push/topics/wall/", "/old/topics/wall/"} {
		es := a.follow(path)
		a.publish("wall", "x")
		es.messages("x")
		es.close()
		if c, _ := a.dial(path, "push.v1"); c == nil {
			t.Errorf("%s: no WebSocket", path)
		}
	}
	if got := a.expect(http.StatusCreated, a.do(http.MethodPost, "/old/topics/wall", "x")); !strings.HasPrefix(got.Header.Get("Location"),
		"/push/topics/wall?id=") {
		t.Errorf("Location %s", got.Header.Get("Location"))
	}
	es := a.open("/push/topics/wall")
	open := string(es.expect("push.open").Data)
	cid := strings.Split(open, `"`)[3]
	a.expect(http.StatusNoContent, a.do(http.MethodPost, "/push/connections/"+cid, "", "X-Http-Method-Override: DELETE"))
	es.expect("push.close")
}

func TestSlashThatEchoAddsIsSaid(t *testing.T) {
	a := newApp(t)
	a.echo.Pre(echomw.AddTrailingSlash())
	middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
	a.start()
	if got := a.expect(http.StatusBadRequest, a.get("/push/topics/wall")); !strings.Contains(got.body, "empty segment") {
		t.Errorf("%s", got.body)
	}
}
