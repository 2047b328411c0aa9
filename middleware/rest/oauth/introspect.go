package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// maxAsking is how many introspections run at once. Further ones are told to
// come back: who makes up tokens must not make us flood the provider.
const maxAsking = 32

// introspect asks the provider about an opaque token (RFC 7662). A token that
// is not active has no principal.
func (v *Verifier) introspect(ctx context.Context, token string, now time.Time) (*rest.Principal, time.Time, error) {
	select {
	case v.asking <- struct{}{}:
		defer func() { <-v.asking }()
	default:
		return nil, time.Time{}, unavailable(errors.New("too many tokens are being looked up"))
	}
	if err := v.provider.resting(); err != nil {
		return nil, time.Time{}, unavailable(err)
	}
	claims, err := v.ask(ctx, token)
	if err != nil {
		if ctx.Err() == nil {
			v.provider.done(nil, err)
		}
		return nil, time.Time{}, unavailable(err)
	}
	until := now.Add(activeLife)
	if active, _ := claims["active"].(bool); !active {
		return nil, until, nil
	}
	if err := v.checkIntrospected(claims, now); err != nil {
		return nil, time.Time{}, v.refuse(nil, claims, err)
	}
	who := v.principal(claims)
	return who, earlier(who.Expires, until), nil
}

func (v *Verifier) ask(ctx context.Context, token string) (claims map[string]any, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in := v.cfg.Introspection
	endpoint := in.Endpoint
	if endpoint == "" {
		ends, err := v.provider.discover(ctx)
		if err != nil {
			return nil, err
		}
		endpoint = ends.Introspection
		if err := checkURL("introspection_endpoint of the provider", endpoint); err != nil {
			return nil, err
		}
	}
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// RFC 6749 section 2.3.1: both are form-encoded before Basic encodes them.
	id := url.QueryEscape(in.ClientID) + ":" + url.QueryEscape(in.ClientSecret)
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(id)))
	return claims, v.provider.read(req, &claims)
}

// checkIntrospected checks an active token as a JWT is checked.
func (v *Verifier) checkIntrospected(claims map[string]any, now time.Time) error {
	if iss, ok := claims["iss"]; ok && iss != v.cfg.Issuer {
		return errForeign
	}
	if !hasAudience(claims["aud"], v.cfg.Audience) {
		return errAudience
	}
	for _, claim := range []string{"nbf", "iat"} {
		if at := claims[claim]; at != nil && now.Add(skew).Before(timeOf(at)) {
			return errNotYet
		}
	}
	return v.checkClaims(claims, now)
}

var (
	errAudience = errors.New("the token is for another audience")
	errNotYet   = errors.New("the token is not valid yet")
)

func hasAudience(claim any, want string) bool {
	if list, ok := claim.([]any); ok {
		return slices.Contains(list, any(want))
	}
	return claim == want
}
