package oauth_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/middleware/rest/oauth"
	"github.com/dualpush-go/dualpush/push"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// verified is a verifier and its provider.
type verified struct {
	*oauth.Verifier
	*idp.Provider
	t   testing.TB
	log *lockedLog
}

type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func over(t testing.TB, p *idp.Provider, change ...func(*oauth.Config)) *verified {
	t.Helper()
	log := &lockedLog{}
	cfg := oauth.Config{Issuer: p.URL, Audience: idp.Audience, Client: p.Client, Logger: slog.New(slog.NewTextHandler(log, nil))}
	for _, c := range change {
		c(&cfg)
	}
	v, err := oauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &verified{v, p, t, log}
}

// bubble runs f with a verifier whose provider is in memory.
func bubble(t *testing.T, f func(t *testing.T, v *verified), change ...func(*oauth.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, over(t, idp.InMemory(t), change...)) })
}

func (v *verified) ask(token string) (*rest.Principal, error) {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+token)
	return v.Authenticate(r)
}

// want checks the status with which a token is answered, 200 if it is taken.
func (v *verified) want(status int, what, token string) *rest.Principal {
	v.t.Helper()
	who, err := v.ask(token)
	got := http.StatusOK
	if err != nil {
		got = rest.AsProblem(err).Status
	}
	if got != status {
		v.t.Errorf("%s: %d (%v), want %d", what, got, err, status)
	}
	return who
}

func TestPrincipalOfAToken(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		exp := time.Now().Add(time.Hour)
		who := v.want(200, "a token", v.Token("es", map[string]any{
			"exp": exp.Unix(), "sid": "s1", "jti": "j1", "tenant": "acme", "scope": "push:sub:chat/* push:pub:users/{sub}/** openid push:rule:x push:sub:a//b",
		}, nil))
		if who.Subject != "ann" || who.Issuer != v.URL || who.Session != "s1" || who.TokenID != "j1" || who.Claims["tenant"] != "acme" ||
			!who.Expires.Equal(exp.Truncate(time.Second)) || !who.IssuedAt.Equal(time.Now().Truncate(time.Second)) {
			t.Errorf("%+v", who)
		}
		for _, c := range []struct {
			action push.Action
			topic  string
			want   bool
		}{
			{push.ActionSub, "chat/1", true}, {push.ActionHistory, "chat/1", true}, {push.ActionSub, "chat/*", true}, {push.ActionPub, "users/ann/a/b", true},
			{push.ActionPub, "chat/1", false}, {push.ActionSub, "chat/1/2", false}, {push.ActionSub, "**", false}, {push.ActionPub, "users/bob/a", false},
			{push.ActionManage, "**", false}, {push.ActionSub, "openid", false},
		} {
			if got := who.Allows(c.action, c.topic); got != c.want {
				t.Errorf("%s %s: %v", c.action, c.topic, got)
			}
		}
	})
}

// Failure 44 of the provider: a server starts without it, and works once it is
// there.
func TestProviderThatIsDownAtTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		v.SetDown(true)
		token := v.Token("rs", nil, nil)
		for range 5 {
			v.want(503, "down", token)
		}
		if _, err := v.ask(token); !rest.AsProblem(err).Temporary() || rest.AsProblem(err).Header.Get("Retry-After") == "" {
			t.Errorf("%v is not temporary", err)
		}
		if !strings.Contains(v.log.String(), "502") {
			t.Errorf("the log does not say why: %s", v.log)
		}
		v.SetDown(false)
		v.want(503, "within the pause after a failure", token)
		time.Sleep(2 * time.Second)
		v.want(200, "up again", token)
	})
}

func TestProviderThatGoesDownLater(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		v.want(200, "up", v.Token("rs", nil, nil))
		v.SetDown(true)
		for range 20 { // keys get old, and stay until there are newer ones
			time.Sleep(5 * time.Minute)
			v.want(200, "with the keys that are known", v.Token("es", nil, nil))
			synctest.Wait()
		}
		v.want(503, "an unknown key cannot be judged", v.Token("es", nil, map[string]any{"kid": "new"}))
	})
}

func TestKeysThatRotate(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		v.want(200, "an old key", v.Token("rs", nil, nil))
		v.AddKey("next", jwt.SigningMethodRS256)
		v.want(401, "not published yet", v.Token("next", nil, nil)) // this has used up the refetch
		v.Publish("next")
		v.want(401, "published, but somebody has just asked for an unknown key", v.Token("next", nil, nil))
		time.Sleep(5*time.Minute + time.Second)
		v.want(200, "published", v.Token("next", nil, nil))
		if n := v.Fetches.Load(); n != 3 {
			t.Errorf("the keys were fetched %d times, want 3", n)
		}
	})
	bubble(t, func(t *testing.T, v *verified) { // published before it is used, as it should be: nobody notices
		v.want(200, "an old key", v.Token("rs", nil, nil))
		v.AddKey("next", jwt.SigningMethodRS256)
		v.Publish("next")
		time.Sleep(16 * time.Minute)
		v.want(200, "an old key", v.Token("rs", nil, nil))
		synctest.Wait()
		v.want(200, "the new one", v.Token("next", nil, nil))
		if n := v.Fetches.Load(); n != 2 {
			t.Errorf("the keys were fetched %d times, want 2", n)
		}
	})
}

