package middleware_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// orders is an app with a live route of its own: GET /orders/:id.
func orders(t *testing.T, configure ...func(*middleware.LiveConfig)) *app {
	a := newApp(t)
	cfg := a.live()
	for _, f := range configure {
		f(&cfg)
	}
	a.echo.GET("/orders/:id", showOrder, middleware.LiveWithConfig(cfg))
	return a.start()
}

func showOrder(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"order": c.Param("id")})
}

func TestPlainGetIsTheRoutesOwnWithACursor(t *testing.T) {
	a := orders(t)
	plain := newApp(t)
	plain.echo.GET("/orders/:id", showOrder)
	plain.start()
	for _, headers := range [][]string{
		{}, {"Accept: */*"}, {"Accept: application/json"}, {"Accept: text/html,*/*;q=0.8"}, {"Accept: application/x-ndjson"}, {"Accept: text/event-stream;q=0"},
		{"Prefer: wait=5"}, {"Last-Event-ID: x"}, {"Connection: upgrade", "Upgrade: h2c"}, {"Upgrade: websocket"}, {"Accept: image/png"},
	} {
		got, want := a.do(http.MethodGet, "/orders/42", "", headers...), plain.do(http.MethodGet, "/orders/42", "", headers...)
		if got.StatusCode != want.StatusCode || got.body != want.body || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("%s: %d %s, without Live %d %s", got.what, got.StatusCode, got.body, want.StatusCode, want.body)
		}
		if got.Header.Get("Preference-Applied") != "" {
			t.Errorf("%s: waited, without a cursor to wait at", got.what)
		}
		if c := got.Header.Get("Push-Cursor"); c != a.hub.Position().String() {
			t.Errorf("%s: Push-Cursor %q, want %q", got.what, c, a.hub.Position())
		}
		if vary := strings.Join(got.Header.Values("Vary"), ", "); !strings.Contains(vary, "Accept") || !strings.Contains(vary, "Prefer") {
			t.Errorf("%s: Vary %q: a cache would serve it to an EventSource", got.what, vary)
		}
	}
}

func TestOtherMethodsGoToTheRoute(t *testing.T) {
	a := newApp(t)
	a.echo.Match([]string{http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete}, "/orders/:id", func(c echo.Context) error {
		c.Response().Header().Set("X-Method", c.Request().Method)
		return c.NoContent(http.StatusAccepted)
	}, middleware.Live(a.hub))
	a.start()
	for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		for _, header := range []string{"Accept: text/event-stream", "Prefer: wait=1"} {
			got := a.expect(http.StatusAccepted, a.do(method, "/orders/42?after=0", "", header))
			if got.Header.Get("X-Method") != method || got.Header.Get("Preference-Applied") != "" {
				t.Errorf("%s with %s reached the route as %q", method, header, got.Header.Get("X-Method"))
			}
		}
	}
}

func TestStreamsAtTheSameURL(t *testing.T) {
	a := orders(t)
	es, raw := a.follow("/orders/42"), a.follow("/orders/42?format=envelope")
	v1, _ := a.dial("/orders/42", "push.v1")
	v1.expect("push.open")
	plain, _ := a.dial("/orders/42", "")
	a.publish("orders/43", "not mine")
	id := a.publish("orders/42", "paid")[0].String()
	if e := es.messages("paid"); e.ID != id {
		t.Errorf("SSE: %s", e.ID)
	}
	if e := raw.expect("message"); !strings.Contains(string(e.Data), `"topic":"orders/42"`) {
		t.Errorf("envelope: %s", e.Data)
	}
	if env := v1.expect("message"); env.ID != id || env.Topic != "orders/42" {
		t.Errorf("push.v1: %+v", env)
	}
	if _, b, err := plain.Read(plain.ctx); err != nil || string(b) != "paid" {
		t.Errorf("plain: %s %v", b, err)
	}
	if h := es.Header; h.Get("Cache-Control") != "no-store, no-transform" || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept") {
		t.Errorf("SSE: %v", h)
	}
}

func TestNothingFallsBetweenPageAndStream(t *testing.T) {
	a := orders(t)
	at := a.get("/orders/42").Header.Get("Push-Cursor")
	a.publish("orders/42", "between")
	a.follow("/orders/42?after=" + at).messages("between")
	c, _ := a.dial("/orders/42?after="+at, "push.v1")
	c.expect("push.open")
	c.expect("message")
	es := a.follow("/orders/42?after="+at, "Last-Event-ID: "+a.hub.Position().String()) // a reconnect
	a.publish("orders/42", "after")
	es.messages("after")
}

func TestEventWhileTheRouteGuardsAStreamIsInTheStream(t *testing.T) {
	a := newApp(t)
	a.echo.GET("/orders/:id", func(c echo.Context) error {
		a.publish("orders/42", "meanwhile")
		return showOrder(c)
	}, middleware.Live(a.hub))
	a.start()
	a.follow("/orders/42").messages("meanwhile")
	at := a.get("/orders/42").Header.Get("Push-Cursor") // of before the route read its state
	a.follow("/orders/42?after="+at).messages("meanwhile", "meanwhile")
}

