package oauth

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// algorithms are the signatures that are taken (RFC 8725 section 3.1).
var algorithms = []string{"RS256", "ES256", "EdDSA"}

// skew is how far the provider's clock may be off for nbf and iat. exp is not
// stretched.
const skew = 30 * time.Second

// verify finds out what a token is, and until when that may be remembered.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*rest.Principal, time.Time, error) {
	if strings.Count(token, ".") != 2 {
		if v.cfg.Introspection == nil {
			return nil, time.Time{}, rest.InvalidToken("the token is no JWT", nil)
		}
		return v.introspect(ctx, token, now)
	}
	claims := jwt.MapClaims{}
	parsed, err := v.parser().ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	if err == nil {
		err = v.checkClaims(claims, now)
	}
	if err != nil {
		return nil, time.Time{}, v.refuse(parsed, claims, err)
	}
	who := v.principal(claims)
	who.KeyID, _ = parsed.Header["kid"].(string)
	return who, earlier(who.Expires, now.Add(jwtLife)), nil
}

func (v *Verifier) parser() *jwt.Parser {
	return jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithLeeway(skew), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithIssuer(v.cfg.Issuer), jwt.WithAudience(v.cfg.Audience))
}

// Why a token is refused, as its bearer is told.
var (
	errType        = errors.New("the token is no access token: its type has to be at+jwt (RFC 9068)")
	errIDToken     = errors.New("an ID token is no access token")
	errHeader      = errors.New("the token's header names keys or extensions of its own")
	errForeign     = errors.New("the token is another issuer's")
	errSubject     = errors.New("the token has no subject")
	errConstrained = errors.New("the token is bound to a key of its client (DPoP or mutual TLS), which cannot be checked here")
	errUnknownKey  = errors.New("the token is not signed by a key of its issuer")
)

// key returns the key that a token has to be signed with, after all that can be
// refused without one.
func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	for _, name := range []string{"jwk", "jku", "x5c", "x5u", "crit"} {
		if _, ok := t.Header[name]; ok {
			return nil, errHeader
		}
	}
	if !v.isAccessToken(t) {
		return nil, errType
	}
	if iss, err := t.Claims.GetIssuer(); err != nil || iss != v.cfg.Issuer {
		return nil, errForeign
	}
	keys, err := v.provider.keys(ctx)
	if err != nil {
		return nil, err
	}
	key, err := keys.find.Keyfunc(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		if keys, err = v.provider.newerKeys(ctx, keys); err != nil {
			return nil, err
		}
		key, err = keys.find.Keyfunc(t)
	}
	if err != nil {
		return nil, errUnknownKey
	}
	return key, nil
}

// isAccessToken looks at the type (RFC 9068 section 2.1, RFC 7515 section
// 4.1.9).
func (v *Verifier) isAccessToken(t *jwt.Token) bool {
	typ, ok := t.Header["typ"].(string)
	if !ok {
		return t.Header["typ"] == nil && v.cfg.AcceptJWTType
	}
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "at+jwt" || typ == "jwt" && v.cfg.AcceptJWTType
}

// checkClaims checks what golang-jwt does not.
func (v *Verifier) checkClaims(claims map[string]any, now time.Time) error {
	for _, name := range []string{"nonce", "at_hash", "c_hash"} {
		if _, ok := claims[name]; ok {
			return errIDToken
		}
	}
	if _, ok := claims["cnf"]; ok {
		return errConstrained
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return errSubject
	}
	if !now.Before(timeOf(claims["exp"])) {
		return jwt.ErrTokenExpired
	}
	return nil
}

func timeOf(claim any) time.Time {
	if seconds, ok := claim.(float64); ok {
		return time.UnixMilli(int64(seconds * 1000))
	}
	return time.Time{}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// principal returns whom claims that were checked are about.
func (v *Verifier) principal(claims map[string]any) *rest.Principal {
	text := func(name string) string { s, _ := claims[name].(string); return s }
	who := &rest.Principal{
		Subject: text("sub"), Issuer: v.cfg.Issuer, Session: text("sid"), TokenID: text("jti"), Claims: claims,
		Expires: timeOf(claims["exp"]), Grants: v.cfg.Scopes.grants(scopesOf(claims), claims),
	}
	if iat := claims["iat"]; iat != nil {
		who.IssuedAt = timeOf(iat)
	}
	return who
}

// refuse returns the problem of a token that was turned down with err.
func (v *Verifier) refuse(t *jwt.Token, claims map[string]any, err error) error {
	if down, ok := errors.AsType[*rest.Problem](err); ok { // the provider's
		return down
	}
	return rest.InvalidToken(reason(err), newRefused(t, claims, err))
}

// reason says what is wrong with a token without quoting it.
func reason(err error) string {
	for _, own := range []error{errType, errIDToken, errHeader, errForeign, errSubject, errConstrained, errUnknownKey, errAudience, errNotYet} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	for _, c := range []struct {
		err  error
		says string
	}{
		{jwt.ErrTokenMalformed, "the token cannot be read"},
		{jwt.ErrTokenSignatureInvalid, "the token's signature is not valid"},
		{jwt.ErrTokenUnverifiable, "the token cannot be verified"},
		{jwt.ErrTokenExpired, "the token has expired"},
		{jwt.ErrTokenInvalidAudience, "the token is for another audience"},
		{jwt.ErrTokenInvalidIssuer, errForeign.Error()},
		{jwt.ErrTokenNotValidYet, "the token is not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "the token was issued in the future"},
		{jwt.ErrTokenRequiredClaimMissing, "the token lacks a claim: it needs iss, sub, aud and exp"},
	} {
		if errors.Is(err, c.err) {
			return c.says
		}
	}
	return "the token is not valid"
}

// refused says in the log of which token an error is.
type refused struct {
	err   error
	attrs []slog.Attr
}

func newRefused(t *jwt.Token, claims map[string]any, err error) *refused {
	text := func(m map[string]any, name string) string {
		s, _ := m[name].(string)
		return s[:min(len(s), 200)] // who made it up may go on for long
	}
	var header map[string]any
	if t != nil {
		header = t.Header
	}
	return &refused{err, rest.TokenAttrs(text(claims, "iss"), text(header, "kid"), text(claims, "sub"), text(claims, "jti"))}
}

func (r *refused) Error() string { return "oauth: " + r.err.Error() }

// Unwrap returns the cause.
func (r *refused) Unwrap() error { return r.err }

// LogValue implements slog.LogValuer.
func (r *refused) LogValue() slog.Value { return slog.GroupValue(r.attrs...) }