// A key that may sign with anything is taken with three algorithms only (RFC
// 8725 section 3.1).
func TestOtherAlgorithms(t *testing.T) {
	v := over(t, idp.InMemory(t))
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256} {
		v.AddKey(method.Alg(), method)
		v.Publish(method.Alg())
		v.want(401, method.Alg(), v.Token(method.Alg(), nil, nil))
	}
	v.AddKey("any", jwt.SigningMethodRS256)
	v.Publish("any")
	v = over(t, v.Provider)
	v.want(200, "RS256", v.Token("any", nil, nil))
}

// What is too long is not even looked at.
func TestTokensThatAreTooLong(t *testing.T) {
	v := over(t, idp.InMemory(t))
	fits := v.Token("ed", map[string]any{"pad": strings.Repeat("x", 11<<10)}, nil)
	v.want(200, "a long token", fits)
	v.want(401, "a longer one", v.Token("ed", map[string]any{"pad": strings.Repeat("x", 13<<10)}, nil))
}

func TestKeysAreFetchedOnceForAll(t *testing.T) {
	p := idp.New(t)
	v := over(t, p)
	token := p.Token("rs", nil, nil)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { v.want(200, "at once", token) })
	}
	all.Wait()
	if n := p.Fetches.Load(); n != 1 {
		t.Errorf("50 tokens at once had the keys fetched %d times", n)
	}
	p.Client.CloseIdleConnections()
}

func TestTokenExpiresInTheCache(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		token := v.Token("rs", map[string]any{"exp": time.Now().Add(10 * time.Second).Unix()}, nil)
		v.want(200, "fresh", token)
		time.Sleep(10*time.Second - time.Millisecond)
		v.want(200, "just before", token)
		time.Sleep(time.Millisecond)
		v.want(401, "at exp, without skew", token)
	})
}

func TestSloppyProviders(t *testing.T) {
	accept := func(cfg *oauth.Config) { cfg.AcceptJWTType = true }
	bubble(t, func(t *testing.T, v *verified) {
		for _, typ := range []any{"JWT", "jwt", nil, "at+jwt"} {
			v.want(200, "typ", v.Token("rs", nil, map[string]any{"typ": typ}))
		}
		v.want(401, "typ of something else", v.Token("rs", nil, map[string]any{"typ": "logout+jwt"}))
		v.want(401, "typ that is no text", v.Token("rs", nil, map[string]any{"typ": 1}))
		v.want(401, "an ID token", v.Token("rs", map[string]any{"nonce": "n"}, map[string]any{"typ": "JWT"}))
		for _, claims := range []map[string]any{{"scope": []string{"push:sub:a"}}, {"scope": nil, "scp": []string{"push:sub:a"}}, {"scope": nil, "scp": "push:sub:a"}} {
			if who := v.want(200, "scopes", v.Token("rs", claims, nil)); who != nil && !who.Allows(push.ActionSub, "a") {
				t.Errorf("scopes in %v grant %v", claims, who.Grants)
			}
		}
	}, accept)
}

func introspecting(cfg *oauth.Config) {
	cfg.Introspection = &oauth.Introspection{ClientID: "api", ClientSecret: "api/secret"}
}

func TestOpaqueTokens(t *testing.T) {
	bubble(t, func(t *testing.T, v *verified) {
		token := v.Opaque(map[string]any{"scope": "push:sub:a", "sid": "s"})
		who := v.want(200, "active", token)
		if who.Subject != "ann" || who.Session != "s" || !who.Allows(push.ActionSub, "a") {
			t.Errorf("%+v", who)
		}
		v.Withdraw(token)
		time.Sleep(30*time.Second - time.Millisecond)
		v.want(200, "remembered", token)
		if n := v.Introspections.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		time.Sleep(time.Millisecond)
		for range 5 {
			v.want(401, "withdrawn", token)
		}
		if n := v.Introspections.Load(); n != 2 {
			t.Errorf("asked %d times, though what is not active never will be", n)
		}
		for what, claims := range map[string]map[string]any{
			"for others": {"aud": "https://other.example.com"}, "for nobody": {"aud": nil}, "without exp": {"exp": nil}, "without sub": {"sub": nil},
			"expired": {"exp": time.Now().Unix()}, "of another issuer": {"iss": "https://evil.example"}, "not valid yet": {"nbf": time.Now().Add(time.Minute).Unix()}, "issued later": {"iat": time.Now().Add(time.Minute).Unix()},
			"bound to a client's key": {"cnf": map[string]any{"jkt": "x"}},
		} {
			v.want(401, what, v.Opaque(claims))
		}
		v.want(200, "aud as a list", v.Opaque(map[string]any{"aud": []any{"x", idp.Audience}}))
		short := v.Opaque(map[string]any{"exp": time.Now().Add(5 * time.Second).Unix()})
		v.want(200, "short", short)
		time.Sleep(5 * time.Second)
		v.want(401, "over, though it was remembered", short)
		v.SetDown(true)
		v.want(503, "down", v.Opaque(nil))
		v.SetDown(false)
		time.Sleep(2 * time.Second)
		v.want(200, "up", v.Opaque(nil))
	}, introspecting)
	bubble(t, func(_ *testing.T, v *verified) { v.want(401, "without introspection", v.Opaque(nil)) })
}

