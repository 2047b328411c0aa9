package rest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/middleware/rest/oauth"
	"github.com/dualpush-go/dualpush/push"
)

// identified is what a request with a token that is known costs before it is
// served.
func identified(tb testing.TB) func() {
	tb.Helper()
	p := idp.InMemory(tb)
	auth, err := oauth.New(oauth.Config{Issuer: p.URL, Audience: idp.Audience, Client: p.Client})
	if err != nil {
		tb.Fatal(err)
	}
	h, err := rest.New(rest.Config{Hub: push.New(), Auth: auth, PublicURL: "https://api.example.com"})
	if err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/push/topics/chat/1?after=a1", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+p.Token("rs", map[string]any{"scope": "openid push:pub:news push:sub:chat/* push:sub:users/{sub}/**"}, nil))
	check := func() {
		if err := h.Identify(r, "users/ann/inbox"); err != nil {
			tb.Fatal(err)
		}
	}
	check() // the first time the token is verified
	return check
}

func TestAllocIdentifyingACachedToken(t *testing.T) {
	if n := testing.AllocsPerRun(1000, identified(t)); n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
}

func BenchmarkIdentifyCachedToken(b *testing.B) {
	check := identified(b)
	b.ReportAllocs()
	for b.Loop() {
		check()
	}
}