func TestForgedCursorAtALiveRouteIsAGap(t *testing.T) {
	a := orders(t)
	a.publish("orders/42", "1")
	for _, cursor := range []string{"x", "%00", "%FF", strings.Repeat("9", 4096)} {
		es := a.follow("/orders/42?after=" + cursor)
		if gap := es.expect("push.gap"); !strings.Contains(string(gap.Data), `"epoch"`) {
			t.Errorf("%.10s: %s", cursor, gap.Data)
		}
		es.messages("1")
	}
	a.expect(http.StatusRequestHeaderFieldsTooLarge, a.do(http.MethodGet, "/orders/42?after="+strings.Repeat("9", 4097), "", "Accept: text/event-stream"))
	a.expect(http.StatusRequestHeaderFieldsTooLarge, a.get("/orders/42?after="+strings.Repeat("9", 4097), "Prefer: wait=5"))
}

func TestTopicOfALiveRoute(t *testing.T) {
	a := orders(t, func(cfg *middleware.LiveConfig) {
		cfg.Topic = func(c echo.Context) (string, error) {
			if c.Param("id") == "none" {
				return "", echo.ErrNotFound
			}
			return "o/" + c.Param("id"), nil
		}
	})
	es := a.follow("/orders/42")
	a.publish("orders/42", "not mine")
	a.publish("o/42", "mine")
	es.messages("mine")
	a.expect(http.StatusNotFound, a.do(http.MethodGet, "/orders/none", "", "Accept: text/event-stream"))
	a.expect(http.StatusOK, a.get("/orders/none"))
}

func TestTopicOfALiveRouteIsItsCanonicalPath(t *testing.T) {
	a := orders(t)
	for path, topic := range map[string]string{"/orders/4%32": "orders/42", "/orders/%C3%BC": "orders/ü", "/orders/a%20b?x=y": "orders/a b"} {
		es := a.follow(path)
		a.publish(topic, "x")
		es.messages("x")
		es.close()
	}
	for _, path := range []string{"/orders/4%2F2", "/orders/4%252F2", "/orders/..", "/orders/%2e%2e", "/orders/u%CC%88", "/orders/a%00", "/orders/*"} {
		a.expect(http.StatusBadRequest, a.do(http.MethodGet, path, "", "Accept: text/event-stream"))
	}
}