// Who makes up tokens must not make us flood the provider.
func TestMadeUpTokensDoNotFloodTheProvider(t *testing.T) {
	p := idp.New(t)
	var now, most atomic.Int64
	slow := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		<-slow
		now.Add(-1)
		_, _ = w.Write([]byte(`{"active":false}`))
	}))
	defer srv.Close()
	v := over(t, p, introspecting, func(cfg *oauth.Config) { cfg.Introspection.Endpoint = srv.URL })
	var all sync.WaitGroup
	var refused atomic.Int64
	for range 200 {
		all.Go(func() {
			if _, err := v.ask(p.Opaque(nil)); rest.AsProblem(err).Status == http.StatusServiceUnavailable {
				if refused.Add(1) == 168 {
					close(slow)
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 32 || refused.Load() != 168 {
		t.Errorf("%d introspections at once, %d refused", most.Load(), refused.Load())
	}
	p.Client.CloseIdleConnections()
}

func TestNoTokenAndOtherSchemes(t *testing.T) {
	v := over(t, idp.InMemory(t))
	for _, headers := range [][]string{nil, {""}, {"Bearer"}, {"Bearer "}, {"Basic YTpi"}, {"DPoP x.y.z"}, {"Bearerx.y.z"}, {"Bearer a", "Bearer b"}} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Authorization"] = headers
		_, err := v.Authenticate(r)
		if p := rest.AsProblem(err); p.Status != http.StatusUnauthorized || p.Header.Get("Www-Authenticate") != "" {
			t.Errorf("%q: %v %v", headers, err, p.Header)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "bearer  "+v.Token("rs", nil, nil)) // RFC 9110: schemes have no case
	if _, err := v.Authenticate(r); err != nil {
		t.Errorf("bearer in small letters: %v", err)
	}
}

func TestMisconfigurationSaysTheFix(t *testing.T) {
	good := oauth.Config{Issuer: "https://id.example.com", Audience: "a"}
	for says, change := range map[string]func(*oauth.Config){
		"Issuer is missing":         func(c *oauth.Config) { c.Issuer = "" },
		"Audience is missing":       func(c *oauth.Config) { c.Audience = "" },
		"give a URL":                func(c *oauth.Config) { c.Issuer = "id.example.com" },
		"give an https URL":         func(c *oauth.Config) { c.Issuer = "http://id.example.com" },
		"ClientID and ClientSecret": func(c *oauth.Config) { c.Introspection = &oauth.Introspection{} },
		"Introspection.Endpoint": func(c *oauth.Config) {
			c.Introspection = &oauth.Introspection{ClientID: "a", ClientSecret: "b", Endpoint: "http://x.example"}
		},
		"there is no action":           func(c *oauth.Config) { c.Scopes = oauth.ScopeMap{"s": {{Action: "read", Pattern: "a"}}} },
		"stands for a whole segment":   func(c *oauth.Config) { c.Scopes = oauth.ScopeMap{"s": {push.Sub("users/x{sub}")}} },
		"empty segment":                func(c *oauth.Config) { c.Scopes = oauth.ScopeMap{"s": {push.Sub("a//b")}} },
		"** for the rest, last":        func(c *oauth.Config) { c.Scopes = oauth.ScopeMap{"s": {push.Sub("a**")}} },
		"whole segment, as in users/{": func(c *oauth.Config) { c.Scopes = oauth.ScopeMap{"s": {push.Sub("users/{}")}} },
	} {
		cfg := good
		change(&cfg)
		if _, err := oauth.New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	for _, issuer := range []string{"https://id.example.com/tenant/", "http://localhost:8081", "http://127.0.0.1:1", "http://[::1]:1"} {
		good.Issuer = issuer
		if _, err := oauth.New(good); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func TestErrorsAreProblemsThatQuoteNothing(t *testing.T) {
	v := over(t, idp.InMemory(t))
	token := v.Token("rs", map[string]any{"aud": "other"}, nil)
	_, err := v.ask(token)
	p, ok := errors.AsType[*rest.Problem](err)
	if !ok || p.Status != http.StatusUnauthorized || p.Header.Get("Www-Authenticate") != `Bearer error="invalid_token"` {
		t.Fatalf("%#v", err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cause", p.Err)
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(err.Error()+log.String(), part) {
			t.Errorf("%v, %s: a part of the token", err, log.String())
		}
	}
	if !strings.Contains(log.String(), "cause.iss=https://id.example.com") || !strings.Contains(log.String(), "cause.kid=rs") || strings.Contains(log.String(), "ann") {
		t.Errorf("the log says %s", log.String())
	}
}
