package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// one is an Auth that takes one token.
type one struct{ token string }

func (one) AuthorizationServers() []string { return []string{"https://id.example.com"} }
func (one) ScopesSupported() []string      { return []string{"chat.read"} }

func (o one) Authenticate(r *http.Request) (*middleware.Principal, error) {
	if r.Header.Get("Authorization") != "Bearer "+o.token {
		return nil, &middleware.Problem{Title: "Unauthorized", Status: http.StatusUnauthorized, Detail: "no"}
	}
	return &middleware.Principal{
		Subject: "ann", Grants: []push.Grant{push.Sub("**"), push.Manage("**")}, Expires: time.Now().Add(time.Hour), IssuedAt: time.Now().Add(-time.Second),
	}, nil
}

const token = "secret-token"

func protected(a *app) middleware.Config {
	cfg := a.config()
	cfg.Auth, cfg.PublicURL = one{token}, "https://api.example.com"
	return cfg
}

func (a *app) ask(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "api.example.com"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	a.echo.ServeHTTP(w, r)
	return w
}

func TestWellKnownSaysWhereTokensComeFrom(t *testing.T) {
	for prefix, path := range map[string]string{"/push": "/push", "": "", "/t/:id/push": "/t/7/push"} {
		a := newApp(t)
		middleware.Mount(a.echo.Group(prefix), a.hub, protected(a)).WellKnown(a.echo)
		w := a.ask(http.MethodGet, "/.well-known/oauth-protected-resource"+path, "")
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%q: %d %s", prefix, w.Code, w.Body)
		}
		if doc["resource"] != "https://api.example.com"+path || fmt.Sprint(doc["authorization_servers"]) != "[https://id.example.com]" ||
			fmt.Sprint(doc["scopes_supported"]) != "[chat.read]" || fmt.Sprint(doc["bearer_methods_supported"]) != "[header]" {
			t.Errorf("%q: %s", prefix, w.Body)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%q: no page can read it", prefix)
		}
		challenge := a.ask(http.MethodGet, path+"/topics/wall", "").Header().Get("Www-Authenticate")
		if want := `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource` + path + `"`; !strings.Contains(challenge, want) {
			t.Errorf("%q: the challenge is %q, want %s", prefix, challenge, want)
		}
	}
	a := mount(t)
	if res := a.get("/.well-known/oauth-protected-resource/push"); res.StatusCode != http.StatusNotFound {
		t.Errorf("without WellKnown: %s", res.Status)
	}
}

func TestRevokeFromTheApplication(t *testing.T) {
	a := newApp(t)
	m := middleware.Mount(a.echo.Group("/push"), a.hub, protected(a))
	get := func() int {
		return a.ask(http.MethodGet, "/push/topics/wall", "", "Accept: application/json", "Authorization: Bearer "+token).Code
	}
	if code := get(); code != http.StatusOK {
		t.Fatalf("before: %d", code)
	}
	if err := m.Revoke(t.Context(), middleware.Revocation{}); err == nil {
		t.Error("an empty revocation was taken")
	}
	if err := m.Revoke(t.Context(), middleware.Revocation{Subject: "ann"}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); get() != http.StatusUnauthorized; {
		if time.Now().After(end) {
			t.Fatal("a revoked subject is let in")
		}
	}
}

// cloned gives what follows a request of its own, as tracing does.
func cloned(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), cloneKey{}, 1)))
		return next(c)
	}
}

type cloneKey struct{}

// Failure 55: Echo's own loggers write URLs down.
func TestTicketsDoNotReachEchosLoggers(t *testing.T) {
	var log bytes.Buffer
	loggers := map[string]echo.MiddlewareFunc{
		"Logger": echomw.LoggerWithConfig(echomw.LoggerConfig{Output: &log, Format: "${uri} ${path} ${referer} ${query:ticket} ${header:cookie}\n"}),
		"RequestLogger": echomw.RequestLoggerWithConfig(echomw.RequestLoggerConfig{
			LogURI: true, LogError: true, LogQueryParams: []string{"ticket", "access_token", "topic"}, HandleError: true,
			LogValuesFunc: func(_ echo.Context, v echomw.RequestLoggerValues) error {
				fmt.Fprintf(&log, "%s %v %v\n", v.URI, v.QueryParams, v.Error)
				return nil
			},
		}),
	}
	for name, logger := range loggers {
		for order, use := range map[string][]echo.MiddlewareFunc{
			"alone": {logger}, "around a copy": {logger, cloned}, "within a copy": {cloned, logger},
			"with a deadline": {logger, echomw.ContextTimeout(time.Minute)},
		} {
			log.Reset()
			a := newApp(t)
			a.echo.Use(use...)
			m := middleware.Mount(a.echo.Group("/push"), a.hub, protected(a))
			if slices.Contains([]string{"around a copy", "with a deadline"}, order) {
				m.WellKnown(a.echo)
			}
			w := a.ask(http.MethodPost, "/push/tickets", `{"topics":["wall"]}`, "Authorization: Bearer "+token)
			var tk struct{ Ticket string }
			if err := json.Unmarshal(w.Body.Bytes(), &tk); err != nil || tk.Ticket == "" {
				t.Fatalf("%s, %s: %d %s", name, order, w.Code, w.Body)
			}
			for i, query := range []string{"?x=1&%74icket=" + tk.Ticket + "&y=2", "?ticket=" + tk.Ticket, "?access_token=" + token} {
				want := []int{http.StatusOK, http.StatusUnauthorized, http.StatusBadRequest}[i]
				if w := a.ask(http.MethodGet, "/push/topics/wall"+query, "", "Accept: application/json"); w.Code != want {
					t.Errorf("%s, %s: %s is %d, want %d", name, order, query, w.Code, want)
				}
			}
			if text := log.String(); strings.Contains(text, tk.Ticket) || strings.Contains(text, token) || !strings.Contains(text, "ticket=redacted") {
				t.Errorf("%s, %s: the log has %s", name, order, text)
			}
		}
	}
}
