package main

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/idp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const public = "http://app.example.com"

func testApp(t *testing.T) (*app, *idp.Provider) {
	t.Helper()
	p := idp.New(t)
	a, err := newApp(options{issuer: p.URL, public: public}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.hub.Shutdown(ctx)
		http.DefaultClient.CloseIdleConnections()
	})
	return a, p
}

func (a *app) ask(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, public+path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	a.handler().ServeHTTP(w, r)
	return w
}

// logoutToken is what a provider sends (OpenID Connect Back-Channel Logout 1.0
// section 2.4).
func logoutToken(p *idp.Provider, change map[string]any) string {
	claims := map[string]any{
		"aud": "page", "sid": "s1", "scope": nil, "client_id": nil, "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	maps.Copy(claims, change)
	return p.Token("es", claims, map[string]any{"typ": "logout+jwt"})
}

func TestLogOutAtTheProviderEndsTheLogIn(t *testing.T) {
	a, p := testApp(t)
	page := func(sid string) int {
		token := p.Token("es", map[string]any{"aud": public + "/push", "scope": "chat.read", "sid": sid}, nil)
		return a.ask(http.MethodGet, "/push/topics/chat/room", "", "Authorization: Bearer "+token, "Accept: application/json").Code
	}
	send := func(token string) int {
		return a.ask(http.MethodPost, "/backchannel-logout", url.Values{"logout_token": {token}}.Encode(), "Content-Type: application/x-www-form-urlencoded").Code
	}
	if page("s1") != http.StatusOK || page("s2") != http.StatusOK {
		t.Fatal("nobody is let in")
	}
	for what, token := range map[string]string{
		"none": "", "an access token": p.Token("es", nil, nil), "of another client": logoutToken(p, map[string]any{"aud": "other"}),
		"of another issuer": idp.New(t).Token("es", map[string]any{"iss": p.URL, "aud": "page", "sid": "s1"}, nil), "expired": logoutToken(p, map[string]any{"exp": 1}),
		"without the event": logoutToken(p, map[string]any{"events": nil}), "with a nonce": logoutToken(p, map[string]any{"nonce": "n"}),
	} {
		if code := send(token); code != http.StatusBadRequest {
			t.Errorf("a logout token, %s: %d", what, code)
		}
	}
	if page("s1") != http.StatusOK {
		t.Error("a token that is none has logged somebody out")
	}
	if code := send(logoutToken(p, nil)); code != http.StatusOK {
		t.Fatalf("a good logout token: %d", code)
	}
	for end := time.Now().Add(5 * time.Second); page("s1") != http.StatusUnauthorized; {
		if time.Now().After(end) {
			t.Fatal("a session that has ended is let in")
		}
	}
	if code := page("s2"); code != http.StatusOK {
		t.Errorf("another log-in of the same person: %d", code)
	}
}

func TestLogOutWhileTheProviderIsDown(t *testing.T) {
	a, p := testApp(t)
	token := logoutToken(p, nil)
	p.SetDown(true)
	w := a.ask(http.MethodPost, "/backchannel-logout", url.Values{"logout_token": {token}}.Encode(), "Content-Type: application/x-www-form-urlencoded")
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d: the provider would not try again", w.Code)
	}
}

func TestThePageTalksToItsServerAndItsProviderOnly(t *testing.T) {
	a, p := testApp(t)
	w := a.ask(http.MethodGet, "/", "")
	policy := w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || !strings.Contains(policy, "connect-src 'self' "+p.URL+";") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("%d %s", w.Code, policy)
	}
	if w.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Error("the code of a log-in can leak")
	}
}
