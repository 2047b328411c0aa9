package middleware_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

func TestMountThatIsMisconfiguredSaysTheFix(t *testing.T) {
	hub := push.New()
	defer hub.Shutdown(t.Context())
	group := func() *echo.Group { return echo.New().Group("/push") }
	for name, c := range map[string]struct {
		group *echo.Group
		hub   *push.Hub
		cfg   middleware.Config
		says  []string
	}{
		"group":     {nil, hub, middleware.Config{Auth: everything}, []string{"group", `e.Group("/push")`}},
		"hub":       {group(), nil, middleware.Config{Auth: everything}, []string{"Hub", "push.New()"}},
		"auth":      {group(), hub, middleware.Config{}, []string{"Auth", "Public(", "Insecure()"}},
		"heartbeat": {group(), hub, middleware.Config{Auth: everything, Heartbeat: time.Hour}, []string{"Heartbeat", "25s"}},
		"origin":    {group(), hub, middleware.Config{Auth: everything, Origins: []string{"x"}}, []string{"https://"}},
	} {
		_, err := c.cfg.Mount(c.group, c.hub)
		text := panicText(func() { middleware.Mount(c.group, c.hub, c.cfg) })
		for _, says := range c.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v does not say %q", name, err, says)
			}
			if !strings.Contains(text, says) {
				t.Errorf("%s: the panic %q does not say %q", name, text, says)
			}
		}
	}
}

// panicText returns the text of f's panic, "" if there is none.
func panicText(f func()) (text string) {
	defer func() {
		switch v := recover().(type) {
		case error:
			text = v.Error()
		case string:
			text = v
		}
	}()
	f()
	return ""
}

func TestMountThatFailedRegistersNoRoute(t *testing.T) {
	e := echo.New()
	if _, err := (middleware.Config{}).Mount(e.Group("/push"), nil); err == nil || len(e.Routes()) != 0 {
		t.Errorf("%v with routes %v", err, e.Routes())
	}
}

func TestSkippedRequestsAre404(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	cfg.Skipper = func(c echo.Context) bool { return c.QueryParam("skip") != "" }
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	a.expect(http.StatusOK, a.get("/push/topics/wall"))
	a.expect(http.StatusNotFound, a.get("/push/topics/wall?skip=1"))
}

func TestProblemsGoOutAsTheyAreByDefault(t *testing.T) {
	a := mount(t)
	a.echo.HTTPErrorHandler = func(error, echo.Context) { t.Error("Echo's error handler was asked") }
	got := a.expect(http.StatusMethodNotAllowed, a.do(http.MethodPut, "/push/topics/wall", ""))
	if got.Header.Get("Content-Type") != "application/problem+json" || got.Header.Get("Allow") == "" || !strings.Contains(got.body, `"status":405`) {
		t.Errorf("%v %s", got.Header, got.body)
	}
}

func TestErrorHandlerGetsAnEchoErrorWithTheProblemInside(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	cfg.Auth = middleware.Public(push.Sub("wall"))
	seen := 0
	cfg.ErrorHandler = func(err error, c echo.Context) error {
		seen++
		he, ok := errors.AsType[*echo.HTTPError](err)
		if !ok {
			t.Errorf("%T %v is no *echo.HTTPError", err, err)
			return err
		}
		p, ok := errors.AsType[*middleware.Problem](err)
		if !ok || he.Internal != p || he.Code != p.Status || p.Detail == "" || c.Response().Committed {
			t.Errorf("%+v with %+v inside", he, he.Internal)
		}
		if c.QueryParam("tea") != "" {
			return c.String(http.StatusTeapot, "tea")
		}
		return err
	}
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	if got := a.expect(http.StatusForbidden, a.get("/push/topics/secret")); !strings.Contains(got.body, `"message":"reading is not granted: secret"`) {
		t.Errorf("what Echo makes of it: %s", got.body)
	}
	a.expect(http.StatusTeapot, a.get("/push/topics/secret?tea=1"))
	a.expect(http.StatusForbidden, a.do(http.MethodPost, "/push/topics/wall", "x"))
	if c, res := a.dial("/push/topics/secret", ""); c != nil || res.StatusCode != http.StatusForbidden {
		t.Error("a WebSocket to what is not granted")
	}
	if seen != 4 {
		t.Errorf("the handler was asked %d times", seen)
	}
}

