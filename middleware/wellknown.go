package middleware

import (
	"context"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware/rest"
	"github.com/dualpush-go/dualpush/push"
)

// WellKnown adds, at the root of the app, the document that tells OAuth clients
// where tokens for the mount come from (RFC 9728), and Redact before everything
// else. It returns m. Call it before the app serves requests.
func (m *Mounted) WellKnown(e *echo.Echo) *Mounted {
	e.Pre(Redact())
	e.GET(rest.MetadataPath(m.prefix), func(c echo.Context) error {
		prefix := m.prefix
		if strings.Contains(prefix, ":") {
			prefix = strings.TrimPrefix(c.Request().URL.EscapedPath(), rest.MetadataPath(""))
		}
		m.handler.ServeMetadata(c.Response(), c.Request(), prefix)
		return nil
	})
	return m
}

// Revoke makes credentials void on every node that shares the hub's log, e.g.
// when somebody logs out: their streams end within a second, and they are
// refused from then on. An error that is a *Problem with status 400 says that r
// is empty; after any other try again.
func (m *Mounted) Revoke(ctx context.Context, r Revocation) error { return m.handler.Revoke(ctx, r) }

// Disconnect ends the streams and waiting polls of whoever has all the members of
// whose that are set, within a second, on every node that shares the hub's log
// and can reach it. It voids nothing: who is to stay out needs Revoke. A nil why
// is push.CloseForbidden: clients stay away. Errors are as of Revoke.
func (m *Mounted) Disconnect(ctx context.Context, whose Revocation, why *push.CloseError) error {
	return m.handler.Disconnect(ctx, whose, why)
}

// Redact takes tickets and tokens out of URLs before anybody logs them. A mount
// does that by itself, and loggers around it see it; but those that look at a
// request before the mount, or at a copy which another middleware has made of
// it, do not. With such a logger put this first, unless WellKnown has:
//
//	e.Pre(middleware.Redact())
func Redact() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			c.SetRequest(rest.Redact(c.Request()))
			return next(c)
		}
	}
}