func TestLiveRouteIsReadOnlyAndBoundToItsTopic(t *testing.T) {
	a := orders(t)
	c, _ := a.dial("/orders/42", "push.v1")
	c.expect("push.open")
	for _, action := range []string{
		`{"action":"publish","data":1}`, `{"action":"publish","topic":"orders/42","data":1}`, `{"action":"publish","topic":"orders/43","data":1}`,
		`{"action":"subscribe","topics":["orders/43"]}`, `{"action":"subscribe","topics":["**"],"last":10}`,
		`{"action":"unsubscribe","topics":["orders/42"]}`, `{"action":"credentials","token":"x"}`,
	} {
		if err := c.Write(c.ctx, websocket.MessageText, []byte(action)); err != nil {
			t.Fatal(err)
		}
		if reply := c.expect("push.reply"); !strings.Contains(string(reply.Data), `"status":403`) {
			t.Errorf("%s: %s", action, reply.Data)
		}
	}
	plain, _ := a.dial("/orders/42", "")
	if err := plain.Write(plain.ctx, websocket.MessageText, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if code := plain.closed(); code != push.ClosePolicy {
		t.Errorf("a plain frame closes with %d, want 1008", code)
	}
	if p, err := a.hub.History(t.Context(), push.Query{Topics: []string{"**"}}); err != nil || len(p.Events) != 0 {
		t.Errorf("in the log: %v %v", p.Events, err)
	}
}

func TestLiveRouteThatMayPublish(t *testing.T) {
	a := orders(t, func(cfg *middleware.LiveConfig) { cfg.Publish = true })
	es := a.follow("/orders/42")
	c, _ := a.dial("/orders/42", "push.v1")
	c.expect("push.open")
	send := func(c *socket, text string) {
		if err := c.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	send(c, `{"action":"publish","data":"by action"}`)
	es.messages(`"by action"`)
	plain, _ := a.dial("/orders/42", "")
	send(plain, "by frame")
	es.messages("by frame")
	for _, action := range []string{`{"action":"publish","topic":"orders/43","data":1}`, `{"action":"subscribe","topics":["orders/43"]}`,
		`{"action":"unsubscribe","topics":["orders/42"]}`} {
		c, _ := a.dial("/orders/42", "push.v1")
		c.expect("push.open")
		send(c, action)
		if reply := c.expect("push.reply"); !strings.Contains(string(reply.Data), `"status":403`) {
			t.Errorf("%s: %s", action, reply.Data)
		}
	}
}

func TestForeignPagesCannotOpenLiveWebSockets(t *testing.T) {
	a := orders(t)
	host := a.Listener.Addr().String()
	for origin, allowed := range map[string]bool{
		"http://" + host: true, "https://" + host: true, "": true,
		"https://evil.example": false, "null": false, "http://" + host + ".evil.example": false, "http://127.0.0.1": false,
	} {
		headers := []string{}
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		c, res := a.dial("/orders/42", "push.v1", headers...)
		if (c != nil) != allowed || c == nil && res.StatusCode != http.StatusForbidden {
			t.Errorf("from %q: %s, want 101 %v", origin, res.Status, allowed)
		}
	}
	for header, allowed := range map[string]bool{"Bearer x": true, "Basic YW5uOng=": false, "": false} { // a browser adds passwords by itself
		c, res := a.dial("/orders/42", "push.v1", "Origin: https://evil.example", "Authorization: "+header)
		if (c != nil) != allowed || c == nil && res.StatusCode != http.StatusForbidden {
			t.Errorf("with %q: %s, want 101 %v", header, res.Status, allowed)
		}
	}
}

func TestOriginsAndPublicURLOfALiveRoute(t *testing.T) {
	guarded := 0
	a := newApp(t)
	cfg := a.live()
	cfg.PublicURL, cfg.Origins = "https://app.example.com", []string{"https://admin.example.com"}
	a.echo.GET("/orders/:id", func(c echo.Context) error { guarded++; return showOrder(c) }, middleware.LiveWithConfig(cfg))
	a.start()
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{"app.example.com", "https://app.example.com", 101}, {"app.example.com", "https://admin.example.com", 101},
		{"app.example.com", "http://app.example.com", 403},
		{"app.example.com", "https://app.example.com.evil", 403}, {"evil.example", "http://evil.example", 421}, {"evil.example", "https://app.example.com", 421},
	} {
		before := guarded
		_, res := a.dial("/orders/42", "push.v1", "Host: "+c.host, "Origin: "+c.origin)
		if res.StatusCode != c.status || (guarded > before) != (c.status == 101) {
			t.Errorf("Host %s Origin %s: %s, want %d; the route ran %d times", c.host, c.origin, res.Status, c.status, guarded-before)
		}
	}
}

// The route's checks look at cookies, and any page can make a browser send
// them.
func TestAnyOriginOpensNoLiveWebSocketWithTheVisitorsCookies(t *testing.T) {
	a := orders(t, func(cfg *middleware.LiveConfig) { cfg.Origins = []string{"*", "https://app.example.com"} })
	for origin, allowed := range map[string]bool{"https://evil.example": false, "null": false, "https://app.example.com": true, a.URL: true} {
		c, res := a.dial("/orders/42", "push.v1", "Origin: "+origin, "Cookie: session=ann")
		if (c != nil) != allowed || c == nil && res.StatusCode != http.StatusForbidden {
			t.Errorf("from %s with a cookie: %s, want 101 %v", origin, res.Status, allowed)
		}
		if c, _ := a.dial("/orders/42", "push.v1", "Origin: "+origin); c == nil {
			t.Errorf("from %s without a cookie: no WebSocket", origin)
		}
	}
}

func TestLiveConfigThatIsWrongSaysTheFix(t *testing.T) {
	if text := panicText(func() { middleware.Live(nil) }); !strings.Contains(text, "Hub") || !strings.Contains(text, "push.New()") {
		t.Errorf("Live(nil) panics with %q", text)
	}
	if _, err := (middleware.LiveConfig{}).ToMiddleware(); err == nil {
		t.Error("a LiveConfig without a hub is taken")
	}
}

func TestSkippedLiveRoutesAreTheRoutesOwn(t *testing.T) {
	a := orders(t, func(cfg *middleware.LiveConfig) { cfg.Skipper = func(echo.Context) bool { return true } })
	got := a.expect(http.StatusOK, a.do(http.MethodGet, "/orders/42", "", "Accept: text/event-stream"))
	if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Push-Cursor") != "" {
		t.Errorf("%v %s", got.Header, got.body)
	}
}

func TestLiveRouteTellsOfItsConnections(t *testing.T) {
	var opened []middleware.Connection
	closed := make(chan middleware.Connection, 1)
	a := orders(t, func(cfg *middleware.LiveConfig) {
		cfg.MaxConnections = 1
		cfg.OnOpen = func(c middleware.Connection) { opened = append(opened, c) }
		cfg.OnClose = func(c middleware.Connection) { closed <- c }
	})
	es := a.follow("/orders/42")
	if len(opened) != 1 || opened[0].Transport != "sse" || !slices.Equal(opened[0].Topics, []string{"orders/42"}) {
		t.Errorf("OnOpen: %+v", opened)
	}
	a.open("/orders/42").expect("push.close") // full: told to come back
	es.close()
	if c := <-closed; c.ID != opened[0].ID {
		t.Errorf("OnClose: %+v", c)
	}
}