func TestPrefixesOfGroups(t *testing.T) {
	for _, c := range []struct {
		group func(e *echo.Echo) *echo.Group
		at    string
	}{
		{func(e *echo.Echo) *echo.Group { return e.Group("") }, ""},
		{func(e *echo.Echo) *echo.Group { return e.Group("/push") }, "/push"},
		{func(e *echo.Echo) *echo.Group { return e.Group("/api").Group("/v1").Group("/push") }, "/api/v1/push"},
		{func(e *echo.Echo) *echo.Group { return e.Group("/tenants/:id/push") }, "/tenants/42/push"},
		{func(e *echo.Echo) *echo.Group { return e.Group("/tenants/:id/push") }, "/tenants/a%2Fb%20%25/push"},
		{func(e *echo.Echo) *echo.Group { return e.Group("/:a/:b") }, "/topics/topics"},
		{func(e *echo.Echo) *echo.Group { return e.Group("/:tenant").Group("/push/:env") }, "/acme/push/%C3%BC"},
	} {
		a := newApp(t)
		middleware.Mount(c.group(a.echo), a.hub, a.config())
		a.start()
		got := a.expect(http.StatusCreated, a.do(http.MethodPost, c.at+"/topics/a%20b/c", "hi"))
		location := got.Header.Get("Location")
		if !strings.HasPrefix(location, c.at+"/topics/a%20b/c?id=") {
			t.Errorf("mounted at %s: Location %s", c.at, location)
		}
		a.expect(http.StatusOK, a.get(location))
		a.publish("a b/c", "2")
		link := a.get(c.at + "/topics/a%20b/c?after=0&limit=1").Header.Get("Link")
		next := strings.TrimPrefix(strings.TrimSuffix(link, `>; rel="next"`), "<")
		if !strings.HasPrefix(next, c.at+"/topics/") {
			t.Errorf("mounted at %s: Link %s", c.at, link)
		}
		a.expect(http.StatusOK, a.get(next))
		a.follow(c.at+"/events?topic=**&after=0").messages("hi", "2")
		a.expect(http.StatusNotFound, a.get(c.at+"/nothing"))
	}
}

func TestTwoMountsOfOneHub(t *testing.T) {
	a := newApp(t)
	middleware.Mount(a.echo.Group("/push"), a.hub, a.config())
	public := a.config()
	public.Auth = middleware.Public(push.Sub("wall"))
	middleware.Mount(a.echo.Group("/public"), a.hub, public)
	a.start()
	es := a.follow("/public/topics/wall")
	a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "1"))
	a.expect(http.StatusForbidden, a.do(http.MethodPost, "/public/topics/wall", "2"))
	es.messages("1")
}

func TestGroupsOwnMiddlewareGuardsTheMount(t *testing.T) {
	a := newApp(t)
	guard := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if c.Request().Header.Get("User") == "" {
				return echo.ErrUnauthorized
			}
			return next(c)
		}
	}
	middleware.Mount(a.echo.Group("/push", guard), a.hub, a.config())
	a.start()
	for _, path := range []string{"/push/topics/wall", "/push/events?topic=wall", "/push/", "/push/x"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodOptions, http.MethodDelete} {
			a.expect(http.StatusUnauthorized, a.do(method, path, ""))
		}
	}
	if c, res := a.dial("/push/topics/wall", ""); c != nil || res.StatusCode != http.StatusUnauthorized {
		t.Error("a WebSocket past the guard")
	}
	a.follow("/push/topics/wall", "User: ann")
}

