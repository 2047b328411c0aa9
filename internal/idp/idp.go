// Package idp is an identity provider for tests: go-oidc's, with keys of every
// kind, tokens to order, introspection, and a count of what it was asked.
package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/golang-jwt/jwt/v5"
)

// Audience is whom Token's tokens are for.
const Audience = "https://api.example.com/push"

// Provider is a provider that runs.
type Provider struct {
	URL    string // the issuer
	Client *http.Client

	t    testing.TB
	keys map[string]key
	oidc *oidctest.Server

	Fetches, Introspections atomic.Int64 // of the keys, and of tokens

	mu     sync.Mutex
	down   bool
	opaque map[string]map[string]any
}

type key struct {
	signer crypto.Signer
	method jwt.SigningMethod
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { // it takes a while
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

// New starts a provider with the keys "rs", "es" and "ed".
func New(t testing.TB) *Provider {
	t.Helper()
	p := newProvider(t)
	srv := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(srv.Close)
	p.URL, p.Client = srv.URL, srv.Client()
	p.oidc.SetIssuer(p.URL)
	return p
}

// InMemory is New without a network, for a synctest bubble.
func InMemory(t testing.TB) *Provider {
	t.Helper()
	p := newProvider(t)
	p.URL, p.Client = "https://id.example.com", &http.Client{Transport: inMemory{http.HandlerFunc(p.serve)}}
	p.oidc.SetIssuer(p.URL)
	return p
}

type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

func newProvider(t testing.TB) *Provider {
	t.Helper()
	es, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{t: t, oidc: &oidctest.Server{}, opaque: map[string]map[string]any{}, keys: map[string]key{
		"rs": {rsaKey(), jwt.SigningMethodRS256}, "es": {es, jwt.SigningMethodES256}, "ed": {ed, jwt.SigningMethodEdDSA},
	}}
	for kid, k := range p.keys {
		p.oidc.PublicKeys = append(p.oidc.PublicKeys, oidctest.PublicKey{PublicKey: k.signer.Public(), KeyID: kid, Algorithm: k.method.Alg()})
	}
	return p
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	switch {
	case down:
		http.Error(w, "down", http.StatusBadGateway)
	case r.URL.Path == "/introspect":
		p.introspect(w, r)
	case r.URL.Path == "/.well-known/openid-configuration": // go-oidc's says nothing of introspection
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "introspection_endpoint": p.URL + "/introspect"})
	default:
		if r.URL.Path == "/keys" {
			p.Fetches.Add(1)
		}
		p.oidc.ServeHTTP(w, r)
	}
}

func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	p.Introspections.Add(1)
	if id, secret, _ := r.BasicAuth(); id != "api" || secret != "api%2Fsecret" { // as RFC 6749 wants "api/secret"
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	p.mu.Lock()
	claims := p.opaque[r.PostFormValue("token")]
	p.mu.Unlock()
	if claims == nil {
		claims = map[string]any{"active": false}
	}
	_ = json.NewEncoder(w).Encode(claims)
}

// SetDown has the provider answer everything with 502, or work again.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// AddKey adds an RSA key that is not published yet, for a method.
func (p *Provider) AddKey(kid string, method jwt.SigningMethod) { p.keys[kid] = key{rsaKey(), method} }

// Publish publishes a key that was added, without saying what it is for.
func (p *Provider) Publish(kid string) {
	p.oidc.PublicKeys = append(p.oidc.PublicKeys, oidctest.PublicKey{PublicKey: p.keys[kid].signer.Public(), KeyID: kid})
}

// PublicKey returns a public key.
func (p *Provider) PublicKey(kid string) crypto.PublicKey { return p.keys[kid].signer.Public() }

// Claims returns those of a good token, with more or other ones; one that is
// nil is left out.
func (p *Provider) Claims(more map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": p.URL, "aud": Audience, "sub": "ann", "exp": now.Add(10 * time.Minute).Unix(), "iat": now.Unix(),
		"jti": rand.Text(), "client_id": "app", "scope": "chat.read chat.write",
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token returns a token signed with a key, with more or other claims and header
// fields.
func (p *Provider) Token(kid string, claims, header map[string]any) string {
	p.t.Helper()
	k := p.keys[kid]
	t := jwt.NewWithClaims(k.method, jwt.MapClaims(p.Claims(claims)))
	t.Header["kid"], t.Header["typ"] = kid, "at+jwt"
	for name, v := range header {
		if t.Header[name] = v; v == nil {
			delete(t.Header, name)
		}
	}
	signed, err := t.SignedString(k.signer)
	if err != nil {
		p.t.Fatal(err)
	}
	return signed
}

// Opaque returns a token that is no JWT.
func (p *Provider) Opaque(claims map[string]any) string {
	token := rand.Text()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opaque[token] = p.Claims(claims)
	p.opaque[token]["active"] = true
	return token
}

// Withdraw makes an opaque token void.
func (p *Provider) Withdraw(token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.opaque, token)
}
