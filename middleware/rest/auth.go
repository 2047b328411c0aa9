package rest

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// Auth finds out who a request comes from, by its Authorization header or, for
// an AuthFunc of the application's own, by whatever else it carries. It must be
// safe for concurrent use and must not read the body. It sees cookies only if
// Config.Cookies says so, and never next to an explicit credential. An error
// that is a *Problem goes to the client as it is; any other becomes a 500.
type Auth interface {
	Authenticate(r *http.Request) (*Principal, error)
}

// ProtectedResource is an Auth that takes OAuth 2.0 bearer tokens. The mount
// tells clients where they come from (RFC 9728), and answers errors as RFC 6750
// says. It needs Config.PublicURL.
type ProtectedResource interface {
	Auth
	// AuthorizationServers are the issuers whose tokens are taken.
	AuthorizationServers() []string
	// ScopesSupported are the scopes that mean something here, as far as they
	// can be listed.
	ScopesSupported() []string
}

// InvalidToken returns the problem of a request whose bearer token does not
// hold, by RFC 6750 section 3.1. why is for the client: it must not quote the
// token. cause is for the log; it may be nil.
func InvalidToken(why string, cause error) *Problem {
	p := problemf(http.StatusUnauthorized, "%s", why).with("Www-Authenticate", `Bearer error="invalid_token"`)
	p.Err = cause
	return p
}

// AuthFunc is a function that is an Auth.
type AuthFunc func(r *http.Request) (*Principal, error)

// Authenticate implements Auth.
func (f AuthFunc) Authenticate(r *http.Request) (*Principal, error) { return f(r) }

// openAuth is an Auth that lets in whoever comes, and looks at no credential.
type openAuth struct{ AuthFunc }

// Public lets anybody do what grants say, and nothing else. It panics if a
// grant's pattern is none.
func Public(grants ...push.Grant) Auth {
	checkGrants(grants)
	visitor := &Principal{Grants: grants}
	return openAuth{func(*http.Request) (*Principal, error) { return visitor, nil }}
}

func checkGrants(grants []push.Grant) {
	for _, g := range grants {
		if err := push.CheckPattern(g.Pattern); err != nil {
			panic(err)
		}
	}
}

// Insecure lets everybody on this machine do everything, for trying things
// out. It refuses peers that are not on the loopback interface, foreign Host
// headers, and requests that came through a proxy, behind which everybody
// would be local.
func Insecure() Auth {
	everything := &Principal{Grants: []push.Grant{push.Sub("**"), push.Pub("**"), push.Presence("**"), push.Manage("**")}}
	return openAuth{func(r *http.Request) (*Principal, error) {
		if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) || isForwarded(r) {
			return nil, problemf(http.StatusForbidden,
				"this mount uses Insecure(), which serves loopback peers only; configure Auth, e.g. Public(push.Sub(…))")
		}
		return everything, nil
	}}
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func isForwarded(r *http.Request) bool {
	for name := range r.Header {
		if name == "Forwarded" || name == "Via" || name == "X-Real-Ip" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}
