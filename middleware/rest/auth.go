package rest

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// Principal is who a request comes from and what it may do. It is immutable.
type Principal struct {
	Subject string // "" is an anonymous visitor
	Grants  []push.Grant
}

// Allows reports whether the principal may do action on a topic, or on all
// topics of a pattern.
func (p *Principal) Allows(action push.Action, topic string) bool {
	for _, g := range p.Grants {
		if g.Allows(action, topic) {
			return true
		}
	}
	return false
}

// denied returns those of topics that the principal may not read: with
// ActionSub live, with ActionHistory in pages.
func (p *Principal) denied(action push.Action, topics []string) (denied []string) {
	for _, t := range topics {
		if !p.Allows(action, t) {
			denied = append(denied, t)
		}
	}
	return denied
}

// Auth finds out who a request comes from. It must be safe for concurrent use
// and must not read the body. An error that is a *Problem goes to the client
// as it is; any other becomes a 500.
type Auth interface {
	Authenticate(r *http.Request) (*Principal, error)
}

// AuthFunc is a function that is an Auth.
type AuthFunc func(r *http.Request) (*Principal, error)

// Authenticate implements Auth.
func (f AuthFunc) Authenticate(r *http.Request) (*Principal, error) { return f(r) }

// Public lets anybody do what grants say, and nothing else. It panics if a
// grant's pattern is none.
func Public(grants ...push.Grant) Auth {
	checkGrants(grants)
	visitor := &Principal{Grants: grants}
	return AuthFunc(func(*http.Request) (*Principal, error) { return visitor, nil })
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
	return AuthFunc(func(r *http.Request) (*Principal, error) {
		if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) || isForwarded(r) {
			return nil, problemf(http.StatusForbidden,
				"this mount uses Insecure(), which serves loopback peers only; configure Auth, e.g. Public(push.Sub(…))")
		}
		return everything, nil
	})
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