// Echo's own Param("*") is a%2Fb for /a%2Fb and for /a%252Fb.
func TestNoSpellingOfAPathPassesTheRouter(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	cfg.Auth = middleware.Public(push.Sub("public/**"))
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	a.publish("secret", "s3cret")
	a.publish("public/x", "fine")
	for _, path := range []string{
		"secret", "s%65cret", "public%2F..%2Fsecret", "public/../secret", "public/%2e%2e/secret", "public%252F..%252Fsecret", "/secret", "public//secret", "./secret",
		"secret%00", "public/%2E%2E%2Fsecret", "%2e%2e/topics/secret", "public/..%5csecret", "../topics/secret", "public;/../secret",
	} {
		b := a.raw("GET /push/topics/" + path + "?after=0 HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(b, "HTTP/1.1 40") || strings.Contains(b, "s3cret") {
			t.Errorf("GET %s: %.200q", path, b)
		}
	}
	b := a.raw("GET /push/topics/p%75blic/x?after=0 HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n")
	if !strings.Contains(b, "fine") {
		t.Errorf("an escaped letter: %.200q", b)
	}
}

// raw sends bytes and returns what comes back until the server closes.
func (a *app) raw(request string) string {
	a.t.Helper()
	c, err := net.Dial("tcp", a.Listener.Addr().String())
	if err != nil {
		a.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		a.t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		a.t.Fatalf("%.60q: %v", request, err)
	}
	return string(b)
}

func TestConfigReachesTheMount(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	var opened []middleware.Connection
	closed := make(chan middleware.Connection, 1)
	cfg.OnOpen = func(c middleware.Connection) { opened = append(opened, c) }
	cfg.OnClose = func(c middleware.Connection) { closed <- c }
	cfg.MaxMessage, cfg.MaxTopics, cfg.MaxConnections, cfg.Heartbeat = 10, 2, 1, 5*time.Second
	cfg.PublicURL, cfg.Origins = "https://app.example.com", []string{"https://admin.example.com"}
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	const host = "Host: app.example.com"
	a.expect(http.StatusMisdirectedRequest, a.get("/push/topics/wall"))
	a.expect(http.StatusRequestEntityTooLarge, a.do(http.MethodPost, "/push/topics/wall", "more than ten", host))
	a.expect(http.StatusBadRequest, a.get("/push/events?topic=a&topic=b&topic=c", host))
	a.expect(http.StatusForbidden, a.do(http.MethodPost, "/push/topics/wall", "x", host, "Origin: https://evil.example"))
	a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "x", host, "Origin: https://admin.example.com"))
	es := a.open("/push/topics/wall", host)
	if open := es.expect("push.open"); !strings.Contains(string(open.Data), `"heartbeat":5000`) {
		t.Errorf("push.open %s", open.Data)
	}
	a.open("/push/topics/wall", host).expect("push.close")
	if len(opened) != 1 || !slices.Equal(opened[0].Topics, []string{"wall"}) {
		t.Errorf("OnOpen: %+v", opened)
	}
	es.close()
	if c := <-closed; c.ID != opened[0].ID {
		t.Errorf("OnClose: %+v", c)
	}
}

func TestInsecureOfAMount(t *testing.T) {
	a := newApp(t)
	cfg := a.config()
	cfg.Auth = middleware.Insecure()
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.start()
	a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "x"))
	a.expect(http.StatusForbidden, a.do(http.MethodPost, "/push/topics/wall", "x", "X-Forwarded-For: 127.0.0.1"))
}

func TestPanicOfAnInboundHandlerUnderRecoverIsThatRequestsOnly(t *testing.T) {
	a := newApp(t)
	a.echo.Use(recoverer)
	cfg := a.config()
	middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
	a.hub.Handle("**", panicOn("boom"))
	a.start()
	es := a.follow("/push/topics/wall")
	a.expect(http.StatusInternalServerError, a.do(http.MethodPost, "/push/topics/wall", "boom"))
	a.expect(http.StatusCreated, a.do(http.MethodPost, "/push/topics/wall", "fine"))
	es.messages("fine")
}
