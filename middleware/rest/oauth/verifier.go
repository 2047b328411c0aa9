package oauth

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/dualpush-go/dualpush/middleware/rest"
)

// Verifier is a rest.ProtectedResource. It is safe for concurrent use.
type Verifier struct {
	cfg      Config
	provider *provider
	known    cache
	asking   chan struct{} // has room for as many introspections as may run at once
}

var _ rest.ProtectedResource = (*Verifier)(nil)

// New returns a Verifier, or what is wrong with the configuration and how to
// mend it. It asks the provider nothing yet.
func New(cfg Config) (*Verifier, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	if err := cfg.Scopes.check(); err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg, provider: newProvider(&cfg), asking: make(chan struct{}, maxAsking)}, nil
}

// AuthorizationServers implements rest.ProtectedResource.
func (v *Verifier) AuthorizationServers() []string { return []string{v.cfg.Issuer} }

// ScopesSupported implements rest.ProtectedResource.
func (v *Verifier) ScopesSupported() []string { return v.cfg.Scopes.names() }

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 16 << 10

// Authenticate implements rest.Auth by the bearer token of the Authorization
// header (RFC 6750 section 2.1).
func (v *Verifier) Authenticate(r *http.Request) (*rest.Principal, error) {
	token, ok := bearer(r.Header["Authorization"])
	switch {
	case !ok:
		return nil, errNoToken
	case len(token) > maxToken:
		return nil, rest.InvalidToken("the token is too long", nil)
	}
	now := time.Now()
	key := sha256.Sum256([]byte(token))
	if who, ok := v.known.get(key, now); ok {
		return who, inactive(who)
	}
	who, until, err := v.verify(r.Context(), token, now)
	if err != nil {
		return nil, err
	}
	v.known.put(key, who, until, now)
	return who, inactive(who)
}

// errNoToken has no error code: RFC 6750 section 3.1 wants none where there was no
// credential.
var errNoToken = &rest.Problem{
	Title: http.StatusText(http.StatusUnauthorized), Status: http.StatusUnauthorized, Detail: "send an access token: Authorization: Bearer …",
}

func inactive(who *rest.Principal) error {
	if who == nil {
		return rest.InvalidToken("the token is not active", nil)
	}
	return nil
}

func bearer(header []string) (token string, ok bool) {
	const scheme = "Bearer "
	if len(header) != 1 || len(header[0]) <= len(scheme) || !strings.EqualFold(header[0][:len(scheme)], scheme) {
		return "", false
	}
	return strings.Trim(header[0][len(scheme):], " "), true
}
