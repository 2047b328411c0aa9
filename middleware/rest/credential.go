package rest

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// Where a request can carry a credential other than its Authorization header.
const (
	ticketParam    = "ticket"
	tokenParam     = "access_token" // refused: URLs are logged
	ticketProtocol = "push.ticket."
	bearerProtocol = "push.bearer."
)

// credential is what a request says by itself about who it comes from; a
// cookie, which a browser adds whoever asks, is none.
type credential struct {
	bearer   string // a token in a subprotocol
	ticket   string
	isTicket bool // also if it is an empty one: it is looked at, and nothing else
	inBearer bool // a token in a subprotocol, also an empty one
	given    bool
	hidden   bool // where a page puts it, which cannot see the status of an upgrade
}

// credential finds the one explicit credential of the request.
func (q *request) credential() (c credential, p *Problem) {
	secret := secretsOf(q.r)
	n := len(q.r.Header["Authorization"]) + len(secret.tickets)
	if len(secret.tickets) > 0 {
		c.ticket, c.isTicket, c.hidden = secret.tickets[0], true, true
	}
	if isUpgrade(q.r) {
		for _, name := range subprotocols(q.r.Header) {
			if t, ok := strings.CutPrefix(name, ticketProtocol); ok {
				c.ticket, c.isTicket, c.hidden = t, true, true
				n++
			} else if t, ok := strings.CutPrefix(name, bearerProtocol); ok {
				c.bearer, c.inBearer, c.hidden = t, true, true
				n++
			}
		}
	}
	c.given = n > 0
	switch {
	case n > 1:
		return c, invalidRequest("there are %d credentials in one request: send one", n)
	case c.inBearer && !q.cfg.BearerSubprotocol:
		return c, invalidRequest("this mount takes no tokens as subprotocols (Config.BearerSubprotocol): fetch a ticket with POST %s/tickets", q.prefix)
	}
	return c, nil
}

func (q *request) tokenInURL() *Problem {
	return invalidRequest("access tokens in URLs end up in logs: send an Authorization header, or fetch a ticket with POST %s/tickets", q.prefix)
}

// invalidRequest is a request that RFC 6750 section 3.1 calls malformed.
func invalidRequest(format string, args ...any) *Problem {
	return problemf(http.StatusBadRequest, format, args...).with("Www-Authenticate", `Bearer error="invalid_request"`)
}

func subprotocols(h http.Header) (names []string) {
	for _, field := range h["Sec-Websocket-Protocol"] {
		for name := range strings.SplitSeq(field, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// forAuth returns the request that Auth is to see: a token of a subprotocol is
// where tokens are expected, and cookies are there only if they count.
func (c *credential) forAuth(r *http.Request, cookies bool) *http.Request {
	drop := (c.given || !cookies) && r.Header["Cookie"] != nil
	if !drop && !c.inBearer {
		return r
	}
	r2 := *r
	r2.Header = maps.Clone(r.Header)
	if drop {
		delete(r2.Header, "Cookie")
	}
	if c.inBearer {
		r2.Header["Authorization"] = []string{"Bearer " + c.bearer}
	}
	return &r2
}

// secrets are what Redact took out of a URL.
type secrets struct {
	tickets []string
	token   bool
}

type secretsKey struct{}

func secretsOf(r *http.Request) secrets {
	s, _ := r.Context().Value(secretsKey{}).(secrets)
	return s
}

// Redact takes tickets and tokens out of the URL of r, so that nobody who logs
// it afterwards logs them, and returns the request that a Handler serves in its
// place: it finds them in the context. It changes r itself, since loggers keep
// it. A Handler does this by itself; who has loggers that look at requests
// before it, or at copies, calls it first.
func Redact(r *http.Request) *http.Request {
	if !strings.ContainsAny(r.URL.RawQuery, "k%") || r.Context().Value(secretsKey{}) != nil {
		return r // neither ticket nor token in any form, or done already
	}
	var found secrets
	clean := redactQuery(r.URL.RawQuery, &found)
	if found.tickets == nil && !found.token {
		return r
	}
	r.URL.RawQuery = clean
	if path, _, ok := strings.Cut(r.RequestURI, "?"); ok {
		r.RequestURI = path + "?" + clean
	}
	return r.WithContext(context.WithValue(r.Context(), secretsKey{}, found))
}

// redactQuery also looks behind semicolons, at which nobody parses any more:
// what a client takes for a parameter must not be logged either.
func redactQuery(query string, found *secrets) string {
	params := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, param := range params {
		name, value, _ := strings.Cut(param, "=")
		switch name, _ := url.QueryUnescape(name); name {
		case ticketParam:
			ticket, _ := url.QueryUnescape(value) // what cannot be unescaped is no ticket
			found.tickets = append(found.tickets, ticket)
		case tokenParam:
			found.token = true
		default:
			continue
		}
		params[i] = name + "=redacted"
	}
	return strings.Join(params, "&")
}
