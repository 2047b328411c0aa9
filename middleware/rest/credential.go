package rest

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
	kind  credentialKind
	value string // of a ticket or a token in a subprotocol; it may be empty
}

type credentialKind uint8

const (
	noCredential    credentialKind = iota
	inHeader                       // an Authorization header: Auth looks at it
	aTicket                        // in the URL or a subprotocol: it is redeemed, and nothing else counts
	tokenInProtocol                // a bearer token: Auth looks at it as if it were in the header
)

// hidden reports whether the credential is where a page puts it, which cannot
// see the status of an upgrade.
func (c credential) hidden() bool { return c.kind == aTicket || c.kind == tokenInProtocol }

// credential finds the one credential of the request.
func (q *request) credential() (c credential, p *Problem) {
	n := 0
	found := func(kind credentialKind, value string) { c, n = credential{kind, value}, n+1 }
	for range q.r.Header["Authorization"] {
		found(inHeader, "")
	}
	for _, t := range secretsOf(q.r).tickets {
		found(aTicket, t)
	}
	if isUpgrade(q.r) {
		inProtocols(q.r.Header, found)
	}
	switch {
	case n > 1:
		return c, invalidRequest("there are %d credentials in one request: send one", n)
	case c.kind == tokenInProtocol && !q.cfg.BearerSubprotocol:
		return c, invalidRequest("this mount takes no tokens as subprotocols (Config.BearerSubprotocol): fetch a ticket with POST %s/tickets", q.prefix)
	}
	return c, nil
}

// inProtocols finds the credentials among the subprotocols of an upgrade.
func inProtocols(h http.Header, found func(kind credentialKind, value string)) {
	for _, name := range subprotocols(h) {
		if t, ok := strings.CutPrefix(name, ticketProtocol); ok {
			found(aTicket, t)
		} else if t, ok := strings.CutPrefix(name, bearerProtocol); ok {
			found(tokenInProtocol, t)
		}
	}
}

// explicit reports whether a credential is proof that no foreign page made the
// request: only if it decides, and no page can make a browser add it. So a
// ticket is, which is redeemed or refused, but not where nobody can have one; a
// token in a subprotocol is, where Auth takes tokens: another Auth may look past
// it.
func (q *request) explicit(c credential) bool {
	switch c.kind {
	case aTicket:
		return !q.anybody
	case tokenInProtocol:
		return q.resource != nil
	case inHeader:
		return isDeliberate(q.r)
	case noCredential:
	}
	return false
}

// isDeliberate reports whether a request has an Authorization header that its
// sender has put there. A page can do so for its own origin and, after a
// preflight that the mount has to allow, for another: never with a WebSocket or
// a form. So even where Auth does not look at the header, it proves that no
// foreign page is behind the request. But what a browser asks its user for, it
// sends along whichever page makes it ask.
func isDeliberate(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return !slices.ContainsFunc(askedFor, func(s string) bool { return strings.EqualFold(s, scheme) })
}

// askedFor are the schemes for which browsers ask their users; "" is none.
var askedFor = []string{"", "Basic", "Digest", "NTLM", "Negotiate"}

// isToken reports whether s has the form of a bearer token (RFC 6750 section
// 2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
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
func (c credential) forAuth(r *http.Request, cookies bool) *http.Request {
	drop := (c.kind != noCredential || !cookies) && r.Header["Cookie"] != nil
	if !drop && c.kind != tokenInProtocol {
		return r
	}
	r2 := *r
	r2.Header = maps.Clone(r.Header)
	if drop {
		delete(r2.Header, "Cookie")
	}
	if c.kind == tokenInProtocol {
		r2.Header["Authorization"] = []string{"Bearer " + c.value}
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
