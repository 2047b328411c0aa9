package rest

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
)

// logID is what a log has of a name that is somebody's: enough to find lines
// that belong together.
func logID(s string) string {
	if s == "" {
		return ""
	}
	return fingerprint(s)[:16]
}

// LogValue implements slog.LogValuer: a principal in a log tells who issued its
// credentials, and its subject and token only as fingerprints.
func (p *Principal) LogValue() slog.Value {
	return slog.GroupValue(TokenAttrs(p.Issuer, p.KeyID, p.Subject, p.TokenID)...)
}

// TokenAttrs returns what a log may have of a token, as far as it is known: its
// issuer and the name of its key as they are, subject and token id (jti) as
// fingerprints.
func TokenAttrs(iss, kid, sub, jti string) (attrs []slog.Attr) {
	for _, a := range []slog.Attr{
		slog.String("iss", iss), slog.String("kid", kid), slog.String("sub", logID(sub)), slog.String("jti", logID(jti)),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}

// asker is whom a refusal is about, as far as it is known.
type asker struct {
	who                        *Principal
	connection, remote, origin string
}

func (q *request) asker() asker {
	return asker{cmp.Or(q.who, q.claimed), q.arg, q.r.RemoteAddr, q.r.Header.Get("Origin")}
}

func (c *conn) asker() asker { return asker{c.principal(), c.sub.ID(), c.addr, c.origin} }

// refusedTokenError is a cause that says in logs which token was refused.
type refusedTokenError struct{ *Principal }

func (refusedTokenError) Error() string { return "rest: the token does not hold" }

// logRefused says why somebody was not let in. Who reads the log cannot act
// with what it says.
func (h *Handler) logRefused(ctx context.Context, p *Problem, by asker) {
	if p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden {
		return
	}
	attrs := []slog.Attr{slog.Int("status", p.Status), slog.String("reason", p.Detail), slog.String("remote", by.remote), slog.String("origin", by.origin)}
	if p.Err != nil { // it may be a slog.LogValuer
		attrs = append(attrs, slog.Any("cause", p.Err))
	}
	if by.who != nil {
		attrs = append(attrs, slog.Any("who", by.who))
	}
	if by.connection != "" {
		attrs = append(attrs, slog.String("connection", logID(by.connection)))
	}
	h.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "push: refused", attrs...)
}

// logEnded says that the server ended a stream because of its credentials.
func (c *conn) logEnded(why string) {
	c.h.cfg.Logger.Info("push: stream ended", "reason", why, "connection", logID(c.sub.ID()), "who", c.principal(), "remote", c.addr, "origin", c.origin)
}
