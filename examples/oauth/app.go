package main

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

// scopes says what the provider's scopes are worth here: all may read and write
// the chat, everybody has a topic of their own.
var scopes = middleware.ScopeMap{
	"chat.read":  {push.Sub("chat/**"), push.Sub("users/{sub}/**")},
	"chat.write": {push.Pub("chat/**"), push.Pub("users/{sub}/**")},
	"admin":      {push.Pub("users/**"), push.Manage("**")},
}

type app struct {
	hub     *push.Hub
	echo    *echo.Echo
	mounted *middleware.Mounted
	logouts *logouts
}

func newApp(o options, apiSecret string) (*app, error) {
	a := &app{hub: push.New(push.WithDrainWindow(2 * time.Second)), echo: echo.New()}
	a.echo.HideBanner, a.echo.HidePort = true, true
	oidc := middleware.OIDCConfig{
		Issuer: o.issuer, Audience: o.public + "/push", Scopes: scopes, AcceptJWTType: o.acceptJWT,
		Introspection: &middleware.Introspection{ClientID: "api", ClientSecret: apiSecret},
	}
	m, err := middleware.Config{Auth: middleware.OIDC(oidc), PublicURL: o.public}.Mount(a.echo.Group("/push"), a.hub)
	if err != nil {
		return nil, err
	}
	a.mounted = m.WellKnown(a.echo)
	a.logouts = &logouts{issuer: o.issuer, revoke: a.mounted.Revoke}
	a.echo.POST("/backchannel-logout", a.logouts.receive)
	a.echo.Match([]string{http.MethodGet, http.MethodHead}, "/*", echo.WrapHandler(page(o.issuer)))
	return a, nil
}

func (a *app) handler() http.Handler { return a.echo }
