package main

import (
	"context"
	"net/http"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
)

// logouts takes the provider's word that somebody has logged out (OpenID
// Connect Back-Channel Logout 1.0), wherever that was.
type logouts struct {
	issuer string
	revoke func(context.Context, middleware.Revocation) error

	mu       sync.Mutex
	verifier *oidc.IDTokenVerifier
}

func (l *logouts) receive(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	ctx := c.Request().Context()
	v, err := l.ready(ctx)
	if err != nil {
		return echo.NewHTTPError(http.StatusServiceUnavailable, "the provider cannot be asked").SetInternal(err)
	}
	token, err := v.VerifyLogout(ctx, c.FormValue("logout_token"))
	if err != nil {
		return echo.NewHTTPError(http.StatusBadRequest, "this is no logout token of our provider").SetInternal(err)
	}
	r := middleware.Revocation{Session: token.SessionID}
	if r.Session == "" {
		r.Subject = token.Subject
	}
	if err := l.revoke(ctx, r); err != nil {
		return echo.NewHTTPError(http.StatusServiceUnavailable, "try again").SetInternal(err)
	}
	return c.NoContent(http.StatusOK)
}

// ready asks the provider for its keys when they are first needed.
func (l *logouts) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verifier != nil {
		return l.verifier, nil
	}
	p, err := oidc.NewProvider(ctx, l.issuer)
	if err != nil {
		return nil, err
	}
	l.verifier = p.VerifierContext(context.WithoutCancel(ctx), &oidc.Config{ClientID: "page", SupportedSigningAlgs: []string{oidc.ES256, oidc.RS256}})
	return l.verifier, nil
}
