package rest

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// authenticate finds out who the request comes from. If that fails it answers,
// or returns the answer, and leaves who nil.
func (q *request) authenticate(res *resource) error {
	cred, p := q.credential()
	if p == nil {
		p = q.origins.check(q.r, q.ambient(cred))
	}
	if p != nil {
		return p
	}
	q.hidden = cred.hidden()
	q.warnForwarded(q.r)
	if p := q.limits.shutOut(addressKey(q.ip)); p != nil {
		return q.unauthenticated(res, p)
	}
	who, err := q.identify(cred)
	if err != nil {
		if AsProblem(err).Status == http.StatusUnauthorized {
			q.limits.failed(addressKey(q.ip))
		}
		return q.unauthenticated(res, err)
	}
	if q.unspent != "" && (!res.streams || q.r.Method != http.MethodGet && q.r.Method != http.MethodHead) {
		return q.unauthenticated(res, InvalidToken("a new ticket opens a stream first", nil))
	}
	q.who = who
	return nil
}

// ambient says what a request relies on that its browser adds to it, if it has
// no credential that is proof enough.
func (q *request) ambient(cred credential) ambient {
	switch {
	case q.explicit(cred):
		return explicit
	case cred.kind == noCredential && q.cookiesCount() && q.r.Header["Cookie"] != nil:
		return cookies
	}
	return nothing
}

// cookiesCount reports whether a cookie can say who the request comes from:
// where only "*" lets an origin in, any page can make a browser send them.
func (q *request) cookiesCount() bool { return q.cfg.Cookies && !q.origins.anonymous(q.r) }

// identify returns who has sent a credential that holds.
func (q *request) identify(cred credential) (*Principal, error) {
	switch {
	case cred.kind == aTicket:
		return q.redeem(cred.value)
	case cred.kind == tokenInProtocol && !isToken(cred.value):
		return nil, InvalidToken("the subprotocol has no token", nil)
	}
	r := cred.forAuth(q.r, q.cookiesCount())
	who, err := q.cfg.Auth.Authenticate(r)
	switch {
	case err != nil:
		return nil, err
	case who == nil:
		return nil, errors.New("rest: Auth returned neither a principal nor an error")
	}
	q.claimed = who
	return who, q.holds(who)
}

// holds checks what is true of every credential, however it was verified.
func (h *Handler) holds(who *Principal) error {
	now := time.Now()
	switch {
	case who.expired(now):
		return InvalidToken("the credentials have expired", nil)
	case h.life(who, now) > h.cfg.MaxTokenLife:
		return InvalidToken("the token lives longer than this server allows", errTooLong)
	}
	return h.revoked.check(h, who)
}

// life is how long a credential lives. A token does so from when it was issued,
// or it would be let in near its end, when its revocation is forgotten; a
// session of an application's own may be prolonged again and again.
func (h *Handler) life(who *Principal, now time.Time) time.Duration {
	if at := who.IssuedAt; h.resource != nil && !at.IsZero() && at.Before(now.Add(clockSkew)) {
		now = at
	}
	return who.Expires.Sub(now)
}

var errTooLong = errors.New("a revocation would be forgotten before the token runs out: have the provider issue shorter tokens, or raise Config.MaxTokenLife")

// unauthenticated answers a request whose credentials do not hold, as one that
// asked for a stream if it did.
func (q *request) unauthenticated(res *resource, err error) error {
	if !res.streams || q.r.Method != http.MethodGet || q.r.URL.Query().Has("id") {
		return err
	}
	return q.refuseBefore(negotiate(q.r), err)
}

// refuseBefore is refuse for what is known before there is a stream to write.
func (q *request) refuseBefore(way way, err error) error {
	if way == wayJSON || way == wayNone {
		return err
	}
	w, p := streamWriter(q.w, way)
	if p != nil {
		return p
	}
	return q.refuse(w, stream{way: way}, err)
}

// challenge adds to a 401 what a client needs to get a token (RFC 9110 section
// 11.6.1, RFC 9728 section 5.1).
func (q *request) challenge(p *Problem) *Problem {
	if p.Status != http.StatusUnauthorized && p.Header.Get("Www-Authenticate") == "" {
		return p
	}
	value := p.Header.Get("Www-Authenticate")
	if value == "" {
		value = "Bearer"
	}
	if q.resource != nil && strings.HasPrefix(value, "Bearer") && !strings.Contains(value, "resource_metadata=") {
		if value != "Bearer" {
			value += ","
		}
		value += ` resource_metadata="` + q.origins.public + metadataPath + q.prefix + `"`
	}
	told := *p
	told.Header = p.Header.Clone()
	return told.with("Www-Authenticate", value)
}
