package rest

import (
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

// logRefused says why somebody was not let in. Who reads the log cannot act
// with what it says.
func (q *request) logRefused(p *Problem) {
	if p.Status != http.StatusUnauthorized && p.Status != http.StatusForbidden {
		return
	}
	attrs := []slog.Attr{
		slog.Int("status", p.Status), slog.String("reason", p.Detail),
		slog.String("remote", q.r.RemoteAddr), slog.String("origin", q.r.Header.Get("Origin")),
	}
	if p.Err != nil { // it may be a slog.LogValuer
		attrs = append(attrs, slog.Any("cause", p.Err))
	}
	if q.who != nil {
		attrs = append(attrs, slog.Any("who", q.who))
	}
	if q.arg != "" {
		attrs = append(attrs, slog.String("connection", logID(q.arg)))
	}
	q.cfg.Logger.LogAttrs(q.r.Context(), slog.LevelInfo, "push: refused", attrs...)
}

// logEnded says that the server ended a stream because of its credentials.
func (c *conn) logEnded(why string) {
	c.h.cfg.Logger.Info("push: stream ended", "reason", why, "connection", logID(c.sub.ID()), "who", c.principal(), "remote", c.addr, "origin", c.origin)
}
