package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/middleware/rest/oauth"
	"github.com/dualpush-go/dualpush/push"
)

// FuzzToken: whatever stands in the header, it is answered with 401, and what
// is too long costs nothing. Only the one good token is taken.
func FuzzToken(f *testing.F) {
	v := over(f, idp.InMemory(f))
	good := v.Token("ed", nil, nil)
	for _, seed := range []string{"", ".", "..", good, good + "x", good[1:], strings.Repeat("a", 16<<10), strings.Repeat("a.", 20), strings.Repeat("A", 17<<10), "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(seed, 0)
	}
	f.Add("a", 1<<20)
	f.Fuzz(func(t *testing.T, token string, padding int) {
		token += strings.Repeat("A", min(max(padding, 0), 1<<20))
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Authorization"] = []string{"Bearer " + token}
		who, err := v.Authenticate(r)
		switch {
		case strings.Trim(token, " ") == good:
			if err != nil {
				t.Errorf("the good token: %v", err)
			}
		case err == nil:
			t.Errorf("%q is taken for %+v", token, who)
		case rest.AsProblem(err).Status != http.StatusUnauthorized:
			t.Errorf("%q: %v", token, err)
		}
		if len(token) > 16<<10 {
			if n := testing.AllocsPerRun(1, func() { _, _ = v.Authenticate(r) }); n > 20 {
				t.Errorf("%v allocations for a token of %d bytes", n, len(token))
			}
		}
	})
}

// FuzzGrants: what a claim says never grants more than its one segment, and
// what is subscribed never shows more than what is granted.
func FuzzGrants(f *testing.F) {
	for _, seed := range [][3]string{
		{"users/{sub}/**", "ann", "users/ann/x"}, {"users/{sub}/**", "**", "users/bob/x"}, {"{sub}", "*", "x"}, {"{sub}/a", "$push", "$push/a"},
		{"a/{sub}", "b/c", "a/b/c"}, {"a/{sub}/{sub}", "..", "a/../.."}, {"**", "x", "$push/revoked"}, {"u/{sub}", "a\u0301", "u/\u00e1"}, {"u/{sub}", "%2f", "u/%2f"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, pattern, sub, topic string) {
		v, err := oauth.New(oauth.Config{Issuer: "https://id.example.com", Audience: "a", Scopes: oauth.ScopeMap{"s": {push.Sub(pattern)}}})
		if err != nil {
			return // no template
		}
		grants := oauth.Grants(v, []string{"s"}, map[string]any{"sub": sub})
		for _, g := range grants {
			if err := push.CheckPattern(g.Pattern); err != nil {
				t.Fatalf("%q with %q became %q: %v", pattern, sub, g.Pattern, err)
			}
			// Segment by segment: a wildcard is where the template has one.
			got, want := strings.Split(g.Pattern, "/"), strings.Split(pattern, "/")
			if len(got) != len(want) {
				t.Fatalf("%q with %q became %q", pattern, sub, g.Pattern)
			}
			for i := range got {
				if got[i] != want[i] && (want[i] != "{sub}" || got[i] != sub || strings.Contains(got[i], "*")) {
					t.Fatalf("%q with %q became %q", pattern, sub, g.Pattern)
				}
			}
			if !g.Allows(push.ActionSub, topic) || push.CheckPattern(topic) != nil {
				continue
			}
			// topic may be a pattern that somebody subscribes to: what it shows
			// is what is granted.
			for _, shown := range []string{strings.ReplaceAll(strings.ReplaceAll(topic, "**", "p/q"), "*", "r"), strings.TrimSuffix(topic, "/**")} {
				if push.CheckTopic(shown) == nil && push.Match(topic, shown) && !push.Match(g.Pattern, shown) {
					t.Fatalf("%q is granted for %q and shows %q", topic, g.Pattern, shown)
				}
			}
			if strings.HasPrefix(topic, "$") && !strings.HasPrefix(pattern, "$") {
				t.Fatalf("%q with %q grants the reserved %q", pattern, sub, topic)
			}
		}
	})
}
