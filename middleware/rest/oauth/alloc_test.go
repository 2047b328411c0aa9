package oauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/push"
)

// authorise is what a request costs whose token is known: who it is, and
// whether that may be done.
func authorise(tb testing.TB) func() {
	v := over(tb, idp.InMemory(tb))
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+v.Token("rs", map[string]any{"scope": "openid push:sub:news push:sub:chat/* push:pub:users/{sub}/**"}, nil))
	check := func() {
		who, err := v.Authenticate(r)
		if err != nil || !who.Allows(push.ActionPub, "users/ann/inbox") {
			tb.Fatal(who, err)
		}
	}
	check() // the first time it is verified
	return check
}

func TestAllocAuthorisingACachedToken(t *testing.T) {
	if n := testing.AllocsPerRun(1000, authorise(t)); n > 2 {
		t.Errorf("%v allocations, want at most 2", n)
	}
}

// The best of many runs is what it costs; the others are what else this machine
// does. Its name has it run without the race detector, too: see the Makefile.
func TestAllocAuthorisingACachedTokenTakesAtMost2Microseconds(t *testing.T) {
	const limit = 2 * time.Microsecond * raceFactor
	check, best := authorise(t), time.Hour
	for end := time.Now().Add(10 * time.Second); best > limit && time.Now().Before(end); {
		began := time.Now()
		for range 100 {
			check()
		}
		best = min(best, time.Since(began)/100)
	}
	if best > limit {
		t.Errorf("%v, want at most %v", best, limit)
	}
}

func BenchmarkAuthoriseCachedToken(b *testing.B) {
	check := authorise(b)
	b.ReportAllocs()
	for b.Loop() {
		check()
	}
}
