package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dualpush-go/dualpush/internal/idp"
	"github.com/dualpush-go/dualpush/middleware/rest"
)

// Keys are rotated while the provider is down: the tokens that they sign are
// good, so who brings one is asked to come back, and is let in afterwards.
func TestKeysThatAreRotatedWhileTheProviderIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := idp.InMemory(t)
		v := over(t, p)
		ask := func(token string, want int) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+token)
			_, err := v.Authenticate(r)
			problem, _ := errors.AsType[*rest.Problem](err)
			if got := map[bool]int{true: http.StatusOK}[err == nil]; got != want && (problem == nil || problem.Status != want) {
				t.Errorf("%v, want %d", err, want)
			}
		}
		ask(p.Token("rs", nil, nil), http.StatusOK)
		p.AddKey("new", jwt.SigningMethodRS256)
		p.Publish("new")
		p.SetDown(true)
		token := p.Token("new", nil, nil)
		for range 3 {
			ask(token, http.StatusServiceUnavailable)
			time.Sleep(3 * time.Second)
		}
		p.SetDown(false)
		ask(token, http.StatusOK)
	})
}

// Who hangs up before the keys are there has had them fetched all the same.
func TestUnknownKeysOfCallersThatHangUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := idp.InMemory(t)
		v := over(t, p)
		ctx, hangUp := context.WithCancel(t.Context())
		ask := func(token string) error {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", "Bearer "+token)
			_, err := v.Authenticate(r)
			return err
		}
		if err := ask(p.Token("rs", nil, nil)); err != nil {
			t.Fatal(err)
		}
		before := p.Fetches.Load()
		hangUp()
		for n := range 20 {
			if ask(p.Token("rs", nil, map[string]any{"kid": fmt.Sprint("kid-", n)})) == nil {
				t.Fatal("an unknown key was taken")
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if n := p.Fetches.Load() - before; n != 1 {
			t.Errorf("the keys were fetched %d times", n)
		}
	})
}
